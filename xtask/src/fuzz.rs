//! libFuzzer at every target of `fuzz/`, for some minutes each.

use std::fs::{self, File};
use std::path::{Path, PathBuf};
use std::process::{Command, ExitCode, Stdio};
use std::sync::Mutex;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::thread;

use anyhow::{Context, bail};

use crate::page;
use crate::process::{root, target};

/// What makes coverage visible to libFuzzer on the stable compiler, and every broken rule of ours an end.
const FLAGS: &str = "-Cpasses=sancov-module -Cllvm-args=-sanitizer-coverage-level=4 \
    -Cllvm-args=-sanitizer-coverage-inline-8bit-counters -Cllvm-args=-sanitizer-coverage-pc-table \
    -Cllvm-args=-sanitizer-coverage-trace-compares -Cdebug-assertions -Coverflow-checks -Ccodegen-units=1";

/// How long, and what.
#[derive(Debug, clap::Args)]
pub(crate) struct Night {
    /// Seconds for each target
    #[arg(long, default_value_t = 300)]
    seconds: u64,
    /// Only these targets; all unless said
    targets: Vec<String>,
}

/// What a search came to.
#[derive(Debug, PartialEq, Eq)]
struct Found {
    target: String,
    runs: u64,
    places: u64,
    /// Why it ended early, where it did.
    fault: Option<String>,
}

/// Builds with coverage, searches, two targets side by side on two cores, and writes what came of it into
/// docs/reliability.md.
pub(crate) fn nightly(night: &Night) -> anyhow::Result<ExitCode> {
    let all = targets()?;
    let chosen = match &night.targets[..] {
        [] => all,
        chosen => {
            if let Some(none) = chosen.iter().find(|name| !all.contains(name)) {
                bail!("there is no target `{none}`: there are {}", all.join(", "));
            }
            chosen.to_vec()
        }
    };
    let program = build()?;
    let found = search_all(&program, &chosen, night.seconds)?;
    let text = told(&found, night.seconds);
    print!("{text}");
    if night.targets.is_empty() {
        page::write("fuzz", &text)?;
    }
    let well = found.iter().all(|found| found.fault.is_none());
    Ok(if well {
        ExitCode::SUCCESS
    } else {
        ExitCode::FAILURE
    })
}

/// Each has a folder with its corpus.
fn targets() -> anyhow::Result<Vec<String>> {
    let folder = root().join("fuzz/corpus");
    let entries = fs::read_dir(&folder).with_context(|| format!("read {}", folder.display()))?;
    let mut targets = Vec::new();
    for entry in entries {
        targets.push(entry?.file_name().to_string_lossy().into_owned());
    }
    targets.sort();
    Ok(targets)
}

fn build() -> anyhow::Result<PathBuf> {
    let host = host()?;
    let folder = target().join("fuzz");
    let status = Command::new("cargo")
        .current_dir(root())
        .env("RUSTFLAGS", FLAGS)
        .args([
            "build",
            "--release",
            "--package",
            "oc-fuzz",
            "--features",
            "libfuzzer",
        ])
        // With a target named, the flags are not for build scripts and macros.
        .args(["--target", &host, "--target-dir"])
        .arg(&folder)
        .status()
        .context("start cargo")?;
    if !status.success() {
        bail!("the targets do not build: a C++ compiler is needed (apt-get install g++)");
    }
    Ok(folder.join(host).join("release/oc-fuzz"))
}

fn host() -> anyhow::Result<String> {
    let told = Command::new("rustc")
        .arg("-vV")
        .output()
        .context("start rustc")?;
    let told = String::from_utf8_lossy(&told.stdout).into_owned();
    let host = told.lines().find_map(|line| line.strip_prefix("host: "));
    Ok(host.context("rustc does not say its host")?.to_owned())
}

fn search_all(program: &Path, targets: &[String], seconds: u64) -> anyhow::Result<Vec<Found>> {
    let together = thread::available_parallelism().map_or(1, usize::from);
    let (next, found) = (AtomicUsize::new(0), Mutex::new(Vec::new()));
    thread::scope(|scope| {
        let searching = (0..together).map(|_| {
            scope.spawn(|| -> anyhow::Result<()> {
                while let Some(target) = targets.get(next.fetch_add(1, Ordering::Relaxed)) {
                    println!("{target}: {seconds} s");
                    let one = search(program, target, seconds)?;
                    found.lock().unwrap_or_else(|it| it.into_inner()).push(one);
                }
                Ok(())
            })
        });
        let searching: Vec<_> = searching.collect();
        for search in searching {
            search
                .join()
                .map_err(|_| anyhow::anyhow!("a search panicked"))??;
        }
        anyhow::Ok(())
    })?;
    let mut found = found.into_inner().unwrap_or_else(|it| it.into_inner());
    found.sort_by(|a, b| a.target.cmp(&b.target));
    Ok(found)
}

fn search(program: &Path, name: &str, seconds: u64) -> anyhow::Result<Found> {
    let folder = target().join("fuzz");
    let kept = folder.join("corpus").join(name);
    fs::create_dir_all(&kept).with_context(|| format!("make {}", kept.display()))?;
    let log = folder.join(format!("{name}.log"));
    let said = File::create(&log).with_context(|| format!("write {}", log.display()))?;
    let crash = folder.join(format!("found-{name}-"));
    let status = Command::new(program)
        .current_dir(root())
        .env("OC_FUZZ_TARGET", name)
        .arg(format!("-max_total_time={seconds}"))
        .arg(format!("-artifact_prefix={}", crash.display()))
        .args([
            "-timeout=10",
            "-rss_limit_mb=2048",
            "-max_len=65536",
            "-print_final_stats=1",
        ])
        .arg(&kept)
        .arg(root().join("fuzz/corpus").join(name))
        .stdout(Stdio::null())
        .stderr(said)
        .status()
        .with_context(|| format!("start {}", program.display()))?;
    let text = fs::read(&log).with_context(|| format!("read {}", log.display()))?;
    let text = String::from_utf8_lossy(&text);
    let (runs, places) = figures(&text);
    let fault = (!status.success()).then(|| {
        format!(
            "{status}; what it read lies below {}, what it said in {}",
            crash.display(),
            log.display()
        )
    });
    Ok(Found {
        target: name.to_owned(),
        runs,
        places,
        fault,
    })
}

/// How often the target ran and how many places of the code it reached, by libFuzzer's log.
fn figures(log: &str) -> (u64, u64) {
    let after = |line: &str, word: &str| {
        let rest = line.split_once(word)?.1.trim_start();
        rest.split(' ').next()?.parse().ok()
    };
    let last = |word: &str| log.lines().rev().find_map(|line| after(line, word));
    let runs = last("stat::number_of_executed_units:").unwrap_or(0);
    (runs, last(" cov: ").unwrap_or(0))
}

fn told(found: &[Found], seconds: u64) -> String {
    let mut text = format!(
        "\n{seconds} s for each target.\n\n| target | runs | places reached | found |\n| --- | --- | --- | --- |\n"
    );
    for one in found {
        let Found {
            target,
            runs,
            places,
            fault,
        } = one;
        let fault = fault.as_deref().map_or("nothing", |_| "**a fault**");
        text.push_str(&format!("| {target} | {runs} | {places} | {fault} |\n"));
    }
    for one in found.iter().filter(|one| one.fault.is_some()) {
        let fault = one.fault.as_deref().unwrap_or_default();
        eprintln!("{}: {fault}", one.target);
    }
    text.push('\n');
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    const LOG: &str = "INFO: Seed: 1\n#2\tINITED cov: 812 ft: 813 corp: 1/1b\n#9001\tDONE   cov: 1024 ft: 4 corp: 2/2b\n\
        stat::number_of_executed_units: 9001\nstat::average_exec_per_sec:     300\n";

    #[test]
    fn the_figures_are_those_of_the_end() {
        assert_eq!(figures(LOG), (9001, 1024));
        assert_eq!(figures("no figure"), (0, 0));
    }

    #[test]
    fn a_night_is_told_target_by_target() {
        let well = Found {
            target: "envelope".to_owned(),
            runs: 9001,
            places: 1024,
            fault: None,
        };
        let text = told(&[well], 300);
        assert!(text.contains("300 s for each"), "{text}");
        assert!(
            text.contains("| envelope | 9001 | 1024 | nothing |"),
            "{text}"
        );
    }

    #[test]
    fn every_corpus_is_that_of_a_target() {
        let targets = targets().unwrap();
        assert!(targets.len() >= 8, "{targets:?}");
    }
}

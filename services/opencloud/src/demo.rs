//! `opencloud demo`: plays the main job with two real nodes on this machine, through the public API only.

mod ending;
mod node_process;
mod progress;
mod report;
mod story;
mod wait;
mod wishes;

use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::time::Duration;

use anyhow::Context as _;
use clap::Args;

use node_process::NodeProcess;
use progress::Progress;
use report::Report;
use story::Story;

use crate::sandboxing;

/// Longest time of the whole story; a step that hangs is named when it passes.
const LIMIT: Duration = Duration::from_secs(180);

/// Options of `opencloud demo`.
#[derive(Debug, Args)]
pub(crate) struct DemoArguments {
    /// No progress, only the result
    #[arg(short, long)]
    quiet: bool,
    /// Leave both nodes running, and say what to try next
    #[arg(long)]
    keep: bool,
    /// Write a report
    #[arg(long, value_name = "FILE")]
    json: Option<PathBuf>,
    /// Folder for the pictures [default: a new one in the system's temporary folder]
    #[arg(long, value_name = "DIR")]
    outdir: Option<PathBuf>,
    /// Folder with the sample scenes and workflows
    #[arg(long, value_name = "DIR", default_value = concat!(env!("CARGO_MANIFEST_DIR"), "/../../testdata"), hide_default_value = true)]
    samples: PathBuf,
}

/// The folders of one demonstration.
struct Stage {
    base: PathBuf,
    pictures: PathBuf,
}

/// Plays it; `json` prints the report for programs.
pub(crate) async fn run(arguments: DemoArguments, json: bool) -> ExitCode {
    match play(&arguments, json).await {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            let red = anstyle::AnsiColor::Red.on_default().bold();
            anstream::eprintln!("{red}error{red:#}: the demonstration stopped: {error:#}");
            anstream::eprintln!("look at this machine with: opencloud doctor");
            ExitCode::FAILURE
        }
    }
}

async fn play(arguments: &DemoArguments, json: bool) -> anyhow::Result<()> {
    if !arguments.samples.join("sentinel/collection.json").is_file() {
        anyhow::bail!(
            "no sample scenes lie in {}: name the folder `testdata` of the sources with --samples",
            arguments.samples.display()
        );
    }
    if let Err(none) = sandboxing::look() {
        anyhow::bail!(
            "this machine has no sandbox, and South runs North's tools only in one: {}\nwhat to do: {}",
            none.why,
            none.advice
        );
    }
    let stage = Stage::set(arguments.outdir.as_deref())?;
    let progress = Progress::new(arguments.quiet);
    let mut north = NodeProcess::new("North", &stage.base);
    let mut south = NodeProcess::new("South", &stage.base);
    let story = Story {
        north: &mut north,
        south: &mut south,
        samples: &arguments.samples,
        pictures: &stage.pictures,
        progress: &progress,
        keep: arguments.keep,
    };
    let stop = oc_service::shutdown::on_signal()?;
    let played = tokio::select! {
        played = tokio::time::timeout(LIMIT, story.play()) => played,
        () = stop.cancelled() => {
            progress.end();
            clear(&mut north, &mut south, &stage.base).await?;
            anyhow::bail!("you stopped it; both nodes have ended and their folders are gone");
        }
    };
    let report = match played {
        Ok(Ok(report)) => report,
        Ok(Err(error)) => {
            progress.end();
            for node in [&north, &south] {
                node.show_log();
            }
            anyhow::bail!("{error:#}\n{}", stage.left());
        }
        Err(_) => anyhow::bail!(
            "it took longer than {} s, at: {}\n{}",
            LIMIT.as_secs(),
            progress.now(),
            stage.left()
        ),
    };
    progress.end();
    if json {
        anstream::println!("{}", report.json()?);
    } else {
        report.show();
    }
    if let Some(file) = &arguments.json {
        report.write(file)?;
    }
    if arguments.keep {
        keep(json, &report, &mut north, &mut south);
    } else {
        clear(&mut north, &mut south, &stage.base).await?;
    }
    Ok(())
}

/// Ends both nodes and removes what they kept.
async fn clear(
    north: &mut NodeProcess,
    south: &mut NodeProcess,
    base: &Path,
) -> anyhow::Result<()> {
    north.stop().await?;
    south.stop().await?;
    std::fs::remove_dir_all(base)?;
    Ok(())
}

impl Stage {
    fn set(outdir: Option<&Path>) -> anyhow::Result<Self> {
        let temporary = |what: &str| {
            std::env::temp_dir().join(format!("opencloud-{what}-{}", std::process::id()))
        };
        let pictures = outdir.map_or_else(|| temporary("pictures"), Path::to_owned);
        make(&pictures).context("name another folder with --outdir")?;
        // Last, so that nothing is left where the pictures find no place.
        let base = temporary("demo");
        make(&base)?;
        Ok(Self {
            base,
            pictures: absolute(&pictures),
        })
    }

    /// What a failed demonstration leaves.
    fn left(&self) -> String {
        format!(
            "the folders of both nodes, with their logs and keys, stay in {}: remove it when you have looked",
            self.base.display()
        )
    }
}

fn make(folder: &Path) -> anyhow::Result<()> {
    std::fs::create_dir_all(folder)
        .map_err(|error| anyhow::anyhow!("{} cannot be a folder: {error}", folder.display()))
}

fn absolute(path: &Path) -> PathBuf {
    std::path::absolute(path).unwrap_or_else(|_| path.to_owned())
}

fn keep(json: bool, report: &Report, north: &mut NodeProcess, south: &mut NodeProcess) {
    if !json {
        say_what_next(report, north, south);
    }
    north.leave_running();
    south.leave_running();
}

fn say_what_next(report: &Report, north: &NodeProcess, south: &NodeProcess) {
    anstream::println!("\nBoth nodes go on running:");
    for node in [north, south] {
        anstream::println!(
            "  {:6} {}  process {}",
            node.name(),
            node.address(),
            node.process_id()
        );
    }
    let north_data = north.folder().display().to_string();
    let south_data = south.folder().display().to_string();
    anstream::println!("\nTry next:");
    for line in [
        format!("opencloud --data {north_data} catalog search"),
        format!("opencloud --data {north_data} explain {}", report.run.id),
        format!("opencloud --data {north_data} usage sum"),
        format!("opencloud --data {south_data} grant list"),
        format!("opencloud --data {south_data} offer withdraw machines"),
    ] {
        anstream::println!("  {line}");
    }
    anstream::println!(
        "\nStop them with: kill {} {}, then remove {}",
        north.process_id(),
        south.process_id(),
        north.folder().parent().unwrap_or(north.folder()).display()
    );
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pictures_without_a_folder_are_named_and_nothing_is_left() {
        let file = tempfile::NamedTempFile::new().unwrap();
        let error = Stage::set(Some(file.path())).err().unwrap();
        let text = format!("{error:#}");
        let name = file.path().display().to_string();
        assert!(text.contains(&name) && text.contains("--outdir"), "{text}");
        let base = format!("opencloud-demo-{}", std::process::id());
        assert!(!std::env::temp_dir().join(base).exists());
    }
}

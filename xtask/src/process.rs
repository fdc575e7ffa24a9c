//! Starting other programs.

use std::ffi::OsStr;
use std::path::{Path, PathBuf};
use std::process::{Command, ExitCode};

use anyhow::{Context, bail};

/// The repository's root.
pub(crate) fn root() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR"))
        .parent()
        .unwrap_or_else(|| Path::new("."))
}

/// Where cargo puts what it builds.
pub(crate) fn target() -> PathBuf {
    std::env::var_os("CARGO_TARGET_DIR").map_or_else(|| root().join("target"), PathBuf::from)
}

/// Runs a program in the root and fails when it fails.
pub(crate) fn check(program: impl AsRef<OsStr>, arguments: &[&str]) -> anyhow::Result<()> {
    let program = program.as_ref();
    let shown = format!("{} {}", program.to_string_lossy(), arguments.join(" "));
    let status = Command::new(program)
        .args(arguments)
        .current_dir(root())
        .status()
        .with_context(|| format!("start `{shown}`"))?;
    if !status.success() {
        bail!("`{shown}` failed: {status}");
    }
    Ok(())
}

/// Builds every program with its dependencies.
pub(crate) fn build_programs() -> anyhow::Result<()> {
    check("cargo", &["build", "--workspace", "--bins", "--locked"])
}

/// Replaces this task by `opencloud`, as far as a person can tell.
pub(crate) fn opencloud(command: &str, options: &[String]) -> anyhow::Result<ExitCode> {
    let program = target().join("debug/opencloud");
    let status = Command::new(&program)
        .arg(command)
        .args(options)
        .status()
        .with_context(|| format!("start {}", program.display()))?;
    Ok(ExitCode::from(
        u8::try_from(status.code().unwrap_or(1)).unwrap_or(1),
    ))
}

/// True when a program can be found.
pub(crate) fn is_there(program: &str) -> bool {
    let path = std::env::var_os("PATH").unwrap_or_default();
    std::env::split_paths(&path).any(|folder| folder.join(program).is_file())
}

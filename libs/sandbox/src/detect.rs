//! What this machine offers, found by trying it.

use std::fmt;
use std::path::{Path, PathBuf};
use std::process::{Command as Process, Stdio};
use std::sync::Arc;
use std::time::Duration;

use serde::Serialize;

use crate::cgroup::{Groups, SystemFiles};
use crate::outcome::End;
use crate::{Cancel, Command, Limits, Output, SandboxError, seccomp};

/// The oldest bubblewrap with every option that is used here (`--disable-userns` came last).
const OLDEST: (u32, u32) = (0, 8);

/// By which means cpu, memory and processes are limited. Time, files and printed bytes are watched in
/// every case.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum LimitMeans {
    /// Control groups, version 2.
    CgroupV2,
    /// Control groups, version 1.
    CgroupV1,
    /// Limits of each process, and a watch over their sum twenty times a second.
    Rlimits,
}

/// What was found, for the log, `doctor` and offers.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Report {
    /// The version of a bubblewrap that works here; none where it is missing, too old or not allowed to.
    pub bubblewrap: Option<String>,
    /// How cpu, memory and processes are limited.
    pub limits: LimitMeans,
    /// Whether system calls are filtered too.
    pub system_calls_filtered: bool,
    /// Why it is not more than this: one sentence for each thing that is missing.
    pub why: Vec<String>,
}

/// The way to run commands on this machine. Clones share what was found.
#[derive(Debug, Clone)]
pub struct Sandbox(Arc<Found>);

#[derive(Debug)]
struct Found {
    bubblewrap: PathBuf,
    groups: Option<Groups>,
    report: Report,
}

impl fmt::Display for LimitMeans {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::CgroupV2 => "cgroup v2",
            Self::CgroupV1 => "cgroup v1",
            Self::Rlimits => "rlimits",
        })
    }
}

impl Sandbox {
    /// Looks for bubblewrap on the `PATH` and for control groups, and runs a first command.
    ///
    /// # Errors
    /// [`SandboxError::Missing`] or [`SandboxError::Unavailable`] with what was tried.
    pub fn find() -> Result<Self, SandboxError> {
        let found = Groups::find(&SystemFiles::read());
        Self::with(found)
    }

    /// As [`Sandbox::find`], without control groups even where they may be used: for machines whose
    /// groups belong to somebody else.
    ///
    /// # Errors
    /// As [`Sandbox::find`].
    pub fn find_without_groups() -> Result<Self, SandboxError> {
        Self::with(Err("control groups are switched off".into()))
    }

    /// What this machine offers, also where that is nothing.
    pub fn detect() -> Report {
        match Self::find() {
            Ok(sandbox) => sandbox.0.report.clone(),
            Err(error) => Report {
                bubblewrap: None,
                limits: LimitMeans::Rlimits,
                system_calls_filtered: false,
                why: vec![error.to_string()],
            },
        }
    }

    /// What was found.
    pub fn report(&self) -> &Report {
        &self.0.report
    }

    pub(crate) fn bubblewrap(&self) -> &Path {
        &self.0.bubblewrap
    }

    pub(crate) fn groups(&self) -> Option<&Groups> {
        self.0.groups.as_ref()
    }

    fn with(groups: Result<Groups, String>) -> Result<Self, SandboxError> {
        let (bubblewrap, version) = bubblewrap().map_err(|why| SandboxError::Missing { why })?;
        let (groups, limits, mut why) = match groups {
            Ok(groups) => {
                groups.sweep();
                let means = match &groups {
                    Groups::V2(_) => LimitMeans::CgroupV2,
                    Groups::V1(_) => LimitMeans::CgroupV1,
                };
                (Some(groups), means, Vec::new())
            }
            Err(why) => (None, LimitMeans::Rlimits, vec![why]),
        };
        let system_calls_filtered = seccomp::filter().is_some();
        if !system_calls_filtered {
            why.push("no system call filter for this processor".into());
        }
        let sandbox = Self(Arc::new(Found {
            bubblewrap,
            groups,
            report: Report {
                bubblewrap: Some(version),
                limits,
                system_calls_filtered,
                why,
            },
        }));
        sandbox.try_it()?;
        Ok(sandbox)
    }

    fn try_it(&self) -> Result<(), SandboxError> {
        let limits = Limits {
            wall: Duration::from_secs(20),
            ..Limits::default()
        };
        let unavailable = |why: String| SandboxError::Unavailable { why };
        let cancel = Cancel::new().map_err(SandboxError::io("open a pipe"))?;
        let command = Command::new("true", "/tmp", limits).stderr(Output::Null);
        match self.run(command, &cancel) {
            Ok(outcome) if outcome.end == End::Exit(0) => Ok(()),
            Ok(outcome) => Err(unavailable(format!(
                "a first try ended with {:?}",
                outcome.end
            ))),
            Err(SandboxError::Start { why }) => Err(unavailable(format!("bubblewrap says: {why}"))),
            Err(error) => Err(unavailable(format!("a first try failed: {error}"))),
        }
    }
}

fn bubblewrap() -> Result<(PathBuf, String), String> {
    let path = std::env::var_os("PATH").unwrap_or_default();
    let program = std::env::split_paths(&path)
        .map(|folder| folder.join("bwrap"))
        .find(|candidate| candidate.is_file())
        .ok_or("`bwrap` is not on the PATH")?;
    let answer = Process::new(&program)
        .arg("--version")
        .stdin(Stdio::null())
        .output()
        .map_err(|error| format!("`{}` cannot be executed: {error}", program.display()))?;
    let text = String::from_utf8_lossy(&answer.stdout);
    let version = text
        .trim()
        .rsplit(' ')
        .next()
        .unwrap_or_default()
        .to_owned();
    if !is_new_enough(&version) {
        let (major, minor) = OLDEST;
        return Err(format!(
            "bubblewrap {version} is older than {major}.{minor}"
        ));
    }
    Ok((program, version))
}

fn is_new_enough(version: &str) -> bool {
    let mut numbers = version.split('.').map(str::parse::<u32>);
    match (numbers.next(), numbers.next()) {
        (Some(Ok(major)), Some(Ok(minor))) => (major, minor) >= OLDEST,
        _ => false,
    }
}

#[cfg(test)]
mod tests {
    use super::is_new_enough;

    #[test]
    fn an_old_or_unreadable_version_is_refused() {
        for (version, expected) in [
            ("0.8.0", true),
            ("0.11.0", true),
            ("1.0", true),
            ("0.6.1", false),
            ("", false),
            ("x.y", false),
        ] {
            assert_eq!(is_new_enough(version), expected, "{version}");
        }
    }
}

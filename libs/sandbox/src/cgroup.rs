//! Control groups: a group of its own for each command, version 2 or version 1, below the group this
//! process is in.

use std::fs;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

use crate::limits::Limits;

mod place;
mod version1;
mod version2;

pub(crate) use place::SystemFiles;
pub(crate) use version1::Version1;
pub(crate) use version2::Version2;

/// The period over which cpu time is shared out, in microseconds: the kernel's default.
const PERIOD_US: u64 = 100_000;

/// Where groups can be made here.
#[derive(Debug, Clone)]
pub(crate) enum Groups {
    V2(Version2),
    V1(Version1),
}

/// What a group has used and refused so far.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(crate) struct Reading {
    pub(crate) user: Duration,
    pub(crate) system: Duration,
    pub(crate) peak_memory: u64,
    /// Processes the kernel ended because the memory limit was reached.
    pub(crate) memory_kills: u64,
    /// Processes the kernel refused to start because the limit was reached.
    pub(crate) process_refusals: u64,
}

/// The group of one command. Dropping it removes it.
#[derive(Debug)]
pub(crate) struct Group {
    groups: Groups,
    name: String,
}

impl Groups {
    /// The better of what may be used here; otherwise why neither may.
    pub(crate) fn find(system: &SystemFiles) -> Result<Groups, String> {
        let v2 = match Version2::find(system) {
            Ok(found) => return Ok(Groups::V2(found)),
            Err(why) => why,
        };
        match Version1::find(system) {
            Ok(found) => Ok(Groups::V1(found)),
            Err(v1) => Err(format!("cgroup v2: {v2}; cgroup v1: {v1}")),
        }
    }

    pub(crate) fn create(&self, limits: &Limits) -> io::Result<Group> {
        static NUMBER: AtomicU64 = AtomicU64::new(0);
        let number = NUMBER.fetch_add(1, Ordering::Relaxed);
        let group = Group {
            groups: self.clone(),
            name: format!("{PREFIX}{}-{number}", std::process::id()),
        };
        match self {
            Self::V2(v2) => v2.create(&group.name, limits)?,
            Self::V1(v1) => v1.create(&group.name, limits)?,
        }
        Ok(group)
    }

    /// Removes groups whose maker is gone: it was killed before it could.
    pub(crate) fn sweep(&self) {
        for folder in self.folders() {
            let Ok(entries) = fs::read_dir(folder) else {
                continue;
            };
            for entry in entries.flatten() {
                if entry.file_name().to_str().is_some_and(is_orphan) {
                    let _busy_or_gone = fs::remove_dir(entry.path());
                }
            }
        }
    }

    fn folders(&self) -> Vec<&Path> {
        match self {
            Self::V2(v2) => vec![v2.base()],
            Self::V1(v1) => v1.folders(),
        }
    }
}

impl Group {
    pub(crate) fn add(&self, pid: i32) -> io::Result<()> {
        self.folders()
            .iter()
            .try_for_each(|folder| write(&folder.join("cgroup.procs"), pid))
    }

    pub(crate) fn read(&self) -> Reading {
        match &self.groups {
            Groups::V2(v2) => v2.read(&self.name),
            Groups::V1(v1) => v1.read(&self.name),
        }
    }

    fn folders(&self) -> Vec<PathBuf> {
        let folders = self.groups.folders();
        folders
            .iter()
            .map(|folder| folder.join(&self.name))
            .collect()
    }
}

impl Drop for Group {
    fn drop(&mut self) {
        // A group stays busy for a moment after the last of its processes was waited for.
        const PATIENCE: Duration = Duration::from_secs(2);
        let since = Instant::now();
        for folder in self.folders() {
            while let Err(error) = fs::remove_dir(&folder) {
                if error.kind() == io::ErrorKind::NotFound {
                    break;
                }
                if since.elapsed() > PATIENCE {
                    tracing::warn!(folder = %folder.display(), %error, "a control group stays behind");
                    break;
                }
                std::thread::sleep(Duration::from_millis(2));
            }
        }
    }
}

const PREFIX: &str = "oc-sandbox-";

fn is_orphan(name: &str) -> bool {
    let maker = name
        .strip_prefix(PREFIX)
        .and_then(|rest| rest.split('-').next())
        .and_then(|pid| pid.parse::<u32>().ok());
    maker.is_some_and(|pid| !Path::new("/proc").join(pid.to_string()).exists())
}

/// Makes a group whose counters begin at zero, also where one of that name was left behind.
fn create_fresh(folder: &Path) -> io::Result<()> {
    match fs::create_dir(folder) {
        Err(error) if error.kind() == io::ErrorKind::AlreadyExists => {
            fs::remove_dir(folder)?;
            fs::create_dir(folder)
        }
        made => made,
    }
}

fn write(path: &Path, value: impl ToString) -> io::Result<()> {
    fs::write(path, value.to_string())
        .map_err(|error| io::Error::new(error.kind(), format!("{}: {error}", path.display())))
}

/// The number in a file that holds only it.
fn number(path: &Path) -> Option<u64> {
    fs::read_to_string(path).ok()?.trim().parse().ok()
}

/// The number beside `key` in a file of `key number` lines.
fn entry(path: &Path, key: &str) -> Option<u64> {
    let text = fs::read_to_string(path).ok()?;
    text.lines().find_map(|line| {
        line.strip_prefix(key)?
            .strip_prefix(' ')?
            .trim()
            .parse()
            .ok()
    })
}

fn quota_us(millicores: u32) -> u64 {
    // The kernel refuses less than a millisecond.
    (u64::from(millicores) * PERIOD_US / 1000).max(1000)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_a_group_whose_maker_is_gone_is_swept() {
        let own = format!("{PREFIX}{}-0", std::process::id());
        assert!(!is_orphan(&own));
        assert!(!is_orphan("user.slice"));
        assert!(is_orphan(&format!("{PREFIX}4194999-0")));
    }
}

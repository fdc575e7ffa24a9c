//! Ending a process with everything that descends from it, and knowing that it has ended.

use std::collections::BTreeMap;
use std::ffi::OsStr;
use std::fs;
use std::os::fd::{AsFd, OwnedFd};
use std::os::unix::ffi::OsStrExt as _;
use std::path::Path;
use std::time::{Duration, Instant};

use nix::poll::{PollFd, PollFlags, PollTimeout, poll};
use rustix::process::{Pid, PidfdFlags, Signal, pidfd_open, pidfd_send_signal};

/// A process that cannot be mistaken for a later one of the same number.
pub(super) type Handle = OwnedFd;

/// Opens a handle on a child that has not been waited for.
pub(super) fn handle(child: &std::process::Child) -> std::io::Result<Handle> {
    Ok(pidfd_open(Pid::from_child(child), PidfdFlags::empty())?)
}

/// Kills a process and all that descends from it, and waits until none is left; false when that takes
/// longer than `limit`.
pub(super) fn kill(root: &Handle, pid: u32, limit: Duration) -> bool {
    // A process that stands still starts no other while its descendants are looked up.
    let _gone = pidfd_send_signal(root, Signal::STOP);
    let descendants: Vec<Handle> = descendants(pid)
        .into_iter()
        .filter_map(|pid| pidfd_open(Pid::from_raw(pid)?, PidfdFlags::empty()).ok())
        .collect();
    let _gone = pidfd_send_signal(root, Signal::KILL);
    for process in &descendants {
        let _gone = pidfd_send_signal(process, Signal::KILL);
    }
    let until = Instant::now() + limit;
    descendants.iter().all(|process| has_ended(process, until)) && has_ended(root, until)
}

fn has_ended(process: &Handle, until: Instant) -> bool {
    let left = until.saturating_duration_since(Instant::now());
    let timeout = PollTimeout::try_from(left).unwrap_or(PollTimeout::MAX);
    loop {
        match poll(
            &mut [PollFd::new(process.as_fd(), PollFlags::POLLIN)],
            timeout,
        ) {
            Err(nix::errno::Errno::EINTR) => {}
            answer => return answer.is_ok_and(|ready| ready > 0),
        }
    }
}

/// Kills the sandboxes that a former process of this node has left, and waits until none is: bubblewrap's inner process
/// follows its parent only once it has said so, and one whose parent died before waits for ever. They are known by the
/// folder of attempts, which they name; false when one outlives `limit`.
pub(super) fn kill_sandboxes_of(attempts: &Path, limit: Duration) -> bool {
    let handles: Vec<Handle> = processes()
        .filter(|pid| is_sandbox_of(*pid, attempts))
        .filter_map(|pid| pidfd_open(Pid::from_raw(pid)?, PidfdFlags::empty()).ok())
        .collect();
    for process in &handles {
        let _gone = pidfd_send_signal(process, Signal::KILL);
    }
    let until = Instant::now() + limit;
    handles.iter().all(|process| has_ended(process, until))
}

fn is_sandbox_of(pid: i32, attempts: &Path) -> bool {
    let Ok(line) = fs::read(format!("/proc/{pid}/cmdline")) else {
        return false;
    };
    let mut words = line
        .split(|byte| *byte == 0)
        .map(|word| Path::new(OsStr::from_bytes(word)));
    let program = words.next().and_then(Path::file_name);
    program.is_some_and(|name| name == "bwrap") && words.any(|word| word.starts_with(attempts))
}

fn processes() -> impl Iterator<Item = i32> {
    let entries = fs::read_dir("/proc").into_iter().flatten().flatten();
    entries.filter_map(|entry| entry.file_name().to_str()?.parse().ok())
}

/// All processes below `pid`, from one look at the process table.
fn descendants(pid: u32) -> Vec<i32> {
    let mut children: BTreeMap<i32, Vec<i32>> = BTreeMap::new();
    for number in processes() {
        if let Some(parent) = parent(number) {
            children.entry(parent).or_default().push(number);
        }
    }
    let mut found = Vec::new();
    let mut ahead = vec![i32::try_from(pid).unwrap_or(i32::MAX)];
    while let Some(next) = ahead.pop() {
        let below = children.remove(&next).unwrap_or_default();
        found.extend(&below);
        ahead.extend(below);
    }
    found
}

/// The fourth field of `/proc/<pid>/stat`, behind a name that may hold anything.
fn parent(pid: i32) -> Option<i32> {
    let stat = fs::read_to_string(format!("/proc/{pid}/stat")).ok()?;
    stat.rsplit_once(") ")?.1.split(' ').nth(1)?.parse().ok()
}

#[cfg(test)]
mod tests {
    use std::os::unix::process::CommandExt as _;
    use std::process::{Command, Stdio};

    use super::*;

    #[test]
    fn only_sandboxes_that_name_the_folder_are_killed() {
        let cat = |name: &str, path: &str| {
            let mut cat = Command::new("cat");
            cat.arg0(name).args(["-", path]).stdin(Stdio::piped());
            cat.spawn().unwrap()
        };
        let folder = tempfile::tempdir().unwrap();
        let root = folder.path().join("attempts");
        let below = root.join("0123/attempt").display().to_string();
        let mut left = cat("/usr/bin/bwrap", &below);
        let mut others = [cat("cat", &below), cat("bwrap", "/etc/hostname")];
        // Each names what it is only once it runs its program.
        let limit = Instant::now() + Duration::from_secs(10);
        let pid = i32::try_from(left.id()).unwrap();
        while !is_sandbox_of(pid, &root) && Instant::now() < limit {
            std::thread::yield_now();
        }
        assert!(kill_sandboxes_of(&root, Duration::from_secs(10)));
        assert!(!left.wait().unwrap().success());
        for other in &mut others {
            assert!(other.try_wait().unwrap().is_none());
            other.kill().unwrap();
            other.wait().unwrap();
        }
    }
}

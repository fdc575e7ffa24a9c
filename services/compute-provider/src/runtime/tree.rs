//! Ending a process with everything that descends from it, and knowing that it has ended.

use std::collections::BTreeMap;
use std::fs;
use std::os::fd::{AsFd, OwnedFd};
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

/// All processes below `pid`, from one look at the process table.
fn descendants(pid: u32) -> Vec<i32> {
    let mut children: BTreeMap<i32, Vec<i32>> = BTreeMap::new();
    for entry in fs::read_dir("/proc").into_iter().flatten().flatten() {
        let number = entry
            .file_name()
            .to_str()
            .and_then(|name| name.parse::<i32>().ok());
        let parent = number.and_then(parent);
        if let (Some(number), Some(parent)) = (number, parent) {
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

//! The kernel's ceiling on the process ids of one pid namespace, for the one case in which nothing else bounds
//! a fork bomb between two looks: no control group counts, and the node is the real root, whom the kernel
//! exempts from `RLIMIT_NPROC`.

use std::io;
use std::os::fd::{AsFd as _, OwnedFd};
use std::process::{Command, Stdio};

use rustix::process::{Pid, PidfdFlags};
use rustix::thread::ThreadNameSpaceType;

/// Before this Linux all namespaces share one ceiling, which is not ours to lower.
const SINCE: (u32, u32) = (6, 14);
/// The kernel gives the numbers below this only once; afterwards it begins here (`RESERVED_PIDS`).
const RESERVED: u32 = 300;
/// Above the limit, so that the watch sees that it was exceeded and names it.
const SLACK: u32 = 64;

/// Lets the namespace of `first` have at most `processes` at once, and up to some hundreds more before numbers
/// are used again. False where this kernel or this user cannot.
pub(crate) fn lower(first: i32, processes: u32) -> bool {
    let ceiling = RESERVED.saturating_add(processes).saturating_add(SLACK);
    let release = rustix::system::uname();
    let release = release.release().to_str().unwrap_or_default();
    if !rustix::process::geteuid().is_root() || !is_since(release) {
        return false;
    }
    let Ok(namespace) = Pid::from_raw(first)
        .ok_or(rustix::io::Errno::SRCH)
        .and_then(|pid| rustix::process::pidfd_open(pid, PidfdFlags::empty()))
    else {
        return false;
    };
    // A thread of its own: entering a namespace for one's children holds until the thread ends.
    std::thread::scope(|threads| {
        let inside = threads.spawn(|| write_inside(&namespace, ceiling));
        inside.join().is_ok_and(|written| written.unwrap_or(false))
    })
}

fn is_since(release: &str) -> bool {
    let mut parts = release.split(|c: char| !c.is_ascii_digit());
    let mut number = || parts.next().and_then(|part| part.parse().ok());
    let (major, minor) = (number().unwrap_or(0), number().unwrap_or(0));
    (major, minor) >= SINCE
}

/// The file stands for the namespace of whoever opens it, so a child born inside has to write it.
fn write_inside(namespace: &OwnedFd, ceiling: u32) -> io::Result<bool> {
    let inside = ThreadNameSpaceType::PROCESS_ID;
    rustix::thread::move_into_thread_name_spaces(namespace.as_fd(), inside)?;
    let status = Command::new("/bin/sh")
        .args(["-c", "echo \"$1\" > /proc/sys/kernel/pid_max", "sh"])
        .arg(ceiling.to_string())
        .stdin(Stdio::null())
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .status()?;
    Ok(status.success())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_kernels_with_a_ceiling_for_each_namespace_are_asked() {
        for release in ["6.14", "6.14.0-rc1", "6.18.44-fc-v657", "7.0.1", "10.2"] {
            assert!(is_since(release), "{release}");
        }
        for release in ["", "6", "6.13.9", "5.15.0-91-generic", "4.4.0", "v6.18"] {
            assert!(!is_since(release), "{release}");
        }
    }
}

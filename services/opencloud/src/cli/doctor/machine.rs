//! What this machine has: a sandbox, limits, room on the disk, and ports that are free.

use std::net::{SocketAddr, TcpListener};

use oc_sandbox::{LimitMeans, Report, Sandbox};
use oc_service::ListenSettings;

use super::Check;
use crate::cli::size;
use crate::folder::NodeFolder;
use crate::sandboxing::{self, NoSandbox};

/// Free room below which new work will soon fail, in bytes.
const LITTLE_ROOM: u64 = 2 << 30;

/// Free room below which the stores of a node may fail any time, in bytes.
const NO_ROOM: u64 = 1 << 30;

pub(super) fn sandbox() -> Check {
    of_sandbox(sandboxing::look())
}

fn of_sandbox(look: Result<Report, NoSandbox>) -> Check {
    match look {
        Ok(report) => {
            let version = report.bubblewrap.unwrap_or_default();
            Check::good("sandbox", format!("bubblewrap {version}"))
        }
        Err(none) => {
            let found = format!("tools cannot be sandboxed: {}", none.why);
            Check::bad("sandbox", found, none.advice)
        }
    }
}

pub(super) fn limits() -> Check {
    of_limits(Sandbox::detect().limits)
}

fn of_limits(limits: LimitMeans) -> Check {
    match limits {
        LimitMeans::CgroupV2 | LimitMeans::CgroupV1 => Check::good("limits", limits.to_string()),
        LimitMeans::Rlimits => Check::poor(
            "limits",
            "only rlimits, which count each process alone",
            "run the node as root or in a delegated cgroup to limit whole fragments",
        ),
    }
}

pub(super) fn disk(folder: &NodeFolder) -> Check {
    let path = folder.path();
    let existing = path.ancestors().find(|path| path.is_dir()).unwrap_or(path);
    let place = existing.display().to_string();
    match nix::sys::statvfs::statvfs(existing) {
        Ok(stat) => {
            let free = stat.blocks_available().saturating_mul(stat.fragment_size());
            room(free, &place)
        }
        Err(error) => Check::bad(
            "disk",
            format!("{place}: {error}"),
            "name a folder that this user can use with --data",
        ),
    }
}

fn room(free: u64, place: &str) -> Check {
    let found = format!("{} free at {place}", size::show(free));
    let advice = "make room, or name another folder with --data";
    match free {
        ..NO_ROOM => Check::bad("disk", format!("{found}: nothing is started"), advice),
        NO_ROOM..LITTLE_ROOM => Check::poor("disk", found, advice),
        _ => Check::good("disk", found),
    }
}

/// Whether a node could take its ports, where none runs on this folder.
pub(super) fn ports(folder: &NodeFolder, another: bool) -> Option<Check> {
    if another || folder.address().is_ok() {
        return None;
    }
    let wanted = ListenSettings::default();
    Some(of_ports(&[
        ("listen.api", wanted.api),
        ("listen.admin", wanted.admin),
    ]))
}

fn of_ports(wanted: &[(&str, SocketAddr)]) -> Check {
    let taken = |at: &SocketAddr| TcpListener::bind(at).is_err();
    let mut busy = wanted.iter().filter(|(_, at)| taken(at)).peekable();
    if busy.peek().is_none() {
        let ports: Vec<_> = wanted.iter().map(|(_, at)| at.to_string()).collect();
        return Check::good("ports", format!("{} are free", ports.join(" and ")));
    }
    let (mut found, mut flags) = (Vec::new(), String::new());
    for (setting, at) in busy {
        found.push(at.to_string());
        flags.push_str(&format!(" --set {setting}={}:0", at.ip()));
    }
    Check::poor(
        "ports",
        format!("cannot be taken: {}", found.join(" and ")),
        format!("end the program that has them, or choose free ones with `opencloud up{flags}`"),
    )
}

#[cfg(test)]
mod tests {
    use super::super::Verdict;
    use super::*;

    #[test]
    fn a_machine_without_a_sandbox_is_bad_and_is_told_how_to_get_one() {
        let none = NoSandbox {
            why: "bwrap is not there".to_owned(),
            advice: "install bubblewrap",
        };
        let check = of_sandbox(Err(none));
        assert_eq!(check.verdict, Verdict::Bad);
        assert!(check.found.contains("bwrap is not there"), "{check:?}");
        assert_eq!(check.advice, "install bubblewrap");
    }

    #[test]
    fn limits_of_single_processes_are_worth_a_note() {
        assert_eq!(of_limits(LimitMeans::CgroupV2).verdict, Verdict::Good);
        let check = of_limits(LimitMeans::Rlimits);
        assert_eq!(check.verdict, Verdict::Poor);
        assert!(check.advice.contains("cgroup"), "{check:?}");
    }

    #[test]
    fn a_disk_that_is_nearly_full_is_noted_and_a_full_one_is_bad() {
        assert_eq!(room(5 << 30, "/data").verdict, Verdict::Good);
        assert_eq!(room((1 << 30) + 1, "/data").verdict, Verdict::Poor);
        let full = room(100 << 20, "/data");
        assert_eq!(full.verdict, Verdict::Bad);
        assert!(full.found.starts_with("100 MiB free at /data"), "{full:?}");
        assert!(full.advice.contains("make room"), "{full:?}");
    }

    #[test]
    fn a_folder_of_which_nothing_can_be_asked_is_bad() {
        let folder = tempfile::tempdir().unwrap();
        let check = disk(&NodeFolder::new(folder.path().join("not/made/yet")));
        assert!(check.found.contains(&folder.path().display().to_string()));
    }

    #[test]
    fn a_port_that_another_program_has_is_told_with_the_setting_to_change() {
        let other = TcpListener::bind("127.0.0.1:0").unwrap();
        let at = other.local_addr().unwrap();
        let check = of_ports(&[("listen.api", at)]);
        assert_eq!(check.verdict, Verdict::Poor);
        assert!(check.found.contains(&at.to_string()), "{check:?}");
        assert!(
            check.advice.contains("--set listen.api=127.0.0.1:0"),
            "{check:?}"
        );
        drop(other);
        assert_eq!(of_ports(&[("listen.api", at)]).verdict, Verdict::Good);
    }
}

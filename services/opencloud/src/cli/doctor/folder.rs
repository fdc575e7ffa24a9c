//! What lies in the node's folder: its keys, its stores, and the moments at which they were written.

use std::fs;
use std::path::{Path, PathBuf};
use std::time::UNIX_EPOCH;

use super::Check;
use crate::cli::when;
use crate::folder::NodeFolder;

/// How far in the future a file may seem to be: file systems round.
const ROUNDED_MS: u64 = 5_000;

pub(super) fn keys(folder: &NodeFolder) -> Check {
    let settings = oc_discovery::Settings {
        keys: folder.keys(),
        ..oc_discovery::Settings::default()
    };
    match oc_discovery::look_at_keys(&settings) {
        Ok(Some(org)) => Check::good("keys", format!("those of {}", org.short())),
        Ok(None) if folder.stores().exists() => Check::bad(
            "keys",
            format!("none in {}, and stores are there", folder.keys().display()),
            "put them back from a backup before the node starts: it would make new ones, and the organisation would \
             lose its name",
        ),
        Ok(None) => Check::good("keys", "none yet: the first `opencloud up` makes them"),
        Err(error) => Check::bad(
            "keys",
            error.to_string(),
            "put them right, or back from a backup: a node that cannot use its keys does not start",
        ),
    }
}

pub(super) fn store(folder: &NodeFolder) -> Check {
    let stores = databases(&folder.stores());
    if stores.is_empty() {
        return Check::good("store", "nothing stored yet");
    }
    let faults = stores
        .iter()
        .filter_map(|path| oc_store::inspect(path).err());
    let faults: Vec<String> = faults.map(|fault| chain(&fault)).collect();
    if faults.is_empty() {
        let place = folder.stores();
        let found = format!("{} files in {}", stores.len(), place.display());
        return Check::good("store", found);
    }
    Check::bad(
        "store",
        faults.join("; "),
        "stop the node, look at the disk with `dmesg` and its own tools, and put the folder back from a backup",
    )
}

/// An error with what it comes from.
fn chain(error: &dyn std::error::Error) -> String {
    let causes = std::iter::successors(error.source(), |cause| cause.source());
    causes.fold(error.to_string(), |text, cause| format!("{text}: {cause}"))
}

/// The SQLite files of a folder.
fn databases(folder: &Path) -> Vec<PathBuf> {
    let entries = fs::read_dir(folder).into_iter().flatten().flatten();
    let paths = entries.map(|entry| entry.path());
    let mut paths: Vec<PathBuf> = paths
        .filter(|path| path.extension().is_some_and(|it| it == "db"))
        .collect();
    paths.sort();
    paths
}

/// Compares this machine's clock with the moments at which the node's files were written.
pub(super) fn clock(folder: &NodeFolder, now_ms: u64) -> Check {
    let written = databases(&folder.stores()).into_iter();
    let written = written.chain([folder.admin_token(), folder.keys().join("keysets.json")]);
    let newest = written.filter_map(|path| {
        let moment = fs::metadata(path).ok()?.modified().ok()?;
        u64::try_from(moment.duration_since(UNIX_EPOCH).ok()?.as_millis()).ok()
    });
    of_clock(newest.max(), now_ms)
}

fn of_clock(newest_ms: Option<u64>, now_ms: u64) -> Check {
    let ahead = newest_ms.map_or(0, |newest| newest.saturating_sub(now_ms));
    let now = when::show(now_ms);
    if ahead > ROUNDED_MS {
        let span = when::show_span(ahead);
        return Check::bad(
            "clock",
            format!("it is {now} here, and files of the node were written {span} later"),
            "the clock was set back, or was wrong before: set it by NTP (`timedatectl set-ntp true`) before the node \
             starts; what it signs would be refused",
        );
    }
    Check::good("clock", now)
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::PermissionsExt as _;

    use super::super::Verdict;
    use super::*;

    fn folder() -> (tempfile::TempDir, NodeFolder) {
        let place = tempfile::tempdir().unwrap();
        let folder = NodeFolder::new(place.path().to_owned());
        (place, folder)
    }

    #[test]
    fn keys_that_are_gone_while_stores_are_there_are_bad() {
        let (_place, folder) = folder();
        assert_eq!(keys(&folder).verdict, Verdict::Good);
        fs::create_dir(folder.stores()).unwrap();
        let check = keys(&folder);
        assert_eq!(check.verdict, Verdict::Bad);
        assert!(check.advice.contains("backup"), "{check:?}");
    }

    #[test]
    fn keys_that_others_can_read_or_that_are_damaged_are_bad() {
        let (_place, folder) = folder();
        fs::create_dir(folder.keys()).unwrap();
        let root = folder.keys().join("root.json");
        fs::write(&root, "{}").unwrap();
        fs::set_permissions(&root, fs::Permissions::from_mode(0o644)).unwrap();
        let check = keys(&folder);
        assert_eq!(check.verdict, Verdict::Bad);
        assert!(check.found.contains("chmod 600"), "{check:?}");
        fs::set_permissions(&root, fs::Permissions::from_mode(0o600)).unwrap();
        fs::write(folder.keys().join("keysets.json"), "[]").unwrap();
        let check = keys(&folder);
        assert_eq!(check.verdict, Verdict::Bad);
        assert!(check.found.contains("node.json is missing"), "{check:?}");
    }

    #[test]
    fn a_damaged_store_is_bad_and_named() {
        let (_place, folder) = folder();
        assert_eq!(store(&folder).verdict, Verdict::Good);
        fs::create_dir(folder.stores()).unwrap();
        fs::write(folder.store("empty"), "").unwrap();
        assert_eq!(store(&folder).verdict, Verdict::Good);
        fs::write(folder.store("bad"), vec![7; 4096]).unwrap();
        let check = store(&folder);
        assert_eq!(check.verdict, Verdict::Bad);
        assert!(check.found.contains("bad.db"), "{check:?}");
        assert!(check.advice.contains("backup"), "{check:?}");
    }

    #[test]
    fn a_clock_that_was_set_back_is_bad() {
        let hour = 3_600_000;
        assert_eq!(of_clock(None, hour).verdict, Verdict::Good);
        assert_eq!(of_clock(Some(hour), hour).verdict, Verdict::Good);
        let check = of_clock(Some(3 * hour), hour);
        assert_eq!(check.verdict, Verdict::Bad);
        assert!(check.found.contains("later"), "{check:?}");
        assert!(check.advice.contains("NTP"), "{check:?}");
    }

    #[test]
    fn the_files_of_a_node_are_compared_with_the_clock() {
        let (_place, folder) = folder();
        fs::create_dir(folder.stores()).unwrap();
        fs::write(folder.store("a"), "").unwrap();
        assert_eq!(clock(&folder, 1_000).verdict, Verdict::Bad);
    }
}

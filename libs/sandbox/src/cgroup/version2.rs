//! Version 2: one hierarchy (cgroup-v2 in the kernel's documentation). Written after that text and tested on folders
//! made up by it; no kernel has run it yet, as version 1 and rlimits were run.

use std::fs;
use std::io;
use std::path::{Path, PathBuf};
use std::time::Duration;

use super::{PERIOD_US, Reading, SystemFiles, create_fresh, entry, number, quota_us, write};
use crate::limits::Limits;

/// The group that this process moves into when its own must not hold processes any more: a group
/// hands controllers on to its children only while it has no process itself.
const LEAF: &str = "oc-node";

const CONTROLLERS: [&str; 3] = ["cpu", "memory", "pids"];

/// The folder below which groups are made.
#[derive(Debug, Clone)]
pub(crate) struct Version2 {
    base: PathBuf,
}

impl Version2 {
    pub(super) fn find(system: &SystemFiles) -> Result<Self, String> {
        let own = system.version2().ok_or("it is not mounted")?;
        let base = match own.parent() {
            Some(parent) if own.ends_with(LEAF) => parent.to_owned(),
            _ => own,
        };
        let found = Self { base };
        let here = found.controllers("cgroup.controllers");
        if let Some(missing) = CONTROLLERS.iter().find(|name| !here.contains(**name)) {
            return Err(format!("it has no `{missing}` controller here"));
        }
        found.hand_on().map_err(|error| error.to_string())?;
        found.probe().map_err(|error| error.to_string())?;
        Ok(found)
    }

    pub(super) fn base(&self) -> &Path {
        &self.base
    }

    fn controllers(&self, file: &str) -> String {
        fs::read_to_string(self.base.join(file)).unwrap_or_default()
    }

    fn hand_on(&self) -> io::Result<()> {
        let handed_on = self.controllers("cgroup.subtree_control");
        if CONTROLLERS.iter().all(|name| handed_on.contains(name)) {
            return Ok(());
        }
        let switch = self.base.join("cgroup.subtree_control");
        let wanted = CONTROLLERS.map(|name| format!("+{name}")).join(" ");
        let Err(error) = write(&switch, &wanted) else {
            return Ok(());
        };
        if error.kind() != io::ErrorKind::ResourceBusy || !self.is_ours_alone() {
            return Err(error);
        }
        let leaf = self.base.join(LEAF);
        fs::create_dir_all(&leaf)?;
        write(&leaf.join("cgroup.procs"), std::process::id())?;
        write(&switch, &wanted)
    }

    fn is_ours_alone(&self) -> bool {
        let processes = self.controllers("cgroup.procs");
        processes.trim() == std::process::id().to_string()
    }

    fn probe(&self) -> io::Result<()> {
        let name = format!("{}{}-probe", super::PREFIX, std::process::id());
        let made = self.create(&name, &Limits::default());
        let _not_made = fs::remove_dir(self.base.join(name));
        made
    }

    pub(super) fn create(&self, name: &str, limits: &Limits) -> io::Result<()> {
        let folder = self.base.join(name);
        create_fresh(&folder)?;
        let quota = format!("{} {PERIOD_US}", quota_us(limits.millicores));
        write(&folder.join("cpu.max"), quota)?;
        write(&folder.join("memory.max"), limits.memory)?;
        let swap = folder.join("memory.swap.max");
        if swap.exists() {
            write(&swap, 0)?;
        }
        write(&folder.join("memory.oom.group"), 1)?;
        // One more for bubblewrap's own first process inside.
        write(&folder.join("pids.max"), limits.processes + 1)
    }

    pub(super) fn read(&self, name: &str) -> Reading {
        let folder = self.base.join(name);
        let time = |key| entry(&folder.join("cpu.stat"), key).map(Duration::from_micros);
        let peak = number(&folder.join("memory.peak"));
        // The peak came with Linux 5.19; before it the present value has to do.
        let memory = peak.or_else(|| number(&folder.join("memory.current")));
        Reading {
            user: time("user_usec").unwrap_or_default(),
            system: time("system_usec").unwrap_or_default(),
            peak_memory: memory.unwrap_or(0),
            memory_kills: entry(&folder.join("memory.events"), "oom_kill").unwrap_or(0),
            process_refusals: entry(&folder.join("pids.events"), "max").unwrap_or(0),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn system(folder: &Path, own: &str) -> SystemFiles {
        SystemFiles {
            mountinfo: format!(
                "30 22 0:26 / {} rw - cgroup2 cgroup2 rw\n",
                folder.display()
            ),
            cgroup: format!("0::{own}\n"),
        }
    }

    fn tree(controllers: &str, handed_on: &str) -> tempfile::TempDir {
        let folder = tempfile::tempdir().unwrap();
        fs::write(folder.path().join("cgroup.controllers"), controllers).unwrap();
        fs::write(folder.path().join("cgroup.subtree_control"), handed_on).unwrap();
        folder
    }

    #[test]
    fn a_tree_without_a_controller_is_not_used_and_the_controller_is_named() {
        let tree = tree("cpu pids", "");
        let why = Version2::find(&system(tree.path(), "/")).unwrap_err();
        assert!(why.contains("`memory`"), "{why}");
    }

    #[test]
    fn limits_and_readings_use_the_files_of_version_2() {
        let tree = tree("cpu io memory pids", "cpu memory pids");
        let v2 = Version2 {
            base: tree.path().to_owned(),
        };
        let limits = Limits {
            millicores: 1500,
            memory: 4096,
            processes: 7,
            ..Limits::default()
        };
        v2.create("a", &limits).unwrap();
        let folder = tree.path().join("a");
        let text = |file: &str| fs::read_to_string(folder.join(file)).unwrap();
        assert_eq!(text("cpu.max"), "150000 100000");
        assert_eq!(text("memory.max"), "4096");
        assert_eq!(text("pids.max"), "8");
        let stat = "usage_usec 30\nuser_usec 20\nsystem_usec 10\n";
        fs::write(folder.join("cpu.stat"), stat).unwrap();
        fs::write(folder.join("memory.peak"), "99\n").unwrap();
        fs::write(folder.join("memory.events"), "oom 2\noom_kill 1\n").unwrap();
        fs::write(folder.join("pids.events"), "max 3\n").unwrap();
        let expected = Reading {
            user: Duration::from_micros(20),
            system: Duration::from_micros(10),
            peak_memory: 99,
            memory_kills: 1,
            process_refusals: 3,
        };
        assert_eq!(v2.read("a"), expected);
    }

    #[test]
    fn a_process_in_the_leaf_makes_groups_beside_it() {
        let tree = tree("cpu memory pids", "cpu memory pids");
        fs::create_dir(tree.path().join(LEAF)).unwrap();
        // The folder is no control group, so the probe's own folder cannot be removed; finding is enough.
        let found = Version2::find(&system(tree.path(), "/oc-node")).unwrap();
        assert_eq!(found.base(), tree.path());
    }
}

//! Where the kernel shows the group of this process.

use std::fs;
use std::path::{Path, PathBuf};

/// The two files of `/proc/self` that say it (cgroups(7), proc_pid_mountinfo(5)).
#[derive(Debug, Clone)]
pub(crate) struct SystemFiles {
    pub(crate) mountinfo: String,
    pub(crate) cgroup: String,
}

impl SystemFiles {
    pub(crate) fn read() -> Self {
        let read = |name: &str| fs::read_to_string(Path::new("/proc/self").join(name));
        Self {
            mountinfo: read("mountinfo").unwrap_or_default(),
            cgroup: read("cgroup").unwrap_or_default(),
        }
    }

    /// The folder of this process's group in version 2.
    pub(crate) fn version2(&self) -> Option<PathBuf> {
        let own = self.own_path(|id, controllers| id == "0" && controllers.is_empty())?;
        self.folder(own, |kind, _| kind == "cgroup2")
    }

    /// The folder of this process's group for a controller of version 1.
    pub(crate) fn version1(&self, controller: &str) -> Option<PathBuf> {
        let has = |list: &str| list.split(',').any(|name| name == controller);
        let own = self.own_path(|_, controllers| has(controllers))?;
        self.folder(own, |kind, options| kind == "cgroup" && has(options))
    }

    fn own_path(&self, wanted: impl Fn(&str, &str) -> bool) -> Option<&str> {
        self.cgroup.lines().find_map(|line| {
            let mut parts = line.splitn(3, ':');
            let (id, controllers, path) = (parts.next()?, parts.next()?, parts.next()?);
            wanted(id, controllers).then_some(path)
        })
    }

    fn folder(&self, own: &str, wanted: impl Fn(&str, &str) -> bool) -> Option<PathBuf> {
        self.mountinfo.lines().find_map(|line| {
            let (mount, file_system) = line.split_once(" - ")?;
            let mut mount = mount.split(' ').skip(3);
            let (root, point) = (mount.next()?, mount.next()?);
            let mut file_system = file_system.split(' ');
            let (kind, _source, options) = (
                file_system.next()?,
                file_system.next()?,
                file_system.next().unwrap_or_default(),
            );
            if !wanted(kind, options) {
                return None;
            }
            // In a container the mount shows only a part of the tree, which its root names.
            let below = Path::new(own).strip_prefix(root).ok()?;
            Some(Path::new(point).join(below))
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn hybrid() -> SystemFiles {
        SystemFiles {
            mountinfo: "\
30 22 0:26 / /sys/fs/cgroup/cpu,cpuacct rw,relatime - cgroup cgroup rw,cpu,cpuacct
31 22 0:27 /docker/7f /sys/fs/cgroup/memory rw,relatime shared:9 - cgroup cgroup rw,memory
32 22 0:28 / /sys/fs/cgroup/unified rw,relatime - cgroup2 cgroup2 rw
"
            .into(),
            cgroup: "9:name=systemd:/\n4:memory:/docker/7f/app\n1:cpu,cpuacct:/\n0::/svc\n".into(),
        }
    }

    #[test]
    fn the_own_group_is_found_below_the_part_that_is_mounted() {
        let system = hybrid();
        let found = system.version1("memory");
        assert_eq!(found, Some("/sys/fs/cgroup/memory/app".into()));
        assert_eq!(system.version2(), Some("/sys/fs/cgroup/unified/svc".into()));
    }

    #[test]
    fn controllers_that_share_a_mount_are_found_there() {
        let system = hybrid();
        for controller in ["cpu", "cpuacct"] {
            let found = system.version1(controller);
            assert_eq!(found, Some("/sys/fs/cgroup/cpu,cpuacct/".into()));
        }
        assert_eq!(system.version1("pids"), None);
    }
}

//! Version 1: a hierarchy for each controller (cgroup-v1 in the kernel's documentation).

use std::collections::BTreeSet;
use std::fs;
use std::io;
use std::path::{Path, PathBuf};
use std::time::Duration;

use super::{PERIOD_US, Reading, SystemFiles, create_fresh, entry, number, quota_us, write};
use crate::limits::Limits;

/// The folders of this process's groups in the four hierarchies that matter here.
#[derive(Debug, Clone)]
pub(crate) struct Version1 {
    cpu: PathBuf,
    cpuacct: PathBuf,
    memory: PathBuf,
    pids: PathBuf,
}

impl Version1 {
    pub(super) fn find(system: &SystemFiles) -> Result<Self, String> {
        let place = |controller: &str| {
            system
                .version1(controller)
                .ok_or_else(|| format!("no `{controller}` controller is mounted"))
        };
        let found = Self {
            cpu: place("cpu")?,
            cpuacct: place("cpuacct")?,
            memory: place("memory")?,
            pids: place("pids")?,
        };
        found.probe().map_err(|error| error.to_string())?;
        Ok(found)
    }

    fn probe(&self) -> io::Result<()> {
        let name = format!("{}{}-probe", super::PREFIX, std::process::id());
        let made = self.create(&name, &Limits::default());
        for folder in self.folders() {
            let _not_made = fs::remove_dir(folder.join(&name));
        }
        made
    }

    pub(super) fn folders(&self) -> Vec<&Path> {
        let all = [&self.cpu, &self.cpuacct, &self.memory, &self.pids];
        let distinct: BTreeSet<&Path> = all.into_iter().map(PathBuf::as_path).collect();
        distinct.into_iter().collect()
    }

    pub(super) fn create(&self, name: &str, limits: &Limits) -> io::Result<()> {
        for folder in self.folders() {
            create_fresh(&folder.join(name))?;
        }
        let cpu = self.cpu.join(name);
        write(&cpu.join("cpu.cfs_period_us"), PERIOD_US)?;
        write(&cpu.join("cpu.cfs_quota_us"), quota_us(limits.millicores))?;
        let memory = self.memory.join(name);
        write(&memory.join("memory.limit_in_bytes"), limits.memory)?;
        let with_swap = memory.join("memory.memsw.limit_in_bytes");
        if with_swap.exists() {
            write(&with_swap, limits.memory)?;
        }
        // One more for bubblewrap's own first process inside.
        write(&self.pids.join(name).join("pids.max"), limits.processes + 1)
    }

    pub(super) fn read(&self, name: &str) -> Reading {
        let account = self.cpuacct.join(name);
        let time = |file: &str| Duration::from_nanos(number(&account.join(file)).unwrap_or(0));
        let memory = self.memory.join(name);
        Reading {
            user: time("cpuacct.usage_user"),
            system: time("cpuacct.usage_sys"),
            peak_memory: number(&memory.join("memory.max_usage_in_bytes")).unwrap_or(0),
            memory_kills: entry(&memory.join("memory.oom_control"), "oom_kill").unwrap_or(0),
            process_refusals: entry(&self.pids.join(name).join("pids.events"), "max").unwrap_or(0),
        }
    }
}

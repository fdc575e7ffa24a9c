//! Setting the limits of one command and watching those that the kernel does not hold by itself.

use std::time::{Duration, Instant};

use rustix::process::{Pid, Resource, Rlimit};
use rustix::thread::CpuSet;

use crate::ceiling;
use crate::cgroup::{Group, Groups, Reading};
use crate::folder::{Folder, MAX_DEPTH};
use crate::limits::{LimitHit, Limits};
use crate::namespace::{Namespace, Sample};
use crate::{Command, SandboxError};

/// Pause between two looks at the counters.
pub(crate) const TICK: Duration = Duration::from_millis(50);

/// Shortest pause between two walks over the folders. A walk that took long is followed by ten times
/// as long a pause, so that watching stays below a tenth of one core.
const FOLDER_TICK: Duration = Duration::from_millis(200);

/// The limits of one command in force.
pub(crate) struct Meter {
    limits: Limits,
    group: Option<Group>,
    namespace: Option<Namespace>,
    folders: Vec<Folder>,
    next_walk: Instant,
    /// Where no group counts: the most that was seen of each.
    seen: Sample,
}

impl Meter {
    pub(crate) fn new(groups: Option<&Groups>, command: &Command) -> Result<Self, SandboxError> {
        let limits = command.limits.clone();
        let group = groups
            .map(|groups| groups.create(&limits))
            .transpose()
            .map_err(SandboxError::io("make a control group"))?;
        let writable = command.mounts.iter().filter(|mount| mount.writable);
        let folders = writable
            .filter(|mount| mount.outside.is_dir())
            .map(|mount| Folder::open(&mount.outside))
            .collect::<Result<_, _>>()?;
        Ok(Self {
            limits,
            group,
            namespace: None,
            folders,
            next_walk: Instant::now() + FOLDER_TICK,
            seen: Sample::default(),
        })
    }

    /// Puts the sandbox, whose first process waits at the gate, under its limits.
    pub(crate) fn enter(&mut self, first: i32) -> Result<(), SandboxError> {
        self.namespace = Namespace::of(first);
        let pid = Pid::from_raw(first);
        let set = |resource, value: u64| {
            let limit = Rlimit {
                current: Some(value),
                maximum: Some(value),
            };
            match rustix::process::prlimit(pid, resource, limit) {
                // A limit of the node itself that is lower already holds.
                Ok(_) | Err(rustix::io::Errno::PERM) => Ok(()),
                Err(errno) => Err(SandboxError::io("set a limit")(errno.into())),
            }
        };
        set(Resource::Core, 0)?;
        set(Resource::Fsize, self.limits.file_bytes)?;
        set(Resource::Nofile, u64::from(self.limits.open_files))?;
        if let Some(group) = &self.group {
            return group
                .add(first)
                .map_err(SandboxError::io("put the sandbox into its control group"));
        }
        // The watch below ends and names what goes over the limits of memory and processes. These only
        // bound how far it can get between two looks; the kernel exempts the real root from the second,
        // for whom the third is.
        set(Resource::Data, self.limits.memory.saturating_mul(4))?;
        set(Resource::Nproc, u64::from(self.limits.processes) + 1024)?;
        ceiling::lower(first, self.limits.processes);
        set(Resource::Cpu, self.limits.cpu_time.as_secs() + 1)?;
        self.bind_to_cores(pid)
    }

    fn bind_to_cores(&self, pid: Option<Pid>) -> Result<(), SandboxError> {
        let failed = |errno: rustix::io::Errno| SandboxError::io("choose cores")(errno.into());
        let allowed = rustix::thread::sched_getaffinity(None).map_err(failed)?;
        let wanted = self.limits.millicores.div_ceil(1000).max(1);
        let mut chosen = CpuSet::new();
        let own = (0..CpuSet::MAX_CPU).filter(|core| allowed.is_set(*core));
        own.take(wanted as usize).for_each(|core| chosen.set(core));
        rustix::thread::sched_setaffinity(pid, &chosen).map_err(failed)
    }

    /// The limit that is exceeded now, if one is.
    pub(crate) fn check(&mut self) -> Result<Option<LimitHit>, SandboxError> {
        if let Some(hit) = self.check_counters() {
            return Ok(Some(hit));
        }
        let began = Instant::now();
        if began < self.next_walk {
            return Ok(None);
        }
        let hit = self.check_folders()?;
        self.next_walk = Instant::now() + FOLDER_TICK.max(10 * began.elapsed());
        Ok(hit)
    }

    fn check_counters(&mut self) -> Option<LimitHit> {
        if let Some(group) = &self.group {
            let reading = group.read();
            if reading.memory_kills > 0 {
                return Some(LimitHit::Memory(self.limits.memory));
            }
            return self.cpu_time_hit(reading.user + reading.system);
        }
        self.look();
        // bubblewrap's own first process is not the command's.
        if self.seen.processes > self.limits.processes + 1 {
            return Some(LimitHit::Processes(self.limits.processes));
        }
        if self.seen.memory > self.limits.memory {
            return Some(LimitHit::Memory(self.limits.memory));
        }
        self.cpu_time_hit(self.seen.user + self.seen.system)
    }

    /// Where no group counts: takes a sample of what is alive.
    pub(crate) fn look(&mut self) {
        if self.group.is_some() {
            return;
        }
        if let Some(namespace) = &self.namespace {
            let now = namespace.sample();
            self.seen = Sample {
                processes: self.seen.processes.max(now.processes),
                memory: self.seen.memory.max(now.memory),
                user: self.seen.user.max(now.user),
                system: self.seen.system.max(now.system),
            };
        }
    }

    fn cpu_time_hit(&self, used: Duration) -> Option<LimitHit> {
        let limit = self.limits.cpu_time;
        (used > limit).then_some(LimitHit::CpuTime(limit))
    }

    /// Walks the folders and says which of their limits is exceeded.
    pub(crate) fn check_folders(&self) -> Result<Option<LimitHit>, SandboxError> {
        let (mut bytes, mut entries) = (0, 0);
        for folder in &self.folders {
            let left = self.limits.folder_files.saturating_sub(entries);
            let size = match folder.size(left) {
                Err(SandboxError::TooDeep { .. }) => {
                    return Ok(Some(LimitHit::FolderDepth(MAX_DEPTH)));
                }
                size => size?,
            };
            bytes += size.bytes;
            entries += size.entries;
        }
        if entries > self.limits.folder_files {
            return Ok(Some(LimitHit::FolderFiles(self.limits.folder_files)));
        }
        let exceeded = bytes + self.nameless_bytes() > self.limits.folder_bytes;
        Ok(exceeded.then_some(LimitHit::FolderBytes(self.limits.folder_bytes)))
    }

    fn nameless_bytes(&self) -> u64 {
        let device = self.folders.first().and_then(Folder::device);
        match (&self.namespace, device) {
            (Some(namespace), Some(device)) => namespace.nameless_bytes(device),
            _ => 0,
        }
    }

    /// What the command used altogether, and what the kernel refused it.
    pub(crate) fn total(&self) -> Reading {
        match &self.group {
            Some(group) => group.read(),
            None => Reading {
                user: self.seen.user,
                system: self.seen.system,
                peak_memory: self.seen.memory,
                memory_kills: u64::from(self.seen.memory > self.limits.memory),
                process_refusals: 0,
            },
        }
    }

    pub(crate) fn limits(&self) -> &Limits {
        &self.limits
    }
}

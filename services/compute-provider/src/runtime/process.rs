//! The process runtime: each attempt is an `oc-step` with a folder of its own.

use std::collections::BTreeMap;
use std::fs;
use std::io::Write;
use std::os::unix::fs::{DirBuilderExt, OpenOptionsExt};
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use async_trait::async_trait;
use oc_kernel::{Clock, Digest};
use oc_runner::Job;
use oc_sandbox::{LimitMeans, Report, Sandbox, remove_tree};
use serde::{Deserialize, Serialize};
use tokio::sync::{Notify, mpsc};

use super::keeper::{self, Running, Start};
use super::places::Places;
use super::{disk, protocol, tree};
use crate::domain::attempt::AttemptKey;
use crate::domain::resources::Resources;
use crate::domain::runtime::{AttemptEvent, AttemptSpec, Runtime, RuntimeError, SandboxReport};

/// The runner's program.
const RUNNER: &str = "oc-step";

/// Memory that the stacks of a runner's threads may take for each core: up to 8 threads of 2 MiB.
const STACKS_PER_CORE: u64 = 16 << 20;

/// How long a runner may take to stop by itself.
const STOP_LIMIT: Duration = Duration::from_secs(5);

/// How long the kernel may take to end what is killed.
const KILL_LIMIT: Duration = Duration::from_secs(30);

/// What an operator can set about running steps as processes.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct ProcessSettings {
    /// The program `oc-step`; empty: the one beside this program.
    pub runner: PathBuf,
    /// Most bytes on disk that the tools of one attempt may write; less where less is free.
    pub disk_bytes: u64,
    /// Bytes of memory that the runner of an attempt may have for itself, beside what its tools have: for the
    /// document, its values and what its steps said. The stacks of the threads that tend its tools come on top,
    /// 16 MiB a core.
    pub runner_memory_bytes: u64,
}

impl Default for ProcessSettings {
    fn default() -> Self {
        Self {
            runner: PathBuf::new(),
            disk_bytes: 20 << 30,
            runner_memory_bytes: 512 << 20,
        }
    }
}

/// Runs attempts as processes of this machine.
#[derive(Clone)]
pub struct ProcessRuntime(Arc<Inner>);

struct Inner {
    runner: PathBuf,
    disk_bytes: u64,
    runner_memory_bytes: u64,
    root: PathBuf,
    node: String,
    clock: Arc<dyn Clock>,
    sandbox: Mutex<Option<Report>>,
    running: Mutex<BTreeMap<AttemptKey, Slot>>,
    /// Tells that an attempt is no longer just starting.
    begun: Notify,
    sweeping: tokio::sync::Mutex<()>,
}

/// An attempt between the wish to start it and its end.
enum Slot {
    Starting,
    Running(Arc<Running>),
}

/// The places of one attempt.
struct Place {
    folder: PathBuf,
    job: PathBuf,
    log: PathBuf,
    /// The runner's own.
    work: PathBuf,
}

impl ProcessRuntime {
    /// A runtime that works below `root`, which is its own: whatever a former process left there is ended and
    /// removed. `node` is where this node's API is reached from this machine, for example
    /// `http://127.0.0.1:8080`.
    ///
    /// # Errors
    /// When the folder cannot be made, or what lies there not be removed.
    pub fn open(
        settings: &ProcessSettings,
        root: &Path,
        node: &str,
        clock: Arc<dyn Clock>,
    ) -> Result<Self, RuntimeError> {
        let mut private = fs::DirBuilder::new();
        private.recursive(true).mode(0o700);
        private
            .create(root)
            .map_err(|error| cannot("make", root, &error))?;
        let root = root
            .canonicalize()
            .map_err(|error| cannot("find", root, &error))?;
        if !tree::kill_sandboxes_of(&root, KILL_LIMIT) {
            return Err(RuntimeError::Failed(
                "a sandbox of a former process of this node cannot be killed".to_owned(),
            ));
        }
        for entry in fs::read_dir(&root).map_err(|error| cannot("read", &root, &error))? {
            let path = entry.map_err(|error| cannot("read", &root, &error))?.path();
            remove_tree(&path).map_err(|error| cannot("clean", &path, &error))?;
        }
        Ok(Self(Arc::new(Inner {
            runner: runner(settings),
            disk_bytes: settings.disk_bytes,
            runner_memory_bytes: settings.runner_memory_bytes,
            root,
            node: node.trim_end_matches('/').to_owned(),
            clock,
            sandbox: Mutex::default(),
            running: Mutex::default(),
            begun: Notify::new(),
            sweeping: tokio::sync::Mutex::default(),
        })))
    }

    fn lock(&self) -> MutexGuard<'_, BTreeMap<AttemptKey, Slot>> {
        self.0
            .running
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
    }

    /// The attempt, once it is under way; none where it does not run.
    async fn find(&self, attempt: &AttemptKey) -> Option<Arc<Running>> {
        loop {
            let begun = self.0.begun.notified();
            match self.lock().get(attempt) {
                Some(Slot::Running(running)) => return Some(Arc::clone(running)),
                Some(Slot::Starting) => {}
                None => return None,
            }
            begun.await;
        }
    }

    fn place(&self, attempt: &AttemptKey) -> Place {
        // Short, and without a partner's names in a path that tools see.
        let name = Digest::of(attempt.to_string().as_bytes()).to_string();
        let folder = self.0.root.join(&name[..16]);
        Place {
            job: folder.join("job.json"),
            log: folder.join("runner.log"),
            work: folder.join("attempt"),
            folder,
        }
    }

    /// Looks again until a sandbox is found, so that installing one needs no restart.
    fn look_for_sandbox(&self) -> Report {
        let mut found = self
            .0
            .sandbox
            .lock()
            .unwrap_or_else(PoisonError::into_inner);
        if let Some(report) = &*found {
            return report.clone();
        }
        let report = Sandbox::detect();
        if report.bubblewrap.is_some() {
            *found = Some(report.clone());
        }
        report
    }

    fn missing(&self, report: &Report) -> Option<String> {
        if report.bubblewrap.is_none() {
            return Some(report.why.join("; "));
        }
        let runner = &self.0.runner;
        (!runner.is_file()).then(|| {
            // Partners read the answer: where it should be is for this node's log.
            tracing::warn!(runner = %runner.display(), "the runner is not there");
            format!("the runner is not there: build or install {RUNNER}")
        })
    }

    fn prepare(&self, spec: &AttemptSpec) -> Result<Place, RuntimeError> {
        if let Some(missing) = self.missing(&self.look_for_sandbox()) {
            return Err(RuntimeError::Unsupported(missing));
        }
        let place = self.place(&spec.key);
        remove_tree(&place.folder).map_err(|error| cannot("clean", &place.folder, &error))?;
        let disk_bytes = disk::allowance(&self.0.root, self.0.disk_bytes, self.machine().cores)?;
        let mut private = fs::DirBuilder::new();
        private.mode(0o700);
        for folder in [&place.folder, &place.work] {
            private
                .create(folder)
                .map_err(|error| cannot("make", folder, &error))?;
        }
        let order = serde_json::from_str(&spec.job).map_err(|error| {
            RuntimeError::Failed(format!("the input object is no JSON object: {error}"))
        })?;
        let AttemptKey {
            fragment, attempt, ..
        } = spec.key;
        let job = Job {
            document: spec.document.clone(),
            order,
            inputs: spec.inputs.iter().map(protocol::input).collect(),
            limits: protocol::limits(&spec.limits, disk_bytes),
            node: format!(
                "{}/api/compute/v1/fragments/{fragment}/attempts/{attempt}",
                self.0.node
            ),
            folder: place.work.clone(),
        };
        let text = serde_json::to_vec(&job)
            .map_err(|error| RuntimeError::Failed(format!("write the job: {error}")))?;
        fs::OpenOptions::new()
            .write(true)
            .create_new(true)
            .mode(0o600)
            .open(&place.job)
            .and_then(|mut file| file.write_all(&text))
            .map_err(|error| cannot("write", &place.job, &error))?;
        Ok(place)
    }

    async fn begin(
        &self,
        spec: AttemptSpec,
        events: mpsc::Sender<AttemptEvent>,
    ) -> Result<(), RuntimeError> {
        let key = spec.key;
        let stacks = STACKS_PER_CORE.saturating_mul(u64::from(spec.limits.resources.cores));
        let memory = self.0.runner_memory_bytes.saturating_add(stacks);
        let runtime = self.clone();
        let (place, macaroon) = blocking(move || {
            let place = runtime.prepare(&spec)?;
            Ok((place, spec.macaroon))
        })
        .await?;
        let start = Start {
            program: self.0.runner.clone(),
            job: place.job,
            log: place.log,
            places: Places::of(&place.work),
            macaroon,
            memory,
            clock: Arc::clone(&self.0.clock),
            events,
        };
        let runtime = self.clone();
        let running = keeper::start(start, move || drop(runtime.lock().remove(&key))).await?;
        // A short attempt may be over before it is written down here.
        if let Some(slot) = self.lock().get_mut(&key) {
            *slot = Slot::Running(running);
        }
        Ok(())
    }
}

#[async_trait]
impl Runtime for ProcessRuntime {
    async fn sandbox(&self) -> SandboxReport {
        let runtime = self.clone();
        let looked = blocking(move || {
            let report = runtime.look_for_sandbox();
            Ok((runtime.missing(&report), report))
        });
        let Ok((missing, report)) = looked.await else {
            return SandboxReport {
                isolated: false,
                limits_by: "nothing".into(),
                containers: false,
                missing: Some("looking for the sandbox failed".into()),
            };
        };
        let limits_by = match report.limits {
            LimitMeans::CgroupV2 => "cgroup2",
            LimitMeans::CgroupV1 => "cgroup1",
            LimitMeans::Rlimits => "rlimit",
        };
        SandboxReport {
            isolated: missing.is_none(),
            limits_by: limits_by.into(),
            containers: false,
            missing,
        }
    }

    fn machine(&self) -> Resources {
        let cores = std::thread::available_parallelism().map_or(1, usize::from);
        let system = rustix::system::sysinfo();
        Resources {
            cores: u32::try_from(cores).unwrap_or(u32::MAX),
            memory_bytes: system.totalram.saturating_mul(u64::from(system.mem_unit)),
        }
    }

    async fn start(
        &self,
        spec: AttemptSpec,
        events: mpsc::Sender<AttemptEvent>,
    ) -> Result<(), RuntimeError> {
        let key = spec.key;
        {
            let mut running = self.lock();
            if running.contains_key(&key) {
                return Ok(());
            }
            running.insert(key, Slot::Starting);
        }
        let begun = self.begin(spec, events).await;
        if begun.is_err() {
            self.lock().remove(&key);
        }
        self.0.begun.notify_waiters();
        begun
    }

    async fn stop(&self, attempt: &AttemptKey) -> Result<(), RuntimeError> {
        let Some(running) = self.find(attempt).await else {
            return Ok(());
        };
        running.ask_to_stop();
        if running.has_ended_within(STOP_LIMIT).await {
            return Ok(());
        }
        tracing::warn!(%attempt, "the runner does not stop by itself and is killed");
        let doomed = Arc::clone(&running);
        let killed = blocking(move || Ok(doomed.kill(KILL_LIMIT))).await?;
        if killed && running.has_ended_within(KILL_LIMIT).await {
            return Ok(());
        }
        Err(RuntimeError::Failed(format!(
            "processes of {attempt} are still alive {} s after they were killed",
            KILL_LIMIT.as_secs()
        )))
    }

    async fn running(&self) -> Vec<AttemptKey> {
        self.lock().keys().copied().collect()
    }

    async fn sweep(&self, attempt: &AttemptKey) -> Result<(), RuntimeError> {
        if self.lock().contains_key(attempt) {
            return Err(RuntimeError::Failed(format!("{attempt} still runs")));
        }
        // The end of an attempt and its release may both come here, and two cannot take one tree apart.
        let _alone = self.0.sweeping.lock().await;
        let folder = self.place(attempt).folder;
        blocking(move || remove_tree(&folder).map_err(|error| cannot("remove", &folder, &error)))
            .await
    }
}

fn runner(settings: &ProcessSettings) -> PathBuf {
    if !settings.runner.as_os_str().is_empty() {
        return settings.runner.clone();
    }
    let own = std::env::current_exe().ok();
    own.and_then(|own| Some(own.parent()?.join(RUNNER)))
        .unwrap_or_else(|| RUNNER.into())
}

/// The path is for this node's log: the text goes to whoever the attempt is for.
fn cannot(what: &str, path: &Path, error: &dyn std::error::Error) -> RuntimeError {
    tracing::error!(path = %path.display(), %error, "cannot {what} a folder of attempts");
    let name = path.file_name().unwrap_or_default().display();
    RuntimeError::Failed(format!("this node cannot {what} `{name}`: {error}"))
}

async fn blocking<T: Send + 'static>(
    work: impl FnOnce() -> Result<T, RuntimeError> + Send + 'static,
) -> Result<T, RuntimeError> {
    let done = tokio::task::spawn_blocking(work).await;
    done.unwrap_or_else(|error| Err(RuntimeError::Failed(format!("a task was lost: {error}"))))
}

//! Starting tools. The engine describes a command completely; an [`Executor`] runs it, in a sandbox or
//! plainly.

mod process;

pub use process::ProcessExecutor;

use std::collections::BTreeMap;
use std::io;
use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

/// A wish that a run may end, shared by all who work on it.
#[derive(Debug, Clone, Default)]
pub struct Cancellation {
    own: Arc<AtomicBool>,
    parent: Option<Arc<AtomicBool>>,
}

impl Cancellation {
    /// Asks for the end.
    pub fn cancel(&self) {
        self.own.store(true, Ordering::SeqCst);
    }

    /// True once the end was asked for.
    pub fn is_cancelled(&self) -> bool {
        let asked = |flag: &Arc<AtomicBool>| flag.load(Ordering::SeqCst);
        asked(&self.own) || self.parent.as_ref().is_some_and(asked)
    }

    /// One that is cancelled with this one, or alone.
    pub(crate) fn child(&self) -> Self {
        Self {
            own: Arc::default(),
            parent: Some(Arc::clone(&self.own)),
        }
    }
}

/// A file or folder that the command must see at the same path as outside.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Bind {
    /// The absolute path.
    pub path: PathBuf,
    /// Whether the command may change it.
    pub writable: bool,
}

/// What a tool asks for (ResourceRequirement), after evaluation. Sizes are MiB.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Reservation {
    /// Cores.
    pub cores: f64,
    /// Memory.
    pub ram: f64,
    /// Room for temporary files.
    pub tmpdir: f64,
    /// Room for outputs.
    pub outdir: f64,
}

/// A command line with everything around it. All paths are absolute.
#[derive(Debug, Clone)]
pub struct ToolCommand {
    /// The way to the step in the workflow, for example `tiles/convert[3]`; empty for a lone tool.
    pub step: String,
    /// Program and arguments.
    pub argv: Vec<String>,
    /// The whole environment but `PATH`, which is the executor's affair.
    pub environment: BTreeMap<String, String>,
    /// Where it starts, which is also where it writes its outputs (`runtime.outdir`, `HOME`).
    pub work_folder: PathBuf,
    /// Where it may write temporary files (`runtime.tmpdir`, `TMPDIR`).
    pub temp_folder: PathBuf,
    /// Everything else it must see: the staged inputs and what the links among them lead to. A path may
    /// lie within an earlier one.
    pub binds: Vec<Bind>,
    /// File for standard input; nothing to read where there is none.
    pub stdin: Option<PathBuf>,
    /// File for standard output; it lies in the work folder or is a log of the engine.
    pub stdout: PathBuf,
    /// File for standard error; it lies in the work folder or is a log of the engine.
    pub stderr: PathBuf,
    /// What the tool asks for.
    pub resources: Reservation,
    /// How long it may run.
    pub time_limit: Option<Duration>,
    /// Whether the document requires the network; an executor may refuse it all the same.
    pub network: bool,
    /// Tells that it must end early.
    pub cancellation: Cancellation,
}

/// How a command ended.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum End {
    /// It left with this code.
    Exit(i32),
    /// A signal ended it.
    Signal(i32),
    /// Its time was up.
    TimeLimit,
    /// It went over a limit of the executor, which says which.
    Limit(String),
    /// It was cancelled.
    Cancelled,
}

/// What a command used.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct ToolUsage {
    /// From start to end.
    pub wall: Duration,
    /// Time on processors, where the executor measures it.
    pub cpu: Option<Duration>,
    /// Largest memory in bytes, where the executor measures it.
    pub peak_memory: Option<u64>,
}

/// How a command ended and what it used.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ToolOutcome {
    /// How it ended.
    pub end: End,
    /// What it used.
    pub usage: ToolUsage,
}

/// Runs commands. Several threads call it at once.
pub trait Executor: Send + Sync {
    /// Runs a command to its end. The folders and the files for its streams exist or can be created.
    ///
    /// # Errors
    /// When the command cannot be started; one that starts and fails is an outcome.
    fn run(&self, command: &ToolCommand) -> io::Result<ToolOutcome>;
}

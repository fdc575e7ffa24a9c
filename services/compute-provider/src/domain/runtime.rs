//! What runs an admitted attempt, as this service sees it. The driver (processes here, Argo elsewhere)
//! knows how; this module knows neither processes nor clusters.

use async_trait::async_trait;
use jiff::Timestamp;
use oc_kernel::{Classify, Digest, GrantId, Kind, LeaseId, Name, ObjectKey, OrgId};
use oc_workflow::words;
use serde::{Deserialize, Serialize};
use tokio::sync::mpsc;

use super::attempt::AttemptKey;
use super::resources::Resources;

/// Starts and stops attempts.
///
/// Whatever an attempt started ends with it: when `stop` returns, and when this process dies, none of
/// its processes is left.
#[async_trait]
pub trait Runtime: Send + Sync + 'static {
    /// What isolation this machine gives, found out by trying.
    async fn sandbox(&self) -> SandboxReport;

    /// What the machines that attempts run on have in all.
    fn machine(&self) -> Resources;

    /// Starts an attempt and returns once it is on its way; `events` then carries what happens, in
    /// order, and closes after [`Event::Ended`]. An attempt that runs already is left alone.
    ///
    /// # Errors
    /// When nothing was started.
    async fn start(
        &self,
        spec: AttemptSpec,
        events: mpsc::Sender<AttemptEvent>,
    ) -> Result<(), RuntimeError>;

    /// Kills an attempt and returns when none of its processes is left. One that does not run is fine.
    ///
    /// # Errors
    /// When something of it may still run.
    async fn stop(&self, attempt: &AttemptKey) -> Result<(), RuntimeError>;

    /// The attempts that run now.
    async fn running(&self) -> Vec<AttemptKey>;

    /// Removes what an ended attempt left on disk.
    ///
    /// # Errors
    /// When something could not be removed.
    async fn sweep(&self, attempt: &AttemptKey) -> Result<(), RuntimeError>;
}

/// Why a runtime did not do what it was asked.
#[derive(Debug, thiserror::Error)]
pub enum RuntimeError {
    /// The sandbox or a program that the runner needs is missing.
    #[error("this machine cannot run it: {0}")]
    Unsupported(String),
    /// Nothing of the disk is left for attempts.
    #[error("the disk of this machine is full: {} are free and {} stays free", words::bytes(*free), words::bytes(*reserve))]
    DiskFull {
        /// Bytes that are free.
        free: u64,
        /// Bytes that stay free whatever attempts write.
        reserve: u64,
    },
    /// A process could not be started, reached or ended.
    #[error("the runtime failed: {0}")]
    Failed(String),
}

impl Classify for RuntimeError {
    fn kind(&self) -> Kind {
        match self {
            RuntimeError::Unsupported(_) => Kind::Unsupported,
            RuntimeError::DiskFull { .. } => Kind::Exhausted,
            RuntimeError::Failed(_) => Kind::Internal,
        }
    }
}

/// What isolation a machine gives to a tool.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct SandboxReport {
    /// Tools run with every namespace unshared and no network.
    pub isolated: bool,
    /// How limits are enforced: `cgroup2`, `cgroup1` or `rlimit`.
    pub limits_by: String,
    /// Images can be run, so a DockerRequirement can be met.
    pub containers: bool,
    /// What is missing and how to mend it, where something is.
    pub missing: Option<String>,
}

/// Everything a runtime must know to run one attempt.
#[derive(Debug, Clone)]
pub struct AttemptSpec {
    /// Which attempt.
    pub key: AttemptKey,
    /// Its right to capacity.
    pub lease: LeaseId,
    /// The grant it runs under; none for the organisation's own work.
    pub grant: Option<GrantId>,
    /// The fragment: one self-contained CWL v1.2 document, canonical JSON.
    pub document: String,
    /// Its CWL input object in JSON. A File has the location `input:<name>` with the name of one of `inputs`.
    pub job: String,
    /// The objects it may read.
    pub inputs: Vec<InputObject>,
    /// Where its outputs go.
    pub output: OutputPrefix,
    /// What it may use.
    pub limits: AttemptLimits,
    /// What it presents at the object routes: opens its own inputs and its own output prefix.
    pub macaroon: String,
}

/// What an attempt may use, all hard.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct AttemptLimits {
    /// Cores and memory of all its processes together.
    pub resources: Resources,
    /// Milliseconds from start to end.
    pub wall_ms: u64,
    /// Bytes of all its outputs together.
    pub output_bytes: u64,
    /// Bytes of log kept and handed out.
    pub log_bytes: u64,
}

/// An object an attempt reads, named by owner and digest, never by a URL.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct InputObject {
    /// Short name within the attempt.
    pub name: Name,
    /// The file name the tool sees.
    pub basename: String,
    /// Whose object it is.
    pub owner: OrgId,
    /// Which role of the owner keeps it.
    pub role: Role,
    /// Its key at the owner.
    pub object: ObjectKey,
    /// The data reservation that holds it; none for objects of a storage offer.
    pub reservation: Option<String>,
    /// Digest of its bytes.
    pub sha256: Digest,
    /// Its length in bytes.
    pub length: u64,
}

/// Who serves an object at its owner.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Role {
    /// A data provider.
    Data,
    /// The storage offers.
    Objects,
}

impl Role {
    /// The role's name in an object reference.
    pub const fn as_str(self) -> &'static str {
        match self {
            Role::Data => "data",
            Role::Objects => "objects",
        }
    }
}

/// The write-once prefix that takes an attempt's outputs.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct OutputPrefix {
    /// Whose storage.
    pub owner: OrgId,
    /// The owner's storage listing; none for the workspace of the run at its owner.
    pub listing: Option<Name>,
    /// The prefix; every output's key lies below it.
    pub prefix: ObjectKey,
}

/// Something that happened to a running attempt.
#[derive(Debug, Clone)]
pub struct AttemptEvent {
    /// When, by this machine's clock.
    pub at: Timestamp,
    /// What.
    pub event: Event,
}

/// What can happen to a running attempt.
#[derive(Debug, Clone)]
pub enum Event {
    /// The runner went on to its next part.
    Phase(Phase),
    /// One step of the fragment began or ended.
    Step(StepEvent),
    /// A line of log.
    Log(LogLine),
    /// It ended; nothing follows.
    Ended(AttemptReport),
}

/// The parts of a runner's work, in their order.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Phase {
    /// Inputs are being fetched.
    Staging,
    /// Tools run.
    Running,
    /// Outputs are being stored.
    Storing,
}

/// The begin or the end of one step; a scattered step has many of both.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct StepEvent {
    /// The step's CWL id.
    pub step: String,
    /// The exit code at the end; none at the begin.
    pub exit_code: Option<i32>,
}

/// A line of a tool's output.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct LogLine {
    /// The step's CWL id; empty for the runner's own lines.
    pub step: String,
    /// From standard error.
    pub stderr: bool,
    /// The line without its end, at most 8 KiB, invalid UTF-8 replaced.
    pub text: String,
}

/// How an attempt ended and what it used.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct AttemptReport {
    /// The end.
    pub end: End,
    /// What it used, as measured by the runner.
    pub used: Measured,
}

/// How an attempt ended.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "state", rename_all = "kebab-case")]
pub enum End {
    /// Every step ended well.
    Succeeded {
        /// The CWL output object in JSON; each File's location is `output:<name>` with the name it was
        /// uploaded by.
        outputs: String,
    },
    /// A step or the runner failed.
    Failed {
        /// The step, or empty when it was the runner.
        step: String,
        /// One sentence for a person.
        message: String,
        /// The tool's exit code, where it has one.
        exit_code: Option<i32>,
        /// What kind of failure it was, a word of docs/protocol.md, section 11; empty for one of the tool's own.
        #[serde(default)]
        code: String,
    },
    /// The runner was stopped from outside.
    Stopped,
}

/// What an attempt used, as its runner measured it.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Measured {
    /// Milliseconds from start to end.
    pub wall_ms: u64,
    /// Milliseconds of processor time of all its processes.
    pub cpu_ms: u64,
    /// The most memory all its processes had at one time, in bytes.
    pub peak_memory_bytes: u64,
    /// Bytes read from input objects.
    pub bytes_in: u64,
    /// Bytes written to outputs.
    pub bytes_out: u64,
}

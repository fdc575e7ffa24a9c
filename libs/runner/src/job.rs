//! What a runner is told to do: one JSON document, written by the node that starts it.

use std::path::PathBuf;
use std::time::Duration;

use oc_kernel::Name;
use serde::{Deserialize, Serialize};

/// One attempt at one fragment.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Job {
    /// The fragment: one self-contained CWL v1.2 document.
    pub document: String,
    /// Its CWL input object. A File's location is `input:<name>` with the name of one of `inputs`.
    pub order: serde_json::Map<String, serde_json::Value>,
    /// The objects it reads.
    pub inputs: Vec<Input>,
    /// What it may use.
    pub limits: Limits,
    /// Where the node serves this attempt's objects: `<url>/inputs/..` and `<url>/uploads/..`.
    pub node: String,
    /// A folder of its own, which exists and is empty. The runner leaves it to the node to remove.
    pub folder: PathBuf,
}

/// An object that is fetched before the first tool starts.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Input {
    /// Its name within the attempt, also in the route.
    pub name: Name,
    /// The file name the tool sees.
    pub basename: String,
    /// Digest of its bytes, 64 hexadecimal digits.
    pub sha256: String,
    /// Its length in bytes.
    pub length: u64,
}

/// What an attempt may use, all hard.
#[derive(Debug, Clone, Copy, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Limits {
    /// Cores for all its tools together.
    pub cores: u32,
    /// Bytes of memory for all its tools together.
    pub memory_bytes: u64,
    /// Milliseconds from start to end, staging and storing included.
    pub wall_ms: u64,
    /// Bytes of all its outputs together.
    pub output_bytes: u64,
    /// Bytes of log handed to the node.
    pub log_bytes: u64,
    /// Bytes on disk for what its tools write.
    pub disk_bytes: u64,
}

impl Limits {
    /// From start to end.
    pub fn wall(&self) -> Duration {
        Duration::from_millis(self.wall_ms)
    }
}

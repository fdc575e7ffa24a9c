//! How much a command may use, and which of it was too much.

use std::fmt;
use std::time::Duration;

use serde::{Deserialize, Serialize};

/// Upper bounds for one command and everything it starts. Sizes are bytes.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Limits {
    /// From the start of the command, by the monotonic clock.
    pub wall: Duration,
    /// User and system time of all its processes together.
    pub cpu_time: Duration,
    /// Thousandths of a core that may be busy at once.
    pub millicores: u32,
    /// Memory of all its processes together, the contents of `/tmp` and `/dev/shm` included.
    pub memory: u64,
    /// Processes and threads alive at once.
    pub processes: u32,
    /// Open files of one process.
    pub open_files: u32,
    /// Size of one file.
    pub file_bytes: u64,
    /// Sum of the writable folders, counted in blocks on disk.
    pub folder_bytes: u64,
    /// Files and folders in the writable folders.
    pub folder_files: u64,
    /// Size of `/tmp`, and again of `/dev/shm`.
    pub tmp_bytes: u64,
    /// Bytes printed to standard output and error where these are not files.
    pub printed_bytes: u64,
}

impl Default for Limits {
    /// Enough for a tool that handles one satellite image.
    fn default() -> Self {
        const MIB: u64 = 1024 * 1024;
        Self {
            wall: Duration::from_secs(3600),
            cpu_time: Duration::from_secs(4 * 3600),
            millicores: 1000,
            memory: 1024 * MIB,
            processes: 256,
            open_files: 1024,
            file_bytes: 4096 * MIB,
            folder_bytes: 8192 * MIB,
            folder_files: 100_000,
            tmp_bytes: 256 * MIB,
            printed_bytes: 64 * MIB,
        }
    }
}

/// The limit that ended a command, with its number.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum LimitHit {
    /// It ran too long.
    Wall(Duration),
    /// It computed too long.
    CpuTime(Duration),
    /// It wanted more memory.
    Memory(u64),
    /// It wanted more processes.
    Processes(u32),
    /// It made too large a file.
    FileBytes(u64),
    /// Its folders grew too large.
    FolderBytes(u64),
    /// It made too many files.
    FolderFiles(u64),
    /// It nested its folders too deep.
    FolderDepth(usize),
    /// It printed too much.
    PrintedBytes(u64),
}

impl fmt::Display for LimitHit {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Wall(limit) => write!(f, "the time limit of {} s", limit.as_secs_f64()),
            Self::CpuTime(limit) => write!(f, "the cpu time limit of {} s", limit.as_secs_f64()),
            Self::Memory(limit) => write!(f, "the memory limit of {limit} bytes"),
            Self::Processes(limit) => write!(f, "the limit of {limit} processes"),
            Self::FileBytes(limit) => write!(f, "the file size limit of {limit} bytes"),
            Self::FolderBytes(limit) => write!(f, "the folder size limit of {limit} bytes"),
            Self::FolderFiles(limit) => write!(f, "the limit of {limit} files"),
            Self::FolderDepth(limit) => write!(f, "the limit of {limit} nested folders"),
            Self::PrintedBytes(limit) => write!(f, "the limit of {limit} printed bytes"),
        }
    }
}

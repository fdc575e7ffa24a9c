//! Runs one command of someone else's under bubblewrap and limits, and tells how it ended.
//!
//! What runs inside sees the system's programs read-only, the folders it is given, a small `/tmp` and
//! nothing else: no network, no other process, no capability, no secret of the node. It is limited in
//! time, cpu, memory, processes, files and printed bytes, and it dies with whoever started it.
//!
//! This crate does not know what it runs: no CWL, no grant, no service. It is synchronous; a caller
//! with an async runtime gives it a thread. It is the only crate in which `unsafe` may be excepted.

mod arguments;
mod cancel;
mod ceiling;
mod cgroup;
mod command;
mod detect;
mod error;
mod folder;
mod launch;
mod limits;
mod meter;
mod namespace;
mod outcome;
mod seccomp;
mod streams;
mod supervise;

pub use cancel::Cancel;
pub use command::{Command, Input, Mount, Output};
pub use detect::{LimitMeans, Report, Sandbox};
pub use error::SandboxError;
pub use folder::{Folder, FolderSize, Removed, remove_tree};
pub use limits::{LimitHit, Limits};
pub use outcome::{End, Outcome, Usage};
pub use supervise::Child;

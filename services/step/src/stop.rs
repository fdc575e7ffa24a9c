//! One switch for everything an attempt has under way: transfers, the engine, and sandboxes.

use std::io;
use std::sync::mpsc::{RecvTimeoutError, Sender, channel};
use std::time::Instant;

use tokio_util::sync::CancellationToken;

/// Ends an attempt early. Clones are the same switch.
#[derive(Debug, Clone)]
pub struct Stop {
    pub(crate) transfers: CancellationToken,
    pub(crate) engine: oc_cwl::Cancellation,
    pub(crate) sandboxes: oc_sandbox::Cancel,
}

/// Ends the engine and its sandboxes at a time, unless it is dropped before.
pub(crate) struct Alarm {
    _waits: Sender<()>,
}

impl Stop {
    /// A switch that is off.
    ///
    /// # Errors
    /// When the process has no file descriptor left.
    pub fn new() -> io::Result<Self> {
        Ok(Self {
            transfers: CancellationToken::new(),
            engine: oc_cwl::Cancellation::default(),
            sandboxes: oc_sandbox::Cancel::new()?,
        })
    }

    /// Switches it on.
    pub fn stop(&self) {
        self.transfers.cancel();
        self.engine.cancel();
        self.sandboxes.cancel();
    }

    /// True once it was switched on.
    pub fn is_stopped(&self) -> bool {
        self.transfers.is_cancelled()
    }

    pub(crate) fn end_tools_at(&self, deadline: Instant) -> io::Result<Alarm> {
        let (waits, ring) = channel();
        let (engine, sandboxes) = (self.engine.clone(), self.sandboxes.clone());
        std::thread::Builder::new()
            .name("deadline".into())
            .spawn(move || {
                let left = deadline.saturating_duration_since(Instant::now());
                if let Err(RecvTimeoutError::Timeout) = ring.recv_timeout(left) {
                    engine.cancel();
                    sandboxes.cancel();
                }
            })?;
        Ok(Alarm { _waits: waits })
    }
}

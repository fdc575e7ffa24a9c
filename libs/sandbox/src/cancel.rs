//! Ending a command from another thread.

use std::io::{self, PipeReader, PipeWriter};
use std::os::fd::{AsFd, BorrowedFd};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, PoisonError};

/// A switch that ends every command started with it or with a clone of it. It cannot be switched back.
#[derive(Debug, Clone)]
pub struct Cancel(Arc<Inner>);

#[derive(Debug)]
struct Inner {
    cancelled: AtomicBool,
    // Closing the writer makes the reader readable for every command that waits on it, at once.
    writer: Mutex<Option<PipeWriter>>,
    reader: PipeReader,
}

impl Cancel {
    /// A switch that is off.
    ///
    /// # Errors
    /// When the process has no file descriptor left.
    pub fn new() -> io::Result<Self> {
        let (reader, writer) = io::pipe()?;
        Ok(Self(Arc::new(Inner {
            cancelled: AtomicBool::new(false),
            writer: Mutex::new(Some(writer)),
            reader,
        })))
    }

    /// Switches it on.
    pub fn cancel(&self) {
        self.0.cancelled.store(true, Ordering::Release);
        let mut writer = self.0.writer.lock().unwrap_or_else(PoisonError::into_inner);
        drop(writer.take());
    }

    /// True once it was switched on.
    pub fn is_cancelled(&self) -> bool {
        self.0.cancelled.load(Ordering::Acquire)
    }

    pub(crate) fn as_fd(&self) -> BorrowedFd<'_> {
        self.0.reader.as_fd()
    }
}

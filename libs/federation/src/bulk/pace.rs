//! Cuts transfers that crawl, which a limit on silence alone would let live for ever.

use std::future::Future;
use std::io;

use tokio::time::{Instant, timeout};

use super::{BulkError, Tempo};

pub(super) struct Pace {
    tempo: Tempo,
    window: Instant,
    in_window: u64,
    done: u64,
}

impl Pace {
    pub(super) fn new(tempo: Tempo) -> Self {
        Self {
            tempo,
            window: Instant::now(),
            in_window: 0,
            done: 0,
        }
    }

    pub(super) const fn done(&self) -> u64 {
        self.done
    }

    /// One step of the connection's work, which may not take longer than the tempo allows.
    pub(super) async fn step<T>(
        &self,
        work: impl Future<Output = io::Result<T>>,
    ) -> Result<T, BulkError> {
        match timeout(self.tempo.idle, work).await {
            Ok(Ok(value)) => Ok(value),
            Ok(Err(error)) if error.kind() == io::ErrorKind::InvalidData => {
                Err(BulkError::Protocol {
                    what: error.to_string(),
                })
            }
            Ok(Err(error)) => Err(BulkError::Cut {
                done: self.done,
                cause: error.to_string(),
            }),
            Err(_) => Err(BulkError::Stalled { done: self.done }),
        }
    }

    /// Counts what passed.
    pub(super) fn passed(&mut self, bytes: usize) -> Result<(), BulkError> {
        self.passed_at(bytes, Instant::now())
    }

    fn passed_at(&mut self, bytes: usize, now: Instant) -> Result<(), BulkError> {
        self.done += bytes as u64;
        self.in_window += bytes as u64;
        let window = self.tempo.idle * 4;
        let elapsed = now.saturating_duration_since(self.window);
        if elapsed < window {
            return Ok(());
        }
        if self.in_window < self.tempo.slowest.saturating_mul(elapsed.as_secs()) {
            return Err(BulkError::Stalled { done: self.done });
        }
        self.window = now;
        self.in_window = 0;
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    #[test]
    fn a_transfer_that_crawls_is_cut_though_it_never_pauses() {
        let mut pace = Pace::new(Tempo {
            idle: Duration::from_secs(1),
            slowest: 100,
        });
        let step = |count: u32| pace.window + count * Duration::from_millis(200);
        let times: Vec<_> = (1..50).map(step).collect();
        let cut = times.into_iter().find_map(|at| pace.passed_at(1, at).err());
        assert!(
            matches!(cut, Some(BulkError::Stalled { done: 20 })),
            "{cut:?}"
        );
    }
}

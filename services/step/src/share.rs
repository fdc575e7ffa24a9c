//! Sharing an attempt's cores and memory among the tools that run side by side.

use std::sync::{Condvar, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

/// How often a tool that waits for its share looks whether it is still wanted.
const GLANCE: Duration = Duration::from_millis(100);

/// Cores in thousandths, and bytes of memory.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Share {
    /// Thousandths of a core.
    pub(crate) millicores: u32,
    /// Bytes.
    pub(crate) memory: u64,
}

/// What an attempt has, and how much of it is free.
#[derive(Debug)]
pub(crate) struct Shares {
    all: Share,
    lanes: u32,
    free: Mutex<Share>,
    returned: Condvar,
}

/// A share in use; dropping it returns it.
#[derive(Debug)]
pub(crate) struct Taken<'s> {
    shares: &'s Shares,
    share: Share,
}

impl Shares {
    /// Shares of `all` for at most `lanes` tools at once. A tool alone gets all of it.
    pub(crate) fn new(all: Share, lanes: u32) -> Self {
        Self {
            all,
            lanes: lanes.max(1),
            free: Mutex::new(all),
            returned: Condvar::new(),
        }
    }

    /// Waits for a share that is at least what the tool asks for. None when it is not wanted any more.
    ///
    /// # Errors
    /// When the tool asks for more than there is, with both numbers.
    pub(crate) fn take(
        &self,
        asked: Share,
        is_wanted: impl Fn() -> bool,
    ) -> Result<Option<Taken<'_>>, String> {
        if asked.millicores > self.all.millicores {
            let [asked, has] = [asked, self.all].map(|share| f64::from(share.millicores) / 1000.0);
            return Err(format!(
                "it asks for {asked} cores and the attempt has {has}"
            ));
        }
        if asked.memory > self.all.memory {
            let (asked, has) = (asked.memory, self.all.memory);
            return Err(format!(
                "it asks for {asked} bytes of memory and the attempt has {has}"
            ));
        }
        let share = Share {
            millicores: asked.millicores.max(self.all.millicores / self.lanes),
            memory: asked.memory.max(self.all.memory / u64::from(self.lanes)),
        };
        let mut free = self.lock();
        while free.millicores < share.millicores || free.memory < share.memory {
            if !is_wanted() {
                return Ok(None);
            }
            let waited = self.returned.wait_timeout(free, GLANCE);
            free = waited.unwrap_or_else(PoisonError::into_inner).0;
        }
        free.millicores -= share.millicores;
        free.memory -= share.memory;
        Ok(Some(Taken {
            shares: self,
            share,
        }))
    }

    fn lock(&self) -> MutexGuard<'_, Share> {
        self.free.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Taken<'_> {
    /// How much it is.
    pub(crate) fn share(&self) -> Share {
        self.share
    }
}

impl Drop for Taken<'_> {
    fn drop(&mut self) {
        let mut free = self.shares.lock();
        free.millicores += self.share.millicores;
        free.memory += self.share.memory;
        self.shares.returned.notify_all();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const ALL: Share = Share {
        millicores: 4000,
        memory: 400,
    };

    fn ask(millicores: u32, memory: u64) -> Share {
        Share { millicores, memory }
    }

    #[test]
    fn a_tool_alone_has_everything_and_several_their_part() {
        let alone = Shares::new(ALL, 1);
        let taken = alone.take(ask(1000, 10), || true).unwrap().unwrap();
        assert_eq!(taken.share(), ALL);
        let four = Shares::new(ALL, 4);
        let taken = four.take(ask(1000, 10), || true).unwrap().unwrap();
        assert_eq!(taken.share(), ask(1000, 100));
    }

    #[test]
    fn a_tool_waits_until_its_share_is_returned() {
        let shares = Shares::new(ALL, 4);
        let large = shares.take(ask(1000, 350), || true).unwrap().unwrap();
        assert!(shares.take(ask(1000, 10), || false).unwrap().is_none());
        std::thread::scope(|scope| {
            let waiting = scope.spawn(|| shares.take(ask(1000, 10), || true).unwrap().is_some());
            drop(large);
            assert!(waiting.join().unwrap());
        });
        assert_eq!(*shares.lock(), ALL);
    }

    #[test]
    fn more_than_there_is_is_refused_with_both_numbers() {
        let shares = Shares::new(ALL, 4);
        let error = shares.take(ask(8000, 10), || true).unwrap_err();
        assert_eq!(error, "it asks for 8 cores and the attempt has 4");
        let error = shares.take(ask(1000, 500), || true).unwrap_err();
        assert_eq!(
            error,
            "it asks for 500 bytes of memory and the attempt has 400"
        );
    }
}

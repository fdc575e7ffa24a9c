//! The runs that are being driven: how to speak to them, and how to hear that they have news.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use oc_kernel::RunId;
use tokio::sync::{mpsc, watch};

use crate::driver::Word;

/// Words to one run that wait to be taken in.
const WORDS: usize = 16;

/// Runs by id.
#[derive(Clone, Default)]
pub(crate) struct Hub(Arc<Mutex<BTreeMap<RunId, Line>>>);

struct Line {
    words: mpsc::Sender<Word>,
    news: watch::Sender<u64>,
}

impl Hub {
    /// Opens a line to a run that is about to be driven; none where it is driven already, or where
    /// `most` runs are.
    pub(crate) fn open(&self, run: RunId, most: usize) -> Option<mpsc::Receiver<Word>> {
        let mut lines = self.lock();
        if lines.contains_key(&run) || lines.len() >= most {
            return None;
        }
        let (words, receiver) = mpsc::channel(WORDS);
        let (news, _) = watch::channel(0);
        lines.insert(run, Line { words, news });
        Some(receiver)
    }

    /// Closes the line of a run that is not driven any more.
    pub(crate) fn close(&self, run: RunId) {
        self.lock().remove(&run);
    }

    /// Runs that are driven.
    pub(crate) fn count(&self) -> usize {
        self.lock().len()
    }

    /// The way to speak to a run.
    pub(crate) fn words(&self, run: RunId) -> Option<mpsc::Sender<Word>> {
        self.lock().get(&run).map(|line| line.words.clone())
    }

    /// Says that a run has events up to a number.
    pub(crate) fn notify(&self, run: RunId, number: u64) {
        if let Some(line) = self.lock().get(&run) {
            line.news.send_replace(number);
        }
    }

    /// Changes whenever a run has news; ends when it is not driven any more.
    pub(crate) fn news(&self, run: RunId) -> Option<watch::Receiver<u64>> {
        self.lock().get(&run).map(|line| line.news.subscribe())
    }

    fn lock(&self) -> MutexGuard<'_, BTreeMap<RunId, Line>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

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
pub(crate) struct Hub(Arc<Lines>);

#[derive(Default)]
struct Lines {
    lines: Mutex<BTreeMap<RunId, Line>>,
    /// How many lines were ever opened.
    opened: watch::Sender<u64>,
}

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
        self.0.opened.send_modify(|number| *number += 1);
        Some(receiver)
    }

    /// Changes whenever a line is opened, to any run.
    pub(crate) fn opened(&self) -> watch::Receiver<u64> {
        self.0.opened.subscribe()
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
        self.0.lines.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use futures::StreamExt as _;
    use oc_proto::pipeline::v1::WatchRunResponse;
    use oc_service::access::Principal;
    use oc_workflow::plan::Access;

    use super::*;
    use crate::documents::{Batch, batch_key};
    use crate::orchestrator::Orchestrator;
    use crate::orchestrator::tests::{Desk, document_with};
    use crate::settings::Settings;

    #[tokio::test]
    async fn whoever_watches_a_run_before_it_is_driven_hears_its_first_news_at_once() {
        let context = Desk::context(Settings::default(), |_| ()).await;
        let (hub, document) = (Hub::default(), document_with(Access::Own));
        let run = document.run.id();
        let runs = &context.shelf.runs;
        runs.create(&run.to_string(), &document, vec![])
            .await
            .unwrap();
        let (begin, _beginnings) = mpsc::channel(1);
        let orchestrator = Orchestrator::new(context.clone(), hub.clone(), begin);
        let caller = Principal::Service("test".to_owned());
        let mut events = orchestrator
            .watch(&caller, &run.to_string(), 0)
            .await
            .unwrap();
        let early = tokio::time::timeout(Duration::from_millis(50), events.next()).await;
        assert!(early.is_err(), "nothing has happened: {early:?}");

        let _words = hub.open(run, 1).unwrap();
        let happened = WatchRunResponse {
            number: 1,
            ..WatchRunResponse::default()
        };
        let batch = Batch {
            events: vec![happened],
            taken: None,
        };
        let stored = &context.shelf.events;
        stored
            .create(&batch_key(run, 1), &batch, vec![])
            .await
            .unwrap();
        hub.notify(run, 1);
        let heard = tokio::time::timeout(Duration::from_secs(2), events.next()).await;
        assert_eq!(heard.expect("it does not wait").unwrap().number, 1);
    }
}

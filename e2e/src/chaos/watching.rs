//! Looks at both organisations again and again while a plan is played: what their ledgers say, and what really runs.

use std::sync::Arc;
use std::time::{Duration, Instant};

use tokio::sync::oneshot;
use tokio::task::JoinHandle;

use super::folders::{Ledger, ledgers};
use super::organisation::{Standing, State};
use super::processes::{Processes, look};
use super::stage::Stage;
use super::story::Marks;

/// How often.
const STEP: Duration = Duration::from_millis(100);

/// One look at one organisation.
#[derive(Debug, Clone)]
pub(super) struct Sample {
    pub(super) at: Instant,
    /// Whether its process ran then, and since when.
    pub(super) standing: Standing,
    /// Its ledgers; none while its process does not run, or begins to.
    pub(super) ledgers: Option<Vec<Ledger>>,
    /// What ran before the ledgers were read and still did afterwards.
    pub(super) processes: Processes,
}

/// Somebody who looks.
pub(super) struct Watcher {
    stop: oneshot::Sender<()>,
    looking: JoinHandle<[Vec<Sample>; 2]>,
}

impl Watcher {
    /// Begins.
    pub(super) fn begin(stage: Arc<Stage>, marks: Marks) -> Self {
        let (stop, mut stopped) = oneshot::channel();
        let looking = tokio::spawn(async move {
            let mut samples = [Vec::new(), Vec::new()];
            while stopped
                .try_recv()
                .is_err_and(|e| e == oneshot::error::TryRecvError::Empty)
            {
                for (samples, sample) in samples.iter_mut().zip(samples_of(&stage, &marks)) {
                    samples.push(sample);
                }
                tokio::time::sleep(STEP).await;
            }
            samples
        });
        Self { stop, looking }
    }

    /// Ends; what was seen at North, and at South.
    pub(super) async fn end(self) -> anyhow::Result<[Vec<Sample>; 2]> {
        let _ = self.stop.send(());
        Ok(self.looking.await?)
    }
}

fn samples_of(stage: &Stage, marks: &Marks) -> [Sample; 2] {
    let organisations = [&stage.north, &stage.south];
    let folders = organisations.map(|organisation| organisation.data());
    let before = organisations.map(|organisation| organisation.standing());
    let ran = look(folders, marks);
    let read = organisations.map(|organisation| {
        let up = organisation.standing().state == State::Up;
        up.then(|| ledgers(organisation.data()).ok()).flatten()
    });
    let runs = look(folders, marks);
    let mut samples = ran.into_iter().zip(runs).zip(before.into_iter().zip(read));
    [samples.next(), samples.next()].map(|sample| {
        let ((ran, runs), (standing, ledgers)) =
            sample.unwrap_or_else(|| unreachable!("two of each"));
        Sample {
            at: Instant::now(),
            standing,
            ledgers,
            processes: Processes {
                attempts: ran.attempts.intersection(&runs.attempts).cloned().collect(),
                tools: ran.tools.min(runs.tools),
            },
        }
    })
}

/// A sample of a node that is up, so many seconds after the first.
#[cfg(test)]
pub(super) fn at_second(second: u64, ledgers: &[Ledger], running: &[&str]) -> Sample {
    static FIRST: std::sync::OnceLock<Instant> = std::sync::OnceLock::new();
    Sample {
        at: *FIRST.get_or_init(Instant::now) + Duration::from_secs(second),
        standing: Standing {
            state: State::Up,
            lasts: Duration::from_secs(60),
        },
        ledgers: Some(ledgers.to_vec()),
        processes: Processes {
            attempts: running.iter().map(|&folder| folder.to_owned()).collect(),
            tools: running.len(),
        },
    }
}

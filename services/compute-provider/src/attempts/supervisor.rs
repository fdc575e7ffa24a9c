//! The worker that makes leases and processes the same: starts what is queued, kills what may not run, settles
//! what has ended. What it does follows from the ledgers alone, so it can be interrupted anywhere.

use std::collections::BTreeSet;
use std::time::Duration;

use futures::future::join_all;
use oc_kernel::{Classify as _, Code, Kind, LeaseId, Name};
use tokio::sync::mpsc;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

use crate::documents::{Attempt, Payload, attempt_key};
use crate::domain::attempt::AttemptKey;
use crate::domain::ledger::{Command, Ledger, StopCause};
use crate::domain::runtime::{AttemptLimits, AttemptReport, AttemptSpec, End, Measured};
use crate::domain::supervise::{Action, orphans, supervise};
use crate::error::Error;
use crate::provider::Provider;
use crate::tokens::Opens;

/// What a runner gets beyond the end of its authority. Until then the provider itself has ended the attempt and knows
/// why; the runner's own limit stands in for a provider that is gone.
const BACKSTOP_MS: u64 = 2_000;
/// How often the supervisor looks without being woken: it bounds how late a lost lease is seen.
const PAUSE: Duration = Duration::from_millis(250);
/// How long one kill may take before the others go on.
const LONGEST_KILL: Duration = Duration::from_secs(5);
/// Settled entries that may lie in a ledger before they are moved out between requests.
const SETTLED: usize = 32;
/// Events of one attempt that wait to be taken down.
const EVENTS: usize = 256;

impl Provider {
    /// Supervises until it is stopped, and then stops what runs.
    pub(crate) async fn supervise_attempts(self, stop: CancellationToken) -> anyhow::Result<()> {
        let pumps = TaskTracker::new();
        // What ran before has died with its process, and nobody knows how long its consumers still wait.
        while let Err(error) = self.stop_all().await {
            tracing::warn!(%error, "leases of the last run are not stopped yet");
            tokio::select! {
                biased;
                () = stop.cancelled() => return Ok(()),
                () = tokio::time::sleep(PAUSE) => {}
            }
        }
        loop {
            if let Err(error) = self.look_once(&pumps).await {
                tracing::warn!(%error, "supervision goes on at the next look");
            }
            tokio::select! {
                biased;
                () = stop.cancelled() => break,
                () = self.wake_supervisor.notified() => {}
                () = tokio::time::sleep(PAUSE) => {}
            }
        }
        self.stop_all().await?;
        self.look_once(&pumps).await?;
        pumps.close();
        pumps.wait().await;
        self.look_once(&pumps).await?;
        Ok(())
    }

    /// Marks every lease of this node as stopping.
    async fn stop_all(&self) -> Result<(), Error> {
        for ledger in self.ledgers.all().await? {
            for (lease, _) in ledger.leases() {
                let stop = Command::Stop {
                    lease: *lease,
                    cause: StopCause::NodeRestarted,
                };
                self.ledgers.apply(ledger.offer(), stop).await?;
            }
        }
        Ok(())
    }

    async fn look_once(&self, pumps: &TaskTracker) -> Result<(), Error> {
        self.stop_lost_leases().await?;
        let processes: BTreeSet<AttemptKey> = self.runtime.running().await.into_iter().collect();
        let mut running = processes.clone();
        // What is still telling something is not over, even when its processes are gone.
        running.extend(self.live.heard());
        let ledgers = self.ledgers.all().await?;
        let mut kills = orphans(&ledgers, &processes);
        for ledger in &ledgers {
            for action in supervise(ledger, &running, self.clock.now()) {
                match action {
                    Action::Kill { attempt } => kills.push(attempt),
                    other => self.act(ledger, other, pumps).await,
                }
            }
            self.ledgers.move_settled(ledger.offer(), SETTLED).await?;
        }
        join_all(kills.iter().map(|attempt| self.kill(attempt))).await;
        let leases = ledgers
            .iter()
            .map(|ledger| ledger.leases().count())
            .sum::<usize>();
        self.metrics.count_leases(leases);
        Ok(())
    }

    async fn stop_lost_leases(&self) -> Result<(), Error> {
        for lease in self.leases.lost(self.monotonic()) {
            let mut known = false;
            for ledger in self.ledgers.all().await? {
                if ledger.lease(&lease).is_some() {
                    known = true;
                    let stop = Command::Stop {
                        lease,
                        cause: StopCause::LeaseLost,
                    };
                    self.ledgers.apply(ledger.offer(), stop).await?;
                }
            }
            if !known {
                self.leases.end(&lease);
            }
        }
        Ok(())
    }

    async fn act(&self, ledger: &Ledger, action: Action, pumps: &TaskTracker) {
        let offer = ledger.offer();
        let (attempt, done) = match action {
            Action::Start { lease, attempt } => (
                Some(attempt),
                self.start(offer, lease, &attempt, pumps).await,
            ),
            Action::Mark { lease, cause } => {
                let stop = Command::Stop { lease, cause };
                (None, self.ledgers.apply(offer, stop).await.map(|_| ()))
            }
            Action::Settle { lease, attempt } => {
                let Some(entry) = ledger.lease(&lease) else {
                    return;
                };
                (Some(attempt), self.close_attempt(offer, lease, entry).await)
            }
            Action::Kill { attempt } => {
                self.kill(&attempt).await;
                return;
            }
        };
        if let Err(error) = done {
            tracing::warn!(?attempt, %error, "supervision of an attempt goes on at the next look");
        }
    }

    async fn kill(&self, attempt: &AttemptKey) {
        match tokio::time::timeout(LONGEST_KILL, self.runtime.stop(attempt)).await {
            Ok(Ok(())) => self.wake_supervisor.notify_one(),
            Ok(Err(error)) => {
                tracing::error!(attempt = %attempt.attempt, %error, "an attempt cannot be killed");
            }
            Err(_) => tracing::error!(attempt = %attempt.attempt, "a kill takes too long"),
        }
    }

    /// Hands a job to the runtime. The ledger says so first: a job is started at most once, whatever happens
    /// in between.
    async fn start(
        &self,
        offer: &Name,
        lease: LeaseId,
        key: &AttemptKey,
        pumps: &TaskTracker,
    ) -> Result<(), Error> {
        self.ledgers
            .apply(offer, Command::Started { lease })
            .await?;
        self.live.begin(*key);
        let document = attempt_key(&key.org, &key.attempt);
        let attempt = self.shelf.attempts.require(&document).await;
        let payload = self.shelf.payloads.require(&document).await;
        let (attempt, payload) = match (attempt, payload) {
            (Ok(attempt), Ok(payload)) => (attempt.value, payload.value),
            (Err(error), _) | (_, Err(error)) => {
                self.live.stop(key);
                return Err(error.into());
            }
        };
        let spec = self.spec(&attempt, payload);
        let (events, received) = mpsc::channel(EVENTS);
        let started = self.runtime.start(spec, events.clone()).await;
        if let Err(error) = started {
            let message = error.to_string();
            let code = match error.kind() {
                Kind::Unsupported => Code::SandboxMissing.as_str(),
                Kind::Exhausted => "disk-full",
                _ => "",
            };
            let code = code.to_owned();
            tracing::warn!(attempt = %key.attempt, message, "an attempt cannot be started");
            let report = AttemptReport {
                end: End::Failed {
                    step: String::new(),
                    message,
                    exit_code: None,
                    code,
                },
                used: Measured::default(),
            };
            let ended = crate::domain::runtime::AttemptEvent {
                at: self.clock.now(),
                event: crate::domain::runtime::Event::Ended(report),
            };
            // The channel is empty and its other end is here.
            let _ = events.send(ended).await;
        }
        drop(events);
        pumps.spawn(self.clone().take_down(attempt, received));
        Ok(())
    }

    fn spec(&self, attempt: &Attempt, payload: Payload) -> AttemptSpec {
        let now_ms = self.clock.now_ms();
        let output_bytes = match attempt.egress {
            Some(limits) => limits.attempt,
            None => u64::MAX,
        };
        let limits = AttemptLimits {
            resources: attempt.demand.resources,
            wall_ms: attempt
                .demand
                .wall_ms
                .min((attempt.until_ms + BACKSTOP_MS).saturating_sub(now_ms)),
            output_bytes,
            log_bytes: self.settings.log_bytes,
        };
        let opens = Opens {
            key: &attempt.key,
            inputs: payload
                .inputs
                .iter()
                .map(|input| input.object.name.clone())
                .collect(),
            prefix: &payload.output.prefix,
            output_bytes,
            until_ms: attempt.until_ms,
            generation: generation(attempt),
        };
        AttemptSpec {
            key: attempt.key,
            lease: attempt.lease,
            grant: attempt.grant,
            macaroon: self.tokens.for_attempt(&opens).to_text(),
            document: payload.document,
            job: payload.job,
            inputs: payload
                .inputs
                .into_iter()
                .map(|input| input.object)
                .collect(),
            output: payload.output,
            limits,
        }
    }
}

/// The generation an attempt was admitted under; zero for our own work.
pub(crate) fn generation(attempt: &Attempt) -> u64 {
    match attempt.grant {
        Some(_) => attempt.under.generation(),
        None => 0,
    }
}

//! The log of what passed the door or was refused there.

use std::collections::{BTreeMap, VecDeque};
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use oc_proto::discovery::v1::DoorCall;
use oc_service::telemetry::Metrics;
use prometheus::{HistogramVec, IntCounterVec};

/// Calls that are kept for people; the log and the metrics have all of them.
const KEPT: usize = 1024;

/// The outcome of a call that was answered.
pub(crate) const OK: &str = "ok";
/// The direction of a call to a partner.
pub(crate) const OUT: &str = "out";

/// What is said together of calls that went out and were answered: who called what, at whom.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
struct Kind {
    service: String,
    method: String,
    org: String,
}

/// Writes each call to the log and the metrics, and keeps the newest.
pub(crate) struct CallLog {
    newest: Mutex<VecDeque<DoorCall>>,
    /// Calls that went out and were answered since [`CallLog::tell`] last told of them. The methods are few, and
    /// the partners known, so this stays small.
    answered: Mutex<BTreeMap<Kind, u64>>,
    calls: IntCounterVec,
    seconds: HistogramVec,
}

impl CallLog {
    pub(crate) fn new(metrics: &Metrics) -> prometheus::Result<Self> {
        Ok(Self {
            newest: Mutex::default(),
            answered: Mutex::default(),
            calls: metrics.counter(
                "oc_door_calls_total",
                "Calls and transfers through the door, by direction, service and outcome.",
                &["direction", "service", "outcome"],
            )?,
            seconds: metrics.seconds(
                "oc_door_call_seconds",
                "Time until the answer to a call through the door began.",
                &["direction", "service"],
            )?,
        })
    }

    /// Adds a call. What strangers are refused beyond their budget is only counted, so that they can
    /// neither fill the log nor push out what people want to see.
    pub(crate) fn add(&self, call: DoorCall, counted_only: bool) {
        self.calls
            .with_label_values(&[&call.direction, &call.service, &call.outcome])
            .inc();
        self.seconds
            .with_label_values(&[&call.direction, &call.service])
            .observe(Duration::from_micros(call.micros).as_secs_f64());
        if counted_only {
            return;
        }
        self.note(&call);
        let mut newest = self.newest.lock().unwrap_or_else(PoisonError::into_inner);
        if newest.len() == KEPT {
            newest.pop_back();
        }
        newest.push_front(call);
    }

    /// A call that failed or was refused is worth a line at once. The others would drown the log: a line of each
    /// is there for those who want it, and those that went out are told of together.
    fn note(&self, call: &DoorCall) {
        if call.outcome != OK {
            tracing::info!(
                direction = call.direction,
                service = call.service,
                org = call.org_id,
                peer = call.peer_id,
                method = call.method,
                purpose = call.purpose,
                outcome = call.outcome,
                cause = call.cause,
                micros = call.micros,
                "a call at the door failed"
            );
            return;
        }
        tracing::debug!(
            direction = call.direction,
            service = call.service,
            org = call.org_id,
            peer = call.peer_id,
            method = call.method,
            purpose = call.purpose,
            micros = call.micros,
            "a call at the door"
        );
        if call.direction != OUT {
            return;
        }
        let kind = Kind {
            service: call.service.clone(),
            method: call.method.clone(),
            org: call.org_id.clone(),
        };
        *self.answered().entry(kind).or_default() += 1;
    }

    /// Writes a line for each kind of call that went out since the last time.
    pub(crate) fn tell(&self) {
        let answered = std::mem::take(&mut *self.answered());
        for (
            Kind {
                service,
                method,
                org,
            },
            calls,
        ) in answered
        {
            tracing::info!(service, method, org, calls, "calls to a partner");
        }
    }

    fn answered(&self) -> MutexGuard<'_, BTreeMap<Kind, u64>> {
        self.answered.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub(crate) fn newest(&self, most: usize) -> Vec<DoorCall> {
        let newest = self.newest.lock().unwrap_or_else(PoisonError::into_inner);
        newest.iter().take(most).cloned().collect()
    }
}

#[cfg(test)]
mod tests {
    use std::io::{self, Write};
    use std::sync::Arc;

    use super::*;

    /// What would stand in the log at its usual level.
    #[derive(Clone, Default)]
    struct Written(Arc<Mutex<Vec<u8>>>);

    impl Write for Written {
        fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
            self.0.lock().unwrap().extend_from_slice(bytes);
            Ok(bytes.len())
        }

        fn flush(&mut self) -> io::Result<()> {
            Ok(())
        }
    }

    fn log_of(act: impl FnOnce(&CallLog)) -> Vec<String> {
        let (written, log) = (Written::default(), CallLog::new(&Metrics::new()).unwrap());
        let writer = written.clone();
        let subscriber = tracing_subscriber::fmt()
            .with_max_level(tracing::Level::INFO)
            .with_ansi(false)
            .with_writer(move || writer.clone())
            .finish();
        tracing::subscriber::with_default(subscriber, || act(&log));
        let text = String::from_utf8(written.0.lock().unwrap().clone()).unwrap();
        text.lines().map(str::to_owned).collect()
    }

    fn call(direction: &str, outcome: &str) -> DoorCall {
        DoorCall {
            direction: direction.to_owned(),
            service: "catalog".to_owned(),
            method: "/oc.federation.v1.CatalogService/List".to_owned(),
            org_id: "org-south".to_owned(),
            outcome: outcome.to_owned(),
            ..DoorCall::default()
        }
    }

    #[test]
    fn calls_that_went_out_are_told_of_together_and_once() {
        let lines = log_of(|log| {
            for _ in 0..3 {
                log.add(call(OUT, OK), false);
                log.add(call("in", OK), false);
            }
            log.tell();
            log.tell();
        });
        assert_eq!(lines.len(), 1, "{lines:#?}");
        for part in ["catalog", "CatalogService/List", "org-south", "calls=3"] {
            assert!(lines[0].contains(part), "{part} in {}", lines[0]);
        }
    }

    #[test]
    fn a_call_that_was_refused_has_a_line_of_its_own_in_both_directions() {
        let lines = log_of(|log| {
            log.add(call(OUT, "forbidden"), false);
            log.add(call("in", "unavailable"), false);
            log.tell();
        });
        assert_eq!(lines.len(), 2, "{lines:#?}");
        assert!(lines[0].contains("forbidden"), "{}", lines[0]);
        assert!(lines[1].contains("unavailable"), "{}", lines[1]);
    }
}

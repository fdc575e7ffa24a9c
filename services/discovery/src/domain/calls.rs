//! The log of what passed the door or was refused there.

use std::collections::VecDeque;
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use oc_proto::discovery::v1::DoorCall;
use oc_service::telemetry::Metrics;
use prometheus::{HistogramVec, IntCounterVec};

/// Calls that are kept for people; the log and the metrics have all of them.
const KEPT: usize = 1024;

/// Writes each call to the log and the metrics, and keeps the newest.
pub(crate) struct CallLog {
    newest: Mutex<VecDeque<DoorCall>>,
    calls: IntCounterVec,
    seconds: HistogramVec,
}

impl CallLog {
    pub(crate) fn new(metrics: &Metrics) -> prometheus::Result<Self> {
        Ok(Self {
            newest: Mutex::default(),
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
            "a call at the door"
        );
        let mut newest = self.newest.lock().unwrap_or_else(PoisonError::into_inner);
        if newest.len() == KEPT {
            newest.pop_back();
        }
        newest.push_front(call);
    }

    pub(crate) fn newest(&self, most: usize) -> Vec<DoorCall> {
        let newest = self.newest.lock().unwrap_or_else(PoisonError::into_inner);
        newest.iter().take(most).cloned().collect()
    }
}

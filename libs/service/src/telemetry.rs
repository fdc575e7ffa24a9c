//! Logs and metrics of a process.

use std::io::IsTerminal;
use std::time::Duration;

use prometheus::{Encoder, HistogramOpts, Opts, Registry, TextEncoder};
pub use prometheus::{HistogramVec, IntCounterVec, IntGaugeVec};
use serde::{Deserialize, Serialize};
use tracing_subscriber::EnvFilter;

/// Seconds, from half a millisecond to half a minute.
const LATENCY_BUCKETS: [f64; 14] = [
    0.0005, 0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 10.0, 30.0,
];

/// How the log is written.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum LogFormat {
    /// Lines for people, with colours where standard error is a terminal.
    #[default]
    Text,
    /// One JSON object a line.
    Json,
}

/// What is logged, and how.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct TelemetrySettings {
    /// Levels by target, in the syntax of `tracing_subscriber::EnvFilter`: `info,oc_catalog=debug`.
    pub log: String,
    /// Text or JSON.
    pub format: LogFormat,
}

impl Default for TelemetrySettings {
    fn default() -> Self {
        Self {
            log: "info".to_owned(),
            format: LogFormat::Text,
        }
    }
}

/// Why the log cannot be set up.
#[derive(Debug, thiserror::Error)]
pub enum TelemetryError {
    /// The filter cannot be read.
    #[error("telemetry.log: `{0}` is no filter: write for example info,oc_catalog=debug")]
    Filter(String, #[source] tracing_subscriber::filter::ParseError),
    /// Something else in this process took the log already.
    #[error("the log of this process is set up already")]
    Twice,
}

/// Sends the log of this process to standard error. Lines are written before the call that logs returns,
/// so nothing needs flushing at the end.
///
/// # Errors
/// When the filter is faulty, or the log is set up already.
pub fn init(settings: &TelemetrySettings) -> Result<(), TelemetryError> {
    let filter = EnvFilter::try_new(&settings.log)
        .map_err(|error| TelemetryError::Filter(settings.log.clone(), error))?;
    let builder = tracing_subscriber::fmt()
        .with_env_filter(filter)
        .with_writer(std::io::stderr)
        .with_ansi(settings.format == LogFormat::Text && std::io::stderr().is_terminal());
    let done = match settings.format {
        LogFormat::Text => builder.try_init(),
        LogFormat::Json => builder.json().flatten_event(true).try_init(),
    };
    done.map_err(|_| TelemetryError::Twice)
}

/// The metrics of a process: what `/metrics` shows. Clones share one registry.
#[derive(Debug, Clone, Default)]
pub struct Metrics {
    registry: Registry,
}

impl Metrics {
    /// An empty registry.
    pub fn new() -> Self {
        Self::default()
    }

    /// A counter; its name ends with `_total`, its labels take their values from closed sets.
    ///
    /// # Errors
    /// When the name is taken or not a metric's name.
    pub fn counter(
        &self,
        name: &str,
        help: &str,
        labels: &[&str],
    ) -> prometheus::Result<IntCounterVec> {
        let metric = IntCounterVec::new(Opts::new(name, help), labels)?;
        self.registry.register(Box::new(metric.clone()))?;
        Ok(metric)
    }

    /// A gauge; its name ends with the unit.
    ///
    /// # Errors
    /// When the name is taken or not a metric's name.
    pub fn gauge(
        &self,
        name: &str,
        help: &str,
        labels: &[&str],
    ) -> prometheus::Result<IntGaugeVec> {
        let metric = IntGaugeVec::new(Opts::new(name, help), labels)?;
        self.registry.register(Box::new(metric.clone()))?;
        Ok(metric)
    }

    /// A histogram of durations; its name ends with `_seconds`.
    ///
    /// # Errors
    /// When the name is taken or not a metric's name.
    pub fn seconds(
        &self,
        name: &str,
        help: &str,
        labels: &[&str],
    ) -> prometheus::Result<HistogramVec> {
        let options = HistogramOpts::new(name, help).buckets(LATENCY_BUCKETS.to_vec());
        let metric = HistogramVec::new(options, labels)?;
        self.registry.register(Box::new(metric.clone()))?;
        Ok(metric)
    }

    /// Everything in the Prometheus text format.
    ///
    /// # Errors
    /// When a metric cannot be written.
    pub fn render(&self) -> prometheus::Result<String> {
        let mut text = Vec::new();
        TextEncoder::new().encode(&self.registry.gather(), &mut text)?;
        String::from_utf8(text).map_err(|error| prometheus::Error::Msg(error.to_string()))
    }
}

/// The counters of the edge.
pub(crate) struct RequestMetrics {
    requests: IntCounterVec,
    seconds: HistogramVec,
}

impl RequestMetrics {
    pub(crate) fn new(metrics: &Metrics) -> prometheus::Result<Self> {
        Ok(Self {
            requests: metrics.counter(
                "oc_requests_total",
                "Requests answered, by service, route or method, and status.",
                &["service", "route", "code"],
            )?,
            seconds: metrics.seconds(
                "oc_request_duration_seconds",
                "Time until an answer began.",
                &["service", "route"],
            )?,
        })
    }

    pub(crate) fn observe(&self, service: &str, route: &str, code: &str, elapsed: Duration) {
        self.requests
            .with_label_values(&[service, route, code])
            .inc();
        self.seconds
            .with_label_values(&[service, route])
            .observe(elapsed.as_secs_f64());
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_metric_is_shown_with_its_labels_and_its_name_is_taken() {
        let metrics = Metrics::new();
        let runs = metrics
            .counter("oc_runs_total", "Runs.", &["state"])
            .unwrap();
        runs.with_label_values(&["failed"]).inc_by(2);
        let text = metrics.clone().render().unwrap();
        assert!(text.contains("oc_runs_total{state=\"failed\"} 2"), "{text}");
        assert!(metrics.counter("oc_runs_total", "Runs.", &[]).is_err());
    }

    #[test]
    fn a_faulty_filter_is_quoted() {
        let settings = TelemetrySettings {
            log: "info,=".to_owned(),
            format: LogFormat::Json,
        };
        let error = init(&settings).unwrap_err();
        assert!(
            error.to_string().contains("`info,=` is no filter"),
            "{error}"
        );
    }
}

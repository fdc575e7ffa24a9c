//! Rows: a value, its bar and what stands beside it.

use std::fmt::Write as _;
use std::time::Duration;

use serde::Serialize;

use crate::machine::Machine;

/// Everything of one measurement.
#[derive(Debug, Serialize)]
pub(crate) struct Report {
    machine: Machine,
    pub(crate) rows: Vec<Row>,
}

/// One figure.
#[derive(Debug, Serialize)]
pub(crate) struct Row {
    what: String,
    value: f64,
    unit: &'static str,
    #[serde(skip_serializing_if = "Option::is_none")]
    bar: Option<Bar>,
    /// Whether the bar is reached; none where there is no bar.
    #[serde(skip_serializing_if = "Option::is_none")]
    reached: Option<bool>,
    /// The incumbent's value for the same, measured in turns with ours.
    #[serde(skip_serializing_if = "Option::is_none")]
    incumbent: Option<Incumbent>,
    /// How it was had.
    how: String,
}

/// What a figure has to reach.
#[derive(Debug, Clone, Copy, Serialize)]
#[serde(rename_all = "snake_case")]
pub(crate) enum Bar {
    AtMost(f64),
    AtLeast(f64),
}

/// Another program that did the same here.
#[derive(Debug, Serialize)]
pub(crate) struct Incumbent {
    name: &'static str,
    value: f64,
}

impl Row {
    /// A figure, with what was done to have it.
    pub(crate) fn new(
        what: impl Into<String>,
        value: f64,
        unit: &'static str,
        how: impl Into<String>,
    ) -> Self {
        Self {
            what: what.into(),
            value,
            unit,
            bar: None,
            reached: None,
            incumbent: None,
            how: how.into(),
        }
    }

    #[must_use]
    pub(crate) fn bar(mut self, bar: Bar) -> Self {
        self.reached = Some(match bar {
            Bar::AtMost(most) => self.value <= most,
            Bar::AtLeast(least) => self.value >= least,
        });
        self.bar = Some(bar);
        self
    }

    #[must_use]
    pub(crate) fn beside(mut self, name: &'static str, value: Option<f64>) -> Self {
        self.incumbent = value.map(|value| Incumbent { name, value });
        self
    }
}

impl Report {
    pub(crate) const fn of(machine: Machine) -> Self {
        Self {
            machine,
            rows: Vec::new(),
        }
    }

    /// For people, as `docs/performance.md` shows it.
    pub(crate) fn table(&self) -> String {
        let mut table = String::from(
            "| what | bar | ours | incumbent here | reached |\n| --- | --- | --- | --- | --- |\n",
        );
        for row in &self.rows {
            let bar = row.bar.map_or_else(String::new, |bar| match bar {
                Bar::AtMost(most) => format!("at most {}", shown(most, row.unit)),
                Bar::AtLeast(least) => format!("at least {}", shown(least, row.unit)),
            });
            let incumbent = row.incumbent.as_ref().map_or_else(String::new, |other| {
                format!("{} {}", other.name, shown(other.value, row.unit))
            });
            let reached = match row.reached {
                Some(true) => "yes",
                Some(false) => "no",
                None => "",
            };
            let ours = shown(row.value, row.unit);
            let _ = writeln!(
                table,
                "| {} | {bar} | {ours} | {incumbent} | {reached} |",
                row.what
            );
        }
        table
    }
}

/// Three digits that count, and the unit.
fn shown(value: f64, unit: &str) -> String {
    let digits = match value.abs() {
        large if large >= 100.0 => 0,
        middle if middle >= 10.0 => 1,
        _ => 2,
    };
    format!("{value:.digits$} {unit}")
}

/// Times of the same thing, in order of size.
pub(crate) struct Times(Vec<Duration>);

impl Times {
    pub(crate) fn of(mut times: Vec<Duration>) -> Self {
        times.sort_unstable();
        Self(times)
    }

    /// The time that `share` of them, from 0 to 1, do not exceed; in milliseconds.
    pub(crate) fn quantile_ms(&self, share: f64) -> f64 {
        let last = self.0.len().saturating_sub(1);
        let at = (last as f64 * share).ceil() as usize;
        self.0.get(at.min(last)).map_or(f64::NAN, |time| ms(*time))
    }

    pub(crate) fn median_ms(&self) -> f64 {
        self.quantile_ms(0.5)
    }
}

pub(crate) fn ms(time: Duration) -> f64 {
    time.as_secs_f64() * 1e3
}

/// How long `work` takes, `rounds` times.
pub(crate) fn timed(rounds: usize, mut work: impl FnMut()) -> Times {
    let times = (0..rounds).map(|_| {
        let start = std::time::Instant::now();
        work();
        start.elapsed()
    });
    Times::of(times.collect())
}

/// The same where `work` waits.
pub(crate) async fn timed_async(rounds: usize, mut work: impl AsyncFnMut()) -> Times {
    let mut times = Vec::with_capacity(rounds);
    for _ in 0..rounds {
        let start = std::time::Instant::now();
        work().await;
        times.push(start.elapsed());
    }
    Times::of(times)
}

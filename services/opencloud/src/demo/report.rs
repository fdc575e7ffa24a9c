//! What the demonstration found, for programs and for people.

use std::path::Path;

use anyhow::Context as _;
use oc_kernel::Money;
use oc_proto::accounting::v1::UsageRecord;
use oc_proto::discovery::v1::GetIdentityResponse;
use oc_proto::json::Word as _;
use oc_proto::pipeline::v1::{FragmentState, Run, RunState};
use serde::Serialize;

/// The report of `opencloud demo --json`.
#[derive(Debug, Default, Serialize)]
pub(crate) struct Report {
    pub(crate) organisations: Vec<Organisation>,
    pub(crate) network: Network,
    pub(crate) run: RunReport,
    pub(crate) outputs: Vec<Output>,
    pub(crate) usage: Usage,
    /// What South kept after it had left; none where both nodes go on running.
    pub(crate) kept: Option<Kept>,
    pub(crate) timings_ms: Timings,
}

#[derive(Debug, Default, Serialize)]
pub(crate) struct Organisation {
    pub(crate) name: String,
    pub(crate) org_id: String,
    pub(crate) peer_id: String,
}

#[derive(Debug, Default, Serialize)]
pub(crate) struct Network {
    pub(crate) name: String,
    pub(crate) kind: String,
}

#[derive(Debug, Default, Serialize)]
pub(crate) struct RunReport {
    pub(crate) id: String,
    pub(crate) state: String,
    pub(crate) fragments: Vec<Fragment>,
}

#[derive(Debug, Default, Serialize)]
pub(crate) struct Fragment {
    pub(crate) id: String,
    pub(crate) site: String,
    pub(crate) steps: Vec<String>,
    pub(crate) reason: String,
    pub(crate) state: String,
    pub(crate) started_at: String,
    pub(crate) ended_at: String,
}

#[derive(Debug, Default, Serialize)]
pub(crate) struct Output {
    pub(crate) name: String,
    pub(crate) path: String,
    pub(crate) bytes: u64,
    pub(crate) sha256: String,
    pub(crate) media_type: String,
}

#[derive(Debug, Default, Serialize)]
pub(crate) struct Usage {
    /// True when the exports fetched from both nodes are equal byte for byte.
    pub(crate) agree: bool,
    pub(crate) records: Vec<UsageRecord>,
    /// Where the books stand, on each side.
    pub(crate) books: Vec<Books>,
}

#[derive(Debug, Default, Serialize)]
pub(crate) struct Books {
    pub(crate) organisation: String,
    pub(crate) grant_id: String,
    pub(crate) records: u64,
    pub(crate) root: String,
    pub(crate) signed_by_both: bool,
}

/// What an organisation has of a partner after leaving: how many of each.
#[derive(Debug, Default, Serialize)]
pub(crate) struct Kept {
    pub(crate) networks: usize,
    pub(crate) grants: usize,
    pub(crate) reservations: usize,
    pub(crate) cores: u32,
    pub(crate) records: usize,
}

impl Kept {
    /// Whether nothing is left but the books.
    pub(crate) fn nothing_but_books(&self) -> bool {
        self.networks + self.grants + self.reservations == 0 && self.cores == 0 && self.records > 0
    }
}

#[derive(Debug, Default, Serialize)]
pub(crate) struct Timings {
    pub(crate) nodes_ready: u64,
    pub(crate) joined: u64,
    pub(crate) offers_visible: u64,
    pub(crate) granted: u64,
    pub(crate) run: u64,
    pub(crate) total: u64,
}

impl Report {
    /// The report as JSON.
    pub(crate) fn json(&self) -> anyhow::Result<String> {
        serde_json::to_string_pretty(self).context("write the report")
    }

    /// Writes the report as JSON.
    pub(crate) fn write(&self, file: &Path) -> anyhow::Result<()> {
        std::fs::write(file, self.json()? + "\n")
            .with_context(|| format!("write {}", file.display()))
    }

    /// Shows it to people.
    pub(crate) fn show(&self) {
        let bold = anstyle::Style::new().bold();
        let green = anstyle::AnsiColor::Green.on_default().bold();
        anstream::println!("\n{bold}Where it ran, and why{bold:#}");
        for fragment in &self.run.fragments {
            anstream::println!("  {} ran at {}", fragment.steps.join(", "), fragment.site);
            anstream::println!("    because {}", fragment.reason);
        }
        anstream::println!("\n{bold}The pictures{bold:#}, also in North's storage");
        for output in &self.outputs {
            anstream::println!(
                "  {:14} {:>9} bytes  {}",
                output.name,
                output.bytes,
                output.path
            );
        }
        anstream::println!("\n{bold}What it cost{bold:#}");
        let total: i64 = self
            .usage
            .records
            .iter()
            .map(|record| record.charge_micros)
            .sum();
        for record in &self.usage.records {
            anstream::println!(
                "  {} attempt: {:.2} s on {} cores, {} bytes in, {} bytes out: {} {}",
                record.outcome,
                record.wall_ms as f64 / 1000.0,
                record.cores,
                record.bytes_in,
                record.bytes_out,
                Money(record.charge_micros),
                record.currency
            );
        }
        let currency = self.usage.records.first().map(|it| it.currency.as_str());
        anstream::println!("  in all {} {}", Money(total), currency.unwrap_or_default());
        anstream::println!("\n{bold}The books{bold:#}");
        if self.usage.agree {
            anstream::println!(
                "  {green}agree{green:#}: both organisations hold the same {}, byte for byte, signed by both",
                records(self.usage.records.len() as u64)
            );
        } else {
            anstream::println!("  do not agree: compare `opencloud usage export` of both nodes");
        }
        for books in &self.usage.books {
            let signed = if books.signed_by_both {
                "signed by both"
            } else {
                "not signed by both"
            };
            let root = books.root.get(..16).unwrap_or(&books.root);
            anstream::println!(
                "  {:6} {} of {}, root {root}, {signed}",
                books.organisation,
                records(books.records),
                books.grant_id
            );
        }
        if let Some(kept) = &self.kept {
            anstream::println!(
                "  South has left: of North's it has {} grants, {} reservations and {} cores in use, and {} of the books",
                kept.grants,
                kept.reservations,
                kept.cores,
                records(kept.records as u64)
            );
        }
        anstream::println!(
            "\nThe story took {:.1} s; of that {:.1} s for the run.",
            self.timings_ms.total as f64 / 1000.0,
            self.timings_ms.run as f64 / 1000.0
        );
    }
}

fn records(count: u64) -> String {
    match count {
        1 => "1 record".to_owned(),
        count => format!("{count} records"),
    }
}

/// A run as the report shows it.
pub(crate) fn run_report(run: &Run) -> RunReport {
    let at = |ms: u64| {
        let at = i64::try_from(ms)
            .ok()
            .and_then(|ms| jiff::Timestamp::from_millisecond(ms).ok());
        at.map(|at| at.to_string()).unwrap_or_default()
    };
    let fragments = run.fragments.iter().map(|fragment| Fragment {
        id: fragment.fragment_id.clone(),
        site: fragment.site_name.clone(),
        steps: fragment.steps.clone(),
        reason: fragment.reason.clone(),
        state: FragmentState::try_from(fragment.state)
            .unwrap_or_default()
            .word(),
        started_at: at(fragment.started_at_ms),
        ended_at: at(fragment.ended_at_ms),
    });
    RunReport {
        id: run.run_id.clone(),
        state: RunState::try_from(run.state).unwrap_or_default().word(),
        fragments: fragments.collect(),
    }
}

/// An organisation as the report shows it.
pub(crate) fn organisation(identity: &GetIdentityResponse) -> Organisation {
    Organisation {
        name: identity.name.clone(),
        org_id: identity.org_id.clone(),
        peer_id: identity.peer_ids.first().cloned().unwrap_or_default(),
    }
}

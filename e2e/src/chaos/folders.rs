//! What a node's own folder says of its capacity: the ledgers as they were last written.

use std::path::Path;

use anyhow::Context as _;
use oc_kernel::Digest;
use rusqlite::{Connection, OpenFlags};
use serde::Deserialize;

/// The capacity of one compute offer, and who has it.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
pub(super) struct Ledger {
    pub(super) offer: String,
    pub(super) capacity: Amount,
    pub(super) holds: Vec<(String, Share)>,
    pub(super) leases: Vec<(String, Share)>,
}

/// So much of a machine. One fragment has one place beside it.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Deserialize)]
pub(super) struct Amount {
    pub(super) cores: u64,
    pub(super) memory_bytes: u64,
    #[serde(default)]
    pub(super) fragments: u64,
}

/// What an attempt has of an offer.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
pub(super) struct Share {
    attempt: Attempt,
    under: Under,
    demand: Demand,
    job: Option<Job>,
}

#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
struct Attempt {
    org: String,
    run: String,
    fragment: String,
    attempt: String,
}

#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
struct Under {
    grant: Option<String>,
}

#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
struct Demand {
    resources: Amount,
}

#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
struct Job {
    state: JobState,
}

#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
struct JobState {
    state: String,
}

impl Share {
    /// The attempt's id.
    pub(super) fn attempt(&self) -> &str {
        &self.attempt.attempt
    }

    /// The name of the folder that its processes have.
    pub(super) fn folder(&self) -> String {
        let Attempt {
            org,
            run,
            fragment,
            attempt,
        } = &self.attempt;
        let key = format!("{org}/{run}/{fragment}/{attempt}");
        let mut name = Digest::of(key.as_bytes()).to_string();
        name.truncate(16);
        name
    }

    /// The grant; none for own work.
    pub(super) fn grant(&self) -> Option<&str> {
        self.under.grant.as_deref()
    }

    /// How much it has.
    pub(super) fn amount(&self) -> Amount {
        Amount {
            fragments: 1,
            ..self.demand.resources
        }
    }

    /// True where the ledger says that its job runs.
    pub(super) fn runs(&self) -> bool {
        let job = self.job.as_ref();
        job.is_some_and(|job| job.state.state == "running")
    }

    #[cfg(test)]
    pub(super) fn example(attempt: &str, cores: u64, grant: Option<&str>, state: &str) -> Self {
        Self {
            attempt: Attempt {
                org: "org".to_owned(),
                run: "run".to_owned(),
                fragment: "fragment".to_owned(),
                attempt: attempt.to_owned(),
            },
            under: Under {
                grant: grant.map(str::to_owned),
            },
            demand: Demand {
                resources: Amount {
                    cores,
                    ..Amount::default()
                },
            },
            job: Some(Job {
                state: JobState {
                    state: state.to_owned(),
                },
            }),
        }
    }
}

/// All ledgers of a node, as one moment had them.
pub(super) fn ledgers(data: &Path) -> anyhow::Result<Vec<Ledger>> {
    let path = data.join("store/compute-provider.db");
    let store = Connection::open_with_flags(&path, OpenFlags::SQLITE_OPEN_READ_ONLY)?;
    let wanted = "SELECT value FROM documents WHERE collection = 'ledgers' AND value IS NOT NULL";
    let mut statement = store.prepare(wanted)?;
    let values = statement.query_map([], |row| row.get::<_, Vec<u8>>(0))?;
    values
        .map(|value| serde_json::from_slice(&value?).context("a ledger has another form"))
        .collect()
}

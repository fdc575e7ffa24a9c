//! What stands in a ledger.

use std::time::Duration;

use jiff::Timestamp;
use oc_kernel::{Digest, GrantId, LeaseId};
use serde::{Deserialize, Serialize};

use super::command::Outcome;
use super::error::LedgerError;
use crate::domain::attempt::{AttemptKey, OperationKey};
use crate::domain::resources::Resources;

/// What is set aside for an attempt.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct Demand {
    /// Cores and memory.
    pub resources: Resources,
    /// Milliseconds it may run.
    pub wall_ms: u64,
}

impl Demand {
    /// The most core milliseconds it can use.
    pub fn core_ms(&self) -> u64 {
        self.resources.core_ms(Duration::from_millis(self.wall_ms))
    }
}

/// By which right something happens.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "by", rename_all = "kebab-case")]
pub enum Under {
    /// The organisation works for itself.
    Own,
    /// A grant, as it was when the thing began.
    Grant {
        /// The grant.
        grant: GrantId,
        /// Its generation then.
        generation: u64,
    },
}

impl Under {
    /// True for this grant.
    pub fn is(&self, id: &GrantId) -> bool {
        self.grant() == Some(*id)
    }

    /// The grant, where there is one.
    pub fn grant(&self) -> Option<GrantId> {
        match self {
            Under::Own => None,
            Under::Grant { grant, .. } => Some(*grant),
        }
    }

    /// The generation; own work has none and never grows old.
    pub fn generation(&self) -> u64 {
        match self {
            Under::Own => u64::MAX,
            Under::Grant { generation, .. } => *generation,
        }
    }
}

/// Capacity that is set aside and not used yet.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Hold {
    /// Who may use it.
    pub attempt: AttemptKey,
    /// By which right.
    pub under: Under,
    /// How much.
    pub demand: Demand,
    /// When it ends by itself.
    pub expires_at: Timestamp,
}

/// An attempt's right to capacity, together with the job that uses it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Lease {
    /// Whose.
    pub attempt: AttemptKey,
    /// By which right.
    pub under: Under,
    /// How much.
    pub demand: Demand,
    /// When it was given.
    pub submitted_at: Timestamp,
    /// What runs in it.
    pub job: Job,
}

/// What runs in a lease.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Job {
    /// Digest of the stored job.
    pub payload: Digest,
    /// How far it is.
    pub state: JobState,
}

/// How far a job is. One that ended is no job any more: its lease is settled.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "state", rename_all = "kebab-case")]
pub enum JobState {
    /// The runtime has not taken it yet.
    Queued,
    /// The runtime has it.
    Running {
        /// Since when.
        since: Timestamp,
    },
    /// It is being killed.
    Stopping {
        /// Why.
        cause: StopCause,
        /// Since when.
        since: Timestamp,
        /// When it had started, if it had.
        started: Option<Timestamp>,
    },
}

/// Why a job was stopped from outside.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum StopCause {
    /// The consumer gave the capacity back or cancelled.
    Released,
    /// The consumer did not renew the lease in time.
    LeaseLost,
    /// The grant was revoked or changed.
    GrantRaised,
    /// The grant reached its end.
    GrantEnded,
    /// It ran longer than it may.
    WallLimit,
    /// This node stopped or died while it ran.
    NodeRestarted,
    /// An admin of the provider stopped it.
    ByProvider,
}

impl std::fmt::Display for StopCause {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(match self {
            StopCause::Released => "released by the consumer",
            StopCause::LeaseLost => "the consumer did not renew the lease in time",
            StopCause::GrantRaised => "the grant was revoked or changed",
            StopCause::GrantEnded => "the grant is expired: its end was reached",
            StopCause::WallLimit => "it reached its limit of wall time",
            StopCause::NodeRestarted => "the provider's node was restarted",
            StopCause::ByProvider => "stopped by the provider",
        })
    }
}

/// How an attempt ended, as far as the ledger cares.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "ended", content = "cause", rename_all = "kebab-case")]
pub enum EndedState {
    /// With all its outputs.
    Succeeded,
    /// By a fault of its own.
    Failed,
    /// From outside.
    Stopped(StopCause),
}

/// An attempt that ended.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Ended {
    /// The lease it had.
    pub lease: LeaseId,
    /// Whose.
    pub attempt: AttemptKey,
    /// By which right.
    pub under: Under,
    /// When it got the lease.
    pub submitted_at: Timestamp,
    /// When the runtime took it, if it did.
    pub started_at: Option<Timestamp>,
    /// When nothing of it was left.
    pub ended_at: Timestamp,
    /// How it ended.
    pub state: EndedState,
    /// Core milliseconds it used.
    pub core_ms: u64,
}

/// What a grant has used of one offer.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Account {
    /// The newest generation this ledger was told.
    pub generation: u64,
    /// Core milliseconds.
    pub core_ms: u64,
    /// Fragments held or running; counted anew where it is asked for, never stored above zero.
    #[serde(skip)]
    pub fragments: u32,
}

/// The kept answer of an operation.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Answer {
    /// Digest of the request it answered.
    pub body: Digest,
    /// The right it happened under; the answer is kept as long as that lasts.
    pub under: Under,
    /// The answer.
    pub outcome: Outcome,
}

impl Answer {
    /// The answer again, for the same request.
    ///
    /// # Errors
    /// When the same key came with another request.
    pub fn repeat(&self, key: &OperationKey, body: &Digest) -> Result<Outcome, LedgerError> {
        if self.body != *body {
            return Err(LedgerError::OtherBody { key: key.clone() });
        }
        Ok(self.outcome.clone())
    }
}

/// Maps as lists of pairs: some keys are not texts, and JSON has no other keys.
pub(in super::super) mod pairs {
    use std::collections::BTreeMap;

    use serde::de::DeserializeOwned;
    use serde::{Deserialize, Deserializer, Serialize, Serializer};

    pub(in crate::domain) fn serialize<K, V, S>(
        map: &BTreeMap<K, V>,
        serializer: S,
    ) -> Result<S::Ok, S::Error>
    where
        K: Serialize,
        V: Serialize,
        S: Serializer,
    {
        serializer.collect_seq(map)
    }

    pub(in crate::domain) fn deserialize<'de, K, V, D>(
        deserializer: D,
    ) -> Result<BTreeMap<K, V>, D::Error>
    where
        K: DeserializeOwned + Ord,
        V: DeserializeOwned,
        D: Deserializer<'de>,
    {
        Ok(Vec::<(K, V)>::deserialize(deserializer)?
            .into_iter()
            .collect())
    }
}

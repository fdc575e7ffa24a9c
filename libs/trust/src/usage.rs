//! Usage records: what one attempt used, in one spelling, so that two organisations' books can be compared
//! byte for byte.

use crate::error::OpenError;
use crate::merkle::leaf_hash;
use crate::price::{Chargeable, Price, charge};
use oc_kernel::{AttemptId, Digest, FragmentId, GrantId, Money, Name, NameError, OrgId, RunId};
use serde::{Deserialize, Serialize};

/// The id of a record: see [`record_id`].
pub type RecordId = Name;

/// The id of the record of an attempt, or of its `correction`th correction. It follows from the attempt, so
/// that an attempt that is reported twice makes one record.
///
/// # Errors
/// Never: an attempt's id and a number make a name.
pub fn record_id(attempt: &AttemptId, correction: u32) -> Result<RecordId, NameError> {
    match correction {
        0 => attempt.to_string().parse(),
        n => format!("{attempt}.{n}").parse(),
    }
}

/// How an attempt ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Outcome {
    /// Its outputs are there.
    Succeeded,
    /// It ended with an error of its own, or at its limit of wall time.
    Failed,
    /// Its authority ended: the consumer cancelled it or let its lease lapse, or the grant was ended or taken back.
    Cancelled,
    /// The provider lost it: its node stopped, or it took the machines back. It is recorded, and charged nothing.
    Lost,
}

impl Outcome {
    /// The name in JSON.
    pub const fn as_str(self) -> &'static str {
        match self {
            Outcome::Succeeded => "succeeded",
            Outcome::Failed => "failed",
            Outcome::Cancelled => "cancelled",
            Outcome::Lost => "lost",
        }
    }

    /// The outcome of that name.
    pub fn from_name(name: &str) -> Option<Outcome> {
        use Outcome::{Cancelled, Failed, Lost, Succeeded};
        [Succeeded, Failed, Cancelled, Lost]
            .into_iter()
            .find(|outcome| outcome.as_str() == name)
    }
}

/// What one attempt used, version 1. The order of the fields is part of the format.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct UsageRecord {
    /// 1.
    pub version: u32,
    /// Its id.
    pub id: RecordId,
    /// Its place in the log of the grant, from 0.
    pub seq: u64,
    /// The grant; none for an organisation's own work on its own machines.
    pub grant: Option<GrantId>,
    /// Who provided.
    pub provider: OrgId,
    /// Who used and pays.
    pub consumer: OrgId,
    /// The run.
    pub run: RunId,
    /// The fragment.
    pub fragment: FragmentId,
    /// The attempt.
    pub attempt: AttemptId,
    /// The user, under the name that this grant gave.
    pub pseudonym: Name,
    /// The name of the workflow.
    pub workflow: String,
    /// When it started, in ms since the epoch.
    pub started_ms: u64,
    /// When it ended, in ms since the epoch.
    pub ended_ms: u64,
    /// How long its cores were held, in ms of a monotonic clock.
    pub wall_ms: u64,
    /// Processor time over all cores, in ms.
    pub cpu_ms: u64,
    /// Most memory at any time, in bytes.
    pub peak_memory_bytes: u64,
    /// What it fetched, in bytes.
    pub bytes_in: u64,
    /// What left the provider as outputs, in bytes; logs are bounded and free.
    pub bytes_out: u64,
    /// What it kept stored times how long, in byte-seconds.
    pub storage_byte_seconds: u64,
    /// Cores it held.
    pub cores: u32,
    /// How it ended.
    pub outcome: Outcome,
    /// What it costs, in millionths of the grant's currency.
    pub charge: Money,
    /// The record that this one stands in place of.
    pub corrects: Option<RecordId>,
}

impl UsageRecord {
    /// The present version.
    pub const VERSION: u32 = 1;

    /// The one spelling of the record: JSON without spaces, fields in the order of the type.
    pub fn canonical(&self) -> Vec<u8> {
        // Numbers, ids and texts always have a JSON form.
        serde_json::to_vec(self).unwrap_or_default()
    }

    /// Reads the one spelling and refuses every other.
    ///
    /// # Errors
    /// When the bytes are no record, of another version, or spelled in another way.
    pub fn from_canonical(bytes: &[u8]) -> Result<Self, OpenError> {
        let record: Self = serde_json::from_slice(bytes).map_err(OpenError::malformed)?;
        if record.version != Self::VERSION {
            return Err(OpenError::Malformed(format!(
                "usage records of version {} are not known here",
                record.version
            )));
        }
        if record.canonical() != bytes {
            return Err(OpenError::Malformed(
                "a usage record has one spelling, and this is another".into(),
            ));
        }
        Ok(record)
    }

    /// Which correction of its attempt it is, by its id: 0 for the record itself.
    pub fn correction(&self) -> Option<u32> {
        let attempt = self.attempt.to_string();
        match self.id.as_str().strip_prefix(&attempt)? {
            "" => Some(0),
            rest => rest.strip_prefix('.')?.parse().ok(),
        }
    }

    /// True when its id is the one that its attempt and what it corrects make. Ids then tell at once whether
    /// an attempt is recorded twice.
    pub fn id_follows(&self) -> bool {
        let Some(n) = self.correction() else {
            return false;
        };
        let corrects = n
            .checked_sub(1)
            .map(|before| record_id(&self.attempt, before));
        record_id(&self.attempt, n).as_ref() == Ok(&self.id)
            && corrects.transpose().ok() == Some(self.corrects.clone())
    }

    /// Its leaf in the log.
    pub fn leaf(&self) -> Digest {
        leaf_hash(&self.canonical())
    }

    /// What it must cost at these prices: nothing where its provider lost it.
    pub fn charge_at(&self, price: &Price) -> Money {
        if self.outcome == Outcome::Lost {
            return Money::ZERO;
        }
        charge(
            price,
            &Chargeable {
                cores: self.cores,
                wall_ms: self.wall_ms,
                bytes_out: self.bytes_out,
                storage_byte_seconds: self.storage_byte_seconds,
            },
        )
    }
}

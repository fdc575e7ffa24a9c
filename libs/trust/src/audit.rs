//! What a consumer checks in each record before it countersigns a head: the record against the grant, against
//! what the consumer saw itself, and the charge to the last millionth.

use oc_kernel::{AttemptId, Classify, FragmentId, Kind, Money, Name, RunId};

use crate::envelope::SKEW_MS;
use crate::grant::Grant;
use crate::limits::OverLimit;
use crate::usage::{Outcome, UsageRecord};

/// How much longer a provider may have seen an attempt run than the consumer, in ms: events are on their way
/// for a while.
pub const WALL_TOLERANCE_MS: u64 = 5_000;

/// What the processor time of one core may exceed its wall time by, in ms: two periods of the kernel's
/// bandwidth control, which is accounted in whole periods of 100 ms.
pub const CPU_TOLERANCE_MS: u64 = 200;

/// What the consumer saw of an attempt itself.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Observed {
    /// The run.
    pub run: RunId,
    /// The fragment.
    pub fragment: FragmentId,
    /// The attempt.
    pub attempt: AttemptId,
    /// The pseudonym it was submitted under, where it was noted.
    pub pseudonym: Option<Name>,
    /// When the attempt was submitted, in ms since the epoch.
    pub submitted_ms: u64,
    /// When its end was seen, in ms since the epoch.
    pub ended_ms: u64,
    /// How it ended, where that was seen.
    pub outcome: Option<Outcome>,
    /// The bytes that arrived here, where they did.
    pub bytes_out: Option<u64>,
}

/// Why a record is not countersigned.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum Objection {
    /// The record is of another grant, provider or consumer.
    #[error("the record is not of this grant and its two sides")]
    Grant,
    /// Its id does not follow from its attempt and what it corrects.
    #[error("the id `{0}` does not follow from the record's attempt and what it corrects")]
    Id(Name),
    /// A second record of the attempt that corrects nothing, or not the newest one.
    #[error("attempt {0} is recorded already")]
    Twice(AttemptId),
    /// No attempt of ours, or under another user's pseudonym.
    #[error("attempt {0} of this user was never submitted from here")]
    Attempt(AttemptId),
    /// Outside the time in which the attempt can have run.
    #[error("it is said to have run from {started_ms} to {ended_ms}, which we did not see")]
    Time {
        /// The begin in the record, ms since the epoch.
        started_ms: u64,
        /// The end in the record, ms since the epoch.
        ended_ms: u64,
    },
    /// Longer than the consumer saw.
    #[error("{recorded} ms of wall time are recorded, {seen} ms were seen")]
    Wall {
        /// In the record.
        recorded: u64,
        /// From the consumer's own events.
        seen: u64,
    },
    /// More processor time than the cores can have given.
    #[error("{recorded} ms of cpu time are recorded, {possible} ms are possible")]
    Cpu {
        /// In the record.
        recorded: u64,
        /// Wall time times cores.
        possible: u64,
    },
    /// Other bytes than arrived.
    #[error("{recorded} bytes out are recorded, {seen} arrived")]
    Bytes {
        /// In the record.
        recorded: u64,
        /// What arrived.
        seen: u64,
    },
    /// Another end than the consumer saw.
    #[error("it is recorded as {recorded:?} and was seen as {seen:?}")]
    Outcome {
        /// In the record.
        recorded: Outcome,
        /// What was seen.
        seen: Outcome,
    },
    /// More than the grant allows.
    #[error("more than the grant allows: {0}")]
    Limit(OverLimit),
    /// Another charge than the price makes.
    #[error("{recorded} is charged, the price makes {owed}")]
    Charge {
        /// In the record.
        recorded: Money,
        /// By the grant's price.
        owed: Money,
    },
}

impl Objection {
    /// A stable name, for a dispute that another program reads.
    pub const fn code(&self) -> &'static str {
        match self {
            Objection::Grant => "grant",
            Objection::Id(_) => "id",
            Objection::Twice(_) => "twice",
            Objection::Attempt(_) => "attempt",
            Objection::Time { .. } => "time",
            Objection::Wall { .. } => "wall",
            Objection::Cpu { .. } => "cpu",
            Objection::Bytes { .. } => "bytes",
            Objection::Outcome { .. } => "outcome",
            Objection::Limit(_) => "limit",
            Objection::Charge { .. } => "charge",
        }
    }
}

impl Classify for Objection {
    fn kind(&self) -> Kind {
        Kind::Precondition
    }
}

/// Checks one record before countersigning. `own` is what the consumer saw of that attempt; none when it
/// knows no such attempt.
///
/// # Errors
/// The first thing that is wrong.
pub fn audit(record: &UsageRecord, own: Option<&Observed>, grant: &Grant) -> Result<(), Objection> {
    let same_sides = record.grant == Some(grant.id)
        && record.provider == grant.provider
        && record.consumer == grant.consumer;
    if !same_sides {
        return Err(Objection::Grant);
    }
    if !record.id_follows() {
        return Err(Objection::Id(record.id.clone()));
    }
    let own = own
        .filter(|own| {
            own.run == record.run
                && own.fragment == record.fragment
                && own.attempt == record.attempt
                && own
                    .pseudonym
                    .as_ref()
                    .is_none_or(|name| *name == record.pseudonym)
        })
        .ok_or(Objection::Attempt(record.attempt))?;
    check_times(record, own)?;
    check_amounts(record, own, grant)?;
    let owed = record.charge_at(&grant.price);
    if record.charge != owed {
        return Err(Objection::Charge {
            recorded: record.charge,
            owed,
        });
    }
    Ok(())
}

fn check_times(record: &UsageRecord, own: &Observed) -> Result<(), Objection> {
    let possible = record.started_ms <= record.ended_ms
        && record.started_ms.saturating_add(SKEW_MS) >= own.submitted_ms
        && record.ended_ms <= own.ended_ms.saturating_add(SKEW_MS);
    if !possible {
        return Err(Objection::Time {
            started_ms: record.started_ms,
            ended_ms: record.ended_ms,
        });
    }
    let seen = own.ended_ms.saturating_sub(own.submitted_ms);
    if record.wall_ms > seen.saturating_add(WALL_TOLERANCE_MS) {
        return Err(Objection::Wall {
            recorded: record.wall_ms,
            seen,
        });
    }
    let per_core = record.wall_ms.saturating_add(CPU_TOLERANCE_MS);
    let possible = per_core.saturating_mul(u64::from(record.cores));
    if record.cpu_ms > possible {
        return Err(Objection::Cpu {
            recorded: record.cpu_ms,
            possible,
        });
    }
    Ok(())
}

fn check_amounts(record: &UsageRecord, own: &Observed, grant: &Grant) -> Result<(), Objection> {
    if let Some(seen) = own.bytes_out
        && seen != record.bytes_out
    {
        return Err(Objection::Bytes {
            recorded: record.bytes_out,
            seen,
        });
    }
    if let Some(seen) = own.outcome
        && contradicts(seen, record.outcome)
    {
        return Err(Objection::Outcome {
            recorded: record.outcome,
            seen,
        });
    }
    let bounds = [
        (
            "cores",
            u64::from(record.cores),
            u64::from(grant.limits.cores),
        ),
        (
            "bytes of memory",
            record.peak_memory_bytes,
            grant.limits.memory_bytes,
        ),
        ("bytes out", record.bytes_out, grant.limits.egress_bytes),
    ];
    for (what, asked, limit) in bounds {
        if asked > limit {
            return Err(Objection::Limit(OverLimit { what, asked, limit }));
        }
    }
    Ok(())
}

/// Who ended an attempt may look different from the other side. Whether its outputs are there may not, and a provider
/// that told that it lost it has said that it charges nothing. One that charges nothing may say so of any.
fn contradicts(seen: Outcome, recorded: Outcome) -> bool {
    let succeeded = |outcome| outcome == Outcome::Succeeded;
    match (seen, recorded) {
        (_, Outcome::Lost) => false,
        (Outcome::Lost, _) => true,
        _ => succeeded(seen) != succeeded(recorded),
    }
}

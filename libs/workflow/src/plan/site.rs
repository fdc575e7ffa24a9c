//! What the planner is told about places: machines, data and storage, and whether we may use them.

use std::collections::BTreeSet;

use jiff::Timestamp;
use oc_kernel::{GrantId, Money, Name, OrgId};
use serde::{Deserialize, Serialize};

use crate::steps::Resources;
use crate::words;

/// Whether we may use something.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "state", rename_all = "snake_case")]
pub enum Access {
    /// It is ours.
    Own,
    /// A grant allows it.
    Granted {
        /// The grant.
        grant: GrantId,
        /// Its last moment.
        ends: Timestamp,
    },
    /// Nobody asked for a grant yet.
    Missing,
    /// A grant was asked for and is not decided.
    Requested {
        /// Since when.
        since: Timestamp,
    },
    /// The owner said no.
    Denied {
        /// The owner's reason.
        reason: String,
    },
    /// The grant has ended.
    Expired {
        /// When.
        ended: Timestamp,
    },
    /// Nothing begins under the grant while an objection to its books stands.
    Disputed {
        /// The objection.
        reason: String,
    },
    /// The grant lists the tools that may run under it, and this run is none.
    Unfit {
        /// Why not, as the end of "it lists its tools,".
        reason: String,
    },
    /// The grant does not open what else of the owner's is used there.
    Uncovered {
        /// The listing.
        listing: Name,
    },
    /// Under the grant the owner refused it just now.
    Refused {
        /// The owner's words.
        reason: String,
    },
    /// The owner took the grant back.
    Revoked {
        /// When.
        at: Timestamp,
    },
}

impl Access {
    /// Why it cannot be used at `now`, with what to do about it; nothing when it can.
    pub fn refusal(&self, what: &str, owner: &str, now: Timestamp) -> Option<String> {
        let ask = || format!("ask {owner} for a new one");
        match self {
            Self::Own => None,
            Self::Granted { ends, .. } if *ends > now => None,
            Self::Granted { ends: ended, .. } | Self::Expired { ended } => Some(format!(
                "the grant on {what} ended {} ago: {}",
                words::between(*ended, now),
                ask()
            )),
            Self::Missing => Some(format!("no grant on {what}: ask {owner} for one")),
            Self::Requested { since } => Some(format!(
                "a grant on {what} was asked for {} ago and {owner} has not decided: wait or remind them",
                words::between(*since, now)
            )),
            Self::Denied { reason } => Some(format!(
                "{owner} denied a grant on {what} ({reason}): ask {owner} for another"
            )),
            Self::Disputed { reason } => Some(format!(
                "the books of the grant on {what} are disputed and nothing begins under it ({reason}): ask {owner} to \
                 correct the record, or for a new grant"
            )),
            Self::Unfit { reason } => Some(format!(
                "the grant on {what} lists the tools that may run under it, {reason}: run one of them as it is listed, \
                 or ask {owner} for a grant without tools"
            )),
            Self::Uncovered { listing } => Some(format!(
                "the grant on {what} does not cover `{listing}` of {owner}, where the results are to go: ask {owner} for \
                 one grant on both, or store the results elsewhere"
            )),
            Self::Refused { reason } => Some(format!(
                "{owner} refuses {what} ({reason}): see what it offers with `opencloud catalog search`, or ask {owner}"
            )),
            Self::Revoked { at } => Some(format!(
                "{owner} revoked the grant on {what} {} ago: {}",
                words::between(*at, now),
                ask()
            )),
        }
    }

    /// The grant that allows it, if one does.
    pub fn grant(&self) -> Option<GrantId> {
        match self {
            Self::Granted { grant, .. } => Some(*grant),
            _ => None,
        }
    }

    /// The last moment of the grant that allows it.
    pub(crate) fn ends(&self) -> Option<Timestamp> {
        match self {
            Self::Granted { ends, .. } => Some(*ends),
            _ => None,
        }
    }
}

/// What an owner asks.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Price {
    /// ISO 4217 code; one a grant.
    pub currency: String,
    /// For one core for an hour.
    pub core_hour: Money,
    /// For one GiB that leaves the owner.
    pub egress_gib: Money,
}

impl Price {
    /// What `core_seconds` cost.
    pub fn of_cores(&self, core_seconds: u64) -> Money {
        Money::for_units(self.core_hour, core_seconds, 3_600)
    }

    /// What it costs when `bytes` leave.
    pub fn of_egress(&self, bytes: u64) -> Money {
        Money::for_units(self.egress_gib, bytes, 1 << 30)
    }
}

/// A compute offer of ours or of a partner.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Site {
    /// Whose machines.
    pub org: OrgId,
    /// What people call the organisation.
    pub name: String,
    /// The listing of the offer.
    pub listing: Name,
    /// Whether we may use it.
    pub access: Access,
    /// Since when its organisation does not answer; nothing while it does.
    pub silent_since: Option<Timestamp>,
    /// Most that one fragment may take, by offer and grant.
    pub limit: Resources,
    /// What is free now.
    pub free: Resources,
    /// What it asks.
    pub price: Price,
    /// Its programs; none when the offer does not tell.
    pub software: Option<BTreeSet<String>>,
    /// It runs containers.
    pub containers: bool,
    /// What its sandbox lacks: without one, no organisation runs another's work.
    pub sandbox_missing: Option<String>,
    /// Most seconds a fragment may take there.
    pub longest_seconds: Option<u64>,
    /// Core-seconds that are left of the grant's budget.
    pub core_seconds_left: Option<u64>,
}

/// Where an input of the run lies and how large it is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct InputData {
    /// Who holds it.
    pub org: OrgId,
    /// What people call the holder.
    pub name: String,
    /// What it is, for example `dataset sentinel-2-l2a`.
    pub what: String,
    /// Its bytes.
    pub bytes: u64,
    /// What the holder asks when it leaves.
    pub price: Price,
    /// Whether we may read it.
    pub access: Access,
    /// The grants in force that cover it; empty where none is needed. A site of its holder's reads it under the grant on
    /// its machines, which has to be one of them.
    pub under: BTreeSet<GrantId>,
    /// The only tools that its holder lets read it, in words; none where any may.
    pub tools: Option<Vec<String>>,
    /// Bytes that may still leave its holder under the grant; none where nothing bounds them.
    pub egress_left: Option<u64>,
}

/// Where the outputs of the run go.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Storage {
    /// Whose storage.
    pub org: OrgId,
    /// What people call the organisation.
    pub name: String,
    /// The storage listing.
    pub listing: Name,
    /// Whether we may write there.
    pub access: Access,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_price_grows_with_cores_time_and_bytes() {
        let price = Price {
            currency: "EUR".into(),
            core_hour: Money(50_000),
            egress_gib: Money(10_000),
        };
        assert_eq!(price.of_cores(7_200), Money(100_000));
        assert_eq!(price.of_cores(0), Money::ZERO);
        assert_eq!(price.of_egress(3 << 30), Money(30_000));
    }

    #[test]
    fn what_may_not_be_used_says_why_and_what_to_do() {
        let now: Timestamp = "2026-11-21T12:00:00Z".parse().unwrap();
        let hour_ago: Timestamp = "2026-11-21T11:00:00Z".parse().unwrap();
        let refusal = |access: Access| access.refusal("offer `big`", "South", now);
        let granted = |ends| Access::Granted {
            grant: GrantId::new(),
            ends,
        };
        assert_eq!(refusal(Access::Own), None);
        let later = "2026-11-21T12:00:01Z".parse().unwrap();
        assert_eq!(refusal(granted(later)), None);
        for (access, text) in [
            (granted(hour_ago), "ended 1 h ago: ask South"),
            (
                Access::Expired { ended: hour_ago },
                "ended 1 h ago: ask South",
            ),
            (Access::Missing, "no grant on offer `big`: ask South"),
            (Access::Requested { since: hour_ago }, "has not decided"),
            (Access::Revoked { at: hour_ago }, "revoked"),
            (
                Access::Denied {
                    reason: "no students".into(),
                },
                "no students",
            ),
            (
                Access::Refused {
                    reason: "offer `big` was withdrawn".into(),
                },
                "South refuses offer `big` (offer `big` was withdrawn): see what it offers",
            ),
            (
                Access::Unfit {
                    reason: "and this workflow is none of them".into(),
                },
                "and this workflow is none of them: run one of them",
            ),
            (
                Access::Uncovered {
                    listing: "storage.depot".parse().unwrap(),
                },
                "does not cover `storage.depot` of South, where the results are to go: ask South for one grant on both",
            ),
            (
                Access::Disputed {
                    reason: "record 3: too long".into(),
                },
                "(record 3: too long): ask South to correct",
            ),
        ] {
            let refusal = refusal(access).unwrap();
            assert!(refusal.contains(text), "{refusal}");
        }
    }
}

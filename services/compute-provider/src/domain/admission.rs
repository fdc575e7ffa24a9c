//! The decision to hold capacity for, and to start, an attempt. Pure: what was verified, what stands in our
//! documents and what the machine can do go in; a yes with its bounds or a no with its cause comes out.
//! How much of a grant is used is the ledger's to count, in the same write that takes effect.

use std::collections::BTreeSet;

use jiff::Timestamp;
use oc_kernel::{AttemptId, Classify, Code, Digest, FragmentId, Kind, Name, OrgId, RunId};
use oc_trust::{Authority, Limits, OverLimit};

use super::egress::EgressLimits;
use super::fragment::Fragment;
use super::grant::{Grant, GrantError};
use super::ledger::{Demand, Terms};
use super::offer::{Offer, OfferError, OfferState};
use super::runtime::SandboxReport;

/// Why an attempt is not admitted.
#[derive(Debug, Clone, PartialEq, thiserror::Error)]
pub enum Refusal {
    /// No such offer, or not for this caller.
    #[error("no compute offer `{0}` here")]
    NoOffer(Name),
    /// The offer is withdrawn.
    #[error("offer `{0}` is withdrawn")]
    Withdrawn(Name),
    /// The offer could never run it.
    #[error(transparent)]
    Offer(#[from] OfferError),
    /// A partner showed no grant.
    #[error("work of a partner needs a grant: ask for one")]
    NoGrant,
    /// The grant is not in force for this.
    #[error(transparent)]
    Grant(#[from] GrantError),
    /// More than the grant allows at one time.
    #[error("grant {grant} does not allow that: {over}")]
    OverGrant {
        /// The grant.
        grant: String,
        /// Which number, and both of them.
        over: OverLimit,
    },
    /// More than was delegated for the attempt.
    #[error("more is held than was delegated for the attempt: {0}")]
    OverDelegation(OverLimit),
    /// The delegation is of another grant or of an older generation of it.
    #[error(
        "the delegation is from generation {presented} of the grant, {current} is in force: it was changed or revoked"
    )]
    OldGeneration {
        /// Presented.
        presented: u64,
        /// In force.
        current: u64,
    },
    /// The delegation is for something else.
    #[error("the delegation is for another {0}")]
    Elsewhere(&'static str),
    /// Somebody else than the consumer submits.
    #[error("only {consumer} may submit under this delegation")]
    NotTheConsumer {
        /// Who may.
        consumer: OrgId,
    },
    /// The machine cannot isolate a partner's tools.
    #[error("this site cannot run partners' work, because it cannot isolate it: {0}")]
    NoSandbox(String),
    /// The machine has no container runtime.
    #[error(
        "a tool requires a container (DockerRequirement) and this site has no container runtime"
    )]
    NoContainers,
    /// What the grant does not list may not read its data.
    #[error(
        "this document may not read the data of this grant: it is none of the tools that the grant lists, whole and \
         unchanged"
    )]
    NotListed,
    /// What a listed tool reads beside the data could make it tell them.
    #[error(
        "the grant lists the tools that may read its data, and with nothing of others beside it: `{0}` is no dataset of \
         ours"
    )]
    Beside(String),
    /// What a listed tool makes of two datasets could tell either.
    #[error(
        "the grant lists the tools that may read its data, one dataset a run: this one reads `{0}` and `{1}`"
    )]
    TwoDatasets(Name, Name),
}

impl Classify for Refusal {
    fn kind(&self) -> Kind {
        match self {
            Refusal::NoOffer(_) => Kind::NotFound,
            Refusal::Withdrawn(_) => Kind::Precondition,
            Refusal::Offer(error) => error.kind(),
            Refusal::Grant(error) => error.kind(),
            Refusal::NoSandbox(_) | Refusal::NoContainers => Kind::Unsupported,
            // Waiting does not help: no hold of this size ever fits.
            Refusal::NoGrant
            | Refusal::OverGrant { .. }
            | Refusal::OverDelegation(_)
            | Refusal::OldGeneration { .. }
            | Refusal::Elsewhere(_)
            | Refusal::NotTheConsumer { .. }
            | Refusal::NotListed
            | Refusal::Beside(_)
            | Refusal::TwoDatasets(..) => Kind::Forbidden,
        }
    }

    fn code(&self) -> Option<Code> {
        match self {
            Refusal::Withdrawn(_) => Some(Code::OfferWithdrawn),
            Refusal::NoGrant => Some(Code::GrantMissing),
            Refusal::Grant(error) => error.code(),
            Refusal::OverGrant { .. } | Refusal::OverDelegation(_) => Some(Code::OverLimit),
            Refusal::OldGeneration { .. } => Some(Code::GrantChanged),
            Refusal::NoSandbox(_) => Some(Code::SandboxMissing),
            _ => None,
        }
    }

    fn advice(&self) -> Option<String> {
        match self {
            Refusal::Grant(error) => error.advice(),
            Refusal::OverGrant { .. } => {
                Some("ask for a grant with larger limits, or for less".to_owned())
            }
            Refusal::NotListed => {
                Some("run one of the grant's tools as it is listed, all its steps here".to_owned())
            }
            Refusal::TwoDatasets(..) => {
                Some("take all files of the run from one dataset".to_owned())
            }
            Refusal::NoGrant => Some("ask for a grant with `opencloud grant request`".to_owned()),
            Refusal::NoContainers => {
                Some("move DockerRequirement under `hints`, or choose another site".to_owned())
            }
            Refusal::NoSandbox(_) => {
                Some("the site's operator finds what is missing with `opencloud doctor`".to_owned())
            }
            _ => None,
        }
    }
}

/// Who asks: ourselves, or a partner under a grant of ours.
#[derive(Debug, Clone, Copy)]
pub enum Asker<'a> {
    /// One of our own services.
    Own,
    /// A partner, as the door proved it, with the grant it names.
    Partner {
        /// The partner.
        org: &'a OrgId,
        /// The grant as it stands here.
        grant: Option<&'a Grant>,
    },
}

/// Decides about holding capacity. The terms are what the ledger then enforces.
///
/// # Errors
/// Why not.
pub fn admit_hold(
    asker: Asker<'_>,
    offer: &Offer,
    demand: &Demand,
    sandbox: &SandboxReport,
    now: Timestamp,
) -> Result<Option<Terms>, Refusal> {
    if offer.state == OfferState::Withdrawn {
        return Err(Refusal::Withdrawn(offer.name.clone()));
    }
    let wall_seconds = demand.wall_ms.div_ceil(1000);
    let Asker::Partner { org, grant } = asker else {
        offer.could_run(&demand.resources, wall_seconds)?;
        return Ok(None);
    };
    if !offer.visible_to(org) {
        return Err(Refusal::NoOffer(offer.name.clone()));
    }
    let grant = grant.ok_or(Refusal::NoGrant)?;
    let listing = offer.listing_id().map_err(OfferError::from)?;
    grant.in_force(org, &listing, now)?;
    if !sandbox.isolated {
        return Err(Refusal::NoSandbox(
            sandbox.missing.clone().unwrap_or_default(),
        ));
    }
    offer.could_run(&demand.resources, wall_seconds)?;
    let limits = grant
        .agreed
        .as_ref()
        .map(|agreed| agreed.limits)
        .unwrap_or_default();
    at_once(demand, wall_seconds)
        .within(&limits)
        .map_err(|over| Refusal::OverGrant {
            grant: grant.id.to_string(),
            over,
        })?;
    Ok(Some(Terms {
        grant: grant.id,
        generation: grant.generation,
        limits,
    }))
}

/// What one attempt takes of limits that hold at a time.
fn at_once(demand: &Demand, wall_seconds: u64) -> Limits {
    Limits {
        cores: demand.resources.cores,
        memory_bytes: demand.resources.memory_bytes,
        fragments: 1,
        run_wall_seconds: wall_seconds,
        ..Limits::default()
    }
}

/// The attempt that is submitted.
#[derive(Debug, Clone, Copy)]
pub struct Submission<'a> {
    /// The run.
    pub run: RunId,
    /// The fragment.
    pub fragment: FragmentId,
    /// The attempt.
    pub attempt: AttemptId,
    /// The listing of the offer it was held on.
    pub listing: &'a Name,
    /// What was held.
    pub demand: &'a Demand,
    /// What is to run.
    pub work: &'a Fragment,
}

/// Decides about starting an attempt of a partner: `authority` was verified for us as its audience, `grant`
/// is how the grant stands here. The egress is what may leave through it.
///
/// # Errors
/// Why not.
pub fn admit_submission(
    caller: &OrgId,
    authority: &Authority,
    grant: &Grant,
    submission: &Submission<'_>,
    listed: Option<&BTreeSet<Digest>>,
    now: Timestamp,
) -> Result<EgressLimits, Refusal> {
    let Some(signed) = &authority.grant else {
        return Err(Refusal::NoGrant);
    };
    if authority.consumer != *caller {
        return Err(Refusal::NotTheConsumer {
            consumer: authority.consumer,
        });
    }
    let same = [
        ("grant", signed.id == grant.id),
        ("run", authority.run == submission.run),
        ("fragment", authority.fragment == submission.fragment),
        ("attempt", authority.attempt == submission.attempt),
        (
            "offer",
            authority.offer.as_ref() == Some(submission.listing),
        ),
        ("piece of work", authority.request == submission.work.work),
    ];
    if let Some((what, _)) = same.into_iter().find(|(_, same)| !same) {
        return Err(Refusal::Elsewhere(what));
    }
    grant.in_force(caller, submission.listing, now)?;
    if signed.generation != grant.generation {
        return Err(Refusal::OldGeneration {
            presented: signed.generation,
            current: grant.generation,
        });
    }
    let wall_seconds = submission.demand.wall_ms.div_ceil(1000);
    at_once(submission.demand, wall_seconds)
        .within(&authority.limits)
        .map_err(Refusal::OverDelegation)?;
    if let Some(listed) = listed {
        if submission.work.listed_as.is_disjoint(listed) {
            return Err(Refusal::NotListed);
        }
        one_dataset(authority)?;
    }
    let limits = grant
        .agreed
        .as_ref()
        .map(|agreed| agreed.limits)
        .unwrap_or_default();
    Ok(EgressLimits {
        attempt: authority.limits.egress_bytes,
        grant: limits.egress_bytes,
    })
}

/// A listed tool reads one dataset of ours: which of them lie beside each other is not for its consumer to choose.
/// That each object is of the listing that the delegation names is looked at where it is opened.
fn one_dataset(authority: &Authority) -> Result<(), Refusal> {
    let ours = authority
        .inputs
        .iter()
        .filter(|input| input.owner == authority.owner);
    let listings: BTreeSet<&Name> = ours.filter_map(|input| input.listing.as_ref()).collect();
    let mut listings = listings.into_iter();
    match (listings.next(), listings.next()) {
        (Some(first), Some(second)) => Err(Refusal::TwoDatasets(first.clone(), second.clone())),
        _ => Ok(()),
    }
}

/// Checks that this machine can run the work at all.
///
/// # Errors
/// What it lacks.
pub fn can_run(work: &Fragment, sandbox: &SandboxReport) -> Result<(), Refusal> {
    if work.needs_container && !sandbox.containers {
        return Err(Refusal::NoContainers);
    }
    Ok(())
}

#[cfg(test)]
mod tests;

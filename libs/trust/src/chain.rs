//! Chains of delegations. A chain is rooted in a grant, or in the owner itself, and each link gives at
//! most what its parent has. Everything is checked offline; what a grant has used up so far, and whether
//! its generation still counts, is for admission to look up.

use std::collections::HashSet;
use std::sync::Arc;

use oc_kernel::{AttemptId, Digest, FragmentId, Name, ObjectKey, OrgId, RunId};
use serde::{Deserialize, Serialize};
use serde_json::value::RawValue;

use crate::delegation::{Delegation, Input, Output, workspace};
use crate::dsse;
use crate::envelope::{Here, Sealed, Unverified};
use crate::error::{ChainError, OpenError};
use crate::grant::{Grant, open_grant};
use crate::keyset::{KeySet, KeySets};
use crate::limits::Limits;
use crate::listing::ListingKind;

/// Longest chain that is followed.
pub const MOST_LINKS: usize = 8;

impl ChainError {
    /// Refuses a chain of `found` delegations.
    pub fn length(found: usize) -> Self {
        let most = MOST_LINKS;
        Self::Length { most, found }
    }
}

/// The envelopes of a chain, each byte for byte as it came.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Chain {
    /// The grant it is rooted in; none when the first issuer owns what it gives.
    pub grant: Option<Vec<u8>>,
    /// The delegations, from the root.
    pub links: Vec<Vec<u8>>,
}

#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Wire {
    grant: Option<Box<RawValue>>,
    links: Vec<Box<RawValue>>,
}

impl Chain {
    /// A chain of one delegation.
    pub fn new(grant: Option<&Sealed<Grant>>, first: &Sealed<Delegation>) -> Self {
        Self {
            grant: grant.map(|grant| grant.bytes().to_vec()),
            links: vec![first.bytes().to_vec()],
        }
    }

    /// The same chain with one delegation more.
    #[must_use]
    pub fn with(mut self, next: &Sealed<Delegation>) -> Self {
        self.links.push(next.bytes().to_vec());
        self
    }

    /// The form that goes over the wire: a JSON object with the envelopes in it as they are.
    ///
    /// # Errors
    /// When an envelope is not JSON.
    pub fn to_json(&self) -> Result<Vec<u8>, OpenError> {
        let raw = |bytes: &Vec<u8>| {
            let text = String::from_utf8(bytes.clone()).map_err(OpenError::malformed)?;
            RawValue::from_string(text).map_err(OpenError::malformed)
        };
        let wire = Wire {
            grant: self.grant.as_ref().map(raw).transpose()?,
            links: self.links.iter().map(raw).collect::<Result<_, _>>()?,
        };
        serde_json::to_vec(&wire).map_err(OpenError::malformed)
    }

    /// Reads the form that goes over the wire.
    ///
    /// # Errors
    /// When it is malformed or longer than four envelopes may be.
    pub fn from_json(bytes: &[u8]) -> Result<Self, OpenError> {
        let most = 4 * dsse::LIMIT;
        if bytes.len() > most {
            return Err(OpenError::TooLarge {
                most,
                length: bytes.len(),
            });
        }
        let wire: Wire = serde_json::from_slice(bytes).map_err(OpenError::malformed)?;
        let bytes = |raw: Box<RawValue>| raw.get().as_bytes().to_vec();
        Ok(Self {
            grant: wire.grant.map(bytes),
            links: wire.links.into_iter().map(bytes).collect(),
        })
    }
}

/// Who shows a chain to whom.
#[derive(Debug, Clone, Copy)]
pub struct Asking<'a> {
    /// The organisation whose things are asked for: the one that verifies.
    pub owner: &'a OrgId,
    /// The organisation that shows the chain, as the door proved it.
    pub presenter: &'a OrgId,
    /// The network and the time.
    pub here: Here<'a>,
}

/// What a chain that holds allows.
#[derive(Debug, Clone, PartialEq)]
pub struct Authority {
    /// Whose things it opens.
    pub owner: OrgId,
    /// For whom: the consumer of the grant, or the owner itself. It pays.
    pub consumer: OrgId,
    /// Who may use it.
    pub presenter: OrgId,
    /// The grant it is rooted in.
    pub grant: Option<Grant>,
    /// The digest of the last delegation.
    pub digest: Digest,
    /// The run.
    pub run: RunId,
    /// The fragment.
    pub fragment: FragmentId,
    /// The attempt.
    pub attempt: AttemptId,
    /// The digest of what is asked for.
    pub request: Digest,
    /// The compute listing to run on.
    pub offer: Option<Name>,
    /// What may be read, of all owners.
    pub inputs: Vec<Input>,
    /// Where may be written.
    pub output: Option<Output>,
    /// Bounds of the attempt.
    pub limits: Limits,
    /// When it begins: the latest begin in the chain, in ms since the epoch.
    pub not_before: u64,
    /// When it ends: the earliest end in the chain, in ms since the epoch.
    pub not_after: u64,
}

impl Authority {
    /// The input that lets this object of the owner be read; none when nothing does.
    pub fn reads(&self, object: &ObjectKey) -> Option<&Input> {
        self.inputs
            .iter()
            .find(|input| input.owner == self.owner && input.object == *object)
    }

    /// True when this object of the owner may be written.
    pub fn writes(&self, object: &ObjectKey) -> bool {
        self.output
            .as_ref()
            .is_some_and(|out| out.owner == self.owner && object.is_below(&out.prefix))
    }
}

/// Checks a chain link by link.
///
/// # Errors
/// Where it does not hold, and why.
pub fn verify_chain(
    chain: &Chain,
    key_sets: &dyn KeySets,
    asking: &Asking<'_>,
) -> Result<Authority, ChainError> {
    let found = chain.links.len();
    if found == 0 || found > MOST_LINKS {
        return Err(ChainError::length(found));
    }
    let grant = match &chain.grant {
        Some(bytes) => Some(open_grant(bytes, key_sets, &asking.here).map_err(|source| {
            let part = "the grant".to_owned();
            ChainError::Open { part, source }
        })?),
        None => None,
    };
    let (owner, consumer) = match &grant {
        Some(grant) => (grant.statement().provider, grant.statement().consumer),
        None => (*asking.owner, *asking.owner),
    };
    if owner != *asking.owner {
        return Err(ChainError::Root {
            expected: *asking.owner,
            found: owner,
        });
    }

    let mut holder = consumer;
    let mut parent = grant.as_ref().map(Sealed::digest);
    let mut not_before = grant.as_ref().map_or(0, |g| g.statement().not_before);
    let mut above: Option<Delegation> = None;
    for (at, bytes) in chain.links.iter().enumerate() {
        let link = at + 1;
        let sealed = open_link(bytes, link, &holder, key_sets, &asking.here)?;
        let delegation = sealed.statement();
        if delegation.parent != parent {
            return Err(ChainError::Parent {
                link,
                found: delegation.parent,
            });
        }
        match (&above, &grant) {
            (Some(above), _) => narrows(delegation, above, link)?,
            (None, Some(grant)) => fits(delegation, grant.statement(), link)?,
            // The first issuer owns what it gives: nothing is above it.
            (None, None) => {}
        }
        holder = delegation.audience;
        parent = Some(sealed.digest());
        not_before = not_before.max(delegation.not_before);
        above = Some(sealed.into_statement());
    }

    if holder != *asking.presenter {
        return Err(ChainError::Presenter {
            expected: holder,
            found: *asking.presenter,
        });
    }
    let (Some(last), Some(digest)) = (above, parent) else {
        return Err(ChainError::length(0));
    };
    Ok(Authority {
        owner,
        consumer,
        presenter: holder,
        grant: grant.map(Sealed::into_statement),
        digest,
        run: last.run,
        fragment: last.fragment,
        attempt: last.attempt,
        request: last.request,
        offer: last.offer,
        inputs: last.inputs,
        output: last.output,
        limits: last.limits,
        not_before,
        not_after: last.not_after,
    })
}

fn open_link(
    bytes: &[u8],
    link: usize,
    holder: &OrgId,
    key_sets: &dyn KeySets,
    here: &Here<'_>,
) -> Result<Sealed<Delegation>, ChainError> {
    let wrong = |source| ChainError::Open {
        part: format!("delegation {link}"),
        source,
    };
    let unverified = Unverified::<Delegation>::parse(bytes).map_err(wrong)?;
    let issuer = unverified.claim().issuer;
    if issuer != *holder {
        return Err(ChainError::Issuer {
            link,
            expected: *holder,
            found: issuer,
        });
    }
    let key_set: Arc<KeySet> = key_sets
        .key_set(&issuer)
        .ok_or(OpenError::UnknownOrganisation { org: issuer })
        .map_err(wrong)?;
    unverified.signed_by(key_set.as_ref()).map_err(wrong)?;
    unverified.accept(here).map_err(wrong)
}

fn wider(link: usize, what: impl Into<String>) -> ChainError {
    ChainError::Wider {
        link,
        what: what.into(),
    }
}

/// A delegation gives no more than the one above it.
fn narrows(child: &Delegation, parent: &Delegation, link: usize) -> Result<(), ChainError> {
    let same_work = child.run == parent.run
        && child.fragment == parent.fragment
        && child.attempt == parent.attempt
        && child.request == parent.request;
    if !same_work {
        return Err(wider(link, "it is for another attempt or request"));
    }
    if child.not_after > parent.not_after {
        return Err(wider(link, "it ends later"));
    }
    if child.offer.is_some() && child.offer != parent.offer {
        return Err(wider(link, "it names another offer"));
    }
    let given: HashSet<(&OrgId, &ObjectKey, &Option<Name>, &Digest)> =
        parent.inputs.iter().map(identity).collect();
    if let Some(extra) = child.inputs.iter().find(|i| !given.contains(&identity(i))) {
        return Err(wider(link, format!("it adds the input `{}`", extra.object)));
    }
    if let Some(output) = &child.output {
        let inside = parent.output.as_ref().is_some_and(|above| {
            output.owner == above.owner
                && output.listing == above.listing
                && (output.prefix == above.prefix || output.prefix.is_below(&above.prefix))
        });
        if !inside {
            return Err(wider(link, format!("it writes to `{}`", output.prefix)));
        }
    }
    child
        .limits
        .within(&parent.limits)
        .map_err(|over| ChainError::Limit { link, over })
}

fn identity(input: &Input) -> (&OrgId, &ObjectKey, &Option<Name>, &Digest) {
    (&input.owner, &input.object, &input.listing, &input.sha256)
}

/// The first delegation gives no more than the grant it is taken from.
fn fits(delegation: &Delegation, grant: &Grant, link: usize) -> Result<(), ChainError> {
    if delegation.not_after > grant.not_after {
        return Err(wider(link, "it ends later than the grant"));
    }
    let mut bounds = grant.limits;
    let mut granted = |id: &Name, kinds: &[ListingKind]| {
        let listing = grant
            .listing(id)
            .filter(|listing| kinds.contains(&listing.kind))
            .ok_or_else(|| wider(link, format!("`{id}` is not in the grant for this use")))?;
        bounds = bounds.meet(&grant.limits_for(listing));
        Ok(())
    };
    // Objects without a listing are those that this consumer's own run left here.
    let own_work = workspace(&grant.consumer, &delegation.run)
        .map_err(|error| wider(link, error.to_string()))?;

    if let Some(offer) = &delegation.offer {
        granted(offer, &[ListingKind::Compute])?;
    }
    for input in delegation
        .inputs
        .iter()
        .filter(|i| i.owner == grant.provider)
    {
        match &input.listing {
            Some(id) => granted(id, &[ListingKind::Dataset, ListingKind::Storage])?,
            None if input.object.is_below(&own_work) => {}
            None => {
                let what = format!("the input `{}` is in no listing", input.object);
                return Err(wider(link, what));
            }
        }
    }
    if let Some(output) = &delegation.output
        && output.owner == grant.provider
    {
        match &output.listing {
            Some(id) => granted(id, &[ListingKind::Storage])?,
            None if output.prefix.is_below(&own_work) => {}
            None => {
                let what = format!("the output `{}` is in no listing", output.prefix);
                return Err(wider(link, what));
            }
        }
    }
    delegation
        .limits
        .within(&bounds)
        .map_err(|over| ChainError::Limit { link, over })
}

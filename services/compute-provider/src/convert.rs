//! Between the messages of the API and the types of the domain.

use oc_door::price_message;
use oc_kernel::{Digest, Name, ObjectKey, OrgId};
use oc_proto::catalog::v1 as catalog;
use oc_proto::compute::v1 as pb;
use oc_proto::federation::v1 as fed;
use oc_proto::types::v1 as types;
use oc_trust::{Currency, Limits, ListingKind, Price, Tool, Visibility};

use crate::documents::{GrantDocument, StoredObject};
use crate::domain::grant::{Cause, GrantState, Rule, ms};
use crate::domain::offer::{Offer, OfferKind, OfferState};
use crate::domain::resources::Taken;
use crate::error::Error;
use crate::offers::Inside;

/// Reads a field that has a text form: an id, a name, a key, a digest.
pub(crate) fn parse<T>(field: &'static str, text: &str) -> Result<T, Error>
where
    T: std::str::FromStr<Err: std::fmt::Display>,
{
    text.parse().map_err(|error: T::Err| Error::Malformed {
        field,
        reason: error.to_string(),
    })
}

/// Reads a list of such fields.
pub(crate) fn parse_all<T>(field: &'static str, texts: &[String]) -> Result<Vec<T>, Error>
where
    T: std::str::FromStr<Err: std::fmt::Display>,
{
    texts.iter().map(|text| parse(field, text)).collect()
}

pub(crate) fn limits(message: Option<&types::Limits>) -> Limits {
    let Some(it) = message else {
        return Limits::default();
    };
    Limits {
        cores: it.cores,
        memory_bytes: it.memory_bytes,
        fragments: it.concurrent_fragments,
        core_seconds: it.core_seconds,
        egress_bytes: it.egress_bytes,
        storage_bytes: it.storage_bytes,
        run_wall_seconds: it.wall_seconds,
    }
}

pub(crate) fn limits_message(it: &Limits) -> types::Limits {
    types::Limits {
        cores: it.cores,
        memory_bytes: it.memory_bytes,
        concurrent_fragments: it.fragments,
        wall_seconds: it.run_wall_seconds,
        core_seconds: it.core_seconds,
        egress_bytes: it.egress_bytes,
        storage_bytes: it.storage_bytes,
    }
}

/// What is held or in use, in the numbers of limits.
pub(crate) fn taken_message(taken: &Taken) -> types::Limits {
    let small = |number: u64| u32::try_from(number).unwrap_or(u32::MAX);
    types::Limits {
        cores: small(taken.cores),
        memory_bytes: taken.memory_bytes,
        concurrent_fragments: small(taken.fragments),
        ..types::Limits::default()
    }
}

/// A price; none is free, and then the currency says nothing.
pub(crate) fn price(message: Option<&types::Price>) -> Result<Price, Error> {
    let Some(it) = message else {
        return Ok(Price::free(Currency::EUR));
    };
    oc_door::price(it).map_err(|error| Error::Malformed {
        field: "price.currency",
        reason: error.to_string(),
    })
}

pub(crate) fn visibility(orgs: &[String]) -> Result<Visibility, Error> {
    if orgs.is_empty() {
        return Ok(Visibility::Members);
    }
    Ok(Visibility::Orgs(parse_all("visible_to", orgs)?))
}

pub(crate) fn visible_to(visibility: &Visibility) -> Vec<String> {
    match visibility {
        Visibility::Members => Vec::new(),
        Visibility::Orgs(orgs) => orgs.iter().map(OrgId::to_string).collect(),
    }
}

pub(crate) fn offer(message: Option<pb::Offer>) -> Result<Offer, Error> {
    let missing = |field| Error::Malformed {
        field,
        reason: "it is missing".to_owned(),
    };
    let it = message.ok_or_else(|| missing("offer"))?;
    let kind = match it.kind() {
        pb::OfferKind::Compute => OfferKind::Compute,
        pb::OfferKind::Storage => OfferKind::Storage,
        pb::OfferKind::Unspecified => return Err(missing("offer.kind")),
    };
    let offer = Offer {
        name: parse("offer.name", &it.name)?,
        kind,
        capacity: limits(it.capacity.as_ref()),
        price: price(it.price.as_ref())?,
        visibility: visibility(&it.visible_to)?,
        title: it.title,
        terms: it.terms,
        state: OfferState::Active,
        listed: false,
    };
    offer.check()?;
    Ok(offer)
}

pub(crate) fn offer_message(offer: &Offer, inside: Inside) -> pb::Offer {
    let kind = match offer.kind {
        OfferKind::Compute => pb::OfferKind::Compute,
        OfferKind::Storage => pb::OfferKind::Storage,
    };
    pb::Offer {
        name: offer.name.to_string(),
        kind: kind.into(),
        title: offer.title.clone(),
        terms: offer.terms.clone(),
        capacity: Some(limits_message(&offer.capacity)),
        price: Some(price_message(&offer.price)),
        visible_to: visible_to(&offer.visibility),
        listing_id: offer
            .listing_id()
            .map(|id| id.to_string())
            .unwrap_or_default(),
        used: Some(inside.used),
        listed: offer.listed,
        withdrawn: offer.state == OfferState::Withdrawn,
        objects_left: inside.objects_left,
    }
}

pub(crate) fn listing_kind(kind: catalog::ListingKind) -> Option<ListingKind> {
    match kind {
        catalog::ListingKind::Unspecified => None,
        catalog::ListingKind::Dataset => Some(ListingKind::Dataset),
        catalog::ListingKind::Compute => Some(ListingKind::Compute),
        catalog::ListingKind::Storage => Some(ListingKind::Storage),
        catalog::ListingKind::Processing => Some(ListingKind::Processing),
        catalog::ListingKind::Workflow => Some(ListingKind::Workflow),
    }
}

pub(crate) fn grant_state(state: GrantState) -> fed::GrantState {
    match state {
        GrantState::Pending => fed::GrantState::Pending,
        GrantState::Offered => fed::GrantState::Offered,
        GrantState::Active => fed::GrantState::Active,
        GrantState::Denied => fed::GrantState::Denied,
        GrantState::Ended => fed::GrantState::Ended,
        GrantState::Revoked => fed::GrantState::Revoked,
        GrantState::Expired => fed::GrantState::Expired,
    }
}

pub(crate) fn cause_message(cause: &Cause) -> types::Cause {
    types::Cause {
        code: cause.code.clone(),
        text: cause.text.clone(),
        org_id: cause.org.to_string(),
        at_ms: ms(cause.at),
        advice: String::new(),
    }
}

pub(crate) fn grant_message(document: &GrantDocument, given: bool, used: &Limits) -> pb::Grant {
    let grant = &document.grant;
    let agreed = grant.agreed.as_ref();
    pb::Grant {
        grant_id: grant.id.to_string(),
        provider: grant.provider.to_string(),
        consumer: grant.consumer.to_string(),
        given,
        listing_ids: grant
            .request
            .listings
            .iter()
            .map(|l| l.id.to_string())
            .collect(),
        limits: Some(limits_message(
            agreed.map_or(&grant.request.limits, |a| &a.limits),
        )),
        used: Some(limits_message(used)),
        price: agreed
            .map(|agreed| &agreed.price)
            .or(document.listed.as_ref())
            .map(price_message),
        not_before_ms: grant.request.not_before_ms,
        not_after_ms: grant.request.not_after_ms,
        state: grant_state(grant.state).into(),
        generation: grant.generation,
        cause: Some(cause_message(&grant.cause)),
        envelope: grant.envelope.clone().unwrap_or_default().into_bytes(),
        network_id: grant.network.to_string(),
        message: grant.request.message.clone(),
        tools: agreed
            .map(|agreed| tool_texts(agreed.tools.as_deref()))
            .unwrap_or_default(),
    }
}

/// Tools as people write them: the digest of a document, or `<owner>/<listing>`. None means any.
pub(crate) fn tools(texts: &[String]) -> Result<Option<Vec<Tool>>, Error> {
    if texts.is_empty() {
        return Ok(None);
    }
    let read = |text: &String| match text.split_once('/') {
        Some((owner, id)) => Ok(Tool::Listing {
            owner: parse("tools", owner)?,
            id: parse("tools", id)?,
        }),
        None => parse::<Digest>("tools", text).map(Tool::Digest),
    };
    Ok(Some(texts.iter().map(read).collect::<Result<_, Error>>()?))
}

pub(crate) fn tool_texts(tools: Option<&[Tool]>) -> Vec<String> {
    let write = |tool: &Tool| match tool {
        Tool::Listing { owner, id } => format!("{owner}/{id}"),
        Tool::Digest(digest) => digest.to_string(),
    };
    tools.unwrap_or_default().iter().map(write).collect()
}

pub(crate) fn rule(message: Option<pb::Rule>) -> Result<Rule, Error> {
    let it = message.ok_or_else(|| Error::Malformed {
        field: "rule",
        reason: "it is missing".to_owned(),
    })?;
    let rule = Rule {
        name: parse::<Name>("rule.name", &it.name)?,
        consumers: parse_all("rule.consumers", &it.consumers)?,
        listings: parse_all("rule.listing_ids", &it.listing_ids)?,
        limits: limits(it.limits.as_ref()),
        longest_seconds: it.max_life_seconds,
        tools: tools(&it.tools)?,
    };
    rule.check()?;
    Ok(rule)
}

pub(crate) fn rule_message(rule: &Rule) -> pb::Rule {
    pb::Rule {
        name: rule.name.to_string(),
        consumers: rule.consumers.iter().map(OrgId::to_string).collect(),
        listing_ids: rule.listings.iter().map(Name::to_string).collect(),
        limits: Some(limits_message(&rule.limits)),
        max_life_seconds: rule.longest_seconds,
        tools: tool_texts(rule.tools.as_deref()),
    }
}

/// Who stored an object, and when.
pub(crate) fn note_message(object: &StoredObject) -> pb::ObjectNote {
    let text = |id: Option<String>| id.unwrap_or_default();
    pb::ObjectNote {
        user_id: text(object.user.clone()),
        grant_id: text(object.holder.grant().map(|id| id.to_string())),
        attempt_id: text(object.attempt.map(|id| id.to_string())),
        stored_at_ms: ms(object.stored_at),
    }
}

pub(crate) fn object_message(
    owner: &OrgId,
    key: &ObjectKey,
    sha256: &Digest,
    length: u64,
    media_type: &str,
) -> types::ObjectRef {
    types::ObjectRef {
        owner: owner.to_string(),
        role: "objects".to_owned(),
        key: key.to_string(),
        sha256: sha256.to_string(),
        length,
        media_type: media_type.to_owned(),
    }
}

//! Grants that we give: requests, rules, approval, signatures, revocation.

use oc_kernel::{GrantId, Name, OrgId};
use oc_store::{Expect, Query, StoreError, Versioned};
use oc_trust::{Limits, Sealed, Tool, countersign, seal};

use super::{Side, event, key, side_key};
use crate::convert;
use crate::documents::GrantDocument;
use crate::domain::grant::{
    Agreed, Asked, Cause, Decision, Grant, GrantRequest, GrantState, Offered, RequestError, Rule,
    decide, own_tools,
};
use crate::domain::offer::{OfferKind, OfferState, offer_of};
use crate::error::Error;
use crate::provider::Provider;

/// A partner's request, as it was read.
#[derive(Debug, Clone)]
pub(crate) struct NewRequest {
    pub(crate) consumer: OrgId,
    pub(crate) network: Name,
    pub(crate) operation: Name,
    pub(crate) listings: Vec<Name>,
    pub(crate) limits: Limits,
    pub(crate) not_before_ms: u64,
    pub(crate) not_after_ms: u64,
    pub(crate) message: String,
}

impl Provider {
    /// Takes a partner's request. A rule decides at once where one is for it. The same operation again gets
    /// the grant it made.
    pub(crate) async fn take_request(&self, new: NewRequest) -> Result<Grant, Error> {
        let now = self.clock.now();
        let document_key = key(Side::Given, &new.consumer, &new.operation);
        if let Some(seen) = self.shelf.grants.get(&document_key).await? {
            return self.same_request(seen, &new);
        }
        let (request, price) = self.check_request(&new).await?;
        // Counted and written by one at a time, so that the count holds.
        let _one = self.asking.lock().await;
        self.check_waiting(&new.consumer).await?;
        let me = self.me().await?;
        let mut grant = Grant {
            id: GrantId::new(),
            provider: me,
            consumer: new.consumer,
            network: new.network.clone(),
            request,
            agreed: None,
            state: GrantState::Pending,
            generation: 0,
            cause: Cause::new("requested", "waits for an administrator", new.consumer, now),
            envelope: None,
            swept: false,
        };
        let rules = self.rules().await?;
        match decide(&rules, &new.consumer, &grant.request, now) {
            Decision::Approve(rule) => {
                let limits = grant.request.limits;
                grant.agree(Agreed {
                    limits,
                    price,
                    tools: rule.tools.clone(),
                })?;
                let text = format!("approved by rule `{}`", rule.name);
                grant.cause = Cause::new("rule", &text, me, now);
            }
            Decision::Wait(why) => grant.cause = Cause::new("waits-for-admin", &why, me, now),
        }
        let document = GrantDocument {
            grant,
            used: None,
            listed: Some(price),
            disputed: false,
            purge: false,
        };
        let told = vec![event(&document.grant)];
        match self
            .shelf
            .grants
            .put(&document_key, &document, Expect::Absent, told)
            .await
        {
            Ok(_) => {}
            Err(StoreError::AlreadyExists { .. }) => {
                let seen = self.shelf.grants.require(&document_key).await?;
                return self.same_request(seen, &new);
            }
            Err(error) => return Err(error.into()),
        }
        if document.grant.agreed.is_none() {
            return Ok(document.grant);
        }
        self.sign_offer(&document_key).await
    }

    /// A consumer that asks and asks would bury the requests that somebody has to decide about.
    async fn check_waiting(&self, consumer: &OrgId) -> Result<(), Error> {
        let its = Query::prefix(side_key(Side::Given, consumer));
        let all = self.shelf.grants.all(&its).await?;
        let waiting = all.iter().filter(|it| it.value.grant.state.waits()).count();
        if waiting >= GrantRequest::MOST_WAITING {
            return Err(RequestError::Waiting(GrantRequest::MOST_WAITING).into());
        }
        Ok(())
    }

    fn same_request(
        &self,
        seen: Versioned<GrantDocument>,
        new: &NewRequest,
    ) -> Result<Grant, Error> {
        let grant = seen.value.grant;
        let asked = &grant.request;
        let same = asked.listings.iter().map(|l| &l.id).eq(new.listings.iter())
            && asked.limits == new.limits
            && asked.not_before_ms == new.not_before_ms
            && asked.not_after_ms == new.not_after_ms
            && asked.message == new.message
            && grant.network == new.network;
        if !same {
            return Err(RequestError::OtherBody(new.operation.clone()).into());
        }
        Ok(grant)
    }

    async fn check_request(
        &self,
        new: &NewRequest,
    ) -> Result<(GrantRequest, oc_trust::Price), Error> {
        if new.listings.len() > GrantRequest::MOST_LISTINGS {
            let (most, found) = (GrantRequest::MOST_LISTINGS, new.listings.len());
            return Err(RequestError::TooMany { most, found }.into());
        }
        let mut offered = Vec::new();
        for listing in &new.listings {
            offered.push(self.offered(listing, &new.consumer).await?);
        }
        let request = GrantRequest {
            operation: new.operation.clone(),
            listings: offered.iter().map(|offer| offer.listing.clone()).collect(),
            limits: new.limits,
            not_before_ms: new.not_before_ms,
            not_after_ms: new.not_after_ms,
            message: new.message.clone(),
        };
        let price = request.check(&offered, self.clock.now())?;
        Ok((request, price))
    }

    /// What we have under a listing, for one consumer. What it may not see does not exist.
    async fn offered(&self, listing: &Name, consumer: &OrgId) -> Result<Offered, Error> {
        let none = || Error::from(RequestError::NoListing(listing.clone()));
        if let Some((kind, _)) = offer_of(listing) {
            let offer = self.offer_behind(listing, kind).await.map_err(|_| none())?;
            if offer.state == OfferState::Withdrawn || !offer.visible_to(consumer) {
                return Err(none());
            }
            let kind = match kind {
                OfferKind::Compute => oc_trust::ListingKind::Compute,
                OfferKind::Storage => oc_trust::ListingKind::Storage,
            };
            return Ok(Offered {
                listing: Asked {
                    id: listing.clone(),
                    kind,
                },
                capacity: Some(offer.capacity),
                price: offer.price,
            });
        }
        let me = self.me().await?;
        let found = self.ports.listing(&me, listing).await?.ok_or_else(none)?;
        let kind = convert::listing_kind(found.kind()).ok_or_else(none)?;
        if !convert::visibility(&found.visible_to)?.includes(consumer) {
            return Err(none());
        }
        Ok(Offered {
            listing: Asked {
                id: listing.clone(),
                kind,
            },
            capacity: None,
            price: convert::price(found.price.as_ref())?,
        })
    }

    /// An administrator says yes, perhaps to less.
    pub(crate) async fn approve_grant(
        &self,
        id: &GrantId,
        limits: Option<Limits>,
        tools: Option<Vec<Tool>>,
        by: &str,
    ) -> Result<Grant, Error> {
        let seen = self.given(id).await?;
        let new = NewRequest {
            consumer: seen.value.grant.consumer,
            network: seen.value.grant.network.clone(),
            operation: seen.value.grant.request.operation.clone(),
            listings: seen
                .value
                .grant
                .request
                .listings
                .iter()
                .map(|l| l.id.clone())
                .collect(),
            limits: seen.value.grant.request.limits,
            not_before_ms: seen.value.grant.request.not_before_ms,
            not_after_ms: seen.value.grant.request.not_after_ms,
            message: seen.value.grant.request.message.clone(),
        };
        // The offers may have changed while the request was waiting.
        let (_, price) = self.check_request(&new).await?;
        let me = self.me().await?;
        own_tools(tools.as_deref(), &me)?;
        let now = self.clock.now();
        let agreed = self
            .shelf
            .grants
            .update(&seen.key, |document| -> Result<_, Error> {
                let limits = limits.unwrap_or(document.grant.request.limits);
                document.grant.agree(Agreed {
                    limits,
                    price,
                    tools: tools.clone(),
                })?;
                let text = format!("approved by {by}");
                document.grant.cause = Cause::new("approved", &text, me, now);
                Ok(Vec::new())
            });
        agreed.await?;
        self.sign_offer(&seen.key).await
    }

    /// Puts our signature under what was agreed. Where nobody signs now, the keeper tries again.
    pub(super) async fn sign_offer(&self, document_key: &str) -> Result<Grant, Error> {
        let seen = self.shelf.grants.require(document_key).await?;
        let grant = seen.value.grant;
        let Some(statement) = grant
            .statement()
            .filter(|_| grant.state == GrantState::Pending)
        else {
            return Ok(grant);
        };
        let sealed: Sealed<oc_trust::Grant> = match seal(&self.ports.door, statement).await {
            Ok(sealed) => sealed,
            Err(error) => {
                tracing::warn!(grant = %grant.id, %error, "an agreed grant is not signed yet");
                self.wake_keeper.notify_one();
                return Ok(grant);
            }
        };
        let envelope = text_of(&sealed)?;
        let offered = self
            .shelf
            .grants
            .update(document_key, |document| -> Result<_, Error> {
                let cause = document.grant.cause.clone();
                document.grant.offer(envelope.clone(), cause)?;
                Ok(vec![event(&document.grant)])
            });
        Ok(offered.await?.value.grant)
    }

    /// Takes back the grant with both signatures: from now on it is in force.
    pub(crate) async fn accept_grant(
        &self,
        id: &GrantId,
        consumer: &OrgId,
        bytes: &[u8],
    ) -> Result<Grant, Error> {
        let seen = self.grant_for(id, consumer).await?;
        let signed = self
            .authorities
            .grant(bytes, &seen.value.grant.network)
            .await?;
        let envelope = String::from_utf8(bytes.to_vec()).map_err(|_| Error::Malformed {
            field: "grant",
            reason: "an envelope is JSON".to_owned(),
        })?;
        let now = self.clock.now();
        let accepted = self
            .shelf
            .grants
            .update(&seen.key, |document| -> Result<_, Error> {
                let before = document.grant.state;
                let cause = Cause::new("accepted", "both sides have signed", *consumer, now);
                document.grant.accept(&signed, envelope.clone(), cause)?;
                let news = before != document.grant.state;
                Ok(if news {
                    vec![event(&document.grant)]
                } else {
                    Vec::new()
                })
            });
        self.metrics.grants.with_label_values(&["accepted"]).inc();
        Ok(accepted.await?.value.grant)
    }

    /// An administrator says no.
    pub(crate) async fn deny_grant(&self, id: &GrantId, reason: &str) -> Result<Grant, Error> {
        let seen = self.given(id).await?;
        let cause = Cause::new(
            "denied",
            or(reason, "denied"),
            self.me().await?,
            self.clock.now(),
        );
        let denied = self
            .shelf
            .grants
            .update(&seen.key, |document| -> Result<_, Error> {
                document.grant.deny(cause.clone())?;
                Ok(vec![event(&document.grant)])
            });
        let grant = denied.await?.value.grant;
        self.wake_keeper.notify_one();
        Ok(grant)
    }

    /// Takes a grant back. Work under it is stopped before this returns; what it left goes soon after.
    pub(crate) async fn revoke_grant(&self, id: &GrantId, cause: Cause) -> Result<Grant, Error> {
        let seen = self.given(id).await?;
        let revoked = self
            .shelf
            .grants
            .update(&seen.key, |document| -> Result<_, Error> {
                document.grant.revoke(cause.clone())?;
                Ok(vec![event(&document.grant)])
            });
        let grant = revoked.await?.value.grant;
        self.metrics.grants.with_label_values(&["revoked"]).inc();
        self.cut_off(&grant).await?;
        Ok(grant)
    }

    /// The consumer ends a grant of ours.
    pub(crate) async fn consumer_ends_grant(
        &self,
        id: &GrantId,
        consumer: &OrgId,
        reason: &str,
    ) -> Result<Grant, Error> {
        let seen = self.grant_for(id, consumer).await?;
        let text = or(reason, "ended by its consumer");
        let cause = Cause::new("ended", text, *consumer, self.clock.now());
        let ended = self
            .shelf
            .grants
            .update(&seen.key, |document| -> Result<_, Error> {
                let before = document.grant.state;
                document.grant.end(cause.clone());
                let news = before != document.grant.state;
                Ok(if news {
                    vec![event(&document.grant)]
                } else {
                    Vec::new()
                })
            });
        let grant = ended.await?.value.grant;
        self.cut_off(&grant).await?;
        Ok(grant)
    }

    /// The grant of that id, which must be one of ours to give.
    async fn given(&self, id: &GrantId) -> Result<Versioned<GrantDocument>, Error> {
        let seen = self.grant(id).await?;
        if seen.value.grant.provider != self.me().await? {
            let text = format!("grant {id} was given to us: its provider decides about it");
            return Err(Error::Precondition(text));
        }
        Ok(seen)
    }

    /// The rules for automatic approval, in the order in which they are tried.
    pub(crate) async fn rules(&self) -> Result<Vec<Rule>, Error> {
        let all = self.shelf.rules.all(&Query::all()).await?;
        Ok(all.into_iter().map(|seen| seen.value).collect())
    }

    /// Writes a rule.
    pub(crate) async fn put_rule(&self, rule: Rule) -> Result<Rule, Error> {
        own_tools(rule.tools.as_deref(), &self.me().await?)?;
        self.shelf
            .rules
            .put(rule.name.as_str(), &rule, Expect::Any, Vec::new())
            .await?;
        Ok(rule)
    }

    /// Deletes a rule; deleting it again is no error.
    pub(crate) async fn delete_rule(&self, name: &Name) -> Result<(), Error> {
        self.shelf
            .rules
            .delete(name.as_str(), Expect::Any, Vec::new())
            .await?;
        Ok(())
    }

    /// Our signature under a grant that its provider has signed.
    pub(super) async fn countersigned(
        &self,
        draft: Sealed<oc_trust::Grant>,
    ) -> Result<String, Error> {
        text_of(&countersign(&self.ports.door, draft).await?)
    }
}

fn text_of(sealed: &Sealed<oc_trust::Grant>) -> Result<String, Error> {
    String::from_utf8(sealed.bytes().to_vec())
        .map_err(|_| Error::Unavailable("the signed grant is no JSON".to_owned()))
}

/// A reason, or what stands for a missing one.
pub(super) fn or<'a>(reason: &'a str, otherwise: &'a str) -> &'a str {
    if reason.trim().is_empty() {
        otherwise
    } else {
        reason
    }
}

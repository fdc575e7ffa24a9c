//! Grants that partners give us: asking, countersigning, following, ending.

use oc_kernel::{GrantId, Name, OrgId};
use oc_proto::federation::v1 as fed;
use oc_store::{Expect, Versioned};
use oc_trust::{Limits, Price, Sealed};

use super::given::or;
use super::{Side, awaits_news, event, key};
use crate::convert::{self, limits_message, parse};
use crate::documents::GrantDocument;
use crate::domain::grant::{
    Agreed, Asked, Cause, Grant, GrantError, GrantRequest, GrantState, price_of,
};
use crate::error::Error;
use crate::provider::Provider;

/// What one of our people wants from a partner.
#[derive(Debug, Clone)]
pub(crate) struct Wanted {
    pub(crate) provider: OrgId,
    pub(crate) operation: Name,
    pub(crate) listings: Vec<Name>,
    pub(crate) limits: Limits,
    pub(crate) not_after_ms: u64,
    pub(crate) message: String,
}

impl Provider {
    /// Asks a partner for a grant, and countersigns what it offers at once.
    pub(crate) async fn request_grant(&self, wanted: Wanted) -> Result<Grant, Error> {
        let me = self.me().await?;
        if wanted.provider == me {
            return Err(Error::Invalid {
                field: "provider",
                reason: "our own offers need no grant".to_owned(),
            });
        }
        let document_key = key(Side::Received, &wanted.provider, &wanted.operation);
        if let Some(seen) = self.shelf.grants.get(&document_key).await? {
            return self.follow(seen).await;
        }
        let network = self.ports.network_of(wanted.provider).await?;
        let answer = self
            .ports
            .request_grant(
                wanted.provider,
                fed::RequestGrantRequest {
                    operation_id: wanted.operation.to_string(),
                    listing_ids: wanted.listings.iter().map(Name::to_string).collect(),
                    limits: Some(limits_message(&wanted.limits)),
                    // The provider's clock may be behind ours.
                    not_before_ms: 0,
                    not_after_ms: wanted.not_after_ms,
                    message: wanted.message.clone(),
                    network_id: network.to_string(),
                },
            )
            .await?;
        let id: GrantId = parse("grant_id", &answer.grant_id)?;
        let asked = |id: &Name| Asked {
            id: id.clone(),
            kind: kind_of(id),
        };
        let grant = Grant {
            id,
            provider: wanted.provider,
            consumer: me,
            network,
            request: GrantRequest {
                operation: wanted.operation,
                listings: wanted.listings.iter().map(asked).collect(),
                limits: wanted.limits,
                not_before_ms: 0,
                not_after_ms: wanted.not_after_ms,
                message: wanted.message,
            },
            agreed: None,
            state: GrantState::Pending,
            generation: 0,
            cause: Cause::new("requested", "waits for its provider", me, self.clock.now()),
            envelope: None,
            swept: false,
        };
        tracing::info!(grant = %id, provider = %grant.provider, "asked for a grant");
        let listed = self.listed_price(&grant.provider, &wanted.listings).await;
        let document = GrantDocument {
            grant,
            used: None,
            listed,
            disputed: false,
            purge: false,
        };
        let told = vec![event(&document.grant)];
        self.shelf
            .grants
            .put(&document_key, &document, Expect::Any, told)
            .await?;
        self.learn(
            &document_key,
            answer.state(),
            answer.cause.as_ref(),
            &answer.grant,
            None,
        )
        .await
    }

    /// What a partner's listings cost together, as our catalogue has them; none unless it has all of them.
    async fn listed_price(&self, provider: &OrgId, listings: &[Name]) -> Option<Price> {
        let mut prices = Vec::new();
        for id in listings {
            let listing = self.ports.listing(provider, id).await.ok()??;
            prices.push(convert::price(listing.price.as_ref()).ok()?);
        }
        price_of(prices).ok()?
    }

    /// Asks the provider where a grant stands, and acts on the answer.
    pub(super) async fn follow(&self, seen: Versioned<GrantDocument>) -> Result<Grant, Error> {
        let grant = seen.value.grant;
        if !awaits_news(grant.state) {
            return Ok(grant);
        }
        let answer = self
            .ports
            .get_grant(grant.provider, grant.id.to_string())
            .await?;
        let used = answer.used.as_ref().map(|used| convert::limits(Some(used)));
        let state = answer.state();
        self.learn(&seen.key, state, answer.cause.as_ref(), &answer.grant, used)
            .await
    }

    /// Takes in where the provider says a grant stands.
    async fn learn(
        &self,
        document_key: &str,
        state: fed::GrantState,
        cause: Option<&oc_proto::types::v1::Cause>,
        envelope: &[u8],
        used: Option<Limits>,
    ) -> Result<Grant, Error> {
        let seen = self.shelf.grants.require(document_key).await?;
        let grant = seen.value.grant;
        let now = self.clock.now();
        let told = |code: &str| {
            let text = cause.map_or("", |cause| cause.text.as_str());
            Cause::new(code, or(text, code), grant.provider, now)
        };
        match state {
            fed::GrantState::Offered | fed::GrantState::Active
                if grant.state != GrantState::Active =>
            {
                self.countersign_offer(document_key, &grant, envelope).await
            }
            fed::GrantState::Denied => {
                self.note(document_key, used, |g| g.deny(told("denied")))
                    .await
            }
            fed::GrantState::Revoked => {
                self.note(document_key, used, |g| g.revoke(told("revoked")))
                    .await
            }
            fed::GrantState::Ended | fed::GrantState::Expired => {
                self.note(document_key, used, |g| {
                    g.end(told("ended"));
                    Ok(())
                })
                .await
            }
            fed::GrantState::Pending => {
                self.note(document_key, used, |g| {
                    g.cause = told("waits-for-provider");
                    Ok(())
                })
                .await
            }
            fed::GrantState::Offered | fed::GrantState::Active | fed::GrantState::Unspecified => {
                self.note(document_key, used, |_| Ok(())).await
            }
        }
    }

    async fn note(
        &self,
        document_key: &str,
        used: Option<Limits>,
        change: impl Fn(&mut Grant) -> Result<(), GrantError>,
    ) -> Result<Grant, Error> {
        let noted = self
            .shelf
            .grants
            .update(document_key, |document| -> Result<_, Error> {
                let before = document.grant.state;
                change(&mut document.grant)?;
                // Use changes all the time: it is kept only while it is news.
                document.used = used.or(document.used);
                let news = before != document.grant.state;
                Ok(if news {
                    vec![event(&document.grant)]
                } else {
                    Vec::new()
                })
            });
        Ok(noted.await?.value.grant)
    }

    /// Checks what the provider offers against what was asked, signs it and returns it.
    async fn countersign_offer(
        &self,
        document_key: &str,
        grant: &Grant,
        envelope: &[u8],
    ) -> Result<Grant, Error> {
        let draft = self
            .authorities
            .draft(envelope, &grant.provider, &grant.network)
            .await?;
        fits(&draft, grant)?;
        let statement = draft.statement().clone();
        let both = self.countersigned(draft).await?;
        let now = self.clock.now();
        let agreed = Agreed {
            limits: statement.limits,
            price: statement.price,
            tools: statement.tools.clone(),
        };
        let offered = self
            .shelf
            .grants
            .update(document_key, |document| -> Result<_, Error> {
                let grant = &mut document.grant;
                if grant.state == GrantState::Pending {
                    grant.request.listings = statement
                        .listings
                        .iter()
                        .map(|listing| Asked {
                            id: listing.id.clone(),
                            kind: listing.kind,
                        })
                        .collect();
                    grant.request.not_before_ms = statement.not_before;
                    grant.request.not_after_ms = statement.not_after;
                    grant.agree(agreed.clone())?;
                    grant.generation = statement.generation;
                    let cause =
                        Cause::new("offered", "its provider has signed", grant.provider, now);
                    grant.offer(both.clone(), cause)?;
                }
                Ok(Vec::new())
            });
        offered.await?;
        self.ports
            .accept_grant(
                grant.provider,
                grant.id.to_string(),
                both.clone().into_bytes(),
            )
            .await?;
        let me = grant.consumer;
        self.note(document_key, None, |grant| {
            let cause = Cause::new("accepted", "both sides have signed", me, now);
            grant.accept(&statement, both.clone(), cause)
        })
        .await
    }

    /// Ends a grant that a partner gave us. Where the partner cannot be told now, it is told later.
    pub(crate) async fn end_grant(&self, id: &GrantId, reason: &str) -> Result<Grant, Error> {
        let seen = self.grant(id).await?;
        let me = self.me().await?;
        if seen.value.grant.consumer != me {
            let text = format!("grant {id} is one we gave: revoke it instead");
            return Err(Error::Precondition(text));
        }
        let cause = Cause::new("ended", or(reason, "ended by us"), me, self.clock.now());
        let ended = self
            .note(&seen.key, None, |grant| {
                grant.end(cause.clone());
                Ok(())
            })
            .await?;
        if let Err(error) = self.tell_end(&seen.key).await {
            tracing::info!(grant = %id, %error, "the provider is told of the end later");
            self.wake_keeper.notify_one();
        }
        Ok(ended)
    }

    /// Tells the provider that a grant is over, once.
    pub(super) async fn tell_end(&self, document_key: &str) -> Result<(), Error> {
        let grant = self.shelf.grants.require(document_key).await?.value.grant;
        if grant.swept {
            return Ok(());
        }
        if grant.state == GrantState::Ended {
            let (id, reason) = (grant.id.to_string(), grant.cause.text.clone());
            self.ports.end_grant(grant.provider, id, reason).await?;
        }
        let told = self
            .shelf
            .grants
            .update(document_key, |document| -> Result<_, Error> {
                document.grant.swept = true;
                Ok(Vec::new())
            });
        told.await.map(|_| ())
    }
}

/// The offered grant is the one that was asked for, and gives no more and no other things.
fn fits(draft: &Sealed<oc_trust::Grant>, grant: &Grant) -> Result<(), Error> {
    let offered = draft.statement();
    let asked = &grant.request;
    let same = offered.id == grant.id
        && offered.provider == grant.provider
        && offered.consumer == grant.consumer
        && offered.network == grant.network
        && offered.not_after <= asked.not_after_ms
        && offered
            .listings
            .iter()
            .map(|l| &l.id)
            .eq(asked.listings.iter().map(|l| &l.id));
    if !same {
        return Err(GrantError::Other("asked for").into());
    }
    offered
        .limits
        .within(&asked.limits)
        .map_err(GrantError::MoreThanAsked)?;
    Ok(())
}

/// The kind a listing's id says; its provider has the last word.
fn kind_of(id: &Name) -> oc_trust::ListingKind {
    let prefix = id.as_str().split('.').next().unwrap_or_default();
    let known = oc_trust::ListingKind::ALL
        .into_iter()
        .find(|kind| kind.as_str() == prefix);
    known.unwrap_or(oc_trust::ListingKind::Dataset)
}

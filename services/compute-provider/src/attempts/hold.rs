//! What is free, and holding it for an attempt.

use std::time::Duration;

use jiff::Timestamp;
use oc_kernel::{Digest, GrantId, Name, OrgId, ReservationId};
use oc_trust::Limits;

use crate::domain::admission::{Asker, Refusal, admit_hold};
use crate::domain::attempt::OperationKey;
use crate::domain::grant::Grant;
use crate::domain::ledger::{Command, Demand, Ledger, Outcome, Reserve};
use crate::domain::offer::{Offer, OfferKind, OfferState, offer_of};
use crate::error::Error;
use crate::provider::Provider;

/// Who asks for capacity.
#[derive(Debug, Clone)]
pub(crate) struct Consumer {
    /// The organisation.
    pub(crate) org: OrgId,
    /// True for ourselves.
    pub(crate) own: bool,
}

/// A wish to hold capacity.
#[derive(Debug, Clone)]
pub(crate) struct NewHold {
    pub(crate) own: bool,
    pub(crate) key: OperationKey,
    pub(crate) body: Digest,
    pub(crate) listing: Name,
    pub(crate) grant: Option<GrantId>,
    pub(crate) demand: Demand,
}

impl Provider {
    /// What is free of an offer, within the grant where there is one.
    pub(crate) async fn free_capacity(
        &self,
        consumer: &Consumer,
        listing: &Name,
        grant: Option<&GrantId>,
    ) -> Result<Limits, Error> {
        let looked = async {
            let offer = self.compute_offer(listing, consumer).await?;
            let ledger = self.ledgers.read(&offer.name).await?;
            Ok::<_, Error>((offer, ledger))
        };
        let (offer, ledger) = match looked.await {
            Ok(found) => found,
            Err(error) => return Err(self.or_withdrawn(error, consumer, listing, grant).await),
        };
        if offer.state == OfferState::Withdrawn {
            return Err(Refusal::Withdrawn(offer.name).into());
        }
        let now = self.clock.now();
        let mut free = of_offer(&offer, &ledger, now);
        if consumer.own {
            return Ok(free);
        }
        let grant = grant.ok_or(Refusal::NoGrant)?;
        let grant = self.grant_for(grant, &consumer.org).await?.value.grant;
        grant.in_force(&consumer.org, listing, now)?;
        free = free.meet(&self.of_grant(&grant, &ledger, now).await?);
        Ok(free)
    }

    async fn of_grant(
        &self,
        grant: &Grant,
        ledger: &Ledger,
        now: Timestamp,
    ) -> Result<Limits, Error> {
        let limits = grant
            .agreed
            .as_ref()
            .map(|agreed| agreed.limits)
            .unwrap_or_default();
        let used = ledger.committed(&grant.id, now);
        let egress = self.shelf.egress.get(&grant.id.to_string()).await?;
        let egress = egress.map_or(0, |seen| seen.value.bytes);
        Ok(Limits {
            fragments: limits.fragments.saturating_sub(used.fragments),
            core_seconds: limits
                .core_seconds
                .saturating_sub(used.core_ms.div_ceil(1000)),
            egress_bytes: limits.egress_bytes.saturating_sub(egress),
            ..limits
        })
    }

    /// Holds capacity for an attempt.
    pub(crate) async fn reserve(&self, new: NewHold) -> Result<(ReservationId, Timestamp), Error> {
        let consumer = Consumer {
            org: new.key.attempt.org,
            own: new.own,
        };
        let (listing, grant) = (new.listing.clone(), new.grant);
        let outcome = match self.try_reserve(new, &consumer).await {
            Err(error) => {
                let grant = grant.as_ref();
                Err(self.or_withdrawn(error, &consumer, &listing, grant).await)
            }
            held => held,
        };
        let label = if outcome.is_ok() { "held" } else { "refused" };
        self.metrics.reservations.with_label_values(&[label]).inc();
        match outcome? {
            Outcome::Held {
                reservation,
                expires_at,
            } => Ok((reservation, expires_at)),
            other => Err(unexpected(&other)),
        }
    }

    async fn try_reserve(&self, new: NewHold, consumer: &Consumer) -> Result<Outcome, Error> {
        if new.demand.resources.cores == 0 || new.demand.wall_ms == 0 {
            return Err(Error::Invalid {
                field: "cores",
                reason: "a fragment needs at least one core and one second".to_owned(),
            });
        }
        let offer = self.compute_offer(&new.listing, consumer).await?;
        let grant = match (&new.grant, consumer.own) {
            (Some(id), false) => Some(self.undisputed(id, &consumer.org).await?),
            _ => None,
        };
        let asker = match consumer.own {
            true => Asker::Own,
            false => Asker::Partner {
                org: &consumer.org,
                grant: grant.as_ref(),
            },
        };
        let terms = admit_hold(asker, &offer, &new.demand, &self.sandbox, self.clock.now())?;
        let reserve = Reserve {
            key: new.key,
            body: new.body,
            reservation: ReservationId::new(),
            terms,
            demand: new.demand,
            hold_for: Duration::from_secs(self.settings.hold_seconds),
        };
        self.ledgers
            .apply(&offer.name, Command::Reserve(reserve))
            .await
    }

    /// What is said of an offer that is not there to whom it was granted: that it is withdrawn. Offer and ledger go
    /// once nothing is in them any more, its grants stay.
    async fn or_withdrawn(
        &self,
        error: Error,
        consumer: &Consumer,
        listing: &Name,
        grant: Option<&GrantId>,
    ) -> Error {
        let (Error::Unknown { what: "offer", .. }, Some(grant), Some((_, offer))) =
            (&error, grant, offer_of(listing))
        else {
            return error;
        };
        match self.grant_for(grant, &consumer.org).await {
            Ok(seen) if seen.value.grant.is_on(listing) => Refusal::Withdrawn(offer).into(),
            _ => error,
        }
    }

    /// A grant of this consumer, unless an objection to its books waits for an answer.
    async fn undisputed(&self, id: &GrantId, consumer: &OrgId) -> Result<Grant, Error> {
        let seen = self.grant_for(id, consumer).await?;
        if seen.value.disputed {
            if let Some(objection) = self.ports.objection(id).await? {
                let grant = *id;
                return Err(Error::Disputed { grant, objection });
            }
            let settled = self
                .shelf
                .grants
                .update(&seen.key, |document| -> Result<_, Error> {
                    document.disputed = false;
                    Ok(Vec::new())
                });
            settled.await?;
        }
        Ok(seen.value.grant)
    }

    /// The compute offer behind a listing; what a partner may not see does not exist for it.
    pub(crate) async fn compute_offer(
        &self,
        listing: &Name,
        consumer: &Consumer,
    ) -> Result<Offer, Error> {
        let offer = self.offer_behind(listing, OfferKind::Compute).await?;
        if !consumer.own && !offer.visible_to(&consumer.org) {
            return Err(Error::unknown("offer", listing));
        }
        Ok(offer)
    }
}

fn of_offer(offer: &Offer, ledger: &Ledger, now: Timestamp) -> Limits {
    let taken = ledger.taken(now);
    let small = |number: u64| u32::try_from(number).unwrap_or(u32::MAX);
    Limits {
        cores: offer.capacity.cores.saturating_sub(small(taken.cores)),
        memory_bytes: offer
            .capacity
            .memory_bytes
            .saturating_sub(taken.memory_bytes),
        fragments: offer
            .capacity
            .fragments
            .saturating_sub(small(taken.fragments)),
        core_seconds: u64::MAX,
        egress_bytes: u64::MAX,
        storage_bytes: u64::MAX,
        run_wall_seconds: offer.capacity.run_wall_seconds,
    }
}

/// A ledger that answers something else than what it was asked.
pub(super) fn unexpected(outcome: &Outcome) -> Error {
    Error::Conflict(format!(
        "the operation was used for something else before: {outcome:?}"
    ))
}

//! Grants: given to partners, received from them, and what follows from their end.

mod given;
mod keeper;
mod news;
mod received;
mod sweep;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use oc_kernel::{GrantId, Name, OrgId};
use oc_store::{OutboxEvent, Query, Versioned};
use oc_trust::Limits;
use oc_trust::event::{Event as _, GrantEvent};

pub(crate) use given::NewRequest;
pub(crate) use received::Wanted;

use crate::documents::GrantDocument;
use crate::domain::grant::{Grant, GrantError, GrantState};
use crate::error::Error;
use crate::provider::Provider;

impl Provider {
    /// A grant by its id, given or received.
    pub(crate) async fn grant(&self, id: &GrantId) -> Result<Versioned<GrantDocument>, Error> {
        let found = self
            .shelf
            .grants
            .all(&Query::equals("id", id.to_string()))
            .await?;
        found
            .into_iter()
            .next()
            .ok_or_else(|| GrantError::Unknown(id.to_string()).into())
    }

    /// A grant we gave, for a caller who must be its consumer.
    pub(crate) async fn grant_for(
        &self,
        id: &GrantId,
        consumer: &OrgId,
    ) -> Result<Versioned<GrantDocument>, Error> {
        let seen = self.grant(id).await?;
        let grant = &seen.value.grant;
        if grant.consumer != *consumer || grant.provider != self.me().await? {
            return Err(GrantError::Unknown(id.to_string()).into());
        }
        Ok(seen)
    }

    /// Grants given and received, newest first.
    pub(crate) async fn list_grants(&self, active_only: bool) -> Result<Vec<GrantDocument>, Error> {
        let all = self
            .shelf
            .grants
            .all(&Query::all())
            .await?
            .into_iter()
            .map(|seen| seen.value);
        let mut grants: Vec<GrantDocument> = all
            .filter(|it| !active_only || !it.grant.state.over())
            .collect();
        // Ids sort by age.
        grants.sort_by_key(|it| std::cmp::Reverse(it.grant.id));
        Ok(grants)
    }

    /// What was used of a grant so far, as far as this side knows.
    pub(crate) async fn used_of(&self, document: &GrantDocument) -> Result<Limits, Error> {
        let grant = &document.grant;
        if grant.provider != self.me().await? {
            return Ok(document.used.unwrap_or_default());
        }
        let mut used = Limits::default();
        for ledger in self.ledgers.all().await? {
            if let Some(account) = ledger.account(&grant.id) {
                used.core_seconds += account.core_ms.div_ceil(1000);
            }
            let running = ledger
                .leases()
                .filter(|(_, lease)| lease.under.is(&grant.id));
            for (_, lease) in running {
                used.cores += lease.demand.resources.cores;
                used.memory_bytes += lease.demand.resources.memory_bytes;
                used.fragments += 1;
            }
        }
        let egress = self.shelf.egress.get(&grant.id.to_string()).await?;
        used.egress_bytes = egress.map_or(0, |seen| seen.value.bytes);
        used.storage_bytes = self.stored_under(&grant.id).await?;
        Ok(used)
    }

    /// Is this grant good for this listing, this consumer, now? The grant where it is.
    pub(crate) async fn check_grant(
        &self,
        id: &GrantId,
        listing: &Name,
        consumer: &OrgId,
    ) -> Result<Grant, Error> {
        let grant = self.grant_for(id, consumer).await?.value.grant;
        grant.in_force(consumer, listing, self.clock.now())?;
        Ok(grant)
    }

    /// Grants we gave over a listing that are not over.
    pub(crate) async fn given_grants_over(&self, listing: &Name) -> Result<Vec<GrantId>, Error> {
        let me = self.me().await?;
        let all = self.list_grants(true).await?.into_iter().map(|it| it.grant);
        let over = all.filter(|grant| {
            let covers = grant
                .request
                .listings
                .iter()
                .any(|asked| asked.id == *listing);
            grant.provider == me && covers
        });
        Ok(over.map(|grant| grant.id).collect())
    }
}

/// The event that tells where a grant stands, for the books and whoever keeps a copy.
fn event(grant: &Grant) -> OutboxEvent {
    let envelope = grant.envelope.as_deref().unwrap_or_default();
    let event = GrantEvent {
        grant_id: grant.id,
        state: grant.state.as_str().to_owned(),
        generation: grant.generation,
        envelope: STANDARD.encode(envelope),
        provider: grant.provider,
        consumer: grant.consumer,
        network_id: grant.network.clone(),
        swept: grant.swept,
    };
    OutboxEvent::new(GrantEvent::TYPE, event.subject(), event.data())
}

/// The key of a grant's document: who is on the other side, and which operation asked for it. So the same
/// request never makes two grants.
fn key(side: Side, other: &OrgId, operation: &Name) -> String {
    format!("{}{operation}", side_key(side, other))
}

/// What the keys of all grants with an organisation begin with.
fn side_key(side: Side, other: &OrgId) -> String {
    let side = match side {
        Side::Given => "given",
        Side::Received => "received",
    };
    format!("{side}/{other}/")
}

/// Which side of a grant we are on.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Side {
    Given,
    Received,
}

/// True for states in which the other side may still change something.
fn awaits_news(state: GrantState) -> bool {
    matches!(
        state,
        GrantState::Pending | GrantState::Offered | GrantState::Active
    )
}

//! Offering machines and room, and taking offers back.

use std::time::Duration;

use jiff::Timestamp;
use oc_door::price_message;
use oc_kernel::Name;
use oc_proto::catalog::v1 as catalog;
use oc_proto::types::v1 as types;
use oc_store::{Expect, Query, StoreError};
use serde_json::json;
use tokio_util::sync::CancellationToken;

use crate::convert::{taken_message, visible_to};
use crate::domain::grant::Cause;
use crate::domain::ledger::{Command, StopCause};
use crate::domain::offer::{Offer, OfferKind, OfferState, offer_of};
use crate::domain::room::Room;
use crate::error::Error;
use crate::provider::Provider;

/// How often the lister looks without being woken.
const LISTER_PAUSE: Duration = Duration::from_secs(2);

/// What a withdrawal set in motion.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Withdrawn {
    pub(crate) grants_revoked: u32,
    pub(crate) attempts_stopped: u32,
}

/// What is in an offer.
#[derive(Debug, Clone, Default)]
pub(crate) struct Inside {
    /// Held or in use.
    pub(crate) used: types::Limits,
    /// Objects in storage that was taken back.
    pub(crate) objects_left: u64,
}

impl Provider {
    /// Offers machines or room. The same offer again is no error.
    pub(crate) async fn create_offer(&self, offer: Offer) -> Result<Offer, Error> {
        let name = offer.name.as_str();
        if self.shelf.offers.get(name).await?.is_none() {
            let free = match offer.kind {
                OfferKind::Compute => None,
                OfferKind::Storage => self.objects.free_space().await?,
            };
            offer.check_fits(&self.runtime.machine(), free)?;
        }
        // The ledger comes first: there is never an offer without one.
        match offer.kind {
            OfferKind::Compute => {
                self.ledgers
                    .open(&offer.name, offer.ledger_capacity())
                    .await?;
            }
            OfferKind::Storage => {
                self.open_room(&offer.name, offer.capacity.storage_bytes)
                    .await?;
            }
        }
        match self
            .shelf
            .offers
            .create(offer.name.as_str(), &offer, Vec::new())
            .await
        {
            Ok(_) => {
                self.equip(&offer).await?;
                self.wake_lister.notify_one();
                Ok(offer)
            }
            Err(StoreError::AlreadyExists { .. }) => {
                let there = self.shelf.offers.require(offer.name.as_str()).await?.value;
                let same = Offer {
                    listed: there.listed,
                    ..offer.clone()
                } == there;
                if same {
                    return Ok(there);
                }
                if let Some(resized) = there.resized(&offer) {
                    return self.resize(&there, resized).await;
                }
                let left = self.inside(&there).await?.objects_left;
                Err(taken(&there, left))
            }
            Err(error) => Err(error.into()),
        }
    }

    /// Gives storage that stands another size. The room comes first: it knows what is in it.
    async fn resize(&self, there: &Offer, resized: Offer) -> Result<Offer, Error> {
        let (had, wants) = (there.capacity.storage_bytes, resized.capacity.storage_bytes);
        let mut more = resized.clone();
        more.capacity.storage_bytes = wants.saturating_sub(had);
        more.check_fits(&self.runtime.machine(), self.objects.free_space().await?)?;
        self.equip(&resized).await?;
        let changed = self
            .shelf
            .offers
            .update(there.name.as_str(), |offer| -> Result<_, Error> {
                offer.capacity = resized.capacity;
                // Listed anew with its new size.
                offer.listed = false;
                Ok(Vec::new())
            });
        let changed = changed.await?.value;
        self.wake_lister.notify_one();
        Ok(changed)
    }

    /// Brings what stands behind a new offer in line with it: an earlier try may have left it otherwise.
    async fn equip(&self, offer: &Offer) -> Result<(), Error> {
        match offer.kind {
            OfferKind::Compute => {
                let capacity = offer.ledger_capacity();
                self.ledgers
                    .apply(&offer.name, Command::Resize { capacity })
                    .await?;
                self.ledgers
                    .apply(&offer.name, Command::Close { closed: false })
                    .await?;
            }
            OfferKind::Storage => {
                let capacity = offer.capacity.storage_bytes;
                self.change_room(&offer.name, |room| {
                    room.closed = false;
                    Ok(room.resize(capacity)?)
                })
                .await?;
            }
        }
        Ok(())
    }

    /// Our offers by name, each with what is in it.
    pub(crate) async fn list_offers(&self) -> Result<Vec<(Offer, Inside)>, Error> {
        let mut offers = Vec::new();
        for seen in self.shelf.offers.all(&Query::all()).await? {
            let inside = match self.inside(&seen.value).await {
                // It is just being wound up: what stood behind it is gone already.
                Err(Error::Unknown { .. }) => Inside::default(),
                inside => inside?,
            };
            offers.push((seen.value, inside));
        }
        Ok(offers)
    }

    /// What is in an offer.
    pub(crate) async fn inside(&self, offer: &Offer) -> Result<Inside, Error> {
        let left = offer.kind == OfferKind::Storage && offer.state == OfferState::Withdrawn;
        let objects_left = match left {
            true => self.count_objects(&offer.name).await?,
            false => 0,
        };
        Ok(Inside {
            used: self.used(offer).await?,
            objects_left,
        })
    }

    /// What of an offer is held or in use.
    async fn used(&self, offer: &Offer) -> Result<types::Limits, Error> {
        Ok(match offer.kind {
            OfferKind::Compute => taken_message(
                &self
                    .ledgers
                    .read(&offer.name)
                    .await?
                    .taken(self.clock.now()),
            ),
            OfferKind::Storage => types::Limits {
                storage_bytes: self.room(&offer.name).await?.taken(None),
                ..types::Limits::default()
            },
        })
    }

    /// The offer behind a listing of ours.
    pub(crate) async fn offer_behind(
        &self,
        listing: &Name,
        kind: OfferKind,
    ) -> Result<Offer, Error> {
        let unknown = || Error::unknown("offer", listing);
        let (found, name) = offer_of(listing).ok_or_else(unknown)?;
        let seen = self
            .shelf
            .offers
            .get(name.as_str())
            .await?
            .ok_or_else(unknown)?;
        if found != kind || seen.value.kind != kind {
            return Err(unknown());
        }
        Ok(seen.value)
    }

    /// Takes an offer back: nothing new begins, its grants are revoked, what runs is stopped. What stands
    /// behind it goes once nothing is in it any more.
    pub(crate) async fn withdraw_offer(&self, name: &Name) -> Result<Withdrawn, Error> {
        let withdrawn = self
            .shelf
            .offers
            .update(name.as_str(), |offer| -> Result<_, Error> {
                offer.state = OfferState::Withdrawn;
                Ok(Vec::new())
            });
        let offer = match withdrawn.await {
            Ok(seen) => seen.value,
            Err(Error::Store(StoreError::NotFound { .. })) => {
                return Err(Error::unknown("offer", name));
            }
            Err(error) => return Err(error),
        };
        let mut attempts_stopped = 0;
        if offer.kind == OfferKind::Compute {
            self.ledgers
                .apply(name, Command::Close { closed: true })
                .await?;
            for (lease, _) in self.ledgers.read(name).await?.leases() {
                let stop = Command::Stop {
                    lease: *lease,
                    cause: StopCause::ByProvider,
                };
                self.ledgers.apply(name, stop).await?;
                attempts_stopped += 1;
            }
        } else {
            self.close_room(name).await?;
        }
        let listing = offer.listing_id()?;
        let me = self.me().await?;
        let mut grants_revoked = 0;
        for grant in self.given_grants_over(&listing).await? {
            let text = format!("offer `{name}` was withdrawn");
            let cause = Cause::new("offer-withdrawn", &text, me, self.clock.now());
            self.revoke_grant(&grant, cause).await?;
            grants_revoked += 1;
        }
        self.wake_lister.notify_one();
        self.wake_supervisor.notify_one();
        Ok(Withdrawn {
            grants_revoked,
            attempts_stopped,
        })
    }

    /// Keeps the catalogue in step with the offers.
    pub(crate) async fn keep_listed(self, stop: CancellationToken) -> anyhow::Result<()> {
        let mut renewed_at = Timestamp::MIN;
        loop {
            let renew_every =
                Duration::from_secs(u64::from(self.settings.listing_seconds / 3).max(1));
            let now = self.clock.now();
            let renew = now.duration_since(renewed_at) >= renew_every.try_into()?;
            match self.list_once(renew).await {
                Ok(()) if renew => renewed_at = now,
                Ok(()) => {}
                Err(error) => tracing::debug!(%error, "offers are not listed yet"),
            }
            tokio::select! {
                biased;
                () = stop.cancelled() => return Ok(()),
                () = self.wake_lister.notified() => {}
                () = tokio::time::sleep(LISTER_PAUSE) => {}
            }
        }
    }

    async fn list_once(&self, renew: bool) -> Result<(), Error> {
        for seen in self.shelf.offers.all(&Query::all()).await? {
            let offer = seen.value;
            match offer.state {
                OfferState::Active if renew || !offer.listed => self.list(&offer).await?,
                OfferState::Active => {}
                OfferState::Withdrawn => self.wind_up(&offer).await?,
            }
        }
        Ok(())
    }

    async fn list(&self, offer: &Offer) -> Result<(), Error> {
        self.ports
            .publish(listing(offer, self.settings.listing_seconds)?)
            .await?;
        if offer.listed {
            return Ok(());
        }
        let name = offer.name.as_str();
        let noted = self.shelf.offers.update(name, |offer| -> Result<_, Error> {
            offer.listed = true;
            Ok(Vec::new())
        });
        noted.await.map(|_| ())
    }

    /// Removes what is left of a withdrawn offer. Our own objects in a storage offer are never removed with
    /// it: the offer stays, closed, until its owner has deleted them.
    async fn wind_up(&self, offer: &Offer) -> Result<(), Error> {
        if offer.listed {
            self.ports.withdraw(&offer.listing_id()?).await?;
            let name = offer.name.as_str();
            let noted = self.shelf.offers.update(name, |offer| -> Result<_, Error> {
                offer.listed = false;
                Ok(Vec::new())
            });
            noted.await?;
        }
        let gone = match offer.kind {
            OfferKind::Compute => self.ledgers.close(&offer.name).await?,
            OfferKind::Storage => self.remove_room(&offer.name).await?,
        };
        if gone {
            self.shelf
                .offers
                .delete(offer.name.as_str(), Expect::Any, Vec::new())
                .await?;
        }
        Ok(())
    }

    /// Opens the room of a storage offer. One that is there stays as it is.
    async fn open_room(&self, name: &Name, capacity: u64) -> Result<(), Error> {
        let room = Room::new(name.clone(), capacity);
        match self
            .shelf
            .rooms
            .create(name.as_str(), &room, Vec::new())
            .await
        {
            Ok(_) | Err(StoreError::AlreadyExists { .. }) => Ok(()),
            Err(error) => Err(error.into()),
        }
    }
}

/// `left` objects keep a withdrawn offer from going.
fn taken(there: &Offer, left: u64) -> Error {
    let name = &there.name;
    Error::Conflict(match (there.state, left) {
        (OfferState::Active, _) => {
            format!("offer `{name}` exists with other terms: withdraw it first")
        }
        (OfferState::Withdrawn, 0) => {
            format!("offer `{name}` is being withdrawn: try again when it is gone")
        }
        (OfferState::Withdrawn, left) => format!(
            "offer `{name}` is withdrawn, and {left} of its files are left: once they are removed, with `opencloud storage \
             remove {name} --all`, it can be offered anew"
        ),
    })
}

/// What the catalogue shows of an offer.
fn listing(offer: &Offer, ttl_seconds: u32) -> Result<catalog::Listing, Error> {
    let has = &offer.capacity;
    let (kind, body) = match offer.kind {
        OfferKind::Compute => (
            catalog::ListingKind::Compute,
            json!({
                "cores": has.cores,
                "memory_bytes": has.memory_bytes,
                "concurrent_fragments": has.fragments,
                "wall_seconds": has.run_wall_seconds,
            }),
        ),
        OfferKind::Storage => (
            catalog::ListingKind::Storage,
            json!({ "storage_bytes": has.storage_bytes }),
        ),
    };
    Ok(catalog::Listing {
        listing_id: offer.listing_id()?.to_string(),
        kind: kind.into(),
        name: offer.name.to_string(),
        title: offer.title.clone(),
        terms: offer.terms.clone(),
        price: Some(price_message(&offer.price)),
        body_json: body.to_string(),
        visible_to: visible_to(&offer.visibility),
        ttl_seconds,
        ..catalog::Listing::default()
    })
}

//! Counting images and holding them for a run.

use oc_door::Caller;
use oc_kernel::{Digest, Name, ReservationId};
use oc_store::{OutboxEvent, Query as StoreQuery, StoreError, Versioned};
use serde_json::json;

use super::Provider;
use crate::convert;
use crate::domain::{DataError, Nearest, Query, Reservation, operation_key};
use crate::ports::Checked;

/// Longest id of a run or an operation, in bytes.
const LONGEST_ID: usize = 200;

/// How many images match.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Count {
    /// Images.
    pub(crate) images: u64,
    /// Bytes of the wanted files.
    pub(crate) bytes: u64,
    /// The nearest image in time where there is none.
    pub(crate) nearest: Option<Nearest>,
}

/// A wish to hold images.
#[derive(Debug, Clone)]
pub(crate) struct Order {
    /// The dataset's listing.
    pub(crate) listing_id: String,
    /// Which images.
    pub(crate) query: Query,
    /// The grant; empty for ourselves.
    pub(crate) grant_id: String,
    /// The run.
    pub(crate) run_id: String,
    /// The holder's key of this operation.
    pub(crate) operation_id: String,
    /// The digest of the whole request.
    pub(crate) request: Digest,
    /// Wanted life in seconds; zero for the longest.
    pub(crate) ttl_seconds: u32,
}

impl Provider {
    /// Counts exactly; holds nothing.
    ///
    /// # Errors
    /// When there is no such dataset or the query names a file that no image has.
    pub(crate) fn count(&self, dataset: &str, query: &Query) -> Result<Count, DataError> {
        let index = self.index();
        let found = index.find(dataset, query)?;
        let bytes = found
            .iter()
            .filter_map(|found| found.image.bytes_of(&query.assets));
        Ok(Count {
            images: found.len() as u64,
            bytes: bytes.sum(),
            nearest: match found.is_empty() {
                true => index.nearest(dataset, query)?,
                false => None,
            },
        })
    }

    /// The same for another organisation, by the listing and under a grant.
    ///
    /// # Errors
    /// As [`Provider::count`], and where the grant is not good.
    pub(crate) async fn count_for(
        &self,
        caller: &Caller,
        listing_id: &str,
        grant_id: &str,
        query: &Query,
    ) -> Result<Count, DataError> {
        let dataset = dataset_of(listing_id)?;
        self.check_grant(caller, grant_id, listing_id).await?;
        self.count(&dataset, query)
    }

    /// Holds the images of an order. The same operation gives the same answer, also after the reservation has
    /// ended; with another request it is a conflict.
    ///
    /// # Errors
    /// Where the grant is not good, nothing matches or too much does.
    pub(crate) async fn reserve(
        &self,
        caller: &Caller,
        order: Order,
    ) -> Result<Reservation, DataError> {
        for (what, id) in [("run", &order.run_id), ("operation", &order.operation_id)] {
            if id.is_empty() || id.len() > LONGEST_ID {
                let text = format!("the id of the {what} must have 1 to {LONGEST_ID} characters");
                return Err(DataError::Question(text));
            }
        }
        let dataset = dataset_of(&order.listing_id)?;
        self.check_grant(caller, &order.grant_id, &order.listing_id)
            .await?;
        let key = operation_key(&caller.org, &order.run_id, &order.operation_id);
        if let Some(known) = self.0.reservations.get(&key).await? {
            return same_request(known, &order);
        }
        let reservation = self.draft(caller, &dataset, &order)?;
        let events = vec![event(&reservation, "held")];
        let created = self.0.reservations.create(&key, &reservation, events).await;
        match created {
            Ok(_) => Ok(reservation),
            // Another call of the same operation was faster: its answer counts.
            Err(StoreError::AlreadyExists { .. }) => {
                same_request(self.0.reservations.require(&key).await?, &order)
            }
            Err(error) => Err(error.into()),
        }
    }

    fn draft(
        &self,
        caller: &Caller,
        dataset: &str,
        order: &Order,
    ) -> Result<Reservation, DataError> {
        let index = self.index();
        let found = index.find(dataset, &order.query)?;
        let limit = self.settings().reservation_images;
        if found.is_empty() {
            let nearest = index.nearest(dataset, &order.query)?;
            return Err(nothing_found(dataset, nearest));
        }
        if found.len() > limit {
            let found = found.len();
            return Err(DataError::TooMany { found, limit });
        }
        let images = found
            .iter()
            .map(|f| convert::held(&f.image, &order.query.assets));
        let life = self.settings().reservation_life_ms(order.ttl_seconds);
        Ok(Reservation {
            id: ReservationId::new(),
            dataset: index.dataset(dataset)?.name.clone(),
            holder: caller.org,
            grant_id: order.grant_id.clone(),
            run_id: order.run_id.clone(),
            operation_id: order.operation_id.clone(),
            request: order.request,
            images: images.collect(),
            ends_ms: self.clock().now_ms() + life,
            closed: false,
        })
    }

    /// Extends a reservation of the caller; answers with its new end in ms since the epoch.
    ///
    /// # Errors
    /// When it is not the caller's, has ended, or its grant is no longer good.
    pub(crate) async fn renew(
        &self,
        caller: &Caller,
        id: &str,
        ttl_seconds: u32,
    ) -> Result<u64, DataError> {
        let held = self.held_by(caller, id).await?;
        self.check_reservation_grant(&held.value).await?;
        let now_ms = self.clock().now_ms();
        let ends_ms = now_ms + self.settings().reservation_life_ms(ttl_seconds);
        let extend = |reservation: &mut Reservation| {
            reservation.renew(now_ms, ends_ms)?;
            Ok::<_, DataError>(Vec::new())
        };
        let renewed = self.0.reservations.update(&held.key, extend).await?;
        Ok(renewed.value.ends_ms)
    }

    /// Ends a reservation of the caller; ending it again, or one that is forgotten, is no error.
    ///
    /// # Errors
    /// The store's.
    pub(crate) async fn release(&self, caller: &Caller, id: &str) -> Result<(), DataError> {
        match self.held_by(caller, id).await {
            Ok(held) => self.close(&held.key).await,
            Err(DataError::NoReservation(_)) => Ok(()),
            Err(error) => Err(error),
        }
    }

    /// Ends every reservation of a grant, which has ended; with `forget` nothing of them stays.
    pub(crate) async fn end_grant(&self, grant_id: &str, forget: bool) -> Result<(), DataError> {
        let query = StoreQuery::equals("grant", grant_id);
        for held in self.0.reservations.all(&query).await? {
            self.close(&held.key).await?;
            if forget {
                self.0
                    .reservations
                    .delete(&held.key, oc_store::Expect::Any, Vec::new())
                    .await?;
            }
        }
        Ok(())
    }

    pub(super) async fn close(&self, key: &str) -> Result<(), DataError> {
        let now_ms = self.clock().now_ms();
        let close = |reservation: &mut Reservation| {
            let events = match reservation.closed {
                true => Vec::new(),
                false => vec![event(reservation, "ended")],
            };
            reservation.close(now_ms);
            Ok::<_, DataError>(events)
        };
        match self.0.reservations.update(key, close).await {
            Ok(_) | Err(DataError::Store(StoreError::NotFound { .. })) => Ok(()),
            Err(error) => Err(error),
        }
    }

    /// The reservations that hold now.
    ///
    /// # Errors
    /// The store's.
    pub(crate) async fn reservations(&self) -> Result<Vec<Reservation>, DataError> {
        let now_ms = self.clock().now_ms();
        let alive = std::ops::Bound::Excluded(i64::try_from(now_ms).unwrap_or(i64::MAX).into());
        let query = StoreQuery::range("ends", alive, std::ops::Bound::Unbounded);
        let found = self.0.reservations.all(&query).await?;
        let found = found.into_iter().map(|held| held.value);
        Ok(found.filter(|held| held.check(now_ms).is_ok()).collect())
    }

    /// Forgets reservations that ended long ago.
    pub(crate) async fn forget_reservations(&self) -> Result<(), DataError> {
        let before = self.clock().now_ms();
        let before = before.saturating_sub(self.settings().forget_seconds.saturating_mul(1000));
        let before = std::ops::Bound::Excluded(i64::try_from(before).unwrap_or(i64::MAX).into());
        let query = StoreQuery::range("ends", std::ops::Bound::Unbounded, before);
        for held in self.0.reservations.all(&query).await? {
            let seen = oc_store::Expect::Revision(held.revision);
            match self
                .0
                .reservations
                .delete(&held.key, seen, Vec::new())
                .await
            {
                // Renewed meanwhile.
                Ok(_) | Err(StoreError::Stale { .. }) => {}
                Err(error) => return Err(error.into()),
            }
        }
        Ok(())
    }

    /// The reservation of that id, whoever holds it.
    pub(super) async fn reservation(&self, id: &str) -> Result<Versioned<Reservation>, DataError> {
        let unknown = || DataError::NoReservation(id.chars().take(80).collect());
        let id: ReservationId = id.parse().map_err(|_| unknown())?;
        let query = StoreQuery::equals("id", id.to_string());
        let found = self.0.reservations.all(&query).await?;
        found.into_iter().next().ok_or_else(unknown)
    }

    async fn held_by(
        &self,
        caller: &Caller,
        id: &str,
    ) -> Result<Versioned<Reservation>, DataError> {
        let found = self.reservation(id).await?;
        // Somebody else's is not told from one that never was.
        match found.value.holder == caller.org {
            true => Ok(found),
            false => Err(DataError::NoReservation(id.to_owned())),
        }
    }

    /// A partner needs a grant that is good for the listing; we ourselves need none.
    async fn check_grant(
        &self,
        caller: &Caller,
        grant_id: &str,
        listing_id: &str,
    ) -> Result<(), DataError> {
        if caller.own {
            return Ok(());
        }
        if grant_id.is_empty() {
            return Err(DataError::GrantNeeded(listing_id.to_owned()));
        }
        self.0
            .grants
            .check(grant_id, listing_id, &caller.org)
            .await?;
        Ok(())
    }

    /// The grant that a reservation was made under, which must still be good; none of any generation for one of
    /// our own.
    pub(super) async fn check_reservation_grant(
        &self,
        reservation: &Reservation,
    ) -> Result<Checked, DataError> {
        if reservation.grant_id.is_empty() {
            return Ok(Checked::default());
        }
        let listing_id = crate::domain::listing_id(&reservation.dataset);
        let grants = &self.0.grants;
        let checked = grants
            .check(&reservation.grant_id, &listing_id, &reservation.holder)
            .await?;
        Ok(checked)
    }
}

fn same_request(known: Versioned<Reservation>, order: &Order) -> Result<Reservation, DataError> {
    match known.value.request == order.request {
        true => Ok(known.value),
        false => Err(DataError::OtherRequest(order.operation_id.clone())),
    }
}

fn dataset_of(listing_id: &str) -> Result<String, DataError> {
    let name = listing_id.strip_prefix("dataset.");
    let name = name.and_then(|name| name.parse::<Name>().ok());
    name.map(|name| name.to_string())
        .ok_or_else(|| DataError::NoDataset(listing_id.chars().take(80).collect()))
}

fn nothing_found(dataset: &str, nearest: Option<Nearest>) -> DataError {
    let nearest = nearest.map(|nearest| {
        let at = jiff::Timestamp::from_millisecond(nearest.taken_ms).unwrap_or_default();
        format!(": the nearest is `{}` of {at}", nearest.id)
    });
    DataError::NothingFound {
        dataset: dataset.to_owned(),
        nearest,
    }
}

fn event(reservation: &Reservation, state: &str) -> OutboxEvent {
    let data = json!({
        "reservation_id": reservation.id,
        "dataset": reservation.dataset,
        "holder": reservation.holder,
        "grant_id": reservation.grant_id,
        "run_id": reservation.run_id,
        "state": state,
    });
    OutboxEvent::new("oc.data.reservation.v1", reservation.id.to_string(), data)
}

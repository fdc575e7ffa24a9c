//! Ledgers in the store. Commands that arrive together are applied together and made durable by one
//! conditional write, so that many reservations at once neither fight for the document nor oversell it.

mod desk;
mod moving;

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, PoisonError};

use oc_kernel::{Clock, GrantId, Name};
use oc_store::{Expect, OutboxEvent, StoreError};

use desk::Desk;
pub(crate) use desk::Order;

use crate::documents::Shelf;
use crate::domain::ledger::{Command, Ledger, LedgerError, Outcome, StopCause};
use crate::domain::resources::Capacity;
use crate::error::Error;

/// The ledgers of all compute offers.
pub(crate) struct Ledgers {
    shelf: Shelf,
    clock: Arc<dyn Clock>,
    desks: Mutex<BTreeMap<Name, Arc<Desk>>>,
}

impl Ledgers {
    /// The ledgers in `shelf`.
    pub(crate) fn new(shelf: Shelf, clock: Arc<dyn Clock>) -> Self {
        Self {
            shelf,
            clock,
            desks: Mutex::default(),
        }
    }

    /// Opens the ledger of a new offer. One that is there stays as it is.
    pub(crate) async fn open(&self, offer: &Name, capacity: Capacity) -> Result<(), Error> {
        let ledger = Ledger::new(offer.clone(), capacity);
        match self
            .shelf
            .ledgers
            .create(offer.as_str(), &ledger, Vec::new())
            .await
        {
            Ok(_) | Err(StoreError::AlreadyExists { .. }) => Ok(()),
            Err(error) => Err(error.into()),
        }
    }

    /// Applies one command.
    pub(crate) async fn apply(&self, offer: &Name, command: Command) -> Result<Outcome, Error> {
        self.order(offer, Order::new(command)).await
    }

    /// Applies one command and sends events along with its write.
    pub(crate) async fn settle(
        &self,
        offer: &Name,
        command: Command,
        events: Vec<OutboxEvent>,
    ) -> Result<Outcome, Error> {
        self.order(offer, Order::new(command).with_events(events))
            .await
    }

    async fn order(&self, offer: &Name, order: Order) -> Result<Outcome, Error> {
        self.desk(offer)
            .carry_out(&self.shelf, &*self.clock, order)
            .await
    }

    /// The ledger of an offer as it was last written.
    pub(crate) async fn read(&self, offer: &Name) -> Result<Ledger, Error> {
        let found = self.shelf.ledgers.get(offer.as_str()).await?;
        found
            .map(|seen| seen.value)
            .ok_or_else(|| Error::unknown("offer", offer))
    }

    /// Every ledger.
    pub(crate) async fn all(&self) -> Result<Vec<Ledger>, Error> {
        let all = self.shelf.ledgers.all(&oc_store::Query::all()).await?;
        Ok(all.into_iter().map(|seen| seen.value).collect())
    }

    /// Raises a grant's generation everywhere; how many attempts are being stopped.
    pub(crate) async fn raise(
        &self,
        grant: GrantId,
        generation: u64,
        cause: StopCause,
    ) -> Result<usize, Error> {
        let mut stopped = 0;
        for ledger in self.all().await? {
            stopped += ledger
                .leases()
                .filter(|(_, lease)| lease.under.is(&grant))
                .count();
            self.apply(
                ledger.offer(),
                Command::Raise {
                    grant,
                    generation,
                    cause,
                },
            )
            .await?;
        }
        Ok(stopped)
    }

    /// Takes a grant out of every ledger; false while something of it is still there.
    pub(crate) async fn forget(&self, grant: GrantId) -> Result<bool, Error> {
        for ledger in self.all().await? {
            self.move_settled(ledger.offer(), 0).await?;
            match self.apply(ledger.offer(), Command::Forget { grant }).await {
                Ok(_) => {}
                Err(Error::Ledger(LedgerError::GrantInUse { .. })) => return Ok(false),
                Err(error) => return Err(error),
            }
        }
        Ok(true)
    }

    /// Removes the ledger of a withdrawn offer; false while something runs in it.
    pub(crate) async fn close(&self, offer: &Name) -> Result<bool, Error> {
        self.move_settled(offer, 0).await?;
        let Some(seen) = self.shelf.ledgers.get(offer.as_str()).await? else {
            return Ok(true);
        };
        let ledger = &seen.value;
        let busy = ledger.leases().next().is_some()
            || !ledger.ended().is_empty()
            || ledger.answers().next().is_some();
        if busy {
            return Ok(false);
        }
        let expect = Expect::Revision(seen.revision);
        match self
            .shelf
            .ledgers
            .delete(offer.as_str(), expect, Vec::new())
            .await
        {
            Ok(_) => {
                self.lock().remove(offer);
                Ok(true)
            }
            Err(StoreError::Stale { .. }) => Ok(false),
            Err(error) => Err(error.into()),
        }
    }

    fn desk(&self, offer: &Name) -> Arc<Desk> {
        self.lock()
            .entry(offer.clone())
            .or_insert_with(|| Arc::new(Desk::new(offer.clone())))
            .clone()
    }

    fn lock(&self) -> std::sync::MutexGuard<'_, BTreeMap<Name, Arc<Desk>>> {
        self.desks.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests;

//! The service: what its use cases share.

use std::collections::BTreeMap;
use std::sync::atomic::AtomicU64;
use std::sync::{Arc, Mutex, PoisonError};

use oc_kernel::{Clock, GrantId, OrgId};
use oc_store::{Documents, Query, Store, Versioned};
use oc_trust::{BooksKey, Currency};
use tokio::sync::Notify;

use super::books::{BOOKS, Books, Side};
use super::error::AccountingError;
use super::ledger::Ledger;
use super::model::Model;
use super::observation::{OBSERVATIONS, Observation};
use super::reach::{ERASED, Erased, PEOPLE, Person};
use super::sums::{Account, Direction};
use crate::ports::{Organisation, ProviderBooks};

/// The books of an organisation.
#[derive(Clone)]
pub struct Accounting(pub(crate) Arc<Inner>);

pub(crate) struct Inner {
    pub(crate) store: Arc<dyn Store>,
    pub(crate) ledger: Arc<dyn Ledger>,
    pub(crate) organisation: Arc<dyn Organisation>,
    pub(crate) providers: Arc<dyn ProviderBooks>,
    pub(crate) clock: Arc<dyn Clock>,
    pub(crate) own_currency: Currency,
    pub(crate) books: Documents<Books>,
    pub(crate) observations: Documents<Observation>,
    pub(crate) people: Documents<Person>,
    pub(crate) erased: Documents<Erased>,
    pub(crate) model: Model,
    // Told when an attempt of ours has ended, so that its record is fetched at once.
    pub(crate) ended: Notify,
    /// The epoch in which new books begin.
    pub(crate) epoch: AtomicU64,
    // One settlement of a grant at a time.
    settling: Mutex<BTreeMap<GrantId, Arc<tokio::sync::Mutex<()>>>>,
}

impl std::fmt::Debug for Accounting {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Accounting").finish_non_exhaustive()
    }
}

impl Accounting {
    /// The service over its store and ledger. `own_currency` is that of our own work, which costs nothing.
    pub fn new(
        store: Arc<dyn Store>,
        ledger: Arc<dyn Ledger>,
        organisation: Arc<dyn Organisation>,
        providers: Arc<dyn ProviderBooks>,
        clock: Arc<dyn Clock>,
        own_currency: Currency,
    ) -> Self {
        Self(Arc::new(Inner {
            books: Documents::new(store.clone(), &BOOKS, 1),
            observations: Documents::new(store.clone(), &OBSERVATIONS, 1),
            people: Documents::new(store.clone(), &PEOPLE, 1),
            erased: Documents::new(store.clone(), &ERASED, 1),
            model: Model::new(ledger.clone()),
            ended: Notify::new(),
            epoch: AtomicU64::new(1),
            settling: Mutex::default(),
            store,
            ledger,
            organisation,
            providers,
            clock,
            own_currency,
        }))
    }

    /// Asks whether the store answers.
    ///
    /// # Errors
    /// When it does not.
    pub async fn ping(&self) -> Result<(), AccountingError> {
        self.0.store.ping().await?;
        self.0.ledger.books().await?;
        Ok(())
    }

    pub(crate) async fn me(&self) -> Result<OrgId, AccountingError> {
        Ok(self.0.organisation.me().await?)
    }

    pub(crate) async fn books_of(
        &self,
        grant: GrantId,
    ) -> Result<Versioned<Books>, AccountingError> {
        let found = self.0.books.get(&grant.to_string()).await?;
        found.ok_or(AccountingError::UnknownGrant(grant))
    }

    /// The books of a grant that we provide, for its consumer or for ourselves.
    pub(crate) async fn provided(
        &self,
        grant: GrantId,
        caller: OrgId,
    ) -> Result<Versioned<Books>, AccountingError> {
        let books = self.books_of(grant).await?;
        let me = self.me().await?;
        // Whoever is no side of the grant learns nothing, not even that it exists.
        if caller != books.value.other && caller != me {
            return Err(AccountingError::UnknownGrant(grant));
        }
        match books.value.side {
            Side::Provider if books.value.restored.is_some() => {
                Err(AccountingError::Restored(grant))
            }
            Side::Provider => Ok(books),
            Side::Consumer => Err(AccountingError::NotProvider {
                grant,
                provider: books.value.other,
            }),
        }
    }

    /// What stands behind all books.
    pub(crate) async fn accounts(&self) -> Result<BTreeMap<BooksKey, Account>, AccountingError> {
        let mut accounts = BTreeMap::new();
        for books in self.0.books.all(&Query::all()).await? {
            let books = books.value;
            let account = Account {
                direction: match books.side {
                    Side::Provider => Direction::Given,
                    Side::Consumer => Direction::Received,
                },
                other: books.other,
                currency: books.currency,
            };
            accounts.insert(BooksKey::Grant(books.grant), account);
        }
        let own = Account {
            direction: Direction::Own,
            other: self.me().await?,
            currency: self.0.own_currency,
        };
        accounts.insert(BooksKey::Own, own);
        Ok(accounts)
    }

    pub(crate) fn settling(&self, grant: GrantId) -> Arc<tokio::sync::Mutex<()>> {
        let mut settling = self
            .0
            .settling
            .lock()
            .unwrap_or_else(PoisonError::into_inner);
        // Locks that nobody holds are forgotten, so that the map stays as small as the work.
        settling.retain(|_, lock| Arc::strong_count(lock) > 1);
        settling.entry(grant).or_default().clone()
    }
}

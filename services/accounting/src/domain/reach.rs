//! Whose records somebody may see. The books know people by pseudonyms only; whose pseudonym one is, our own events
//! about our attempts say.

use std::collections::BTreeSet;

use oc_kernel::Name;
use oc_store::{Collection, Expect, Index, Query};
use oc_trust::event::AttemptEvent;
use oc_trust::{BooksKey, UsageRecord};
use serde::{Deserialize, Serialize};

use super::error::AccountingError;
use super::service::Accounting;

/// Our people's pseudonyms, by books and pseudonym.
pub(crate) static PEOPLE: Collection =
    Collection::new("people", &[Index::pointer("user", "/user")]);

/// Users who were removed, by their random ids: what is told of them later names nobody either.
pub(crate) static ERASED: Collection = Collection::new("erased-people", &[]);

/// A user who was removed.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Erased {
    /// When, in milliseconds since the epoch.
    at_ms: u64,
}

/// Who is behind a pseudonym of ours.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Person {
    /// The user's id.
    user: String,
    /// The books in which the pseudonym is used.
    books: BooksKey,
    /// The pseudonym.
    pseudonym: Name,
}

/// Whose records somebody may see.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Reach {
    /// Everybody's.
    All,
    /// Those under these pseudonyms of one user.
    Of(BTreeSet<(BooksKey, Name)>),
}

impl Reach {
    pub(crate) fn has(&self, books: BooksKey, pseudonym: &Name) -> bool {
        match self {
            Reach::All => true,
            Reach::Of(own) => own.contains(&(books, pseudonym.clone())),
        }
    }

    /// True when some records of these books may be among them.
    pub(crate) fn touches(&self, books: BooksKey) -> bool {
        match self {
            Reach::All => true,
            Reach::Of(own) => own.iter().any(|(known, _)| *known == books),
        }
    }

    pub(crate) fn has_record(&self, record: &UsageRecord) -> bool {
        self.has(BooksKey::of(record.grant), &record.pseudonym)
    }
}

impl Accounting {
    /// The records of a user's own runs.
    ///
    /// # Errors
    /// The store's.
    pub async fn reach_of(&self, user: &str) -> Result<Reach, AccountingError> {
        let own = self.0.people.all(&Query::equals("user", user)).await?;
        let own = own.into_iter().map(|seen| seen.value);
        Ok(Reach::Of(
            own.map(|person| (person.books, person.pseudonym)).collect(),
        ))
    }

    pub(crate) async fn note_person(&self, event: &AttemptEvent) -> Result<(), AccountingError> {
        let (Some(user), Some(pseudonym)) = (&event.user, &event.pseudonym) else {
            return Ok(());
        };
        let key = format!("{}/{pseudonym}", event.grant_id);
        let known = self.0.people.get(&key).await?.is_some();
        if known || self.0.erased.get(user).await?.is_some() {
            return Ok(());
        }
        let person = Person {
            user: user.clone(),
            books: event.grant_id,
            pseudonym: pseudonym.clone(),
        };
        self.0
            .people
            .put(&key, &person, Expect::Any, vec![])
            .await?;
        Ok(())
    }

    /// Forgets whose pseudonyms a user's were, and never learns it again. The records stay as they are.
    pub(crate) async fn forget_person(&self, user: &str) -> Result<(), AccountingError> {
        let erased = Erased {
            at_ms: self.0.clock.now_ms(),
        };
        self.0
            .erased
            .put(user, &erased, Expect::Any, vec![])
            .await?;
        for person in self.0.people.all(&Query::equals("user", user)).await? {
            self.0
                .people
                .delete(&person.key, Expect::Any, vec![])
                .await?;
        }
        Ok(())
    }
}

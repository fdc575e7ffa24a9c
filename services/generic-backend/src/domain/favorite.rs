//! Listings that a user marked. The listing itself may be gone: a mark says only that it was wanted.

use std::sync::Arc;

use oc_kernel::{Clock, Name, OrgId};
use oc_store::{Collection, Documents, Expect, Query, Store};
use serde::{Deserialize, Serialize};

use super::error::BackendError;

static FAVORITES: Collection = Collection::new("favorites", &[]);

/// Marks that a user may keep.
const MOST: usize = 10_000;
/// Longest note in bytes; longer ones are cut.
const LONGEST_NOTE: usize = 1000;

/// A mark.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub(crate) struct Favorite {
    pub(crate) owner: OrgId,
    pub(crate) listing_id: Name,
    pub(crate) note: String,
    pub(crate) added_at_ms: u64,
}

/// Everybody's marks.
#[derive(Debug, Clone)]
pub(crate) struct Favorites {
    documents: Documents<Favorite>,
    clock: Arc<dyn Clock>,
}

impl Favorites {
    pub(crate) fn new(store: Arc<dyn Store>, clock: Arc<dyn Clock>) -> Self {
        Self {
            documents: Documents::new(store, &FAVORITES, 1),
            clock,
        }
    }

    /// A user's marks, newest first.
    pub(crate) async fn list(&self, user_id: &str) -> Result<Vec<Favorite>, BackendError> {
        let found = self
            .documents
            .all(&Query::prefix(format!("{user_id}/")))
            .await?;
        let mut favorites: Vec<_> = found.into_iter().map(|found| found.value).collect();
        favorites.sort_by_key(|favorite| std::cmp::Reverse(favorite.added_at_ms));
        Ok(favorites)
    }

    /// Marks a listing; marking it again changes only the note.
    pub(crate) async fn add(
        &self,
        user_id: &str,
        owner: &str,
        listing_id: &str,
        note: &str,
    ) -> Result<Favorite, BackendError> {
        let (owner, listing_id) = reference(owner, listing_id)?;
        let key = key(user_id, owner, &listing_id);
        if self.documents.get(&key).await?.is_none() && self.list(user_id).await?.len() >= MOST {
            return Err(BackendError::TooMany {
                limit: MOST,
                what: "favourites",
            });
        }
        let note: String = note
            .char_indices()
            .take_while(|(at, _)| *at < LONGEST_NOTE)
            .map(|(_, c)| c)
            .collect();
        let first = || Favorite {
            owner,
            listing_id: listing_id.clone(),
            note: String::new(),
            added_at_ms: self.clock.now_ms(),
        };
        let marked = self.documents.update_or_create(&key, first, |favorite| {
            favorite.note.clone_from(&note);
            Ok::<_, BackendError>(Vec::new())
        });
        let marked = marked.await?;
        if marked.revision.0 == 0 {
            // An empty note changes nothing on a first mark, and what changes nothing is not written.
            self.documents
                .put(&key, &marked.value, Expect::Any, Vec::new())
                .await?;
        }
        Ok(marked.value)
    }

    /// Takes a mark away; taking it away again is no error.
    pub(crate) async fn delete(
        &self,
        user_id: &str,
        owner: &str,
        listing_id: &str,
    ) -> Result<(), BackendError> {
        let (owner, listing_id) = reference(owner, listing_id)?;
        self.documents
            .delete(&key(user_id, owner, &listing_id), Expect::Any, Vec::new())
            .await?;
        Ok(())
    }

    /// Takes all marks of a user away.
    pub(crate) async fn erase(&self, user_id: &str) -> Result<(), BackendError> {
        let own = Query::prefix(format!("{user_id}/"));
        for mark in self.documents.all(&own).await? {
            self.documents
                .delete(&mark.key, Expect::Any, Vec::new())
                .await?;
        }
        Ok(())
    }
}

fn reference(owner: &str, listing_id: &str) -> Result<(OrgId, Name), BackendError> {
    let owner = owner
        .parse()
        .map_err(|_| BackendError::Owner(owner.to_owned()))?;
    let listing_id = listing_id.parse().map_err(|source| BackendError::Name {
        what: "the listing's id",
        source,
    })?;
    Ok((owner, listing_id))
}

fn key(user_id: &str, owner: OrgId, listing_id: &Name) -> String {
    format!("{user_id}/{owner}/{listing_id}")
}

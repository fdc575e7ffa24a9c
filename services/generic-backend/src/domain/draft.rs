//! Workflows that a user is drawing. They may be wrong: a draft is kept as it is.

use std::sync::Arc;

use oc_kernel::{Clock, Name, Revision};
use oc_store::{Collection, Documents, Expect, Query, Store, StoreError, Versioned};
use serde::{Deserialize, Serialize};

use super::error::BackendError;

static DRAFTS: Collection = Collection::new("drafts", &[]);

/// Drafts that a user may keep.
const MOST: usize = 1000;
/// Longest document or layout in bytes.
const LONGEST: usize = 2 << 20;

/// A draft.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub(crate) struct Draft {
    pub(crate) name: Name,
    pub(crate) cwl: String,
    pub(crate) layout_json: String,
    pub(crate) updated_at_ms: u64,
}

/// Everybody's drafts.
#[derive(Debug, Clone)]
pub(crate) struct Drafts {
    documents: Documents<Draft>,
    clock: Arc<dyn Clock>,
}

impl Drafts {
    pub(crate) fn new(store: Arc<dyn Store>, clock: Arc<dyn Clock>) -> Self {
        Self {
            documents: Documents::new(store, &DRAFTS, 1),
            clock,
        }
    }

    /// A user's drafts, by name.
    pub(crate) async fn list(&self, user_id: &str) -> Result<Vec<Versioned<Draft>>, BackendError> {
        Ok(self
            .documents
            .all(&Query::prefix(format!("{user_id}/")))
            .await?)
    }

    /// One draft.
    pub(crate) async fn get(
        &self,
        user_id: &str,
        name: &str,
    ) -> Result<Versioned<Draft>, BackendError> {
        let found = self.documents.get(&key(user_id, &parse(name)?)).await?;
        found.ok_or_else(|| BackendError::UnknownDraft(name.to_owned()))
    }

    /// Writes a draft over the revision that was seen; 0 stands for a new one.
    pub(crate) async fn put(
        &self,
        user_id: &str,
        name: &str,
        seen: Revision,
        cwl: String,
        layout_json: String,
    ) -> Result<(Draft, Revision), BackendError> {
        let name = parse(name)?;
        if let Some(length) = [cwl.len(), layout_json.len()]
            .into_iter()
            .find(|l| *l > LONGEST)
        {
            return Err(BackendError::TooLong {
                limit: LONGEST,
                length,
            });
        }
        if seen == Revision(0) && self.list(user_id).await?.len() >= MOST {
            return Err(BackendError::TooMany {
                limit: MOST,
                what: "drafts",
            });
        }
        let draft = Draft {
            name,
            cwl,
            layout_json,
            updated_at_ms: self.clock.now_ms(),
        };
        let expect = if seen == Revision(0) {
            Expect::Absent
        } else {
            Expect::Revision(seen)
        };
        let key = key(user_id, &draft.name);
        match self.documents.put(&key, &draft, expect, Vec::new()).await {
            Ok(revision) => Ok((draft, revision)),
            Err(StoreError::Stale { found, .. }) => Err(BackendError::StaleDraft {
                name: draft.name.to_string(),
                seen,
                found,
            }),
            Err(StoreError::AlreadyExists { .. }) => {
                let found = self
                    .documents
                    .get(&key)
                    .await?
                    .map_or(Revision(0), |d| d.revision);
                Err(BackendError::StaleDraft {
                    name: draft.name.to_string(),
                    seen,
                    found,
                })
            }
            Err(error) => Err(error.into()),
        }
    }

    /// Deletes a draft.
    pub(crate) async fn delete(&self, user_id: &str, name: &str) -> Result<(), BackendError> {
        let key = key(user_id, &parse(name)?);
        match self.documents.delete(&key, Expect::Any, Vec::new()).await? {
            Some(_) => Ok(()),
            None => Err(BackendError::UnknownDraft(name.to_owned())),
        }
    }

    /// Deletes all drafts of a user.
    pub(crate) async fn erase(&self, user_id: &str) -> Result<(), BackendError> {
        for draft in self.list(user_id).await? {
            self.documents
                .delete(&draft.key, Expect::Any, Vec::new())
                .await?;
        }
        Ok(())
    }
}

fn parse(name: &str) -> Result<Name, BackendError> {
    name.parse().map_err(|source| BackendError::Name {
        what: "the draft's name",
        source,
    })
}

fn key(user_id: &str, name: &Name) -> String {
    format!("{user_id}/{name}")
}

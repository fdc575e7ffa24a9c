//! Fetching a partner's listings by cursor, and checking the copy against the partner's head.

use std::collections::BTreeSet;

use oc_kernel::{Name, OrgId};
use oc_trust::Version;

use super::Partners;
use super::accept::LeftOut;
use crate::domain::CatalogError;

/// Answers that are read for one pull; a partner that has still more is read on a while later.
const MOST_PAGES: usize = 1000;
/// Bytes of listings that are read for one pull.
const MOST_BYTES: usize = 64 * 1024 * 1024;
/// How often a partner that lists while we read is read on before everything is fetched.
const CATCH_UPS: usize = 3;
/// A partner that was heard of is noted in the store this often, in ms.
const NOTE_EVERY_MS: u64 = 60_000;

impl Partners {
    /// Fetches what changed at a partner, and checks that the copy is complete.
    ///
    /// # Errors
    /// When the partner does not answer, or the store fails.
    pub(crate) async fn pull(&self, org: OrgId) -> Result<(), CatalogError> {
        for _ in 0..CATCH_UPS {
            let known = self.newest_head(&org).await;
            self.pull_deltas(org).await?;
            if !self.is_doubtful(&org).await {
                return Ok(());
            }
            // The head may be older than what was just fetched, so a newer one decides.
            let head = self.federation.head(org).await?;
            self.note_head(org, &head).await?;
            if !self.is_doubtful(&org).await {
                return Ok(());
            }
            // One that came meanwhile tells of what may have been listed since: that is read first.
            if self.newest_head(&org).await == known {
                break;
            }
        }
        tracing::warn!(%org, "our copy of its listings does not agree with its head: fetching all");
        if let Some(owner) = self.state.lock().await.get_mut(&org) {
            owner.cursor.clear();
        }
        self.pull_deltas(org).await?;
        let mut state = self.state.lock().await;
        if let Some(owner) = state.get_mut(&org) {
            // Once is enough for one head: a partner that signs a wrong one must not keep us busy.
            owner.complete = owner.head.as_ref().map(|head| head.revision);
        }
        Ok(())
    }

    /// Notes a head that was gossiped; true when it tells of something we do not have.
    ///
    /// # Errors
    /// When its keys cannot be had.
    pub(crate) async fn note_head(&self, org: OrgId, bytes: &[u8]) -> Result<bool, CatalogError> {
        let networks = match self.state.lock().await.get(&org) {
            Some(owner) => owner.networks.clone(),
            // Not met yet: it is pulled from as soon as it is.
            None => return Ok(false),
        };
        let Some(head) = self.open_head(org, bytes, &networks).await? else {
            return Ok(false);
        };
        let mut state = self.state.lock().await;
        let Some(owner) = state.get_mut(&org) else {
            return Ok(false);
        };
        let newer = owner
            .head
            .as_ref()
            .is_none_or(|known| known.revision < head.revision);
        if newer {
            owner.head = Some(head);
        }
        Ok(newer)
    }

    /// The version of the newest head that we were told of.
    async fn newest_head(&self, org: &OrgId) -> Option<Version> {
        let state = self.state.lock().await;
        let head = state.get(org)?.head.as_ref()?;
        Some(head.revision)
    }

    /// True when a head is known that our copy was not yet found equal to.
    async fn is_doubtful(&self, org: &OrgId) -> bool {
        let mut state = self.state.lock().await;
        let Some(owner) = state.get_mut(org) else {
            return false;
        };
        let Some(head) = &owner.head else {
            return false;
        };
        if owner.complete == Some(head.revision) {
            return false;
        }
        let agrees = owner.agrees_with(head);
        if agrees {
            owner.complete = Some(head.revision);
        }
        !agrees
    }

    async fn pull_deltas(&self, org: OrgId) -> Result<(), CatalogError> {
        let mut left_out = LeftOut::default();
        let read = self.read_deltas(org, &mut left_out).await;
        left_out.tell(org);
        read
    }

    async fn read_deltas(&self, org: OrgId, left_out: &mut LeftOut) -> Result<(), CatalogError> {
        let (mut cursor, networks) = match self.state.lock().await.get(&org) {
            Some(owner) => (owner.cursor.clone(), owner.networks.clone()),
            None => return Ok(()),
        };
        // The ids met since the partner began from nothing; what is not among them at the end is gone.
        let mut met: Option<BTreeSet<Name>> = None;
        let (mut pages, mut bytes) = (0, 0);
        while pages < MOST_PAGES && bytes < MOST_BYTES {
            let page = self.federation.deltas(org, &cursor).await?;
            pages += 1;
            bytes += page.listings.iter().map(Vec::len).sum::<usize>();
            if page.restart {
                met = Some(BTreeSet::new());
            }
            let opened = self
                .open_listings(org, &page.listings, &networks, left_out)
                .await?;
            let mut state = self.state.lock().await;
            let Some(owner) = state.get_mut(&org) else {
                return Ok(());
            };
            if let Some(met) = &mut met {
                met.extend(opened.iter().map(|listing| listing.id().clone()));
            }
            self.take_over(org, owner, opened, left_out).await?;
            let gone = page.gone.iter().filter_map(|id| id.parse().ok()).collect();
            self.drop_listings(org, owner, gone).await?;
            cursor = page.cursor;
            if page.more {
                continue;
            }
            if let Some(met) = met {
                let absent = owner
                    .listings
                    .keys()
                    .filter(|id| !met.contains(*id))
                    .cloned();
                let absent = absent.collect();
                self.drop_listings(org, owner, absent).await?;
            }
            let now_ms = self.clock.now_ms();
            owner.life.heard(now_ms);
            if owner.cursor != cursor || now_ms > owner.noted_ms + NOTE_EVERY_MS {
                owner.cursor = cursor;
                self.note_owner(org, owner).await?;
            }
            return Ok(());
        }
        // What it lists behind is read from there. What it began anew and no longer names goes with its signature.
        if let Some(owner) = self.state.lock().await.get_mut(&org) {
            owner.cursor = cursor;
            self.note_owner(org, owner).await?;
        }
        Err(CatalogError::TooMuch { org, pages, bytes })
    }
}

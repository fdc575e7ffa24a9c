//! The numbers of our changes: given once, given anew after a restore, forgotten with old withdrawals.

use oc_kernel::Name;
use oc_store::Expect;
use oc_trust::Version;

use super::document::COUNTERS_KEY;
use super::sign::by_seq;
use super::{Own, State};
use crate::domain::CatalogError;

/// How long a withdrawal is kept for partners that were away, in ms.
const TOMBSTONE_LIFE_MS: u64 = 7 * 24 * 3600 * 1000;

impl Own {
    /// The number is stored before it is used: a crash leaves a gap, never two listings with one number.
    pub(super) async fn next_version(&self, state: &mut State) -> Result<Version, CatalogError> {
        state.counters.seq += 1;
        let counters = state.counters.clone();
        self.counters
            .put(COUNTERS_KEY, &counters, Expect::Any, Vec::new())
            .await?;
        Ok(Version {
            epoch: counters.epoch,
            seq: counters.seq,
        })
    }

    /// After a restore partners may have seen later numbers than those we have: all of ours are given anew in a later
    /// epoch.
    pub(super) async fn raise_epoch(&self, state: &mut State) -> Result<(), CatalogError> {
        if state.counters.epoch < self.epoch {
            state.counters.epoch = self.epoch;
            let counters = state.counters.clone();
            self.counters
                .put(COUNTERS_KEY, &counters, Expect::Any, Vec::new())
                .await?;
        }
        for id in by_seq(state).into_values() {
            let Some(held) = state.held.get(&id) else {
                continue;
            };
            if held.document.value.version.epoch >= state.counters.epoch {
                continue;
            }
            let mut document = held.document.value.clone();
            document.version = self.next_version(state).await?;
            document.signed.clear();
            self.replace(state, &id, document).await?;
        }
        Ok(())
    }

    pub(super) async fn forget_old_withdrawals(
        &self,
        state: &mut State,
        now_ms: u64,
    ) -> Result<(), CatalogError> {
        let old = state.held.iter().filter(|(_, held)| {
            let document = &held.document.value;
            document.withdrawn && now_ms > document.changed_ms + TOMBSTONE_LIFE_MS
        });
        let old: Vec<(Name, u64)> = old
            .map(|(id, held)| (id.clone(), held.document.value.version.seq))
            .collect();
        let Some(last) = old.iter().map(|(_, seq)| *seq).max() else {
            return Ok(());
        };
        state.settled = false;
        state.counters.horizon = state.counters.horizon.max(last);
        let counters = state.counters.clone();
        self.counters
            .put(COUNTERS_KEY, &counters, Expect::Any, Vec::new())
            .await?;
        for (id, _) in old {
            self.listings
                .delete(id.as_str(), Expect::Any, Vec::new())
                .await?;
            state.held.remove(&id);
        }
        Ok(())
    }
}

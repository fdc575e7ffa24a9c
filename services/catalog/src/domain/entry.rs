//! A listing as the search knows it, ours or a partner's, with how alive it is.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};

use oc_kernel::{Name, OrgId};
use oc_trust::Version;

use super::{Area, Offer};

/// A listing is dropped after this many times to live without news.
const DROP_AFTER: u64 = 3;

/// Names a listing everywhere.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(crate) struct Key {
    /// Who offers it.
    pub(crate) owner: OrgId,
    /// Its id there.
    pub(crate) id: Name,
}

/// When something was last heard of. Our own listings have one each, since each is renewed by its service;
/// a partner's share one, since they are confirmed together.
#[derive(Debug)]
pub(crate) struct Life {
    heard_ms: AtomicU64,
    reachable: AtomicBool,
}

impl Life {
    /// Last heard of at `heard_ms`.
    pub(crate) fn new(heard_ms: u64, reachable: bool) -> Arc<Self> {
        Arc::new(Self {
            heard_ms: AtomicU64::new(heard_ms),
            reachable: AtomicBool::new(reachable),
        })
    }

    /// Heard of just now.
    pub(crate) fn heard(&self, now_ms: u64) {
        self.heard_ms.store(now_ms, Ordering::Relaxed);
        self.reachable.store(true, Ordering::Relaxed);
    }

    /// Cannot be reached.
    pub(crate) fn lost(&self) {
        self.reachable.store(false, Ordering::Relaxed);
    }

    /// When it was last heard of, in ms since the epoch.
    pub(crate) fn heard_ms(&self) -> u64 {
        self.heard_ms.load(Ordering::Relaxed)
    }

    /// Not heard of for its time to live, or not to be reached.
    pub(crate) fn is_stale(&self, ttl_ms: u64, now_ms: u64) -> bool {
        !self.reachable.load(Ordering::Relaxed) || now_ms > self.heard_ms() + ttl_ms
    }

    /// Not heard of for so long that it is dropped.
    pub(crate) fn is_gone(&self, ttl_ms: u64, now_ms: u64) -> bool {
        now_ms > self.heard_ms() + DROP_AFTER * ttl_ms
    }
}

/// A listing as the search knows it.
#[derive(Debug)]
pub(crate) struct Entry {
    /// Its name.
    pub(crate) key: Key,
    /// The owner's name for people.
    pub(crate) owner_name: Arc<str>,
    /// True for ours.
    pub(crate) own: bool,
    /// What is offered.
    pub(crate) offer: Offer,
    /// Which version of it.
    pub(crate) version: Version,
    /// How alive it is.
    pub(crate) life: Arc<Life>,
}

impl Entry {
    /// Not renewed in time, or its owner cannot be reached.
    pub(crate) fn is_stale(&self, now_ms: u64) -> bool {
        self.life.is_stale(self.ttl_ms(), now_ms)
    }

    /// So long without news that it is dropped.
    pub(crate) fn is_gone(&self, now_ms: u64) -> bool {
        self.life.is_gone(self.ttl_ms(), now_ms)
    }

    pub(crate) fn area(&self) -> Option<Area> {
        self.offer.bbox.and_then(|bounds| Area::new(bounds).ok())
    }

    pub(crate) fn ttl_ms(&self) -> u64 {
        u64::from(self.offer.ttl) * 1000
    }
}

#[cfg(test)]
mod tests {
    use super::super::offer::tests::dataset;
    use super::*;

    #[test]
    fn a_listing_goes_stale_after_its_time_and_is_gone_after_three() {
        let offer = dataset("a");
        let owner = OrgId::from_digest([1; 32]);
        let life = Life::new(1_000, true);
        let entry = Entry {
            key: Key {
                owner,
                id: offer.id.clone(),
            },
            owner_name: "South".into(),
            own: false,
            offer,
            version: Version::default(),
            life: Arc::clone(&life),
        };
        let states = |now_ms| (entry.is_stale(now_ms), entry.is_gone(now_ms));
        assert_eq!(states(61_000), (false, false));
        assert_eq!(states(61_001), (true, false));
        assert_eq!(states(181_000), (true, false));
        assert_eq!(states(181_001), (true, true));
        life.heard(181_001);
        assert_eq!(states(181_001), (false, false));
        life.lost();
        assert_eq!(states(181_001), (true, false));
    }
}

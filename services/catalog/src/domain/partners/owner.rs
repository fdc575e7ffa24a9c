//! What is known of one partner and of what it lists, and how much of that is kept.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use oc_kernel::{Digest, Name};
use oc_trust::{Head, Version};

use super::Held;
use crate::domain::Life;

/// How much is kept of one partner.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Most {
    /// Listings.
    pub(crate) listings: usize,
    /// Bytes of listings.
    pub(crate) bytes: u64,
}

impl Most {
    /// True when there is room for one more, or for one instead of the one that is known.
    pub(super) fn admits(&self, owner: &Owner, known: Option<&Held>, new: &Held) -> bool {
        let before = known.map_or(0, |held| held.size);
        let listings = owner.listings.len() + usize::from(known.is_none());
        listings <= self.listings && owner.bytes - before + new.size <= self.bytes
    }
}

/// A partner and what it lists.
pub(super) struct Owner {
    pub(super) name: Arc<str>,
    pub(super) networks: BTreeSet<Name>,
    pub(super) life: Arc<Life>,
    pub(super) cursor: String,
    pub(super) noted_ms: u64,
    pub(super) listings: BTreeMap<Name, Held>,
    /// Bytes of `listings` in the store.
    bytes: u64,
    /// The newest head that was gossiped.
    pub(super) head: Option<Head>,
    /// The version of the head that our copy was found equal to.
    pub(super) complete: Option<Version>,
}

impl Owner {
    pub(super) fn new(name: &str, life: Arc<Life>) -> Self {
        Self {
            name: name.into(),
            networks: BTreeSet::new(),
            life,
            cursor: String::new(),
            noted_ms: 0,
            listings: BTreeMap::new(),
            bytes: 0,
            head: None,
            complete: None,
        }
    }

    pub(super) fn hold(&mut self, id: Name, held: Held) {
        self.bytes += held.size;
        if let Some(before) = self.listings.insert(id, held) {
            self.bytes -= before.size;
        }
    }

    /// True when it was there.
    pub(super) fn drop_listing(&mut self, id: &Name) -> bool {
        let gone = self.listings.remove(id);
        self.bytes -= gone.as_ref().map_or(0, |held| held.size);
        gone.is_some()
    }

    /// The statements of a network that every member may see.
    fn digests(&self, network: &Name) -> BTreeMap<Name, Digest> {
        let public = self
            .listings
            .iter()
            .filter(|(_, held)| held.members && held.network == *network);
        public.map(|(id, held)| (id.clone(), held.digest)).collect()
    }

    pub(super) fn agrees_with(&self, head: &Head) -> bool {
        let digests = self.digests(&head.network);
        digests.len() as u64 == head.count && oc_trust::listings_digest(&digests) == head.digest
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn held(size: u64) -> Held {
        Held {
            network: "net-a".parse().unwrap(),
            version: Version { epoch: 0, seq: 1 },
            digest: Digest::of(b""),
            members: true,
            ttl: 60,
            not_after_ms: 1,
            size,
        }
    }

    #[test]
    fn no_more_is_kept_of_one_partner_than_allowed_in_number_or_in_bytes() {
        let most = Most {
            listings: 2,
            bytes: 100,
        };
        let mut owner = Owner::new("East", Life::new(0, true));
        let name = |text: &str| text.parse::<Name>().unwrap();
        assert!(most.admits(&owner, None, &held(100)));
        assert!(!most.admits(&owner, None, &held(101)));
        owner.hold(name("a"), held(60));
        assert!(!most.admits(&owner, None, &held(41)));
        owner.hold(name("b"), held(20));
        assert!(!most.admits(&owner, None, &held(1)), "two are held");

        // One that changes counts once, and what is gone no more.
        let known = owner.listings.get(&name("b")).cloned();
        assert!(most.admits(&owner, known.as_ref(), &held(40)));
        assert!(!most.admits(&owner, known.as_ref(), &held(41)));
        owner.hold(name("b"), held(40));
        assert!(owner.drop_listing(&name("a")) && !owner.drop_listing(&name("a")));
        assert!(most.admits(&owner, None, &held(60)));
        assert!(!most.admits(&owner, None, &held(61)));
    }
}

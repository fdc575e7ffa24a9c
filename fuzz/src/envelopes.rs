//! Envelopes: what is no statement of ours is refused, and what another signed is never believed to be South's.
//!
//! Bytes that are no envelope are taken as the payload of one that South signed, for each type in turn: a partner may
//! sign what it likes.

use oc_trust::{
    Caller, Delegation, Envelope, Grant, Head, Listing, Manifest, SignedKeySet, Statement,
    Unverified, UsageHead, Version, listings_digest, open,
};

use crate::world::{NOW_MS, WORLD};

pub(crate) fn take(data: &[u8]) -> bool {
    if let Ok(envelope) = Envelope::from_json(data) {
        let again = Envelope::from_json(&envelope.to_json()).unwrap();
        assert_eq!(again, envelope, "an envelope changes when it is written");
    }
    let read = [
        SignedKeySet::open(data).is_ok(),
        reads::<Caller>(data),
        reads::<Delegation>(data),
        reads::<Grant>(data),
        reads::<Head>(data),
        reads::<Listing>(data),
        reads::<Manifest>(data),
        reads::<UsageHead>(data),
    ];
    read.contains(&true)
}

fn reads<T: Statement>(data: &[u8]) -> bool {
    let keys = WORLD.south.history.current();
    if let Ok(unverified) = Unverified::<T>::parse(data) {
        let believed = open::<T>(data, keys, &WORLD.here()).is_ok();
        let ours = seeds().iter().any(|(_, seed)| {
            let (seed, found) = (Envelope::from_json(seed), Envelope::from_json(data));
            matches!((seed, found), (Ok(seed), Ok(found)) if seed.digest() == found.digest())
        });
        assert!(
            !believed || ours,
            "a statement that South did not sign is believed"
        );
        drop(unverified);
        return true;
    }
    let signed = WORLD.south.signer.sign_now(T::TYPE, data).unwrap();
    open::<T>(&signed.to_json(), keys, &WORLD.here()).is_ok()
}

pub(crate) fn seeds() -> Vec<(&'static str, Vec<u8>)> {
    let head = Head {
        owner: WORLD.south.id,
        network: WORLD.network.clone(),
        revision: Version { epoch: 1, seq: 9 },
        count: 0,
        digest: listings_digest(&Default::default()),
        not_before: NOW_MS - 1000,
        not_after: NOW_MS + 60_000,
    };
    let payload = serde_json::to_vec(&head).unwrap();
    let sealed = WORLD.south.signer.sign_now(Head::TYPE, &payload).unwrap();
    let key_set = WORLD.south.history.newest().bytes().to_vec();
    vec![
        ("head", sealed.to_json()),
        ("payload", payload),
        ("key-set", key_set),
    ]
}

//! Macaroons: what is read is written as it was, and opens nothing that its maker did not make.

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use oc_auth::{Access, Ask, Caveat, Macaroon, RootKey};
use oc_kernel::ObjectKey;

const KEY: RootKey = RootKey::from_bytes([7; 32]);
const GENERATION: u64 = 3;

pub(crate) fn take(data: &[u8]) -> bool {
    let text = URL_SAFE_NO_PAD.encode(data);
    let Ok(macaroon) = Macaroon::from_text(&text) else {
        return false;
    };
    assert_eq!(macaroon.to_text(), text, "another spelling was read");
    let object = object();
    let ask = Ask {
        now_ms: 1,
        generation: GENERATION,
        work: None,
        access: Access::Read(&object),
    };
    let opened = macaroon.verify(&KEY, &ask).is_ok();
    let ours = made().iter().any(|(_, made)| made.to_text() == text);
    // Whoever holds one may narrow it; nothing else is known to hold.
    let narrowed = made().iter().any(|(_, made)| {
        let mut caveats = macaroon.caveats();
        macaroon.identifier() == made.identifier()
            && made.caveats().all(|it| caveats.next() == Some(it))
    });
    assert!(
        !opened || ours || narrowed,
        "a macaroon of somebody else opens"
    );
    true
}

fn object() -> ObjectKey {
    "toulouse/B04.tif".parse().unwrap()
}

fn made() -> Vec<(&'static str, Macaroon)> {
    let plain = Macaroon::mint(&KEY, "transfer");
    let narrow = plain
        .clone()
        .with(&Caveat::Input(vec![object()]))
        .with(&Caveat::Time(1000))
        .with(&Caveat::Generation(GENERATION));
    vec![("plain", plain), ("narrow", narrow)]
}

pub(crate) fn seeds() -> Vec<(&'static str, Vec<u8>)> {
    let bytes = |macaroon: Macaroon| URL_SAFE_NO_PAD.decode(macaroon.to_text()).unwrap();
    made()
        .into_iter()
        .map(|(name, made)| (name, bytes(made)))
        .collect()
}

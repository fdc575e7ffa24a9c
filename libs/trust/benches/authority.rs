//! How long authority takes: signing one delegation and verifying a chain of three. Prints JSON; run with
//! `cargo bench -p oc-trust`.

#![expect(
    clippy::print_stdout,
    clippy::unwrap_used,
    reason = "a benchmark prints its figures and ends when it cannot go on"
)]

use std::collections::BTreeMap;
use std::hint::black_box;
use std::sync::Arc;
use std::time::{Duration, Instant};

use ed25519_dalek::{Signer as _, SigningKey};
use futures::executor::block_on;
use oc_kernel::{AttemptId, Digest, FragmentId, Name, OrgId, RunId};
use oc_trust::{
    Asking, Chain, Delegation, Here, Input, KeyHistory, KeySet, Limits, LocalSigner, OrgKeys, seal,
    verify_chain,
};

const ROUNDS: u32 = 2_000;
const NOW: u64 = 1_700_000_000_000;

struct Org {
    id: OrgId,
    key_set: Arc<KeySet>,
    signer: LocalSigner,
}

fn found() -> Org {
    let keys = OrgKeys::generate();
    let history = KeyHistory::start(keys.found().unwrap()).unwrap();
    Org {
        id: history.org(),
        key_set: Arc::new(history.current().clone()),
        signer: keys.node.signer(),
    }
}

fn main() {
    let orgs: [Org; 4] = std::array::from_fn(|_| found());
    let key_sets: BTreeMap<_, _> = orgs
        .iter()
        .map(|org| (org.id, org.key_set.clone()))
        .collect();
    let network: Name = "bench".parse().unwrap();
    let first = Delegation {
        network: network.clone(),
        parent: None,
        issuer: orgs[0].id,
        audience: orgs[1].id,
        run: RunId::new(),
        fragment: FragmentId::new(),
        attempt: AttemptId::new(),
        request: Digest::of(b"request"),
        offer: None,
        inputs: vec![Input {
            owner: orgs[0].id,
            listing: None,
            object: "images/2020/a.tif".parse().unwrap(),
            sha256: Digest::of(b"a"),
        }],
        output: None,
        limits: Limits::default(),
        not_before: NOW,
        not_after: NOW + 3_600_000,
    };
    let sealed = block_on(seal(&orgs[0].signer, first.clone())).unwrap();
    let mut chain = Chain::new(None, &sealed);
    let mut parent = sealed;
    for pair in orgs[1..].windows(2) {
        let next = Delegation {
            parent: Some(parent.digest()),
            issuer: pair[0].id,
            audience: pair[1].id,
            ..first.clone()
        };
        parent = block_on(seal(&pair[0].signer, next)).unwrap();
        chain = chain.with(&parent);
    }
    let asking = Asking {
        owner: &orgs[0].id,
        presenter: &orgs[3].id,
        here: Here {
            network: &network,
            now_ms: NOW,
        },
    };

    let start = Instant::now();
    for _ in 0..ROUNDS {
        black_box(block_on(seal(&orgs[0].signer, first.clone())).unwrap());
    }
    let sign = start.elapsed() / ROUNDS;
    let start = Instant::now();
    for _ in 0..ROUNDS {
        black_box(verify_chain(&chain, &key_sets, &asking).unwrap());
    }
    let verify = start.elapsed() / ROUNDS;
    let (raw_sign, raw_verify) = bare_ed25519(&chain.links[0]);
    let us = |nanos: u128| nanos as f64 / 1e3;
    println!(
        "{{\"sign_us\":{},\"verify_chain_of_three_us\":{},\"both_us\":{},\"bare_sign_us\":{},\"bare_verify_us\":{}}}",
        us(sign.as_nanos()),
        us(verify.as_nanos()),
        us((sign + verify).as_nanos()),
        us(raw_sign.as_nanos()),
        us(raw_verify.as_nanos()),
    );
}

/// The signatures alone over as many bytes, to compare with: machines differ.
fn bare_ed25519(message: &[u8]) -> (Duration, Duration) {
    let key = SigningKey::from_bytes(&[7; 32]);
    let public = key.verifying_key();
    let signature = key.sign(message);
    let start = Instant::now();
    for _ in 0..ROUNDS {
        black_box(key.sign(black_box(message)));
    }
    let sign = start.elapsed() / ROUNDS;
    let start = Instant::now();
    for _ in 0..ROUNDS {
        public
            .verify_strict(black_box(message), &signature)
            .unwrap();
    }
    (sign, start.elapsed() / ROUNDS)
}

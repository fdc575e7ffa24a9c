//! Macaroons and chains of delegations.

use std::collections::BTreeMap;
use std::hint::black_box;
use std::sync::Arc;

use ed25519_dalek::{Signer as _, SigningKey};
use futures::executor::block_on;
use oc_auth::{Access, Ask, Caveat, Macaroon, RootKey};
use oc_kernel::{AttemptId, Digest, FragmentId, Name, ObjectKey, OrgId, RunId};
use oc_trust::{
    Asking, Chain, Delegation, Here, Input, KeyHistory, KeySet, Limits, LocalSigner, OrgKeys, seal,
    verify_chain,
};

use crate::figures::{Bar, Row, timed};

const ROUNDS: usize = 2_000;
const NOW: u64 = 1_700_000_000_000;

pub(crate) fn measure() -> anyhow::Result<Vec<Row>> {
    let mut rows = vec![macaroon()?];
    rows.extend(delegation()?);
    Ok(rows)
}

fn macaroon() -> anyhow::Result<Row> {
    let key = RootKey::generate();
    let object: ObjectKey = "images/2020/a.tif".parse()?;
    let caveats = [
        Caveat::Input(vec![object.clone()]),
        Caveat::Time(NOW + 1),
        Caveat::Generation(3),
    ];
    let ask = Ask {
        now_ms: NOW,
        generation: 3,
        work: None,
        access: Access::Read(&object),
    };
    let round = || {
        let minted = Macaroon::mint(&key, "step");
        let macaroon = caveats.iter().fold(minted, Macaroon::with);
        black_box(&macaroon).verify(&key, &ask).map(drop)
    };
    round()?;
    let times = timed(ROUNDS, || {
        let _ = black_box(round());
    });
    let how = format!("median of {ROUNDS}, in one thread");
    let row = Row::new(
        "macaroon: mint, three caveats, verify",
        times.median_ms() * 1e3,
        "µs",
        how,
    );
    Ok(row.bar(Bar::AtMost(20.0)))
}

struct Org {
    id: OrgId,
    key_set: Arc<KeySet>,
    signer: LocalSigner,
}

fn found() -> anyhow::Result<Org> {
    let keys = OrgKeys::generate();
    let history = KeyHistory::start(keys.found()?)?;
    Ok(Org {
        id: history.org(),
        key_set: Arc::new(history.current().clone()),
        signer: keys.node.signer(),
    })
}

fn delegation() -> anyhow::Result<Vec<Row>> {
    let orgs = [found()?, found()?, found()?, found()?];
    let key_sets: BTreeMap<_, _> = orgs
        .iter()
        .map(|org| (org.id, org.key_set.clone()))
        .collect();
    let network: Name = "bench".parse()?;
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
            object: "images/2020/a.tif".parse()?,
            sha256: Digest::of(b"a"),
        }],
        output: None,
        limits: Limits::default(),
        not_before: NOW,
        not_after: NOW + 3_600_000,
    };
    let sealed = block_on(seal(&orgs[0].signer, first.clone()))?;
    let mut chain = Chain::new(None, &sealed);
    let mut parent = sealed;
    for pair in orgs[1..].windows(2) {
        let next = Delegation {
            parent: Some(parent.digest()),
            issuer: pair[0].id,
            audience: pair[1].id,
            ..first.clone()
        };
        parent = block_on(seal(&pair[0].signer, next))?;
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
    verify_chain(&chain, &key_sets, &asking)?;
    let both = timed(ROUNDS, || {
        let _ = black_box(block_on(seal(&orgs[0].signer, first.clone())));
        let _ = black_box(verify_chain(&chain, &key_sets, &asking));
    });
    let bare = bare_ed25519(&chain.links[0]);
    let how = format!("median of {ROUNDS}, in one thread");
    Ok(vec![
        Row::new(
            "delegation: sign one, verify a chain of three",
            both.median_ms() * 1e3,
            "µs",
            how.clone(),
        )
        .bar(Bar::AtMost(150.0)),
        Row::new(
            "the same four Ed25519 operations alone, to compare machines",
            bare * 1e3,
            "µs",
            how,
        ),
    ])
}

/// One signature and three strict verifications over as many bytes, in milliseconds.
fn bare_ed25519(message: &[u8]) -> f64 {
    let key = SigningKey::from_bytes(&[7; 32]);
    let public = key.verifying_key();
    let signature = key.sign(message);
    let times = timed(ROUNDS, || {
        black_box(key.sign(black_box(message)));
        for _ in 0..3 {
            let _ = black_box(public.verify_strict(black_box(message), &signature));
        }
    });
    times.median_ms()
}

//! Three organisations that know each other's KeySets, and statements of theirs to start from.

use std::collections::BTreeMap;
use std::sync::{Arc, LazyLock};

use futures::executor::block_on;
use oc_kernel::{AttemptId, Digest, FragmentId, GrantId, Money, Name, OrgId, RunId};
use oc_trust::{
    Currency, Delegation, Grant, GrantedListing, Here, KeyHistory, KeySet, Limits, ListingKind,
    LocalSigner, NodeKeys, Output, Price, Pseudonyms, RootKeys, Sealed, countersign, seal,
    workspace,
};

pub(crate) const NOW: u64 = 1_700_000_000_000;
pub(crate) const HOUR: u64 = 3_600_000;

pub(crate) struct Org {
    pub(crate) id: OrgId,
    pub(crate) root: RootKeys,
    pub(crate) node: NodeKeys,
    pub(crate) history: KeyHistory,
    pub(crate) signer: LocalSigner,
}

impl Org {
    pub(crate) fn found() -> Self {
        let keys = oc_trust::OrgKeys::generate();
        let history = KeyHistory::start(keys.found().unwrap()).unwrap();
        Self {
            id: history.org(),
            signer: keys.node.signer(),
            root: keys.root,
            node: keys.node,
            history,
        }
    }
}

pub(crate) struct World {
    pub(crate) north: Org,
    pub(crate) south: Org,
    pub(crate) east: Org,
    pub(crate) keys: BTreeMap<OrgId, Arc<KeySet>>,
}

impl World {
    fn found() -> Self {
        let [north, south, east] = std::array::from_fn(|_| Org::found());
        let keys =
            [&north, &south, &east].map(|org| (org.id, Arc::new(org.history.current().clone())));
        Self {
            keys: BTreeMap::from(keys),
            north,
            south,
            east,
        }
    }
}

/// Made once: keys are dear in a debug build, and no test changes them.
pub(crate) static WORLD: LazyLock<World> = LazyLock::new(World::found);

pub(crate) fn name(text: &str) -> Name {
    text.parse().unwrap()
}

pub(crate) static NETWORK: LazyLock<Name> = LazyLock::new(|| name("eo-network"));

pub(crate) fn here() -> Here<'static> {
    at(NOW)
}

pub(crate) fn at(now_ms: u64) -> Here<'static> {
    Here {
        network: &NETWORK,
        now_ms,
    }
}

pub(crate) fn limits() -> Limits {
    Limits {
        cores: 4,
        memory_bytes: 8 << 30,
        fragments: 2,
        core_seconds: 36_000,
        egress_bytes: 10 << 30,
        storage_bytes: 20 << 30,
        run_wall_seconds: 3600,
    }
}

/// South grants North its images, machines and room.
pub(crate) fn grant() -> Grant {
    let listing = |id: &str, kind| GrantedListing {
        id: name(id),
        kind,
        limits: None,
    };
    Grant {
        id: GrantId::new(),
        network: NETWORK.clone(),
        provider: WORLD.south.id,
        consumer: WORLD.north.id,
        listings: vec![
            listing("images", ListingKind::Dataset),
            listing("machines", ListingKind::Compute),
            listing("room", ListingKind::Storage),
        ],
        limits: limits(),
        price: Price {
            currency: Currency::EUR,
            core_hour: Money(250_000),
            egress_gib: Money(10_000),
            storage_gib_month: Money(20_000),
        },
        not_before: NOW - HOUR,
        not_after: NOW + 24 * HOUR,
        generation: 1,
        tools: None,
        pseudonyms: Pseudonyms::PerGrant,
    }
}

pub(crate) fn sealed_grant(grant: Grant) -> Sealed<Grant> {
    let half = block_on(seal(&WORLD.south.signer, grant)).unwrap();
    block_on(countersign(&WORLD.north.signer, half)).unwrap()
}

/// North lets South run one attempt on South's machines, under `parent`.
pub(crate) fn delegation(parent: Option<Digest>) -> Delegation {
    let run = RunId::new();
    Delegation {
        network: NETWORK.clone(),
        parent,
        issuer: WORLD.north.id,
        audience: WORLD.south.id,
        run,
        fragment: FragmentId::new(),
        attempt: AttemptId::new(),
        request: Digest::of(b"the fragment"),
        offer: Some(name("machines")),
        inputs: vec![oc_trust::Input {
            owner: WORLD.south.id,
            listing: Some(name("images")),
            object: "2020/a.tif".parse().unwrap(),
            sha256: Digest::of(b"a"),
        }],
        output: Some(Output {
            owner: WORLD.south.id,
            listing: None,
            prefix: workspace(&WORLD.north.id, &run)
                .unwrap()
                .join("out")
                .unwrap(),
        }),
        limits: Limits {
            fragments: 1,
            ..limits()
        },
        not_before: NOW,
        not_after: NOW + HOUR,
    }
}

pub(crate) fn sealed(org: &Org, delegation: Delegation) -> Sealed<Delegation> {
    block_on(seal(&org.signer, delegation)).unwrap()
}

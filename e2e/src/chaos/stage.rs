//! Two organisations with a line between them that can be spoilt: South has an image and machines for two, North
//! storage for what comes out and machines of its own, and there are two grants.

use std::path::{Path, PathBuf};
use std::time::Duration;

use anyhow::Context as _;
use oc_client::{Client, ListingFilter};
use oc_kernel::{Clock as _, SystemClock};
use oc_proto::compute::v1::{Offer, OfferKind, RequestGrantRequest, Rule};
use oc_proto::federation::v1::GrantState;
use oc_proto::types::v1::{Limits, Price};
use oc_testkit::{Link, Pair, within};
use tempfile::TempDir;
use tokio::sync::Mutex;

use super::organisation::Organisation;
use super::plan::Side;
use crate::images::import;

pub(super) const MACHINES: &str = "machines";
pub(super) const IMAGES: &str = "dataset.sentinel-2-demo";
pub(super) const RESULTS: &str = "results";
/// Room in North's storage, so little that it can be filled.
pub(super) const SHELF: u64 = 1 << 20;
/// Cores that South offers: fewer than the work of a plan may want at once.
const CORES: u32 = 2;
const SOON: Duration = Duration::from_secs(30);
const DAY_MS: u64 = 86_400_000;

/// Short patience, so that a run shows within seconds what otherwise takes minutes.
const PATIENCE: [&str; 12] = [
    "pipeline.policy.lease=3s",
    "pipeline.policy.call=2s",
    "pipeline.policy.capacity=10s",
    "pipeline.policy.reserve_data=10s",
    "pipeline.policy.start=10s",
    "pipeline.policy.margin=10s",
    "pipeline.policy.publish=15s",
    "pipeline.policy.books=2s",
    "pipeline.policy.hold=4s",
    "pipeline.policy.data_hold=8s",
    "pipeline.policy.silence=2s",
    "pipeline.policy.drift=1s",
];
/// The same of both as providers: North is its own.
const PROVIDER: [&str; 3] = [
    "compute.lease_seconds=3",
    "compute.hold_seconds=4",
    "accounting.settle_seconds=1",
];

/// What is played on.
pub(super) struct Stage {
    pub(super) north: Organisation,
    pub(super) south: Organisation,
    /// Whoever spoils the line holds it until it is well again.
    pub(super) link: Mutex<Link>,
    pub(super) network: String,
    /// On South's machines and images; on its machines alone.
    pub(super) grants: [String; 2],
    /// Copies of the jobs and macaroons of North's attempts, and of South's.
    pub(super) overheard: [TempDir; 2],
}

impl Stage {
    /// Sets everything up, and waits until North has its grants.
    pub(super) async fn set() -> anyhow::Result<Self> {
        let overheard = [tempfile::tempdir()?, tempfile::tempdir()?];
        let [ours, theirs] = [
            overhearing_runner(overheard[0].path())?,
            overhearing_runner(overheard[1].path())?,
        ];
        let north = [PATIENCE.as_slice(), &PROVIDER, &[&ours]].concat();
        let south = [PROVIDER.as_slice(), &[&theirs]].concat();
        let (pair, link) = Pair::meet_over_link(&north, &south).await;
        let (north, south) = (pair.north.client(), pair.south.client());
        // An image of 12 June 2025.
        import(&pair.south, &["toulouse-20250612-a"])?;
        offer(&south, MACHINES, OfferKind::Compute).await?;
        offer(&north, "home", OfferKind::Compute).await?;
        offer(&north, RESULTS, OfferKind::Storage).await?;
        let rule = Rule {
            name: "members".to_owned(),
            limits: Some(large()),
            max_life_seconds: 2 * DAY_MS / 1000,
            ..Rule::default()
        };
        south.compute().put_rule(&rule).await?;
        let wanted = [
            "compute.machines",
            IMAGES,
            "compute.home",
            "storage.results",
        ];
        within(SOON, async || {
            let filter = ListingFilter::default();
            let found = north.catalog().search(&filter).await.ok()?.listings;
            let seen = |id: &&str| found.iter().any(|listing| listing.listing_id == *id);
            wanted.iter().all(seen).then_some(())
        })
        .await
        .context("North does not see all offers")?;
        let with_images = grant(&north, &pair.south_id, &["compute.machines", IMAGES]).await?;
        let machines = grant(&north, &pair.south_id, &["compute.machines"]).await?;
        Ok(Self {
            north: Organisation::new(pair.north, pair.north_id),
            south: Organisation::new(pair.south, pair.south_id),
            link: Mutex::new(link),
            network: pair.network.network_id,
            grants: [with_images, machines],
            overheard,
        })
    }

    /// One of the two.
    pub(super) fn side(&self, side: Side) -> &Organisation {
        match side {
            Side::North => &self.north,
            Side::South => &self.south,
        }
    }

    /// Leaves all folders as they are; where they are.
    pub(super) async fn keep(&self) -> Vec<PathBuf> {
        let mut folders = Vec::new();
        for organisation in [&self.north, &self.south] {
            folders.push(organisation.node().await.keep().to_owned());
        }
        folders
    }
}

/// More than any plan needs.
fn large() -> Limits {
    Limits {
        cores: CORES,
        memory_bytes: 4 << 30,
        concurrent_fragments: CORES,
        wall_seconds: 600,
        core_seconds: 36_000,
        egress_bytes: 1 << 30,
        storage_bytes: 1 << 30,
    }
}

async fn offer(owner: &Client, name: &str, kind: OfferKind) -> anyhow::Result<()> {
    let price = Price {
        currency: "EUR".to_owned(),
        core_hour_micros: 36_000_000,
        ..Price::default()
    };
    let capacity = match kind {
        OfferKind::Storage => Limits {
            storage_bytes: SHELF,
            ..Limits::default()
        },
        _ => Limits {
            cores: CORES,
            memory_bytes: 4 << 30,
            concurrent_fragments: CORES,
            wall_seconds: 3600,
            ..Limits::default()
        },
    };
    let offer = Offer {
        name: name.to_owned(),
        kind: kind.into(),
        capacity: Some(capacity),
        price: (name == MACHINES).then_some(price),
        ..Offer::default()
    };
    owner.compute().create_offer(&offer).await?;
    Ok(())
}

/// A grant from South, in force.
async fn grant(north: &Client, provider: &str, listings: &[&str]) -> anyhow::Result<String> {
    let request = RequestGrantRequest {
        provider: provider.to_owned(),
        listing_ids: listings.iter().map(|&listing| listing.to_owned()).collect(),
        limits: Some(large()),
        not_after_ms: SystemClock.now_ms() + DAY_MS,
        ..RequestGrantRequest::default()
    };
    let id = north.compute().request_grant(&request).await?.grant_id;
    within(SOON, async || {
        let grant = north.compute().grant(&id).await.ok()?;
        (grant.state == i32::from(GrantState::Active)).then_some(())
    })
    .await
    .context("the grant is not in force")?;
    Ok(id)
}

/// The setting of a runner that keeps a copy of what it is told in `folder`, and is `oc-step` otherwise.
fn overhearing_runner(folder: &Path) -> anyhow::Result<String> {
    use std::os::unix::fs::PermissionsExt as _;
    let programs = oc_testkit::program();
    let beside = |name: &str| programs.with_file_name(name).display().to_string();
    let path = folder.join("runner");
    let script = format!(
        "#!/bin/sh\nexec '{}' '{}' '{}' \"$@\"\n",
        beside("oc-overhear"),
        folder.display(),
        beside("oc-step")
    );
    std::fs::write(&path, script)?;
    std::fs::set_permissions(&path, std::fs::Permissions::from_mode(0o755))?;
    Ok(format!("compute.process.runner={}", path.display()))
}

//! Opening files by the chain of a partner: at home, and at another site.

use std::time::Duration;

use http::StatusCode;
use http_body_util::BodyExt as _;
use oc_kernel::{AttemptId, Clock as _, Digest, FragmentId, GrantId, Kind, Money, RunId};
use oc_proto::federation::v1 as pb;
use oc_trust::{
    Currency, Delegation, Grant, GrantedListing, Input, Limits, ListingKind, Price, Pseudonyms,
    Sealed, Tool, countersign, seal,
};

use crate::access::{B04, B08, kind, request};
use crate::neighbours::Org;
use crate::orders::{LISTING, grant, order};
use crate::world::{NETWORK, World, samples};

/// North's grant from South, and what North lets East do with it.
struct Lent {
    grant: Grant,
    run: RunId,
    fragment: FragmentId,
    attempt: AttemptId,
    held: pb::ReserveResponse,
}

fn limits() -> Limits {
    Limits {
        cores: 1,
        memory_bytes: 1 << 30,
        fragments: 1,
        core_seconds: 3600,
        egress_bytes: 1 << 30,
        storage_bytes: 1 << 30,
        run_wall_seconds: 600,
    }
}

async fn lend(world: &World) -> Lent {
    let id = GrantId::new();
    grant(world, &id.to_string());
    let now = world.clock.now_ms();
    let run = RunId::new();
    let mut order = order("op");
    order.grant_id = id.to_string();
    order.run_id = run.to_string();
    let held = world
        .partner(&world.north)
        .reserve(order)
        .await
        .unwrap()
        .into_inner();
    let listing = GrantedListing {
        id: LISTING.parse().unwrap(),
        kind: ListingKind::Dataset,
        limits: None,
    };
    Lent {
        grant: Grant {
            id,
            network: NETWORK.parse().unwrap(),
            provider: world.south.id,
            consumer: world.north.id,
            listings: vec![listing],
            limits: limits(),
            price: Price {
                currency: Currency::EUR,
                core_hour: Money::ZERO,
                egress_gib: Money::ZERO,
                storage_gib_month: Money::ZERO,
            },
            not_before: now,
            not_after: now + 3_600_000,
            generation: 1,
            tools: None,
            pseudonyms: Pseudonyms::PerGrant,
        },
        run,
        fragment: FragmentId::new(),
        attempt: AttemptId::new(),
        held,
    }
}

impl Lent {
    /// The grant, signed by both.
    async fn sealed(&self, world: &World) -> Sealed<Grant> {
        let half = seal(&world.south.signer, self.grant.clone()).await.unwrap();
        countersign(&world.north.signer, half).await.unwrap()
    }

    /// Asks as South's own machines, for an attempt that was admitted under `grant`.
    async fn at_home(
        &self,
        world: &World,
        grant: &Grant,
    ) -> Result<tonic::Response<pb::AccessResponse>, tonic::Status> {
        self.at_home_by(world, grant, |_| {}).await
    }

    /// The same with a delegation that is changed.
    async fn at_home_by(
        &self,
        world: &World,
        grant: &Grant,
        change: impl FnOnce(&mut Delegation),
    ) -> Result<tonic::Response<pb::AccessResponse>, tonic::Status> {
        let half = seal(&world.south.signer, grant.clone()).await.unwrap();
        let both = countersign(&world.north.signer, half).await.unwrap();
        let mut delegation =
            self.delegation(world, &both.digest(), (&world.north, &world.south), &[B04]);
        change(&mut delegation);
        let delegation = seal(&world.north.signer, delegation).await.unwrap();
        let mut request = request(&self.held, &[B04]);
        request.delegation = vec![both.bytes().to_vec(), delegation.bytes().to_vec()];
        world.own().access(request).await
    }

    /// What `issuer` lets `audience` read.
    fn delegation(
        &self,
        world: &World,
        parent: &Digest,
        (issuer, audience): (&Org, &Org),
        inputs: &[&str],
    ) -> Delegation {
        let files = self.held.items.iter().flat_map(|item| &item.assets);
        let files = files.map(|asset| asset.object.clone().unwrap());
        let inputs = files
            .filter(|file| inputs.contains(&file.key.as_str()))
            .map(|file| Input {
                owner: world.south.id,
                listing: Some(LISTING.parse().unwrap()),
                object: file.key.parse().unwrap(),
                sha256: file.sha256.parse::<Digest>().unwrap(),
            });
        let now = world.clock.now_ms();
        Delegation {
            network: NETWORK.parse().unwrap(),
            parent: Some(*parent),
            issuer: issuer.id,
            audience: audience.id,
            run: self.run,
            fragment: self.fragment,
            attempt: self.attempt,
            request: Digest::of(b"the fragment"),
            offer: None,
            inputs: inputs.collect(),
            output: None,
            limits: limits(),
            not_before: now,
            not_after: now + 600_000,
        }
    }

    /// Asks as `presenter` with a delegation of `issuer` to `audience` that opens the keys.
    async fn ask(
        &self,
        world: &World,
        (issuer, audience, presenter): (&Org, &Org, &Org),
        inputs: &[&str],
        change: impl FnOnce(&mut Delegation),
    ) -> Result<Vec<pb::OpenObject>, tonic::Status> {
        let grant = self.sealed(world).await;
        let mut delegation = self.delegation(world, &grant.digest(), (issuer, audience), inputs);
        change(&mut delegation);
        let delegation = seal(&issuer.signer, delegation).await.unwrap();
        let request = pb::AccessRequest {
            delegation: vec![grant.bytes().to_vec(), delegation.bytes().to_vec()],
            attempt_id: self.attempt.to_string(),
            ..request(&self.held, &[B04])
        };
        let answer = world.partner(presenter).access(request).await?;
        Ok(answer.into_inner().objects)
    }

    /// Asks as it should be: East presents what North lets it read, but for what is changed.
    async fn east_asks(
        &self,
        world: &World,
        change: impl FnOnce(&mut Delegation),
    ) -> Result<Vec<pb::OpenObject>, tonic::Status> {
        let (north, east) = (&world.north, &world.east);
        self.ask(world, (north, east, east), &[B04], change).await
    }
}

/// What East has opened.
async fn opened() -> (World, Lent, pb::OpenObject) {
    let world = World::demo().await;
    let lent = lend(&world).await;
    let mut objects = lent.east_asks(&world, |_| {}).await.unwrap();
    (world, lent, objects.remove(0))
}

#[tokio::test]
async fn a_partners_chain_opens_what_it_names_and_nothing_else() {
    let (world, lent, open) = opened().await;
    let World { north, east, .. } = &world;
    let whole = std::fs::read(samples().join("toulouse-20250612-a/B04.tif")).unwrap();
    assert_eq!(world.bulk(&open.token, 0).await.2, whole);

    let outside = lent.ask(&world, (north, east, east), &[B08], |_| {}).await;
    assert_eq!(kind(outside.unwrap_err()), Kind::Forbidden);
    let stolen = lent.ask(&world, (north, east, north), &[B04], |_| {}).await;
    assert_eq!(kind(stolen.unwrap_err()), Kind::Forbidden);
    let forged = lent.ask(&world, (east, east, east), &[B04], |_| {}).await;
    assert_eq!(kind(forged.unwrap_err()), Kind::Forbidden);
    let other_run = |delegation: &mut Delegation| delegation.run = RunId::new();
    let other_run = lent.east_asks(&world, other_run).await;
    assert_eq!(kind(other_run.unwrap_err()), Kind::Forbidden);
    let other_attempt = |delegation: &mut Delegation| delegation.attempt = AttemptId::new();
    let other_attempt = lent.east_asks(&world, other_attempt).await;
    assert_eq!(kind(other_attempt.unwrap_err()), Kind::Forbidden);
    let wider = |delegation: &mut Delegation| delegation.limits.cores = 64;
    let wider = lent.east_asks(&world, wider).await;
    assert!(wider.unwrap_err().message().contains("64 cores asked for"));

    let bare = world
        .partner(east)
        .access(request(&lent.held, &[B04]))
        .await;
    assert_eq!(kind(bare.unwrap_err()), Kind::Malformed);
}

#[tokio::test]
async fn a_file_is_opened_as_part_of_the_dataset_it_is_of() {
    let world = World::demo().await;
    let lent = lend(&world).await;
    // The owner's machines let a listed tool read one dataset: nobody may say that two are one.
    let disguised = |delegation: &mut Delegation| {
        delegation.inputs[0].listing = Some("dataset.other".parse().unwrap());
    };
    let here = lent.at_home_by(&world, &lent.grant, disguised).await;
    let there = lent.east_asks(&world, disguised).await;
    for refused in [here.map(|_| ()), there.map(|_| ())] {
        assert_eq!(kind(refused.unwrap_err()), Kind::Forbidden);
    }
    let none = |delegation: &mut Delegation| delegation.inputs.clear();
    let none = lent.at_home_by(&world, &lent.grant, none).await;
    assert_eq!(kind(none.unwrap_err()), Kind::Forbidden);
}

#[tokio::test]
async fn a_token_ends_with_the_delegation_behind_it() {
    let world = World::demo().await;
    let lent = lend(&world).await;
    let end = world.clock.now_ms() + 5_000;
    let short = |delegation: &mut Delegation| delegation.not_after = end;
    let opened = lent.east_asks(&world, short).await;
    let open = &opened.unwrap()[0];
    assert_eq!(open.expires_at_ms, end);
    world.clock.advance(Duration::from_millis(4_999));
    assert_eq!(world.bulk(&open.token, 0).await.0, StatusCode::OK);
    world.clock.advance(Duration::from_millis(1));
    let (status, _, body) = world.bulk(&open.token, 0).await;
    assert_eq!(status, StatusCode::FORBIDDEN);
    let text = String::from_utf8_lossy(&body).into_owned();
    assert!(
        text.contains("the delegation behind this token has ended"),
        "{text}"
    );
}

#[tokio::test]
async fn a_raised_generation_or_a_revocation_closes_tokens_and_chains() {
    let (world, lent, open) = opened().await;
    let token = &open.token;
    assert_eq!(world.bulk(token, 0).await.0, StatusCode::OK);

    let id = lent.grant.id.to_string();
    world
        .grants
        .0
        .lock()
        .unwrap()
        .get_mut(&id)
        .unwrap()
        .generation = 2;
    assert_eq!(world.bulk(token, 0).await.0, StatusCode::FORBIDDEN);
    let old_chain = lent.east_asks(&world, |_| {}).await;
    assert!(old_chain.unwrap_err().message().contains("generation 2"));

    world.grants.0.lock().unwrap().remove(&id);
    assert_eq!(world.bulk(token, 0).await.0, StatusCode::FORBIDDEN);
}

#[tokio::test]
async fn a_transfer_that_runs_is_cut_when_the_grant_ends() {
    let (world, _, open) = opened().await;
    let request = http::Request::get("/api/data/internal/bulk?offset=0")
        .header("authorization", "Bearer service")
        .header("oc-bulk-token", &open.token)
        .body(axum::body::Body::empty())
        .unwrap();
    let answer = world.send(request).await;
    assert_eq!(answer.status(), StatusCode::OK);
    let mut body = answer.into_body();
    let first = body.frame().await.unwrap().unwrap();
    let length = open.object.as_ref().unwrap().length;
    assert!(
        (first.data_ref().unwrap().len() as u64) < length,
        "it came in one piece"
    );
    world.grants.0.lock().unwrap().clear();
    let rest = body.collect().await;
    assert!(rest.is_err(), "the transfer went on");
}

#[tokio::test]
async fn a_grant_that_names_its_tools_gives_no_bytes_to_another_site() {
    let world = World::demo().await;
    let mut lent = lend(&world).await;
    let World { north, east, .. } = &world;
    let owner = world.south.id;
    let id = "processing.sentinel-pictures.1.0".parse().unwrap();
    lent.grant.tools = Some(vec![Tool::Listing { owner, id }]);
    for site in [east, north] {
        let asked = lent.ask(&world, (north, site, site), &[B04], |_| {}).await;
        let status = asked.unwrap_err();
        let text = status.message().to_owned();
        assert_eq!(kind(status), Kind::Forbidden);
        assert!(
            text.contains("lets only `processing.sentinel-pictures.1.0` read"),
            "{text}"
        );
        assert!(text.contains("only at its owner's machines"), "{text}");
    }
    // South's own machines look at what they run, and are not another site.
    let here = lent.at_home(&world, &lent.grant).await;
    assert_eq!(here.unwrap().into_inner().objects.len(), 1);
}

#[tokio::test]
async fn bytes_that_leave_are_counted_against_the_grant_and_end_with_it() {
    let (world, lent, open) = opened().await;
    let id = lent.grant.id.to_string();
    let left = || world.grants.0.lock().unwrap()[&id].egress;
    let allow = |bytes| {
        let mut grants = world.grants.0.lock().unwrap();
        grants.get_mut(&id).unwrap().egress = bytes;
    };
    let length = open.object.as_ref().unwrap().length;
    allow(2 * length);
    assert_eq!(world.bulk(&open.token, 0).await.0, StatusCode::OK);
    assert_eq!(left(), length);
    assert_eq!(world.bulk(&open.token, length - 10).await.0, StatusCode::OK);
    assert_eq!(left(), length - 10);
    let (status, _, body) = world.bulk(&open.token, 0).await;
    assert_eq!(status, StatusCode::TOO_MANY_REQUESTS);
    let text = String::from_utf8_lossy(&body).into_owned();
    assert!(
        text.contains(&format!("{} bytes may", length - 10)),
        "{text}"
    );
    // What South's own machines read does not leave.
    let here = lent.at_home(&world, &lent.grant).await;
    let here = here.unwrap().into_inner();
    assert_eq!(
        world.bulk(&here.objects[0].token, 0).await.0,
        StatusCode::OK
    );
    assert_eq!(left(), length - 10);
}

#[tokio::test]
async fn at_home_too_listed_data_open_only_under_their_own_grant() {
    let world = World::demo().await;
    let lent = lend(&world).await;
    assert!(lent.at_home(&world, &lent.grant).await.is_ok());
    // North's other grant on South's machines lists no tools: nobody looked at what reads under it.
    let mut other = lent.grant.clone();
    other.id = GrantId::new();
    let refused = lent.at_home(&world, &other).await.unwrap_err();
    assert_eq!(kind(refused), Kind::Forbidden);
    // Nor does a reservation open without any grant.
    let bare = world.own().access(request(&lent.held, &[B04])).await;
    assert!(bare.is_err(), "South's machines showed no chain");
}

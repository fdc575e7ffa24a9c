//! Partners that answer wrongly.

use std::sync::{Arc, Mutex};

use oc_kernel::{Clock, OrgId};
use oc_proto::federation::v1::catalogue_service_server::{
    CatalogueService, CatalogueServiceServer,
};
use oc_proto::federation::v1::{
    GetHeadRequest, GetHeadResponse, ListDeltasRequest, ListDeltasResponse,
};
use oc_service::access::{Access, Role, StaticTokens};
use oc_service::telemetry::Metrics;
use oc_service::{App, Node};
use oc_trust::{
    Head, Listing, ListingKind, LocalSigner, Sealed, Version, Visibility, listings_digest, seal,
};
use tonic::{Request, Response, Status};

use super::world::{NETWORK, Org, World};

/// A catalogue that answers what it is told to.
#[derive(Clone, Default)]
struct Scripted {
    answers: Arc<Mutex<Vec<ListDeltasResponse>>>,
    head: Arc<Mutex<Vec<u8>>>,
    cursors: Arc<Mutex<Vec<String>>>,
}

#[tonic::async_trait]
impl CatalogueService for Scripted {
    async fn get_head(
        &self,
        _: Request<GetHeadRequest>,
    ) -> Result<Response<GetHeadResponse>, Status> {
        let head = self.head.lock().unwrap().clone();
        Ok(Response::new(GetHeadResponse { head }))
    }

    /// The first answer that was not given yet, and the last one for ever.
    async fn list_deltas(
        &self,
        request: Request<ListDeltasRequest>,
    ) -> Result<Response<ListDeltasResponse>, Status> {
        self.cursors
            .lock()
            .unwrap()
            .push(request.into_inner().cursor);
        let mut answers = self.answers.lock().unwrap();
        let answer = if answers.len() > 1 {
            answers.remove(0)
        } else {
            answers[0].clone()
        };
        Ok(Response::new(answer))
    }
}

/// Serves the script as `org`; the played discovery carries calls to it, whoever makes them.
fn serve(world: &World, org: OrgId, script: Scripted) {
    let methods = ["GetHead", "ListDeltas"];
    let app = App {
        grpc: tonic::service::Routes::new(CatalogueServiceServer::new(script)),
        descriptors: oc_proto::DESCRIPTORS,
        access: methods
            .map(|method| {
                Access::rpc(
                    format!("/oc.federation.v1.CatalogueService/{method}"),
                    Role::Public,
                )
            })
            .to_vec(),
        ..App::new("scripted")
    };
    let node = Node::build(
        vec![app],
        Arc::new(StaticTokens::default()),
        &Metrics::new(),
    )
    .unwrap();
    world.answer(org, node.router());
}

fn listing(world: &World, owner: OrgId, name: &str, seq: u64) -> Listing {
    let now_ms = world.clock.now_ms();
    Listing {
        id: format!("dataset.{name}").parse().unwrap(),
        owner,
        network: NETWORK.parse().unwrap(),
        kind: ListingKind::Dataset,
        name: name.to_owned(),
        title: String::new(),
        summary: String::new(),
        revision: Version { epoch: 0, seq },
        ttl: 60,
        visibility: Visibility::Members,
        facets: Default::default(),
        bbox: None,
        interval: None,
        price: None,
        terms: String::new(),
        body: serde_json::Value::Null,
        withdrawn: false,
        not_before: now_ms,
        not_after: now_ms + 3_600_000,
    }
}

async fn signed(signer: &LocalSigner, listing: Listing) -> Sealed<Listing> {
    seal(signer, listing).await.unwrap()
}

fn answer(listings: &[&Sealed<Listing>], cursor: &str, restart: bool) -> ListDeltasResponse {
    ListDeltasResponse {
        listings: listings
            .iter()
            .map(|sealed| sealed.bytes().to_vec())
            .collect(),
        cursor: cursor.to_owned(),
        restart,
        ..Default::default()
    }
}

#[tokio::test]
async fn only_what_its_owner_signed_for_this_network_is_taken_over() {
    let (world, folder) = (World::new(), tempfile::tempdir().unwrap());
    let (east, signer) = world.found("East");
    let (west, stranger) = world.found("West");
    let good = signed(&signer, listing(&world, east, "good", 1)).await;
    let by_other_key = signed(&stranger, listing(&world, east, "forged", 2)).await;
    let in_other_name = signed(&stranger, listing(&world, west, "borrowed", 3)).await;
    let mut elsewhere = listing(&world, east, "elsewhere", 4);
    elsewhere.network = "net-b".parse().unwrap();
    let elsewhere = signed(&signer, elsewhere).await;
    let mut ended = listing(&world, east, "ended", 5);
    (ended.not_before, ended.not_after) = (1, 2);
    let ended = signed(&signer, ended).await;
    let mut all = answer(
        &[&by_other_key, &in_other_name, &elsewhere, &ended, &good],
        "c1",
        true,
    );
    let mut tampered = signed(&signer, listing(&world, east, "tampered", 6))
        .await
        .bytes()
        .to_vec();
    let at = tampered.len() / 2;
    tampered[at] ^= 1;
    all.listings.extend([tampered, b"{".to_vec()]);

    let script = Scripted::default();
    *script.answers.lock().unwrap() = vec![all];
    serve(&world, east, script);
    let north = Org::start(&world, "North", &folder).await;
    north.sees(&["dataset.good"]).await;
}

#[tokio::test]
async fn an_older_version_does_not_win_over_a_newer_one() {
    let (world, folder) = (World::new(), tempfile::tempdir().unwrap());
    let (east, signer) = world.found("East");
    let mut newer = listing(&world, east, "coast", 8);
    newer.title = "newer".to_owned();
    let (newer, older) = (
        signed(&signer, newer).await,
        signed(&signer, listing(&world, east, "coast", 7)).await,
    );
    let mut done = listing(&world, east, "done", 9);
    done.title = "done".to_owned();
    let done = signed(&signer, done).await;
    let script = Scripted::default();
    *script.answers.lock().unwrap() = vec![
        answer(&[&newer], "a", true),
        answer(&[&older, &done], "b", false),
    ];
    serve(&world, east, script.clone());
    let north = Org::start(&world, "North", &folder).await;
    north.sees(&["dataset.coast"]).await;
    world.set_cut(east, false).await;
    north.sees(&["dataset.coast", "dataset.done"]).await;
    let kept = north
        .get(east, "dataset.coast")
        .await
        .unwrap()
        .listing
        .unwrap();
    assert_eq!((kept.title.as_str(), kept.revision), ("newer", 8));
}

#[tokio::test]
async fn a_copy_that_does_not_agree_with_the_head_is_fetched_from_the_beginning() {
    let (world, folder) = (World::new(), tempfile::tempdir().unwrap());
    let (east, signer) = world.found("East");
    let (a, b) = (
        signed(&signer, listing(&world, east, "a", 1)).await,
        signed(&signer, listing(&world, east, "b", 2)).await,
    );
    let now_ms = world.clock.now_ms();
    let digests = [&a, &b].map(|sealed| (sealed.statement().id.clone(), sealed.digest()));
    let head = Head {
        owner: east,
        network: NETWORK.parse().unwrap(),
        revision: Version { epoch: 0, seq: 2 },
        count: 2,
        digest: listings_digest(&digests.into_iter().collect()),
        not_before: now_ms,
        not_after: now_ms + 3_600_000,
    };
    let head = seal(&signer, head).await.unwrap();
    let script = Scripted::default();
    *script.head.lock().unwrap() = head.bytes().to_vec();
    // It lost a listing on the way and does not know.
    *script.answers.lock().unwrap() = vec![
        answer(&[&a], "lossy", true),
        answer(&[], "lossy", false),
        answer(&[&a, &b], "whole", true),
        answer(&[], "whole", false),
    ];
    serve(&world, east, script.clone());
    let north = Org::start(&world, "North", &folder).await;
    north.sees(&["dataset.a"]).await;
    world.gossip(east, head.bytes()).await;
    north.sees(&["dataset.a", "dataset.b"]).await;
    let cursors = script.cursors.lock().unwrap().clone();
    assert_eq!(cursors[..3], ["", "lossy", ""], "{cursors:?}");
}

#[tokio::test]
async fn what_a_fresh_start_does_not_name_is_gone() {
    let (world, folder) = (World::new(), tempfile::tempdir().unwrap());
    let (east, signer) = world.found("East");
    let (a, b) = (
        signed(&signer, listing(&world, east, "a", 1)).await,
        signed(&signer, listing(&world, east, "b", 2)).await,
    );
    let mut more = answer(&[], "mid", true);
    more.more = true;
    let script = Scripted::default();
    *script.answers.lock().unwrap() = vec![
        answer(&[&a, &b], "one", true),
        more,
        answer(&[&b], "two", false),
    ];
    serve(&world, east, script);
    let north = Org::start(&world, "North", &folder).await;
    north.sees(&["dataset.a", "dataset.b"]).await;
    world.set_cut(east, false).await;
    north.sees(&["dataset.b"]).await;
}

#[tokio::test]
async fn without_a_statement_of_the_door_nobody_reads_our_feed() {
    let (world, folder) = (World::new(), tempfile::tempdir().unwrap());
    let south = Org::start(&world, "South", &folder).await;
    let endpoint = tonic::transport::Endpoint::from_shared(south.url.clone()).unwrap();
    let channel = endpoint.connect().await.unwrap();
    let mut client =
        oc_proto::federation::v1::catalogue_service_client::CatalogueServiceClient::new(channel);
    let mut request = Request::new(ListDeltasRequest::default());
    request
        .metadata_mut()
        .insert("authorization", "Bearer admin".parse().unwrap());
    let status = client.list_deltas(request).await.unwrap_err();
    assert_eq!(status.code(), tonic::Code::PermissionDenied);
    let status = client.get_head(GetHeadRequest {}).await.unwrap_err();
    assert_eq!(status.code(), tonic::Code::Unauthenticated);
}

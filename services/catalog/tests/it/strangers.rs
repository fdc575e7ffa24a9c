//! Partners that answer wrongly.

use oc_kernel::{Clock, OrgId};
use oc_proto::federation::v1::catalogue_service_client::CatalogueServiceClient;
use oc_proto::federation::v1::{GetHeadRequest, ListDeltasRequest};
use oc_trust::{Head, Listing, LocalSigner, Sealed, Version, listings_digest, seal};
use tonic::Request;

use super::node::Org;
use super::script::{Scripted, answer, listing, serve, signed};
use super::world::{NETWORK, World};

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
    let head = head_of(&world, &signer, east, 2, &[&a, &b]).await;
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
async fn what_is_listed_while_we_read_is_read_on_and_not_all_anew() {
    let (world, folder) = (World::new(), tempfile::tempdir().unwrap());
    let (east, signer) = world.found("East");
    let (a, b) = (
        signed(&signer, listing(&world, east, "a", 1)).await,
        signed(&signer, listing(&world, east, "b", 3)).await,
    );
    let script = Scripted::default();
    // Its head is two ahead when we look at it: what it tells of was listed after our answer.
    let newest = head_of(&world, &signer, east, 3, &[&a, &b]).await;
    *script.head.lock().unwrap() = newest.bytes().to_vec();
    *script.answers.lock().unwrap() = vec![
        answer(&[&a], "one", true),
        answer(&[], "one", false),
        answer(&[&b], "two", false),
        answer(&[], "two", false),
    ];
    serve(&world, east, script.clone());
    let north = Org::start(&world, "North", &folder).await;
    north.sees(&["dataset.a"]).await;
    let told = head_of(&world, &signer, east, 2, &[]).await;
    world.gossip(east, told.bytes()).await;
    north.sees(&["dataset.a", "dataset.b"]).await;
    let cursors = script.cursors.lock().unwrap().clone();
    assert_eq!(cursors[..3], ["", "one", "one"], "{cursors:?}");
}

/// What an owner signs of its listings under a number.
async fn head_of(
    world: &World,
    signer: &LocalSigner,
    owner: OrgId,
    seq: u64,
    listings: &[&Sealed<Listing>],
) -> Sealed<Head> {
    let now_ms = world.clock.now_ms();
    let digests = listings
        .iter()
        .map(|sealed| (sealed.statement().id.clone(), sealed.digest()));
    let head = Head {
        owner,
        network: NETWORK.parse().unwrap(),
        revision: Version { epoch: 0, seq },
        count: listings.len() as u64,
        digest: listings_digest(&digests.collect()),
        not_before: now_ms,
        not_after: now_ms + 3_600_000,
    };
    seal(signer, head).await.unwrap()
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
    let mut client = CatalogueServiceClient::new(channel);
    let mut request = Request::new(ListDeltasRequest::default());
    request
        .metadata_mut()
        .insert("authorization", "Bearer admin".parse().unwrap());
    let status = client.list_deltas(request).await.unwrap_err();
    assert_eq!(status.code(), tonic::Code::PermissionDenied);
    let status = client.get_head(GetHeadRequest {}).await.unwrap_err();
    assert_eq!(status.code(), tonic::Code::Unauthenticated);
}

//! A program that speaks libp2p, has the swarm key, and does not mean well.

use std::collections::BTreeMap;

use http::Request;
use http_body_util::BodyExt as _;
use oc_federation::bulk::{self, BulkError, BulkOperation, BulkRequest, Tempo};
use oc_federation::{Invitation, Network, NetworkSettings, NodeKey, PeerId};
use oc_kernel::Kind;
use oc_proto::federation::v1::catalogue_service_client::CatalogueServiceClient;
use oc_proto::federation::v1::identity_service_client::IdentityServiceClient;
use oc_proto::federation::v1::{GetHeadRequest, HelloRequest};
use oc_trust::OrgKeys;
use prost::Message as _;
use prost_types::FileDescriptorSet;
use serde_json::Value;
use tonic::Code;
use tonic::body::Body;
use tower::ServiceExt as _;

use crate::org::{LIMIT, Org, eventually};

struct Raw {
    network: Network,
    keys: OrgKeys,
    north: PeerId,
}

impl Raw {
    async fn join(north: &Org) -> Self {
        let id = north.create().await;
        let invitation: Invitation = north.invite(&id).await.parse().unwrap();
        let keys = OrgKeys::generate();
        let network = NetworkSettings::new(
            invitation.network_id,
            invitation.key,
            NodeKey::from_seed(&keys.node.node_seed()),
            "raw/1",
        );
        let network = Network::start(network).await.unwrap();
        let north = network.join(&invitation.addresses, LIMIT).await.unwrap();
        Self {
            network,
            keys,
            north,
        }
    }

    async fn hello(&self, keys: &OrgKeys) -> Result<(), tonic::Status> {
        let mut client = IdentityServiceClient::new(self.network.channel(self.north));
        let hello = HelloRequest {
            key_sets: vec![keys.found().unwrap().bytes().to_vec()],
            name: "Raw".to_owned(),
            version: "1".to_owned(),
            protocols: vec!["1".to_owned()],
            sent_at_ms: 0,
        };
        client.hello(hello).await.map(|_| ())
    }

    async fn call(&self, path: &str) -> Code {
        let request = Request::post(path)
            .header("content-type", "application/grpc")
            .header("te", "trailers")
            .header("authorization", "Bearer admin")
            .body(Body::new(http_body_util::Full::new(vec![0; 5].into())))
            .unwrap();
        let answer = self
            .network
            .channel(self.north)
            .oneshot(request)
            .await
            .unwrap();
        let of = |headers: &http::HeaderMap| {
            let status = headers.get("grpc-status")?;
            Some(Code::from_bytes(status.as_bytes()))
        };
        let begun = of(answer.headers());
        let trailers = answer
            .into_body()
            .collect()
            .await
            .unwrap()
            .trailers()
            .cloned();
        begun.or_else(|| of(&trailers?)).unwrap()
    }
}

fn methods() -> Vec<String> {
    let set = FileDescriptorSet::decode(oc_proto::DESCRIPTORS).unwrap();
    let mut methods = Vec::new();
    for file in &set.file {
        for service in &file.service {
            let name = format!("{}.{}", file.package(), service.name());
            methods.extend(
                service
                    .method
                    .iter()
                    .map(|m| format!("/{name}/{}", m.name())),
            );
        }
    }
    methods
}

/// Methods and routes that are registered at a node and are nobody else's business.
fn inner_paths() -> Vec<String> {
    let methods = methods().into_iter();
    let inner = methods.filter(|path| !path.starts_with("/oc.federation.v1."));
    let others = [
        "/grpc.health.v1.Health/Check",
        "/grpc.reflection.v1.ServerReflection/ServerReflectionInfo",
        "/api/discovery/v1/identity",
        "/api/discovery/internal/door/oc.federation.v1.CatalogueService/GetHead",
        "/api/discovery/internal/bulk/x/objects",
        "/api/compute/internal/bulk",
        "/",
        "/oc.federation.v1.CatalogueService/../oc.discovery.v1.PeerService/ListPeers",
        "/oc.federation.v1.CatalogueService/GetHead?x=1",
        "/oc.federation.v2.CatalogueService/GetHead",
    ];
    inner.chain(others.map(str::to_owned)).collect()
}

#[tokio::test]
async fn peer_sees_only_federation() {
    let north = Org::start("North").await;
    let raw = Raw::join(&north).await;
    let inner = inner_paths();
    assert!(inner.len() > 60, "{}", inner.len());
    let expect_refusals = async || {
        let mut answers = BTreeMap::new();
        for path in &inner {
            answers.insert(path.clone(), raw.call(path).await);
        }
        answers.retain(|_, code| *code != Code::PermissionDenied);
        assert!(answers.is_empty(), "{answers:?}");
    };
    // As a stranger, and as a partner in good standing.
    expect_refusals().await;
    // The strangers' budget is used up and comes back.
    eventually(async || raw.hello(&raw.keys).await.is_ok()).await;
    expect_refusals().await;
    for path in methods() {
        if path.starts_with("/oc.federation.v1.") {
            assert_ne!(raw.call(&path).await, Code::PermissionDenied, "{path}");
        }
    }
    let calls = north.get("calls?page_size=1000").await;
    let refused = calls["calls"].as_array().unwrap().iter();
    let (strange, known): (Vec<_>, Vec<_>) = refused
        .filter(|call| call["outcome"] == "forbidden")
        .partition(|call| call["org_id"] == "");
    assert_eq!(known.len(), inner.len());
    assert!(strange.len() < inner.len(), "a stranger fills the log");
}

#[tokio::test]
async fn a_stranger_is_told_to_introduce_itself_and_strangers_share_a_budget() {
    let north = Org::start("North").await;
    let raw = Raw::join(&north).await;
    let path = "/oc.federation.v1.CatalogueService/GetHead";
    assert_eq!(raw.call(path).await, Code::Unavailable);
    let mut exhausted = false;
    for _ in 0..60 {
        exhausted |= raw.call(path).await == Code::ResourceExhausted;
    }
    assert!(exhausted);
}

#[tokio::test]
async fn a_forged_statement_is_dropped_at_the_door() {
    let north = Org::start("North").await;
    let raw = Raw::join(&north).await;
    raw.hello(&raw.keys).await.unwrap();
    let mut client = CatalogueServiceClient::new(raw.network.channel(raw.north));
    let mut request = tonic::Request::new(GetHeadRequest {});
    request
        .metadata_mut()
        .insert("oc-statement", "Zm9yZ2Vk".parse().unwrap());
    let answer = client.get_head(request).await.unwrap().into_inner();
    let seen: Value = serde_json::from_slice(&answer.head).unwrap();
    let history = oc_trust::KeyHistory::start(raw.keys.found().unwrap()).unwrap();
    assert_eq!(seen["org"], history.org().to_string());
}

#[tokio::test]
async fn another_organisations_key_set_does_not_introduce_a_node() {
    let north = Org::start("North").await;
    let raw = Raw::join(&north).await;
    let refused = raw.hello(&OrgKeys::generate()).await.unwrap_err();
    assert_eq!(refused.code(), Code::Unauthenticated, "{refused}");
    assert!(
        refused.message().contains("does not list the node"),
        "{refused}"
    );
    let peer = &north.get("peers").await["peers"][0];
    assert_eq!(peer["state"], "introducing");
    assert_eq!(peer["org_id"], "");
}

#[tokio::test]
async fn a_stranger_transfers_nothing() {
    let north = Org::start("North").await;
    north
        .shelf
        .lock()
        .unwrap()
        .insert("open".to_owned(), vec![1; 10]);
    let raw = Raw::join(&north).await;
    let mut request = BulkRequest {
        operation: BulkOperation::Get,
        key: "objects".to_owned(),
        authority: "open".to_owned(),
        offset: 0,
        length: None,
        sha256: None,
    };
    let get = async |request: &BulkRequest| {
        let answer = bulk::get(&raw.network, raw.north, request, Tempo::default()).await;
        answer.map(|(answer, _)| answer.total)
    };
    let refused = get(&request).await.unwrap_err();
    assert!(
        matches!(
            &refused,
            BulkError::Refused {
                kind: Kind::Unavailable,
                ..
            }
        ),
        "{refused}"
    );
    raw.hello(&raw.keys).await.unwrap();
    assert_eq!(get(&request).await.unwrap(), 10);
    request.operation = BulkOperation::Put;
    request.key = "data".to_owned();
    let nothing = async |_| Ok(tokio::io::empty());
    let refused = bulk::put(&raw.network, raw.north, &request, nothing, Tempo::default()).await;
    assert!(
        matches!(
            &refused,
            Err(BulkError::Refused {
                kind: Kind::Forbidden,
                ..
            })
        ),
        "{refused:?}"
    );
}

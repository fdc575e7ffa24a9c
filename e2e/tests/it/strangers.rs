//! A program that speaks libp2p and has the swarm key, at a whole node: all eight services behind one door.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use http::Request;
use http_body_util::BodyExt as _;
use oc_federation::{Invitation, Limits, Network, NetworkSettings, NodeKey, PeerId};
use oc_kernel::SystemClock;
use oc_proto::discovery::v1::{CreateNetworkRequest, InviteRequest};
use oc_proto::federation::v1::HelloRequest;
use oc_proto::federation::v1::identity_service_client::IdentityServiceClient;
use oc_testkit::{Node, until};
use oc_trust::OrgKeys;
use prost::Message as _;
use serde_json::Value;
use tonic::Code;
use tonic::body::Body;
use tower::ServiceExt as _;

const LIMIT: Duration = Duration::from_secs(20);

pub(crate) struct Raw {
    network: Network,
    keys: OrgKeys,
    node: PeerId,
}

impl Raw {
    /// Joins a network that the node makes.
    async fn join(node: &Node) -> Self {
        let discovery = node.client();
        let discovery = discovery.discovery();
        let create = CreateNetworkRequest {
            name: "open".to_owned(),
            port: 0,
        };
        let network_id = discovery.create_network(&create).await.unwrap().network_id;
        Self::join_network(node, &network_id).await
    }

    /// Joins a network that the node is in.
    pub(crate) async fn join_network(node: &Node, network_id: &str) -> Self {
        let invite = InviteRequest {
            network_id: network_id.to_owned(),
            ..InviteRequest::default()
        };
        let invitation = node.client().discovery().invite(&invite).await.unwrap();
        let invitation: Invitation = invitation.parse().unwrap();
        let keys = OrgKeys::generate();
        let network = Network::start(NetworkSettings {
            id: invitation.network_id,
            key: invitation.key,
            node: NodeKey::from_seed(&keys.node.node_seed()),
            listen: Vec::new(),
            announce: Vec::new(),
            announce_only: false,
            agent: "raw/1".to_owned(),
            clock: Arc::new(SystemClock),
            limits: Limits::default(),
        });
        let network = network.await.unwrap();
        let node = network.join(&invitation.addresses, LIMIT).await.unwrap();
        Self {
            network,
            keys,
            node,
        }
    }

    /// Becomes a partner in good standing.
    pub(crate) async fn hello(&self) {
        until("it is introduced", LIMIT, async || {
            let mut client = IdentityServiceClient::new(self.network.channel(self.node));
            let hello = HelloRequest {
                key_sets: vec![self.keys.found().unwrap().bytes().to_vec()],
                name: "Raw".to_owned(),
                version: "1".to_owned(),
                protocols: vec!["1".to_owned()],
                ..HelloRequest::default()
            };
            client.hello(hello).await.ok().map(drop)
        })
        .await;
    }

    async fn call(&self, path: &str, token: &str) -> Code {
        self.call_with(path, token, &[]).await.0
    }

    /// Calls a method with a message; the code of the answer and what it says.
    pub(crate) async fn call_with(
        &self,
        path: &str,
        token: &str,
        message: &[u8],
    ) -> (Code, String) {
        let length = u32::try_from(message.len()).unwrap().to_be_bytes();
        let frame = [&[0], &length[..], message].concat();
        let request = Request::post(path)
            .header("content-type", "application/grpc")
            .header("te", "trailers")
            .header("authorization", format!("Bearer {token}"))
            .body(Body::new(http_body_util::Full::new(frame.into())))
            .unwrap();
        let channel = self.network.channel(self.node);
        let answer = channel.oneshot(request).await.unwrap();
        let of = |headers: &http::HeaderMap| {
            let status = headers.get("grpc-status")?;
            let text = headers.get("grpc-message").map(http::HeaderValue::as_bytes);
            let text = String::from_utf8_lossy(text.unwrap_or_default()).into_owned();
            Some((Code::from_bytes(status.as_bytes()), text))
        };
        let begun = of(answer.headers());
        let body = answer.into_body().collect().await.unwrap();
        let ended = body.trailers().and_then(of);
        begun.or(ended).unwrap()
    }
}

/// Every gRPC method that there is.
fn methods() -> Vec<String> {
    let set = prost_types::FileDescriptorSet::decode(oc_proto::DESCRIPTORS).unwrap();
    let mut methods = Vec::new();
    for file in &set.file {
        for service in &file.service {
            let name = format!("{}.{}", file.package(), service.name());
            let paths = service.method.iter();
            methods.extend(paths.map(|method| format!("/{name}/{}", method.name())));
        }
    }
    methods
}

/// Every REST route that the node describes.
async fn routes(node: &Node) -> Vec<String> {
    let mut routes = Vec::new();
    for service in [
        "discovery",
        "catalog",
        "generic-backend",
        "sentinel-provider",
        "service-provider",
        "compute-provider",
        "pipeline-orchestrator",
        "accounting",
    ] {
        let url = format!("{}/api/{service}/openapi.json", node.address());
        let document = reqwest::get(url).await.unwrap().text().await.unwrap();
        let document: Value = serde_json::from_str(&document).unwrap();
        let paths = document["paths"].as_object().unwrap();
        assert!(!paths.is_empty(), "{service}");
        routes.extend(paths.keys().map(|path| path.replace(['{', '}'], "")));
    }
    routes
}

#[tokio::test]
async fn peer_sees_only_federation() {
    let node = Node::start("North").await;
    let token = std::fs::read_to_string(node.data().join("admin.token")).unwrap();
    let raw = Raw::join(&node).await;
    raw.hello().await;
    let (outer, mut inner): (Vec<_>, Vec<_>) = methods()
        .into_iter()
        .partition(|path| path.starts_with("/oc.federation.v1."));
    inner.extend(routes(&node).await);
    let others = [
        "/grpc.health.v1.Health/Check",
        "/grpc.reflection.v1.ServerReflection/ServerReflectionInfo",
        "/api/compute/internal/bulk",
        "/metrics",
        "/",
    ];
    inner.extend(others.map(str::to_owned));
    assert!(outer.len() > 15 && inner.len() > 100, "{}", inner.len());

    // Not even the administrator's own token opens them.
    let mut answers = BTreeMap::new();
    for path in inner {
        let code = raw.call(&path, token.trim()).await;
        answers.insert(path, code);
    }
    answers.retain(|_, code| *code != Code::PermissionDenied);
    assert!(answers.is_empty(), "{answers:?}");
    for path in outer {
        let code = raw.call(&path, "").await;
        assert_ne!(code, Code::Unimplemented, "{path} is served by nobody");
    }
}

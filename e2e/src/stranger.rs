//! A program that speaks libp2p and has the swarm key, and nothing else of ours: what a partner of another make is.
#![expect(
    clippy::unwrap_used,
    reason = "a test whose stranger cannot speak has failed"
)]

use std::time::Duration;

use http::Request;
use http_body_util::BodyExt as _;
use oc_federation::{Invitation, Network, NetworkSettings, NodeKey, PeerId};
use oc_proto::discovery::v1::{CreateNetworkRequest, InviteRequest};
use oc_proto::federation::v1::HelloRequest;
use oc_proto::federation::v1::identity_service_client::IdentityServiceClient;
use oc_testkit::{Node, until};
use oc_trust::OrgKeys;
use prost::Message as _;
use tonic::Code;
use tonic::body::Body;
use tower::ServiceExt as _;

const LIMIT: Duration = Duration::from_secs(20);

/// A member of a network of some node's.
pub struct Stranger {
    network: Network,
    keys: OrgKeys,
    node: PeerId,
}

impl Stranger {
    /// Joins a network that the node makes.
    ///
    /// # Panics
    /// When it cannot.
    pub async fn join(node: &Node) -> Self {
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
    ///
    /// # Panics
    /// When it cannot.
    pub async fn join_network(node: &Node, network_id: &str) -> Self {
        let invite = InviteRequest {
            network_id: network_id.to_owned(),
            ..InviteRequest::default()
        };
        let invitation = node.client().discovery().invite(&invite).await.unwrap();
        let invitation: Invitation = invitation.parse().unwrap();
        let keys = OrgKeys::generate();
        let network = NetworkSettings::new(
            invitation.network_id,
            invitation.key,
            NodeKey::from_seed(&keys.node.node_seed()),
            "raw/1",
        );
        let network = Network::start(network).await.unwrap();
        let node = network.join(&invitation.addresses, LIMIT).await.unwrap();
        Self {
            network,
            keys,
            node,
        }
    }

    /// Its place in the network.
    pub fn network(&self) -> &Network {
        &self.network
    }

    /// The node that it came to.
    pub fn node(&self) -> PeerId {
        self.node
    }

    /// Becomes a partner in good standing.
    ///
    /// # Panics
    /// When it is not let in.
    pub async fn hello(&self) {
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

    /// Calls a method with nothing in it; the code of the answer.
    ///
    /// # Panics
    /// When nobody answers.
    pub async fn call(&self, path: &str, token: &str) -> Code {
        self.call_with(path, token, &[]).await.0
    }

    /// Calls a method with a message; the code of the answer and what it says.
    ///
    /// # Panics
    /// When nobody answers.
    pub async fn call_with(&self, path: &str, token: &str, message: &[u8]) -> (Code, String) {
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
///
/// # Panics
/// When our own descriptors cannot be read.
pub fn methods() -> Vec<String> {
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

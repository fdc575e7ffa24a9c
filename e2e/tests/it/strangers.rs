//! A program that speaks libp2p and has the swarm key, at a whole node: all eight services behind one door.

use std::collections::BTreeMap;

pub(crate) use oc_e2e::stranger::Stranger as Raw;
use oc_e2e::stranger::methods;
use oc_testkit::Node;
use serde_json::Value;
use tonic::Code;

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

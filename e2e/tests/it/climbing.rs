//! `../` in each kind of name and path: a whole node refuses it with a sentence, and nothing is written.

use std::path::{Path, PathBuf};

use oc_proto::compute::v1::{Offer, OfferKind};
use oc_proto::types::v1::Limits;
use oc_testkit::Node;
use reqwest::Method;
use serde_json::{Value, json};

/// Refused: the method, the path, the body, the status and what the sentence says.
type Case = (Method, String, Value, u16, String);

/// What most names are refused with.
const SLASH: &str = "`/` may not stand in a name";
/// What a key is refused with: its parts are names.
const START: &str = "a name must begin with a letter or a digit";

const RESULTS: &str = "/api/compute/v1/storage/results/objects";

fn at(method: Method, path: impl Into<String>, body: Value, (status, reason): (u16, &str)) -> Case {
    (method, path.into(), body, status, reason.to_owned())
}

/// Of compute-provider: objects, offers, rules.
fn of_machines() -> Vec<Case> {
    let offer = json!({"offer": {"name": "../x", "kind": "compute"}});
    let key = |key: &str| format!("{RESULTS}/{key}");
    vec![
        at(Method::PUT, key("..%2Fx"), json!("x"), (400, START)),
        at(
            Method::GET,
            key("..%2F..%2Fadmin.token"),
            Value::Null,
            (400, START),
        ),
        at(
            Method::DELETE,
            key("a%2F..%2F..%2Fx"),
            Value::Null,
            (400, START),
        ),
        at(Method::POST, "/api/compute/v1/offers", offer, (400, SLASH)),
        at(
            Method::DELETE,
            "/api/compute/v1/offers/..%2Fkeys",
            Value::Null,
            (400, SLASH),
        ),
        at(
            Method::PUT,
            "/api/compute/v1/rules/..%2Fx",
            json!({"rule": {"name": "../x"}}),
            (400, SLASH),
        ),
    ]
}

/// Of the other services.
fn of_names() -> Vec<Case> {
    let tool =
        "cwlVersion: v1.2\nclass: CommandLineTool\nbaseCommand: echo\ninputs: []\noutputs: []\n";
    let collection = json!({
        "type": "Collection", "stac_version": "1.0.0", "id": "../x", "license": "MIT",
        "description": "For tests.", "extent": {}, "links": [],
    });
    let dataset = json!({"collection_json": collection.to_string()});
    let service = json!({"service": {"name": "../x", "version": "1", "cwl": tool}});
    let draft = json!({"draft": {"name": "../x", "cwl": tool}});
    let user = json!({"name": "../x", "roles": ["user"]});
    let listing =
        json!({"listing": {"listing_id": "workflow.../x", "kind": "workflow", "name": "../x"}});
    let plan = json!({"run": {"cwl": tool, "output": {"prefix": "../x"}}});
    vec![
        at(Method::POST, "/api/data/v1/datasets", dataset, (422, SLASH)),
        at(
            Method::PUT,
            "/api/data/v1/datasets/..%2Fx/files/y",
            json!("x"),
            (404, "no dataset `../x`"),
        ),
        at(
            Method::POST,
            "/api/services/v1/services",
            service,
            (422, SLASH),
        ),
        at(Method::POST, "/api/backend/v1/users", user, (422, SLASH)),
        at(
            Method::PUT,
            "/api/backend/v1/drafts/..%2Fx",
            draft,
            (422, SLASH),
        ),
        at(
            Method::POST,
            "/api/catalog/v1/listings",
            listing,
            (400, SLASH),
        ),
        at(
            Method::POST,
            "/api/discovery/v1/networks",
            json!({"name": "../x"}),
            (422, "none of them `/`"),
        ),
        at(Method::POST, "/api/pipeline/v1/plans", plan, (400, START)),
    ]
}

/// Every file and folder below.
fn below(folder: &Path) -> Vec<PathBuf> {
    let mut found = Vec::new();
    let mut open = vec![folder.to_owned()];
    while let Some(next) = open.pop() {
        for entry in std::fs::read_dir(next).unwrap() {
            let path = entry.unwrap().path();
            if path.is_dir() {
                open.push(path.clone());
            }
            found.push(path);
        }
    }
    found
}

#[tokio::test]
async fn a_name_that_climbs_is_refused_by_every_service_with_the_reason() {
    let node = Node::start("North").await;
    let room = Limits {
        storage_bytes: 1 << 20,
        ..Limits::default()
    };
    let offer = Offer {
        name: "results".to_owned(),
        kind: OfferKind::Storage.into(),
        capacity: Some(room),
        ..Offer::default()
    };
    node.client().compute().create_offer(&offer).await.unwrap();
    let (http, token) = (reqwest::Client::new(), node.token());
    let mut faults = Vec::new();
    for (method, path, body, status, reason) in of_machines().into_iter().chain(of_names()) {
        let request = http.request(method.clone(), format!("{}{path}", node.address()));
        let request = request.bearer_auth(&token).json(&body);
        let answer = request.send().await.unwrap();
        let answered = answer.status().as_u16();
        let problem: Value = answer.json().await.unwrap();
        let detail = problem["detail"].as_str().unwrap_or_default();
        if answered != status || !detail.contains(&reason) {
            faults.push(format!("{method} {path}: {answered} {problem}"));
        }
    }
    assert_eq!(faults, Vec::<String>::new());
    let strays: Vec<_> = below(node.data().parent().unwrap())
        .into_iter()
        .filter(|path| path.ends_with("x"))
        .collect();
    assert_eq!(strays, Vec::<PathBuf>::new());
}

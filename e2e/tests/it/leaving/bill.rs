//! The bill, checked as anybody can who has an export and the KeySets of both sides.

use oc_proto::discovery::v1::GetKeySetsRequest;
use oc_proto::discovery::v1::identity_service_client::IdentityServiceClient;
use oc_testkit::Node;
use oc_trust::{Frontier, KeyHistory, UsageRecord, open_countersigned};
use serde_json::Value;

use crate::grpc::as_admin;

/// Checks an export of the books of one grant with the KeySets that `node` holds: the signatures of the provider and
/// of the consumer, and that the signed head covers the records. How many records there are.
pub(super) async fn verified(node: &Node, export: &[u8], provider: &str, consumer: &str) -> u64 {
    let (provider, consumer) = (
        key_sets(node, provider).await,
        key_sets(node, consumer).await,
    );
    let export: Value = serde_json::from_slice(export).unwrap();
    let books = &export["books"][0];
    let head = books["head"].to_string();
    let head = open_countersigned(head.as_bytes(), &provider.ever(), &consumer.ever()).unwrap();
    let mut frontier = Frontier::new();
    for record in books["records"].as_array().unwrap() {
        let record = UsageRecord::from_canonical(record.to_string().as_bytes()).unwrap();
        frontier.append(record.leaf());
    }
    assert_eq!(head.statement().size, frontier.size());
    assert_eq!(head.statement().root, frontier.root());
    frontier.size()
}

async fn key_sets(node: &Node, org_id: &str) -> KeyHistory {
    let org_id = org_id.to_owned();
    let org = org_id.parse().unwrap();
    let mut identity = IdentityServiceClient::new(as_admin(node).await);
    let answer = identity.get_key_sets(GetKeySetsRequest { org_id }).await;
    KeyHistory::verify(&org, &answer.unwrap().into_inner().key_sets).unwrap()
}

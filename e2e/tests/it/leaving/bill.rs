//! The bill, checked as anybody can who has an export and the KeySets of both sides.

use std::collections::BTreeMap;

use oc_proto::discovery::v1::GetKeySetsRequest;
use oc_proto::discovery::v1::identity_service_client::IdentityServiceClient;
use oc_testkit::Node;
use oc_trust::{Export, KeyHistory};

use crate::grpc::as_admin;

/// Checks an export of the books of one grant with the KeySets that `node` holds, and alone. How many records there
/// are.
pub(crate) async fn verified(node: &Node, export: &[u8], provider: &str, consumer: &str) -> u64 {
    let mut known = BTreeMap::new();
    for org in [provider, consumer] {
        known.insert(org.parse().unwrap(), key_sets(node, org).await);
    }
    let export = Export::read(export).unwrap();
    let alone = export.verify(&BTreeMap::new()).unwrap();
    let verified = export.verify(&known).unwrap();
    assert_eq!(verified, alone);
    let head = verified[0].head.as_ref().unwrap();
    assert_eq!(head.provider.to_string(), provider);
    assert_eq!(head.consumer.to_string(), consumer);
    assert!(verified[0].whole);
    verified[0].records
}

async fn key_sets(node: &Node, org_id: &str) -> KeyHistory {
    let org_id = org_id.to_owned();
    let org = org_id.parse().unwrap();
    let mut identity = IdentityServiceClient::new(as_admin(node).await);
    let answer = identity.get_key_sets(GetKeySetsRequest { org_id }).await;
    KeyHistory::verify(&org, &answer.unwrap().into_inner().key_sets).unwrap()
}

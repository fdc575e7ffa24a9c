//! Chains of delegations: whatever the links say, the last one gives no more than the grant and ends no later.
//!
//! Besides chains as they go over the wire, the target reads the statements alone, and signs each as the organisation
//! that it claims to be from: `{"grant": GRANT, "links": [DELEGATION, ..]}`, where a `parent` of `above` is filled in.

use oc_trust::{
    Asking, Authority, Chain, Delegation, Envelope, Grant, Statement, open_grant, verify_chain,
};
use serde_json::{Value, json};

use crate::world::{NOW_MS, WORLD};

pub(crate) fn take(data: &[u8]) -> bool {
    if let Ok(chain) = Chain::from_json(data) {
        let again = Chain::from_json(&chain.to_json().unwrap()).unwrap();
        assert_eq!(again, chain, "a chain changes when it is written");
        let _ = verified(&chain);
    }
    let Some(chain) = signed(data) else {
        return false;
    };
    let Some(authority) = verified(&chain) else {
        return false;
    };
    let grant = chain.grant.as_ref().unwrap();
    let grant = open_grant(grant, &WORLD.keys, &WORLD.here()).unwrap();
    let (grant, got) = (grant.statement(), &authority.limits);
    let most = &grant.limits;
    let within = got.cores <= most.cores
        && got.memory_bytes <= most.memory_bytes
        && got.fragments <= most.fragments
        && got.core_seconds <= most.core_seconds
        && got.egress_bytes <= most.egress_bytes
        && got.storage_bytes <= most.storage_bytes
        && got.run_wall_seconds <= most.run_wall_seconds;
    assert!(within, "a chain gives more than its grant");
    assert!(
        authority.not_after <= grant.not_after,
        "a chain outlives its grant"
    );
    true
}

fn verified(chain: &Chain) -> Option<Authority> {
    let asking = Asking {
        owner: &WORLD.south.id,
        presenter: &WORLD.south.id,
        here: WORLD.here(),
    };
    verify_chain(chain, &WORLD.keys, &asking).ok()
}

/// The statements with the signatures of those who they claim to be from.
fn signed(data: &[u8]) -> Option<Chain> {
    let mut told: Value = serde_json::from_slice(data).ok()?;
    let sign = |kind: &str, statement: &Value, org: &str| {
        let payload = serde_json::to_vec(statement).unwrap();
        let org = if *org == WORLD.north.id.to_string() {
            &WORLD.north
        } else {
            &WORLD.south
        };
        org.signer.sign_now(kind, &payload).unwrap()
    };
    let granted = told.get("grant")?;
    let mut grant = sign(Grant::TYPE, granted, granted["provider"].as_str()?);
    let other = sign(Grant::TYPE, granted, granted["consumer"].as_str()?);
    grant.signatures.extend(other.signatures);
    let mut above = grant.digest();
    let mut links = Vec::new();
    for link in told.get_mut("links")?.as_array_mut()?.iter_mut().take(20) {
        if link["parent"] == "above" {
            link["parent"] = json!(above);
        }
        let sealed: Envelope = sign(Delegation::TYPE, link, link["issuer"].as_str()?);
        above = sealed.digest();
        links.push(sealed.to_json());
    }
    let grant = Some(grant.to_json());
    Some(Chain { grant, links })
}

pub(crate) const GRANT: &str = "grant-01a2019756f47454bcb70219ad180dd4";

pub(crate) fn grant() -> Value {
    json!({
        "id": GRANT, "network": WORLD.network, "provider": WORLD.south.id, "consumer": WORLD.north.id,
        "listings": [{"id": "compute.machines", "kind": "compute", "limits": null}],
        "limits": limits(),
        "price": {"currency": "EUR", "core_hour": 250_000, "egress_gib": 0, "storage_gib_month": 0},
        "not_before": NOW_MS - 1000, "not_after": NOW_MS + 60_000, "generation": 1,
        "tools": null, "pseudonyms": "per-grant",
    })
}

fn limits() -> Value {
    json!({
        "cores": 4, "memory_bytes": 1_000_000, "fragments": 1, "core_seconds": 3600,
        "egress_bytes": 1_000_000, "storage_bytes": 1_000_000, "run_wall_seconds": 600,
    })
}

pub(crate) fn seeds() -> Vec<(&'static str, Vec<u8>)> {
    let id = |kind: &str| GRANT.replace("grant", kind);
    let link = json!({
        "network": WORLD.network, "parent": "above", "issuer": WORLD.north.id, "audience": WORLD.south.id,
        "run": id("run"), "fragment": id("frag"), "attempt": id("att"),
        "request": oc_kernel::Digest::of("work"), "offer": "compute.machines",
        "inputs": [], "output": null, "limits": limits(),
        "not_before": NOW_MS - 1000, "not_after": NOW_MS + 50_000,
    });
    let mut passed_on = link.clone();
    passed_on["issuer"] = json!(WORLD.south.id);
    passed_on["limits"]["cores"] = json!(1);
    let one = json!({"grant": grant(), "links": [link]});
    let two = json!({"grant": grant(), "links": [link, passed_on]});
    let text = |value: Value| serde_json::to_vec_pretty(&value).unwrap();
    vec![("one-link", text(one)), ("two-links", text(two))]
}

//! Organisations on one network, and what lies between them.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::{Arc, Mutex};

use axum::body::Body;
use axum::extract::Request;
use axum::response::Response;
use base64::Engine as _;
use base64::engine::general_purpose::{STANDARD, URL_SAFE_NO_PAD};
use jiff::Timestamp;
use oc_bus::{Bus, CloudEvent, InProcessBus};
use oc_door::STATEMENT;
use oc_kernel::{Clock, FixedClock, OrgId};
use oc_trust::{Caller, LocalSigner, OrgKeys, seal};
use tonic::Status;
use tower::ServiceExt as _;

pub(crate) const NETWORK: &str = "net-a";

/// Every organisation, and what lies between them.
#[derive(Clone)]
pub(crate) struct World {
    pub(crate) clock: Arc<FixedClock>,
    orgs: Arc<Mutex<BTreeMap<OrgId, Member>>>,
}

/// What the others see of an organisation.
#[derive(Clone)]
pub(crate) struct Member {
    pub(crate) name: String,
    pub(crate) signer: LocalSigner,
    pub(crate) key_sets: Vec<Vec<u8>>,
    pub(crate) networks: BTreeSet<String>,
    pub(crate) blocked: BTreeSet<OrgId>,
    pub(crate) cut: bool,
    pub(crate) silent: bool,
    /// How often it said that it cannot tell yet what it lists.
    pub(crate) not_yet: usize,
    pub(crate) router: Option<axum::Router>,
    pub(crate) bus: Option<Arc<InProcessBus>>,
}

impl World {
    pub(crate) fn new() -> Self {
        let begin: Timestamp = "2026-06-01T00:00:00Z".parse().unwrap();
        Self {
            clock: Arc::new(FixedClock::new(begin)),
            orgs: Arc::default(),
        }
    }

    /// A new organisation, a member of the network that nobody reaches yet.
    pub(crate) fn found(&self, name: &str) -> (OrgId, LocalSigner) {
        let keys = OrgKeys::generate();
        let first = keys.found().unwrap();
        let org = OrgId::from_digest(*first.digest().as_bytes());
        let member = Member {
            name: name.to_owned(),
            signer: keys.node.signer(),
            key_sets: vec![first.bytes().to_vec()],
            networks: BTreeSet::from([NETWORK.to_owned()]),
            blocked: BTreeSet::new(),
            cut: false,
            silent: false,
            not_yet: 0,
            router: None,
            bus: None,
        };
        self.orgs.lock().unwrap().insert(org, member);
        (org, keys.node.signer())
    }

    /// Lets an app answer the calls to `org`.
    pub(crate) fn answer(&self, org: OrgId, router: axum::Router) {
        self.orgs.lock().unwrap().get_mut(&org).unwrap().router = Some(router);
    }

    pub(crate) fn members(&self) -> BTreeMap<OrgId, Member> {
        self.orgs.lock().unwrap().clone()
    }

    pub(crate) fn member(&self, org: &OrgId) -> Member {
        self.orgs.lock().unwrap()[org].clone()
    }

    pub(crate) fn change(&self, org: &OrgId, change: impl FnOnce(&mut Member)) {
        change(self.orgs.lock().unwrap().get_mut(org).unwrap());
    }

    /// Cuts an organisation off from all others, or connects it again.
    pub(crate) async fn set_cut(&self, org: OrgId, cut: bool) {
        self.change(&org, |member| member.cut = cut);
        self.tell_peers(org, if cut { "lost" } else { "connected" })
            .await;
    }

    /// discovery of `org` refuses to sign, or signs again.
    pub(crate) fn set_silent(&self, org: OrgId, silent: bool) {
        self.change(&org, |member| member.silent = silent);
    }

    pub(crate) async fn block(&self, who: OrgId, blocked: OrgId) {
        self.change(&who, |member| {
            member.blocked.insert(blocked);
        });
        let bus = self.member(&who).bus.unwrap();
        let data = serde_json::json!({"org_id": blocked, "peer_id": "", "network_id": "", "state": "blocked", "name": ""});
        bus.publish(event("oc.discovery.peer.v1", data))
            .await
            .unwrap();
    }

    pub(crate) async fn leave(&self, who: OrgId) {
        self.change(&who, |member| member.networks.clear());
        let bus = self.member(&who).bus.unwrap();
        let data = serde_json::json!({"network_id": NETWORK, "state": "left"});
        bus.publish(event("oc.discovery.network.v1", data))
            .await
            .unwrap();
    }

    /// Comes back to the network that was left.
    pub(crate) async fn join_again(&self, who: OrgId) {
        self.change(&who, |member| {
            member.networks.insert(NETWORK.to_owned());
        });
        let bus = self.member(&who).bus.unwrap();
        let data = serde_json::json!({"network_id": NETWORK, "state": "joined"});
        bus.publish(event("oc.discovery.network.v1", data))
            .await
            .unwrap();
        self.tell_peers(who, "connected").await;
    }

    pub(crate) async fn tell_peers(&self, org: OrgId, state: &str) {
        let buses: Vec<_> = {
            let orgs = self.orgs.lock().unwrap();
            orgs.iter()
                .filter(|(id, _)| **id != org)
                .filter_map(|(_, m)| m.bus.clone())
                .collect()
        };
        for bus in buses {
            let data = serde_json::json!({"org_id": org, "peer_id": "p", "network_id": NETWORK, "state": state, "name": ""});
            bus.publish(event("oc.discovery.peer.v1", data))
                .await
                .unwrap();
        }
    }

    /// Gossips a head of `org` to everyone.
    pub(crate) async fn gossip(&self, org: OrgId, head: &[u8]) {
        if self.member(&org).cut {
            return;
        }
        let buses: Vec<_> = {
            let orgs = self.orgs.lock().unwrap();
            let others = orgs
                .iter()
                .filter(|(id, member)| **id != org && !member.cut);
            others
                .filter_map(|(_, member)| member.bus.clone())
                .collect()
        };
        for bus in buses {
            let data = serde_json::json!({"org_id": org, "network_id": NETWORK, "head": STANDARD.encode(head)});
            bus.publish(event("oc.discovery.head.v1", data))
                .await
                .unwrap();
        }
    }

    /// Carries a call to another organisation, with the statement its discovery makes about the caller.
    pub(crate) async fn carry(
        &self,
        from: OrgId,
        to: OrgId,
        path: String,
        request: Request,
    ) -> Response {
        let (caller, target) = (self.member(&from), self.member(&to));
        let shared = caller
            .networks
            .intersection(&target.networks)
            .next()
            .cloned();
        let (Some(network), Some(router), false) =
            (shared, target.router, caller.cut || target.cut)
        else {
            return Status::unavailable("cut off").into_http::<Body>();
        };
        let now_ms = self.clock.now_ms();
        let statement = Caller {
            org: from,
            peer: OrgKeys::generate().node.peer_id(),
            network: network.parse().unwrap(),
            method: path.clone(),
            nonce: Caller::nonce(),
            not_before: now_ms,
            not_after: now_ms + 30_000,
        };
        let sealed = seal(&target.signer, statement).await.unwrap();
        let (mut parts, body) = request.into_parts();
        parts.uri = path.parse().unwrap();
        parts.extensions.clear();
        parts.headers.insert(
            STATEMENT,
            URL_SAFE_NO_PAD.encode(sealed.bytes()).parse().unwrap(),
        );
        let response = router.oneshot(Request::from_parts(parts, body)).await;
        let response = response.unwrap();
        let unavailable = Status::unavailable("").code() as i32;
        let told = response.headers().get("grpc-status");
        if path.ends_with("ListDeltas") && told.is_some_and(|it| *it == unavailable.to_string()) {
            self.change(&to, |member| member.not_yet += 1);
        }
        response
    }
}

fn event(kind: &str, data: serde_json::Value) -> CloudEvent {
    static NUMBER: std::sync::atomic::AtomicU64 = std::sync::atomic::AtomicU64::new(0);
    let id = NUMBER
        .fetch_add(1, std::sync::atomic::Ordering::Relaxed)
        .to_string();
    CloudEvent::new(id, "/discovery", kind).with_data(data)
}

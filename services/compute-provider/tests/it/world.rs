//! Organisations on one network, and what lies between them.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use axum::body::Body;
use axum::extract::Request;
use axum::response::Response;
use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use jiff::Timestamp;
use oc_bus::{Bus, CloudEvent, InProcessBus};
use oc_door::STATEMENT;
use oc_kernel::{Clock, FixedClock, OrgId};
use oc_service::Switchboard;
use oc_trust::{Caller, LocalSigner, OrgKeys, PeerId, seal};
use tonic::Status;
use tower::ServiceExt as _;

pub(crate) const NETWORK: &str = "net-a";
/// How long a test waits for anything.
pub(crate) const LIMIT: Duration = Duration::from_secs(20);

/// Every organisation, and what lies between them.
#[derive(Clone)]
pub(crate) struct World {
    pub(crate) clock: Arc<FixedClock>,
    orgs: Arc<Mutex<BTreeMap<OrgId, Member>>>,
}

/// What the others see of an organisation.
#[derive(Clone)]
pub(crate) struct Member {
    pub(crate) signer: LocalSigner,
    pub(crate) peer: PeerId,
    pub(crate) key_sets: Vec<Vec<u8>>,
    /// Nobody reaches it.
    pub(crate) cut: bool,
    /// How many calls and transfers did not reach it.
    pub(crate) missed: usize,
    /// Its discovery signs nothing.
    pub(crate) silent: bool,
    pub(crate) node: Option<(axum::Router, Switchboard, Arc<InProcessBus>)>,
}

impl World {
    pub(crate) fn new() -> Self {
        let begin: Timestamp = "2026-06-01T00:00:00Z".parse().unwrap();
        Self {
            clock: Arc::new(FixedClock::new(begin)),
            orgs: Arc::default(),
        }
    }

    /// A new organisation that nobody reaches yet.
    pub(crate) fn found(&self) -> OrgId {
        let keys = OrgKeys::generate();
        let first = keys.found().unwrap();
        let org = OrgId::from_digest(*first.digest().as_bytes());
        let member = Member {
            signer: keys.node.signer(),
            peer: keys.node.peer_id(),
            key_sets: vec![first.bytes().to_vec()],
            cut: false,
            missed: 0,
            silent: false,
            node: None,
        };
        self.orgs.lock().unwrap().insert(org, member);
        org
    }

    pub(crate) fn now_ms(&self) -> u64 {
        self.clock.now_ms()
    }

    pub(crate) fn member(&self, org: &OrgId) -> Member {
        self.orgs.lock().unwrap()[org].clone()
    }

    pub(crate) fn knows(&self, org: &OrgId) -> bool {
        self.orgs.lock().unwrap().contains_key(org)
    }

    pub(crate) fn change(&self, org: &OrgId, change: impl FnOnce(&mut Member)) {
        change(self.orgs.lock().unwrap().get_mut(org).unwrap());
    }

    pub(crate) fn signer(&self, org: &OrgId) -> LocalSigner {
        self.member(org).signer
    }

    /// Tells an organisation's services something that discovery tells.
    pub(crate) async fn tell(&self, org: &OrgId, kind: &str, data: serde_json::Value) {
        let (_, _, bus) = self.member(org).node.unwrap();
        let id = uuid::Uuid::now_v7().to_string();
        let event = CloudEvent::new(id, "/discovery", kind)
            .with_subject("s")
            .with_data(data);
        bus.publish(event).await.unwrap();
    }

    /// Carries a call to another organisation, with the statement its discovery makes about the caller.
    pub(crate) async fn carry(
        &self,
        from: OrgId,
        to: OrgId,
        path: &str,
        call: Request,
    ) -> Response {
        let (caller, target) = (self.member(&from), self.member(&to));
        let (Some((router, _, _)), false) = (target.node, caller.cut || target.cut) else {
            self.change(&to, |member| member.missed += 1);
            return Status::unavailable("the partner cannot be reached").into_http::<Body>();
        };
        let now_ms = self.now_ms();
        let statement = Caller {
            org: from,
            peer: caller.peer,
            network: NETWORK.parse().unwrap(),
            method: path.to_owned(),
            nonce: Caller::nonce(),
            not_before: now_ms,
            not_after: now_ms + 30_000,
        };
        let sealed = seal(&target.signer, statement).await.unwrap();
        let (parts, body) = call.into_parts();
        let mut inner = Request::new(body);
        *inner.method_mut() = parts.method;
        *inner.version_mut() = parts.version;
        *inner.uri_mut() = path.parse().unwrap();
        for name in ["content-type", "te", "grpc-timeout"] {
            if let Some(value) = parts.headers.get(name) {
                inner.headers_mut().insert(name, value.clone());
            }
        }
        let header = URL_SAFE_NO_PAD.encode(sealed.bytes()).parse().unwrap();
        inner.headers_mut().insert(STATEMENT, header);
        let Ok(answer) = router.oneshot(inner).await;
        answer
    }
}

/// Waits for a condition, at most [`LIMIT`].
#[track_caller]
pub(crate) fn eventually(condition: impl AsyncFn() -> bool) -> impl Future<Output = ()> {
    let caller = std::panic::Location::caller();
    async move {
        let waiting = async {
            while !condition().await {
                tokio::time::sleep(Duration::from_millis(10)).await;
            }
        };
        let done = tokio::time::timeout(LIMIT, waiting).await;
        assert!(done.is_ok(), "the condition at {caller} did not come true");
    }
}

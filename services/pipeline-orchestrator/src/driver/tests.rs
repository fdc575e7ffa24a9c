//! What a partner is asked and told for a run.

use std::sync::{Arc, Mutex};

use async_trait::async_trait;
use oc_door::Door;
use oc_kernel::{Clock as _, GrantId, Kind, OrgId, SystemClock};
use oc_proto::compute::v1::Grant as GrantMessage;
use oc_proto::discovery::v1::identity_service_server::{IdentityService, IdentityServiceServer};
use oc_proto::discovery::v1::{
    GetIdentityRequest, GetIdentityResponse, GetKeySetsRequest, GetKeySetsResponse, SignRequest,
    SignResponse,
};
use oc_proto::federation::v1::*;
use oc_proto::types::v1::{Limits, ObjectRef};
use oc_service::{CallError, Switchboard};
use oc_store::{SqliteStore, Store};
use oc_trust::dsse::Signature;
use oc_trust::{Currency, Envelope, GrantedListing, ListingKind, Pseudonyms};
use oc_workflow::plan::Access;
use oc_workflow::run::{Action, AttemptRef, Event};
use tokio::sync::mpsc;
use tonic::{Request, Response, Status};

use super::perform::{Shared, Task};
use crate::NAME;
use crate::context::Context;
use crate::documents::{RunDocument, Shelf};
use crate::orchestrator::tests::document_with;
use crate::ports::{
    AttemptEvents, Federation, Grants, Objects, OutputsAtTheirOwner, RemoteBooks, RemoteCatalogue,
};
use crate::settings::Settings;
use crate::submission::{pseudonym, submission};

fn org(number: u8) -> OrgId {
    OrgId::from_digest([number; 32])
}

fn away() -> CallError {
    CallError::new(Kind::Unavailable, "not played")
}

/// A site with so many core-seconds left, which notes for how long it was asked.
#[derive(Default)]
struct Site {
    left: Mutex<u64>,
    asked: Mutex<Vec<u64>>,
}

#[async_trait]
impl Federation for Site {
    async fn count(&self, _: OrgId, _: &str, _: CountRequest) -> Result<CountResponse, CallError> {
        Err(away())
    }
    async fn reserve(
        &self,
        _: OrgId,
        _: &str,
        _: ReserveRequest,
    ) -> Result<ReserveResponse, CallError> {
        Err(away())
    }
    async fn renew(&self, _: OrgId, _: &str, _: RenewRequest) -> Result<RenewResponse, CallError> {
        Err(away())
    }
    async fn release(&self, _: OrgId, _: &str, _: ReleaseRequest) -> Result<(), CallError> {
        Err(away())
    }
    async fn capacity(
        &self,
        _: OrgId,
        _: &str,
        _: GetCapacityRequest,
    ) -> Result<GetCapacityResponse, CallError> {
        let free = Limits {
            core_seconds: *self.left.lock().unwrap(),
            ..Limits::default()
        };
        Ok(GetCapacityResponse {
            free: Some(free),
            ..GetCapacityResponse::default()
        })
    }
    async fn reserve_capacity(
        &self,
        _: OrgId,
        _: &str,
        ask: ReserveCapacityRequest,
    ) -> Result<ReserveCapacityResponse, CallError> {
        self.asked.lock().unwrap().push(ask.wall_seconds);
        Ok(ReserveCapacityResponse::default())
    }
    async fn submit(
        &self,
        _: OrgId,
        _: &str,
        _: SubmitRequest,
    ) -> Result<SubmitResponse, CallError> {
        Err(away())
    }
    async fn renew_lease(
        &self,
        _: OrgId,
        _: &str,
        _: RenewLeaseRequest,
    ) -> Result<RenewLeaseResponse, CallError> {
        Err(away())
    }
    async fn watch(&self, _: OrgId, _: &str, _: WatchRequest) -> Result<AttemptEvents, CallError> {
        Err(away())
    }
    async fn cancel(
        &self,
        _: OrgId,
        _: &str,
        _: CancelAttemptRequest,
    ) -> Result<CancelAttemptResponse, CallError> {
        Err(away())
    }
    async fn release_capacity(
        &self,
        _: OrgId,
        _: &str,
        _: ReleaseCapacityRequest,
    ) -> Result<(), CallError> {
        Err(away())
    }
}

/// The grants that we hold.
struct Held(Vec<GrantMessage>);

#[async_trait]
impl Grants for Held {
    async fn all(&self) -> Result<Vec<GrantMessage>, CallError> {
        Ok(self.0.clone())
    }
}

/// Our own storage, which is told whose a run is.
struct Storage;

#[async_trait]
impl Objects for Storage {
    async fn find(
        &self,
        _: &str,
        _: &str,
        _: Option<&str>,
    ) -> Result<Option<ObjectRef>, CallError> {
        Ok(None)
    }
    async fn bytes_below(&self, _: &str, _: &str) -> Result<u64, CallError> {
        Ok(0)
    }
    async fn room(&self) -> Result<std::collections::BTreeMap<String, u64>, CallError> {
        Ok(Default::default())
    }
    async fn give_to(&self, _: oc_kernel::RunId, _: &str) -> Result<(), CallError> {
        Ok(())
    }
}

/// The door of an organisation that signs what it is shown.
struct Discovery;

#[tonic::async_trait]
impl IdentityService for Discovery {
    async fn get_identity(
        &self,
        _: Request<GetIdentityRequest>,
    ) -> Result<Response<GetIdentityResponse>, Status> {
        Err(Status::unavailable("not played"))
    }
    async fn get_key_sets(
        &self,
        _: Request<GetKeySetsRequest>,
    ) -> Result<Response<GetKeySetsResponse>, Status> {
        Err(Status::unavailable("not played"))
    }
    async fn sign(&self, request: Request<SignRequest>) -> Result<Response<SignResponse>, Status> {
        let request = request.into_inner();
        let envelope = envelope(&request.payload_type, request.payload).to_json();
        Ok(Response::new(SignResponse { envelope }))
    }
}

fn envelope(payload_type: &str, payload: Vec<u8>) -> Envelope {
    Envelope {
        payload_type: payload_type.to_owned(),
        payload,
        signatures: vec![Signature {
            key_id: "key".to_owned(),
            bytes: vec![7; 64],
        }],
    }
}

async fn context(site: Arc<Site>, grants: Vec<GrantMessage>) -> Arc<Context> {
    let board = Switchboard::new();
    let discovery = tonic::service::Routes::new(IdentityServiceServer::new(Discovery));
    board.register("discovery", discovery.into_axum_router());
    let clock = Arc::new(SystemClock);
    let store: Arc<dyn Store> = Arc::new(SqliteStore::temporary().await.unwrap());
    Arc::new(Context {
        shelf: Shelf::new(&store),
        federation: site,
        catalogue: Arc::new(RemoteCatalogue::new(&board, NAME)),
        grants: Arc::new(Held(grants)),
        objects: Arc::new(Storage),
        books: Arc::new(RemoteBooks::new(&board, NAME)),
        outputs: Arc::new(OutputsAtTheirOwner::new(Door::new(
            &board,
            NAME,
            clock.clone(),
        ))),
        door: Door::new(&board, NAME, clock.clone()),
        clock,
        settings: Settings::default(),
    })
}

/// A run at South under this grant, whose attempt of this number asks for capacity.
fn run_at_south(grant: GrantId, number: u32) -> (RunDocument, AttemptRef) {
    let now = SystemClock.now();
    let ends = now + jiff::SignedDuration::from_hours(1);
    let mut document = document_with(Access::Granted { grant, ends });
    document.spec.user = "lovelace-7".to_owned();
    document.spec.user_name = "Augusta".to_owned();
    let mut stored = serde_json::to_value(&document).unwrap();
    for place in [
        "/run/plan/fragments/0/site/org",
        "/run/fragments/0/next/org",
    ] {
        *stored.pointer_mut(place).unwrap() = org(2).to_string().into();
    }
    let mut document: RunDocument = serde_json::from_value(stored).unwrap();
    document.run.apply(Event::Tick, now);
    let mut stored = serde_json::to_value(&document).unwrap();
    let attempt = "/run/fragments/0/attempts/0/number";
    *stored.pointer_mut(attempt).unwrap() = number.into();
    let at = AttemptRef {
        fragment: 0,
        attempt: number,
    };
    (serde_json::from_value(stored).unwrap(), at)
}

/// Asks the site for capacity for an attempt of this number.
async fn ask(
    site: &Arc<Site>,
    context: &Arc<Context>,
    document: RunDocument,
    at: AttemptRef,
) -> u64 {
    let (tell, _told) = mpsc::channel(8);
    let task = Task {
        context: Arc::clone(context),
        document: Arc::new(document),
        action: Action::ReserveCapacity { at },
        tell,
        shared: Arc::new(Shared::default()),
    };
    task.perform().await;
    *site.asked.lock().unwrap().last().unwrap()
}

#[tokio::test]
async fn a_later_attempt_asks_for_no_longer_than_what_is_left_of_the_grant() {
    let site = Arc::new(Site::default());
    let context = context(Arc::clone(&site), Vec::new()).await;
    let (first, at) = run_at_south(GrantId::new(), 1);
    let plan = &first.run.plan().fragments[0];
    let (planned, cores) = (plan.wall_seconds, u64::from(plan.resources.cores));
    assert!(planned > 20);
    *site.left.lock().unwrap() = 20 * cores;
    assert_eq!(ask(&site, &context, first, at).await, planned);

    let (second, at) = run_at_south(GrantId::new(), 2);
    assert_eq!(ask(&site, &context, second.clone(), at).await, 20);
    // Asked again it is the same hold, whatever is left by now.
    *site.left.lock().unwrap() = 5 * cores;
    assert_eq!(ask(&site, &context, second, at).await, 20);
    let (third, at) = run_at_south(GrantId::new(), 3);
    *site.left.lock().unwrap() = 0;
    assert_eq!(ask(&site, &context, third, at).await, 1);
}

#[tokio::test]
async fn a_pseudonym_is_random_and_stable_for_a_user_under_a_grant() {
    let context = context(Arc::default(), Vec::new()).await;
    let name = async |user: &str, grant: &str| pseudonym(&context, user, grant).await.unwrap();
    let first = name("lovelace-7", "grant-1").await;
    assert_eq!(name("lovelace-7", "grant-1").await, first);
    let others = [
        name("lovelace-7", "grant-2").await,
        name("lovelace-7", "").await,
        name("babbage-8", "grant-1").await,
    ];
    assert!(!others.contains(&first));
    // At another organisation the same user under the same grant is somebody else: nothing is computed of both.
    let elsewhere = self::context(Arc::default(), Vec::new()).await;
    let there = pseudonym(&elsewhere, "lovelace-7", "grant-1")
        .await
        .unwrap();
    assert_ne!(there, first);
    let random = first.strip_prefix("user-").unwrap();
    assert_eq!(random.len(), 32);
    assert!(random.bytes().all(|digit| digit.is_ascii_hexdigit()));
}

fn granted(id: GrantId) -> GrantMessage {
    let now_ms = SystemClock.now_ms();
    let grant = oc_trust::Grant {
        id,
        network: "lab".parse().unwrap(),
        provider: org(2),
        consumer: org(1),
        listings: vec![GrantedListing {
            id: "compute.machines".parse().unwrap(),
            kind: ListingKind::Compute,
            limits: None,
        }],
        limits: oc_trust::Limits::default(),
        price: oc_trust::Price::free(Currency::EUR),
        not_before: now_ms,
        not_after: now_ms + 3_600_000,
        generation: 1,
        tools: None,
        pseudonyms: Pseudonyms::PerGrant,
    };
    let payload = serde_json::to_vec(&grant).unwrap();
    let kind = <oc_trust::Grant as oc_trust::envelope::Statement>::TYPE;
    GrantMessage {
        grant_id: id.to_string(),
        state: GrantState::Active.into(),
        envelope: envelope(kind, payload).to_json(),
        ..GrantMessage::default()
    }
}

#[tokio::test]
async fn what_a_partner_receives_names_the_pseudonym_and_no_user() {
    let grant = GrantId::new();
    let context = context(Arc::default(), vec![granted(grant)]).await;
    let (document, at) = run_at_south(grant, 1);
    let sent = submission(&context, &document, at, "resv-1").await.unwrap();
    let fragment = sent.fragment.clone().unwrap();
    let known = pseudonym(&context, "lovelace-7", &grant.to_string()).await;
    assert_eq!(fragment.pseudonym, known.unwrap());

    let mut crossing = format!("{sent:?}");
    let output = fragment.output.unwrap();
    for signed in sent.delegation.iter().chain(&output.delegation) {
        let opened = Envelope::from_json(signed).unwrap();
        crossing += std::str::from_utf8(&opened.payload).unwrap();
    }
    assert!(crossing.contains(&document.run.id().to_string()));
    for name in ["lovelace-7", "Augusta"] {
        assert!(!crossing.contains(name), "{name} crosses");
    }
}

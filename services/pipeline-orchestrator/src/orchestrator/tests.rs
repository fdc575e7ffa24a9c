//! What people can do with runs that are stored: nobody but the store and discovery answers here.

use std::collections::BTreeMap;
use std::time::Duration;

use axum::body::Body;
use http::{Request, StatusCode};
use jiff::Timestamp;
use oc_door::Door;
use oc_kernel::{Classify as _, Clock as _, GrantId, Kind, OrgId, SystemClock};
use oc_proto::discovery::v1::identity_service_server::{IdentityService, IdentityServiceServer};
use oc_proto::discovery::v1::{
    GetIdentityRequest, GetIdentityResponse, GetKeySetsRequest, GetKeySetsResponse, SignRequest,
    SignResponse,
};
use oc_proto::pipeline::v1::RunStateChanged;
use oc_service::Switchboard;
use oc_service::access::User;
use oc_service::telemetry::Metrics;
use oc_store::{Expect, Query, SqliteStore, Store};
use oc_workflow::data::{Destination, ListingRef};
use oc_workflow::plan::{Access, Placement, Price, Question, Site, Storage, plan};
use oc_workflow::run::{Action, AttemptRef, Cause, End, Event, code};
use oc_workflow::{Resources, Steps};
use tokio_util::sync::CancellationToken;
use tonic::{Response, Status};
use tower::ServiceExt as _;

use super::*;
use crate::documents::{Batch, Charge, Operation, Shelf, Spec, batch_key};
use crate::erasure::forget;
use crate::ports::{
    BehindTheDoor, OutputsAtTheirOwner, RemoteBooks, RemoteCatalogue, RemoteGrants, RemoteObjects,
};
use crate::settings::Settings;
use crate::submission::pseudonym;
use crate::{NAME, request, rest, supervisor};

const TOOL: &str =
    "cwlVersion: v1.2\nclass: CommandLineTool\nbaseCommand: \"true\"\ninputs: {}\noutputs: {}\n";

fn now() -> Timestamp {
    SystemClock.now()
}

fn me() -> OrgId {
    OrgId::from_digest([1; 32])
}

struct Discovery;

#[tonic::async_trait]
impl IdentityService for Discovery {
    async fn get_identity(
        &self,
        _: tonic::Request<GetIdentityRequest>,
    ) -> Result<Response<GetIdentityResponse>, Status> {
        Ok(Response::new(GetIdentityResponse {
            org_id: me().to_string(),
            name: "North".to_owned(),
            ..GetIdentityResponse::default()
        }))
    }

    async fn get_key_sets(
        &self,
        _: tonic::Request<GetKeySetsRequest>,
    ) -> Result<Response<GetKeySetsResponse>, Status> {
        Err(Status::unavailable("nobody asks for keys here"))
    }

    async fn sign(&self, _: tonic::Request<SignRequest>) -> Result<Response<SignResponse>, Status> {
        Err(Status::unavailable("nobody signs here"))
    }
}

/// An orchestrator whose other services do not answer, with the task that drives runs.
pub(crate) struct Desk {
    pub(crate) orchestrator: Orchestrator,
    stop: CancellationToken,
}

impl Drop for Desk {
    fn drop(&mut self) {
        self.stop.cancel();
    }
}

impl Desk {
    async fn open() -> Self {
        Self::with(Settings::default(), |_| ()).await
    }

    /// What runs are driven with, while nothing drives them.
    pub(crate) async fn context(
        settings: Settings,
        others: impl FnOnce(&Switchboard),
    ) -> Arc<Context> {
        let board = Switchboard::new();
        let discovery = tonic::service::Routes::new(IdentityServiceServer::new(Discovery));
        board.register("discovery", discovery.into_axum_router());
        others(&board);
        let clock = Arc::new(SystemClock);
        let door = Door::new(&board, NAME, clock.clone());
        let store: Arc<dyn Store> = Arc::new(SqliteStore::temporary().await.unwrap());
        Arc::new(Context {
            shelf: Shelf::new(&store),
            federation: Arc::new(BehindTheDoor::new(door.clone())),
            catalogue: Arc::new(RemoteCatalogue::new(&board, NAME)),
            grants: Arc::new(RemoteGrants::new(&board, NAME)),
            objects: Arc::new(RemoteObjects::new(&board, NAME)),
            books: Arc::new(RemoteBooks::new(&board, NAME)),
            outputs: Arc::new(OutputsAtTheirOwner::new(door.clone())),
            door,
            clock,
            settings,
        })
    }

    /// A desk whose runs are driven.
    pub(crate) async fn with(settings: Settings, others: impl FnOnce(&Switchboard)) -> Self {
        let context = Self::context(settings, others).await;
        let (begin, beginnings) = mpsc::channel(4);
        let (hub, stop) = (Hub::default(), CancellationToken::new());
        let runs = Metrics::new().gauge("runs", "Runs", &[]).unwrap();
        let driven =
            supervisor::supervise(context.clone(), hub.clone(), beginnings, runs, stop.clone());
        tokio::spawn(driven);
        Self {
            orchestrator: Orchestrator::new(context, hub, begin),
            stop,
        }
    }

    /// Stores a run of ada's and what has become of it.
    async fn store(&self, events: Vec<Event>) -> String {
        let mut document = document();
        for event in events {
            document.run.apply(event, now());
        }
        let id = document.run.id().to_string();
        let runs = &self.orchestrator.context.shelf.runs;
        runs.create(&id, &document, Vec::new()).await.unwrap();
        id
    }
}

fn user(name: &str) -> Principal {
    Principal::User(User {
        id: name.to_owned(),
        name: name.to_owned(),
        roles: [Role::User].into(),
    })
}

/// A run of one step on our own machines.
fn document() -> RunDocument {
    document_with(Access::Own)
}

/// A run of one step on machines to which we have this access.
pub(crate) fn document_with(access: Access) -> RunDocument {
    let now = now();
    let workflow = request::document(TOOL, 1 << 20).unwrap();
    let machines = Resources {
        cores: 8,
        memory_bytes: 8 << 30,
    };
    let site = Site {
        org: me(),
        name: "North".to_owned(),
        listing: "compute.machines".parse().unwrap(),
        access,
        silent_since: None,
        limit: machines,
        free: machines,
        price: Price::default(),
        software: None,
        containers: false,
        sandbox_missing: None,
        longest_seconds: None,
        core_seconds_left: None,
    };
    let storage = Storage {
        org: me(),
        name: "North".to_owned(),
        listing: "storage.results".parse().unwrap(),
        access: Access::Own,
    };
    let question = Question {
        steps: &Steps::of(workflow.process(), &BTreeMap::new()),
        data: &BTreeMap::new(),
        storage: &storage,
        sites: &[site],
        placement: &Placement::default(),
    };
    let plan = plan(&question, now).unwrap();
    let policy = Settings::default().policy;
    RunDocument {
        run: Run::new(RunId::new(), me(), plan, Vec::new(), policy, now),
        spec: Spec {
            name: "true".to_owned(),
            user: "ada".to_owned(),
            user_name: "ada".to_owned(),
            document: workflow.to_json(),
            inputs: BTreeMap::new(),
            output: Destination {
                storage: ListingRef {
                    owner: me(),
                    listing: storage.listing.clone(),
                },
                prefix: "runs".parse().unwrap(),
            },
            grants: BTreeMap::new(),
        },
        counted: Vec::new(),
        reserved: BTreeMap::new(),
        pending: Vec::new(),
        published: None,
        charged: BTreeMap::new(),
    }
}

#[tokio::test]
async fn a_run_that_is_not_over_is_not_started_again() {
    let desk = Desk::open().await;
    let run = desk.store(vec![Event::Tick]).await;
    let refused = desk
        .orchestrator
        .retry(&user("ada"), &run)
        .await
        .unwrap_err();
    assert_eq!(refused.kind(), Kind::Precondition);
    let text = refused.to_string();
    assert!(
        text.contains("only one that failed or was cancelled"),
        "{text}"
    );
}

#[tokio::test]
async fn a_run_that_is_not_over_has_no_results_and_says_where_it_is() {
    let desk = Desk::open().await;
    let run = desk.store(vec![Event::Tick]).await;
    let refused = desk
        .orchestrator
        .results(&user("ada"), &run)
        .await
        .unwrap_err();
    assert_eq!(refused.kind(), Kind::Precondition);
    let text = refused.to_string();
    assert!(text.contains("has no results"), "{text}");
}

#[tokio::test]
async fn a_run_that_waits_is_explained_with_its_cause_and_its_deadline() {
    let desk = Desk::open().await;
    let at = AttemptRef {
        fragment: 0,
        attempt: 1,
    };
    let text = "8 of 8 cores are taken";
    let full = Event::Trouble {
        action: Action::ReserveCapacity { at },
        cause: Cause::new(code::FULL, text, me(), now()),
        lasting: false,
    };
    let run = desk.store(vec![Event::Tick, full]).await;
    let told = desk.orchestrator.explain(&user("ada"), &run).await.unwrap();
    assert!(told.text.contains(text), "{}", told.text);
    let fragment = told
        .entries
        .iter()
        .find(|entry| !entry.fragment_id.is_empty());
    let fragment = fragment.unwrap();
    let cause = fragment.cause.clone().unwrap();
    assert_eq!(
        (cause.code.as_str(), cause.text.as_str()),
        (code::FULL, text)
    );
    assert!(!cause.advice.is_empty());
    assert!(fragment.waits_for.contains("North"), "{fragment:?}");
    assert!(fragment.until_ms > fragment.since_ms);
}

#[tokio::test]
async fn a_run_of_somebody_else_does_not_exist() {
    let desk = Desk::open().await;
    let run = desk.store(Vec::new()).await;
    let (other, desk) = (user("mallory"), &desk.orchestrator);
    for refused in [
        desk.cancel(&other, &run).await.unwrap_err(),
        desk.retry(&other, &run).await.unwrap_err(),
        desk.results(&other, &run).await.unwrap_err(),
        desk.explain(&other, &run).await.unwrap_err(),
    ] {
        assert_eq!(refused.kind(), Kind::NotFound, "{refused}");
    }
}

#[tokio::test]
async fn events_go_on_after_the_last_one_that_was_received() {
    let desk = Desk::open().await;
    let by = me();
    let text = "stopped".to_owned();
    let run = desk.store(vec![Event::Cancel { by, text }]).await;
    let stored = desk
        .orchestrator
        .document(&user("ada"), &run)
        .await
        .unwrap();
    assert!(stored.value.run.state().is_final(), "nothing was held");
    for first in [1, 3] {
        let events = (first..first + 2).map(|number| WatchRunResponse {
            number,
            at_ms: number,
            event: Some(SeenEvent::RunState(RunStateChanged::default())),
            ..WatchRunResponse::default()
        });
        let batch = Batch {
            events: events.collect(),
            taken: None,
        };
        let key = batch_key(stored.value.run.id(), first);
        let shelf = &desk.orchestrator.context.shelf;
        shelf
            .events
            .put(&key, &batch, Expect::Any, vec![])
            .await
            .unwrap();
    }
    let face = rest::Face::new(desk.orchestrator.clone());
    let (router, _) = rest::api().with_state(face).split_for_parts();
    for (last, wanted) in [
        (None, vec![1, 2, 3, 4]),
        (Some("2"), vec![3, 4]),
        (Some("4"), vec![]),
    ] {
        let mut request = Request::get(format!("{}/runs/{run}/events", rest::PREFIX));
        if let Some(last) = last {
            request = request.header("last-event-id", last);
        }
        let mut request = request.body(Body::empty()).unwrap();
        request.extensions_mut().insert(user("ada"));
        let answer = router.clone().oneshot(request).await.unwrap();
        assert_eq!(answer.status(), StatusCode::OK);
        let whole = axum::body::to_bytes(answer.into_body(), 1 << 20);
        let whole = tokio::time::timeout(Duration::from_secs(5), whole).await;
        let whole = whole.expect("the stream ends with the run").unwrap();
        let whole = String::from_utf8(whole.to_vec()).unwrap();
        let numbers = whole.lines().filter_map(|line| line.strip_prefix("id:"));
        let numbers: Vec<u64> = numbers.map(|id| id.trim().parse().unwrap()).collect();
        assert_eq!(numbers, wanted, "after {last:?}: {whole}");
    }
}

#[tokio::test]
async fn a_plan_that_takes_too_long_is_given_up_with_the_time_it_had() {
    let settings = Settings {
        plan_seconds: 1,
        ..Settings::default()
    };
    // Whoever has the grants takes the question and never answers.
    let desk = Desk::with(settings, |board| {
        let silent = axum::Router::new().fallback(std::future::pending::<StatusCode>);
        board.register("compute-provider", silent);
    });
    let desk = desk.await;
    let asked = pb::RunRequest {
        cwl: TOOL.to_owned(),
        ..pb::RunRequest::default()
    };
    let ada = user("ada");
    let plan = desk.orchestrator.plan(&ada, asked);
    let plan = tokio::time::timeout(Duration::from_secs(10), plan).await;
    let refused = plan.expect("it has a limit").unwrap_err();
    assert_eq!(refused.kind(), Kind::Timeout, "{refused}");
    assert!(refused.to_string().contains("within 1 s"), "{refused}");
    assert!(refused.advice().is_some());
}

#[test]
fn a_run_that_is_over_costs_what_the_books_charge_once_they_say_so() {
    let grant = GrantId::new();
    let mut document = document_with(Access::Granted {
        grant,
        ends: now() + jiff::SignedDuration::from_hours(1),
    });
    let at = AttemptRef {
        fragment: 0,
        attempt: 1,
    };
    let (by, text) = (me(), "enough".to_owned());
    for event in [
        Event::Tick,
        Event::CapacityReserved {
            at,
            reservation: "resv-1".to_owned(),
            until: now() + jiff::SignedDuration::from_secs(30),
        },
        Event::Submitted {
            at,
            lease: "lease-1".to_owned(),
            life: jiff::SignedDuration::from_secs(15),
        },
        Event::Cancel { by, text },
        Event::Ended {
            at,
            end: End::Cancelled(Cause::new(code::CANCELLED, "stopped", me(), now())),
        },
        Event::CapacityReleased { at },
    ] {
        document.run.apply(event, now());
        assert_eq!(present::charged(&document, "EUR"), None);
    }
    let dispute = None;
    document.run.apply(Event::Settled { grant, dispute }, now());
    assert!(
        document.run.state().is_final(),
        "{:?}",
        document.run.state()
    );
    assert_eq!(
        present::charged(&document, "EUR"),
        None,
        "nobody has said it"
    );
    let charge = Charge {
        currency: "EUR".to_owned(),
        charge: Money(54),
    };
    document.charged.insert(grant, charge);
    assert_eq!(present::charged(&document, "EUR"), Some(Money(54)));
}

#[tokio::test]
async fn a_removed_users_pseudonyms_and_name_go_once_their_runs_are_over() {
    let desk = Desk::open().await;
    let context = &desk.orchestrator.context;
    let shelf = &context.shelf;
    for user in ["ada", "bob"] {
        let made = pseudonym(context, user, "").await.unwrap();
        // Digits alone, in which a name may stand by chance.
        let digits = made.strip_prefix("user-").unwrap();
        assert!(digits.chars().all(|c| c.is_ascii_hexdigit()), "{made}");
    }
    let run = desk.store(vec![Event::Tick]).await;
    let known = async || {
        let all = shelf.pseudonyms.all(&Query::all()).await.unwrap();
        all.into_iter().map(|one| one.key).collect::<Vec<_>>()
    };
    assert!(!forget(shelf, "ada").await.unwrap());
    assert_eq!(known().await, ["ada/own", "bob/own"]);
    shelf.runs.delete(&run, Expect::Any, vec![]).await.unwrap();
    let (by, text) = (me(), "enough".to_owned());
    let run = desk.store(vec![Event::Cancel { by, text }]).await;
    let operation = Operation {
        run: run.parse().unwrap(),
        request: "digest".to_owned(),
    };
    let operations = &shelf.operations;
    operations
        .create("ada/op-1", &operation, vec![])
        .await
        .unwrap();
    assert!(forget(shelf, "ada").await.unwrap());
    assert_eq!(known().await, ["bob/own"]);
    let kept = shelf.runs.require(&run).await.unwrap().value;
    assert_eq!(kept.spec.user_name, "removed user");
    let written = serde_json::to_string(&kept).unwrap();
    assert!(!written.contains("\"ada"), "{written}");
    assert!(operations.all(&Query::all()).await.unwrap().is_empty());
    // Saying it again does no harm.
    assert!(forget(shelf, "ada").await.unwrap());
}

mod cancelling;

//! The gRPC faces of a node, as a program of its own people calls them.

use std::time::Duration;

use oc_kernel::RunId;
use oc_proto::accounting::v1::usage_service_client::UsageServiceClient;
use oc_proto::accounting::v1::{ListUsageRequest, SumUsageRequest};
use oc_proto::backend::v1::account_service_client::AccountServiceClient;
use oc_proto::backend::v1::draft_service_client::DraftServiceClient;
use oc_proto::backend::v1::favorite_service_client::FavoriteServiceClient;
use oc_proto::backend::v1::{
    AddFavoriteRequest, DeleteFavoriteRequest, Draft, GetDraftRequest, GetMeRequest,
    ListFavoritesRequest, PutDraftRequest,
};
use oc_proto::compute::v1::offer_service_client::OfferServiceClient;
use oc_proto::compute::v1::{
    CreateOfferRequest, ListOffersRequest, OfferKind, WithdrawOfferRequest,
};
use oc_proto::discovery::v1::network_service_client::NetworkServiceClient;
use oc_proto::discovery::v1::{
    CreateNetworkRequest, InviteRequest, LeaveNetworkRequest, ListNetworksRequest,
};
use oc_proto::pipeline::v1::run_service_client::RunServiceClient;
use oc_proto::pipeline::v1::{
    GetResultsRequest, ListRunsRequest, RunRequest, RunState, StartRunRequest, WatchRunRequest,
    watch_run_response::Event,
};
use oc_proto::service::v1::service_registry_service_client::ServiceRegistryServiceClient;
use oc_proto::service::v1::{
    CreateServiceRequest, DeleteServiceRequest, GetServiceRequest, ListServicesRequest,
    ProcessingService,
};
use oc_testkit::{Node, until};
use tonic::metadata::{Ascii, MetadataValue};
use tonic::service::interceptor::InterceptedService;
use tonic::transport::{Channel, Endpoint};
use tonic::{Code, Request, Status};

use crate::sites::offer;

const SOON: Duration = Duration::from_secs(20);

/// Every call carries a token.
#[derive(Clone)]
pub(crate) struct Bearer(MetadataValue<Ascii>);

impl tonic::service::Interceptor for Bearer {
    fn call(&mut self, mut request: Request<()>) -> Result<Request<()>, Status> {
        let token = self.0.clone();
        request.metadata_mut().insert("authorization", token);
        Ok(request)
    }
}

pub(crate) type Authorised = InterceptedService<Channel, Bearer>;

async fn channel(node: &Node) -> Channel {
    let endpoint = Endpoint::from_shared(node.address().to_owned()).unwrap();
    endpoint.connect().await.unwrap()
}

/// A connection that carries the token of the node's administrator.
pub(crate) async fn as_admin(node: &Node) -> Authorised {
    let token = std::fs::read_to_string(node.data().join("admin.token")).unwrap();
    let token = format!("Bearer {}", token.trim()).parse().unwrap();
    InterceptedService::new(channel(node).await, Bearer(token))
}

/// Offers machines and storage over gRPC, and waits until both are listed.
async fn offers(admin: &Authorised) {
    let mut service = OfferServiceClient::new(admin.clone());
    for (name, kind) in [
        ("machines", OfferKind::Compute),
        ("results", OfferKind::Storage),
    ] {
        let create = CreateOfferRequest {
            offer: Some(offer(name, kind)),
        };
        service.create_offer(create).await.unwrap();
    }
    until("both offers are listed", SOON, async || {
        let answer = service.clone().list_offers(ListOffersRequest {}).await;
        let offers = answer.ok()?.into_inner().offers;
        (offers.len() == 2 && offers.iter().all(|offer| offer.listed)).then_some(())
    })
    .await;
}

/// A tool that says something.
fn said(words: &str) -> RunRequest {
    RunRequest {
        cwl: format!(
            "cwlVersion: v1.2\nclass: CommandLineTool\nbaseCommand: [echo, {words}]\n\
             inputs: {{}}\noutputs:\n  said: stdout\nstdout: said.txt\n"
        ),
        name: "said".to_owned(),
        ..RunRequest::default()
    }
}

fn start(run: RunRequest, operation: &str) -> StartRunRequest {
    StartRunRequest {
        run: Some(run),
        operation_id: operation.to_owned(),
    }
}

#[tokio::test]
async fn an_operation_starts_one_run_however_often_it_is_said() {
    let node = Node::start("North").await;
    let admin = as_admin(&node).await;
    offers(&admin).await;
    let runs = RunServiceClient::new(admin);
    let begin = async |request: StartRunRequest| {
        let answer = runs.clone().start_run(request).await;
        answer.map(|answer| answer.into_inner().run.unwrap().run_id)
    };

    let twice = || start(said("one"), "summer-1");
    let (first, second) = tokio::join!(begin(twice()), begin(twice()));
    let run = first.unwrap();
    assert_eq!(second.unwrap(), run, "two at once are one run");
    assert_eq!(begin(twice()).await.unwrap(), run, "and so is a third");
    let other = begin(start(said("two"), "summer-1")).await.unwrap_err();
    assert_eq!(other.code(), Code::Aborted, "{other}");
    assert!(other.message().contains("`summer-1`"), "{other}");
    let another = begin(start(said("one"), "summer-2")).await.unwrap();
    assert_ne!(another, run, "another operation is another run");

    let listed = runs.clone().list_runs(ListRunsRequest::default()).await;
    let listed = listed.unwrap().into_inner().runs;
    assert_eq!(listed.len(), 2, "no_effect_twice");
}

#[tokio::test]
async fn a_run_is_watched_to_its_end_over_grpc() {
    let node = Node::start("North").await;
    let admin = as_admin(&node).await;
    offers(&admin).await;
    let mut runs = RunServiceClient::new(admin.clone());
    let run = runs.start_run(start(said("hello"), "")).await.unwrap();
    let run_id = run.into_inner().run.unwrap().run_id;

    let watch = |after| WatchRunRequest {
        run_id: run_id.clone(),
        after,
    };
    let mut stream = runs.watch_run(watch(0)).await.unwrap().into_inner();
    let mut events = Vec::new();
    let whole = async {
        while let Some(event) = stream.message().await.unwrap() {
            events.push(event);
        }
    };
    tokio::time::timeout(SOON, whole).await.unwrap();
    let numbers: Vec<_> = events.iter().map(|event| event.number).collect();
    assert!(numbers.is_sorted(), "{numbers:?}");
    let last = events.iter().rev().find_map(|event| match &event.event {
        Some(Event::RunState(change)) => Some(change.state),
        _ => None,
    });
    assert_eq!(last, Some(i32::from(RunState::Succeeded)), "{events:?}");

    // A watcher that comes back is told what it has not seen.
    let seen = numbers[numbers.len() / 2];
    let mut rest = runs.watch_run(watch(seen)).await.unwrap().into_inner();
    let next = rest.message().await.unwrap().unwrap();
    assert!(next.number > seen, "{next:?}");

    let results = GetResultsRequest {
        run_id: run_id.clone(),
    };
    let results = runs.get_results(results).await.unwrap().into_inner();
    assert_eq!(results.files.len(), 1);
    let mut usage = UsageServiceClient::new(admin);
    until("its use is in the books", SOON, async || {
        let records = usage.list_usage(ListUsageRequest::default()).await;
        let records = records.ok()?.into_inner().records;
        records.iter().any(|it| it.run_id == run_id).then_some(())
    })
    .await;
    let sums = usage.sum_usage(SumUsageRequest::default()).await.unwrap();
    assert_eq!(sums.into_inner().sums[0].records, 1);

    let unknown = WatchRunRequest {
        run_id: RunId::new().to_string(),
        after: 0,
    };
    let refused = runs.watch_run(unknown).await.unwrap_err();
    assert_eq!(refused.code(), Code::NotFound, "{refused}");
}

#[tokio::test]
async fn what_one_face_writes_the_other_reads() {
    let node = Node::start("North").await;
    let admin = as_admin(&node).await;
    let rest = node.client();

    let mut favorites = FavoriteServiceClient::new(admin.clone());
    let owner = rest.discovery().identity().await.unwrap().org_id;
    let add = AddFavoriteRequest {
        owner: owner.clone(),
        listing_id: "storage.results".to_owned(),
        note: "for the summer".to_owned(),
    };
    favorites.add_favorite(add).await.unwrap();
    let marked = rest.backend().favorites().await.unwrap();
    assert_eq!(marked[0].note, "for the summer");
    let delete = DeleteFavoriteRequest {
        owner,
        listing_id: "storage.results".to_owned(),
    };
    favorites.delete_favorite(delete).await.unwrap();
    let left = favorites.list_favorites(ListFavoritesRequest {}).await;
    assert_eq!(left.unwrap().into_inner().favorites.len(), 0);

    let mut drafts = DraftServiceClient::new(admin.clone());
    let draft = Draft {
        name: "summer".to_owned(),
        cwl: said("draft").cwl,
        ..Draft::default()
    };
    let put = |draft: &Draft| PutDraftRequest {
        draft: Some(draft.clone()),
    };
    let first = drafts.put_draft(put(&draft)).await.unwrap().into_inner();
    let first = first.draft.unwrap();
    drafts.put_draft(put(&first)).await.unwrap();
    let stale = drafts.put_draft(put(&first)).await.unwrap_err();
    assert_eq!(stale.code(), Code::Aborted, "{stale}");
    let get = GetDraftRequest {
        name: "summer".to_owned(),
    };
    let kept = drafts.get_draft(get).await.unwrap().into_inner().draft;
    assert!(kept.unwrap().revision > first.revision);

    let mut services = ServiceRegistryServiceClient::new(admin.clone());
    let service = ProcessingService {
        name: "speaker".to_owned(),
        version: "1.0".to_owned(),
        cwl: said("service").cwl,
        ..ProcessingService::default()
    };
    let create = |service: &ProcessingService| CreateServiceRequest {
        service: Some(service.clone()),
    };
    services.create_service(create(&service)).await.unwrap();
    let faulty = ProcessingService {
        version: "2.0".to_owned(),
        cwl: "cwlVersion: v1.2\nclass: Nonsense\n".to_owned(),
        ..service.clone()
    };
    let refused = services.create_service(create(&faulty)).await.unwrap_err();
    assert_eq!(refused.code(), Code::InvalidArgument, "{refused}");
    let get = GetServiceRequest {
        name: "speaker".to_owned(),
        version: "1.0".to_owned(),
    };
    let kept = services.get_service(get).await.unwrap().into_inner();
    assert_eq!(kept.service.unwrap().cwl, service.cwl);
    assert_eq!(rest.services().list().await.unwrap().len(), 1);
    let delete = DeleteServiceRequest {
        name: "speaker".to_owned(),
        version: "1.0".to_owned(),
    };
    services.delete_service(delete).await.unwrap();
    let left = services.list_services(ListServicesRequest::default()).await;
    assert_eq!(left.unwrap().into_inner().services.len(), 0);

    offers(&admin).await;
    let mut offered = OfferServiceClient::new(admin.clone());
    let withdraw = WithdrawOfferRequest {
        name: "machines".to_owned(),
    };
    offered.withdraw_offer(withdraw).await.unwrap();
    until("the machines are no longer offered", SOON, async || {
        let left = rest.compute().offers().await.ok()?;
        (left.len() == 1 && left[0].name == "results").then_some(())
    })
    .await;

    let mut networks = NetworkServiceClient::new(admin.clone());
    let create = CreateNetworkRequest {
        name: "alliance".to_owned(),
        port: 0,
    };
    let made = networks.create_network(create).await.unwrap().into_inner();
    let network_id = made.network.unwrap().network_id;
    let listed = networks.list_networks(ListNetworksRequest {}).await;
    assert_eq!(listed.unwrap().into_inner().networks.len(), 1);
    let invite = InviteRequest {
        network_id: network_id.clone(),
        ..InviteRequest::default()
    };
    let invited = networks.invite(invite).await.unwrap().into_inner();
    assert!(invited.invitation.starts_with("opencloud-join:v1:"));
    let leave = LeaveNetworkRequest { network_id };
    networks.leave_network(leave).await.unwrap();
    assert_eq!(rest.discovery().networks().await.unwrap().len(), 0);

    let mut accounts = AccountServiceClient::new(admin);
    let me = accounts.get_me(GetMeRequest {}).await.unwrap().into_inner();
    assert!(me.user.unwrap().roles.contains(&"admin".to_owned()));
    let mut nobody = AccountServiceClient::new(channel(&node).await);
    let refused = nobody.get_me(GetMeRequest {}).await.unwrap_err();
    assert_eq!(refused.code(), Code::Unauthenticated);
}

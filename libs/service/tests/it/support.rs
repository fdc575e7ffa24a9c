//! A small service with both faces, and a node that serves it on free ports.

use std::net::SocketAddr;
use std::pin::Pin;
use std::sync::{Arc, LazyLock};
use std::task::{Context, Poll};
use std::time::Duration;

use axum::extract::State;
use futures::future::BoxFuture;
use futures::{FutureExt, Stream, StreamExt};
use http::Method;
use oc_kernel::{Classify, Kind, Revision};
use oc_service::access::{Access, Principal, Role, StaticTokens};
use oc_service::telemetry::Metrics;
use oc_service::{
    App, ETag, IfMatch, Json, Listeners, Node, OrStatus, Path, Problem, Query, ServeError,
    StopSettings, Switchboard, sse,
};
use prost::Message;
use prost_types::{
    FileDescriptorProto, FileDescriptorSet, MethodDescriptorProto, ServiceDescriptorProto,
};
use serde::{Deserialize, Serialize};
use tokio::task::JoinHandle;
use tokio_util::sync::CancellationToken;
use tonic::codegen::{Body, Service, StdError};
use tonic::{Request, Response, Status};
use tonic_prost::ProstCodec;
use utoipa::ToSchema;
use utoipa_axum::router::OpenApiRouter;
use utoipa_axum::routes;

pub(crate) const SAY: &str = "/test.v1.Echo/Say";
pub(crate) const COUNT: &str = "/test.v1.Echo/Count";

#[derive(Debug, thiserror::Error)]
#[error("no book `{0}`")]
pub(crate) struct UnknownBook(String);

impl Classify for UnknownBook {
    fn kind(&self) -> Kind {
        Kind::NotFound
    }

    fn advice(&self) -> Option<String> {
        Some("list the books".to_owned())
    }
}

#[derive(Debug, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct Book {
    pub(crate) title: String,
}

#[derive(Debug, Deserialize)]
struct Page {
    size: u32,
}

#[derive(Clone)]
struct Shelf {
    streams: sse::Streams,
    board: Switchboard,
}

#[utoipa::path(get, path = "/api/echo/v1/books/{id}", responses((status = 200, body = Book)))]
async fn get_book(Path(id): Path<String>) -> Result<(ETag, Json<Book>), Problem> {
    if id == "panic" {
        panic!("the shelf broke");
    }
    let title = Some(id).filter(|id| id != "gone");
    let title = title.ok_or_else(|| UnknownBook("gone".to_owned()))?;
    Ok((ETag(Revision(3)), Json(Book { title })))
}

#[utoipa::path(put, path = "/api/echo/v1/books/{id}", responses((status = 200, body = Book)))]
async fn put_book(if_match: IfMatch, Json(book): Json<Book>) -> Result<Json<Book>, Problem> {
    if_match.required()?;
    Ok(Json(book))
}

#[utoipa::path(get, path = "/api/echo/v1/books", responses((status = 200, body = String)))]
async fn list_books(Query(page): Query<Page>, caller: Principal) -> Json<String> {
    Json(format!("{} for {caller}", page.size))
}

/// Says one event and then nothing any more.
#[utoipa::path(get, path = "/api/echo/v1/events", responses((status = 200, body = String)))]
async fn events(State(shelf): State<Shelf>) -> Result<axum::response::Response, Problem> {
    let once = futures::stream::once(async { sse::event("1", "hello", &"there") });
    shelf.streams.open(once.chain(futures::stream::pending()))
}

/// Answers with the request id that another service saw.
#[utoipa::path(get, path = "/api/echo/v1/relay", responses(
    (status = 200, body = String),
    (status = 503, body = Problem, description = "the other service is away"),
))]
async fn relay(State(shelf): State<Shelf>) -> Result<Json<String>, Problem> {
    let channel = shelf.board.channel("echo", "echo");
    let seen = say(channel, Request::new("id".to_owned())).await;
    seen.map(Json)
        .map_err(|status| Problem::from_status(&status))
}

fn api() -> OpenApiRouter<Shelf> {
    OpenApiRouter::new()
        .routes(routes!(get_book, put_book))
        .routes(routes!(list_books))
        .routes(routes!(events))
        .routes(routes!(relay))
}

/// `test.v1.Echo`: `Say` answers with the caller and the text, `Count` counts to the number and waits.
#[derive(Clone)]
pub(crate) struct Echo;

impl tonic::server::NamedService for Echo {
    const NAME: &'static str = "test.v1.Echo";
}

struct Say;

impl tonic::server::UnaryService<String> for Say {
    type Response = String;
    type Future = BoxFuture<'static, Result<Response<String>, Status>>;

    fn call(&mut self, request: Request<String>) -> Self::Future {
        async move {
            let caller = Principal::of_rpc(&request);
            let id = oc_service::request_id().unwrap_or_default();
            match request.into_inner().as_str() {
                "gone" => Err(UnknownBook("gone".to_owned())).or_status(),
                "wait" => std::future::pending().await,
                "panic" => panic!("the echo broke"),
                "id" => Ok(Response::new(id)),
                text => Ok(Response::new(format!("{caller}: {text}"))),
            }
        }
        .boxed()
    }
}

struct Count;

impl tonic::server::ServerStreamingService<String> for Count {
    type Response = String;
    type ResponseStream = Pin<Box<dyn Stream<Item = Result<String, Status>> + Send>>;
    type Future = BoxFuture<'static, Result<Response<Self::ResponseStream>, Status>>;

    fn call(&mut self, request: Request<String>) -> Self::Future {
        async move {
            let until: u32 = request.into_inner().parse().unwrap_or(0);
            let numbers = futures::stream::iter(0..until).map(|n| Ok(n.to_string()));
            let numbers: Self::ResponseStream = numbers.chain(futures::stream::pending()).boxed();
            Ok(Response::new(numbers))
        }
        .boxed()
    }
}

impl<B> Service<http::Request<B>> for Echo
where
    B: Body + Send + 'static,
    B::Error: Into<StdError> + Send + 'static,
{
    type Response = http::Response<tonic::body::Body>;
    type Error = std::convert::Infallible;
    type Future = BoxFuture<'static, Result<Self::Response, Self::Error>>;

    fn poll_ready(&mut self, _: &mut Context<'_>) -> Poll<Result<(), Self::Error>> {
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, request: http::Request<B>) -> Self::Future {
        async move {
            let mut grpc = tonic::server::Grpc::new(ProstCodec::<String, String>::default());
            Ok(match request.uri().path() {
                SAY => grpc.unary(Say, request).await,
                COUNT => grpc.server_streaming(Count, request).await,
                _ => Status::unimplemented("").into_http(),
            })
        }
        .boxed()
    }
}

static DESCRIPTORS: LazyLock<Vec<u8>> = LazyLock::new(|| {
    let method = |name: &str| MethodDescriptorProto {
        name: Some(name.to_owned()),
        input_type: Some(".google.protobuf.StringValue".to_owned()),
        output_type: Some(".google.protobuf.StringValue".to_owned()),
        ..MethodDescriptorProto::default()
    };
    let service = ServiceDescriptorProto {
        name: Some("Echo".to_owned()),
        method: vec![method("Say"), method("Count")],
        options: None,
    };
    let file = FileDescriptorProto {
        name: Some("test.proto".to_owned()),
        package: Some("test.v1".to_owned()),
        service: vec![service],
        ..FileDescriptorProto::default()
    };
    FileDescriptorSet { file: vec![file] }.encode_to_vec()
});

/// The service of these tests.
pub(crate) fn echo() -> App {
    echo_on(&Switchboard::new())
}

/// The same, calling itself over this switchboard.
pub(crate) fn echo_on(board: &Switchboard) -> App {
    let shelf = Shelf {
        streams: sse::Streams::new(1),
        board: board.clone(),
    };
    let (rest, openapi) = api().with_state(shelf).split_for_parts();
    App {
        rest,
        openapi,
        grpc: tonic::service::Routes::new(Echo),
        descriptors: DESCRIPTORS.as_slice(),
        access: vec![
            Access::rest(Method::GET, "/api/echo/v1/books/{id}", Role::User),
            Access::rest(Method::PUT, "/api/echo/v1/books/{id}", Role::Operator),
            Access::rest(Method::GET, "/api/echo/v1/books", Role::User),
            Access::rest(Method::GET, "/api/echo/v1/events", Role::Public),
            Access::rest(Method::GET, "/api/echo/v1/relay", Role::User),
            Access::rpc(SAY, Role::User).or(Role::Partner),
            Access::rpc(COUNT, Role::Admin).or(Role::Service),
        ],
        ..App::new("echo")
    }
}

/// A node that serves on free ports.
pub(crate) struct Running {
    pub(crate) api: SocketAddr,
    pub(crate) admin: SocketAddr,
    pub(crate) stop: CancellationToken,
    pub(crate) ended: JoinHandle<Result<(), ServeError>>,
}

impl Running {
    pub(crate) async fn start(apps: Vec<App>) -> Self {
        Self::start_with(apps, StopSettings::default()).await
    }

    pub(crate) async fn start_with(apps: Vec<App>, settings: StopSettings) -> Self {
        let node = Node::build(apps, Arc::new(StaticTokens::of_roles()), &Metrics::new()).unwrap();
        let listeners = Listeners::local().await.unwrap();
        let (api, admin) = (listeners.api_addr(), listeners.admin_addr());
        let stop = CancellationToken::new();
        let told = stop.clone();
        let ended = tokio::spawn(async move { node.serve(listeners, told, &settings).await });
        Self {
            api,
            admin,
            stop,
            ended,
        }
    }

    pub(crate) fn url(&self, path: &str) -> String {
        format!("http://{}{path}", self.api)
    }

    pub(crate) async fn admin(&self, path: &str) -> (u16, String) {
        let url = format!("http://{}{path}", self.admin);
        let response = client().get(url).send().await.unwrap();
        (response.status().as_u16(), response.text().await.unwrap())
    }
}

pub(crate) fn client() -> reqwest::Client {
    oc_service::install_tls_provider();
    reqwest::Client::new()
}

/// Calls `Say` over any channel.
pub(crate) async fn say<T>(channel: T, request: Request<String>) -> Result<String, Status>
where
    T: tonic::client::GrpcService<tonic::body::Body>,
    T::ResponseBody: Body<Data = axum::body::Bytes> + Send + 'static,
    <T::ResponseBody as Body>::Error: Into<StdError> + Send,
{
    let mut grpc = tonic::client::Grpc::new(channel);
    ready(&mut grpc).await?;
    let codec = ProstCodec::<String, String>::default();
    let answer = grpc.unary(request, SAY.parse().unwrap(), codec).await?;
    Ok(answer.into_inner())
}

/// Opens `Count` over any channel.
pub(crate) async fn count<T>(
    channel: T,
    request: Request<String>,
) -> Result<tonic::Streaming<String>, Status>
where
    T: tonic::client::GrpcService<tonic::body::Body>,
    T::ResponseBody: Body<Data = axum::body::Bytes> + Send + 'static,
    <T::ResponseBody as Body>::Error: Into<StdError> + Send,
{
    let mut grpc = tonic::client::Grpc::new(channel);
    ready(&mut grpc).await?;
    let codec = ProstCodec::<String, String>::default();
    let answer = grpc
        .server_streaming(request, COUNT.parse().unwrap(), codec)
        .await?;
    Ok(answer.into_inner())
}

async fn ready<T>(grpc: &mut tonic::client::Grpc<T>) -> Result<(), Status>
where
    T: tonic::client::GrpcService<tonic::body::Body>,
{
    let ready = grpc.ready().await;
    ready.map_err(|error| Status::unavailable(error.into().to_string()))
}

/// A request with a bearer token.
pub(crate) fn with_token(text: &str, token: &str) -> Request<String> {
    let mut request = Request::new(text.to_owned());
    let value = format!("Bearer {token}").parse().unwrap();
    request.metadata_mut().insert("authorization", value);
    request
}

/// The network's way to a node.
pub(crate) async fn dial(running: &Running) -> tonic::transport::Channel {
    let endpoint = tonic::transport::Endpoint::from_shared(running.url("")).unwrap();
    let endpoint = endpoint.connect_timeout(Duration::from_secs(5));
    endpoint.connect().await.unwrap()
}

//! The user's own things - favourites and drafts of workflows - and the local accounts of a node without an
//! OIDC server.
//!
//! It knows people and what they keep. It does not know what a listing means, nor whether a draft is a valid
//! workflow: the catalogue and the orchestrator do.

mod accounts;
mod domain;
mod erasure;
mod first_admin;
mod grpc;
mod rest;

use std::sync::Arc;

use http::Method;
use oc_bus::{Bus, BusError, Relay};
use oc_kernel::Clock;
use oc_service::access::{Access, Role};
use oc_service::{App, Ready, Worker};
use oc_store::{Store, StoreOutbox};

pub use accounts::LocalAccounts;
pub use domain::account::{Account, Accounts, NewAccount};
pub use domain::error::BackendError;
pub use first_admin::{FirstAdminError, first_admin};

use domain::draft::Drafts;
use domain::favorite::Favorites;

/// The name of this service.
pub const NAME: &str = "generic-backend";

/// What the service is made of.
pub struct Parts {
    /// Where it keeps its documents.
    pub store: Arc<dyn Store>,
    /// Where its events go.
    pub bus: Arc<dyn Bus>,
    /// The time.
    pub clock: Arc<dyn Clock>,
}

/// The use cases, as both faces call them.
#[derive(Clone)]
pub(crate) struct Backend {
    pub(crate) accounts: Accounts,
    pub(crate) favorites: Favorites,
    pub(crate) drafts: Drafts,
}

/// Builds the service. Its subscription to events exists when this returns.
///
/// # Errors
/// When the bus refuses the subscription.
pub async fn build(parts: Parts) -> Result<App, BusError> {
    let Parts { store, bus, clock } = parts;
    let users = erasure::subscribe(&*bus).await?;
    let outbox = Arc::new(StoreOutbox::new(store.clone(), "/generic-backend"));
    let relay = Relay::new(outbox, bus);
    let backend = Backend {
        accounts: Accounts::new(store.clone(), clock.clone()),
        favorites: Favorites::new(store.clone(), clock.clone()),
        drafts: Drafts::new(store.clone(), clock),
    };
    let forgetful = backend.clone();
    let workers = vec![
        Worker::new("backend-relay", move |stop| async move {
            relay.run(stop).await;
            Ok(())
        }),
        Worker::new("backend-erasure", move |stop| {
            erasure::run(forgetful, users, stop)
        }),
    ];
    let (rest, openapi) = rest::api().with_state(backend.clone()).split_for_parts();
    let ready: Ready = Arc::new(move || {
        let store = store.clone();
        Box::pin(async move { store.ping().await.map_err(|error| error.to_string()) })
    });
    Ok(App {
        rest,
        openapi,
        grpc: grpc::routes(backend),
        descriptors: oc_proto::DESCRIPTORS,
        access: access(),
        ready,
        workers,
        ..App::new(NAME)
    })
}

fn access() -> Vec<Access> {
    let rest = |method: Method, path: &'static str, role| {
        Access::rest(method, format!("{}{path}", rest::PREFIX), role)
    };
    let rpc = |method: &'static str, role| Access::rpc(format!("/oc.backend.v1.{method}"), role);
    vec![
        rest(Method::GET, "/favorites", Role::User),
        rest(Method::POST, "/favorites", Role::User),
        rest(
            Method::DELETE,
            "/favorites/{owner}/{listing_id}",
            Role::User,
        ),
        rest(Method::GET, "/drafts", Role::User),
        rest(Method::GET, "/drafts/{name}", Role::User),
        rest(Method::PUT, "/drafts/{name}", Role::User),
        rest(Method::DELETE, "/drafts/{name}", Role::User),
        rest(Method::GET, "/me", Role::User),
        rest(Method::GET, "/users", Role::Admin),
        rest(Method::POST, "/users", Role::Admin),
        rest(Method::DELETE, "/users/{name}", Role::Admin),
        rpc("FavoriteService/ListFavorites", Role::User),
        rpc("FavoriteService/AddFavorite", Role::User),
        rpc("FavoriteService/DeleteFavorite", Role::User),
        rpc("DraftService/ListDrafts", Role::User),
        rpc("DraftService/GetDraft", Role::User),
        rpc("DraftService/PutDraft", Role::User),
        rpc("DraftService/DeleteDraft", Role::User),
        rpc("AccountService/Authenticate", Role::Service),
        rpc("AccountService/GetMe", Role::User),
        rpc("AccountService/CreateUser", Role::Admin),
        rpc("AccountService/ListUsers", Role::Admin),
        rpc("AccountService/DeleteUser", Role::Admin),
    ]
}

//! accounting: who used what. It keeps a log of usage records for each grant, which its provider writes and
//! signs and its consumer audits and countersigns, and answers for sums and exports.
//!
//! It knows neither how work is run nor where partners are: it learns of usage by events, and reaches partners
//! through the door.

pub mod domain;
mod door;
mod grpc;
mod intake;
mod ledger;
mod metrics;
pub mod ports;
mod rest;
mod settings;
mod settler;

use std::sync::Arc;
use std::time::Duration;

use anyhow::Context as _;
use http::Method;
use oc_bus::{Bus, Relay, Subscription};
use oc_door::Door;
use oc_kernel::Clock;
use oc_proto::accounting::v1::usage_service_server::UsageServiceServer;
use oc_proto::federation::v1::books_service_server::BooksServiceServer;
use oc_service::access::{Access, Role};
use oc_service::telemetry::Metrics;
use oc_service::{App, Worker};
use oc_store::{Store, StoreOutbox};
use tonic::service::Routes;

use crate::domain::{Accounting, Ledger};
pub use crate::door::Discovery;
pub use crate::ledger::SqliteLedger;
use crate::metrics::AccountingMetrics;
pub use crate::settings::Settings;

/// The name in the switchboard, in paths and in logs.
pub const NAME: &str = "accounting";

/// What the service is made of.
pub struct Parts {
    /// Documents.
    pub store: Arc<dyn Store>,
    /// Usage records.
    pub ledger: Arc<dyn Ledger>,
    /// Events of other services, and ours.
    pub bus: Arc<dyn Bus>,
    /// The wall clock.
    pub clock: Arc<dyn Clock>,
    /// The way to discovery and to partners.
    pub door: Door,
    /// What `/metrics` shows.
    pub metrics: Metrics,
    /// What an operator set.
    pub settings: Settings,
}

/// Puts the service together. Its subscription to events exists when this returns.
///
/// # Errors
/// When a setting is wrong or the bus refuses the subscription.
pub async fn build(parts: Parts) -> anyhow::Result<App> {
    let Parts {
        store,
        ledger,
        bus,
        clock,
        door,
        metrics,
        settings,
    } = parts;
    let metrics = AccountingMetrics::new(&metrics)?;
    let currency = settings.currency.parse();
    let currency = currency.context("the setting `currency`")?;
    let discovery = Arc::new(Discovery::new(door.clone()));
    let accounting = Accounting::new(
        store.clone(),
        ledger,
        discovery.clone(),
        discovery,
        clock.clone(),
        currency,
    );
    accounting.raise_epoch(settings.epoch).await?;
    let subscription = Subscription::durable(NAME, &intake::TYPES)?;
    let events = bus.subscribe(subscription).await?;
    let relay = Relay::new(Arc::new(StoreOutbox::new(store, "/accounting")), bus);
    let mut workers = vec![
        Worker::new("accounting-intake", {
            let (accounting, metrics) = (accounting.clone(), metrics.clone());
            move |stop| intake::run(accounting, events, metrics, stop)
        }),
        Worker::new("accounting-outbox", move |stop| async move {
            relay.run(stop).await;
            Ok(())
        }),
    ];
    if settings.settle_seconds > 0 {
        let times = settler::Times {
            settle: Duration::from_secs(settings.settle_seconds),
            look: Duration::from_secs(settings.look_seconds.max(1)),
        };
        let accounting = accounting.clone();
        let settler = move |stop| settler::run(accounting, clock, metrics, times, stop);
        workers.push(Worker::new("accounting-settler", settler));
    }
    Ok(App {
        workers,
        ..faces(accounting, door)
    })
}

/// Both faces of the service, without its workers.
fn faces(accounting: Accounting, door: Door) -> App {
    let usage = grpc::UsageFace(accounting.clone());
    let (rest, openapi) = rest::api().with_state(usage.clone()).split_for_parts();
    let books = grpc::BooksFace {
        accounting: accounting.clone(),
        door,
    };
    App {
        rest,
        openapi,
        grpc: Routes::new(UsageServiceServer::new(usage))
            .add_service(BooksServiceServer::new(books)),
        descriptors: oc_proto::DESCRIPTORS,
        access: access(),
        ready: Arc::new(move || {
            let accounting = accounting.clone();
            Box::pin(async move { accounting.ping().await.map_err(|error| error.to_string()) })
        }),
        ..App::new(NAME)
    }
}

fn access() -> Vec<Access> {
    let rest = |method, path, role| Access::rest(method, format!("/api/accounting/v1{path}"), role);
    let usage =
        |method, role| Access::rpc(format!("/oc.accounting.v1.UsageService/{method}"), role);
    let books = |method| {
        let path = format!("/oc.federation.v1.BooksService/{method}");
        Access::rpc(path, Role::Partner).or(Role::Service)
    };
    vec![
        rest(Method::GET, "/records", Role::User),
        rest(Method::GET, "/sums", Role::User),
        rest(Method::GET, "/exports", Role::User),
        rest(Method::GET, "/books/{grant_id}", Role::Operator),
        rest(Method::POST, "/books/{grant_id}/settle", Role::Operator),
        rest(
            Method::POST,
            "/records/{record_id}/corrections",
            Role::Operator,
        ),
        usage("ListUsage", Role::User),
        usage("SumUsage", Role::User),
        usage("ExportUsage", Role::User),
        usage("GetBooks", Role::Operator).or(Role::Service),
        usage("SettleBooks", Role::Operator).or(Role::Service),
        usage("CorrectUsage", Role::Operator),
        books("ListUsageRecords"),
        books("GetBooksHead"),
        books("Countersign"),
        books("Dispute"),
    ]
}

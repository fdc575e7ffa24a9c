//! Events between services: publish, durable subscriptions by name and type, acknowledgement.
//!
//! Delivery is at least once and in order for each subject. The envelope is CloudEvents 1.0. The
//! in-process driver keeps nothing on disk: a [`Relay`] feeds it from an outbox that is durable, and
//! forgets an event only when every durable subscription has acknowledged it.
//!
//! It knows no store, no service and no domain. A driver proves itself with `testsuite!`.

mod bus;
mod error;
mod event;
mod follow;
mod in_process;
mod pattern;
mod relay;
#[cfg(any(test, feature = "testsuite"))]
#[expect(clippy::unwrap_used, reason = "test code: a panic is its verdict")]
pub mod testsuite;

pub use bus::{Acker, Bus, Consumer, Delivery, Receipt, Subscription};
pub use error::{BusError, SourceError};
pub use event::{CloudEvent, EventError};
pub use follow::{Answer, follow};
pub use in_process::InProcessBus;
pub use pattern::{PatternError, TypePattern};
pub use relay::{OutboxSource, PendingEvent, Relay};

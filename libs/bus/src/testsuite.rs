//! The contract every driver keeps. `oc_bus::testsuite!(bus)` expands one test for each case; `bus` is
//! an expression that makes a fresh [`Bus`](crate::Bus) in an [`Arc`](std::sync::Arc).

use std::time::Duration;

use serde_json::json;
use tokio::time::timeout;

use crate::{Bus, CloudEvent, Consumer, Delivery, Subscription};

mod delivery;
mod subscriptions;

pub use delivery::*;
pub use subscriptions::*;

/// Longest wait of a case for something that must happen.
pub(crate) const SOON: Duration = Duration::from_secs(10);
/// How long a case watches for something that must not happen.
pub(crate) const QUIET: Duration = Duration::from_millis(60);

/// An event of type `oc.test.<kind>` about `subject`.
pub(crate) fn event(kind: &str, subject: &str, n: u32) -> CloudEvent {
    CloudEvent::new(format!("{subject}-{n}"), "/test", format!("oc.test.{kind}"))
        .with_subject(subject)
        .with_data(json!({ "n": n }))
}

pub(crate) fn durable(name: &str) -> Subscription {
    Subscription::durable(name, &["oc.test.>"]).expect("a pattern")
}

pub(crate) async fn publish(bus: &dyn Bus, event: CloudEvent) -> crate::Receipt {
    bus.publish(event).await.expect("published")
}

pub(crate) async fn next(consumer: &mut Box<dyn Consumer>) -> Delivery {
    let next = timeout(SOON, consumer.next()).await;
    next.expect("an event in time")
        .expect("an open subscription")
}

pub(crate) async fn nothing_comes(consumer: &mut Box<dyn Consumer>) {
    let next = timeout(QUIET, consumer.next()).await;
    assert!(next.is_err(), "unexpected: {next:?}");
}

/// Expands the suite.
#[macro_export]
macro_rules! testsuite {
    ($bus:expr) => {
        $crate::testsuite_cases! { $bus;
            an_event_arrives_as_it_was_published,
            only_wanted_types_arrive,
            each_durable_name_gets_every_event,
            consumers_of_one_name_share_its_events,
            a_durable_subscription_outlives_its_consumer,
            an_ephemeral_subscription_ends_with_its_consumer,
            an_ephemeral_subscription_that_lags_is_ended,
            a_full_durable_subscription_holds_the_publisher_up,
            the_same_name_with_other_types_is_refused,
            an_event_that_is_no_cloudevent_is_refused,
            unsubscribing_ends_the_consumer,
            an_unanswered_event_comes_again,
            a_refused_event_comes_again_after_its_delay,
            a_subject_keeps_its_order_through_failures,
            subjects_do_not_wait_for_each_other,
            an_event_put_off_a_thousand_times_is_not_lost,
            dropping_the_wait_loses_nothing,
        }
    };
}

/// Expands the named cases.
#[doc(hidden)]
#[macro_export]
macro_rules! testsuite_cases {
    ($bus:expr; $($case:ident,)*) => {$(
        #[tokio::test]
        async fn $case() {
            let bus = $bus;
            $crate::testsuite::$case(&*bus).await;
        }
    )*};
}

//! The contract suite, and the receipts that only this driver binds to acknowledgements.

use std::sync::Arc;
use std::time::Duration;

use super::InProcessBus;
use crate::testsuite::{QUIET, SOON, durable, event, next, publish};
use crate::{Bus, BusError};

crate::testsuite!(Arc::new(InProcessBus::new()));

#[tokio::test]
async fn a_receipt_waits_for_every_durable_subscription() {
    let bus = InProcessBus::new();
    let mut first = bus.subscribe(durable("a")).await.unwrap();
    let mut second = bus.subscribe(durable("b")).await.unwrap();
    let receipt = publish(&bus, event("x", "s", 1)).await;
    let mut safe = std::pin::pin!(receipt.safe());

    next(&mut first).await.ack().await.unwrap();
    assert!(tokio::time::timeout(QUIET, safe.as_mut()).await.is_err());
    next(&mut second).await.ack().await.unwrap();
    tokio::time::timeout(SOON, safe).await.unwrap().unwrap();
}

#[tokio::test]
async fn an_event_nobody_wants_is_safe_at_once() {
    let bus = InProcessBus::new();
    let receipt = publish(&bus, event("x", "s", 1)).await;
    tokio::time::timeout(SOON, receipt.safe())
        .await
        .unwrap()
        .unwrap();
}

#[tokio::test]
async fn a_late_answer_to_an_earlier_delivery_counts() {
    let bus = InProcessBus::new();
    let mut brief = durable("a");
    brief.ack_within = Duration::from_millis(20);
    let mut consumer = bus.subscribe(brief).await.unwrap();
    let receipt = publish(&bus, event("x", "s", 1)).await;
    let early = next(&mut consumer).await;
    let late = next(&mut consumer).await;
    early.ack().await.unwrap();
    late.nak(Duration::ZERO).await.unwrap();
    tokio::time::timeout(SOON, receipt.safe())
        .await
        .unwrap()
        .unwrap();
}

#[tokio::test]
async fn a_closed_bus_lets_publishers_wait_until_it_opens() {
    let bus = Arc::new(InProcessBus::closed());
    let early = tokio::spawn({
        let bus = bus.clone();
        async move { bus.publish(event("x", "s", 1)).await }
    });
    let mut consumer = bus.subscribe(durable("a")).await.unwrap();
    assert!(
        tokio::time::timeout(QUIET, consumer.next()).await.is_err(),
        "delivered before the bus was open"
    );
    bus.open();
    early.await.unwrap().unwrap();
    next(&mut consumer).await.ack().await.unwrap();
}

#[tokio::test]
async fn a_bus_that_is_never_opened_says_so() {
    let bus = InProcessBus::closed();
    let error = bus.0.lock().offer(&event("x", "s", 1)).unwrap_err();
    assert!(matches!(error, BusError::Unavailable(_)));
    assert!(error.retryable());
}

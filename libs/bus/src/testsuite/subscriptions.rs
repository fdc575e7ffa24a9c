//! Who gets which events.

use tokio::time::timeout;

use super::{QUIET, SOON, durable, event, next, nothing_comes, publish};
use crate::{Bus, BusError, CloudEvent, Subscription};

pub async fn an_event_arrives_as_it_was_published(bus: &dyn Bus) {
    let mut consumer = bus.subscribe(durable("a")).await.unwrap();
    let sent = event("x", "s", 1)
        .with_time("2026-01-02T03:04:05Z".parse().unwrap())
        .with_extension("revision", 3);
    publish(bus, sent.clone()).await;
    let delivery = next(&mut consumer).await;
    assert_eq!((&delivery.event, delivery.attempt), (&sent, 1));
    delivery.ack().await.unwrap();
    nothing_comes(&mut consumer).await;
}

pub async fn only_wanted_types_arrive(bus: &dyn Bus) {
    let wanted = Subscription::durable("a", &["oc.test.run.*", "oc.test.usage"]).unwrap();
    let mut consumer = bus.subscribe(wanted).await.unwrap();
    for kind in ["run.started", "run.log.line", "usage", "usages", "run"] {
        publish(bus, event(kind, kind, 1)).await;
    }
    for kind in ["oc.test.run.started", "oc.test.usage"] {
        let delivery = next(&mut consumer).await;
        assert_eq!(delivery.event.kind, kind);
        delivery.ack().await.unwrap();
    }
    nothing_comes(&mut consumer).await;
}

pub async fn each_durable_name_gets_every_event(bus: &dyn Bus) {
    let mut first = bus.subscribe(durable("a")).await.unwrap();
    let mut second = bus.subscribe(durable("b")).await.unwrap();
    publish(bus, event("x", "s", 1)).await;
    for consumer in [&mut first, &mut second] {
        next(consumer).await.ack().await.unwrap();
    }
}

pub async fn consumers_of_one_name_share_its_events(bus: &dyn Bus) {
    let mut first = bus.subscribe(durable("a")).await.unwrap();
    let mut second = bus.subscribe(durable("a")).await.unwrap();
    publish(bus, event("x", "s", 1)).await;
    publish(bus, event("x", "t", 1)).await;
    let one = next(&mut first).await;
    let other = next(&mut second).await;
    assert_ne!(one.event.id, other.event.id);
    one.ack().await.unwrap();
    other.ack().await.unwrap();
    nothing_comes(&mut first).await;
}

pub async fn a_durable_subscription_outlives_its_consumer(bus: &dyn Bus) {
    let mut consumer = bus.subscribe(durable("a")).await.unwrap();
    publish(bus, event("x", "s", 1)).await;
    next(&mut consumer).await.ack().await.unwrap();
    drop(consumer);
    publish(bus, event("x", "s", 2)).await;
    let mut consumer = bus.subscribe(durable("a")).await.unwrap();
    let delivery = next(&mut consumer).await;
    assert_eq!(delivery.event, event("x", "s", 2));
    delivery.ack().await.unwrap();
}

pub async fn an_ephemeral_subscription_ends_with_its_consumer(bus: &dyn Bus) {
    let live = Subscription::ephemeral(&["oc.test.>"]).unwrap();
    let mut consumer = bus.subscribe(live.clone()).await.unwrap();
    publish(bus, event("x", "s", 1)).await;
    next(&mut consumer).await.ack().await.unwrap();
    drop(consumer);
    publish(bus, event("x", "s", 2)).await;
    let mut consumer = bus.subscribe(live).await.unwrap();
    nothing_comes(&mut consumer).await;
}

pub async fn an_ephemeral_subscription_that_lags_is_ended(bus: &dyn Bus) {
    let mut live = Subscription::ephemeral(&["oc.test.>"]).unwrap();
    live.queue = 2;
    let mut consumer = bus.subscribe(live).await.unwrap();
    for n in 0..4 {
        publish(bus, event("x", "s", n)).await;
    }
    let end = async { while consumer.next().await.is_some() {} };
    timeout(SOON, end).await.expect("the subscription ends");
}

pub async fn a_full_durable_subscription_holds_the_publisher_up(bus: &dyn Bus) {
    let mut small = durable("a");
    small.queue = 2;
    let mut consumer = bus.subscribe(small).await.unwrap();
    publish(bus, event("x", "s", 1)).await;
    publish(bus, event("x", "t", 1)).await;
    let third = bus.publish(event("x", "u", 1));
    let mut third = std::pin::pin!(third);
    assert!(timeout(QUIET, third.as_mut()).await.is_err());
    next(&mut consumer).await.ack().await.unwrap();
    timeout(SOON, third).await.expect("room").unwrap();
}

pub async fn the_same_name_with_other_types_is_refused(bus: &dyn Bus) {
    let _first = bus.subscribe(durable("a")).await.unwrap();
    let other = Subscription::durable("a", &["oc.other"]).unwrap();
    let error = bus.subscribe(other).await.unwrap_err();
    assert!(matches!(error, BusError::Differs(_)), "{error}");
}

pub async fn an_event_that_is_no_cloudevent_is_refused(bus: &dyn Bus) {
    let error = bus.publish(CloudEvent::new("", "/a", "t")).await;
    assert!(matches!(error, Err(BusError::Event(_))));
}

pub async fn unsubscribing_ends_the_consumer(bus: &dyn Bus) {
    let mut consumer = bus.subscribe(durable("a")).await.unwrap();
    let receipt = publish(bus, event("x", "s", 1)).await;
    bus.unsubscribe("a").await.unwrap();
    bus.unsubscribe("never").await.unwrap();
    let end = timeout(SOON, consumer.next()).await;
    assert!(end.expect("the end").is_none());
    timeout(SOON, receipt.safe()).await.expect("safe").unwrap();
}

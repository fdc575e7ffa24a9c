//! Answers, redelivery and order.

use std::time::Duration;

use tokio::time::{Instant, timeout};

use super::{QUIET, durable, event, next, nothing_comes, publish};
use crate::Bus;

pub async fn an_unanswered_event_comes_again(bus: &dyn Bus) {
    let mut brief = durable("a");
    brief.ack_within = Duration::from_millis(50);
    let mut consumer = bus.subscribe(brief).await.unwrap();
    publish(bus, event("x", "s", 1)).await;
    drop(next(&mut consumer).await);
    let again = next(&mut consumer).await;
    assert_eq!((&again.event, again.attempt), (&event("x", "s", 1), 2));
    again.ack().await.unwrap();
    nothing_comes(&mut consumer).await;
}

pub async fn a_refused_event_comes_again_after_its_delay(bus: &dyn Bus) {
    let mut consumer = bus.subscribe(durable("a")).await.unwrap();
    publish(bus, event("x", "s", 1)).await;
    let begin = Instant::now();
    let delay = Duration::from_millis(50);
    next(&mut consumer).await.nak(delay).await.unwrap();
    let again = next(&mut consumer).await;
    assert!(begin.elapsed() >= delay);
    assert_eq!(again.attempt, 2);
    again.ack().await.unwrap();
}

pub async fn a_subject_keeps_its_order_through_failures(bus: &dyn Bus) {
    let mut consumer = bus.subscribe(durable("a")).await.unwrap();
    for n in 1..=5 {
        publish(bus, event("x", "s", n)).await;
    }
    let mut seen = Vec::new();
    let mut refused = 0;
    while seen.len() < 5 {
        let delivery = next(&mut consumer).await;
        // Every second event is refused once.
        let n = delivery.event.data.as_ref().and_then(|d| d["n"].as_u64());
        let n = n.expect("a number");
        if n % 2 == 0 && delivery.attempt == 1 {
            refused += 1;
            delivery.nak(Duration::from_millis(5)).await.unwrap();
            continue;
        }
        seen.push(n);
        delivery.ack().await.unwrap();
    }
    assert_eq!((seen, refused), (vec![1, 2, 3, 4, 5], 2));
}

pub async fn subjects_do_not_wait_for_each_other(bus: &dyn Bus) {
    let mut consumer = bus.subscribe(durable("a")).await.unwrap();
    publish(bus, event("x", "slow", 1)).await;
    publish(bus, event("x", "slow", 2)).await;
    publish(bus, event("x", "quick", 1)).await;
    let slow = next(&mut consumer).await;
    let quick = next(&mut consumer).await;
    assert_eq!(quick.event, event("x", "quick", 1));
    nothing_comes(&mut consumer).await;
    slow.ack().await.unwrap();
    assert_eq!(next(&mut consumer).await.event, event("x", "slow", 2));
}

/// A consumer whose database is away for an hour puts an event off some thousand times.
pub async fn an_event_put_off_a_thousand_times_is_not_lost(bus: &dyn Bus) {
    let mut consumer = bus.subscribe(durable("a")).await.unwrap();
    let receipt = publish(bus, event("x", "s", 1)).await;
    publish(bus, event("x", "s", 2)).await;
    for attempt in 1..=1000 {
        let delivery = next(&mut consumer).await;
        assert_eq!((&delivery.event.id[..], delivery.attempt), ("s-1", attempt));
        delivery.nak(Duration::ZERO).await.unwrap();
    }
    next(&mut consumer).await.ack().await.unwrap();
    receipt.safe().await.unwrap();
    assert_eq!(next(&mut consumer).await.event.id, "s-2");
}

pub async fn dropping_the_wait_loses_nothing(bus: &dyn Bus) {
    let mut consumer = bus.subscribe(durable("a")).await.unwrap();
    let waiting = timeout(QUIET, consumer.next()).await;
    assert!(waiting.is_err());
    publish(bus, event("x", "s", 1)).await;
    next(&mut consumer).await.ack().await.unwrap();
}

//! Events on their way from the outbox to the bus: none is lost, and their order holds, over crashes and failures.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use async_trait::async_trait;
use oc_bus::{
    Bus, CloudEvent, Consumer, InProcessBus, OutboxSource, PendingEvent, Relay, SourceError,
    Subscription,
};
use tokio::sync::Notify;
use tokio::task::JoinHandle;
use tokio::time::timeout;
use tokio_util::sync::CancellationToken;

const SOON: Duration = Duration::from_secs(10);

/// An outbox that lives as long as the test, whatever becomes of relay and bus.
#[derive(Debug, Default)]
struct Outbox {
    events: Mutex<BTreeMap<u32, CloudEvent>>,
    failures: Mutex<u32>,
    changed: Notify,
}

impl Outbox {
    fn add(&self, n: u32, subject: &str) {
        let event = CloudEvent::new(n.to_string(), "/test", "oc.test.x").with_subject(subject);
        self.events.lock().unwrap().insert(n, event);
        self.changed.notify_one();
    }

    async fn empties(&self) {
        let empty = async {
            while !self.events.lock().unwrap().is_empty() {
                tokio::time::sleep(Duration::from_millis(2)).await;
            }
        };
        timeout(SOON, empty).await.expect("the outbox empties");
    }
}

#[async_trait]
impl OutboxSource for Outbox {
    async fn pending(&self, limit: usize) -> Result<Vec<PendingEvent>, SourceError> {
        let mut failures = self.failures.lock().unwrap();
        if *failures > 0 {
            *failures -= 1;
            return Err(SourceError::new("disk trouble"));
        }
        let events = self.events.lock().unwrap();
        let pending = events.iter().take(limit).map(|(n, event)| PendingEvent {
            token: n.to_string(),
            event: event.clone(),
        });
        Ok(pending.collect())
    }

    async fn acknowledge(&self, tokens: Vec<String>) -> Result<(), SourceError> {
        let mut events = self.events.lock().unwrap();
        for token in tokens {
            events.remove(&token.parse::<u32>().unwrap());
        }
        Ok(())
    }

    async fn changed(&self, at_most: Duration) {
        let _ = timeout(at_most, self.changed.notified()).await;
    }
}

struct Running {
    stop: CancellationToken,
    task: JoinHandle<()>,
}

fn start(outbox: &Arc<Outbox>, bus: &Arc<InProcessBus>) -> Running {
    let stop = CancellationToken::new();
    let relay = Relay::new(outbox.clone(), bus.clone());
    let task = tokio::spawn(relay.run(stop.clone()));
    Running { stop, task }
}

impl Running {
    async fn end(self) {
        self.stop.cancel();
        timeout(SOON, self.task).await.expect("it stops").unwrap();
    }
}

async fn subscribe(bus: &Arc<InProcessBus>) -> Box<dyn Consumer> {
    let wanted = Subscription::durable("a", &["oc.test.>"]).unwrap();
    bus.subscribe(wanted).await.unwrap()
}

#[tokio::test]
async fn events_are_forgotten_when_they_are_acknowledged_and_not_before() {
    let (outbox, bus) = (Arc::<Outbox>::default(), Arc::new(InProcessBus::new()));
    let mut consumer = subscribe(&bus).await;
    let relay = start(&outbox, &bus);
    outbox.add(1, "s");
    let delivery = timeout(SOON, consumer.next()).await.unwrap().unwrap();
    assert_eq!(outbox.events.lock().unwrap().len(), 1);
    delivery.ack().await.unwrap();
    outbox.empties().await;
    relay.end().await;
}

#[tokio::test]
async fn what_was_not_acknowledged_before_a_crash_comes_again() {
    let (outbox, bus) = (Arc::<Outbox>::default(), Arc::new(InProcessBus::new()));
    let mut consumer = subscribe(&bus).await;
    let relay = start(&outbox, &bus);
    for n in 1..=3 {
        outbox.add(n, "s");
    }
    let first = timeout(SOON, consumer.next()).await.unwrap().unwrap();
    first.ack().await.unwrap();
    let second = timeout(SOON, consumer.next()).await.unwrap().unwrap();
    assert_eq!(second.event.id, "2");
    // The crash: relay, bus and consumer are gone, the outbox stays.
    relay.task.abort();
    drop((second, consumer, bus));

    let bus = Arc::new(InProcessBus::new());
    let mut consumer = subscribe(&bus).await;
    let relay = start(&outbox, &bus);
    let mut seen = Vec::new();
    while seen.last() != Some(&3) {
        let delivery = timeout(SOON, consumer.next()).await.unwrap().unwrap();
        seen.push(delivery.event.id.parse::<u32>().unwrap());
        delivery.ack().await.unwrap();
    }
    // The first may come twice: its acknowledgement raced with the crash.
    assert!(seen.ends_with(&[2, 3]), "{seen:?}");
    outbox.empties().await;
    relay.end().await;
}

#[tokio::test]
async fn more_events_than_fit_on_their_way_arrive_in_order() {
    const COUNT: u32 = 1500;
    let (outbox, bus) = (Arc::<Outbox>::default(), Arc::new(InProcessBus::new()));
    let mut small = Subscription::durable("a", &["oc.test.>"]).unwrap();
    small.queue = 16;
    let mut consumer = bus.subscribe(small).await.unwrap();
    for n in 0..COUNT {
        outbox.add(n, ["s", "t", "u"][n as usize % 3]);
    }
    let relay = start(&outbox, &bus);
    let mut last: BTreeMap<String, u32> = BTreeMap::new();
    for _ in 0..COUNT {
        let delivery = timeout(SOON, consumer.next()).await.unwrap().unwrap();
        let n = delivery.event.id.parse::<u32>().unwrap();
        let subject = delivery.event.subject.clone().unwrap();
        let before = last.insert(subject, n);
        assert!(before.is_none_or(|before| before < n), "{n} overtook");
        delivery.ack().await.unwrap();
    }
    outbox.empties().await;
    relay.end().await;
}

#[tokio::test]
async fn a_failing_outbox_is_tried_again() {
    let (outbox, bus) = (Arc::<Outbox>::default(), Arc::new(InProcessBus::new()));
    *outbox.failures.lock().unwrap() = 2;
    outbox.add(1, "s");
    let mut consumer = subscribe(&bus).await;
    let relay = start(&outbox, &bus);
    let delivery = timeout(SOON, consumer.next()).await.unwrap().unwrap();
    delivery.ack().await.unwrap();
    outbox.empties().await;
    relay.end().await;
}

#[tokio::test]
async fn a_relay_with_events_on_their_way_stops_at_once() {
    let (outbox, bus) = (Arc::<Outbox>::default(), Arc::new(InProcessBus::new()));
    let mut consumer = subscribe(&bus).await;
    let relay = start(&outbox, &bus);
    outbox.add(1, "s");
    let _unanswered = timeout(SOON, consumer.next()).await.unwrap().unwrap();
    relay.end().await;
    assert_eq!(outbox.events.lock().unwrap().len(), 1);
}

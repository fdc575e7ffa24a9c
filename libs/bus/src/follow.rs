//! The loop of everything that acts on events.

use std::time::Duration;

use tokio_util::sync::CancellationToken;

use crate::{BusError, CloudEvent, Consumer};

/// What becomes of an event that was looked at.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Answer {
    /// It is done with.
    Done,
    /// It comes again after this time, or after a longer one where it was put off before; those of its subject
    /// wait.
    Later(Duration),
}

/// After so many deliveries, and after as many again, the log says that an event gets nowhere.
const PUT_OFF: u32 = 25;
/// Longest pause that repeated failures lead to; what is asked for may be longer.
const LONGEST: Duration = Duration::from_secs(10);

/// Twice as long with each delivery, so that a database that is away is not asked without end.
fn pause(asked: Duration, attempt: u32) -> Duration {
    let factor = 1 << attempt.saturating_sub(1).min(16);
    asked.saturating_mul(factor).min(LONGEST.max(asked))
}

/// Hands the events of a consumer to `handle`, one by one, until told to stop. Why an event comes later is for
/// `handle` to log. An answer that the bus does not take is no end: the event comes again.
///
/// # Errors
/// When the subscription has ended without being told to stop.
pub async fn follow<F>(
    mut consumer: Box<dyn Consumer>,
    stop: CancellationToken,
    mut handle: impl FnMut(CloudEvent) -> F,
) -> Result<(), BusError>
where
    F: Future<Output = Answer>,
{
    loop {
        let next = tokio::select! {
            biased;
            () = stop.cancelled() => return Ok(()),
            next = consumer.next() => next,
        };
        let Some(delivery) = next else {
            if stop.is_cancelled() {
                return Ok(());
            }
            let text = "the subscription has ended".to_owned();
            return Err(BusError::Unavailable(text));
        };
        let (id, attempt) = (delivery.event.id.clone(), delivery.attempt);
        let told = match handle(delivery.event.clone()).await {
            Answer::Done => delivery.ack().await,
            Answer::Later(asked) => {
                let pause = pause(asked, attempt);
                if attempt.is_multiple_of(PUT_OFF) {
                    let kind = &delivery.event.kind;
                    tracing::error!(
                        id,
                        kind,
                        attempt,
                        ?pause,
                        "an event is put off again and again"
                    );
                }
                delivery.nak(pause).await
            }
        };
        if let Err(error) = told {
            tracing::warn!(id, %error, "an event will come again");
        }
    }
}

#[cfg(test)]
mod tests {
    use std::sync::{Arc, Mutex};

    use super::*;
    use crate::{Bus, InProcessBus, Subscription};

    #[test]
    fn an_event_that_fails_again_waits_longer_and_never_less_than_asked() {
        let (brief, long) = (Duration::from_millis(500), Duration::from_secs(900));
        let pauses = [1, 2, 3, 5, 6, 1000].map(|attempt| pause(brief, attempt).as_millis());
        assert_eq!(pauses, [500, 1000, 2000, 8000, 10_000, 10_000]);
        assert_eq!(
            [1, 2, u32::MAX].map(|attempt| pause(long, attempt)),
            [long; 3]
        );
        assert_eq!(pause(Duration::ZERO, 7), Duration::ZERO);
    }

    #[tokio::test]
    async fn an_event_put_off_comes_again_until_it_is_done_and_stopping_is_no_error() {
        let bus = Arc::new(InProcessBus::new());
        let wanted = Subscription::durable("followers", &["oc.test.thing.v1"]).unwrap();
        let consumer = bus.subscribe(wanted).await.unwrap();
        let receipt = bus
            .publish(CloudEvent::new("1", "/test", "oc.test.thing.v1"))
            .await
            .unwrap();
        let (stop, seen) = (CancellationToken::new(), Arc::new(Mutex::new(0)));
        let counted = seen.clone();
        let following = tokio::spawn(follow(consumer, stop.clone(), move |_| {
            let mut seen = counted.lock().unwrap();
            *seen += 1;
            let answer = match *seen {
                1 => Answer::Later(Duration::ZERO),
                _ => Answer::Done,
            };
            std::future::ready(answer)
        }));
        let safe = tokio::time::timeout(Duration::from_secs(5), receipt.safe());
        safe.await.unwrap().unwrap();
        assert_eq!(*seen.lock().unwrap(), 2);
        stop.cancel();
        following.await.unwrap().unwrap();
    }
}

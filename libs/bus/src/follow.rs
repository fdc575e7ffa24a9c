//! The loop of everything that acts on events.

use std::time::Duration;

use tokio_util::sync::CancellationToken;

use crate::{BusError, CloudEvent, Consumer};

/// What becomes of an event that was looked at.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Answer {
    /// It is done with.
    Done,
    /// It comes again after this time; those of its subject wait.
    Later(Duration),
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
        let id = delivery.event.id.clone();
        let told = match handle(delivery.event.clone()).await {
            Answer::Done => delivery.ack().await,
            Answer::Later(delay) => delivery.nak(delay).await,
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

//! News of grants, told to those who have them, so that they need not ask often. A telling that is lost costs
//! only time: the consumer asks by itself every few seconds.

use std::collections::BTreeSet;
use std::sync::{Arc, MutexGuard, PoisonError};
use std::time::Duration;

use oc_bus::{Bus, Consumer, Subscription};
use oc_kernel::{Classify, GrantId, Kind, OrgId};
use oc_trust::event::{Event as _, GrantEvent};
use tokio::task::JoinSet;
use tokio_util::sync::CancellationToken;

use crate::error::Error;
use crate::provider::Provider;

/// Consumers that are told at the same time.
const AT_ONCE: usize = 16;
/// Longest time for telling one.
const DEADLINE: Duration = Duration::from_secs(2);

impl Provider {
    /// Subscribes to the changes of grants.
    pub(crate) async fn changes(bus: &Arc<dyn Bus>) -> Result<Box<dyn Consumer>, oc_bus::BusError> {
        let subscription = Subscription::durable("compute-provider-news", &[GrantEvent::TYPE])?;
        bus.subscribe(subscription).await
    }

    /// Tells consumers of grants we gave that there is news, until it is stopped.
    pub(crate) async fn tell_news(
        self,
        mut changes: Box<dyn Consumer>,
        stop: CancellationToken,
    ) -> anyhow::Result<()> {
        let mut telling = JoinSet::new();
        loop {
            while telling.len() >= AT_ONCE {
                telling.join_next().await;
            }
            let delivery = tokio::select! {
                biased;
                () = stop.cancelled() => return Ok(()),
                _ = telling.join_next(), if !telling.is_empty() => continue,
                next = changes.next() => match next {
                    Some(delivery) => delivery,
                    None => anyhow::bail!("the subscription to changes of grants ended"),
                },
            };
            match GrantEvent::read(delivery.event.data.as_ref()) {
                Ok(event) => {
                    let provider = self.clone();
                    telling.spawn(async move { provider.tell(event).await });
                }
                Err(error) => tracing::warn!(%error, "a change of a grant cannot be read"),
            }
            delivery.ack().await?;
        }
    }

    async fn tell(self, event: GrantEvent) {
        let tell = async {
            if event.provider == self.me().await? && event.consumer != event.provider {
                let id = event.grant_id.to_string();
                self.ports.note_grant(event.consumer, id).await?;
            }
            Ok::<_, Error>(())
        };
        let grant = event.grant_id;
        match tokio::time::timeout(DEADLINE, tell).await {
            Ok(Ok(())) => {}
            Ok(Err(error)) => tracing::debug!(%grant, %error, "its consumer will ask by itself"),
            Err(_) => {
                tracing::debug!(%grant, "its consumer does not answer; it will ask by itself")
            }
        }
    }

    /// A partner says that a grant it gave us has news. Of grants that are not its own nothing follows, and
    /// nothing is told.
    pub(crate) async fn hear_of(&self, id: &GrantId, provider: &OrgId) -> Result<(), Error> {
        match self.grant(id).await {
            Ok(seen) if seen.value.grant.provider == *provider => {
                self.heard_of().insert(*id);
                self.wake_keeper.notify_one();
                Ok(())
            }
            Ok(_) => Ok(()),
            Err(error) if error.kind() == Kind::NotFound => Ok(()),
            Err(error) => Err(error),
        }
    }

    /// Whether its provider said that a grant has news since it was last asked.
    pub(super) fn has_news(&self, id: &GrantId) -> bool {
        self.heard_of().contains(id)
    }

    /// Its provider is about to be asked.
    pub(super) fn forget_news(&self, id: &GrantId) {
        self.heard_of().remove(id);
    }

    /// Forgets the news of grants that are gone.
    pub(super) fn keep_news(&self, known: &BTreeSet<GrantId>) {
        self.heard_of().retain(|id| known.contains(id));
    }

    fn heard_of(&self) -> MutexGuard<'_, BTreeSet<GrantId>> {
        self.news.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

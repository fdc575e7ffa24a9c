//! Following an attempt from any event on.

use std::time::Duration;

use futures::Stream;
use oc_kernel::{AttemptId, OrgId};

use crate::documents::{Recorded, RecordedEvent};
use crate::error::Error;
use crate::provider::Provider;

/// How long a follower waits for a word before it looks whether the attempt is still there.
const LOOK: Duration = Duration::from_secs(5);

impl Provider {
    /// The events of an attempt of this organisation after number `after`, each as soon as it is written, until the
    /// last one. It ends early when the attempt was released meanwhile.
    pub(crate) async fn watch(
        &self,
        org: &OrgId,
        attempt: &AttemptId,
        after: u64,
    ) -> Result<impl Stream<Item = Result<(u64, Recorded), Error>> + use<>, Error> {
        let key = self.attempt(org, attempt).await?.value.key;
        let provider = self.clone();
        Ok(async_stream::try_stream! {
            let mut after = after;
            loop {
                // Followed before it is read: what is written in between wakes the wait below.
                let mut written = provider.logs.follow(&key);
                let events = provider.logs.read(&key, after).await?;
                let nothing = events.is_empty();
                for (number, record) in events {
                    after = number;
                    let last = matches!(record.event, RecordedEvent::Ended { .. });
                    yield (number, record);
                    if last {
                        return;
                    }
                }
                if !nothing {
                    continue;
                }
                let waited = tokio::time::timeout(LOOK, written.changed()).await;
                if !matches!(waited, Ok(Ok(()))) {
                    let attempt = provider.attempt(&key.org, &key.attempt).await?.value;
                    if attempt.ended_ms.is_some() && provider.logs.read(&key, after).await?.is_empty() {
                        return;
                    }
                }
            }
        })
    }
}

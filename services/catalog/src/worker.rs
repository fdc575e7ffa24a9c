//! The tasks beside the requests: tending our own listings, and exchanging with partners.

mod exchange;

use std::sync::Arc;
use std::time::Duration;

use oc_service::problem::chain;
use tokio_util::sync::CancellationToken;

pub(crate) use exchange::{Exchange, discovery_events};

use crate::domain::{Index, Own, Partners};
use crate::metrics::CatalogMetrics;

/// How often time is looked at: listings that ended, signatures to renew.
const TEND_EVERY: Duration = Duration::from_secs(1);
/// Pause after something could not be signed or published.
const RETRY_AFTER: Duration = Duration::from_millis(300);

/// Does what time brings for our own and for partners' listings.
pub(crate) async fn tend(
    own: Arc<Own>,
    partners: Arc<Partners>,
    index: Arc<Index>,
    metrics: CatalogMetrics,
    stop: CancellationToken,
) -> anyhow::Result<()> {
    let mut pause = Duration::ZERO;
    loop {
        tokio::select! {
            () = stop.cancelled() => return Ok(()),
            () = tokio::time::sleep(pause) => {}
            () = own.woken(), if pause == TEND_EVERY => tokio::time::sleep(RETRY_AFTER).await,
        }
        let tended = async {
            own.tend().await?;
            partners.expire().await
        };
        let tended = tended.await;
        metrics.count(index.len());
        pause = match tended {
            Ok(()) => TEND_EVERY,
            Err(error) => {
                tracing::debug!(
                    error = chain(&error),
                    "listings cannot be tended now, trying again"
                );
                RETRY_AFTER
            }
        };
    }
}

//! Keeps the catalogue at what we offer: lists what is new or changed, renews what stands, withdraws and
//! removes what was taken back. What fails is tried again until it succeeds.

use std::collections::BTreeMap;
use std::time::{Duration, Instant};

use oc_kernel::Name;
use oc_proto::catalog::v1::Listing;
use tokio_util::sync::CancellationToken;

use crate::convert;
use crate::metrics::DataMetrics;
use crate::provider::Provider;

/// Pause after a failure.
const RETRY: Duration = Duration::from_secs(1);
/// Changes within this time are listed together.
const GATHER: Duration = Duration::from_millis(100);

type Published = BTreeMap<Name, (Instant, Listing)>;

/// Runs until told to stop.
pub(crate) async fn tend_listings(
    provider: Provider,
    metrics: DataMetrics,
    stop: CancellationToken,
) -> anyhow::Result<()> {
    let mut published = Published::new();
    loop {
        let round = async {
            let removed = remove(&provider, &mut published).await;
            let listed = list(&provider, &metrics, &mut published).await;
            removed && listed
        };
        let succeeded = tokio::select! {
            biased;
            () = stop.cancelled() => return Ok(()),
            succeeded = round => succeeded,
        };
        let pause = match succeeded {
            true => provider.settings().renewal().max(RETRY) / 2,
            false => RETRY,
        };
        tokio::select! {
            biased;
            () = stop.cancelled() => return Ok(()),
            () = provider.changed() => tokio::time::sleep(GATHER).await,
            () = tokio::time::sleep(pause) => {}
        }
    }
}

/// Removes the datasets that were taken back; false when something failed.
async fn remove(provider: &Provider, published: &mut Published) -> bool {
    let leaving = match provider.leaving().await {
        Ok(leaving) => leaving,
        Err(error) => {
            tracing::warn!(
                error = oc_service::problem::chain(&error),
                "datasets cannot be read"
            );
            return false;
        }
    };
    let mut succeeded = true;
    for name in leaving {
        published.remove(&name);
        if let Err(error) = provider.remove(&name).await {
            let error = oc_service::problem::chain(&error);
            tracing::warn!(dataset = %name, error, "a dataset cannot be removed yet");
            succeeded = false;
        }
    }
    succeeded
}

/// Lists what is due; false when something failed.
async fn list(provider: &Provider, metrics: &DataMetrics, published: &mut Published) -> bool {
    let settings = provider.settings();
    let summaries = provider.index().summaries();
    metrics.count_images(summaries.iter().map(|summary| summary.images).sum());
    let mut succeeded = true;
    for summary in summaries {
        let name = &summary.dataset.name;
        let listing = convert::listing(&summary, settings.listing_ttl_seconds);
        let stands = published.get(name).is_some_and(|(since, before)| {
            *before == listing && since.elapsed() < settings.renewal()
        });
        if stands {
            continue;
        }
        match provider.catalogue().publish(listing.clone()).await {
            Ok(()) => {
                provider.note_listed(name, true);
                published.insert(name.clone(), (Instant::now(), listing));
            }
            Err(error) => {
                tracing::warn!(dataset = %name, %error, "a dataset cannot be listed yet");
                succeeded = false;
            }
        }
    }
    succeeded
}

//! Keeps one task for each run that is not over, after a start those that were on their way.

use std::sync::Arc;

use oc_kernel::RunId;
use oc_service::telemetry::IntGaugeVec;
use oc_store::Query;
use tokio::sync::mpsc;
use tokio::task::JoinSet;
use tokio_util::sync::CancellationToken;

use crate::context::Context;
use crate::driver::drive;
use crate::hub::Hub;

/// States of a run that is not over, as they are stored.
const OPEN: [&str; 5] = ["planned", "reserving", "running", "publishing", "releasing"];

pub(crate) async fn supervise(
    context: Arc<Context>,
    hub: Hub,
    mut beginnings: mpsc::Receiver<RunId>,
    count: IntGaugeVec,
    stop: CancellationToken,
) -> anyhow::Result<()> {
    let mut driven: JoinSet<RunId> = JoinSet::new();
    let begin = |driven: &mut JoinSet<RunId>, run: RunId| {
        if let Some(words) = hub.open(run, usize::MAX) {
            let (context, hub, stop) = (context.clone(), hub.clone(), stop.clone());
            driven.spawn(async move {
                drive(context, hub, run, words, stop).await;
                run
            });
        }
    };
    for state in OPEN {
        for seen in context
            .shelf
            .runs
            .all(&Query::equals("state", state))
            .await?
        {
            tracing::info!(run = %seen.value.run.id(), state, "a run goes on");
            begin(&mut driven, seen.value.run.id());
        }
    }
    loop {
        let gauge = count.with_label_values::<&str>(&[]);
        gauge.set(i64::try_from(driven.len()).unwrap_or(i64::MAX));
        tokio::select! {
            biased;
            () = stop.cancelled() => break,
            Some(run) = beginnings.recv() => begin(&mut driven, run),
            Some(ended) = driven.join_next() => match ended {
                Ok(run) => hub.close(run),
                Err(error) => tracing::error!(%error, "the task of a run failed"),
            },
        }
    }
    while driven.join_next().await.is_some() {}
    Ok(())
}

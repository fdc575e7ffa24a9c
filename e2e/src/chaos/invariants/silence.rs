//! A run that cannot move says why, and ends.

use std::time::Duration;

use oc_kernel::{Clock as _, SystemClock};
use oc_proto::pipeline::v1::{Run, RunState};
use oc_testkit::within;

use super::{Held, none_of};
use crate::chaos::stage::Stage;
use crate::chaos::story::Started;

/// No run of a plan may take longer once all is well again, whatever it had to wait for.
const LIMIT: Duration = Duration::from_secs(100);
/// How late a deadline may be kept.
const LATE_MS: u64 = 10_000;

/// All runs end, each that did not succeed with a cause, and none stays in a state longer than that state may last.
pub(in crate::chaos) async fn no_silence(stage: &Stage, started: &[Started]) -> (Vec<Run>, Held) {
    let mut found = Vec::new();
    let mut runs = Vec::new();
    for work in started {
        match &work.run {
            Ok(run) => match ended(stage, run).await {
                Ok(run) => runs.push(run),
                Err(why) => found.push(why),
            },
            Err(why) if why.is_empty() => {
                found.push(format!("work {} was refused without a word", work.work));
            }
            Err(_) => {}
        }
    }
    for run in &runs {
        let succeeded = run.state == i32::from(RunState::Succeeded);
        let told = run.cause.as_ref();
        let told = told.is_some_and(|cause| !cause.code.is_empty() && !cause.text.is_empty());
        if !succeeded && !told {
            found.push(format!("{} did not succeed and has no cause", run.run_id));
        }
    }
    (runs, none_of(found))
}

/// Waits for the end of a run.
async fn ended(stage: &Stage, run_id: &str) -> Result<Run, String> {
    let mut overdue = None;
    let ended = within(LIMIT, async || {
        let client = stage.north.client();
        let run = client.pipeline().run(run_id).await.ok()?;
        if run.ended_at_ms > 0 {
            return Some(Some(run));
        }
        let told = client.pipeline().explain(run_id).await.ok()?;
        let now = SystemClock.now_ms();
        let entries = told.entries.iter();
        let late = entries.filter(|entry| entry.until_ms > 0 && now > entry.until_ms + LATE_MS);
        overdue = late.map(|entry| format!("{entry:?}")).next();
        overdue.is_some().then_some(None)
    })
    .await;
    if let Some(Some(run)) = ended {
        return Ok(run);
    }
    let why = stage.north.client().pipeline().explain(run_id).await;
    let why = why.map_or_else(|error| error.to_string(), |told| told.text);
    let what = overdue.unwrap_or_else(|| format!("not over within {LIMIT:?}"));
    Err(format!("{run_id}: {what}\n{why}"))
}

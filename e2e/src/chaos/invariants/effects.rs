//! However often something is said, tried or begun again, it counts once.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use oc_kernel::Digest;
use oc_proto::accounting::v1::UsageRecord;
use oc_proto::pipeline::v1::{FragmentState, Run, RunState};
use oc_testkit::within;

use super::{Held, none_of};
use crate::chaos::stage::{RESULTS, Stage};
use crate::chaos::story::Started;
use crate::chaos::watching::Sample;

/// What attempts that do not count have stored is removed within so long.
const LIMIT: Duration = Duration::from_secs(30);

/// One wish is one run; an attempt that ran is booked once, one that did not never twice; of each fragment one
/// attempt's outputs stay.
pub(in crate::chaos) async fn no_effect_twice(
    stage: &Stage,
    started: &[Started],
    runs: &[Run],
    samples: &[Vec<Sample>; 2],
) -> Held {
    let mut last = Vec::new();
    let held = within(LIMIT, async || {
        match effects(stage, started, runs, samples).await {
            Ok(found) => last = found,
            Err(error) => last = vec![format!("{error:#}")],
        }
        last.is_empty().then_some(())
    });
    match held.await {
        Some(()) => Ok(()),
        None => none_of(last),
    }
}

async fn effects(
    stage: &Stage,
    started: &[Started],
    runs: &[Run],
    samples: &[Vec<Sample>; 2],
) -> anyhow::Result<Vec<String>> {
    let mut found = Vec::new();
    let north = stage.north.client();
    let wished: BTreeSet<&str> = started
        .iter()
        .filter_map(|it| it.run.as_deref().ok())
        .collect();
    let there = north.pipeline().runs(100).await?;
    for run in &there {
        if !wished.contains(run.run_id.as_str()) {
            found.push(format!("{} ({}) was started unasked", run.run_id, run.name));
        }
    }
    for (organisation, samples) in [&stage.north, &stage.south].into_iter().zip(samples) {
        let records = organisation.client().accounting().records("", "").await?;
        let ours = records
            .iter()
            .filter(|record| record.provider == organisation.id);
        found.extend(booked(ours, &ran(samples)));
    }
    found.extend(stored(stage, runs).await?);
    Ok(found)
}

/// Attempts that ran, by the ledgers that were seen.
fn ran(samples: &[Sample]) -> BTreeSet<&str> {
    let ledgers = samples.iter().flat_map(|sample| &sample.ledgers).flatten();
    let leases = ledgers.flat_map(|ledger| &ledger.leases);
    leases
        .filter(|(_, share)| share.runs())
        .map(|(_, share)| share.attempt())
        .collect()
}

/// Attempts that are not in the books as often as they ran.
fn booked<'a>(records: impl Iterator<Item = &'a UsageRecord>, ran: &BTreeSet<&str>) -> Vec<String> {
    let mut times: BTreeMap<&str, u32> = ran.iter().map(|attempt| (*attempt, 0)).collect();
    for record in records.filter(|record| record.corrects.is_empty()) {
        *times.entry(&record.attempt_id).or_default() += 1;
    }
    times.retain(|_, times| *times != 1);
    let told = times.into_iter();
    told.map(|(attempt, times)| format!("{attempt} is booked {times} times"))
        .collect()
}

/// What lies in North's storage and should not, or the other way round.
async fn stored(stage: &Stage, runs: &[Run]) -> anyhow::Result<Vec<String>> {
    let north = stage.north.client();
    let mut found = Vec::new();
    let fragments = runs.iter().flat_map(|run| &run.fragments);
    let counts: BTreeSet<&str> = fragments
        .filter(|fragment| fragment.state == i32::from(FragmentState::Succeeded))
        .map(|fragment| fragment.attempt_id.as_str())
        .collect();
    for (object, note) in north.compute().stored(RESULTS, "").await? {
        if !counts.contains(note.attempt_id.as_str()) {
            let (key, attempt) = (object.key, note.attempt_id);
            found.push(format!(
                "{key} is of attempt `{attempt}`, which does not count"
            ));
        }
    }
    let succeeded = i32::from(RunState::Succeeded);
    for run in runs.iter().filter(|run| run.state == succeeded) {
        let results = north.pipeline().results(&run.run_id).await?;
        for file in &results.files {
            let bytes = north.download(&file.path).await?;
            let object = file.object.clone().unwrap_or_default();
            if Digest::of(&bytes).to_string() != object.sha256 {
                found.push(format!("{} of {} has other bytes", file.name, run.run_id));
            }
        }
        if results.files.len() != 1 {
            let count = results.files.len();
            found.push(format!("{} has {count} results, not one", run.run_id));
        }
    }
    Ok(found)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn record(attempt: &str, corrects: &str) -> UsageRecord {
        UsageRecord {
            attempt_id: attempt.to_owned(),
            corrects: corrects.to_owned(),
            ..UsageRecord::default()
        }
    }

    #[test]
    fn an_attempt_is_booked_once_and_a_correction_is_no_booking() {
        let ran = BTreeSet::from(["ran"]);
        let good = [
            record("ran", ""),
            record("ran", "rec-1"),
            record("brief", ""),
        ];
        assert_eq!(booked(good.iter(), &ran), Vec::<String>::new());
        let twice = [record("ran", ""), record("ran", "")];
        assert_eq!(booked(twice.iter(), &ran), ["ran is booked 2 times"]);
        assert_eq!(booked([].iter(), &ran), ["ran is booked 0 times"]);
    }
}

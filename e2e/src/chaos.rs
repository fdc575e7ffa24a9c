//! The story under fire: two real organisations, work between them, and faults of every kind at the times that a
//! seed says. Afterwards everything is healed, and each invariant of ARCHITECTURE.md is checked by its name.

mod draw;
mod folders;
mod happening;
mod invariants;
mod organisation;
mod outcome;
mod plan;
mod processes;
mod stage;
mod story;
mod watching;

use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use anyhow::Context as _;
use oc_testkit::Conditions;
use tokio::task::{JoinSet, LocalSet};

use self::happening::{Deeds, happen};
use self::invariants::{authority, books, capacity, effects, jobs, silence};
pub use self::outcome::{Finding, Outcome};
pub use self::plan::{At, Fault, Plan, Side, Work};
use self::stage::Stage;
use self::story::{Marks, Started, start};
use self::watching::Watcher;

/// A whole play takes no longer, whatever happens in it.
const LIMIT: Duration = Duration::from_secs(400);

/// Plays the plan of a seed, on a thread of its own. The folders of both organisations stay where an invariant did not
/// hold, or where they are to be kept.
pub fn play(seed: u64, keep: bool) -> Outcome {
    let plan = Plan::of(seed);
    let begin = Instant::now();
    let mut outcome = Outcome::new(&plan);
    // A node that does not start or stop ends the thread, and is a finding like any other.
    match std::thread::spawn(move || play_within(plan, keep)).join() {
        Ok(Ok(found)) => outcome.take(found),
        Ok(Err(error)) => outcome.broke(&format!("{error:#}")),
        Err(panicked) => outcome.broke(
            panicked
                .downcast_ref::<String>()
                .map_or("it panicked", |text| text),
        ),
    }
    outcome.took_ms = u64::try_from(begin.elapsed().as_millis()).unwrap_or(u64::MAX);
    outcome
}

/// Plays seeds, so many side by side, and tells of each once it is over; what came of them, by seed.
pub fn play_all(
    seeds: impl Iterator<Item = u64> + Send,
    together: usize,
    keep: bool,
    tell: impl Fn(&Outcome) + Sync,
) -> Vec<Outcome> {
    let (seeds, outcomes) = (Mutex::new(seeds), Mutex::new(Vec::new()));
    std::thread::scope(|scope| {
        for _ in 0..together.max(1) {
            scope.spawn(|| {
                loop {
                    let seed = seeds.lock().unwrap_or_else(PoisonError::into_inner).next();
                    let Some(seed) = seed else { return };
                    let outcome = play(seed, keep);
                    tell(&outcome);
                    let mut outcomes = outcomes.lock().unwrap_or_else(PoisonError::into_inner);
                    outcomes.push(outcome);
                }
            });
        }
    });
    let mut outcomes = outcomes
        .into_inner()
        .unwrap_or_else(PoisonError::into_inner);
    outcomes.sort_by_key(|outcome| outcome.seed);
    outcomes
}

fn play_within(plan: Plan, keep: bool) -> anyhow::Result<outcome::Found> {
    let runtime = tokio::runtime::Runtime::new()?;
    LocalSet::new().block_on(&runtime, async {
        let played = tokio::time::timeout(LIMIT, play_plan(plan, keep)).await;
        played.with_context(|| format!("it was not over within {LIMIT:?}"))?
    })
}

async fn play_plan(plan: Plan, keep: bool) -> anyhow::Result<outcome::Found> {
    static PLAYS: AtomicU64 = AtomicU64::new(0);
    let marks = Marks::of(PLAYS.fetch_add(1, Ordering::Relaxed));
    let stage = Arc::new(Stage::set().await?);
    let watcher = Watcher::begin(stage.clone(), marks.clone());
    let mut found = outcome::Found::default();

    let (started, deeds) = under_fire(&stage, &plan, &marks, &mut found).await;
    // All is well again from here on.
    stage.link.lock().await.set(Conditions::default());

    let (runs, held) = silence::no_silence(&stage, &started).await;
    found.note("no_silence", held);
    found.works(&started, &runs);
    found.note(
        "no_capacity_leak",
        capacity::no_capacity_leak(&stage, &marks).await,
    );
    found.note("books_agree", books::books_agree(&stage).await);
    let samples = watcher.end().await?;
    for (side, samples) in ["North", "South"].into_iter().zip(&samples) {
        found.note_at(side, "no_oversell", capacity::no_oversell(samples));
        let held = jobs::no_lease_without_job(samples);
        found.note_at(side, "no_lease_without_job", held);
        let held = jobs::no_job_without_lease(samples);
        found.note_at(side, "no_job_without_lease", held);
        let seen = samples.iter().filter(|sample| sample.ledgers.is_some());
        found.samples += seen.count();
    }
    let held = effects::no_effect_twice(&stage, &started, &runs, &samples).await;
    found.note("no_effect_twice", held);
    let held = authority::no_authority_left(&stage, &deeds.all(), &samples[1]).await;
    found.note("no_authority_left", held);
    let held = authority::peer_sees_only_federation(&stage).await;
    found.note("peer_sees_only_federation", held);
    if keep || !found.findings.is_empty() {
        found.folders = stage.keep().await;
    }
    Ok(found)
}

/// Starts the work and has the faults happen, each at its time; over when all are.
async fn under_fire(
    stage: &Arc<Stage>,
    plan: &Plan,
    marks: &Marks,
    found: &mut outcome::Found,
) -> (Vec<Started>, Arc<Deeds>) {
    let started = Arc::<Mutex<Vec<Started>>>::default();
    let deeds = Arc::<Deeds>::default();
    let begin = tokio::time::Instant::now();
    let mut all = JoinSet::new();
    for (number, work) in plan.work.iter().copied().enumerate() {
        let (stage, marks, started) = (stage.clone(), marks.clone(), started.clone());
        all.spawn_local(async move {
            tokio::time::sleep_until(begin + work.after()).await;
            let one = start(&stage, &marks, number, &work).await;
            let mut started = started.lock().unwrap_or_else(PoisonError::into_inner);
            started.push(one);
        });
    }
    for fault in plan.faults.iter().copied() {
        let (stage, started, deeds) = (stage.clone(), started.clone(), deeds.clone());
        all.spawn_local(async move {
            tokio::time::sleep_until(begin + fault.after()).await;
            happen(&stage, fault.what, &started, &deeds).await;
        });
    }
    while let Some(done) = all.join_next().await {
        if let Err(error) = done {
            found.note("play", Err(error.to_string()));
        }
    }
    let mut started = started.lock().unwrap_or_else(PoisonError::into_inner);
    started.sort_by_key(|one| one.work);
    (started.clone(), deeds)
}

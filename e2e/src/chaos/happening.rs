//! Faults as they happen, each undone by whoever caused it.

use std::io::Cursor;
use std::num::NonZeroU32;
use std::sync::{Mutex, PoisonError};
use std::time::{Duration, Instant};

use oc_client::{Client, ClientError};
use oc_proto::compute::v1::RevokeGrantRequest;
use oc_testkit::{Conditions, Passage, Way, within};

use super::plan::{Fault, Side};
use super::stage::{MACHINES, RESULTS, SHELF, Stage};
use super::story::{Started, passes};

const INSISTS: Duration = Duration::from_secs(30);

/// What people did of their own will, and when it was answered.
#[derive(Debug, Default)]
pub(super) struct Deeds {
    done: Mutex<Vec<Deed>>,
}

/// Authority that has ended.
#[derive(Debug, Clone)]
pub(super) struct Deed {
    /// The grants that are revoked from then on.
    pub(super) revoked: Vec<String>,
    /// When South had answered.
    pub(super) at: Instant,
}

impl Deeds {
    fn note(&self, revoked: Vec<String>) {
        let at = Instant::now();
        let mut done = self.done.lock().unwrap_or_else(PoisonError::into_inner);
        done.push(Deed { revoked, at });
    }

    /// All of them so far.
    pub(super) fn all(&self) -> Vec<Deed> {
        let done = self.done.lock().unwrap_or_else(PoisonError::into_inner);
        done.clone()
    }
}

/// Has a fault happen and ends it again. What people do they try until a node answers; what it says then is right.
pub(super) async fn happen(
    stage: &Stage,
    fault: Fault,
    started: &Mutex<Vec<Started>>,
    deeds: &Deeds,
) {
    let ms = Duration::from_millis;
    match fault {
        Fault::Cut { lasts } => {
            let cut = Conditions {
                passage: Passage::Refused,
                ..Conditions::default()
            };
            let link = stage.link.lock().await;
            link.set(cut);
            link.reset();
            tokio::time::sleep(ms(lasts)).await;
            link.set(Conditions::default());
        }
        Fault::Stall { lasts } => {
            let stalled = Conditions {
                passage: Passage::Stalled,
                ..Conditions::default()
            };
            spoil(stage, stalled, lasts).await;
        }
        Fault::Delay { by, lasts } => {
            let late = Conditions {
                delay: ms(by),
                ..Conditions::default()
            };
            spoil(stage, late, lasts).await;
        }
        Fault::Throttle { rate, lasts } => {
            let slow = Conditions {
                rate: NonZeroU32::new(rate),
                ..Conditions::default()
            };
            spoil(stage, slow, lasts).await;
        }
        Fault::Reset => stage.link.lock().await.reset(),
        Fault::HalfClose { from } => stage.link.lock().await.half_close(match from {
            // South is the one that connects.
            Side::South => Way::There,
            Side::North => Way::Back,
        }),
        Fault::Kill { side, down } => stage.side(side).kill(ms(down)).await,
        Fault::Restart { side } => stage.side(side).restart().await,
        Fault::Cancel { work } => cancel(stage, work, started).await,
        Fault::Revoke { grant } => {
            let revoke = RevokeGrantRequest {
                grant_id: stage.grants[grant].clone(),
                reason: "chaos".to_owned(),
            };
            let revoked = insist(
                || stage.south.client(),
                async |south| south.compute().revoke_grant(&revoke).await.map(drop),
            );
            if revoked.await {
                deeds.note(vec![stage.grants[grant].clone()]);
            }
        }
        Fault::Withdraw => {
            let withdrawn = insist(
                || stage.south.client(),
                async |south| south.compute().withdraw_offer(MACHINES).await.map(drop),
            );
            if withdrawn.await {
                deeds.note(stage.grants.to_vec());
            }
        }
        Fault::Fill { lasts } => fill(stage, ms(lasts)).await,
    }
}

async fn spoil(stage: &Stage, conditions: Conditions, lasts: u64) {
    let link = stage.link.lock().await;
    link.set(conditions);
    tokio::time::sleep(Duration::from_millis(lasts)).await;
    link.set(Conditions::default());
}

/// Calls until it was done or refused for good; whether it was done.
async fn insist(
    client: impl Fn() -> Client,
    mut call: impl AsyncFnMut(Client) -> Result<(), ClientError>,
) -> bool {
    let answer = within(INSISTS, async || match call(client()).await {
        Ok(()) => Some(true),
        Err(error) if passes(&error) => None,
        Err(_) => Some(false),
    });
    answer.await.unwrap_or(false)
}

async fn cancel(stage: &Stage, work: usize, started: &Mutex<Vec<Started>>) {
    let run = within(INSISTS, async || {
        let started = started.lock().unwrap_or_else(PoisonError::into_inner);
        let wanted = started.iter().find(|it| it.work == work)?;
        Some(wanted.run.clone().ok())
    });
    if let Some(Some(run)) = run.await {
        insist(
            || stage.north.client(),
            async |north| north.pipeline().cancel(&run).await.map(drop),
        )
        .await;
    }
}

/// Takes all the room that is left in North's storage, and gives it back.
async fn fill(stage: &Stage, lasts: Duration) {
    const KEY: &str = "ballast";
    let north = || stage.north.client();
    insist(north, async |north| {
        let offers = north.compute().offers().await?;
        let mut results = offers.iter().filter(|offer| offer.name == RESULTS);
        let used = results.next().and_then(|offer| offer.used);
        let left = SHELF.saturating_sub(used.map_or(0, |used| used.storage_bytes));
        let ballast = Cursor::new(vec![0; usize::try_from(left).unwrap_or(0)]);
        let compute = north.compute();
        let put = compute.put_object(RESULTS, KEY, None, ballast);
        put.await.map(drop)
    })
    .await;
    tokio::time::sleep(lasts).await;
    insist(north, async |north| {
        north.compute().delete_object(RESULTS, KEY).await
    })
    .await;
}

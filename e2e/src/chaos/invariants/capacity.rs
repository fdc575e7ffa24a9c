//! Nothing is promised twice, and all of it comes back.

use std::collections::BTreeSet;
use std::time::Duration;

use oc_proto::compute::v1::OfferKind;
use oc_testkit::within;

use super::{Held, none_of};
use crate::chaos::folders::{Amount, Ledger, ledgers};
use crate::chaos::organisation::Organisation;
use crate::chaos::processes::look;
use crate::chaos::stage::Stage;
use crate::chaos::story::Marks;
use crate::chaos::watching::Sample;

/// Holds and data reservations that nobody released lapse by themselves.
const LIMIT: Duration = Duration::from_secs(25);

/// Reserved and running together are never more than the offer.
pub(in crate::chaos) fn no_oversell(samples: &[Sample]) -> Held {
    let ledgers = samples.iter().flat_map(|sample| &sample.ledgers).flatten();
    let over: BTreeSet<String> = ledgers.filter_map(oversold).collect();
    none_of(over.into_iter().collect())
}

fn oversold(ledger: &Ledger) -> Option<String> {
    let shares = ledger.holds.iter().chain(&ledger.leases);
    let taken = shares.fold(Amount::default(), |sum, (_, share)| {
        let more = share.amount();
        Amount {
            cores: sum.cores + more.cores,
            memory_bytes: sum.memory_bytes + more.memory_bytes,
            fragments: sum.fragments + more.fragments,
        }
    });
    let has = ledger.capacity;
    let over = taken.cores > has.cores
        || taken.memory_bytes > has.memory_bytes
        || taken.fragments > has.fragments;
    over.then(|| format!("offer {} has {has:?} and gave {taken:?}", ledger.offer))
}

/// When all is over, all is free: capacity, images, processes, folders, and room in the storage.
pub(in crate::chaos) async fn no_capacity_leak(stage: &Stage, marks: &Marks) -> Held {
    let mut left = Vec::new();
    let free = within(LIMIT, async || {
        left = left_over(stage, marks).await;
        left.is_empty().then_some(())
    });
    match free.await {
        Some(()) => Ok(()),
        None => none_of(left),
    }
}

async fn left_over(stage: &Stage, marks: &Marks) -> Vec<String> {
    let mut left = Vec::new();
    for (name, organisation) in [("North", &stage.north), ("South", &stage.south)] {
        match left_at(organisation).await {
            Ok(found) => left.extend(found.into_iter().map(|found| format!("{name}: {found}"))),
            Err(error) => left.push(format!("{name} does not say: {error:#}")),
        }
    }
    let folders = [stage.north.data(), stage.south.data()];
    for (name, found) in ["North", "South"].into_iter().zip(look(folders, marks)) {
        if found.tools > 0 || !found.attempts.is_empty() {
            left.push(format!("{name}: processes {found:?}"));
        }
    }
    left
}

async fn left_at(organisation: &Organisation) -> anyhow::Result<Vec<String>> {
    let mut left = Vec::new();
    for ledger in ledgers(organisation.data())? {
        // Holds past their end stay written there until the next one; what is in use below leaves them out.
        for (lease, share) in &ledger.leases {
            left.push(format!("{lease} in offer {}: {share:?}", ledger.offer));
        }
    }
    let client = organisation.client();
    for offer in client.compute().offers().await? {
        let used = offer.used.unwrap_or_default();
        if offer.kind == i32::from(OfferKind::Compute) {
            if used.cores > 0 || used.memory_bytes > 0 || used.concurrent_fragments > 0 {
                left.push(format!("offer {} has in use {used:?}", offer.name));
            }
            continue;
        }
        let objects = client.compute().objects(&offer.name, "").await?;
        let lie: u64 = objects.iter().map(|object| object.length).sum();
        if used.storage_bytes != lie {
            let used = used.storage_bytes;
            left.push(format!(
                "offer {} counts {used} bytes for {lie}",
                offer.name
            ));
        }
    }
    for reservation in client.data().reservations().await? {
        left.push(format!("{reservation:?}"));
    }
    let attempts = organisation.data().join("work/attempts");
    for entry in std::fs::read_dir(attempts)?.flatten() {
        left.push(format!("folder {}", entry.path().display()));
    }
    Ok(left)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::chaos::folders::Share;
    use crate::chaos::watching::at_second;

    fn ledger(cores: &[u64]) -> Ledger {
        let share = |cores: &u64| {
            (
                cores.to_string(),
                Share::example("a", *cores, None, "running"),
            )
        };
        let (holds, leases) = cores.split_at(cores.len() / 2);
        Ledger {
            offer: "machines".to_owned(),
            capacity: Amount {
                cores: 3,
                memory_bytes: 0,
                fragments: 3,
            },
            holds: holds.iter().map(share).collect(),
            leases: leases.iter().map(share).collect(),
        }
    }

    #[test]
    fn holds_and_leases_count_together_against_the_offer() {
        let seen = |cores: &[u64]| no_oversell(&[at_second(0, &[ledger(cores)], &[])]);
        assert_eq!(seen(&[1, 2]), Ok(()));
        assert!(seen(&[2, 2]).unwrap_err().contains("cores: 4"));
        assert!(seen(&[1, 1, 0, 0]).unwrap_err().contains("fragments: 4"));
    }
}

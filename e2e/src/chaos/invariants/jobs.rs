//! A lease and what runs in it are the same thing.

use std::collections::{BTreeMap, BTreeSet};
use std::time::{Duration, Instant};

use super::{Held, none_of};
use crate::chaos::folders::Share;
use crate::chaos::organisation::State;
use crate::chaos::watching::Sample;

/// How long a lease may say that something runs while its runner begins, or its end is being settled.
const SETTLES: Duration = Duration::from_secs(8);
/// How long the kernel may take to end what belonged to a process that was killed.
const DIES: Duration = Duration::from_secs(2);

/// Nothing runs that has no lease, and no tool where no node runs. A sandbox that had begun nothing when everything
/// else was killed may stay until the node is back: bubblewrap's inner process follows its parent a moment late.
pub(in crate::chaos) fn no_job_without_lease(samples: &[Sample]) -> Held {
    let mut found = BTreeSet::new();
    let mut unattended: Option<Instant> = None;
    for sample in samples {
        let runs = &sample.processes;
        let standing = sample.standing;
        if standing.state == State::Down && standing.lasts > DIES && runs.tools > 0 {
            found.insert(format!("while the node was down: {runs:?}"));
        }
        if let Some(ledgers) = &sample.ledgers {
            let leases = ledgers.iter().flat_map(|ledger| &ledger.leases);
            let leased: BTreeSet<String> = leases.map(|(_, share)| share.folder()).collect();
            let orphans = runs.attempts.difference(&leased);
            found.extend(orphans.map(|folder| format!("attempt in folder {folder} has no lease")));
        }
        match runs.tools > 0 && runs.attempts.is_empty() {
            false => unattended = None,
            true => {
                let since = *unattended.get_or_insert(sample.at);
                if sample.at.duration_since(since) > DIES {
                    found.insert("tools run, and no runner".to_owned());
                }
            }
        }
    }
    none_of(found.into_iter().collect())
}

/// A lease that says its job runs has a runner.
pub(in crate::chaos) fn no_lease_without_job(samples: &[Sample]) -> Held {
    let mut found = BTreeSet::new();
    let mut empty: BTreeMap<String, Instant> = BTreeMap::new();
    for sample in samples {
        let Some(ledgers) = &sample.ledgers else {
            empty.clear();
            continue;
        };
        let leases = ledgers.iter().flat_map(|ledger| &ledger.leases);
        let without: Vec<&Share> = leases
            .map(|(_, share)| share)
            .filter(|share| share.runs() && !sample.processes.attempts.contains(&share.folder()))
            .collect();
        empty.retain(|attempt, _| without.iter().any(|share| share.attempt() == attempt));
        for share in without {
            let attempt = share.attempt().to_owned();
            let since = *empty.entry(attempt).or_insert(sample.at);
            let lasts = sample.at.duration_since(since);
            if lasts > SETTLES {
                found.insert(format!(
                    "{} has no runner for over {SETTLES:?}",
                    share.attempt()
                ));
            }
        }
    }
    none_of(found.into_iter().collect())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::chaos::folders::{Amount, Ledger};
    use crate::chaos::watching::at_second;

    fn leased(attempts: &[&str]) -> Vec<Ledger> {
        let share = |attempt: &&str| {
            let share = Share::example(attempt, 1, None, "running");
            ((*attempt).to_owned(), share)
        };
        vec![Ledger {
            offer: "machines".to_owned(),
            capacity: Amount::default(),
            holds: Vec::new(),
            leases: attempts.iter().map(share).collect(),
        }]
    }

    fn folder(attempt: &str) -> String {
        Share::example(attempt, 1, None, "running").folder()
    }

    #[test]
    fn a_runner_without_a_lease_is_found_at_once() {
        let (one, other) = (folder("one"), folder("other"));
        let good = at_second(0, &leased(&["one", "other"]), &[&one, &other]);
        let bad = at_second(1, &leased(&["one"]), &[&one, &other]);
        assert_eq!(no_job_without_lease(std::slice::from_ref(&good)), Ok(()));
        let found = no_job_without_lease(&[good, bad]).unwrap_err();
        assert_eq!(found, format!("attempt in folder {other} has no lease"));
    }

    #[test]
    fn a_lease_without_a_runner_is_found_when_it_stays_so() {
        let one = folder("one");
        let empty = |second| at_second(second, &leased(&["one"]), &[]);
        let full = at_second(5, &leased(&["one"]), &[&one]);
        assert_eq!(no_lease_without_job(&[empty(0), full, empty(9)]), Ok(()));
        assert!(no_lease_without_job(&[empty(0), empty(9)]).is_err());
    }

    #[test]
    fn nothing_may_run_where_the_node_is_down() {
        let mut sample = at_second(0, &[], &[&folder("one")]);
        sample.ledgers = None;
        sample.standing.state = State::Down;
        sample.standing.lasts = Duration::from_secs(1);
        assert_eq!(no_job_without_lease(std::slice::from_ref(&sample)), Ok(()));
        sample.standing.lasts = Duration::from_secs(3);
        assert!(no_job_without_lease(&[sample]).is_err());
    }
}

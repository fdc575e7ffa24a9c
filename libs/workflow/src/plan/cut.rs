//! Fragments out of placed steps.
//!
//! Convex sets alone are not enough: two of them could each wait for the other. So steps are cut by
//! how many changes of site lie behind them. A link leads to the same count within a site, or to a
//! higher one; no fragment can then reach itself, and each can start once its upstream has ended.

use std::collections::{BTreeMap, BTreeSet};

use crate::steps::Graph;

/// Steps that run together at one site.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Cut {
    pub(crate) site: usize,
    /// In an order in which each step comes after what it reads.
    pub(crate) steps: Vec<usize>,
    /// The fragments it reads from, by number; all smaller than its own.
    pub(crate) upstream: BTreeSet<usize>,
}

/// Cuts placed steps into fragments, in an order in which each comes after its upstream.
pub(crate) fn cut(graph: &Graph<'_>, sites: &[usize]) -> Vec<Cut> {
    let mut depth = vec![0_usize; sites.len()];
    for &step in &graph.order {
        let upstream = graph.upstream[step].iter();
        let depths = upstream.map(|&from| depth[from] + usize::from(sites[from] != sites[step]));
        depth[step] = depths.max().unwrap_or(0);
    }
    let mut groups: BTreeMap<(usize, usize), Vec<usize>> = BTreeMap::new();
    for &step in &graph.order {
        groups
            .entry((depth[step], sites[step]))
            .or_default()
            .push(step);
    }
    let mut number = vec![0; sites.len()];
    for (at, steps) in groups.values().enumerate() {
        for &step in steps {
            number[step] = at;
        }
    }
    let cut = |(at, ((_, site), steps)): (usize, ((usize, usize), Vec<usize>))| {
        let sources = steps.iter().flat_map(|&step| &graph.upstream[step]);
        let upstream = sources.map(|&from| number[from]).filter(|from| *from != at);
        Cut {
            site,
            upstream: upstream.collect(),
            steps,
        }
    };
    groups.into_iter().enumerate().map(cut).collect()
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::steps::{Needs, Step, Steps};

    fn steps(links: &[(usize, usize)], count: usize) -> Steps {
        let step = |number: usize| Step {
            id: format!("s{number}"),
            upstream: links
                .iter()
                .filter(|(_, to)| *to == number)
                .map(|(from, _)| format!("s{from}"))
                .collect(),
            inputs: BTreeSet::new(),
            needs: Needs::default(),
        };
        Steps {
            steps: (0..count).map(step).collect(),
            outputs: BTreeMap::new(),
        }
    }

    #[test]
    fn two_sites_that_read_from_each_other_are_cut_so_that_none_waits_for_itself() {
        // a1 -> b1 and b2 -> a2: {a1, a2} and {b1, b2} are convex, yet would wait for each other.
        let steps = steps(&[(0, 2), (3, 1)], 4);
        let cuts = cut(&steps.graph().unwrap(), &[0, 0, 1, 1]);
        let sets: Vec<_> = cuts
            .iter()
            .map(|cut| (cut.site, cut.steps.clone()))
            .collect();
        assert_eq!(
            sets,
            [(0, vec![0]), (1, vec![3]), (0, vec![1]), (1, vec![2])]
        );
    }

    #[test]
    fn a_chain_at_one_site_stays_whole_and_a_detour_splits_it() {
        let steps = steps(&[(0, 1), (1, 2)], 3);
        let graph = steps.graph().unwrap();
        assert_eq!(cut(&graph, &[0, 0, 0]).len(), 1);
        assert_eq!(cut(&graph, &[0, 1, 0]).len(), 3);
    }

    fn placed() -> impl Strategy<Value = (usize, Vec<(usize, usize)>, Vec<usize>)> {
        (1_usize..12).prop_flat_map(|count| {
            let links = prop::collection::vec((0..count, 0..count), 0..24).prop_map(|links| {
                let forward = links.into_iter().filter(|(from, to)| from < to);
                forward.collect::<BTreeSet<_>>().into_iter().collect()
            });
            (Just(count), links, prop::collection::vec(0_usize..3, count))
        })
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(128))]

        #[test]
        fn fragments_hold_every_step_once_and_are_convex((count, links, sites) in placed()) {
            let steps = steps(&links, count);
            let graph = steps.graph().unwrap();
            let cuts = cut(&graph, &sites);
            let mut owner = vec![usize::MAX; count];
            for (at, cut) in cuts.iter().enumerate() {
                prop_assert!(cut.upstream.iter().all(|from| *from < at));
                for &step in &cut.steps {
                    prop_assert_eq!(owner[step], usize::MAX);
                    owner[step] = at;
                    prop_assert_eq!(sites[step], cut.site);
                }
            }
            prop_assert!(owner.iter().all(|owner| *owner != usize::MAX));
            // Convex: what leaves a fragment never comes back to it.
            for &(from, to) in &links {
                prop_assert!(owner[from] <= owner[to]);
                let reads = owner[from] == owner[to] || cuts[owner[to]].upstream.contains(&owner[from]);
                prop_assert!(reads);
            }
        }
    }
}

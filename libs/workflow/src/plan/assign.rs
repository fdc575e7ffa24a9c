//! A site for each step: the assignment with the lowest rank that a bounded search finds.
//!
//! The cost of an assignment is a sum over steps and links, so a move of one step or of one group
//! changes only what touches it. The search starts from several simple assignments and improves each
//! until no move helps; it takes the same path for the same question.

use super::candidate::{Candidates, Obstacle, Score};
use super::{Question, Strategy};
use crate::steps::Graph;

/// Rounds of improvement; in practice two or three suffice.
const ROUNDS: usize = 8;

/// Single sites tried as a start for the whole workflow: the best ones.
const SINGLE_SITE_STARTS: usize = 3;

/// Steps, sites, and which of them may meet.
pub(crate) struct Search<'a> {
    pub(crate) graph: &'a Graph<'a>,
    pub(crate) question: &'a Question<'a>,
    pub(crate) candidates: &'a Candidates,
    /// By step: the sites a person chose, where she did.
    pub(crate) by_hand: &'a [Option<Vec<usize>>],
    /// Whether somebody still waits for the answer.
    pub(crate) wanted: &'a dyn Fn() -> bool,
}

impl Search<'_> {
    /// The best assignment found, or the number of a step that has no site.
    pub(crate) fn best(&self) -> Result<Vec<usize>, usize> {
        let stuck = |step: &usize| self.allowed(&[*step]).next().is_none();
        if let Some(step) = self.graph.order.iter().copied().find(stuck) {
            return Err(step);
        }
        let mut starts = vec![self.greedy()];
        starts.extend(self.single_sites());
        let improved = starts.into_iter().map(|start| self.improve(start));
        let ranked = improved.map(|sites| (self.total(&sites).rank(self.strategy()), sites));
        let best = ranked.min().map(|(_, sites)| sites);
        best.ok_or(0)
    }

    /// The best single site for the whole workflow; none where no site may take all of it.
    pub(crate) fn at_one_site(&self) -> Option<Vec<usize>> {
        self.single_sites().into_iter().next()
    }

    /// What stands between a step and a site; nothing when it may run there.
    pub(crate) fn obstacle(&self, step: usize, site: usize) -> Option<&Obstacle> {
        self.candidates.get(step, site).err()
    }

    fn strategy(&self) -> Strategy {
        self.question.placement.strategy
    }

    fn is_allowed(&self, step: usize, site: usize) -> bool {
        let chosen = self.by_hand[step].as_ref();
        chosen.is_none_or(|chosen| chosen.contains(&site))
            && self.candidates.get(step, site).is_ok()
    }

    fn allowed(&self, group: &[usize]) -> impl Iterator<Item = usize> {
        (0..self.question.sites.len())
            .filter(|site| group.iter().all(|step| self.is_allowed(*step, *site)))
    }

    fn local(&self, step: usize, site: usize) -> Score {
        self.candidates.get(step, site).unwrap_or_default()
    }

    pub(crate) fn link(&self, step: usize, from: usize, to: usize) -> Score {
        self.candidates.link(step, from, to)
    }

    /// Each step in order goes where it and the links from its upstream cost least.
    fn greedy(&self) -> Vec<usize> {
        let mut sites = vec![usize::MAX; self.graph.steps.len()];
        for &step in &self.graph.order {
            let cost = |site: usize| {
                let upstream = self.graph.upstream[step].iter();
                let links = upstream.map(|&from| self.link(from, sites[from], site));
                links.fold(self.local(step, site), Score::plus)
            };
            let rank = |site: &usize| (cost(*site).rank(self.strategy()), *site);
            sites[step] = self.allowed(&[step]).min_by_key(rank).unwrap_or_default();
        }
        sites
    }

    /// Everything at one site, where that is possible.
    fn single_sites(&self) -> Vec<Vec<usize>> {
        let count = self.graph.steps.len();
        let all: Vec<usize> = (0..count).collect();
        let whole = |site: usize| {
            let score = (0..count)
                .map(|step| self.local(step, site))
                .fold(Score::default(), Score::plus);
            (score.rank(self.strategy()), site)
        };
        let mut ranked: Vec<_> = self.allowed(&all).map(whole).collect();
        ranked.sort_unstable();
        let best = ranked.into_iter().take(SINGLE_SITE_STARTS);
        best.map(|(_, site)| vec![site; count]).collect()
    }

    fn improve(&self, mut sites: Vec<usize>) -> Vec<usize> {
        let mut touched = vec![true; sites.len()];
        for _ in 0..ROUNDS {
            let moved = self.move_steps(&mut sites, &mut touched);
            if moved.is_empty() {
                break;
            }
            touched.fill(false);
            for &step in &moved {
                touched[step] = true;
                for &other in self.graph.upstream[step]
                    .iter()
                    .chain(&self.graph.downstream[step])
                {
                    touched[other] = true;
                }
            }
        }
        sites
    }

    /// Moves single steps, then groups that hang together at one site, since those may only gain by
    /// moving together. What nobody touched since it was last looked at would stay where it is.
    fn move_steps(&self, sites: &mut [usize], touched: &mut [bool]) -> Vec<usize> {
        let mut moved = Vec::new();
        for &step in &self.graph.order {
            if !(self.wanted)() {
                return Vec::new();
            }
            if touched[step] && self.relocate(&[step], sites) {
                moved.push(step);
                for &other in self.graph.upstream[step]
                    .iter()
                    .chain(&self.graph.downstream[step])
                {
                    touched[other] = true;
                }
            }
        }
        for group in self.groups(sites) {
            let touched = group.iter().any(|step| touched[*step]);
            if touched && group.len() > 1 && self.relocate(&group, sites) {
                moved.extend(group);
            }
        }
        moved
    }

    fn relocate(&self, group: &[usize], sites: &mut [usize]) -> bool {
        let here = sites[group[0]];
        // A group holds every neighbour of its members that is at the same site; a single step none.
        let inside = |step: usize| group.len() > 1 && sites[step] == here;
        let rank = |site: usize| {
            let cost = self.cost_of_group(group, inside, sites, site);
            cost.rank(self.strategy())
        };
        let best = self.allowed(group).map(|site| (rank(site), site)).min();
        let Some((_, best)) = best.filter(|(best, _)| *best < rank(here)) else {
            return false;
        };
        for &step in group {
            sites[step] = best;
        }
        true
    }

    /// What a group of one site would cost at `site`, with the links that lead into and out of it.
    pub(crate) fn cost_of_group(
        &self,
        group: &[usize],
        inside: impl Fn(usize) -> bool,
        sites: &[usize],
        site: usize,
    ) -> Score {
        let mut total = Score::default();
        for &step in group {
            total = total.plus(self.local(step, site));
            for &from in &self.graph.upstream[step] {
                if !inside(from) {
                    total = total.plus(self.link(from, sites[from], site));
                }
            }
            for &to in &self.graph.downstream[step] {
                if !inside(to) {
                    total = total.plus(self.link(step, site, sites[to]));
                }
            }
        }
        total
    }

    fn groups(&self, sites: &[usize]) -> Vec<Vec<usize>> {
        let mut seen = vec![false; sites.len()];
        let mut groups = Vec::new();
        for start in 0..sites.len() {
            if seen[start] {
                continue;
            }
            seen[start] = true;
            let mut group = vec![start];
            let mut next = 0;
            while let Some(&step) = group.get(next) {
                next += 1;
                let links = self.graph.upstream[step].iter();
                for &other in links.chain(&self.graph.downstream[step]) {
                    if !seen[other] && sites[other] == sites[start] {
                        seen[other] = true;
                        group.push(other);
                    }
                }
            }
            groups.push(group);
        }
        groups
    }

    fn total(&self, sites: &[usize]) -> Score {
        let mut total = Score::default();
        for (step, &site) in sites.iter().enumerate() {
            total = total.plus(self.local(step, site));
            for &from in &self.graph.upstream[step] {
                total = total.plus(self.link(from, sites[from], site));
            }
        }
        total
    }
}

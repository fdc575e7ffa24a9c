//! Turns placed and cut steps into the plan that people and the run read: numbers, reasons and
//! alternatives.

use std::collections::{BTreeMap, BTreeSet};

use jiff::Timestamp;
use oc_kernel::{Money, OrgId};

use super::assign::Search;
use super::candidate::{Score, crossing, estimate};
use super::cut::Cut;
use super::{
    Alternative, FragmentInput, FragmentOutput, FragmentPlan, Place, Plan, Site, Source, Strategy,
};
use crate::steps::{Resources, Step};
use crate::words;

/// Usable and unusable sites a fragment lists beside its own.
const USABLE_SHOWN: usize = 4;
pub(super) const UNUSABLE_SHOWN: usize = 4;

/// The wall time asked for where neither steps nor site name a limit.
const LONGEST_SECONDS: u64 = 24 * 3_600;

/// Added to declared times: the runner also fetches inputs and stores outputs.
const STAGING_SECONDS: u64 = 600;

pub(crate) fn plan(search: &Search<'_>, sites: &[usize], cuts: &[Cut], now: Timestamp) -> Plan {
    let view = View::new(search, sites, cuts, now);
    let fragments: Vec<FragmentPlan> = (0..cuts.len()).map(|at| view.fragment(at)).collect();
    let sum = |of: fn(&FragmentPlan) -> Money| {
        let mut sums: BTreeMap<String, Money> = BTreeMap::new();
        for fragment in &fragments {
            let sum = sums.entry(fragment.currency.clone()).or_default();
            *sum = sum.saturating_add(of(fragment));
        }
        sums
    };
    let (cost, most) = (sum(|fragment| fragment.cost), sum(|fragment| fragment.most));
    let moved = cuts
        .iter()
        .enumerate()
        .map(|(at, cut)| view.own(at, cut.site).bytes_moved);
    Plan {
        made_at: now,
        strategy: search.question.placement.strategy,
        bytes_moved: moved.fold(0, u64::saturating_add),
        warnings: view.warnings(&cost),
        fragments,
        cost,
        most,
    }
}

pub(super) struct View<'a> {
    pub(super) search: &'a Search<'a>,
    pub(super) sites: &'a [usize],
    pub(super) cuts: &'a [Cut],
    /// By step the number of its fragment.
    pub(super) fragment_of: Vec<usize>,
    pub(super) now: Timestamp,
}

impl<'a> View<'a> {
    fn new(search: &'a Search<'a>, sites: &'a [usize], cuts: &'a [Cut], now: Timestamp) -> Self {
        let mut fragment_of = vec![0; sites.len()];
        for (at, cut) in cuts.iter().enumerate() {
            for &step in &cut.steps {
                fragment_of[step] = at;
            }
        }
        Self {
            search,
            sites,
            cuts,
            fragment_of,
            now,
        }
    }

    pub(super) fn site(&self, number: usize) -> &Site {
        &self.search.question.sites[number]
    }

    pub(super) fn step(&self, number: usize) -> &Step {
        &self.search.graph.steps[number]
    }

    fn fragment(&self, at: usize) -> FragmentPlan {
        let cut = &self.cuts[at];
        let site = self.site(cut.site);
        let score = self.score(at, cut.site);
        let by_hand = cut
            .steps
            .iter()
            .any(|step| self.search.by_hand[*step].is_some());
        let inputs = self.inputs(at);
        let resources = self.resources(cut, site);
        let wall_seconds = self.wall_seconds(cut, site, resources);
        let cost = self.own(at, cut.site).price;
        let (alternatives, others) = self.alternatives(at, score, resources, wall_seconds);
        let alone = !alternatives.iter().any(|other| other.usable);
        FragmentPlan {
            index: number(at),
            site: place(site),
            steps: cut
                .steps
                .iter()
                .map(|step| self.step(*step).id.clone())
                .collect(),
            upstream: cut.upstream.iter().map(|from| number(*from)).collect(),
            outputs: self.outputs(at),
            most: self.most(cut, site, cost, resources, wall_seconds),
            wall_seconds,
            resources,
            cost,
            currency: site.price.currency.clone(),
            reason: self.reason(site, score, by_hand, alone, &inputs),
            inputs,
            score,
            by_hand,
            alternatives,
            others,
        }
    }

    /// The score of a fragment at a site. Unlike the sum over its steps it counts data that several of
    /// them read once.
    fn score(&self, at: usize, site: usize) -> Score {
        let members = &self.cuts[at].steps;
        let inside = |step: usize| self.fragment_of[step] == at;
        let mut score = self.search.cost_of_group(members, inside, self.sites, site);
        let mut seen = BTreeSet::new();
        for input in members.iter().flat_map(|step| &self.step(*step).inputs) {
            let Some(data) = self.search.question.data.get(input) else {
                continue;
            };
            if !seen.insert(input) && data.org != self.site(site).org {
                let twice = crossing(data.bytes, &data.price);
                score.bytes_moved = score.bytes_moved.saturating_sub(twice.bytes_moved);
                score.price = Money(score.price.micros().saturating_sub(twice.price.micros()));
            }
        }
        score
    }

    /// The part of a fragment's score at a site that no other fragment has too: a link between two fragments is
    /// the upstream one's.
    fn own(&self, at: usize, site: usize) -> Score {
        let mut own = self.score(at, site);
        for &step in &self.cuts[at].steps {
            let upstream = self.search.graph.upstream[step].iter();
            for &from in upstream.filter(|from| self.fragment_of[**from] != at) {
                let link = self.search.link(from, self.sites[from], site);
                own.bytes_moved = own.bytes_moved.saturating_sub(link.bytes_moved);
                own.price = Money(own.price.micros().saturating_sub(link.price.micros()));
            }
        }
        own
    }

    /// The sum of its steps' limits, jobs that do not fit side by side one after the other. A step
    /// without a limit may take all the site allows, and its share of what is left of the grant.
    fn wall_seconds(&self, cut: &Cut, site: &Site, resources: Resources) -> u64 {
        let longest = site.longest_seconds.unwrap_or(LONGEST_SECONDS);
        let longest = longest.min(self.seconds_left(site, resources));
        let seconds = |&step: &usize| {
            let needs = &self.step(step).needs;
            let at_once = resources.cores / needs.resources.cores.max(1);
            let rounds = u64::from(needs.width.max(1).div_ceil(at_once.max(1)));
            Some(needs.seconds?.saturating_mul(rounds))
        };
        let declared: Option<Vec<u64>> = cut.steps.iter().map(seconds).collect();
        let sum = |seconds: Vec<u64>| {
            let sum = seconds
                .into_iter()
                .fold(STAGING_SECONDS, u64::saturating_add);
            sum.min(longest)
        };
        declared.map_or(longest, sum)
    }

    /// The estimate with all the time of all cores that are held in place of the time that jobs are taken to last.
    fn most(
        &self,
        cut: &Cut,
        site: &Site,
        cost: Money,
        held: Resources,
        wall_seconds: u64,
    ) -> Money {
        let estimates = cut
            .steps
            .iter()
            .map(|step| estimate(self.step(*step), site));
        let estimated = estimates.fold(Money::ZERO, Money::saturating_add);
        let moved = cost.micros().saturating_sub(estimated.micros()).max(0);
        let core_seconds = u64::from(held.cores).saturating_mul(wall_seconds);
        site.price
            .of_cores(core_seconds)
            .saturating_add(Money(moved))
    }

    /// How long a fragment may take before its share of the grant is used up. A site holds all that a fragment
    /// may use from its begin on, so fragments under one grant must not each ask for all that is left.
    fn seconds_left(&self, site: &Site, resources: Resources) -> u64 {
        let Some(left) = site.core_seconds_left else {
            return u64::MAX;
        };
        let grant = site.access.grant();
        let sharing = self
            .cuts
            .iter()
            .filter(|cut| self.site(cut.site).access.grant() == grant)
            .count();
        left / u64::from(resources.cores.max(1)) / u64::from(number(sharing).max(1))
    }

    /// Enough for the largest job; up to all that may run side by side, where the site has it free.
    fn resources(&self, cut: &Cut, site: &Site) -> Resources {
        let mut level: BTreeMap<usize, usize> = BTreeMap::new();
        let mut together: BTreeMap<usize, Resources> = BTreeMap::new();
        let mut least = Resources::default();
        for &step in &cut.steps {
            let needs = &self.step(step).needs;
            let inside = self.search.graph.upstream[step].iter();
            let depth = inside.filter_map(|from| level.get(from)).max();
            let depth = depth.map_or(0, |depth| depth + 1);
            level.insert(step, depth);
            let sum = together.entry(depth).or_default();
            *sum = sum.plus(needs.resources.times(needs.width.max(1)));
            least = least.max(needs.resources);
        }
        let most = together.into_values().fold(least, Resources::max);
        most.min(site.free).min(site.limit).max(least)
    }

    fn inputs(&self, at: usize) -> Vec<FragmentInput> {
        let mut inputs: BTreeMap<Source, (OrgId, u64)> = BTreeMap::new();
        for &step in &self.cuts[at].steps {
            for input in &self.step(step).inputs {
                if let Some(data) = self.search.question.data.get(input) {
                    let source = Source::Run {
                        input: input.clone(),
                    };
                    inputs.insert(source, (data.org, data.bytes));
                }
            }
            for &from in &self.search.graph.upstream[step] {
                if self.fragment_of[from] != at {
                    let source = Source::Step {
                        step: self.step(from).id.clone(),
                        fragment: number(self.fragment_of[from]),
                    };
                    let bytes = self.search.candidates.output_bytes[from];
                    inputs.insert(source, (self.site(self.sites[from]).org, bytes));
                }
            }
        }
        let input = |(from, (org, bytes))| FragmentInput { from, org, bytes };
        inputs.into_iter().map(input).collect()
    }

    fn outputs(&self, at: usize) -> Vec<FragmentOutput> {
        let question = self.search.question;
        let leaving = self.cuts[at].steps.iter().filter_map(|&step| {
            let readers = self.search.graph.downstream[step].iter();
            let fragments: BTreeSet<u32> = readers
                .map(|to| self.fragment_of[*to])
                .filter(|to| *to != at)
                .map(number)
                .collect();
            let id = &self.step(step).id;
            let outputs: Vec<String> = question
                .steps
                .outputs
                .iter()
                .filter(|(_, steps)| steps.contains(id))
                .map(|(name, _)| name.clone())
                .collect();
            let leaves = !fragments.is_empty() || !outputs.is_empty();
            leaves.then(|| FragmentOutput {
                step: id.clone(),
                fragments: fragments.into_iter().collect(),
                outputs,
            })
        });
        leaving.collect()
    }

    fn alternatives(
        &self,
        at: usize,
        chosen: Score,
        held: Resources,
        wall_seconds: u64,
    ) -> (Vec<Alternative>, u32) {
        let cut = &self.cuts[at];
        let strategy = self.search.question.placement.strategy;
        let (mut usable, mut unusable) = (Vec::new(), Vec::new());
        for other in (0..self.search.question.sites.len()).filter(|other| *other != cut.site) {
            let site = self.site(other);
            match self.refusal(cut, other) {
                Some(reason) => unusable.push(Alternative {
                    site: place(site),
                    usable: false,
                    score: None,
                    most: None,
                    currency: String::new(),
                    reason,
                }),
                None => {
                    let score = self.score(at, other);
                    usable.push((score.rank(strategy), other, score));
                }
            }
        }
        let listed = usable.len().min(USABLE_SHOWN) + unusable.len().min(UNUSABLE_SHOWN);
        let others = number(usable.len() + unusable.len() - listed);
        usable.sort_unstable_by_key(|(rank, other, _)| (*rank, *other));
        unusable.truncate(UNUSABLE_SHOWN);
        let usable = usable
            .into_iter()
            .take(USABLE_SHOWN)
            .map(|(_, other, score)| {
                let site = self.site(other);
                let cost = self.own(at, other).price;
                Alternative {
                    site: place(site),
                    usable: true,
                    score: Some(score),
                    most: Some(self.most(cut, site, cost, held, wall_seconds)),
                    currency: site.price.currency.clone(),
                    reason: why_not(score, chosen, strategy, &site.price.currency),
                }
            });
        (usable.chain(unusable).collect(), others)
    }

    /// Why a fragment cannot run at a site; nothing when it can.
    fn refusal(&self, cut: &Cut, site: usize) -> Option<String> {
        let refused = |&step: &usize| {
            let by_hand = self.search.by_hand[step].as_ref();
            if by_hand.is_some_and(|chosen| !chosen.contains(&site)) {
                return Some("another site was chosen by hand".to_owned());
            }
            let obstacle = self.search.obstacle(step, site)?;
            let reason = obstacle.words(self.site(site), self.now);
            Some(match cut.steps.len() {
                1 => reason,
                _ => format!("step `{}`: {reason}", self.step(step).id),
            })
        };
        cut.steps.iter().find_map(refused)
    }

    fn reason(
        &self,
        site: &Site,
        score: Score,
        by_hand: bool,
        alone: bool,
        inputs: &[FragmentInput],
    ) -> String {
        let here = inputs.iter().filter(|input| input.org == site.org);
        let here = here.map(|input| input.bytes).fold(0, u64::saturating_add);
        let data = match (here, score.bytes_moved) {
            (0, 0) => "no data to move".to_owned(),
            (0, moved) => format!("{} to move", words::bytes(moved)),
            (here, 0) => format!(
                "its data ({}) is there, nothing to move",
                words::bytes(here)
            ),
            (here, moved) => format!(
                "its data ({}) is there, {} to move",
                words::bytes(here),
                words::bytes(moved)
            ),
        };
        let price = match score.price {
            Money::ZERO => "free of charge".to_owned(),
            price => format!("about {price} {}", site.price.currency),
        };
        let capacity = match score.waits {
            0 => format!("{} free", words::cores(site.free.cores)),
            _ => "it must wait for capacity".to_owned(),
        };
        let how = match (by_hand, self.search.question.placement.strategy) {
            (true, _) => "chosen by hand",
            // Everything comes from elsewhere: it was chosen for another reason.
            (false, Strategy::NearData) if here == 0 && score.bytes_moved > 0 => match alone {
                true => "the only one that can run it",
                false => "least to move",
            },
            (false, Strategy::NearData) => "nearest to the data",
            (false, Strategy::Cheapest) => "cheapest",
        };
        format!("{how}: {data}; {price}; {capacity}")
    }
}

fn place(site: &Site) -> Place {
    Place {
        org: site.org,
        name: site.name.clone(),
        listing: site.listing.clone(),
        grant: site.access.grant(),
    }
}

/// The part that decided against a usable site: the first that differs, in the strategy's order.
fn why_not(other: Score, chosen: Score, strategy: Strategy, currency: &str) -> String {
    let data = || {
        let more = other.bytes_moved.checked_sub(chosen.bytes_moved)?;
        (more > 0).then(|| format!("{} more to move", words::bytes(more)))
    };
    let waits = || (other.waits > chosen.waits).then(|| "it must wait for capacity".to_owned());
    let price = || {
        let more = other.price.micros().checked_sub(chosen.price.micros())?;
        (more > 0).then(|| format!("about {} {currency} dearer", Money(more)))
    };
    let decided = match strategy {
        Strategy::NearData => data().or_else(waits).or_else(price),
        Strategy::Cheapest => price().or_else(data).or_else(waits),
    };
    decided.unwrap_or_else(|| match other.cuts.cmp(&chosen.cuts) {
        std::cmp::Ordering::Greater => "it would cut the workflow into more parts".to_owned(),
        _ => "no better".to_owned(),
    })
}

fn number(at: usize) -> u32 {
    u32::try_from(at).unwrap_or(u32::MAX)
}

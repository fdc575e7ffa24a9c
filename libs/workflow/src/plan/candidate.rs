//! One step at one site: what stands in the way, and what it would cost there.

use std::collections::BTreeMap;

use jiff::Timestamp;
use oc_kernel::Money;
use serde::{Deserialize, Serialize};

use super::{Price, Question, Site, Strategy};
use crate::steps::{Graph, Resources, Step};
use crate::words;

/// Seconds a job is taken to last when its step declares no limit.
pub(crate) const ASSUMED_SECONDS: u64 = 60;

/// A step that does not declare its output is taken to leave one part in this many of what it reads.
const OUTPUT_SHARE: u64 = 4;

/// What a choice costs, by part. The order of the parts is the strategy's.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Score {
    /// Bytes that would cross from one organisation to another.
    pub bytes_moved: u64,
    /// Estimated price in millionths of the site's currency.
    pub price: Money,
    /// Steps that would wait because capacity is taken now.
    pub waits: u32,
    /// Links that would cross from one site to another.
    pub cuts: u32,
    /// Steps at a partner rather than at home.
    pub abroad: u32,
}

impl Score {
    #[must_use]
    pub(crate) fn plus(self, other: Self) -> Self {
        Self {
            bytes_moved: self.bytes_moved.saturating_add(other.bytes_moved),
            price: self.price.saturating_add(other.price),
            waits: self.waits.saturating_add(other.waits),
            cuts: self.cuts.saturating_add(other.cuts),
            abroad: self.abroad.saturating_add(other.abroad),
        }
    }

    /// Smaller is better, part by part.
    pub(crate) fn rank(&self, strategy: Strategy) -> [u64; 5] {
        let price = self.price.micros().max(0).unsigned_abs();
        let (waits, cuts, abroad) = (self.waits.into(), self.cuts.into(), self.abroad.into());
        match strategy {
            Strategy::NearData => [self.bytes_moved, waits, price, cuts, abroad],
            Strategy::Cheapest => [price, self.bytes_moved, waits, cuts, abroad],
        }
    }
}

/// Why a step cannot run at a site.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Obstacle {
    Access(String),
    Silent {
        since: Timestamp,
    },
    Sandbox(String),
    Containers,
    TooSmall {
        needs: Resources,
        limit: Resources,
    },
    TooLong {
        needs: u64,
        longest: u64,
    },
    Budget {
        needs: u64,
        left: u64,
    },
    GrantEnds {
        needs: u64,
        ends: Timestamp,
    },
    Software(Vec<String>),
    Tools {
        owner: String,
        what: String,
        tools: Vec<String>,
    },
    Egress {
        owner: String,
        what: String,
        bytes: u64,
        left: u64,
    },
    Apart {
        what: String,
    },
}

impl Obstacle {
    /// True where asking again later may help.
    pub(crate) const fn may_pass(&self) -> bool {
        matches!(self, Self::Silent { .. })
    }

    pub(crate) fn words(&self, site: &Site, now: Timestamp) -> String {
        let name = &site.name;
        match self {
            Self::Access(reason) => reason.clone(),
            // Its listing may have been renewed a moment ago.
            Self::Silent { since } if now.duration_since(*since).as_secs() < 1 => {
                format!("{name} does not answer")
            }
            Self::Silent { since } => {
                let silent = words::between(*since, now);
                format!("{name} has not answered for {silent}")
            }
            Self::Sandbox(missing) => {
                format!(
                    "{name} has no sandbox for partners' work: {missing}; ask {name} to install bubblewrap"
                )
            }
            Self::Containers => format!("it needs a container and {name} runs none"),
            Self::TooSmall { needs, limit } => format!(
                "it needs {}, and `{}` allows {}",
                words::resources(*needs),
                site.listing,
                words::resources(*limit)
            ),
            Self::TooLong { needs, longest } => format!(
                "it may take {}, and `{}` allows {}",
                words::span(*needs),
                site.listing,
                words::span(*longest)
            ),
            Self::Budget { needs, left } => format!(
                "it may take {needs} core-seconds, and the grant has {left} left: ask {name} for more"
            ),
            Self::GrantEnds { needs, ends } => format!(
                "it may take {}, and the grant ends in {}",
                words::span(*needs),
                words::between(now, *ends)
            ),
            Self::Tools { owner, what, tools } => format!(
                "{owner} lets only {} read {what}, and only at its own machines",
                words::list(tools.iter().map(String::as_str), 4)
            ),
            Self::Egress {
                owner,
                what,
                bytes,
                left,
            } => format!(
                "{} of {what} would leave {owner}, and the grant lets {} more leave: ask {owner} for more",
                words::bytes(*bytes),
                words::bytes(*left)
            ),
            Self::Apart { what } => format!(
                "{what} and `{}` are under different grants: ask {name} for one grant on both",
                site.listing
            ),
            Self::Software(missing) => format!(
                "{name} does not have {}",
                words::list(missing.iter().map(String::as_str), 4)
            ),
        }
    }
}

/// Everything about step and site that does not depend on where other steps go.
#[derive(Debug)]
pub(crate) struct Candidates {
    /// By step, then by site.
    at: Vec<Vec<Result<Score, Obstacle>>>,
    /// By step, then by site: what it costs that the step's outputs leave the site's organisation.
    leaving: Vec<Vec<Score>>,
    /// By site: a number that sites of one organisation share.
    org: Vec<usize>,
    /// By step: estimated bytes of all its outputs.
    pub(crate) output_bytes: Vec<u64>,
}

impl Candidates {
    pub(crate) fn of(graph: &Graph<'_>, question: &Question<'_>, now: Timestamp) -> Self {
        let sites = question.sites;
        // What stands in the way of every step at a site is looked for once.
        let closed = sites
            .iter()
            .map(|site| site_obstacle(site, now).or_else(|| tools_obstacle(site, question)));
        let closed: Vec<Option<Obstacle>> = closed.collect();
        let output_bytes = output_bytes(graph, question);
        let at = graph.steps.iter().zip(&output_bytes).map(|(step, bytes)| {
            let candidate = |(site, closed): (&Site, &Option<Obstacle>)| {
                let obstacle = closed
                    .clone()
                    .or_else(|| grant_obstacle(step, site, question))
                    .or_else(|| egress_obstacle(step, site, question))
                    .or_else(|| step_obstacle(step, site, now));
                match obstacle {
                    Some(obstacle) => Err(obstacle),
                    None => Ok(score(step, site, question, *bytes)),
                }
            };
            sites.iter().zip(&closed).map(candidate).collect()
        });
        let leaving = output_bytes.iter().map(|bytes| {
            let leaving = sites.iter().map(|site| crossing(*bytes, &site.price));
            leaving.collect()
        });
        let mut numbers = BTreeMap::new();
        let org = sites.iter().map(|site| {
            let next = numbers.len();
            *numbers.entry(site.org).or_insert(next)
        });
        Self {
            at: at.collect(),
            leaving: leaving.collect(),
            org: org.collect(),
            output_bytes,
        }
    }

    /// The score of a step at a site by itself, or what stands in the way.
    pub(crate) fn get(&self, step: usize, site: usize) -> Result<Score, &Obstacle> {
        self.at[step][site].as_ref().copied()
    }

    /// What a link from `step` costs when it leads from one site to another.
    pub(crate) fn link(&self, step: usize, from: usize, to: usize) -> Score {
        if from == to {
            return Score::default();
        }
        let crossing = match self.org[from] == self.org[to] {
            true => Score::default(),
            false => self.leaving[step][from],
        };
        Score {
            cuts: 1,
            ..crossing
        }
    }
}

fn site_obstacle(site: &Site, now: Timestamp) -> Option<Obstacle> {
    let what = format!("offer `{}`", site.listing);
    if let Some(reason) = site.access.refusal(&what, &site.name, now) {
        return Some(Obstacle::Access(reason));
    }
    if let Some(since) = site.silent_since {
        return Some(Obstacle::Silent { since });
    }
    let missing = site.sandbox_missing.clone()?;
    Some(Obstacle::Sandbox(missing))
}

/// Whoever lists the tools that read its data can look only at what it runs itself, and lists whole documents: so
/// each step goes where the data are.
fn tools_obstacle(site: &Site, question: &Question<'_>) -> Option<Obstacle> {
    let mut elsewhere = question.data.values().filter(|data| data.org != site.org);
    elsewhere.find_map(|data| {
        let tools = data.tools.clone()?;
        Some(Obstacle::Tools {
            owner: data.name.clone(),
            what: data.what.clone(),
            tools,
        })
    })
}

/// What a step reads elsewhere leaves its holder, within what the grant lets leave.
/// One attempt works under one grant: that on its machines.
fn grant_obstacle(step: &Step, site: &Site, question: &Question<'_>) -> Option<Obstacle> {
    let grant = site.access.grant()?;
    let read = step
        .inputs
        .iter()
        .filter_map(|input| question.data.get(input));
    let mut here = read.filter(|data| data.org == site.org && !data.under.is_empty());
    let apart = here.find(|data| !data.under.contains(&grant))?;
    Some(Obstacle::Apart {
        what: apart.what.clone(),
    })
}

fn egress_obstacle(step: &Step, site: &Site, question: &Question<'_>) -> Option<Obstacle> {
    let read = step
        .inputs
        .iter()
        .filter_map(|input| question.data.get(input));
    let mut leaving = read.filter(|data| data.org != site.org);
    leaving.find_map(|data| {
        let left = data.egress_left.filter(|left| data.bytes > *left)?;
        Some(Obstacle::Egress {
            owner: data.name.clone(),
            what: data.what.clone(),
            bytes: data.bytes,
            left,
        })
    })
}

fn step_obstacle(step: &Step, site: &Site, now: Timestamp) -> Option<Obstacle> {
    let needs = &step.needs;
    if needs.container && !site.containers {
        return Some(Obstacle::Containers);
    }
    if !needs.resources.fits(site.limit) {
        return Some(Obstacle::TooSmall {
            needs: needs.resources,
            limit: site.limit,
        });
    }
    if let Some(seconds) = needs.seconds {
        if let Some(longest) = site.longest_seconds.filter(|longest| seconds > *longest) {
            return Some(Obstacle::TooLong {
                needs: seconds,
                longest,
            });
        }
        let core_seconds = core_seconds(step);
        if let Some(left) = site.core_seconds_left.filter(|left| core_seconds > *left) {
            return Some(Obstacle::Budget {
                needs: core_seconds,
                left,
            });
        }
        let left = |ends: Timestamp| ends.duration_since(now).as_secs();
        let short = |ends: &Timestamp| u64::try_from(left(*ends)).unwrap_or(0) < seconds;
        if let Some(ends) = site.access.ends().filter(short) {
            return Some(Obstacle::GrantEnds {
                needs: seconds,
                ends,
            });
        }
    }
    // Without a limit of its own a step takes what is left; a core for a second is the least.
    let least = u64::from(needs.resources.cores);
    if let Some(left) = site.core_seconds_left.filter(|left| *left < least) {
        return Some(Obstacle::Budget { needs: least, left });
    }
    let software = site.software.as_ref()?;
    let missing: Vec<String> = needs.software.difference(software).cloned().collect();
    (!missing.is_empty()).then_some(Obstacle::Software(missing))
}

fn score(step: &Step, site: &Site, question: &Question<'_>, output_bytes: u64) -> Score {
    let mut score = Score {
        price: estimate(step, site),
        waits: u32::from(!step.needs.resources.fits(site.free)),
        abroad: u32::from(site.access.grant().is_some()),
        ..Score::default()
    };
    let data = step
        .inputs
        .iter()
        .filter_map(|input| question.data.get(input));
    for data in data.filter(|data| data.org != site.org) {
        score = score.plus(crossing(data.bytes, &data.price));
    }
    if question.storage.org != site.org && feeds_an_output(step, question) {
        score = score.plus(crossing(output_bytes, &site.price));
    }
    score
}

/// What it costs that bytes leave someone who asks `price`.
pub(crate) fn crossing(bytes: u64, price: &Price) -> Score {
    Score {
        bytes_moved: bytes,
        price: price.of_egress(bytes),
        ..Score::default()
    }
}

pub(crate) fn feeds_an_output(step: &Step, question: &Question<'_>) -> bool {
    let mut sources = question.steps.outputs.values();
    sources.any(|steps| steps.contains(&step.id))
}

/// The price of all jobs of a step at a site.
pub(crate) fn estimate(step: &Step, site: &Site) -> Money {
    site.price.of_cores(core_seconds(step))
}

/// Core-seconds of all jobs of a step, declared or assumed.
fn core_seconds(step: &Step) -> u64 {
    let seconds = step.needs.seconds.unwrap_or(ASSUMED_SECONDS);
    let jobs = step.needs.resources.times(step.needs.width.max(1));
    u64::from(jobs.cores.max(1)).saturating_mul(seconds)
}

fn output_bytes(graph: &Graph<'_>, question: &Question<'_>) -> Vec<u64> {
    let mut output: Vec<u64> = vec![0; graph.steps.len()];
    for &number in &graph.order {
        let step = &graph.steps[number];
        let jobs = u64::from(step.needs.width.max(1));
        let data = step
            .inputs
            .iter()
            .filter_map(|input| question.data.get(input));
        let links = graph.upstream[number].iter().map(|from| output[*from]);
        let read = data
            .map(|data| data.bytes)
            .chain(links)
            .fold(0, u64::saturating_add);
        output[number] = match step.needs.output_bytes {
            Some(declared) => declared.saturating_mul(jobs),
            None => read / OUTPUT_SHARE,
        };
    }
    output
}

//! A plan: which steps run together, where, why there, and what that costs.
//!
//! Steps are placed one by one (automatically, or by hand where a person said so) and then cut into
//! fragments. The planner is told everything it must know ([`Question`]); it asks nobody, holds
//! nothing, and gives the same plan for the same question.

mod assign;
mod candidate;
mod cut;
mod describe;
mod nowhere;
mod site;
mod warnings;

use std::collections::{BTreeMap, BTreeSet};

use jiff::Timestamp;
use oc_kernel::{Classify, GrantId, Kind, Money, Name, OrgId};
use serde::{Deserialize, Serialize};

use crate::steps::{Resources, Steps, StepsError};
use assign::Search;
use candidate::Candidates;
pub use candidate::Score;
pub use site::{Access, InputData, Price, Site, Storage};

/// What is to be placed, and where it could go.
#[derive(Debug, Clone, Copy)]
pub struct Question<'a> {
    /// The workflow.
    pub steps: &'a Steps,
    /// The run's inputs that are data, by the workflow's input name. Plain values are left out.
    pub data: &'a BTreeMap<String, InputData>,
    /// Where the outputs go.
    pub storage: &'a Storage,
    /// Every compute offer that is known, usable or not: the plan says why it did not take one.
    pub sites: &'a [Site],
    /// What the person asked for.
    pub placement: &'a Placement,
}

/// How sites are chosen.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Placement {
    /// What counts most where no site is named.
    #[serde(default)]
    pub strategy: Strategy,
    /// By step the site it must run at: an organisation's id or name, or a compute listing.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub steps: BTreeMap<String, String>,
}

/// What counts most when sites are compared.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Strategy {
    /// Fewest bytes between organisations; then no waiting, then the price.
    #[default]
    NearData,
    /// The lowest price; then fewest bytes, then no waiting.
    Cheapest,
}

/// Where and how a workflow will run.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Plan {
    /// When it was made; capacity and grants are as they were then.
    pub made_at: Timestamp,
    /// The strategy it followed.
    pub strategy: Strategy,
    /// In an order in which each comes after those it reads from.
    pub fragments: Vec<FragmentPlan>,
    /// Estimated sum by currency.
    pub cost: BTreeMap<String, Money>,
    /// The most that its machines can cost, with the estimate of what is moved, by currency.
    #[serde(default)]
    pub most: BTreeMap<String, Money>,
    /// Estimated bytes between organisations.
    pub bytes_moved: u64,
    /// What a person should know before she starts.
    pub warnings: Vec<String>,
}

/// A convex set of steps at one site.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct FragmentPlan {
    /// Its number in the plan, from 0.
    pub index: u32,
    /// Where it runs.
    pub site: Place,
    /// Its steps, each after what it reads.
    pub steps: Vec<String>,
    /// The fragments it reads from.
    pub upstream: Vec<u32>,
    /// What it reads from outside.
    pub inputs: Vec<FragmentInput>,
    /// What leaves it.
    pub outputs: Vec<FragmentOutput>,
    /// What it will ask for: enough for its largest job, and for more side by side where that is free.
    pub resources: Resources,
    /// The wall time it will ask for, in seconds.
    pub wall_seconds: u64,
    /// Estimated price, by which sites are compared.
    pub cost: Money,
    /// The most that it can cost: all that it holds, for all the wall time it asks for, and what is moved.
    #[serde(default)]
    pub most: Money,
    /// The currency of the price.
    pub currency: String,
    /// The parts that were compared.
    pub score: Score,
    /// A person chose the site of at least one of its steps.
    pub by_hand: bool,
    /// Why this site, in a sentence.
    pub reason: String,
    /// Other sites, the usable ones first, best first.
    pub alternatives: Vec<Alternative>,
    /// Sites that were looked at and are not listed.
    pub others: u32,
}

/// A compute offer that a plan names.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Place {
    /// Whose machines.
    pub org: OrgId,
    /// What people call the organisation.
    pub name: String,
    /// The compute listing.
    pub listing: Name,
    /// The grant that allows it; none at home.
    pub grant: Option<GrantId>,
}

/// Something a fragment reads from outside.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct FragmentInput {
    /// What it reads.
    pub from: Source,
    /// Who holds it when the fragment starts.
    pub org: OrgId,
    /// Its bytes, estimated where it does not exist yet.
    pub bytes: u64,
}

/// Where an input of a fragment comes from.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Source {
    /// An input of the run.
    Run {
        /// Its name.
        input: String,
    },
    /// A step of another fragment.
    Step {
        /// The step.
        step: String,
        /// The fragment it is in.
        fragment: u32,
    },
}

/// Something that leaves a fragment.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct FragmentOutput {
    /// The step that makes it.
    pub step: String,
    /// The fragments that read it.
    pub fragments: Vec<u32>,
    /// The outputs of the workflow that come from it.
    pub outputs: Vec<String>,
}

/// A site that was not taken.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Alternative {
    /// Where.
    pub site: Place,
    /// The fragment could move there.
    pub usable: bool,
    /// What would have been compared; none when it is not usable.
    pub score: Option<Score>,
    /// The most that the fragment would cost there; none when it is not usable.
    #[serde(default)]
    pub most: Option<Money>,
    /// The currency of that.
    #[serde(default)]
    pub currency: String,
    /// Why not, in a sentence.
    pub reason: String,
}

impl FragmentPlan {
    /// True where the fragment costs no more than what was agreed to with the plan. Amounts in two currencies are
    /// not compared.
    pub fn covers(&self, other: &Alternative) -> bool {
        other.most.is_some_and(|most| {
            most == Money::ZERO || (other.currency == self.currency && most <= self.most)
        })
    }
}

/// Why there is no plan.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum PlanError {
    /// The steps themselves are at fault.
    #[error(transparent)]
    Steps(#[from] StepsError),
    /// The placement names a step that does not exist.
    #[error("the placement names step `{step}`, which the workflow does not have: it has {known}")]
    UnknownStep {
        /// What was named.
        step: String,
        /// Steps there are.
        known: String,
    },
    /// The placement names a site that is not known.
    #[error(
        "step `{step}` cannot be placed at `{site}`, which offers no machines that are known here: {known}"
    )]
    UnknownSite {
        /// The step.
        step: String,
        /// What was named.
        site: String,
        /// Sites there are, in words.
        known: String,
    },
    /// The site a person chose cannot run the step.
    #[error("step `{step}` cannot run at `{site}`: {reason}")]
    ByHand {
        /// The step.
        step: String,
        /// The site.
        site: String,
        /// Why not.
        reason: String,
        /// It does not answer, which may pass.
        silent: bool,
    },
    /// No site can run the step.
    #[error("step `{step}` can run nowhere: {reasons}")]
    NoSite {
        /// The step.
        step: String,
        /// Why not, by site.
        reasons: String,
        /// One of them does not answer, which may pass.
        silent: bool,
    },
    /// An input may not be read.
    #[error("input `{input}` cannot be read: {reason}")]
    Data {
        /// The workflow's input.
        input: String,
        /// Why not, and what to do.
        reason: String,
    },
    /// Nobody waits for the plan any more.
    #[error("the plan was given up")]
    GivenUp,
    /// The outputs may not be stored.
    #[error("the outputs cannot be stored: {reason}")]
    Storage {
        /// Why not, and what to do.
        reason: String,
    },
}

impl Classify for PlanError {
    fn kind(&self) -> Kind {
        match self {
            Self::Steps(_) | Self::UnknownStep { .. } | Self::UnknownSite { .. } => Kind::Invalid,
            // Whoever does not answer has not refused.
            Self::ByHand { silent: true, .. } | Self::NoSite { silent: true, .. } => {
                Kind::Unavailable
            }
            Self::ByHand { .. } | Self::NoSite { .. } => Kind::Precondition,
            Self::Data { .. } | Self::Storage { .. } => Kind::Precondition,
            Self::GivenUp => Kind::Timeout,
        }
    }
}

/// Places the steps of a workflow and cuts them into fragments.
///
/// # Errors
/// When the steps cannot be ordered, something may not be used, or a step has no site; the text has
/// the reason of each site and what to do about it.
pub fn plan(question: &Question<'_>, now: Timestamp) -> Result<Plan, PlanError> {
    plan_while(question, now, &|| true)
}

/// The same, for as long as `wanted` says that somebody waits for it: the search takes long where there are many
/// steps and sites.
///
/// # Errors
/// As [`plan`], and when it was given up.
pub fn plan_while(
    question: &Question<'_>,
    now: Timestamp,
    wanted: &dyn Fn() -> bool,
) -> Result<Plan, PlanError> {
    let graph = question.steps.graph()?;
    check_access(question, now)?;
    let by_hand = by_hand(question)?;
    let candidates = Candidates::of(&graph, question, now);
    let search = Search {
        graph: &graph,
        question,
        candidates: &candidates,
        by_hand: &by_hand,
        wanted,
    };
    let sites = search
        .best()
        .map_err(|step| nowhere::nowhere(&search, step, now))?;
    if !wanted() {
        return Err(PlanError::GivenUp);
    }
    let sites = match question.data.iter().find(|(_, data)| data.tools.is_some()) {
        Some((input, data)) => search.at_one_site().ok_or_else(|| not_whole(input, data))?,
        None => sites,
    };
    let cuts = cut::cut(&graph, &sites);
    Ok(describe::plan(&search, &sites, &cuts, now))
}

/// A listed tool runs whole or not at all.
fn not_whole(input: &str, data: &InputData) -> PlanError {
    let (owner, what) = (&data.name, &data.what);
    let reason = format!(
        "what may read {what} is listed as a whole, and none of {owner}'s offers can take all its steps: place them \
         together, or ask {owner} for a larger one"
    );
    let input = input.to_owned();
    PlanError::Data { input, reason }
}

fn check_access(question: &Question<'_>, now: Timestamp) -> Result<(), PlanError> {
    for (input, data) in question.data {
        if let Some(reason) = data.access.refusal(&data.what, &data.name, now) {
            let input = input.clone();
            return Err(PlanError::Data { input, reason });
        }
    }
    let storage = question.storage;
    let what = format!("storage `{}`", storage.listing);
    match storage.access.refusal(&what, &storage.name, now) {
        Some(reason) => Err(PlanError::Storage { reason }),
        None => Ok(()),
    }
}

/// By step the sites its placement names; an organisation with several offers names them all.
fn by_hand(question: &Question<'_>) -> Result<Vec<Option<Vec<usize>>>, PlanError> {
    let steps = &question.steps.steps;
    let wanted = &question.placement.steps;
    if let Some(step) = wanted
        .keys()
        .find(|id| !steps.iter().any(|step| step.id == **id))
    {
        return Err(PlanError::UnknownStep {
            step: step.clone(),
            known: crate::words::list(steps.iter().map(|step| step.id.as_str()), 8),
        });
    }
    let chosen = steps.iter().map(|step| {
        let Some(text) = wanted.get(&step.id) else {
            return Ok(None);
        };
        let matching: Vec<usize> = question
            .sites
            .iter()
            .enumerate()
            .filter(|(_, site)| names(site, text))
            .map(|(number, _)| number)
            .collect();
        if matching.is_empty() {
            return Err(PlanError::UnknownSite {
                step: step.id.clone(),
                site: text.clone(),
                known: known(question.sites),
            });
        }
        Ok(Some(matching))
    });
    chosen.collect()
}

/// Whose machines are known, in words.
fn known(sites: &[Site]) -> String {
    let names: BTreeSet<&str> = sites.iter().map(|site| site.name.as_str()).collect();
    match names.is_empty() {
        true => "nobody does".to_owned(),
        false => format!("known are those of {}", crate::words::list(names, 8)),
    }
}

fn names(site: &Site, text: &str) -> bool {
    site.listing.as_str() == text
        || site.name.eq_ignore_ascii_case(text)
        || text.parse::<OrgId>().is_ok_and(|org| org == site.org)
}

//! Rules by which grants are approved without an administrator.

use jiff::Timestamp;
use oc_kernel::{Classify, Kind, Name, OrgId};
use oc_trust::{Limits, Tool};
use serde::{Deserialize, Serialize};

use super::request::GrantRequest;

/// A rule. The first one that is for the consumer and the listings decides.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Rule {
    /// Rules are tried in the order of their names.
    pub name: Name,
    /// Who it is for; empty means every member.
    pub consumers: Vec<OrgId>,
    /// What it is for; empty means everything.
    pub listings: Vec<Name>,
    /// What it approves at most.
    pub limits: Limits,
    /// The longest life it approves, in seconds.
    pub longest_seconds: u64,
    /// The only tools that may read the data of a grant by this rule; none means any.
    pub tools: Option<Vec<Tool>>,
}

/// Why a rule is refused.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum RuleError {
    /// Nothing could ever be approved by it.
    #[error("a rule needs a life above zero for its grants")]
    NoLife,
    /// Too long a list.
    #[error("a rule may name {most} {what}")]
    TooMany {
        /// Of what.
        what: &'static str,
        /// How many at most.
        most: usize,
    },
    /// A tool that another organisation lists.
    #[error(
        "a tool of a grant is a listing of our own, and `{owner}/{id}` is not: its owner could list another program \
         under that name; list the service or workflow here and name that"
    )]
    OtherTool {
        /// Who lists it.
        owner: OrgId,
        /// Its listing.
        id: Name,
    },
    /// There is none of that name.
    #[error("no rule `{0}` here")]
    Unknown(Name),
}

impl Classify for RuleError {
    fn kind(&self) -> Kind {
        match self {
            RuleError::Unknown(_) => Kind::NotFound,
            _ => Kind::Invalid,
        }
    }
}

impl Rule {
    /// Longest list in a rule.
    const MOST: usize = 1000;

    /// Checks a new rule.
    ///
    /// # Errors
    /// The first thing that is wrong.
    pub fn check(&self) -> Result<(), RuleError> {
        if self.longest_seconds == 0 {
            return Err(RuleError::NoLife);
        }
        let lists = [
            ("consumers", self.consumers.len()),
            ("listings", self.listings.len()),
            ("tools", self.tools.as_ref().map_or(0, Vec::len)),
        ];
        match lists.into_iter().find(|(_, length)| *length > Self::MOST) {
            Some((what, _)) => Err(RuleError::TooMany {
                what,
                most: Self::MOST,
            }),
            None => Ok(()),
        }
    }

    fn is_for(&self, consumer: &OrgId, request: &GrantRequest) -> bool {
        let listed = |id| self.listings.is_empty() || self.listings.contains(id);
        (self.consumers.is_empty() || self.consumers.contains(consumer))
            && request.listings.iter().all(|asked| listed(&asked.id))
    }

    /// What of the request is more than the rule approves.
    fn exceeded_by(&self, request: &GrantRequest, now: Timestamp) -> Option<String> {
        if let Err(over) = request.limits.within(&self.limits) {
            return Some(over.to_string());
        }
        let from = request.not_before_ms.max(super::ms(now));
        let seconds = request.not_after_ms.saturating_sub(from).div_ceil(1000);
        (seconds > self.longest_seconds).then(|| {
            format!(
                "{seconds} seconds of life asked for, {} allowed",
                self.longest_seconds
            )
        })
    }
}

/// Checks the tools that `me` lets read its data: what a listing holds is its owner's to change.
///
/// # Errors
/// The first that another organisation lists.
pub fn own_tools(tools: Option<&[Tool]>, me: &OrgId) -> Result<(), RuleError> {
    let other = tools.into_iter().flatten().find_map(|tool| match tool {
        Tool::Listing { owner, id } if owner != me => Some((*owner, id.clone())),
        Tool::Listing { .. } | Tool::Digest(_) => None,
    });
    match other {
        Some((owner, id)) => Err(RuleError::OtherTool { owner, id }),
        None => Ok(()),
    }
}

/// What the rules say to a request.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Decision<'a> {
    /// It is approved as it was asked for.
    Approve(&'a Rule),
    /// An administrator must decide; why, for people.
    Wait(String),
}

/// Asks the rules, in the order of their names.
pub fn decide<'a>(
    rules: &'a [Rule],
    consumer: &OrgId,
    request: &GrantRequest,
    now: Timestamp,
) -> Decision<'a> {
    let mut rules: Vec<&Rule> = rules.iter().collect();
    rules.sort_by(|a, b| a.name.cmp(&b.name));
    let Some(rule) = rules
        .into_iter()
        .find(|rule| rule.is_for(consumer, request))
    else {
        return Decision::Wait("no rule is for this request: an administrator decides".to_owned());
    };
    match rule.exceeded_by(request, now) {
        None => Decision::Approve(rule),
        Some(over) => Decision::Wait(format!(
            "more than rule `{}` approves ({over}): an administrator decides",
            rule.name
        )),
    }
}

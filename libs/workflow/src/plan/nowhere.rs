//! Why a step has no site, in a sentence.

use jiff::Timestamp;
use oc_kernel::OrgId;

use super::PlanError;
use super::assign::Search;
use super::describe::UNUSABLE_SHOWN;

/// The error for a step that has no site: every reason, most telling first.
pub(crate) fn nowhere(search: &Search<'_>, step: usize, now: Timestamp) -> PlanError {
    let id = search.graph.steps[step].id.clone();
    let sites = search.question.sites;
    let obstacles = |chosen: &mut dyn Iterator<Item = usize>| {
        let found = chosen.filter_map(|site| Some((site, search.obstacle(step, site)?)));
        let mut found: Vec<_> = found.collect();
        // Who does not answer may answer later: that is worth most.
        found.sort_by_key(|(_, obstacle)| !obstacle.may_pass());
        let silent = found.first().is_some_and(|(_, first)| first.may_pass());
        let reasons = found.into_iter();
        let reasons = reasons.map(|(site, obstacle)| obstacle.words(&sites[site], now));
        (reasons.collect::<Vec<String>>(), silent)
    };
    if let Some(chosen) = &search.by_hand[step] {
        let (reasons, silent) = obstacles(&mut chosen.iter().copied());
        let typed = &search.question.placement.steps[&id];
        // An id is told by the name of whose it is.
        let named = chosen
            .first()
            .filter(|_| typed.parse::<OrgId>().is_ok())
            .map(|site| &sites[*site].name);
        return PlanError::ByHand {
            site: named.unwrap_or(typed).clone(),
            step: id,
            reason: reasons.join("; "),
            silent,
        };
    }
    let (reasons, silent) = obstacles(&mut (0..sites.len()));
    let reasons = match reasons.is_empty() {
        true => "no compute offer is known: make one, or find a partner with one".to_owned(),
        false => {
            let shown = reasons[..reasons.len().min(UNUSABLE_SHOWN)].join("; ");
            match reasons.len().saturating_sub(UNUSABLE_SHOWN) {
                0 => shown,
                more => format!("{shown}; and {more} more sites"),
            }
        }
    };
    PlanError::NoSite {
        step: id,
        reasons,
        silent,
    }
}

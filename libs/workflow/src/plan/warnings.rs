//! What a person should know of a plan before she starts it.

use std::collections::{BTreeMap, BTreeSet};

use jiff::Timestamp;
use oc_kernel::Money;

use super::candidate::{ASSUMED_SECONDS, feeds_an_output};
use super::describe::View;
use crate::words;

/// A grant that ends within this many seconds is worth a warning.
const ENDS_SOON_SECONDS: i64 = 3_600;

impl View<'_> {
    pub(super) fn warnings(&self, cost: &BTreeMap<String, Money>) -> Vec<String> {
        let mut warnings = Vec::new();
        let steps = self.search.graph.steps.iter();
        let guessed = steps.filter(|step| step.needs.seconds.is_none());
        let guessed: Vec<&str> = guessed.map(|step| step.id.as_str()).collect();
        let priced = cost.values().any(|cost| *cost != Money::ZERO);
        if priced && !guessed.is_empty() {
            warnings.push(format!(
                "sites are compared at {ASSUMED_SECONDS} s a job where no ToolTimeLimit is declared, and may take all \
                 they allow: {}",
                words::list(guessed, 6)
            ));
        }
        let currencies = cost.iter().filter(|(_, cost)| **cost != Money::ZERO);
        let currencies: Vec<&str> = currencies.map(|(name, _)| name.as_str()).collect();
        if currencies.len() > 1 {
            let names = words::list(currencies, 6);
            warnings.push(format!("prices in {names} were compared number by number"));
        }
        let used: BTreeSet<usize> = self.cuts.iter().map(|cut| cut.site).collect();
        for site in used.into_iter().map(|number| self.site(number)) {
            let left = |ends: &Timestamp| ends.duration_since(self.now).as_secs();
            let soon = |ends: &Timestamp| left(ends) < ENDS_SOON_SECONDS;
            if let Some(ends) = site.access.ends().filter(soon) {
                warnings.push(format!(
                    "the grant on `{}` of {} ends in {}",
                    site.listing,
                    site.name,
                    words::between(self.now, ends)
                ));
            }
        }
        for cut in self.cuts {
            let site = self.site(cut.site);
            let waits = |&&step: &&usize| !self.step(step).needs.resources.fits(site.free);
            if let Some(&step) = cut.steps.iter().find(waits) {
                warnings.push(format!(
                    "step `{}` needs {}, and {} has {} free now: it will wait",
                    self.step(step).id,
                    words::resources(self.step(step).needs.resources),
                    site.name,
                    words::resources(site.free)
                ));
            }
        }
        warnings.extend(self.unread());
        warnings
    }

    /// Steps whose work nobody reads cost without use.
    fn unread(&self) -> Option<String> {
        let unread = |&step: &usize| {
            self.search.graph.downstream[step].is_empty()
                && !feeds_an_output(self.step(step), self.search.question)
        };
        let steps: Vec<usize> = (0..self.sites.len()).filter(unread).collect();
        let names = steps.iter().map(|step| self.step(*step).id.as_str());
        let names = words::list(names, 6);
        (!steps.is_empty()).then(|| format!("nothing reads the outputs of: {names}"))
    }
}

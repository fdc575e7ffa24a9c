//! What a consumer finds wrong in new records, and what becomes of it: told to the provider and kept, or waited for.

use std::collections::{BTreeMap, BTreeSet};

use oc_kernel::OrgId;
use oc_trust::{Grant, Objection, RecordId, UsageRecord, audit};

use super::books::Books;
use super::cause::Cause;
use super::consume::News;
use super::error::AccountingError;
use super::provide::disputed;
use super::service::Accounting;

/// How long after its end an attempt may be unknown here before that is an objection, in ms: our own event
/// about it may still be on its way.
const EVENT_DELAY_MS: u64 = 60_000;

/// Whether an objection is to be made now.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Judgement {
    /// It is wrong.
    Firm,
    /// Our own event about the attempt may still be on its way.
    Waiting,
}

impl Judgement {
    fn of(objection: &Objection, record: &UsageRecord, seen: bool, now_ms: u64) -> Self {
        let young = record.ended_ms.saturating_add(EVENT_DELAY_MS) > now_ms;
        match objection {
            Objection::Attempt(_) if young && !seen => Judgement::Waiting,
            _ => Judgement::Firm,
        }
    }
}

impl Accounting {
    /// Everything that is wrong with the new records. One that a later one of them corrects is judged through that.
    pub(crate) async fn audit(
        &self,
        news: &News,
        terms: &Grant,
        me: OrgId,
    ) -> Result<BTreeMap<u64, (Cause, Judgement)>, AccountingError> {
        let corrected: BTreeSet<&RecordId> = news
            .records
            .iter()
            .filter_map(|record| record.corrects.as_ref())
            .collect();
        let now_ms = self.0.clock.now_ms();
        let mut seen = BTreeSet::new();
        let mut found = BTreeMap::new();
        for record in &news.records {
            let twice = !seen.insert(&record.id) || self.0.ledger.find(&record.id).await?.is_some();
            let own = self.0.observations.get(&record.attempt.to_string()).await?;
            let own = own.map(|own| own.value).filter(|own| own.grant == terms.id);
            let observed = own.as_ref().map(|own| own.observed(now_ms));
            let objection = if twice {
                Err(Objection::Twice(record.attempt))
            } else if corrected.contains(&record.id) {
                Ok(())
            } else {
                audit(record, observed.as_ref(), terms)
            };
            let objection = match (objection, &record.corrects) {
                (Ok(()), Some(id)) => self.check_corrected(id, record, &seen).await?,
                (objection, _) => objection,
            };
            let Err(objection) = objection else { continue };
            let judgement = Judgement::of(&objection, record, own.is_some(), now_ms);
            let cause = Cause::objection(record, &objection, me, now_ms);
            found.insert(record.seq, (cause, judgement));
        }
        Ok(found)
    }

    /// A correction must follow the record that it names.
    async fn check_corrected(
        &self,
        id: &RecordId,
        record: &UsageRecord,
        seen: &BTreeSet<&RecordId>,
    ) -> Result<Result<(), Objection>, AccountingError> {
        let known = seen.contains(id) || self.0.ledger.find(id).await?.is_some();
        Ok(known
            .then_some(())
            .ok_or_else(|| Objection::Id(record.id.clone())))
    }

    /// Tells the provider and keeps the objections; what may yet explain itself is only said to the caller.
    pub(crate) async fn object(
        &self,
        books: &Books,
        found: BTreeMap<u64, (Cause, Judgement)>,
    ) -> Result<Vec<Cause>, AccountingError> {
        let grant = books.grant;
        let causes = found.values().map(|(cause, _)| cause.clone()).collect();
        let firm: BTreeMap<u64, Cause> = found
            .into_iter()
            .filter(|(_, (_, judgement))| *judgement == Judgement::Firm)
            .map(|(position, (cause, _))| (position, cause))
            .collect();
        let news: Vec<(u64, Cause)> = firm
            .iter()
            .filter(|(position, _)| !books.disputes.contains_key(position))
            .map(|(position, cause)| (*position, cause.clone()))
            .collect();
        self.0
            .books
            .update(&grant.to_string(), |books| {
                books.disputes.clear();
                for (position, cause) in &firm {
                    books.dispute(*position, cause.clone());
                }
                let events = news.iter();
                Ok::<_, AccountingError>(
                    events
                        .map(|(position, cause)| disputed(grant, *position, cause))
                        .collect(),
                )
            })
            .await?;
        for (position, cause) in &firm {
            let told = self
                .0
                .providers
                .dispute(books.other, grant, *position, cause);
            told.await?;
        }
        Ok(causes)
    }
}

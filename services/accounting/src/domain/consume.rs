//! The consumer's side: fetching the provider's log, auditing it, countersigning or objecting.

use std::collections::{BTreeMap, BTreeSet};

use oc_kernel::{GrantId, OrgId};
use oc_trust::{
    Digest, Frontier, Grant, Here, Objection, RecordId, Sealed, UsageHead, UsageRecord, audit,
    countersign, merkle, open,
};

use super::books::{Books, Side};
use super::cause::Cause;
use super::error::AccountingError;
use super::key::BooksKey;
use super::observation::{AttemptSeen, Observation};
use super::provide::{MOST_IN_ONE_ANSWER, MOST_IN_ONE_STEP, disputed, settled};
use super::service::Accounting;
use crate::ports::OfferedHead;

/// How long after its end an attempt may be unknown here before that is an objection, in ms: our own event
/// about it may still be on its way.
const EVENT_DELAY_MS: u64 = 60_000;

/// What a settlement came to.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Settled {
    /// Records that both sides agree on.
    pub size: u64,
    /// True when the provider's newest head has both signatures.
    pub countersigned: bool,
    /// Why it has not.
    pub causes: Vec<Cause>,
}

/// New records and what was found in them.
struct Step {
    head: Sealed<UsageHead>,
    first: u64,
    records: Vec<UsageRecord>,
}

impl Accounting {
    /// Takes note of what we saw of an attempt of ours.
    ///
    /// # Errors
    /// The store's.
    pub async fn observe(&self, seen: &AttemptSeen) -> Result<(), AccountingError> {
        self.0
            .observations
            .update_or_create(
                &seen.attempt.to_string(),
                || seen.first(),
                |observation| {
                    seen.apply(observation);
                    Ok::<_, AccountingError>(Vec::new())
                },
            )
            .await?;
        Ok(())
    }

    /// Fetches what is new in the provider's log, audits it, and countersigns or objects. On the provider's side
    /// it only says where the books stand: the consumer settles.
    ///
    /// # Errors
    /// When the grant is not known, the provider cannot be reached, its log does not hold, or the store's.
    pub async fn settle(&self, grant: GrantId) -> Result<Settled, AccountingError> {
        let lock = self.settling(grant);
        let _settling = lock.lock().await;
        let books = self.books_of(grant).await?.value;
        if books.side == Side::Provider {
            let state = self.books_state(BooksKey::Grant(grant)).await?;
            return Ok(Settled {
                size: state.agreed_size,
                countersigned: state.countersigned,
                causes: state.disputes,
            });
        }
        loop {
            let (settled, more) = self.settle_step(grant).await?;
            if !more || !settled.countersigned {
                return Ok(settled);
            }
        }
    }

    async fn settle_step(&self, grant: GrantId) -> Result<(Settled, bool), AccountingError> {
        let books = self.books_of(grant).await?.value;
        let terms = books.grant()?;
        let key = BooksKey::Grant(grant);
        let known = self.0.model.catch_up(key).await?;
        let offered = self.0.providers.head(books.other, grant, known).await?;
        let head = self.check_head(&books, &terms, known, &offered).await?;
        let more = head.statement().size == known + MOST_IN_ONE_STEP;

        let step = self.fetch(&books, known, head).await?;
        let me = self.me().await?;
        let found = self.audit(&step, &terms, me).await?;
        if !found.is_empty() {
            let causes = self.object(&books, found).await?;
            let settled = Settled {
                size: books.agreed_size,
                countersigned: false,
                causes,
            };
            return Ok((settled, false));
        }
        self.agree(&books, step).await?;
        let size = self.0.model.size(key);
        let settled = Settled {
            size,
            countersigned: true,
            causes: Vec::new(),
        };
        Ok((settled, more))
    }

    /// The head must be the provider's, of this grant, and go on from the log we know.
    async fn check_head(
        &self,
        books: &Books,
        terms: &Grant,
        known: u64,
        offered: &OfferedHead,
    ) -> Result<Sealed<UsageHead>, AccountingError> {
        let keys = self.0.organisation.keys(books.other).await?;
        let here = Here {
            network: &terms.network,
            now_ms: self.0.clock.now_ms(),
        };
        let sealed = open::<UsageHead>(&offered.envelope, keys.current(), &here)?;
        let head = sealed.statement();
        let wrong = |what: String| Err(AccountingError::Log(what));
        if head.grant != terms.id
            || head.provider != terms.provider
            || head.consumer != terms.consumer
        {
            return wrong("its head is of another grant".to_owned());
        }
        if head.size < known {
            let size = head.size;
            return wrong(format!("it had {known} records and now has {size}"));
        }
        let root = self.0.model.frontier(BooksKey::Grant(terms.id)).root();
        let path = offered.consistency.iter().map(|hash| {
            let bytes = hash.as_slice().try_into().ok()?;
            Some(Digest::from_bytes(bytes))
        });
        let path: Option<Vec<Digest>> = path.collect();
        let consistent = path.is_some_and(|path| {
            merkle::verify_consistency(known, &root, head.size, &head.root, &path)
        });
        if !consistent {
            return wrong(format!("its first {known} records are not those we have"));
        }
        Ok(sealed)
    }

    /// Fetches the records up to the head, and checks that they are those it was signed over.
    async fn fetch(
        &self,
        books: &Books,
        first: u64,
        head: Sealed<UsageHead>,
    ) -> Result<Step, AccountingError> {
        let mut frontier = self.0.model.frontier(BooksKey::Grant(books.grant));
        let size = head.statement().size;
        let mut records: Vec<UsageRecord> = Vec::new();
        while frontier.size() < size {
            let left = u32::try_from(size - frontier.size()).unwrap_or(u32::MAX);
            let limit = left.min(MOST_IN_ONE_ANSWER);
            let answer = self
                .0
                .providers
                .records(books.other, books.grant, frontier.size(), limit)
                .await?;
            if answer.is_empty() || answer.len() > limit as usize {
                let at = frontier.size();
                return Err(AccountingError::Log(format!("no record {at} came")));
            }
            for bytes in answer {
                records.push(read(&bytes, &mut frontier)?);
            }
        }
        if frontier.root() != head.statement().root {
            let what = "the records are not those its head was signed over".to_owned();
            return Err(AccountingError::Log(what));
        }
        Ok(Step {
            head,
            first,
            records,
        })
    }

    /// Everything that is wrong with the new records. One that a later one of them corrects is judged through that.
    async fn audit(
        &self,
        step: &Step,
        terms: &Grant,
        me: OrgId,
    ) -> Result<BTreeMap<u64, (Cause, Judgement)>, AccountingError> {
        let corrected: BTreeSet<&RecordId> = step
            .records
            .iter()
            .filter_map(|record| record.corrects.as_ref())
            .collect();
        let now_ms = self.0.clock.now_ms();
        let mut seen = BTreeSet::new();
        let mut found = BTreeMap::new();
        for record in &step.records {
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
            let cause = Cause::objection(record.seq, &objection, me, now_ms);
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
    async fn object(
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

    /// Copies the records, countersigns, hands the countersignature over, and only then takes the books as agreed
    /// on: what we export the provider has too. Each part may be repeated, so that after a crash the next
    /// settlement goes on where this one ended.
    async fn agree(&self, books: &Books, step: Step) -> Result<(), AccountingError> {
        let grant = books.grant;
        let key = BooksKey::Grant(grant);
        let size = step.head.statement().size;
        if books.agreed.is_some() && books.agreed_size == size {
            return Ok(());
        }
        if !step.records.is_empty() {
            self.0.ledger.copy(key, step.first, step.records).await?;
            self.0.model.catch_up(key).await?;
        }
        let head = String::from_utf8_lossy(step.head.bytes()).into_owned();
        let both = countersign(self.0.organisation.as_ref(), step.head).await?;
        let envelope = both.bytes().to_vec();
        self.0
            .providers
            .countersign(books.other, grant, envelope)
            .await?;

        let agreed = String::from_utf8_lossy(both.bytes()).into_owned();
        self.0
            .books
            .update(&grant.to_string(), |books| {
                let news = size > books.agreed_size;
                books.head = Some(head.clone());
                books.agree(agreed.clone(), size);
                Ok::<_, AccountingError>(if news {
                    vec![settled(grant, size)]
                } else {
                    vec![]
                })
            })
            .await?;
        self.mark_recorded(key, books.agreed_size, size).await
    }

    /// The attempts of the newly agreed records need no settlement any more.
    async fn mark_recorded(
        &self,
        key: BooksKey,
        from: u64,
        size: u64,
    ) -> Result<(), AccountingError> {
        let mut at = from;
        while at < size {
            let limit = MOST_IN_ONE_ANSWER as usize;
            let records = self.0.ledger.read(key, at, limit).await?;
            if records.is_empty() {
                break;
            }
            for record in &records {
                self.mark_attempt(&record.attempt.to_string()).await?;
            }
            at += records.len() as u64;
        }
        Ok(())
    }

    async fn mark_attempt(&self, attempt: &str) -> Result<(), AccountingError> {
        let marked = self
            .0
            .observations
            .update(attempt, |seen: &mut Observation| {
                seen.recorded = true;
                Ok(Vec::new())
            });
        match marked.await {
            Ok(_) | Err(AccountingError::Store(oc_store::StoreError::NotFound { .. })) => Ok(()),
            Err(error) => Err(error),
        }
    }
}

/// Whether an objection is to be made now.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Judgement {
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

fn read(bytes: &[u8], frontier: &mut Frontier) -> Result<UsageRecord, AccountingError> {
    let record = UsageRecord::from_canonical(bytes)?;
    let position = frontier.size();
    if record.seq != position {
        let seq = record.seq;
        return Err(AccountingError::Log(format!(
            "the record at {position} says that it is at {seq}"
        )));
    }
    frontier.append(record.leaf());
    Ok(record)
}

//! The consumer's side: fetching the provider's log, auditing it, countersigning or objecting.

use std::time::Duration;

use oc_kernel::{Digest, GrantId};
use oc_trust::event::{AttemptEvent, AttemptState};
use oc_trust::{
    BooksKey, Frontier, Grant, Here, Sealed, UsageHead, UsageRecord, countersign, merkle, open,
};
use tokio::time::Instant;

use super::books::{Books, Side};
use super::cause::Cause;
use super::error::AccountingError;
use super::objections::Judgement;
use super::observation::Observation;
use super::provide::{MOST_IN_ONE_ANSWER, MOST_IN_ONE_STEP, settled};
use super::service::Accounting;
use crate::ports::OfferedHead;

/// How long a settlement waits for events and records that are on their way.
const SETTLE_WAIT: Duration = Duration::from_secs(5);
/// How often it looks again meanwhile.
const SETTLE_AGAIN: Duration = Duration::from_millis(100);
/// How long after its end an attempt's record is waited for, in ms: one that never began has none.
const RECORD_DELAY_MS: u64 = 5_000;

/// What a settlement came to.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Settled {
    /// Records that both sides agree on.
    pub size: u64,
    /// True when both organisations hold the provider's newest head with both signatures, and no record of an
    /// attempt that just ended is on its way.
    pub countersigned: bool,
    /// Why it has not.
    pub causes: Vec<Cause>,
}

/// What one head came to.
enum Step {
    /// Agreed on, and the log goes on beyond it.
    More,
    /// Both sides agree on so many records: all there are.
    Agreed(u64),
    /// Something is wrong, or may yet explain itself.
    Objected { causes: Vec<Cause>, wait: bool },
}

/// A head and the records that it adds to ours.
pub(crate) struct News {
    head: Sealed<UsageHead>,
    first: u64,
    pub(crate) records: Vec<UsageRecord>,
}

impl Accounting {
    /// Takes note of what we saw of an attempt of ours. Our own work on our own machines has no other side to
    /// compare it with.
    ///
    /// # Errors
    /// The store's.
    pub async fn observe(&self, event: &AttemptEvent) -> Result<(), AccountingError> {
        self.note_person(event).await?;
        let BooksKey::Grant(grant) = event.grant_id else {
            return Ok(());
        };
        self.0
            .observations
            .update_or_create(
                &event.attempt_id.to_string(),
                || Observation::first(grant, event),
                |observation| {
                    observation.take(event);
                    Ok::<_, AccountingError>(Vec::new())
                },
            )
            .await?;
        if event.state == AttemptState::Ended {
            self.0.ended.notify_one();
        }
        Ok(())
    }

    /// Waits until an attempt of ours has ended, if none has since this was last awaited.
    pub async fn attempt_ended(&self) {
        self.0.ended.notified().await;
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
            if books.restored.is_some() {
                self.heal(&books).await?;
            }
            let state = self.books_state(BooksKey::Grant(grant)).await?;
            return Ok(Settled {
                size: state.agreed_size,
                countersigned: state.countersigned,
                causes: state.disputes,
            });
        }
        let deadline = Instant::now() + SETTLE_WAIT;
        loop {
            let (settled, wait) = match self.settle_step(grant).await? {
                Step::More => continue,
                Step::Agreed(size) => {
                    let wait = self.awaits_record(grant).await?;
                    let settled = Settled {
                        size,
                        countersigned: !wait,
                        causes: Vec::new(),
                    };
                    (settled, wait)
                }
                Step::Objected { causes, wait } => {
                    let settled = Settled {
                        size: books.agreed_size,
                        countersigned: false,
                        causes,
                    };
                    (settled, wait)
                }
            };
            if !wait || Instant::now() >= deadline {
                return Ok(settled);
            }
            tokio::time::sleep(SETTLE_AGAIN).await;
        }
    }

    /// True when an attempt ended just now whose record the provider may be writing.
    pub(crate) async fn awaits_record(&self, grant: GrantId) -> Result<bool, AccountingError> {
        let since = self.0.clock.now_ms().saturating_sub(RECORD_DELAY_MS);
        let ended = self.ended_since(since).await?;
        Ok(ended.iter().any(|seen| seen.grant == grant))
    }

    async fn settle_step(&self, grant: GrantId) -> Result<Step, AccountingError> {
        let books = self.books_of(grant).await?.value;
        let terms = books.grant()?;
        let key = BooksKey::Grant(grant);
        let known = self.0.model.catch_up(key).await?;
        let offered = self.0.providers.head(books.other, grant, known).await?;
        if self.take_up(&books, known, &offered.agreed).await? {
            return Ok(Step::More);
        }
        let head = self.check_head(&books, &terms, known, &offered).await?;
        let more = head.statement().size == known + MOST_IN_ONE_STEP;

        let news = self.fetch(&books, known, head).await?;
        let me = self.me().await?;
        let found = self.audit(&news, &terms, me).await?;
        if !found.is_empty() {
            let wait = found
                .values()
                .all(|(_, judgement)| *judgement == Judgement::Waiting);
            let causes = self.object(&books, found).await?;
            return Ok(Step::Objected { causes, wait });
        }
        self.agree(&books, news).await?;
        Ok(if more {
            Step::More
        } else {
            Step::Agreed(self.0.model.size(key))
        })
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
    pub(crate) async fn fetch(
        &self,
        books: &Books,
        first: u64,
        head: Sealed<UsageHead>,
    ) -> Result<News, AccountingError> {
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
        Ok(News {
            head,
            first,
            records,
        })
    }

    /// Copies the records, countersigns, keeps the signatures, and only then hands them over: a provider that says
    /// that both signed is right, for we export the same from then on. We say so when it has answered. Each part may
    /// be repeated, so that after a crash the next settlement goes on where this one ended.
    async fn agree(&self, books: &Books, news: News) -> Result<(), AccountingError> {
        let grant = books.grant;
        let key = BooksKey::Grant(grant);
        let size = news.head.statement().size;
        if books.held_by_both() && books.agreed_size == size {
            return Ok(());
        }
        let head = String::from_utf8_lossy(news.head.bytes()).into_owned();
        if !news.records.is_empty() {
            // What the provider signed is kept before what it signed it over: a provider that was restored asks for it.
            self.0
                .books
                .update(&grant.to_string(), |books| {
                    books.head = Some(head.clone());
                    Ok::<_, AccountingError>(Vec::new())
                })
                .await?;
            self.0.ledger.copy(key, news.first, news.records).await?;
            self.0.model.catch_up(key).await?;
        }
        let both = countersign(self.0.organisation.as_ref(), news.head).await?;
        let envelope = both.bytes().to_vec();
        let agreed = String::from_utf8_lossy(both.bytes()).into_owned();
        let books_of_grant = &self.0.books;
        books_of_grant
            .update(&grant.to_string(), |books| {
                books.head = Some(head.clone());
                books.agree(agreed.clone(), size);
                Ok::<_, AccountingError>(Vec::new())
            })
            .await?;
        let handed_over = self.0.providers.countersign(books.other, grant, envelope);
        handed_over.await?;
        books_of_grant
            .update(&grant.to_string(), |books| {
                books.taken = Some(size);
                Ok::<_, AccountingError>(vec![settled(grant, size)])
            })
            .await?;
        let marked = books.taken.unwrap_or_default();
        self.mark_recorded(key, marked, size).await
    }

    /// The attempts of the newly agreed records need no settlement any more.
    pub(crate) async fn mark_recorded(
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

//! The provider's side: taking reports into the log, signing heads, taking countersignatures and objections.

use std::sync::atomic::Ordering;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use oc_kernel::{Digest, GrantId, Money, OrgId};
use oc_store::OutboxEvent;
use oc_trust::event::{GrantEvent, UsageEvent};
use oc_trust::{
    BooksKey, Grant, Price, Unverified, UsageHead, UsageRecord, open_countersigned, open_evidence,
    record_id, seal,
};
use serde_json::json;

use super::books::{Books, Side};
use super::cause::Cause;
use super::error::AccountingError;
use super::service::Accounting;

/// How long a head may be countersigned, in ms.
const HEAD_LIFE_MS: u64 = 24 * 3_600_000;
/// How much of that must be left for a head to be handed out again, in ms.
const HEAD_REST_MS: u64 = 3_600_000;
/// Most records that one head takes a consumer further, so that an audit fits into memory.
pub(crate) const MOST_IN_ONE_STEP: u64 = 50_000;
/// Most records in one answer.
pub(crate) const MOST_IN_ONE_ANSWER: u32 = 1000;

/// A head for the consumer, with the proof that what it knows is the beginning.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Head {
    /// The DSSE envelope.
    pub envelope: Vec<u8>,
    /// The consistency proof.
    pub consistency: Vec<Digest>,
    /// The newest envelope with both signatures, where it goes beyond what the consumer knows.
    pub agreed: Vec<u8>,
}

impl Accounting {
    /// Takes note of a grant and its terms: with that its books begin.
    ///
    /// # Errors
    /// When the envelope is no grant of ours, or the store's.
    pub async fn note_grant(&self, event: &GrantEvent) -> Result<(), AccountingError> {
        if event.envelope.is_empty() {
            // Asked for and not signed: nothing can be used under it yet.
            return Ok(());
        }
        let unusable = |error: &dyn std::fmt::Display| AccountingError::Draft(error.to_string());
        let terms = STANDARD.decode(&event.envelope);
        let terms = String::from_utf8(terms.map_err(|error| unusable(&error))?);
        let terms = terms.map_err(|error| unusable(&error))?;
        let me = self.me().await?;
        let unverified = Unverified::<Grant>::parse(terms.as_bytes())?;
        let grant = unverified.claim();
        let (side, other) = if grant.provider == me {
            (Side::Provider, grant.consumer)
        } else {
            (Side::Consumer, grant.provider)
        };
        if grant.id != event.grant_id || (grant.provider != me && grant.consumer != me) {
            return Err(AccountingError::Draft("the grant is not ours".to_owned()));
        }
        let first = || Books {
            grant: grant.id,
            side,
            other,
            terms: terms.clone(),
            currency: grant.price.currency,
            generation: grant.generation,
            state: event.state.clone(),
            epoch: self.0.epoch.load(Ordering::Relaxed),
            head: None,
            agreed: None,
            agreed_size: 0,
            taken: None,
            restored: None,
            disputes: Default::default(),
        };
        self.0
            .books
            .update_or_create(&grant.id.to_string(), first, |books| {
                books.state.clone_from(&event.state);
                if grant.generation >= books.generation {
                    books.generation = grant.generation;
                    books.terms.clone_from(&terms);
                }
                Ok::<_, AccountingError>(Vec::new())
            })
            .await?;
        Ok(())
    }

    /// Takes a report into its log. The same report again changes nothing.
    ///
    /// # Errors
    /// When its grant is not known yet, its figures make no record or contradict an earlier report, or the
    /// store's.
    pub async fn record(&self, event: &UsageEvent) -> Result<UsageRecord, AccountingError> {
        let me = self.me().await?;
        let (consumer, price) = match event.grant_id {
            BooksKey::Own => (me, Price::free(self.0.own_currency)),
            BooksKey::Grant(id) => {
                let books = self.provided(id, me).await?.value;
                (books.other, books.grant()?.price)
            }
        };
        let drafted = drafted(event, me, consumer, &price)?;
        let stored = self.append(event.grant_id, drafted.clone()).await?;
        let same = UsageRecord {
            seq: stored.seq,
            ..drafted
        };
        if stored != same {
            return Err(AccountingError::Contradiction(event.attempt_id.to_string()));
        }
        Ok(stored)
    }

    pub(crate) async fn append(
        &self,
        books: BooksKey,
        record: UsageRecord,
    ) -> Result<UsageRecord, AccountingError> {
        let id = record.id.clone();
        let mut stored = self.0.ledger.append(books, vec![record]).await?;
        self.0.model.catch_up(books).await?;
        let stored = stored.pop();
        stored.ok_or_else(|| AccountingError::UnknownRecord(id.to_string()))
    }

    /// The records of a grant from a position on, as they stand in the log or, for its provider, in our copy of it,
    /// and how many there are.
    ///
    /// # Errors
    /// When `caller` is not the other side, or the store's.
    pub async fn log(
        &self,
        grant: GrantId,
        caller: OrgId,
        from: u64,
        limit: u32,
    ) -> Result<(Vec<UsageRecord>, u64), AccountingError> {
        if self.copied(grant, caller).await?.is_none() {
            self.provided(grant, caller).await?;
        }
        let books = BooksKey::Grant(grant);
        let size = self.0.model.catch_up(books).await?;
        let limit = match limit {
            0 => MOST_IN_ONE_ANSWER,
            limit => limit.min(MOST_IN_ONE_ANSWER),
        };
        let records = self.0.ledger.read(books, from, limit as usize).await?;
        Ok((records, size))
    }

    /// The head of the log, signed. It goes at most a step beyond what the consumer says it knows. The provider is told
    /// what it signed before.
    ///
    /// # Errors
    /// When `caller` is not the other side, the signature is refused, or the store's.
    pub async fn head(
        &self,
        grant: GrantId,
        caller: OrgId,
        known_size: u64,
    ) -> Result<Head, AccountingError> {
        if let Some(copy) = self.copied(grant, caller).await? {
            return self.held_head(&copy).await;
        }
        let seen = self.provided(grant, caller).await?.value;
        let books = BooksKey::Grant(grant);
        let whole = self.0.model.catch_up(books).await?;
        let size = whole.min(known_size.saturating_add(MOST_IN_ONE_STEP));
        let envelope = match self.usable_head(&seen, size).await? {
            Some(head) => head,
            None => self.sign_head(&seen, size).await?,
        };
        // A consumer that knows more than we have finds no proof, and refuses: our log has shrunk.
        let consistency = self.0.model.consistency(books, known_size, size);
        Ok(Head {
            envelope: envelope.into_bytes(),
            consistency: consistency.unwrap_or_default(),
            agreed: match seen.agreed {
                Some(agreed) if seen.agreed_size > known_size => agreed.into_bytes(),
                _ => Vec::new(),
            },
        })
    }

    async fn usable_head(
        &self,
        books: &Books,
        size: u64,
    ) -> Result<Option<String>, AccountingError> {
        let Some(head) = &books.head else {
            return Ok(None);
        };
        let keys = self.0.organisation.keys(self.me().await?).await?;
        let Ok(opened) = open_evidence::<UsageHead>(head.as_bytes(), keys.current()) else {
            // Signed by a key that has been replaced since.
            return Ok(None);
        };
        let opened = opened.statement();
        let fresh = opened.not_after > self.0.clock.now_ms() + HEAD_REST_MS;
        Ok((opened.size == size && opened.epoch == books.epoch && fresh).then(|| head.clone()))
    }

    async fn sign_head(&self, books: &Books, size: u64) -> Result<String, AccountingError> {
        let grant = books.grant()?;
        let root = self.0.model.root(BooksKey::Grant(books.grant), size);
        let root = root.ok_or_else(|| AccountingError::Log("records are missing".to_owned()))?;
        let now_ms = self.0.clock.now_ms();
        let head = UsageHead {
            network: grant.network,
            grant: grant.id,
            provider: grant.provider,
            consumer: grant.consumer,
            epoch: books.epoch,
            size,
            root,
            not_before: now_ms,
            not_after: now_ms + HEAD_LIFE_MS,
        };
        let sealed = seal(self.0.organisation.as_ref(), head).await?;
        let text = String::from_utf8_lossy(sealed.bytes()).into_owned();
        self.0
            .books
            .update(&books.grant.to_string(), |books| {
                books.head = Some(text.clone());
                Ok::<_, AccountingError>(Vec::new())
            })
            .await?;
        Ok(text)
    }

    /// Takes the consumer's countersignature: with it the bill stands up to that record.
    ///
    /// # Errors
    /// When a signature is missing, the head is not of our log, or the store's.
    pub async fn take_countersignature(
        &self,
        grant: GrantId,
        caller: OrgId,
        envelope: &[u8],
    ) -> Result<(), AccountingError> {
        let books = self.provided(grant, caller).await?.value;
        let wrong = |what: &str| AccountingError::Countersignature(what.to_owned());
        let ours = self.0.organisation.keys(self.me().await?).await?;
        let theirs = self.0.organisation.keys(books.other).await?;
        let sealed = open_countersigned(envelope, &ours.ever(), theirs.current())?;
        let head = sealed.statement();
        if head.grant != grant || head.consumer != books.other {
            return Err(wrong("it is of another grant"));
        }
        if head.epoch != books.epoch {
            return Err(wrong("it is of another epoch"));
        }
        self.0.model.catch_up(BooksKey::Grant(grant)).await?;
        let root = self.0.model.root(BooksKey::Grant(grant), head.size);
        if root != Some(head.root) {
            return Err(wrong("its root is not that of our records"));
        }
        let text = String::from_utf8_lossy(envelope).into_owned();
        self.0
            .books
            .update(&grant.to_string(), |books| {
                if books.agreed.is_some() && head.size < books.agreed_size {
                    return Ok(Vec::new());
                }
                let news = head.size > books.agreed_size;
                books.agree(text.clone(), head.size);
                Ok::<_, AccountingError>(if news {
                    vec![settled(grant, head.size)]
                } else {
                    vec![]
                })
            })
            .await?;
        Ok(())
    }

    /// Takes the consumer's objection to a record. It stands until a countersignature covers the record.
    ///
    /// # Errors
    /// When there is no such record, or the store's.
    pub async fn take_objection(
        &self,
        grant: GrantId,
        caller: OrgId,
        position: u64,
        cause: Cause,
    ) -> Result<(), AccountingError> {
        let books = self.provided(grant, caller).await?.value;
        let size = self.0.model.catch_up(BooksKey::Grant(grant)).await?;
        if position >= size || position < books.agreed_size {
            return Err(AccountingError::UnknownRecord(position.to_string()));
        }
        let key = BooksKey::Grant(grant);
        let record = self.0.ledger.read(key, position, 1).await?.pop();
        let record = record.ok_or_else(|| AccountingError::UnknownRecord(position.to_string()))?;
        let mut cause = cause.cut().against(&record);
        cause.org = caller;
        self.0
            .books
            .update(&grant.to_string(), |books| {
                let news = !books.disputes.contains_key(&position);
                books.dispute(position, cause.clone());
                Ok::<_, AccountingError>(if news {
                    vec![disputed(grant, position, &cause)]
                } else {
                    vec![]
                })
            })
            .await?;
        Ok(())
    }
}

pub(crate) fn settled(grant: GrantId, size: u64) -> OutboxEvent {
    let data = json!({"grant_id": grant, "size": size});
    OutboxEvent::new("oc.accounting.settled.v1", grant.to_string(), data)
}

pub(crate) fn disputed(grant: GrantId, position: u64, cause: &Cause) -> OutboxEvent {
    let data = json!({
        "grant_id": grant,
        "position": position,
        "code": cause.code,
        "text": cause.text,
        "by": cause.org,
    });
    OutboxEvent::new("oc.accounting.disputed.v1", grant.to_string(), data)
}

fn drafted(
    event: &UsageEvent,
    provider: OrgId,
    consumer: OrgId,
    price: &Price,
) -> Result<UsageRecord, AccountingError> {
    if event.ended_ms < event.started_ms {
        return Err(AccountingError::Draft(
            "it ends before it begins".to_owned(),
        ));
    }
    let id = record_id(&event.attempt_id, 0).map_err(|e| AccountingError::Draft(e.to_string()))?;
    let mut record = UsageRecord {
        version: UsageRecord::VERSION,
        id,
        seq: 0,
        grant: event.grant_id.grant(),
        provider,
        consumer,
        run: event.run_id,
        fragment: event.fragment_id,
        attempt: event.attempt_id,
        pseudonym: event.pseudonym.clone(),
        workflow: event.workflow.clone(),
        started_ms: event.started_ms,
        ended_ms: event.ended_ms,
        wall_ms: event.wall_ms,
        cpu_ms: event.cpu_ms,
        peak_memory_bytes: event.peak_memory_bytes,
        bytes_in: event.bytes_in,
        bytes_out: event.bytes_out,
        storage_byte_seconds: event.storage_byte_seconds,
        cores: event.cores,
        outcome: event.outcome,
        charge: Money::ZERO,
        corrects: None,
    };
    record.charge = record.charge_at(price);
    Ok(record)
}

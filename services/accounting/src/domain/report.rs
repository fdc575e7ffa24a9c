//! What people and programs see: records, sums, and where books stand.

use std::collections::BTreeSet;
use std::ops::Bound;

use oc_kernel::{Digest, GrantId, OrgId, Page, PageRequest, PageToken};
use oc_store::Query;
use oc_trust::{BooksKey, Currency, UsageRecord, merkle};

use super::books::Side;
use super::cause::Cause;
use super::error::AccountingError;
use super::month::Month;
use super::observation::Observation;
use super::reach::Reach;
use super::service::Accounting;
use super::sums::{Sum, SumBy};

/// Records that one answer looks at; with a month that is rare the page ends early and says where to go on.
const MOST_LOOKED_AT: usize = 20_000;
/// Records that are read at once.
const BATCH: usize = 1000;

/// A record as it is shown.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Listed {
    /// The record.
    pub record: UsageRecord,
    /// The currency of its charge.
    pub currency: Currency,
}

/// Where books stand.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct BooksState {
    /// Records that we hold.
    pub size: u64,
    /// The root over them.
    pub root: Digest,
    /// The newest head, with one or both signatures; none for our own books and before the first.
    pub head: Option<String>,
    /// True when both organisations are known to hold both signatures over all records that we hold, no objection
    /// stands, and no record of an attempt that just ended is on its way.
    pub countersigned: bool,
    /// Records that both sides agree on.
    pub agreed_size: u64,
    /// Objections that stand.
    pub disputes: Vec<Cause>,
}

impl Accounting {
    /// Where books stand.
    ///
    /// # Errors
    /// When the grant is not known, or the store's.
    pub async fn books_state(&self, key: BooksKey) -> Result<BooksState, AccountingError> {
        let size = self.0.model.catch_up(key).await?;
        let root = self.0.model.root(key, size);
        let root = root.unwrap_or_else(|| merkle::root(&[]));
        let BooksKey::Grant(grant) = key else {
            return Ok(BooksState {
                size,
                root,
                head: None,
                countersigned: true,
                agreed_size: size,
                disputes: Vec::new(),
            });
        };
        let books = self.books_of(grant).await?.value;
        let signed = books.agreed.is_some() && books.agreed_size == size;
        let awaited = books.side == Side::Consumer && self.awaits_record(grant).await?;
        let restored = self.restored_cause(&books).await?;
        let agreed = signed && books.disputes.is_empty() && restored.is_none();
        let countersigned = agreed && books.held_by_both() && !awaited;
        Ok(BooksState {
            size,
            root,
            head: if signed {
                books.agreed
            } else {
                books.head.or(books.agreed)
            },
            countersigned,
            agreed_size: books.agreed_size,
            disputes: restored
                .into_iter()
                .chain(books.disputes.into_values())
                .collect(),
        })
    }

    /// Records of one grant or of all within `reach`, by books and position.
    ///
    /// # Errors
    /// When the page token is damaged, or the store's.
    pub async fn list(
        &self,
        books: Option<BooksKey>,
        month: Option<Month>,
        reach: &Reach,
        page: &PageRequest,
    ) -> Result<Page<Listed>, AccountingError> {
        let (mut after, limit) = (Position::read(page.token.as_ref())?, page.limit());
        let accounts = self.accounts().await?;
        let all = self.0.ledger.books().await?;
        let mut items = Vec::new();
        let mut looked_at = 0;
        for (key, size) in all {
            let skip = books.is_some_and(|wanted| wanted != key)
                || after.is_some_and(|after| after.books > key);
            let Some(account) = accounts.get(&key).filter(|_| !skip) else {
                continue;
            };
            let mut at = after
                .take_if(|after| after.books == key)
                .map_or(0, |after| after.next);
            while at < size {
                for record in self.0.ledger.read(key, at, BATCH).await? {
                    at += 1;
                    looked_at += 1;
                    let wanted = month.is_none_or(|month| month == Month::of_ms(record.ended_ms));
                    if wanted && reach.has_record(&record) {
                        let currency = account.currency;
                        items.push(Listed { record, currency });
                    }
                    if items.len() == limit || looked_at == MOST_LOOKED_AT {
                        let next = Some(
                            Position {
                                books: key,
                                next: at,
                            }
                            .token(),
                        );
                        return Ok(Page { items, next });
                    }
                }
            }
        }
        Ok(Page { items, next: None })
    }

    /// Sums of the records within `reach`, of a month and of one other organisation, or of all, kept apart as asked.
    ///
    /// # Errors
    /// The store's.
    pub async fn sum(
        &self,
        month: Option<Month>,
        org: Option<OrgId>,
        by: &[SumBy],
        reach: &Reach,
    ) -> Result<Vec<Sum>, AccountingError> {
        self.0.model.catch_up_all().await?;
        let accounts = self.accounts().await?;
        let account = |key: BooksKey| accounts.get(&key).copied();
        Ok(self
            .0
            .model
            .with_sums(|sums| sums.by(month, org, by, reach, account)))
    }

    /// The grants that we as the consumer should settle: an attempt that ended since `since_ms` is not in the
    /// agreed books, or an objection stands.
    ///
    /// # Errors
    /// The store's.
    pub async fn unsettled(&self, since_ms: u64) -> Result<Vec<GrantId>, AccountingError> {
        let disputed = self
            .0
            .books
            .all(&Query::equals("unfinished", "true"))
            .await?;
        let ended = self.ended_since(since_ms).await?;
        let mut grants: BTreeSet<GrantId> = ended.iter().map(|seen| seen.grant).collect();
        grants.extend(disputed.iter().map(|books| books.value.grant));

        let mut known = Vec::new();
        for grant in grants {
            let books = self.0.books.get(&grant.to_string()).await?;
            if books.is_some_and(|books| {
                books.value.side == Side::Consumer || books.value.restored.is_some()
            }) {
                known.push(grant);
            }
        }
        Ok(known)
    }

    /// The books that we as the consumer have signed before, and whether their grant is in force: the provider may
    /// have corrected a record in them.
    ///
    /// # Errors
    /// The store's.
    pub async fn signed(&self) -> Result<Vec<(GrantId, bool)>, AccountingError> {
        let books = self.0.books.all(&Query::all()).await?;
        let books = books.into_iter().map(|books| books.value);
        let signed = books.filter(|it| it.side == Side::Consumer && it.agreed.is_some());
        Ok(signed
            .map(|books| (books.grant, books.state == "active"))
            .collect())
    }

    /// Attempts of ours that ended since `since_ms` and whose records are not in the agreed books.
    pub(crate) async fn ended_since(
        &self,
        since_ms: u64,
    ) -> Result<Vec<Observation>, AccountingError> {
        let since = i64::try_from(since_ms).unwrap_or(i64::MAX);
        let ended = Query::range(
            "unrecorded",
            Bound::Included(since.into()),
            Bound::Unbounded,
        );
        let ended = self.0.observations.all(&ended).await?;
        Ok(ended.into_iter().map(|seen| seen.value).collect())
    }
}

/// Where a page ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Position {
    books: BooksKey,
    next: u64,
}

impl Position {
    fn token(self) -> PageToken {
        PageToken::after(&format!("{}/{}", self.books, self.next))
    }

    fn read(token: Option<&PageToken>) -> Result<Option<Self>, AccountingError> {
        let Some(token) = token else { return Ok(None) };
        let damaged = || AccountingError::PageToken;
        let text = token.key().map_err(|_| damaged())?;
        let (books, next) = text.split_once('/').ok_or_else(damaged)?;
        Ok(Some(Self {
            books: books.parse().map_err(|_| damaged())?,
            next: next.parse().map_err(|_| damaged())?,
        }))
    }
}

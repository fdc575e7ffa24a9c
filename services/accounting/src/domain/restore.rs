//! After a restore from a backup: what our log lacks is fetched back from the consumer, which has it under our own
//! signature, and what we signed as the consumer is not judged a second time.

use std::sync::atomic::Ordering;

use oc_kernel::{Digest, GrantId, Kind, OrgId};
use oc_store::Query;
use oc_trust::{BooksKey, Sealed, UsageHead, open_countersigned, open_evidence};

use super::books::{Books, Side};
use super::cause::Cause;
use super::consume::News;
use super::error::AccountingError;
use super::provide::{Head, settled};
use super::service::Accounting;

/// What is said of restored books before their consumer was asked for the first time.
const NOT_ASKED: &str = "it has not been asked yet";

impl Accounting {
    /// From now on our heads carry this epoch, where it is later than theirs. Books that we provide are to be compared
    /// with their consumers' copies first.
    ///
    /// # Errors
    /// The store's.
    pub async fn raise_epoch(&self, epoch: u64) -> Result<(), AccountingError> {
        self.0.epoch.fetch_max(epoch, Ordering::Relaxed);
        for books in self.0.books.all(&Query::all()).await? {
            if books.value.side == Side::Consumer || books.value.epoch >= epoch {
                continue;
            }
            let raised = self.0.books.update(&books.key, |books| {
                books.epoch = epoch;
                books.head = None;
                books.restored = Some(NOT_ASKED.to_owned());
                Ok::<_, AccountingError>(Vec::new())
            });
            raised.await?;
        }
        Ok(())
    }

    /// The books that we as the consumer have copied, when their provider asks.
    pub(crate) async fn copied(
        &self,
        grant: GrantId,
        caller: OrgId,
    ) -> Result<Option<Books>, AccountingError> {
        let books = self.books_of(grant).await?.value;
        let asked = books.side == Side::Consumer && books.other == caller;
        Ok(asked.then_some(books))
    }

    /// What we hold of the provider's signatures, for the provider.
    pub(crate) async fn held_head(&self, copy: &Books) -> Result<Head, AccountingError> {
        let size = self.0.model.catch_up(BooksKey::Grant(copy.grant)).await?;
        let whole = |head: &&String| {
            let head = oc_trust::Unverified::<UsageHead>::parse(head.as_bytes());
            head.is_ok_and(|head| head.claim().size <= size)
        };
        // One whose records we were still copying is none that we could answer for.
        let head = copy.head.as_ref().filter(whole).or(copy.agreed.as_ref());
        let bytes = |text: Option<&String>| text.cloned().unwrap_or_default().into_bytes();
        Ok(Head {
            envelope: bytes(head),
            consistency: Vec::new(),
            agreed: bytes(copy.agreed.as_ref()),
        })
    }

    /// Compares restored books that we provide with the consumer's copy, and takes back what they lack. What it shows
    /// is believed by our own signature over it.
    ///
    /// # Errors
    /// When the consumer cannot be reached or what it shows does not hold; the reason is kept. Or the store's.
    pub(crate) async fn heal(&self, books: &Books) -> Result<(), AccountingError> {
        let healed = self.take_back(books).await;
        let kept = match &healed {
            Ok(agreed) => {
                tracing::info!(grant = %books.grant, "restored books go on: they are what both sides signed");
                Ok(agreed.clone())
            }
            Err(error) => Err(error.to_string()),
        };
        let id = books.grant.to_string();
        let stored = self.0.books.update(&id, |books| {
            match &kept {
                Err(why) => books.restored = Some(why.clone()),
                Ok(agreed) => {
                    books.restored = None;
                    if let Some((head, size)) = agreed
                        && *size >= books.agreed_size
                    {
                        books.agree(head.clone(), *size);
                        return Ok(vec![settled(books.grant, *size)]);
                    }
                }
            }
            Ok::<_, AccountingError>(Vec::new())
        });
        stored.await?;
        healed.map(|_| ())
    }

    /// Appends what the consumer has beyond our log; the newest head with both signatures, and its size.
    async fn take_back(&self, books: &Books) -> Result<Option<(String, u64)>, AccountingError> {
        let key = BooksKey::Grant(books.grant);
        let size = self.0.model.catch_up(key).await?;
        let shown = match self.0.providers.head(books.other, books.grant, size).await {
            Ok(shown) => shown,
            // It has no books of the grant, so it has signed nothing.
            Err(error) if error.kind == Kind::NotFound => return Ok(None),
            Err(error) => return Err(error.into()),
        };
        if !shown.envelope.is_empty() {
            let ours = self.0.organisation.keys(self.me().await?).await?;
            let head = open_evidence::<UsageHead>(&shown.envelope, &ours.ever())?;
            is_of(books, head.statement())?;
            let (whole, root) = (head.statement().size, head.statement().root);
            if whole > size {
                let news = self.fetch(books, size, head).await?;
                self.0.ledger.copy(key, size, news.records).await?;
                self.0.model.catch_up(key).await?;
                let (grant, lost) = (books.grant, whole - size);
                tracing::warn!(%grant, lost, "records that a restore had lost were fetched from the consumer");
            }
            self.has_root(key, whole, root)?;
        }
        if shown.agreed.is_empty() {
            return Ok(None);
        }
        let agreed = self.open_agreed(books, &shown.agreed).await?;
        let head = agreed.statement();
        self.has_root(key, head.size, head.root)?;
        let text = String::from_utf8_lossy(agreed.bytes()).into_owned();
        Ok(Some((text, head.size)))
    }

    /// As the consumer: copies records that we signed before and lost by a restore. They are not judged again, for what
    /// we judged them by is lost as well. False where there are none.
    pub(crate) async fn take_up(
        &self,
        books: &Books,
        known: u64,
        agreed: &[u8],
    ) -> Result<bool, AccountingError> {
        if agreed.is_empty() {
            return Ok(false);
        }
        let agreed = self.open_agreed(books, agreed).await?;
        let size = agreed.statement().size;
        if size <= known {
            return Ok(false);
        }
        let text = String::from_utf8_lossy(agreed.bytes()).into_owned();
        let News { records, .. } = self.fetch(books, known, agreed).await?;
        let (grant, key) = (books.grant, BooksKey::Grant(books.grant));
        self.0.ledger.copy(key, known, records).await?;
        self.0.model.catch_up(key).await?;
        let id = grant.to_string();
        let taken = self.0.books.update(&id, |books| {
            books.head = Some(text.clone());
            books.agree(text.clone(), size);
            books.taken = Some(size);
            Ok::<_, AccountingError>(vec![settled(grant, size)])
        });
        taken.await?;
        tracing::warn!(%grant, size, "records that we signed before were fetched from the provider");
        self.mark_recorded(key, known, size).await?;
        Ok(true)
    }

    /// A head of these books with both signatures.
    async fn open_agreed(
        &self,
        books: &Books,
        envelope: &[u8],
    ) -> Result<Sealed<UsageHead>, AccountingError> {
        let ours = self.0.organisation.keys(self.me().await?).await?;
        let theirs = self.0.organisation.keys(books.other).await?;
        let (provider, consumer) = match books.side {
            Side::Provider => (&ours, &theirs),
            Side::Consumer => (&theirs, &ours),
        };
        let head = open_countersigned(envelope, &provider.ever(), &consumer.ever())?;
        is_of(books, head.statement())?;
        Ok(head)
    }

    fn has_root(&self, key: BooksKey, size: u64, root: Digest) -> Result<(), AccountingError> {
        if self.0.model.root(key, size) == Some(root) {
            return Ok(());
        }
        let what = format!("the first {size} records here are not those that were signed");
        Err(AccountingError::Log(what))
    }

    /// Why restored books stand still, for people.
    pub(crate) async fn restored_cause(
        &self,
        books: &Books,
    ) -> Result<Option<Cause>, AccountingError> {
        let Some(why) = &books.restored else {
            return Ok(None);
        };
        let other = books.other;
        Ok(Some(Cause {
            code: "restored".to_owned(),
            text: format!(
                "restored from a backup, and not yet compared with what {other} holds: {why}"
            ),
            org: self.me().await?,
            at_ms: books.epoch,
            advice: format!(
                "wait until {other} is there (`opencloud peers`); nothing is recorded or signed before"
            ),
        }))
    }
}

fn is_of(books: &Books, head: &UsageHead) -> Result<(), AccountingError> {
    let grant = books.grant()?;
    let sides = (head.grant, head.provider, head.consumer);
    if sides == (grant.id, grant.provider, grant.consumer) {
        return Ok(());
    }
    let what = "a head of another grant was shown".to_owned();
    Err(AccountingError::Log(what))
}

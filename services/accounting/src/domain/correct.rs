//! Corrections: a record is never changed; another one stands in its place.

use oc_kernel::{GrantId, Money, RunId};
use oc_store::Query;
use oc_trust::{BooksKey, Currency, Outcome, Price, RecordId, UsageRecord, record_id};

use super::error::AccountingError;
use super::report::Listed;
use super::service::Accounting;

/// What a record should have held; what is missing stays.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Changes {
    /// How long cores were held, in ms.
    pub wall_ms: Option<u64>,
    /// Processor time in ms.
    pub cpu_ms: Option<u64>,
    /// Most memory, in bytes.
    pub peak_memory_bytes: Option<u64>,
    /// Bytes in.
    pub bytes_in: Option<u64>,
    /// Bytes out.
    pub bytes_out: Option<u64>,
    /// What was stored times how long, in byte-seconds.
    pub storage_byte_seconds: Option<u64>,
    /// How the attempt ended.
    pub outcome: Option<Outcome>,
}

impl Accounting {
    /// Puts a record in place of the newest one of the same attempt, with the charge that its figures make.
    ///
    /// # Errors
    /// When there is no such record or we are not its provider, when someone else corrected it meanwhile, or
    /// the store's.
    pub async fn correct(
        &self,
        id: &RecordId,
        changes: Changes,
    ) -> Result<Listed, AccountingError> {
        let unknown = || AccountingError::UnknownRecord(id.to_string());
        let named = self.0.ledger.find(id).await?.ok_or_else(unknown)?;
        let books = BooksKey::of(named.grant);
        let price = match books {
            BooksKey::Own => Price::free(self.0.own_currency),
            BooksKey::Grant(grant) => {
                let books = self.provided(grant, self.me().await?).await?;
                books.value.grant()?.price
            }
        };

        let (newest, next) = self.newest_of(named).await?;
        let mut record = UsageRecord {
            id: next,
            corrects: Some(newest.id.clone()),
            wall_ms: changes.wall_ms.unwrap_or(newest.wall_ms),
            cpu_ms: changes.cpu_ms.unwrap_or(newest.cpu_ms),
            peak_memory_bytes: changes
                .peak_memory_bytes
                .unwrap_or(newest.peak_memory_bytes),
            bytes_in: changes.bytes_in.unwrap_or(newest.bytes_in),
            bytes_out: changes.bytes_out.unwrap_or(newest.bytes_out),
            storage_byte_seconds: changes
                .storage_byte_seconds
                .unwrap_or(newest.storage_byte_seconds),
            outcome: changes.outcome.unwrap_or(newest.outcome),
            ..newest
        };
        record.charge = record.charge_at(&price);
        let stored = self.append(books, record.clone()).await?;
        record.seq = stored.seq;
        if stored != record {
            return Err(AccountingError::Corrected(id.to_string()));
        }
        let currency = price.currency;
        Ok(Listed {
            record: stored,
            currency,
        })
    }

    /// What is charged for our attempts of a run under a grant, as the records stand here.
    ///
    /// # Errors
    /// When the grant is not known, or the store's.
    pub async fn charge_of(
        &self,
        grant: GrantId,
        run: RunId,
    ) -> Result<(Money, Currency), AccountingError> {
        let currency = self.books_of(grant).await?.value.currency;
        let seen = Query::equals("run", run.to_string());
        let mut charge = Money::ZERO;
        for seen in self.0.observations.all(&seen).await? {
            let id = record_id(&seen.value.attempt, 0)
                .map_err(|error| AccountingError::Draft(error.to_string()))?;
            let record = self.0.ledger.find(&id).await?;
            if let Some(record) = record.filter(|record| record.grant == Some(grant)) {
                let (newest, _) = self.newest_of(record).await?;
                charge = charge.saturating_add(newest.charge);
            }
        }
        Ok((charge, currency))
    }

    /// The newest record of the attempt, and the id of the correction to come.
    async fn newest_of(
        &self,
        named: UsageRecord,
    ) -> Result<(UsageRecord, RecordId), AccountingError> {
        let mut newest = named;
        loop {
            let next = newest.correction().unwrap_or(0).saturating_add(1);
            let next = record_id(&newest.attempt, next)
                .map_err(|error| AccountingError::Draft(error.to_string()))?;
            match self.0.ledger.find(&next).await? {
                Some(newer) => newest = newer,
                None => return Ok((newest, next)),
            }
        }
    }
}

//! Exports: the agreed books in one spelling, so that both sides' files can be compared byte for byte.

use std::collections::BTreeMap;
use std::collections::btree_map::Entry;

use oc_trust::{BooksKey, Currency, ExportedBooks, OpenError, UsageRecord};
use serde_json::value::RawValue;

use super::error::AccountingError;
use super::month::Month;
use super::reach::Reach;
use super::service::Accounting;
use super::sums::Account;

/// Records that are read at once.
const BATCH: usize = 1000;

/// The form of an export.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Format {
    /// One JSON document.
    Json,
    /// RFC 4180 with a header line.
    Csv,
}

/// An export.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Export {
    /// Its bytes.
    pub content: Vec<u8>,
    /// Its media type.
    pub media_type: &'static str,
}

impl Accounting {
    /// The agreed records of one grant or of all within `reach`, of one month or of all. Of our own work, which nobody else has
    /// books of, all records.
    ///
    /// # Errors
    /// When the grant is not known, or the store's.
    pub async fn export(
        &self,
        books: Option<BooksKey>,
        month: Option<Month>,
        reach: &Reach,
        format: Format,
    ) -> Result<Export, AccountingError> {
        let accounts = self.accounts().await?;
        let keys: Vec<BooksKey> = match books {
            Some(key) => vec![key],
            None => accounts
                .keys()
                .copied()
                .filter(|key| reach.touches(*key))
                .collect(),
        };
        let mut parts = Vec::new();
        for key in keys {
            let account = accounts.get(&key);
            let currency = account.map_or(self.0.own_currency, |account| account.currency);
            parts.push(self.part(key, currency, month, reach).await?);
        }
        Ok(match format {
            Format::Json => Export {
                content: self.json(parts, &accounts).await?,
                media_type: "application/json",
            },
            Format::Csv => Export {
                content: csv(&parts),
                media_type: "text/csv; charset=utf-8; header=present",
            },
        })
    }

    async fn part(
        &self,
        grant: BooksKey,
        currency: Currency,
        month: Option<Month>,
        reach: &Reach,
    ) -> Result<ExportedBooks, AccountingError> {
        let (head, size) = match grant {
            BooksKey::Own => (None, self.0.model.catch_up(grant).await?),
            BooksKey::Grant(id) => {
                let books = self.books_of(id).await?.value;
                (books.agreed, books.agreed_size)
            }
        };
        let head = head.map(RawValue::from_string).transpose();
        let head = head.map_err(|error| OpenError::Malformed(error.to_string()))?;
        let mut leaves = Vec::new();
        let mut records = Vec::new();
        let mut at = 0;
        while at < size {
            let batch = self.0.ledger.read(grant, at, BATCH).await?;
            if batch.is_empty() {
                break;
            }
            at += batch.len() as u64;
            for record in batch.into_iter().filter(|record| record.seq < size) {
                if head.is_some() {
                    leaves.push(record.leaf());
                }
                let of_month = month.is_none_or(|month| month == Month::of_ms(record.ended_ms));
                if of_month && reach.has_record(&record) {
                    records.push(record);
                }
            }
        }
        Ok(ExportedBooks {
            grant,
            currency,
            head,
            whole: records.len() as u64 == size,
            leaves,
            records,
        })
    }

    async fn json(
        &self,
        parts: Vec<ExportedBooks>,
        accounts: &BTreeMap<BooksKey, Account>,
    ) -> Result<Vec<u8>, AccountingError> {
        let organisation = &self.0.organisation;
        let mut histories = BTreeMap::new();
        for part in parts.iter().filter(|part| part.head.is_some()) {
            let other = accounts.get(&part.grant).map(|account| account.other);
            for org in [Some(self.me().await?), other].into_iter().flatten() {
                if let Entry::Vacant(entry) = histories.entry(org) {
                    entry.insert(organisation.keys(org).await?);
                }
            }
        }
        Ok(oc_trust::Export::new(parts, &histories)?.to_json())
    }
}

const COLUMNS: [&str; 24] = [
    "grant",
    "seq",
    "id",
    "provider",
    "consumer",
    "run",
    "fragment",
    "attempt",
    "pseudonym",
    "workflow",
    "started_ms",
    "ended_ms",
    "wall_ms",
    "cpu_ms",
    "peak_memory_bytes",
    "bytes_in",
    "bytes_out",
    "storage_byte_seconds",
    "cores",
    "outcome",
    "charge",
    "currency",
    "corrects",
    "version",
];

fn csv(parts: &[ExportedBooks]) -> Vec<u8> {
    let mut out = COLUMNS.join(",");
    out.push_str("\r\n");
    for part in parts {
        for record in &part.records {
            out.push_str(&row(part, record).join(","));
            out.push_str("\r\n");
        }
    }
    out.into_bytes()
}

fn row(part: &ExportedBooks, record: &UsageRecord) -> [String; COLUMNS.len()] {
    let corrects = record.corrects.as_ref();
    [
        part.grant.to_string(),
        record.seq.to_string(),
        record.id.to_string(),
        record.provider.to_string(),
        record.consumer.to_string(),
        record.run.to_string(),
        record.fragment.to_string(),
        record.attempt.to_string(),
        quoted(record.pseudonym.as_str()),
        quoted(&record.workflow),
        record.started_ms.to_string(),
        record.ended_ms.to_string(),
        record.wall_ms.to_string(),
        record.cpu_ms.to_string(),
        record.peak_memory_bytes.to_string(),
        record.bytes_in.to_string(),
        record.bytes_out.to_string(),
        record.storage_byte_seconds.to_string(),
        record.cores.to_string(),
        record.outcome.as_str().to_owned(),
        record.charge.to_string(),
        part.currency.to_string(),
        corrects.map_or_else(String::new, ToString::to_string),
        record.version.to_string(),
    ]
}

/// RFC 4180, section 2. A partner's text that a spreadsheet would take for a formula gets a quote in front.
fn quoted(text: &str) -> String {
    let formula = text.starts_with(['=', '+', '-', '@', '\t', '\r']);
    let text = if formula {
        format!("'{text}")
    } else {
        text.to_owned()
    };
    if text.contains([',', '"', '\r', '\n']) {
        format!("\"{}\"", text.replace('"', "\"\""))
    } else {
        text
    }
}

#[cfg(test)]
mod tests {
    use super::quoted;

    #[test]
    fn a_text_cannot_leave_its_cell_or_become_a_formula() {
        assert_eq!(quoted("ndvi"), "ndvi");
        assert_eq!(quoted("a,b"), "\"a,b\"");
        assert_eq!(quoted("a\"b\r\nc"), "\"a\"\"b\r\nc\"");
        assert_eq!(quoted("=1+1"), "'=1+1");
    }
}

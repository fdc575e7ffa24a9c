//! Exports: the agreed books in one spelling, so that both sides' files can be compared byte for byte.

use oc_trust::{BooksKey, UsageRecord};

use super::books::Books;
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

/// One grant's part: its head with both signatures, and the records it covers.
struct Part {
    key: BooksKey,
    head: Option<String>,
    currency: String,
    records: Vec<UsageRecord>,
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
            let account = accounts.get(&key).copied();
            parts.push(self.part(key, account, month, reach).await?);
        }
        Ok(match format {
            Format::Json => Export {
                content: json(&parts),
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
        key: BooksKey,
        account: Option<Account>,
        month: Option<Month>,
        reach: &Reach,
    ) -> Result<Part, AccountingError> {
        let (head, size) = match key {
            BooksKey::Own => (None, self.0.model.catch_up(key).await?),
            BooksKey::Grant(grant) => {
                let Books {
                    agreed,
                    agreed_size,
                    ..
                } = self.books_of(grant).await?.value;
                (agreed, agreed_size)
            }
        };
        let mut records = Vec::new();
        let mut at = 0;
        while at < size {
            let batch = self.0.ledger.read(key, at, BATCH).await?;
            if batch.is_empty() {
                break;
            }
            at += batch.len() as u64;
            let wanted = |record: &UsageRecord| {
                record.seq < size
                    && reach.has_record(record)
                    && month.is_none_or(|month| month == Month::of_ms(record.ended_ms))
            };
            records.extend(batch.into_iter().filter(wanted));
        }
        Ok(Part {
            key,
            head,
            currency: account.map_or_else(String::new, |a| a.currency.to_string()),
            records,
        })
    }
}

/// The records' canonical bytes and the head's bytes are put in as they are: what was signed can be checked from
/// the export alone.
fn json(parts: &[Part]) -> Vec<u8> {
    let mut out = br#"{"format":"opencloud-usage-v1","books":["#.to_vec();
    for (at, part) in parts.iter().enumerate() {
        if at > 0 {
            out.push(b',');
        }
        let head = part.head.as_deref().unwrap_or("null");
        let (key, currency) = (part.key, &part.currency);
        out.extend(
            format!(r#"{{"grant":"{key}","currency":"{currency}","head":{head},"records":["#)
                .bytes(),
        );
        for (at, record) in part.records.iter().enumerate() {
            out.extend_from_slice(if at > 0 { b",\n" } else { b"\n" });
            out.extend(record.canonical());
        }
        out.extend_from_slice(b"\n]}");
    }
    out.extend_from_slice(b"]}\n");
    out
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

fn csv(parts: &[Part]) -> Vec<u8> {
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

fn row(part: &Part, record: &UsageRecord) -> [String; COLUMNS.len()] {
    let corrects = record.corrects.as_ref();
    [
        part.key.to_string(),
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
        part.currency.clone(),
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

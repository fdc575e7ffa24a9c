//! Exports of books: a bill that anybody can check from the file alone. It holds the head that both organisations
//! signed, the hashes of all records under it, the records or some of them, and the KeySets that the signatures need.
//!
//! Both organisations write the same bytes, so nothing in it depends on who writes it or when.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use crate::dsse::Envelope;
use crate::envelope::Keys as _;
use crate::error::OpenError;
use crate::event::BooksKey;
use crate::head::{UsageHead, open_countersigned};
use crate::keyset::{HistoryError, KeyHistory};
use crate::merkle;
use crate::price::Currency;
use crate::purpose::Purpose;
use crate::usage::{RecordId, UsageRecord};
use oc_kernel::{AttemptId, Classify, Digest, Kind, Money, OrgId};
use serde::{Deserialize, Serialize};
use serde_json::value::RawValue;

const FORMAT: &str = "opencloud-usage-v1";

/// Books of grants, and of our own work.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Export {
    format: String,
    books: Vec<ExportedBooks>,
    /// From the first KeySet to the first that lists the key of the newest signature.
    key_sets: BTreeMap<OrgId, Vec<Box<RawValue>>>,
}

/// The books of one grant, or of an organisation's own work.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ExportedBooks {
    /// Whose.
    pub grant: BooksKey,
    /// The currency of its charges, by the grant's price.
    pub currency: Currency,
    /// The newest head with both signatures, a DSSE envelope; none for own work and before the first.
    pub head: Option<Box<RawValue>>,
    /// False when some records under the head were left out on purpose.
    pub whole: bool,
    /// [`UsageRecord::leaf`] of every record under the head. They tell a record that was changed from the others.
    pub leaves: Vec<Digest>,
    /// The records, by their place in the log.
    pub records: Vec<UsageRecord>,
}

/// Books that hold.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct VerifiedBooks {
    /// Whose.
    pub grant: BooksKey,
    /// What both organisations signed; none for own work and for books without a record.
    pub head: Option<UsageHead>,
    /// How many records are in the export; all under the head, unless `whole` is false.
    pub records: u64,
    /// True when no record was left out.
    pub whole: bool,
    /// What the newest records of its attempts charge.
    pub charge: Money,
    /// The currency that the file names; it is not under the signatures.
    pub currency: Currency,
}

/// Why an export proves nothing.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum ExportError {
    /// Not the JSON of an export, or only the begin of it.
    #[error("this is no whole export of books: {0}")]
    Unreadable(String),
    /// Another format, or a later one.
    #[error("the format is `{0}`, which is not known here: {FORMAT} is")]
    Format(String),
    /// Records that nobody signed for.
    #[error("the books of {0} have records and no head that both organisations signed")]
    NoHead(BooksKey),
    /// The head is not one that both signed.
    #[error("the head of {grant}: {source}")]
    Head {
        /// Whose.
        grant: BooksKey,
        /// What is wrong with it.
        source: OpenError,
    },
    /// The head is of other books.
    #[error("the head of {grant} was signed for {signed}")]
    OtherGrant {
        /// Whose it says it is.
        grant: BooksKey,
        /// What was signed.
        signed: BooksKey,
    },
    /// An organisation's keys are not in it.
    #[error("the KeySets of {0} are not in it, so its signature cannot be checked")]
    NoKeys(OrgId),
    /// An organisation's KeySets do not belong together.
    #[error("the KeySets of {org}: {source}")]
    Keys {
        /// Whose.
        org: OrgId,
        /// What is wrong with them.
        source: HistoryError,
    },
    /// The hashes are not those that were signed.
    #[error(
        "the hashes of the records of {grant} are not those that both signed: {found} of them make another root \
         than the {signed} of the head"
    )]
    Leaves {
        /// Whose.
        grant: BooksKey,
        /// How many are in it.
        found: u64,
        /// How many were signed.
        signed: u64,
    },
    /// Books that are there more than once would count more than once.
    #[error("the books of {0} are in it twice")]
    Twice(BooksKey),
    /// One record is wrong.
    #[error("record {position} of {grant}, {id}, {what}")]
    Record {
        /// Whose.
        grant: BooksKey,
        /// Its place in the log, from 0.
        position: u64,
        /// Its id.
        id: RecordId,
        /// What is wrong with it.
        what: &'static str,
    },
    /// Records are missing that were signed.
    #[error("of the {signed} records of {grant} that both signed, record {first} is missing")]
    Missing {
        /// Whose.
        grant: BooksKey,
        /// The place of the first that is missing.
        first: u64,
        /// How many were signed.
        signed: u64,
    },
}

impl Classify for ExportError {
    fn kind(&self) -> Kind {
        match self {
            ExportError::Unreadable(_) | ExportError::Format(_) => Kind::Malformed,
            _ => Kind::Unauthenticated,
        }
    }
}

impl Export {
    /// An export of these books, with what is needed of the KeySets of everybody who signed a head.
    ///
    /// # Errors
    /// When a head cannot be read, or the keys of a signature are not in `histories`.
    pub fn new(
        books: Vec<ExportedBooks>,
        histories: &BTreeMap<OrgId, Arc<KeyHistory>>,
    ) -> Result<Self, OpenError> {
        let mut needed: BTreeMap<OrgId, usize> = BTreeMap::new();
        for head in books.iter().filter_map(|books| books.head.as_ref()) {
            let envelope = Envelope::from_json(head.get().as_bytes())?;
            for (org, history) in histories {
                let signed = |version: &crate::SignedKeySet| {
                    let mut signatures = envelope.signatures.iter();
                    signatures.any(|one| {
                        let key = version.key_set().key(Purpose::Usage, &one.key_id);
                        key.is_some()
                    })
                };
                if let Some(at) = history.versions().iter().position(signed) {
                    let most = needed.entry(*org).or_default();
                    *most = (*most).max(at + 1);
                }
            }
        }
        let mut key_sets = BTreeMap::new();
        for (org, count) in needed {
            let versions = histories[&org].versions().iter().take(count);
            let texts = versions.map(|version| {
                let text = String::from_utf8_lossy(version.bytes()).into_owned();
                RawValue::from_string(text).map_err(OpenError::malformed)
            });
            key_sets.insert(org, texts.collect::<Result<_, _>>()?);
        }
        Ok(Self {
            format: FORMAT.to_owned(),
            books,
            key_sets,
        })
    }

    /// Its one spelling.
    pub fn to_json(&self) -> Vec<u8> {
        // Numbers, ids, texts and JSON always have a JSON form.
        let mut json = serde_json::to_vec(self).unwrap_or_default();
        json.push(b'\n');
        json
    }

    /// Reads an export; nothing in it is believed yet.
    ///
    /// # Errors
    /// When it is none, or a part of one.
    pub fn read(bytes: &[u8]) -> Result<Self, ExportError> {
        let export: Self = serde_json::from_slice(bytes)
            .map_err(|error| ExportError::Unreadable(error.to_string()))?;
        if export.format != FORMAT {
            return Err(ExportError::Format(export.format));
        }
        Ok(export)
    }

    /// Checks signatures, roots and records. The KeySets of an organisation are those in `known`, else those in the
    /// file: whose they are follows from them, since its id is the digest of its first.
    ///
    /// # Errors
    /// The first thing that is wrong.
    pub fn verify(
        &self,
        known: &BTreeMap<OrgId, KeyHistory>,
    ) -> Result<Vec<VerifiedBooks>, ExportError> {
        let mut seen = BTreeSet::new();
        let twice = self.books.iter().find(|books| !seen.insert(books.grant));
        if let Some(books) = twice {
            return Err(ExportError::Twice(books.grant));
        }
        let books = self.books.iter();
        books.map(|books| self.verify_books(books, known)).collect()
    }

    fn verify_books(
        &self,
        books: &ExportedBooks,
        known: &BTreeMap<OrgId, KeyHistory>,
    ) -> Result<VerifiedBooks, ExportError> {
        let grant = books.grant;
        let head = match &books.head {
            Some(head) => Some(self.open_head(grant, head, known)?),
            None if grant != BooksKey::Own && !books.records.is_empty() => {
                return Err(ExportError::NoHead(grant));
            }
            None => None,
        };
        if let Some(head) = &head {
            books.check_leaves(head)?;
            books.check_records(head)?;
        }
        Ok(VerifiedBooks {
            grant,
            head,
            records: books.records.len() as u64,
            whole: books.whole,
            charge: books.charge(),
            currency: books.currency,
        })
    }

    fn open_head(
        &self,
        grant: BooksKey,
        head: &RawValue,
        known: &BTreeMap<OrgId, KeyHistory>,
    ) -> Result<UsageHead, ExportError> {
        let wrong = |source| ExportError::Head { grant, source };
        let bytes = head.get().as_bytes();
        let unverified = crate::Unverified::<UsageHead>::parse(bytes).map_err(wrong)?;
        let (provider, consumer) = (unverified.claim().provider, unverified.claim().consumer);
        let (provider, consumer) = (self.keys(provider, known)?, self.keys(consumer, known)?);
        let opened = open_countersigned(bytes, &provider.ever(), &consumer.ever());
        let head = opened.map_err(wrong)?.into_statement();
        let signed = BooksKey::Grant(head.grant);
        if signed != grant {
            return Err(ExportError::OtherGrant { grant, signed });
        }
        Ok(head)
    }

    fn keys(
        &self,
        org: OrgId,
        known: &BTreeMap<OrgId, KeyHistory>,
    ) -> Result<KeyHistory, ExportError> {
        if let Some(history) = known.get(&org) {
            return Ok(history.clone());
        }
        let versions = self.key_sets.get(&org).ok_or(ExportError::NoKeys(org))?;
        let versions: Vec<_> = versions.iter().map(|it| it.get().as_bytes()).collect();
        KeyHistory::verify(&org, &versions).map_err(|source| ExportError::Keys { org, source })
    }
}

impl ExportedBooks {
    fn check_leaves(&self, head: &UsageHead) -> Result<(), ExportError> {
        let found = self.leaves.len() as u64;
        if found != head.size || merkle::root(&self.leaves) != head.root {
            return Err(ExportError::Leaves {
                grant: self.grant,
                found,
                signed: head.size,
            });
        }
        Ok(())
    }

    fn check_records(&self, head: &UsageHead) -> Result<(), ExportError> {
        let mut next = 0;
        for record in &self.records {
            let position = record.seq;
            let wrong = |what| ExportError::Record {
                grant: self.grant,
                position,
                id: record.id.clone(),
                what,
            };
            if position < next {
                return Err(wrong("is there twice, or out of order"));
            }
            if position > next && self.whole {
                return Err(self.missing(next, head));
            }
            next = position + 1;
            let leaf = usize::try_from(position).ok();
            let leaf = leaf.and_then(|at| self.leaves.get(at));
            let leaf = leaf.ok_or_else(|| wrong("is not under the head that both signed"))?;
            if *leaf != record.leaf() {
                return Err(wrong("is not what both signed: its content was changed"));
            }
            let same_sides = record.grant == Some(head.grant)
                && record.provider == head.provider
                && record.consumer == head.consumer;
            if !same_sides {
                return Err(wrong("is of another grant or other organisations"));
            }
        }
        if self.whole && next < head.size {
            return Err(self.missing(next, head));
        }
        Ok(())
    }

    fn missing(&self, first: u64, head: &UsageHead) -> ExportError {
        ExportError::Missing {
            grant: self.grant,
            first,
            signed: head.size,
        }
    }

    /// A correction stands in place of what it corrects.
    fn charge(&self) -> Money {
        let mut newest: BTreeMap<AttemptId, (u32, Money)> = BTreeMap::new();
        for record in &self.records {
            let correction = record.correction().unwrap_or_default();
            let held = newest.entry(record.attempt).or_default();
            if correction >= held.0 {
                *held = (correction, record.charge);
            }
        }
        let charges = newest.values().map(|(_, charge)| *charge);
        charges.fold(Money::ZERO, Money::saturating_add)
    }
}

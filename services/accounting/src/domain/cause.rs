//! Why books are not agreed on, in words that travel.

use oc_kernel::OrgId;
use oc_trust::{Objection, UsageRecord};
use serde::{Deserialize, Serialize};

/// Longest text of a cause that comes from a partner, in bytes.
const LONGEST: usize = 512;

/// Why something is in the state it is in.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Cause {
    /// Short stable word.
    pub code: String,
    /// One sentence for a person.
    pub text: String,
    /// The organisation that caused it.
    pub org: OrgId,
    /// When, in ms since the epoch.
    pub at_ms: u64,
    /// What a person can do; empty when nothing is needed.
    pub advice: String,
}

impl Cause {
    /// Our objection to a record.
    pub fn objection(record: &UsageRecord, objection: &Objection, by: OrgId, now_ms: u64) -> Self {
        Self {
            code: objection.code().to_owned(),
            text: format!("record {}: {objection}", record.seq),
            org: by,
            at_ms: now_ms,
            advice: format!(
                "ask the provider to correct it with `opencloud usage correct {}`",
                record.id
            ),
        }
    }

    /// A partner's objection to a record of ours. What to do about it are our own words: a person follows them.
    #[must_use]
    pub fn against(self, record: &UsageRecord) -> Self {
        let advice = format!(
            "where the record is wrong, put it right with `opencloud usage correct {}`; where it is not, tell the \
             consumer",
            record.id
        );
        Self { advice, ..self }
    }

    /// The same cause with its texts cut to a length that may be stored.
    #[must_use]
    pub fn cut(mut self) -> Self {
        for text in [&mut self.code, &mut self.text, &mut self.advice] {
            let end = text.floor_char_boundary(LONGEST);
            text.truncate(end);
        }
        self
    }
}

//! The document of a grant's books: its terms, how far both sides agree, what is disputed. The records
//! themselves lie in the [`Ledger`](super::Ledger).

use std::collections::BTreeMap;

use oc_kernel::{GrantId, OrgId};
use oc_store::{Collection, Index, IndexValue};
use oc_trust::{Currency, Grant, OpenError, Unverified};
use serde::{Deserialize, Serialize};
use serde_json::Value;

use super::cause::Cause;

/// Books by the id of their grant.
pub(crate) static BOOKS: Collection =
    Collection::new("books", &[Index::computed("unfinished", 3, unfinished)]);

/// Objections that are kept of one grant; more of them say nothing new.
const MOST_DISPUTES: usize = 100;

/// On which side of a grant we are.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Side {
    /// We provide: we write the log.
    Provider,
    /// We use and pay: we check the log.
    Consumer,
}

/// The books of a grant.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Books {
    /// The grant.
    pub grant: GrantId,
    /// Our side.
    pub side: Side,
    /// The organisation on the other side.
    pub other: OrgId,
    /// The newest envelope of the grant, a DSSE envelope in JSON.
    pub terms: String,
    /// The currency of its price.
    pub currency: Currency,
    /// The grant's generation in `terms`.
    pub generation: u64,
    /// The grant's state as compute-provider last said, for people.
    pub state: String,
    /// The epoch that our heads carry; a restore raises it.
    pub epoch: u64,
    /// The newest head that the provider signed.
    pub head: Option<String>,
    /// The newest head with both signatures.
    pub agreed: Option<String>,
    /// How many records `agreed` covers.
    pub agreed_size: u64,
    /// As the consumer: how many records the provider has said that it holds our signature over.
    #[serde(default)]
    pub taken: Option<u64>,
    /// As the provider, after a restore: why they have not been compared with the consumer's copy yet. Nothing is
    /// recorded or signed before they have.
    #[serde(default)]
    pub restored: Option<String>,
    /// Objections by position in the log that stand.
    pub disputes: BTreeMap<u64, Cause>,
}

/// Books that we come back to without a new attempt. As the consumer: a correction may have been made, or our
/// signature is still to be handed over. As the provider: a restore is to be healed.
fn unfinished(document: &Value) -> Vec<IndexValue> {
    let restored = document["restored"].is_string();
    let consumer = document["side"] == "consumer";
    let disputed = document["disputes"]
        .as_object()
        .is_some_and(|d| !d.is_empty());
    let signed = !document["agreed"].is_null() && document["taken"] != document["agreed_size"];
    if restored || (consumer && (disputed || signed)) {
        vec![IndexValue::from("true")]
    } else {
        Vec::new()
    }
}

impl Books {
    /// The grant's content. Its signatures were checked by compute-provider before it came to us.
    ///
    /// # Errors
    /// When the envelope cannot be read.
    pub fn grant(&self) -> Result<Grant, OpenError> {
        Ok(Unverified::<Grant>::parse(self.terms.as_bytes())?
            .claim()
            .clone())
    }

    /// True when both organisations are known to hold a head with both signatures over `agreed_size` records. The
    /// provider holds nothing else: the consumer keeps what it hands over before it does so.
    pub fn held_by_both(&self) -> bool {
        let handed_over = self.side == Side::Provider || self.taken == Some(self.agreed_size);
        self.agreed.is_some() && handed_over
    }

    /// Takes note that both sides signed a head over `size` records.
    pub(crate) fn agree(&mut self, head: String, size: u64) {
        self.agreed = Some(head);
        self.agreed_size = size;
        self.disputes.retain(|position, _| *position >= size);
    }

    /// Takes note of an objection.
    pub(crate) fn dispute(&mut self, position: u64, cause: Cause) {
        if self.disputes.len() < MOST_DISPUTES || self.disputes.contains_key(&position) {
            self.disputes.insert(position, cause);
        }
    }
}

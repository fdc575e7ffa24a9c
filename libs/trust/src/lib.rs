//! What organisations say to each other and sign: KeySets, envelopes, listings, grants, delegations, usage
//! records and heads, and the rules by which each is believed.
//!
//! It is pure: it knows no network, no store and no clock; keys and the time are parameters. It does not
//! decide whether a grant is still in force or used up: that is admission's, which has the state.

pub mod audit;
pub mod caller;
pub mod chain;
pub mod delegation;
pub mod dsse;
pub mod duty;
pub mod envelope;
mod error;
pub mod event;
pub mod export;
pub mod grant;
pub mod head;
pub mod keyset;
mod limits;
pub mod listing;
pub mod manifest;
pub mod merkle;
pub mod orgkeys;
mod peer;
pub mod price;
mod purpose;
pub mod usage;

pub use audit::{Objection, Observed, audit};
pub use caller::Caller;
pub use chain::{Asking, Authority, Chain, verify_chain};
pub use delegation::{Delegation, Input, Output, attempt_prefix, workspace};
pub use dsse::Envelope;
pub use duty::duty;
pub use envelope::{
    Here, Keys, SKEW_MS, Scope, Sealed, Signer, Statement, Unverified, countersign, open,
    open_evidence, seal,
};
pub use error::{ChainError, OpenError, SignError};
pub use event::{BooksKey, Event, ParseBooksKeyError};
pub use export::{Export, ExportError, ExportedBooks, VerifiedBooks};
pub use grant::{Grant, GrantedListing, Pseudonyms, Tool, open_draft, open_grant};
pub use head::{UsageHead, open_countersigned};
pub use keyset::{KeyHistory, KeySet, KeySets, ListedKey, PublicKey, SignedKeySet};
pub use limits::{Limits, OverLimit};
pub use listing::{Head, Interval, Listing, ListingKind, Version, Visibility, listings_digest};
pub use manifest::{Artefact, Manifest};
pub use merkle::Frontier;
pub use orgkeys::{LocalSigner, NodeKeys, OrgKeys, RootKeys, Seeds};
pub use peer::{ParsePeerIdError, PeerId};
pub use price::{Chargeable, Currency, ParseCurrencyError, Price, charge};
pub use purpose::Purpose;
pub use usage::{Outcome, RecordId, UsageRecord, record_id};

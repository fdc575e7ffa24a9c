//! What this service stores, each kind in a collection of its own.

use std::sync::Arc;

use jiff::Timestamp;
use oc_kernel::{AttemptId, Digest, GrantId, LeaseId, Name, ObjectKey, OrgId};
use oc_store::{Collection, Documents, Index, IndexValue, Store};
use oc_trust::Price;
use serde::{Deserialize, Serialize};
use serde_json::Value;

use crate::domain::attempt::{AttemptKey, OperationKey};
use crate::domain::egress::{Egress, EgressLimits};
use crate::domain::grant::{Grant, Rule};
use crate::domain::ledger::{Answer, Demand, Ended, Ledger, Under};
use crate::domain::metering::Usage;
use crate::domain::offer::Offer;
use crate::domain::room::{Holder, Room, UploadId};
use crate::domain::runtime::{AttemptReport, InputObject, LogLine, OutputPrefix, Phase, StepEvent};

static OFFERS: Collection = Collection::new("offers", &[]);
static LEDGERS: Collection = Collection::new("ledgers", &[]);
static ANSWERS: Collection = Collection::new("answers", &[Index::pointer("grant", "/grant")]);
static GRANTS: Collection = Collection::new(
    "grants",
    &[
        Index::pointer("id", "/grant/id"),
        Index::computed("network", 1, network_of),
    ],
);
static RULES: Collection = Collection::new("rules", &[]);
static EGRESS: Collection = Collection::new("egress", &[]);
static PAYLOADS: Collection = Collection::new("payloads", &[]);
static ATTEMPTS: Collection = Collection::new(
    "attempts",
    &[
        Index::pointer("grant", "/grant"),
        Index::computed("own", 1, own),
    ],
);
static OUTPUTS: Collection = Collection::new("outputs", &[]);
static EVENTS: Collection =
    Collection::new("attempt-events", &[Index::computed("last", 1, last_number)]);
static ROOMS: Collection = Collection::new("rooms", &[]);
static OBJECTS: Collection = Collection::new(
    "objects",
    &[
        Index::computed("place", 1, place),
        Index::computed("mine", 1, mine),
        Index::computed("folder", 1, folder),
        Index::pointer("key", "/key"),
        Index::pointer("grant", "/holder/grant"),
        Index::pointer("attempt", "/attempt"),
        Index::pointer("upload", "/upload"),
    ],
);
static RUN_USERS: Collection = Collection::new("run-users", &[Index::pointer("said", "/said_ms")]);
static SECRETS: Collection = Collection::new("secrets", &[]);

fn text<'a>(document: &'a Value, pointer: &str) -> Option<&'a str> {
    document.pointer(pointer)?.as_str()
}

fn network_of(document: &Value) -> Vec<IndexValue> {
    text(document, "/grant/network")
        .map(IndexValue::from)
        .into_iter()
        .collect()
}

/// Own attempts that ended, by when.
fn own(document: &Value) -> Vec<IndexValue> {
    let own = document.pointer("/grant").is_none_or(Value::is_null);
    let ended = document.pointer("/ended_ms").and_then(Value::as_i64);
    ended
        .filter(|_| own)
        .map(IndexValue::from)
        .into_iter()
        .collect()
}

/// The number of a chunk's last event, below its attempt: so a reader finds where to go on.
fn last_number(document: &Value) -> Vec<IndexValue> {
    let chunk = serde_json::from_value::<EventChunk>(document.clone());
    chunk
        .map(|chunk| IndexValue::from(event_place(&chunk.attempt, chunk.last())))
        .into_iter()
        .collect()
}

fn place(document: &Value) -> Vec<IndexValue> {
    let place = text(document, "/offer").zip(text(document, "/key"));
    place
        .map(|(offer, key)| IndexValue::from(format!("{offer}/{key}")))
        .into_iter()
        .collect()
}

/// An object below the user it belongs to.
fn mine(document: &Value) -> Vec<IndexValue> {
    let user = text(document, "/user");
    let places = user
        .zip(text(document, "/offer"))
        .zip(text(document, "/key"));
    places
        .map(|((user, offer), key)| IndexValue::from(format!("{user}/{offer}/{key}")))
        .into_iter()
        .collect()
}

/// Who has something in the folder of an object.
fn folder(document: &Value) -> Vec<IndexValue> {
    let user = text(document, "/user").unwrap_or_default();
    let place = text(document, "/offer").zip(text(document, "/key"));
    place
        .map(|(offer, key)| IndexValue::from(format!("{offer}/{}/{user}", folder_of(key))))
        .into_iter()
        .collect()
}

/// The folder of a key: its first name.
pub(crate) fn folder_of(key: &str) -> &str {
    key.split('/').next().unwrap_or_default()
}

/// The answer of an operation, moved out of its ledger.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct KeptAnswer {
    pub(crate) grant: Option<GrantId>,
    pub(crate) answer: Answer,
}

/// A grant with what only its keeper knows.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct GrantDocument {
    pub(crate) grant: Grant,
    /// What was used of it, as its provider last said; only where we are the consumer.
    pub(crate) used: Option<oc_trust::Limits>,
    /// What its listings cost when it was asked for: what people see until a price is agreed on.
    #[serde(default)]
    pub(crate) listed: Option<Price>,
    /// Its consumer objects to a record of the books; until that is settled nothing more begins under it.
    #[serde(default)]
    pub(crate) disputed: bool,
    /// Delete the document itself once everything else of it is gone.
    pub(crate) purge: bool,
}

/// An object an attempt reads, with the chain that opens it at its owner.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Input {
    pub(crate) object: InputObject,
    pub(crate) delegation: Vec<String>,
}

/// What an attempt runs and by which right, written once before it gets its lease.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Payload {
    pub(crate) document: String,
    pub(crate) job: String,
    pub(crate) inputs: Vec<Input>,
    pub(crate) output: OutputPrefix,
    pub(crate) output_delegation: Vec<String>,
    /// The chain that opens what is ours.
    pub(crate) delegation: Vec<String>,
}

impl Payload {
    /// Names the payload.
    pub(crate) fn digest(&self) -> Digest {
        // Texts and numbers always have a JSON form.
        Digest::of(&serde_json::to_vec(self).unwrap_or_default())
    }
}

/// A file an attempt has announced.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct OutputFile {
    pub(crate) name: ObjectKey,
    pub(crate) length: u64,
    pub(crate) sha256: Digest,
    pub(crate) stored: bool,
}

/// How an attempt is to be told and booked; made once, so that a crash in the middle changes nothing.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Closing {
    pub(crate) usage: Usage,
    pub(crate) ended: Ended,
    /// Number of the first closing event.
    pub(crate) number: u64,
    /// Why the store refuses its end as it was; then it is a failure.
    #[serde(default)]
    pub(crate) fault: Option<String>,
}

/// An attempt, from its submission to the end of its grant.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Attempt {
    pub(crate) key: AttemptKey,
    pub(crate) offer: Name,
    pub(crate) grant: Option<GrantId>,
    pub(crate) under: Under,
    pub(crate) lease: LeaseId,
    pub(crate) demand: Demand,
    pub(crate) egress: Option<EgressLimits>,
    pub(crate) price: Option<Price>,
    /// The end of the authority it was started by, in ms since the epoch.
    pub(crate) until_ms: u64,
    pub(crate) pseudonym: Name,
    pub(crate) workflow: String,
    pub(crate) output: OutputPrefix,
    pub(crate) report: Option<AttemptReport>,
    pub(crate) closing: Option<Closing>,
    pub(crate) ended_ms: Option<i64>,
}

/// An event of an attempt as it is kept.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Recorded {
    pub(crate) at: Timestamp,
    pub(crate) event: RecordedEvent,
}

/// What is kept of what happened.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "kind", content = "of", rename_all = "kebab-case")]
pub(crate) enum RecordedEvent {
    Submitted,
    Phase(Phase),
    Step(StepEvent),
    Log(LogLine),
    /// The outputs as a CWL object, and the objects it names.
    Result {
        outputs: String,
        usage: Usage,
        objects: Vec<WrittenObject>,
    },
    Ended {
        state: crate::domain::ledger::EndedState,
        text: String,
        /// What kind of failure it was; empty for one of the tool's own.
        #[serde(default)]
        code: String,
    },
}

/// An object an attempt has written.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct WrittenObject {
    pub(crate) owner: OrgId,
    pub(crate) key: ObjectKey,
    pub(crate) length: u64,
    pub(crate) sha256: Digest,
}

/// Events that were written at once; numbers begin at `first` and have no gaps.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct EventChunk {
    pub(crate) attempt: AttemptKey,
    pub(crate) first: u64,
    pub(crate) events: Vec<Recorded>,
}

impl EventChunk {
    /// The number of its last event.
    pub(crate) fn last(&self) -> u64 {
        (self.first + self.events.len() as u64).saturating_sub(1)
    }
}

/// An object of a storage offer, or of the workspace.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct StoredObject {
    /// The upload that brought it.
    pub(crate) upload: UploadId,
    pub(crate) offer: Name,
    /// Unique in the offer.
    pub(crate) key: ObjectKey,
    /// Where its bytes lie, and the key of its document; none where that is `key`, as it was while a key was unique
    /// in all offers together.
    #[serde(default)]
    pub(crate) place: Option<ObjectKey>,
    pub(crate) holder: Holder,
    pub(crate) attempt: Option<AttemptId>,
    /// The partner that announced it; none for ourselves.
    pub(crate) announcer: Option<OrgId>,
    /// The user of ours whom it belongs to; none where that is not known, and for what is a partner's.
    #[serde(default)]
    pub(crate) user: Option<String>,
    pub(crate) length: u64,
    pub(crate) sha256: Digest,
    pub(crate) media_type: String,
    pub(crate) stored_at: Timestamp,
}

impl StoredObject {
    /// Where its bytes lie, and the key of its document.
    pub(crate) fn place(&self) -> &ObjectKey {
        self.place.as_ref().unwrap_or(&self.key)
    }
}

/// Who started a run of ours.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct RunUser {
    pub(crate) user: String,
    /// When that was last said.
    pub(crate) said_ms: i64,
}

/// A key of this service, as hex.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub(crate) struct Secret {
    pub(crate) hex: String,
}

/// Every collection.
#[derive(Clone)]
pub(crate) struct Shelf {
    pub(crate) offers: Documents<Offer>,
    pub(crate) ledgers: Documents<Ledger>,
    pub(crate) answers: Documents<KeptAnswer>,
    pub(crate) grants: Documents<GrantDocument>,
    pub(crate) rules: Documents<Rule>,
    pub(crate) egress: Documents<Egress>,
    pub(crate) payloads: Documents<Payload>,
    pub(crate) attempts: Documents<Attempt>,
    /// Each by itself: an attempt may have thousands.
    pub(crate) outputs: Documents<OutputFile>,
    pub(crate) events: Documents<EventChunk>,
    pub(crate) rooms: Documents<Room>,
    pub(crate) objects: Documents<StoredObject>,
    pub(crate) run_users: Documents<RunUser>,
    pub(crate) secrets: Documents<Secret>,
}

impl Shelf {
    /// The collections of `store`.
    pub(crate) fn new(store: &Arc<dyn Store>) -> Self {
        Self {
            offers: Documents::new(store.clone(), &OFFERS, 1),
            ledgers: Documents::new(store.clone(), &LEDGERS, 1),
            answers: Documents::new(store.clone(), &ANSWERS, 1),
            grants: Documents::new(store.clone(), &GRANTS, 1),
            rules: Documents::new(store.clone(), &RULES, 1),
            egress: Documents::new(store.clone(), &EGRESS, 1),
            payloads: Documents::new(store.clone(), &PAYLOADS, 1),
            attempts: Documents::new(store.clone(), &ATTEMPTS, 1),
            outputs: Documents::new(store.clone(), &OUTPUTS, 1),
            events: Documents::new(store.clone(), &EVENTS, 1),
            rooms: Documents::new(store.clone(), &ROOMS, 1),
            objects: Documents::new(store.clone(), &OBJECTS, 1),
            run_users: Documents::new(store.clone(), &RUN_USERS, 1),
            secrets: Documents::new(store.clone(), &SECRETS, 1),
        }
    }
}

/// The key of an attempt's documents. The organisation is part of it: a partner chooses the rest.
pub(crate) fn attempt_key(org: &OrgId, attempt: &AttemptId) -> String {
    format!("{org}/{attempt}")
}

/// The key of an output of an attempt.
pub(crate) fn output_key(attempt: &AttemptKey, name: &ObjectKey) -> String {
    let below = attempt_key(&attempt.org, &attempt.attempt);
    format!("{below}/{}", Digest::of(name.as_str().as_bytes()))
}

/// The key of a kept answer.
pub(crate) fn answer_key(key: &OperationKey) -> String {
    key.to_string()
}

/// The place of an event among all: the key of the chunk that begins with it.
pub(crate) fn event_place(attempt: &AttemptKey, number: u64) -> String {
    format!(
        "{}/{number:012}",
        attempt_key(&attempt.org, &attempt.attempt)
    )
}

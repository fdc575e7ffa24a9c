//! What services of one organisation tell each other about grants, attempts and people: the events that books are
//! made of and kept by, spelled once for those who tell and those who take.
//!
//! Who does not know a field passes over it, and a field that is added later has a default: in a cluster services
//! are replaced one by one.

use std::fmt;
use std::str::FromStr;

use oc_kernel::{AttemptId, Classify, FragmentId, GrantId, Kind, Name, OrgId, RunId};
use serde::de::DeserializeOwned;
use serde::{Deserialize, Deserializer, Serialize, Serializer};

use crate::usage::Outcome;

/// The content of an event.
pub trait Event: Serialize + DeserializeOwned {
    /// Its type on the bus.
    const TYPE: &'static str;

    /// What it is about: events of one subject come in order.
    fn subject(&self) -> String;

    /// It in JSON.
    fn data(&self) -> serde_json::Value {
        // Numbers, ids and texts always have a JSON form.
        serde_json::to_value(self).unwrap_or_default()
    }

    /// Reads what an event carries.
    ///
    /// # Errors
    /// When it is no content of this type.
    fn read(data: Option<&serde_json::Value>) -> Result<Self, serde_json::Error> {
        Self::deserialize(data.unwrap_or(&serde_json::Value::Null))
    }
}

/// Names books.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum BooksKey {
    /// Our own work on our own machines; nobody else has these books.
    Own,
    /// The work under a grant.
    Grant(GrantId),
}

impl BooksKey {
    /// The books of a record: those of its grant, or our own.
    pub fn of(grant: Option<GrantId>) -> Self {
        grant.map_or(BooksKey::Own, BooksKey::Grant)
    }

    /// The grant; none for our own books.
    pub fn grant(self) -> Option<GrantId> {
        match self {
            BooksKey::Own => None,
            BooksKey::Grant(id) => Some(id),
        }
    }
}

impl fmt::Display for BooksKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            BooksKey::Own => f.write_str("own"),
            BooksKey::Grant(id) => id.fmt(f),
        }
    }
}

/// A text that names no books.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("`{0}` names no books: write the id of a grant, or own")]
pub struct ParseBooksKeyError(String);

impl Classify for ParseBooksKeyError {
    fn kind(&self) -> Kind {
        Kind::Malformed
    }
}

impl FromStr for BooksKey {
    type Err = ParseBooksKeyError;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        if text == "own" {
            return Ok(BooksKey::Own);
        }
        text.parse()
            .map(BooksKey::Grant)
            .map_err(|_| ParseBooksKeyError(text.chars().take(80).collect()))
    }
}

impl Serialize for BooksKey {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

impl<'de> Deserialize<'de> for BooksKey {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let text = String::deserialize(deserializer)?;
        text.parse().map_err(serde::de::Error::custom)
    }
}

/// How far an attempt is, as its consumer sees it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum AttemptState {
    /// It is about to be handed over.
    Submitted,
    /// Its end was seen, or it is given up.
    Ended,
}

/// pipeline-orchestrator: what we as the consumer saw of an attempt of ours.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct AttemptEvent {
    /// The books that its record belongs to.
    pub grant_id: BooksKey,
    /// The run.
    pub run_id: RunId,
    /// The fragment.
    pub fragment_id: FragmentId,
    /// The attempt.
    pub attempt_id: AttemptId,
    /// The id of the user whose run it is.
    #[serde(default)]
    pub user: Option<String>,
    /// The name that the grant's provider knows the user by.
    #[serde(default)]
    pub pseudonym: Option<Name>,
    /// How far it is.
    pub state: AttemptState,
    /// When that was seen, in ms since the epoch.
    pub at_ms: u64,
    /// How it ended; only with an end that its provider told, `lost` only where it said that it lost it itself.
    #[serde(default)]
    pub outcome: Option<Outcome>,
    /// What arrived of it here, in bytes, where that is known.
    #[serde(default)]
    pub bytes_out: Option<u64>,
}

impl Event for AttemptEvent {
    const TYPE: &'static str = "oc.pipeline.attempt.v1";

    fn subject(&self) -> String {
        self.grant_id.to_string()
    }
}

/// compute-provider: what an attempt used that ended here. It is told once.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct UsageEvent {
    /// The books that its record belongs to.
    pub grant_id: BooksKey,
    /// The run.
    pub run_id: RunId,
    /// The fragment.
    pub fragment_id: FragmentId,
    /// The attempt.
    pub attempt_id: AttemptId,
    /// The user, under the name that the grant gave.
    pub pseudonym: Name,
    /// The name of the workflow.
    pub workflow: String,
    /// Begin in ms since the epoch.
    pub started_ms: u64,
    /// End in ms since the epoch.
    pub ended_ms: u64,
    /// How long cores were held, in ms of a monotonic clock.
    pub wall_ms: u64,
    /// Processor time over all cores, in ms.
    pub cpu_ms: u64,
    /// Most memory, in bytes.
    pub peak_memory_bytes: u64,
    /// What it fetched, in bytes.
    pub bytes_in: u64,
    /// What left the provider, in bytes.
    pub bytes_out: u64,
    /// What it kept stored times how long, in byte-seconds.
    #[serde(default)]
    pub storage_byte_seconds: u64,
    /// Cores it held.
    pub cores: u32,
    /// How it ended.
    pub outcome: Outcome,
}

impl Event for UsageEvent {
    const TYPE: &'static str = "oc.compute.usage.v1";

    fn subject(&self) -> String {
        self.grant_id.to_string()
    }
}

/// compute-provider: a grant of ours began, changed or ended.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct GrantEvent {
    /// The grant.
    pub grant_id: GrantId,
    /// Where it stands.
    pub state: String,
    /// Raised by each change and by a revocation.
    pub generation: u64,
    /// Base64 of its newest envelope; empty before it is signed.
    #[serde(default)]
    pub envelope: String,
    /// Who provides.
    pub provider: OrgId,
    /// Who uses.
    pub consumer: OrgId,
    /// The network in which it is used.
    pub network_id: Name,
    /// True where nothing of it stays here.
    #[serde(default)]
    pub swept: bool,
}

impl Event for GrantEvent {
    const TYPE: &'static str = "oc.compute.grant.v1";

    fn subject(&self) -> String {
        self.grant_id.to_string()
    }
}

/// What has become of somebody's account.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum UserState {
    /// It is gone, and what tells who the person was must go too.
    Removed,
}

/// generic-backend: an account changed. It carries the random id of the user and no name.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct UserEvent {
    /// The id of the user.
    pub user: String,
    /// What has become of the account.
    pub state: UserState,
}

impl Event for UserEvent {
    const TYPE: &'static str = "oc.backend.user.v1";

    fn subject(&self) -> String {
        self.user.clone()
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn books_are_named_by_their_grant_or_own() {
        for key in [BooksKey::Own, BooksKey::Grant(GrantId::new())] {
            assert_eq!(key.to_string().parse(), Ok(key));
            let json = serde_json::to_value(key).unwrap();
            assert_eq!(serde_json::from_value::<BooksKey>(json).unwrap(), key);
        }
        assert!("Own".parse::<BooksKey>().is_err());
    }

    #[test]
    fn an_attempt_event_of_an_older_service_is_read_and_what_a_newer_one_adds_is_passed_over() {
        let old = json!({
            "grant_id": "own",
            "run_id": RunId::new(),
            "fragment_id": FragmentId::new(),
            "attempt_id": AttemptId::new(),
            "state": "submitted",
            "at_ms": 7,
            "cores": 2,
        });
        let event: AttemptEvent = serde_json::from_value(old).unwrap();
        assert_eq!(event.state, AttemptState::Submitted);
        assert_eq!((event.user, event.pseudonym), (None, None));
    }
}

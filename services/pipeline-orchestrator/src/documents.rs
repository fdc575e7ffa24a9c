//! What the orchestrator stores.

use std::collections::BTreeMap;
use std::sync::Arc;

use jiff::Timestamp;
use oc_kernel::{GrantId, Money, Name, RunId};
use oc_proto::federation::v1::{ReservedItem, SubmitRequest};
use oc_proto::pipeline::v1::{CountedInput, WatchRunResponse};
use oc_store::{Collection, Documents, Index, Store};
use oc_workflow::data::{Destination, Input, ObjectRef};
use oc_workflow::run::Run;
use serde::{Deserialize, Serialize};
use serde_json::Value;

static RUNS: Collection = Collection::new(
    "runs",
    &[
        Index::pointer("state", "/run/state"),
        Index::pointer("user", "/spec/user"),
    ],
);
static EVENTS: Collection = Collection::new("run-events", &[]);
static SUBMISSIONS: Collection = Collection::new("submissions", &[]);
static OPERATIONS: Collection = Collection::new("operations", &[]);
static PSEUDONYMS: Collection = Collection::new("pseudonyms", &[]);
static CLEARINGS: Collection = Collection::new("clearings", &[Index::pointer("state", "/state")]);
static WALL_TIMES: Collection = Collection::new("wall-times", &[]);

/// The collections.
#[derive(Debug, Clone)]
pub(crate) struct Shelf {
    /// Runs, by id.
    pub(crate) runs: Documents<RunDocument>,
    /// What people see of runs, by [`batch_key`].
    pub(crate) events: Documents<Batch>,
    /// What was sent to a site, by run and attempt: sent again it must be the same bytes.
    pub(crate) submissions: Documents<SubmitRequest>,
    /// Runs by the key of the operation that started them.
    pub(crate) operations: Documents<Operation>,
    /// Who a user is under a grant, by user and grant.
    pub(crate) pseudonyms: Documents<Pseudonym>,
    /// What is to become of the outputs of runs, by run.
    pub(crate) clearings: Documents<Clearing>,
    /// How long later attempts asked to run, by run and attempt.
    pub(crate) wall_times: Documents<WallTime>,
}

impl Shelf {
    pub(crate) fn new(store: &Arc<dyn Store>) -> Self {
        Self {
            runs: Documents::new(store.clone(), &RUNS, 1),
            events: Documents::new(store.clone(), &EVENTS, 1),
            submissions: Documents::new(store.clone(), &SUBMISSIONS, 1),
            operations: Documents::new(store.clone(), &OPERATIONS, 1),
            pseudonyms: Documents::new(store.clone(), &PSEUDONYMS, 1),
            clearings: Documents::new(store.clone(), &CLEARINGS, 1),
            wall_times: Documents::new(store.clone(), &WALL_TIMES, 1),
        }
    }
}

/// A run with all it needs to go on.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub(crate) struct RunDocument {
    /// The state machine.
    pub(crate) run: Run,
    /// What was asked for.
    pub(crate) spec: Spec,
    /// What the data providers counted.
    pub(crate) counted: Vec<CountedInput>,
    /// What the data providers reserved, by input.
    pub(crate) reserved: BTreeMap<String, Vec<ReservedItem>>,
    /// Events that belong to the state and may not be among the stored events yet.
    pub(crate) pending: Vec<WatchRunResponse>,
    /// What came out, once published.
    pub(crate) published: Option<Published>,
    /// What the books charge for it, by grant.
    #[serde(default)]
    pub(crate) charged: BTreeMap<GrantId, Charge>,
}

/// What the books of a grant charge for a run.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Charge {
    /// ISO 4217 code.
    pub(crate) currency: String,
    /// The sum over its attempts.
    pub(crate) charge: Money,
}

/// What was asked for, checked.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub(crate) struct Spec {
    /// For people and for the books.
    pub(crate) name: String,
    /// The user's id.
    pub(crate) user: String,
    /// The user's name.
    pub(crate) user_name: String,
    /// The workflow as canonical, self-contained CWL.
    pub(crate) document: String,
    /// By the workflow's input.
    pub(crate) inputs: BTreeMap<String, SpecInput>,
    /// Where the outputs go.
    pub(crate) output: Destination,
    /// Grant by dataset or storage, as `<owner>/<listing>`; nothing for our own.
    pub(crate) grants: BTreeMap<String, String>,
}

/// One input of a run with the files it names.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub(crate) struct SpecInput {
    /// What was asked for.
    pub(crate) input: Input,
    /// The CWL value, where it is known before data are reserved.
    pub(crate) value: Option<Value>,
    /// The files in the value.
    pub(crate) files: Vec<KnownFile>,
    /// The workflow's input takes a list.
    pub(crate) list: bool,
}

/// An object with what is needed to open it.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub(crate) struct KnownFile {
    /// The object.
    pub(crate) object: ObjectRef,
    /// The owner's listing it belongs to.
    pub(crate) listing: Option<Name>,
    /// The data reservation that holds it.
    pub(crate) reservation: Option<String>,
}

/// What came out of a run.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub(crate) struct Published {
    /// The CWL output object.
    pub(crate) outputs: Value,
    /// One signed manifest for each fragment, DSSE envelopes.
    pub(crate) manifests: Vec<String>,
}

/// Events of a run that were stored together.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub(crate) struct Batch {
    /// In order.
    pub(crate) events: Vec<WatchRunResponse>,
    /// The attempt they come from, and how many of its own events are thereby taken down.
    pub(crate) taken: Option<(String, u64)>,
}

/// The run that an operation started.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub(crate) struct Operation {
    /// The run.
    pub(crate) run: RunId,
    /// Digest of the request.
    pub(crate) request: String,
}

/// A name that tells nothing.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub(crate) struct Pseudonym {
    /// Random.
    pub(crate) pseudonym: String,
}

/// What is to become of the outputs of a run, written before it has any.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub(crate) struct Clearing {
    /// Whether that was done.
    pub(crate) state: ClearingState,
    /// When the run began or was started again.
    pub(crate) since: Timestamp,
}

/// How far a clearing is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub(crate) enum ClearingState {
    /// Once the run is over, what does not count is to go.
    Due,
    /// That has gone.
    Done,
}

/// What an attempt asked for.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub(crate) struct WallTime {
    /// Seconds.
    pub(crate) seconds: u64,
}

/// Events of a run sort by their number.
pub(crate) fn batch_key(run: RunId, first: u64) -> String {
    format!("{run}/{first:020}")
}

//! One organisation of the play: a node that may be down, and that others ask meanwhile.

use std::path::{Path, PathBuf};
use std::sync::{PoisonError, RwLock};
use std::time::{Duration, Instant};

use oc_client::Client;
use oc_testkit::Node;
use tokio::sync::Mutex;

/// A node with its folder. Whoever brings it down holds it until it is up again, so that two never do at once.
pub(super) struct Organisation {
    /// Its OrgId.
    pub(super) id: String,
    data: PathBuf,
    node: Mutex<Node>,
    face: RwLock<Face>,
}

/// How it is reached.
#[derive(Clone)]
struct Face {
    client: Client,
    state: State,
    since: Instant,
}

/// Whether its process runs.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum State {
    /// It answers.
    Up,
    /// It stops or starts, in its own time.
    Between,
    /// There is none.
    Down,
}

/// Where it stands, and for how long it has.
#[derive(Debug, Clone, Copy)]
pub(super) struct Standing {
    pub(super) state: State,
    pub(super) lasts: Duration,
}

impl Organisation {
    /// One whose node is up.
    pub(super) fn new(node: Node, id: String) -> Self {
        Self {
            id,
            data: node.data(),
            face: RwLock::new(Face {
                client: node.client(),
                state: State::Up,
                since: Instant::now(),
            }),
            node: Mutex::new(node),
        }
    }

    /// The node's folder.
    pub(super) fn data(&self) -> &Path {
        &self.data
    }

    fn face(&self) -> Face {
        let face = self.face.read().unwrap_or_else(PoisonError::into_inner);
        face.clone()
    }

    fn set(&self, state: State) {
        let mut face = self.face.write().unwrap_or_else(PoisonError::into_inner);
        face.state = state;
        face.since = Instant::now();
    }

    async fn begin(&self, node: &mut Node) {
        self.set(State::Between);
        node.begin().await;
        let mut face = self.face.write().unwrap_or_else(PoisonError::into_inner);
        *face = Face {
            client: node.client(),
            state: State::Up,
            since: Instant::now(),
        };
    }

    /// Its administrator's client, of the newest process.
    pub(super) fn client(&self) -> Client {
        self.face().client
    }

    /// Where it stands now.
    pub(super) fn standing(&self) -> Standing {
        let face = self.face();
        Standing {
            state: face.state,
            lasts: face.since.elapsed(),
        }
    }

    /// Ends the process as a power cut does, and starts another after a while.
    pub(super) async fn kill(&self, down: Duration) {
        let mut node = self.node.lock().await;
        self.set(State::Between);
        node.kill();
        self.set(State::Down);
        tokio::time::sleep(down).await;
        self.begin(&mut node).await;
    }

    /// Has the process stop in its own time, and starts another.
    pub(super) async fn restart(&self) {
        let mut node = self.node.lock().await;
        self.set(State::Between);
        node.stop().await;
        self.begin(&mut node).await;
    }

    /// Works with the node itself while nobody else does.
    pub(super) async fn node(&self) -> tokio::sync::MutexGuard<'_, Node> {
        self.node.lock().await
    }
}

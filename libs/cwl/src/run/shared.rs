//! What all parts of one run share.

use std::borrow::Cow;
use std::fs;
use std::path::PathBuf;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Condvar, Mutex, OnceLock, PoisonError};
use std::time::Duration;

use super::engine::Engine;
use super::events::Observer;
use super::files::Guard;
use super::format::Ontology;
use super::scope::Scope;
use crate::expression::Scripts;
use crate::resolve::Resolver;
use crate::{
    Cancellation, Document, Evaluator, Executor, LocalFiles, RequirementKind, RunError, path_of_uri,
};

/// An ontology larger than this is not read.
const ONTOLOGY_LIMIT: usize = 64 * 1024 * 1024;

pub(super) struct Shared<'e> {
    pub(super) document: &'e Document,
    pub(super) executor: &'e dyn Executor,
    pub(super) evaluator: &'e dyn Evaluator,
    pub(super) observer: &'e dyn Observer,
    pub(super) guard: Guard,
    pub(super) cancellation: Cancellation,
    pub(super) gate: CoreGate,
    scratch: PathBuf,
    folders: AtomicUsize,
    ontology: OnceLock<Ontology>,
}

/// The folders of one job.
pub(super) struct JobFolders {
    /// Where the tool writes its outputs; no part of the path is a link.
    pub(super) out: PathBuf,
    /// Where the tool writes temporary files.
    pub(super) tmp: PathBuf,
    /// Where its inputs are staged; made when the first is.
    pub(super) stage: PathBuf,
    /// Where its streams go when the document does not say.
    pub(super) log: PathBuf,
}

impl<'e> Shared<'e> {
    pub(super) fn new(
        document: &'e Document,
        engine: &'e Engine,
        guard: Guard,
        cancellation: Cancellation,
        scratch: PathBuf,
    ) -> Self {
        Self {
            document,
            executor: engine.executor(),
            evaluator: engine.evaluator(),
            observer: engine.observer(),
            guard,
            cancellation,
            gate: CoreGate::new(engine.cores()),
            scratch,
            folders: AtomicUsize::new(0),
            ontology: OnceLock::new(),
        }
    }

    /// Fresh folders for one job.
    pub(super) fn job_folders(&self) -> Result<JobFolders, RunError> {
        let number = self.folders.fetch_add(1, Ordering::Relaxed);
        let base = self.scratch.join(number.to_string());
        let folders = JobFolders {
            out: base.join("out"),
            tmp: base.join("tmp"),
            stage: base.join("in"),
            log: base.clone(),
        };
        for folder in [&base, &folders.out, &folders.tmp] {
            fs::create_dir(folder).map_err(|error| {
                RunError::io(format!("cannot make {}", folder.display()), error)
            })?;
        }
        Ok(folders)
    }

    /// How scripts are evaluated where these requirements hold.
    pub(super) fn scripts(&self, scope: &Scope<'_>) -> Scripts<'e> {
        let library = scope.find(|kind| match kind {
            RequirementKind::InlineJavascript(library) => Some(library),
            _ => None,
        });
        Scripts {
            evaluator: self.evaluator,
            library: library
                .map(|texts| Cow::Owned(texts.iter().map(|text| text.text.clone()).collect())),
        }
    }

    /// What the document's ontologies say; those that cannot be read say nothing.
    pub(super) fn ontology(&self) -> &Ontology {
        self.ontology.get_or_init(|| {
            let mut ontology = Ontology::default();
            for uri in self.document.schemas() {
                let allowed = path_of_uri(uri).is_some_and(|path| self.guard.check(&path).is_ok());
                if !allowed {
                    tracing::warn!(
                        uri,
                        "an ontology outside the folders of the job is left out"
                    );
                    continue;
                }
                match LocalFiles::anywhere().fetch(uri, ONTOLOGY_LIMIT) {
                    Ok(text) => ontology.read(&text),
                    Err(error) => tracing::warn!(%error, "an ontology is left out"),
                }
            }
            ontology
        })
    }

    pub(super) fn check_cancelled(&self) -> Result<(), RunError> {
        if self.cancellation.is_cancelled() {
            return Err(RunError::Cancelled);
        }
        Ok(())
    }
}

/// Hands out cores in the order of asking, so that a wide job is not passed by narrow ones for ever.
pub(super) struct CoreGate {
    cores: usize,
    state: Mutex<GateState>,
    changed: Condvar,
}

struct GateState {
    free: usize,
    next_ticket: u64,
    served: u64,
}

/// Cores that are held until this is dropped.
pub(super) struct Cores<'g> {
    gate: &'g CoreGate,
    count: usize,
}

impl CoreGate {
    fn new(cores: usize) -> Self {
        let cores = cores.max(1);
        Self {
            cores,
            state: Mutex::new(GateState {
                free: cores,
                next_ticket: 0,
                served: 0,
            }),
            changed: Condvar::new(),
        }
    }

    pub(super) const fn cores(&self) -> usize {
        self.cores
    }

    /// Waits for cores, or for all there are where more are asked for. None once the run is cancelled.
    pub(super) fn take(&self, cores: f64, cancellation: &Cancellation) -> Option<Cores<'_>> {
        #[expect(
            clippy::cast_possible_truncation,
            clippy::cast_sign_loss,
            reason = "the amount is finite and not negative; a float casts to the nearest bound"
        )]
        let count = (cores.ceil() as usize).clamp(1, self.cores);
        let mut state = self.state.lock().unwrap_or_else(PoisonError::into_inner);
        let ticket = state.next_ticket;
        state.next_ticket += 1;
        while state.served != ticket || state.free < count {
            if cancellation.is_cancelled() && state.served == ticket {
                state.served += 1;
                self.changed.notify_all();
                return None;
            }
            let wait = self.changed.wait_timeout(state, Duration::from_millis(50));
            state = wait.unwrap_or_else(PoisonError::into_inner).0;
        }
        state.served += 1;
        state.free -= count;
        self.changed.notify_all();
        Some(Cores { gate: self, count })
    }
}

impl Drop for Cores<'_> {
    fn drop(&mut self) {
        let mut state = self
            .gate
            .state
            .lock()
            .unwrap_or_else(PoisonError::into_inner);
        state.free += self.count;
        self.gate.changed.notify_all();
    }
}

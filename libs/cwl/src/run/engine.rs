//! The engine: what a caller sets up once and runs documents with.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use serde_json::{Map, Value};

use super::events::{Observer, Silent};
use super::files::{CopyRoom, Guard};
use super::job::{expand_formats, take_requirements};
use super::relocate::Relocation;
use super::schedule;
use super::scope::Scope;
use super::shared::Shared;
use super::tool;
use crate::{
    Cancellation, Document, Evaluator, Executor, ProcessExecutor, QuickJs, RunError, Severity,
};

/// What a run may use.
#[derive(Debug, Clone)]
pub struct Settings {
    /// Cores that tools may use at once; also how many tools run at once.
    pub cores: usize,
    /// Folder for everything that is made on the way. One folder a run is made in it and removed at
    /// the end; on the file system of the outputs these need no copies of what was made.
    pub scratch: PathBuf,
    /// Folders that inputs may lie in, besides those of the run itself; none for every folder. Set it
    /// for documents and input objects of strangers.
    pub readable: Option<Vec<PathBuf>>,
    /// Most bytes that one run may have copied, for tools that change their inputs and for outputs; none for as many
    /// as it takes. Copies are made beside the tools, where no limit of theirs counts.
    pub copied_bytes: Option<u64>,
    /// Outputs of one name come to lie in folders of their own, instead of under numbered names: for one who stores
    /// them elsewhere.
    pub keep_names: bool,
}

impl Default for Settings {
    fn default() -> Self {
        Self {
            cores: std::thread::available_parallelism().map_or(1, usize::from),
            scratch: std::env::temp_dir(),
            readable: None,
            copied_bytes: None,
            keep_names: false,
        }
    }
}

/// Runs documents. It can run several at once.
#[derive(Clone)]
pub struct Engine {
    settings: Settings,
    executor: Arc<dyn Executor>,
    evaluator: Arc<dyn Evaluator>,
    observer: Arc<dyn Observer>,
}

impl Engine {
    /// An engine that runs tools as plain processes and scripts in this process.
    pub fn new(settings: Settings) -> Self {
        Self {
            settings,
            executor: Arc::new(ProcessExecutor),
            evaluator: Arc::new(QuickJs::default()),
            observer: Arc::new(Silent),
        }
    }

    /// The same with another executor.
    #[must_use]
    pub fn with_executor(mut self, executor: Arc<dyn Executor>) -> Self {
        self.executor = executor;
        self
    }

    /// The same with another evaluator.
    #[must_use]
    pub fn with_evaluator(mut self, evaluator: Arc<dyn Evaluator>) -> Self {
        self.evaluator = evaluator;
        self
    }

    /// The same with someone who is told what happens.
    #[must_use]
    pub fn with_observer(mut self, observer: Arc<dyn Observer>) -> Self {
        self.observer = observer;
        self
    }

    /// Runs a document and brings its outputs to a folder. Blocks until the end.
    ///
    /// Files in `inputs` are named by absolute `file://` locations; see [`read_inputs`](crate::read_inputs).
    ///
    /// # Errors
    /// When the document or the inputs are faulty, a step fails, or the run is cancelled. Nothing is
    /// brought to the folder then.
    pub fn run(
        &self,
        document: &Document,
        inputs: Map<String, Value>,
        folder: &Path,
        cancellation: &Cancellation,
    ) -> Result<Map<String, Value>, RunError> {
        let faults: Vec<_> = document
            .check()
            .into_iter()
            .filter(|finding| finding.severity == Severity::Error)
            .collect();
        if !faults.is_empty() {
            return Err(RunError::document(faults));
        }
        let mut inputs = inputs;
        let overrides = take_requirements(&mut inputs)?;
        let mut inputs = Value::Object(inputs);
        expand_formats(&mut inputs, document);
        let Value::Object(inputs) = inputs else {
            return Ok(Map::new());
        };
        let fault = |what: &str, path: &Path| {
            let what = format!("cannot {what} {}", path.display());
            move |error| RunError::io(what, error)
        };
        std::fs::create_dir_all(folder).map_err(fault("make", folder))?;
        let folder = folder.canonicalize().map_err(fault("find", folder))?;
        let scratch = tempfile::Builder::new()
            .prefix("cwl-")
            .tempdir_in(&self.settings.scratch)
            .map_err(fault("write to", &self.settings.scratch))?;
        let scratch_path = scratch.path().canonicalize();
        let scratch_path = scratch_path.map_err(fault("find", scratch.path()))?;
        let shared = Shared::new(
            document,
            self,
            self.guard(&scratch_path)?,
            cancellation.child(),
            scratch_path.clone(),
        );
        let scope = Scope::new(&overrides).within_process(document.process());
        let outputs = match document.process().workflow() {
            Some(_) => schedule::run(document.process(), inputs, scope, &shared)?,
            None => tool::run(document.process(), inputs, &scope, "", &shared)?,
        };
        let mut outputs = Value::Object(outputs);
        Relocation::new(&folder, &scratch_path, &shared.guard)
            .keeping_names(self.settings.keep_names)
            .value(&mut outputs)?;
        match outputs {
            Value::Object(outputs) => Ok(outputs),
            _ => Ok(Map::new()),
        }
    }

    fn guard(&self, scratch: &Path) -> Result<Guard, RunError> {
        let room = self.settings.copied_bytes.map(CopyRoom::new);
        let Some(readable) = &self.settings.readable else {
            return Ok(Guard { roots: None, room });
        };
        let mut roots = vec![scratch.to_owned()];
        for root in readable {
            let real = root.canonicalize();
            let what = || format!("cannot find {}", root.display());
            roots.push(real.map_err(|error| RunError::io(what(), error))?);
        }
        let roots = Some(roots);
        Ok(Guard { roots, room })
    }

    pub(super) fn executor(&self) -> &dyn Executor {
        self.executor.as_ref()
    }

    pub(super) fn evaluator(&self) -> &dyn Evaluator {
        self.evaluator.as_ref()
    }

    pub(super) fn observer(&self) -> &dyn Observer {
        self.observer.as_ref()
    }

    pub(super) const fn cores(&self) -> usize {
        self.settings.cores
    }
}

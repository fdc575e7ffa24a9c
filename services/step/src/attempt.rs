//! An attempt from begin to end: stage, run, store.

use std::path::PathBuf;
use std::sync::Arc;
use std::time::Instant;

use oc_cwl::{Document, Engine, RunError, Settings};
use oc_runner::{End, Event, Job, Phase};
use oc_sandbox::Sandbox;
use serde_json::{Map, Value};

use crate::error::{Failed, StepError};
use crate::evaluator::SandboxedEvaluator;
use crate::executor::{LimitHits, SandboxedExecutor};
use crate::folders::Folders;
use crate::node::Node;
use crate::publish::Outputs;
use crate::report::Reporter;
use crate::share::{Share, Shares};
use crate::stage::{fetch_inputs, locate_inputs};
use crate::stop::Stop;
use crate::usage::UsageSum;

/// Everything an attempt works with.
pub struct Attempt {
    /// What to do.
    pub job: Job,
    /// What opens the node's routes.
    pub macaroon: String,
    /// The runner's own program, which also evaluates scripts.
    pub program: PathBuf,
    /// Where everything is told.
    pub reporter: Reporter,
    /// What ends it early.
    pub stop: Stop,
}

impl Attempt {
    /// Runs it and tells how it ended.
    pub fn run(self) {
        let began = Instant::now();
        let usage = Arc::new(UsageSum::default());
        let result = self.work(began, &usage);
        let end = match result {
            Ok(outputs) => End::Succeeded {
                outputs: Value::Object(outputs),
            },
            Err(_) if self.stop.is_stopped() => End::Stopped,
            Err(error) => failed(error),
        };
        self.reporter.end(end, usage.used(began.elapsed()));
    }

    fn work(&self, began: Instant, usage: &Arc<UsageSum>) -> Result<Map<String, Value>, StepError> {
        let job = &self.job;
        let deadline = began + job.limits.wall();
        let sandbox = Sandbox::find()?;
        let document = Document::parse(&job.document, "fragment", &oc_cwl::Limits::default())
            .map_err(|error| StepError::Fragment(error.to_string()))?;
        let folders =
            Folders::create(&job.folder).map_err(StepError::io("lay out the attempt's folder"))?;
        let order = locate_inputs(&job.order, &job.inputs, &folders)?;
        let runtime = tokio::runtime::Builder::new_current_thread()
            .enable_all()
            .build()
            .map_err(StepError::io("start the transfers"))?;
        let node = Node::new(
            &job.node,
            &self.macaroon,
            deadline.into(),
            self.stop.transfers.clone(),
        )?;

        self.begin(Phase::Staging);
        let fetched = fetch_inputs(&node, &job.inputs, &folders, &self.reporter);
        usage.add_bytes_in(runtime.block_on(fetched)?);

        self.begin(Phase::Running);
        let mut outputs = self.tools(sandbox, &document, order, &folders, deadline, usage)?;

        self.begin(Phase::Storing);
        let named = Outputs::name(&mut outputs, &folders)?;
        let length = serde_json::to_vec(&outputs).map_or(0, |text| text.len());
        if let Some(fault) = oc_runner::too_large(length) {
            return Err(StepError::OverLimit(fault));
        }
        named.tell_renamed(&self.reporter);
        let stored = named.store(&node, &self.reporter, job.limits.output_bytes);
        usage.add_bytes_out(runtime.block_on(stored)?);
        Ok(outputs)
    }

    fn begin(&self, phase: Phase) {
        self.reporter.send(Event::Phase { phase });
    }

    fn tools(
        &self,
        sandbox: Sandbox,
        document: &Document,
        order: Map<String, Value>,
        folders: &Folders,
        deadline: Instant,
        usage: &Arc<UsageSum>,
    ) -> Result<Map<String, Value>, StepError> {
        let limits = &self.job.limits;
        let all = Share {
            millicores: limits.cores.saturating_mul(1000),
            memory: limits.memory_bytes,
        };
        let hits = Arc::new(LimitHits::default());
        let executor = SandboxedExecutor {
            sandbox: sandbox.clone(),
            folders: folders.clone(),
            shares: Shares::new(all, lanes(document, limits.cores)),
            disk_bytes: limits.disk_bytes,
            deadline,
            reporter: self.reporter.clone(),
            usage: Arc::clone(usage),
            hits: Arc::clone(&hits),
        };
        let evaluator = SandboxedEvaluator::new(
            sandbox,
            self.program.clone(),
            deadline.saturating_duration_since(Instant::now()),
            self.stop.sandboxes.clone(),
            Arc::clone(usage),
        );
        let settings = Settings {
            cores: usize::try_from(limits.cores).unwrap_or(1),
            scratch: folders.work.clone(),
            readable: Some(vec![folders.inputs.clone()]),
            copied_bytes: Some(limits.disk_bytes),
            keep_names: true,
        };
        let engine = Engine::new(settings)
            .with_executor(Arc::new(executor))
            .with_evaluator(Arc::new(evaluator));
        let alarm = self.stop.end_tools_at(deadline);
        let _alarm = alarm.map_err(StepError::io("watch the attempt's time"))?;
        let ran = engine.run(document, order, &folders.outputs, &self.stop.engine);
        ran.map_err(|error| match error.root() {
            RunError::Cancelled if !self.stop.is_stopped() => StepError::OutOfTime(format!(
                "the attempt's time of {} s ran out while its tools ran",
                limits.wall().as_secs_f64()
            )),
            RunError::Cancelled => StepError::Stopped,
            _ => of_step(&error, &hits),
        })
    }
}

/// How many tools can run side by side: one where the fragment has nothing to run beside it.
fn lanes(document: &Document, cores: u32) -> u32 {
    match document
        .process()
        .workflow()
        .map(|workflow| workflow.steps.as_slice())
    {
        None => 1,
        Some([step]) if step.scatter.is_empty() && step.run.workflow().is_none() => 1,
        Some(_) => cores,
    }
}

fn of_step(error: &RunError, hits: &LimitHits) -> StepError {
    let step = match error {
        RunError::Step { step, .. } => step.clone(),
        _ => String::new(),
    };
    let (message, exit_code, code) = match error.root() {
        // The end of its log was told line by line already.
        RunError::Tool {
            program,
            reason,
            exit_code,
            ..
        } => (
            format!("`{program}` failed: {reason}"),
            *exit_code,
            hits.of(reason),
        ),
        root @ RunError::TimeLimit { .. } => (root.to_string(), None, Failed::TimedOut),
        root => (root.to_string(), None, Failed::Tool),
    };
    StepError::Step {
        step,
        message,
        exit_code,
        code,
    }
}

fn failed(error: StepError) -> End {
    let code = error.failed().word().to_owned();
    match error {
        StepError::Step {
            step,
            message,
            exit_code,
            ..
        } => End::Failed {
            step,
            message,
            exit_code,
            code,
        },
        error => End::Failed {
            step: String::new(),
            message: error.to_string(),
            exit_code: None,
            code,
        },
    }
}

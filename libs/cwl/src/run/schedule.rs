//! Running a workflow: one thread decides what is next, others run the tools.
//!
//! What is ready lies on a stack, so that the newest is taken first: a wide scatter over workflows then
//! keeps only as many of them open as tools can run at once.

use std::collections::HashMap;
use std::sync::mpsc::{self, Receiver, Sender};
use std::sync::{Mutex, PoisonError};
use std::thread;

use serde_json::Value;

use super::accept::accept_output;
use super::events::Event;
use super::files::Object;
use super::frames::{Finished, Frame, Job, Parent, Repeat, Task};
use super::inputs::prepare;
use super::scatter::Scatter;
use super::scope::Scope;
use super::shared::Shared;
use super::steps::{self, Decision};
use super::tool;
use crate::{Process, RunError};

/// Runs a workflow to its outputs.
pub(super) fn run<'d>(
    process: &'d Process,
    inputs: Object,
    scope: Scope<'d>,
    shared: &Shared<'_>,
) -> Result<Object, RunError> {
    let (job_sender, job_receiver) = mpsc::channel::<Job<'d>>();
    let (result_sender, result_receiver) = mpsc::channel();
    let jobs = Mutex::new(job_receiver);
    thread::scope(|threads| {
        for _ in 0..shared.gate.cores() {
            let results = result_sender.clone();
            threads.spawn(|| work(&jobs, results, shared));
        }
        let mut scheduler = Scheduler {
            shared,
            jobs: job_sender,
            results: result_receiver,
            running: 0,
            frames: HashMap::new(),
            repeats: HashMap::new(),
            next_key: 0,
            ready: Vec::new(),
            outcome: None,
        };
        scheduler.run(process, inputs, scope)
    })
}

/// Runs tools until there are no more.
fn work(jobs: &Mutex<Receiver<Job<'_>>>, results: Sender<Finished>, shared: &Shared<'_>) {
    loop {
        let next = jobs.lock().unwrap_or_else(PoisonError::into_inner).recv();
        let Ok(job) = next else {
            return;
        };
        let result = tool::run(job.process, job.inputs, &job.scope, &job.path, shared);
        let finished = Finished {
            parent: job.parent,
            result: result.map_err(|error| error.at(&job.path)),
        };
        if results.send(finished).is_err() {
            return;
        }
    }
}

struct Scheduler<'d, 's> {
    shared: &'s Shared<'s>,
    jobs: Sender<Job<'d>>,
    results: Receiver<Finished>,
    running: usize,
    frames: HashMap<usize, Frame<'d>>,
    repeats: HashMap<usize, Repeat>,
    next_key: usize,
    ready: Vec<Task>,
    outcome: Option<Object>,
}

impl<'d> Scheduler<'d, '_> {
    fn run(
        &mut self,
        process: &'d Process,
        inputs: Object,
        scope: Scope<'d>,
    ) -> Result<Object, RunError> {
        let mut fault = self
            .open(process, inputs, scope, String::new(), Parent::Run)
            .err();
        loop {
            while fault.is_none() && self.running < self.shared.gate.cores() {
                let Some(task) = self.ready.pop() else {
                    break;
                };
                fault = self
                    .shared
                    .check_cancelled()
                    .and_then(|()| self.begin(task))
                    .err();
            }
            if fault.is_some() {
                // What still runs is of no use any more.
                self.shared.cancellation.cancel();
            }
            if self.running == 0 {
                break;
            }
            let Ok(finished) = self.results.recv() else {
                break;
            };
            self.running -= 1;
            let delivered = finished
                .result
                .and_then(|outputs| self.deliver(finished.parent, outputs));
            // The first fault is the reason; later ones follow from the cancellation.
            fault = fault.or(delivered.err());
        }
        match (fault, self.outcome.take()) {
            (Some(fault), _) => Err(fault),
            (None, Some(outputs)) => Ok(outputs),
            (None, None) => Err(RunError::Output("the workflow came to a stop".to_owned())),
        }
    }

    fn key(&mut self) -> usize {
        self.next_key += 1;
        self.next_key
    }

    /// Begins a workflow.
    fn open(
        &mut self,
        process: &'d Process,
        given: Object,
        scope: Scope<'d>,
        path: String,
        parent: Parent,
    ) -> Result<(), RunError> {
        let (Some(workflow), Some(graph)) = (process.workflow(), process.graph()) else {
            return Ok(());
        };
        let scripts = self.shared.scripts(&scope);
        let inputs = prepare(
            process,
            given,
            path.is_empty(),
            &scope,
            &scripts,
            self.shared,
        )
        .map_err(|error| error.at(&path))?;
        let (waiting, readers) = graph.into_waiting();
        let key = self.key();
        let first = waiting.iter().enumerate().rev();
        let first = first.filter(|(_, waits)| **waits == 0);
        self.ready
            .extend(first.map(|(step, _)| Task::Step { frame: key, step }));
        self.frames.insert(
            key,
            Frame {
                process,
                workflow,
                scope,
                path,
                parent,
                inputs,
                ended: HashMap::new(),
                waiting,
                readers,
            },
        );
        if workflow.steps.is_empty() {
            self.close(key)?;
        }
        Ok(())
    }

    fn begin(&mut self, task: Task) -> Result<(), RunError> {
        match task {
            Task::Step { frame, step } => self.begin_step(frame, step),
            Task::Repetition { repeat } => self.begin_repetition(repeat),
        }
    }

    fn begin_step(&mut self, key: usize, number: usize) -> Result<(), RunError> {
        let Some(frame) = self.frames.get(&key) else {
            return Ok(());
        };
        let step = &frame.workflow.steps[number];
        let path = frame.step_path(step);
        self.shared
            .observer
            .observe(&Event::StepStarted { step: &path });
        let gathered = steps::gather(step, |reference| frame.value(reference), self.shared);
        let inputs = gathered.map_err(|error| error.at(&path))?;
        let parent = Parent::Step {
            frame: key,
            step: number,
        };
        if step.scatter.is_empty() {
            return self.launch(key, number, inputs, path, parent);
        }
        let scatter = Scatter::new(step, &inputs).map_err(|error| error.at(&path))?;
        let count = scatter.count();
        let repeat = Repeat {
            frame: key,
            step: number,
            scatter,
            inputs,
            next: 0,
            left: count,
            results: vec![None; count],
        };
        if count == 0 {
            return self.end_repeat(repeat);
        }
        let repeat_key = self.key();
        self.repeats.insert(repeat_key, repeat);
        self.ready.push(Task::Repetition { repeat: repeat_key });
        Ok(())
    }

    fn begin_repetition(&mut self, key: usize) -> Result<(), RunError> {
        let Some(repeat) = self.repeats.get_mut(&key) else {
            return Ok(());
        };
        let index = repeat.next;
        repeat.next += 1;
        let inputs = repeat.scatter.inputs(index, &repeat.inputs);
        let (frame_key, step) = (repeat.frame, repeat.step);
        if repeat.next < repeat.results.len() {
            self.ready.push(Task::Repetition { repeat: key });
        }
        let Some(frame) = self.frames.get(&frame_key) else {
            return Ok(());
        };
        let path = frame.step_path(&frame.workflow.steps[step]);
        let parent = Parent::Repetition { repeat: key, index };
        self.launch(frame_key, step, inputs, format!("{path}[{index}]"), parent)
    }

    /// Runs what a step runs, once.
    fn launch(
        &mut self,
        key: usize,
        number: usize,
        inputs: Object,
        path: String,
        parent: Parent,
    ) -> Result<(), RunError> {
        let Some(frame) = self.frames.get(&key) else {
            return Ok(());
        };
        let step = &frame.workflow.steps[number];
        let scope = frame.scope.within_step(step);
        let scripts = self.shared.scripts(&scope);
        let decision = steps::decide(step, inputs, &scripts).map_err(|error| error.at(&path))?;
        let inputs = match decision {
            Decision::Skip => {
                self.shared
                    .observer
                    .observe(&Event::StepSkipped { step: &path });
                let nulls = step
                    .outputs
                    .iter()
                    .map(|output| (output.id.clone(), Value::Null));
                return self.deliver(parent, nulls.collect());
            }
            Decision::Run(inputs) => inputs,
        };
        let process = step.run.as_ref();
        let scope = scope.within_process(process);
        if process.workflow().is_some() {
            return self.open(process, inputs, scope, path, parent);
        }
        let job = Job {
            process,
            scope,
            inputs,
            path,
            parent,
        };
        if self.jobs.send(job).is_ok() {
            self.running += 1;
        }
        Ok(())
    }

    /// Hands outputs to whoever waits for them.
    fn deliver(&mut self, parent: Parent, outputs: Object) -> Result<(), RunError> {
        match parent {
            Parent::Run => {
                self.outcome = Some(outputs);
                Ok(())
            }
            Parent::Step { frame, step } => self.end_step(frame, step, outputs),
            Parent::Repetition { repeat, index } => {
                let Some(going) = self.repeats.get_mut(&repeat) else {
                    return Ok(());
                };
                going.results[index] = Some(outputs);
                going.left -= 1;
                if going.left > 0 {
                    return Ok(());
                }
                match self.repeats.remove(&repeat) {
                    Some(ended) => self.end_repeat(ended),
                    None => Ok(()),
                }
            }
        }
    }

    fn end_repeat(&mut self, repeat: Repeat) -> Result<(), RunError> {
        let Some(frame) = self.frames.get(&repeat.frame) else {
            return Ok(());
        };
        let step = &frame.workflow.steps[repeat.step];
        let mut results = repeat.results;
        let mut outputs = Object::new();
        for output in &step.outputs {
            let values = results
                .iter_mut()
                .map(|one| one.as_mut().and_then(|one| one.shift_remove(&output.id)))
                .map(Option::unwrap_or_default)
                .collect();
            outputs.insert(output.id.clone(), repeat.scatter.shape(values));
        }
        self.end_step(repeat.frame, repeat.step, outputs)
    }

    fn end_step(&mut self, key: usize, number: usize, outputs: Object) -> Result<(), RunError> {
        let Some(frame) = self.frames.get_mut(&key) else {
            return Ok(());
        };
        let step = &frame.workflow.steps[number];
        let path = frame.step_path(step);
        self.shared
            .observer
            .observe(&Event::StepEnded { step: &path });
        frame.ended.insert(&step.id, outputs);
        for next in std::mem::take(&mut frame.readers[number]).into_iter().rev() {
            frame.waiting[next] -= 1;
            if frame.waiting[next] == 0 {
                self.ready.push(Task::Step {
                    frame: key,
                    step: next,
                });
            }
        }
        if frame.ended.len() == frame.workflow.steps.len() {
            return self.close(key);
        }
        Ok(())
    }

    /// Ends a workflow all of whose steps have ended.
    fn close(&mut self, key: usize) -> Result<(), RunError> {
        let Some(frame) = self.frames.remove(&key) else {
            return Ok(());
        };
        let fault = |reason| RunError::Output(reason).at(&frame.path);
        let outputs = frame
            .process
            .gather_outputs(|reference| frame.value(reference))
            .map_err(fault)?;
        for output in &frame.process.outputs {
            let value = outputs.get(&output.id).unwrap_or(&Value::Null);
            accept_output(&output.type_, value)
                .map_err(|reason| fault(format!("output `{}`: {reason}", output.id)))?;
        }
        self.deliver(frame.parent, outputs)
    }
}

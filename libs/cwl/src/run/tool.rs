//! Running one CommandLineTool or ExpressionTool: from its inputs to its outputs.

use std::collections::BTreeMap;
use std::path::Path;
use std::time::Duration;

use serde_json::Value;

use super::accept::accept_output;
use super::command::{argv, words};
use super::events::Event;
use super::files::{self, Object, complete, each_outermost};
use super::inputs::prepare;
use super::outputs::Collector;
use super::resources::{network, reservation, runtime, time_limit};
use super::scope::Scope;
use super::shared::{JobFolders, Shared};
use super::stage::{Stage, make_room};
use super::streams::{Streams, tail};
use super::workdir;
use crate::expression::{Context, Scripts};
use crate::{
    Body, CommandLineTool, End, Process, RequirementKind, Reservation, RunError, Text, ToolCommand,
    ToolOutcome,
};

/// Runs a process that is no workflow.
pub(super) fn run(
    process: &Process,
    given: Object,
    scope: &Scope<'_>,
    step: &str,
    shared: &Shared<'_>,
) -> Result<Object, RunError> {
    shared.check_cancelled()?;
    let scripts = shared.scripts(scope);
    let outermost = step.is_empty();
    let inputs = prepare(process, given, outermost, scope, &scripts, shared)?;
    match &process.body {
        Body::Tool(tool) => {
            refuse_container(process, tool, scope)?;
            let job = Job {
                process,
                tool,
                scope,
                step,
                shared,
                scripts: &scripts,
            };
            job.run(Value::Object(inputs))
        }
        Body::Expression(text) => expression(process, text, inputs, scope, &scripts, shared),
        Body::Operation => Err(RunError::Unsupported(format!(
            "`{}` is an Operation: it describes work but cannot run",
            process.id
        ))),
        Body::Workflow(_) => Err(RunError::Unsupported(
            "a workflow where a tool is wanted".to_owned(),
        )),
    }
}

/// A container that is required cannot be had here; one that is a hint is not needed.
fn refuse_container(
    process: &Process,
    tool: &CommandLineTool,
    scope: &Scope<'_>,
) -> Result<(), RunError> {
    let docker = scope.required(|kind| match kind {
        RequirementKind::Docker(docker) => Some(docker),
        _ => None,
    });
    let Some(docker) = docker else {
        return Ok(());
    };
    let image = docker.pull.as_ref().or(docker.image_id.as_ref());
    let what = match tool.base_command.first() {
        Some(program) => program,
        None if process.id.is_empty() => "the tool",
        None => &process.id,
    };
    Err(RunError::Unsupported(format!(
        "`{what}` requires the container image `{}`, and there is no container runtime",
        image.map_or("?", String::as_str)
    )))
}

fn expression(
    process: &Process,
    text: &Text,
    inputs: Object,
    scope: &Scope<'_>,
    scripts: &Scripts<'_>,
    shared: &Shared<'_>,
) -> Result<Object, RunError> {
    let inputs = Value::Object(inputs);
    let mut context = Context {
        scripts,
        inputs: &inputs,
        own: &Value::Null,
        runtime: &Value::Null,
    };
    let reserved = reservation(scope, context)?;
    let none = Path::new("");
    let runtime = runtime(&reserved, none, none);
    context.runtime = &runtime;
    let Value::Object(mut result) = context.evaluate(text)? else {
        return Err(RunError::Output(format!(
            "the expression of `{}` must give a map of outputs",
            process.id
        )));
    };
    let mut outputs = Object::new();
    for output in &process.outputs {
        let mut value = result.shift_remove(&output.id).unwrap_or(Value::Null);
        let fault = |reason| RunError::Output(format!("output `{}`: {reason}", output.id));
        each_outermost(&mut value, &mut |object| complete(object, &shared.guard))
            .map_err(|error| fault(error.to_string()))?;
        accept_output(&output.type_, &value).map_err(fault)?;
        outputs.insert(output.id.clone(), value);
    }
    Ok(outputs)
}

/// One CommandLineTool with everything it needs.
struct Job<'j> {
    process: &'j Process,
    tool: &'j CommandLineTool,
    scope: &'j Scope<'j>,
    step: &'j str,
    shared: &'j Shared<'j>,
    scripts: &'j Scripts<'j>,
}

impl Job<'_> {
    fn run(&self, mut inputs: Value) -> Result<Object, RunError> {
        let folders = self.shared.job_folders()?;
        let before = inputs.clone();
        let reserved = reservation(self.scope, self.context(&before, &Value::Null))?;
        let mut runtime = runtime(&reserved, &folders.out, &folders.tmp);
        let mut stage = Stage::new(folders.stage.clone(), &self.shared.guard);
        stage.inputs(&mut inputs)?;
        let staged = inputs.clone();
        let context = self.context(&staged, &runtime);
        workdir::fill(
            &folders.out,
            &mut stage,
            &mut inputs,
            self.scope,
            context,
            self.shared,
        )?;
        let context = self.context(&inputs, &runtime);
        let streams = Streams::of(self.process, self.tool, &inputs, context)?;
        let command = self.command(&folders, &stage, &streams, reserved, context)?;
        let outcome = self.execute(&command)?;
        let code = self.judge(&command, &outcome)?;
        if let Value::Object(runtime) = &mut runtime {
            runtime.insert("exitCode".to_owned(), code.into());
        }
        let collector = Collector {
            shared: self.shared,
            context: self.context(&inputs, &runtime),
            folder: folders.out.clone(),
            originals: stage.originals().map(Path::to_owned).collect(),
            stdout: streams.stdout.as_deref().unwrap_or_default(),
            stderr: streams.stderr.as_deref().unwrap_or_default(),
        };
        collector.outputs(self.process)
    }

    fn context<'c>(&'c self, inputs: &'c Value, runtime: &'c Value) -> Context<'c> {
        Context {
            scripts: self.scripts,
            inputs,
            own: &Value::Null,
            runtime,
        }
    }

    fn command(
        &self,
        folders: &JobFolders,
        stage: &Stage<'_>,
        streams: &Streams,
        resources: Reservation,
        context: Context<'_>,
    ) -> Result<ToolCommand, RunError> {
        let shell = self
            .scope
            .find(|kind| matches!(kind, RequirementKind::ShellCommand).then_some(()))
            .is_some();
        let words = words(self.process, self.tool, context)?;
        let argv = argv(self.tool, words, shell);
        if argv.first().is_none_or(String::is_empty) {
            return Err(RunError::Input(format!(
                "`{}` has an empty command line: give it a baseCommand",
                self.process.id
            )));
        }
        let stream = |name: &Option<String>, log: &str| match name {
            Some(name) => files::inside(&folders.out, name),
            None => folders.log.join(log),
        };
        let command = ToolCommand {
            step: self.step.to_owned(),
            argv,
            environment: self.environment(folders, context)?,
            work_folder: folders.out.clone(),
            temp_folder: folders.tmp.clone(),
            binds: stage.binds(),
            stdin: streams.stdin.as_ref().map(|name| folders.out.join(name)),
            stdout: stream(&streams.stdout, "stdout"),
            stderr: stream(&streams.stderr, "stderr"),
            resources,
            time_limit: time_limit(self.scope, context)?,
            network: network(self.scope, context)?,
            cancellation: self.shared.cancellation.clone(),
        };
        for stream in [&command.stdout, &command.stderr] {
            if stream.starts_with(&folders.out) {
                make_room(&folders.out, stream)?;
            }
        }
        if let Some(stdin) = &command.stdin {
            Streams::check_stdin(stdin, folders, stage)?;
        }
        Ok(command)
    }

    /// Section 4.5 "Runtime environment": HOME and TMPDIR, then what is required.
    fn environment(
        &self,
        folders: &JobFolders,
        context: Context<'_>,
    ) -> Result<BTreeMap<String, String>, RunError> {
        let path = |path: &Path| path.to_string_lossy().into_owned();
        let mut environment = BTreeMap::from([
            ("HOME".to_owned(), path(&folders.out)),
            ("TMPDIR".to_owned(), path(&folders.tmp)),
        ]);
        let variables = self.scope.find(|kind| match kind {
            RequirementKind::EnvVar(variables) => Some(variables),
            _ => None,
        });
        for variable in variables.into_iter().flatten() {
            let value = context.text(&variable.value, "envValue")?;
            environment.insert(variable.name.clone(), value);
        }
        Ok(environment)
    }

    fn execute(&self, command: &ToolCommand) -> Result<ToolOutcome, RunError> {
        let shared = self.shared;
        let cores = shared
            .gate
            .take(command.resources.cores, &shared.cancellation);
        let Some(_cores) = cores else {
            return Err(RunError::Cancelled);
        };
        shared.observer.observe(&Event::ToolStarted { command });
        let outcome = shared
            .executor
            .run(command)
            .map_err(|error| RunError::Start {
                program: self.program(command),
                reason: error.to_string(),
            })?;
        shared.observer.observe(&Event::ToolEnded {
            command,
            outcome: &outcome,
        });
        Ok(outcome)
    }

    fn program(&self, command: &ToolCommand) -> String {
        command.argv.first().cloned().unwrap_or_default()
    }

    /// The exit code, where it means success.
    fn judge(&self, command: &ToolCommand, outcome: &ToolOutcome) -> Result<i32, RunError> {
        let failed = |reason: String, exit_code, temporary| RunError::Tool {
            program: self.program(command),
            reason,
            exit_code,
            temporary,
            log: tail(&command.stderr),
        };
        match &outcome.end {
            End::Exit(code) => {
                let listed = |codes: &[i64]| codes.contains(&i64::from(*code));
                if listed(&self.tool.success_codes) {
                    return Ok(*code);
                }
                let temporary = listed(&self.tool.temporary_fail_codes);
                let permanent = listed(&self.tool.permanent_fail_codes);
                if *code == 0 && !temporary && !permanent {
                    return Ok(0);
                }
                Err(failed(
                    format!("it left with code {code}"),
                    Some(*code),
                    temporary,
                ))
            }
            End::Signal(signal) => Err(failed(format!("signal {signal} ended it"), None, false)),
            End::Limit(limit) => Err(failed(limit.clone(), None, false)),
            End::TimeLimit => Err(RunError::TimeLimit {
                program: self.program(command),
                seconds: command.time_limit.unwrap_or(Duration::ZERO).as_secs(),
            }),
            End::Cancelled => Err(RunError::Cancelled),
        }
    }
}

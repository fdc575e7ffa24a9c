//! Running the fragment's tools, each in a sandbox of its own.

use std::collections::BTreeMap;
use std::fs::File;
use std::io::{self, Write};
use std::path::{Path, PathBuf};
use std::sync::mpsc::{RecvTimeoutError, channel};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use oc_cwl::{Executor, ToolCommand, ToolOutcome, ToolUsage};
use oc_runner::{Event, Used};
use oc_sandbox::{Cancel, Command, End, Folder, Input, LimitHit, Limits, Mount, Output, Sandbox};
use oc_sandbox::{Outcome, Removed, SandboxError};

use crate::error::Failed;
use crate::folders::Folders;
use crate::report::{LogLines, Reporter};
use crate::share::{Share, Shares};
use crate::usage::{UsageSum, millis};

/// Where tools find their programs.
const PATH: &str = "/usr/local/bin:/usr/bin:/bin:/usr/local/sbin:/usr/sbin:/sbin";

/// How often a running tool is asked whether it is still wanted.
const GLANCE: Duration = Duration::from_millis(100);

/// Bytes a tool may print to its logs before it is ended. What reaches the node is bounded separately.
const PRINTED: u64 = 256 << 20;

/// An [`Executor`] that confines every tool.
pub(crate) struct SandboxedExecutor {
    /// The machine's sandbox.
    pub(crate) sandbox: Sandbox,
    /// The attempt's folders: nothing outside them becomes visible.
    pub(crate) folders: Folders,
    /// The attempt's cores and memory.
    pub(crate) shares: Shares,
    /// Bytes on disk for all tools together.
    pub(crate) disk_bytes: u64,
    /// When the attempt's time ends.
    pub(crate) deadline: Instant,
    /// Where logs and steps are told.
    pub(crate) reporter: Reporter,
    /// Where usage is added up.
    pub(crate) usage: Arc<UsageSum>,
    /// Where limits that tools hit are noted.
    pub(crate) hits: Arc<LimitHits>,
}

/// The limits that tools have hit, by what is said of each: the engine passes words on, not kinds.
#[derive(Debug, Default)]
pub(crate) struct LimitHits(Mutex<BTreeMap<String, Failed>>);

impl LimitHits {
    fn note(&self, said: &str, failed: Failed) {
        let mut hits = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        hits.insert(said.to_owned(), failed);
    }

    /// What kind of failure was told in these words.
    pub(crate) fn of(&self, said: &str) -> Failed {
        let hits = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        hits.get(said).copied().unwrap_or(Failed::Tool)
    }
}

impl Executor for SandboxedExecutor {
    fn run(&self, command: &ToolCommand) -> io::Result<ToolOutcome> {
        if command.network {
            return Err(refusal("it asks for the network, which no tool has here"));
        }
        let asked = Share {
            millicores: (command.resources.cores * 1000.0).ceil() as u32,
            memory: (command.resources.ram * 1024.0 * 1024.0).ceil() as u64,
        };
        let is_wanted = || !command.cancellation.is_cancelled() && Instant::now() < self.deadline;
        let taken = self
            .shares
            .take(asked, is_wanted)
            .map_err(|why| refusal(&why))?;
        let Some(taken) = taken else {
            return Ok(ToolOutcome {
                end: oc_cwl::End::Cancelled,
                usage: ToolUsage::default(),
            });
        };
        self.reporter.send(Event::StepStarted {
            step: command.step.clone(),
        });
        let ran = self.confined(command, taken.share());
        let outcome = ran.as_ref().ok();
        self.reporter.send(Event::StepEnded {
            step: command.step.clone(),
            exit_code: outcome.and_then(Outcome::exit_code),
            used: outcome.map(used).unwrap_or_default(),
        });
        let outcome = ran.map_err(|error| match &error {
            SandboxError::ProgramNotFound { .. } => io::Error::new(io::ErrorKind::NotFound, error),
            _ => io::Error::other(error),
        })?;
        self.usage.add(&outcome.usage);
        Ok(self.outcome(command, outcome))
    }
}

impl SandboxedExecutor {
    fn confined(&self, command: &ToolCommand, share: Share) -> Result<Outcome, SandboxError> {
        let left = self.deadline.saturating_duration_since(Instant::now());
        let wall = command.time_limit.map_or(left, |limit| limit.min(left));
        let on_disk = Folder::open(&self.folders.work)?.size(u64::MAX)?.bytes;
        let limits = Limits {
            wall,
            cpu_time: wall * share.millicores.div_ceil(1000),
            millicores: share.millicores,
            memory: share.memory,
            file_bytes: self.disk_bytes,
            folder_bytes: self.disk_bytes.saturating_sub(on_disk),
            printed_bytes: PRINTED,
            ..Limits::default()
        };
        let (program, arguments) = command.argv.split_first().ok_or(SandboxError::BadPath {
            path: PathBuf::new(),
            why: "the command line is empty",
        })?;
        let mut confined = Command::new(program, &command.work_folder, limits)
            .args(arguments)
            .env("PATH", PATH);
        for (name, value) in &command.environment {
            confined = confined.env(name, value);
        }
        for mount in self.mounts(command)? {
            confined = confined.mount(mount);
        }
        let work = Folder::open(&command.work_folder)?;
        confined = self.streams(command, &work, confined)?;
        let outcome = while_wanted(command, |cancel| self.sandbox.run(confined, cancel))?;
        let readable: Vec<PathBuf> = command.binds.iter().map(|bind| bind.path.clone()).collect();
        for removed in work.tidy(&readable)? {
            self.reporter.log(&command.step, true, describe(&removed));
        }
        Ok(outcome)
    }

    fn mounts(&self, command: &ToolCommand) -> Result<Vec<Mount>, SandboxError> {
        let own = [&command.work_folder, &command.temp_folder];
        let own = own.map(|path| self.mount(path, true));
        let binds = command
            .binds
            .iter()
            .map(|bind| self.mount(&bind.path, bind.writable));
        own.into_iter().chain(binds).collect()
    }

    /// A path at its own place inside, if links do not lead it out of the attempt's folders, or a
    /// writable one out of where tools work.
    fn mount(&self, path: &Path, writable: bool) -> Result<Mount, SandboxError> {
        let place = if writable {
            &self.folders.work
        } else {
            &self.folders.root
        };
        Ok(Mount {
            outside: canonical_below(path, place)?,
            inside: path.to_owned(),
            writable,
        })
    }

    fn streams(
        &self,
        command: &ToolCommand,
        work: &Folder,
        confined: Command,
    ) -> Result<Command, SandboxError> {
        let stdin = match &command.stdin {
            None => Input::Null,
            Some(path) => {
                let path = canonical_below(path, &self.folders.root)?;
                let root = Folder::open(&self.folders.root)?;
                let relative = path.strip_prefix(root.path()).unwrap_or(&path);
                Input::File(root.open_file(relative)?)
            }
        };
        let stdout = self.output(command, work, &command.stdout, false)?;
        let stderr = match &stdout {
            Output::File(file) if command.stderr == command.stdout => Output::File(
                file.try_clone()
                    .map_err(io_error("share standard output"))?,
            ),
            _ => self.output(command, work, &command.stderr, true)?,
        };
        Ok(confined.stdin(stdin).stdout(stdout).stderr(stderr))
    }

    /// A stream goes into a file of the work folder, or, where it is a log of the engine, there and to
    /// the node.
    fn output(
        &self,
        command: &ToolCommand,
        work: &Folder,
        path: &Path,
        stderr: bool,
    ) -> Result<Output, SandboxError> {
        if let Ok(relative) = path.strip_prefix(&command.work_folder) {
            return Ok(Output::File(work.create_file(relative)?));
        }
        let path = canonical_below(path.parent().unwrap_or(path), &self.folders.root)?
            .join(path.file_name().unwrap_or_default());
        let file = File::create(path).map_err(io_error("create a log"))?;
        let lines = LogLines::new(self.reporter.clone(), &command.step, stderr);
        Ok(Output::Sink(Box::new(Tee { file, lines })))
    }

    fn outcome(&self, command: &ToolCommand, outcome: Outcome) -> ToolOutcome {
        let end = match outcome.end {
            End::Exit(code) => oc_cwl::End::Exit(code),
            End::Signal(signal) => oc_cwl::End::Signal(signal),
            End::Cancelled => oc_cwl::End::Cancelled,
            End::Limit(LimitHit::Wall(wall)) if command.time_limit == Some(wall) => {
                oc_cwl::End::TimeLimit
            }
            End::Limit(hit) => oc_cwl::End::Limit(self.limit(&hit)),
        };
        ToolOutcome {
            end,
            usage: ToolUsage {
                wall: outcome.usage.wall,
                cpu: Some(outcome.usage.user + outcome.usage.system),
                peak_memory: Some(outcome.usage.peak_memory),
            },
        }
    }
}

impl SandboxedExecutor {
    /// What is said of a limit that a tool has hit.
    fn limit(&self, hit: &LimitHit) -> String {
        let (said, failed) = match hit {
            LimitHit::Wall(_) => ("the attempt's time".to_owned(), Failed::TimedOut),
            LimitHit::CpuTime(_) => (hit.to_string(), Failed::TimedOut),
            LimitHit::Memory(_) => (hit.to_string(), Failed::OverMemory),
            _ => (hit.to_string(), Failed::Tool),
        };
        self.hits.note(&said, failed);
        said
    }
}

/// Runs with a switch that follows the engine's wish to cancel.
fn while_wanted<T>(
    command: &ToolCommand,
    run: impl FnOnce(&Cancel) -> Result<T, SandboxError>,
) -> Result<T, SandboxError> {
    let cancel = Cancel::new().map_err(io_error("open a pipe"))?;
    let (running, ended) = channel::<()>();
    std::thread::scope(|scope| {
        let cancel = &cancel;
        scope.spawn(move || {
            while let Err(RecvTimeoutError::Timeout) = ended.recv_timeout(GLANCE) {
                if command.cancellation.is_cancelled() {
                    return cancel.cancel();
                }
            }
        });
        let result = run(cancel);
        drop(running);
        result
    })
}

fn canonical_below(path: &Path, place: &Path) -> Result<PathBuf, SandboxError> {
    let real = path
        .canonicalize()
        .map_err(io_error(format!("find `{}`", path.display())))?;
    if real.starts_with(place) {
        return Ok(real);
    }
    Err(SandboxError::BadPath {
        path: path.to_owned(),
        why: "it lies outside the attempt's folder",
    })
}

fn io_error(action: impl Into<String>) -> impl FnOnce(io::Error) -> SandboxError {
    let action = action.into();
    move |source| SandboxError::Io { action, source }
}

fn refusal(why: &str) -> io::Error {
    io::Error::new(io::ErrorKind::Unsupported, why)
}

fn used(outcome: &Outcome) -> Used {
    let usage = outcome.usage;
    Used {
        wall_ms: millis(usage.wall),
        cpu_ms: millis(usage.user + usage.system),
        peak_memory_bytes: usage.peak_memory,
        ..Used::default()
    }
}

fn describe(removed: &Removed) -> String {
    let path = removed.path.display();
    match &removed.target {
        Some(target) => format!("took away `{path}`: it is a link to `{}`", target.display()),
        None => format!("took away `{path}`: it is no file and no folder"),
    }
}

/// Writes to a file of the engine and to the node.
struct Tee {
    file: File,
    lines: LogLines,
}

impl Write for Tee {
    fn write(&mut self, piece: &[u8]) -> io::Result<usize> {
        self.file.write_all(piece)?;
        self.lines.write(piece)
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

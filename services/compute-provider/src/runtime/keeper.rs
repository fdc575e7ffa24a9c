//! The thread that keeps one runner: starts it, listens to it, and sees it to its end.
//!
//! A thread of its own, because the runner's death signal is tied to the thread that started it, and
//! because the events of a runner come one after the other anyway.

use std::fs::File;
use std::io::{BufRead, BufReader, Read, Write};
use std::path::PathBuf;
use std::process::{Child, ChildStdin, ChildStdout, Command, ExitStatus, Stdio};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use oc_kernel::Clock;
use rustix::process::{Pid, Resource, Rlimit, getrlimit, prlimit};
use tokio::sync::{mpsc, oneshot, watch};

use super::places::Places;
use super::protocol::Line;
use super::tree;
use crate::domain::runtime::{AttemptEvent, AttemptReport, End, Event, Measured, RuntimeError};

/// Longest line of the runner in bytes: an output object has no bound of its own.
const LONGEST_LINE: u64 = 32 << 20;

/// Bytes at the end of the runner's own log that are looked at when it ends without a report.
const TAIL: usize = 2000;

/// What Rust's runtime writes before it aborts for want of memory.
const OUT_OF_MEMORY: &str = "memory allocation of";

/// What a keeper needs.
pub(super) struct Start {
    pub(super) program: PathBuf,
    pub(super) job: PathBuf,
    pub(super) log: PathBuf,
    /// What of this machine no partner reads.
    pub(super) places: Places,
    pub(super) macaroon: String,
    /// Bytes of memory that the runner itself may have.
    pub(super) memory: u64,
    pub(super) clock: Arc<dyn Clock>,
    pub(super) events: mpsc::Sender<AttemptEvent>,
}

/// A runner under way, as others see it.
pub(super) struct Running {
    pid: u32,
    process: tree::Handle,
    /// Held open while the attempt may run; the runner stops at its end.
    lifeline: Mutex<Option<ChildStdin>>,
    stopped: AtomicBool,
    /// Becomes true when nothing is left.
    ended: watch::Receiver<bool>,
}

impl Running {
    /// Tells the runner to stop.
    pub(super) fn ask_to_stop(&self) {
        self.stopped.store(true, Ordering::Release);
        let mut lifeline = self.lifeline.lock().unwrap_or_else(PoisonError::into_inner);
        drop(lifeline.take());
    }

    /// Kills the runner and its tools; false when something of it does not end within `limit`.
    pub(super) fn kill(&self, limit: Duration) -> bool {
        tree::kill(&self.process, self.pid, limit)
    }

    /// Waits for the end; false when it does not come within `limit`.
    pub(super) async fn has_ended_within(&self, limit: Duration) -> bool {
        let mut ended = self.ended.clone();
        let wait = ended.wait_for(|ended| *ended);
        tokio::time::timeout(limit, wait).await.is_ok()
    }
}

/// Starts a keeper. `at_end` is called when nothing of the attempt is left, after its last event.
pub(super) async fn start(
    start: Start,
    at_end: impl FnOnce() + Send + 'static,
) -> Result<Arc<Running>, RuntimeError> {
    let (tell, told) = oneshot::channel();
    let (end, ended) = watch::channel(false);
    std::thread::Builder::new()
        .name("runner".into())
        .spawn(move || {
            let (running, child, stdout) = match spawn(&start, ended) {
                Ok(started) => started,
                Err(error) => {
                    let _caller_waits = tell.send(Err(error));
                    return;
                }
            };
            let _caller_waits = tell.send(Ok(Arc::clone(&running)));
            Keeper {
                start,
                running,
                began: Instant::now(),
                used: Measured::default(),
            }
            .keep(child, stdout);
            at_end();
            end.send_replace(true);
        })
        .map_err(|error| RuntimeError::Failed(format!("no thread for the runner: {error}")))?;
    told.await
        .unwrap_or_else(|_| Err(RuntimeError::Failed("the runner's thread ended".into())))
}

fn spawn(
    start: &Start,
    ended: watch::Receiver<bool>,
) -> Result<(Arc<Running>, Child, ChildStdout), RuntimeError> {
    let failed = |what: &str, error: std::io::Error| {
        tracing::error!(runner = %start.program.display(), %error, "cannot {what} the runner");
        RuntimeError::Failed(format!("this node cannot {what} its runner: {error}"))
    };
    let log = File::create(&start.log).map_err(|error| failed("keep the log of", error))?;
    let mut child = Command::new(&start.program)
        .arg("run")
        .arg(&start.job)
        .env_clear()
        .envs(std::env::var_os("PATH").map(|path| ("PATH", path)))
        .current_dir("/")
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(log)
        .spawn()
        .map_err(|error| failed("start", error))?;
    let (stdin, stdout) = (child.stdin.take(), child.stdout.take());
    let (Some(mut stdin), Some(stdout)) = (stdin, stdout) else {
        return Err(RuntimeError::Failed("the runner has no pipes".into()));
    };
    let process = tree::handle(&child).map_err(|error| failed("watch", error))?;
    limit_memory(&child, start.memory).map_err(|error| failed("limit", error))?;
    // A macaroon is far smaller than a pipe holds.
    writeln!(stdin, "{}", start.macaroon).map_err(|error| failed("talk to", error))?;
    let running = Running {
        pid: child.id(),
        process,
        lifeline: Mutex::new(Some(stdin)),
        stopped: AtomicBool::new(false),
        ended,
    };
    Ok((Arc::new(running), child, stdout))
}

/// Bounds the memory that a partner's document can make the runner take, before it reads that document: it waits for its
/// macaroon. Only the soft limit, so that the sandboxes it starts can be given limits of their own.
fn limit_memory(child: &Child, bytes: u64) -> std::io::Result<()> {
    let limit = Rlimit {
        current: Some(bytes),
        maximum: getrlimit(Resource::Data).maximum,
    };
    prlimit(Some(Pid::from_child(child)), Resource::Data, limit)?;
    Ok(())
}

struct Keeper {
    start: Start,
    running: Arc<Running>,
    began: Instant,
    /// What the steps that ended have used; the last resort when there is no report.
    used: Measured,
}

impl Keeper {
    fn keep(mut self, mut child: Child, stdout: ChildStdout) {
        let report = self.listen(stdout);
        // With its report, or without a word, the runner is at its end; whatever holds it is ended.
        let limit = Duration::from_secs(if report.is_some() { 10 } else { 1 });
        let status = self.wait(&mut child, limit);
        let end = report.unwrap_or_else(|| self.report_of(status));
        self.pass(Event::Ended(end));
    }

    /// Passes events on until the runner says how it ended, or says no more.
    fn listen(&mut self, stdout: ChildStdout) -> Option<AttemptReport> {
        let mut lines = BufReader::new(stdout);
        let mut line = Vec::new();
        loop {
            line.clear();
            let read = lines
                .by_ref()
                .take(LONGEST_LINE)
                .read_until(b'\n', &mut line);
            if read.map_or(true, |read| read == 0) {
                return None;
            }
            let told = serde_json::from_slice::<oc_runner::Event>(&line);
            match told.map(|told| Line::from(told.bounded())) {
                Ok(Line::Event(event, used)) => {
                    self.add(used.unwrap_or_default());
                    self.pass(event);
                }
                Ok(Line::Sign) => {}
                Ok(Line::Ended(report)) => return Some(report),
                Err(error) => tracing::warn!(%error, "the runner said something unknown"),
            }
        }
    }

    fn add(&mut self, used: Measured) {
        self.used.cpu_ms = self.used.cpu_ms.saturating_add(used.cpu_ms);
        self.used.peak_memory_bytes = self.used.peak_memory_bytes.max(used.peak_memory_bytes);
    }

    fn pass(&self, event: Event) {
        let event = AttemptEvent {
            at: self.start.clock.now(),
            event: self.neutral(event),
        };
        if self.start.events.blocking_send(event).is_err() {
            tracing::debug!("nobody listens to this attempt any more");
        }
    }

    /// The event without places of this machine.
    fn neutral(&self, mut event: Event) -> Event {
        let text = match &mut event {
            Event::Log(line) => &mut line.text,
            Event::Ended(AttemptReport {
                end: End::Failed { message, .. },
                ..
            }) => message,
            _ => return event,
        };
        *text = self.start.places.hide(std::mem::take(text));
        event
    }

    fn wait(&self, child: &mut Child, limit: Duration) -> Option<ExitStatus> {
        let until = Instant::now() + limit;
        loop {
            match child.try_wait() {
                Ok(Some(status)) => return Some(status),
                Ok(None) if Instant::now() < until => {
                    std::thread::sleep(Duration::from_millis(5));
                }
                Ok(None) | Err(_) => break,
            }
        }
        if !self.running.kill(Duration::from_secs(30)) {
            tracing::error!(
                pid = self.running.pid,
                "a runner or one of its tools cannot be killed"
            );
        }
        child.wait().ok()
    }

    /// What to say of a runner that left without a report.
    fn report_of(&self, status: Option<ExitStatus>) -> AttemptReport {
        let wall = self.began.elapsed().as_millis();
        let used = Measured {
            wall_ms: u64::try_from(wall).unwrap_or(u64::MAX),
            ..self.used
        };
        if self.running.stopped.load(Ordering::Acquire) {
            return AttemptReport {
                end: End::Stopped,
                used,
            };
        }
        // What it wrote last may name anything of this machine: that is for this node's log.
        let last = end_of(&self.start.log);
        let how = status.map_or("in an unknown way".to_owned(), |status| status.to_string());
        tracing::error!(how, last, "a runner ended without a report");
        let message = match last.contains(OUT_OF_MEMORY) {
            true => format!(
                "the document, its input object or its scattered steps are too large: reading and planning them takes \
                 more than the {} MiB that the runner has at this node; run them in parts",
                self.start.memory >> 20
            ),
            false => {
                format!("the runner ended without a report ({how}); the log of its node says more")
            }
        };
        AttemptReport {
            end: End::Failed {
                step: String::new(),
                message,
                exit_code: None,
                code: String::new(),
            },
            used,
        }
    }
}

fn end_of(log: &std::path::Path) -> String {
    let text = std::fs::read(log).unwrap_or_default();
    let tail = &text[text.len().saturating_sub(TAIL)..];
    String::from_utf8_lossy(tail).into_owned()
}

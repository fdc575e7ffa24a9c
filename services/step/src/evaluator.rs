//! The outer side of JavaScript: scripts go to a process in a sandbox, started with the first of them.

use std::io::{PipeReader, Read, Write};
use std::os::fd::AsFd;
use std::path::PathBuf;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use oc_cwl::{EvaluationError, Evaluator, Script, ScriptLimits};
use oc_sandbox::{Cancel, Child, Command, Limits, Mount, Sandbox};
use serde_json::Value;

use crate::usage::UsageSum;

/// Longest result in bytes.
const LONGEST: usize = 64 * 1024 * 1024;

/// What the process may take beyond the interpreter's own limits before it is given up.
const PATIENCE: Duration = Duration::from_secs(5);

/// Where the runner's own program lies inside.
const INSIDE: &str = "/opt/oc-step";

/// An [`Evaluator`] whose scripts run in a sandbox: what breaks out of the interpreter is still inside.
pub struct SandboxedEvaluator {
    sandbox: Sandbox,
    program: PathBuf,
    wall: Duration,
    cancel: Cancel,
    usage: Arc<UsageSum>,
    process: Mutex<Option<Process>>,
}

struct Process {
    child: Child,
    /// What came after the last whole line.
    ahead: Vec<u8>,
}

impl SandboxedEvaluator {
    /// An evaluator that runs `program eval`, the runner itself, for at most `wall`.
    pub fn new(
        sandbox: Sandbox,
        program: PathBuf,
        wall: Duration,
        cancel: Cancel,
        usage: Arc<UsageSum>,
    ) -> Self {
        Self {
            sandbox,
            program,
            wall,
            cancel,
            usage,
            process: Mutex::new(None),
        }
    }

    fn start(&self) -> Result<Process, EvaluationError> {
        let script = ScriptLimits::default();
        let limits = Limits {
            wall: self.wall,
            cpu_time: self.wall,
            millicores: 1000,
            memory: script.memory as u64 + (128 << 20),
            processes: 8,
            open_files: 32,
            file_bytes: 0,
            folder_bytes: 0,
            folder_files: 0,
            tmp_bytes: 0,
            printed_bytes: 64 * 1024,
        };
        let command = Command::new(INSIDE, "/tmp", limits)
            .args(["eval"])
            .mount(Mount::read_only(&self.program, INSIDE));
        let child = self
            .sandbox
            .spawn(command, &self.cancel)
            .map_err(|error| EvaluationError::Interpreter(error.to_string()))?;
        Ok(Process {
            child,
            ahead: Vec::new(),
        })
    }

    /// Why a process gave no answer.
    fn end(&self, process: Process) -> EvaluationError {
        match process.child.wait() {
            Ok(outcome) => {
                self.usage.add(&outcome.usage);
                match outcome.end {
                    oc_sandbox::End::Limit(hit) => {
                        EvaluationError::Limit(format!("the script went over {hit}"))
                    }
                    end => EvaluationError::Interpreter(format!("it ended: {end:?}")),
                }
            }
            Err(error) => EvaluationError::Interpreter(error.to_string()),
        }
    }
}

impl Evaluator for SandboxedEvaluator {
    fn evaluate(&self, script: &Script<'_>) -> Result<Value, EvaluationError> {
        let broken = |error: serde_json::Error| EvaluationError::Interpreter(error.to_string());
        let mut line = serde_json::to_vec(script).map_err(broken)?;
        line.push(b'\n');
        let mut slot = self.process.lock().unwrap_or_else(PoisonError::into_inner);
        let mut process = match slot.take() {
            Some(process) => process,
            None => self.start()?,
        };
        match process.ask(&line) {
            Ok(answer) => {
                *slot = Some(process);
                let answer: Result<Value, EvaluationError> =
                    serde_json::from_slice(&answer).map_err(broken)?;
                answer
            }
            Err(Silence::Ended) => Err(self.end(process)),
            Err(Silence::TooLong) => Err(EvaluationError::Limit(
                "the script took too long, or its result is too large".into(),
            )),
        }
    }
}

impl Drop for SandboxedEvaluator {
    fn drop(&mut self) {
        let slot = self
            .process
            .get_mut()
            .unwrap_or_else(PoisonError::into_inner);
        if let Some(process) = slot.take() {
            let _usage_is_counted = self.end(process);
        }
    }
}

/// Why there is no answer.
enum Silence {
    /// The process is gone.
    Ended,
    /// It does not come to an end.
    TooLong,
}

impl Process {
    fn ask(&mut self, line: &[u8]) -> Result<Vec<u8>, Silence> {
        // The process reads a whole script before it does anything else, so this cannot wait for long.
        let stdin = self.child.stdin.as_mut().ok_or(Silence::Ended)?;
        stdin.write_all(line).map_err(|_| Silence::Ended)?;
        let until = Instant::now() + ScriptLimits::default().time + PATIENCE;
        loop {
            if let Some(end) = self.ahead.iter().position(|byte| *byte == b'\n') {
                let rest = self.ahead.split_off(end + 1);
                return Ok(std::mem::replace(&mut self.ahead, rest));
            }
            if self.ahead.len() > LONGEST || !readable(&self.child.stdout, until) {
                return Err(Silence::TooLong);
            }
            let mut piece = [0; 64 * 1024];
            match self.child.stdout.read(&mut piece) {
                Ok(0) | Err(_) => return Err(Silence::Ended),
                Ok(read) => self.ahead.extend_from_slice(&piece[..read]),
            }
        }
    }
}

/// True once something can be read, false when `until` comes first.
fn readable(pipe: &PipeReader, until: Instant) -> bool {
    use nix::poll::{PollFd, PollFlags, PollTimeout, poll};
    loop {
        let left = until.saturating_duration_since(Instant::now());
        let timeout = PollTimeout::try_from(left).unwrap_or(PollTimeout::MAX);
        match poll(&mut [PollFd::new(pipe.as_fd(), PollFlags::POLLIN)], timeout) {
            Err(nix::errno::Errno::EINTR) => {}
            answer => return answer.is_ok_and(|ready| ready > 0),
        }
    }
}

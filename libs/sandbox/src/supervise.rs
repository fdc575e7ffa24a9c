//! Running one command from start to end: one thread moves its streams, watches its limits, and ends
//! it when it has to.

use std::io::{self, PipeReader, PipeWriter};
use std::os::fd::AsFd;
use std::os::unix::process::ExitStatusExt;
use std::process::{ExitStatus, Stdio};
use std::sync::mpsc;
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use nix::poll::{PollFd, PollFlags, PollTimeout};

use crate::launch::{Launched, Streams, launch};
use crate::limits::LimitHit;
use crate::meter::{Meter, TICK};
use crate::outcome::{End, Outcome, Usage};
use crate::streams::{self, Drain, Feed};
use crate::{Cancel, Command, Sandbox, SandboxError};

/// How long the kernel may take to end killed processes.
const KILL_LIMIT: Duration = Duration::from_secs(30);

/// A command that runs beside its caller and talks to it through pipes. Dropping it ends it.
#[derive(Debug)]
pub struct Child {
    /// The command's standard input; closing it tells the command that nothing more comes.
    pub stdin: Option<PipeWriter>,
    /// The command's standard output.
    pub stdout: PipeReader,
    cancel: Cancel,
    // The thread that started bubblewrap has to live as long as it does: the kernel's death signal is
    // tied to the thread, not to the process.
    keeper: Option<JoinHandle<Result<Outcome, SandboxError>>>,
}

impl Sandbox {
    /// Runs a command and waits for its end. Standard output and error are complete when it returns,
    /// and none of its processes is left.
    ///
    /// # Errors
    /// When the command could not be started or watched; how it ended is in the outcome.
    pub fn run(&self, command: Command, cancel: &Cancel) -> Result<Outcome, SandboxError> {
        self.execute(command, None, cancel, || {})
    }

    /// Starts a command whose standard input and output are pipes to the caller; what the command says
    /// about them is replaced. All limits hold but the one on printed bytes, which only counts standard
    /// error here.
    ///
    /// # Errors
    /// When it could not be started. A program that does not exist shows in [`Child::wait`].
    pub fn spawn(&self, command: Command, cancel: &Cancel) -> Result<Child, SandboxError> {
        let pipe = || io::pipe().map_err(SandboxError::io("open a pipe"));
        let (their_stdin, stdin) = pipe()?;
        let (stdout, their_stdout) = pipe()?;
        let pipes = Some((their_stdin.into(), their_stdout.into()));
        let (sandbox, switch) = (self.clone(), cancel.clone());
        let (started, start) = mpsc::channel();
        let keeper = std::thread::Builder::new()
            .name("sandbox".into())
            .spawn(move || {
                sandbox.execute(command, pipes, &switch, || {
                    let _caller_waits = started.send(());
                })
            })
            .map_err(SandboxError::io("start a thread"))?;
        let child = Child {
            stdin: Some(stdin),
            stdout,
            cancel: cancel.clone(),
            keeper: Some(keeper),
        };
        match start.recv() {
            Ok(()) => Ok(child),
            Err(_ended_before) => Err(child.wait().map_or_else(
                |error| error,
                |outcome| SandboxError::Start {
                    why: format!("it ended before it began: {:?}", outcome.end),
                },
            )),
        }
    }

    fn execute(
        &self,
        mut command: Command,
        pipes: Option<(Stdio, Stdio)>,
        cancel: &Cancel,
        started: impl FnOnce(),
    ) -> Result<Outcome, SandboxError> {
        command.check()?;
        let (stdin, feed, stdout, drain) = if let Some((stdin, stdout)) = pipes {
            (stdin, None, stdout, None)
        } else {
            let input = std::mem::replace(&mut command.stdin, crate::Input::Null);
            let output = std::mem::replace(&mut command.stdout, crate::Output::Null);
            let (stdin, feed) = streams::input(input)?;
            let (stdout, drain) = streams::output(output, &command.limits)?;
            (stdin, feed, stdout, drain)
        };
        let error = std::mem::replace(&mut command.stderr, crate::Output::Null);
        let (stderr, mut errors) = streams::error(error, &command.limits)?;
        let mut meter = Meter::new(self.groups(), &command)?;
        let streams = Streams {
            stdin,
            stdout,
            stderr,
        };
        let mut launched = match launch(self.bubblewrap(), &command, streams) {
            Err(SandboxError::Start { why }) => {
                while errors.advance()? {}
                let said = errors.tail();
                let why = if said.trim().is_empty() {
                    why
                } else {
                    said.trim().to_owned()
                };
                return Err(SandboxError::Start { why });
            }
            launched => launched?,
        };
        meter.enter(launched.first)?;
        launched.open_gate()?;
        started();
        let run = Run {
            began: Instant::now(),
            launched,
            meter,
            feed,
            drain,
            errors,
            ending: None,
        };
        let program = command.program.to_string_lossy();
        run.finish(cancel, &program)
    }
}

impl Child {
    /// Closes standard input and waits for the end.
    ///
    /// # Errors
    /// As [`Sandbox::run`].
    pub fn wait(mut self) -> Result<Outcome, SandboxError> {
        self.stdin = None;
        self.join().unwrap_or_else(|| {
            Err(SandboxError::Start {
                why: "the thread that watched it panicked".into(),
            })
        })
    }

    fn join(&mut self) -> Option<Result<Outcome, SandboxError>> {
        self.keeper.take()?.join().ok()
    }
}

impl Drop for Child {
    fn drop(&mut self) {
        if self.keeper.is_some() {
            self.cancel.cancel();
            let _outcome = self.join();
        }
    }
}

/// A command under way.
struct Run {
    began: Instant,
    launched: Launched,
    meter: Meter,
    feed: Option<Feed>,
    drain: Option<Drain>,
    errors: Drain,
    /// Why it was killed, and when.
    ending: Option<(End, Instant)>,
}

impl Run {
    fn finish(mut self, cancel: &Cancel, program: &str) -> Result<Outcome, SandboxError> {
        let mut next_check = self.began + TICK;
        while !self.wait(cancel, next_check)? {
            self.move_streams()?;
            let now = Instant::now();
            if let Some((_, since)) = self.ending {
                if now.duration_since(since) > KILL_LIMIT {
                    return Err(SandboxError::Unkillable {
                        seconds: KILL_LIMIT.as_secs(),
                    });
                }
                continue;
            }
            if let Some(end) = self.must_end(cancel, now, &mut next_check)? {
                self.launched.kill();
                self.ending = Some((end, now));
            }
        }
        let wall = self.began.elapsed();
        let status = self.launched.monitor.reap()?;
        self.meter.look();
        self.launched.end(KILL_LIMIT)?;
        self.drain_rest()?;
        let total = self.meter.total();
        let end = match self.ending {
            Some((end, _)) => end,
            None => self.own_end(status, program)?,
        };
        let drained = self.drain.as_ref().map_or(0, Drain::bytes);
        Ok(Outcome {
            end,
            usage: Usage {
                wall,
                user: total.user,
                system: total.system,
                peak_memory: total.peak_memory,
                printed: drained + self.errors.bytes(),
            },
        })
    }

    /// Waits for anything to do; true when the command has ended.
    fn wait(&self, cancel: &Cancel, next_check: Instant) -> Result<bool, SandboxError> {
        let wall_end = self.began + self.meter.limits().wall;
        let until = if self.ending.is_some() {
            Instant::now() + TICK
        } else {
            next_check.min(wall_end)
        };
        let left = until.saturating_duration_since(Instant::now());
        // Rounded up: a timeout of zero before the time has come would spin.
        let timeout = PollTimeout::try_from(left + Duration::from_millis(1));
        let mut waited = vec![PollFd::new(
            self.launched.monitor.handle().as_fd(),
            PollFlags::POLLIN,
        )];
        let reads = [self.drain.as_ref(), Some(&self.errors)];
        let reads = reads.into_iter().flatten().filter_map(Drain::waits_on);
        waited.extend(reads.map(|fd| PollFd::new(fd, PollFlags::POLLIN)));
        if let Some(fd) = self.feed.as_ref().and_then(Feed::waits_on) {
            waited.push(PollFd::new(fd, PollFlags::POLLOUT));
        }
        if self.ending.is_none() {
            waited.push(PollFd::new(cancel.as_fd(), PollFlags::POLLIN));
        }
        match nix::poll::poll(&mut waited, timeout.unwrap_or(PollTimeout::MAX)) {
            Ok(_) => Ok(waited[0].any().unwrap_or(false)),
            Err(nix::errno::Errno::EINTR) => Ok(false),
            Err(errno) => Err(SandboxError::io("wait for the command")(errno.into())),
        }
    }

    fn move_streams(&mut self) -> Result<(), SandboxError> {
        if let Some(feed) = &mut self.feed {
            feed.advance()?;
        }
        // One piece each, so that a command that never stops printing is still watched.
        if let Some(drain) = &mut self.drain {
            drain.advance()?;
        }
        self.errors.advance()?;
        Ok(())
    }

    fn drain_rest(&mut self) -> Result<(), SandboxError> {
        if let Some(drain) = &mut self.drain {
            while drain.advance()? {}
        }
        while self.errors.advance()? {}
        Ok(())
    }

    fn must_end(
        &mut self,
        cancel: &Cancel,
        now: Instant,
        next_check: &mut Instant,
    ) -> Result<Option<End>, SandboxError> {
        if cancel.is_cancelled() {
            return Ok(Some(End::Cancelled));
        }
        if let Some(hit) = self.stream_hit() {
            return Ok(Some(End::Limit(hit)));
        }
        let wall = self.meter.limits().wall;
        if now >= self.began + wall {
            return Ok(Some(End::Limit(LimitHit::Wall(wall))));
        }
        if now < *next_check {
            return Ok(None);
        }
        let hit = self.meter.check()?;
        *next_check = Instant::now() + TICK;
        Ok(hit.map(End::Limit))
    }

    fn stream_hit(&self) -> Option<LimitHit> {
        let limits = self.meter.limits();
        let printed = self.drain.as_ref().map_or(0, Drain::printed) + self.errors.printed();
        if printed > limits.printed_bytes {
            return Some(LimitHit::PrintedBytes(limits.printed_bytes));
        }
        let file_bytes = limits.file_bytes;
        (self.errors.filed() > file_bytes).then_some(LimitHit::FileBytes(file_bytes))
    }

    /// How a command ended that nobody here killed.
    fn own_end(&mut self, status: ExitStatus, program: &str) -> Result<End, SandboxError> {
        let Some(code) = self.launched.status.exit_code() else {
            return match status.signal() {
                Some(signal) => Ok(End::Signal(signal)),
                None => Err(self.never_executed(program)),
            };
        };
        let hit = self.hit_at_end(code)?;
        Ok(match hit {
            Some(hit) => End::Limit(hit),
            None if (129..=192).contains(&code) => End::Signal(code - 128),
            None => End::Exit(code),
        })
    }

    fn hit_at_end(&self, code: i32) -> Result<Option<LimitHit>, SandboxError> {
        if let Some(hit) = self.stream_hit() {
            return Ok(Some(hit));
        }
        let limits = self.meter.limits();
        let total = self.meter.total();
        let killed_by = |signal: nix::libc::c_int| code == 128 + signal;
        if total.memory_kills > 0 {
            return Ok(Some(LimitHit::Memory(limits.memory)));
        }
        if killed_by(nix::libc::SIGXFSZ) {
            return Ok(Some(LimitHit::FileBytes(limits.file_bytes)));
        }
        if killed_by(nix::libc::SIGXCPU) {
            return Ok(Some(LimitHit::CpuTime(limits.cpu_time)));
        }
        if code != 0 && total.process_refusals > 0 {
            return Ok(Some(LimitHit::Processes(limits.processes)));
        }
        self.meter.check_folders()
    }

    fn never_executed(&self, program: &str) -> SandboxError {
        let said = self.errors.tail();
        let program = program.to_owned();
        let refusal = said.lines().find(|line| line.starts_with("bwrap: execvp "));
        match refusal.and_then(|line| line.rsplit_once(": ")) {
            Some((_, "No such file or directory")) => SandboxError::ProgramNotFound { program },
            Some((_, why)) => SandboxError::ProgramRefused {
                program,
                why: why.to_owned(),
            },
            None => SandboxError::Start {
                why: said.trim().to_owned(),
            },
        }
    }
}

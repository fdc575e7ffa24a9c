//! Starting bubblewrap so that nothing of this process leaks inside and nothing survives it.
//!
//! The only module with `unsafe`: the steps between fork and exec, and waiting with resource usage,
//! which the safe wrappers do not offer.

#![expect(
    unsafe_code,
    reason = "see each block; there is no safe call for these three"
)]

use std::io::{self, PipeReader, PipeWriter, Read, Write};
use std::os::fd::{AsFd, AsRawFd, OwnedFd};
use std::os::unix::process::CommandExt;
use std::path::Path;
use std::process::{Command as Process, ExitStatus, Stdio};
use std::time::{Duration, Instant};

use nix::libc;
use nix::poll::{PollFd, PollFlags, PollTimeout};
use rustix::process::{Pid, PidfdFlags, Resource, Rlimit, Signal};

use crate::arguments::{Descriptors, arguments};
use crate::command::Command;
use crate::{SandboxError, seccomp};

/// How long bubblewrap may take to lay out the sandbox.
const SETUP_LIMIT: Duration = Duration::from_secs(20);

/// bubblewrap, started and waiting at the gate before it executes the command.
pub(crate) struct Launched {
    pub(crate) monitor: Monitor,
    /// The first process of the sandbox as the node numbers it, and a handle that cannot be reused.
    pub(crate) first: i32,
    pub(crate) first_handle: OwnedFd,
    pub(crate) status: Status,
    gate: PipeWriter,
}

/// The ends of the command's streams that go to it.
pub(crate) struct Streams {
    pub(crate) stdin: Stdio,
    pub(crate) stdout: Stdio,
    pub(crate) stderr: Stdio,
}

/// The outer process of bubblewrap, our child. Dropping it kills and reaps it.
#[derive(Debug)]
pub(crate) struct Monitor {
    child: std::process::Child,
    handle: OwnedFd,
    reaped: bool,
}

/// bubblewrap's report: a JSON document a line.
#[derive(Debug)]
pub(crate) struct Status {
    pipe: PipeReader,
    text: Vec<u8>,
}

pub(crate) fn launch(
    bubblewrap: &Path,
    command: &Command,
    streams: Streams,
) -> Result<Launched, SandboxError> {
    let pipe = || io::pipe().map_err(SandboxError::io("open a pipe"));
    let (status_reader, status_writer) = pipe()?;
    let (gate_reader, gate_writer) = pipe()?;
    let filter = match seccomp::filter() {
        Some(bytes) => {
            let (reader, mut writer) = pipe()?;
            // Far smaller than a pipe holds, so this does not wait for the reader.
            writer
                .write_all(&bytes)
                .map_err(SandboxError::io("pass the system call filter"))?;
            Some(reader)
        }
        None => None,
    };
    let fds = Descriptors {
        status: status_writer.as_raw_fd(),
        gate: gate_reader.as_raw_fd(),
        seccomp: filter.as_ref().map(AsRawFd::as_raw_fd),
    };
    let mut process = Process::new(bubblewrap);
    process
        .args(arguments(command, &fds))
        .env_clear()
        .env("LC_ALL", "C")
        .current_dir("/")
        .stdin(streams.stdin)
        .stdout(streams.stdout)
        .stderr(streams.stderr);
    let mut kept: Vec<OwnedFd> = vec![status_writer.into(), gate_reader.into()];
    kept.extend(filter.map(OwnedFd::from));
    let parent = rustix::process::getpid();
    // SAFETY: the closure runs in the child between fork and exec, where only async-signal-safe calls
    // are sound. It makes plain system calls on memory that exists already and allocates nothing.
    unsafe { process.pre_exec(move || before_exec(&kept, parent)) };
    let child = process
        .spawn()
        .map_err(SandboxError::io("start bubblewrap"))?;
    drop(process); // its copies of the pipes' other ends, or no end of file would ever come
    let monitor = Monitor::of(child)?;
    let mut status = Status {
        pipe: status_reader,
        text: Vec::new(),
    };
    let first = status.first_process(Instant::now() + SETUP_LIMIT)?;
    let first_handle = open_handle(first).map_err(SandboxError::io("watch the sandbox"))?;
    Ok(Launched {
        monitor,
        first,
        first_handle,
        status,
        gate: gate_writer,
    })
}

fn before_exec(kept: &[OwnedFd], parent: Pid) -> io::Result<()> {
    // SAFETY: close_range only marks descriptors, and this process is about to be replaced.
    let marked = unsafe {
        libc::syscall(
            libc::SYS_close_range,
            3_u32,
            u32::MAX,
            libc::CLOSE_RANGE_CLOEXEC,
        )
    };
    if marked != 0 {
        return Err(io::Error::last_os_error());
    }
    for fd in kept {
        rustix::io::fcntl_setfd(fd, rustix::io::FdFlags::empty())?;
    }
    // A limit on this program's own memory is none on what it starts, which has limits of its own.
    let data = rustix::process::getrlimit(Resource::Data);
    rustix::process::setrlimit(
        Resource::Data,
        Rlimit {
            current: data.maximum,
            ..data
        },
    )?;
    // bubblewrap asks for the same, but only once it runs.
    rustix::process::set_parent_process_death_signal(Some(Signal::KILL))?;
    if rustix::process::getppid() != Some(parent) {
        return Err(io::Error::from_raw_os_error(libc::ESRCH));
    }
    Ok(())
}

fn open_handle(pid: i32) -> io::Result<OwnedFd> {
    let pid = Pid::from_raw(pid).ok_or(io::ErrorKind::InvalidData)?;
    Ok(rustix::process::pidfd_open(pid, PidfdFlags::empty())?)
}

impl Launched {
    /// Lets the command begin.
    pub(crate) fn open_gate(&mut self) -> Result<(), SandboxError> {
        self.gate
            .write_all(b"1")
            .map_err(SandboxError::io("start the command in its sandbox"))
    }

    /// Ends the first process inside; the kernel ends all others of its namespace with it.
    pub(crate) fn kill(&self) {
        let _already_gone = rustix::process::pidfd_send_signal(&self.first_handle, Signal::KILL);
    }

    /// Ends what is left inside and waits until nothing is. bubblewrap's outer process leaves as soon as
    /// the command has, without waiting for what the command started.
    pub(crate) fn end(&self, limit: Duration) -> Result<(), SandboxError> {
        self.kill();
        let timeout = PollTimeout::try_from(limit).unwrap_or(PollTimeout::MAX);
        let mut waited = [PollFd::new(self.first_handle.as_fd(), PollFlags::POLLIN)];
        match nix::poll::poll(&mut waited, timeout) {
            Ok(0) => Err(SandboxError::Unkillable {
                seconds: limit.as_secs(),
            }),
            Ok(_) => Ok(()),
            Err(errno) => Err(SandboxError::io("wait for the sandbox's end")(errno.into())),
        }
    }
}

impl Drop for Launched {
    fn drop(&mut self) {
        self.kill();
    }
}

impl Monitor {
    fn of(child: std::process::Child) -> Result<Self, SandboxError> {
        let handle = rustix::process::pidfd_open(Pid::from_child(&child), PidfdFlags::empty())
            .map_err(|errno| SandboxError::io("watch bubblewrap")(errno.into()))?;
        Ok(Self {
            child,
            handle,
            reaped: false,
        })
    }

    /// Readable once the process has ended.
    pub(crate) fn handle(&self) -> &OwnedFd {
        &self.handle
    }

    pub(crate) fn kill(&self) {
        let _already_gone = rustix::process::pidfd_send_signal(&self.handle, Signal::KILL);
    }

    /// Waits for its end.
    pub(crate) fn reap(&mut self) -> Result<ExitStatus, SandboxError> {
        let status = self
            .child
            .wait()
            .map_err(SandboxError::io("wait for bubblewrap"))?;
        self.reaped = true;
        Ok(status)
    }
}

impl Drop for Monitor {
    fn drop(&mut self) {
        if !self.reaped {
            self.kill();
            if let Err(error) = self.reap() {
                tracing::warn!(%error, "bubblewrap stays behind as a zombie");
            }
        }
    }
}

impl Status {
    fn first_process(&mut self, until: Instant) -> Result<i32, SandboxError> {
        loop {
            if let Some(pid) = self.number("child-pid") {
                return Ok(pid);
            }
            if !self.read_some(until)? {
                return Err(SandboxError::Start {
                    why: "bubblewrap ended at once".into(),
                });
            }
        }
    }

    /// The command's exit code as bubblewrap passes it on. None where the command was never executed,
    /// or bubblewrap itself was ended.
    pub(crate) fn exit_code(&mut self) -> Option<i32> {
        let until = Instant::now() + Duration::from_secs(1);
        while self.read_some(until).ok()? {}
        self.number("exit-code")
    }

    fn number(&self, field: &str) -> Option<i32> {
        let mut lines = self.text.split(|byte| *byte == b'\n');
        lines.find_map(|line| {
            let document: serde_json::Value = serde_json::from_slice(line).ok()?;
            i32::try_from(document.get(field)?.as_i64()?).ok()
        })
    }

    /// Waits for more; false at the end.
    fn read_some(&mut self, until: Instant) -> Result<bool, SandboxError> {
        let left = until.saturating_duration_since(Instant::now());
        let timeout = PollTimeout::try_from(left).unwrap_or(PollTimeout::MAX);
        let mut waited = [PollFd::new(self.pipe.as_fd(), PollFlags::POLLIN)];
        match nix::poll::poll(&mut waited, timeout) {
            Ok(0) => {
                return Err(SandboxError::Start {
                    why: format!("bubblewrap said nothing for {} s", SETUP_LIMIT.as_secs()),
                });
            }
            Ok(_) | Err(nix::errno::Errno::EINTR) => {}
            Err(errno) => return Err(SandboxError::io("wait for bubblewrap")(errno.into())),
        }
        let mut buffer = [0; 1024];
        match self.pipe.read(&mut buffer) {
            Ok(0) => Ok(false),
            Ok(length) => {
                self.text.extend_from_slice(&buffer[..length]);
                Ok(true)
            }
            Err(error) if error.kind() == io::ErrorKind::Interrupted => Ok(true),
            Err(error) => Err(SandboxError::io("read bubblewrap's report")(error)),
        }
    }
}

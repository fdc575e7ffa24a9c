//! Commands as plain processes of this machine, with the rights of this one.

use std::ffi::OsStr;
use std::fs::File;
use std::io;
use std::os::fd::AsFd;
use std::os::unix::fs::PermissionsExt;
use std::os::unix::process::{CommandExt, ExitStatusExt};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use nix::poll::{PollFd, PollFlags, PollTimeout, poll};
use nix::sys::signal::{Signal, killpg};
use nix::unistd::Pid;
use rustix::process::{PidfdFlags, pidfd_open};

use super::{End, Executor, ToolCommand, ToolOutcome, ToolUsage};

/// How often a running command is asked whether it is to end.
const GLANCE: Duration = Duration::from_millis(50);

/// Runs commands as children in process groups of their own, with the `PATH` of this process and no
/// sandbox. It does not measure processor time or memory.
#[derive(Debug, Clone, Copy, Default)]
pub struct ProcessExecutor;

impl Executor for ProcessExecutor {
    fn run(&self, command: &ToolCommand) -> io::Result<ToolOutcome> {
        let Some((program, arguments)) = command.argv.split_first() else {
            return Err(io::Error::new(
                io::ErrorKind::InvalidInput,
                "an empty command line",
            ));
        };
        let path = std::env::var_os("PATH").unwrap_or_default();
        let found = find(program, &path, &command.work_folder)?;
        // Given a whole path, the standard library starts the process without copying this one.
        let mut process = Command::new(found);
        process
            .arg0(program)
            .args(arguments)
            .env_clear()
            .env("PATH", path)
            .envs(&command.environment)
            .current_dir(&command.work_folder)
            .stdin(match &command.stdin {
                Some(path) => Stdio::from(File::open(path)?),
                None => Stdio::null(),
            })
            .stdout(File::create(&command.stdout)?)
            .stderr(if command.stderr == command.stdout {
                File::options().append(true).open(&command.stderr)?
            } else {
                File::create(&command.stderr)?
            })
            .process_group(0);
        let started = Instant::now();
        let mut child = process.spawn()?;
        let end = wait(&mut child, command, started)?;
        Ok(ToolOutcome {
            end,
            usage: ToolUsage {
                wall: started.elapsed(),
                ..ToolUsage::default()
            },
        })
    }
}

/// The file of a program, as a shell would find it.
fn find(program: &str, path: &OsStr, folder: &Path) -> io::Result<PathBuf> {
    if program.contains('/') {
        return Ok(folder.join(program));
    }
    let is_program = |place: &PathBuf| {
        let found = place.metadata();
        found.is_ok_and(|found| found.is_file() && found.permissions().mode() & 0o111 != 0)
    };
    std::env::split_paths(path)
        .map(|place| place.join(program))
        .find(is_program)
        .ok_or_else(|| io::Error::new(io::ErrorKind::NotFound, "no such program in PATH"))
}

fn wait(child: &mut Child, command: &ToolCommand, started: Instant) -> io::Result<End> {
    let group = Pid::from_raw(i32::try_from(child.id()).unwrap_or(i32::MAX));
    let watched = rustix::process::Pid::from_raw(group.as_raw())
        .ok_or_else(|| io::Error::other("the child has no id"))?;
    let handle = pidfd_open(watched, PidfdFlags::empty())?;
    loop {
        let left = command
            .time_limit
            .map(|limit| limit.saturating_sub(started.elapsed()));
        if left == Some(Duration::ZERO) {
            end_group(child, group)?;
            return Ok(End::TimeLimit);
        }
        if command.cancellation.is_cancelled() {
            end_group(child, group)?;
            return Ok(End::Cancelled);
        }
        let pause = left.map_or(GLANCE, |left| left.min(GLANCE));
        let pause = PollTimeout::try_from(pause).unwrap_or(PollTimeout::ZERO);
        let mut watched = [PollFd::new(handle.as_fd(), PollFlags::POLLIN)];
        match poll(&mut watched, pause) {
            Ok(0) | Err(nix::errno::Errno::EINTR) => {}
            Ok(_) => break,
            Err(error) => return Err(error.into()),
        }
    }
    let status = child.wait()?;
    Ok(match (status.code(), status.signal()) {
        (Some(code), _) => End::Exit(code),
        (None, Some(signal)) => End::Signal(signal),
        (None, None) => End::Exit(-1),
    })
}

/// Children of the command die with it.
fn end_group(child: &mut Child, group: Pid) -> io::Result<()> {
    // The group is gone where the command has just ended by itself.
    let _ = killpg(group, Signal::SIGKILL);
    child.wait().map(drop)
}

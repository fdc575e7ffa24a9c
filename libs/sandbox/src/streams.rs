//! Moving bytes between the command's pipes and where its streams go, without ever waiting for it.

use std::fs::File;
use std::io::{self, PipeReader, PipeWriter, Read, Write};
use std::os::fd::{AsFd, BorrowedFd};
use std::process::Stdio;

use rustix::fs::OFlags;

use crate::command::{Input, Output};
use crate::{Limits, SandboxError};

/// Bytes moved at once.
const PIECE: usize = 64 * 1024;

/// How many of the last bytes are kept for a message.
const TAIL: usize = 4096;

/// Standard input, fed from a file.
pub(crate) struct Feed {
    file: File,
    pipe: Option<PipeWriter>,
    piece: Vec<u8>,
    sent: usize,
}

/// Standard output or error, drained from a pipe.
pub(crate) struct Drain {
    pipe: Option<PipeReader>,
    output: Output,
    /// How much more is kept; what comes after it is counted and thrown away.
    room: u64,
    bytes: u64,
    tail: Vec<u8>,
}

fn pipe() -> Result<(PipeReader, PipeWriter), SandboxError> {
    io::pipe().map_err(SandboxError::io("open a pipe"))
}

fn never_wait(fd: impl AsFd) -> Result<(), SandboxError> {
    rustix::fs::fcntl_setfl(fd, OFlags::NONBLOCK)
        .map_err(|errno| SandboxError::io("set up a pipe")(errno.into()))
}

/// The command's end of its standard input, and ours if there is something to feed.
pub(crate) fn input(input: Input) -> Result<(Stdio, Option<Feed>), SandboxError> {
    let Input::File(file) = input else {
        return Ok((Stdio::null(), None));
    };
    let (theirs, ours) = pipe()?;
    never_wait(&ours)?;
    let feed = Feed {
        file,
        pipe: Some(ours),
        piece: Vec::new(),
        sent: 0,
    };
    Ok((theirs.into(), Some(feed)))
}

/// The command's end of standard output, and ours if there is something to drain.
pub(crate) fn output(
    output: Output,
    limits: &Limits,
) -> Result<(Stdio, Option<Drain>), SandboxError> {
    match output {
        Output::Null => Ok((Stdio::null(), None)),
        Output::File(file) => Ok((file.into(), None)),
        Output::Sink(_) => error(output, limits).map(|(theirs, drain)| (theirs, Some(drain))),
    }
}

/// The command's end of standard error, and ours: it is always drained, since bubblewrap writes there
/// why it could not start.
pub(crate) fn error(output: Output, limits: &Limits) -> Result<(Stdio, Drain), SandboxError> {
    let (ours, theirs) = pipe()?;
    never_wait(&ours)?;
    let room = match output {
        Output::Null => 0,
        Output::File(_) => limits.file_bytes,
        Output::Sink(_) => limits.printed_bytes,
    };
    let drain = Drain {
        pipe: Some(ours),
        output,
        room,
        bytes: 0,
        tail: Vec::new(),
    };
    Ok((theirs.into(), drain))
}

impl Feed {
    /// What to wait for; none when there is nothing more to send.
    pub(crate) fn waits_on(&self) -> Option<BorrowedFd<'_>> {
        self.pipe.as_ref().map(AsFd::as_fd)
    }

    /// Sends what fits.
    pub(crate) fn advance(&mut self) -> Result<(), SandboxError> {
        while let Some(pipe) = &mut self.pipe {
            if self.sent == self.piece.len() {
                self.piece.resize(PIECE, 0);
                let read = self
                    .file
                    .read(&mut self.piece)
                    .map_err(SandboxError::io("read the standard input's file"))?;
                self.piece.truncate(read);
                self.sent = 0;
                if read == 0 {
                    self.pipe = None;
                    return Ok(());
                }
            }
            match pipe.write(&self.piece[self.sent..]) {
                Ok(written) => self.sent += written,
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => return Ok(()),
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                // The command does not read on, which is its right.
                Err(_) => self.pipe = None,
            }
        }
        Ok(())
    }
}

impl Drain {
    /// What to wait for; none after the end.
    pub(crate) fn waits_on(&self) -> Option<BorrowedFd<'_>> {
        self.pipe.as_ref().map(AsFd::as_fd)
    }

    /// Takes one piece if there is one; true while there may be more.
    pub(crate) fn advance(&mut self) -> Result<bool, SandboxError> {
        let Some(pipe) = &mut self.pipe else {
            return Ok(false);
        };
        let mut piece = [0; PIECE];
        let read = match pipe.read(&mut piece) {
            Ok(read) => read,
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => return Ok(false),
            Err(error) if error.kind() == io::ErrorKind::Interrupted => return Ok(true),
            Err(error) => return Err(SandboxError::io("read what the command prints")(error)),
        };
        if read == 0 {
            self.pipe = None;
            return Ok(false);
        }
        self.take(&piece[..read])?;
        Ok(true)
    }

    fn take(&mut self, piece: &[u8]) -> Result<(), SandboxError> {
        self.bytes += piece.len() as u64;
        self.tail.extend_from_slice(piece);
        let too_much = self.tail.len().saturating_sub(TAIL);
        self.tail.drain(..too_much);
        let kept = piece
            .len()
            .min(usize::try_from(self.room).unwrap_or(usize::MAX));
        self.room -= kept as u64;
        let written = match &mut self.output {
            Output::Null => Ok(()),
            Output::File(file) => file.write_all(&piece[..kept]),
            Output::Sink(sink) => sink.write_all(&piece[..kept]),
        };
        written.map_err(SandboxError::io("keep what the command prints"))
    }

    /// Bytes that count towards [`Limits::printed_bytes`](crate::Limits::printed_bytes).
    pub(crate) fn printed(&self) -> u64 {
        match self.output {
            Output::Sink(_) => self.bytes,
            Output::Null | Output::File(_) => 0,
        }
    }

    /// Bytes that went into a file.
    pub(crate) fn filed(&self) -> u64 {
        match self.output {
            Output::File(_) => self.bytes,
            Output::Null | Output::Sink(_) => 0,
        }
    }

    /// All bytes.
    pub(crate) fn bytes(&self) -> u64 {
        self.bytes
    }

    /// The last of it, as text.
    pub(crate) fn tail(&self) -> String {
        String::from_utf8_lossy(&self.tail).into_owned()
    }
}

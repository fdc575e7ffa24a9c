//! What is to be run: a program, the folders it may see, and where its streams go.

use std::collections::BTreeMap;
use std::ffi::OsString;
use std::fmt;
use std::fs::File;
use std::io::Write;
use std::path::{Component, Path, PathBuf};

use crate::{Limits, SandboxError};

/// A folder or file of the node that is visible inside.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Mount {
    /// Where it lies on the node.
    pub outside: PathBuf,
    /// Where the command sees it.
    pub inside: PathBuf,
    /// Whether the command may change it.
    pub writable: bool,
}

impl Mount {
    /// A folder or file that the command may only read.
    pub fn read_only(outside: impl Into<PathBuf>, inside: impl Into<PathBuf>) -> Self {
        Self {
            outside: outside.into(),
            inside: inside.into(),
            writable: false,
        }
    }

    /// A folder that the command may change; it counts towards the folder limits.
    pub fn writable(outside: impl Into<PathBuf>, inside: impl Into<PathBuf>) -> Self {
        Self {
            outside: outside.into(),
            inside: inside.into(),
            writable: true,
        }
    }
}

/// Standard input.
#[derive(Debug)]
pub enum Input {
    /// Nothing.
    Null,
    /// The file's content, through a pipe: a file descriptor of the node handed inside could be opened
    /// again for writing through `/proc/self/fd`.
    File(File),
}

/// Standard output or error.
pub enum Output {
    /// Thrown away, and not counted.
    Null,
    /// Written to this file, which must lie in a writable folder of the command; bounded by
    /// [`Limits::file_bytes`].
    File(File),
    /// Handed over piece by piece, bounded by [`Limits::printed_bytes`]. While a write blocks, so does
    /// the command, and its limits are not looked at.
    Sink(Box<dyn Write + Send>),
}

impl fmt::Debug for Output {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Null => "Null",
            Self::File(_) => "File",
            Self::Sink(_) => "Sink",
        })
    }
}

/// A command to run in a sandbox.
#[derive(Debug)]
pub struct Command {
    pub(crate) program: OsString,
    pub(crate) arguments: Vec<OsString>,
    pub(crate) environment: BTreeMap<OsString, OsString>,
    pub(crate) folder: PathBuf,
    pub(crate) mounts: Vec<Mount>,
    pub(crate) stdin: Input,
    pub(crate) stdout: Output,
    pub(crate) stderr: Output,
    pub(crate) limits: Limits,
}

impl Command {
    /// `program`, looked up in the `PATH` inside, started in `folder` (a path inside, below one of the
    /// mounts). The environment holds only what is set here, and `PATH`, `LANG` and `TMPDIR`.
    pub fn new(program: impl Into<OsString>, folder: impl Into<PathBuf>, limits: Limits) -> Self {
        let environment = [
            (
                "PATH",
                "/usr/local/bin:/usr/bin:/bin:/usr/local/sbin:/usr/sbin:/sbin",
            ),
            ("LANG", "C.UTF-8"),
            ("TMPDIR", "/tmp"),
        ];
        Self {
            program: program.into(),
            arguments: Vec::new(),
            environment: environment
                .map(|(name, value)| (name.into(), value.into()))
                .into(),
            folder: folder.into(),
            mounts: Vec::new(),
            stdin: Input::Null,
            stdout: Output::Null,
            stderr: Output::Null,
            limits,
        }
    }

    /// Adds arguments.
    #[must_use]
    pub fn args<A: Into<OsString>>(mut self, arguments: impl IntoIterator<Item = A>) -> Self {
        self.arguments.extend(arguments.into_iter().map(Into::into));
        self
    }

    /// Sets a variable of the environment.
    #[must_use]
    pub fn env(mut self, name: impl Into<OsString>, value: impl Into<OsString>) -> Self {
        self.environment.insert(name.into(), value.into());
        self
    }

    /// Makes a folder or file visible. Later mounts may lie within earlier ones.
    #[must_use]
    pub fn mount(mut self, mount: Mount) -> Self {
        self.mounts.push(mount);
        self
    }

    /// Sets standard input.
    #[must_use]
    pub fn stdin(mut self, stdin: Input) -> Self {
        self.stdin = stdin;
        self
    }

    /// Sets standard output.
    #[must_use]
    pub fn stdout(mut self, stdout: Output) -> Self {
        self.stdout = stdout;
        self
    }

    /// Sets standard error.
    #[must_use]
    pub fn stderr(mut self, stderr: Output) -> Self {
        self.stderr = stderr;
        self
    }

    pub(crate) fn check(&self) -> Result<(), SandboxError> {
        self.mounts.iter().try_for_each(|mount| {
            check_inside(&mount.inside)?;
            if mount.outside.is_absolute() {
                return Ok(());
            }
            Err(SandboxError::BadPath {
                path: mount.outside.clone(),
                why: "a mount needs an absolute path on the node",
            })
        })?;
        check_inside(&self.folder)?;
        let visible = |mount: &Mount| self.folder.starts_with(&mount.inside);
        if self.folder == Path::new("/tmp") || self.mounts.iter().any(visible) {
            return Ok(());
        }
        Err(SandboxError::BadPath {
            path: self.folder.clone(),
            why: "the command starts in a folder that is not mounted",
        })
    }
}

/// Places that the sandbox lays out itself; a mount there could undo what protects the node.
const RESERVED: [&str; 9] = [
    "/proc", "/dev", "/sys", "/usr", "/bin", "/sbin", "/lib", "/lib64", "/etc",
];

fn check_inside(path: &Path) -> Result<(), SandboxError> {
    let bad = |why| {
        Err(SandboxError::BadPath {
            path: path.to_owned(),
            why,
        })
    };
    let plain = |part: Component<'_>| matches!(part, Component::RootDir | Component::Normal(_));
    if !path.is_absolute() || !path.components().all(plain) {
        return bad("a path inside must be absolute and without `..`");
    }
    if path == Path::new("/") || RESERVED.iter().any(|place| path.starts_with(place)) {
        return bad("this place belongs to the system");
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn starting_in(folder: &str, mount: Mount) -> Result<(), SandboxError> {
        Command::new("true", folder, Limits::default())
            .mount(mount)
            .check()
    }

    #[test]
    fn a_mount_over_the_system_or_out_of_a_folder_is_refused() {
        for inside in [
            "/",
            "/proc/sys",
            "/usr",
            "/etc/passwd",
            "/work/../etc",
            "work",
        ] {
            let mount = Mount::writable("/srv/work", inside);
            assert!(starting_in(inside, mount).is_err(), "{inside}");
        }
    }

    #[test]
    fn a_command_starts_in_a_folder_it_can_see() {
        let mount = || Mount::writable("/srv/work", "/work");
        assert!(starting_in("/work/a", mount()).is_ok());
        assert!(starting_in("/tmp", mount()).is_ok());
        assert!(starting_in("/other", mount()).is_err());
    }
}

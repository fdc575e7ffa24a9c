//! What a command in the sandbox can and cannot do, tried with real commands.

#![expect(clippy::unwrap_used, reason = "a test fails by panicking")]

use std::path::Path;
use std::sync::OnceLock;
use std::time::{Duration, Instant};

use oc_sandbox::{Cancel, Command, Limits, Mount, Outcome, Output, Sandbox, SandboxError};

mod isolation;
mod lifetime;
mod limits;
mod streams;

/// The machine's sandbox; without one no test here can say anything.
fn sandbox() -> &'static Sandbox {
    static SANDBOX: OnceLock<Sandbox> = OnceLock::new();
    SANDBOX.get_or_init(|| {
        Sandbox::find().unwrap_or_else(|error| {
            panic!("these tests need bubblewrap 0.8 or newer; `./run test` installs it: {error}")
        })
    })
}

fn sandbox_without_groups() -> &'static Sandbox {
    static SANDBOX: OnceLock<Sandbox> = OnceLock::new();
    SANDBOX.get_or_init(|| Sandbox::find_without_groups().expect("bubblewrap works without groups"))
}

fn limits() -> Limits {
    Limits {
        wall: Duration::from_secs(20),
        memory: 256 << 20,
        processes: 64,
        tmp_bytes: 8 << 20,
        folder_bytes: 64 << 20,
        file_bytes: 32 << 20,
        printed_bytes: 1 << 20,
        ..Limits::default()
    }
}

/// A shell script that starts in `/work`, which is `folder`.
fn script(folder: &Path, text: &str, limits: Limits) -> Command {
    Command::new("/bin/sh", "/work", limits)
        .args(["-c", text])
        .mount(Mount::writable(folder, "/work"))
}

struct Said {
    outcome: Outcome,
    stdout: String,
    stderr: String,
}

fn run_in(sandbox: &Sandbox, command: Command) -> Result<Said, SandboxError> {
    let (stdout, stderr) = (streams::Kept::default(), streams::Kept::default());
    let command = command
        .stdout(Output::Sink(Box::new(stdout.clone())))
        .stderr(Output::Sink(Box::new(stderr.clone())));
    let outcome = sandbox.run(command, &Cancel::new().unwrap())?;
    Ok(Said {
        outcome,
        stdout: stdout.text(),
        stderr: stderr.text(),
    })
}

fn run(command: Command) -> Said {
    run_in(sandbox(), command).unwrap()
}

/// Runs a script in a fresh folder with the usual limits.
fn shell(text: &str) -> Said {
    let folder = tempfile::tempdir().unwrap();
    run(script(folder.path(), text, limits()))
}

/// Waits until `predicate` holds; the limit is far beyond what it takes.
fn eventually(what: &str, mut predicate: impl FnMut() -> bool) {
    let since = Instant::now();
    while !predicate() {
        assert!(
            since.elapsed() < Duration::from_secs(20),
            "not within 20 s: {what}"
        );
        std::thread::sleep(Duration::from_millis(10));
    }
}

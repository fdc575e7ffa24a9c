//! Stands in for `oc-step` in tests: runs it, and keeps a copy of the job and the macaroon that it is given, so that
//! a test can try what they open when they should open nothing any more.
//!
//! `oc-overhear FOLDER OC-STEP run JOB`, the macaroon on standard input. It dies with its node as `oc-step` does.
#![expect(clippy::print_stderr, reason = "a command line program")]

use std::io::{self, BufRead as _, Write as _};
use std::path::Path;
use std::process::{Command, ExitCode, Stdio};

use nix::sys::prctl::set_pdeathsig;
use nix::sys::signal::Signal;

fn main() -> ExitCode {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let [folder, program, run, job] = arguments.as_slice() else {
        eprintln!("usage: oc-overhear FOLDER OC-STEP run JOB");
        return ExitCode::from(2);
    };
    match pass_on(Path::new(folder), program, [run, job]) {
        Ok(code) => code,
        Err(error) => {
            eprintln!("oc-overhear: {error}");
            ExitCode::FAILURE
        }
    }
}

fn pass_on(folder: &Path, program: &str, arguments: [&String; 2]) -> io::Result<ExitCode> {
    set_pdeathsig(Signal::SIGKILL)?;
    let mut macaroon = String::new();
    io::stdin().lock().read_line(&mut macaroon)?;
    let job = Path::new(arguments[1]);
    let attempt = job.parent().and_then(Path::file_name).unwrap_or_default();
    let copy = folder.join(attempt);
    std::fs::copy(job, copy.with_extension("json"))?;
    std::fs::write(copy.with_extension("macaroon"), &macaroon)?;
    let mut step = Command::new(program)
        .args(arguments)
        .stdin(Stdio::piped())
        .spawn()?;
    let mut lifeline = step.stdin.take();
    if let Some(line) = &mut lifeline {
        line.write_all(macaroon.as_bytes())?;
    }
    // The end of our own standard input is passed on, and nothing else comes there.
    std::thread::spawn(move || {
        let _ = io::copy(&mut io::stdin().lock(), &mut io::sink());
        drop(lifeline);
    });
    let status = step.wait()?;
    let code = status.code().and_then(|code| u8::try_from(code).ok());
    Ok(ExitCode::from(code.unwrap_or(1)))
}

//! That nothing outlives what started it.

use std::fs;
use std::io::{BufRead, BufReader, Write};
use std::os::unix::process::ExitStatusExt;
use std::process::{Command as Process, Stdio};
use std::time::Duration;

use oc_sandbox::{Cancel, Command, End, Limits};

use crate::{eventually, limits, sandbox, sandbox_without_groups, script};

/// True while some process on this machine has these words in its command line.
fn is_running(words: &str) -> bool {
    let wanted = words.replace(' ', "\0");
    let processes = fs::read_dir("/proc").unwrap().flatten();
    processes
        .filter_map(|entry| fs::read(entry.path().join("cmdline")).ok())
        .any(|line| line.starts_with(wanted.as_bytes()))
}

fn unique_sleep(number: u32) -> String {
    format!("sleep {}.{number}", 100_000 + std::process::id())
}

#[test]
fn cancelling_ends_the_whole_tree() {
    for (number, sandbox) in [(1, sandbox()), (2, sandbox_without_groups())] {
        let folder = tempfile::tempdir().unwrap();
        let sleep = unique_sleep(number);
        let text = format!("setsid {sleep} & (trap '' TERM INT; {sleep} & wait) & wait");
        let cancel = Cancel::new().unwrap();
        let outcome = std::thread::scope(|scope| {
            let running =
                scope.spawn(|| sandbox.run(script(folder.path(), &text, limits()), &cancel));
            eventually("the sleeps run", || is_running(&sleep));
            cancel.cancel();
            running.join().unwrap().unwrap()
        });
        assert_eq!(outcome.end, End::Cancelled);
        assert!(!is_running(&sleep), "a sleep is left");
    }
}

#[test]
fn a_command_started_with_a_cancelled_switch_ends_at_once() {
    let folder = tempfile::tempdir().unwrap();
    let cancel = Cancel::new().unwrap();
    cancel.cancel();
    let outcome = sandbox().run(script(folder.path(), "sleep 1000", limits()), &cancel);
    assert_eq!(outcome.unwrap().end, End::Cancelled);
}

#[test]
fn background_processes_end_with_the_command() {
    let folder = tempfile::tempdir().unwrap();
    let sleep = unique_sleep(3);
    let text = format!("setsid {sleep} & exit 3");
    let outcome = sandbox().run(
        script(folder.path(), &text, limits()),
        &Cancel::new().unwrap(),
    );
    assert_eq!(outcome.unwrap().end, End::Exit(3));
    assert!(!is_running(&sleep), "the sleep is left");
}

#[test]
fn a_command_ended_by_a_signal_says_so() {
    let folder = tempfile::tempdir().unwrap();
    let outcome = sandbox().run(
        script(folder.path(), "kill -TERM $$", limits()),
        &Cancel::new().unwrap(),
    );
    let outcome = outcome.unwrap();
    assert_eq!(outcome.end, End::Signal(15));
    assert_eq!(outcome.exit_code(), Some(143));
}

const SLEEP_IN: &str = "OC_SANDBOX_TEST_SLEEP";

/// Not a test by itself: the parent that the next test kills.
#[test]
#[ignore = "the next test runs it as a process of its own"]
fn parent_that_is_killed() {
    let Ok(sleep) = std::env::var(SLEEP_IN) else {
        return;
    };
    let folder = tempfile::tempdir().unwrap();
    let command = script(
        folder.path(),
        &format!("setsid {sleep} & {sleep}"),
        limits(),
    );
    let _never = sandbox().run(command, &Cancel::new().unwrap());
}

#[test]
fn the_sandbox_dies_with_a_parent_that_is_killed() {
    let sleep = unique_sleep(4);
    let mut parent = Process::new(std::env::current_exe().unwrap())
        .args(["--exact", "lifetime::parent_that_is_killed", "--ignored"])
        .env(SLEEP_IN, &sleep)
        .stdout(Stdio::null())
        .spawn()
        .unwrap();
    eventually("the sleep runs", || is_running(&sleep));
    parent.kill().unwrap();
    assert_eq!(parent.wait().unwrap().signal(), Some(9));
    eventually("the sleep is gone", || !is_running(&sleep));
}

#[test]
fn a_command_with_pipes_answers_until_its_input_closes() {
    let command = Command::new("cat", "/tmp", limits());
    let mut child = sandbox().spawn(command, &Cancel::new().unwrap()).unwrap();
    let mut answers = BufReader::new(child.stdout.try_clone().unwrap()).lines();
    for question in ["one", "two"] {
        writeln!(child.stdin.as_mut().unwrap(), "{question}").unwrap();
        assert_eq!(answers.next().unwrap().unwrap(), question);
    }
    assert_eq!(child.wait().unwrap().end, End::Exit(0));
}

#[test]
fn a_command_with_pipes_outlives_the_thread_that_started_it_but_not_its_handle() {
    let sleep = unique_sleep(5);
    let command = Command::new("sleep", "/tmp", limits()).args([&sleep["sleep ".len()..]]);
    let start = || sandbox().spawn(command, &Cancel::new().unwrap()).unwrap();
    let child = std::thread::scope(|scope| scope.spawn(start).join().unwrap());
    eventually("the sleep runs", || is_running(&sleep));
    drop(child);
    assert!(!is_running(&sleep));
}

#[test]
fn a_command_with_pipes_is_limited_too() {
    let wall = Duration::from_millis(200);
    let command = Command::new("cat", "/tmp", Limits { wall, ..limits() });
    let child = sandbox().spawn(command, &Cancel::new().unwrap()).unwrap();
    let mut answers = BufReader::new(child.stdout.try_clone().unwrap());
    assert_eq!(
        answers.read_line(&mut String::new()).unwrap(),
        0,
        "closed at the limit"
    );
    assert!(child.wait().unwrap().timed_out());
}

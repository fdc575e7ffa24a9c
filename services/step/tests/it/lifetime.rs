//! That an attempt ends with whatever started it.

use std::fs;
use std::io::{BufReader, Write};
use std::path::Path;
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use oc_runner::{End, Event};
use serde_json::json;

use crate::bench::{Running, bench, shell};
use crate::fake_node::MACAROON;

/// Processes whose command line names this folder.
fn processes_of(folder: &Path) -> usize {
    let needle = folder.to_str().unwrap().as_bytes();
    let processes = fs::read_dir("/proc").unwrap().flatten();
    processes
        .filter_map(|entry| fs::read(entry.path().join("cmdline")).ok())
        .filter(|line| line.windows(needle.len()).any(|window| window == needle))
        .count()
}

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

fn until_a_tool_prints(running: &mut Running) {
    loop {
        match running.next() {
            Some(Event::Log { .. }) => return,
            Some(Event::Ended { report }) => panic!("{report:?}"),
            Some(_) => {}
            None => panic!("no more events"),
        }
    }
}

#[test]
fn the_end_of_standard_input_stops_everything() {
    let bench = bench();
    let mut running = bench.start(&shell("echo begun; sleep 1000"), json!({}));
    until_a_tool_prints(&mut running);
    assert!(processes_of(&bench.folder()) > 0);
    drop(running.process.stdin.take());
    let told = running.finish();
    assert_eq!(told.report.end, End::Stopped);
    assert_eq!(processes_of(&bench.folder()), 0);
}

#[test]
fn a_runner_that_is_killed_leaves_no_process() {
    let bench = bench();
    let mut running = bench.start(
        &shell("echo begun; setsid sleep 1000 & sleep 1000"),
        json!({}),
    );
    until_a_tool_prints(&mut running);
    running.process.kill().unwrap();
    running.process.wait().unwrap();
    eventually("its tools are gone", || processes_of(&bench.folder()) == 0);
}

#[test]
fn a_runner_dies_with_its_parent_even_while_its_standard_input_is_open() {
    let bench = bench();
    let job = bench.job(&shell("echo begun; sleep 1000"), json!({}));
    let mut parent = Command::new("sh")
        .args(["-c", r#"exec 3<&0; "$0" run "$1" <&3 & wait"#])
        .arg(env!("CARGO_BIN_EXE_oc-step"))
        .arg(&job)
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .spawn()
        .unwrap();
    writeln!(parent.stdin.as_mut().unwrap(), "{MACAROON}").unwrap();
    let events = BufReader::new(parent.stdout.take().unwrap());
    let mut running = Running {
        process: parent,
        events,
    };
    until_a_tool_prints(&mut running);
    let _kept_open = running.process.stdin.take();
    running.process.kill().unwrap();
    running.process.wait().unwrap();
    eventually("the runner and its tools are gone", || {
        processes_of(bench.folder.path()) == 0
    });
}

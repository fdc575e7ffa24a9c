//! Standard input, output and error.

use std::fs::{self, File};
use std::io::{self, Write};
use std::sync::{Arc, Mutex};

use oc_sandbox::{End, Input};

use crate::{limits, run, script, shell};

/// A sink that keeps everything.
#[derive(Clone, Default)]
pub(crate) struct Kept(Arc<Mutex<Vec<u8>>>);

impl Kept {
    pub(crate) fn text(&self) -> String {
        String::from_utf8_lossy(&self.0.lock().unwrap()).into_owned()
    }
}

impl Write for Kept {
    fn write(&mut self, piece: &[u8]) -> io::Result<usize> {
        self.0.lock().unwrap().write(piece)
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

#[test]
fn both_streams_arrive_whole_and_apart() {
    let said = shell("seq 1 20000; seq 20001 40000 >&2");
    let numbers = |range: std::ops::RangeInclusive<u32>| -> String {
        range.map(|n| format!("{n}\n")).collect()
    };
    assert_eq!(said.stdout, numbers(1..=20000));
    assert_eq!(said.stderr, numbers(20001..=40000));
    let printed = said.stdout.len() + said.stderr.len();
    assert_eq!(said.outcome.usage.printed, printed as u64);
}

#[test]
fn standard_input_is_the_file_but_gives_no_way_to_change_it() {
    let folder = tempfile::tempdir().unwrap();
    let outside = tempfile::tempdir().unwrap();
    let path = outside.path().join("input");
    fs::write(&path, vec![b'x'; 3_000_000]).unwrap();
    let text = "wc -c; echo changed > /proc/self/fd/0; chmod 777 /proc/self/fd/0; true";
    let command =
        script(folder.path(), text, limits()).stdin(Input::File(File::open(&path).unwrap()));
    let said = run(command);
    assert_eq!(said.stdout.trim(), "3000000");
    assert_eq!(fs::read(&path).unwrap(), vec![b'x'; 3_000_000]);
}

#[test]
fn input_that_nobody_reads_is_no_failure() {
    let folder = tempfile::tempdir().unwrap();
    let input = tempfile::tempfile().unwrap();
    input.set_len(10_000_000).unwrap();
    let command = script(folder.path(), "exit 4", limits()).stdin(Input::File(input));
    assert_eq!(run(command).outcome.end, End::Exit(4));
}

#[test]
fn standard_input_is_empty_when_nothing_is_given() {
    assert_eq!(shell("wc -c").stdout.trim(), "0");
}

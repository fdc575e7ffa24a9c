//! A node with an attempt to start, and everything that an attempt tells.

use std::fs;
use std::io::{BufRead, BufReader, Write};
use std::path::PathBuf;
use std::process::{Child, ChildStdout, Command, Stdio};

use oc_runner::{End, Event, Input, Job, Limits, Report};
use serde_json::{Value, json};

use crate::fake_node::{FakeNode, MACAROON};

pub(crate) const MIB: u64 = 1 << 20;

/// A node with an attempt to start.
pub(crate) struct Bench {
    pub(crate) folder: tempfile::TempDir,
    pub(crate) fake: FakeNode,
    pub(crate) address: String,
    pub(crate) limits: Limits,
    pub(crate) inputs: Vec<Input>,
    _runtime: tokio::runtime::Runtime,
}

/// An attempt under way.
pub(crate) struct Running {
    pub(crate) process: Child,
    pub(crate) events: BufReader<ChildStdout>,
}

/// Everything that an attempt told.
pub(crate) struct Told {
    pub(crate) events: Vec<Event>,
    pub(crate) report: Report,
}

pub(crate) fn bench() -> Bench {
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .worker_threads(1)
        .enable_all()
        .build()
        .unwrap();
    let fake = FakeNode::default();
    let address = runtime.block_on(fake.serve());
    Bench {
        folder: tempfile::tempdir().unwrap(),
        fake,
        address,
        limits: Limits {
            cores: 2,
            memory_bytes: 512 * MIB,
            wall_ms: 30_000,
            output_bytes: 10 * MIB,
            log_bytes: 10_000,
            disk_bytes: 100 * MIB,
        },
        inputs: Vec::new(),
        _runtime: runtime,
    }
}

impl Bench {
    pub(crate) fn input(&mut self, name: &str, basename: &str, text: &str) {
        let input = self.fake.keep(name, basename, text.as_bytes());
        self.inputs.push(input);
    }

    pub(crate) fn folder(&self) -> PathBuf {
        self.folder.path().join("attempt")
    }

    pub(crate) fn job(&self, document: &Value, order: Value) -> PathBuf {
        let Value::Object(order) = order else {
            unreachable!()
        };
        fs::create_dir(self.folder()).unwrap();
        let job = Job {
            document: document.to_string(),
            order,
            inputs: self.inputs.clone(),
            limits: self.limits,
            node: self.address.clone(),
            folder: self.folder(),
        };
        let path = self.folder.path().join("job.json");
        fs::write(&path, serde_json::to_vec(&job).unwrap()).unwrap();
        path
    }

    pub(crate) fn start(&self, document: &Value, order: Value) -> Running {
        let path = self.job(document, order);
        let mut process = Command::new(env!("CARGO_BIN_EXE_oc-step"))
            .arg("run")
            .arg(&path)
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()
            .unwrap();
        writeln!(process.stdin.as_mut().unwrap(), "{MACAROON}").unwrap();
        let events = BufReader::new(process.stdout.take().unwrap());
        Running { process, events }
    }

    pub(crate) fn run(&self, document: &Value, order: Value) -> Told {
        self.start(document, order).finish()
    }

    pub(crate) fn stored(&self, name: &str) -> String {
        String::from_utf8(self.fake.shelf().stored[name].clone()).unwrap()
    }
}

impl Running {
    pub(crate) fn next(&mut self) -> Option<Event> {
        let mut line = String::new();
        self.events.read_line(&mut line).unwrap();
        (!line.is_empty()).then(|| serde_json::from_str(&line).unwrap())
    }

    pub(crate) fn finish(mut self) -> Told {
        let mut events = Vec::new();
        while let Some(event) = self.next() {
            events.push(event);
        }
        assert!(self.process.wait().unwrap().success());
        match events.pop() {
            Some(Event::Ended { report }) => Told { events, report },
            last => panic!("the last event is {last:?}"),
        }
    }
}

impl Told {
    pub(crate) fn outputs(&self) -> &Value {
        match &self.report.end {
            End::Succeeded { outputs } => outputs,
            other => panic!("{other:?} after {:?}", self.events),
        }
    }

    pub(crate) fn failure(&self) -> (&str, &str, Option<i32>) {
        match &self.report.end {
            End::Failed {
                step,
                message,
                exit_code,
                ..
            } => (step, message, *exit_code),
            other => panic!("{other:?}"),
        }
    }

    /// The word of a failure for programs.
    pub(crate) fn code(&self) -> &str {
        match &self.report.end {
            End::Failed { code, .. } => code,
            other => panic!("{other:?}"),
        }
    }

    pub(crate) fn log(&self) -> Vec<&str> {
        fn text(event: &Event) -> Option<&str> {
            match event {
                Event::Log { text, .. } => Some(text),
                _ => None,
            }
        }
        self.events.iter().filter_map(text).collect()
    }
}

/// A tool that runs a shell script; its outputs are all files of the work folder.
pub(crate) fn shell(script: &str) -> Value {
    json!({
        "cwlVersion": "v1.2", "class": "CommandLineTool",
        "baseCommand": ["sh", "-c", script], "inputs": [],
        "outputs": {"files": {"type": "File[]", "outputBinding": {"glob": "*"}}},
    })
}

//! A node's routes over real sockets, with a shelf behind them that knows one macaroon, and a runtime.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::{Arc, Mutex, OnceLock};

use async_trait::async_trait;
use bytes::Bytes;
use futures::{StreamExt as _, TryStreamExt as _};
use oc_kernel::{
    AttemptId, Digest, FragmentId, LeaseId, Name, ObjectKey, OrgId, RunId, SystemClock,
};
use serde_json::{Value, json};
use tokio::sync::mpsc;

use crate::domain::attempt::AttemptKey;
use crate::domain::resources::Resources;
use crate::domain::runtime::{
    AttemptEvent, AttemptLimits, AttemptReport, AttemptSpec, Event, InputObject, OutputPrefix,
    Role, Runtime,
};
use crate::domain::step::{
    ByteStream, InputStream, StepAttempt, StepError, StepObjects, UploadState,
};
use crate::runtime::process::{ProcessRuntime, ProcessSettings};
use crate::runtime::routes;

pub(super) const MACAROON: &str = "of-this-attempt";

/// The runner, built if this is the first test to want it.
pub(super) fn runner() -> PathBuf {
    static RUNNER: OnceLock<PathBuf> = OnceLock::new();
    RUNNER
        .get_or_init(|| {
            let own = std::env::current_exe().unwrap();
            let runner = own.ancestors().nth(2).unwrap().join("oc-step");
            if !runner.is_file() {
                let built = Command::new(env!("CARGO"))
                    .args(["build", "--quiet", "--package", "oc-step"])
                    .status();
                assert!(built.unwrap().success(), "oc-step does not build");
            }
            runner
        })
        .clone()
}

/// Objects of one attempt.
#[derive(Default)]
pub(super) struct Shelf {
    pub(super) attempt: Mutex<Option<StepAttempt>>,
    pub(super) inputs: BTreeMap<String, Bytes>,
    pub(super) announced: Mutex<BTreeMap<ObjectKey, Digest>>,
    pub(super) stored: Mutex<BTreeMap<ObjectKey, Bytes>>,
    pub(super) offsets: Mutex<Vec<u64>>,
}

impl Shelf {
    fn check(&self, attempt: StepAttempt, macaroon: &str) -> Result<(), StepError> {
        if macaroon != MACAROON {
            return Err(StepError::Unauthenticated("it is forged".into()));
        }
        match *self.attempt.lock().unwrap() {
            Some(own) if own == attempt => Ok(()),
            _ => Err(StepError::Forbidden("another attempt's objects".into())),
        }
    }
}

#[async_trait]
impl StepObjects for Shelf {
    async fn read_input(
        &self,
        attempt: StepAttempt,
        macaroon: &str,
        name: &Name,
        offset: u64,
    ) -> Result<InputStream, StepError> {
        self.check(attempt, macaroon)?;
        self.offsets.lock().unwrap().push(offset);
        let bytes = self.inputs.get(name.as_str());
        let bytes = bytes
            .ok_or_else(|| StepError::NotFound(format!("no object `{name}` in this attempt")))?;
        let from = usize::try_from(offset).unwrap().min(bytes.len());
        let rest = bytes.slice(from..);
        Ok(InputStream {
            length: bytes.len() as u64,
            sha256: Digest::of(bytes),
            bytes: futures::stream::iter([Ok(rest)]).boxed(),
        })
    }

    async fn request_upload(
        &self,
        attempt: StepAttempt,
        macaroon: &str,
        name: &ObjectKey,
        _length: u64,
        sha256: Digest,
    ) -> Result<UploadState, StepError> {
        self.check(attempt, macaroon)?;
        self.announced.lock().unwrap().insert(name.clone(), sha256);
        Ok(UploadState::Wanted)
    }

    async fn upload(
        &self,
        attempt: StepAttempt,
        macaroon: &str,
        name: &ObjectKey,
        body: ByteStream,
    ) -> Result<UploadState, StepError> {
        self.check(attempt, macaroon)?;
        let pieces: Vec<Bytes> = body.try_collect().await?;
        let bytes = Bytes::from(pieces.concat());
        let announced = self.announced.lock().unwrap().get(name).copied();
        if announced != Some(Digest::of(&bytes)) {
            return Err(StepError::Conflict("these bytes were not announced".into()));
        }
        self.stored.lock().unwrap().insert(name.clone(), bytes);
        Ok(UploadState::Stored)
    }
}

/// A node's routes and its runtime.
pub(super) struct Bench {
    pub(super) folder: tempfile::TempDir,
    pub(super) shelf: Arc<Shelf>,
    pub(super) address: String,
    pub(super) runtime: ProcessRuntime,
}

pub(super) async fn bench_with(inputs: &[(&str, &str)]) -> Bench {
    let inputs = inputs
        .iter()
        .map(|(name, text)| ((*name).to_owned(), Bytes::from((*text).to_owned())));
    let shelf = Arc::new(Shelf {
        inputs: inputs.collect(),
        ..Shelf::default()
    });
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = format!("http://{}", listener.local_addr().unwrap());
    let (router, _openapi) = routes::router(shelf.clone()).split_for_parts();
    tokio::spawn(async move { axum::serve(listener, router).await });
    let folder = tempfile::tempdir().unwrap();
    let runtime = open(folder.path(), &address);
    Bench {
        folder,
        shelf,
        address,
        runtime,
    }
}

pub(super) async fn bench() -> Bench {
    bench_with(&[]).await
}

pub(super) fn open(folder: &Path, address: &str) -> ProcessRuntime {
    let settings = ProcessSettings {
        runner: runner(),
        ..ProcessSettings::default()
    };
    open_with(&settings, folder, address)
}

pub(super) fn open_with(
    settings: &ProcessSettings,
    folder: &Path,
    address: &str,
) -> ProcessRuntime {
    let root = folder.join("attempts");
    ProcessRuntime::open(settings, &root, address, Arc::new(SystemClock)).unwrap()
}

pub(super) fn spec(document: &Value, order: &Value, inputs: Vec<InputObject>) -> AttemptSpec {
    let owner = OrgId::from_digest([7; 32]);
    AttemptSpec {
        key: AttemptKey {
            org: owner,
            run: RunId::new(),
            fragment: FragmentId::new(),
            attempt: AttemptId::new(),
        },
        lease: LeaseId::new(),
        grant: None,
        document: document.to_string(),
        job: order.to_string(),
        inputs,
        output: OutputPrefix {
            owner,
            listing: Some("storage.results".parse().unwrap()),
            prefix: "a/b".parse().unwrap(),
        },
        limits: AttemptLimits {
            resources: Resources {
                cores: 1,
                memory_bytes: 512 << 20,
            },
            wall_ms: 30_000,
            output_bytes: 1 << 20,
            log_bytes: 10_000,
        },
        macaroon: MACAROON.into(),
    }
}

pub(super) fn input(name: &str, text: &str) -> InputObject {
    InputObject {
        name: name.parse().unwrap(),
        basename: format!("{name}.txt"),
        owner: OrgId::from_digest([9; 32]),
        role: Role::Data,
        object: "some/key".parse().unwrap(),
        reservation: None,
        sha256: Digest::of(text.as_bytes()),
        length: text.len() as u64,
    }
}

pub(super) fn shell(script: &str) -> AttemptSpec {
    let tool = json!({
        "cwlVersion": "v1.2", "class": "CommandLineTool", "baseCommand": ["sh", "-c", script],
        "inputs": [], "outputs": {"files": {"type": "File[]", "outputBinding": {"glob": "*"}}},
    });
    spec(&tool, &json!({}), Vec::new())
}

impl Bench {
    pub(super) async fn start(&self, spec: AttemptSpec) -> mpsc::Receiver<AttemptEvent> {
        let AttemptKey {
            fragment, attempt, ..
        } = spec.key;
        *self.shelf.attempt.lock().unwrap() = Some(StepAttempt { fragment, attempt });
        let (sender, events) = mpsc::channel(16);
        self.runtime.start(spec, sender).await.unwrap();
        events
    }

    pub(super) async fn run(&self, spec: AttemptSpec) -> (Vec<Event>, AttemptReport) {
        finish(self.start(spec).await).await
    }

    /// The process of the only runner that is at work here.
    pub(super) fn runner_pid(&self) -> i32 {
        let root = self.folder.path().join("attempts").canonicalize().unwrap();
        let wanted = format!("run\0{}", root.display());
        let runner = std::fs::read_dir("/proc").unwrap().flatten().find(|entry| {
            std::fs::read(entry.path().join("cmdline"))
                .is_ok_and(|line| String::from_utf8_lossy(&line).contains(&wanted))
        });
        runner
            .unwrap()
            .file_name()
            .to_str()
            .unwrap()
            .parse()
            .unwrap()
    }

    pub(super) fn attempt_folders(&self) -> usize {
        std::fs::read_dir(self.folder.path().join("attempts"))
            .unwrap()
            .count()
    }
}

pub(super) async fn finish(
    mut events: mpsc::Receiver<AttemptEvent>,
) -> (Vec<Event>, AttemptReport) {
    let mut all = Vec::new();
    while let Some(AttemptEvent { event, .. }) = events.recv().await {
        match event {
            Event::Ended(report) => {
                assert!(events.recv().await.is_none(), "nothing follows the end");
                return (all, report);
            }
            event => all.push(event),
        }
    }
    panic!("no end after {all:?}")
}

/// The first line that its tools print.
pub(super) async fn until_it_prints(events: &mut mpsc::Receiver<AttemptEvent>) -> String {
    loop {
        match events.recv().await.expect("it ended early").event {
            Event::Log(line) => return line.text,
            Event::Ended(report) => panic!("{report:?}"),
            _ => {}
        }
    }
}

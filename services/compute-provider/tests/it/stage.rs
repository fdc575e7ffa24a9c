//! A runtime whose attempts do what the test says.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex};

use async_trait::async_trait;
use oc_compute_provider::domain::attempt::AttemptKey;
use oc_compute_provider::domain::resources::Resources;
use oc_compute_provider::domain::runtime::{
    AttemptEvent, AttemptReport, AttemptSpec, End, Event, LogLine, Measured, Phase, Runtime,
    RuntimeError, SandboxReport,
};
use oc_kernel::{AttemptId, Clock as _};
use tokio::sync::mpsc;

use crate::world::{World, eventually};

type Playing = (AttemptSpec, mpsc::Sender<AttemptEvent>);

/// Attempts on a stage.
#[derive(Clone)]
pub(crate) struct Stage {
    world: World,
    sandbox: SandboxReport,
    playing: Arc<Mutex<BTreeMap<AttemptKey, Playing>>>,
    started: Arc<Mutex<Vec<AttemptId>>>,
    stopped: Arc<Mutex<Vec<AttemptId>>>,
    swept: Arc<Mutex<Vec<AttemptId>>>,
}

impl Stage {
    pub(crate) fn new(world: &World) -> Self {
        Self {
            world: world.clone(),
            sandbox: SandboxReport {
                isolated: true,
                limits_by: "cgroup2".into(),
                containers: false,
                missing: None,
            },
            playing: Arc::default(),
            started: Arc::default(),
            stopped: Arc::default(),
            swept: Arc::default(),
        }
    }

    pub(crate) fn without_sandbox(mut self) -> Self {
        self.sandbox.isolated = false;
        self.sandbox.missing = Some("install bubblewrap".into());
        self
    }

    /// Waits until an attempt runs; what it was started with.
    pub(crate) async fn runs(&self, attempt: AttemptId) -> AttemptSpec {
        eventually(async || self.find(attempt).is_some()).await;
        self.find(attempt).unwrap().0
    }

    pub(crate) fn is_running(&self, attempt: AttemptId) -> bool {
        self.find(attempt).is_some()
    }

    /// How often attempts were started.
    pub(crate) fn starts(&self) -> usize {
        self.started.lock().unwrap().len()
    }

    /// True once the attempt was killed from outside.
    pub(crate) fn was_stopped(&self, attempt: AttemptId) -> bool {
        self.stopped.lock().unwrap().contains(&attempt)
    }

    pub(crate) fn was_swept(&self, attempt: AttemptId) -> bool {
        self.swept.lock().unwrap().contains(&attempt)
    }

    fn find(&self, attempt: AttemptId) -> Option<Playing> {
        let playing = self.playing.lock().unwrap();
        playing
            .iter()
            .find(|(key, _)| key.attempt == attempt)
            .map(|(_, it)| it.clone())
    }

    pub(crate) async fn tell(&self, attempt: AttemptId, event: Event) {
        let (_, events) = self.find(attempt).unwrap();
        let at = self.world.clock.now();
        events.send(AttemptEvent { at, event }).await.unwrap();
    }

    pub(crate) async fn log(&self, attempt: AttemptId, text: &str) {
        let line = LogLine {
            step: "say".into(),
            stderr: false,
            text: text.into(),
        };
        self.tell(attempt, Event::Log(line)).await;
    }

    /// The attempt goes through its parts and ends well.
    pub(crate) async fn succeed(&self, attempt: AttemptId, outputs: &str) {
        for phase in [Phase::Running, Phase::Storing] {
            self.tell(attempt, Event::Phase(phase)).await;
        }
        self.end(
            attempt,
            End::Succeeded {
                outputs: outputs.into(),
            },
        )
        .await;
    }

    pub(crate) async fn end(&self, attempt: AttemptId, end: End) {
        let used = Measured {
            wall_ms: 40,
            cpu_ms: 7,
            peak_memory_bytes: 1000,
            bytes_in: 11,
            bytes_out: 0,
        };
        self.tell(attempt, Event::Ended(AttemptReport { end, used }))
            .await;
        self.vanish(attempt);
    }

    /// The attempt dies without a word.
    pub(crate) fn vanish(&self, attempt: AttemptId) {
        self.playing
            .lock()
            .unwrap()
            .retain(|key, _| key.attempt != attempt);
    }
}

#[async_trait]
impl Runtime for Stage {
    async fn sandbox(&self) -> SandboxReport {
        self.sandbox.clone()
    }

    fn machine(&self) -> Resources {
        Resources {
            cores: 16,
            memory_bytes: 1 << 40,
        }
    }

    async fn start(
        &self,
        spec: AttemptSpec,
        events: mpsc::Sender<AttemptEvent>,
    ) -> Result<(), RuntimeError> {
        self.started.lock().unwrap().push(spec.key.attempt);
        self.playing
            .lock()
            .unwrap()
            .insert(spec.key, (spec, events));
        Ok(())
    }

    async fn stop(&self, attempt: &AttemptKey) -> Result<(), RuntimeError> {
        if self.playing.lock().unwrap().remove(attempt).is_some() {
            self.stopped.lock().unwrap().push(attempt.attempt);
        }
        Ok(())
    }

    async fn running(&self) -> Vec<AttemptKey> {
        self.playing.lock().unwrap().keys().copied().collect()
    }

    async fn sweep(&self, attempt: &AttemptKey) -> Result<(), RuntimeError> {
        self.swept.lock().unwrap().push(attempt.attempt);
        Ok(())
    }
}

//! A run that a test plays: what partners answer goes in, the whole text that people read comes out and is compared with
//! what is checked in below `scenarios`. With `OC_BLESS=1` in the environment the text is written instead.

use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;

use jiff::{SignedDuration, Timestamp};
use oc_kernel::{Classify as _, Code, GrantId, Kind, Money, OrgId, RunId};
use oc_proto::pipeline::v1::watch_run_response::Event as SeenEvent;
use oc_proto::pipeline::v1::{RunLogLine, WatchRunResponse};
use oc_proto::types::v1::Cause as Said;
use oc_service::CallError;
use oc_service::openapi::BLESS;
use oc_workflow::plan::{
    Access, InputData, Placement, Plan, PlanError, Price, Question, Site, Storage, plan,
};
use oc_workflow::run::{
    Action, AttemptRef, AttemptResult, Cause, DataNeed, End, Event, Phase, Policy, Run, code,
};
use oc_workflow::{Needs, Resources, Step, Steps};

use super::{Surroundings, explanation};
use crate::driver::{CallFailure, end_cause};

const GIB: u64 = 1 << 30;

/// The attempt that most plays are about.
pub(super) const FIRST: AttemptRef = attempt(1);

pub(super) const fn attempt(number: u32) -> AttemptRef {
    AttemptRef {
        fragment: 0,
        attempt: number,
    }
}

fn noon() -> Timestamp {
    "2026-11-21T12:00:00Z".parse().unwrap()
}

pub(super) fn ago(seconds: i64) -> Timestamp {
    noon() - SignedDuration::from_secs(seconds)
}

fn north() -> OrgId {
    OrgId::from_digest([1; 32])
}

fn south() -> OrgId {
    OrgId::from_digest([2; 32])
}

fn in_force() -> Access {
    Access::Granted {
        grant: GrantId::new(),
        ends: noon() + SignedDuration::from_hours(48),
    }
}

/// South's machines.
fn machines(access: Access) -> Site {
    let all = Resources {
        cores: 8,
        memory_bytes: 32 * GIB,
    };
    Site {
        org: south(),
        name: "South".to_owned(),
        listing: "compute.machines".parse().unwrap(),
        access,
        silent_since: None,
        limit: all,
        free: all,
        price: Price {
            currency: "EUR".to_owned(),
            core_hour: Money(60_000),
            egress_gib: Money::ZERO,
        },
        software: None,
        containers: false,
        sandbox_missing: None,
        longest_seconds: None,
        core_seconds_left: None,
    }
}

/// Two steps at South on images of South's, into storage of North's.
fn planned(site: Site) -> Result<Plan, PlanError> {
    let step = |id: &str, upstream: &[&str], inputs: &[&str]| Step {
        id: id.to_owned(),
        upstream: upstream.iter().map(|&name| name.to_owned()).collect(),
        inputs: inputs.iter().map(|&name| name.to_owned()).collect(),
        needs: Needs {
            resources: Resources {
                cores: 2,
                memory_bytes: GIB,
            },
            seconds: Some(600),
            width: 1,
            ..Needs::default()
        },
    };
    let images = InputData {
        org: south(),
        name: "South".to_owned(),
        what: "dataset `dataset.sentinel-2`".to_owned(),
        bytes: 8 << 20,
        price: Price::default(),
        access: in_force(),
        under: BTreeSet::new(),
        tools: None,
        egress_left: None,
    };
    let question = Question {
        steps: &Steps {
            steps: vec![
                step("stack", &[], &["images"]),
                step("picture", &["stack"], &[]),
            ],
            outputs: BTreeMap::from([(
                "picture".to_owned(),
                BTreeSet::from(["picture".to_owned()]),
            )]),
        },
        data: &BTreeMap::from([("images".to_owned(), images)]),
        storage: &Storage {
            org: north(),
            name: "North".to_owned(),
            listing: "storage.results".parse().unwrap(),
            access: Access::Own,
        },
        sites: &[site],
        placement: &Placement::default(),
    };
    plan(&question, noon())
}

/// A run that is being played.
pub(super) struct Play {
    run: Run,
    now: Timestamp,
    seen: Vec<WatchRunResponse>,
}

impl Play {
    /// A run that was started at noon.
    pub(super) fn started() -> Self {
        let plan = planned(machines(in_force())).unwrap();
        let data = vec![DataNeed {
            input: "images".to_owned(),
            provider: south(),
            name: "South".to_owned(),
        }];
        let run = Run::new(RunId::new(), north(), plan, data, Policy::default(), noon());
        let mut play = Self {
            run,
            now: noon(),
            seen: Vec::new(),
        };
        play.tell(Event::Tick);
        play
    }

    /// The same with its images reserved: it asks South for capacity.
    pub(super) fn reserved() -> Self {
        let mut play = Self::started();
        play.reserve_data();
        play
    }

    /// The same at work at South.
    pub(super) fn at_work() -> Self {
        let mut play = Self::reserved();
        play.begin(FIRST);
        play
    }

    pub(super) fn tell(&mut self, event: Event) {
        self.run.apply(event, self.now);
    }

    /// Time passes, while South answers nothing.
    pub(super) fn wait(&mut self, seconds: i64) {
        self.now += SignedDuration::from_secs(seconds);
        self.tell(Event::Tick);
    }

    /// Time passes, while South renews what it holds.
    pub(super) fn work(&mut self, at: AttemptRef, seconds: i64) {
        for _ in 0..seconds {
            self.wait(1);
            self.tell(Event::Renewed { at });
            self.reserve_data();
        }
    }

    fn reserve_data(&mut self) {
        let until = self.now + SignedDuration::from_secs(120);
        for action in self.run.outstanding(self.now) {
            let (Action::ReserveData { input, serial } | Action::RenewData { input, serial, .. }) =
                action
            else {
                continue;
            };
            self.tell(Event::DataReserved {
                input,
                serial,
                reservation: "images".to_owned(),
                until,
            });
        }
    }

    /// South takes an attempt, and its tools run.
    pub(super) fn begin(&mut self, at: AttemptRef) {
        let until = self.now + SignedDuration::from_secs(30);
        self.tell(Event::CapacityReserved {
            at,
            reservation: "hold".to_owned(),
            until,
        });
        self.tell(Event::Submitted {
            at,
            lease: "lease".to_owned(),
            life: SignedDuration::from_secs(15),
        });
        for phase in [Phase::Staging, Phase::Running] {
            self.tell(Event::Progress { at, phase });
        }
    }

    /// A call about something fails, as the driver tells it.
    fn fails(&mut self, action: Action, failure: CallFailure) {
        let cause = Cause::new(failure.code, failure.text, south(), self.now);
        self.tell(Event::Trouble {
            action,
            cause,
            lasting: failure.lasting,
        });
    }

    /// South refuses capacity for an attempt.
    pub(super) fn refuses(&mut self, at: AttemptRef, kind: Kind, code: Option<Code>, text: &str) {
        let error = CallError {
            code,
            ..CallError::new(kind, text)
        };
        self.fails(Action::ReserveCapacity { at }, error.into());
    }

    /// South refuses to reserve the images.
    pub(super) fn refuses_data(&mut self, kind: Kind, text: &str) {
        let action = Action::ReserveData {
            input: "images".to_owned(),
            serial: 1,
        };
        let failure = CallFailure::of_data(CallError::new(kind, text));
        self.fails(action, failure);
    }

    /// South's tools print.
    pub(super) fn prints(&mut self, lines: &[(&str, &str)]) {
        let id = oc_workflow::run::fragment_id(self.run.id(), 0).to_string();
        for (step, text) in lines {
            self.seen.push(WatchRunResponse {
                fragment_id: id.clone(),
                event: Some(SeenEvent::Log(RunLogLine {
                    step: (*step).to_owned(),
                    stream: "stderr".to_owned(),
                    text: (*text).to_owned(),
                })),
                ..WatchRunResponse::default()
            });
        }
    }

    /// South says that an attempt failed, with a word of the protocol.
    pub(super) fn failed(&mut self, at: AttemptRef, word: &str, text: &str) {
        let cause = self.said(word, text, code::TOOL_FAILED);
        let end = End::Failed(cause);
        self.tell(Event::Ended { at, end });
        self.give_back();
    }

    /// South says that it stopped an attempt, with a word of the protocol.
    pub(super) fn lost(&mut self, at: AttemptRef, word: &str, text: &str) {
        let cause = self.said(word, text, code::LEASE_LOST);
        let end = End::Lost(cause);
        self.tell(Event::Ended { at, end });
        self.give_back();
    }

    fn said(&self, word: &str, text: &str, otherwise: &str) -> Cause {
        let said = Said {
            code: word.to_owned(),
            text: text.to_owned(),
            ..Said::default()
        };
        end_cause(said, otherwise, south(), self.now)
    }

    /// An attempt succeeds, and its results are published.
    pub(super) fn succeeds(&mut self, at: AttemptRef) {
        let result = AttemptResult {
            outputs: serde_json::json!({}),
            objects: Vec::new(),
        };
        let end = End::Succeeded(result);
        self.tell(Event::Ended { at, end });
        self.tell(Event::Published);
        self.give_back();
    }

    pub(super) fn cancel(&mut self) {
        let by = north();
        let text = "stopped by its user".to_owned();
        self.tell(Event::Cancel { by, text });
    }

    /// Partners give back what they hold.
    pub(super) fn give_back(&mut self) {
        for action in self.run.outstanding(self.now) {
            match action {
                Action::ReleaseCapacity { at, .. } => self.tell(Event::CapacityReleased { at }),
                Action::ReleaseData { input, serial, .. } => {
                    self.tell(Event::DataReleased { input, serial });
                }
                _ => {}
            }
        }
    }

    /// The books of all grants are countersigned, or disputed.
    pub(super) fn settle(&mut self, dispute: Option<&str>) {
        for action in self.run.outstanding(self.now) {
            if let Action::SettleBooks { grant } = action {
                let dispute = dispute.map(str::to_owned);
                self.tell(Event::Settled { grant, dispute });
            }
        }
    }

    /// Compares what people read now with what is checked in.
    pub(super) fn is_explained_as(&self, name: &str) {
        let me = (north(), "North".to_owned());
        let around = Surroundings::of(&self.run, me, self.seen.clone());
        let told = explanation(&self.run, &around, self.now);
        // Programs get what people read of each fragment.
        let of_fragments = told.entries.iter();
        for entry in of_fragments.filter(|entry| !entry.fragment_id.is_empty()) {
            let causes = entry.cause.iter().chain(&entry.before);
            let texts = causes.map(|cause| &cause.text);
            for text in texts.chain(&entry.last_lines).chain([&entry.waits_for]) {
                assert!(told.text.contains(text.as_str()), "{text}");
            }
        }
        assert!(!told.entries.is_empty());
        let text = told.text.replace(&self.run.id().to_string(), "RUN");
        let fragment = oc_workflow::run::fragment_id(self.run.id(), 0).to_string();
        let text = text.replace(&fragment, "FRAGMENT");
        let grant = self.run.plan().fragments[0].site.grant.unwrap();
        compare(name, &text.replace(&grant.to_string(), "GRANT"));
    }
}

/// Compares what is said where a run cannot even start, and its kind of problem, with what is checked in.
pub(super) fn start_is_refused_as(name: &str, change: impl FnOnce(&mut Site)) {
    let mut site = machines(in_force());
    change(&mut site);
    let error = planned(site).unwrap_err();
    let kind = error.kind();
    let status = kind.http_status();
    let kind = kind.as_str();
    compare(
        name,
        &format!("refused at its start ({status} {kind}): {error}"),
    );
}

fn compare(name: &str, text: &str) {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("src/explaining/scenarios");
    let file = folder.join(format!("{name}.txt"));
    let text = format!("{text}\n");
    if std::env::var_os(BLESS).is_some_and(|value| value == "1") {
        return std::fs::write(&file, text).unwrap();
    }
    let before = std::fs::read_to_string(&file).unwrap_or_default();
    assert_eq!(
        text, before,
        "{name}.txt differs: run with {BLESS}=1 and read the diff"
    );
}

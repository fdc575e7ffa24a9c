//! Organisations, offers and workflows to plan with.

use std::collections::{BTreeMap, BTreeSet};

use jiff::{SignedDuration, Timestamp};
use oc_kernel::{GrantId, Money, OrgId, RunId};
use oc_workflow::plan::{
    Access, InputData, Placement, Plan, PlanError, Price, Question, Site, Storage, plan_while,
};
use oc_workflow::run::{DataNeed, Policy, Run};
use oc_workflow::{Needs, Resources, Step, Steps};

pub(crate) const MIB: u64 = 1 << 20;
pub(crate) const GIB: u64 = 1 << 30;

pub(crate) fn now() -> Timestamp {
    "2026-11-21T12:00:00Z".parse().unwrap()
}

pub(crate) fn later(seconds: i64) -> Timestamp {
    now() + SignedDuration::from_secs(seconds)
}

pub(crate) fn org(number: u8) -> OrgId {
    OrgId::from_digest([number; 32])
}

pub(crate) fn granted() -> Access {
    Access::Granted {
        grant: GrantId::new(),
        ends: later(30 * 24 * 3_600),
    }
}

/// A partner's offer of 8 cores, all free, at a price.
pub(crate) fn site(number: u8, name: &str) -> Site {
    let machines = Resources {
        cores: 8,
        memory_bytes: 32 * GIB,
    };
    Site {
        org: org(number),
        name: name.into(),
        listing: "compute.default".parse().unwrap(),
        access: granted(),
        silent_since: None,
        limit: machines,
        free: machines,
        price: Price {
            currency: "EUR".into(),
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

pub(crate) fn own_site() -> Site {
    Site {
        access: Access::Own,
        price: Price::default(),
        ..site(1, "North")
    }
}

/// A step of one core, 1 GiB and at most a minute.
pub(crate) fn step(id: &str, upstream: &[&str], inputs: &[&str]) -> Step {
    let names = |names: &[&str]| names.iter().map(|&name| name.to_owned()).collect();
    Step {
        id: id.into(),
        upstream: names(upstream),
        inputs: names(inputs),
        needs: Needs {
            resources: Resources {
                cores: 1,
                memory_bytes: GIB,
            },
            seconds: Some(60),
            width: 1,
            ..Needs::default()
        },
    }
}

#[derive(Debug, Clone)]
pub(crate) struct World {
    pub(crate) steps: Steps,
    pub(crate) data: BTreeMap<String, InputData>,
    pub(crate) storage: Storage,
    pub(crate) sites: Vec<Site>,
    pub(crate) placement: Placement,
}

impl World {
    /// The story: images at South, two pictures of them into North's storage.
    pub(crate) fn story() -> Self {
        let outputs = [("true_colour", "colour"), ("ndvi", "index")];
        let outputs = outputs.map(|(output, step)| (output.into(), BTreeSet::from([step.into()])));
        let images = InputData {
            org: org(2),
            name: "South".into(),
            what: "dataset `dataset.sentinel-2`".into(),
            bytes: 8 * MIB,
            price: Price::default(),
            access: granted(),
            under: BTreeSet::new(),
            tools: None,
            egress_left: None,
        };
        Self {
            steps: Steps {
                steps: vec![
                    step("colour", &[], &["images"]),
                    step("index", &[], &["images", "threshold"]),
                ],
                outputs: BTreeMap::from(outputs),
            },
            data: BTreeMap::from([("images".into(), images)]),
            storage: Storage {
                org: org(1),
                name: "North".into(),
                listing: "storage.results".parse().unwrap(),
                access: Access::Own,
            },
            sites: vec![own_site(), site(2, "South")],
            placement: Placement::default(),
        }
    }

    pub(crate) fn plan(&self) -> Result<Plan, PlanError> {
        self.plan_while(&|| true)
    }

    pub(crate) fn plan_while(&self, wanted: &dyn Fn() -> bool) -> Result<Plan, PlanError> {
        let question = Question {
            steps: &self.steps,
            data: &self.data,
            storage: &self.storage,
            sites: &self.sites,
            placement: &self.placement,
        };
        plan_while(&question, now(), wanted)
    }

    /// Three fragments: two read images at South and at East, the third reads both of them.
    pub(crate) fn three_sites() -> Self {
        let mut world = Self::story();
        let mut radar = world.data["images"].clone();
        (radar.org, radar.name) = (org(3), "East".into());
        world.data.insert("radar".into(), radar);
        world.sites.push(site(3, "East"));
        world.steps.steps = vec![
            step("optical", &[], &["images"]),
            step("radar", &[], &["radar"]),
            step("merge", &["optical", "radar"], &[]),
        ];
        world.steps.outputs = BTreeMap::from([("map".into(), BTreeSet::from(["merge".into()]))]);
        world
    }

    /// A run of the world's plan.
    pub(crate) fn run(&self) -> Run {
        let need = |(input, data): (&String, &InputData)| DataNeed {
            input: input.clone(),
            provider: data.org,
            name: data.name.clone(),
        };
        let data = self.data.iter().map(need).collect();
        let plan = self.plan().unwrap();
        Run::new(RunId::new(), org(1), plan, data, Policy::default(), now())
    }
}

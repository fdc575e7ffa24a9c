//! Where 200 steps go on 100 sites.

use std::collections::{BTreeMap, BTreeSet};
use std::hint::black_box;

use jiff::{SignedDuration, Timestamp};
use oc_kernel::{GrantId, Money, Name, OrgId};
use oc_workflow::plan::{Access, InputData, Placement, Price, Question, Site, Storage, plan};
use oc_workflow::{Needs, Resources, Step, Steps};

use crate::figures::{Bar, Row, timed};

const ROUNDS: usize = 200;
const MIB: u64 = 1 << 20;
const GIB: u64 = 1 << 30;

pub(crate) fn measure() -> anyhow::Result<Vec<Row>> {
    let Sites { sites, storage } = Sites::many()?;
    let steps = layers();
    let data = (0..200_u64).step_by(3).map(|number| {
        let org = org(u8::try_from(number * 31 % 100).unwrap_or_default());
        let data = InputData {
            org,
            name: "a site".to_owned(),
            what: "dataset `dataset.images`".to_owned(),
            bytes: MIB * number,
            price: Price::default(),
            access: granted(),
            under: BTreeSet::new(),
            tools: None,
            egress_left: None,
        };
        (format!("data-{number}"), data)
    });
    let data: BTreeMap<String, InputData> = data.collect();
    let placement = Placement::default();
    let question = Question {
        steps: &steps,
        data: &data,
        storage: &storage,
        sites: &sites,
        placement: &placement,
    };
    plan(&question, now())?;
    let times = timed(ROUNDS, || {
        let _ = black_box(plan(&question, now()));
    });
    let row = Row::new(
        "placement of 200 steps on 100 sites, p99",
        times.quantile_ms(0.99),
        "ms",
        format!(
            "of {ROUNDS} in one thread; ten layers, a third of the steps with data; median {:.1} ms",
            times.median_ms()
        ),
    );
    Ok(vec![row.bar(Bar::AtMost(32.0))])
}

/// Places to choose from, and where the outputs go.
pub(crate) struct Sites {
    pub(crate) sites: Vec<Site>,
    pub(crate) storage: Storage,
}

impl Sites {
    /// Three of the same price.
    pub(crate) fn few() -> Self {
        let names = ["North", "South", "East"];
        let sites = (0..).zip(names).map(|(number, name)| site(number, name));
        Self::with(sites.collect())
    }

    /// A hundred, each with a price of its own, some busy.
    fn many() -> anyhow::Result<Self> {
        let sites = (0..100_u8).map(|number| {
            let mut site = site(number, &format!("site-{number}"));
            site.price.core_hour = Money(i64::from(number) * 997 % 1_009);
            site.free.cores = u32::from(number % 5);
            site
        });
        Ok(Self::with(sites.collect()))
    }

    fn with(sites: Vec<Site>) -> Self {
        let storage = Storage {
            org: org(0),
            name: "North".to_owned(),
            listing: listing("storage.results"),
            access: Access::Own,
        };
        Self { sites, storage }
    }
}

pub(crate) fn now() -> Timestamp {
    Timestamp::UNIX_EPOCH + SignedDuration::from_hours(24 * 365 * 50)
}

const fn org(number: u8) -> OrgId {
    OrgId::from_digest([number; 32])
}

fn listing(name: &str) -> Name {
    name.parse().unwrap_or_else(|error| unreachable!("{error}"))
}

fn granted() -> Access {
    Access::Granted {
        grant: GrantId::new(),
        ends: now() + SignedDuration::from_hours(24 * 30),
    }
}

fn site(number: u8, name: &str) -> Site {
    let machines = Resources {
        cores: 8,
        memory_bytes: 32 * GIB,
    };
    Site {
        org: org(number),
        name: name.to_owned(),
        listing: listing("compute.machines"),
        access: granted(),
        silent_since: None,
        limit: machines,
        free: machines,
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

/// 200 steps in ten layers, each step of a layer reading from three of the layer before.
fn layers() -> Steps {
    let steps = (0..200_usize).map(|number| {
        let layer = number / 20;
        let upstream =
            [7, 11, 13].map(|k| format!("s{}", (layer.max(1) - 1) * 20 + number * k % 20));
        Step {
            id: format!("s{number}"),
            upstream: match layer {
                0 => Default::default(),
                _ => upstream.into(),
            },
            inputs: [format!("data-{number}")].into(),
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
    });
    Steps {
        steps: steps.collect(),
        outputs: BTreeMap::from([("last".to_owned(), ["s199".to_owned()].into())]),
    }
}

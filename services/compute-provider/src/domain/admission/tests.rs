//! Every reason for which an attempt is refused.

use std::collections::BTreeMap;

use oc_kernel::GrantId;

use super::*;
use crate::domain::fragment::tests::{tool, workflow};
use crate::domain::grant::tests::{NORTH, SOUTH, active, limits};
use crate::domain::offer::tests::machines;
use crate::domain::resources::Resources;

const NOW: Timestamp = Timestamp::UNIX_EPOCH;

fn sandbox(isolated: bool) -> SandboxReport {
    SandboxReport {
        isolated,
        limits_by: "cgroup2".into(),
        containers: false,
        missing: (!isolated).then(|| "install bubblewrap".into()),
    }
}

fn demand(cores: u32) -> Demand {
    Demand {
        resources: Resources {
            cores,
            memory_bytes: 1 << 20,
        },
        wall_ms: 60_000,
    }
}

fn hold(grant: Option<&Grant>, demand: &Demand) -> Result<Option<Terms>, Refusal> {
    let asker = Asker::Partner { org: &NORTH, grant };
    admit_hold(asker, &machines(), demand, &sandbox(true), NOW)
}

fn work() -> Fragment {
    Fragment::read(&workflow(tool()), &BTreeMap::new()).unwrap()
}

struct Case {
    grant: Grant,
    authority: Authority,
    demand: Demand,
    work: Fragment,
    listing: Name,
}

impl Case {
    fn new() -> Self {
        let (grant, work) = (active(), work());
        let authority = Authority {
            owner: SOUTH,
            consumer: NORTH,
            presenter: SOUTH,
            grant: grant.statement(),
            digest: Digest::of(b"delegation"),
            run: RunId::new(),
            fragment: FragmentId::new(),
            attempt: AttemptId::new(),
            request: work.work,
            offer: Some("compute.default".parse().unwrap()),
            inputs: vec![],
            output: None,
            limits: Limits {
                fragments: 1,
                ..limits()
            },
            not_before: 0,
            not_after: 1000,
        };
        let listing = "compute.default".parse().unwrap();
        Self {
            grant,
            authority,
            demand: demand(1),
            work,
            listing,
        }
    }

    fn submission(&self) -> Submission<'_> {
        Submission {
            run: self.authority.run,
            fragment: self.authority.fragment,
            attempt: self.authority.attempt,
            listing: &self.listing,
            demand: &self.demand,
            work: &self.work,
        }
    }

    fn submit<'a>(
        &'a self,
        change: impl FnOnce(&mut Submission<'a>),
    ) -> Result<EgressLimits, Refusal> {
        let mut submission = self.submission();
        change(&mut submission);
        self.decide(&submission, None)
    }

    /// The same under a grant that lists these tools.
    fn under(&self, listed: &BTreeSet<Digest>) -> Result<EgressLimits, Refusal> {
        let submission = self.submission();
        self.decide(&submission, Some(listed))
    }

    fn decide(
        &self,
        submission: &Submission<'_>,
        listed: Option<&BTreeSet<Digest>>,
    ) -> Result<EgressLimits, Refusal> {
        let Self {
            grant, authority, ..
        } = self;
        admit_submission(&NORTH, authority, grant, submission, listed, NOW)
    }
}

#[test]
fn a_partner_needs_a_grant_and_our_own_work_none() {
    assert_eq!(hold(None, &demand(1)).unwrap_err(), Refusal::NoGrant);
    let own = admit_hold(Asker::Own, &machines(), &demand(2), &sandbox(false), NOW).unwrap();
    assert!(own.is_none());
    let terms = hold(Some(&active()), &demand(1)).unwrap().unwrap();
    assert_eq!((terms.generation, terms.limits), (1, limits()));
}

#[test]
fn a_hold_above_the_grant_is_refused_with_the_number() {
    let mut grant = active();
    grant.agreed.as_mut().unwrap().limits.cores = 1;
    let error = hold(Some(&grant), &demand(2)).unwrap_err();
    assert_eq!(error.kind(), Kind::Forbidden);
    assert!(
        error.to_string().ends_with("2 cores asked for, 1 allowed"),
        "{error}"
    );
}

#[test]
fn a_hold_above_the_offer_is_refused_for_everybody() {
    for asker in [
        Asker::Own,
        Asker::Partner {
            org: &NORTH,
            grant: Some(&active()),
        },
    ] {
        let refused = admit_hold(asker, &machines(), &demand(3), &sandbox(true), NOW);
        assert!(matches!(
            refused,
            Err(Refusal::Offer(OfferError::AboveOffer { .. }))
        ));
    }
}

#[test]
fn without_a_sandbox_a_partner_is_refused_and_told_what_is_missing() {
    let grant = active();
    let asker = Asker::Partner {
        org: &NORTH,
        grant: Some(&grant),
    };
    let error = admit_hold(asker, &machines(), &demand(1), &sandbox(false), NOW).unwrap_err();
    assert_eq!(error, Refusal::NoSandbox("install bubblewrap".into()));
    assert_eq!(error.kind(), Kind::Unsupported);
}

#[test]
fn a_withdrawn_or_hidden_offer_takes_nothing() {
    let mut withdrawn = machines();
    withdrawn.state = OfferState::Withdrawn;
    let refused = admit_hold(Asker::Own, &withdrawn, &demand(1), &sandbox(true), NOW);
    assert!(matches!(refused, Err(Refusal::Withdrawn(_))));
    let mut hidden = machines();
    hidden.visibility = oc_trust::Visibility::Orgs(vec![SOUTH]);
    let grant = active();
    let asker = Asker::Partner {
        org: &NORTH,
        grant: Some(&grant),
    };
    let refused = admit_hold(asker, &hidden, &demand(1), &sandbox(true), NOW).unwrap_err();
    assert_eq!(refused.kind(), Kind::NotFound);
}

#[test]
fn a_good_submission_gets_the_smaller_egress() {
    let case = Case::new();
    let egress = case.submit(|_| {}).unwrap();
    let limit = limits().egress_bytes;
    assert_eq!(
        egress,
        EgressLimits {
            attempt: limit,
            grant: limit
        }
    );
}

#[test]
fn a_delegation_for_anything_else_opens_nothing() {
    let other = "compute.other".parse().unwrap();
    let changed = Fragment {
        work: Digest::of(b"other"),
        ..work()
    };
    let case = Case::new();
    let elsewhere = |what| Err(Refusal::Elsewhere(what));
    assert_eq!(case.submit(|s| s.run = RunId::new()), elsewhere("run"));
    assert_eq!(
        case.submit(|s| s.fragment = FragmentId::new()),
        elsewhere("fragment")
    );
    assert_eq!(
        case.submit(|s| s.attempt = AttemptId::new()),
        elsewhere("attempt")
    );
    assert_eq!(case.submit(|s| s.listing = &other), elsewhere("offer"));
    assert_eq!(
        case.submit(|s| s.work = &changed),
        elsewhere("piece of work")
    );
    let mut case = Case::new();
    case.grant.id = GrantId::new();
    assert_eq!(case.submit(|_| {}), elsewhere("grant"));
}

#[test]
fn only_the_consumer_may_submit() {
    let mut case = Case::new();
    case.authority.consumer = SOUTH;
    assert_eq!(
        case.submit(|_| {}),
        Err(Refusal::NotTheConsumer { consumer: SOUTH })
    );
}

#[test]
fn a_revoked_grant_and_an_old_generation_open_nothing() {
    let mut case = Case::new();
    case.grant.generation = 2;
    let old = Refusal::OldGeneration {
        presented: 1,
        current: 2,
    };
    assert_eq!(case.submit(|_| {}), Err(old));
    let cause = crate::domain::grant::Cause::new("revoked", "no more", SOUTH, NOW);
    case.grant.revoke(cause).unwrap();
    let error = case.submit(|_| {}).unwrap_err();
    assert_eq!(error.kind(), Kind::Forbidden);
    assert!(error.to_string().contains("is revoked: no more"), "{error}");
}

#[test]
fn more_than_was_delegated_cannot_be_started() {
    let mut case = Case::new();
    case.authority.limits.cores = 0;
    let error = case.submit(|_| {}).unwrap_err();
    assert!(matches!(error, Refusal::OverDelegation(_)), "{error}");
}

#[test]
fn only_the_listed_tools_may_read_the_data() {
    let case = Case::new();
    assert!(case.under(&case.work.listed_as).is_ok());
    let refused = case.under(&BTreeSet::from([Digest::of(b"another tool")]));
    assert_eq!(refused, Err(Refusal::NotListed));
    assert_eq!(case.under(&BTreeSet::new()), Err(Refusal::NotListed));
}

#[test]
fn a_listed_tool_reads_one_dataset_and_no_other_beside_it() {
    let mut case = Case::new();
    let reads = |owner, listing: &str, object: &str| oc_trust::Input {
        owner,
        listing: Some(listing.parse().unwrap()),
        object: object.parse().unwrap(),
        sha256: Digest::of(object.as_bytes()),
    };
    let red = reads(SOUTH, "dataset.secret", "secret/a/B04.tif");
    // What lies with others is not ours to judge here.
    let theirs = reads(NORTH, "storage.results", "demo/a");
    case.authority.inputs = vec![
        red,
        theirs,
        reads(SOUTH, "dataset.secret", "secret/b/B04.tif"),
    ];
    assert!(case.under(&case.work.listed_as).is_ok());
    let nir = reads(SOUTH, "dataset.demo", "demo/a/B08.tif");
    case.authority.inputs.push(nir);
    let error = case.under(&case.work.listed_as).unwrap_err();
    assert_eq!(error.kind(), Kind::Forbidden);
    let text = error.to_string();
    assert!(
        text.ends_with("reads `dataset.demo` and `dataset.secret`"),
        "{text}"
    );
    assert!(
        case.submit(|_| {}).is_ok(),
        "a grant without tools asks nothing of it"
    );
}

#[test]
fn a_required_container_without_a_runtime_is_refused_with_the_reason() {
    let mut docker = tool();
    docker["requirements"] =
        serde_json::json!([{"class": "DockerRequirement", "dockerPull": "debian:12"}]);
    let work = Fragment::read(&workflow(docker), &BTreeMap::new()).unwrap();
    let error = can_run(&work, &sandbox(true)).unwrap_err();
    assert_eq!(error.kind(), Kind::Unsupported);
    assert!(error.to_string().contains("DockerRequirement"), "{error}");
}

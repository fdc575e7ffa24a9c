//! What two organisations agree on, and what they do not.

use std::collections::BTreeMap;

use http::{Method, StatusCode};
use oc_accounting::domain::AccountingError;
use oc_kernel::{Clock as _, Money, SystemClock};
use oc_trust::{UsageHead, UsageRecord, countersign, open_evidence, seal};
use serde_json::{Value, json};

use crate::world::{Attempt, World, until};

#[tokio::test]
async fn both_sides_end_with_the_same_records_under_both_signatures() {
    let world = World::start().await;
    for _ in 0..3 {
        world.run(&Attempt::new()).await;
    }
    let (status, settled) = world.north.settle(world.grant.id).await;
    assert_eq!(status, StatusCode::OK, "{settled}");
    assert_eq!(settled["countersigned"], true, "{settled}");
    assert_eq!(settled["size"], 3);

    for org in [&world.north, &world.south] {
        let books = world.books(org).await;
        assert_eq!(books["size"], 3);
        assert_eq!(books["agreed_size"], 3);
        assert_eq!(books["countersigned"], true);
        assert_eq!(books["disputes"], json!([]));
    }
    let export = world.agreed_export().await;
    let books = &export["books"][0];
    assert_eq!(books["records"].as_array().unwrap().len(), 3);
    let verified = oc_trust::Export::read(
        &world
            .north
            .export(&format!("grant_id={}", world.grant.id))
            .await,
    )
    .unwrap()
    .verify(&BTreeMap::new())
    .unwrap();
    assert_eq!((verified[0].records, verified[0].whole), (3, true));
    let one = Attempt::new().record(&world.grant).charge;
    assert_eq!(verified[0].charge, Money(3 * one.micros()));

    let csv = format!("grant_id={}&format=csv", world.grant.id);
    let (north, south) = (
        world.north.export(&csv).await,
        world.south.export(&csv).await,
    );
    assert_eq!(north, south);
    assert_eq!(north.iter().filter(|byte| **byte == b'\n').count(), 4);
}

/// Waits until North has asked South for its head so many times, and settled nothing by it.
async fn looked_in_vain(world: &World, times: usize) {
    let asked = || async { world.north.discovery.answers("GetBooksHead") >= times };
    until("North asks for the head", asked).await;
}

#[tokio::test]
async fn a_settlement_waits_a_moment_for_the_record_of_an_attempt_that_just_ended() {
    let world = World::start().await;
    let mut attempt = Attempt::new();
    attempt.submitted_ms = SystemClock.now_ms() - attempt.wall_ms - 300;
    world.observe(&attempt).await;
    let report = async {
        looked_in_vain(&world, 1).await;
        world
            .report(attempt.usage(&world.grant.id.to_string()))
            .await;
    };
    let (settled, ()) = tokio::join!(world.north.settle(world.grant.id), report);
    assert_eq!(settled.1["size"], 1, "{}", settled.1);
    assert_eq!(settled.1["countersigned"], true);
}

#[tokio::test]
async fn the_settler_settles_without_being_asked() {
    let world = World::settling_every(1).await;
    world.run(&Attempt::new()).await;
    for org in [&world.north, &world.south] {
        let settled = || async { world.books(org).await["agreed_size"] == 1 };
        until("the books are countersigned", settled).await;
    }
    world.agreed_export().await;
}

#[tokio::test]
async fn a_correction_is_noticed_without_a_new_attempt() {
    let world = World::settling_every(1).await;
    let attempt = Attempt::new();
    world.run(&attempt).await;
    for org in [&world.north, &world.south] {
        let settled = || async { world.books(org).await["countersigned"] == true };
        until("the books are countersigned", settled).await;
    }
    let path = format!("/records/{}/corrections", attempt.attempt);
    let body = json!({"wall_ms": 1, "cpu_ms": 1});
    let (status, _) = world.south.raw("operator", Method::POST, &path, body).await;
    assert_eq!(status, StatusCode::CREATED);
    for org in [&world.north, &world.south] {
        let settled = || async { world.books(org).await["agreed_size"] == 2 };
        until("the correction is countersigned", settled).await;
    }
}

#[tokio::test]
async fn a_correction_that_is_disputed_leaves_no_side_saying_that_all_is_signed() {
    let world = World::start().await;
    let attempt = Attempt::new();
    world.run(&attempt).await;
    let settled = world.north.settle(world.grant.id).await.1;
    assert_eq!(settled["countersigned"], true, "{settled}");
    let path = format!("/records/{}/corrections", attempt.attempt);
    let body = json!({"wall_ms": attempt.wall_ms + 60_000});
    let (status, _) = world.south.raw("operator", Method::POST, &path, body).await;
    assert_eq!(status, StatusCode::CREATED);
    let settled = world.north.settle(world.grant.id).await.1;
    assert_eq!(settled["countersigned"], false, "{settled}");
    for org in [&world.north, &world.south] {
        let books = world.books(org).await;
        assert_eq!(books["countersigned"], false, "{books}");
        assert_eq!(books["disputes"].as_array().unwrap().len(), 1, "{books}");
    }
}

#[tokio::test]
async fn an_attempt_that_is_reported_twice_is_counted_once() {
    let world = World::start().await;
    let attempt = Attempt::new();
    world.run(&attempt).await;
    world.run(&attempt).await;
    let mut other_figures = attempt.usage(&world.grant.id.to_string());
    other_figures["wall_ms"] = 3_000.into();
    world.report(other_figures).await;

    let records = world.south.ledger.read(world.key(), 0, 10).await.unwrap();
    assert_eq!(records, [attempt.record(&world.grant)]);
    let sums = world.south.get("/sums").await;
    assert_eq!(sums["sums"][0]["records"], 1);
    assert_eq!(sums["sums"][0]["wall_ms"], attempt.wall_ms);
}

/// South writes `falsify`'s record into its log, signs the head over it and asks for the countersignature.
async fn falsified(falsify: impl Fn(&mut UsageRecord)) -> (World, Value) {
    let world = World::start().await;
    let (honest, attempt) = (Attempt::new(), Attempt::new());
    world.run(&honest).await;
    world.observe(&attempt).await;
    let mut record = attempt.record(&world.grant);
    falsify(&mut record);
    world
        .south
        .ledger
        .append(world.key(), vec![record])
        .await
        .unwrap();
    let (status, settled) = world.north.settle(world.grant.id).await;
    assert_eq!(status, StatusCode::OK, "{settled}");
    (world, settled)
}

#[tokio::test]
async fn a_falsified_record_blocks_the_countersignature() {
    type Falsify = fn(&mut UsageRecord);
    let cases: [(&str, Falsify); 5] = [
        ("charge", |r| r.charge = Money(r.charge.micros() + 1)),
        ("wall", |r| r.wall_ms += 60_000),
        ("cpu", |r| r.cpu_ms = 3 * r.wall_ms),
        ("limit", |r| r.cores = 64),
        ("attempt", |r| {
            r.pseudonym = "somebody-else".parse().unwrap()
        }),
    ];
    for (code, falsify) in cases {
        let (world, settled) = falsified(falsify).await;
        assert_eq!(settled["countersigned"], false, "{code}: {settled}");
        assert_eq!(settled["disputes"][0]["code"], code, "{settled}");
        for org in [&world.north, &world.south] {
            let books = world.books(org).await;
            assert_eq!(books["countersigned"], false, "{code}");
            assert_eq!(books["agreed_size"], 0);
            assert_eq!(books["disputes"][0]["code"], code);
            assert_eq!(
                books["disputes"][0]["org_id"],
                world.north.discovery.org.to_string()
            );
        }
        assert_eq!(
            world.north.ledger.read(world.key(), 0, 10).await.unwrap(),
            []
        );
        assert_eq!(
            world.agreed_export().await["books"][0]["records"],
            json!([])
        );
    }
}

#[tokio::test]
async fn an_attempt_whose_event_may_be_on_its_way_is_waited_for() {
    let world = World::start().await;
    let attempt = Attempt::new();
    world
        .report(attempt.usage(&world.grant.id.to_string()))
        .await;
    let observe = async {
        looked_in_vain(&world, 2).await;
        // Nothing is signed meanwhile, and nobody is accused.
        let books = world.books(&world.south).await;
        assert_eq!(
            (&books["countersigned"], &books["disputes"]),
            (&json!(false), &json!([]))
        );
        world.observe(&attempt).await;
    };
    let (settled, ()) = tokio::join!(world.north.settle(world.grant.id), observe);
    assert_eq!(settled.1["countersigned"], true, "{}", settled.1);
}

#[tokio::test]
async fn an_attempt_nobody_submitted_is_disputed() {
    let world = World::start().await;
    let mut invented = Attempt::new();
    invented.submitted_ms -= 3_600_000;
    world
        .report(invented.usage(&world.grant.id.to_string()))
        .await;
    let (_, settled) = world.north.settle(world.grant.id).await;
    assert_eq!(settled["disputes"][0]["code"], "attempt", "{settled}");
    assert_eq!(
        world.books(&world.south).await["disputes"][0]["code"],
        "attempt"
    );
}

#[tokio::test]
async fn a_second_record_of_an_attempt_is_disputed() {
    let world = World::start().await;
    let attempt = Attempt::new();
    world.run(&attempt).await;
    assert_eq!(
        world.north.settle(world.grant.id).await.1["countersigned"],
        true
    );
    let mut again = attempt.record(&world.grant);
    again.id = format!("{}.7", attempt.attempt).parse().unwrap();
    world
        .south
        .ledger
        .append(world.key(), vec![again.clone()])
        .await
        .unwrap();
    let (_, settled) = world.north.settle(world.grant.id).await;
    assert_eq!(settled["disputes"][0]["code"], "id", "{settled}");

    // A correction of a correction that does not exist.
    let world = World::start().await;
    let attempt = Attempt::new();
    world.run(&attempt).await;
    let mut again = attempt.record(&world.grant);
    again.id = oc_trust::record_id(&attempt.attempt, 7).unwrap();
    again.corrects = Some(oc_trust::record_id(&attempt.attempt, 6).unwrap());
    world
        .south
        .ledger
        .append(world.key(), vec![again])
        .await
        .unwrap();
    let (_, settled) = world.north.settle(world.grant.id).await;
    assert_eq!(settled["disputes"][0]["code"], "id", "{settled}");
}

#[tokio::test]
async fn a_correction_answers_the_dispute_and_counts_once() {
    let world = World::start().await;
    let attempt = Attempt::new();
    world.observe(&attempt).await;
    let mut usage = attempt.usage(&world.grant.id.to_string());
    usage["wall_ms"] = 90_000.into();
    world.report(usage).await;
    let (_, settled) = world.north.settle(world.grant.id).await;
    assert_eq!(settled["disputes"][0]["code"], "wall", "{settled}");
    let how = format!("`opencloud usage correct {}`", attempt.attempt);
    for org in [&world.north, &world.south] {
        let books = world.books(org).await;
        let advice = books["disputes"][0]["advice"].as_str().unwrap();
        assert!(advice.contains(&how), "{advice}");
    }

    let path = format!("/records/{}/corrections", attempt.attempt);
    let body = json!({"wall_ms": attempt.wall_ms});
    let (status, _) = world
        .south
        .raw("user", Method::POST, &path, body.clone())
        .await;
    assert_eq!(status, StatusCode::FORBIDDEN);
    let (status, answer) = world.south.raw("operator", Method::POST, &path, body).await;
    assert_eq!(
        status,
        StatusCode::CREATED,
        "{}",
        String::from_utf8_lossy(&answer)
    );
    let answer: Value = serde_json::from_slice(&answer).unwrap();
    assert_eq!(answer["record"]["corrects"], attempt.attempt.to_string());

    let (_, settled) = world.north.settle(world.grant.id).await;
    assert_eq!(settled["countersigned"], true, "{settled}");
    let honest = attempt.record(&world.grant);
    for org in [&world.north, &world.south] {
        assert_eq!(world.books(org).await["disputes"], json!([]));
        let sums = org.get("/sums?by=organisation").await;
        assert_eq!(sums["sums"][0]["records"], 1, "{sums}");
        assert_eq!(sums["sums"][0]["wall_ms"], attempt.wall_ms);
        assert_eq!(sums["sums"][0]["charge_micros"], honest.charge.micros());
    }
    let export = world.agreed_export().await;
    assert_eq!(export["books"][0]["records"].as_array().unwrap().len(), 2);
}

#[tokio::test]
async fn a_settlement_goes_on_where_a_crash_ended_it() {
    let world = World::start().await;
    let attempt = Attempt::new();
    world.run(&attempt).await;
    // The records were copied, and nothing was signed.
    let record = attempt.record(&world.grant);
    world
        .north
        .ledger
        .copy(world.key(), 0, vec![record])
        .await
        .unwrap();
    assert_eq!(
        world.agreed_export().await["books"][0]["records"],
        json!([])
    );
    assert_eq!(
        world.north.settle(world.grant.id).await.1["countersigned"],
        true
    );
    let export = world.agreed_export().await;
    assert_eq!(export["books"][0]["records"].as_array().unwrap().len(), 1);
}

#[tokio::test]
async fn a_log_that_was_rewritten_is_not_countersigned() {
    let world = World::start().await;
    world.run(&Attempt::new()).await;
    assert_eq!(
        world.north.settle(world.grant.id).await.1["countersigned"],
        true
    );
    // North's copy of the log differs from South's from here on: the same as if South had changed its past.
    let other = Attempt::new();
    let mut record = other.record(&world.grant);
    record.seq = 1;
    world
        .north
        .ledger
        .copy(world.key(), 1, vec![record])
        .await
        .unwrap();
    for _ in 0..2 {
        world.run(&Attempt::new()).await;
    }
    let (status, problem) = world.north.settle(world.grant.id).await;
    assert_eq!(status, StatusCode::CONFLICT, "{problem}");
    let detail = problem["detail"].as_str().unwrap();
    assert!(detail.contains("first 2 records"), "{detail}");
    assert_eq!(world.books(&world.south).await["agreed_size"], 1);
}

#[tokio::test]
async fn a_log_that_has_shrunk_is_not_countersigned() {
    let world = World::start().await;
    let mut record = Attempt::new().record(&world.grant);
    record.seq = 0;
    world
        .north
        .ledger
        .copy(world.key(), 0, vec![record])
        .await
        .unwrap();
    let (status, problem) = world.north.settle(world.grant.id).await;
    assert_eq!(status, StatusCode::CONFLICT, "{problem}");
    let detail = problem["detail"].as_str().unwrap();
    assert!(detail.contains("now has 0"), "{detail}");
}

#[tokio::test]
async fn a_cut_network_delays_the_agreement_and_breaks_nothing() {
    let world = World::start().await;
    world.run(&Attempt::new()).await;
    *world.north.discovery.cut.lock().unwrap() = true;
    let (status, problem) = world.north.settle(world.grant.id).await;
    assert_eq!(status, StatusCode::SERVICE_UNAVAILABLE, "{problem}");
    assert_eq!(
        world.agreed_export().await["books"][0]["records"],
        json!([])
    );
    *world.north.discovery.cut.lock().unwrap() = false;
    assert_eq!(
        world.north.settle(world.grant.id).await.1["countersigned"],
        true
    );
    world.agreed_export().await;
}

#[tokio::test]
async fn the_provider_takes_no_countersignature_that_is_not_of_its_log() {
    let world = World::start().await;
    world.run(&Attempt::new()).await;
    // A head that South's key signed, over records that South's log never had.
    let now = SystemClock.now_ms();
    let head = UsageHead {
        network: world.grant.network.clone(),
        grant: world.grant.id,
        provider: world.grant.provider,
        consumer: world.grant.consumer,
        epoch: 1,
        size: 1,
        root: oc_kernel::Digest::of(b"other records"),
        not_before: now,
        not_after: now + 60_000,
    };
    let half = seal(&world.south.discovery.node.signer(), head)
        .await
        .unwrap();
    let both = countersign(&world.north.discovery.node.signer(), half)
        .await
        .unwrap();
    let south = world.accounting_of_south();
    let taken = south
        .take_countersignature(world.grant.id, world.grant.consumer, both.bytes())
        .await;
    assert!(
        matches!(taken, Err(AccountingError::Countersignature(_))),
        "{taken:?}"
    );
}

#[tokio::test]
async fn a_stranger_learns_nothing_of_the_books() {
    let world = World::start().await;
    world.run(&Attempt::new()).await;
    let stranger = oc_kernel::OrgId::from_digest([9; 32]);
    let south = world.accounting_of_south();
    let log = south.log(world.grant.id, stranger, 0, 0).await;
    assert!(
        matches!(log, Err(AccountingError::UnknownGrant(_))),
        "{log:?}"
    );
    let head = south.head(world.grant.id, stranger, 0).await;
    assert!(
        matches!(head, Err(AccountingError::UnknownGrant(_))),
        "{head:?}"
    );
    let north = south
        .head(world.grant.id, world.grant.consumer, 0)
        .await
        .unwrap();
    let keys = world.south.discovery.clone();
    let listed = keys.history().current().clone();
    let head = open_evidence::<UsageHead>(&north.envelope, &listed).unwrap();
    assert_eq!(head.statement().size, 1);
}

//! Records, sums and exports as people ask for them.

use http::{Method, StatusCode};
use oc_accounting::domain::Month;
use oc_trust::Currency;
use serde_json::{Value, json};

use crate::world::{Attempt, World};

#[tokio::test]
async fn sums_are_kept_apart_by_what_is_asked_for() {
    let world = World::start().await;
    let (under_grant, own) = (Attempt::new(), Attempt::new());
    world.run(&under_grant).await;
    let mut usage = own.usage("own");
    usage["workflow"] = "mosaic".into();
    usage["pseudonym"] = "ada".into();
    world.report(usage).await;

    let month = Month::of_ms(under_grant.submitted_ms + 100 + under_grant.wall_ms).to_string();
    let sums = world
        .south
        .get("/sums?by=workflow&by=month&by=organisation")
        .await;
    let rows: Vec<[&str; 4]> = sums["sums"]
        .as_array()
        .unwrap()
        .iter()
        .map(|sum| ["month", "org_id", "workflow", "direction"].map(|f| sum[f].as_str().unwrap()))
        .collect();
    let (north, south) = (
        world.north.discovery.org.to_string(),
        world.south.discovery.org.to_string(),
    );
    let mut expected = vec![
        [&*month, &*north, "ndvi", "given"],
        [&*month, &*south, "mosaic", "own"],
    ];
    expected.sort_unstable();
    assert_eq!(rows, expected);

    let one = world
        .south
        .get(&format!("/sums?month={month}&org_id={north}"))
        .await;
    assert_eq!(one["sums"].as_array().unwrap().len(), 1);
    assert_eq!(one["sums"][0]["core_ms"], 2 * under_grant.wall_ms);
    assert_eq!(one["sums"][0]["currency"], "EUR");
    assert_eq!(one["sums"][0]["month"], "");
    let none = world.south.get("/sums?month=1999-01").await;
    assert_eq!(none["sums"], json!([]));
}

#[tokio::test]
async fn own_work_is_recorded_and_costs_nothing() {
    let world = World::start().await;
    world.report(Attempt::new().usage("own")).await;
    let records = world.south.get("/records?grant_id=own").await;
    assert_eq!(records["records"][0]["grant_id"], "own");
    assert_eq!(records["records"][0]["charge_micros"], 0);
    let books = world.south.get("/books/own").await;
    assert_eq!(books["countersigned"], true);
    let export = world.south.export("grant_id=own").await;
    let export: Value = serde_json::from_slice(&export).unwrap();
    assert_eq!(export["books"][0]["records"][0]["grant"], Value::Null);
}

#[tokio::test]
async fn pages_of_records_have_no_gaps_and_no_repetitions() {
    let world = World::start().await;
    for n in 0..7 {
        let books = if n % 3 == 0 {
            "own".to_owned()
        } else {
            world.grant.id.to_string()
        };
        world.report(Attempt::new().usage(&books)).await;
    }
    let mut ids = Vec::new();
    let mut token = String::new();
    loop {
        let page = world
            .south
            .get(&format!("/records?page_size=2&page_token={token}"))
            .await;
        for record in page["records"].as_array().unwrap() {
            ids.push(record["record_id"].as_str().unwrap().to_owned());
        }
        token = page["next_page_token"].as_str().unwrap().to_owned();
        if token.is_empty() {
            break;
        }
    }
    let distinct: std::collections::BTreeSet<_> = ids.iter().collect();
    assert_eq!((ids.len(), distinct.len()), (7, 7));
}

#[tokio::test]
async fn questions_that_make_no_sense_are_refused_with_a_reason() {
    let world = World::start().await;
    for (path, status, word) in [
        (
            "/records?grant_id=x",
            StatusCode::BAD_REQUEST,
            "names no books",
        ),
        (
            "/records?month=2026-13",
            StatusCode::BAD_REQUEST,
            "not a month",
        ),
        ("/records?page_token=zz", StatusCode::BAD_REQUEST, "token"),
        ("/sums?by=colour", StatusCode::BAD_REQUEST, "colour"),
        ("/sums?colour=red", StatusCode::BAD_REQUEST, "colour"),
        ("/exports?format=pdf", StatusCode::BAD_REQUEST, "pdf"),
        ("/books/../x", StatusCode::NOT_FOUND, ""),
        (
            "/books/grant-00000000000000000000000000000000",
            StatusCode::NOT_FOUND,
            "no books",
        ),
    ] {
        let (found, body) = world
            .south
            .raw("operator", Method::GET, path, Value::Null)
            .await;
        let body = String::from_utf8_lossy(&body).into_owned();
        assert_eq!(found, status, "{path}: {body}");
        assert!(body.contains(word), "{path}: {body}");
    }
    let path = "/records/att-0/corrections";
    let (status, _) = world
        .south
        .raw("operator", Method::POST, path, json!({}))
        .await;
    assert_eq!(status, StatusCode::NOT_FOUND);
}

#[tokio::test]
async fn the_consumer_cannot_correct_the_providers_record() {
    let world = World::start().await;
    let attempt = Attempt::new();
    world.run(&attempt).await;
    assert_eq!(
        world.north.settle(world.grant.id).await.1["countersigned"],
        true
    );
    let path = format!("/records/{}/corrections", attempt.attempt);
    let body = json!({"wall_ms": 1});
    let (status, _) = world.north.raw("operator", Method::POST, &path, body).await;
    assert_eq!(status, StatusCode::CONFLICT);
}

#[tokio::test]
async fn a_run_is_charged_what_the_newest_records_of_its_attempts_say() {
    let world = World::start().await;
    let (first, other) = (Attempt::new(), Attempt::new());
    let second = Attempt {
        run: first.run,
        ..Attempt::new()
    };
    for attempt in [&first, &second, &other] {
        world.run(attempt).await;
    }
    let settled = world.north.settle(world.grant.id).await.1;
    assert_eq!(settled["countersigned"], true, "{settled}");
    let one = first.record(&world.grant).charge;
    let charge = async || {
        let north = world.north.accounting();
        north.charge_of(world.grant.id, first.run).await.unwrap()
    };
    assert_eq!(charge().await, (one.saturating_add(one), Currency::EUR));

    let path = format!("/records/{}/corrections", second.attempt);
    let body = json!({"wall_ms": 0, "cpu_ms": 0, "bytes_out": 0});
    let (status, _) = world.south.raw("operator", Method::POST, &path, body).await;
    assert_eq!(status, StatusCode::CREATED);
    let settled = world.north.settle(world.grant.id).await.1;
    assert_eq!(settled["countersigned"], true, "{settled}");
    assert_eq!(charge().await, (one, Currency::EUR));
}

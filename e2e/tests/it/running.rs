//! Runs on one node: its own machines, its own storage.

use std::time::Duration;

use oc_client::Client;
use oc_proto::compute::v1::{Offer, OfferKind};
use oc_proto::pipeline::v1::{InputValue, Run, RunRequest, RunState, StartRunRequest, input_value};
use oc_proto::types::v1::Limits;
use oc_testkit::{Node, until};

const LIMIT: Duration = Duration::from_secs(60);

fn tool(command: &str) -> String {
    format!(
        "cwlVersion: v1.2\nclass: CommandLineTool\nbaseCommand: {command}\n\
         inputs:\n  text: {{type: string, inputBinding: {{}}}}\noutputs:\n  said: stdout\nstdout: said.txt\n"
    )
}

fn request(cwl: String, text: &str) -> RunRequest {
    let text = InputValue {
        value: Some(input_value::Value::Json(format!("\"{text}\""))),
    };
    RunRequest {
        cwl,
        inputs: [("text".to_owned(), text)].into(),
        name: "test".to_owned(),
        ..RunRequest::default()
    }
}

/// A node with machines and storage, both in its catalogue.
async fn node() -> Node {
    let node = Node::start("North").await;
    let client = node.client();
    let machines = Offer {
        name: "machines".to_owned(),
        kind: OfferKind::Compute.into(),
        capacity: Some(Limits {
            cores: 2,
            memory_bytes: 2 << 30,
            concurrent_fragments: 2,
            wall_seconds: 3600,
            ..Limits::default()
        }),
        ..Offer::default()
    };
    let storage = Offer {
        name: "results".to_owned(),
        kind: OfferKind::Storage.into(),
        capacity: Some(Limits {
            storage_bytes: 1 << 30,
            ..Limits::default()
        }),
        ..Offer::default()
    };
    for offer in [machines, storage] {
        client.compute().create_offer(&offer).await.unwrap();
    }
    until("both offers are listed", LIMIT, async || {
        let offers = client.compute().offers().await.ok()?;
        offers.iter().all(|offer| offer.listed).then_some(())
    })
    .await;
    node
}

async fn start(client: &Client, request: RunRequest) -> Run {
    let start = StartRunRequest {
        run: Some(request),
        operation_id: String::new(),
    };
    client.pipeline().start(&start).await.unwrap()
}

async fn over(client: &Client, run_id: &str) -> Run {
    until("the run is over", LIMIT, async || {
        let run = client.pipeline().run(run_id).await.ok()?;
        (run.ended_at_ms > 0).then_some(run)
    })
    .await
}

#[tokio::test]
async fn a_tool_runs_at_home_and_its_result_can_be_fetched() {
    let node = node().await;
    let client = node.client();
    let run = start(&client, request(tool("echo"), "hello from home")).await;
    let run = over(&client, &run.run_id).await;
    let why = client.pipeline().explain(&run.run_id).await.unwrap().text;
    assert_eq!(run.state, i32::from(RunState::Succeeded), "{why}");
    let results = client.pipeline().results(&run.run_id).await.unwrap();
    assert_eq!(results.files.len(), 1);
    let bytes = client.download(&results.files[0].path).await.unwrap();
    assert_eq!(bytes, "hello from home\n");
}

#[tokio::test]
async fn a_tool_whose_program_is_missing_fails_and_says_so() {
    let node = node().await;
    let client = node.client();
    let run = start(&client, request(tool("no-such-program"), "x")).await;
    let run = over(&client, &run.run_id).await;
    assert_eq!(run.state, i32::from(RunState::Failed));
    let why = client.pipeline().explain(&run.run_id).await.unwrap().text;
    assert!(why.contains("no-such-program"), "{why}");
}

#[tokio::test]
async fn no_capacity_leak_when_a_run_is_cancelled() {
    let node = node().await;
    let client = node.client();
    let run = start(&client, request(tool("sleep"), "600")).await;
    until("it holds cores", LIMIT, async || {
        let offers = client.compute().offers().await.ok()?;
        offers
            .iter()
            .any(|offer| offer.used.is_some_and(|used| used.cores > 0))
            .then_some(())
    })
    .await;
    client.pipeline().cancel(&run.run_id).await.unwrap();
    let run = over(&client, &run.run_id).await;
    assert_eq!(run.state, i32::from(RunState::Cancelled));
    until("no_capacity_leak", LIMIT, async || {
        let offers = client.compute().offers().await.ok()?;
        offers
            .iter()
            .all(|offer| offer.used.is_none_or(|used| used.cores == 0))
            .then_some(())
    })
    .await;
}

#[tokio::test]
async fn a_faulty_workflow_is_refused_with_its_place_and_starts_nothing() {
    let node = node().await;
    let client = node.client();
    let faulty = tool("echo").replace("baseCommand", "baseComand");
    let start = StartRunRequest {
        run: Some(request(faulty, "x")),
        operation_id: String::new(),
    };
    let error = client.pipeline().start(&start).await.unwrap_err();
    let problem = error.problem().unwrap();
    assert_eq!(problem.status, 422, "{error}");
    assert_eq!(problem.errors[0].line, Some(3), "{problem:?}");
    assert!(client.pipeline().runs(10).await.unwrap().is_empty());
}

#[tokio::test]
async fn a_run_ends_well_although_the_node_was_killed_in_the_middle() {
    let mut node = node().await;
    let client = node.client();
    let run = start(&client, request(tool("sleep"), "3")).await;
    until("it holds cores", LIMIT, async || {
        let offers = client.compute().offers().await.ok()?;
        offers
            .iter()
            .any(|offer| offer.used.is_some_and(|used| used.cores > 0))
            .then_some(())
    })
    .await;
    node.kill();
    node.begin().await;
    let client = node.client();
    let run = until("the run is over", Duration::from_secs(100), async || {
        let run = client.pipeline().run(&run.run_id).await.ok()?;
        (run.ended_at_ms > 0).then_some(run)
    })
    .await;
    let why = client.pipeline().explain(&run.run_id).await.unwrap().text;
    assert_eq!(
        run.state,
        i32::from(RunState::Succeeded),
        "no_silence: {why}"
    );
    assert!(
        !node.log().contains("makes no entry in the books"),
        "our own work left an event that the books cannot read:\n{}",
        node.log()
    );
}

//! Grants that list the tools which may read their data.

use http::Method;
use oc_kernel::{Digest, Kind};
use oc_service::CallError;
use serde_json::{Value, json};

use crate::attempts::story;
use crate::work::{Attempt, staged};
use crate::world::eventually;

#[tokio::test]
async fn a_grant_that_lists_its_tools_lets_no_other_run() {
    let (north, south, _) = story().await;
    let asked = north.ask(&south, &["compute.default"], "op-2").await;
    let id = asked["grant"]["grant_id"].as_str().unwrap().to_owned();
    assert_eq!(asked["grant"]["state"], "active");
    south.ok(Method::DELETE, "rules/all", Value::Null).await;
    let asked = north.ask(&south, &["compute.default"], "op-3").await;
    let id3 = asked["grant"]["grant_id"].as_str().unwrap().to_owned();
    let tools = json!({"tools": [Digest::of(b"another tool").to_string()]});
    south
        .ok(Method::POST, &format!("grants/{id3}/approve"), tools)
        .await;
    eventually(async || north.grant(&id3).await["state"] == "active").await;
    let attempt = Attempt::new(&north.grant(&id3).await);
    let held = attempt.reserve(&north, &south).await.unwrap();
    let submission = attempt.submission(&north, &south, &held).await;
    let error = CallError::from(attempt.refused(&north, &south, submission).await);
    assert_eq!(error.kind, Kind::Forbidden);
    assert!(
        error
            .message
            .contains("may not read the data of this grant"),
        "{error}"
    );
    let free = Attempt::new(&north.grant(&id).await);
    free.start(&north, &south).await;
}

#[tokio::test]
async fn a_tool_that_another_lists_is_refused_for_its_owner_could_change_it() {
    let (north, south, _) = story().await;
    south.ok(Method::DELETE, "rules/all", Value::Null).await;
    let asked = north.ask(&south, &["compute.default"], "op-2").await;
    let id = asked["grant"]["grant_id"].as_str().unwrap().to_owned();
    let tools = json!({"tools": [format!("{}/processing.say.1.0", north.id)]});
    let approve = format!("grants/{id}/approve");
    let rule = json!({"rule": {"max_life_seconds": 60, "tools": tools["tools"]}});
    for (method, path) in [
        (Method::POST, approve.as_str()),
        (Method::PUT, "rules/some"),
    ] {
        let body = if path == approve {
            tools.clone()
        } else {
            rule.clone()
        };
        let (status, text) = south.refused(method, path, body).await;
        assert_eq!(status, 422, "{text}");
        assert!(text.contains("a listing of our own"), "{text}");
    }
    assert_eq!(south.grant(&id).await["state"], "pending");
}

/// Two tools, of which only what the second says leaves.
fn service() -> Value {
    let tool = |command: &str| {
        json!({
            "class": "CommandLineTool", "baseCommand": [command],
            "inputs": [{"id": "text", "type": "string", "inputBinding": {"position": 1}}],
            "outputs": [
                {"id": "said", "type": "stdout"},
                {"id": "text", "type": "string", "outputBinding": {"glob": "said.txt", "loadContents": true,
                 "outputEval": "$(self[0].contents)"}}
            ],
            "stdout": "said.txt"
        })
    };
    let step = |id: &str, source: &str, out: &str| json!({"id": id, "in": [{"id": "text", "source": source}], "out": [out], "run": tool(id)});
    json!({
        "cwlVersion": "v1.2", "class": "Workflow", "id": "service",
        "inputs": [{"id": "text", "type": "string"}],
        "outputs": [{"id": "said", "type": "File", "outputSource": "second/said"}],
        "steps": [step("first", "text", "text"), step("second", "first/text", "said")]
    })
}

#[tokio::test]
async fn a_listed_service_runs_whole_and_no_other_arrangement_of_its_tools() {
    let (north, south, _) = story().await;
    south.catalogue.list(oc_proto::catalog::v1::Listing {
        owner: south.id.to_string(),
        listing_id: "processing.say.1.0".to_owned(),
        body_json: json!({"cwl": service().to_string()}).to_string(),
        ..Default::default()
    });
    south.ok(Method::DELETE, "rules/all", Value::Null).await;
    let asked = north.ask(&south, &["compute.default"], "op-2").await;
    let id = asked["grant"]["grant_id"].as_str().unwrap().to_owned();
    let tools = json!({"tools": [format!("{}/processing.say.1.0", south.id)]});
    south
        .ok(Method::POST, &format!("grants/{id}/approve"), tools)
        .await;
    eventually(async || north.grant(&id).await["state"] == "active").await;
    let grant = north.grant(&id).await;
    let submitted = |document: &Value| {
        let limits = oc_cwl::Limits::default();
        let document = oc_cwl::Document::parse(&document.to_string(), "run", &limits).unwrap();
        let mut attempt = Attempt::new(&grant);
        attempt.document = oc_workflow::listed::whole(document).unwrap().to_json();
        attempt
    };

    let mut exposed = service();
    exposed["steps"][0]["out"] = json!(["text", "said"]);
    let first = json!({"id": "raw", "type": "File", "outputSource": "first/said"});
    exposed["outputs"].as_array_mut().unwrap().push(first);
    let mut alone = service();
    alone["steps"].as_array_mut().unwrap().remove(1);
    alone["outputs"] = json!([{"id": "said", "type": "string", "outputSource": "first/text"}]);
    let mut computed = service();
    computed["requirements"] = json!([{"class": "StepInputExpressionRequirement"}]);
    computed["steps"][0]["in"][0]["valueFrom"] = json!("$(self)");
    for other in [exposed, alone, computed] {
        let attempt = submitted(&other);
        let held = attempt.reserve(&north, &south).await.unwrap();
        let submission = attempt.submission(&north, &south, &held).await;
        let error = CallError::from(attempt.refused(&north, &south, submission).await);
        assert_eq!(error.kind, Kind::Forbidden);
        assert!(error.message.contains("whole and unchanged"), "{error}");
        attempt.release(&north, &south).await;
    }
    // What North could choose freely beside the data might make the tool tell them.
    let mut beside = submitted(&service());
    beside.inputs = vec![staged("own", north.id, "toulouse/own.txt", b"1000")];
    let mut written = submitted(&service());
    for (attempt, job) in [
        (&mut beside, json!({"text": "hello"})),
        (
            &mut written,
            json!({"text": {"class": "File", "contents": "1000"}}),
        ),
    ] {
        let held = attempt.reserve(&north, &south).await.unwrap();
        let mut submission = attempt.submission(&north, &south, &held).await;
        submission.fragment.as_mut().unwrap().job_json = job.to_string();
        let error = CallError::from(attempt.refused(&north, &south, submission).await);
        assert_eq!(error.kind, Kind::Forbidden);
        assert!(
            error.message.contains("nothing of others beside"),
            "{error}"
        );
        attempt.release(&north, &south).await;
    }
    submitted(&service()).start(&north, &south).await;
}

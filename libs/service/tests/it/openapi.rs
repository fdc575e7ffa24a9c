//! What a service's document says, whatever its routes say of themselves.

use serde_json::{Value, json};

use super::support::{Running, client, echo};

async fn served() -> Value {
    let running = Running::start(vec![echo()]).await;
    let get = client().get(running.url("/api/echo/openapi.json"));
    get.send().await.unwrap().json().await.unwrap()
}

#[tokio::test]
async fn a_document_names_its_service_and_how_a_token_is_sent() {
    let api = served().await;
    assert_eq!(api["info"]["title"], "Open Cloud: echo");
    assert_eq!(api["info"]["version"], "v1");
    assert_eq!(api["info"]["license"]["identifier"], "Apache-2.0");
    let bearer = &api["components"]["securitySchemes"]["bearer"];
    assert_eq!(
        (&bearer["type"], &bearer["scheme"]),
        (&json!("http"), &json!("bearer"))
    );
}

#[tokio::test]
async fn every_closed_route_says_which_role_it_needs_and_how_it_refuses() {
    let api = served().await;
    let mut closed = 0;
    for (path, item) in api["paths"].as_object().unwrap() {
        for (method, operation) in item.as_object().unwrap() {
            let said = operation["description"].as_str().unwrap();
            if path == "/api/echo/v1/events" {
                assert!(said.ends_with("Needs no account."), "{said}");
                assert!(operation["security"].is_null());
                assert!(operation["responses"]["401"].is_null());
                continue;
            }
            closed += 1;
            let role = if method == "put" { "operator" } else { "user" };
            assert!(
                said.ends_with(&format!("Needs the role {role}.")),
                "{path}: {said}"
            );
            assert_eq!(operation["security"], json!([{"bearer": []}]), "{path}");
            for status in ["401", "403"] {
                let answer = &operation["responses"][status];
                let body = &answer["content"]["application/problem+json"]["schema"]["$ref"];
                assert_eq!(body, "#/components/schemas/Problem", "{path} {status}");
            }
        }
    }
    assert_eq!(closed, 4);
    assert!(api["components"]["schemas"]["Problem"].is_object());
    assert!(api["components"]["schemas"]["Finding"].is_object());
}

#[tokio::test]
async fn what_a_route_says_itself_stays_and_what_it_leaves_out_is_filled_in() {
    let api = served().await;
    let relay = &api["paths"]["/api/echo/v1/relay"]["get"];
    assert_eq!(
        relay["summary"],
        "Answers with the request id that another service saw."
    );
    assert_eq!(relay["tags"], json!(["relay"]));
    let answers = &relay["responses"];
    assert_eq!(answers["200"]["description"], "OK");
    let unavailable = &answers["503"];
    assert_eq!(unavailable["description"], "the other service is away");
    assert!(unavailable["content"]["application/problem+json"].is_object());
    assert!(unavailable["content"]["application/json"].is_null());
}

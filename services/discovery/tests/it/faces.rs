//! The faces: who may call what, and what is promised in writing.

use std::path::Path;

use crate::org::app;

#[tokio::test]
async fn every_route_and_method_is_closed_to_the_wrong_role() {
    let (app, _folder) = app().await;
    let walk = oc_service::access::walk(app).await.unwrap();
    assert!(walk.requests > 100, "{}", walk.requests);
    assert_eq!(walk.faults, Vec::<String>::new());
}

#[tokio::test]
async fn the_written_api_is_the_one_that_is_served() {
    let (app, _folder) = app().await;
    let file = concat!(
        env!("CARGO_MANIFEST_DIR"),
        "/../../docs/openapi/discovery.json"
    );
    oc_service::openapi::check(&app, Path::new(file)).unwrap();
}

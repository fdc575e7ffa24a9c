//! Both faces: who may call what, and what they say they are.

use std::path::Path;

use crate::world::app;

#[tokio::test]
async fn every_route_and_method_needs_its_role() {
    let (app, _folder) = app().await;
    let walk = oc_service::access::walk(app).await.unwrap();
    assert!(walk.requests > 40, "{}", walk.requests);
    assert_eq!(walk.faults, Vec::<String>::new());
}

#[tokio::test]
async fn the_api_is_the_one_that_is_checked_in() {
    let (app, _folder) = app().await;
    let file = concat!(
        env!("CARGO_MANIFEST_DIR"),
        "/../../docs/openapi/accounting.json"
    );
    oc_service::openapi::check(&app, Path::new(file)).unwrap();
}

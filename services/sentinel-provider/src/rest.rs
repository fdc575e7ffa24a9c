//! The REST face: [`datasets`] below `/api/data`, [`stac`] below `/stac`, [`bulk`] for discovery and
//! compute-provider.

mod bulk;
mod datasets;
mod range;
mod stac;

pub(crate) use bulk::PATH as BULK_PATH;

use utoipa::openapi::OpenApi;

use crate::Face;

/// Every route, and what describes it.
pub(crate) fn api(face: Face) -> (axum::Router, OpenApi) {
    let api = datasets::api().merge(stac::api()).merge(bulk::api());
    let (routes, mut openapi) = api.with_state(face).split_for_parts();
    // OpenAPI has no wildcards: `{*key}` is described as `{key}`.
    let paths = std::mem::take(&mut openapi.paths.paths).into_iter();
    openapi.paths.paths = paths
        .map(|(path, item)| (path.replace("{*", "{"), item))
        .collect();
    (routes, openapi)
}

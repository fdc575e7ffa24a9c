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
    api.with_state(face).split_for_parts()
}

//! The REST face: [`datasets`] below `/api/data`, [`stac`] below `/stac`, [`bulk`] for discovery and
//! compute-provider.

mod bulk;
mod datasets;
mod range;
mod stac;

pub(crate) use bulk::PATH as BULK_PATH;

use utoipa_axum::router::OpenApiRouter;

use crate::Face;

/// Every route.
pub(crate) fn api() -> OpenApiRouter<Face> {
    datasets::api().merge(stac::api()).merge(bulk::api())
}

//! Generated bindings of `proto/`, checked in, and the descriptor set for reflection.
//!
//! One API, two encodings: the messages speak protobuf on gRPC and, through serde, JSON on REST, so that
//! both faces of a service cannot drift apart. In JSON fields keep their proto names, enums are short
//! lower-case words (`active`, not `GRANT_STATE_ACTIVE`), bytes are base64 and 64-bit integers are numbers.
//!
//! Knows nothing else of ours. `tests/bootstrap.rs` writes `src/gen` and fails when it was out of date;
//! run it once after a change in `proto/`.

pub mod json;

macro_rules! packages {
    ($($domain:ident),* $(,)?) => {$(
        #[doc = concat!("Package `oc.", stringify!($domain), "`.")]
        #[allow(clippy::all, clippy::allow_attributes_without_reason, unreachable_pub, unused_qualifications, missing_docs, reason = "generated")]
        pub mod $domain {
            #[doc = concat!("Package `oc.", stringify!($domain), ".v1`.")]
            pub mod v1 {
                include!(concat!("gen/oc.", stringify!($domain), ".v1.rs"));
            }
        }
    )*};
}

packages! {
    accounting, backend, catalog, compute, data, discovery, federation, pipeline, service, types,
}

/// The descriptor set of every package, for gRPC reflection and for tests that walk all methods.
pub const DESCRIPTORS: &[u8] = include_bytes!("gen/descriptors.bin");

//! The orchestrator through its edge.
#![expect(clippy::unwrap_used, reason = "a test whose set-up fails must fail")]

mod erasure;
mod faces;

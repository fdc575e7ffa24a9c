//! The relay between an outbox and the bus.
#![expect(clippy::unwrap_used, reason = "test code: a panic is its verdict")]

mod relay;

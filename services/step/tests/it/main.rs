//! The runner against a node's routes, and its parts in real sandboxes.

#![expect(clippy::unwrap_used, reason = "a test fails by panicking")]

mod attempts;
mod bench;
mod fake_node;
mod lifetime;
mod transfer;

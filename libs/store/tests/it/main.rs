//! What only a process of its own, or the bus beside the store, can show.
#![expect(clippy::unwrap_used, reason = "test code: a panic is its verdict")]

mod durability;
mod outbox;

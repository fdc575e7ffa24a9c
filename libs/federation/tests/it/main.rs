//! Real swarms on the loopback interface.

#![expect(
    clippy::unwrap_used,
    reason = "a helper of a test fails the test as its body does"
)]

mod bulk;
mod calls;
mod flood;
mod membership;
mod nodes;
mod refusals;

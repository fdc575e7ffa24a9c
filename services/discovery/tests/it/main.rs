//! Organisations that meet: real swarms on the loopback interface, real doors, small services behind them.

#![expect(
    clippy::unwrap_used,
    reason = "a helper of a test fails the test as its body does"
)]

mod behind;
mod faces;
mod members;
mod org;
mod strangers;
mod through;

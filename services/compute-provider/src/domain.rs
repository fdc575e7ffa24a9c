//! The rules of offering machines and storage: types that cannot hold a bad value, decisions and errors.
//! It knows no transport, no driver and no clock of its own.

pub mod attempt;
pub mod digest;
pub mod lease;
pub mod ledger;
pub mod resources;
pub mod runtime;
pub mod step;
pub mod supervise;

//! The rules of offering machines and storage: types that cannot hold a bad value, decisions and errors.
//! It knows no transport, no driver and no clock of its own.

pub mod admission;
pub mod attempt;
pub mod egress;
pub mod fragment;
pub mod grant;
pub mod lease;
pub mod ledger;
pub mod metering;
pub mod offer;
pub mod resources;
pub mod room;
pub mod runtime;
pub mod step;
pub mod supervise;

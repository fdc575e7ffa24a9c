//! compute-provider: our machines and storage for our own runs and for partners' steps. It keeps offers,
//! grants and the ledger of capacity, admits attempts, has them run and serves the objects of storage offers.
//!
//! It does not know how a workflow is planned, how a partner is reached, or what a usage record costs.

pub mod domain;
pub mod runtime;

//! The rules: who we are, which networks we are in, whom we know, what may pass the door. No transport.

pub(crate) mod budget;
pub(crate) mod calls;
pub(crate) mod error;
pub(crate) mod network;
pub(crate) mod partner;
pub(crate) mod policy;
pub(crate) mod skew;

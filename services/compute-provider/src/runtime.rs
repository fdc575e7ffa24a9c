//! Running attempts as processes of this machine: one `oc-step` for each, and the routes it calls.
//!
//! It knows processes, folders and the runner's protocol. It decides nothing: what may run comes from
//! the domain, what may be read or written is checked behind [`StepObjects`].
//!
//! [`StepObjects`]: crate::domain::step::StepObjects

mod disk;
mod keeper;
mod places;
pub mod process;
mod protocol;
pub mod routes;
mod tree;

#[cfg(test)]
mod tests;

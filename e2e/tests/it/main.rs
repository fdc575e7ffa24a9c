//! The whole, as its users see it.
#![allow(clippy::unwrap_used, reason = "tests")]

mod demo;
mod joining;
mod running;
mod starting;

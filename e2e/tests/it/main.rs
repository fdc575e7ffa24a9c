//! The whole, as its users see it.
#![allow(clippy::unwrap_used, reason = "tests")]

mod commands;
mod demo;
mod joining;
mod mains;
mod running;
mod starting;

//! The library through its public face.
#![expect(clippy::unwrap_used, reason = "a test whose set-up fails must fail")]

mod agreed;
mod budget;
mod driven;
mod explain;
mod plan;
mod reasons;
mod run;
mod simulation;
mod sites;
mod tools;
mod trouble;
mod world;

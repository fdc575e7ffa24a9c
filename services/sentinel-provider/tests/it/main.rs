//! sentinel-provider through its own edge, beside the parts of other services that it asks.
#![expect(clippy::unwrap_used, reason = "test code: a panic is its verdict")]

mod access;
mod datasets;
mod faces;
mod lent;
mod listings;
mod neighbours;
mod orders;
mod stac;
mod world;

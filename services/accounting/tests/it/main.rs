//! accounting of two organisations, each behind its own edge, with a door between them.

#![expect(clippy::unwrap_used, reason = "a test that cannot go on has failed")]

mod books;
mod discovery;
mod faces;
mod hostile;
mod ledger;
mod people;
mod reports;
mod restoring;
mod signing;
mod world;

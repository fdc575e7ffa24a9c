//! Proofs of who may do what inside one organisation: macaroons for steps and transfers, tokens for people's
//! local accounts.
//!
//! It knows no HTTP, no store and no clock; who a caller is and what a route asks of it is decided where
//! requests arrive. Authority between organisations is a matter of signatures, not of macaroons.

mod account;
mod caveat;
mod error;
mod format;
mod macaroon;

pub use account::{AccountToken, TokenDigest, TokenError};
pub use caveat::{Access, Ask, Caveat, Refusal};
pub use error::MacaroonError;
pub use macaroon::{Macaroon, RootKey};

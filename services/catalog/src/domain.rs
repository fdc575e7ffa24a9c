//! The rules of the catalogue: what an offer may say, how ours are numbered and signed, how partners' are
//! taken over and forgotten, and how all of them are searched. It knows the store and the statements that
//! organisations sign, and no gRPC, REST or protobuf.

mod area;
mod entry;
mod error;
mod feed;
mod index;
mod offer;
mod own;
mod partners;
mod query;

pub(crate) use area::Area;
pub(crate) use entry::{Entry, Key, Life};
pub use error::CatalogError;
pub(crate) use feed::{Audience, Deltas};
pub(crate) use index::Index;
pub(crate) use offer::Offer;
pub(crate) use own::Own;
pub(crate) use partners::{Most, Partners};
pub(crate) use query::{Found, Query};

//! Tasks beside the requests.

mod follow;
mod grants;
mod listing;
mod sweep;

pub(crate) use follow::{Follow, subscribe as subscribe_to_changes};
pub(crate) use grants::{end_with_grants, subscribe as subscribe_to_grants};
pub(crate) use listing::tend_listings;
pub(crate) use sweep::sweep;

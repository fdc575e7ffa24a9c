//! Rules about accounts, favourites and drafts. Nothing here knows HTTP or gRPC.

pub(crate) mod account;
pub(crate) mod draft;
pub(crate) mod error;
pub(crate) mod favorite;

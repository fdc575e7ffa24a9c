//! What the orchestrator needs of others: small traits of its own, each with one adapter over the generated
//! clients.

mod books;
mod catalogue;
mod federation;
mod grants;
mod objects;
mod outputs;

pub(crate) use books::{Books, RemoteBooks};
pub(crate) use catalogue::{Catalogue, RemoteCatalogue};
#[cfg(test)]
pub(crate) use federation::AttemptEvents;
pub(crate) use federation::{BehindTheDoor, Federation};
pub(crate) use grants::{Grants, RemoteGrants};
pub(crate) use objects::{Objects, RemoteObjects};
pub(crate) use outputs::{Outputs, OutputsAtTheirOwner};

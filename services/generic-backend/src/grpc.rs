//! The gRPC face, and how the domain looks in the messages that both faces speak.

mod account;
mod draft;
mod favorite;

use oc_kernel::Revision;
use oc_proto::backend::v1 as pb;
use oc_proto::backend::v1::account_service_server::AccountServiceServer;
use oc_proto::backend::v1::draft_service_server::DraftServiceServer;
use oc_proto::backend::v1::favorite_service_server::FavoriteServiceServer;
use oc_service::access::Principal;
use tonic::service::Routes;

pub(crate) use self::account::me;
pub(crate) use self::draft::without_content;
use crate::Backend;
use crate::domain::account::Account;
use crate::domain::draft::Draft;
use crate::domain::error::BackendError;
use crate::domain::favorite::Favorite;

/// The services of this crate.
pub(crate) fn routes(backend: Backend) -> Routes {
    Routes::new(FavoriteServiceServer::new(favorite::Face(backend.clone())))
        .add_service(DraftServiceServer::new(draft::Face(backend.clone())))
        .add_service(AccountServiceServer::new(account::Face(backend)))
}

/// The id of the person who calls.
pub(crate) fn person(caller: &Principal) -> Result<&str, BackendError> {
    caller
        .user()
        .map(|user| user.id.as_str())
        .ok_or(BackendError::NoPerson)
}

impl From<Account> for pb::User {
    fn from(account: Account) -> Self {
        Self {
            user_id: account.user_id,
            name: account.name.to_string(),
            roles: account.roles.into_iter().collect(),
            created_at_ms: account.created_at_ms,
        }
    }
}

impl From<Favorite> for pb::Favorite {
    fn from(favorite: Favorite) -> Self {
        Self {
            owner: favorite.owner.to_string(),
            listing_id: favorite.listing_id.to_string(),
            note: favorite.note,
            added_at_ms: favorite.added_at_ms,
        }
    }
}

/// A draft as a message.
pub(crate) fn draft_message(draft: Draft, revision: Revision) -> pb::Draft {
    pb::Draft {
        name: draft.name.to_string(),
        cwl: draft.cwl,
        layout_json: draft.layout_json,
        revision: revision.0,
        updated_at_ms: draft.updated_at_ms,
    }
}

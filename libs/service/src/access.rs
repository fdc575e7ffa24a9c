//! Who calls, and what they may call. Every route and every gRPC method names the roles it is open to; what
//! is not named is refused. The table is enforced in one place, the edge, before anything reads the body.

mod principal;
mod table;
mod walk;

pub use principal::{
    AnyOf, AuthError, Authenticator, Partner, Principal, Role, StaticTokens, User,
};
pub use table::Access;
pub(crate) use table::{Face, Table, Target, Verdict};
pub use walk::{Walk, walk, walk_bodies};

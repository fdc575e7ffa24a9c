//! Who calls.

use std::collections::{BTreeMap, BTreeSet};
use std::convert::Infallible;
use std::fmt;
use std::str::FromStr;
use std::sync::Arc;

use async_trait::async_trait;
use axum::extract::FromRequestParts;
use http::request::Parts;
use http::{Extensions, HeaderMap};
use oc_kernel::{Classify, Kind, OrgId};
use serde::{Deserialize, Serialize};

/// What a route or method asks of its caller, and what an account is given.
///
/// An admin may do what an operator may, an operator what a user may. A service of this organisation may
/// do what a user may: it acts for one. It is no operator: a method for both lists both.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Role {
    /// Anyone, without a token.
    Public,
    /// A member of this organisation.
    User,
    /// Who keeps this node running and decides what it offers.
    Operator,
    /// Who decides about accounts, networks and keys.
    Admin,
    /// Another service of this organisation.
    Service,
    /// Another organisation, let in by the door.
    Partner,
}

impl Role {
    /// Every role.
    pub const ALL: [Role; 6] = [
        Role::Public,
        Role::User,
        Role::Operator,
        Role::Admin,
        Role::Service,
        Role::Partner,
    ];

    /// Its name in settings and messages.
    pub const fn as_str(self) -> &'static str {
        match self {
            Role::Public => "public",
            Role::User => "user",
            Role::Operator => "operator",
            Role::Admin => "admin",
            Role::Service => "service",
            Role::Partner => "partner",
        }
    }

    /// True when `caller` may call what asks for this role.
    pub fn admits(self, caller: &Principal) -> bool {
        match self {
            Role::Public => true,
            Role::User => match caller {
                Principal::User(user) => user.roles.iter().any(|role| *role >= Role::User),
                Principal::Service(_) => true,
                Principal::Anonymous | Principal::Partner(_) => false,
            },
            Role::Operator => caller.has(Role::Operator) || caller.has(Role::Admin),
            Role::Admin => caller.has(Role::Admin),
            Role::Service => matches!(caller, Principal::Service(_)),
            Role::Partner => matches!(caller, Principal::Partner(_)),
        }
    }
}

impl fmt::Display for Role {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

/// A text that names no role.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("`{0}` is not a role: write user, operator or admin")]
pub struct ParseRoleError(String);

impl FromStr for Role {
    type Err = ParseRoleError;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        Role::ALL
            .into_iter()
            .find(|role| role.as_str() == text)
            .ok_or_else(|| ParseRoleError(text.chars().take(40).collect()))
    }
}

/// A person, or a program that acts for one.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct User {
    /// Stable and unique in this organisation; what documents name as their owner.
    pub id: String,
    /// For people.
    pub name: String,
    /// Of user, operator and admin.
    pub roles: BTreeSet<Role>,
}

/// Another organisation, as the door's statement names it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Partner {
    /// The organisation.
    pub org: OrgId,
    /// The libp2p PeerId of the node that called.
    pub peer: String,
    /// The network the call came through.
    pub network: String,
}

/// Who calls, proven. It lies in the extensions of every request a handler sees.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Principal {
    /// Nobody in particular: a public route without a token.
    Anonymous,
    /// A person of this organisation.
    User(User),
    /// A service of this organisation, by name.
    Service(String),
    /// Another organisation.
    Partner(Partner),
}

impl Principal {
    /// The principal of a request: [`Principal::Anonymous`] where the edge put none.
    pub fn of(extensions: &Extensions) -> Principal {
        let found = extensions.get::<Principal>();
        found.cloned().unwrap_or(Principal::Anonymous)
    }

    /// The principal of a gRPC request.
    pub fn of_rpc<T>(request: &tonic::Request<T>) -> Principal {
        let found = request.extensions().get::<Principal>();
        found.cloned().unwrap_or(Principal::Anonymous)
    }

    /// The person, where it is one.
    pub fn user(&self) -> Option<&User> {
        match self {
            Principal::User(user) => Some(user),
            Principal::Anonymous | Principal::Service(_) | Principal::Partner(_) => None,
        }
    }

    /// The partner, where it is one.
    pub fn partner(&self) -> Option<&Partner> {
        match self {
            Principal::Partner(partner) => Some(partner),
            Principal::Anonymous | Principal::Service(_) | Principal::User(_) => None,
        }
    }

    fn has(&self, role: Role) -> bool {
        self.user().is_some_and(|user| user.roles.contains(&role))
    }
}

impl fmt::Display for Principal {
    /// For the log: ids only, never a person's name.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Principal::Anonymous => f.write_str("anonymous"),
            Principal::User(user) => write!(f, "user:{}", user.id),
            Principal::Service(name) => write!(f, "service:{name}"),
            Principal::Partner(partner) => write!(f, "partner:{}", partner.org),
        }
    }
}

impl<S: Sync> FromRequestParts<S> for Principal {
    type Rejection = Infallible;

    async fn from_request_parts(parts: &mut Parts, _: &S) -> Result<Self, Infallible> {
        Ok(Principal::of(&parts.extensions))
    }
}

/// Why a proof is not accepted.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum AuthError {
    /// The proof was read and is wrong, with the reason.
    #[error("{0}")]
    Refused(String),
    /// Whoever can tell cannot be reached.
    #[error("who is calling cannot be checked now: {0}")]
    Unavailable(String),
}

impl Classify for AuthError {
    fn kind(&self) -> Kind {
        match self {
            AuthError::Refused(_) => Kind::Unauthenticated,
            AuthError::Unavailable(_) => Kind::Unavailable,
        }
    }
}

/// Turns what a request carries into who sent it.
#[async_trait]
pub trait Authenticator: Send + Sync + 'static {
    /// Who holds this bearer token; none when nobody does.
    ///
    /// # Errors
    /// When the token is refused for a reason of its own (expired), or cannot be checked.
    async fn bearer(&self, token: &str) -> Result<Option<Principal>, AuthError>;

    /// The partner for whom the door vouches in the headers, for this very method path; none without a
    /// statement. Called for routes open to [`Role::Partner`] only.
    ///
    /// # Errors
    /// When the statement is wrong, or cannot be checked.
    async fn partner(
        &self,
        headers: &HeaderMap,
        path: &str,
    ) -> Result<Option<Principal>, AuthError>;
}

/// Several authenticators, asked one after the other until one knows.
pub struct AnyOf(Vec<Arc<dyn Authenticator>>);

impl AnyOf {
    /// Asks these, in this order.
    pub fn new(all: impl IntoIterator<Item = Arc<dyn Authenticator>>) -> Self {
        Self(all.into_iter().collect())
    }
}

#[async_trait]
impl Authenticator for AnyOf {
    async fn bearer(&self, token: &str) -> Result<Option<Principal>, AuthError> {
        for one in &self.0 {
            if let Some(principal) = one.bearer(token).await? {
                return Ok(Some(principal));
            }
        }
        Ok(None)
    }

    async fn partner(
        &self,
        headers: &HeaderMap,
        path: &str,
    ) -> Result<Option<Principal>, AuthError> {
        for one in &self.0 {
            if let Some(principal) = one.partner(headers, path).await? {
                return Ok(Some(principal));
            }
        }
        Ok(None)
    }
}

/// A fixed table of tokens: service tokens out of settings, and tests.
#[derive(Debug, Clone, Default)]
pub struct StaticTokens(BTreeMap<String, Principal>);

impl StaticTokens {
    /// An authenticator that knows these tokens and no partner.
    pub fn new(tokens: impl IntoIterator<Item = (String, Principal)>) -> Self {
        Self(tokens.into_iter().collect())
    }

    /// One token a role, each named as the role: `user`, `operator`, `admin`, `service`.
    pub fn of_roles() -> Self {
        let user = |role: Role| {
            Principal::User(User {
                id: role.as_str().to_owned(),
                name: role.as_str().to_owned(),
                roles: BTreeSet::from([role]),
            })
        };
        let people = [Role::User, Role::Operator, Role::Admin].map(|role| (role, user(role)));
        let service = (Role::Service, Principal::Service("test".to_owned()));
        let all = people.into_iter().chain([service]);
        Self::new(all.map(|(role, principal)| (role.as_str().to_owned(), principal)))
    }
}

#[async_trait]
impl Authenticator for StaticTokens {
    async fn bearer(&self, token: &str) -> Result<Option<Principal>, AuthError> {
        Ok(self.0.get(token).cloned())
    }

    async fn partner(&self, _: &HeaderMap, _: &str) -> Result<Option<Principal>, AuthError> {
        Ok(None)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn user(role: Role) -> Principal {
        Principal::User(User {
            id: "u".to_owned(),
            name: "U".to_owned(),
            roles: BTreeSet::from([role]),
        })
    }

    #[test]
    fn each_role_of_people_includes_the_lesser_ones() {
        let people = [Role::User, Role::Operator, Role::Admin];
        for (rank, held) in people.into_iter().enumerate() {
            for (needed, asked) in people.into_iter().enumerate() {
                assert_eq!(
                    asked.admits(&user(held)),
                    rank >= needed,
                    "{held} on {asked}"
                );
            }
            assert!(!Role::Service.admits(&user(held)));
            assert!(!Role::Partner.admits(&user(held)));
        }
    }

    #[test]
    fn a_service_may_do_what_a_user_may_and_a_partner_only_what_is_for_partners() {
        let service = Principal::Service("catalog".to_owned());
        let partner = Principal::Partner(Partner {
            org: OrgId::from_digest([7; 32]),
            peer: "p".to_owned(),
            network: "n".to_owned(),
        });
        let open_to = |caller: &Principal| Role::ALL.map(|role| role.admits(caller));
        // In the order of Role::ALL: public, user, operator, admin, service, partner.
        assert_eq!(open_to(&service), [true, true, false, false, true, false]);
        assert_eq!(open_to(&partner), [true, false, false, false, false, true]);
        assert_eq!(
            open_to(&Principal::Anonymous),
            [true, false, false, false, false, false]
        );
    }

    #[tokio::test]
    async fn the_first_that_knows_a_token_decides() {
        let known = |token: &str, name: &str| -> Arc<dyn Authenticator> {
            let principal = Principal::Service(name.to_owned());
            Arc::new(StaticTokens::new([(token.to_owned(), principal)]))
        };
        let any = AnyOf::new([
            known("a", "first"),
            known("a", "second"),
            known("b", "third"),
        ]);
        let name = async |token: &str| any.bearer(token).await.unwrap().map(|p| p.to_string());
        assert_eq!(name("a").await.as_deref(), Some("service:first"));
        assert_eq!(name("b").await.as_deref(), Some("service:third"));
        assert_eq!(name("c").await, None);
    }

    #[test]
    fn an_account_without_a_role_may_do_nothing() {
        let nobody = Principal::User(User {
            id: "u".into(),
            name: "U".into(),
            roles: BTreeSet::new(),
        });
        assert!(!Role::User.admits(&nobody));
    }
}

//! The accounts as the authenticator of the process they live in.

use async_trait::async_trait;
use http::HeaderMap;
use oc_kernel::{Classify as _, Kind};
use oc_service::access::{AuthError, Authenticator, Principal, Role, User};

use crate::domain::account::{Account, Accounts};

/// Reads accounts straight from the store: for this service's own edge.
pub struct LocalAccounts(Accounts);

impl LocalAccounts {
    /// An authenticator over these accounts.
    pub fn new(accounts: Accounts) -> Self {
        Self(accounts)
    }
}

#[async_trait]
impl Authenticator for LocalAccounts {
    async fn bearer(&self, token: &str) -> Result<Option<Principal>, AuthError> {
        match self.0.authenticate(token).await {
            Ok(account) => Ok(Some(Principal::User(user(&account)))),
            Err(error) if error.kind() == Kind::Unauthenticated => Ok(None),
            Err(error) => Err(AuthError::Unavailable(error.to_string())),
        }
    }

    async fn partner(&self, _: &HeaderMap, _: &str) -> Result<Option<Principal>, AuthError> {
        Ok(None)
    }
}

fn user(account: &Account) -> User {
    User {
        id: account.user_id.clone(),
        name: account.name.to_string(),
        roles: account
            .roles
            .iter()
            .filter_map(|role| role.parse::<Role>().ok())
            .collect(),
    }
}

//! Who holds a token: asked of generic-backend, which keeps the accounts.

use std::collections::BTreeMap;
use std::sync::{Mutex, PoisonError};
use std::time::{Duration, Instant};

use async_trait::async_trait;
use http::HeaderMap;
use oc_kernel::Kind;
use oc_proto::backend::v1::AuthenticateRequest;
use oc_proto::backend::v1::account_service_client::AccountServiceClient;
use oc_service::access::{AuthError, Authenticator, Principal, Role, User};
use oc_service::{CallError, Channel};

use crate::door::Door;

/// How long an answer is believed: a token that is taken away opens nothing this much later.
const BELIEVED: Duration = Duration::from_secs(5);
/// Tokens that are remembered.
const MOST: usize = 4096;

/// Local accounts as every other service sees them.
pub(crate) struct Accounts {
    backend: Channel,
    known: Mutex<BTreeMap<String, (Instant, User)>>,
}

impl Accounts {
    /// The accounts as the service behind `door` sees them.
    pub(crate) fn of(door: &Door) -> Self {
        Self {
            backend: door.backend(),
            known: Mutex::default(),
        }
    }

    fn remembered(&self, token: &str) -> Option<User> {
        let known = self.known.lock().unwrap_or_else(PoisonError::into_inner);
        known
            .get(token)
            .filter(|(since, _)| since.elapsed() < BELIEVED)
            .map(|(_, user)| user.clone())
    }

    fn remember(&self, token: &str, user: &User) {
        let mut known = self.known.lock().unwrap_or_else(PoisonError::into_inner);
        if known.len() >= MOST {
            known.retain(|_, (since, _)| since.elapsed() < BELIEVED);
        }
        if known.len() < MOST {
            known.insert(token.to_owned(), (Instant::now(), user.clone()));
        }
    }
}

#[async_trait]
impl Authenticator for Accounts {
    async fn bearer(&self, token: &str) -> Result<Option<Principal>, AuthError> {
        if let Some(user) = self.remembered(token) {
            return Ok(Some(Principal::User(user)));
        }
        let mut client = AccountServiceClient::new(self.backend.clone());
        let request = AuthenticateRequest {
            token: token.to_owned(),
        };
        let answer = match client.authenticate(request).await {
            Ok(answer) => answer.into_inner(),
            Err(status) => {
                let error = CallError::from(status);
                return match error.kind {
                    Kind::NotFound | Kind::Unauthenticated => Ok(None),
                    _ => Err(AuthError::Unavailable(error.message)),
                };
            }
        };
        let Some(user) = answer.user else {
            return Ok(None);
        };
        let roles = user
            .roles
            .iter()
            .filter_map(|role| role.parse::<Role>().ok())
            .collect();
        let user = User {
            id: user.user_id,
            name: user.name,
            roles,
        };
        self.remember(token, &user);
        Ok(Some(Principal::User(user)))
    }

    async fn partner(&self, _: &HeaderMap, _: &str) -> Result<Option<Principal>, AuthError> {
        Ok(None)
    }
}

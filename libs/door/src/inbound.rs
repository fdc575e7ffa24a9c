//! Who calls a federation method: read from the statement that discovery signs for each call it lets in.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, PoisonError};

use async_trait::async_trait;
use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use http::{HeaderMap, HeaderName};
use oc_kernel::OrgId;
use oc_service::access::{AnyOf, AuthError, Authenticator, Partner, Principal, StaticTokens};
use oc_trust::caller::Caller as Statement;
use oc_trust::envelope::{Here, Unverified};
use tonic::Status;

use crate::accounts::Accounts;
use crate::door::Door;

/// Header with the caller statement: a DSSE envelope in base64url without padding (RFC 4648 section 5).
pub const STATEMENT: HeaderName = HeaderName::from_static("oc-statement");

/// Nonces that are remembered. When more calls than this arrive within one statement's life, the oldest
/// statements are forgotten first and would be refused by their age soon after.
const NONCES: usize = 65_536;

/// Who calls a federation method.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Caller {
    /// The organisation; ours when one of our services calls.
    pub org: OrgId,
    /// True when one of our own services calls.
    pub own: bool,
    /// The network that a partner's call came over; none for our own.
    pub network: Option<String>,
}

/// Who calls: a partner as the door vouches, or our own organisation when a service of ours calls.
///
/// # Errors
/// `UNAUTHENTICATED` for anyone else, `UNAVAILABLE` when discovery cannot be asked who we are.
pub async fn caller<T: Sync>(door: &Door, request: &tonic::Request<T>) -> Result<Caller, Status> {
    match Principal::of_rpc(request) {
        Principal::Partner(partner) => Ok(Caller {
            org: partner.org,
            own: false,
            network: Some(partner.network),
        }),
        Principal::Service(_) => {
            let identity = door
                .identity()
                .await
                .map_err(|error| oc_service::status(&error))?;
            Ok(Caller {
                org: identity.org,
                own: true,
                network: None,
            })
        }
        Principal::User(_) | Principal::Anonymous => Err(Status::unauthenticated(
            "only organisations call this method, through the door",
        )),
    }
}

/// Checks partners' statements, and leaves bearer tokens to another authenticator.
pub struct DoorAuthenticator {
    door: Door,
    tokens: Arc<dyn Authenticator>,
    seen: Mutex<Seen>,
}

/// Nonces with the end of their statements; a statement is good for one call.
#[derive(Default)]
struct Seen {
    ends: BTreeMap<(u64, String), ()>,
}

impl Seen {
    /// Remembers a nonce; false when it was there.
    fn insert(&mut self, nonce: &str, end_ms: u64, now_ms: u64) -> bool {
        self.ends = self.ends.split_off(&(now_ms, String::new()));
        if self.ends.len() >= NONCES {
            self.ends.pop_first();
        }
        self.ends.insert((end_ms, nonce.to_owned()), ()).is_none()
    }
}

impl DoorAuthenticator {
    /// An authenticator for the service behind `door`; `tokens` knows its own people.
    pub fn new(door: Door, tokens: Arc<dyn Authenticator>) -> Self {
        Self {
            door,
            tokens,
            seen: Mutex::default(),
        }
    }

    /// An authenticator for a service in a process of its own: it knows partners by the door's statements, the
    /// other services as `callers` does, and people by the accounts of generic-backend.
    pub fn of_process(door: Door, callers: StaticTokens) -> Self {
        let people = Accounts::of(&door);
        let tokens: [Arc<dyn Authenticator>; 2] = [Arc::new(callers), Arc::new(people)];
        Self::new(door, Arc::new(AnyOf::new(tokens)))
    }

    async fn open(&self, header: &[u8], path: &str) -> Result<Partner, AuthError> {
        let refused = |text: String| AuthError::Refused(text);
        let bytes = URL_SAFE_NO_PAD
            .decode(header)
            .map_err(|_| refused("the door's statement is damaged".to_owned()))?;
        let statement =
            Unverified::<Statement>::parse(&bytes).map_err(|e| refused(e.to_string()))?;
        let unavailable = |error: crate::DoorError| AuthError::Unavailable(error.to_string());
        let own = self.door.identity().await.map_err(unavailable)?.org;
        let keys = self.door.key_history(own).await.map_err(unavailable)?;
        let network = statement.claim().network.clone();
        let now_ms = self.door.clock().now_ms();
        let here = Here {
            network: &network,
            now_ms,
        };
        let sealed = oc_trust::envelope::open::<Statement>(&bytes, keys.current(), &here)
            .map_err(|e| refused(e.to_string()))?;
        let statement = sealed.into_statement();
        if statement.method != path {
            return Err(refused(format!(
                "the door let in a call of {}",
                statement.method
            )));
        }
        let fresh = self
            .lock()
            .insert(&statement.nonce, statement.not_after, now_ms);
        if !fresh {
            return Err(refused("the door's statement was used before".to_owned()));
        }
        Ok(Partner {
            org: statement.org,
            peer: statement.peer.as_str().to_owned(),
            network: statement.network.to_string(),
        })
    }

    fn lock(&self) -> std::sync::MutexGuard<'_, Seen> {
        self.seen.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[async_trait]
impl Authenticator for DoorAuthenticator {
    async fn bearer(&self, token: &str) -> Result<Option<Principal>, AuthError> {
        self.tokens.bearer(token).await
    }

    async fn partner(
        &self,
        headers: &HeaderMap,
        path: &str,
    ) -> Result<Option<Principal>, AuthError> {
        match headers.get(STATEMENT) {
            None => Ok(None),
            Some(header) => Ok(Some(Principal::Partner(
                self.open(header.as_bytes(), path).await?,
            ))),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::Seen;

    #[test]
    fn a_nonce_is_good_once_until_its_statement_has_ended() {
        let mut seen = Seen::default();
        assert!(seen.insert("a", 100, 0));
        assert!(!seen.insert("a", 100, 50));
        assert!(seen.insert("b", 100, 50));
        assert!(seen.insert("c", 300, 200));
        assert_eq!(seen.ends.len(), 1);
    }
}

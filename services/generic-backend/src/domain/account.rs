//! Local accounts. Of a token only its digest is kept.

use std::collections::BTreeSet;
use std::sync::Arc;

use oc_auth::{AccountToken, TokenDigest};
use oc_kernel::{Clock, Name};
use oc_store::{Collection, Documents, Expect, Index, OutboxEvent, Query, Store, StoreError};
use oc_trust::event::{Event as _, UserEvent, UserState};
use serde::{Deserialize, Serialize};
use uuid::Uuid;

use super::error::BackendError;

static ACCOUNTS: Collection = Collection::new("accounts", &[Index::pointer("token", "/token")]);

/// Name of the administrator that a new node makes.
const FIRST: &str = "admin";
const ADMIN: &str = "admin";
const ROLES: [&str; 3] = ["user", "operator", ADMIN];

/// A person with an account.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Account {
    /// Stable id; documents name it as their owner. It never crosses to a partner.
    pub user_id: String,
    /// Login name.
    pub name: Name,
    /// Of user, operator and admin.
    pub roles: BTreeSet<String>,
    /// Digest of the token.
    pub token: TokenDigest,
    /// Since when, in milliseconds since the epoch.
    pub created_at_ms: u64,
}

/// A new account, with the token that is shown once.
#[derive(Debug)]
pub struct NewAccount {
    /// The account.
    pub account: Account,
    /// Its token.
    pub token: AccountToken,
}

/// All accounts.
#[derive(Debug, Clone)]
pub struct Accounts {
    documents: Documents<Account>,
    clock: Arc<dyn Clock>,
}

impl Accounts {
    /// The accounts in `store`.
    pub fn new(store: Arc<dyn Store>, clock: Arc<dyn Clock>) -> Self {
        Self {
            documents: Documents::new(store, &ACCOUNTS, 1),
            clock,
        }
    }

    /// Makes the administrator that a new node begins with, whose token is known already.
    ///
    /// # Errors
    /// When there is one, or the store's.
    pub(crate) async fn create_admin(
        &self,
        token: AccountToken,
    ) -> Result<NewAccount, BackendError> {
        self.add(FIRST, &[ADMIN.to_owned()], token).await
    }

    /// Makes an account.
    ///
    /// # Errors
    /// When the name is taken or is none, or a role does not exist.
    pub async fn create(&self, name: &str, roles: &[String]) -> Result<NewAccount, BackendError> {
        self.add(name, roles, AccountToken::generate()).await
    }

    async fn add(
        &self,
        name: &str,
        roles: &[String],
        token: AccountToken,
    ) -> Result<NewAccount, BackendError> {
        let name: Name = name.parse().map_err(|source| BackendError::Name {
            what: "the user's name",
            source,
        })?;
        if let Some(unknown) = roles.iter().find(|role| !ROLES.contains(&role.as_str())) {
            return Err(BackendError::Role(unknown.clone()));
        }
        let mut roles: BTreeSet<String> = roles.iter().cloned().collect();
        if roles.is_empty() {
            roles.insert("user".to_owned());
        }
        let account = Account {
            user_id: format!("user-{}", Uuid::new_v4().simple()),
            name,
            roles,
            token: token.digest(),
            created_at_ms: self.clock.now_ms(),
        };
        match self
            .documents
            .create(account.name.as_str(), &account, Vec::new())
            .await
        {
            Ok(_) => Ok(NewAccount { account, token }),
            Err(StoreError::AlreadyExists { key, .. }) => Err(BackendError::UserExists(key)),
            Err(error) => Err(error.into()),
        }
    }

    /// The account that a token belongs to.
    ///
    /// # Errors
    /// [`BackendError::Token`] when it belongs to none.
    pub async fn authenticate(&self, token: &str) -> Result<Account, BackendError> {
        let token: AccountToken = token.parse().map_err(|_| BackendError::Token)?;
        let query = Query::equals("token", token.digest().to_string());
        let found = self.documents.all(&query).await?;
        let account = found
            .into_iter()
            .map(|found| found.value)
            .find(|a| a.token.is_of(&token));
        account.ok_or(BackendError::Token)
    }

    /// All accounts, by name.
    ///
    /// # Errors
    /// The store's.
    pub async fn list(&self) -> Result<Vec<Account>, BackendError> {
        let found = self.documents.all(&Query::all()).await?;
        Ok(found.into_iter().map(|found| found.value).collect())
    }

    /// Removes an account; its token stops working, and every service hears that what tells who the person was must go.
    ///
    /// # Errors
    /// When there is none of that name, or it is the last administrator.
    pub async fn delete(&self, name: &str) -> Result<(), BackendError> {
        let all = self.list().await?;
        let account = all.iter().find(|account| account.name.as_str() == name);
        let account = account.ok_or_else(|| BackendError::UnknownUser(name.to_owned()))?;
        let admins = all
            .iter()
            .filter(|account| account.roles.contains(ADMIN))
            .count();
        if account.roles.contains(ADMIN) && admins == 1 {
            return Err(BackendError::LastAdmin(name.to_owned()));
        }
        let removed = UserEvent {
            user: account.user_id.clone(),
            state: UserState::Removed,
        };
        let told = OutboxEvent::new(UserEvent::TYPE, removed.subject(), removed.data());
        self.documents.delete(name, Expect::Any, vec![told]).await?;
        Ok(())
    }
}

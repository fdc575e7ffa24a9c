//! The administrator of a new node. The token is written down before the account exists: a start that breaks off
//! in between leaves a token that opens nothing, never an account whose token nobody has.

use std::fs;
use std::io::{self, Write as _};
use std::os::unix::fs::OpenOptionsExt as _;
use std::path::{Path, PathBuf};

use oc_auth::AccountToken;

use crate::domain::account::Accounts;
use crate::domain::error::BackendError;

/// Why a new node has no administrator.
#[derive(Debug, thiserror::Error)]
pub enum FirstAdminError {
    /// The accounts cannot be read or written.
    #[error("the first administrator: {0}")]
    Accounts(#[from] BackendError),
    /// The token cannot be written down.
    #[error("the administrator's token cannot be written to {}: {source}; let this user write there", file.display())]
    File {
        /// Where it should be.
        file: PathBuf,
        /// What the system said.
        #[source]
        source: io::Error,
    },
}

/// Makes the administrator of a node without accounts and writes the token to `file`, for its owner only. Does
/// nothing where there are accounts; a file that stands there without any is written over, since its token opens
/// nothing.
///
/// # Errors
/// When the accounts or the file cannot be used.
pub async fn first_admin(accounts: &Accounts, file: &Path) -> Result<(), FirstAdminError> {
    if !accounts.list().await?.is_empty() {
        return Ok(());
    }
    let token = AccountToken::generate();
    write(file, token.expose()).map_err(|source| FirstAdminError::File {
        file: file.to_owned(),
        source,
    })?;
    accounts.create_admin(token).await?;
    Ok(())
}

fn write(path: &Path, token: &str) -> io::Result<()> {
    match fs::remove_file(path) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(error),
        _ => {}
    }
    let mut file = fs::OpenOptions::new()
        .write(true)
        .create_new(true)
        .mode(0o600)
        .open(path)?;
    writeln!(file, "{token}")?;
    file.sync_all()
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::PermissionsExt as _;
    use std::sync::Arc;

    use oc_kernel::SystemClock;
    use oc_store::SqliteStore;

    use super::*;

    async fn accounts() -> Accounts {
        let store = Arc::new(SqliteStore::temporary().await.unwrap());
        Accounts::new(store, Arc::new(SystemClock))
    }

    #[tokio::test]
    async fn the_token_is_for_its_owner_only_opens_the_account_and_stays() {
        let (accounts, folder) = (accounts().await, tempfile::tempdir().unwrap());
        let file = folder.path().join("admin.token");
        fs::write(&file, "from another life").unwrap();
        first_admin(&accounts, &file).await.unwrap();
        let token = fs::read_to_string(&file).unwrap();
        let account = accounts.authenticate(token.trim()).await.unwrap();
        assert!(account.roles.contains("admin"));
        let mode = fs::metadata(&file).unwrap().permissions().mode();
        assert_eq!(mode & 0o777, 0o600);
        first_admin(&accounts, &file).await.unwrap();
        assert_eq!(fs::read_to_string(&file).unwrap(), token);
        assert_eq!(accounts.list().await.unwrap().len(), 1);
    }

    #[tokio::test]
    async fn no_account_is_made_whose_token_cannot_be_written_down() {
        let (accounts, folder) = (accounts().await, tempfile::tempdir().unwrap());
        let file = folder.path().join("missing").join("admin.token");
        let refused = first_admin(&accounts, &file).await.unwrap_err();
        assert!(refused.to_string().contains("admin.token"), "{refused}");
        assert!(accounts.list().await.unwrap().is_empty());
    }
}

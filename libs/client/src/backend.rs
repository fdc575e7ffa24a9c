//! The user's own things, and accounts.

use oc_proto::backend::v1::*;

use crate::error::ClientError;
use crate::request::{Client, segment};

const PREFIX: &str = "/api/backend/v1";

/// Calls of generic-backend.
#[derive(Debug, Clone, Copy)]
pub struct Backend<'a>(&'a Client);

impl Client {
    /// The user's own things, and accounts.
    pub fn backend(&self) -> Backend<'_> {
        Backend(self)
    }
}

/// Every call fails as [`ClientError`] says.
#[expect(
    clippy::missing_errors_doc,
    reason = "the same for all, said once above"
)]
impl Backend<'_> {
    /// Who am I?
    pub async fn me(&self) -> Result<User, ClientError> {
        let answer: GetMeResponse = self.0.get(&format!("{PREFIX}/me"), &[]).await?;
        Ok(answer.user.unwrap_or_default())
    }

    /// The caller's favourites.
    pub async fn favorites(&self) -> Result<Vec<Favorite>, ClientError> {
        let answer: ListFavoritesResponse = self.0.get(&format!("{PREFIX}/favorites"), &[]).await?;
        Ok(answer.favorites)
    }

    /// Marks a listing.
    pub async fn add_favorite(
        &self,
        request: &AddFavoriteRequest,
    ) -> Result<Favorite, ClientError> {
        let answer: AddFavoriteResponse =
            self.0.post(&format!("{PREFIX}/favorites"), request).await?;
        Ok(answer.favorite.unwrap_or_default())
    }

    /// Takes a mark away.
    pub async fn delete_favorite(&self, owner: &str, listing_id: &str) -> Result<(), ClientError> {
        let path = format!(
            "{PREFIX}/favorites/{}/{}",
            segment(owner),
            segment(listing_id)
        );
        let _: DeleteFavoriteResponse = self.0.delete(&path).await?;
        Ok(())
    }

    /// The caller's drafts.
    pub async fn drafts(&self) -> Result<Vec<Draft>, ClientError> {
        let answer: ListDraftsResponse = self.0.get(&format!("{PREFIX}/drafts"), &[]).await?;
        Ok(answer.drafts)
    }

    /// One draft.
    pub async fn draft(&self, name: &str) -> Result<Draft, ClientError> {
        let answer: GetDraftResponse = self
            .0
            .get(&format!("{PREFIX}/drafts/{}", segment(name)), &[])
            .await?;
        Ok(answer.draft.unwrap_or_default())
    }

    /// Writes a draft if it still has the revision in it; 0 makes a new one.
    pub async fn put_draft(&self, draft: &Draft) -> Result<Draft, ClientError> {
        let path = format!("{PREFIX}/drafts/{}", segment(&draft.name));
        let request = PutDraftRequest {
            draft: Some(draft.clone()),
        };
        let answer: PutDraftResponse = self.0.put_if_match(&path, draft.revision, &request).await?;
        Ok(answer.draft.unwrap_or_default())
    }

    /// Deletes a draft.
    pub async fn delete_draft(&self, name: &str) -> Result<(), ClientError> {
        let _: DeleteDraftResponse = self
            .0
            .delete(&format!("{PREFIX}/drafts/{}", segment(name)))
            .await?;
        Ok(())
    }

    /// All users.
    pub async fn users(&self) -> Result<Vec<User>, ClientError> {
        let answer: ListUsersResponse = self.0.get(&format!("{PREFIX}/users"), &[]).await?;
        Ok(answer.users)
    }

    /// Makes a user; the answer holds the token, once.
    pub async fn create_user(
        &self,
        request: &CreateUserRequest,
    ) -> Result<CreateUserResponse, ClientError> {
        self.0.post(&format!("{PREFIX}/users"), request).await
    }

    /// Removes a user.
    pub async fn delete_user(&self, name: &str) -> Result<(), ClientError> {
        let _: DeleteUserResponse = self
            .0
            .delete(&format!("{PREFIX}/users/{}", segment(name)))
            .await?;
        Ok(())
    }
}

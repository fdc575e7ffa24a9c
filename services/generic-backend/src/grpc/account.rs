//! `oc.backend.v1.AccountService`.

use oc_proto::backend::v1::account_service_server::AccountService;
use oc_proto::backend::v1::*;
use oc_service::OrStatus as _;
use oc_service::access::Principal;
use tonic::{Request, Response, Status};

use crate::Backend;
use crate::domain::error::BackendError;

pub(crate) struct Face(pub(crate) Backend);

#[tonic::async_trait]
impl AccountService for Face {
    async fn authenticate(
        &self,
        request: Request<AuthenticateRequest>,
    ) -> Result<Response<AuthenticateResponse>, Status> {
        let account = self
            .0
            .accounts
            .authenticate(&request.into_inner().token)
            .await
            .or_status()?;
        Ok(Response::new(AuthenticateResponse {
            user: Some(account.into()),
        }))
    }

    async fn get_me(
        &self,
        request: Request<GetMeRequest>,
    ) -> Result<Response<GetMeResponse>, Status> {
        let user = me(&self.0, &Principal::of_rpc(&request))
            .await
            .or_status()?;
        Ok(Response::new(GetMeResponse { user: Some(user) }))
    }

    async fn create_user(
        &self,
        request: Request<CreateUserRequest>,
    ) -> Result<Response<CreateUserResponse>, Status> {
        let CreateUserRequest { name, roles } = request.into_inner();
        let new = self.0.accounts.create(&name, &roles).await.or_status()?;
        let token = new.token.expose().to_owned();
        Ok(Response::new(CreateUserResponse {
            user: Some(new.account.into()),
            token,
        }))
    }

    async fn list_users(
        &self,
        _: Request<ListUsersRequest>,
    ) -> Result<Response<ListUsersResponse>, Status> {
        let users = self.0.accounts.list().await.or_status()?;
        Ok(Response::new(ListUsersResponse {
            users: users.into_iter().map(Into::into).collect(),
        }))
    }

    async fn delete_user(
        &self,
        request: Request<DeleteUserRequest>,
    ) -> Result<Response<DeleteUserResponse>, Status> {
        self.0
            .accounts
            .delete(&request.into_inner().name)
            .await
            .or_status()?;
        Ok(Response::new(DeleteUserResponse {}))
    }
}

/// The account of the person who calls.
pub(crate) async fn me(backend: &Backend, caller: &Principal) -> Result<User, BackendError> {
    let user = caller.user().ok_or(BackendError::NoPerson)?;
    let accounts = backend.accounts.list().await?;
    let account = accounts.into_iter().find(|it| it.user_id == user.id);
    account.map(Into::into).ok_or(BackendError::NoPerson)
}

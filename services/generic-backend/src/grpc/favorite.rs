//! `oc.backend.v1.FavoriteService`.

use oc_proto::backend::v1::favorite_service_server::FavoriteService;
use oc_proto::backend::v1::*;
use oc_service::OrStatus as _;
use oc_service::access::Principal;
use tonic::{Request, Response, Status};

use super::person;
use crate::Backend;

pub(crate) struct Face(pub(crate) Backend);

#[tonic::async_trait]
impl FavoriteService for Face {
    async fn list_favorites(
        &self,
        request: Request<ListFavoritesRequest>,
    ) -> Result<Response<ListFavoritesResponse>, Status> {
        let caller = Principal::of_rpc(&request);
        let favorites = self
            .0
            .favorites
            .list(person(&caller).or_status()?)
            .await
            .or_status()?;
        let favorites = favorites.into_iter().map(Into::into).collect();
        Ok(Response::new(ListFavoritesResponse { favorites }))
    }

    async fn add_favorite(
        &self,
        request: Request<AddFavoriteRequest>,
    ) -> Result<Response<AddFavoriteResponse>, Status> {
        let caller = Principal::of_rpc(&request);
        let AddFavoriteRequest {
            owner,
            listing_id,
            note,
        } = request.into_inner();
        let person = person(&caller).or_status()?;
        let favorite = self
            .0
            .favorites
            .add(person, &owner, &listing_id, &note)
            .await
            .or_status()?;
        Ok(Response::new(AddFavoriteResponse {
            favorite: Some(favorite.into()),
        }))
    }

    async fn delete_favorite(
        &self,
        request: Request<DeleteFavoriteRequest>,
    ) -> Result<Response<DeleteFavoriteResponse>, Status> {
        let caller = Principal::of_rpc(&request);
        let DeleteFavoriteRequest { owner, listing_id } = request.into_inner();
        let person = person(&caller).or_status()?;
        self.0
            .favorites
            .delete(person, &owner, &listing_id)
            .await
            .or_status()?;
        Ok(Response::new(DeleteFavoriteResponse {}))
    }
}

//! The REST face.

use axum::extract::State;
use http::StatusCode;
use oc_kernel::Revision;
use oc_proto::backend::v1::*;
use oc_service::access::Principal;
use oc_service::{ETag, IfMatch, Json, Path, Problem};
use utoipa_axum::router::OpenApiRouter;
use utoipa_axum::routes;

use crate::Backend;
use crate::grpc::{draft_message, person};

/// Before every path.
pub(crate) const PREFIX: &str = "/api/backend/v1";

type Answer<T> = Result<Json<T>, Problem>;

pub(crate) fn api() -> OpenApiRouter<Backend> {
    OpenApiRouter::new()
        .routes(routes!(list_favorites, add_favorite))
        .routes(routes!(delete_favorite))
        .routes(routes!(list_drafts))
        .routes(routes!(get_draft, put_draft, delete_draft))
        .routes(routes!(me))
        .routes(routes!(list_users, create_user))
        .routes(routes!(delete_user))
}

/// The caller's favourites.
#[utoipa::path(get, path = "/api/backend/v1/favorites", responses((status = 200, body = ListFavoritesResponse)))]
async fn list_favorites(
    State(backend): State<Backend>,
    caller: Principal,
) -> Answer<ListFavoritesResponse> {
    let favorites = backend.favorites.list(person(&caller)?).await?;
    Ok(Json(ListFavoritesResponse {
        favorites: favorites.into_iter().map(Into::into).collect(),
    }))
}

/// Marks a listing; marking it again changes the note.
#[utoipa::path(post, path = "/api/backend/v1/favorites", request_body = AddFavoriteRequest,
    responses((status = 201, body = AddFavoriteResponse), (status = 422, body = Problem)))]
async fn add_favorite(
    State(backend): State<Backend>,
    caller: Principal,
    Json(request): Json<AddFavoriteRequest>,
) -> Result<(StatusCode, Json<AddFavoriteResponse>), Problem> {
    let AddFavoriteRequest {
        owner,
        listing_id,
        note,
    } = request;
    let favorite = backend
        .favorites
        .add(person(&caller)?, &owner, &listing_id, &note)
        .await?;
    Ok((
        StatusCode::CREATED,
        Json(AddFavoriteResponse {
            favorite: Some(favorite.into()),
        }),
    ))
}

/// Takes a mark away.
#[utoipa::path(delete, path = "/api/backend/v1/favorites/{owner}/{listing_id}",
    params(("owner" = String, Path), ("listing_id" = String, Path)),
    responses((status = 200, body = DeleteFavoriteResponse), (status = 422, body = Problem)))]
async fn delete_favorite(
    State(backend): State<Backend>,
    caller: Principal,
    Path((owner, listing_id)): Path<(String, String)>,
) -> Answer<DeleteFavoriteResponse> {
    backend
        .favorites
        .delete(person(&caller)?, &owner, &listing_id)
        .await?;
    Ok(Json(DeleteFavoriteResponse {}))
}

/// The caller's drafts, without their documents.
#[utoipa::path(get, path = "/api/backend/v1/drafts", responses((status = 200, body = ListDraftsResponse)))]
async fn list_drafts(
    State(backend): State<Backend>,
    caller: Principal,
) -> Answer<ListDraftsResponse> {
    let drafts = backend.drafts.list(person(&caller)?).await?;
    let drafts = drafts
        .into_iter()
        .map(|draft| crate::grpc::without_content(draft_message(draft.value, draft.revision)));
    Ok(Json(ListDraftsResponse {
        drafts: drafts.collect(),
    }))
}

/// One draft.
#[utoipa::path(get, path = "/api/backend/v1/drafts/{name}", params(("name" = String, Path)),
    responses((status = 200, body = GetDraftResponse), (status = 404, body = Problem)))]
async fn get_draft(
    State(backend): State<Backend>,
    caller: Principal,
    Path(name): Path<String>,
) -> Result<(ETag, Json<GetDraftResponse>), Problem> {
    let draft = backend.drafts.get(person(&caller)?, &name).await?;
    let message = draft_message(draft.value, draft.revision);
    Ok((
        ETag(draft.revision),
        Json(GetDraftResponse {
            draft: Some(message),
        }),
    ))
}

/// Writes a draft over the revision in `If-Match`; `"0"`, or no header, makes a new one.
#[utoipa::path(put, path = "/api/backend/v1/drafts/{name}", params(("name" = String, Path)),
    request_body = PutDraftRequest,
    responses((status = 200, body = PutDraftResponse), (status = 412, body = Problem)))]
async fn put_draft(
    State(backend): State<Backend>,
    caller: Principal,
    IfMatch(seen): IfMatch,
    Path(name): Path<String>,
    Json(request): Json<PutDraftRequest>,
) -> Result<(ETag, Json<PutDraftResponse>), Problem> {
    let Draft {
        cwl, layout_json, ..
    } = request.draft.unwrap_or_default();
    let seen = seen.unwrap_or(Revision(0));
    let put = backend
        .drafts
        .put(person(&caller)?, &name, seen, cwl, layout_json);
    let (draft, revision) = put.await?;
    let message = draft_message(draft, revision);
    Ok((
        ETag(revision),
        Json(PutDraftResponse {
            draft: Some(message),
        }),
    ))
}

/// Deletes a draft.
#[utoipa::path(delete, path = "/api/backend/v1/drafts/{name}", params(("name" = String, Path)),
    responses((status = 200, body = DeleteDraftResponse), (status = 404, body = Problem)))]
async fn delete_draft(
    State(backend): State<Backend>,
    caller: Principal,
    Path(name): Path<String>,
) -> Answer<DeleteDraftResponse> {
    backend.drafts.delete(person(&caller)?, &name).await?;
    Ok(Json(DeleteDraftResponse {}))
}

/// Who am I?
#[utoipa::path(get, path = "/api/backend/v1/me", responses((status = 200, body = GetMeResponse)))]
async fn me(State(backend): State<Backend>, caller: Principal) -> Answer<GetMeResponse> {
    Ok(Json(GetMeResponse {
        user: Some(crate::grpc::me(&backend, &caller).await?),
    }))
}

/// All users.
#[utoipa::path(get, path = "/api/backend/v1/users", responses((status = 200, body = ListUsersResponse)))]
async fn list_users(State(backend): State<Backend>) -> Answer<ListUsersResponse> {
    let users = backend.accounts.list().await?;
    Ok(Json(ListUsersResponse {
        users: users.into_iter().map(Into::into).collect(),
    }))
}

/// Makes a user; the token in the answer is shown once.
#[utoipa::path(post, path = "/api/backend/v1/users", request_body = CreateUserRequest,
    responses((status = 201, body = CreateUserResponse), (status = 409, body = Problem)))]
async fn create_user(
    State(backend): State<Backend>,
    Json(request): Json<CreateUserRequest>,
) -> Result<(StatusCode, Json<CreateUserResponse>), Problem> {
    let new = backend
        .accounts
        .create(&request.name, &request.roles)
        .await?;
    let token = new.token.expose().to_owned();
    Ok((
        StatusCode::CREATED,
        Json(CreateUserResponse {
            user: Some(new.account.into()),
            token,
        }),
    ))
}

/// Removes a user; the token stops working.
#[utoipa::path(delete, path = "/api/backend/v1/users/{name}", params(("name" = String, Path)),
    responses((status = 200, body = DeleteUserResponse), (status = 404, body = Problem)))]
async fn delete_user(
    State(backend): State<Backend>,
    Path(name): Path<String>,
) -> Answer<DeleteUserResponse> {
    backend.accounts.delete(&name).await?;
    Ok(Json(DeleteUserResponse {}))
}

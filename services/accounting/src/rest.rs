//! The REST face: the same calls as gRPC, with the same messages in JSON.

use axum::extract::State;
use axum::response::{IntoResponse as _, Response};
use http::{StatusCode, header};
use oc_kernel::Kind;
use oc_proto::accounting::v1 as pb;
use oc_service::access::Principal;
use oc_service::{Json, Path, Problem, Query};
use utoipa_axum::router::OpenApiRouter;
use utoipa_axum::routes;

use crate::grpc::UsageFace;

pub(crate) fn api() -> OpenApiRouter<UsageFace> {
    OpenApiRouter::new()
        .routes(routes!(list_records))
        .routes(routes!(correct_record))
        .routes(routes!(list_sums))
        .routes(routes!(export))
        .routes(routes!(get_books))
        .routes(routes!(settle_books))
}

/// Usage records of one grant or of all, by grant and position.
#[utoipa::path(
    get,
    path = "/api/accounting/v1/records",
    params(
        ("grant_id" = Option<String>, Query, description = "Grant, or `own`; all without it"),
        ("month" = Option<String>, Query, description = "Month as `2026-11`; all without it"),
        ("page_size" = Option<u32>, Query, description = "Most in one answer, 100 without it"),
        ("page_token" = Option<String>, Query, description = "Where the last page ended"),
    ),
    responses((status = 200, body = pb::ListUsageResponse), (status = 400, body = Problem))
)]
async fn list_records(
    State(usage): State<UsageFace>,
    caller: Principal,
    Query(asked): Query<pb::ListUsageRequest>,
) -> Result<Json<pb::ListUsageResponse>, Problem> {
    Ok(Json(usage.list(&caller, asked).await?))
}

/// Puts another record in place of a wrong one; the body names what it should have held.
#[utoipa::path(
    post,
    path = "/api/accounting/v1/records/{record_id}/corrections",
    request_body = pb::CorrectUsageRequest,
    responses(
        (status = 201, body = pb::CorrectUsageResponse),
        (status = 404, body = Problem),
        (status = 409, body = Problem),
    )
)]
async fn correct_record(
    State(usage): State<UsageFace>,
    Path(record_id): Path<String>,
    Json(asked): Json<pb::CorrectUsageRequest>,
) -> Result<(StatusCode, Json<pb::CorrectUsageResponse>), Problem> {
    let asked = pb::CorrectUsageRequest { record_id, ..asked };
    Ok((StatusCode::CREATED, Json(usage.correct(asked).await?)))
}

/// Sums by any of month, organisation, pseudonym and workflow; always by direction and currency.
#[utoipa::path(
    get,
    path = "/api/accounting/v1/sums",
    params(
        ("month" = Option<String>, Query, description = "Month as `2026-11`; all without it"),
        ("org_id" = Option<String>, Query, description = "The other organisation; all without it"),
        ("by" = Option<Vec<String>>, Query, description = "`month`, `organisation`, `pseudonym`, `workflow`; may be repeated"),
    ),
    responses((status = 200, body = pb::SumUsageResponse), (status = 400, body = Problem))
)]
async fn list_sums(
    State(usage): State<UsageFace>,
    caller: Principal,
    Query(pairs): Query<Vec<(String, String)>>,
) -> Result<Json<pb::SumUsageResponse>, Problem> {
    let mut asked = pb::SumUsageRequest::default();
    for (name, value) in pairs {
        match name.as_str() {
            "month" => asked.month = value,
            "org_id" => asked.org_id = value,
            "by" => asked.by.push(word::<pb::SumBy>(&value)?),
            _ => return Err(malformed(format!("the parameter `{name}` is not known"))),
        }
    }
    Ok(Json(usage.sum(&caller, asked).await?))
}

/// The agreed records as one file; both organisations of a grant get the same bytes.
#[utoipa::path(
    get,
    path = "/api/accounting/v1/exports",
    params(
        ("grant_id" = Option<String>, Query, description = "Grant, or `own`; all without it"),
        ("month" = Option<String>, Query, description = "Month as `2026-11`; all without it"),
        ("format" = Option<String>, Query, description = "`json` or `csv`"),
    ),
    responses(
        (status = 200, content((String = "application/json"), (String = "text/csv"))),
        (status = 404, body = Problem),
    )
)]
async fn export(
    State(usage): State<UsageFace>,
    caller: Principal,
    Query(pairs): Query<Vec<(String, String)>>,
) -> Result<Response, Problem> {
    let mut asked = pb::ExportUsageRequest::default();
    for (name, value) in pairs {
        match name.as_str() {
            "grant_id" => asked.grant_id = value,
            "month" => asked.month = value,
            "format" => asked.format = word::<pb::ExportFormat>(&value)?,
            _ => return Err(malformed(format!("the parameter `{name}` is not known"))),
        }
    }
    let export = usage.export(&caller, asked).await?;
    Ok(([(header::CONTENT_TYPE, export.media_type)], export.content).into_response())
}

/// Where the books of a grant stand.
#[utoipa::path(
    get,
    path = "/api/accounting/v1/books/{grant_id}",
    responses((status = 200, body = pb::GetBooksResponse), (status = 404, body = Problem))
)]
async fn get_books(
    State(usage): State<UsageFace>,
    Path(grant_id): Path<String>,
) -> Result<Json<pb::GetBooksResponse>, Problem> {
    Ok(Json(usage.books(pb::GetBooksRequest { grant_id }).await?))
}

/// Fetches the provider's records, audits them and countersigns, now.
#[utoipa::path(
    post,
    path = "/api/accounting/v1/books/{grant_id}/settle",
    responses(
        (status = 200, body = pb::SettleBooksResponse),
        (status = 404, body = Problem),
        (status = 503, body = Problem),
    )
)]
async fn settle_books(
    State(usage): State<UsageFace>,
    Path(grant_id): Path<String>,
) -> Result<Json<pb::SettleBooksResponse>, Problem> {
    Ok(Json(
        usage
            .settle(pb::SettleBooksRequest {
                grant_id,
                ..Default::default()
            })
            .await?,
    ))
}

fn word<E: oc_proto::json::Word>(text: &str) -> Result<i32, Problem> {
    E::from_word(text)
        .map(E::number)
        .ok_or_else(|| malformed(format!("the word `{text}` is not known here")))
}

fn malformed(text: String) -> Problem {
    Problem::new(Kind::Malformed, text)
}

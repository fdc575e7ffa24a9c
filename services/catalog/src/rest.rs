//! The same over REST, below `/api/catalog/v1`.

use axum::extract::State;
use http::StatusCode;
use jiff::Timestamp;
use oc_proto::catalog::v1 as pb;
use oc_proto::json::Word as _;
use oc_proto::types::v1 as types;
use oc_service::access::Principal;
use oc_service::{Json, Path, Problem, Query};
use utoipa_axum::router::OpenApiRouter;
use utoipa_axum::routes;

use crate::catalog::Catalog;
use crate::domain::CatalogError;

pub(crate) fn api() -> OpenApiRouter<Catalog> {
    OpenApiRouter::new()
        .routes(routes!(search, publish))
        .routes(routes!(get))
        .routes(routes!(withdraw))
}

/// Finds listings
#[utoipa::path(
    get,
    path = "/api/catalog/v1/listings",
    params(
        ("text" = Option<String>, Query, description = "Words that must occur; the last letters may be missing"),
        ("kind" = Option<String>, Query, description = "dataset, compute, storage, processing or workflow; may be repeated"),
        ("owner" = Option<String>, Query, description = "OrgId or name of the owner"),
        ("facet" = Option<String>, Query, description = "A facet that must match, as key:value; may be repeated"),
        ("bbox" = Option<String>, Query, description = "West, south, east, north in degrees, with commas"),
        ("from" = Option<String>, Query, description = "Begin of the time, RFC 3339"),
        ("to" = Option<String>, Query, description = "End of the time, RFC 3339"),
        ("fresh_only" = Option<bool>, Query, description = "Leave stale ones out"),
        ("page_size" = Option<u32>, Query, description = "Most results; 50 unless said"),
        ("page_token" = Option<String>, Query, description = "Where the last page ended"),
    ),
    responses((status = 200, body = pb::SearchResponse), (status = 400, body = Problem))
)]
async fn search(
    State(catalog): State<Catalog>,
    Query(parameters): Query<Vec<(String, String)>>,
) -> Result<Json<pb::SearchResponse>, Problem> {
    Ok(Json(catalog.search(search_request(parameters)?)?))
}

/// One listing, with what its owner signed
#[utoipa::path(
    get,
    path = "/api/catalog/v1/listings/{owner}/{listing_id}",
    params(("owner" = String, Path, description = "OrgId of the owner"), ("listing_id" = String, Path, description = "The listing")),
    responses((status = 200, body = pb::GetListingResponse), (status = 404, body = Problem))
)]
async fn get(
    State(catalog): State<Catalog>,
    Path((owner, listing_id)): Path<(String, String)>,
) -> Result<Json<pb::GetListingResponse>, Problem> {
    Ok(Json(
        catalog
            .get(pb::GetListingRequest { owner, listing_id })
            .await?,
    ))
}

/// Lists a workflow
#[utoipa::path(
    post,
    path = "/api/catalog/v1/listings",
    request_body = pb::PublishListingRequest,
    responses((status = 201, body = pb::PublishListingResponse), (status = 422, body = Problem))
)]
async fn publish(
    State(catalog): State<Catalog>,
    caller: Principal,
    Json(request): Json<pb::PublishListingRequest>,
) -> Result<(StatusCode, Json<pb::PublishListingResponse>), Problem> {
    let published = catalog.publish(&caller, request).await?;
    Ok((StatusCode::CREATED, Json(published)))
}

/// Takes a workflow back
#[utoipa::path(
    delete,
    path = "/api/catalog/v1/listings/{listing_id}",
    params(("listing_id" = String, Path, description = "The listing, one of ours")),
    responses((status = 200, body = pb::WithdrawListingResponse), (status = 422, body = Problem))
)]
async fn withdraw(
    State(catalog): State<Catalog>,
    caller: Principal,
    Path(listing_id): Path<String>,
) -> Result<Json<pb::WithdrawListingResponse>, Problem> {
    let request = pb::WithdrawListingRequest { listing_id };
    Ok(Json(catalog.withdraw(&caller, request).await?))
}

fn search_request(parameters: Vec<(String, String)>) -> Result<pb::SearchRequest, CatalogError> {
    let mut request = pb::SearchRequest::default();
    let mut time = types::TimeRange::default();
    for (name, value) in parameters {
        match name.as_str() {
            "text" => request.text = value,
            "kind" => {
                let kind =
                    pb::ListingKind::from_word(&value).ok_or_else(|| wrong("kind", &value))?;
                request.kinds.push(kind.into());
            }
            "owner" => request.owner = value,
            "facet" => {
                let (key, value) = value
                    .split_once(':')
                    .ok_or_else(|| wrong("facet", &value))?;
                request.facets.insert(key.to_owned(), value.to_owned());
            }
            "bbox" => request.area = Some(bounding_box(&value)?),
            "from" => time.start_ms = instant("from", &value)?,
            "to" => time.end_ms = instant("to", &value)?,
            "fresh_only" => {
                request.fresh_only = value.parse().map_err(|_| wrong("fresh_only", &value))?;
            }
            "page_size" => {
                request.page_size = value.parse().map_err(|_| wrong("page_size", &value))?;
            }
            "page_token" => request.page_token = value,
            _ => {
                let text = format!(
                    "`{name}` is no parameter of the search: see /api/catalog/openapi.json"
                );
                return Err(CatalogError::Malformed(text));
            }
        }
    }
    if time != types::TimeRange::default() {
        request.time = Some(time);
    }
    Ok(request)
}

fn bounding_box(text: &str) -> Result<types::BoundingBox, CatalogError> {
    let sides: Result<Vec<f64>, _> = text.split(',').map(|side| side.trim().parse()).collect();
    match sides.ok().as_deref() {
        Some(&[west, south, east, north]) => Ok(types::BoundingBox {
            west,
            south,
            east,
            north,
        }),
        _ => Err(wrong("bbox", text)),
    }
}

fn instant(name: &str, text: &str) -> Result<i64, CatalogError> {
    let at: Timestamp = text.parse().map_err(|_| wrong(name, text))?;
    Ok(at.as_millisecond())
}

fn wrong(name: &str, value: &str) -> CatalogError {
    let example = match name {
        "kind" => "dataset, compute, storage, processing or workflow",
        "facet" => "platform:sentinel-2a",
        "bbox" => "-5.2,47.2,-1,48.9",
        "fresh_only" => "true or false",
        "page_size" => "50",
        _ => "2024-06-01T00:00:00Z",
    };
    let value: String = value.chars().take(80).collect();
    CatalogError::Malformed(format!(
        "`{value}` cannot be read as {name}: write for example {example}"
    ))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parse(query: &[(&str, &str)]) -> Result<pb::SearchRequest, CatalogError> {
        let owned = query
            .iter()
            .map(|(name, value)| ((*name).to_owned(), (*value).to_owned()));
        search_request(owned.collect())
    }

    #[test]
    fn every_parameter_is_read_and_some_may_be_repeated() {
        let request = parse(&[
            ("text", "coast"),
            ("kind", "dataset"),
            ("kind", "compute"),
            ("facet", "platform:sentinel-2a"),
            ("facet", "url:https://x"),
            ("bbox", "-5.2, 47.2,-1,48.9"),
            ("from", "1970-01-01T00:00:01Z"),
            ("fresh_only", "true"),
            ("page_size", "7"),
        ])
        .unwrap();
        assert_eq!(request.kinds, [1, 2]);
        assert_eq!(request.facets["url"], "https://x");
        assert_eq!(request.area.unwrap().north, 48.9);
        let time = request.time.unwrap();
        assert_eq!((time.start_ms, time.end_ms), (1000, 0));
        assert!(request.fresh_only);
        assert_eq!(request.page_size, 7);
    }

    #[test]
    fn a_faulty_parameter_is_named_with_an_example() {
        for (name, value, hint) in [
            ("kind", "machine", "dataset, compute"),
            ("facet", "platform", "platform:sentinel-2a"),
            ("bbox", "1,2,3", "-5.2,47.2,-1,48.9"),
            ("from", "yesterday", "2024-06-01T00:00:00Z"),
            ("page_size", "-1", "50"),
            ("limit", "3", "openapi.json"),
        ] {
            let error = parse(&[(name, value)]).unwrap_err().to_string();
            assert!(error.contains(name) && error.contains(hint), "{error}");
        }
    }
}

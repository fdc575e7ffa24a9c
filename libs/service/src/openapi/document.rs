//! What a document says of every route alike: whose API it is, which role a route needs and how it refuses
//! others (the rows of the access table), what a refusal looks like. Routes say only what is their own.

use http::{Method, StatusCode};
use utoipa::openapi::info::{Info, License};
use utoipa::openapi::path::Operation;
use utoipa::openapi::schema::Components;
use utoipa::openapi::security::{Http, HttpAuthScheme, SecurityRequirement, SecurityScheme};
use utoipa::openapi::{Content, OpenApi, Ref, RefOr, Response};
use utoipa::{PartialSchema as _, ToSchema as _};

use crate::access::{Access, Target};
use crate::app::App;
use crate::problem::{MEDIA_TYPE, Problem};

/// The version in every path.
const VERSION: &str = "v1";
/// The name of the security scheme.
const BEARER: &str = "bearer";
const JSON: &str = "application/json";

/// What the service's routes say of themselves, with what holds for all of them.
pub(crate) fn document(app: &App) -> OpenApi {
    let mut api = app.openapi.clone();
    api.info = info(app.name);
    let paths = std::mem::take(&mut api.paths.paths).into_iter();
    api.paths.paths = paths.map(|(path, item)| (plain(&path), item)).collect();
    describe_components(api.components.get_or_insert_default());
    for row in &app.access {
        if let Some(operation) = operation(&mut api, row) {
            describe_caller(operation, row);
            describe_answers(operation);
            let tag = || Some(vec![resource(row.path()).to_owned()]);
            operation.tags = operation.tags.take().or_else(tag);
        }
    }
    api
}

/// A path as OpenAPI writes it, which has no wildcards: `{*key}` is described as `{key}`.
pub(crate) fn plain(path: &str) -> String {
    path.replace("{*", "{")
}

/// What the document says of a row's route; none for gRPC and for what it does not describe.
pub(crate) fn operation<'a>(api: &'a mut OpenApi, row: &Access) -> Option<&'a mut Operation> {
    let Target::Rest { method, path } = &row.target else {
        return None;
    };
    let item = api.paths.paths.get_mut(&plain(path))?;
    let operation = match *method {
        Method::GET => &mut item.get,
        Method::PUT => &mut item.put,
        Method::POST => &mut item.post,
        Method::DELETE => &mut item.delete,
        Method::HEAD => &mut item.head,
        Method::PATCH => &mut item.patch,
        _ => return None,
    };
    operation.as_mut()
}

fn info(service: &str) -> Info {
    let mut license = License::new("Apache-2.0");
    license.identifier = Some("Apache-2.0".to_owned());
    let mut info = Info::new(format!("Open Cloud: {service}"), VERSION.to_owned());
    info.description = Some(format!(
        "The REST API of {service}. An error is a problem of RFC 9457, as `{MEDIA_TYPE}`, with what to do next."
    ));
    info.license = Some(license);
    info
}

fn describe_components(components: &mut Components) {
    let mut bearer = Http::new(HttpAuthScheme::Bearer);
    bearer.description = Some(
        "The token of an account: a node writes its first administrator's to a file, `opencloud user add` shows others."
            .to_owned(),
    );
    components.add_security_scheme(BEARER, SecurityScheme::Http(bearer));
    let mut schemas = vec![(Problem::name().into_owned(), Problem::schema())];
    Problem::schemas(&mut schemas);
    components.schemas.extend(schemas);
}

/// Who may call, and how everybody else is refused.
fn describe_caller(operation: &mut Operation, row: &Access) {
    let who = if row.is_public() {
        "Needs no account.".to_owned()
    } else {
        format!("Needs the role {}.", row.roles_in_words())
    };
    operation.description = Some(match operation.description.take() {
        Some(text) => format!("{text}\n\n{who}"),
        None => who,
    });
    if row.is_public() {
        return;
    }
    operation.security = Some(vec![SecurityRequirement::new(BEARER, [""; 0])]);
    let refusals = [
        (StatusCode::UNAUTHORIZED, "No token, or none of ours"),
        (StatusCode::FORBIDDEN, "The role does not suffice"),
    ];
    for (status, meaning) in refusals {
        let answers = &mut operation.responses.responses;
        let answer = answers.entry(status.as_str().to_owned());
        answer.or_insert_with(|| RefOr::T(refusal(meaning)));
    }
}

fn refusal(meaning: &str) -> Response {
    let body = Content::new(Some(Ref::from_schema_name(Problem::name())));
    let mut response = Response::new(meaning);
    response
        .content
        .insert(MEDIA_TYPE.to_owned(), RefOr::T(body));
    response
}

/// Gives each answer the description that OpenAPI 3.1 asks for (4.8.17), and errors the type they are sent as.
fn describe_answers(operation: &mut Operation) {
    for (code, answer) in &mut operation.responses.responses {
        let Ok(status) = code.parse::<StatusCode>() else {
            continue;
        };
        let RefOr::T(answer) = answer else {
            continue;
        };
        if answer.description.is_empty() {
            answer.description = status.canonical_reason().unwrap_or_default().to_owned();
        }
        let is_error = status.is_client_error() || status.is_server_error();
        if is_error && let Some(body) = answer.content.shift_remove(JSON) {
            answer.content.insert(MEDIA_TYPE.to_owned(), body);
        }
    }
}

/// What a path is about: `offers` of `/api/compute/v1/offers/{name}`, `stac` of `/stac/search`.
fn resource(path: &str) -> &str {
    let mut parts = path.split('/').skip(1);
    match parts.next() {
        Some("api") => parts.nth(2).unwrap_or_default(),
        first => first.unwrap_or_default(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_path_is_filed_under_what_it_is_about() {
        for (path, about) in [
            ("/api/compute/v1/offers", "offers"),
            ("/api/compute/v1/offers/{name}", "offers"),
            ("/stac", "stac"),
            ("/stac/search", "stac"),
        ] {
            assert_eq!(resource(path), about, "{path}");
        }
    }
}

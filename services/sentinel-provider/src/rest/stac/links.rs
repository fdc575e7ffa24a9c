//! Links in STAC answers. They are absolute, as seen by whoever asks.

use axum::extract::FromRequestParts;
use http::header;
use http::request::Parts;
use serde::Serialize;
use serde_json::{Value, json};
use url::form_urlencoded;

use super::GEO_JSON;
use crate::Face;

/// The address that our links begin with.
pub(super) struct Base(String);

impl FromRequestParts<Face> for Base {
    type Rejection = std::convert::Infallible;

    async fn from_request_parts(parts: &mut Parts, face: &Face) -> Result<Self, Self::Rejection> {
        let public = face.provider.settings().public_url.trim_end_matches('/');
        if !public.is_empty() {
            return Ok(Self(public.to_owned()));
        }
        let header = |name: &str| parts.headers.get(name)?.to_str().ok();
        let host = parts.uri.authority().map(|authority| authority.as_str());
        let host = host
            .or_else(|| header(header::HOST.as_str()))
            .unwrap_or("localhost");
        let scheme = match header("x-forwarded-proto") {
            Some("https") => "https",
            _ => "http",
        };
        Ok(Self(format!("{scheme}://{host}")))
    }
}

impl Base {
    /// An address below `/stac`; empty for the landing page.
    pub(super) fn href(&self, path: &str) -> String {
        match path.is_empty() {
            true => format!("{}/stac", self.0),
            false => format!("{}/stac/{path}", self.0),
        }
    }

    pub(super) fn link(&self, rel: &str, path: &str, media_type: &str) -> Value {
        json!({"rel": rel, "type": media_type, "href": self.href(path)})
    }

    pub(super) fn root(&self) -> Value {
        self.link("root", "", "application/json")
    }

    /// The description of the whole API.
    pub(super) fn service_desc(&self) -> Value {
        json!({
            "rel": "service-desc",
            "type": "application/vnd.oai.openapi+json;version=3.1",
            "href": format!("{}/api/{}/openapi.json", self.0, crate::NAME),
        })
    }

    /// The next page of a GET, with the parameters it needs.
    pub(super) fn next_get(&self, path: &str, parameters: &impl Serialize) -> Value {
        let parameters = serde_json::to_value(parameters).unwrap_or_default();
        let mut query = form_urlencoded::Serializer::new(String::new());
        for (name, value) in parameters.as_object().into_iter().flatten() {
            match value {
                Value::Null => {}
                Value::String(text) => {
                    query.append_pair(name, text);
                }
                other => {
                    query.append_pair(name, &other.to_string());
                }
            }
        }
        let href = format!("{}?{}", self.href(path), query.finish());
        json!({"rel": "next", "type": GEO_JSON, "method": "GET", "href": href})
    }

    /// The next page of a POST: the same body with the token.
    pub(super) fn next_post(&self, path: &str, token: &str) -> Value {
        json!({
            "rel": "next",
            "type": GEO_JSON,
            "method": "POST",
            "href": self.href(path),
            "body": {"token": token},
            "merge": true,
        })
    }
}

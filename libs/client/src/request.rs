//! Sending requests and reading answers.

use std::time::Duration;

use bytes::Bytes;
use futures::{Stream, TryStreamExt as _};
use percent_encoding::{AsciiSet, NON_ALPHANUMERIC, utf8_percent_encode};
use reqwest::{Method, RequestBuilder, Response};
use secrecy::{ExposeSecret as _, SecretString};
use serde::Serialize;
use serde::de::DeserializeOwned;
use url::Url;

use crate::error::{ClientError, Problem};

/// How long a call may take; a run may take longer, but no single call about it does.
const LIMIT: Duration = Duration::from_secs(60);
const CONNECT_LIMIT: Duration = Duration::from_secs(5);

/// What is kept as it is in one segment of a path (RFC 3986, unreserved).
const SEGMENT: &AsciiSet = &NON_ALPHANUMERIC
    .remove(b'-')
    .remove(b'.')
    .remove(b'_')
    .remove(b'~')
    .remove(b':');

/// A node, and who asks it.
#[derive(Debug, Clone)]
pub struct Client {
    base: Url,
    token: Option<SecretString>,
    http: reqwest::Client,
}

impl Client {
    /// A client of the node at `base`, for example `http://127.0.0.1:8700`.
    ///
    /// # Errors
    /// When `base` is not an address.
    pub fn new(base: &str, token: Option<SecretString>) -> Result<Self, ClientError> {
        let wrong = || ClientError::Address(base.to_owned());
        let url = Url::parse(base).map_err(|_| wrong())?;
        if !matches!(url.scheme(), "http" | "https") || url.cannot_be_a_base() {
            return Err(wrong());
        }
        // A second installation does nothing; reqwest panics without a first one.
        let _ = rustls::crypto::ring::default_provider().install_default();
        let http = reqwest::Client::builder()
            .connect_timeout(CONNECT_LIMIT)
            .user_agent(concat!("opencloud/", env!("CARGO_PKG_VERSION")))
            .build()
            .map_err(|source| ClientError::Unreachable {
                url: base.to_owned(),
                source,
            })?;
        Ok(Self {
            base: url,
            token,
            http,
        })
    }

    /// The node's address.
    pub fn base(&self) -> &str {
        self.base.as_str().trim_end_matches('/')
    }

    /// A request to `path`, which begins with a slash, without a limit of time.
    pub(crate) fn request(&self, method: Method, path: &str) -> RequestBuilder {
        let request = self.http.request(method, format!("{}{path}", self.base()));
        match &self.token {
            Some(token) => request.bearer_auth(token.expose_secret()),
            None => request,
        }
    }

    /// Sends a request; an answer that is no success is an error.
    pub(crate) async fn send(&self, request: RequestBuilder) -> Result<Response, ClientError> {
        let response = request
            .send()
            .await
            .map_err(|source| ClientError::Unreachable {
                url: self.base().to_owned(),
                source,
            })?;
        if response.status().is_success() {
            return Ok(response);
        }
        let status = response.status();
        let url = response.url().to_string();
        let body = response.bytes().await.unwrap_or_default();
        Err(match serde_json::from_slice::<Problem>(&body) {
            Ok(problem) => ClientError::Refused(Box::new(problem)),
            Err(_) => ClientError::Unreadable {
                url,
                reason: format!("status {status}"),
            },
        })
    }

    async fn read<T: DeserializeOwned>(&self, request: RequestBuilder) -> Result<T, ClientError> {
        let response = self.send(request.timeout(LIMIT)).await?;
        let url = response.url().to_string();
        let unreadable = |reason: String| ClientError::Unreadable {
            url: url.clone(),
            reason,
        };
        let body = response
            .bytes()
            .await
            .map_err(|e| unreadable(e.to_string()))?;
        serde_json::from_slice(&body).map_err(|e| unreadable(e.to_string()))
    }

    /// GET with query parameters.
    pub(crate) async fn get<T: DeserializeOwned>(
        &self,
        path: &str,
        query: &[(&str, String)],
    ) -> Result<T, ClientError> {
        self.read(self.request(Method::GET, path).query(query))
            .await
    }

    /// POST, PUT or DELETE with a JSON body.
    pub(crate) async fn call<B: Serialize + Sync, T: DeserializeOwned>(
        &self,
        method: Method,
        path: &str,
        body: &B,
    ) -> Result<T, ClientError> {
        self.read(self.request(method, path).json(body)).await
    }

    /// POST with a JSON body.
    pub(crate) async fn post<B: Serialize + Sync, T: DeserializeOwned>(
        &self,
        path: &str,
        body: &B,
    ) -> Result<T, ClientError> {
        self.call(Method::POST, path, body).await
    }

    /// PUT with a JSON body and the revision that was seen.
    pub(crate) async fn put_if_match<B: Serialize + Sync, T: DeserializeOwned>(
        &self,
        path: &str,
        revision: u64,
        body: &B,
    ) -> Result<T, ClientError> {
        let request = self.request(Method::PUT, path).json(body);
        self.read(request.header("if-match", format!("\"{revision}\"")))
            .await
    }

    /// DELETE.
    pub(crate) async fn delete<T: DeserializeOwned>(&self, path: &str) -> Result<T, ClientError> {
        self.read(self.request(Method::DELETE, path)).await
    }

    /// PUT of raw bytes, with their SHA-256 where it is known, however long they take.
    pub(crate) async fn put_bytes<T: DeserializeOwned>(
        &self,
        path: &str,
        sha256: Option<&str>,
        body: reqwest::Body,
    ) -> Result<T, ClientError> {
        let mut request = self.request(Method::PUT, path).body(body);
        if let Some(sha256) = sha256 {
            request = request.header("oc-sha256", sha256);
        }
        let response = self.send(request).await?;
        let url = response.url().to_string();
        response.json().await.map_err(|e| ClientError::Unreadable {
            url,
            reason: e.to_string(),
        })
    }

    /// GET of raw bytes from a path of this node, piece by piece as they arrive.
    ///
    /// # Errors
    /// When the node cannot be reached or refuses; an item is an error when the rest does not come.
    pub async fn download_stream(
        &self,
        path: &str,
    ) -> Result<impl Stream<Item = Result<Bytes, ClientError>> + use<>, ClientError> {
        let response = self.send(self.request(Method::GET, path)).await?;
        let url = response.url().to_string();
        Ok(response.bytes_stream().map_err(move |error| {
            let url = url.clone();
            let reason = error.to_string();
            ClientError::Unreadable { url, reason }
        }))
    }

    /// GET of raw bytes from a path of this node, for example one that results name.
    ///
    /// # Errors
    /// When the node cannot be reached or refuses.
    pub async fn download(&self, path: &str) -> Result<Bytes, ClientError> {
        let response = self.send(self.request(Method::GET, path)).await?;
        let url = response.url().to_string();
        response.bytes().await.map_err(|e| ClientError::Unreadable {
            url,
            reason: e.to_string(),
        })
    }
}

/// `text` as one segment of a path. A segment of dots, however it is spelled, would be taken for a step up (WHATWG
/// URL, "double-dot path segment") and so name another resource; it is encoded twice, which nothing is called.
pub(crate) fn segment(text: &str) -> String {
    match text {
        "." | ".." => text.replace('.', "%252e"),
        _ => utf8_percent_encode(text, SEGMENT).to_string(),
    }
}

/// `key` as several segments of a path.
pub(crate) fn segments(key: &str) -> String {
    key.split('/').map(segment).collect::<Vec<_>>().join("/")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_text_without_a_scheme_is_no_address() {
        for text in ["localhost:8700", "ftp://x", "", "mailto:a@b"] {
            assert!(Client::new(text, None).is_err(), "{text}");
        }
        let client = Client::new("http://127.0.0.1:8700/", None).unwrap();
        assert_eq!(client.base(), "http://127.0.0.1:8700");
    }

    #[test]
    fn a_slash_in_a_name_does_not_make_two_segments() {
        assert_eq!(segment("a/../b c"), "a%2F..%2Fb%20c");
        assert_eq!(segments("runs/a b"), "runs/a%20b");
        let client = Client::new("http://127.0.0.1:8700", None).unwrap();
        let climbing = format!("/api/data/v1/datasets/{}", segments("../../x"));
        let request = client.request(Method::GET, &climbing).build().unwrap();
        assert_eq!(request.url().path(), climbing);
    }
}

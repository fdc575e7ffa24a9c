//! The three routes of a node over real sockets, with the faults that a test asks for.

use std::collections::BTreeMap;
use std::io::{BufRead, BufReader, Write};
use std::net::TcpListener;
use std::sync::{Arc, Mutex, MutexGuard};
use std::thread::JoinHandle;

use axum::body::Bytes;
use axum::extract::{Path, State};
use axum::http::{StatusCode, header};
use axum::response::{IntoResponse, Response};
use axum::routing::{get, post, put};
use axum::{Json, Router};
use oc_runner::Input;
use oc_step::{Announcement, Upload, UploadState};
use sha2::{Digest, Sha256};

pub(crate) const MACAROON: &str = "the-macaroon";

/// What a node holds and how it misbehaves.
#[derive(Default)]
pub(crate) struct Shelf {
    pub(crate) inputs: BTreeMap<String, Vec<u8>>,
    pub(crate) announced: BTreeMap<String, Announcement>,
    pub(crate) stored: BTreeMap<String, Vec<u8>>,
    /// How often an input was asked for.
    pub(crate) asked: u32,
    /// Answer "unavailable" so many times.
    pub(crate) unavailable: u32,
    /// Store the bytes of an output and lose the answer, so many times.
    pub(crate) lost_answers: u32,
}

#[derive(Clone, Default)]
pub(crate) struct FakeNode(Arc<Mutex<Shelf>>);

impl FakeNode {
    pub(crate) fn shelf(&self) -> MutexGuard<'_, Shelf> {
        self.0.lock().unwrap()
    }

    /// Keeps an input, and describes it as a job does.
    pub(crate) fn keep(&self, name: &str, basename: &str, bytes: &[u8]) -> Input {
        self.shelf().inputs.insert(name.into(), bytes.into());
        Input {
            name: name.parse().unwrap(),
            basename: basename.into(),
            sha256: hex::encode(Sha256::digest(bytes)),
            length: bytes.len() as u64,
        }
    }

    /// Serves the routes on a free port until the runtime ends; answers their address.
    pub(crate) async fn serve(&self) -> String {
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let routes = Router::new()
            .route("/a/inputs/{name}", get(input))
            .route("/a/uploads", post(announce))
            .route("/a/uploads/{*name}", put(upload))
            .layer(axum::middleware::from_fn(only_with_macaroon))
            .with_state(self.clone());
        tokio::spawn(async move { axum::serve(listener, routes).await });
        format!("http://{address}/a")
    }
}

async fn only_with_macaroon(
    request: axum::extract::Request,
    next: axum::middleware::Next,
) -> Response {
    let sent = request.headers().get(header::AUTHORIZATION);
    if sent.is_none_or(|sent| sent != &format!("Macaroon {MACAROON}")) {
        return problem(StatusCode::FORBIDDEN, "the macaroon does not open this");
    }
    next.run(request).await
}

fn problem(status: StatusCode, detail: &str) -> Response {
    let body = format!(
        r#"{{"type":"about:blank","status":{},"detail":"{detail}"}}"#,
        status.as_u16()
    );
    (
        status,
        [(header::CONTENT_TYPE, "application/problem+json")],
        body,
    )
        .into_response()
}

async fn input(State(node): State<FakeNode>, Path(name): Path<String>) -> Response {
    let mut shelf = node.shelf();
    shelf.asked += 1;
    if shelf.unavailable > 0 {
        shelf.unavailable -= 1;
        return problem(StatusCode::SERVICE_UNAVAILABLE, "later");
    }
    match shelf.inputs.get(&name) {
        Some(bytes) => bytes.clone().into_response(),
        None => problem(StatusCode::NOT_FOUND, "no such input"),
    }
}

async fn announce(
    State(node): State<FakeNode>,
    Json(announcement): Json<Announcement>,
) -> Json<Upload> {
    let mut shelf = node.shelf();
    let name = announcement.name.to_string();
    let state = if shelf.stored.contains_key(&name) {
        UploadState::Stored
    } else {
        UploadState::Wanted
    };
    shelf.announced.insert(name, announcement);
    Json(Upload { state })
}

async fn upload(State(node): State<FakeNode>, Path(name): Path<String>, bytes: Bytes) -> Response {
    let mut shelf = node.shelf();
    let Some(announced) = shelf.announced.get(&name) else {
        return problem(StatusCode::CONFLICT, "it was not announced");
    };
    if announced.sha256 != hex::encode(Sha256::digest(&bytes)) {
        return problem(StatusCode::CONFLICT, "the bytes are not those announced");
    }
    shelf.stored.insert(name, bytes.into());
    if shelf.lost_answers > 0 {
        shelf.lost_answers -= 1;
        return problem(StatusCode::GATEWAY_TIMEOUT, "lost");
    }
    let state = UploadState::Stored;
    Json(Upload { state }).into_response()
}

/// Serves one input over connections that each break after `piece` bytes, until all of it went out.
/// Answers the address and, in the end, the `Range` headers that came.
pub(crate) fn serve_in_pieces(bytes: Vec<u8>, piece: usize) -> (String, JoinHandle<Vec<String>>) {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = format!("http://{}/a", listener.local_addr().unwrap());
    let serving = std::thread::spawn(move || {
        let mut ranges = Vec::new();
        loop {
            let (mut connection, _) = listener.accept().unwrap();
            let head = BufReader::new(connection.try_clone().unwrap()).lines();
            let head: Vec<String> = head
                .map(Result::unwrap)
                .take_while(|line| !line.is_empty())
                .collect();
            let range = head
                .iter()
                .find_map(|line| line.strip_prefix("range: bytes="));
            let from: usize = range.map_or(0, |range| range.trim_end_matches('-').parse().unwrap());
            let status = if from > 0 {
                "206 Partial Content"
            } else {
                "200 OK"
            };
            let rest = &bytes[from..];
            let length = rest.len();
            write!(
                connection,
                "HTTP/1.1 {status}\r\ncontent-length: {length}\r\n\r\n"
            )
            .unwrap();
            connection.write_all(&rest[..piece.min(length)]).unwrap();
            ranges.push(range.unwrap_or_default().to_owned());
            if length <= piece {
                return ranges;
            }
        }
    });
    (address, serving)
}

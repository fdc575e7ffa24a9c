//! Requests over connections that stay open, one after the other on each: what a server answers when its clients
//! cost as little as they can on the same processors.

use std::sync::Arc;
use std::time::{Duration, Instant};

use anyhow::{Context as _, bail};
use http_body_util::{BodyExt as _, Full};
use hyper::body::Bytes;
use hyper::client::conn::http1;
use hyper::{Method, Request, StatusCode};
use hyper_util::rt::TokioIo;
use oc_testkit::Node;
use tokio::net::TcpStream;

use crate::figures::Times;

/// One request of a load.
#[derive(Debug, Clone)]
pub(crate) struct Call {
    pub(crate) method: Method,
    pub(crate) path: String,
    pub(crate) body: String,
}

pub(crate) fn get(path: String) -> Call {
    Call {
        method: Method::GET,
        path,
        body: String::new(),
    }
}

pub(crate) fn post(path: String, body: &serde_json::Value) -> Call {
    Call {
        method: Method::POST,
        path,
        body: body.to_string(),
    }
}

/// Where a load goes, and as whom.
#[derive(Debug, Clone)]
pub(crate) struct Target {
    /// Host and port.
    pub(crate) authority: String,
    pub(crate) token: String,
}

/// What a load came to.
pub(crate) struct Outcome {
    /// Answers a second, over all connections.
    pub(crate) rate: f64,
    pub(crate) times: Times,
}

impl Target {
    /// A node, as its administrator.
    pub(crate) fn of(node: &Node) -> Self {
        Self {
            authority: node.address().trim_start_matches("http://").to_owned(),
            token: node.token(),
        }
    }

    /// Sends calls over `connections` for `duration`; the `n`th call of all is `call(n)`. Each answer has to be a
    /// success.
    pub(crate) async fn load(
        &self,
        connections: usize,
        duration: Duration,
        call: impl Fn(usize) -> Call + Send + Sync + 'static,
    ) -> anyhow::Result<Outcome> {
        let start = Instant::now();
        self.spread(connections, call, at_once, move |_| {
            start.elapsed() < duration
        })
        .await
    }

    /// Sends `count` calls over `connections`.
    pub(crate) async fn send(
        &self,
        connections: usize,
        count: usize,
        call: impl Fn(usize) -> Call + Send + Sync + 'static,
    ) -> anyhow::Result<Outcome> {
        self.spread(connections, call, at_once, move |number| number < count)
            .await
    }

    /// Sends `rate` calls a second over `connections`. Times count from when a call was due, so that a server that
    /// falls behind does not look quick.
    pub(crate) async fn at_rate(
        &self,
        connections: usize,
        rate: u32,
        duration: Duration,
        call: impl Fn(usize) -> Call + Send + Sync + 'static,
    ) -> anyhow::Result<Outcome> {
        let start = Instant::now();
        let last = (f64::from(rate) * duration.as_secs_f64()) as usize;
        let due = move |number: usize| start + Duration::from_secs(1) / rate * number as u32;
        self.spread(connections, call, due, move |number| number < last)
            .await
    }

    async fn spread(
        &self,
        connections: usize,
        call: impl Fn(usize) -> Call + Send + Sync + 'static,
        due: impl Fn(usize) -> Instant + Clone + Send + 'static,
        more: impl Fn(usize) -> bool + Clone + Send + 'static,
    ) -> anyhow::Result<Outcome> {
        let call = Arc::new(call);
        let start = Instant::now();
        let workers = (0..connections).map(|worker| {
            let (target, call) = (self.clone(), Arc::clone(&call));
            let (due, more) = (due.clone(), more.clone());
            tokio::spawn(async move {
                let mut connection = target.connect().await?;
                let mut times = Vec::new();
                let mut number = worker;
                while more(number) {
                    let begun = due(number);
                    tokio::time::sleep_until(begun.into()).await;
                    connection.answer(call(number)).await?;
                    times.push(begun.elapsed());
                    number += connections;
                }
                anyhow::Ok(times)
            })
        });
        let workers: Vec<_> = workers.collect();
        let mut times = Vec::new();
        for worker in workers {
            times.extend(worker.await??);
        }
        Ok(Outcome {
            rate: times.len() as f64 / start.elapsed().as_secs_f64(),
            times: Times::of(times),
        })
    }

    async fn connect(&self) -> anyhow::Result<Connection> {
        let stream = TcpStream::connect(&self.authority).await?;
        stream.set_nodelay(true)?;
        let (sender, connection) = http1::handshake(TokioIo::new(stream)).await?;
        tokio::spawn(connection);
        Ok(Connection {
            sender,
            target: self.clone(),
        })
    }
}

fn at_once(_: usize) -> Instant {
    Instant::now()
}

struct Connection {
    sender: http1::SendRequest<Full<Bytes>>,
    target: Target,
}

impl Connection {
    async fn answer(&mut self, call: Call) -> anyhow::Result<Bytes> {
        self.sender.ready().await?;
        let request = Request::builder()
            .method(call.method)
            .uri(&call.path)
            .header("host", &self.target.authority)
            .header("authorization", format!("Bearer {}", self.target.token))
            .header("content-type", "application/json")
            .body(Full::from(call.body))?;
        let answer = self.sender.send_request(request).await?;
        let status = answer.status();
        let body = answer.into_body().collect().await?.to_bytes();
        if !matches!(status, StatusCode::OK | StatusCode::CREATED) {
            bail!(
                "{} answered {status}: {}",
                call.path,
                String::from_utf8_lossy(&body)
            );
        }
        Ok(body)
    }
}

impl Target {
    /// One answer.
    pub(crate) async fn ask(&self, call: Call) -> anyhow::Result<serde_json::Value> {
        let body = self.connect().await?.answer(call).await?;
        serde_json::from_slice(&body).context("an answer that is no JSON")
    }
}

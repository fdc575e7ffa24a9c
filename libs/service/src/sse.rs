//! Server-sent events (WHATWG HTML, section 9.2), as many at once as a service can bear.

use std::convert::Infallible;
use std::sync::Arc;
use std::time::Duration;

use axum::response::sse::{KeepAlive, Sse};
use axum::response::{IntoResponse, Response};
use futures::{Stream, StreamExt};
use oc_kernel::Kind;
use serde::Serialize;
use tokio::sync::Semaphore;

pub use axum::response::sse::Event;

use crate::problem::Problem;

/// A comment goes out after this silence, so that proxies keep the connection.
const KEEP_ALIVE: Duration = Duration::from_secs(15);

/// The event streams of a service: at most so many are open at once.
#[derive(Debug, Clone)]
pub struct Streams {
    open: Arc<Semaphore>,
}

impl Streams {
    /// At most `limit` at once.
    pub fn new(limit: usize) -> Self {
        Self {
            open: Arc::new(Semaphore::new(limit)),
        }
    }

    /// Answers with these events. They are taken as fast as the client reads: the source must bound what
    /// waits. The stream ends with its source, or when the node stops.
    ///
    /// # Errors
    /// When the limit is reached.
    pub fn open<S>(&self, events: S) -> Result<Response, Problem>
    where
        S: Stream<Item = Event> + Send + 'static,
    {
        let Ok(permit) = Arc::clone(&self.open).try_acquire_owned() else {
            let detail = "as many event streams are open as this node serves at once";
            return Err(Problem::new(Kind::Exhausted, detail)
                .with_advice("close one, or ask for the state instead"));
        };
        let events = events.map(move |event| {
            let _open = &permit;
            Ok::<_, Infallible>(event)
        });
        Ok(Sse::new(events)
            .keep_alive(KeepAlive::new().interval(KEEP_ALIVE))
            .into_response())
    }
}

/// An event with an id to resume after, a name and JSON data. Data that is no JSON gives an empty event.
pub fn event(id: impl AsRef<str>, name: &str, data: &impl Serialize) -> Event {
    let event = Event::default().id(id).event(name);
    event.json_data(data).unwrap_or_default()
}

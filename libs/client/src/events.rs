//! Server-sent events (WHATWG HTML, section 9.2).

use futures::{Stream, StreamExt as _};
use reqwest::Method;
use serde::de::DeserializeOwned;

use crate::error::ClientError;
use crate::request::Client;

/// Longest event that is read, in bytes.
const LONGEST: usize = 1 << 20;

/// Opens a stream of events; each event's data is a `T` in JSON.
pub(crate) async fn stream<T: DeserializeOwned>(
    client: &Client,
    path: &str,
) -> Result<impl Stream<Item = Result<T, ClientError>> + use<T>, ClientError> {
    let request = client
        .request(Method::GET, path)
        .header("accept", "text/event-stream");
    let response = client.send(request).await?;
    let url = response.url().to_string();
    let mut bytes = response.bytes_stream();
    Ok(async_stream::stream! {
        let unreadable = |reason: String| ClientError::Unreadable { url: url.clone(), reason };
        let mut events = Events::default();
        while let Some(chunk) = bytes.next().await {
            match chunk {
                Ok(chunk) => events.push(&chunk),
                Err(error) => {
                    yield Err(unreadable(error.to_string()));
                    return;
                }
            }
            while let Some(data) = events.next() {
                yield serde_json::from_str(&data).map_err(|error| unreadable(error.to_string()));
            }
            if events.buffer.len() > LONGEST {
                yield Err(unreadable(format!("an event is longer than {LONGEST} bytes")));
                return;
            }
        }
    })
}

/// Cuts a stream of bytes into the data of its events.
#[derive(Default)]
struct Events {
    buffer: Vec<u8>,
    data: Vec<String>,
}

impl Events {
    fn push(&mut self, chunk: &[u8]) {
        self.buffer.extend_from_slice(chunk);
    }

    fn next(&mut self) -> Option<String> {
        while let Some(end) = self.buffer.iter().position(|byte| *byte == b'\n') {
            let line: Vec<u8> = self.buffer.drain(..=end).collect();
            let line = String::from_utf8_lossy(&line);
            let line = line.trim_end_matches(['\r', '\n']);
            if line.is_empty() {
                if !self.data.is_empty() {
                    return Some(std::mem::take(&mut self.data).join("\n"));
                }
            } else if let Some(data) = line.strip_prefix("data:") {
                self.data
                    .push(data.strip_prefix(' ').unwrap_or(data).to_owned());
            }
        }
        None
    }
}

#[cfg(test)]
mod tests {
    use super::Events;

    #[test]
    fn events_are_found_however_the_bytes_are_cut() {
        let text = b": hello\r\nid: 1\r\ndata: {\"a\":\r\ndata: 1}\r\n\r\nretry: 5\n\ndata:2\n\n";
        for cut in 1..text.len() {
            let mut events = Events::default();
            let mut found = Vec::new();
            for chunk in text.chunks(cut) {
                events.push(chunk);
                found.extend(std::iter::from_fn(|| events.next()));
            }
            assert_eq!(found, ["{\"a\":\n1}", "2"], "cut every {cut}");
        }
    }
}

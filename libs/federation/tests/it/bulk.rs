//! Bulk transfers.

use std::collections::HashMap;
use std::io::Cursor;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use async_trait::async_trait;
use bytes::Bytes;
use oc_federation::bulk::{
    self, BulkError, BulkHandler, BulkLimits, BulkOperation, BulkRefusal, BulkRequest, BulkSink,
    BulkSource, BulkStored, Tempo,
};
use oc_federation::{Network, PeerInfo};
use oc_kernel::Kind;
use sha2::{Digest as _, Sha256};
use tokio::io::AsyncReadExt as _;

use crate::nodes::{LIMIT, Realm, address, connected, until};

const SHELF_BYTES: usize = 4 << 20;

/// Objects in memory; what a broken put brought stays as a partial object.
#[derive(Default)]
struct Shelf {
    objects: Mutex<HashMap<String, Vec<u8>>>,
    partial: Mutex<HashMap<String, Vec<u8>>>,
    revoked: AtomicBool,
    lie: AtomicBool,
}

struct ShelfSink {
    shelf: Arc<Shelf>,
    key: String,
    sha256: String,
}

fn digest(bytes: &[u8]) -> String {
    hex::encode(Sha256::digest(bytes))
}

fn refusal(kind: Kind, reason: &str) -> BulkRefusal {
    BulkRefusal {
        kind,
        reason: reason.to_owned(),
    }
}

#[async_trait]
impl BulkSink for ShelfSink {
    fn offset(&self) -> u64 {
        let partial = self.shelf.partial.lock().unwrap();
        partial.get(&self.key).map_or(0, Vec::len) as u64
    }

    async fn write(&mut self, bytes: Bytes) -> Result<(), BulkRefusal> {
        let mut partial = self.shelf.partial.lock().unwrap();
        let partial = partial.entry(self.key.clone()).or_default();
        if partial.len() + bytes.len() > SHELF_BYTES {
            return Err(refusal(Kind::Exhausted, "the shelf is full"));
        }
        partial.extend(bytes);
        Ok(())
    }

    async fn finish(self: Box<Self>) -> Result<BulkStored, BulkRefusal> {
        let object = self.shelf.partial.lock().unwrap().remove(&self.key);
        let object = object.unwrap_or_default();
        let found = digest(&object);
        if found != self.sha256 {
            return Err(refusal(Kind::Invalid, "the digest does not fit"));
        }
        let total = object.len() as u64;
        self.shelf.objects.lock().unwrap().insert(self.key, object);
        Ok(BulkStored {
            total,
            sha256: Some(found),
        })
    }
}

struct Handler(Arc<Shelf>);

#[async_trait]
impl BulkHandler for Handler {
    async fn get(&self, _: PeerInfo, request: &BulkRequest) -> Result<BulkSource, BulkRefusal> {
        if request.authority != "let me" {
            return Err(refusal(Kind::Forbidden, "that is no authority"));
        }
        let objects = self.0.objects.lock().unwrap();
        let object = objects.get(&request.key);
        let object = object.ok_or_else(|| refusal(Kind::NotFound, "no such object"))?;
        let rest = object.get(request.offset as usize..);
        let rest = rest.ok_or_else(|| refusal(Kind::Invalid, "beyond the end"))?;
        let length = request.length.unwrap_or(u64::MAX).min(rest.len() as u64);
        let sha256 = match self.0.lie.load(Ordering::SeqCst) {
            true => digest(b"another"),
            false => digest(object),
        };
        Ok(BulkSource {
            reader: Box::pin(Cursor::new(rest.to_vec())),
            length,
            total: object.len() as u64,
            sha256: Some(sha256),
        })
    }

    async fn put(
        &self,
        _: PeerInfo,
        request: &BulkRequest,
    ) -> Result<Box<dyn BulkSink>, BulkRefusal> {
        Ok(Box::new(ShelfSink {
            shelf: self.0.clone(),
            key: request.key.clone(),
            sha256: request.sha256.clone().unwrap_or_default(),
        }))
    }

    async fn recheck(&self, _: PeerInfo, _: &BulkRequest) -> Result<(), BulkRefusal> {
        match self.0.revoked.load(Ordering::SeqCst) {
            true => Err(refusal(Kind::Forbidden, "revoked")),
            false => Ok(()),
        }
    }
}

async fn serving(limits: BulkLimits) -> (Network, Network, Arc<Shelf>) {
    let (a, b) = Realm::new().pair().await;
    let shelf = Arc::new(Shelf::default());
    let handler = Arc::new(Handler(shelf.clone()));
    tokio::spawn(bulk::serve(&a, handler, limits).unwrap());
    (a, b, shelf)
}

fn request(operation: BulkOperation) -> BulkRequest {
    BulkRequest {
        operation,
        key: "scene/B04.tif".to_owned(),
        authority: "let me".to_owned(),
        offset: 0,
        length: None,
        sha256: None,
    }
}

fn pixels(size: usize) -> Vec<u8> {
    (0..size).map(|at| (at * 31 % 251) as u8).collect()
}

fn put_request(object: &[u8]) -> BulkRequest {
    BulkRequest {
        length: Some(object.len() as u64),
        sha256: Some(digest(object)),
        ..request(BulkOperation::Put)
    }
}

#[tokio::test]
async fn an_object_is_fetched_whole_and_in_parts() {
    let (a, b, shelf) = serving(BulkLimits::default()).await;
    let object = pixels(3_000_001);
    let key = "scene/B04.tif".to_owned();
    shelf.objects.lock().unwrap().insert(key, object.clone());
    let peer = a.local_peer();
    let mut whole = Vec::new();
    let get = request(BulkOperation::Get);
    let answer = bulk::download(&b, peer, &get, &mut whole, Tempo::default());
    let answer = answer.await.unwrap();
    assert_eq!(whole, object);
    assert_eq!(answer.sha256, Some(digest(&object)));
    let part = BulkRequest {
        offset: 1_000_000,
        length: Some(17),
        ..get
    };
    let mut bytes = Vec::new();
    let answer = bulk::download(&b, peer, &part, &mut bytes, Tempo::default());
    assert_eq!(answer.await.unwrap().total, 3_000_001);
    assert_eq!(bytes, object[1_000_000..1_000_017]);
    assert!(
        b.peer(peer).unwrap().connections >= 2,
        "bulk shares the connection of the calls"
    );
}

#[tokio::test]
async fn a_broken_fetch_goes_on_where_it_ended() {
    let (a, b, shelf) = serving(BulkLimits::default()).await;
    let object = pixels(2_000_000);
    let key = "scene/B04.tif".to_owned();
    shelf.objects.lock().unwrap().insert(key, object.clone());
    let get = request(BulkOperation::Get);
    let (_, mut reader) = bulk::get(&b, a.local_peer(), &get, Tempo::default())
        .await
        .unwrap();
    let mut begun = vec![0; 70_000];
    let read = reader.read(&mut begun).await.unwrap();
    begun.truncate(read);
    drop(reader);
    let rest = BulkRequest {
        offset: read as u64,
        ..get
    };
    bulk::download(&b, a.local_peer(), &rest, &mut begun, Tempo::default())
        .await
        .unwrap();
    assert_eq!(begun, object);
}

/// A disk that fails.
struct Broken;

impl tokio::io::AsyncRead for Broken {
    fn poll_read(
        self: std::pin::Pin<&mut Self>,
        _: &mut std::task::Context<'_>,
        _: &mut tokio::io::ReadBuf<'_>,
    ) -> std::task::Poll<std::io::Result<()>> {
        std::task::Poll::Ready(Err(std::io::Error::other("the disk fails")))
    }
}

#[tokio::test]
async fn a_broken_put_goes_on_where_it_ended() {
    let (a, b, shelf) = serving(BulkLimits::default()).await;
    let object = pixels(2_000_000);
    let put = put_request(&object);
    let peer = a.local_peer();
    // The reader breaks in the middle.
    let half = Cursor::new(object[..700_000].to_vec());
    let broken = half.chain(Broken);
    let broken = bulk::put(&b, peer, &put, async |_| Ok(broken), Tempo::default()).await;
    assert!(matches!(broken, Err(BulkError::Local { .. })), "{broken:?}");
    let arrived = || {
        shelf
            .partial
            .lock()
            .unwrap()
            .values()
            .map(Vec::len)
            .sum::<usize>()
    };
    until(|| arrived() == 700_000).await;
    let mut asked = 0;
    let rest = async |offset: u64| {
        asked = offset;
        Ok(Cursor::new(object[offset as usize..].to_vec()))
    };
    let stored = bulk::put(&b, peer, &put, rest, Tempo::default())
        .await
        .unwrap();
    assert_eq!(asked, 700_000);
    assert_eq!(stored.sha256, Some(digest(&object)));
    assert_eq!(shelf.objects.lock().unwrap()["scene/B04.tif"], object);
}

#[tokio::test]
async fn a_refusal_arrives_with_its_kind_and_reason() {
    let (a, b, _shelf) = serving(BulkLimits::default()).await;
    let mut get = request(BulkOperation::Get);
    let mut nothing = Vec::new();
    let missing = bulk::download(&b, a.local_peer(), &get, &mut nothing, Tempo::default()).await;
    assert!(
        matches!(&missing, Err(BulkError::Refused { kind: Kind::NotFound, reason }) if reason == "no such object"),
        "{missing:?}"
    );
    get.authority = "x".to_owned();
    let refused = bulk::download(&b, a.local_peer(), &get, &mut nothing, Tempo::default()).await;
    assert!(
        matches!(
            refused,
            Err(BulkError::Refused {
                kind: Kind::Forbidden,
                ..
            })
        ),
        "{refused:?}"
    );
    let mut put = put_request(&[]);
    put.sha256 = Some("oops".to_owned());
    let open = async |_| Ok(Cursor::new(Vec::new()));
    let refused = bulk::put(&b, a.local_peer(), &put, open, Tempo::default()).await;
    assert!(
        matches!(
            refused,
            Err(BulkError::Refused {
                kind: Kind::Malformed,
                ..
            })
        ),
        "{refused:?}"
    );
    let short = put_request(&pixels(1000));
    let open = async |_| Ok(Cursor::new(pixels(999)));
    let refused = bulk::put(&b, a.local_peer(), &short, open, Tempo::default()).await;
    assert!(
        matches!(&refused, Err(BulkError::Refused { reason, .. }) if reason.contains("another size")),
        "{refused:?}"
    );
}

#[tokio::test]
async fn a_refusal_in_the_middle_of_a_put_stops_the_sender_with_its_reason() {
    let (a, b, _shelf) = serving(BulkLimits::default()).await;
    let mut put = request(BulkOperation::Put);
    put.key = "endless".to_owned();
    let endless = async |_| Ok(tokio::io::repeat(7));
    let refused = bulk::put(&b, a.local_peer(), &put, endless, Tempo::default()).await;
    assert!(
        matches!(&refused, Err(BulkError::Refused { kind: Kind::Exhausted, reason }) if reason == "the shelf is full"),
        "{refused:?}"
    );
}

#[tokio::test]
async fn bytes_other_than_announced_are_noticed_on_either_side() {
    let (a, b, shelf) = serving(BulkLimits::default()).await;
    let object = pixels(1000);
    let put = put_request(&object);
    let forged = async |_| Ok(Cursor::new(vec![0; 1000]));
    let refused = bulk::put(&b, a.local_peer(), &put, forged, Tempo::default()).await;
    assert!(
        matches!(
            refused,
            Err(BulkError::Refused {
                kind: Kind::Invalid,
                ..
            })
        ),
        "{refused:?}"
    );
    let key = "scene/B04.tif".to_owned();
    shelf.objects.lock().unwrap().insert(key, object);
    shelf.lie.store(true, Ordering::SeqCst);
    let get = request(BulkOperation::Get);
    let mut bytes = Vec::new();
    let damaged = bulk::download(&b, a.local_peer(), &get, &mut bytes, Tempo::default()).await;
    assert!(
        matches!(damaged, Err(BulkError::Damaged { .. })),
        "{damaged:?}"
    );
}

#[tokio::test]
async fn a_running_transfer_is_cut_when_it_is_no_longer_allowed() {
    let limits = BulkLimits {
        recheck: Duration::from_millis(50),
        ..BulkLimits::default()
    };
    let (a, b, shelf) = serving(limits).await;
    let key = "scene/B04.tif".to_owned();
    shelf.objects.lock().unwrap().insert(key, pixels(12 << 20));
    let get = request(BulkOperation::Get);
    let (_, mut reader) = bulk::get(&b, a.local_peer(), &get, Tempo::default())
        .await
        .unwrap();
    let mut buffer = vec![0; 1000];
    reader.read(&mut buffer).await.unwrap();
    shelf.revoked.store(true, Ordering::SeqCst);
    let cut = loop {
        match reader.read(&mut buffer).await {
            Ok(0) => panic!("the whole object came"),
            Ok(_) => tokio::time::sleep(Duration::from_millis(1)).await,
            Err(error) => break error,
        }
    };
    assert!(matches!(cut, BulkError::Cut { .. }), "{cut:?}");
}

#[tokio::test]
async fn a_transfer_too_many_and_one_that_is_not_read_are_refused() {
    let limits = BulkLimits {
        transfers_per_peer: 1,
        tempo: Tempo {
            idle: Duration::from_millis(400),
            slowest: 1,
        },
        ..BulkLimits::default()
    };
    let (a, b, shelf) = serving(limits).await;
    let key = "scene/B04.tif".to_owned();
    shelf.objects.lock().unwrap().insert(key, pixels(12 << 20));
    let get = request(BulkOperation::Get);
    let (_, unread) = bulk::get(&b, a.local_peer(), &get, Tempo::default())
        .await
        .unwrap();
    let part = BulkRequest {
        length: Some(10),
        ..get
    };
    let mut bytes = Vec::new();
    let second = bulk::download(&b, a.local_peer(), &part, &mut bytes, Tempo::default()).await;
    assert!(
        matches!(&second, Err(BulkError::Refused { kind: Kind::Exhausted, reason }) if reason.contains("too many transfers")),
        "{second:?}"
    );
    // The unread one is cut in time and makes room.
    let started = std::time::Instant::now();
    while bulk::download(&b, a.local_peer(), &part, &mut bytes, Tempo::default())
        .await
        .is_err()
    {
        assert!(
            started.elapsed() < Duration::from_secs(10),
            "the stalled transfer was not cut"
        );
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
    drop(unread);
}

#[tokio::test]
async fn a_first_frame_that_is_no_request_is_answered_with_a_reason() {
    use oc_federation::Protocol;
    use tokio::io::AsyncWriteExt as _;
    let (a, b, _shelf) = serving(BulkLimits::default()).await;
    for frame in [&b"\0\0\0\x04oops"[..], &[0xff; 4]] {
        let mut raw = b.open_stream(a.local_peer(), Protocol::Bulk).await.unwrap();
        raw.write_all(frame).await.unwrap();
        raw.flush().await.unwrap();
        let mut answer = Vec::new();
        raw.read_to_end(&mut answer).await.unwrap();
        let text = String::from_utf8_lossy(&answer[4..]).into_owned();
        assert!(text.contains("\"status\":\"unavailable\""), "{text}");
    }
}

#[tokio::test]
async fn a_peer_that_cannot_be_dialled_gets_bulk_data_over_the_connection_there_is() {
    let realm = Realm::new();
    let a = realm.node().await;
    let mut settings = realm.settings();
    settings.listen.clear();
    // An address that leads nowhere, as that of a node behind NAT does.
    let free = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let port = free.local_addr().unwrap().port();
    drop(free);
    settings.announce = vec![format!("/ip4/127.0.0.1/tcp/{port}").parse().unwrap()];
    let hidden = Network::start(settings).await.unwrap();
    let shelf = Arc::new(Shelf::default());
    let object = pixels(300_000);
    let key = "scene/B04.tif".to_owned();
    shelf.objects.lock().unwrap().insert(key, object.clone());
    let handler = Arc::new(Handler(shelf));
    tokio::spawn(bulk::serve(&hidden, handler, BulkLimits::default()).unwrap());
    hidden.join(&[address(&a).await], LIMIT).await.unwrap();
    until(|| connected(&a, hidden.local_peer())).await;
    let get = request(BulkOperation::Get);
    let mut bytes = Vec::new();
    bulk::download(&a, hidden.local_peer(), &get, &mut bytes, Tempo::default())
        .await
        .unwrap();
    assert_eq!(bytes, object);
    assert_eq!(a.peer(hidden.local_peer()).unwrap().connections, 1);
}

//! Strangers without the key who knock without end.

use std::collections::VecDeque;
use std::io::Write as _;
use std::net::{SocketAddr, TcpStream};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::thread::JoinHandle;
use std::time::Duration;

use oc_federation::Network;

use crate::nodes::{LIMIT, Realm, address, connected, until};

/// More than a node ever lets be half-open.
const AT_ONCE: usize = 800;

/// Connects to ports as fast as it can, from the same address as the members, and keeps what it has open for as long
/// as it can.
struct Flood {
    stop: Arc<AtomicBool>,
    made: Arc<AtomicUsize>,
    knocking: Vec<JoinHandle<()>>,
}

impl Flood {
    /// `greeting` is sent first on each connection.
    fn on(ports: &[SocketAddr], greeting: &'static [u8]) -> Self {
        let (stop, made) = (Arc::new(AtomicBool::new(false)), Arc::default());
        let knock = |port: &SocketAddr| {
            let (port, stop, made) = (*port, stop.clone(), Arc::clone(&made));
            std::thread::spawn(move || knock(port, greeting, &stop, &made))
        };
        let knocking = ports.iter().map(knock).collect();
        Self {
            stop,
            made,
            knocking,
        }
    }

    fn made(&self) -> usize {
        self.made.load(Ordering::Relaxed)
    }
}

impl Drop for Flood {
    fn drop(&mut self) {
        self.stop.store(true, Ordering::Relaxed);
        for thread in self.knocking.drain(..) {
            let _ = thread.join();
        }
    }
}

fn knock(port: SocketAddr, greeting: &[u8], stop: &AtomicBool, made: &AtomicUsize) {
    let mut open = VecDeque::new();
    while !stop.load(Ordering::Relaxed) {
        let Ok(mut socket) = TcpStream::connect_timeout(&port, Duration::from_secs(1)) else {
            continue;
        };
        if socket.write_all(greeting).is_err() {
            continue;
        }
        made.fetch_add(1, Ordering::Relaxed);
        open.push_back(socket);
        if open.len() > AT_ONCE / 2 {
            open.pop_front();
        }
    }
}

async fn port(network: &Network) -> SocketAddr {
    let at = address(network).await.to_string();
    let port = at.rsplit('/').next().unwrap();
    format!("127.0.0.1:{port}").parse().unwrap()
}

async fn meet_under(greeting: &'static [u8]) {
    let realm = Realm::new();
    let (a, b) = (realm.node().await, realm.node().await);
    let flood = Flood::on(&[port(&a).await, port(&b).await], greeting);
    until(|| flood.made() > AT_ONCE).await;
    let before = flood.made();
    b.join(&[address(&a).await], LIMIT).await.unwrap();
    until(|| connected(&a, b.local_peer()) && connected(&b, a.local_peer())).await;
    assert!(flood.made() > before, "nobody knocked meanwhile");
}

#[tokio::test]
async fn members_meet_while_strangers_who_say_nothing_flood_both() {
    meet_under(b"").await;
}

#[tokio::test]
async fn members_meet_while_strangers_who_send_a_nonce_flood_both() {
    meet_under(&[7; 24]).await;
}

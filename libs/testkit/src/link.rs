//! A link between two nodes: a TCP proxy whose conditions a test sets while bytes flow. It knows nothing of what
//! passes.

use std::net::SocketAddr;
use std::num::NonZeroU32;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};
use std::time::Duration;

use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::tcp::{ReadHalf, WriteHalf};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::{mpsc, watch};
use tokio::task::{JoinHandle, JoinSet};
use tokio::time::{Instant, sleep, sleep_until};

const CHUNK: usize = 16 * 1024;
/// Chunks on their way in one direction of one connection: more is not read, as on a full line.
const ON_THE_WAY: usize = 256;

/// Whether anything passes.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub enum Passage {
    /// Everything passes.
    #[default]
    Open,
    /// Nothing passes and nobody is told, as where packets are lost. What was sent passes once it opens again.
    Stalled,
    /// New connections are reset, as at a port where nobody listens. Open ones stay.
    Refused,
}

/// How bytes pass, each way.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Conditions {
    /// Whether they do.
    pub passage: Passage,
    /// How long each takes.
    pub delay: Duration,
    /// Most bytes a second of one connection; none for as many as go.
    pub rate: Option<NonZeroU32>,
}

/// One of the two directions.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Way {
    /// From who connects to who is connected to.
    There,
    /// The other.
    Back,
}

/// What is asked of every connection; the counts rise with each wish.
#[derive(Debug, Clone, Copy, Default)]
struct Wishes {
    conditions: Conditions,
    resets: u64,
    closed_there: u64,
    closed_back: u64,
}

impl Wishes {
    fn stalled(&self) -> bool {
        self.conditions.passage == Passage::Stalled
    }
}

#[derive(Debug, Default)]
struct Counts {
    connections: AtomicUsize,
    passed: AtomicU64,
}

#[derive(Debug, Clone)]
struct Line {
    target: SocketAddr,
    wishes: watch::Receiver<Wishes>,
    counts: Arc<Counts>,
}

/// A proxy that ends with the test.
#[derive(Debug)]
pub struct Link {
    address: SocketAddr,
    wishes: watch::Sender<Wishes>,
    counts: Arc<Counts>,
    listening: JoinHandle<()>,
}

impl Link {
    /// Listens on `address` (port 0 for any) and connects to `target` for each connection.
    ///
    /// # Panics
    /// When the address cannot be listened on.
    pub async fn start(address: SocketAddr, target: SocketAddr) -> Self {
        let listener = TcpListener::bind(address).await.unwrap();
        let address = listener.local_addr().unwrap();
        let (wishes, receiver) = watch::channel(Wishes::default());
        let counts = Arc::<Counts>::default();
        let line = Line {
            target,
            wishes: receiver,
            counts: counts.clone(),
        };
        Self {
            address,
            wishes,
            counts,
            listening: tokio::spawn(line.listen(listener)),
        }
    }

    /// Where it listens.
    pub fn address(&self) -> SocketAddr {
        self.address
    }

    /// Sets the conditions of all connections, also of open ones.
    pub fn set(&self, conditions: Conditions) {
        self.wishes
            .send_modify(|wishes| wishes.conditions = conditions);
    }

    /// Resets every open connection at both ends, and drops what was on its way.
    pub fn reset(&self) {
        self.wishes.send_modify(|wishes| wishes.resets += 1);
    }

    /// Ends one direction of every open connection; the other goes on.
    pub fn half_close(&self, way: Way) {
        self.wishes.send_modify(|wishes| match way {
            Way::There => wishes.closed_there += 1,
            Way::Back => wishes.closed_back += 1,
        });
    }

    /// Open connections.
    pub fn connections(&self) -> usize {
        self.counts.connections.load(Ordering::Relaxed)
    }

    /// Bytes that arrived at either end.
    pub fn passed(&self) -> u64 {
        self.counts.passed.load(Ordering::Relaxed)
    }
}

impl Drop for Link {
    fn drop(&mut self) {
        self.listening.abort();
    }
}

impl Line {
    /// The connections end with this task, which owns them.
    async fn listen(self, listener: TcpListener) {
        let mut open = JoinSet::new();
        loop {
            while open.try_join_next().is_some() {}
            let Ok((near, _)) = listener.accept().await else {
                continue;
            };
            if self.wishes.borrow().conditions.passage == Passage::Refused {
                let _ = near.set_zero_linger();
                continue;
            }
            open.spawn(self.clone().carry(near));
        }
    }

    async fn carry(mut self, mut near: TcpStream) {
        let Ok(mut far) = TcpStream::connect(self.target).await else {
            let _ = near.set_zero_linger();
            return;
        };
        let _ = (near.set_nodelay(true), far.set_nodelay(true));
        self.counts.connections.fetch_add(1, Ordering::Relaxed);
        let before = *self.wishes.borrow();
        let reset = {
            let (near_read, near_write) = near.split();
            let (far_read, far_write) = far.split();
            let there = self.pump(near_read, far_write, move |now| {
                now.closed_there > before.closed_there
            });
            let back = self.pump(far_read, near_write, move |now| {
                now.closed_back > before.closed_back
            });
            let mut wishes = self.wishes.clone();
            tokio::select! {
                ended = async { tokio::try_join!(there, back) } => ended.is_err(),
                _ = wishes.wait_for(|now| now.resets > before.resets) => true,
            }
        };
        // One end's reset does not reach the other through a stalled line either.
        let told = |now: &Wishes| !now.stalled() || now.resets > before.resets;
        let _ = self.wishes.wait_for(told).await;
        if reset {
            let _ = (near.set_zero_linger(), far.set_zero_linger());
        }
        self.counts.connections.fetch_sub(1, Ordering::Relaxed);
    }

    /// Carries one direction to its end.
    async fn pump(
        &self,
        from: ReadHalf<'_>,
        mut to: WriteHalf<'_>,
        closed: impl Fn(&Wishes) -> bool,
    ) -> std::io::Result<()> {
        let (sender, receiver) = mpsc::channel(ON_THE_WAY);
        let mut wishes = self.wishes.clone();
        let bring = async {
            tokio::select! {
                brought = self.bring(&mut to, receiver) => brought?,
                _ = wishes.wait_for(closed) => {}
            }
            to.shutdown().await
        };
        tokio::try_join!(self.take(from, sender), bring).map(|_| ())
    }

    /// Reads to the end; goes on where nobody takes the bytes any more, so that the sender's end is seen.
    async fn take(
        &self,
        mut from: ReadHalf<'_>,
        sender: mpsc::Sender<(Instant, Vec<u8>)>,
    ) -> std::io::Result<()> {
        let mut buffer = vec![0; CHUNK];
        loop {
            let count = from.read(&mut buffer).await?;
            if count == 0 {
                return Ok(());
            }
            let due = Instant::now() + self.wishes.borrow().conditions.delay;
            let _ = sender.send((due, buffer[..count].to_vec())).await;
        }
    }

    async fn bring(
        &self,
        to: &mut WriteHalf<'_>,
        mut receiver: mpsc::Receiver<(Instant, Vec<u8>)>,
    ) -> std::io::Result<()> {
        let mut wishes = self.wishes.clone();
        while let Some((due, bytes)) = receiver.recv().await {
            sleep_until(due).await;
            let rate = match wishes.wait_for(|now| !now.stalled()).await {
                Ok(now) => now.conditions.rate,
                Err(_) => return Ok(()),
            };
            to.write_all(&bytes).await?;
            let count = u32::try_from(bytes.len()).unwrap();
            self.counts
                .passed
                .fetch_add(count.into(), Ordering::Relaxed);
            if let Some(rate) = rate {
                sleep(Duration::from_secs(1) * count / rate.get()).await;
            }
        }
        Ok(())
    }
}

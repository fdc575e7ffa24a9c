//! Connections being made, and who waits for each.

use std::collections::HashMap;

use libp2p::swarm::{ConnectionId, DialError};
use libp2p::{Multiaddr, PeerId};
use tokio::sync::oneshot;

use crate::streams::Lane;
use crate::transport::explain_dial;
use crate::{JoinError, StreamError};

type JoinReply = oneshot::Sender<Result<PeerId, JoinError>>;
type ConnectReply = oneshot::Sender<Result<(), StreamError>>;

/// Those who may wait for the same connection.
const WAITERS: usize = 256;

#[derive(Debug)]
enum Dial {
    /// Joined when the peer has introduced itself on this connection.
    Join {
        address: Multiaddr,
        reply: JoinReply,
    },
    Connect {
        peer: PeerId,
        lane: Lane,
        replies: Vec<ConnectReply>,
    },
}

#[derive(Debug, Default)]
pub(crate) struct Dials(HashMap<ConnectionId, Dial>);

impl Dials {
    pub(crate) fn start_join(&mut self, id: ConnectionId, address: Multiaddr, reply: JoinReply) {
        self.0.insert(id, Dial::Join { address, reply });
    }

    pub(crate) fn start_connect(
        &mut self,
        id: ConnectionId,
        peer: PeerId,
        lane: Lane,
        reply: ConnectReply,
    ) {
        let replies = vec![reply];
        let dial = Dial::Connect {
            peer,
            lane,
            replies,
        };
        self.0.insert(id, dial);
    }

    /// Waits for a connection that is being made already; gives the reply back if there is none.
    pub(crate) fn await_connection(
        &mut self,
        wanted: PeerId,
        wanted_lane: Lane,
        reply: ConnectReply,
    ) -> Option<ConnectReply> {
        let replies = self.0.values_mut().find_map(|dial| match dial {
            Dial::Connect {
                peer,
                lane,
                replies,
            } if *peer == wanted && *lane == wanted_lane => Some(replies),
            _ => None,
        });
        let Some(replies) = replies else {
            return Some(reply);
        };
        if replies.len() >= WAITERS {
            let _ = reply.send(Err(StreamError::Busy { peer: wanted }));
        } else {
            replies.push(reply);
        }
        None
    }

    pub(crate) fn connected(&mut self, id: ConnectionId, found: PeerId) {
        if !matches!(self.0.get(&id), Some(Dial::Connect { peer, .. }) if *peer == found) {
            return;
        }
        if let Some(Dial::Connect { replies, .. }) = self.0.remove(&id) {
            for reply in replies {
                let _ = reply.send(Ok(()));
            }
        }
    }

    pub(crate) fn introduced(&mut self, id: ConnectionId, peer: PeerId) {
        if let Some(Dial::Join { reply, .. }) = self.0.remove(&id) {
            let _ = reply.send(Ok(peer));
        }
    }

    pub(crate) fn other_network(&mut self, id: ConnectionId, network: &str) {
        if let Some(Dial::Join { address, reply }) = self.0.remove(&id) {
            let _ = reply.send(Err(JoinError::OtherNetwork {
                address: address.to_string(),
                found: network.chars().take(64).collect(),
            }));
        }
    }

    /// The connection closed before the peer introduced itself.
    pub(crate) fn closed(&mut self, id: ConnectionId, peer: PeerId) {
        if let Some(Dial::Join { address, reply }) = self.0.remove(&id) {
            let address = address.to_string();
            let _ = reply.send(Err(JoinError::Refused { address, peer }));
        }
    }

    /// Tells those who wait; gives the peer to whom no connection for bulk data could be made.
    pub(crate) fn failed(&mut self, id: ConnectionId, error: &DialError) -> Option<PeerId> {
        match self.0.remove(&id)? {
            Dial::Join { address, reply } => {
                let _ = reply.send(Err(explain_dial(&address, error)));
                None
            }
            Dial::Connect {
                peer,
                lane,
                replies,
            } => {
                let cause = explain_connect(error);
                for reply in replies {
                    let cause = cause.clone();
                    let _ = reply.send(Err(StreamError::Unreachable { peer, cause }));
                }
                (lane == Lane::Bulk).then_some(peer)
            }
        }
    }

    /// Forgets dials whose askers have all gone.
    pub(crate) fn drop_abandoned(&mut self) {
        self.0.retain(|_, dial| match dial {
            Dial::Join { reply, .. } => !reply.is_closed(),
            Dial::Connect { replies, .. } => {
                replies.retain(|reply| !reply.is_closed());
                !replies.is_empty()
            }
        });
    }

    /// Tells everyone who waits that the network was left.
    pub(crate) fn close(&mut self) {
        for (_, dial) in self.0.drain() {
            match dial {
                Dial::Join { reply, .. } => {
                    let _ = reply.send(Err(JoinError::Closed));
                }
                Dial::Connect { replies, .. } => {
                    for reply in replies {
                        let _ = reply.send(Err(StreamError::Closed));
                    }
                }
            }
        }
    }
}

/// The cause of each address that was tried, in one line.
fn explain_connect(error: &DialError) -> String {
    let DialError::Transport(attempts) = error else {
        return error.to_string();
    };
    let causes: Vec<_> = attempts
        .iter()
        .map(|(address, error)| format!("{address}: {error}"))
        .collect();
    causes.join("; ")
}

//! What the swarm reports, turned into peers, causes and announcements.

use std::time::Instant;

use libp2p::kad::RoutingUpdate;
use libp2p::swarm::{ConnectionId, SwarmEvent};
use libp2p::{PeerId, gossipsub, identify, ping};

use super::Driver;
use crate::behaviour::{BehaviourEvent, announced_network, kad_protocol};
use crate::peers::dialable;
use crate::{Limits, NetworkEvent};

const SILENT_PINGS: u32 = 2;

impl Driver {
    pub(super) fn event(&mut self, event: SwarmEvent<BehaviourEvent>) {
        match event {
            SwarmEvent::NewListenAddr { address, .. } => {
                self.tell(NetworkEvent::Listening { address });
            }
            SwarmEvent::ConnectionEstablished {
                peer_id,
                connection_id,
                endpoint,
                ..
            } => {
                let dialled = endpoint.is_dialer().then(|| endpoint.get_remote_address());
                let dialled = dialled.and_then(|address| dialable(address, peer_id));
                self.peers
                    .connected(peer_id, dialled, self.settings.clock.now());
                self.dials.connected(connection_id, peer_id);
            }
            SwarmEvent::ConnectionClosed {
                peer_id,
                connection_id,
                num_established,
                cause,
                ..
            } => {
                let cause = cause.map_or_else(|| "closed".to_owned(), |error| error.to_string());
                self.dials.closed(connection_id, peer_id);
                let left = num_established as usize;
                if self.peers.disconnected(peer_id, left, &cause) {
                    self.tell(NetworkEvent::PeerAway {
                        peer: peer_id,
                        cause,
                    });
                }
            }
            SwarmEvent::OutgoingConnectionError {
                connection_id,
                peer_id,
                error,
            } => {
                self.connections.forget_dial(connection_id);
                if let Some(peer) = peer_id {
                    self.peers.dial_failed(peer, &error.to_string());
                }
                if let Some(peer) = self.dials.failed(connection_id, &error) {
                    self.peers.bulk_failed(peer);
                }
            }
            SwarmEvent::IncomingConnectionError {
                send_back_addr,
                error,
                ..
            } => tracing::debug!(from = %send_back_addr, %error, "a connection was refused"),
            SwarmEvent::ListenerError { error, .. } => {
                tracing::warn!(network = %self.settings.id, %error, "cannot accept a connection");
            }
            SwarmEvent::Behaviour(event) => self.behaviour_event(event),
            _ => {}
        }
    }

    fn behaviour_event(&mut self, event: BehaviourEvent) {
        match event {
            BehaviourEvent::Identify(identify::Event::Received {
                connection_id,
                peer_id,
                info,
            }) => self.introduced(connection_id, peer_id, info),
            BehaviourEvent::Ping(ping) => self.pinged(ping),
            BehaviourEvent::Gossip(gossipsub::Event::Message {
                propagation_source,
                message_id,
                message,
            }) => self.announced(&message_id, propagation_source, message),
            _ => {}
        }
    }

    fn introduced(&mut self, connection: ConnectionId, peer: PeerId, info: identify::Info) {
        let own = self.settings.id.to_string();
        let other = announced_network(&info.protocol_version).filter(|network| *network != own);
        if let Some(network) = other {
            tracing::warn!(%peer, network, "a peer of another network has the same swarm key");
            self.dials.other_network(connection, network);
            self.swarm.close_connection(connection);
            return;
        }
        let addresses: Vec<_> = info
            .listen_addrs
            .iter()
            .filter_map(|address| dialable(address, peer))
            .collect();
        let finds = kad_protocol(self.settings.id);
        if finds.is_ok_and(|finds| info.protocols.contains(&finds)) {
            for address in &addresses {
                let update = self
                    .swarm
                    .behaviour_mut()
                    .kad
                    .add_address(&peer, address.clone());
                if matches!(update, RoutingUpdate::Failed) {
                    break;
                }
            }
        }
        let now = self.settings.clock.now();
        let agent = info.agent_version;
        let new = self.peers.introduced(peer, &agent, addresses, now);
        self.dials.introduced(connection, peer);
        if new {
            self.tell(NetworkEvent::PeerJoined { peer, agent });
        }
    }

    fn pinged(&mut self, ping: ping::Event) {
        match ping.result {
            Ok(rtt) => self.peers.pinged(ping.peer, rtt, self.settings.clock.now()),
            Err(ping::Failure::Unsupported) => {}
            Err(error) => {
                if self.peers.silent(ping.peer) >= SILENT_PINGS {
                    tracing::info!(peer = %ping.peer, %error, "a peer fell silent");
                    self.swarm.close_connection(ping.connection);
                }
            }
        }
    }

    fn announced(
        &mut self,
        id: &gossipsub::MessageId,
        neighbour: PeerId,
        message: gossipsub::Message,
    ) {
        let allowed = message.source.filter(|author| {
            message.data.len() <= Limits::GOSSIP_BYTES
                && !self.peers.is_blocked(*author)
                && self.rates.allow(*author, Instant::now())
        });
        let verdict = if allowed.is_some() {
            gossipsub::MessageAcceptance::Accept
        } else {
            gossipsub::MessageAcceptance::Ignore
        };
        self.swarm
            .behaviour_mut()
            .gossip
            .report_message_validation_result(id, &neighbour, verdict);
        if let Some(author) = allowed {
            self.subscribers
                .deliver(&message.topic, author, message.data);
        }
    }
}

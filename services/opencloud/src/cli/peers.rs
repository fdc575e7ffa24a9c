//! `opencloud peers`.

use std::collections::BTreeMap;

use clap::{Args, Subcommand};
use oc_proto::discovery::v1::{BlockPeerRequest, Peer, PeerState};
use oc_proto::json::Word as _;
use serde::Serialize;

use super::{CommandError, Context, Outcome, find, when};

#[derive(Debug, Args)]
pub(crate) struct PeersArguments {
    #[command(subcommand)]
    command: Option<PeersCommand>,
}

#[derive(Debug, Subcommand)]
enum PeersCommand {
    /// Organisations seen on our networks
    List,
    /// Refuse everything from and to an organisation
    Block {
        /// Its name, its OrgId, or the PeerId of a node
        peer: String,
        /// For our own records
        #[arg(long, default_value = "", hide_default_value = true)]
        reason: String,
    },
    /// Lift a block
    Unblock {
        /// Its name, its OrgId, or the PeerId of a node
        peer: String,
    },
}

pub(crate) async fn run(context: &Context, arguments: PeersArguments) -> Outcome {
    let discovery = context.client.discovery();
    match arguments.command.unwrap_or(PeersCommand::List) {
        PeersCommand::List => {
            let peers = discovery.peers().await?;
            if context.output.is_json() {
                return context.output.show(&peers, |_| ());
            }
            let networks = discovery.networks().await?;
            let names: BTreeMap<_, _> = networks
                .into_iter()
                .map(|network| (network.network_id, network.name))
                .collect();
            context.output.list(
                &by_node(peers),
                "no other organisation has been seen: invite one with `opencloud network invite`",
                [
                    "NAME",
                    "ORGANISATION",
                    "STATE",
                    "NETWORKS",
                    "LAST SEEN",
                    "VERSION",
                    "RTT",
                    "CLOCK",
                    "PEER",
                ],
                |node| {
                    let peer = &node.best;
                    let state = PeerState::try_from(peer.state).unwrap_or_default();
                    let rtt = match peer.rtt_micros {
                        0 => String::new(),
                        micros => format!("{:.1} ms", micros as f64 / 1000.0),
                    };
                    let network = |id: &String| names.get(id).unwrap_or(id).clone();
                    let networks: Vec<_> = node.networks.iter().map(network).collect();
                    [
                        peer.name.clone(),
                        find::short(&peer.org_id),
                        state.word(),
                        networks.join(", "),
                        when::show(peer.last_seen_ms),
                        peer.version.clone(),
                        rtt,
                        when::difference(peer.clock_skew_ms),
                        peer.peer_id.clone(),
                    ]
                },
            )
        }
        PeersCommand::Block { peer, reason } => {
            let named = peer.clone();
            let peer = or_node(find::organisation(context, &peer).await, peer)?;
            context.confirm(&format!(
                "Block {named}? All grants between you are revoked for good and work under them is stopped; lifting the \
                 block brings none of them back."
            ))?;
            discovery
                .block(&BlockPeerRequest {
                    peer: peer.clone(),
                    reason,
                })
                .await?;
            context.output.say(&format!("blocked {peer}"));
            Ok(())
        }
        PeersCommand::Unblock { peer } => {
            let peer = or_node(find::blocked(context, &peer).await, peer)?;
            discovery.unblock(&peer).await?;
            context.output.say(&format!("unblocked {peer}"));
            Ok(())
        }
    }
}

/// A node of a partner, in all networks where it was seen.
#[derive(Debug, Serialize)]
pub(crate) struct Node {
    /// As it is seen where it can be reached best.
    pub(crate) best: Peer,
    networks: Vec<String>,
}

/// Each node once, in the order in which they came.
pub(crate) fn by_node(peers: Vec<Peer>) -> Vec<Node> {
    let mut nodes: Vec<Node> = Vec::new();
    for peer in peers {
        let network = peer.network_id.clone();
        let known = nodes.iter_mut().find(|it| it.best.peer_id == peer.peer_id);
        let Some(known) = known else {
            nodes.push(Node {
                best: peer,
                networks: vec![network],
            });
            continue;
        };
        known.networks.push(network);
        let rank = |peer: &Peer| (peer.state() != PeerState::Connected, peer.rtt_micros);
        if rank(&peer) < rank(&known.best) {
            known.best = peer;
        }
    }
    nodes
}

/// The organisation that was found, else the text itself, which may be a PeerId.
fn or_node(found: Result<String, CommandError>, text: String) -> Result<String, CommandError> {
    match found {
        Err(CommandError::Missing(_)) => Ok(text),
        found => found,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_node_in_several_networks_is_shown_once_as_it_is_reached_best() {
        let peer = |peer: &str, network: &str, state: PeerState| Peer {
            peer_id: peer.to_owned(),
            network_id: network.to_owned(),
            state: state.into(),
            ..Peer::default()
        };
        let nodes = by_node(vec![
            peer("a", "1", PeerState::Lost),
            peer("b", "1", PeerState::Lost),
            peer("a", "2", PeerState::Connected),
        ]);
        assert_eq!(nodes.len(), 2);
        assert_eq!(nodes[0].networks, ["1", "2"]);
        assert_eq!(nodes[0].best.state(), PeerState::Connected);
        assert_eq!(nodes[1].networks, ["1"]);
    }
}

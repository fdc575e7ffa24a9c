//! `opencloud peers`.

use clap::{Args, Subcommand};
use oc_proto::discovery::v1::{BlockPeerRequest, PeerState};
use oc_proto::json::Word as _;

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
            context.output.list(
                &peers,
                "no other organisation has been seen: invite one with `opencloud network invite`",
                [
                    "NAME",
                    "ORGANISATION",
                    "STATE",
                    "LAST SEEN",
                    "VERSION",
                    "RTT",
                    "CLOCK",
                    "PEER",
                ],
                |peer| {
                    let state = PeerState::try_from(peer.state).unwrap_or_default();
                    let rtt = match peer.rtt_micros {
                        0 => String::new(),
                        micros => format!("{:.1} ms", micros as f64 / 1000.0),
                    };
                    [
                        peer.name.clone(),
                        find::short(&peer.org_id),
                        state.word(),
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
            let peer = or_node(find::organisation(context, &peer).await, peer)?;
            context.confirm(&format!("Block {peer}? Its grants stop working at once."))?;
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

/// The organisation that was found, else the text itself, which may be a PeerId.
fn or_node(found: Result<String, CommandError>, text: String) -> Result<String, CommandError> {
    match found {
        Err(CommandError::Missing(_)) => Ok(text),
        found => found,
    }
}

//! `opencloud network`.

use std::io::{self, IsTerminal as _};
use std::path::PathBuf;

use clap::Subcommand;
use oc_proto::discovery::v1::{CreateNetworkRequest, InviteRequest, JoinNetworkRequest, Network};
use serde_json::json;

use super::output::{Field, fields, hint};
use super::typed::quoted;
use super::{CommandError, Context, Outcome, when};

const INVITE: &str = "\
Examples:
  opencloud network invite alliance --address /dns4/north.example.org/tcp/4001
  opencloud network invite alliance --output json | jq -r .invitation";

#[derive(Debug, Subcommand)]
pub(crate) enum NetworkCommand {
    /// Networks that this node is in
    List,
    /// Make a private network with a key of its own
    Create {
        /// Name for people
        name: String,
        /// TCP port for its swarm [default: the first free of 4001-4005]
        #[arg(long, default_value_t = 0, hide_default_value = true)]
        port: u16,
    },
    /// Print one string by which a partner can join
    #[command(after_help = INVITE)]
    Invite {
        /// Name of the network, its id, or the begin of that
        network: String,
        /// Address to put into it, as a multiaddress such as /dns4/cloud.example.org/tcp/4001
        #[arg(long = "address", value_name = "MULTIADDR")]
        addresses: Vec<String>,
    },
    /// Join a network by an invitation; without one it is read from standard input
    Join {
        /// The string that `network invite` printed, or `-` for standard input. Whoever has it can join, and what is
        /// typed here is seen by others on this machine (`ps`) and kept in the shell's history
        #[arg(conflicts_with = "file")]
        invitation: Option<String>,
        /// File with the string
        #[arg(long, value_name = "FILE")]
        file: Option<PathBuf>,
        /// TCP port for our side of the swarm [default: the first free of 4001-4005]
        #[arg(long, default_value_t = 0, hide_default_value = true)]
        port: u16,
    },
    /// Leave a network: its grants end, and what its members had here is deleted; the books stay
    Leave {
        /// Name of the network, its id, or the begin of that
        network: String,
    },
}

pub(crate) async fn run(context: &Context, command: NetworkCommand) -> Outcome {
    let discovery = context.client.discovery();
    match command {
        NetworkCommand::List => {
            let networks = discovery.networks().await?;
            context.output.list(
                &networks,
                "in no network: make one with `opencloud network create`, or join one",
                ["NAME", "NETWORK", "KIND", "PEERS", "SINCE", "LISTENS ON"],
                |network| {
                    [
                        network.name.clone(),
                        network.network_id.clone(),
                        network.kind.clone(),
                        network.peers.to_string(),
                        when::show(network.joined_at_ms),
                        network.listen.join(" "),
                    ]
                },
            )
        }
        NetworkCommand::Create { name, port } => {
            let request = CreateNetworkRequest {
                name,
                port: port.into(),
            };
            let network = discovery.create_network(&request).await?;
            show(
                context,
                &network,
                &format!(
                    "invite a partner with: `opencloud network invite {}`",
                    quoted(&network.name)
                ),
            )
        }
        NetworkCommand::Invite { network, addresses } => {
            let network_id = find(context, &network).await?.network_id;
            let invitation = discovery
                .invite(&InviteRequest {
                    network_id,
                    addresses,
                })
                .await?;
            context
                .output
                .show(&json!({ "invitation": invitation }), |_| {
                    anstream::println!("{invitation}");
                    anstream::eprintln!(
                        "whoever has this string can join: send it over a safe way"
                    );
                })
        }
        NetworkCommand::Join {
            invitation,
            file,
            port,
        } => {
            let request = JoinNetworkRequest {
                invitation: secret(invitation, file)?,
                port: port.into(),
            };
            let network = discovery.join_network(&request).await?;
            show(
                context,
                &network,
                "see who is there with: `opencloud peers`",
            )
        }
        NetworkCommand::Leave { network } => {
            let network = find(context, &network).await?;
            context.confirm(&what_leaving_means(context, &network).await?)?;
            discovery.leave_network(&network.network_id).await?;
            context.output.say(&format!("left {}", network.name));
            Ok(())
        }
    }
}

/// An invitation: from a file, from the command line, or from standard input, where a terminal shows none of it.
fn secret(typed: Option<String>, file: Option<PathBuf>) -> Result<String, CommandError> {
    let unreadable = |from: &str, error: &io::Error| {
        CommandError::input(format!(
            "the invitation cannot be read from {from}: {error}"
        ))
    };
    let text = match (typed, file) {
        (_, Some(file)) => std::fs::read_to_string(&file)
            .map_err(|error| unreadable(&file.display().to_string(), &error))?,
        (Some(typed), None) if typed != "-" => typed,
        _ if io::stdin().is_terminal() => dialoguer::Password::new()
            .with_prompt("Invitation")
            .interact()
            .map_err(anyhow::Error::from)?,
        _ => {
            io::read_to_string(io::stdin()).map_err(|error| unreadable("standard input", &error))?
        }
    };
    Ok(text.trim().to_owned())
}

/// What ends, what goes and what stays.
async fn what_leaving_means(context: &Context, network: &Network) -> Result<String, CommandError> {
    let mut text = format!("Leave `{}`? ", network.name);
    let grants = context.client.compute().grants(true).await?;
    let ending: Vec<_> = grants
        .iter()
        .filter(|grant| grant.network_id == network.network_id)
        .map(|grant| grant.grant_id.as_str())
        .collect();
    if !ending.is_empty() {
        text.push_str(&format!(
            "These grants end, and what runs under them is stopped: {}. For a last bill that both sides sign, \
             answer no, end them with `opencloud grant revoke` or `end`, and leave once `opencloud usage books` \
             says that it is agreed. ",
            ending.join(", ")
        ));
    }
    text.push_str(
        "What its members had here is deleted: their fragments, files, reservations and listings. The books stay: \
         usage records, signed heads, grants, and the keys that verify them; `opencloud usage records` lists them. \
         So does what is yours.",
    );
    Ok(text)
}

fn show(context: &Context, network: &Network, next: &str) -> Outcome {
    context.output.show(network, |network| {
        fields(&[
            ("name", Field::from(network.name.clone())),
            ("network", network.network_id.clone().into()),
            ("listens on", network.listen.clone().into()),
        ]);
        hint(next);
    })
}

/// Fewer characters than this name no network by the begin of its id.
const FEWEST: usize = 4;

/// A network by its name, its id or the begin of that.
async fn find(context: &Context, text: &str) -> Result<Network, CommandError> {
    let networks = context.client.discovery().networks().await?;
    let named = |network: &Network| network.network_id == text || network.name == text;
    let begun = |network: &Network| text.len() >= FEWEST && network.network_id.starts_with(text);
    let mut found: Vec<_> = networks.iter().filter(|network| named(network)).collect();
    if found.is_empty() {
        found = networks.iter().filter(|network| begun(network)).collect();
    }
    match found.as_slice() {
        [network] => Ok((*network).clone()),
        [] => Err(CommandError::Missing(format!(
            "this node is in no network `{text}`: see `opencloud network list`"
        ))),
        _ => Err(CommandError::input(format!(
            "`{text}` is several networks: use the id that `opencloud network list` shows"
        ))),
    }
}

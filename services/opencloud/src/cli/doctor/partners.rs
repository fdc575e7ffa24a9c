//! What the node says of its networks and partners: ports that answer, who is connected, clocks and versions.

use std::time::Duration;

use oc_kernel::Classify as _;
use oc_proto::discovery::v1::{Network, Peer, PeerState};
use tokio::net::TcpStream;

use super::Check;
use crate::cli::peers::by_node;
use crate::cli::{Context, when};

/// Difference of two clocks that statements tolerate, in milliseconds (docs/protocol.md, section 5).
const TOLERATED_SKEW_MS: u64 = 30_000;

/// How long a port of this machine may take to answer.
const ANSWER: Duration = Duration::from_secs(2);

/// Partners that are named; more are counted.
const NAMED: usize = 3;

/// Versions apart that still speak to each other, by their middle number (docs/protocol.md promises the one before).
const APART: u64 = 1;

pub(super) fn version(program: &str, node: &str) -> Check {
    if program == node {
        return Check::good("version", program);
    }
    Check::poor(
        "version",
        format!("this program is {program}, the node {node}"),
        "use the program that the node was started with, or start the node anew with this one",
    )
}

/// The networks; where the node is on this machine, also whether their ports answer.
pub(super) async fn networks(context: &Context, here: bool) -> Vec<Check> {
    let networks = match context.client.discovery().networks().await {
        Ok(networks) => networks,
        Err(error) => {
            let advice = error.advice().unwrap_or_default();
            return vec![Check::bad("networks", error.to_string(), advice)];
        }
    };
    let mut checks = vec![of_networks(&networks)];
    if here {
        let mut silent = Vec::new();
        let running = networks.iter().filter(|network| network.cause.is_empty());
        let addresses = running.flat_map(|network| &network.listen);
        let mut all = 0;
        for at in addresses.filter_map(|address| socket(address)) {
            all += 1;
            let connected = tokio::time::timeout(ANSWER, TcpStream::connect(at.as_str())).await;
            if !matches!(connected, Ok(Ok(_))) {
                silent.push(at);
            }
        }
        checks.extend(of_ports(all, &silent));
    }
    checks
}

fn of_networks(networks: &[Network]) -> Check {
    if networks.is_empty() {
        return Check::poor(
            "networks",
            "in no network",
            "make one with `opencloud network create`, or join one with an invitation",
        );
    }
    let still: Vec<_> = networks
        .iter()
        .filter(|network| !network.cause.is_empty())
        .map(|network| format!("{} does not run: {}", network.name, network.cause))
        .collect();
    if !still.is_empty() {
        return Check::bad(
            "networks",
            still.join("; "),
            "where its port is taken, end the program that has it and start the node anew",
        );
    }
    let names: Vec<_> = networks
        .iter()
        .map(|network| format!("{} on {}", network.name, network.listen.join(" ")))
        .collect();
    Check::good("networks", names.join("; "))
}

/// The address of a multiaddress as a socket takes it.
fn socket(multiaddress: &str) -> Option<String> {
    let mut parts = multiaddress.split('/').skip(1);
    let (kind, ip) = (parts.next()?, parts.next()?);
    let (protocol, port) = (parts.next()?, parts.next()?);
    match (kind, protocol) {
        ("ip4", "tcp") => Some(format!("{ip}:{port}")),
        ("ip6", "tcp") => Some(format!("[{ip}]:{port}")),
        _ => None,
    }
}

fn of_ports(all: usize, silent: &[String]) -> Option<Check> {
    if all == 0 {
        return None;
    }
    if silent.is_empty() {
        return Some(Check::good("ports", "those of the networks answer"));
    }
    Some(Check::bad(
        "ports",
        format!("no answer at {}", silent.join(", ")),
        "open them in this machine's firewall: partners that do not lie behind NAT join there",
    ))
}

/// Who is connected, whether clocks agree, and whether versions do.
pub(super) async fn peers(context: &Context, own: &str) -> Vec<Check> {
    match context.client.discovery().peers().await {
        Ok(peers) => {
            let nodes = by_node(peers).into_iter().map(|node| node.best);
            // Whom we blocked is away on purpose.
            let peers: Vec<Peer> = nodes
                .filter(|peer| peer.state() != PeerState::Blocked)
                .collect();
            let mut checks = vec![connected(&peers), clocks(&peers)];
            checks.extend(versions(&peers, own));
            checks
        }
        Err(error) => {
            let advice = error.advice().unwrap_or_default();
            vec![Check::bad("peers", error.to_string(), advice)]
        }
    }
}

fn is_connected(peer: &&Peer) -> bool {
    peer.state() == PeerState::Connected
}

fn connected(peers: &[Peer]) -> Check {
    if peers.is_empty() {
        return Check::good("peers", "none yet");
    }
    let connected = peers.iter().filter(is_connected).count();
    let found = format!("{connected} of {} connected", peers.len());
    if connected == peers.len() {
        return Check::good("peers", found);
    }
    let away: Vec<_> = peers.iter().filter(|peer| !is_connected(peer)).collect();
    let named = away.iter().take(NAMED).map(|peer| {
        let since = when::show(peer.last_seen_ms);
        match peer.cause.as_str() {
            "" => format!("{} (last seen {since})", peer.name),
            cause => format!("{} (last seen {since}: {cause})", peer.name),
        }
    });
    let named: Vec<_> = named.collect();
    let more = match away.len().saturating_sub(NAMED) {
        0 => String::new(),
        more => format!(" and {more} more"),
    };
    Check::poor(
        "peers",
        format!("{found}; away: {}{more}", named.join(", ")),
        "where all are away, look at this machine's network; else ask their operators whether their nodes run, and see \
         `opencloud peers`",
    )
}

fn clocks(peers: &[Peer]) -> Check {
    let connected = peers.iter().filter(is_connected);
    let apart: Vec<_> = connected
        .filter(|peer| peer.clock_skew_ms.unsigned_abs() > TOLERATED_SKEW_MS)
        .map(|peer| format!("{} is {}", peer.name, when::difference(peer.clock_skew_ms)))
        .collect();
    if apart.is_empty() {
        return Check::good("clocks", "as the partners' within half a minute");
    }
    Check::bad(
        "clocks",
        format!("partners' clocks differ from ours: {}", apart.join("; ")),
        "set this machine's clock by NTP (`timedatectl set-ntp true`), ask the partner to do the same, and start \
         the node whose clock was wrong anew",
    )
}

/// Partners whose version is too far from ours.
fn versions(peers: &[Peer], own: &str) -> Option<Check> {
    let ours = number(own)?;
    let far = |peer: &&Peer| {
        let theirs = number(&peer.version);
        theirs.is_some_and(|theirs| theirs.0 != ours.0 || theirs.1.abs_diff(ours.1) > APART)
    };
    let far: Vec<_> = peers
        .iter()
        .filter(far)
        .map(|peer| format!("{} has {}", peer.name, peer.version))
        .collect();
    (!far.is_empty()).then(|| {
        Check::poor(
            "versions",
            format!("we have {own}; {}", far.join("; ")),
            "who has the older one upgrades: only a version and the one before it are sure to understand each other",
        )
    })
}

/// The first two numbers of a version.
fn number(version: &str) -> Option<(u64, u64)> {
    let mut parts = version.split('.');
    Some((parts.next()?.parse().ok()?, parts.next()?.parse().ok()?))
}

#[cfg(test)]
mod tests {
    use super::super::Verdict;
    use super::*;

    fn south(clock_skew_ms: i64, state: PeerState) -> Peer {
        Peer {
            name: "South".to_owned(),
            state: state.into(),
            clock_skew_ms,
            ..Peer::default()
        }
    }

    #[test]
    fn a_partners_clock_that_differs_is_bad_and_the_remedy_is_told() {
        let check = clocks(&[south(-95_000, PeerState::Connected)]);
        assert_eq!(check.verdict, Verdict::Bad);
        assert!(check.found.contains("South is 95 s behind"), "{check:?}");
        assert!(check.advice.contains("NTP"), "{check:?}");
    }

    #[test]
    fn half_a_minute_and_the_clocks_of_those_who_are_gone_are_good() {
        let peers = [
            south(30_000, PeerState::Connected),
            south(95_000, PeerState::Lost),
        ];
        assert_eq!(clocks(&peers).verdict, Verdict::Good);
    }

    #[test]
    fn who_is_away_is_named_with_the_cause() {
        assert_eq!(connected(&[]).verdict, Verdict::Good);
        let here = south(0, PeerState::Connected);
        assert_eq!(
            connected(std::slice::from_ref(&here)).verdict,
            Verdict::Good
        );
        let away = Peer {
            cause: "connection refused".to_owned(),
            ..south(0, PeerState::Lost)
        };
        let check = connected(&[here, away.clone(), away.clone(), away.clone(), away]);
        assert_eq!(check.verdict, Verdict::Poor);
        assert!(check.found.starts_with("1 of 5 connected"), "{check:?}");
        assert!(check.found.contains("connection refused"), "{check:?}");
        assert!(check.found.ends_with("and 1 more"), "{check:?}");
        assert!(check.advice.contains("opencloud peers"), "{check:?}");
    }

    #[test]
    fn a_network_that_does_not_run_is_bad_with_its_cause() {
        assert_eq!(of_networks(&[]).verdict, Verdict::Poor);
        let mut network = Network {
            name: "alpine".to_owned(),
            listen: vec!["/ip4/127.0.0.1/tcp/4001".to_owned()],
            ..Network::default()
        };
        assert_eq!(of_networks(&[network.clone()]).verdict, Verdict::Good);
        network.cause = "port 4001 is in use".to_owned();
        let check = of_networks(&[network]);
        assert_eq!(check.verdict, Verdict::Bad);
        assert!(
            check.found.contains("alpine does not run: port 4001"),
            "{check:?}"
        );
        assert!(check.advice.contains("port"), "{check:?}");
    }

    #[test]
    fn a_port_that_does_not_answer_is_bad() {
        assert_eq!(socket("/ip4/192.0.2.1/tcp/4001").unwrap(), "192.0.2.1:4001");
        assert_eq!(socket("/ip6/::1/tcp/4001/p2p/12D3").unwrap(), "[::1]:4001");
        assert_eq!(socket("/ip4/192.0.2.1/udp/4001/quic-v1"), None);
        assert!(of_ports(0, &[]).is_none());
        assert_eq!(of_ports(2, &[]).unwrap().verdict, Verdict::Good);
        let check = of_ports(2, &["192.0.2.1:4001".to_owned()]).unwrap();
        assert_eq!(check.verdict, Verdict::Bad);
        assert!(check.found.contains("192.0.2.1:4001"), "{check:?}");
        assert!(check.advice.contains("firewall"), "{check:?}");
    }

    #[test]
    fn another_version_of_the_node_is_noted() {
        assert_eq!(version("0.1.0", "0.1.0").verdict, Verdict::Good);
        let check = version("0.2.0", "0.1.0");
        assert_eq!(check.verdict, Verdict::Poor);
        assert!(check.found.contains("0.2.0, the node 0.1.0"), "{check:?}");
    }

    #[test]
    fn a_partner_more_than_one_version_away_is_noted() {
        let with = |version: &str| Peer {
            version: version.to_owned(),
            ..south(0, PeerState::Connected)
        };
        for near in ["0.2.9", "0.4.0", "", "unknown"] {
            assert!(versions(&[with(near)], "0.3.1").is_none(), "{near}");
        }
        for far in ["0.1.0", "0.5.0", "1.3.0"] {
            let check = versions(&[with(far)], "0.3.1").unwrap();
            assert_eq!(check.verdict, Verdict::Poor);
            assert!(check.found.contains(far), "{check:?}");
        }
    }
}

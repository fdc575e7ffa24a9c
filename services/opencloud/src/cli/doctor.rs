//! `opencloud doctor`: looks at this machine and its node, and says what to do.

use std::process::ExitCode;

use oc_kernel::Classify as _;
use oc_proto::discovery::v1::{Peer, PeerState};
use oc_sandbox::{LimitMeans, Sandbox};
use serde::Serialize;

use super::context::data_folder;
use super::output::{Output, safe};
use super::peers::by_node;
use super::{Context, Format, NodeOptions, size, when};
use crate::sandboxing;

/// Free room below which new work will soon fail, in bytes.
const LITTLE_ROOM: u64 = 2 << 30;

/// Difference of two clocks that statements tolerate, in milliseconds (docs/protocol.md, section 5).
const TOLERATED_SKEW_MS: u64 = 30_000;

#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
enum Verdict {
    Good,
    Poor,
    Bad,
}

#[derive(Debug, Serialize)]
struct Check {
    name: &'static str,
    verdict: Verdict,
    found: String,
    /// What to do; empty when nothing.
    advice: String,
}

impl Check {
    fn good(name: &'static str, found: impl Into<String>) -> Self {
        Self {
            name,
            verdict: Verdict::Good,
            found: found.into(),
            advice: String::new(),
        }
    }

    fn other(
        name: &'static str,
        verdict: Verdict,
        found: impl Into<String>,
        advice: impl Into<String>,
    ) -> Self {
        Self {
            name,
            verdict,
            found: found.into(),
            advice: advice.into(),
        }
    }
}

pub(crate) async fn run(options: &NodeOptions) -> ExitCode {
    let mut checks = vec![sandbox(), limits(), room(options)];
    checks.extend(node(options).await);
    let output = Output::new(options.output == Format::Json);
    let shown = output.show(&checks, |checks| {
        for check in checks {
            let (mark, colour) = match check.verdict {
                Verdict::Good => ("ok  ", anstyle::AnsiColor::Green),
                Verdict::Poor => ("note", anstyle::AnsiColor::Yellow),
                Verdict::Bad => ("bad ", anstyle::AnsiColor::Red),
            };
            let colour = colour.on_default();
            anstream::println!(
                "{colour}{mark}{colour:#}  {:10} {}",
                check.name,
                safe(&check.found)
            );
            if !check.advice.is_empty() {
                anstream::println!("                 {}", safe(&check.advice));
            }
        }
    });
    let bad = checks.iter().any(|check| check.verdict == Verdict::Bad);
    if shown.is_err() || bad {
        ExitCode::FAILURE
    } else {
        ExitCode::SUCCESS
    }
}

fn sandbox() -> Check {
    match sandboxing::look() {
        Ok(report) => {
            let version = report.bubblewrap.unwrap_or_default();
            Check::good("sandbox", format!("bubblewrap {version}"))
        }
        Err(none) => Check::other(
            "sandbox",
            Verdict::Bad,
            format!("tools cannot be sandboxed: {}", none.why),
            none.advice,
        ),
    }
}

fn limits() -> Check {
    let report = Sandbox::detect();
    match report.limits {
        LimitMeans::CgroupV2 | LimitMeans::CgroupV1 => {
            Check::good("limits", report.limits.to_string())
        }
        LimitMeans::Rlimits => Check::other(
            "limits",
            Verdict::Poor,
            "only rlimits, which count each process alone",
            "run the node as root or in a delegated cgroup to limit whole fragments",
        ),
    }
}

fn room(options: &NodeOptions) -> Check {
    let folder = match data_folder(options.data.as_deref()) {
        Ok(folder) => folder,
        Err(error) => return Check::other("disk", Verdict::Bad, error.to_string(), ""),
    };
    let existing = folder
        .ancestors()
        .find(|path| path.is_dir())
        .unwrap_or(&folder);
    let stat = match nix::sys::statvfs::statvfs(existing) {
        Ok(stat) => stat,
        Err(error) => {
            return Check::other(
                "disk",
                Verdict::Bad,
                format!("{}: {error}", existing.display()),
                "",
            );
        }
    };
    let free = stat.blocks_available().saturating_mul(stat.fragment_size());
    let found = format!("{} free at {}", size::show(free), existing.display());
    if free < LITTLE_ROOM {
        return Check::other(
            "disk",
            Verdict::Poor,
            found,
            "make room, or name another folder with --data",
        );
    }
    Check::good("disk", found)
}

async fn node(options: &NodeOptions) -> Vec<Check> {
    let context = match Context::new(options) {
        Ok(context) => context,
        Err(error) => {
            return vec![Check::other(
                "node",
                Verdict::Poor,
                error.to_string(),
                "start one with `opencloud up`",
            )];
        }
    };
    let client = &context.client;
    let identity = match client.discovery().identity().await {
        Ok(identity) => identity,
        Err(error) => {
            let advice = error.advice().unwrap_or_default();
            return vec![Check::other(
                "node",
                Verdict::Bad,
                error.to_string(),
                advice,
            )];
        }
    };
    let mut checks = vec![Check::good(
        "node",
        format!(
            "{} {} at {}",
            identity.name,
            identity.version,
            client.base()
        ),
    )];
    if identity.version != env!("CARGO_PKG_VERSION") {
        checks.push(Check::other(
            "version",
            Verdict::Poor,
            format!(
                "this program is {}, the node {}",
                env!("CARGO_PKG_VERSION"),
                identity.version
            ),
            "use the program that the node was started with",
        ));
    }
    checks.push(networks(&context).await);
    checks.extend(peers(&context).await);
    checks.push(offers(&context).await);
    checks
}

async fn networks(context: &Context) -> Check {
    match context.client.discovery().networks().await {
        Ok(networks) if networks.is_empty() => Check::other(
            "networks",
            Verdict::Poor,
            "in no network",
            "make one with `opencloud network create`, or join one with an invitation",
        ),
        Ok(networks) => {
            let names: Vec<_> = networks
                .iter()
                .map(|network| format!("{} on {}", network.name, network.listen.join(" ")))
                .collect();
            Check::good("networks", names.join("; "))
        }
        Err(error) => Check::other("networks", Verdict::Bad, error.to_string(), ""),
    }
}

async fn peers(context: &Context) -> Vec<Check> {
    match context.client.discovery().peers().await {
        Ok(peers) => {
            let nodes = by_node(peers).into_iter();
            let peers: Vec<Peer> = nodes.map(|node| node.best).collect();
            vec![connected(&peers), clocks(&peers)]
        }
        Err(error) => vec![Check::other("peers", Verdict::Bad, error.to_string(), "")],
    }
}

fn is_connected(peer: &&Peer) -> bool {
    peer.state == i32::from(PeerState::Connected)
}

fn connected(peers: &[Peer]) -> Check {
    if peers.is_empty() {
        return Check::good("peers", "none yet");
    }
    let connected = peers.iter().filter(is_connected).count();
    let found = format!("{connected} of {} connected", peers.len());
    if connected < peers.len() {
        return Check::other(
            "peers",
            Verdict::Poor,
            found,
            "see why with `opencloud peers`",
        );
    }
    Check::good("peers", found)
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
    Check::other(
        "clocks",
        Verdict::Bad,
        format!("partners' clocks differ from ours: {}", apart.join("; ")),
        "set this machine's clock by NTP (`timedatectl set-ntp true`), ask the partner to do the same, and start \
         the node whose clock was wrong anew",
    )
}

async fn offers(context: &Context) -> Check {
    match context.client.compute().offers().await {
        Ok(offers) => {
            let waiting = offers.iter().filter(|offer| !offer.listed).count();
            if waiting > 0 {
                let found = format!("{waiting} of {} not in the catalogue yet", offers.len());
                return Check::other(
                    "offers",
                    Verdict::Poor,
                    found,
                    "wait a moment; the log says why it takes longer",
                );
            }
            Check::good("offers", format!("{} offered", offers.len()))
        }
        Err(error) => Check::other("offers", Verdict::Bad, error.to_string(), ""),
    }
}

#[cfg(test)]
mod tests {
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
}

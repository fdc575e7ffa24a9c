//! What was once allowed opens nothing afterwards, and a stranger in the network never sees more than the federation.

use std::path::Path;
use std::time::Duration;

use anyhow::Context as _;
use oc_testkit::{Node, within};
use reqwest::Method;
use serde_json::{Value, json};
use tonic::Code;

use super::{Held, none_of};
use crate::chaos::happening::Deed;
use crate::chaos::stage::Stage;
use crate::chaos::watching::Sample;
use crate::stranger::{Stranger, methods};

/// Until nothing signed before opens anything (ARCHITECTURE.md, invariants).
const LIMIT: Duration = Duration::from_secs(10);

/// Ten seconds after an end or a revocation no lease lives under it, and no macaroon of an attempt opens its objects.
pub(in crate::chaos) async fn no_authority_left(
    stage: &Stage,
    deeds: &[Deed],
    south: &[Sample],
) -> Held {
    let mut found: Vec<String> = deeds
        .iter()
        .flat_map(|deed| outlived(deed, south))
        .collect();
    let mut open = Vec::new();
    let closed = within(LIMIT, async || {
        match opened(stage).await {
            Ok(opened) => open = opened,
            Err(error) => open = vec![format!("{error:#}")],
        }
        open.is_empty().then_some(())
    });
    if closed.await.is_none() {
        found.extend(open);
    }
    none_of(found)
}

/// Leases that live under a revoked grant although it is time.
fn outlived(deed: &Deed, south: &[Sample]) -> Vec<String> {
    let late = south.iter().filter(|sample| sample.at > deed.at + LIMIT);
    let ledgers = late.flat_map(|sample| &sample.ledgers).flatten();
    let leases = ledgers.flat_map(|ledger| &ledger.leases);
    let under = leases.filter_map(|(lease, share)| {
        let grant = share.grant()?;
        let revoked = deed.revoked.iter().any(|revoked| revoked == grant);
        revoked.then(|| format!("{lease} lives under {grant}, which was revoked"))
    });
    under.collect()
}

/// The routes of finished attempts that their macaroons still open.
async fn opened(stage: &Stage) -> anyhow::Result<Vec<String>> {
    let mut open = Vec::new();
    for (organisation, overheard) in [&stage.north, &stage.south]
        .into_iter()
        .zip(&stage.overheard)
    {
        let node = organisation.node().await;
        for entry in std::fs::read_dir(overheard.path())? {
            let path = entry?.path();
            if path
                .extension()
                .is_some_and(|extension| extension == "macaroon")
            {
                open.extend(opens(&node, &path).await?);
            }
        }
    }
    Ok(open)
}

async fn opens(node: &Node, path: &Path) -> anyhow::Result<Vec<String>> {
    let macaroon = std::fs::read_to_string(path)?;
    let job: Value = serde_json::from_slice(&std::fs::read(path.with_extension("json"))?)?;
    let told = job["node"].as_str().context("a job names its node")?;
    // A node that was started again listens elsewhere.
    let (_, below) = told.split_once("/api/").context("the address of an API")?;
    let base = format!("{}/api/{below}", node.address());
    let input = job["inputs"][0]["name"].as_str().unwrap_or("none");
    let announcement = json!({"name": "made.txt", "length": 5, "sha256": "0".repeat(64)});
    let routes = [
        (Method::GET, format!("inputs/{input}"), String::new()),
        (Method::POST, "uploads".to_owned(), announcement.to_string()),
        (
            Method::PUT,
            "uploads/made.txt".to_owned(),
            "hello".to_owned(),
        ),
    ];
    let mut open = Vec::new();
    for (method, route, body) in routes {
        let request = reqwest::Client::new()
            .request(method.clone(), format!("{base}/{route}"))
            .header("authorization", format!("Macaroon {}", macaroon.trim()))
            .header("content-type", "application/json")
            .body(body);
        let status = request.send().await?.status();
        if !status.is_client_error() {
            open.push(format!("{method} {base}/{route} answers {status}"));
        }
    }
    Ok(open)
}

/// A member of the network that has no grant is refused every method that is not the federation's.
pub(in crate::chaos) async fn peer_sees_only_federation(stage: &Stage) -> Held {
    let node = stage.north.node().await;
    let stranger = Stranger::join_network(&node, &stage.network).await;
    let mut found = Vec::new();
    for path in methods() {
        if path.starts_with("/oc.federation.v1.") {
            continue;
        }
        let (code, _) = stranger.call_with(&path, "", &[]).await;
        if code != Code::PermissionDenied {
            found.push(format!("{path} answers {code:?}"));
        }
    }
    none_of(found)
}

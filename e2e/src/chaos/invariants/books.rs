//! Both organisations hold the same signed bill.

use std::path::Path;
use std::time::Duration;

use oc_client::Export;
use oc_testkit::within;

use super::{Held, none_of};
use crate::chaos::organisation::Organisation;
use crate::chaos::stage::Stage;

const LIMIT: Duration = Duration::from_secs(30);

/// Of each grant both hold the same records under both signatures, byte for byte, and each can prove it alone.
pub(in crate::chaos) async fn books_agree(stage: &Stage) -> Held {
    let mut found = Vec::new();
    for grant in &stage.grants {
        if let Err(why) = agrees(stage, grant).await {
            found.push(format!("{grant}: {why}"));
        }
    }
    none_of(found)
}

async fn agrees(stage: &Stage, grant: &str) -> Held {
    let mut last = String::new();
    let settled = within(LIMIT, async || {
        match state(stage, grant).await {
            Ok(None) => return Some(()),
            Ok(Some(differ)) => last = differ,
            Err(error) => last = format!("{error:#}"),
        }
        None
    });
    settled.await.ok_or(last)?;
    let mut exports = Vec::new();
    for organisation in [&stage.north, &stage.south] {
        let client = organisation.client();
        let export = client.accounting().export(grant, "", Export::Json).await;
        exports.push(export.map_err(|error| error.to_string())?);
    }
    if exports[0] != exports[1] {
        return Err("the exports differ".to_owned());
    }
    let folder = tempfile::tempdir().map_err(|error| error.to_string())?;
    let file = folder.path().join("books.json");
    std::fs::write(&file, &exports[0]).map_err(|error| error.to_string())?;
    for organisation in [&stage.north, &stage.south] {
        verifies(organisation, &file).await?;
    }
    Ok(())
}

/// How the books of the two differ, or what is missing to them; none when they are settled.
async fn state(stage: &Stage, grant: &str) -> anyhow::Result<Option<String>> {
    let ours = stage.north.client().accounting().settle(grant).await?;
    let north = stage.north.client().accounting().books(grant).await?;
    let south = stage.south.client().accounting().books(grant).await?;
    let same = north.root == south.root && north.size == south.size;
    let signed = north.size == 0 || north.countersigned && south.countersigned;
    let disputes = [
        ours.disputes,
        north.disputes.clone(),
        south.disputes.clone(),
    ]
    .concat();
    let settled = same && signed && disputes.is_empty();
    Ok((!settled).then(|| format!("North {north:?}\nSouth {south:?}\ndisputes {disputes:?}")))
}

async fn verifies(organisation: &Organisation, export: &Path) -> Held {
    let node = organisation.node().await;
    let output = node.run(&["usage", "verify", &export.to_string_lossy()]);
    match output.status.success() {
        true => Ok(()),
        false => Err(format!(
            "usage verify: {}{}",
            String::from_utf8_lossy(&output.stdout),
            String::from_utf8_lossy(&output.stderr)
        )),
    }
}

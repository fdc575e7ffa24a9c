//! `opencloud restore`: a backup in the place of a stopped node's folder.

use std::path::PathBuf;

use clap::Args;
use serde_json::json;

use super::ask::confirm;
use super::output::{Output, hint};
use super::{Format, NodeOptions, Outcome, data_folder};
use crate::backup::{self, Manifest, SETTINGS};
use crate::folder::NodeFolder;

/// Options of `opencloud restore`.
#[derive(Debug, Args)]
pub(crate) struct RestoreArguments {
    /// Folder that `opencloud backup` wrote
    folder: PathBuf,
}

pub(super) async fn run(options: &NodeOptions, arguments: RestoreArguments) -> Outcome {
    let output = Output::new(options.output == Format::Json);
    let node = NodeFolder::new(data_folder(options.data.as_deref())?);
    let (data, backup) = (node.path().to_owned(), arguments.folder);
    let checked = backup.clone();
    let checking = tokio::task::spawn_blocking(move || Manifest::check(&checked));
    let manifest = checking.await.map_err(anyhow::Error::from)??;
    let aside = backup::aside_of(&node)?;
    if let Some((aside, _)) = &aside {
        confirm(
            options.yes,
            &format!(
                "A node lies in {}. Move it to {} and put {} as of {} in its place?",
                data.display(),
                aside.display(),
                manifest.org_id,
                manifest.made_at,
            ),
        )?;
    }
    let (org_id, made_at) = (manifest.org_id, manifest.made_at);
    let replaced = aside.as_ref().map(|(path, _)| path.clone());
    let restoring = tokio::task::spawn_blocking(move || {
        // The node's lock is held until its folder is in place.
        let (aside, _lock) = aside.unzip();
        backup::put_back(&backup, &manifest, &node, aside.as_deref())
    });
    let restored = restoring.await.map_err(anyhow::Error::from)??;
    let told = json!({
        "folder": data,
        "org_id": org_id,
        "made_at": made_at,
        "epoch": restored.epoch,
        "replaced": replaced,
    });
    output.show(&told, |_| {
        output.say(&format!(
            "{} holds {org_id} as of {made_at}: start it with `opencloud up`",
            data.display()
        ));
        if let Some(replaced) = &replaced {
            output.say(&format!("what was there is in {}", replaced.display()));
        }
    })?;
    if data.join(SETTINGS).exists() {
        hint(&format!(
            "its settings were copied too: `opencloud up --config {}`",
            data.join(SETTINGS).display()
        ));
    }
    hint(
        "start it only where no other node runs on a copy of the same folder: two with one key dispute each other's books",
    );
    hint(
        "what was decided after that moment is forgotten here: look at `opencloud grant list`, where what you revoked \
         since is in force again, `opencloud peers`, `opencloud network list` and `opencloud user list`",
    );
    Ok(())
}

//! `opencloud backup`: a copy of what a node keeps, made while it runs.

use std::path::PathBuf;

use clap::Args;
use serde_json::json;

use super::output::{Output, counted, hint};
use super::size;
use super::{CommandError, Format, NodeOptions, Outcome, data_folder};
use crate::backup;
use crate::folder::NodeFolder;

/// Options of `opencloud backup`.
#[derive(Debug, Args)]
pub(crate) struct BackupArguments {
    /// Folder to copy into: one that is empty, or does not exist
    folder: PathBuf,
    /// The file with settings that the node is started with; without it they are not copied
    #[arg(long, value_name = "FILE")]
    config: Option<PathBuf>,
}

pub(super) async fn run(options: &NodeOptions, arguments: BackupArguments) -> Outcome {
    let output = Output::new(options.output == Format::Json);
    let node = NodeFolder::new(data_folder(options.data.as_deref())?);
    if !node.keys().exists() {
        return Err(CommandError::Missing(format!(
            "no node lies in {}: name its folder with --data",
            node.path().display()
        )));
    }
    let root_is_elsewhere = !node.keys().join("root.json").exists();
    let BackupArguments { folder, config } = arguments;
    let target = folder.clone();
    let making =
        tokio::task::spawn_blocking(move || backup::make(&node, config.as_deref(), &target));
    let made = making.await.map_err(anyhow::Error::from)??;
    let (org_id, made_at) = (made.org_id, made.made_at);
    let (files, bytes) = (made.files.len(), made.bytes());
    let told = json!({
        "folder": folder,
        "org_id": org_id,
        "made_at": made_at,
        "files": files,
        "bytes": bytes,
    });
    output.show(&told, |_| {
        output.say(&format!(
            "{} holds {} of {org_id}: {}, as of {made_at}",
            folder.display(),
            counted(files, "file"),
            size::show(bytes),
        ));
    })?;
    hint(
        "whoever has it has the organisation's keys: keep it where nobody else can read it, on another disk",
    );
    if root_is_elsewhere {
        hint("the root key is kept elsewhere and is not in it");
    }
    Ok(())
}

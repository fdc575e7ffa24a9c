//! Which node a command speaks to, as whom, and how it answers.

use std::path::{Path, PathBuf};

use oc_client::Client;
use secrecy::SecretString;

use super::output::Output;
use super::{CommandError, Format, NodeOptions};
use crate::folder::NodeFolder;

/// What every command is given.
pub(crate) struct Context {
    pub(crate) client: Client,
    pub(crate) output: Output,
    pub(crate) yes: bool,
}

impl Context {
    /// Finds the node and the token.
    pub(crate) fn new(options: &NodeOptions) -> Result<Self, CommandError> {
        let folder = NodeFolder::new(data_folder(options.data.as_deref())?);
        let base = match &options.node {
            Some(node) => node.clone(),
            None => folder.address().map_err(|_| {
                CommandError::Unavailable(format!(
                    "no node runs on {}: start one with `opencloud up`, or name one with --node",
                    folder.path().display()
                ))
            })?,
        };
        let file = options
            .token_file
            .clone()
            .unwrap_or_else(|| folder.admin_token());
        let token = std::fs::read_to_string(&file).map_err(|error| {
            CommandError::input(format!(
                "the token in {} cannot be read ({error}): name its file with --token-file",
                file.display()
            ))
        })?;
        let token = SecretString::from(token.trim().to_owned());
        Ok(Self {
            client: Client::new(&base, Some(token))?,
            output: Output::new(options.output == Format::Json),
            yes: options.yes,
        })
    }
}

/// The node's folder: as named, or below the user's data.
pub(crate) fn data_folder(named: Option<&Path>) -> Result<PathBuf, CommandError> {
    if let Some(named) = named {
        return Ok(named.to_owned());
    }
    let base = match std::env::var_os("XDG_DATA_HOME") {
        Some(base) => PathBuf::from(base),
        None => match std::env::var_os("HOME") {
            Some(home) => PathBuf::from(home).join(".local/share"),
            None => return Err(CommandError::input("no home folder: name one with --data")),
        },
    };
    Ok(base.join("opencloud"))
}

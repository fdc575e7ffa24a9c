//! One of the two nodes: a real `opencloud up` process with a folder, keys and ports of its own.

use std::fs::File;
use std::path::{Path, PathBuf};
use std::process::Stdio;
use std::time::Duration;

use anyhow::{Context as _, bail};
use oc_client::Client;
use secrecy::SecretString;
use tokio::process::{Child, Command};

use super::wait;
use crate::folder::NodeFolder;

const READY_LIMIT: Duration = Duration::from_secs(20);
const STOP_LIMIT: Duration = Duration::from_secs(15);
/// Last lines of a node's log that are shown when the story stops.
const LOG_LINES: usize = 15;

/// A node that this process started.
pub(crate) struct NodeProcess {
    name: &'static str,
    folder: PathBuf,
    child: Option<Child>,
    address: String,
}

impl NodeProcess {
    pub(crate) fn new(name: &'static str, base: &Path) -> Self {
        let folder = base.join(name.to_lowercase());
        Self {
            name,
            folder,
            child: None,
            address: String::new(),
        }
    }

    pub(crate) fn name(&self) -> &'static str {
        self.name
    }

    pub(crate) fn folder(&self) -> &Path {
        &self.folder
    }

    pub(crate) fn address(&self) -> &str {
        &self.address
    }

    /// The process id; 0 before the start.
    pub(crate) fn process_id(&self) -> u32 {
        self.child.as_ref().and_then(Child::id).unwrap_or(0)
    }

    fn log_file(&self) -> PathBuf {
        self.folder.with_extension("log")
    }

    /// Starts the process; the node is not ready yet. Unless it is to be `kept`, it ends with this process, even
    /// where this one is killed.
    pub(crate) fn start(&mut self, kept: bool) -> anyhow::Result<()> {
        let log = File::create(self.log_file()).context("make the node's log file")?;
        let program = std::env::current_exe().context("find this program")?;
        let mut command = Command::new(program);
        command
            .arg("--data")
            .arg(&self.folder)
            .args(["up", "--name", self.name])
            .args([
                "--set",
                "listen.api=127.0.0.1:0",
                "--set",
                "listen.admin=127.0.0.1:0",
            ]);
        if !kept {
            command.args(["--end-with", &std::process::id().to_string()]);
        }
        let child = command
            .stdin(Stdio::null())
            .stdout(log.try_clone().context("share the log file")?)
            .stderr(log)
            .kill_on_drop(true)
            .spawn()
            .with_context(|| format!("start {}", self.name))?;
        self.child = Some(child);
        Ok(())
    }

    /// Waits until the node answers; gives a client with the administrator's token.
    pub(crate) async fn ready(&mut self) -> anyhow::Result<Client> {
        let folder = NodeFolder::new(self.folder.clone());
        let what = format!("{} starts", self.name);
        let deadline = tokio::time::Instant::now() + READY_LIMIT;
        loop {
            if let Some(child) = &mut self.child
                && let Some(status) = child.try_wait().context("look after the node")?
            {
                bail!("{} ended at its start: {status}", self.name);
            }
            if let (Ok(address), Ok(_)) =
                (folder.address(), std::fs::metadata(folder.admin_token()))
            {
                self.address = address;
                break;
            }
            if tokio::time::Instant::now() > deadline {
                bail!("{what}: not within {} s", READY_LIMIT.as_secs());
            }
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
        let token = std::fs::read_to_string(folder.admin_token()).context("read the token")?;
        let token = SecretString::from(token.trim().to_owned());
        let client = Client::new(&self.address, Some(token))?;
        wait::until(&what, READY_LIMIT, || async {
            Ok(Some(client.discovery().identity().await?))
        })
        .await?;
        Ok(client)
    }

    /// Asks the process to stop and waits for it.
    pub(crate) async fn stop(&mut self) -> anyhow::Result<()> {
        let Some(mut child) = self.child.take() else {
            return Ok(());
        };
        if let Some(id) = child.id().and_then(|id| i32::try_from(id).ok()) {
            let id = nix::unistd::Pid::from_raw(id);
            nix::sys::signal::kill(id, nix::sys::signal::Signal::SIGTERM)
                .context("stop the node")?;
        }
        let ended = tokio::time::timeout(STOP_LIMIT, child.wait()).await;
        let status = ended.with_context(|| format!("{} does not stop", self.name))?;
        let status = status.context("wait for the node")?;
        if !status.success() {
            bail!("{} did not stop cleanly: {status}", self.name);
        }
        Ok(())
    }

    /// From now on the process outlives this one.
    pub(crate) fn leave_running(&mut self) {
        if let Some(child) = self.child.take() {
            // Dropping the handle would kill the node; its process is the user's from here on.
            std::mem::forget(child);
        }
    }

    /// Shows the last lines of the log.
    pub(crate) fn show_log(&self) {
        let Ok(text) = std::fs::read_to_string(self.log_file()) else {
            return;
        };
        let lines: Vec<_> = text.lines().collect();
        anstream::eprintln!("the last lines of {}'s log:", self.name);
        for line in &lines[lines.len().saturating_sub(LOG_LINES)..] {
            anstream::eprintln!("  {line}");
        }
    }
}

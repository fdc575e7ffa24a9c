//! One node: an `opencloud up` process with a folder of its own.

use std::fs::File;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Output, Stdio};
use std::time::Duration;

use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;
use oc_client::Client;
use secrecy::SecretString;
use tempfile::TempDir;

use crate::wait::until;

const START_LIMIT: Duration = Duration::from_secs(30);
const STOP_LIMIT: Duration = Duration::from_secs(20);

/// The `opencloud` program beside the running program, or one folder above, where the running one is a test.
///
/// # Panics
/// When it was not built.
pub fn program() -> PathBuf {
    let running = std::env::current_exe().unwrap();
    let mut folders = running.ancestors().skip(1).take(2);
    let program = folders.find_map(|folder: &Path| {
        let program = folder.join("opencloud");
        program.is_file().then_some(program)
    });
    program.unwrap_or_else(|| {
        let running = running.display();
        panic!("no opencloud beside {running}: run `cargo build --workspace`")
    })
}

/// A node that ends with the test.
pub struct Node {
    name: String,
    folder: TempDir,
    settings: Vec<String>,
    child: Option<Child>,
    address: String,
}

impl Node {
    /// Starts a node and waits until it answers.
    ///
    /// # Panics
    /// When it does not.
    pub async fn start(name: &str) -> Self {
        Self::start_with(name, &[]).await
    }

    /// The same, with settings, each `key=value`.
    ///
    /// # Panics
    /// When it does not start.
    pub async fn start_with(name: &str, settings: &[&str]) -> Self {
        let mut node = Self {
            name: name.to_owned(),
            folder: tempfile::tempdir().unwrap(),
            settings: settings.iter().map(|&setting| setting.to_owned()).collect(),
            child: None,
            address: String::new(),
        };
        node.begin().await;
        node
    }

    /// Starts the process on the folder as it is.
    ///
    /// # Panics
    /// When it does not start.
    pub async fn begin(&mut self) {
        let log = File::options()
            .create(true)
            .append(true)
            .open(self.log_file())
            .unwrap();
        let address_file = self.data().join("address");
        let _ = std::fs::remove_file(&address_file);
        let mut command = Command::new(program());
        command
            .arg("--data")
            .arg(self.data())
            .args(["up", "--name", &self.name]);
        let ports = [
            "listen.api=127.0.0.1:0",
            "listen.admin=127.0.0.1:0",
            "discovery.swarm.first_port=0",
            "discovery.swarm.last_port=0",
        ];
        for setting in ports
            .into_iter()
            .chain(self.settings.iter().map(String::as_str))
        {
            command.args(["--set", setting]);
        }
        let child = command
            .stdin(Stdio::null())
            .stdout(log.try_clone().unwrap())
            .stderr(log)
            .spawn()
            .unwrap();
        self.child = Some(child);
        let what = format!("{} starts, its log:\n{}", self.name, self.log());
        self.address = until(&what, START_LIMIT, async || {
            let ended = self.child.as_mut().unwrap().try_wait().unwrap();
            assert!(
                ended.is_none(),
                "{} ended at its start:\n{}",
                self.name,
                self.log()
            );
            let address = std::fs::read_to_string(&address_file).ok()?;
            self.data()
                .join("admin.token")
                .is_file()
                .then(|| address.trim().to_owned())
        })
        .await;
        let client = self.client();
        until(&what, START_LIMIT, || async {
            client.discovery().identity().await.ok()
        })
        .await;
    }

    /// Its folder.
    pub fn data(&self) -> PathBuf {
        self.folder.path().join("data")
    }

    /// Leaves its folder, with the data and the log, when the test ends; where that is.
    pub fn keep(&mut self) -> &Path {
        self.folder.disable_cleanup(true);
        self.folder.path()
    }

    /// Its address.
    pub fn address(&self) -> &str {
        &self.address
    }

    fn log_file(&self) -> PathBuf {
        self.folder.path().join("log")
    }

    /// What it has logged.
    pub fn log(&self) -> String {
        std::fs::read_to_string(self.log_file()).unwrap_or_default()
    }

    /// The administrator's token.
    ///
    /// # Panics
    /// When there is none.
    pub fn token(&self) -> String {
        let token = std::fs::read_to_string(self.data().join("admin.token")).unwrap();
        token.trim().to_owned()
    }

    /// A client with the administrator's token.
    ///
    /// # Panics
    /// When there is no token.
    pub fn client(&self) -> Client {
        Client::new(&self.address, Some(SecretString::from(self.token()))).unwrap()
    }

    /// Runs a command of the command line against this node.
    ///
    /// # Panics
    /// When the program cannot be started.
    pub fn run(&self, arguments: &[&str]) -> Output {
        Command::new(program())
            .arg("--data")
            .arg(self.data())
            .args(arguments)
            .output()
            .unwrap()
    }

    /// The process.
    ///
    /// # Panics
    /// When there is none.
    pub fn process_id(&self) -> u32 {
        self.child.as_ref().unwrap().id()
    }

    fn pid(&self) -> Pid {
        Pid::from_raw(i32::try_from(self.process_id()).unwrap())
    }

    /// Ends the process at once, as a power cut would.
    ///
    /// # Panics
    /// When there is no process.
    pub fn kill(&mut self) {
        kill(self.pid(), Signal::SIGKILL).unwrap();
        self.child.take().unwrap().wait().unwrap();
    }

    /// Asks the process to stop, and waits for it.
    ///
    /// # Panics
    /// When it does not stop cleanly.
    pub async fn stop(&mut self) {
        kill(self.pid(), Signal::SIGTERM).unwrap();
        let mut child = self.child.take().unwrap();
        let status = until("the node stops", STOP_LIMIT, async || {
            child.try_wait().unwrap()
        })
        .await;
        assert!(
            status.success(),
            "{} did not stop cleanly: {status}\n{}",
            self.name,
            self.log()
        );
    }
}

impl Drop for Node {
    fn drop(&mut self) {
        if std::thread::panicking() {
            eprintln!("---- log of {}\n{}", self.name, self.log());
        }
        if let Some(mut child) = self.child.take() {
            let _ = child.kill();
            let _ = child.wait();
        }
    }
}

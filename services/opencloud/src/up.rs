//! `opencloud up`: a node, from its settings to its end.

use std::io::ErrorKind;
use std::path::PathBuf;
use std::process::ExitCode;
use std::sync::Arc;

use anyhow::{Context as _, bail};
use clap::Args;
use oc_door::{Door, DoorAuthenticator};
use oc_kernel::{Classify as _, Clock, SystemClock};
use oc_service::settings::{self, SettingsError};
use oc_service::telemetry::{self, Metrics, TelemetrySettings};
use oc_service::{
    ListenError, ListenSettings, Listeners, Node, StopSettings, Switchboard, shutdown,
};
use serde::{Deserialize, Serialize};

use crate::cli::data_folder;
use crate::compose::{self, Ground};
use crate::folder::NodeFolder;
use crate::parent;

/// The prefix of environment variables: `OC__LISTEN__API=0.0.0.0:8700`.
const PREFIX: &str = "OC";

/// Options of `opencloud up`.
#[derive(Debug, Args)]
pub(crate) struct UpArguments {
    /// The organisation's name for people
    #[arg(long)]
    name: Option<String>,
    /// A TOML file with settings
    #[arg(long, value_name = "FILE")]
    config: Option<PathBuf>,
    /// A setting, such as listen.api=0.0.0.0:8700; wins over file and environment
    #[arg(long = "set", value_name = "KEY=VALUE")]
    flags: Vec<String>,
    /// Print the settings with secrets hidden, and end
    #[arg(long)]
    print_config: bool,
    /// End when this process, which must have started the node, has ended
    #[arg(long, value_name = "PID", hide = true)]
    end_with: Option<i32>,
}

/// Settings of a node.
#[derive(Debug, Clone, Default, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub(crate) struct NodeSettings {
    /// Where it listens.
    pub(crate) listen: ListenSettings,
    /// What it logs.
    pub(crate) telemetry: TelemetrySettings,
    /// How it stops.
    pub(crate) stop: StopSettings,
    /// Identity, networks, the door.
    pub(crate) discovery: oc_discovery::Settings,
    /// What is offered.
    pub(crate) catalog: oc_catalog::Settings,
    /// Datasets.
    pub(crate) data: oc_sentinel_provider::Settings,
    /// Machines and storage.
    pub(crate) compute: oc_compute_provider::Settings,
    /// Runs.
    pub(crate) pipeline: oc_pipeline_orchestrator::Settings,
    /// The books.
    pub(crate) accounting: oc_accounting::Settings,
}

pub(crate) async fn run(arguments: UpArguments, data: Option<PathBuf>) -> ExitCode {
    match Box::pin(serve(arguments, data)).await {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            let red = anstyle::AnsiColor::Red.on_default().bold();
            anstream::eprintln!("{red}error{red:#}: {error:#}");
            if let Some(advice) = error.downcast_ref().and_then(ListenError::advice) {
                anstream::eprintln!("what to do: {advice}");
            }
            match error.downcast_ref::<SettingsError>() {
                Some(_) => ExitCode::from(SettingsError::EXIT_CODE),
                None => ExitCode::FAILURE,
            }
        }
    }
}

async fn serve(arguments: UpArguments, data: Option<PathBuf>) -> anyhow::Result<()> {
    if let Some(parent) = arguments.end_with
        && !parent::end_with(parent).context("follow the process that starts this node")?
    {
        bail!("process {parent}, which was to start this node, has ended");
    }
    let flags = arguments.flags();
    let mut settings: NodeSettings = settings::load(PREFIX, arguments.config.as_deref(), &flags?)?;
    let folder = NodeFolder::new(data_folder(data.as_deref())?);
    settings.lie_in(&folder);
    let epoch = folder.epoch();
    settings.begin_at(epoch.context("read whether this folder was restored from a backup")?);
    if arguments.print_config {
        anstream::print!("{}", settings::show(&settings)?);
        return Ok(());
    }
    telemetry::init(&settings.telemetry)?;
    let listeners = Listeners::bind(&settings.listen).await?;
    let _lock = take(&folder)?;
    let stop = shutdown::on_signal().context("take over signals")?;

    let clock: Arc<dyn Clock> = Arc::new(SystemClock);
    let metrics = Metrics::new();
    let switchboard = Switchboard::new();
    let address = format!("http://{}", listeners.api_addr());
    let ground = Ground {
        folder: &folder,
        settings: &settings,
        clock: clock.clone(),
        metrics: metrics.clone(),
        switchboard: switchboard.clone(),
        address: address.clone(),
    };
    let composed = Box::pin(compose::services(ground)).await?;
    oc_generic_backend::first_admin(&composed.accounts, &folder.admin_token()).await?;
    let door = Door::new(&switchboard, "discovery", clock);
    let tokens = Arc::new(oc_generic_backend::LocalAccounts::new(composed.accounts));
    let authenticator = Arc::new(DoorAuthenticator::new(door.clone(), tokens));
    let names: Vec<_> = composed.apps.iter().map(|app| app.name).collect();
    let node = Node::build(composed.apps, authenticator, &metrics)?;
    for name in names {
        switchboard.register(name, node.router());
    }
    composed.bus.open();
    folder
        .write_address(&address)
        .context("say where the node is")?;
    let admin = listeners.admin_addr();
    let name = &door.identity().await?.name;
    anstream::eprintln!("{name} is up at {address}, probes and metrics at http://{admin}");
    anstream::eprintln!(
        "the administrator's token is in {}",
        folder.admin_token().display()
    );
    let served = node.serve(listeners, stop, &settings.stop).await;
    switchboard.clear();
    folder
        .forget_address()
        .context("say that the node is gone")?;
    Ok(served?)
}

impl NodeSettings {
    /// Puts everything that services keep into the node's folder, whatever a process of its own would use.
    fn lie_in(&mut self, folder: &NodeFolder) {
        self.discovery.keys = folder.keys();
        self.catalog.store = folder.store(oc_catalog::NAME);
        self.data.store = folder.store(oc_sentinel_provider::NAME);
        self.data.objects = folder.objects(oc_sentinel_provider::NAME);
        self.compute.store = folder.store(oc_compute_provider::NAME);
        self.compute.objects = folder.objects(oc_compute_provider::NAME);
        self.compute.work = folder.work();
        self.compute.address = format!("http://{}", self.listen.api);
        self.accounting.store = folder.store(oc_accounting::NAME);
        self.accounting.ledger = folder.store("ledger");
    }

    /// Has what is signed and numbered carry the epoch of the last restore.
    fn begin_at(&mut self, epoch: u64) {
        for least in [&mut self.catalog.epoch, &mut self.accounting.epoch] {
            *least = epoch.max(*least);
        }
    }
}

impl UpArguments {
    fn flags(&self) -> anyhow::Result<Vec<(String, String)>> {
        let mut flags = Vec::new();
        for flag in &self.flags {
            let Some((key, value)) = flag.split_once('=') else {
                bail!(
                    "`{flag}` is no setting: write KEY=VALUE, for example listen.api=0.0.0.0:8700"
                );
            };
            flags.push((key.to_owned(), value.to_owned()));
        }
        flags.extend(
            self.name
                .clone()
                .map(|name| ("discovery.name".to_owned(), name)),
        );
        Ok(flags)
    }
}

/// Makes the folder and takes it for this process.
fn take(folder: &NodeFolder) -> anyhow::Result<std::fs::File> {
    let path = folder.path().display();
    folder.create().with_context(|| {
        format!("the folder {path} cannot be made: name another with --data, or let this user write there")
    })?;
    match folder.lock() {
        Ok(lock) => Ok(lock),
        Err(error) if error.kind() == ErrorKind::ResourceBusy => {
            bail!("another node runs on {path}: stop it, or name another folder with --data")
        }
        Err(error) => Err(error).with_context(|| {
            format!("the folder {path} cannot be written: let this user write there, or name another with --data")
        }),
    }
}

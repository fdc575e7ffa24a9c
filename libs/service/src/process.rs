//! A service as a process of its own: the command line, the settings every process has, and what `main`
//! does with them.

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::process::ExitCode;
use std::sync::Arc;

use anyhow::Context as _;
use clap::Parser;
use oc_kernel::Classify;
use secrecy::ExposeSecret;
use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};

use crate::access::{Authenticator, Principal, StaticTokens};
use crate::app::App;
use crate::listeners::{ListenError, ListenSettings, Listeners};
use crate::rpc::{RemoteSettings, Switchboard};
use crate::serve::{StopSettings, serve};
use crate::settings::{self, Secret, SettingsError};
use crate::telemetry::{self, Metrics, TelemetrySettings};

/// The prefix of environment variables.
const PREFIX: &str = "OC";

/// The settings of a process; `S` are those of its service.
#[derive(Debug, Clone, Default, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct ProcessSettings<S> {
    /// Where it listens.
    pub listen: ListenSettings,
    /// What it logs.
    pub telemetry: TelemetrySettings,
    /// How it stops.
    pub stop: StopSettings,
    /// Where the other services are, by name.
    pub remotes: BTreeMap<String, RemoteSettings>,
    /// The tokens by which the other services are known here, by name.
    pub callers: BTreeMap<String, Secret>,
    /// The service's own.
    pub service: S,
}

impl<S> ProcessSettings<S> {
    /// Knows the other services by their tokens.
    pub fn callers(&self) -> StaticTokens {
        StaticTokens::new(self.callers.iter().map(|(name, token)| {
            let token = token.expose_secret().to_owned();
            (token, Principal::Service(name.clone()))
        }))
    }

    fn switchboard(&self) -> Result<Switchboard, crate::SwitchboardError> {
        let mut remotes = self.remotes.iter();
        remotes.try_fold(Switchboard::new(), |board, (name, remote)| {
            board.with_remote(name, remote)
        })
    }
}

/// What a process gives to the composition of its service.
pub struct Process<S> {
    /// Its settings.
    pub settings: ProcessSettings<S>,
    /// The way to the other services.
    pub switchboard: Switchboard,
    /// What `/metrics` shows.
    pub metrics: Metrics,
}

/// What a process serves.
pub struct Composition {
    /// The service.
    pub app: App,
    /// Who knows its callers.
    pub authenticator: Arc<dyn Authenticator>,
}

#[derive(Debug, Parser)]
struct Arguments {
    /// A TOML file with settings
    #[arg(long, value_name = "FILE")]
    config: Option<PathBuf>,
    /// A setting, such as listen.api=0.0.0.0:8700; wins over file and environment
    #[arg(long = "set", value_name = "KEY=VALUE", value_parser = key_and_value)]
    flags: Vec<(String, String)>,
    /// Print the settings with secrets hidden, and end
    #[arg(long)]
    print_config: bool,
}

fn key_and_value(text: &str) -> Result<(String, String), String> {
    let (key, value) = text.split_once('=').ok_or("write KEY=VALUE")?;
    Ok((key.to_owned(), value.to_owned()))
}

/// The whole of a service's `main`: reads the command line and the settings, sets up the log, binds the
/// ports, composes the service and serves it until a signal. Errors go to standard error as well as to the log,
/// since the log may not be up yet; faulty settings end with exit code 78.
pub fn run<S, F, T>(name: &'static str, compose: F) -> ExitCode
where
    S: Default + Serialize + DeserializeOwned,
    F: FnOnce(Process<S>) -> T,
    T: Future<Output = anyhow::Result<Composition>>,
{
    match begin(name, compose) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            report(name, &error);
            match error.downcast_ref::<SettingsError>() {
                Some(_) => ExitCode::from(SettingsError::EXIT_CODE),
                None => ExitCode::FAILURE,
            }
        }
    }
}

#[expect(
    clippy::print_stderr,
    reason = "whoever starts the process must see why it ended"
)]
fn report(name: &str, error: &anyhow::Error) {
    eprintln!("{name}: {error:#}");
    if let Some(advice) = error.downcast_ref().and_then(ListenError::advice) {
        eprintln!("{name}: {advice}");
    }
}

#[expect(clippy::print_stdout, reason = "the answer to --print-config")]
fn begin<S, F, T>(name: &'static str, compose: F) -> anyhow::Result<()>
where
    S: Default + Serialize + DeserializeOwned,
    F: FnOnce(Process<S>) -> T,
    T: Future<Output = anyhow::Result<Composition>>,
{
    let arguments = Arguments::parse();
    let file = arguments.config.as_deref();
    let settings: ProcessSettings<S> = settings::load(PREFIX, file, &arguments.flags)?;
    if arguments.print_config {
        print!("{}", settings::show(&settings)?);
        return Ok(());
    }
    telemetry::init(&settings.telemetry)?;
    tracing::warn!(
        name,
        "events stay within this process: what other services tell of grants, usage and accounts does not arrive, \
         and theirs do not get this service's; for a whole node start `opencloud up`"
    );
    crate::install_tls_provider();
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .enable_all()
        .build();
    runtime.context("start the runtime")?.block_on(async {
        let listeners = Listeners::bind(&settings.listen).await?;
        let stop = crate::shutdown::on_signal().context("take over signals")?;
        let (metrics, stopping) = (Metrics::new(), settings.stop.clone());
        let switchboard = settings.switchboard()?;
        let process = Process {
            settings,
            switchboard,
            metrics: metrics.clone(),
        };
        let Composition { app, authenticator } = compose(process).await.context(name)?;
        serve(
            vec![app],
            listeners,
            authenticator,
            &metrics,
            stop,
            &stopping,
        )
        .await?;
        Ok(())
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_remote_and_its_token_come_from_the_environment() {
        let variables = [
            ("OC__REMOTES__CATALOG__ADDRESS", "http://catalog:8700"),
            ("OC__CALLERS__DISCOVERY", "secret"),
        ];
        let variables = variables.map(|(name, value)| (name.to_owned(), value.to_owned()));
        let settings: ProcessSettings<BTreeMap<String, String>> =
            settings::load_from(PREFIX, None, variables, &[]).unwrap();
        assert_eq!(settings.remotes["catalog"].address, "http://catalog:8700");
        assert_eq!(settings.callers["discovery"].expose_secret(), "secret");
    }

    #[test]
    fn a_flag_is_a_key_and_a_value() {
        let arguments = Arguments::try_parse_from(["x", "--set", "service.url=a=b"]).unwrap();
        assert_eq!(
            arguments.flags,
            [("service.url".to_owned(), "a=b".to_owned())]
        );
        assert!(Arguments::try_parse_from(["x", "--set", "nothing"]).is_err());
    }
}

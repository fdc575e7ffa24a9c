//! The command line for people and scripts: arguments, and which command does what.
//!
//! Commands speak to a node through `oc-client` only; they know nothing of how a node is built.

mod advice;
mod ask;
mod backup;
mod catalog;
mod context;
pub(crate) mod cwl;
pub(crate) mod dataset;
pub(crate) mod dataset_import;
mod default_files;
mod doctor;
mod document;
mod download;
mod failure;
mod favorite;
mod file;
mod find;
mod follow;
mod grant;
mod grant_rule;
mod ids;
mod limits;
mod local_files;
mod names;
mod network;
mod offer;
mod output;
mod peers;
mod progress;
mod query;
mod restore;
mod result_tree;
mod results;
mod run;
mod run_input;
mod runs;
mod service;
mod size;
mod storage;
mod tool;
mod typed;
mod upload;
mod usage;
mod usage_correct;
mod usage_disputed;
mod usage_verify;
mod user;
mod when;
mod workflow;

use std::path::PathBuf;
use std::process::ExitCode;

use clap::{Args, CommandFactory as _, Parser, Subcommand, ValueEnum};
use oc_client::ClientError;
use oc_kernel::{Classify as _, Kind};

pub(crate) use context::{Context, data_folder};
use failure::Failure;
use names::Names;

/// Share data, storage, compute and processing with partners, without a central operator.
#[derive(Debug, Parser)]
#[command(name = "opencloud", version, max_term_width = 100)]
pub(crate) struct Arguments {
    #[command(flatten)]
    pub(crate) node: NodeOptions,
    #[command(subcommand)]
    pub(crate) command: Command,
}

/// Which node a command speaks to, and how it answers.
#[derive(Debug, Clone, Args)]
pub(crate) struct NodeOptions {
    /// Address of the node; without it, the one that runs on --data
    #[arg(
        long,
        global = true,
        env = "OPENCLOUD_NODE",
        value_name = "URL",
        help_heading = "Node"
    )]
    pub(crate) node: Option<String>,
    /// File with the token; without it, the administrator's below --data
    #[arg(
        long,
        global = true,
        env = "OPENCLOUD_TOKEN_FILE",
        value_name = "FILE",
        help_heading = "Node"
    )]
    pub(crate) token_file: Option<PathBuf>,
    /// Folder of the node on this machine [default: ~/.local/share/opencloud]
    #[arg(
        long,
        global = true,
        env = "OPENCLOUD_DATA",
        value_name = "DIR",
        help_heading = "Node"
    )]
    pub(crate) data: Option<PathBuf>,
    /// How answers look
    #[arg(
        long,
        global = true,
        value_enum,
        default_value = "table",
        help_heading = "Answers"
    )]
    pub(crate) output: Format,
    /// Do not ask before something is lost or paid for
    #[arg(short, long, global = true, help_heading = "Answers")]
    pub(crate) yes: bool,
}

const PLAN: &str = "\
Examples:
  opencloud plan South/processing.sentinel-pictures.1.0 --inputs summer.yml
  opencloud plan mosaic.cwl --input red=dataset:South/dataset.sentinel-2-demo#B04 --from 2025-06-01 --to 2025-06-30";
const RUN: &str = "\
Examples:
  opencloud run words.cwl --input text=@notes.txt --input most=10
  opencloud run South/processing.sentinel-pictures.1.0 --inputs summer.yml --prefix summer --yes
  opencloud run mosaic.cwl --input red=dataset:South/dataset.sentinel-2-demo#B04 --at main=South --detach";

/// How answers look.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub(crate) enum Format {
    /// For people
    Table,
    /// For programs
    Json,
}

#[derive(Debug, Subcommand)]
pub(crate) enum Command {
    /// Start a node: all services in one process
    Up(crate::up::UpArguments),
    /// Play the main job: two organisations on this machine share a workflow
    Demo(crate::demo::DemoArguments),
    /// Private networks: create, invite, join, leave
    #[command(subcommand)]
    Network(network::NetworkCommand),
    /// Other organisations: list, block, unblock
    Peers(peers::PeersArguments),
    /// Accounts of this node
    #[command(subcommand)]
    User(user::UserCommand),
    /// What we and our partners offer
    #[command(subcommand)]
    Catalog(catalog::CatalogCommand),
    /// Our datasets
    #[command(subcommand)]
    Dataset(dataset::DatasetCommand),
    /// Our processing services in CWL
    #[command(subcommand)]
    Service(service::ServiceCommand),
    /// Machines and storage that we offer
    #[command(subcommand)]
    Offer(offer::OfferCommand),
    /// What lies in our storage, and removing it
    #[command(subcommand)]
    Storage(storage::StorageCommand),
    /// Agreements with partners, given and received
    #[command(subcommand)]
    Grant(grant::GrantCommand),
    /// Listings that you marked
    #[command(subcommand)]
    Favorite(favorite::FavoriteCommand),
    /// Say where a workflow would run, why, and what it would cost
    #[command(after_help = PLAN)]
    Plan(run::PlanArguments),
    /// Run a workflow and watch it
    #[command(after_help = RUN)]
    Run(run::RunArguments),
    /// List runs, or show one
    Runs(runs::RunsArguments),
    /// Log lines of a run
    Logs(runs::LogsArguments),
    /// Stop a run
    Cancel(runs::RunId),
    /// Start the failed fragments of a run again
    Retry(runs::RunId),
    /// What a run made; with --download, fetch it
    Results(results::ResultsArguments),
    /// Why a run is where it is
    Explain(runs::RunId),
    /// Who used what: sums, records, exports, books
    #[command(subcommand)]
    Usage(usage::UsageCommand),
    /// Check, pack or run a CWL document on this machine, without a node
    #[command(subcommand)]
    Cwl(cwl::CwlCommand),
    /// Copy what a node keeps into a folder, while it runs
    Backup(backup::BackupArguments),
    /// Put a backup in the place of a stopped node's folder
    Restore(restore::RestoreArguments),
    /// Check this machine and its node, and say what to do
    Doctor,
    /// Completions for a shell
    Completions {
        /// The shell
        shell: clap_complete::Shell,
    },
}

/// Why a command failed.
#[derive(Debug, thiserror::Error)]
pub(crate) enum CommandError {
    /// The node said no, or nobody answered.
    #[error("{0}")]
    Client(#[from] ClientError),
    /// The node refused the inputs of a workflow.
    #[error("{error}")]
    Inputs {
        /// What it said.
        #[source]
        error: ClientError,
        /// What the workflow takes, an input on a line.
        takes: Vec<String>,
        /// What to do.
        advice: String,
    },
    /// A file of this machine did not come into storage.
    #[error("{file} was not stored in {storage}: {error}")]
    Upload {
        /// Why.
        #[source]
        error: ClientError,
        /// The file.
        file: String,
        /// The listing of the storage.
        storage: String,
    },
    /// A document of this machine has faults, at least one.
    #[error("the document has {}", output::counted(.0.len(), "fault"))]
    Document(Vec<oc_cwl::Finding>),
    /// What was typed cannot be used.
    #[error("{0}")]
    Input(String),
    /// What was asked for was tried, and failed.
    #[error("{0}")]
    Failed(String),
    /// There is no node here, or no room in it.
    #[error("{0}")]
    Unavailable(String),
    /// What was named is not there.
    #[error("{0}")]
    Missing(String),
    /// A person said no.
    #[error("nothing was done")]
    Declined,
    /// Nobody was there to be asked.
    #[error("{0} Nobody is there to answer: say --yes if this is meant")]
    Unanswered(String),
    /// A person went away from something that goes on.
    #[error("{0}")]
    Left(String),
    /// Anything else.
    #[error("{0:#}")]
    Other(#[from] anyhow::Error),
}

impl CommandError {
    pub(crate) fn input(text: impl Into<String>) -> Self {
        Self::Input(text.into())
    }
}

/// The exit code of a failure, for scripts: what kind it is of; docs/operating.md lists them.
fn exit_code(error: &CommandError) -> u8 {
    let kind = match error {
        CommandError::Client(error)
        | CommandError::Inputs { error, .. }
        | CommandError::Upload { error, .. } => error.kind(),
        CommandError::Document(_) | CommandError::Input(_) => Kind::Invalid,
        CommandError::Missing(_) => Kind::NotFound,
        CommandError::Unavailable(_) => Kind::Unavailable,
        CommandError::Declined | CommandError::Unanswered(_) => return DECLINED,
        _ => return 1,
    };
    match kind {
        Kind::Malformed | Kind::Invalid => 2,
        Kind::NotFound => 3,
        Kind::AlreadyExists
        | Kind::Unauthenticated
        | Kind::Forbidden
        | Kind::Precondition
        | Kind::Conflict
        | Kind::Stale => 4,
        Kind::Unavailable | Kind::Timeout | Kind::Exhausted => 5,
        _ => 1,
    }
}

/// A question that nobody was there to answer, or that was answered with no.
const DECLINED: u8 = 6;

/// What a shell says of a command that Ctrl-C ended: 128 and the number of SIGINT.
const INTERRUPTED: u8 = 130;

pub(crate) type Outcome = Result<(), CommandError>;

/// Runs a command that speaks to a node, or needs none.
pub(crate) async fn run(arguments: Arguments) -> ExitCode {
    let options = arguments.node.clone();
    typed::note(&options);
    let lookup = advice::Lookup::of(&arguments.command);
    let mut names = Names::default();
    let outcome = match arguments.command {
        Command::Up(up) => return crate::up::run(up, options.data).await,
        Command::Demo(demo) => {
            return crate::demo::run(demo, options.output == Format::Json).await;
        }
        Command::Cwl(command) => {
            let output = output::Output::new(options.output == Format::Json);
            return cwl::run(command, output);
        }
        Command::Completions { shell } => {
            let mut script = Vec::new();
            clap_complete::generate(shell, &mut Arguments::command(), "opencloud", &mut script);
            // Whoever reads only the first lines of it closes the pipe.
            return match std::io::Write::write_all(&mut std::io::stdout(), &script) {
                Err(error) if error.kind() != std::io::ErrorKind::BrokenPipe => ExitCode::FAILURE,
                _ => ExitCode::SUCCESS,
            };
        }
        Command::Doctor => return doctor::run(&options).await,
        Command::Backup(arguments) => backup::run(&options, arguments).await,
        Command::Restore(arguments) => restore::run(&options, arguments).await,
        Command::Usage(usage::UsageCommand::Verify { file }) => {
            let context = Context::new(&options).ok();
            let output = output::Output::new(options.output == Format::Json);
            let outcome = usage_verify::run(context.as_ref(), &file, output).await;
            if let Some(context) = context.as_ref().filter(|_| outcome.is_err()) {
                names = Names::of(context).await;
            }
            outcome
        }
        command => match Context::new(&options) {
            Ok(context) => {
                let outcome = speak(&context, command).await;
                if outcome.is_err() {
                    names = Names::of(&context).await;
                }
                outcome
            }
            Err(error) => Err(error),
        },
    };
    match outcome {
        Ok(()) => ExitCode::SUCCESS,
        Err(CommandError::Left(what)) => {
            output::hint(&what);
            ExitCode::from(INTERRUPTED)
        }
        Err(error) => {
            let failure = Failure::of(&error, lookup, &names);
            failure.show(options.output == Format::Json);
            ExitCode::from(exit_code(&error))
        }
    }
}

async fn speak(context: &Context, command: Command) -> Outcome {
    match command {
        Command::Network(command) => network::run(context, command).await,
        Command::Peers(arguments) => peers::run(context, arguments).await,
        Command::User(command) => user::run(context, command).await,
        Command::Catalog(command) => catalog::run(context, command).await,
        Command::Dataset(command) => dataset::run(context, command).await,
        Command::Service(command) => service::run(context, command).await,
        Command::Offer(command) => offer::run(context, command).await,
        Command::Storage(command) => storage::run(context, command).await,
        Command::Grant(command) => grant::run(context, command).await,
        Command::Favorite(command) => favorite::run(context, command).await,
        Command::Plan(arguments) => run::plan(context, arguments).await,
        Command::Run(arguments) => run::run(context, arguments).await,
        Command::Runs(arguments) => runs::list(context, arguments).await,
        Command::Logs(arguments) => runs::logs(context, arguments).await,
        Command::Cancel(arguments) => runs::cancel(context, arguments).await,
        Command::Retry(arguments) => runs::retry(context, arguments).await,
        Command::Results(arguments) => results::results(context, arguments).await,
        Command::Explain(arguments) => runs::explain(context, arguments).await,
        Command::Usage(command) => usage::run(context, command).await,
        Command::Up(_)
        | Command::Demo(_)
        | Command::Cwl(_)
        | Command::Completions { .. }
        | Command::Backup(_)
        | Command::Restore(_)
        | Command::Doctor => Ok(()),
    }
}

#[cfg(test)]
mod tests;

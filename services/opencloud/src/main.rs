//! `opencloud`: all services of a node in one process, the demonstration, and the command line for people.
//!
//! Here drivers are chosen and services are joined; no rule of any domain lives here.

mod backup;
mod cli;
mod compose;
mod demo;
mod folder;
mod parent;
mod sandboxing;
mod up;

use std::process::ExitCode;

use clap::Parser as _;

fn main() -> ExitCode {
    oc_service::install_tls_provider();
    let arguments = cli::Arguments::parse();
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .enable_all()
        .build();
    match runtime {
        Ok(runtime) => runtime.block_on(Box::pin(cli::run(arguments))),
        Err(error) => {
            anstream::eprintln!("error: the runtime does not start: {error}");
            ExitCode::FAILURE
        }
    }
}

//! The command line: one file per command. Only `output` prints.

mod args;
mod cluster;
mod crd;
mod demo;
mod failure;
mod logging;
mod output;
mod plan;
mod run;
pub mod stage;
mod status;

use std::process::ExitCode;

use clap::Parser as _;

use args::{Cli, Command};
use failure::Failure;
use output::Output;

/// Runs the program and gives its exit code: 0 success, 1 something a person must fix (or an outcome that is
/// not success), 2 wrong usage, 3 a fault that may pass, 70 a bug.
#[must_use]
pub fn main() -> ExitCode {
    let cli = Cli::parse();
    logging::start(&cli.log_level);
    crate::http::install_crypto();
    let mut output = Output::new();
    match command(cli.command, &mut output) {
        Ok(code) => code,
        Err(failure) => failure.print(&mut output),
    }
}

fn command(command: Command, output: &mut Output) -> Result<ExitCode, Failure> {
    match command {
        Command::Run(args) => run::run(*args),
        Command::Plan(args) => plan::run(&args, output),
        Command::Status(args) => status::run(&args, output),
        Command::Cluster(args) => cluster::run(&args, output),
        Command::Crd => Ok(crd::run(output)),
        Command::Demo(args) => demo::run(&args, output),
    }
}

/// A runtime for commands that wait for the network.
fn runtime() -> Result<tokio::runtime::Runtime, Failure> {
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .worker_threads(2)
        .enable_all()
        .build();
    runtime.map_err(|error| Failure::bug(format!("cannot start the async runtime: {error}")))
}

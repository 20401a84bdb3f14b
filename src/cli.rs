//! The command line: one file per command. Only `output` prints.

mod args;
mod clone;
mod cluster;
mod crd;
mod demo;
mod doctor;
mod failure;
mod github;
mod logging;
mod origin;
mod output;
mod plan;
mod policy;
mod reach;
mod render;
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
    let level = cli.log_level.clone().filter(|level| !level.is_empty());
    logging::start(&level.unwrap_or_else(|| logging::filter(default_level(&cli.command))));
    crate::http::install_crypto();
    let mut output = Output::new();
    let ended = command(cli.command, &mut output).and_then(|code| match output.fault() {
        None => Ok(code),
        Some(error) => Err(Failure::user(
            format!("cannot write to standard output: {error}"),
            "make room, or send the output elsewhere",
        )),
    });
    ended.unwrap_or_else(|failure| failure.print(&mut output))
}

/// Commands that run on tell what they do; commands that print say only what is wrong, so that nothing disturbs
/// their output on a terminal.
fn default_level(command: &Command) -> &'static str {
    match command {
        Command::Run(_) | Command::Cluster(_) => "info",
        Command::Doctor(_) | Command::Plan(_) | Command::Render(_) | Command::Status(_) | Command::Crd => {
            "warn"
        }
        // It shows what goes wrong by itself: that is its point.
        Command::Demo(_) => "error",
    }
}

fn command(command: Command, output: &mut Output) -> Result<ExitCode, Failure> {
    match command {
        Command::Run(args) => run::run(*args),
        Command::Doctor(args) => doctor::run(&args, output),
        Command::Plan(args) => plan::run(&args, output),
        Command::Render(args) => render::run(&args, output),
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

//! `serin cluster`: the embedded cluster on its own.

use std::{path::Path, process::ExitCode};

use tokio::net::TcpListener;

use super::{Failure, Output, args::ClusterCommandArgs, stage};
use crate::{
    clock::Clock,
    rehearsal::{self, World, WorldSpec},
};

pub(super) fn run(args: &ClusterCommandArgs, output: &mut Output) -> Result<ExitCode, Failure> {
    super::runtime()?.block_on(serve(args, output))
}

async fn serve(args: &ClusterCommandArgs, output: &mut Output) -> Result<ExitCode, Failure> {
    let listener = bind(args.listen).await?;
    let address = listener.local_addr().unwrap_or(args.listen);
    let cluster = rehearsal::Cluster::new(Clock::system());
    let spec = args.world.as_deref().map(read_world).transpose()?;
    stage::install_crds(&cluster).map_err(Failure::bug)?;
    let world = World::start(&cluster, spec.unwrap_or_default());
    if let Some(address) = args.prometheus {
        let listener = bind(address).await?;
        let address = listener.local_addr().unwrap_or(address);
        output.note(&format!("Prometheus API on http://{address}"));
        let router = world.prometheus();
        tokio::spawn(async move { axum::serve(listener, router).await });
    }
    if let Some(file) = &args.write_kubeconfig {
        write(file, &rehearsal::kubeconfig(address))?;
        output.note(&format!(
            "Kubernetes API on http://{address}; try: kubectl --kubeconfig {} get ns",
            file.display()
        ));
    } else {
        output.note(&format!("Kubernetes API on http://{address}"));
    }
    tokio::select! {
        served = rehearsal::serve(&cluster, listener) => {
            let why = served.err().map_or("it ended".to_owned(), |error| error.to_string());
            Err(Failure::bug(format!("cannot serve the cluster any more: {why}")))
        }
        () = super::run::interrupted() => Ok(ExitCode::SUCCESS),
    }
}

async fn bind(address: std::net::SocketAddr) -> Result<TcpListener, Failure> {
    TcpListener::bind(address).await.map_err(|error| {
        Failure::user(
            format!("cannot listen on {address}: {error}"),
            "choose another address; port 0 takes a free one",
        )
    })
}

fn read_world(file: &Path) -> Result<WorldSpec, Failure> {
    let refuse = |error: String| {
        Failure::user(
            format!("cannot use world {}: {error}", file.display()),
            "fixtures/scenarios/*/scenario.yaml have examples under `world`",
        )
    };
    let text = std::fs::read_to_string(file).map_err(|error| refuse(error.to_string()))?;
    WorldSpec::parse(&text).map_err(|error| refuse(error.to_string()))
}

fn write(file: &Path, text: &str) -> Result<(), Failure> {
    std::fs::write(file, text).map_err(|error| {
        Failure::user(
            format!("cannot write {}: {error}", file.display()),
            "give a path in a folder that exists",
        )
    })
}

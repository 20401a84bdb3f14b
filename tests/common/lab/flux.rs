//! Flux on the control plane: source-controller and kustomize-controller, as they are deployed but on loopback.

use std::path::Path;
use std::process::Command;

use anyhow::{Context as _, ensure};

use super::assets::Assets;
use super::process::{free_ports, hermetic};
use super::{ADMIN, Lab};

/// The users that the controllers are.
pub(crate) const SOURCE_CONTROLLER: &str = "source-controller";
/// The one that applies.
pub(crate) const KUSTOMIZE_CONTROLLER: &str = "kustomize-controller";
/// The namespace that Flux is deployed in.
pub(crate) const NAMESPACE: &str = "flux-system";

/// Installs Flux's CRDs and starts its controllers; the namespace must be there.
pub(crate) async fn start(lab: &mut Lab) -> anyhow::Result<()> {
    let assets = Assets::locate()?;
    for name in [SOURCE_CONTROLLER, KUSTOMIZE_CONTROLLER] {
        // kubectl reads no folder that is a link.
        install_crds(lab, &assets, &assets.share(name)?.canonicalize()?)?;
    }
    let [storage, health, metrics] = free_ports()?;
    let folder = lab.sandbox.path("artifacts");
    std::fs::create_dir_all(&folder)?;
    let mut source = controller(lab, &assets, SOURCE_CONTROLLER, health, metrics)?;
    source
        .arg(format!("--storage-path={}", folder.display()))
        .arg(format!("--storage-addr=127.0.0.1:{storage}"))
        .arg(format!("--storage-adv-addr=127.0.0.1:{storage}"));
    lab.sandbox.spawn(SOURCE_CONTROLLER, &mut source)?;
    await_healthy(lab, SOURCE_CONTROLLER, health).await?;
    let [health, metrics] = free_ports()?;
    let mut kustomize = controller(lab, &assets, KUSTOMIZE_CONTROLLER, health, metrics)?;
    lab.sandbox.spawn(KUSTOMIZE_CONTROLLER, &mut kustomize)?;
    await_healthy(lab, KUSTOMIZE_CONTROLLER, health).await
}

fn install_crds(lab: &Lab, assets: &Assets, folder: &Path) -> anyhow::Result<()> {
    for arguments in [
        vec!["apply", "--server-side", "--filename"],
        vec![
            "wait",
            "--for=condition=Established",
            "--timeout=60s",
            "--filename",
        ],
    ] {
        let mut command = hermetic(&assets.binary("kubectl")?, &lab.sandbox.path(""));
        command
            .arg(format!("--kubeconfig={}", lab.kubeconfig_for(ADMIN).display()))
            .args(arguments)
            .arg(folder);
        let done = command.output().context("kubectl cannot be run")?;
        let complaint = String::from_utf8_lossy(&done.stderr);
        ensure!(
            done.status.success(),
            "Flux's CRDs are not installed: {}",
            complaint.trim()
        );
    }
    Ok(())
}

fn controller(lab: &Lab, assets: &Assets, name: &str, health: u16, metrics: u16) -> anyhow::Result<Command> {
    let mut command = hermetic(&assets.binary(name)?, &lab.sandbox.path(""));
    let temporary = lab.sandbox.path("tmp");
    std::fs::create_dir_all(&temporary)?;
    command
        .env("KUBECONFIG", lab.kubeconfig_for(name))
        .env("RUNTIME_NAMESPACE", NAMESPACE)
        .env("TMPDIR", temporary)
        .arg(format!("--health-addr=127.0.0.1:{health}"))
        .arg(format!("--metrics-addr=127.0.0.1:{metrics}"))
        .args([
            "--events-addr=",
            "--log-level=info",
            "--interval-jitter-percentage=0",
        ]);
    Ok(command)
}

async fn await_healthy(lab: &mut Lab, name: &str, port: u16) -> anyhow::Result<()> {
    let probe = async || {
        let answer = reqwest::get(format!("http://127.0.0.1:{port}/healthz")).await?;
        answer.error_for_status()?;
        Ok(())
    };
    lab.sandbox.ready(name, probe).await
}

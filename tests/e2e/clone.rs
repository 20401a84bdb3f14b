//! A clone of its own, kept current from a private repository on a real Gitea, whose webhook tells of each push.

use std::path::Path;

use anyhow::{Context as _, ensure};
use tokio::time::{Instant, sleep};

use super::scene::PATIENCE;
use crate::common::lab::gitea::Gitea;
use crate::common::lab::process::{Sandbox, free_ports, hermetic};

const SERIN_BINARY: &str = env!("CARGO_BIN_EXE_serin");
const WEB: &str = "\
apiVersion: apps/v1
kind: Deployment
metadata: {name: web}
spec:
  selector:
    matchLabels: {app: web}
  template:
    metadata:
      labels: {app: web}
    spec:
      containers:
      - {name: web, image: 'example.com/web:1'}
---
apiVersion: flagger.app/v1beta1
kind: Canary
metadata: {name: web}
spec:
  provider: kubernetes
  targetRef: {apiVersion: apps/v1, kind: Deployment, name: web}
  service: {port: 80}
  analysis: {interval: 1s, threshold: 1, iterations: 2}
";

/// Commits the manifest, and pushes it.
fn push(gitea: &Gitea, folder: &Path, manifest: &str) -> anyhow::Result<String> {
    std::fs::write(folder.join("web.yaml"), manifest)?;
    let git = |arguments: &[&str]| -> anyhow::Result<String> {
        let done = gitea.git(folder).args(arguments).output()?;
        let said = String::from_utf8_lossy(&done.stderr).into_owned();
        ensure!(done.status.success(), "git {arguments:?}: {said}");
        Ok(String::from_utf8_lossy(&done.stdout).trim().to_owned())
    };
    git(&["add", "--all"])?;
    git(&["commit", "--quiet", "--message=Change web"])?;
    git(&["push", "--quiet", "origin", "main"])?;
    git(&["rev-parse", "HEAD"])
}

async fn promoted(gitea: &Gitea, sandbox: &Sandbox, commit: &str, text: &str) -> anyhow::Result<()> {
    let deadline = Instant::now() + PATIENCE;
    loop {
        let said = gitea.statuses("web", commit).await?;
        if said
            .iter()
            .any(|status| status.state == "success" && status.description.contains(text))
        {
            return Ok(());
        }
        ensure!(
            Instant::now() < deadline,
            "{commit} never got {text:?}: {said:?}\n{}",
            sandbox.log("serin")
        );
        sleep(std::time::Duration::from_millis(100)).await;
    }
}

#[tokio::test]
async fn a_private_repository_is_cloned_and_its_webhook_brings_the_next_commit() -> anyhow::Result<()> {
    let gitea = Gitea::start().await?;
    let address = gitea.create_repo("web").await?;
    let mut sandbox = Sandbox::new("clone")?;
    let publisher = sandbox.path("publisher");
    std::fs::create_dir_all(&publisher)?;
    for arguments in [
        &["init", "--quiet", "--initial-branch=main"][..],
        &["remote", "add", "origin", &address],
    ] {
        ensure!(
            gitea.git(&publisher).args(arguments).status()?.success(),
            "{arguments:?}"
        );
    }
    let first = push(&gitea, &publisher, WEB)?;

    let [api, listen] = free_ports()?;
    let kubeconfig = sandbox.path("kubeconfig");
    let mut cluster = hermetic(Path::new(SERIN_BINARY), &sandbox.path(""));
    cluster.arg("cluster").arg(format!("--listen=127.0.0.1:{api}"));
    cluster.arg(format!("--write-kubeconfig={}", kubeconfig.display()));
    sandbox.spawn("cluster", &mut cluster)?;
    let written = kubeconfig.clone();
    sandbox
        .ready("cluster", async || {
            std::fs::read(&written).context("no kubeconfig")
        })
        .await?;

    let token = sandbox.write("token", gitea.token())?;
    let secret = sandbox.write("secret", "between-us")?;
    let mut serin = hermetic(Path::new(SERIN_BINARY), &sandbox.path(""));
    serin
        .env("SERIN_LOG", "serin=trace")
        .args([
            "run",
            "--apply",
            "--repo-interval=1h",
            "--branch=main",
            "--status=gitea",
        ])
        .arg(format!("--repo={address}"))
        .arg(format!("--repo-username={}", Gitea::OWNER))
        .arg(format!("--repo-token-file={}", token.display()))
        .arg(format!("--clone-dir={}", sandbox.path("clones").display()))
        .arg(format!("--notify-secret-file={}", secret.display()))
        .arg(format!("--kubeconfig={}", kubeconfig.display()))
        .arg(format!("--listen=127.0.0.1:{listen}"))
        .arg(format!("--status-url={}", gitea.url()))
        .arg(format!("--status-repo={}/web", Gitea::OWNER))
        .arg(format!("--status-token-file={}", token.display()));
    sandbox.spawn("serin", &mut serin)?;
    promoted(&gitea, &sandbox, &first, "initialized").await?;

    // A secret that is not Serin's: the call is refused, and the commit is not seen.
    let url = format!("http://127.0.0.1:{listen}/notify");
    let hook = gitea.create_hook("web", &url, "guessed").await?;
    let second = push(&gitea, &publisher, &WEB.replace("web:1", "web:2"))?;
    let deadline = Instant::now() + PATIENCE;
    while !sandbox.log("serin").contains("the signature is wrong") {
        ensure!(
            Instant::now() < deadline,
            "no call came: {}",
            sandbox.log("serin")
        );
        sleep(std::time::Duration::from_millis(100)).await;
    }
    ensure!(
        gitea.statuses("web", &second).await?.is_empty(),
        "a forged call was believed"
    );

    gitea.delete_hook("web", hook).await?;
    gitea.create_hook("web", &url, "between-us").await?;
    let third = push(&gitea, &publisher, &WEB.replace("web:1", "web:3"))?;
    promoted(&gitea, &sandbox, &third, "promoted").await?;
    promoted(&gitea, &sandbox, &second, "superseded").await?;

    // The token is taken back: the last revision stays, and the log says what is wrong.
    sandbox.write("token", "0000000000000000000000000000000000000000")?;
    push(&gitea, &publisher, &WEB.replace("web:1", "web:4"))?;
    let deadline = Instant::now() + PATIENCE;
    while !sandbox.log("serin").contains("the credential was refused") {
        ensure!(Instant::now() < deadline, "not refused: {}", sandbox.log("serin"));
        sleep(std::time::Duration::from_millis(100)).await;
    }
    ensure!(
        !sandbox.log("serin").contains(gitea.token()),
        "the log holds the token"
    );
    Ok(())
}

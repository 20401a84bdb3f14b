//! On a real control plane, with Gitea: the same scene as the end to end tests.

use std::collections::BTreeMap;
use std::time::Duration;

use anyhow::{Context as _, ensure};
use tokio::time::{Instant, sleep};

use crate::common::lab::SERIN;
use crate::figures::Table;
use crate::manifests::{Plan, Router};
use crate::scene::{PATIENCE, Scene};
use crate::watching::{Line, Watch, patch_image};

const CONTEXT: &str = "serin/test/podinfo";
const CHANGES: u32 = 50;
const COMMITS: u32 = 20;

/// Measures everything, in one scene.
pub(crate) async fn measure(table: &mut Table) -> anyhow::Result<()> {
    let plan = Plan {
        router: Router::Skipper,
        interval: "10s",
    };
    let mut scene = Scene::set(plan).await?.with_flags(&["--log-level=info"]);
    let mut watch = Watch::start(scene.admin()).await?;
    scene.push("6.0.0")?;
    scene.pull()?;
    scene.start_serin()?;
    watch.phase("Initialized").await?;
    settled(&scene).await?;
    table.row("real: resident memory, one canary at rest", resident(&scene)?);
    idle(&scene, table, "real: API requests in 60 s at rest").await?;
    rollout(&scene, &mut watch, table, "by kubectl", || {
        set_image(&scene, "6.0.1")
    })
    .await?;
    scene.push("6.0.2")?;
    rollout(&scene, &mut watch, table, "by a commit", || scene.pull()).await?;
    table.row("real: resident memory after two rollouts", resident(&scene)?);
    changes(&scene, &mut watch, table).await?;
    commits(&scene, table).await?;
    table.row("real: resident memory after 72 runs", resident(&scene)?);
    scene.sandbox().kill("serin")?;
    let mut scene = scene.with_flags(&["--lease=true"]);
    scene.start_serin()?;
    scene.await_phase("Succeeded", None).await?;
    settled(&scene).await?;
    idle(&scene, table, "real: API requests in 60 s at rest, with a lease").await
}

/// A live change of the template, 50 times: until the phase is Progressing. Each is taken back.
async fn changes(scene: &Scene, watch: &mut Watch, table: &mut Table) -> anyhow::Result<()> {
    let mut times = Vec::new();
    for n in 0..CHANGES {
        let started = Instant::now();
        patch_image(scene.admin(), &format!("7.0.{n}")).await?;
        times.push(watch.phase("Progressing").await?.duration_since(started));
        patch_image(scene.admin(), "6.0.2").await?;
        watch.phase("Succeeded").await?;
        settled(scene).await?;
    }
    table.percentiles("real: live template change → phase Progressing", times);
    Ok(())
}

/// A commit arrives in the checkout, 20 times: until Gitea says pending.
async fn commits(scene: &Scene, table: &mut Table) -> anyhow::Result<()> {
    let mut times = Vec::new();
    for n in 0..COMMITS {
        let commit = scene.push(&format!("8.0.{n}"))?;
        scene.git("checkout", &["fetch", "--quiet"])?;
        let started = Instant::now();
        scene.git("checkout", &["merge", "--quiet", "--ff-only", "origin/main"])?;
        while scene.said(&commit, CONTEXT).await?.is_none() {
            ensure!(
                started.elapsed() < PATIENCE,
                "nothing is said of {commit}\n{}",
                scene.report().await
            );
            sleep(Duration::from_millis(5)).await;
        }
        times.push(started.elapsed());
        sleep(Duration::from_millis(500)).await;
    }
    table.percentiles("real: commit in the checkout → pending on Gitea", times);
    Ok(())
}

/// One canary of 3 steps of 10 s: its time line, and the requests that it took.
async fn rollout(
    scene: &Scene,
    watch: &mut Watch,
    table: &mut Table,
    how: &str,
    change: impl FnOnce() -> anyhow::Result<()>,
) -> anyhow::Result<()> {
    let before = requests(scene)?;
    let mut line = Line::start();
    change()?;
    let (ended, status) = watch.follow(|at, status| line.add(at, status)).await?;
    ensure!(
        status["phase"] == "Succeeded",
        "the rollout failed\n{}",
        scene.report().await
    );
    let measure = format!("real: 3-step canary of interval 10 s, {how}: change → Succeeded");
    table.row(&measure, format!("{:.1} s", line.seconds(ended)));
    table.note(format!("Time line {how}: {}.", line.stations.join(", ")));
    settled(scene).await?;
    table.ledger(
        &format!("real: API requests of that rollout, {how}"),
        &since(scene, &before)?,
    );
    Ok(())
}

async fn idle(scene: &Scene, table: &mut Table, measure: &str) -> anyhow::Result<()> {
    let before = requests(scene)?;
    sleep(Duration::from_secs(60)).await;
    table.ledger(measure, &since(scene, &before)?);
    Ok(())
}

/// All requests of the sidecar so far, by verb and resource.
fn requests(scene: &Scene) -> anyhow::Result<BTreeMap<String, usize>> {
    let ledger = scene.lab.ledger(SERIN)?;
    Ok(ledger
        .into_iter()
        .map(|((verb, resource), count)| (format!("{verb} {resource}"), count))
        .collect())
}

fn since(scene: &Scene, before: &BTreeMap<String, usize>) -> anyhow::Result<BTreeMap<String, usize>> {
    let mut spent = requests(scene)?;
    spent.retain(|what, count| {
        *count -= before.get(what).copied().unwrap_or_default();
        *count > 0
    });
    Ok(spent)
}

/// Waits until the target is scaled to nothing and what is owed has been said.
async fn settled(scene: &Scene) -> anyhow::Result<()> {
    let scaled = async || Ok(scene.deployment("podinfo").await?.unwrap_or_default()["spec"]["replicas"] == 0);
    scene.eventually("the target is scaled to 0", scaled).await?;
    sleep(Duration::from_secs(1)).await;
    Ok(())
}

fn resident(scene: &Scene) -> anyhow::Result<String> {
    let id = scene.lab.id("serin").context("serin is not running")?;
    let status = std::fs::read_to_string(format!("/proc/{id}/status"))?;
    let line = status
        .lines()
        .find_map(|line| line.strip_prefix("VmRSS:"))
        .context("no VmRSS")?;
    let kib: f64 = line.trim().trim_end_matches("kB").trim().parse()?;
    Ok(format!("{:.1} MiB", kib / 1024.0))
}

fn set_image(scene: &Scene, tag: &str) -> anyhow::Result<()> {
    let image = format!("podinfo=ghcr.io/stefanprodan/podinfo:{tag}");
    scene
        .kubectl(&["set", "image", "deployment/podinfo", &image, "--namespace=test"])
        .map(drop)
}

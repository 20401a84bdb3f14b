//! On the embedded cluster, in this process: no real component is needed.

use std::collections::BTreeMap;
use std::time::Duration;

use anyhow::{Context as _, anyhow, ensure};
use serde_json::{Value, json};
use serin::canary::Defaults;
use serin::cli::stage::{self, Stage, StageOptions};
use serin::clock::Clock;
use serin::manifest::Resource;
use serin::rehearsal::WorldSpec;
use tokio::time::{Instant, sleep};

use crate::figures::Table;
use crate::manifests::{Plan, Router, files};
use crate::watching::{Line, Watch, patch_image};

const CHANGES: u32 = 50;
const WORLD: &str = "
ingressClass: skipper
routerLag: 500ms
clients:
- rate: 40
  host: app.example.com
";

/// Measures what needs no Gitea.
pub(crate) async fn measure(table: &mut Table) -> anyhow::Result<()> {
    let folder = tempfile::tempdir()?;
    let mut stage = set(folder.path())?;
    let client = stage.cluster.client("tester");
    let mut watch = Watch::start(&client).await?;
    commit(&stage, "6.0.0").await?;
    stage.start().map_err(|error| anyhow!(error))?;
    watch.phase("Initialized").await?;
    settled(&stage).await?;

    stage.cluster.ledger().clear();
    let mut line = Line::start();
    patch_image(&client, "6.0.1").await?;
    let (ended, status) = watch.follow(|at, status| line.add(at, status)).await?;
    ensure!(status["phase"] == "Succeeded", "the rollout failed: {status:#}");
    let seconds = format!("{:.1} s", line.seconds(ended));
    table.row(
        "embedded: 3-step canary of interval 10 s: change → Succeeded",
        seconds,
    );
    table.note(format!(
        "Time line on the embedded cluster: {}.",
        line.stations.join(", ")
    ));
    settled(&stage).await?;
    table.ledger("embedded: API requests of that rollout", &requests(&stage));

    let mut times = Vec::new();
    for n in 0..CHANGES {
        let started = Instant::now();
        patch_image(&client, &format!("7.0.{n}")).await?;
        times.push(watch.phase("Progressing").await?.duration_since(started));
        patch_image(&client, "6.0.1").await?;
        watch.phase("Succeeded").await?;
        settled(&stage).await?;
    }
    table.percentiles("embedded: live template change → phase Progressing", times);
    stage.stop().await;
    Ok(())
}

fn set(folder: &std::path::Path) -> anyhow::Result<Stage> {
    let defaults = Defaults {
        metrics_server: stage::PROMETHEUS.to_owned(),
        drain: Duration::from_secs(1),
        ..Defaults::default()
    };
    let world = WorldSpec::parse(WORLD)?;
    let options = StageOptions {
        apply: true,
        flux: None,
        status_unrelated: false,
        on_failure: None,
        verifier: None,
        forges: Vec::new(),
        hosts: BTreeMap::new(),
        repository: folder.to_owned(),
        world,
        clock: Clock::system(),
        defaults,
    };
    let stage = Stage::set(options).map_err(|error| anyhow!(error))?;
    let namespace = json!({"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": "test"}});
    let (_, ingress) = all("6.0.0")?
        .into_iter()
        .find(|(path, _)| path.ends_with("ingress.yaml"))
        .context("no Ingress")?;
    for object in [namespace, serde_saphyr::from_str::<Value>(&ingress)?] {
        stage::create(&stage.cluster, object).map_err(|error| anyhow!(error))?;
    }
    Ok(stage)
}

fn all(tag: &str) -> anyhow::Result<Vec<(String, String)>> {
    files(
        Plan {
            router: Router::Skipper,
            interval: "10s",
        },
        tag,
        stage::PROMETHEUS,
    )
}

async fn commit(stage: &Stage, tag: &str) -> anyhow::Result<String> {
    let files = all(tag)?
        .into_iter()
        .map(|(path, text)| (path, Some(text)))
        .collect();
    stage
        .commit(&format!("Run podinfo {tag}"), files)
        .await
        .map_err(|error| anyhow!(error))
}

async fn settled(stage: &Stage) -> anyhow::Result<()> {
    let started = Instant::now();
    let scaled = || {
        stage
            .object(Resource::DEPLOYMENT, "test", "podinfo")?
            .i64_at("/spec/replicas")
    };
    while scaled() != Some(0) {
        ensure!(
            started.elapsed() < Duration::from_secs(60),
            "the target is not scaled to 0"
        );
        sleep(Duration::from_millis(20)).await;
    }
    sleep(Duration::from_millis(500)).await;
    Ok(())
}

fn requests(stage: &Stage) -> BTreeMap<String, usize> {
    stage.cluster.ledger().summary("serin")
}

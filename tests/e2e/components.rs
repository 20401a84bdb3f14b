//! The components themselves: what the other tests of this tier take for granted.

use std::process::Command;
use std::time::Duration;

use anyhow::{Context as _, ensure};
use k8s_openapi::api::apps::v1::Deployment;
use kube::api::{Api, PostParams};
use serde_json::json;
use tokio::time::{Instant, sleep};

use crate::common::lab::gitea::{CommitStatus, Gitea};
use crate::common::lab::kwok::NEVER_READY;
use crate::common::lab::process::Sandbox;
use crate::common::lab::{Lab, SERIN};
use crate::common::prometheus::{Answer, Prometheus, metric_names};

const PATIENCE: Duration = Duration::from_secs(30);

#[tokio::test]
async fn a_deployment_becomes_available_and_the_audit_log_knows_who_asked() -> anyhow::Result<()> {
    let mut lab = Lab::start().await?;
    lab.create_namespace("shop").await?;
    let client = lab.client(SERIN).await?;
    let deployments: Api<Deployment> = Api::namespaced(client, "shop");
    let refused = deployments
        .create(&PostParams::default(), &deployment("early", false)?)
        .await;
    ensure!(
        matches!(&refused, Err(kube::Error::Api(status)) if status.code == 403),
        "a user without a role got {refused:?}"
    );

    lab.grant(SERIN, "cluster-admin").await?;
    // Bindings reach the authorizer by a watch: a moment later.
    let deadline = Instant::now() + PATIENCE;
    while deployments.get_opt("none").await.is_err() {
        ensure!(Instant::now() < deadline, "the role binding has no effect");
        sleep(Duration::from_millis(50)).await;
    }
    deployments
        .create(&PostParams::default(), &deployment("stuck", true)?)
        .await?;
    deployments
        .create(&PostParams::default(), &deployment("podinfo", false)?)
        .await?;
    await_available(&deployments, "podinfo", 2).await?;
    let stuck = deployments.get("stuck").await?.status.context("no status")?;
    ensure!(
        stuck.available_replicas.is_none(),
        "a pod that is never ready was: {stuck:?}"
    );

    let count = |verb: &str| -> anyhow::Result<usize> {
        let key = (verb.to_owned(), "deployments".to_owned());
        Ok(lab.ledger(SERIN)?.remove(&key).unwrap_or_default())
    };
    while count("create")? < 3 {
        ensure!(
            Instant::now() < deadline,
            "the audit log misses requests: {:?}",
            lab.ledger(SERIN)?
        );
        sleep(Duration::from_millis(50)).await;
    }
    ensure!(
        count("create")? == 3 && count("delete")? == 0,
        "{:?}",
        lab.ledger(SERIN)?
    );
    Ok(())
}

#[tokio::test]
async fn gitea_takes_a_push_and_keeps_commit_statuses() -> anyhow::Result<()> {
    let gitea = Gitea::start().await?;
    let address = gitea.create_repo("fleet").await?;
    let folder = tempfile::tempdir()?;
    let git = |arguments: &[&str]| output(gitea.git(folder.path()).args(arguments));
    git(&["init", "--quiet", "--initial-branch=main"])?;
    std::fs::write(folder.path().join("app.yaml"), "kind: Deployment\n")?;
    git(&["add", "app.yaml"])?;
    git(&["commit", "--quiet", "--message=Add the app"])?;
    git(&["push", "--quiet", &address, "main"])?;
    let commit = git(&["rev-parse", "HEAD"])?;

    ensure!(
        gitea.statuses("fleet", &commit).await?.is_empty(),
        "a new commit has a status"
    );
    let mut status = CommitStatus {
        context: "serin/shop/podinfo".to_owned(),
        state: "pending".to_owned(),
        description: "weight 20 %".to_owned(),
        target_url: "http://example.com/run".to_owned(),
    };
    gitea.set_status("fleet", &commit, &status).await?;
    let first = status.clone();
    status.state = "success".to_owned();
    gitea.set_status("fleet", &commit, &status).await?;
    let statuses = gitea.statuses("fleet", &commit).await?;
    ensure!(statuses == [status, first], "statuses are {statuses:?}");
    Ok(())
}

#[tokio::test]
async fn the_test_prometheus_says_what_it_is_told() -> anyhow::Result<()> {
    serin::http::install_crypto();
    let prometheus = Prometheus::start(|query| {
        let known = metric_names(query).contains("requests_total");
        if known { Answer::Value(99.5) } else { Answer::Empty }
    })
    .await?;
    let http = reqwest::Client::new();
    let endpoint = format!("{}/api/v1/query", prometheus.url());
    let ask = async |query: &str| -> anyhow::Result<serde_json::Value> {
        let request = http.get(&endpoint).query(&[("query", query)]);
        let answer: serde_json::Value = request.send().await?.json().await?;
        Ok(answer.pointer("/data/result").cloned().unwrap_or(answer))
    };
    let query = r#"sum(rate(requests_total{app=~"a|b{2}", code!="5.."}[1m])) / 2"#;
    ensure!(
        ask(query).await?.pointer("/0/value/1") == Some(&json!("99.5")),
        "no value"
    );
    ensure!(
        ask("sum(rate(other[1m]))").await? == json!([]),
        "a sample without data"
    );
    prometheus.answer(|_| Answer::Value(f64::NAN));
    ensure!(
        ask(query).await?.pointer("/0/value/1") == Some(&json!("NaN")),
        "no NaN"
    );
    prometheus.answer(|_| Answer::Error(503, "out of order".to_owned()));
    ensure!(
        ask(query).await?.pointer("/error") == Some(&json!("out of order")),
        "no error"
    );
    ensure!(
        prometheus.queries().len() == 4,
        "it saw {:?}",
        prometheus.queries()
    );
    Ok(())
}

#[tokio::test]
async fn processes_end_with_their_sandbox() -> anyhow::Result<()> {
    let mut sandbox = Sandbox::new("ending")?;
    let folder = sandbox.path("");
    sandbox.spawn(
        "sleeper",
        Command::new("sh").args(["-c", "echo $$; sleep 600 & wait"]),
    )?;
    let log = sandbox.path("sleeper.log");
    let started = async || {
        let text = std::fs::read_to_string(&log)?;
        text.ends_with('\n').then_some(text).context("nothing is written")
    };
    let leader = sandbox.ready("sleeper", started).await?;
    ensure!(is_alive(leader.trim()), "process {leader} did not start");
    drop(sandbox);
    ensure!(!folder.exists(), "{} is left", folder.display());
    ensure!(!is_alive(leader.trim()), "process {leader} is left");
    Ok(())
}

async fn await_available(deployments: &Api<Deployment>, name: &str, pods: i32) -> anyhow::Result<()> {
    let deadline = Instant::now() + PATIENCE;
    loop {
        let status = deployments.get(name).await?.status.unwrap_or_default();
        if status.available_replicas == Some(pods) {
            return Ok(());
        }
        ensure!(Instant::now() < deadline, "{name} is not available: {status:?}");
        sleep(Duration::from_millis(50)).await;
    }
}

fn deployment(name: &str, never_ready: bool) -> anyhow::Result<Deployment> {
    let annotations = if never_ready {
        json!({NEVER_READY: "true"})
    } else {
        json!({})
    };
    Ok(serde_json::from_value(json!({
        "metadata": {"name": name},
        "spec": {
            "replicas": 2,
            "selector": {"matchLabels": {"app": name}},
            "template": {
                "metadata": {"labels": {"app": name}, "annotations": annotations},
                "spec": {"containers": [{"name": "app", "image": "podinfo:6.0.0"}]},
            },
        },
    }))?)
}

fn is_alive(process: &str) -> bool {
    let answer = Command::new("kill").args(["-0", process]).output();
    answer.is_ok_and(|output| output.status.success())
}

fn output(command: &mut Command) -> anyhow::Result<String> {
    let output = command.output()?;
    let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).trim().to_owned();
    ensure!(
        output.status.success(),
        "{command:?} failed: {}",
        text(&output.stderr)
    );
    Ok(text(&output.stdout))
}

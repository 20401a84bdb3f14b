//! What goes wrong on the way: crashes in a row, pods that never start, a metric server that is down, a commit
//! that is taken back, a Service that is already there.

use std::time::Duration;

use anyhow::{Context as _, ensure};
use serde_json::{Value, json};
use tokio::time::sleep;

use super::manifests::{Plan, Router};
use super::scene::{Scene, answers};
use super::steps::{AGGREGATE, CANARY, advance, baseline, image, resting};
use crate::common::lab::kwok::NEVER_READY;
use crate::common::prometheus::Answer;

const SKIPPER: Plan = Plan {
    router: Router::Skipper,
    interval: "1s",
};
const KUBERNETES: Plan = Plan {
    router: Router::Kubernetes,
    interval: "1s",
};

#[tokio::test]
async fn killed_again_and_again_the_sidecar_still_comes_to_the_same_end() -> anyhow::Result<()> {
    let mut scene = Scene::set(SKIPPER).await?;
    baseline(&mut scene).await?;
    let commit = scene.push("6.0.1")?;
    scene.pull()?;
    // From the middle of the first request to the middle of an interval.
    for crashes in 0.. {
        sleep(Duration::from_millis(60 + 110 * (crashes % 12))).await;
        if scene.status().await?["phase"] == "Succeeded" && crashes > 5 {
            break;
        }
        ensure!(crashes < 120, "no end in sight\n{}", scene.report().await);
        scene.crash_serin()?;
    }
    scene.await_phase("Succeeded", Some(&commit)).await?;
    resting(&scene, "6.0.1").await?;
    scene.await_said(&commit, CANARY, "success").await?;
    scene.await_said(&commit, AGGREGATE, "success").await?;
    let events = scene
        .get("/api/v1/namespaces/test/events")
        .await?
        .unwrap_or_default();
    let text = |event: &Value| event["message"].as_str().unwrap_or_default().to_owned();
    let mut texts: Vec<_> = events["items"]
        .as_array()
        .into_iter()
        .flatten()
        .filter(|event| event["involvedObject"]["kind"] == "Canary")
        .map(text)
        .filter(|text| text.contains("weight") || text.contains("Promotion completed"))
        .collect();
    let all = texts.len();
    texts.sort();
    texts.dedup();
    ensure!(
        all == texts.len() && all >= 4,
        "events were lost or sent twice: {events:#}"
    );
    Ok(())
}

#[tokio::test]
async fn pods_that_never_start_fail_the_commit_and_take_no_traffic() -> anyhow::Result<()> {
    let mut scene = Scene::set(SKIPPER).await?;
    baseline(&mut scene).await?;
    let commit = scene.push_with(
        "6.0.1",
        &[
            (
                "        prometheus.io/scrape: \"true\"\n",
                &format!("        {NEVER_READY}: \"true\"\n"),
            ),
            (
                "  progressDeadlineSeconds: 60\n",
                "  progressDeadlineSeconds: 8\n",
            ),
        ],
    )?;
    scene.pull()?;
    let status = scene.await_phase("Failed", Some(&commit)).await?;
    ensure!(status["measurements"].is_null(), "metrics were asked: {status:#}");
    resting(&scene, "6.0.0").await?;
    let description = scene.await_said(&commit, CANARY, "failure").await?;
    ensure!(
        description.contains("deadline"),
        "Gitea says only `{description}`"
    );
    Ok(())
}

#[tokio::test]
async fn a_metric_server_that_is_down_holds_the_run_until_it_is_back() -> anyhow::Result<()> {
    let mut scene = Scene::set(SKIPPER).await?;
    baseline(&mut scene).await?;
    scene
        .prometheus
        .answer(|_| Answer::Error(503, "out of order".to_owned()));
    let commit = scene.push("6.0.1")?;
    scene.pull()?;
    advance(&scene, &commit).await?;
    let held = async || {
        let status = scene.status().await?;
        let asked = status["measurements"].as_array().map_or(0, Vec::len);
        ensure!(
            status["phase"] == "Progressing",
            "the phase is {}",
            status["phase"]
        );
        ensure!(
            status["canaryWeight"] == 20,
            "the weight is {}",
            status["canaryWeight"]
        );
        Ok(asked > 3 || scene.prometheus.queries().len() > 12)
    };
    scene.eventually("some questions without an answer", held).await?;
    let said = scene.said(&commit, CANARY).await?.context("nothing is said")?;
    ensure!(said.state == "pending", "Gitea says {said:?}");
    scene.prometheus.answer(answers(100.0));
    scene.await_phase("Succeeded", Some(&commit)).await?;
    resting(&scene, "6.0.1").await
}

#[tokio::test]
async fn a_commit_that_is_taken_back_in_its_run_fails_and_the_revert_is_green() -> anyhow::Result<()> {
    let mut scene = Scene::set(Plan {
        interval: "3s",
        ..KUBERNETES
    })
    .await?;
    baseline(&mut scene).await?;
    let commit = scene.push("6.0.1")?;
    scene.pull()?;
    advance(&scene, &commit).await?;
    let revert = scene.push("6.0.0")?;
    scene.pull()?;
    scene.await_said(&revert, CANARY, "success").await?;
    scene.await_said(&revert, AGGREGATE, "success").await?;
    scene.await_said(&commit, CANARY, "failure").await?;
    scene.await_phase("Succeeded", Some(&revert)).await?;
    resting(&scene, "6.0.0").await?;
    ensure!(
        image(&scene, "podinfo").await? == "6.0.0",
        "the target was not taken back"
    );
    Ok(())
}

#[tokio::test]
async fn a_service_that_was_there_is_taken_over_as_it_is() -> anyhow::Result<()> {
    let mut scene = Scene::set(KUBERNETES).await?;
    scene.apply(
        &json!({
            "apiVersion": "v1", "kind": "Service",
            "metadata": {"name": "podinfo", "namespace": "test", "labels": {"team": "web"},
                "annotations": {"example.com/owner": "web"}},
            "spec": {"selector": {"app": "podinfo", "tier": "front"}, "ports": [
                {"name": "http", "port": 80, "targetPort": 9898},
                {"name": "old", "port": 8080, "targetPort": 9898},
            ]},
        })
        .to_string(),
    )?;
    let path = "/api/v1/namespaces/test/services/podinfo";
    let before = scene.get(path).await?.context("no service")?;
    baseline(&mut scene).await?;
    let after = scene.get(path).await?.context("the service is gone")?;
    for field in [
        "/metadata/uid",
        "/spec/clusterIP",
        "/metadata/labels/team",
        "/metadata/annotations/example.com~1owner",
    ] {
        ensure!(
            before.pointer(field) == after.pointer(field),
            "{field} was changed: {after:#}"
        );
    }
    let kustomize = &after["metadata"]["annotations"]["kustomize.toolkit.fluxcd.io/reconcile"];
    ensure!(kustomize == "disabled", "Flux would fight over it: {after:#}");
    Ok(())
}

//! `serin run` from a push to the commit status, on the real components.

use anyhow::{Context as _, ensure};
use serde_json::{Value, json};
use tokio::sync::{Semaphore, SemaphorePermit};

use super::manifests::{Plan, Router};
use super::scene::{Scene, answers};

const CANARY: &str = "serin/test/podinfo";
const AGGREGATE: &str = "serin";

/// A control plane takes most of a processor while it starts.
static STAGES: Semaphore = Semaphore::const_new(2);

async fn stage() -> anyhow::Result<SemaphorePermit<'static>> {
    Ok(STAGES.acquire().await?)
}

#[tokio::test]
async fn skipper_promotes_a_good_commit_and_rolls_a_bad_one_back_through_crashes() -> anyhow::Result<()> {
    let _stage = stage().await?;
    good_and_bad(
        &mut Scene::set(Plan {
            router: Router::Skipper,
            interval: "2s",
        })
        .await?,
    )
    .await
}

#[tokio::test]
async fn kubernetes_promotes_a_good_commit_and_rolls_a_bad_one_back_through_crashes() -> anyhow::Result<()> {
    let _stage = stage().await?;
    let scene = Scene::set(Plan {
        router: Router::Kubernetes,
        interval: "2s",
    })
    .await?;
    // The lease of a killed process has to expire first.
    let mut scene = scene.with_flags(&["--lease=true"]);
    good_and_bad(&mut scene).await?;
    let path = "/apis/coordination.k8s.io/v1/namespaces/flux-system/leases/serin";
    let holder = async || {
        let lease = scene.get(path).await?.context("there is no lease")?;
        Ok::<_, anyhow::Error>(
            lease["spec"]["holderIdentity"]
                .as_str()
                .unwrap_or_default()
                .to_owned(),
        )
    };
    ensure!(!holder().await?.is_empty(), "nobody holds the lease");
    scene.terminate_serin()?;
    let released = async || Ok(holder().await?.is_empty());
    scene.eventually("the lease is released", released).await
}

#[tokio::test]
async fn a_change_that_no_commit_brings_starts_a_canary_too() -> anyhow::Result<()> {
    let _stage = stage().await?;
    let mut scene = Scene::set(Plan {
        router: Router::Kubernetes,
        interval: "1s",
    })
    .await?;
    let commit = baseline(&mut scene).await?;
    let before = scene.history(&commit).await?;
    scene.kubectl(&[
        "set",
        "image",
        "deployment/podinfo",
        "podinfo=ghcr.io/stefanprodan/podinfo:6.0.9",
        "--namespace=test",
    ])?;
    scene
        .eventually("a run of the new image", async || {
            Ok(image(&scene, "podinfo-primary").await? == "6.0.9")
        })
        .await?;
    let status = scene.await_phase("Succeeded", None).await?;
    ensure!(
        status["commit"].is_null(),
        "the run has commit {}",
        status["commit"]
    );
    ensure!(
        image(&scene, "podinfo").await? == "6.0.9",
        "--apply took the change back"
    );
    ensure!(
        scene.history(&commit).await? == before,
        "a commit was told of what it did not bring"
    );
    Ok(())
}

#[tokio::test]
async fn a_commit_that_changes_only_a_config_starts_a_canary() -> anyhow::Result<()> {
    let _stage = stage().await?;
    let mut scene = Scene::set(Plan {
        router: Router::Skipper,
        interval: "1s",
    })
    .await?;
    baseline(&mut scene).await?;
    let commit = scene.push_with("6.0.0", &[("#34577c", "#ffffff")])?;
    scene.pull()?;
    scene.await_phase("Succeeded", Some(&commit)).await?;
    ensure!(
        color(&scene, "podinfo-primary").await? == "#ffffff",
        "the primary has the old config"
    );
    scene.await_said(&commit, CANARY, "success").await?;

    // A README is no business of Serin's.
    let commit = scene.push_file("README.md", "Podinfo, the example.\n")?;
    scene.pull()?;
    let handled = async || {
        let path = "/api/v1/namespaces/flux-system/configmaps/serin-apps";
        let state = scene.get(path).await?.unwrap_or_default();
        Ok(state["data"]["state"]
            .as_str()
            .is_some_and(|state| state.contains(&commit)))
    };
    scene
        .eventually("the state names the newest revision", handled)
        .await?;
    let said = scene.history(&commit).await?;
    ensure!(
        said.is_empty(),
        "of a commit that touches no target was said {said:?}"
    );
    Ok(())
}

async fn good_and_bad(scene: &mut Scene) -> anyhow::Result<()> {
    baseline(scene).await?;
    promote_through_a_crash(scene).await?;
    roll_back_through_a_crash(scene).await?;
    ensure!(
        !scene.lab.log("serin").contains("panicked"),
        "a task panicked:\n{}",
        scene.report().await
    );
    Ok(())
}

/// The first commit: nothing runs, primary and services are made, and it is green.
async fn baseline(scene: &mut Scene) -> anyhow::Result<String> {
    let commit = scene.push("6.0.0")?;
    scene.pull()?;
    scene.start_serin()?;
    scene.await_phase("Initialized", None).await?;
    resting(scene, "6.0.0").await?;
    for name in ["podinfo", "podinfo-primary", "podinfo-canary"] {
        let service = scene
            .get(&format!("/api/v1/namespaces/test/services/{name}"))
            .await?;
        let service = service.with_context(|| format!("service {name} is missing"))?;
        let wanted = if name == "podinfo-canary" {
            "podinfo"
        } else {
            "podinfo-primary"
        };
        let selector = &service["spec"]["selector"];
        ensure!(
            *selector == json!({"app": wanted}),
            "service {name} leads to {selector}"
        );
    }
    scene.await_said(&commit, CANARY, "success").await?;
    scene.await_said(&commit, AGGREGATE, "success").await?;
    Ok(commit)
}

async fn promote_through_a_crash(scene: &mut Scene) -> anyhow::Result<()> {
    let commit = scene.push("6.0.1")?;
    scene.pull()?;
    scene.await_said(&commit, CANARY, "pending").await?;
    advance(scene, &commit).await?;
    scene.crash_serin()?;
    scene.await_phase("Succeeded", Some(&commit)).await?;
    resting(scene, "6.0.1").await?;
    scene.await_said(&commit, CANARY, "success").await?;
    scene.await_said(&commit, AGGREGATE, "success").await?;
    let history = scene.history(&commit).await?;
    let states: Vec<_> = history
        .iter()
        .filter(|said| said.context == CANARY)
        .map(|said| said.state.as_str())
        .collect();
    let (last, earlier) = states.split_first().context("nothing was said")?;
    ensure!(
        *last == "success" && !earlier.is_empty() && earlier.iter().all(|state| *state == "pending"),
        "the states of {commit}, newest first, are {states:?}"
    );
    let (code, text) = scene.serin_status(&commit)?;
    ensure!(
        code == Some(0) && text.contains("success"),
        "serin status exits with {code:?}: {text}"
    );
    Ok(())
}

async fn roll_back_through_a_crash(scene: &mut Scene) -> anyhow::Result<()> {
    scene.prometheus.answer(answers(50.0));
    let commit = scene.push("6.0.2")?;
    scene.pull()?;
    scene.await_said(&commit, CANARY, "pending").await?;
    advance(scene, &commit).await?;
    scene.crash_serin()?;
    let status = scene.await_phase("Failed", Some(&commit)).await?;
    ensure!(
        status["failedChecks"].as_u64() >= Some(3),
        "failedChecks is {}",
        status["failedChecks"]
    );
    resting(scene, "6.0.1").await?;
    ensure!(
        image(scene, "podinfo").await? == "6.0.2",
        "the target was changed"
    );
    let description = scene.await_said(&commit, CANARY, "failure").await?;
    ensure!(
        description.contains("request-success-rate"),
        "Gitea says only `{description}`"
    );
    scene.await_said(&commit, AGGREGATE, "failure").await?;

    let noted = async || Ok(note(scene, &commit).is_some_and(|note| note.contains("failure")));
    scene.eventually("a failure in the git note", noted).await?;
    let note = note(scene, &commit).context("no note")?;
    ensure!(
        note.contains(CANARY) && note.contains("request-success-rate"),
        "the git note of {commit} is `{note}`"
    );
    let (code, text) = scene.serin_status(&commit)?;
    ensure!(code == Some(1), "serin status exits with {code:?}: {text}");
    ensure!(
        text.contains("request-success-rate"),
        "serin status says only: {text}"
    );
    Ok(())
}

/// Waits until the run of this commit is in its middle, with the routes as the status says.
async fn advance(scene: &Scene, commit: &str) -> anyhow::Result<()> {
    let advancing = async || {
        let status = scene.status().await?;
        let number = |name: &str| status[name].as_u64().unwrap_or_default();
        if status["phase"] != "Progressing" || status["commit"] != commit {
            return Ok(false);
        }
        Ok(match scene.plan.router {
            Router::Skipper => {
                let weight = number("canaryWeight");
                weight > 0 && route(scene).await? == Some((weight, "Weight(100)".to_owned()))
            }
            Router::Kubernetes => number("iterations") > 0 || number("failedChecks") > 0,
        })
    };
    scene.eventually("a run in its middle", advancing).await
}

/// All traffic leads to a primary of this image, and the target is scaled to nothing.
async fn resting(scene: &Scene, primary: &str) -> anyhow::Result<()> {
    let settled = async || {
        let ready = scene.deployment("podinfo-primary").await?.unwrap_or_default();
        let target = scene.deployment("podinfo").await?.unwrap_or_default();
        let pods = &ready["spec"]["replicas"];
        Ok(*pods != 0 && ready["status"]["readyReplicas"] == *pods && target["spec"]["replicas"] == 0)
    };
    scene
        .eventually("a ready primary, and a target scaled to 0", settled)
        .await?;
    let runs = image(scene, "podinfo-primary").await?;
    ensure!(runs == primary, "the primary runs {runs}, not {primary}");
    let config = color(scene, "podinfo-primary").await?;
    ensure!(config == "#34577c", "the primary has no config of its own");
    let apex = scene
        .get("/api/v1/namespaces/test/services/podinfo")
        .await?
        .unwrap_or_default();
    ensure!(
        apex["spec"]["selector"] == json!({"app": "podinfo-primary"}),
        "the apex is {apex:#}"
    );
    let status = scene.status().await?;
    ensure!(
        status["canaryWeight"] == 0,
        "canaryWeight is {}",
        status["canaryWeight"]
    );
    if scene.plan.router == Router::Skipper {
        let (weight, predicate) = route(scene).await?.context("no Ingress podinfo-canary")?;
        ensure!(
            weight == 0 && predicate == "False()",
            "the canary Ingress has weight {weight} and predicate {predicate}"
        );
    }
    Ok(())
}

/// Reads the canary's weight and the predicate from the Ingress.
async fn route(scene: &Scene) -> anyhow::Result<Option<(u64, String)>> {
    let path = "/apis/networking.k8s.io/v1/namespaces/test/ingresses/podinfo-canary";
    let Some(ingress) = scene.get(path).await? else {
        return Ok(None);
    };
    let annotation = |name: &str| {
        ingress["metadata"]["annotations"][name]
            .as_str()
            .unwrap_or_default()
            .to_owned()
    };
    let weights: Value = serde_json::from_str(&annotation("zalando.org/backend-weights"))?;
    let of = |service: &str| weights[service].as_f64().unwrap_or(-1.0);
    ensure!(
        (of("podinfo-primary") + of("podinfo-canary") - 100.0).abs() < 0.01,
        "the weights are {weights}"
    );
    let backends = ingress
        .pointer("/spec/rules/0/http/paths")
        .and_then(Value::as_array)
        .map(Vec::len);
    ensure!(backends == Some(2), "the canary Ingress is {ingress:#}");
    let weight = weights["podinfo-canary"]
        .as_u64()
        .context("a weight that is not whole")?;
    Ok(Some((weight, annotation("zalando.org/skipper-predicate"))))
}

/// Reads what a `ConfigMap` of namespace test says of the color.
async fn color(scene: &Scene, name: &str) -> anyhow::Result<String> {
    let config = scene
        .get(&format!("/api/v1/namespaces/test/configmaps/{name}"))
        .await?
        .unwrap_or_default();
    Ok(config["data"]["color"].as_str().unwrap_or_default().to_owned())
}

/// Reads the version of the image that a Deployment of namespace test runs.
async fn image(scene: &Scene, deployment: &str) -> anyhow::Result<String> {
    let deployment = scene.deployment(deployment).await?.unwrap_or_default();
    let image = deployment
        .pointer("/spec/template/spec/containers/0/image")
        .and_then(Value::as_str);
    Ok(image
        .unwrap_or_default()
        .rsplit(':')
        .next()
        .unwrap_or_default()
        .to_owned())
}

fn note(scene: &Scene, commit: &str) -> Option<String> {
    scene
        .git("checkout", &["notes", "--ref=serin", "show", commit])
        .ok()
}

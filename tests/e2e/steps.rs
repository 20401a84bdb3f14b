//! What the tests of the sidecar do and check again and again.

use anyhow::{Context as _, ensure};
use serde_json::{Value, json};

use super::manifests::Router;
use super::scene::Scene;

/// Context of the Canary's commit statuses.
pub(crate) const CANARY: &str = "serin/test/podinfo";
/// Context of the aggregate.
pub(crate) const AGGREGATE: &str = "serin";

/// The first commit: nothing runs, primary and services are made, and it is green.
pub(crate) async fn baseline(scene: &mut Scene) -> anyhow::Result<String> {
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

/// Waits until the run of this commit is in its middle, with the routes as the status says.
pub(crate) async fn advance(scene: &Scene, commit: &str) -> anyhow::Result<()> {
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
pub(crate) async fn resting(scene: &Scene, primary: &str) -> anyhow::Result<()> {
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
pub(crate) async fn route(scene: &Scene) -> anyhow::Result<Option<(u64, String)>> {
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
pub(crate) async fn color(scene: &Scene, name: &str) -> anyhow::Result<String> {
    let config = scene
        .get(&format!("/api/v1/namespaces/test/configmaps/{name}"))
        .await?
        .unwrap_or_default();
    Ok(config["data"]["color"].as_str().unwrap_or_default().to_owned())
}

/// Reads the version of the image that a Deployment of namespace test runs.
pub(crate) async fn image(scene: &Scene, deployment: &str) -> anyhow::Result<String> {
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

pub(crate) fn note(scene: &Scene, commit: &str) -> Option<String> {
    scene
        .git("checkout", &["notes", "--ref=serin", "show", commit])
        .ok()
}

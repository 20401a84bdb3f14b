//! A Service as target: which pods it selects is what is rolled out.

use anyhow::{Context as _, ensure};
use serde_json::{Value, json};

use super::manifests::{Plan, Router};
use super::scene::{Scene, answers};
use super::steps::{CANARY, route};

const CANARY_OF_A_SERVICE: &str = "apiVersion: flagger.app/v1beta1
kind: Canary
metadata: {name: podinfo, namespace: test}
spec:
  provider: skipper
  targetRef: {apiVersion: core/v1, kind: Service, name: podinfo}
  ingressRef: {apiVersion: networking.k8s.io/v1, kind: Ingress, name: podinfo}
  service: {port: 80}
  analysis:
    interval: 1s
    threshold: 2
    maxWeight: 50
    stepWeight: 25
    metrics:
    - name: request-success-rate
      interval: 1m
      thresholdRange: {min: 99}
";

#[tokio::test]
async fn a_service_is_promoted_and_rolled_back_and_never_written() -> anyhow::Result<()> {
    let mut scene = Scene::set(Plan {
        router: Router::Skipper,
        interval: "1s",
    })
    .await?;
    scene.push_file("apps/canary.yaml", CANARY_OF_A_SERVICE)?;
    select(&scene, "blue")?;
    scene.start_serin()?;
    scene.await_phase("Initialized", None).await?;
    colours(&scene, ["blue", "blue", "blue"]).await?;

    let green = select(&scene, "green")?;
    scene.await_phase("Succeeded", Some(&green)).await?;
    colours(&scene, ["green", "green", "green"]).await?;
    scene.await_said(&green, CANARY, "success").await?;

    scene.prometheus.answer(answers(50.0));
    let red = select(&scene, "red")?;
    scene.await_phase("Failed", Some(&red)).await?;
    // The apex stays as the user wrote it; the Ingress leads past it to the primary.
    colours(&scene, ["red", "green", "red"]).await?;
    let (weight, predicate) = route(&scene).await?.context("no Ingress podinfo-canary")?;
    ensure!(
        weight == 0 && predicate == "Weight(100)",
        "weight {weight}, predicate {predicate}"
    );
    let description = scene.await_said(&red, CANARY, "failure").await?;
    ensure!(
        description.contains("request-success-rate"),
        "Gitea says only `{description}`"
    );

    let apex = service(&scene, "podinfo").await?;
    let managers: Vec<_> = apex["metadata"]["managedFields"]
        .as_array()
        .into_iter()
        .flatten()
        .map(|entry| &entry["manager"])
        .collect();
    ensure!(
        managers == [&json!("serin-source")],
        "the apex was written by {managers:?}"
    );
    let deployments = scene
        .get("/apis/apps/v1/namespaces/test/deployments")
        .await?
        .unwrap_or_default();
    ensure!(deployments["items"] == json!([]), "a Deployment was made");
    Ok(())
}

/// Commits a Service that selects pods of this colour, and brings it to the checkout.
fn select(scene: &Scene, colour: &str) -> anyhow::Result<String> {
    let service = format!(
        "apiVersion: v1
kind: Service
metadata: {{name: podinfo, namespace: test}}
spec:
  selector: {{app: podinfo, color: {colour}}}
  ports:
  - {{name: http, port: 80, targetPort: 9898}}
"
    );
    let commit = scene.push_file("apps/service.yaml", &service)?;
    scene.pull()?;
    Ok(commit)
}

/// Checks which pods the apex, the primary and the canary Service select.
async fn colours(scene: &Scene, wanted: [&str; 3]) -> anyhow::Result<()> {
    for (name, wanted) in ["podinfo", "podinfo-primary", "podinfo-canary"]
        .into_iter()
        .zip(wanted)
    {
        let service = service(scene, name).await?;
        let selector = &service["spec"]["selector"];
        ensure!(
            *selector == json!({"app": "podinfo", "color": wanted}),
            "{name} selects {selector}, not {wanted}"
        );
    }
    Ok(())
}

async fn service(scene: &Scene, name: &str) -> anyhow::Result<Value> {
    let service = scene
        .get(&format!("/api/v1/namespaces/test/services/{name}"))
        .await?;
    service.with_context(|| format!("service {name} is missing"))
}

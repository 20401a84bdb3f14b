//! A cluster whose custom resources are not Serin's: those that Flagger installs drop what Serin keeps.

use anyhow::ensure;
use serde_json::{Value, json};

use super::manifests::{Plan, Router};
use super::scene::Scene;

/// What Flagger's CRD keeps of a status.
const KEPT: [&str; 10] = [
    "phase",
    "failedChecks",
    "canaryWeight",
    "iterations",
    "previousSessionAffinityCookie",
    "lastAppliedSpec",
    "lastPromotedSpec",
    "lastTransitionTime",
    "trackedConfigs",
    "conditions",
];

#[tokio::test]
async fn under_a_crd_that_drops_its_fields_serin_says_so_and_touches_nothing() -> anyhow::Result<()> {
    let mut scene = Scene::set(Plan {
        router: Router::Kubernetes,
        interval: "1s",
    })
    .await?;
    let crds = scene.crds()?;
    let path = "/apis/apiextensions.k8s.io/v1/customresourcedefinitions/canaries.flagger.app";
    let mut crd = scene.get(path).await?.unwrap_or_default();
    for version in crd["spec"]["versions"].as_array_mut().into_iter().flatten() {
        let status = version.pointer_mut("/schema/openAPIV3Schema/properties/status");
        let Some(status) = status.and_then(Value::as_object_mut) else {
            continue;
        };
        status.remove("x-kubernetes-preserve-unknown-fields");
        let fields = status.get_mut("properties").and_then(Value::as_object_mut);
        if let Some(fields) = fields {
            fields.retain(|name, _| KEPT.contains(&name.as_str()));
        }
    }
    crd["metadata"] = json!({"name": "canaries.flagger.app"});
    if let Some(fields) = crd.as_object_mut() {
        fields.remove("status");
    }
    scene.apply(&crd.to_string())?;

    scene.push("6.0.0")?;
    scene.pull()?;
    scene.start_serin()?;
    let stalled = async || {
        let status = scene.status().await?;
        let conditions = status["conditions"].as_array().cloned().unwrap_or_default();
        Ok(conditions
            .iter()
            .any(|one| one["type"] == "Stalled" && one["reason"] == "OutdatedCRD"))
    };
    scene.eventually("Stalled: OutdatedCRD", stalled).await?;

    // Long enough for a second thought: nothing else is touched, and nothing is said over and over.
    let writes = || {
        let ledger = scene.lab.ledger(crate::common::lab::SERIN)?;
        let is_write = |verb: &str| !matches!(verb, "get" | "list" | "watch");
        let writes: usize = ledger
            .iter()
            .filter(|((verb, _), _)| is_write(verb))
            .map(|(_, count)| count)
            .sum();
        anyhow::Ok(writes)
    };
    tokio::time::sleep(std::time::Duration::from_secs(3)).await;
    let before = writes()?;
    tokio::time::sleep(std::time::Duration::from_secs(3)).await;
    let after = writes()?;
    ensure!(
        before == after,
        "{} writes in 3 s: {:?}",
        after - before,
        scene.lab.ledger("serin")?
    );
    ensure!(
        scene.deployment("podinfo-primary").await?.is_none(),
        "a primary was made"
    );
    let target = scene.deployment("podinfo").await?.unwrap_or_default();
    ensure!(target["spec"]["replicas"] != 0, "the target was scaled down");
    let services = scene
        .get("/api/v1/namespaces/test/services")
        .await?
        .unwrap_or_default();
    ensure!(services["items"] == json!([]), "services were made: {services:#}");

    // The fix that the message names.
    scene.apply(&crds)?;
    scene.await_phase("Initialized", None).await?;
    Ok(())
}

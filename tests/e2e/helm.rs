//! A target of a HelmRelease beside a real Flux. helm-controller cannot be had here: the test writes the status that it
//! would write, and changes the target as it would.

use anyhow::ensure;
use serde_json::{Value, json};

use super::flux::{PLAN, follow, handled};
use super::manifests::files;
use super::scene::{STATE_NAMESPACE, Scene, Way};
use super::steps::{AGGREGATE, CANARY, resting};

fn definition() -> Value {
    json!({"apiVersion": "apiextensions.k8s.io/v1", "kind": "CustomResourceDefinition",
        "metadata": {"name": "helmreleases.helm.toolkit.fluxcd.io"},
        "spec": {"group": "helm.toolkit.fluxcd.io", "scope": "Namespaced",
            "names": {"kind": "HelmRelease", "plural": "helmreleases", "singular": "helmrelease"},
            "versions": [{"name": "v2", "served": true, "storage": true, "subresources": {"status": {}},
                "schema": {"openAPIV3Schema": {"type": "object", "x-kubernetes-preserve-unknown-fields": true}}}]}})
}

fn release(level: &str) -> String {
    let object = json!({"apiVersion": "helm.toolkit.fluxcd.io/v2", "kind": "HelmRelease",
        "metadata": {"name": "shop", "namespace": STATE_NAMESPACE},
        "spec": {"interval": "10m", "targetNamespace": "test", "values": {"logLevel": level},
            "chart": {"spec": {"chart": "podinfo", "version": "6.0.0",
                "sourceRef": {"kind": "HelmRepository", "name": "podinfo"}}}}});
    object.to_string()
}

/// What helm-controller writes of the generation that is there now, once it is there.
async fn tell(
    scene: &Scene,
    generation: i64,
    status: &str,
    reason: &str,
    stalled: bool,
) -> anyhow::Result<()> {
    let path = format!("/apis/helm.toolkit.fluxcd.io/v2/namespaces/{STATE_NAMESPACE}/helmreleases/shop");
    let applied = async || {
        let release = scene.get(&path).await?.unwrap_or_default();
        Ok(release["metadata"]["generation"] == generation)
    };
    scene.eventually("Flux applies the HelmRelease", applied).await?;
    let condition = |kind: &str, status: &str, reason: &str| {
        json!({"type": kind, "status": status, "reason": reason, "message": "Helm says so",
            "observedGeneration": generation, "lastTransitionTime": "2026-01-01T00:00:00Z"})
    };
    let mut conditions = vec![condition("Ready", status, reason)];
    if stalled {
        conditions.push(condition("Stalled", "True", "RetriesExceeded"));
    }
    let patch = json!({"status": {"observedGeneration": generation, "conditions": conditions}});
    scene.patch("helmrelease", "shop", &patch, &["--subresource=status"])
}

/// Waits until a commit is only waited for, as one whose change nobody can know beforehand.
async fn pending(scene: &Scene, commit: &str) -> anyhow::Result<()> {
    scene.await_said(commit, CANARY, "pending").await.map(drop)
}

/// A canary of a target that Helm has installed, at rest.
async fn installed(flags: &[&str]) -> anyhow::Result<Scene> {
    let scene = Scene::set(PLAN).await?.with_flux(Way::Artifacts).await?;
    let mut scene = scene.with_flags(flags);
    scene.apply(&definition().to_string())?;
    for (path, text) in files(PLAN, "6.0.0", scene.prometheus.url())? {
        let text = text.replace("  replicas: 2\n", "");
        match path.rsplit('/').next() {
            Some("canary.yaml" | "metric-template.yaml") => drop(scene.push_file(&path, &text)?),
            Some("deployment.yaml" | "config.yaml") => scene.apply(&text)?,
            _ => {}
        }
    }
    let label = [
        "label",
        "deployment",
        "podinfo",
        "--namespace=test",
        "helm.toolkit.fluxcd.io/name=shop",
    ];
    let of = format!("helm.toolkit.fluxcd.io/namespace={STATE_NAMESPACE}");
    scene.kubectl(&[label.as_slice(), &[of.as_str()]].concat())?;
    scene.push_file("apps/release.yaml", &release("info"))?;
    follow(&scene, "2s", "2s")?;
    tell(&scene, 1, "True", "InstallSucceeded", false).await?;
    scene.start_serin()?;
    scene.await_phase("Initialized", None).await?;
    resting(&scene, "6.0.0").await?;
    handled(&scene).await?;
    Ok(scene)
}

#[tokio::test]
async fn what_a_helm_release_says_settles_its_commits() -> anyhow::Result<()> {
    let mut scene = installed(&[]).await?;
    let quiet = scene.push_file("apps/release.yaml", &release("warn"))?;
    pending(&scene, &quiet).await?;
    tell(&scene, 2, "True", "UpgradeSucceeded", false).await?;
    let said = scene.await_said(&quiet, CANARY, "success").await?;
    ensure!(said == "no workload change", "Gitea says `{said}`");

    let broken = scene.push_file("apps/release.yaml", &release("nonsense"))?;
    pending(&scene, &broken).await?;
    scene.crash_serin()?;
    tell(&scene, 3, "False", "UpgradeFailed", true).await?;
    let said = scene.await_said(&broken, CANARY, "error").await?;
    ensure!(
        said.contains("UpgradeFailed: Helm says so"),
        "Gitea says `{said}`"
    );

    let good = scene.push_file("apps/release.yaml", &release("debug"))?;
    pending(&scene, &good).await?;
    let image = "podinfo=ghcr.io/stefanprodan/podinfo:6.0.1";
    scene.kubectl(&["set", "image", "deployment/podinfo", image, "--namespace=test"])?;
    tell(&scene, 4, "True", "UpgradeSucceeded", false).await?;
    let said = scene.await_said(&good, CANARY, "success").await?;
    ensure!(said.starts_with("promoted"), "Gitea says `{said}`");
    resting(&scene, "6.0.1").await?;
    let said = scene.await_said(&broken, CANARY, "error").await?;
    ensure!(
        said.contains("UpgradeFailed"),
        "the broken commit ended as `{said}`"
    );
    ensure!(!scene.lab.log("serin").contains("panicked"), "a task panicked");
    Ok(())
}

#[tokio::test]
async fn a_release_that_comes_after_the_deadline_has_the_last_word() -> anyhow::Result<()> {
    let mut scene = installed(&["--apply-deadline=3s"]).await?;
    let slow = scene.push_file("apps/release.yaml", &release("warn"))?;
    let said = scene.await_said(&slow, CANARY, "error").await?;
    ensure!(
        said.starts_with("no change was seen in time"),
        "Gitea says `{said}`"
    );
    scene.crash_serin()?;
    tell(&scene, 2, "True", "UpgradeSucceeded", false).await?;
    let said = scene.await_said(&slow, CANARY, "success").await?;
    ensure!(said == "no workload change", "Gitea says `{said}`");
    scene.await_said(&slow, AGGREGATE, "success").await.map(drop)
}

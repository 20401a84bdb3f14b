//! Beside a Flux that follows an OCI artifact: the commit is the one that the artifact says it was made from.

use std::collections::BTreeMap;

use anyhow::ensure;
use serde_json::json;

use super::flux::{NO_REPLICAS, PLAN, calm, green_last};
use super::scene::{REPOSITORY, STATE_NAMESPACE, Scene, Way, answers};
use super::steps::{AGGREGATE, CANARY, advance, resting};
use crate::common::lab::gitea::Gitea;
use crate::common::lab::registry::Registry;

const REVISION: &str = "org.opencontainers.image.revision";
const SOURCE: &str = "org.opencontainers.image.source";
const IMAGE: &str = "fleet/manifests";
const TAG: &str = "production";

/// A scene with a registry, which Flux follows.
struct Shipped {
    scene: Scene,
    registry: Registry,
}

impl Shipped {
    async fn set() -> anyhow::Result<Self> {
        let mut scene = Scene::set(PLAN).await?.with_flux(Way::Oci).await?;
        let registry = Registry::start(scene.sandbox()).await?;
        Ok(Self { scene, registry })
    }

    fn follow(&self) -> anyhow::Result<()> {
        let metadata = json!({"name": REPOSITORY, "namespace": STATE_NAMESPACE});
        let objects = [
            json!({"apiVersion": "source.toolkit.fluxcd.io/v1", "kind": "OCIRepository", "metadata": metadata,
                "spec": {"interval": "2s", "url": self.registry.address(IMAGE), "insecure": true, "ref": {"tag": TAG}}}),
            json!({"apiVersion": "kustomize.toolkit.fluxcd.io/v1", "kind": "Kustomization", "metadata": metadata,
                "spec": {"interval": "2s", "retryInterval": "2s", "path": "./apps", "prune": true,
                    "sourceRef": {"kind": "OCIRepository", "name": REPOSITORY}}}),
        ];
        let texts: Vec<String> = objects.iter().map(ToString::to_string).collect();
        self.scene.apply(&texts.join("\n---\n"))
    }

    /// What a pipeline does: commits, pushes the commit, and ships its tree.
    async fn ship(&self, tag: &str) -> anyhow::Result<String> {
        let commit = self.scene.push_with(tag, &[NO_REPLICAS])?;
        self.ship_as(Some(&format!("main@sha1:{commit}"))).await?;
        Ok(commit)
    }

    async fn ship_as(&self, revision: Option<&str>) -> anyhow::Result<()> {
        let source = format!("{}/{}/{REPOSITORY}.git", self.scene.gitea.url(), Gitea::OWNER);
        let mut annotations = BTreeMap::from([(SOURCE, source.as_str())]);
        annotations.extend(revision.map(|revision| (REVISION, revision)));
        // `flux push artifact` leaves `.git` out.
        let tree = self.scene.path("tree");
        std::fs::create_dir_all(&tree)?;
        let work_tree = format!("--work-tree={}", tree.display());
        self.scene.git(
            "publisher",
            &[&work_tree, "checkout", "--force", "HEAD", "--", "."],
        )?;
        self.registry.push(IMAGE, TAG, &tree, &annotations).await
    }
}

#[tokio::test]
async fn an_artifact_in_a_registry_is_rolled_out_and_its_commit_is_told() -> anyhow::Result<()> {
    let mut shipped = Shipped::set().await?;
    shipped.ship("6.0.0").await?;
    shipped.follow()?;
    shipped.scene.start_serin()?;
    shipped.scene.await_phase("Initialized", None).await?;
    resting(&shipped.scene, "6.0.0").await?;

    let good = shipped.ship("6.0.1").await?;
    shipped.scene.await_said(&good, CANARY, "pending").await?;
    advance(&shipped.scene, &good).await?;
    shipped.scene.crash_serin()?;
    let scene = &shipped.scene;
    scene.await_phase("Succeeded", Some(&good)).await?;
    resting(scene, "6.0.1").await?;
    scene.await_said(&good, CANARY, "success").await?;
    scene.await_said(&good, AGGREGATE, "success").await?;
    green_last(scene, &good).await?;

    scene.prometheus.answer(answers(50.0));
    let bad = shipped.ship("6.0.2").await?;
    scene.await_said(&bad, CANARY, "pending").await?;
    scene.await_phase("Failed", Some(&bad)).await?;
    resting(scene, "6.0.1").await?;
    let why = scene.await_said(&bad, CANARY, "failure").await?;
    ensure!(why.contains("request-success-rate"), "Gitea says only `{why}`");

    // Whoever forgets `--revision` is told; the next artifact counts.
    scene.prometheus.answer(answers(100.0));
    scene.push_with("6.0.3", &[NO_REPLICAS])?;
    shipped.ship_as(None).await?;
    let complains = async || {
        let log = scene.lab.log("serin");
        Ok(log.contains("does not say which commit it was made from") && log.contains("flux push artifact"))
    };
    scene
        .eventually("a complaint that names the flag", complains)
        .await?;
    let next = shipped.ship("6.0.4").await?;
    scene.await_phase("Succeeded", Some(&next)).await?;
    scene.await_said(&next, CANARY, "success").await?;
    calm(scene)
}

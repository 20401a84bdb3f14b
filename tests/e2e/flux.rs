//! Beside a real Flux: source-controller brings a push from Gitea, kustomize-controller applies it, Serin rolls it out and tells
//! the commit.

use anyhow::{Context as _, ensure};
use serde_json::{Value, json};

use super::manifests::{Plan, Router};
use super::scene::{REPOSITORY, STATE_NAMESPACE, Scene, Way, answers};
use super::steps::{AGGREGATE, CANARY, advance, image, resting};
use crate::common::lab::flux::KUSTOMIZE_CONTROLLER;
use crate::common::lab::gitea::Gitea;

/// What a repository beside Flux leaves out: the rollout scales the target.
pub(super) const NO_REPLICAS: (&str, &str) = ("  replicas: 2\n", "");

pub(super) const PLAN: Plan = Plan {
    router: Router::Kubernetes,
    interval: "1s",
};

/// Lets Flux follow the repository: fetch it and correct drift this often.
pub(super) fn follow(scene: &Scene, fetch: &str, correct: &str) -> anyhow::Result<()> {
    follow_with(scene, fetch, correct, &json!({}))
}

/// The same, with more in the spec of the GitRepository.
pub(super) fn follow_with(scene: &Scene, fetch: &str, correct: &str, more: &Value) -> anyhow::Result<()> {
    let metadata = json!({"name": REPOSITORY, "namespace": STATE_NAMESPACE});
    let url = format!("{}/{}/{REPOSITORY}.git", scene.gitea.url(), Gitea::OWNER);
    let mut spec =
        json!({"interval": fetch, "url": url, "ref": {"branch": "main"}, "secretRef": {"name": REPOSITORY}});
    json_patch::merge(&mut spec, more);
    let objects = [
        json!({"apiVersion": "v1", "kind": "Secret", "metadata": metadata,
            "stringData": {"username": Gitea::OWNER, "password": scene.gitea.token()}}),
        json!({"apiVersion": "source.toolkit.fluxcd.io/v1", "kind": "GitRepository", "metadata": metadata,
            "spec": spec}),
        json!({"apiVersion": "kustomize.toolkit.fluxcd.io/v1", "kind": "Kustomization", "metadata": metadata,
            "spec": {"interval": correct, "retryInterval": "2s", "path": "./apps", "prune": true,
                "sourceRef": {"kind": "GitRepository", "name": REPOSITORY}}}),
    ];
    let texts: Vec<String> = objects.iter().map(ToString::to_string).collect();
    scene.apply(&texts.join("\n---\n"))
}

/// The first revision: Flux applies it, Serin makes primary and Services, and nothing is said of it.
async fn baseline(scene: &mut Scene, way: Way, fetch: &str, correct: &str) -> anyhow::Result<()> {
    scene.push_with("6.0.0", &[NO_REPLICAS])?;
    if way == Way::BesideFlux {
        scene.pull()?;
    }
    follow(scene, fetch, correct)?;
    scene.start_serin()?;
    scene.await_phase("Initialized", None).await?;
    resting(scene, "6.0.0").await?;
    handled(scene).await
}

/// Serin has handled what is in the repository now.
pub(super) async fn handled(scene: &Scene) -> anyhow::Result<()> {
    let newest = scene.git("publisher", &["rev-parse", "HEAD"])?;
    let known = async || {
        let path = "/api/v1/namespaces/flux-system/configmaps/serin-apps";
        let state = scene.get(path).await?.unwrap_or_default();
        Ok(state["data"]["state"]
            .as_str()
            .is_some_and(|state| state.contains(&newest)))
    };
    scene
        .eventually("the state names the newest revision", known)
        .await
}

#[tokio::test]
async fn a_push_reaches_the_cluster_through_flux_and_the_commit_is_told() -> anyhow::Result<()> {
    let way = Way::Artifacts;
    let mut scene = Scene::set(PLAN).await?.with_flux(way).await?;
    baseline(&mut scene, way, "2s", "2s").await?;

    let good = scene.push_with("6.0.1", &[NO_REPLICAS])?;
    scene.await_said(&good, CANARY, "pending").await?;
    advance(&scene, &good).await?;
    scene.crash_serin()?;
    scene.await_phase("Succeeded", Some(&good)).await?;
    resting(&scene, "6.0.1").await?;
    scene.await_said(&good, CANARY, "success").await?;
    scene.await_said(&good, AGGREGATE, "success").await?;
    green_last(&scene, &good).await?;

    scene.prometheus.answer(answers(50.0));
    let bad = scene.push_with("6.0.2", &[NO_REPLICAS])?;
    scene.await_said(&bad, CANARY, "pending").await?;
    scene.await_phase("Failed", Some(&bad)).await?;
    resting(&scene, "6.0.1").await?;
    let why = scene.await_said(&bad, CANARY, "failure").await?;
    ensure!(why.contains("request-success-rate"), "Gitea says only `{why}`");
    ensure!(
        image(&scene, "podinfo").await? == "6.0.2",
        "the target is not what Flux applied"
    );
    calm(&scene)
}

#[tokio::test]
async fn beside_flux_a_checkout_tells_more_and_a_nudge_spares_the_interval() -> anyhow::Result<()> {
    let way = Way::BesideFlux;
    let scene = Scene::set(PLAN).await?.with_flux(way).await?;
    let mut scene = scene.with_flags(&["--flux-nudge"]);
    // By itself Flux would fetch again in an hour.
    baseline(&mut scene, way, "60m", "60m").await?;

    let superseded = scene.push_with("6.0.1", &[NO_REPLICAS])?;
    let good = scene.push_with("6.0.2", &[NO_REPLICAS])?;
    scene.pull()?;
    let said = scene.await_said(&superseded, CANARY, "success").await?;
    ensure!(
        said.starts_with("superseded by"),
        "the older commit is told `{said}`"
    );
    scene.await_phase("Succeeded", Some(&good)).await?;
    scene.await_said(&good, CANARY, "success").await?;
    green_last(&scene, &good).await?;

    suspend(&scene, true)?;
    let held = scene.push_with("6.0.3", &[NO_REPLICAS])?;
    scene.pull()?;
    let suspended = async || {
        let said = scene.said(&held, CANARY).await?;
        Ok(said
            .is_some_and(|said| said.state == "pending" && said.description.starts_with("Flux is suspended")))
    };
    scene.eventually("pending: Flux is suspended", suspended).await?;
    suspend(&scene, false)?;
    scene.await_said(&held, CANARY, "success").await?;

    // The API server refuses this one: Flux says why, and so does the commit.
    let broken = scene.push_with(
        "6.0.4",
        &[NO_REPLICAS, ("containerPort: 9797", "containerPort: 97979")],
    )?;
    scene.pull()?;
    let why = scene.await_said(&broken, CANARY, "error").await?;
    ensure!(why.contains("ReconciliationFailed"), "Gitea says only `{why}`");
    let fixed = scene.push_with("6.0.4", &[NO_REPLICAS])?;
    scene.pull()?;
    scene.await_said(&fixed, CANARY, "success").await?;
    let said = scene.said(&broken, CANARY).await?.context("a status is gone")?;
    ensure!(said.state == "error", "the broken commit ended as {said:?}");
    calm(&scene)
}

#[tokio::test]
async fn replicas_in_git_fight_and_the_fix_of_doctor_ends_it() -> anyhow::Result<()> {
    let mut scene = Scene::set(PLAN).await?.with_flux(Way::Artifacts).await?;
    scene.push("6.0.0")?;
    follow(&scene, "2s", "2s")?;
    scene.start_serin()?;
    scene.await_phase("Initialized", None).await?;
    let fights = async || {
        let target = scene.deployment("podinfo").await?.unwrap_or_default();
        Ok(corrections(&scene) > 0 && target["spec"]["replicas"] == 2)
    };
    scene.eventually("Flux scales the target back", fights).await?;
    set_back_is_told(&scene).await?;
    rights_are_asked_for(&scene)?;
    let (code, found) = scene.doctor()?;
    ensure!(code == Some(1), "serin doctor exits with {code:?}: {found}");
    let finding = found
        .pointer("/findings/0")
        .filter(|finding| finding["code"] == "replicas" && finding["object"] == "Deployment/test/podinfo")
        .with_context(|| format!("serin doctor finds {found:#}"))?;
    let fix = finding["fix"].as_str().unwrap_or_default();
    let command = fix.lines().last().context("no fix")?;
    scene.shell(command)?;

    let calm = async || Ok(scene.doctor()?.0 == Some(0));
    scene.eventually("serin doctor has nothing to say", calm).await?;
    handled(&scene).await?;
    let before = corrections(&scene);
    let commit = scene.push("6.0.1")?;
    scene.await_said(&commit, CANARY, "success").await?;
    resting(&scene, "6.0.1").await?;
    let after = corrections(&scene);
    ensure!(
        after == before + 1,
        "Flux changed the target {} times for one commit",
        after - before
    );
    Ok(())
}

/// The sidecar itself says who scales the target back, for which Kustomization, and where the fix is; once.
async fn set_back_is_told(scene: &Scene) -> anyhow::Result<()> {
    let told = async || {
        let status = scene.status().await?;
        let drift = &status["drift"][0];
        Ok(drift["object"] == "Deployment/test/podinfo"
            && drift["field"] == "spec.replicas"
            && drift["manager"] == "kustomize-controller"
            && drift["appliedBy"] == format!("Kustomization/{STATE_NAMESPACE}/{REPOSITORY}"))
    };
    scene
        .eventually("the Canary says who scales its target", told)
        .await?;
    let events = scene
        .get("/api/v1/namespaces/test/events")
        .await?
        .unwrap_or_default();
    let events = events["items"].as_array().into_iter().flatten();
    let texts: Vec<&str> = events
        .filter(|event| event["reason"] == "Drift" && event["type"] == "Warning")
        .filter_map(|event| event["message"].as_str())
        .collect();
    let wanted = format!(
        "kustomize-controller (Kustomization/{STATE_NAMESPACE}/{REPOSITORY}) changed spec.replicas of \
         Deployment/test/podinfo, which the rollout sets: it is put back. The fix: serin doctor -n test"
    );
    ensure!(texts == [&wanted], "the events are {texts:?}");
    let log = scene.lab.log("serin");
    ensure!(
        log.matches(&wanted).count() == 1,
        "the log does not say once what the event says"
    );
    Ok(())
}

/// With the rights of `deploy/`, the sidecar may do what it needs, and the doctor names what it would need beyond them.
fn rights_are_asked_for(scene: &Scene) -> anyhow::Result<()> {
    let flux = format!("--flux={STATE_NAMESPACE}/{REPOSITORY}");
    let missing = scene.missing_rights(&[&flux])?;
    ensure!(
        missing.is_empty(),
        "deploy/flux.yaml grants too little: {missing:#?}"
    );
    let secret = format!("--status-secret={STATE_NAMESPACE}/unknown");
    let missing = scene.missing_rights(&[&flux, &secret])?;
    let fix = missing.first().and_then(|finding| finding["fix"].as_str());
    ensure!(
        fix.is_some_and(|fix| fix.contains("resources: [secrets]\n  resourceNames: [unknown]")),
        "the doctor says {missing:#?}"
    );
    Ok(())
}

/// How often Flux changed the target.
fn corrections(scene: &Scene) -> usize {
    let log = scene.lab.log(KUSTOMIZE_CONTROLLER);
    log.matches("\"Deployment/test/podinfo\":\"configured\"").count()
}

fn suspend(scene: &Scene, suspend: bool) -> anyhow::Result<()> {
    let patch = json!({"spec": {"suspend": suspend}});
    scene.patch("kustomization", REPOSITORY, &patch, &[])
}

/// The last of the canary's states is green, and all before were pending.
pub(super) async fn green_last(scene: &Scene, commit: &str) -> anyhow::Result<()> {
    let history = scene.history(commit).await?;
    let of_canary = history.iter().filter(|said| said.context == CANARY);
    let states: Vec<_> = of_canary.map(|said| said.state.as_str()).collect();
    let (last, earlier) = states.split_first().context("nothing was said")?;
    ensure!(
        *last == "success" && !earlier.is_empty() && earlier.iter().all(|state| *state == "pending"),
        "the states of {commit}, newest first, are {states:?}"
    );
    Ok(())
}

/// Nothing panicked, and Flux found no drift to correct: it applied the target once for each commit.
pub(super) fn calm(scene: &Scene) -> anyhow::Result<()> {
    ensure!(!scene.lab.log("serin").contains("panicked"), "a task panicked");
    let log = scene.lab.log(KUSTOMIZE_CONTROLLER);
    let corrections = log.matches("\"Deployment/test/podinfo\":\"configured\"").count();
    let pushes: usize = scene
        .git("publisher", &["rev-list", "--count", "HEAD"])?
        .parse()?;
    ensure!(
        corrections < pushes,
        "Flux changed the target {corrections} times for {pushes} commits"
    );
    Ok(())
}

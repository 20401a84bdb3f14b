//! `serin run` from a push to the commit status, on the real components.

use anyhow::{Context as _, ensure};

use super::manifests::{Plan, Router};
use super::scene::{Scene, answers};
use super::steps::{AGGREGATE, CANARY, advance, baseline, color, image, note, resting};

#[tokio::test]
async fn skipper_promotes_a_good_commit_and_rolls_a_bad_one_back_through_crashes() -> anyhow::Result<()> {
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

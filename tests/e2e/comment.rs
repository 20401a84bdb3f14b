//! The comment on the pull request that a commit came from, on the real Gitea: one per pull request, kept up to date.

use anyhow::{Context as _, ensure};

use super::{
    manifests::{Plan, Router},
    scene::{REPOSITORY, Scene, answers},
    steps::{CANARY, advance, baseline},
};

/// How the comment ends, unseen.
const MARKER: &str = "[//]: # (serin)";

/// Merges a change as people do: a branch, a pull request, a merge commit. Gives the number and the merge commit.
async fn merge(scene: &Scene, tag: &str) -> anyhow::Result<(u64, String)> {
    let branch = format!("run-{tag}");
    scene.git("publisher", &["checkout", "--quiet", "-b", &branch])?;
    scene.commit(tag)?;
    scene.git("publisher", &["push", "--quiet", "origin", &branch])?;
    let mut number = None;
    // Gitea takes note of a push a little later.
    let open = async || {
        number = scene.gitea.open_pull(REPOSITORY, &branch).await.ok();
        Ok(number.is_some())
    };
    scene.eventually("an open pull request", open).await?;
    let number = number.context("no pull request")?;
    let merge = async || Ok(scene.gitea.merge(REPOSITORY, number).await.is_ok());
    scene.eventually("Gitea merges", merge).await?;
    scene.git("publisher", &["checkout", "--quiet", "main"])?;
    scene.git("publisher", &["pull", "--quiet", "--ff-only", "origin", "main"])?;
    scene.pull()?;
    Ok((number, scene.git("checkout", &["rev-parse", "HEAD"])?))
}

/// Waits until the one comment of a pull request holds all of these texts, and gives it.
async fn await_comment(scene: &Scene, number: u64, texts: &[&str]) -> anyhow::Result<String> {
    let mut found = String::new();
    let says = async || {
        let comments = scene.gitea.comments(REPOSITORY, number).await?;
        ensure!(comments.len() <= 1, "several comments: {comments:?}");
        found = comments.into_iter().next().unwrap_or_default();
        Ok(texts.iter().all(|text| found.contains(text)))
    };
    let said = scene.eventually(&format!("{texts:?} in the comment"), says).await;
    said.with_context(|| format!("the comment is: {found}"))?;
    Ok(found)
}

#[tokio::test]
async fn a_merged_pull_request_has_one_comment_that_ends_as_its_commit_does() -> anyhow::Result<()> {
    let scene = Scene::set(Plan {
        router: Router::Kubernetes,
        interval: "1s",
    });
    let mut scene = scene.await?.with_flags(&["--pull-request-comment"]);
    baseline(&mut scene).await?;

    let (number, good) = merge(&scene, "6.0.1").await?;
    let short = &good[..7];
    await_comment(&scene, number, &["**`serin`**: pending", short, MARKER]).await?;
    advance(&scene, &good).await?;
    // The next process knows the comment by its marker.
    scene.crash_serin()?;
    scene.await_said(&good, CANARY, "success").await?;
    let ended = await_comment(&scene, number, &["**`serin`**: success", short, MARKER]).await?;
    ensure!(
        ended.contains("| `test/podinfo` | success | `promoted, ") && !ended.contains("pending"),
        "the comment is: {ended}"
    );

    scene.prometheus.answer(answers(50.0));
    let (other, bad) = merge(&scene, "6.0.2").await?;
    scene.await_said(&bad, CANARY, "failure").await?;
    let texts = ["**`serin`**: failure", &bad[..7], "request-success-rate"];
    await_comment(&scene, other, &texts).await?;
    ensure!(
        scene.gitea.comments(REPOSITORY, number).await? == [ended],
        "the first pull request is told of the second"
    );
    let log = scene.lab.log("serin");
    ensure!(
        !log.contains(scene.gitea.token()) && !log.contains("panicked"),
        "the log:\n{log}"
    );
    Ok(())
}

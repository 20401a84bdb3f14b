//! After a failure: the revert of a bad push is a pull request on the real Gitea, and merging it ends well.

use anyhow::{Context as _, ensure};

use super::{
    manifests::{Plan, Router},
    scene::{Scene, answers},
    steps::{CANARY, baseline},
};

const REPOSITORY: &str = "fleet";

#[tokio::test]
async fn a_bad_push_ends_in_one_pull_request_and_merging_it_in_already_promoted() -> anyhow::Result<()> {
    let scene = Scene::set(Plan {
        router: Router::Kubernetes,
        interval: "1s",
    });
    let mut scene = scene.await?.with_flags(&["--on-failure=pull-request"]);
    propose_and_merge(&mut scene).await
}

async fn propose_and_merge(scene: &mut Scene) -> anyhow::Result<()> {
    baseline(scene).await?;
    scene.prometheus.answer(answers(50.0));
    let bad = scene.push_beside("6.0.1", "apps/notes.txt", "nothing of the canary")?;
    scene.pull()?;
    scene.await_said(&bad, CANARY, "failure").await?;
    let proposed = async || {
        let said = scene.said(&bad, CANARY).await?;
        Ok(said.is_some_and(|said| said.description.contains("; revert proposed: http")))
    };
    scene
        .eventually("the commit says where its revert is proposed", proposed)
        .await?;
    let said = scene.said(&bad, CANARY).await?.context("no status")?;

    scene.crash_serin()?;
    let again = scene.push_file("apps/other.txt", "nothing of the canary either")?;
    scene.pull()?;
    let handled = async || Ok(scene.lab.log("serin").contains(&again));
    scene
        .eventually("the sidecar goes on after a crash", handled)
        .await?;

    let open = scene.gitea.pull_requests(REPOSITORY).await?;
    ensure!(open.len() == 1, "there are {} pull requests", open.len());
    let request = &open[0];
    let url = request["html_url"].as_str().context("no address")?;
    ensure!(
        said.description.ends_with(url),
        "`{}` does not end with {url}",
        said.description
    );
    let branch = request["head"]["ref"].as_str().context("no branch")?.to_owned();
    ensure!(
        branch == format!("serin/revert-{}-test_podinfo", &bad[..7]),
        "the branch is {branch}"
    );
    ensure!(
        request["base"]["ref"] == "main",
        "it is for {}",
        request["base"]["ref"]
    );
    let body = request["body"].as_str().unwrap_or_default();
    for told in [
        bad.as_str(),
        "request-success-rate",
        "50",
        "99%",
        "failed checks: ",
        &format!("Serin-Reverts: {bad} test/podinfo"),
    ] {
        ensure!(
            body.contains(told),
            "the pull request does not tell `{told}`:\n{body}"
        );
    }
    scene.git("publisher", &["fetch", "--quiet", "origin", &branch])?;
    let changed = scene.git(
        "publisher",
        &["diff", "--name-only", "FETCH_HEAD~1", "FETCH_HEAD"],
    )?;
    ensure!(
        changed.lines().count() == 1 && changed.contains("deployment"),
        "it changes {changed}"
    );

    let number = request["number"].as_u64().context("no number")?;
    let merge = async || Ok(scene.gitea.merge(REPOSITORY, number).await.is_ok());
    scene.eventually("Gitea merges", merge).await?;
    scene.pull()?;
    let merged = scene.git("checkout", &["rev-parse", "HEAD"])?;
    let text = scene.await_said(merged.trim(), CANARY, "success").await?;
    ensure!(text == "already promoted", "Gitea says `{text}` of the merge");
    let log = scene.lab.log("serin");
    ensure!(
        !log.contains(scene.gitea.token()) && !log.contains("panicked"),
        "the log:\n{log}"
    );
    ensure!(
        scene.gitea.pull_requests(REPOSITORY).await?.len() == 1,
        "a second pull request"
    );
    Ok(())
}

//! The Gitea that the contract server describes, against a real one: statuses, what is refused, and pull requests.

use std::time::Duration;

use anyhow::{Context as _, ensure};
use serin::{
    clock::Clock,
    http::{Client, Egress, Secret, SecretFile},
    report::{
        CommitState, CommitStatus, Credential, Forge as _, ForgeError, NewPullRequest, PullRequests as _,
        Remote,
    },
};

use crate::common::lab::gitea::Gitea;
use crate::scene::output;

fn forge(gitea: &Gitea, repository: &str, token: &str) -> anyhow::Result<serin::report::Gitea> {
    Ok(serin::report::Gitea::new(Remote {
        url: gitea.url().to_owned(),
        repository: repository.to_owned(),
        branch: None,
        credential: Credential::Token(SecretFile::Fixed(Secret::new(token))),
        client: Client::new(Egress::Open),
        clock: Clock::system(),
    })?)
}

#[tokio::test]
async fn gitea_is_as_the_contract_says() -> anyhow::Result<()> {
    let gitea = Gitea::start().await?;
    let address = gitea.create_repo("fleet").await?;
    let folder = tempfile::tempdir()?;
    let git = |arguments: &[&str]| output(gitea.git(folder.path()).args(arguments));
    git(&["init", "--quiet", "--initial-branch=main"])?;
    git(&["commit", "--quiet", "--allow-empty", "--message=Begin"])?;
    git(&["push", "--quiet", &address, "main"])?;
    let base = git(&["rev-parse", "HEAD"])?.parse()?;
    git(&["checkout", "--quiet", "-b", "serin/revert-1"])?;
    git(&["commit", "--quiet", "--allow-empty", "--message=Revert"])?;
    std::fs::write(folder.path().join("app.yaml"), "kind: Deployment\n")?;
    git(&["add", "app.yaml"])?;
    git(&["commit", "--quiet", "--message=Revert the app"])?;
    git(&["push", "--quiet", &address, "serin/revert-1"])?;

    let repository = format!("{}/fleet", Gitea::OWNER);
    let real = forge(&gitea, &repository, gitea.token())?;
    let said = CommitStatus::new(
        "serin/test/a",
        CommitState::Error,
        "could not be evaluated: <b>&\n",
    );
    for status in [
        &CommitStatus::new("serin/test/a", CommitState::Pending, "10 %"),
        &said,
    ] {
        real.post(&base, status).await?;
    }
    ensure!(real.read(&base).await? == std::slice::from_ref(&said));
    let unknown = "f".repeat(40).parse()?;
    ensure!(matches!(
        real.post(&unknown, &said).await,
        Err(ForgeError::UnknownCommit { .. })
    ));
    ensure!(
        real.read(&unknown)
            .await
            .context("reading an unknown commit")?
            .is_empty()
    );
    let wrong = forge(&gitea, &repository, "wrong")?.post(&base, &said).await;
    ensure!(matches!(wrong, Err(ForgeError::Unauthorized { .. })), "{wrong:?}");
    let other = format!("{}/other", Gitea::OWNER);
    let other = forge(&gitea, &other, gitea.token())?.post(&base, &said).await;
    ensure!(matches!(other, Err(ForgeError::NoRepository { .. })), "{other:?}");

    let request = NewPullRequest {
        head: "serin/revert-1".to_owned(),
        base: "main".to_owned(),
        title: "Revert \"the app\"".to_owned(),
        body: "Rolled back:\n\n| a | b |\n| --- | --- |\n".to_owned(),
    };
    // Gitea takes note of a first push a little later; until then there are no pull requests.
    let mut opened = real.open(&request).await;
    for _ in 0..100 {
        if !matches!(opened, Err(ForgeError::NoRepository { .. })) {
            break;
        }
        tokio::time::sleep(Duration::from_millis(100)).await;
        opened = real.open(&request).await;
    }
    let opened = opened.context("opening")?;
    ensure!(real.open(&request).await? == opened, "a second one was opened");
    for text in ["10 %", "promoted", "promoted"] {
        real.upsert_comment(opened.number, "serin:test/a", &move |_: &str| text.to_owned())
            .await?;
    }
    real.upsert_comment(opened.number, "serin:test/b", &|_: &str| "other".to_owned())
        .await?;
    let comments = gitea.comments("fleet", opened.number).await?;
    ensure!(
        comments
            == [
                "promoted\n\n[//]: # (serin:test/a)",
                "other\n\n[//]: # (serin:test/b)"
            ],
        "{comments:?}"
    );

    ensure!(real.of_commit(&base).await?.is_empty() && real.of_commit(&unknown).await?.is_empty());
    gitea.merge("fleet", opened.number).await?;
    git(&["fetch", "--quiet", &address, "main"])?;
    let merged = git(&["rev-parse", "FETCH_HEAD"])?.parse()?;
    ensure!(real.of_commit(&merged).await? == [opened.number]);
    Ok(())
}

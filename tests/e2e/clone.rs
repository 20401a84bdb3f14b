//! A clone of its own, kept current from a private repository on a real Gitea: by webhook, over https and ssh, and
//! after the repository has moved.

use std::{fs, os::unix::fs::PermissionsExt as _};

use anyhow::ensure;

use super::cloned::{Cloned, Lookout, REPOSITORY};
use crate::common::lab::gitea::Gitea;

#[tokio::test]
async fn a_private_repository_is_cloned_and_its_webhook_brings_the_next_commit() -> anyhow::Result<()> {
    let mut cloned = Cloned::set(Gitea::start().await?).await?;
    let first = cloned.push(1)?;
    cloned.sandbox.write("secret", "between-us")?;
    let mut serin = cloned.serin(&cloned.address);
    serin
        .arg("--repo-interval=1h")
        .arg(format!("--repo-username={}", Gitea::OWNER))
        .arg(cloned.file("repo-token-file", "token"))
        .arg(cloned.file("notify-secret-file", "secret"))
        .arg(format!("--status-url={}", cloned.gitea.url()))
        .arg(format!("--status-repo={}/web", Gitea::OWNER));
    cloned.sandbox.spawn("serin", &mut serin)?;
    cloned.await_said(&first, "initialized").await?;

    // A secret that is not Serin's: the call is refused, and the commit is not seen.
    let url = cloned.notify_url();
    let hook = cloned.gitea.create_hook(REPOSITORY, &url, "guessed").await?;
    let second = cloned.push(2)?;
    cloned.await_logged("serin", &["the signature is wrong"]).await?;
    ensure!(
        cloned.gitea.statuses(REPOSITORY, &second).await?.is_empty(),
        "a forged call was believed"
    );

    cloned.gitea.delete_hook(REPOSITORY, hook).await?;
    cloned.gitea.create_hook(REPOSITORY, &url, "between-us").await?;
    let third = cloned.push(3)?;
    cloned.await_said(&third, "promoted").await?;
    cloned.await_said(&second, "superseded").await?;

    // The token is taken back: the last revision stays, and the log says what is wrong.
    cloned
        .sandbox
        .write("token", "0000000000000000000000000000000000000000")?;
    cloned.push(4)?;
    cloned
        .await_logged("serin", &["the credential was refused"])
        .await?;
    ensure!(
        !cloned.log().contains(cloned.gitea.token()),
        "the log holds the token"
    );
    Ok(())
}

#[tokio::test]
async fn a_private_authority_and_a_credential_helper_lead_to_the_repository_and_its_statuses()
-> anyhow::Result<()> {
    let mut cloned = Cloned::set(Gitea::start_secure().await?).await?;
    let first = cloned.push(1)?;
    let token = cloned.gitea.token().to_owned();
    let host = cloned.gitea.url().trim_start_matches("https://").to_owned();
    // What `git credential-store` reads at home.
    let entry = format!("https://{}:{token}@{}\n", Gitea::OWNER, host.replace(':', "%3a"));
    let store = cloned.sandbox.write(".git-credentials", &entry)?;
    fs::set_permissions(store, fs::Permissions::from_mode(0o600))?;
    let lookout = Lookout::begin(&[&token, &entry]);
    let fetches = Lookout::begin(&[&format!("{} refs/heads/main", cloned.address)]);

    // Where the forge is and what its repository is called, the address tells.
    let serin = |cloned: &Cloned| {
        let mut serin = cloned.serin(&cloned.address);
        serin.args(["--repo-interval=1s", "--repo-credential-helper=store"]);
        serin
    };
    let texts = ["the certificate is not trusted", "--repo-ca-file"];
    cloned.refused(serin(&cloned), &texts).await?;
    let ca = cloned.gitea.ca_file()?.display().to_string();
    let mut trusting = serin(&cloned);
    trusting
        .arg(format!("--repo-ca-file={ca}"))
        .arg(format!("--status-ca-file={ca}"));
    cloned.sandbox.spawn("serin", &mut trusting)?;
    cloned.await_said(&first, "initialized").await?;
    let second = cloned.push(2)?;
    cloned.await_said(&second, "promoted").await?;

    let told = lookout.end()?;
    ensure!(told.is_empty(), "arguments hold the token: {told:?}");
    ensure!(!fetches.end()?.is_empty(), "the lookout has not even seen git");
    ensure!(!cloned.log().contains(&token), "the log holds the token");
    Ok(())
}

#[tokio::test]
async fn a_key_and_known_hosts_lead_to_the_repository_over_ssh() -> anyhow::Result<()> {
    let mut cloned = Cloned::set(Gitea::start_secure().await?).await?;
    let first = cloned.push(1)?;
    let address = cloned.gitea.ssh_address(REPOSITORY)?;
    let key = cloned.gitea.create_ssh_key().await?;
    let secret = fs::read_to_string(&key)?;
    let secret: Vec<&str> = secret.lines().filter(|line| !line.starts_with("---")).collect();
    let lookout = Lookout::begin(&secret);
    let sessions = Lookout::begin(&[&format!("-i {}", key.display())]);
    let ca = cloned.gitea.ca_file()?.display().to_string();
    let known = cloned.gitea.known_hosts_file()?.display().to_string();
    let serin = |cloned: &Cloned, known: &str| {
        let mut serin = cloned.serin(&address);
        serin
            .arg("--repo-interval=1s")
            .arg(format!("--repo-ssh-key-file={}", key.display()))
            .arg(format!("--repo-known-hosts-file={known}"))
            .arg(format!("--status-url={}", cloned.gitea.url()))
            .arg(format!("--status-ca-file={ca}"));
        serin
    };

    let nobody = cloned.sandbox.write("nobody", "")?.display().to_string();
    let texts = ["the host cannot prove who it is", "--repo-known-hosts-file"];
    cloned.refused(serin(&cloned, &nobody), &texts).await?;
    let mut knowing = serin(&cloned, &known);
    cloned.sandbox.spawn("serin", &mut knowing)?;
    cloned.await_said(&first, "initialized").await?;
    let second = cloned.push(2)?;
    cloned.await_said(&second, "promoted").await?;

    let told = lookout.end()?;
    ensure!(told.is_empty(), "arguments hold the key: {told:?}");
    ensure!(!sessions.end()?.is_empty(), "the lookout has not even seen ssh");
    let log = cloned.log();
    ensure!(
        !secret.iter().any(|line| log.contains(line)),
        "the log holds the key"
    );
    Ok(())
}

#[tokio::test]
async fn a_repository_that_is_renamed_and_transferred_is_followed_and_so_are_its_statuses()
-> anyhow::Result<()> {
    let mut cloned = Cloned::set(Gitea::start().await?).await?;
    let first = cloned.push(1)?;
    let serin = |cloned: &Cloned| {
        let mut serin = cloned.serin(&cloned.address);
        serin
            .arg("--repo-interval=1s")
            .arg(format!("--repo-username={}", Gitea::OWNER))
            .arg(cloned.file("repo-token-file", "token"));
        serin
    };
    let mut running = serin(&cloned);
    cloned.sandbox.spawn("serin", &mut running)?;
    cloned.await_said(&first, "initialized").await?;

    cloned.gitea.rename(REPOSITORY, "shop").await?;
    let second = cloned.push(2)?;
    let shop = format!("{}/shop", Gitea::OWNER);
    cloned.await_said_in(&shop, &second, "promoted").await?;
    let warnings = [
        "The repository has moved; give its new address with --repo.",
        "The repository has moved; give its new name with --status-repo.",
        "/gitops/shop",
    ];
    cloned.await_logged("serin", &warnings).await?;

    // Also for a sidecar that starts only now, under the name of long ago.
    cloned.gitea.transfer("shop", "team").await?;
    cloned.sandbox.kill("serin")?;
    let third = cloned.push(3)?;
    let mut running = serin(&cloned);
    cloned.sandbox.spawn("serin", &mut running)?;
    cloned.await_said_in("team/shop", &third, "promoted").await?;
    ensure!(
        !cloned.log().contains(cloned.gitea.token()),
        "the log holds the token"
    );
    Ok(())
}

//! `--require-verified` beside a real source-controller, which judges the signatures: Serin takes its word, for the
//! commit that it is about.

use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context as _, ensure};
use serde_json::{Value, json};

use super::flux::{NO_REPLICAS, PLAN, follow, follow_with};
use super::scene::{REPOSITORY, STATE_NAMESPACE, Scene, Way};
use super::steps::{AGGREGATE, CANARY, image, resting};

const KEYS: &str = "keys";

/// An OpenPGP key in a home of its own. Its agent ends with it.
struct Signer {
    home: tempfile::TempDir,
}

impl Signer {
    fn new() -> anyhow::Result<Self> {
        let signer = Self {
            home: tempfile::tempdir()?,
        };
        let who = "Ada <ada@example.com>";
        signer.gpg(
            "gpg",
            &[
                "--passphrase",
                "",
                "--quick-generate-key",
                who,
                "ed25519",
                "sign",
                "0",
            ],
        )?;
        Ok(signer)
    }

    fn gpg(&self, program: &str, arguments: &[&str]) -> anyhow::Result<String> {
        let mut command = Command::new(program);
        command.arg("--homedir").arg(self.home.path());
        if program == "gpg" {
            command.args(["--batch", "--quiet"]);
        }
        let done = command
            .args(arguments)
            .output()
            .with_context(|| format!("{program} cannot be run"))?;
        let said = String::from_utf8_lossy(&done.stderr).into_owned();
        ensure!(done.status.success(), "{program} {arguments:?}: {said}");
        Ok(String::from_utf8(done.stdout)?)
    }

    fn public(&self) -> anyhow::Result<String> {
        self.gpg("gpg", &["--armor", "--export"])
    }

    /// What git calls in place of gpg.
    fn program(&self) -> anyhow::Result<PathBuf> {
        use std::os::unix::fs::PermissionsExt as _;
        let file = self.home.path().join("sign");
        let home = self.home.path().display();
        std::fs::write(
            &file,
            format!("#!/bin/sh\nexec gpg --homedir '{home}' --batch \"$@\"\n"),
        )?;
        std::fs::set_permissions(&file, std::fs::Permissions::from_mode(0o700))?;
        Ok(file)
    }
}

impl Drop for Signer {
    fn drop(&mut self) {
        self.gpg("gpgconf", &["--kill", "gpg-agent"]).ok();
    }
}

/// Lets git sign all that it commits from now on, and gives Flux the key.
fn sign_all(scene: &Scene, signer: &Signer) -> anyhow::Result<()> {
    let program = signer.program()?;
    let program = Path::to_str(&program).context("no UTF-8")?;
    for (name, value) in [
        ("gpg.program", program),
        ("user.signingKey", "ada@example.com"),
        ("commit.gpgSign", "true"),
    ] {
        scene.git("publisher", &["config", name, value])?;
    }
    let secret = json!({"apiVersion": "v1", "kind": "Secret", "metadata": {"name": KEYS, "namespace": STATE_NAMESPACE},
        "stringData": {"ada.asc": signer.public()?}});
    scene.apply(&secret.to_string())
}

fn push_unsigned(scene: &Scene, tag: &str) -> anyhow::Result<String> {
    scene.git("publisher", &["config", "commit.gpgSign", "false"])?;
    let commit = scene.push_with(tag, &[NO_REPLICAS])?;
    scene.git("publisher", &["config", "commit.gpgSign", "true"])?;
    Ok(commit)
}

fn by_keys() -> Value {
    json!({"mode": "HEAD", "secretRef": {"name": KEYS}})
}

/// Lets source-controller verify commits, or not.
fn verify(scene: &Scene, verify: bool) -> anyhow::Result<()> {
    let spec = if verify { by_keys() } else { Value::Null };
    let patch = json!({"spec": {"verify": spec}});
    scene.patch("gitrepository", REPOSITORY, &patch, &[])
}

async fn await_error(scene: &Scene, commit: &str, context: &str, why: &str) -> anyhow::Result<()> {
    let said = scene.await_said(commit, context, "error").await?;
    ensure!(
        said.contains("not verified") && said.contains(why),
        "{context} of {commit} says only `{said}`"
    );
    Ok(())
}

#[tokio::test]
async fn only_what_source_controller_verified_is_rolled_out() -> anyhow::Result<()> {
    let signer = Signer::new()?;
    let scene = Scene::set(PLAN).await?.with_flux(Way::Artifacts).await?;
    let mut scene = scene.with_flags(&["--require-verified"]);
    sign_all(&scene, &signer)?;
    let first = scene.push_with("6.0.0", &[NO_REPLICAS])?;
    follow(&scene, "2s", "2s")?;
    scene.start_serin()?;
    await_error(&scene, &first, AGGREGATE, "spec.verify").await?;
    verify(&scene, true)?;
    scene.await_phase("Initialized", None).await?;
    resting(&scene, "6.0.0").await?;
    scene.await_said(&first, AGGREGATE, "success").await?;

    let good = scene.push_with("6.0.1", &[NO_REPLICAS])?;
    scene.await_said(&good, CANARY, "success").await?;
    scene.crash_serin()?;
    let bad = push_unsigned(&scene, "6.0.2")?;
    await_error(&scene, &bad, AGGREGATE, "InvalidCommitSignature").await?;
    resting(&scene, "6.0.1").await?;
    ensure!(
        image(&scene, "podinfo").await? == "6.0.1",
        "Flux applied what it did not verify"
    );

    let next = scene.push_with("6.0.3", &[NO_REPLICAS])?;
    scene.await_said(&next, AGGREGATE, "success").await?;
    resting(&scene, "6.0.3").await?;
    await_error(&scene, &bad, AGGREGATE, "InvalidCommitSignature").await?;
    ensure!(!scene.lab.log("serin").contains("panicked"), "a task panicked");
    Ok(())
}

#[tokio::test]
async fn what_flux_applies_without_verifying_it_gets_no_traffic() -> anyhow::Result<()> {
    let signer = Signer::new()?;
    let scene = Scene::set(PLAN).await?.with_flux(Way::Artifacts).await?;
    let mut scene = scene.with_flags(&["--require-verified"]);
    sign_all(&scene, &signer)?;
    let first = push_unsigned(&scene, "6.0.0")?;
    follow_with(&scene, "2s", "2s", &json!({"verify": by_keys()}))?;
    scene.start_serin()?;
    // Flux makes no artifact of it, and Serin has nothing to read yet.
    await_error(&scene, &first, AGGREGATE, "InvalidCommitSignature").await?;
    scene.push_with(
        "6.0.0",
        &[NO_REPLICAS, ("  name: podinfo\n", "  name: podinfo # signed\n")],
    )?;
    scene.await_phase("Initialized", None).await?;
    resting(&scene, "6.0.0").await?;

    verify(&scene, false)?;
    let bad = push_unsigned(&scene, "6.0.1")?;
    await_error(&scene, &bad, CANARY, "spec.verify").await?;
    let applied = async || Ok(image(&scene, "podinfo").await? == "6.0.1");
    scene.eventually("Flux applies the commit", applied).await?;
    held(&scene).await?;
    scene.crash_serin()?;
    // What was verified before is known to the next process, and nothing else.
    verify(&scene, true)?;
    let judged = async || {
        let said = scene.said(&bad, CANARY).await?.context("a status is gone")?;
        Ok(said.state == "error" && said.description.contains("InvalidCommitSignature"))
    };
    scene
        .eventually("Flux judges what it has already", judged)
        .await?;
    held(&scene).await?;
    let good = scene.push_with("6.0.2", &[NO_REPLICAS])?;
    scene.await_said(&good, CANARY, "success").await?;
    resting(&scene, "6.0.2").await?;
    await_error(&scene, &bad, CANARY, "").await
}

/// The target is not what runs: its pods stay down, and the Canary says why.
async fn held(scene: &Scene) -> anyhow::Result<()> {
    let held = async || {
        let conditions = scene.status().await?["conditions"].clone();
        let mut conditions = conditions.as_array().into_iter().flatten();
        Ok(conditions.any(|condition| condition["reason"] == "NotVerified" && condition["status"] == "True"))
    };
    scene
        .eventually("the Canary is Stalled: NotVerified", held)
        .await?;
    resting(scene, "6.0.0").await
}

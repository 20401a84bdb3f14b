//! `serin run --require-verified --verify-keys`: what is signed by a key of the list is rolled out, and nothing else.

use std::path::Path;

use super::cluster::{RUN, TestCluster};
use super::environment::{Running, TestEnvironment};
use super::sidecar::decided;
use crate::web::WEB;

/// Makes a key, and lets git sign with it.
fn sign_with_a_key(env: &TestEnvironment) {
    let keygen = ["-q", "-t", "ed25519", "-N", "", "-C", "ada", "-f", "../ada"];
    let made = env.finish(env.program(Path::new("ssh-keygen"), &keygen));
    assert_eq!(made.code, Some(0), "{made:?}");
    let key = env.path("ada.pub");
    for (name, value) in [
        ("gpg.format", "ssh"),
        ("user.signingKey", key.to_str().unwrap()),
        ("commit.gpgSign", "true"),
    ] {
        env.git(&["config", name, value]);
    }
}

const VERIFIED: [&str; 3] = ["--require-verified", "--verify-keys", "../ada.pub"];

fn unsigned(env: &TestEnvironment, path: &str, from: &str, to: &str) -> String {
    env.git(&["config", "commit.gpgSign", "false"]);
    let commit = env.edit("Nobody signed this", path, from, to);
    env.git(&["config", "commit.gpgSign", "true"]);
    commit
}

#[test]
fn a_signed_commit_is_rolled_out_and_an_unsigned_one_is_not() {
    let env = TestEnvironment::new();
    sign_with_a_key(&env);
    let first = env.commit("Add web", &[("web.yaml", WEB)]);
    let _cluster = TestCluster::start(&env);
    let args = [RUN.as_slice(), &VERIFIED].concat();
    let mut sidecar = Running::start(env.serin(&args));
    sidecar.wait_for("Initialization done! web.default");
    assert!(decided(&env, &first).contains("default/web: initialized"));

    let bad = unsigned(&env, "web.yaml", "web:1", "web:2");
    sidecar.wait_for("Not verified: nothing is done.");
    let said = decided(&env, &bad);
    assert!(
        said.contains("error") && said.contains("not verified: it is not signed"),
        "{said}"
    );

    sidecar.kill();
    let mut sidecar = Running::start(env.serin(&args));
    sidecar.wait_for("Not verified: nothing is done.");
    env.git(&["revert", "--no-edit", "HEAD"]);
    let good = env.edit("Update web", "web.yaml", "web:1", "web:3");
    sidecar.wait_for("Promotion completed!");
    let said = decided(&env, &good);
    assert!(said.contains("promoted, 3 checks passed"), "{said}");
    let said = decided(&env, &bad);
    assert!(said.contains("not verified"), "{said}");
    assert_eq!(sidecar.end(), Some(0));
}

#[test]
fn turned_on_later_it_judges_what_comes_from_then_on() {
    let env = TestEnvironment::new();
    sign_with_a_key(&env);
    env.git(&["config", "commit.gpgSign", "false"]);
    env.commit("Add web, and nobody signed this", &[("web.yaml", WEB)]);
    env.git(&["config", "commit.gpgSign", "true"]);
    let _cluster = TestCluster::start(&env);
    let mut sidecar = Running::start(env.serin(&RUN));
    sidecar.wait_for("Initialization done! web.default");
    sidecar.kill();

    let verified = [RUN.as_slice(), &VERIFIED].concat();
    let mut sidecar = Running::start(env.serin(&verified));
    let told = sidecar.wait_for("What runs already is not verified.");
    assert!(told.contains("it is not signed"), "{told}");
    let bad = unsigned(&env, "web.yaml", "web:1", "web:2");
    sidecar.wait_for("Not verified: nothing is done.");
    env.git(&["revert", "--no-edit", "HEAD"]);
    let good = env.edit("Update web", "web.yaml", "web:1", "web:3");
    sidecar.wait_for("Promotion completed!");
    assert!(decided(&env, &good).contains("promoted, 3 checks passed"));
    assert!(decided(&env, &bad).contains("not verified: it is not signed"));
    assert_eq!(sidecar.end(), Some(0));
}

#[test]
fn whose_word_counts_is_told_before_anything_runs() {
    let env = TestEnvironment::with_app();
    let run = |args: &[&str]| env.show(&[&["run", "--require-verified"], args].concat());
    insta::assert_snapshot!(run(&[]), @r"
    exit 1
    --- stderr
    error: --require-verified needs to know which keys count
    hint: add --verify-keys PATH; only with --flux alone, Flux's own word counts
    ");
    insta::assert_snapshot!(run(&["--flux=flux-system/fleet", "--verify-keys=../keys"]), @r"
    exit 1
    --- stderr
    error: --verify-keys has nothing to judge: the artifacts of Flux hold no commits, so only Flux's own word (SourceVerified) counts
    hint: leave --verify-keys out and give the keys to Flux (spec.verify of the source), or add --checkout DIR or --repo URL
    ");
}

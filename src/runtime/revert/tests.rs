use std::sync::Mutex;

use futures::{FutureExt as _, future::BoxFuture};
use jiff::Timestamp;
use serde_json::json;

use super::*;
use crate::{
    canary::{CommitReport, RunStatus},
    manifest::Resource,
    repo::testing::{Repo, git},
    report::{CommitStatus, Draft, ForgeError, PullRequest},
};

const CANARY: &str = "\
apiVersion: flagger.app/v1beta1
kind: Canary
metadata: {name: podinfo}
spec:
  provider: kubernetes
  targetRef: {apiVersion: apps/v1, kind: Deployment, name: podinfo}
  service: {port: 80}
  analysis: {interval: 1s, threshold: 1, iterations: 3}
";

fn deployment(tag: &str) -> String {
    format!(
        "apiVersion: apps/v1\nkind: Deployment\nmetadata: {{name: podinfo}}\nspec:\n  template:\n    spec:\n      \
         containers:\n      - {{name: podinfo, image: 'podinfo:{tag}'}}\n"
    )
}

/// A forge that opens pull requests, as its documentation says: one per head branch.
#[derive(Debug, Default)]
struct Hub {
    open: Mutex<Vec<NewPullRequest>>,
    down: Mutex<u32>,
}

impl Forge for Hub {
    fn name(&self) -> &'static str {
        "hub"
    }

    fn post<'a>(&'a self, _: &'a CommitId, _: &'a CommitStatus) -> BoxFuture<'a, Result<(), ForgeError>> {
        async { Ok(()) }.boxed()
    }

    fn read<'a>(&'a self, _: &'a CommitId) -> BoxFuture<'a, Result<Vec<CommitStatus>, ForgeError>> {
        async { Ok(Vec::new()) }.boxed()
    }

    fn progress_interval(&self) -> Duration {
        Duration::ZERO
    }

    fn pull_requests(&self) -> Option<&dyn PullRequests> {
        Some(self)
    }
}

impl PullRequests for Hub {
    fn open<'a>(&'a self, request: &'a NewPullRequest) -> BoxFuture<'a, Result<PullRequest, ForgeError>> {
        async move {
            let mut down = self.down.lock().unwrap();
            if *down > 0 {
                *down -= 1;
                return Err(ForgeError::Unavailable {
                    forge: "hub".to_owned(),
                    text: "502".to_owned(),
                    retry_after: None,
                });
            }
            let mut open = self.open.lock().unwrap();
            if open.iter().all(|known| known.head != request.head) {
                open.push(request.clone());
            }
            Ok(PullRequest {
                number: 1,
                url: "https://hub.example.com/pulls/1".to_owned(),
            })
        }
        .boxed()
    }

    fn of_commit<'a>(&'a self, _: &'a CommitId) -> BoxFuture<'a, Result<Vec<u64>, ForgeError>> {
        async { Ok(Vec::new()) }.boxed()
    }

    fn upsert_comment<'a>(
        &'a self,
        _: u64,
        _: &'a str,
        _: &'a Draft<'a>,
    ) -> BoxFuture<'a, Result<(), ForgeError>> {
        async { Ok(()) }.boxed()
    }
}

struct Scene {
    repo: Repo,
    remote: tempfile::TempDir,
    hub: Arc<Hub>,
    bad: CommitId,
}

impl Scene {
    fn new() -> Self {
        let repo = Repo::new();
        repo.commit(&[
            ("canary.yaml", CANARY),
            ("d.yaml", &deployment("1")),
            ("other", "a"),
        ]);
        let bad = repo.commit_as("Update podinfo", &[("d.yaml", &deployment("2")), ("other", "b")]);
        let remote = tempfile::tempdir().unwrap();
        git(remote.path(), &["init", "-q", "--bare", "-b", "main"]);
        let scene = Self {
            repo,
            remote,
            hub: Arc::default(),
            bad,
        };
        scene.publish();
        scene
    }

    fn publish(&self) {
        let path = self.remote.path().to_str().unwrap();
        self.repo.git(&["push", "-q", path, "main"]);
    }

    fn reverts(&self, pull_request: bool) -> Reverts {
        let remote = self.remote.path().to_str().unwrap().parse().unwrap();
        let forge: Arc<dyn Forge> = self.hub.clone();
        Reverts::new(
            Arc::new(self.repo.checkout("")),
            Arc::default(),
            Arc::default(),
            &[forge],
            None,
            RevertOptions {
                pull_request,
                remote: Remote::new(remote),
            },
            Git::find(),
            Clock::starting_at(Timestamp::UNIX_EPOCH),
        )
    }

    async fn propose(&self, pull_request: bool) -> Result<String, String> {
        let (reverts, key, status) = (self.reverts(pull_request), key(), failed(&self.bad));
        let proposal = reverts.propose(&key, &status, self.bad.clone()).await;
        proposal.outcome
    }

    fn branch(&self) -> String {
        branch(&self.bad, &key())
    }

    fn branches(&self) -> String {
        let all = git(
            self.remote.path(),
            &["for-each-ref", "--format=%(refname:short)", "refs/heads"],
        );
        all.lines().collect::<Vec<_>>().join(" ")
    }
}

fn key() -> ObjectKey {
    ObjectKey::new(Resource::CANARY, "default", "podinfo")
}

fn failed(commit: &CommitId) -> Status {
    Status {
        phase: Phase::Failed,
        commit: Some(commit.to_string()),
        run: Some(RunStatus {
            id: "1-ab".to_owned(),
            ..RunStatus::default()
        }),
        commits: vec![CommitReport {
            commit: commit.to_string(),
            state: "failure".to_owned(),
            description: "rolled back: success rate 80.00% < 99%".to_owned(),
            delivered: vec!["hub=ab".to_owned()],
        }],
        ..Status::default()
    }
}

#[tokio::test]
async fn the_branch_takes_back_what_belongs_to_the_canary_and_nothing_else() {
    let scene = Scene::new();
    let branch = scene.branch();
    assert_eq!(
        scene.propose(false).await,
        Ok(format!("revert proposed: branch {branch}"))
    );
    assert_eq!(scene.branches(), format!("main {branch}"));
    let remote = scene.remote.path();
    let changed = git(remote, &["diff", "--name-only", "main", &branch]);
    assert_eq!(changed.trim(), "d.yaml");
    assert_eq!(
        git(remote, &["show", &format!("{branch}:d.yaml")]),
        deployment("1")
    );
    let message = git(remote, &["log", "-1", "--format=%an <%ae>%n%B", &branch]);
    assert!(message.starts_with("Serin <serin@localhost>\nRevert \"Update podinfo\" for podinfo.default\n"));
    assert!(
        message.contains(&format!("Serin-Reverts: {} default/podinfo", scene.bad)),
        "{message}"
    );
    assert!(scene.hub.open.lock().unwrap().is_empty());
}

#[tokio::test]
async fn a_second_time_nothing_new_is_made() {
    let scene = Scene::new();
    scene.propose(false).await.unwrap();
    let id = git(scene.remote.path(), &["rev-parse", &scene.branch()]);
    scene.repo.commit(&[("later", "x")]);
    scene.propose(false).await.unwrap();
    assert_eq!(git(scene.remote.path(), &["rev-parse", &scene.branch()]), id);
}

#[tokio::test(start_paused = true)]
async fn a_crash_between_push_and_pull_request_ends_with_exactly_one() {
    let scene = Scene::new();
    *scene.hub.down.lock().unwrap() = u32::MAX;
    let reverts = scene.reverts(true);
    let status = failed(&scene.bad);
    let key = key();
    let under_way = reverts.propose(&key, &status, scene.bad.clone());
    let crashed = tokio::time::timeout(Duration::from_secs(20), under_way).await;
    assert!(crashed.is_err(), "the forge is down");
    assert_eq!(
        scene.branches(),
        format!("main {}", scene.branch()),
        "pushed before the crash"
    );
    *scene.hub.down.lock().unwrap() = 2;
    let said = scene.propose(true).await;
    assert_eq!(
        said.as_deref(),
        Ok("revert proposed: https://hub.example.com/pulls/1")
    );
    assert_eq!(scene.propose(true).await, said);
    let open = scene.hub.open.lock().unwrap();
    assert_eq!(open.len(), 1);
    assert_eq!(
        (open[0].head.as_str(), open[0].base.as_str()),
        (scene.branch().as_str(), "main")
    );
    assert!(open[0].body.contains("`success rate") || open[0].body.contains("Serin rolled canary"));
}

#[tokio::test]
async fn what_cannot_be_taken_back_is_refused_with_the_reason() {
    let scene = Scene::new();
    scene.repo.commit(&[("d.yaml", &deployment("3"))]);
    assert_eq!(
        scene.propose(true).await,
        Err("`d.yaml` was changed again since, in the same place".to_owned())
    );
    scene.repo.commit(&[("d.yaml", &deployment("1"))]);
    assert_eq!(
        scene.propose(true).await,
        Err("the branch has what was promoted already".to_owned())
    );
    assert_eq!(scene.branches(), "main");
    assert!(scene.hub.open.lock().unwrap().is_empty());
}

#[tokio::test]
async fn another_change_of_the_canary_since_is_not_passed_off_as_what_was_promoted() {
    let scene = Scene::new();
    let other =
        deployment("2").replace("metadata:", "# a remark\n\n\n\nmetadata:") + "        env: [{name: A}]\n";
    let spread = other.replace("      - {name", "\n\n\n\n\n      - {name");
    scene.repo.commit(&[("d.yaml", &spread)]);
    let said = scene.propose(false).await.unwrap_err();
    assert!(said.contains("since") || said.contains("other changes"), "{said}");
}

#[tokio::test]
async fn a_remote_that_takes_no_such_branch_is_told() {
    let scene = Scene::new();
    std::fs::write(
        scene.remote.path().join("hooks/pre-receive"),
        "#!/bin/sh\nexit 1\n",
    )
    .unwrap();
    let hook = scene.remote.path().join("hooks/pre-receive");
    let mut bits = std::fs::metadata(&hook).unwrap().permissions();
    std::os::unix::fs::PermissionsExt::set_mode(&mut bits, 0o755);
    std::fs::set_permissions(&hook, bits).unwrap();
    let said = tokio::time::timeout(Duration::from_secs(60), scene.propose(false)).await;
    let why = said.expect("not tried for ever").unwrap_err();
    assert!(
        why.contains("the update was rejected") && why.contains("hook declined"),
        "{why}"
    );
    assert_eq!(scene.branches(), "main");
}

#[test]
fn only_a_judged_failure_asks_for_a_revert_and_only_once() {
    let id: CommitId = "0123456789012345678901234567890123456789".parse().unwrap();
    assert_eq!(wanted(&failed(&id)), Some(id.clone()));
    for (phase, state, wants) in [
        (Phase::Failed, "error", false),
        (Phase::Failed, "pending", false),
        (Phase::Progressing, "failure", false),
        (Phase::Succeeded, "failure", false),
        (Phase::Failed, "failure", true),
    ] {
        let mut status = failed(&id);
        status.phase = phase;
        state.clone_into(&mut status.commits[0].state);
        assert_eq!(wanted(&status).is_some(), wants, "{phase:?} {state}");
    }
}

#[test]
fn what_came_of_it_is_added_to_the_last_word_once() {
    let id: CommitId = "0123456789012345678901234567890123456789".parse().unwrap();
    let proposal = Proposal {
        commit: id.clone(),
        outcome: Ok("revert proposed: https://hub.example.com/pulls/1".to_owned()),
    };
    let mut status = failed(&id);
    let news = settle(&mut status, &proposal, Timestamp::UNIX_EPOCH).unwrap();
    assert_eq!(news.reason, "RevertProposed");
    assert_eq!(
        status.commits[0].description,
        "rolled back: success rate 80.00% < 99%; revert proposed: https://hub.example.com/pulls/1"
    );
    assert!(status.commits[0].delivered.is_empty(), "forges are told again");
    assert_eq!(settle(&mut status, &proposal, Timestamp::UNIX_EPOCH), None);
    assert_eq!(wanted(&status), None);
    let value = json!(status);
    assert_eq!(value["revert"]["proposed"], true);
    let mut moved = failed(&"f".repeat(40).parse().unwrap());
    assert_eq!(settle(&mut moved, &proposal, Timestamp::UNIX_EPOCH), None);
}

#[test]
fn a_refusal_is_an_event_and_leaves_the_last_word_alone() {
    let id: CommitId = "0123456789012345678901234567890123456789".parse().unwrap();
    let proposal = Proposal {
        commit: id.clone(),
        outcome: Err("`d.yaml` was removed or moved since".to_owned()),
    };
    let mut status = failed(&id);
    let news = settle(&mut status, &proposal, Timestamp::UNIX_EPOCH).unwrap();
    assert_eq!(
        (news.warning, news.text.as_str()),
        (
            true,
            "0123456 failed, no revert is proposed: `d.yaml` was removed or moved since"
        )
    );
    assert_eq!(status.commits[0], failed(&id).commits[0]);
}

#[test]
fn a_long_reason_gives_way_to_the_address() {
    let said = Outcome::new(CommitState::Failure, &"long ".repeat(40));
    let added = outcome::with_revert(&said, "revert proposed: https://hub.example.com/pulls/1");
    assert!(
        added
            .description
            .ends_with("; revert proposed: https://hub.example.com/pulls/1")
    );
    assert!(added.description.chars().count() <= CommitStatus::DESCRIPTION);
    assert!(outcome::adds_to(&added, &said) && !outcome::adds_to(&added, &added));
    let green = Outcome::new(CommitState::Success, "promoted");
    assert!(!outcome::adds_to(&added, &green));
}

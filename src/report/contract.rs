//! What every forge must do: the same cases run against Gitea's API and git notes. The server here enforces
//! what Gitea documents (and what a real one was seen to do); the end-to-end tier holds it against a real one.

mod desk;
mod gitea;
mod pulls;

use std::{path::Path, time::Duration};

use tempfile::TempDir;

use self::pulls::{
    an_open_pull_request_is_found_among_many, long_texts_are_cut_to_what_the_forge_takes,
    one_comment_is_kept_up_to_date, one_pull_request_is_opened_per_branch,
    the_pull_request_of_a_commit_is_found,
};
use self::{
    desk::Desk,
    gitea::{OWNER, Rules, TOKEN},
};
use super::{CommitState, CommitStatus, Credential, Forge, ForgeError, Gitea, NOTES_REF, Notes, Remote};
use crate::{
    clock::Clock,
    error::{Class, Classified},
    http::{Client, Secret, SecretFile, Tls},
    repo::{CommitId, testing::Repo},
};

/// A forge and what is in it.
struct Place {
    forge: Box<dyn Forge>,
    known: CommitId,
    other: CommitId,
    /// What the server keeps of pull requests.
    desk: Desk,
    _keep: Option<Repo>,
}

fn hex(digit: char) -> CommitId {
    digit.to_string().repeat(40).parse().unwrap()
}

fn clock() -> Clock {
    Clock::starting_at("2026-11-22T03:00:00Z".parse().unwrap())
}

fn remote(url: &str, repository: &str, token: &str, client: Client) -> Remote {
    Remote {
        url: url.to_owned(),
        repository: repository.to_owned(),
        credential: Credential::Token(SecretFile::Fixed(Secret::new(token))),
        client,
        tls: Tls::default(),
        clock: clock(),
    }
}

fn on_gitea() -> Place {
    let (known, other) = (hex('a'), hex('b'));
    let rules = Rules::with(&[&known, &other]);
    let desk = rules.desk.clone();
    let client = gitea::start(rules);
    let remote = remote("http://forge/sub/", &format!("{OWNER}/app.git"), TOKEN, client);
    let forge = Gitea::new(remote).unwrap();
    Place {
        forge: Box::new(forge),
        known,
        other,
        desk,
        _keep: None,
    }
}

fn in_notes() -> Place {
    let repo = Repo::new();
    let other = repo.commit(&[("a", "1")]);
    let known = repo.commit(&[("a", "2")]);
    let forge = Notes::in_checkout(repo.dir(), clock()).unwrap();
    Place {
        forge: Box::new(forge),
        known,
        other,
        desk: Desk::default(),
        _keep: Some(repo),
    }
}

fn status(context: &str, state: CommitState, text: &str) -> CommitStatus {
    CommitStatus::new(context, state, text)
}

macro_rules! cases {
    ($module:ident, $place:ident: $($case:ident)*) => {
        mod $module {
            $(#[tokio::test(start_paused = true)]
            async fn $case() {
                super::$case(super::$place()).await;
            })*
        }
    };
}

/// What every place for statuses must do.
macro_rules! statuses {
    ($module:ident, $place:ident) => {
        cases! { $module, $place:
            the_newest_status_of_each_context_is_read_back
            posting_the_same_again_changes_nothing_for_a_reader
            an_unknown_commit_is_named_and_has_no_statuses
            many_updates_and_many_contexts_are_all_counted
            hostile_texts_come_back_as_they_were_posted
        }
    };
}

/// What every forge with pull requests must do.
macro_rules! pull_requests {
    ($module:ident, $place:ident) => {
        cases! { $module, $place:
            one_pull_request_is_opened_per_branch
            an_open_pull_request_is_found_among_many
            long_texts_are_cut_to_what_the_forge_takes
            the_pull_request_of_a_commit_is_found
            one_comment_is_kept_up_to_date
        }
    };
}

statuses! { notes_statuses, in_notes }
statuses! { gitea_statuses, on_gitea }
pull_requests! { gitea_pulls, on_gitea }

async fn the_newest_status_of_each_context_is_read_back(place: Place) {
    let forge = &place.forge;
    assert_eq!(forge.read(&place.known).await.unwrap(), []);
    let pending = status("serin/test/a", CommitState::Pending, "podinfo.test 10 %");
    let failed = status("serin/test/a", CommitState::Failure, "rolled back")
        .with_url(Some("https://serin.example/r?x=1".to_owned()));
    let aggregate = status("serin", CommitState::Error, "a: rolled back");
    for status in [&pending, &aggregate, &failed] {
        forge.post(&place.known, status).await.unwrap();
    }
    assert_eq!(forge.read(&place.known).await.unwrap(), [aggregate, failed]);
    assert_eq!(forge.read(&place.other).await.unwrap(), []);
    let success = status("serin/test/a", CommitState::Success, "promoted");
    forge.post(&place.other, &success).await.unwrap();
    assert_eq!(forge.read(&place.other).await.unwrap(), [success]);
    assert_eq!(forge.read(&place.known).await.unwrap().len(), 2);
}

async fn posting_the_same_again_changes_nothing_for_a_reader(place: Place) {
    let said = status("serin/test/a", CommitState::Success, "promoted, 3 checks passed");
    for _ in 0..2 {
        place.forge.post(&place.known, &said).await.unwrap();
        assert_eq!(
            place.forge.read(&place.known).await.unwrap(),
            std::slice::from_ref(&said)
        );
    }
}

async fn an_unknown_commit_is_named_and_has_no_statuses(place: Place) {
    let unknown = hex('f');
    let said = status("serin", CommitState::Pending, "detected");
    let error = place.forge.post(&unknown, &said).await.unwrap_err();
    assert!(matches!(error, ForgeError::UnknownCommit { .. }), "{error}");
    assert!(error.to_string().contains(unknown.as_str()));
    assert!(matches!(error.class(), Class::Retry(_)) && error.is_local());
    assert_eq!(place.forge.read(&unknown).await.unwrap(), []);
}

async fn many_updates_and_many_contexts_are_all_counted(place: Place) {
    // More rows than a page of the forge holds, the newest not on one page.
    for round in 0..3 {
        for n in 0..40 {
            let said = status(
                &format!("serin/test/c{n:02}"),
                CommitState::Pending,
                &format!("{round}"),
            );
            place.forge.post(&place.known, &said).await.unwrap();
        }
    }
    let read = place.forge.read(&place.known).await.unwrap();
    assert_eq!(read.len(), 40);
    assert!(read.iter().all(|status| status.description == "2"), "{read:?}");
    assert!(read.is_sorted_by(|a, b| a.context < b.context));
}

async fn hostile_texts_come_back_as_they_were_posted(place: Place) {
    let nasty = "a\tb\nsuccess\tserin\tall good\u{0}\u{202e}<script>&amp; ∑ \\";
    let said = status("serin/test/a", CommitState::Failure, nasty);
    place.forge.post(&place.known, &said).await.unwrap();
    assert_eq!(
        place.forge.read(&place.known).await.unwrap(),
        std::slice::from_ref(&said)
    );
    let long = status("serin/test/a", CommitState::Failure, &"é".repeat(500));
    place.forge.post(&place.known, &long).await.unwrap();
    assert_eq!(place.forge.read(&place.known).await.unwrap(), [long]);
}

async fn refused_by(rules: Rules, token: &str, repository: &str) -> ForgeError {
    let remote = remote("http://forge/sub", repository, token, gitea::start(rules));
    let forge = Gitea::new(remote).unwrap();
    let said = status("serin", CommitState::Pending, "detected");
    let error = forge.post(&hex('a'), &said).await.unwrap_err();
    assert!(!error.to_string().contains(TOKEN), "{error}");
    error
}

#[tokio::test(start_paused = true)]
async fn what_gitea_refuses_is_told_apart() {
    let rules = || Rules::with(&[&hex('a')]);
    let repository = format!("{OWNER}/app");
    let error = refused_by(rules(), "wrong", &repository).await;
    assert!(matches!(error, ForgeError::Unauthorized { .. }), "{error}");
    assert_eq!(error.class(), Class::UserMustFix);
    let error = refused_by(rules(), gitea::READER, &repository).await;
    assert!(matches!(error, ForgeError::Forbidden { .. }), "{error}");
    assert!(error.hint().unwrap().contains("write:repository"));
    let error = refused_by(rules(), TOKEN, "nobody/app").await;
    assert!(matches!(error, ForgeError::NoRepository { .. }), "{error}");
    for status in [400, 404, 422, 500] {
        let error = refused_by(
            Rules {
                unknown_is: status,
                ..Rules::with(&[])
            },
            TOKEN,
            &repository,
        )
        .await;
        assert!(
            matches!(error, ForgeError::UnknownCommit { .. }),
            "{status}: {error}"
        );
    }
    for status in [429, 500, 502, 503] {
        let error = refused_by(
            Rules {
                always: Some(status),
                ..rules()
            },
            TOKEN,
            &repository,
        )
        .await;
        assert!(
            matches!(error, ForgeError::Unavailable { .. }),
            "{status}: {error}"
        );
        assert_eq!(
            error.class(),
            Class::Retry(Duration::from_secs(7)),
            "Retry-After counts"
        );
    }
    let error = refused_by(
        Rules {
            always: Some(422),
            ..rules()
        },
        TOKEN,
        &repository,
    )
    .await;
    assert!(error.is_final(), "{error}");
}

#[tokio::test(start_paused = true)]
async fn a_forge_that_is_late_or_gone_is_unavailable_and_a_missing_token_is_for_the_user() {
    let forge = |url: &str, token: SecretFile| {
        let client = gitea::start(Rules {
            delay: Duration::from_secs(60),
            ..Rules::with(&[&hex('a')])
        });
        let remote = Remote {
            credential: Credential::Token(token),
            ..remote(url, "team/app", "", client)
        };
        Gitea::new(remote).unwrap()
    };
    let token = SecretFile::Fixed(Secret::new(TOKEN));
    for url in ["http://forge/sub", "http://gone"] {
        let error = forge(url, token.clone()).read(&hex('a')).await.unwrap_err();
        assert!(matches!(error, ForgeError::Unavailable { .. }), "{url}: {error}");
    }
    let missing = SecretFile::Path("/nonexistent/token".into());
    let error = forge("http://forge/sub", missing)
        .read(&hex('a'))
        .await
        .unwrap_err();
    assert_eq!(error.class(), Class::UserMustFix);
    assert!(error.to_string().contains("/nonexistent/token"), "{error}");
}

#[tokio::test(start_paused = true)]
async fn settings_that_cannot_work_are_refused_with_a_hint() {
    let make = |url: &str, repository: &str| {
        Gitea::new(remote(url, repository, TOKEN, gitea::start(Rules::with(&[]))))
    };
    assert!(make("http://forge", "/team/app.git").is_ok());
    for (url, repository) in [
        ("forge", "team/app"),
        ("http://forge", "app"),
        ("http://forge", "team/sub/app"),
        ("http://forge", "team/.."),
        ("http://forge", "team/a?b"),
        ("http://forge", ""),
    ] {
        let error = make(url, repository).unwrap_err();
        assert!(
            error.hint().is_some_and(|hint| hint.contains("--status-")),
            "{error}"
        );
    }
}

fn git_notes(repo: &Repo, commit: &CommitId) -> String {
    repo.git(&["notes", "--ref=serin", "show", commit.as_str()])
}

#[tokio::test(start_paused = true)]
async fn notes_are_read_by_git_and_leave_the_checkout_alone() {
    let repo = Repo::new();
    let commit = repo.commit(&[("a", "1")]);
    repo.write("a", "changed");
    repo.write("staged", "x");
    repo.git(&["add", "staged"]);
    let before = (
        repo.git(&["status", "--porcelain=v2", "--branch"]),
        std::fs::read(repo.dir().join(".git/index")).unwrap(),
    );
    let notes = Notes::in_checkout(repo.dir(), clock()).unwrap();
    for (context, state, text) in [
        ("serin/test/a", CommitState::Pending, "podinfo.test 10 %"),
        ("serin", CommitState::Pending, "0 of 1 done"),
        ("serin/test/a", CommitState::Success, "promoted, 3 checks passed"),
    ] {
        notes.post(&commit, &status(context, state, text)).await.unwrap();
    }
    assert_eq!(
        git_notes(&repo, &commit),
        "success\tserin/test/a\tpromoted, 3 checks passed\npending\tserin\t0 of 1 done\n"
    );
    let after = (
        repo.git(&["status", "--porcelain=v2", "--branch"]),
        std::fs::read(repo.dir().join(".git/index")).unwrap(),
    );
    assert_eq!(before, after);
    assert_eq!(
        repo.git(&["log", "-1", "--format=%an <%ae> %cn %at", NOTES_REF]),
        format!("serin <serin@localhost> serin {}\n", clock().now().as_second())
    );
    repo.git(&["fsck", "--strict", "--no-dangling"]);
}

#[tokio::test(start_paused = true)]
async fn what_others_write_into_a_note_stays_and_git_may_reshape_the_tree() {
    let repo = Repo::new();
    let commits: Vec<_> = (0..5).map(|n| repo.commit(&[("a", &n.to_string())])).collect();
    let notes = Notes::in_checkout(repo.dir(), clock()).unwrap();
    for commit in &commits {
        let said = status("serin", CommitState::Pending, "first");
        notes.post(commit, &said).await.unwrap();
        // git writes the tree in its own shape: flat, as long as there are few notes.
        repo.git(&[
            "notes",
            "--ref=serin",
            "append",
            "-m",
            "a human's remark",
            commit.as_str(),
        ]);
        let said = status("serin", CommitState::Success, "second");
        notes.post(commit, &said).await.unwrap();
    }
    for commit in &commits {
        let text = git_notes(&repo, commit);
        assert_eq!(text, "success\tserin\tsecond\n\na human's remark\n");
        assert_eq!(notes.read(commit).await.unwrap().len(), 1);
    }
    assert_eq!(repo.git(&["notes", "--ref=serin", "list"]).lines().count(), 5);
}

#[tokio::test]
async fn writers_at_the_same_time_lose_nothing() {
    let repo = Repo::new();
    let commit = repo.commit(&[("a", "1")]);
    let writers = (0..8).map(|n| {
        let notes = Notes::in_checkout(repo.dir(), clock()).unwrap();
        let commit = commit.clone();
        tokio::spawn(async move {
            for round in 0..5 {
                let said = status(&format!("serin/w{n}"), CommitState::Pending, &round.to_string());
                notes.post(&commit, &said).await.unwrap();
            }
        })
    });
    for writer in writers.collect::<Vec<_>>() {
        writer.await.unwrap();
    }
    let notes = Notes::in_checkout(repo.dir(), clock()).unwrap();
    let read = notes.read(&commit).await.unwrap();
    assert_eq!(read.len(), 8);
    assert!(read.iter().all(|status| status.description == "4"), "{read:?}");
}

fn bare_in(keep: &TempDir) -> std::path::PathBuf {
    keep.path().join("notes.git")
}

#[tokio::test(start_paused = true)]
async fn a_checkout_that_cannot_be_written_gives_way_to_a_bare_repository() {
    let keep = tempfile::tempdir().unwrap();
    let nowhere = Path::new("/nonexistent/checkout");
    let error = Notes::choose(nowhere, None, clock()).unwrap_err();
    assert!(error.hint().unwrap().contains("--notes-repo"), "{error}");
    let notes = Notes::choose(nowhere, Some(&bare_in(&keep)), clock()).unwrap();
    let said = status("serin", CommitState::Success, "promoted");
    notes.post(&hex('e'), &said).await.unwrap();
    let again = Notes::in_bare(&bare_in(&keep), clock()).unwrap();
    assert_eq!(again.read(&hex('e')).await.unwrap(), [said]);
    std::fs::write(keep.path().join("file"), "x").unwrap();
    assert!(Notes::in_bare(keep.path(), clock()).is_err());
}

#[tokio::test(start_paused = true)]
async fn notes_of_a_linked_worktree_are_the_repositorys() {
    let repo = Repo::new();
    let commit = repo.commit(&[("a", "1")]);
    let keep = tempfile::tempdir().unwrap();
    let linked = keep.path().join("linked");
    repo.git(&["worktree", "add", "-q", "--detach", linked.to_str().unwrap()]);
    let notes = Notes::in_checkout(&linked, clock()).unwrap();
    let said = status("serin", CommitState::Success, "promoted");
    notes.post(&commit, &said).await.unwrap();
    assert_eq!(git_notes(&repo, &commit), "success\tserin\tpromoted\n");
}

/// Lists what below a directory does not belong to a user.
fn foreign(dir: &Path, uid: u32) -> Vec<std::path::PathBuf> {
    use std::os::unix::fs::MetadataExt;
    let mut found = Vec::new();
    for entry in std::fs::read_dir(dir).unwrap().map(Result::unwrap) {
        let metadata = entry.metadata().unwrap();
        if metadata.uid() != uid {
            found.push(entry.path());
        }
        if metadata.is_dir() {
            found.extend(foreign(&entry.path(), uid));
        }
    }
    found
}

#[tokio::test(start_paused = true)]
async fn in_a_checkout_of_another_user_everything_stays_that_users() {
    const OWNER_ID: u32 = 65533;
    let repo = Repo::new();
    let commits = [repo.commit(&[("a", "1")]), repo.commit(&[("a", "2")])];
    let given = std::process::Command::new("chown")
        .args(["-R", &OWNER_ID.to_string()])
        .arg(repo.dir())
        .output()
        .unwrap();
    // Only root can give files away; others cannot make the situation that this is about.
    if !given.status.success() {
        return;
    }
    let notes = Notes::in_checkout(repo.dir(), clock()).unwrap();
    for commit in &commits {
        for state in [CommitState::Pending, CommitState::Success] {
            notes.post(commit, &status("serin", state, "x")).await.unwrap();
        }
    }
    assert_eq!(foreign(repo.dir(), OWNER_ID), Vec::<std::path::PathBuf>::new());
}

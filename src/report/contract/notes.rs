//! What only git notes must do.

use std::path::Path;

use tempfile::TempDir;

use super::{clock, hex, status};
use crate::{
    error::Classified,
    repo::{
        CommitId,
        testing::{Kind, Repo},
    },
    report::{CommitState, Forge, NOTES_REF, Notes},
};

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

#[tokio::test(start_paused = true)]
async fn commits_of_every_format_get_theirs_and_the_checkout_is_left_alone() {
    for repo in Repo::each() {
        let commits: Vec<_> = (0..3).map(|n| repo.commit(&[("a", &n.to_string())])).collect();
        repo.write("a", "changed");
        let index = std::fs::read(repo.dir().join(".git/index")).unwrap();
        let notes = Notes::in_checkout(repo.dir(), clock()).unwrap();
        for commit in &commits {
            let said = status("serin", CommitState::Pending, "0 of 1 done");
            notes.post(commit, &said).await.unwrap();
        }
        repo.git(&[
            "notes",
            "--ref=serin",
            "append",
            "-m",
            "by hand",
            commits[0].as_str(),
        ]);
        let said = status("serin", CommitState::Success, "promoted");
        notes.post(&commits[0], &said).await.unwrap();
        notes.post(&commits[0], &said).await.unwrap();
        assert_eq!(notes.read(&commits[0]).await.unwrap(), [said]);
        assert_eq!(
            git_notes(&repo, &commits[0]),
            "success\tserin\tpromoted\n\nby hand\n"
        );
        let others = notes.read(&commits[2]).await.unwrap();
        assert_eq!(others, [status("serin", CommitState::Pending, "0 of 1 done")]);
        let identity = repo.git(&["log", "-1", "--format=%an <%ae> %cn %at", NOTES_REF]);
        assert_eq!(
            identity,
            format!("serin <serin@localhost> serin {}\n", clock().now().as_second())
        );
        assert_eq!(std::fs::read(repo.dir().join(".git/index")).unwrap(), index);
        let elsewhere = CommitId::try_from("a".repeat(commits[0].as_str().len())).unwrap();
        let unknown = notes
            .post(&elsewhere, &status("serin", CommitState::Success, "x"))
            .await;
        assert!(unknown.is_err(), "a commit that is not there gets none");
        repo.git(&["fsck", "--strict", "--no-dangling"]);
    }
}

#[tokio::test(start_paused = true)]
async fn long_ids_get_theirs_in_a_repository_of_notes_too() {
    let repo = Repo::of(Kind::Sha256);
    let commit = repo.commit(&[("a", "1")]);
    let bare = TempDir::new().unwrap();
    let notes = Notes::in_bare(bare.path(), clock()).unwrap();
    let said = status("serin", CommitState::Success, "promoted");
    notes.post(&commit, &said).await.unwrap();
    let found = Notes::to_read(repo.dir(), Some(bare.path()), clock());
    assert_eq!(found.read(&commit).await.unwrap(), [said]);
}

/// What `git gc --prune=now` does to objects that are being written at that moment.
#[tokio::test(start_paused = true)]
async fn notes_of_which_objects_were_lost_go_on_and_let_git_tidy_up() {
    let object = |repo: &Repo, id: &str| {
        let (first, rest) = id.trim().split_at(2);
        repo.dir().join(".git/objects").join(first).join(rest)
    };
    for (lost, kept) in [("^{tree}", true), ("", false)] {
        let repo = Repo::new();
        let commits: Vec<_> = (0..2).map(|n| repo.commit(&[("a", &n.to_string())])).collect();
        let notes = Notes::in_checkout(repo.dir(), clock()).unwrap();
        let said = |text: &str| status("serin", CommitState::Pending, text);
        notes.post(&commits[0], &said("whole")).await.unwrap();
        notes.post(&commits[1], &said("lost")).await.unwrap();
        let id = repo.git(&["rev-parse", &format!("{NOTES_REF}{lost}")]);
        std::fs::remove_file(object(&repo, &id)).unwrap();
        // It may come back: nothing is given up at once.
        for _ in 0..3 {
            notes.post(&commits[1], &said("again")).await.unwrap_err();
        }
        notes.post(&commits[1], &said("again")).await.unwrap();
        assert_eq!(notes.read(&commits[1]).await.unwrap(), [said("again")]);
        assert_eq!(notes.read(&commits[0]).await.unwrap().len(), usize::from(kept));
        repo.git(&["gc", "-q", "--prune=now"]);
        repo.git(&["fsck", "--strict", "--no-dangling"]);
    }
}

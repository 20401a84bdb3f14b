use super::*;
use crate::repo::testing::{Repo, git};

const NAME: &str = "test/podinfo";
const APP: &str = "image: podinfo:1\nport: 80\n\n\n\nenv: a\n";

fn undo(repo: &Repo, steps: &[(&CommitId, &[&str])]) -> Result<Option<String>, RevertError> {
    let scratch = Scratch::beside(repo.dir()).unwrap();
    let steps = steps.iter().map(|(id, files)| {
        let files = files.iter().map(|file| (*file).to_owned()).collect();
        ((*id).clone(), files)
    });
    let undo = Undo {
        steps: steps.collect(),
        onto: repo.head(),
        name: NAME.to_owned(),
    };
    let undone = scratch.undo(&undo)?;
    if undone.is_empty() {
        return Ok(None);
    }
    let commit = scratch.commit(&undone, &undo.onto, "Revert", 1_800_000_000)?;
    let files = git(
        scratch.dir(),
        &[
            "diff",
            "--no-renames",
            "--name-status",
            repo.head().as_str(),
            commit.as_str(),
        ],
    );
    let who = git(scratch.dir(), &["log", "-1", "--format=%an %P", commit.as_str()]);
    assert_eq!(who.trim(), format!("Serin {}", repo.head()));
    Ok(Some(files.replace('\t', " ").trim().replace('\n', ", ")))
}

/// The source as it is on disk, apart from what is read: refs, index, work tree, objects.
fn picture(repo: &Repo) -> String {
    let count = repo.git(&["count-objects", "-v"]);
    let refs = repo.git(&["for-each-ref"]);
    let index = std::fs::read(repo.dir().join(".git/index")).unwrap();
    format!("{count}{refs}{index:?}{}", repo.git(&["status", "--porcelain"]))
}

#[test]
fn only_the_files_that_belong_are_taken_back_and_the_source_is_not_touched() {
    let repo = Repo::new();
    repo.commit(&[("app.yaml", APP), ("other.yaml", "a")]);
    let bad = repo.commit(&[("app.yaml", &APP.replace(":1", ":2")), ("other.yaml", "b")]);
    repo.commit(&[("README", "later")]);
    repo.write("app.yaml", "somebody is at work here");
    let before = picture(&repo);
    assert_eq!(
        undo(&repo, &[(&bad, &["app.yaml"])]).unwrap().as_deref(),
        Some("M app.yaml")
    );
    assert_eq!(picture(&repo), before);
}

#[test]
fn later_changes_elsewhere_in_the_file_stay_and_in_the_same_place_are_a_conflict() {
    let repo = Repo::new();
    repo.commit(&[("app.yaml", APP)]);
    let bad = repo.commit(&[("app.yaml", &APP.replace(":1", ":2"))]);
    repo.commit(&[("app.yaml", &APP.replace(":1", ":2").replace("env: a", "env: b"))]);
    let scratch = Scratch::beside(repo.dir()).unwrap();
    let undo_it = Undo {
        steps: vec![(bad.clone(), BTreeSet::from(["app.yaml".to_owned()]))],
        onto: repo.head(),
        name: NAME.to_owned(),
    };
    let undone = scratch.undo(&undo_it).unwrap();
    let commit = scratch.commit(&undone, &undo_it.onto, "Revert", 0).unwrap();
    let text = git(scratch.dir(), &["show", &format!("{commit}:app.yaml")]);
    assert_eq!(text, APP.replace("env: a", "env: b"));
    repo.commit(&[("app.yaml", &APP.replace(":1", ":3"))]);
    assert_eq!(
        undo(&repo, &[(&bad, &["app.yaml"])]),
        Err(RevertError::Conflict {
            file: "app.yaml".to_owned()
        })
    );
}

#[test]
fn files_that_came_went_or_moved() {
    let repo = Repo::new();
    repo.commit(&[("app.yaml", APP), ("old.yaml", "x")]);
    repo.remove("old.yaml");
    let bad = repo.commit(&[("app.yaml", &APP.replace(":1", ":2")), ("new.yaml", "y")]);
    assert_eq!(
        undo(&repo, &[(&bad, &["app.yaml", "new.yaml", "old.yaml"])])
            .unwrap()
            .as_deref(),
        Some("M app.yaml, D new.yaml, A old.yaml")
    );
    repo.git(&["mv", "app.yaml", "moved.yaml"]);
    repo.commit(&[]);
    assert_eq!(
        undo(&repo, &[(&bad, &["app.yaml"])]),
        Err(RevertError::Moved {
            file: "app.yaml".to_owned()
        })
    );
    repo.remove("moved.yaml");
    repo.commit(&[("new.yaml", "z")]);
    assert_eq!(
        undo(&repo, &[(&bad, &["new.yaml"])]),
        Err(RevertError::Conflict {
            file: "new.yaml".to_owned()
        })
    );
}

#[test]
fn a_rename_by_the_commit_itself_is_taken_back() {
    let repo = Repo::new();
    repo.commit(&[("app.yaml", APP)]);
    repo.git(&["mv", "app.yaml", "apps.yaml"]);
    let bad = repo.commit(&[("apps.yaml", &APP.replace(":1", ":2"))]);
    let found = undo(&repo, &[(&bad, &["app.yaml", "apps.yaml"])]).unwrap();
    assert_eq!(found.as_deref(), Some("A app.yaml, D apps.yaml"));
}

#[test]
fn several_commits_are_taken_back_in_a_row_and_nothing_twice() {
    let repo = Repo::new();
    repo.commit(&[("app.yaml", APP)]);
    let first = repo.commit(&[("app.yaml", &APP.replace(":1", ":2"))]);
    let second = repo.commit(&[("app.yaml", &APP.replace(":1", ":3"))]);
    let both: [(&CommitId, &[&str]); 2] = [(&second, &["app.yaml"]), (&first, &["app.yaml"])];
    assert_eq!(undo(&repo, &both).unwrap().as_deref(), Some("M app.yaml"));
    repo.commit(&[("app.yaml", APP)]);
    assert_eq!(undo(&repo, &both).unwrap(), None, "the tip has what was promoted");
}

#[test]
fn the_first_commit_and_a_merge_can_be_taken_back_and_the_end_of_a_shallow_clone_cannot() {
    let repo = Repo::new();
    let first = repo.commit(&[("app.yaml", APP)]);
    assert_eq!(
        undo(&repo, &[(&first, &["app.yaml"])]).unwrap().as_deref(),
        Some("D app.yaml")
    );
    repo.git(&["switch", "-q", "-c", "side"]);
    repo.commit(&[("app.yaml", &APP.replace(":1", ":2"))]);
    repo.git(&["switch", "-q", "main"]);
    repo.git(&["merge", "-q", "--no-ff", "-m", "merge", "side"]);
    let merge = repo.head();
    assert_eq!(
        undo(&repo, &[(&merge, &["app.yaml"])]).unwrap().as_deref(),
        Some("M app.yaml")
    );
    let (dir, checkout) = crate::repo::testing::clone_shallow(&repo, 1);
    let scratch = Scratch::beside(dir.path()).unwrap();
    let undo = Undo {
        steps: vec![(merge.clone(), BTreeSet::from(["app.yaml".to_owned()]))],
        onto: checkout.newest().unwrap().id,
        name: NAME.to_owned(),
    };
    assert_eq!(scratch.undo(&undo), Err(RevertError::NoParent(merge)));
}

#[test]
fn a_revert_is_not_reverted_and_what_came_back_is_not_taken_back_again() {
    let repo = Repo::new();
    repo.commit(&[("app.yaml", APP)]);
    let bad = repo.commit(&[("app.yaml", &APP.replace(":1", ":2"))]);
    let message = format!("Revert it\n\n{TRAILER}: {bad} {NAME}\n");
    repo.git(&["switch", "-q", "-c", "revert"]);
    let revert = repo.commit_as(&message, &[("app.yaml", APP)]);
    assert_eq!(
        undo(&repo, &[(&revert, &["app.yaml"])]),
        Err(RevertError::OwnRevert)
    );
    repo.git(&["switch", "-q", "main"]);
    repo.git(&["merge", "-q", "--no-ff", "-m", "Merge pull request", "revert"]);
    let merged = repo.head();
    assert_eq!(
        undo(&repo, &[(&merged, &["app.yaml"])]),
        Err(RevertError::OwnRevert)
    );
    let again = repo.commit(&[("app.yaml", &APP.replace(":1", ":2"))]);
    assert_eq!(
        undo(&repo, &[(&again, &["app.yaml"])]),
        Err(RevertError::CameBack(revert))
    );
    let other = repo.commit(&[("app.yaml", &APP.replace(":1", ":3"))]);
    assert!(
        undo(&repo, &[(&other, &["app.yaml"])]).is_ok(),
        "another change is another matter"
    );
}

#[test]
fn lines_of_image_policies_are_named_when_they_are_taken_back() {
    let line =
        |tag: u8| format!("image: podinfo:{tag} # {{\"$imagepolicy\": \"flux-system:podinfo:tag\"}}\n");
    let repo = Repo::new();
    repo.commit(&[("app.yaml", &line(1)), ("b.yaml", &line(7))]);
    let bad = repo.commit(&[("app.yaml", &line(2)), ("b.yaml", &format!("{}x\n", line(7)))]);
    let scratch = Scratch::beside(repo.dir()).unwrap();
    let found = |files: &[&str]| {
        let undo = Undo {
            steps: vec![(bad.clone(), files.iter().map(|file| (*file).to_owned()).collect())],
            onto: repo.head(),
            name: NAME.to_owned(),
        };
        scratch.undo(&undo).unwrap().policies
    };
    assert_eq!(
        found(&["app.yaml"]),
        BTreeSet::from(["flux-system/podinfo".to_owned()])
    );
    assert_eq!(found(&["b.yaml"]), BTreeSet::new(), "that line stays");
}

#[test]
fn a_branch_is_pushed_once_and_never_over_another() {
    let repo = Repo::new();
    let tip = repo.commit(&[("app.yaml", APP)]);
    let there = tempfile::tempdir().unwrap();
    git(there.path(), &["init", "-q", "--bare", "-b", "main"]);
    let remote = Remote::new(there.path().to_str().unwrap().parse().unwrap());
    let command = Git::find();
    let scratch = Scratch::beside(repo.dir()).unwrap();
    assert!(!has_branch(&command, &remote, "serin/x").unwrap());
    scratch.push(&command, &remote, &tip, "serin/x").unwrap();
    assert!(has_branch(&command, &remote, "serin/x").unwrap());
    let undone = Undone {
        tree: None,
        policies: BTreeSet::new(),
    };
    let onto = repo.commit(&[("b", "1")]);
    repo.git(&["checkout", "-q", "--orphan", "elsewhere"]);
    let elsewhere = repo.commit(&[("c", "1")]);
    assert_ne!(onto, elsewhere);
    let other = scratch.commit(&undone, &elsewhere, "other", 0).unwrap();
    assert!(scratch.push(&command, &remote, &other, "serin/x").is_err());
    let there_now = git(there.path(), &["rev-parse", "refs/heads/serin/x"]);
    assert_eq!(there_now.trim(), tip.as_str());
}

#[test]
fn names_of_branches() {
    assert!(is_branch_name("serin/revert-abc1234-test_podinfo"));
    for bad in ["serin/revert-abc-test_a.lock", "a..b", "-x", "a b", ""] {
        assert!(!is_branch_name(bad), "{bad}");
    }
}

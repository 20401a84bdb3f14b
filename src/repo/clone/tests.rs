//! Clones of real repositories on this machine.

use std::{fs, path::PathBuf};

use super::*;
use crate::{
    error::{Class, Classified as _},
    repo::{
        Since,
        testing::{Repo, git, script},
    },
};

struct Scene {
    upstream: Repo,
    dir: tempfile::TempDir,
}

impl Scene {
    fn new() -> Self {
        Self::of(Repo::new())
    }

    fn of(upstream: Repo) -> Self {
        Self {
            upstream,
            dir: tempfile::tempdir().unwrap(),
        }
    }

    fn url(&self) -> String {
        format!("file://{}", self.upstream.dir().display())
    }

    fn options(&self) -> CloneOptions {
        CloneOptions {
            remote: Remote::new(self.url().parse().unwrap()),
            branch: Some("main".to_owned()),
            path: String::new(),
            dir: self.dir.path().join("clones"),
            depth: 0,
            max_bytes: 1 << 30,
            timeout: Duration::from_secs(60),
        }
    }

    fn open(&self) -> RemoteClone {
        RemoteClone::open(self.options(), Git::find()).unwrap()
    }
}

fn remote_fault(error: &RepoError) -> RemoteFault {
    match error {
        RepoError::Git(error) => match &**error {
            GitError::Remote { fault, .. } => *fault,
            other => panic!("{other}"),
        },
        other => panic!("{other}"),
    }
}

#[test]
fn it_follows_a_branch_of_every_format_and_reads_it() {
    for upstream in Repo::each() {
        let scene = Scene::of(upstream);
        let first = scene.upstream.commit(&[("apps/a", "1"), ("b", "1")]);
        let mut options = scene.options();
        options.path = "./apps/".to_owned();
        let clone = RemoteClone::open(options, Git::find()).unwrap();
        assert!(clone.newest().is_err(), "nothing was fetched");
        assert!(clone.fetch().unwrap());
        assert!(!clone.fetch().unwrap(), "nothing new");
        let newest = clone.newest().unwrap();
        assert_eq!((newest.branch.as_str(), &newest.id), ("main", &first));
        let second = scene.upstream.commit(&[("apps/a", "2"), ("b", "2")]);
        assert_eq!(clone.newest().unwrap().id, first, "reading fetches nothing");
        clone.refresh().unwrap();
        assert_eq!(clone.newest().unwrap().id, second);
        let changes = clone.changes(Some(&first), &second).unwrap();
        assert_eq!(changes.len(), 1);
        assert_eq!(changes[0].path, "apps/a");
        assert_eq!(clone.read(changes[0].after.as_ref().unwrap(), 10).unwrap(), b"2");
        assert_eq!(clone.log(Some(&first), &second).unwrap().since, Since::Linear);
        assert_eq!(clone.whole_tree(&second).unwrap().files.size(), 2);
        assert_eq!(clone.path(), "apps");
    }
}

#[test]
fn without_a_branch_it_follows_the_default_one_wherever_that_goes() {
    let scene = Scene::new();
    let first = scene.upstream.commit(&[("a", "1")]);
    let mut options = scene.options();
    options.branch = None;
    let clone = RemoteClone::open(options, Git::find()).unwrap();
    clone.fetch().unwrap();
    assert_eq!(clone.newest().unwrap().to_string(), format!("main@sha1:{first}"));
    scene.upstream.git(&["branch", "-q", "-m", "trunk"]);
    let second = scene.upstream.commit(&[("a", "2")]);
    clone.fetch().unwrap();
    assert_eq!(
        clone.newest().unwrap().to_string(),
        format!("trunk@sha1:{second}")
    );
}

#[test]
fn a_depth_bounds_history_and_a_force_push_is_followed() {
    let scene = Scene::new();
    for number in 0..10 {
        scene.upstream.commit(&[("a", &number.to_string())]);
    }
    let mut options = scene.options();
    options.depth = 3;
    let clone = RemoteClone::open(options, Git::find()).unwrap();
    clone.fetch().unwrap();
    let old = clone.newest().unwrap().id;
    assert_eq!(clone.history(&old, 100).unwrap().len(), 3);
    let next = scene.upstream.commit(&[("a", "next")]);
    clone.fetch().unwrap();
    assert_eq!(clone.newest().unwrap().id, next);
    assert_eq!(clone.history(&next, 100).unwrap().len(), 3);
    assert_eq!(clone.log(Some(&old), &next).unwrap().since, Since::Linear);
    scene.upstream.git(&["reset", "-q", "--hard", "HEAD~5"]);
    let forced = scene.upstream.commit(&[("a", "forced")]);
    clone.fetch().unwrap();
    assert_eq!(clone.newest().unwrap().id, forced);
    assert_eq!(
        clone.changes(Some(&next), &forced).unwrap().len(),
        1,
        "the old tree is still there"
    );
}

#[test]
fn a_branch_that_is_deleted_is_said_and_the_last_revision_stays() {
    let scene = Scene::new();
    let first = scene.upstream.commit(&[("a", "1")]);
    let clone = scene.open();
    clone.fetch().unwrap();
    scene.upstream.git(&["branch", "-q", "-m", "other"]);
    let error = clone.fetch().unwrap_err();
    assert_eq!(remote_fault(&error), RemoteFault::NoBranch);
    assert_eq!(
        error.to_string(),
        format!(
            "there is no such branch at {}: `main` is not among other",
            scene.url()
        )
    );
    assert_eq!(error.class(), Class::WaitForChange);
    assert_eq!(clone.newest().unwrap().id, first);
}

#[test]
fn an_empty_repository_is_waited_for() {
    let scene = Scene::new();
    let clone = scene.open();
    let error = clone.fetch().unwrap_err();
    assert_eq!(remote_fault(&error), RemoteFault::Empty);
    assert_eq!(clone.newest().unwrap_err(), error, "why there is nothing");
    let first = scene.upstream.commit(&[("a", "1")]);
    clone.fetch().unwrap();
    assert_eq!(clone.newest().unwrap().id, first);
}

#[test]
fn a_remote_that_is_away_leaves_what_was_fetched() {
    let scene = Scene::new();
    let first = scene.upstream.commit(&[("a", "1")]);
    let clone = scene.open();
    clone.fetch().unwrap();
    let elsewhere = scene.dir.path().join("elsewhere");
    fs::rename(scene.upstream.dir(), &elsewhere).unwrap();
    let error = clone.fetch().unwrap_err();
    assert_eq!(remote_fault(&error), RemoteFault::NotFound, "{error}");
    assert!(error.hint().unwrap().contains("moved"), "{error}");
    assert_eq!(clone.newest().unwrap().id, first);
    drop(clone);
    let again = scene.open();
    assert_eq!(again.newest().unwrap().id, first, "also after a restart");
    fs::rename(&elsewhere, scene.upstream.dir()).unwrap();
    let second = scene.upstream.commit(&[("a", "2")]);
    again.fetch().unwrap();
    assert_eq!(again.newest().unwrap().id, second);
}

#[test]
fn a_second_process_is_kept_out() {
    let scene = Scene::new();
    let clone = scene.open();
    let error = RemoteClone::open(scene.options(), Git::find()).unwrap_err();
    assert!(matches!(error, RepoError::Taken { .. }), "{error}");
    assert!(matches!(error.class(), Class::Retry(_)));
    let mut other = scene.options();
    other.branch = Some("other".to_owned());
    RemoteClone::open(other, Git::find()).unwrap();
    drop(clone);
    RemoteClone::open(scene.options(), Git::find()).unwrap();
}

#[test]
fn what_a_killed_fetch_leaves_behind_is_no_obstacle() {
    let scene = Scene::new();
    scene.upstream.commit(&[("a", "1")]);
    let clone = scene.open();
    clone.fetch().unwrap();
    let dir = clone.dir().to_owned();
    drop(clone);
    let second = scene.upstream.commit(&[("a", "2")]);
    for left in [
        "shallow.lock",
        "HEAD.lock",
        "packed-refs.lock",
        "refs/heads/main.lock",
        "objects/pack/tmp_pack_x1",
    ] {
        fs::write(dir.join(left), "half").unwrap();
    }
    fs::create_dir(dir.with_extension("new")).unwrap();
    let clone = scene.open();
    clone.fetch().unwrap();
    assert_eq!(clone.newest().unwrap().id, second);
    assert!(!dir.join("objects/pack/tmp_pack_x1").exists());
    // And a repository that is no longer one.
    fs::remove_file(dir.join("HEAD")).unwrap();
    clone.fetch().unwrap();
    assert_eq!(clone.newest().unwrap().id, second);
}

#[test]
fn a_fetch_that_is_killed_half_way_is_made_up_for() {
    let scene = Scene::new();
    scene.upstream.commit(&[("a", "1")]);
    let clone = scene.open();
    clone.fetch().unwrap();
    let second = scene.upstream.commit(&[("a", "2")]);
    // Stands in for git: dies as by kill -9 once the lock of the ref is taken.
    let text = format!(
        "case \"$*\" in *\" fetch \"*) touch {}/refs/heads/main.lock; kill -9 $$;; *) exec git \"$@\";; esac",
        clone.dir().display()
    );
    drop(clone);
    let broken = RemoteClone::open(scene.options(), Git::at(script(scene.dir.path(), "git", &text))).unwrap();
    assert!(broken.fetch().is_err());
    assert!(broken.newest().is_ok());
    drop(broken);
    let clone = scene.open();
    assert!(clone.fetch().unwrap());
    assert_eq!(clone.newest().unwrap().id, second);
}

#[test]
fn a_branch_that_is_not_shown_at_first_is_not_said_to_be_missing() {
    let scene = Scene::new();
    let commit = scene.upstream.commit(&[("a", "1")]);
    let flag = scene.dir.path().join("asked");
    let text = format!(
        "case \"$*\" in *ls-remote*) [ -e {0} ] || {{ touch {0}; exit; }};; esac; exec git \"$@\"",
        flag.display()
    );
    let mut options = scene.options();
    options.branch = Some("main".to_owned());
    let git = Git::at(script(scene.dir.path(), "git", &text));
    let clone = RemoteClone::open(options, git).unwrap();
    let error = clone.fetch().unwrap_err();
    assert!(
        error.to_string().contains("did not show `main` at first"),
        "{error}"
    );
    assert!(clone.fetch().unwrap());
    assert_eq!(clone.newest().unwrap().id, commit);
}

#[test]
fn too_large_and_too_slow_are_ended_and_said() {
    let scene = Scene::new();
    scene.upstream.commit(&[("a", "1")]);
    let by = |text: &str, options: CloneOptions| {
        let text = format!("case \"$*\" in *\" fetch \"*) {text};; *) exec git \"$@\";; esac");
        let program: PathBuf = script(scene.dir.path(), "git", &text);
        let clone = RemoteClone::open(options, Git::at(program)).unwrap();
        let error = clone.fetch().unwrap_err();
        (error.to_string(), error.hint().unwrap())
    };
    let mut small = scene.options();
    small.max_bytes = 100_000;
    let (error, hint) = by(
        "head -c 200000 /dev/zero > $GIT_DIR/objects/pack/tmp_pack_1; exec sleep 600",
        small,
    );
    assert!(error.contains("larger than 100000 bytes"), "{error}");
    assert!(hint.contains("--repo-max-size"), "{hint}");
    let mut slow = scene.options();
    slow.timeout = Duration::from_millis(400);
    let (error, hint) = by("exec sleep 600", slow);
    assert!(error.contains("took longer than"), "{error}");
    assert!(hint.contains("--repo-timeout"), "{hint}");
}

#[test]
fn names_that_are_none_are_refused() {
    let scene = Scene::new();
    for branch in ["", "a b", "a:b", "a*", "../x", "x.lock", "-x^"] {
        let mut options = scene.options();
        options.branch = Some(branch.to_owned());
        let error = RemoteClone::open(options, Git::find()).unwrap_err();
        assert!(matches!(error, RepoError::BadBranch { .. }), "{branch}");
    }
    let mut options = scene.options();
    options.path = "../x".to_owned();
    assert!(matches!(
        RemoteClone::open(options, Git::find()),
        Err(RepoError::BadPath { .. })
    ));
}

#[test]
fn the_answers_of_a_remote_are_read() {
    let id = "0123456789abcdef0123456789abcdef01234567";
    let tip = |branch: &str| {
        Some(Tip {
            branch: branch.to_owned(),
            id: id.parse().unwrap(),
        })
    };
    let listed = format!("{id}\trefs/heads/x/refs/heads/main\n{id}\trefs/heads/main\n");
    assert_eq!(read_tip(&listed, Some("main")), tip("main"));
    assert_eq!(read_tip(&listed, Some("other")), None);
    assert_eq!(
        read_tip(&format!("ref: refs/heads/f/x\tHEAD\n{id}\tHEAD\n"), None),
        tip("f/x")
    );
    for nonsense in [
        "",
        "ref: refs/heads/main\tHEAD\n",
        "x\tHEAD\n",
        &format!("{id}\tHEAD\n"),
    ] {
        assert_eq!(read_tip(nonsense, None), None);
    }
}

#[test]
fn objects_are_put_together_once_there_are_many() {
    let scene = Scene::new();
    scene.upstream.commit(&[("a", "1")]);
    let clone = scene.open();
    clone.fetch().unwrap();
    for number in 0..30 {
        scene.upstream.commit(&[("a", &format!("more {number}"))]);
        clone.fetch().unwrap();
    }
    let loose = || {
        let counted = git(clone.dir(), &["count-objects"]);
        counted.split(' ').next().unwrap().parse::<u32>().unwrap()
    };
    assert!(loose() > 60, "{}", loose());
    // As many as make git think of it: it counts one of the 256 folders.
    let folder = clone.dir().join("objects/17");
    fs::create_dir_all(&folder).unwrap();
    for number in 0..12 {
        fs::write(folder.join(format!("{number:038x}")), "").unwrap();
    }
    let newest = scene.upstream.commit(&[("a", "last")]);
    clone.fetch().unwrap();
    assert_eq!(clone.newest().unwrap().id, newest);
    assert_eq!(clone.tree(&newest).unwrap().files.size(), 1);
    assert!(loose() < 60, "{}", loose());
}

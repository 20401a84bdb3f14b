//! What can happen to a checkout that another process keeps current: a test per hazard, named after it.
//!
//! Three hazards are elsewhere: what an artifact of Flux can be (`src/repo/artifact/unpack/tests.rs`), a restart
//! (`sidecar.rs`, and the scenarios that kill the process), and the calls of forges (`repo.rs`, `src/repo/webhook/`).

use std::{
    fs,
    os::unix::fs::symlink,
    path::{Path, PathBuf},
    process::Command,
    sync::Arc,
    time::Duration,
};

use serin::repo::{
    BlobId, Change, Checkout, Commit, CommitId, Hints, Log, Mode, Options, RepoError, Repository, Revision,
    Since, Touched, Tree, Trigger, Update, Watch,
};

use super::environment::{APP, TestEnvironment};

/// Long enough that only the hint under test can be the reason.
const NEVER: Duration = Duration::from_secs(3600);
const DEPLOYMENT: &str = "apps/deployment.yaml";

fn open(dir: &Path) -> Checkout {
    Checkout::open(dir, Options::default()).unwrap()
}

fn on_main(dir: &Path) -> Checkout {
    let options = Options {
        branch: Some("main".to_owned()),
        path: String::new(),
    };
    Checkout::open(dir, options).unwrap()
}

fn newest(dir: &Path) -> String {
    open(dir).newest().unwrap().id.to_string()
}

async fn next(watch: &mut Watch) -> String {
    match tokio::time::timeout(Duration::from_secs(20), watch.next()).await {
        Ok(Some(Update::Revision(revision))) => revision.id.to_string(),
        other => panic!("no revision: {other:?}"),
    }
}

async fn quiet(watch: &mut Watch) -> bool {
    tokio::time::timeout(Duration::from_millis(1500), watch.next())
        .await
        .is_err()
}

fn by_files(checkout: Checkout) -> Watch {
    Watch::start(Arc::new(checkout), Hints::Files { poll: NEVER })
}

/// Puts a link where another may be, in one step, as git-sync and the kubelet do.
fn flip(link: &Path, target: impl AsRef<Path>) {
    let fresh = link.parent().unwrap().join("fresh-link");
    symlink(target, &fresh).unwrap();
    fs::rename(fresh, link).unwrap();
}

fn id(text: &str) -> CommitId {
    text.parse().unwrap()
}

/// A directory that git-sync keeps: work trees in `.worktrees`, and a link to the newest.
struct GitSync<'e> {
    env: &'e TestEnvironment,
    root: PathBuf,
}

impl<'e> GitSync<'e> {
    fn new(env: &'e TestEnvironment) -> Self {
        let root = env.path("sync");
        fs::create_dir_all(&root).unwrap();
        Self { env, root }
    }

    fn tree(&self, commit: &str) -> PathBuf {
        self.root.join(".worktrees").join(commit)
    }

    fn sync(&self, commit: &str) {
        let tree = self.tree(commit).display().to_string();
        self.env
            .git(&["worktree", "add", "-q", "--detach", &tree, commit]);
        flip(&self.link(), Path::new(".worktrees").join(commit));
    }

    fn link(&self) -> PathBuf {
        self.root.join("link")
    }
}

#[tokio::test]
async fn git_sync_symlink_flip() {
    let env = TestEnvironment::new();
    let first = env.commit("one", &[("a", "1")]);
    let sync = GitSync::new(&env);
    sync.sync(&first);
    let mut watch = by_files(on_main(&sync.link()));
    assert_eq!(next(&mut watch).await, first);
    for number in 2..5 {
        let old = env.remember();
        let new = env.commit("more", &[("a", &number.to_string())]);
        sync.sync(&new);
        // Without any grace for readers.
        fs::remove_dir_all(sync.tree(&old)).unwrap();
        assert_eq!(next(&mut watch).await, new);
    }
}

#[tokio::test]
async fn missing_file_window() {
    let env = TestEnvironment::new();
    let first = env.commit("one", &[("a", "1")]);
    let sync = GitSync::new(&env);
    sync.sync(&first);
    // Events are a hint, the poll is the truth.
    let poll = Duration::from_secs(1);
    let mut watch = Watch::start(Arc::new(on_main(&sync.link())), Hints::Files { poll });
    next(&mut watch).await;
    fs::remove_file(sync.link()).unwrap();
    tokio::time::sleep(Duration::from_millis(150)).await;
    flip(&sync.link(), Path::new(".worktrees").join(&first));
    assert!(quiet(&mut watch).await, "what is away for a moment is not gone");
    fs::remove_file(sync.link()).unwrap();
    let gone = tokio::time::timeout(Duration::from_secs(20), watch.next())
        .await
        .unwrap();
    assert!(
        matches!(gone, Some(Update::Fault(RepoError::NoDirectory { .. }))),
        "{gone:?}"
    );
    flip(&sync.link(), Path::new(".worktrees").join(&first));
    assert_eq!(next(&mut watch).await, first);
}

#[tokio::test]
async fn git_pull() {
    let env = TestEnvironment::new();
    env.commit("one", &[("a", "1")]);
    env.git(&["clone", "-q", ".", "../clone"]);
    let clone = env.path("clone");
    let head = fs::read(clone.join(".git/HEAD")).unwrap();
    let mut watch = by_files(open(&clone));
    next(&mut watch).await;
    let second = env.commit("two", &[("a", "2")]);
    env.git(&["-C", "../clone", "pull", "-q"]);
    assert_eq!(next(&mut watch).await, second);
    assert_eq!(
        fs::read(clone.join(".git/HEAD")).unwrap(),
        head,
        "it tells nothing"
    );
}

#[tokio::test]
async fn packed_refs() {
    let env = TestEnvironment::new();
    let first = env.commit("one", &[("a", "1")]);
    let mut watch = by_files(open(&env.path("repo")));
    assert_eq!(next(&mut watch).await, first);
    env.git(&["pack-refs", "--all", "--prune"]);
    assert!(!env.path("repo/.git/refs/heads/main").exists());
    assert_eq!(newest(&env.path("repo")), first);
    let second = env.commit("two", &[("a", "2")]);
    assert_eq!(
        next(&mut watch).await,
        second,
        "a loose ref is stronger than a packed one"
    );
}

#[test]
fn reftable() {
    let env = TestEnvironment::new();
    let version = env.git(&["version"]);
    let mut numbers = version
        .trim_start_matches("git version ")
        .split('.')
        .map(|part| part.parse::<u32>().unwrap_or(0));
    let can = (numbers.next().unwrap(), numbers.next().unwrap()) >= (2, 45);
    if can {
        env.git(&["init", "-q", "-b", "main", "--ref-format=reftable", "../tables"]);
    } else {
        // As such a git would leave it.
        env.git(&["init", "-q", "-b", "main", "../tables"]);
        env.git(&["-C", "../tables", "config", "core.repositoryformatversion", "1"]);
        env.git(&["-C", "../tables", "config", "extensions.refstorage", "reftable"]);
        env.write("tables/.git/HEAD", "ref: refs/heads/.invalid\n");
    }
    if can {
        env.git(&["-C", "../tables", "commit", "-q", "--allow-empty", "-m", "one"]);
    }
    let said = env.show(&["plan", "--checkout", "../tables"]);
    if can {
        assert!(said.starts_with("exit 0"), "{said}");
    } else {
        assert!(
            said.contains("extensions.refstorage = reftable, which takes git 2.45 or newer"),
            "{said}"
        );
        assert!(said.contains("hint: install git 2.45 or newer"), "{said}");
    }
}

#[test]
fn sha256_repositories() {
    let env = TestEnvironment::new();
    env.git(&["init", "-q", "-b", "main", "--object-format=sha256", "../long"]);
    for (subject, tag) in [("Add podinfo", "6.0.0"), ("Update podinfo", "6.0.1")] {
        for (path, text) in APP {
            env.write(
                &format!("long/{path}"),
                &text.replace("podinfo:6.0.0", &format!("podinfo:{tag}")),
            );
        }
        env.git(&["-C", "../long", "add", "-A"]);
        env.git(&["-C", "../long", "commit", "-q", "-m", subject]);
    }
    let said = env.show(&["plan", "--checkout", "../long"]);
    assert!(said.contains("start Canary/test/podinfo"), "{said}");
    assert!(said.contains("image podinfo 6.0.0 → 6.0.1"), "{said}");
    let revision = open(&env.path("long")).newest().unwrap().to_string();
    let (name, digits) = revision.split_once(':').unwrap();
    assert_eq!((name, digits.len()), ("main@sha256", 64));
}

#[test]
fn worktrees_and_git_files() {
    let env = TestEnvironment::new();
    let first = env.commit("one", &[("a", "1")]);
    env.git(&["worktree", "add", "-q", "-b", "side", "../tree"]);
    let tree = open(&env.path("tree"));
    assert_eq!(
        tree.newest().unwrap(),
        Revision {
            branch: "side".into(),
            id: id(&first)
        }
    );
    assert_eq!(tree.common_dir(), open(&env.path("repo")).common_dir());
    // As in a container that mounts the work tree, and the repository elsewhere.
    fs::rename(env.path("repo"), env.path("mounted")).unwrap();
    let error = Checkout::open(env.path("tree"), Options::default()).unwrap_err();
    assert!(matches!(error, RepoError::LostGitDir { .. }), "{error}");
    fs::rename(env.path("mounted"), env.path("repo")).unwrap();
}

#[test]
fn detached_head() {
    let env = TestEnvironment::new();
    let first = env.commit("one", &[("a", "1")]);
    env.git(&["checkout", "-q", "--detach"]);
    assert_eq!(
        on_main(&env.path("repo")).newest().unwrap().to_string(),
        format!("main@sha1:{first}")
    );
    assert_eq!(open(&env.path("repo")).newest().unwrap().branch, "HEAD");
}

#[test]
fn shallow_clones() {
    let env = TestEnvironment::with_app();
    let old = env.edit("Update podinfo", DEPLOYMENT, "podinfo:6.0.0", "podinfo:6.0.1");
    env.commit("Say more", &[("README", "x")]);
    let url = format!("file://{}", env.path("repo").display());
    env.git(&["clone", "-q", "--depth=1", &url, "../clone"]);
    let said = env.show(&["plan", "--checkout", "../clone"]);
    assert!(said.starts_with("exit 1"), "never as if all were new: {said}");
    assert!(said.contains("git fetch --deepen 50"), "{said}");
    let clone = open(&env.path("clone"));
    let to = clone.newest().unwrap().id;
    assert_eq!(clone.log(Some(&id(&old)), &to).unwrap().since, Since::Gone);
    env.git(&["-C", "../clone", "fetch", "-q", "--deepen=1"]);
    let clone = open(&env.path("clone"));
    assert_eq!(clone.log(Some(&id(&old)), &to).unwrap().since, Since::Linear);
}

#[test]
fn force_push_and_rebase() {
    let env = TestEnvironment::new();
    env.commit("base", &[("a", "1")]);
    let old = env.commit("old", &[("a", "2")]);
    env.git(&["reset", "-q", "--hard", "HEAD~1"]);
    let new = env.commit("new", &[("a", "3")]);
    let repo = open(&env.path("repo"));
    assert_eq!(
        repo.log(Some(&id(&old)), &id(&new)).unwrap().since,
        Since::Rewritten
    );
    assert_eq!(
        repo.changes(Some(&id(&old)), &id(&new)).unwrap().len(),
        1,
        "trees are compared"
    );
    env.git(&["reflog", "expire", "--expire=now", "--all"]);
    env.git(&["gc", "-q", "--prune=now"]);
    let repo = open(&env.path("repo"));
    let log = repo.log(Some(&id(&old)), &id(&new)).unwrap();
    assert_eq!((log.since, log.cut, log.commits.len()), (Since::Gone, true, 1));
    let gone = repo.changes(Some(&id(&old)), &id(&new));
    assert!(matches!(gone, Err(RepoError::Gone { .. })), "{gone:?}");
}

#[test]
fn merge_commits() {
    let env = TestEnvironment::with_app();
    env.git(&["checkout", "-q", "-b", "side"]);
    env.edit(
        "Update podinfo on the side",
        DEPLOYMENT,
        "podinfo:6.0.0",
        "podinfo:6.0.1",
    );
    env.git(&["checkout", "-q", "main"]);
    env.git(&["merge", "-q", "--no-ff", "-m", "Merge side", "side"]);
    env.remember();
    let said = env.show(&["plan"]);
    assert!(said.contains("main <1> → <3>, 1 commit"), "{said}");
    assert!(
        said.contains("start Canary/test/podinfo for Deployment/test/podinfo, by <3>"),
        "{said}"
    );
}

#[test]
fn squashed_updates() {
    let env = TestEnvironment::with_app();
    for (from, to) in [("6.0.0", "6.0.1"), ("6.0.1", "6.0.2"), ("6.0.2", "6.0.3")] {
        env.edit(
            "Update",
            DEPLOYMENT,
            &format!("podinfo:{from}"),
            &format!("podinfo:{to}"),
        );
    }
    let said = env.show(&["plan", "HEAD~3..HEAD", "--output", "json"]);
    let json: serde_json::Value = serde_json::from_str(said.split_once("--- stdout\n").unwrap().1).unwrap();
    let touched = &json["touched"][0];
    assert_eq!(touched["commit"], "<4>");
    assert_eq!(touched["superseded"], serde_json::json!(["<3>", "<2>"]));
}

#[test]
fn revert_commits() {
    let env = TestEnvironment::with_app();
    let good = env.remember();
    let bad = env.edit("Break podinfo", DEPLOYMENT, "podinfo:6.0.0", "podinfo:6.6.6");
    env.git(&["revert", "--no-edit", "HEAD"]);
    let revert = env.remember();
    let repo = open(&env.path("repo"));
    let log = repo.log(Some(&id(&bad)), &id(&revert)).unwrap();
    assert_eq!(log.commits[0].reverts, Some(id(&bad)));
    assert_eq!(
        repo.changes(Some(&id(&good)), &id(&revert)).unwrap(),
        [],
        "nothing is left of it"
    );
}

#[test]
fn partial_writes() {
    let env = TestEnvironment::with_app();
    env.edit("Update podinfo", DEPLOYMENT, "podinfo:6.0.0", "podinfo:6.0.1");
    let before = env.show(&["plan"]);
    // Half of a `git pull`: files, locks, and the marks of a merge.
    env.write("repo/apps/deployment.yaml", "apiVersion: apps/v1\nkind: Depl");
    fs::remove_file(env.path("repo/apps/canary.yaml")).unwrap();
    for lock in [
        "index.lock",
        "HEAD.lock",
        "refs/heads/main.lock",
        "MERGE_HEAD",
        "packed-refs.lock",
    ] {
        env.write(&format!("repo/.git/{lock}"), "");
    }
    assert_eq!(env.show(&["plan"]), before, "what is read is the commit");
}

#[test]
fn missing_objects_alternates_and_partial_clones() {
    let env = TestEnvironment::new();
    let first = env.commit("one", &[("a", "1")]);
    env.git(&["clone", "-q", "--shared", ".", "../shared"]);
    let shared = open(&env.path("shared"));
    let blob = shared.tree(&id(&first)).unwrap().files["a"].id.clone();
    assert_eq!(shared.read(&blob, 10).unwrap(), b"1", "through an alternate");
    let (folder, file) = blob.as_str().split_at(2);
    fs::remove_file(env.path("repo/.git/objects").join(folder).join(file)).unwrap();
    let missing = open(&env.path("repo")).read(&blob, 10);
    assert!(matches!(missing, Err(RepoError::NoBlob { .. })), "{missing:?}");
    // One that would fetch what is missing, by a program that leaves a trace.
    env.git(&["config", "remote.origin.url", "ext::touch fetched"]);
    env.git(&["config", "remote.origin.promisor", "true"]);
    assert!(open(&env.path("repo")).read(&blob, 10).is_err());
    env.git(&["config", "core.repositoryformatversion", "1"]);
    env.git(&["config", "extensions.partialclone", "origin"]);
    let refused = Checkout::open(env.path("repo"), Options::default()).unwrap_err();
    assert!(matches!(refused, RepoError::Unsupported { .. }), "{refused}");
    assert!(!env.path("repo/fetched").exists());
}

#[test]
fn submodules() {
    let env = TestEnvironment::new();
    let first = env.commit("one", &[("a", "1")]);
    let point = |to: &str| {
        env.git(&[
            "update-index",
            "--add",
            "--cacheinfo",
            &format!("160000,{to},base/module"),
        ]);
        env.git(&["commit", "-q", "-m", "Point"]);
        env.remember()
    };
    let second = point(&first);
    let third = point(&second);
    let repo = open(&env.path("repo"));
    let change = Change {
        path: "base/module".into(),
        before: Some(first.parse().unwrap()),
        after: Some(second.parse().unwrap()),
        mode: Mode::Submodule,
    };
    assert_eq!(repo.changes(Some(&id(&second)), &id(&third)).unwrap(), [change]);
}

#[test]
fn lfs_pointers() {
    let env = TestEnvironment::with_app();
    let pointer = "version https://git-lfs.github.com/spec/v1\noid sha256:00\nsize 1\n";
    env.commit("Store it elsewhere", &[("apps/large.yaml", pointer)]);
    let said = env.show(&["plan"]);
    assert!(
        said.contains("apps/large.yaml:1:1: the file is a pointer to Git LFS, not a manifest"),
        "{said}"
    );
}

#[test]
fn symlinks_in_the_tree() {
    let env = TestEnvironment::with_app();
    env.write("outside.yaml", "kind: Secret\n");
    for (name, target) in [
        ("up.yaml", "../../outside.yaml"),
        ("root.yaml", "/etc/passwd"),
        ("loop.yaml", "loop.yaml"),
    ] {
        symlink(target, env.path("repo/apps").join(name)).unwrap();
    }
    symlink("/etc", env.path("repo/apps/folder")).unwrap();
    let commit = env.commit("Link", &[]);
    let tree = open(&env.path("repo")).tree(&id(&commit)).unwrap();
    let links = tree.files.values().filter(|entry| entry.mode == Mode::Link);
    assert_eq!(links.count(), 4);
    assert!(!tree.files.contains_key("apps/folder/passwd"));
    let said = env.show(&["plan"]);
    assert!(!said.contains("Secret") && !said.contains("root:"), "{said}");
    assert!(said.contains("no canary is touched"), "{said}");
}

#[test]
fn crlf_filters_and_encoding() {
    let env = TestEnvironment::new();
    env.git(&["config", "filter.evil.smudge", "touch ran"]);
    env.git(&["config", "filter.evil.clean", "cat"]);
    env.git(&["config", "core.autocrlf", "false"]);
    let crlf = |text: &str| text.replace('\n', "\r\n");
    let files: Vec<_> = APP.iter().map(|(path, text)| (*path, crlf(text))).collect();
    let files: Vec<_> = files.iter().map(|(path, text)| (*path, text.as_str())).collect();
    env.commit("Add podinfo", &files);
    let marked = format!("\u{feff}{}", APP[2].1.replace("podinfo:6.0.0", "podinfo:6.0.1"));
    env.commit(
        "Update",
        &[
            (DEPLOYMENT, &marked),
            (".gitattributes", "*.yaml filter=evil eol=crlf\n"),
        ],
    );
    let said = env.show(&["plan"]);
    assert!(said.contains("image podinfo 6.0.0 → 6.0.1"), "{said}");
    assert!(
        !env.path("repo/ran").exists(),
        "what git would run for a work tree is not run"
    );
}

/// A checkout of which no directory can be watched.
#[derive(Debug)]
struct Unwatched(Checkout);

impl Repository for Unwatched {
    fn name(&self) -> String {
        self.0.name()
    }
    fn path(&self) -> &str {
        self.0.path()
    }
    fn newest(&self) -> Result<Revision, RepoError> {
        self.0.newest()
    }
    fn log(&self, from: Option<&CommitId>, to: &CommitId) -> Result<Log, RepoError> {
        self.0.log(from, to)
    }
    fn history(&self, to: &CommitId, limit: usize) -> Result<Vec<Commit>, RepoError> {
        self.0.history(to, limit)
    }
    fn tree(&self, id: &CommitId) -> Result<Tree, RepoError> {
        self.0.tree(id)
    }
    fn changes(&self, from: Option<&CommitId>, to: &CommitId) -> Result<Vec<Change>, RepoError> {
        self.0.changes(from, to)
    }
    fn whole_tree(&self, id: &CommitId) -> Result<Tree, RepoError> {
        self.0.whole_tree(id)
    }
    fn whole_changes(&self, from: Option<&CommitId>, to: &CommitId) -> Result<Vec<Change>, RepoError> {
        self.0.whole_changes(from, to)
    }
    fn read(&self, id: &BlobId, limit: usize) -> Result<Vec<u8>, RepoError> {
        self.0.read(id, limit)
    }
    fn watched(&self) -> Vec<(PathBuf, bool)> {
        vec![("/nowhere".into(), true)]
    }
}

#[tokio::test]
async fn inotify_limits() {
    let env = TestEnvironment::new();
    let first = env.commit("one", &[("a", "1")]);
    let hints = Hints::Files {
        poll: Duration::from_millis(50),
    };
    let mut watch = Watch::start(Arc::new(Unwatched(open(&env.path("repo")))), hints);
    assert_eq!(next(&mut watch).await, first);
    let second = env.commit("two", &[("a", "2")]);
    assert_eq!(
        next(&mut watch).await,
        second,
        "the poll finds what no event tells"
    );
}

#[tokio::test]
async fn file_systems_without_events() {
    let env = TestEnvironment::new();
    let first = env.commit("one", &[("a", "1")]);
    let mut watch = Watch::start(
        Arc::new(open(&env.path("repo"))),
        Hints::Poll(Duration::from_millis(50)),
    );
    assert_eq!(next(&mut watch).await, first);
    let file = env.path("repo/.git/refs/heads/main");
    let time = fs::metadata(&file).unwrap().modified().unwrap();
    let second = env.commit("two", &[("a", "2")]);
    // As one whose clock counts in hours: the same time, the same size, another content.
    fs::File::options()
        .write(true)
        .open(&file)
        .unwrap()
        .set_modified(time)
        .unwrap();
    assert_eq!(next(&mut watch).await, second);
}

#[tokio::test]
async fn config_map_mounts() {
    let env = TestEnvironment::new();
    let first = env.commit("one", &[("a", "1")]);
    let mount = env.path("mount");
    let volume = |number: u32| mount.join(format!("..2026_11_{number}"));
    let put = |number: u32| {
        fs::create_dir_all(volume(number)).unwrap();
        let clone = volume(number).join("repo").display().to_string();
        env.git(&["clone", "-q", "--no-hardlinks", ".", &clone]);
        flip(&mount.join("..data"), format!("..2026_11_{number}"));
    };
    put(1);
    symlink("..data/repo", mount.join("repo")).unwrap();
    let mut watch = by_files(open(&mount.join("repo")));
    assert_eq!(next(&mut watch).await, first);
    let second = env.commit("two", &[("a", "2")]);
    put(2);
    fs::remove_dir_all(volume(1)).unwrap();
    assert_eq!(next(&mut watch).await, second);
}

#[test]
fn uid_mismatch() {
    let env = TestEnvironment::with_app();
    for path in ["repo", "repo/.git", "repo/.git/config", "repo/.git/HEAD"] {
        // Who may not give files away runs the rest of the test as the owner.
        std::os::unix::fs::chown(env.path(path), Some(65533), None).ok();
    }
    env.write("home/.gitconfig", "[include\nbroken");
    let said = env.show(&["plan"]);
    assert!(said.starts_with("exit 0"), "{said}");
}

#[test]
fn clocks() {
    let env = TestEnvironment::new();
    let commit = |subject: &str, time: &str| {
        let mut command = env.program(
            Path::new("git"),
            &["commit", "-q", "--allow-empty", "-m", subject],
        );
        command
            .env("GIT_AUTHOR_DATE", time)
            .env("GIT_COMMITTER_DATE", time);
        assert_eq!(env.finish(command).code, Some(0));
        env.remember()
    };
    let first = commit("one", "2099-01-01T00:00:00Z");
    commit("two", "1980-01-01T00:00:00Z");
    let third = commit("three", "2050-01-01T00:00:00Z");
    let log = open(&env.path("repo"))
        .log(Some(&id(&first)), &id(&third))
        .unwrap();
    let subjects: Vec<_> = log.commits.iter().map(|commit| commit.subject.as_str()).collect();
    assert_eq!(
        (log.since, subjects),
        (Since::Linear, vec!["three", "two"]),
        "by the graph, never by time"
    );
}

#[tokio::test]
async fn signalling() {
    let env = TestEnvironment::new();
    let first = env.commit("one", &[("a", "1")]);
    let trigger = Trigger::default();
    let _touched = Touched::watch(&env.path("touched"), trigger.clone()).unwrap();
    let mut watch = Watch::start(Arc::new(open(&env.path("repo"))), Hints::Trigger(trigger.clone()));
    assert_eq!(next(&mut watch).await, first);
    let second = env.commit("two", &[("a", "2")]);
    env.write("other", "");
    assert!(quiet(&mut watch).await, "another file says nothing");
    let touch = || {
        let touched = Command::new("touch").arg(env.path("touched")).status();
        assert!(touched.unwrap().success());
    };
    touch();
    assert_eq!(next(&mut watch).await, second);
    let third = env.commit("three", &[("a", "3")]);
    touch();
    assert_eq!(next(&mut watch).await, third, "also when it is there already");
    let fourth = env.commit("four", &[("a", "4")]);
    trigger.fire();
    assert_eq!(next(&mut watch).await, fourth);
}

#[test]
fn the_documented_table_has_a_test_for_each_line() {
    let page = include_str!("../../docs/sources.md");
    let table = page.split_once("| hazard | what Serin does |").unwrap().1;
    let rows = table.lines().skip(2).take_while(|line| line.starts_with("| "));
    let names: Vec<_> = rows
        .map(|row| row.split('|').nth(1).unwrap().trim().replace(' ', "_"))
        .collect();
    assert!(names.len() > 20, "{names:?}");
    for name in names {
        assert!(
            include_str!("hazards.rs").contains(&format!("fn {name}()")),
            "no test is named {name}"
        );
    }
}

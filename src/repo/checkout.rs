//! A checkout: a directory with a repository that another process keeps current.

use std::{
    collections::BTreeMap,
    path::{Path, PathBuf},
    sync::{Mutex, MutexGuard},
};

use super::{
    BlobId, Change, Commit, CommitId, Log, RepoError, Revision, Tree,
    backend::{self, Backend, Parent, Reader},
    git::Git,
};

/// The largest commit object that is read.
const MAX_COMMIT: usize = 1 << 20;

/// What to read of a checkout.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Options {
    /// The branch to follow. `None`: the one that is checked out. Names the branch when HEAD is detached.
    pub branch: Option<String>,
    /// The directory to read below the top of the repository; empty for all.
    pub path: String,
}

/// A repository on disk that another process updates. The directory is trusted, whoever owns it.
///
/// It is read by libgit2, or by the `git` command where libgit2 cannot.
pub struct Checkout {
    dir: PathBuf,
    branch: Option<String>,
    path: String,
    git: Git,
    reader: Reader,
    backend: Mutex<Box<dyn Backend>>,
}

impl Checkout {
    /// Opens the repository at `dir`, and only there: directories above it are not searched.
    pub fn open(dir: impl Into<PathBuf>, options: Options) -> Result<Self, RepoError> {
        Self::open_by(Reader::Best, Git::find(), dir.into(), options)
    }

    pub(super) fn open_by(
        reader: Reader,
        git: Git,
        dir: PathBuf,
        options: Options,
    ) -> Result<Self, RepoError> {
        let path = clean_path(&options.path)?;
        let opened = backend::open(&dir, &git, reader, None)?;
        let backend = opened.ok_or_else(|| RepoError::NoDirectory { dir: dir.clone() })?;
        Ok(Self {
            dir,
            branch: options.branch,
            path,
            git,
            reader,
            backend: Mutex::new(backend),
        })
    }

    /// Returns the directory that was given.
    #[must_use]
    pub fn dir(&self) -> &Path {
        &self.dir
    }

    /// Returns the path below the top of the repository that is read; empty for all.
    #[must_use]
    pub fn path(&self) -> &str {
        &self.path
    }

    /// Returns a name for this source: that of its directory, links followed only where there is none.
    #[must_use]
    pub fn name(&self) -> String {
        let last = |path: &Path| path.file_name().map(|name| name.to_string_lossy().into_owned());
        last(&self.dir)
            .or_else(|| last(&self.dir.canonicalize().ok()?))
            .unwrap_or_else(|| "checkout".to_owned())
    }

    /// Returns the directory that all work trees of the repository share (where its refs and objects are).
    #[must_use]
    pub fn common_dir(&self) -> PathBuf {
        self.lock().common_dir()
    }

    /// Returns the address of the remote `origin`. Read from the configuration of the repository alone, in whatever
    /// format the rest of it is.
    #[must_use]
    pub fn url(&self) -> Option<String> {
        let config = git2::Config::open(&self.common_dir().join("config")).ok()?;
        let url = config.get_string("remote.origin.url").ok()?;
        (!url.trim().is_empty()).then(|| url.trim().to_owned())
    }

    /// Reads a commit as the object that it is, by the `git` command.
    pub fn raw_commit(&self, id: &CommitId) -> Result<Vec<u8>, RepoError> {
        let git_dir = self.common_dir();
        let command = super::git::Git::find()
            .local(&git_dir)
            .args(["cat-file", "commit"]);
        let read = command.arg(id.as_str()).limit(MAX_COMMIT).run();
        read.map_err(|error| RepoError::Other {
            dir: self.dir().to_owned(),
            message: error.to_string(),
        })
    }

    /// Returns the newest revision. Everything is resolved afresh: the link, the repository, HEAD, the ref.
    pub fn newest(&self) -> Result<Revision, RepoError> {
        let mut backend = self.lock();
        match backend::open(&self.dir, &self.git, self.reader, Some(&**backend))? {
            None => backend.head(self.branch.as_deref()),
            Some(fresh) => {
                let revision = fresh.head(self.branch.as_deref())?;
                *backend = fresh;
                Ok(revision)
            }
        }
    }

    /// Returns where a change of files may mean a new revision, and whether what is below counts too:
    /// directories, for git replaces files and git-sync replaces links.
    pub(super) fn watched(&self) -> Vec<(PathBuf, bool)> {
        let mut found = BTreeMap::new();
        let dir = self.dir();
        // A link, or where one was a moment ago.
        if std::fs::symlink_metadata(dir).map_or(true, |meta| meta.is_symlink()) {
            let parent = dir.parent().filter(|parent| !parent.as_os_str().is_empty());
            found.insert(parent.map_or_else(|| PathBuf::from("."), PathBuf::from), false);
        }
        let backend = self.lock();
        let common = backend.common_dir();
        found.insert(backend.git_dir(), false);
        found.insert(common.join("refs").join("heads"), true);
        found.insert(common.join("reftable"), false);
        found.insert(common, false);
        found.into_iter().filter(|(dir, _)| dir.is_dir()).collect()
    }

    /// Resolves what a user writes for a commit: an id, a branch, a tag, `HEAD~2`, `main@sha1:<hex>`.
    pub fn resolve(&self, spec: &str) -> Result<Revision, RepoError> {
        let newest = self.newest()?;
        if spec.is_empty() || spec == "HEAD" {
            return Ok(newest);
        }
        let wanted = spec.parse::<Revision>();
        let text = wanted.as_ref().map_or(spec, |revision| revision.id.as_str());
        // `HEAD` means the followed branch, which another process may have checked out elsewhere.
        let text = match text.strip_prefix("HEAD") {
            Some(rest) if rest.starts_with(['~', '^']) => format!("{}{rest}", newest.id),
            _ => text.to_owned(),
        };
        let backend = self.lock();
        let id = backend
            .commit_of(&text)
            .ok_or_else(|| RepoError::UnknownRevision {
                dir: self.dir.clone(),
                spec: spec.to_owned(),
                shallow: backend.is_shallow(),
            })?;
        Ok(Revision {
            branch: newest.branch,
            id,
        })
    }

    /// Resolves a range: `A..B`; `B` alone is its change over its first parent; empty is that of the newest.
    /// The start is `None` for a first commit.
    pub fn range(&self, spec: &str) -> Result<(Option<Revision>, Revision), RepoError> {
        if let Some((from, to)) = spec.split_once("..") {
            return Ok((
                Some(self.resolve(from)?),
                self.resolve(to.trim_start_matches('.'))?,
            ));
        }
        let to = self.resolve(spec)?;
        let from = match self.lock().parent(&to.id)? {
            Parent::Root => None,
            Parent::Is(id) => Some(Revision {
                branch: to.branch.clone(),
                id,
            }),
            Parent::Cut => {
                return Err(RepoError::UnknownRevision {
                    dir: self.dir.clone(),
                    spec: format!("{}^", to.id.short()),
                    shallow: true,
                });
            }
        };
        Ok((from, to))
    }

    /// Lists the first-parent commits of `to` that `from` does not have.
    pub fn log(&self, from: Option<&CommitId>, to: &CommitId) -> Result<Log, RepoError> {
        self.lock().log(from, to)
    }

    /// Lists the newest first-parent commits of a revision, at most `limit`.
    pub fn history(&self, to: &CommitId, limit: usize) -> Result<Vec<Commit>, RepoError> {
        self.lock().history(to, limit)
    }

    /// Lists the files of a commit below the path that is read.
    pub fn tree(&self, id: &CommitId) -> Result<Tree, RepoError> {
        self.lock().tree(&self.path, id)
    }

    /// Lists all files of a commit, wherever they are.
    pub fn whole_tree(&self, id: &CommitId) -> Result<Tree, RepoError> {
        self.lock().tree("", id)
    }

    /// Lists all files that differ between two commits, wherever they are.
    pub fn whole_changes(&self, from: Option<&CommitId>, to: &CommitId) -> Result<Vec<Change>, RepoError> {
        self.lock().changes("", from, to)
    }

    /// Lists the files below the path that is read that differ between two commits; all of them are new when
    /// there is no commit to compare with.
    pub fn changes(&self, from: Option<&CommitId>, to: &CommitId) -> Result<Vec<Change>, RepoError> {
        self.lock().changes(&self.path, from, to)
    }

    /// Reads a blob of at most `limit` bytes.
    pub fn read(&self, id: &BlobId, limit: usize) -> Result<Vec<u8>, RepoError> {
        self.lock().read(id, limit)
    }

    fn lock(&self) -> MutexGuard<'_, Box<dyn Backend>> {
        self.backend
            .lock()
            .unwrap_or_else(std::sync::PoisonError::into_inner)
    }
}

impl std::fmt::Debug for Checkout {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Checkout")
            .field("dir", &self.dir)
            .field("path", &self.path)
            .finish_non_exhaustive()
    }
}

/// Normalises a path inside the repository: `./apps//test/` is `apps/test`.
pub(super) fn clean_path(path: &str) -> Result<String, RepoError> {
    let bad = || RepoError::BadPath {
        path: path.to_owned(),
    };
    if path.starts_with('/') || path.contains('\0') {
        return Err(bad());
    }
    let mut parts = Vec::new();
    for part in path.split('/').filter(|part| !part.is_empty() && *part != ".") {
        if part == ".." {
            return Err(bad());
        }
        parts.push(part);
    }
    Ok(parts.join("/"))
}

#[cfg(test)]
mod tests {

    use super::*;
    use crate::{
        error::{Class, Classified as _},
        repo::{
            git::Version,
            testing::{Kind, Repo, git, has_reftable},
        },
    };

    fn open(dir: &Path) -> Result<Checkout, RepoError> {
        Checkout::open(dir, Options::default())
    }

    #[test]
    fn the_newest_revision_is_resolved_afresh_each_time() {
        for repo in Repo::each() {
            let first = repo.commit(&[("a", "1")]);
            let checkout = repo.checkout("");
            assert_eq!(
                checkout.newest().unwrap().to_string(),
                format!("main@{}:{first}", repo.hash())
            );
            let second = repo.commit(&[("a", "2")]);
            assert_eq!(checkout.newest().unwrap().id, second);
            repo.git(&["pack-refs", "--all", "--prune"]);
            assert!(!repo.dir().join(".git/refs/heads/main").exists());
            assert_eq!(checkout.newest().unwrap().id, second);
            repo.git(&["checkout", "-q", "-b", "feature/x"]);
            assert_eq!(checkout.newest().unwrap().branch, "feature/x");
            let third = repo.commit(&[("a", "3")]);
            assert_eq!(checkout.newest().unwrap().id, third);
            assert_eq!(repo.on_branch("main").newest().unwrap().id, second);
        }
    }

    #[test]
    fn a_detached_head_takes_its_branch_from_the_option() {
        for repo in Repo::each() {
            let first = repo.commit(&[("a", "1")]);
            repo.git(&["checkout", "-q", "--detach"]);
            assert_eq!(
                repo.checkout("").newest().unwrap().to_string(),
                format!("HEAD@{}:{first}", repo.hash())
            );
            assert_eq!(
                repo.on_branch("release").newest().unwrap().to_string(),
                format!("release@{}:{first}", repo.hash())
            );
        }
    }

    #[test]
    fn a_rebase_in_progress_shows_its_branch_where_it_was() {
        for repo in Repo::each() {
            repo.commit(&[("a", "1")]);
            repo.git(&["checkout", "-q", "-b", "side"]);
            let side = repo.commit(&[("a", "side")]);
            repo.git(&["checkout", "-q", "main"]);
            repo.commit(&[("a", "main")]);
            repo.git(&["checkout", "-q", "side"]);
            let conflicts = std::panic::catch_unwind(|| repo.git(&["rebase", "-q", "main"]));
            assert!(conflicts.is_err(), "the rebase stops half-way");
            assert_eq!(
                repo.checkout("").newest().unwrap().to_string(),
                format!("side@{}:{side}", repo.hash())
            );
        }
    }

    #[test]
    fn work_trees_bare_repositories_and_links_are_repositories() {
        for repo in Repo::each() {
            let first = repo.commit(&[("a", "1")]);
            let other = tempfile::tempdir().unwrap();
            let tree = other.path().join("tree");
            repo.git(&["worktree", "add", "-q", "-b", "wt", tree.to_str().unwrap()]);
            assert_eq!(repo.open_at(&tree, "").unwrap().newest().unwrap().branch, "wt");
            assert_eq!(
                repo.open_at(&tree, "").unwrap().common_dir(),
                repo.checkout("").common_dir()
            );
            let bare = other.path().join("bare.git");
            repo.git(&["clone", "-q", "--bare", ".", bare.to_str().unwrap()]);
            assert_eq!(repo.open_at(&bare, "").unwrap().newest().unwrap().id, first);
            assert_eq!(repo.open_at(&bare, "").unwrap().name(), "bare.git");
        }
    }

    #[test]
    fn another_owner_is_no_obstacle_and_no_configuration_of_the_user_is_read() {
        let repo = Repo::new();
        repo.commit(&[("a", "1")]);
        for path in [
            repo.dir().to_owned(),
            repo.dir().join(".git"),
            repo.dir().join(".git/config"),
        ] {
            match std::os::unix::fs::chown(&path, Some(65533), None) {
                Ok(()) => {}
                Err(error) => assert_eq!(error.kind(), std::io::ErrorKind::PermissionDenied),
            }
        }
        assert!(repo.checkout("").newest().is_ok());
    }

    #[test]
    fn each_kind_of_bad_repository_is_named_with_a_hint() {
        let dir = tempfile::tempdir().unwrap();
        let missing = open(&dir.path().join("none")).unwrap_err();
        assert!(matches!(missing, RepoError::NoDirectory { .. }));
        assert!(matches!(missing.class(), Class::Retry(_)));
        assert!(matches!(
            open(dir.path()).unwrap_err(),
            RepoError::NotARepository { above: None, .. }
        ));

        let repo = Repo::new();
        let empty = repo.checkout("").newest().unwrap_err();
        assert_eq!(
            empty,
            RepoError::NoCommit {
                dir: repo.dir().into(),
                branch: "main".into()
            }
        );
        assert_eq!(empty.class(), Class::WaitForChange);
        repo.commit(&[("sub/a", "1")]);
        let below = open(&repo.dir().join("sub")).unwrap_err();
        let RepoError::NotARepository {
            above: Some(above), ..
        } = &below
        else {
            panic!("{below}")
        };
        assert_eq!(above, &repo.dir().canonicalize().unwrap());
        assert!(below.hint().unwrap().contains("--path"));

        let gone = repo.on_branch("gone").newest().unwrap_err();
        assert!(gone.hint().unwrap().ends_with("--branch: main"), "{gone}");
        let unknown = repo.checkout("").resolve("v9").unwrap_err();
        assert_eq!(
            unknown.to_string(),
            format!("`v9` names no commit in `{}`", repo.dir().display())
        );

        let lost = dir.path().join("lost");
        std::fs::create_dir(&lost).unwrap();
        std::fs::write(lost.join(".git"), "gitdir: /elsewhere/.git/worktrees/lost\n").unwrap();
        assert!(matches!(open(&lost).unwrap_err(), RepoError::LostGitDir { .. }));
    }

    /// A repository that says of itself that it has a format.
    fn with_format(key: &str, value: &str) -> Repo {
        let repo = Repo::new();
        repo.commit(&[("a", "1")]);
        git(repo.dir(), &["config", "core.repositoryformatversion", "1"]);
        git(repo.dir(), &["config", &format!("extensions.{key}"), value]);
        repo
    }

    #[test]
    fn formats_that_nothing_reads_are_named() {
        for (key, value, advice) in [
            ("partialclone", "origin", "make the clone without `--filter`"),
            ("fromthefuture", "true", "make a plain clone"),
        ] {
            let repo = with_format(key, value);
            let error = open(repo.dir()).unwrap_err();
            let what = format!("extensions.{key} = {value}");
            assert_eq!(
                error,
                RepoError::Unsupported {
                    dir: repo.dir().into(),
                    what
                }
            );
            assert!(error.hint().unwrap().contains(advice), "{error}");
        }
    }

    #[test]
    fn a_git_that_is_missing_or_too_old_is_named_with_the_one_that_is_needed() {
        let bin = tempfile::tempdir().unwrap();
        let old = crate::repo::testing::script(bin.path(), "git", "echo git version 2.39.5");
        let by = |git: Git, repo: &Repo| {
            Checkout::open_by(Reader::Best, git, repo.dir().to_owned(), Options::default()).unwrap_err()
        };
        let repo = with_format("refstorage", "reftable");
        let error = by(Git::at(old), &repo);
        assert_eq!(
            error.to_string(),
            format!(
                "the repository `{}` uses extensions.refstorage = reftable, which takes git 2.45 or newer to read: it \
                 is version 2.39",
                repo.dir().display()
            )
        );
        let hint = error.hint().unwrap();
        assert!(
            hint.starts_with("install git 2.45 or newer where Serin runs; or "),
            "{hint}"
        );
        assert!(hint.contains("--ref-format=files"), "{hint}");
        let error = by(Git::at("/no/git"), &Repo::of(Kind::Sha256));
        assert!(error.to_string().contains("objectformat = sha256"), "{error}");
        assert!(
            error.to_string().contains("`/no/git` cannot be started"),
            "{error}"
        );
        assert_eq!(error.class(), Class::UserMustFix);
    }

    #[test]
    fn reftable_is_read_where_git_can_and_refused_by_name_where_it_cannot() {
        if has_reftable() {
            let repo = Repo::of(Kind::Reftable);
            repo.git(&["config", "core.logAllRefUpdates", "false"]); // 2.47 migrates no logs
            let first = repo.commit(&[("a", "1")]);
            assert_eq!(repo.checkout("").newest().unwrap().id, first);
            let watched = repo.checkout("").watched();
            assert!(watched.iter().any(|(dir, _)| dir.ends_with(".git/reftable")));
            repo.git(&["refs", "migrate", "--ref-format=files"]);
            assert_eq!(repo.checkout("").newest().unwrap().id, first);
        } else {
            let error = open(with_format("refstorage", "reftable").dir()).unwrap_err();
            let RepoError::NeedsGit { oldest, .. } = error else {
                panic!("{error}")
            };
            assert_eq!(oldest, Version(2, 45));
        }
    }

    #[test]
    fn few_directories_are_watched() {
        let repo = Repo::new();
        repo.commit(&[("a/b/c/d", "1")]);
        let top = repo.dir().canonicalize().unwrap();
        let watched = repo.checkout("").watched();
        let names: Vec<_> = watched
            .iter()
            .map(|(dir, _)| dir.strip_prefix(&top).unwrap().display().to_string())
            .collect();
        assert_eq!(names, [".git", ".git/refs/heads"]);
    }

    #[test]
    fn ranges_and_revisions_as_users_write_them() {
        for repo in Repo::each() {
            let a = repo.commit(&[("a", "1")]);
            let b = repo.commit(&[("a", "2")]);
            let c = repo.commit(&[("a", "3")]);
            let checkout = repo.checkout("");
            let ids = |spec: &str| {
                let (from, to) = checkout.range(spec).unwrap();
                (from.map(|from| from.id), to.id)
            };
            assert_eq!(ids(""), (Some(b.clone()), c.clone()));
            assert_eq!(ids("HEAD~1"), (Some(a.clone()), b.clone()));
            assert_eq!(ids("HEAD~2..HEAD"), (Some(a.clone()), c.clone()));
            assert_eq!(ids(&format!("{}..main", a.short())), (Some(a.clone()), c.clone()));
            assert_eq!(ids(&format!("main@{}:{a}", repo.hash())), (None, a));
        }
    }
}

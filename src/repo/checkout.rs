//! A checkout: a directory with a repository that another process keeps current.

use std::{
    collections::BTreeMap,
    path::{Path, PathBuf},
    sync::{Mutex, MutexGuard},
};

use git2::{ErrorCode, ObjectType, Reference, Repository, RepositoryState};

use super::{BlobId, CommitId, RepoError, Revision, open};

/// What to read of a checkout.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Options {
    /// The branch to follow. `None`: the one that is checked out. Names the branch when HEAD is detached.
    pub branch: Option<String>,
    /// The directory to read below the top of the repository; empty for all.
    pub path: String,
}

/// A repository on disk that another process updates. The directory is trusted, whoever owns it.
pub struct Checkout {
    dir: PathBuf,
    branch: Option<String>,
    path: String,
    repository: Mutex<Repository>,
}

impl Checkout {
    /// Opens the repository at `dir`, and only there: directories above it are not searched.
    pub fn open(dir: impl Into<PathBuf>, options: Options) -> Result<Self, RepoError> {
        let dir = dir.into();
        let repository = Mutex::new(open::open(&dir)?);
        Ok(Self {
            dir,
            branch: options.branch,
            path: clean_path(&options.path)?,
            repository,
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
        let own = self
            .dir
            .file_name()
            .map(|name| name.to_string_lossy().into_owned());
        own.or_else(|| {
            Some(
                self.dir
                    .canonicalize()
                    .ok()?
                    .file_name()?
                    .to_string_lossy()
                    .into_owned(),
            )
        })
        .unwrap_or_else(|| "checkout".to_owned())
    }

    /// Returns the directory that all work trees of the repository share (where its refs and objects are).
    #[must_use]
    pub fn common_dir(&self) -> PathBuf {
        self.lock().commondir().to_owned()
    }

    /// Returns the newest revision. Everything is resolved afresh: the link, the repository, HEAD, the ref.
    pub fn newest(&self) -> Result<Revision, RepoError> {
        let fresh = open::open(&self.dir)?;
        let revision = self.head(&fresh)?;
        *self.lock() = fresh;
        Ok(revision)
    }

    /// Returns where a change of files may mean a new revision, and whether what is below counts too:
    /// directories, for git replaces files and git-sync replaces links.
    pub(super) fn watched(&self) -> Vec<(PathBuf, bool)> {
        let mut found = BTreeMap::new();
        let dir = self.dir();
        if std::fs::symlink_metadata(dir).is_ok_and(|meta| meta.is_symlink()) {
            let parent = dir.parent().filter(|parent| !parent.as_os_str().is_empty());
            found.insert(parent.map_or_else(|| PathBuf::from("."), PathBuf::from), false);
        }
        let repository = self.lock();
        found.insert(repository.path().to_owned(), false);
        found.insert(repository.commondir().to_owned(), false);
        found.insert(repository.commondir().join("refs").join("heads"), true);
        found.into_iter().filter(|(dir, _)| dir.is_dir()).collect()
    }

    /// Resolves what a user writes for a commit: an id, a branch, a tag, `HEAD~2`, `main@sha1:<hex>`.
    pub fn resolve(&self, spec: &str) -> Result<Revision, RepoError> {
        let newest = self.newest()?;
        if spec.is_empty() || spec == "HEAD" {
            return Ok(newest);
        }
        let repository = self.lock();
        let wanted = spec.parse::<Revision>();
        let text = wanted.as_ref().map_or(spec, |revision| revision.id.as_str());
        // `HEAD` means the followed branch, which another process may have checked out elsewhere.
        let text = match text.strip_prefix("HEAD") {
            Some(rest) if rest.starts_with(['~', '^']) => format!("{}{rest}", newest.id),
            _ => text.to_owned(),
        };
        let commit = repository
            .revparse_single(&text)
            .and_then(|object| object.peel_to_commit())
            .map_err(|_| RepoError::UnknownRevision {
                dir: self.dir.clone(),
                spec: spec.to_owned(),
                shallow: repository.is_shallow(),
            })?;
        Ok(Revision {
            branch: newest.branch,
            id: commit.id().into(),
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
        let repository = self.lock();
        let oid = self.oid(&to.id)?;
        let commit = repository
            .find_commit(oid)
            .map_err(|error| self.missing(&error, &to.id))?;
        let Ok(parent) = commit.parent_id(0) else {
            // At the boundary of a shallow clone libgit2 hides the parents that the commit names.
            if !commit
                .raw_header_bytes()
                .split(|byte| *byte == b'\n')
                .any(|line| line.starts_with(b"parent "))
            {
                return Ok((None, to));
            }
            let spec = format!("{}^", to.id.short());
            return Err(RepoError::UnknownRevision {
                dir: self.dir.clone(),
                spec,
                shallow: true,
            });
        };
        Ok((
            Some(Revision {
                branch: to.branch.clone(),
                id: parent.into(),
            }),
            to,
        ))
    }

    /// Reads a blob of at most `limit` bytes.
    pub fn read(&self, id: &BlobId, limit: usize) -> Result<Vec<u8>, RepoError> {
        let gone = |_| RepoError::NoBlob {
            dir: self.dir.clone(),
            id: id.clone(),
        };
        let oid = git2::Oid::from_str(id.as_str()).map_err(gone)?;
        let repository = self.lock();
        let odb = repository.odb().map_err(|error| self.other(&error))?;
        let (size, kind) = odb.read_header(oid).map_err(gone)?;
        if kind != ObjectType::Blob {
            return Err(RepoError::NoBlob {
                dir: self.dir.clone(),
                id: id.clone(),
            });
        }
        if size > limit {
            return Err(RepoError::TooLarge { size, limit });
        }
        let object = odb.read(oid).map_err(gone)?;
        Ok(object.data().to_owned())
    }

    pub(super) fn lock(&self) -> MutexGuard<'_, Repository> {
        self.repository
            .lock()
            .unwrap_or_else(std::sync::PoisonError::into_inner)
    }

    pub(super) fn oid(&self, id: &CommitId) -> Result<git2::Oid, RepoError> {
        git2::Oid::from_str(id.as_str()).map_err(|_| RepoError::Gone {
            dir: self.dir.clone(),
            id: id.clone(),
        })
    }

    pub(super) fn missing(&self, error: &git2::Error, id: &CommitId) -> RepoError {
        if error.code() == ErrorCode::NotFound {
            RepoError::Gone {
                dir: self.dir.clone(),
                id: id.clone(),
            }
        } else {
            self.other(error)
        }
    }

    pub(super) fn other(&self, error: &git2::Error) -> RepoError {
        RepoError::Other {
            dir: self.dir.clone(),
            message: error.message().to_owned(),
        }
    }

    fn head(&self, repository: &Repository) -> Result<Revision, RepoError> {
        let head = repository
            .find_reference("HEAD")
            .map_err(|error| self.other(&error))?;
        let attached = head
            .symbolic_target()
            .ok()
            .flatten()
            .map(str::to_owned)
            .or_else(|| rebasing(repository));
        let Some(checked_out) = attached else {
            return self.detached(&head);
        };
        let wanted = self
            .branch
            .as_ref()
            .map_or(checked_out, |branch| format!("refs/heads/{branch}"));
        let branch = wanted.strip_prefix("refs/heads/").unwrap_or(&wanted).to_owned();
        match repository.refname_to_id(&wanted) {
            Ok(id) => Ok(Revision {
                branch,
                id: id.into(),
            }),
            Err(error) if error.code() != ErrorCode::NotFound => Err(self.other(&error)),
            Err(_) => {
                let (dir, existing) = (self.dir.clone(), branches(repository));
                if self.branch.is_some() && !existing.is_empty() {
                    Err(RepoError::NoBranch {
                        dir,
                        branch,
                        existing,
                    })
                } else {
                    Err(RepoError::NoCommit { dir, branch })
                }
            }
        }
    }

    fn detached(&self, head: &Reference<'_>) -> Result<Revision, RepoError> {
        let id = head.peel_to_commit().map_err(|error| self.other(&error))?.id();
        Ok(Revision {
            branch: self.branch.clone().unwrap_or_else(|| "HEAD".to_owned()),
            id: id.into(),
        })
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

/// Returns the branch that a rebase will move when it is done. HEAD is detached on half-made commits meanwhile.
fn rebasing(repository: &Repository) -> Option<String> {
    let state = repository.state();
    let folder = match state {
        RepositoryState::Rebase | RepositoryState::RebaseInteractive | RepositoryState::RebaseMerge => {
            "rebase-merge"
        }
        RepositoryState::ApplyMailboxOrRebase => "rebase-apply",
        _ => return None,
    };
    let name = std::fs::read_to_string(repository.path().join(folder).join("head-name")).ok()?;
    name.trim()
        .starts_with("refs/heads/")
        .then(|| name.trim().to_owned())
}

fn branches(repository: &Repository) -> Vec<String> {
    let names = repository
        .branches(Some(git2::BranchType::Local))
        .into_iter()
        .flatten()
        .flatten();
    let mut names: Vec<String> = names
        .filter_map(|(branch, _)| branch.name().ok().flatten().map(str::to_owned))
        .collect();
    names.sort();
    names.truncate(5);
    names
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
        repo::testing::{Repo, git},
    };

    fn open(dir: &Path) -> Result<Checkout, RepoError> {
        Checkout::open(dir, Options::default())
    }

    fn on_branch(repo: &Repo, branch: &str) -> Checkout {
        Checkout::open(
            repo.dir(),
            Options {
                branch: Some(branch.into()),
                path: String::new(),
            },
        )
        .unwrap()
    }

    #[test]
    fn the_newest_revision_is_resolved_afresh_each_time() {
        let repo = Repo::new();
        let first = repo.commit(&[("a", "1")]);
        let checkout = repo.checkout("");
        assert_eq!(
            checkout.newest().unwrap().to_string(),
            format!("main@sha1:{first}")
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
        assert_eq!(on_branch(&repo, "main").newest().unwrap().id, second);
    }

    #[test]
    fn a_detached_head_takes_its_branch_from_the_option() {
        let repo = Repo::new();
        let first = repo.commit(&[("a", "1")]);
        repo.git(&["checkout", "-q", "--detach"]);
        assert_eq!(
            repo.checkout("").newest().unwrap().to_string(),
            format!("HEAD@sha1:{first}")
        );
        assert_eq!(
            on_branch(&repo, "release").newest().unwrap().to_string(),
            format!("release@sha1:{first}")
        );
    }

    #[test]
    fn a_rebase_in_progress_shows_its_branch_where_it_was() {
        let repo = Repo::new();
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
            format!("side@sha1:{side}")
        );
    }

    #[test]
    fn work_trees_bare_repositories_and_links_are_repositories() {
        let repo = Repo::new();
        let first = repo.commit(&[("a", "1")]);
        let other = tempfile::tempdir().unwrap();
        let tree = other.path().join("tree");
        repo.git(&["worktree", "add", "-q", "-b", "wt", tree.to_str().unwrap()]);
        assert_eq!(open(&tree).unwrap().newest().unwrap().branch, "wt");
        assert_eq!(open(&tree).unwrap().common_dir(), repo.checkout("").common_dir());
        let bare = other.path().join("bare.git");
        repo.git(&["clone", "-q", "--bare", ".", bare.to_str().unwrap()]);
        assert_eq!(open(&bare).unwrap().newest().unwrap().id, first);
        assert_eq!(open(&bare).unwrap().name(), "bare.git");
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

        let gone = on_branch(&repo, "gone").newest().unwrap_err();
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

    #[test]
    fn formats_that_cannot_be_read_are_named() {
        for (key, value) in [
            ("refstorage", "reftable"),
            ("objectformat", "sha256"),
            ("partialclone", "origin"),
        ] {
            let repo = Repo::new();
            repo.commit(&[("a", "1")]);
            git(repo.dir(), &["config", "core.repositoryformatversion", "1"]);
            git(repo.dir(), &["config", &format!("extensions.{key}"), value]);
            let error = open(repo.dir()).unwrap_err();
            let what = format!("extensions.{key} = {value}");
            assert_eq!(
                error,
                RepoError::Unsupported {
                    dir: repo.dir().into(),
                    what
                }
            );
            assert!(error.hint().unwrap().contains("clone"), "{error}");
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
        let repo = Repo::new();
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
        assert_eq!(ids(&format!("main@sha1:{a}")), (None, a));
    }
}

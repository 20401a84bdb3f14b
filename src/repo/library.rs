//! A repository as libgit2 reads it.

use std::path::{Path, PathBuf};

use git2::{ErrorCode, ObjectType, Reference, Repository, RepositoryState};

use super::{
    BlobId, Change, Commit, CommitId, Log, RepoError, Revision, Tree,
    backend::{Backend, Parent},
    open,
};

/// A repository that libgit2 has opened.
pub(super) struct Library {
    /// The directory that the user has given, for messages.
    pub(super) dir: PathBuf,
    pub(super) repository: Repository,
}

impl Library {
    pub(super) fn open(dir: &Path) -> Result<Self, RepoError> {
        Ok(Self {
            dir: dir.to_owned(),
            repository: open::open(dir)?,
        })
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

    fn detached(&self, head: &Reference<'_>, branch: Option<&str>) -> Result<Revision, RepoError> {
        let id = head.peel_to_commit().map_err(|error| self.other(&error))?.id();
        Ok(Revision {
            branch: branch.unwrap_or("HEAD").to_owned(),
            id: id.into(),
        })
    }
}

impl Backend for Library {
    fn git_dir(&self) -> PathBuf {
        self.repository.path().to_owned()
    }

    fn common_dir(&self) -> PathBuf {
        self.repository.commondir().to_owned()
    }

    fn is_shallow(&self) -> bool {
        self.repository.is_shallow()
    }

    fn head(&self, branch: Option<&str>) -> Result<Revision, RepoError> {
        let repository = &self.repository;
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
            return self.detached(&head, branch);
        };
        let wanted = branch.map_or(checked_out, |branch| format!("refs/heads/{branch}"));
        let name = wanted.strip_prefix("refs/heads/").unwrap_or(&wanted).to_owned();
        match repository.refname_to_id(&wanted) {
            Ok(id) => Ok(Revision {
                branch: name,
                id: id.into(),
            }),
            Err(error) if error.code() != ErrorCode::NotFound => Err(self.other(&error)),
            Err(_) => Err(RepoError::no_branch(
                &self.dir,
                name,
                branch.is_some(),
                branches(repository),
            )),
        }
    }

    fn commit_of(&self, words: &str) -> Option<CommitId> {
        let object = self.repository.revparse_single(words).ok()?;
        Some(object.peel_to_commit().ok()?.id().into())
    }

    fn parent(&self, id: &CommitId) -> Result<Parent, RepoError> {
        let oid = self.oid(id)?;
        let commit = self
            .repository
            .find_commit(oid)
            .map_err(|error| self.missing(&error, id))?;
        if let Ok(parent) = commit.parent_id(0) {
            return Ok(Parent::Is(parent.into()));
        }
        // At the boundary of a shallow clone libgit2 hides the parents that the commit names.
        let mut lines = commit.raw_header_bytes().split(|byte| *byte == b'\n');
        Ok(if lines.any(|line| line.starts_with(b"parent ")) {
            Parent::Cut
        } else {
            Parent::Root
        })
    }

    fn log(&self, from: Option<&CommitId>, to: &CommitId) -> Result<Log, RepoError> {
        self.log_of(from, to)
    }

    fn history(&self, to: &CommitId, limit: usize) -> Result<Vec<Commit>, RepoError> {
        self.history_of(to, limit)
    }

    fn tree(&self, path: &str, id: &CommitId) -> Result<Tree, RepoError> {
        self.tree_of(path, id)
    }

    fn changes(&self, path: &str, from: Option<&CommitId>, to: &CommitId) -> Result<Vec<Change>, RepoError> {
        self.changes_of(path, from, to)
    }

    fn read(&self, id: &BlobId, limit: usize) -> Result<Vec<u8>, RepoError> {
        let gone = |_| RepoError::NoBlob {
            dir: self.dir.clone(),
            id: id.clone(),
        };
        let oid = git2::Oid::from_str(id.as_str()).map_err(gone)?;
        let odb = self.repository.odb().map_err(|error| self.other(&error))?;
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

    fn stays(&self, _real: &Path) -> bool {
        false
    }
}

/// Returns the branch that a rebase will move when it is done. HEAD is detached on half-made commits meanwhile.
fn rebasing(repository: &Repository) -> Option<String> {
    let state = repository.state();
    let half_way = matches!(
        state,
        RepositoryState::Rebase
            | RepositoryState::RebaseInteractive
            | RepositoryState::RebaseMerge
            | RepositoryState::ApplyMailboxOrRebase
    );
    half_way.then(|| open::rebased(repository.path())).flatten()
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

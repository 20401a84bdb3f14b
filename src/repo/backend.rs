//! How a repository on disk is read: by libgit2, or by the `git` command where libgit2 cannot (SHA-256,
//! reftable). Which of the two is chosen anew with each look.

use std::path::{Path, PathBuf};

use super::{
    BlobId, Change, Commit, CommitId, Log, RepoError, Revision, Tree, command::Commands, git::Git,
    library::Library,
};

/// A commit's first parent.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Parent {
    /// It has none.
    Root,
    /// This.
    Is(CommitId),
    /// It has one that is not here: the clone is shallow.
    Cut,
}

/// What a reader of a repository can do.
pub(super) trait Backend: Send {
    /// The directory of the work tree's own files: HEAD, index.
    fn git_dir(&self) -> PathBuf;

    /// The directory that all work trees share: refs, objects.
    fn common_dir(&self) -> PathBuf;

    /// Whether history is cut off.
    fn is_shallow(&self) -> bool;

    /// The newest commit of a branch; of the one that is checked out when none is named.
    fn head(&self, branch: Option<&str>) -> Result<Revision, RepoError>;

    /// The commit that a user's words mean.
    fn commit_of(&self, words: &str) -> Option<CommitId>;

    /// The first parent of a commit.
    fn parent(&self, id: &CommitId) -> Result<Parent, RepoError>;

    /// See [`super::Repository::log`].
    fn log(&self, from: Option<&CommitId>, to: &CommitId) -> Result<Log, RepoError>;

    /// See [`super::Repository::history`].
    fn history(&self, to: &CommitId, limit: usize) -> Result<Vec<Commit>, RepoError>;

    /// Lists the files of a commit below a path.
    fn tree(&self, path: &str, id: &CommitId) -> Result<Tree, RepoError>;

    /// Lists the files below a path that differ between two commits.
    fn changes(&self, path: &str, from: Option<&CommitId>, to: &CommitId) -> Result<Vec<Change>, RepoError>;

    /// Reads a blob.
    fn read(&self, id: &BlobId, limit: usize) -> Result<Vec<u8>, RepoError>;

    /// Whether it can go on reading the repository at this real path.
    fn stays(&self, real: &Path) -> bool;
}

/// Which reader is wanted.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Reader {
    /// libgit2 where it can.
    Best,
    /// The `git` command.
    #[cfg(test)]
    Command,
}

/// Opens the repository at `dir`. `None`: what has been reading it can go on.
pub(super) fn open(
    dir: &Path,
    git: &Git,
    reader: Reader,
    now: Option<&dyn Backend>,
) -> Result<Option<Box<dyn Backend>>, RepoError> {
    let what = match (Library::open(dir), reader) {
        (Ok(library), Reader::Best) => return Ok(Some(Box::new(library))),
        (Err(RepoError::Unsupported { what, .. }), _) => what,
        (Err(error), _) => return Err(error),
        #[cfg(test)]
        (Ok(_), Reader::Command) => "extensions.of a test".to_owned(),
    };
    let real = dir
        .canonicalize()
        .map_err(|_| RepoError::NoDirectory { dir: dir.to_owned() })?;
    if now.is_some_and(|now| now.stays(&real)) {
        return Ok(None);
    }
    let commands = Commands::open(dir, &real, git, &what)?;
    Ok(Some(Box::new(commands)))
}

//! The seam to where revisions and files are read: a checkout through libgit2, one that only the `git` command
//! can read, a clone of our own, or the artifacts of Flux. What reads commits knows only this.

use std::{fmt, path::PathBuf};

use super::{BlobId, Change, Checkout, Commit, CommitId, Log, RepoError, Revision, Since, Tree};

/// A repository that can be read. Every call blocks.
pub trait Repository: fmt::Debug + Send + Sync {
    /// Returns a name for this source, such as that of its directory.
    fn name(&self) -> String;

    /// Returns the address that it is a clone of, if it is one; an error while that is not known yet.
    fn url(&self) -> Result<Option<String>, RepoError> {
        Ok(None)
    }

    /// Returns the path below the top of the repository that is read; empty for all.
    fn path(&self) -> &str;

    /// Brings what is read up to date with where it comes from. Nothing to do for what others keep current.
    fn refresh(&self) -> Result<(), RepoError> {
        Ok(())
    }

    /// Returns the newest revision, resolved afresh.
    fn newest(&self) -> Result<Revision, RepoError>;

    /// Lists the first-parent commits of `to` that `from` does not have.
    fn log(&self, from: Option<&CommitId>, to: &CommitId) -> Result<Log, RepoError>;

    /// Lists the newest first-parent commits of a revision, at most `limit`.
    fn history(&self, to: &CommitId, limit: usize) -> Result<Vec<Commit>, RepoError>;

    /// Lists the files of a commit below the path that is read.
    fn tree(&self, id: &CommitId) -> Result<Tree, RepoError>;

    /// Lists the files below the path that is read that differ between two commits; all of them are new when
    /// there is no commit to compare with.
    fn changes(&self, from: Option<&CommitId>, to: &CommitId) -> Result<Vec<Change>, RepoError>;

    /// Lists all files of a commit, wherever they are: an overlay may refer to what is outside of the path.
    fn whole_tree(&self, id: &CommitId) -> Result<Tree, RepoError>;

    /// Lists all files that differ between two commits, wherever they are.
    fn whole_changes(&self, from: Option<&CommitId>, to: &CommitId) -> Result<Vec<Change>, RepoError>;

    /// Reads a blob of at most `limit` bytes.
    fn read(&self, id: &BlobId, limit: usize) -> Result<Vec<u8>, RepoError>;

    /// Whether a revision has a commit in its history, or is that commit.
    fn contains(&self, commit: &CommitId, newer: &CommitId) -> bool {
        let log = self.log(Some(commit), newer);
        log.is_ok_and(|log| log.since == Since::Linear)
    }

    /// Reads a commit as the object that its signature is of; nothing where there are no commits.
    fn raw_commit(&self, _id: &CommitId) -> Result<Option<Vec<u8>>, RepoError> {
        Ok(None)
    }

    /// Returns what whoever brings the revisions found of the signature of one: that it is verified, or why not.
    /// Nothing where nobody else looks.
    fn verification(&self, _id: &CommitId) -> Option<Option<String>> {
        None
    }

    /// Returns the directory with the objects, where this is a git repository on this machine.
    fn git_dir(&self) -> Option<PathBuf> {
        None
    }

    /// Returns the directories in which a change of files may mean a new revision, and whether those below
    /// count too. None: only a poll or a trigger tells.
    fn watched(&self) -> Vec<(PathBuf, bool)> {
        Vec::new()
    }
}

impl Repository for Checkout {
    fn name(&self) -> String {
        self.name()
    }

    fn url(&self) -> Result<Option<String>, RepoError> {
        Ok(self.url())
    }

    fn path(&self) -> &str {
        self.path()
    }

    fn newest(&self) -> Result<Revision, RepoError> {
        self.newest()
    }

    fn log(&self, from: Option<&CommitId>, to: &CommitId) -> Result<Log, RepoError> {
        self.log(from, to)
    }

    fn history(&self, to: &CommitId, limit: usize) -> Result<Vec<Commit>, RepoError> {
        self.history(to, limit)
    }

    fn tree(&self, id: &CommitId) -> Result<Tree, RepoError> {
        self.tree(id)
    }

    fn changes(&self, from: Option<&CommitId>, to: &CommitId) -> Result<Vec<Change>, RepoError> {
        self.changes(from, to)
    }

    fn whole_tree(&self, id: &CommitId) -> Result<Tree, RepoError> {
        self.whole_tree(id)
    }

    fn whole_changes(&self, from: Option<&CommitId>, to: &CommitId) -> Result<Vec<Change>, RepoError> {
        self.whole_changes(from, to)
    }

    fn read(&self, id: &BlobId, limit: usize) -> Result<Vec<u8>, RepoError> {
        self.read(id, limit)
    }

    fn raw_commit(&self, id: &CommitId) -> Result<Option<Vec<u8>>, RepoError> {
        self.raw_commit(id).map(Some)
    }

    fn git_dir(&self) -> Option<PathBuf> {
        Some(self.common_dir())
    }

    fn watched(&self) -> Vec<(PathBuf, bool)> {
        self.watched()
    }
}

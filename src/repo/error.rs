//! What can be wrong with a repository, and what to do about it.

use std::{
    path::{Path, PathBuf},
    time::Duration,
};

use super::{
    BlobId, CommitId,
    git::{GitError, Version},
};
use crate::error::{Class, Classified};

/// How long to wait before a fault that is expected to pass is tried again.
const RETRY: Duration = Duration::from_secs(5);

/// A repository that cannot be read.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum RepoError {
    /// The directory does not exist (yet).
    #[error("`{}` does not exist", .dir.display())]
    NoDirectory {
        /// The directory that was given.
        dir: PathBuf,
    },
    /// The directory is not a repository.
    #[error("`{}` is not a git repository", .dir.display())]
    NotARepository {
        /// The directory that was given.
        dir: PathBuf,
        /// A directory above it that is one.
        above: Option<PathBuf>,
    },
    /// A work tree whose `.git` file names a directory that is not here.
    #[error("the work tree `{}` belongs to the git directory `{}`, which is not here", .dir.display(), .gitdir.display())]
    LostGitDir {
        /// The directory that was given.
        dir: PathBuf,
        /// What its `.git` file names.
        gitdir: PathBuf,
    },
    /// A repository format that libgit2 cannot read.
    #[error("the repository `{}` uses {what}, which cannot be read", .dir.display())]
    Unsupported {
        /// The directory that was given.
        dir: PathBuf,
        /// The extension, such as `extensions.refstorage = reftable`.
        what: String,
    },
    /// A repository format that only the `git` command can read, and not the one that is here.
    #[error("the repository `{}` uses {what}, which takes git {oldest} or newer to read: {found}", .dir.display())]
    NeedsGit {
        /// The directory that was given.
        dir: PathBuf,
        /// The extension, such as `extensions.refstorage = reftable`.
        what: String,
        /// The oldest git that can.
        oldest: Version,
        /// What is there instead.
        found: String,
    },
    /// The `git` command, or a remote that it talks to, failed.
    #[error(transparent)]
    Git(Box<GitError>),
    /// Another process keeps the clone.
    #[error("another process keeps the clone `{}`", .dir.display())]
    Taken {
        /// The repository.
        dir: PathBuf,
    },
    /// There is no place for a clone that nobody else can write to.
    #[error("`{}` cannot hold a clone: it cannot be made, or others can write to it", .dir.display())]
    NoCloneDir {
        /// The directory.
        dir: PathBuf,
    },
    /// A text that cannot be the name of a branch.
    #[error("`{branch}` cannot be the name of a branch")]
    BadBranch {
        /// What was given.
        branch: String,
    },
    /// The branch has no commit yet.
    #[error("the repository `{}` has no commit yet on branch `{branch}`", .dir.display())]
    NoCommit {
        /// The directory that was given.
        dir: PathBuf,
        /// The branch that HEAD names.
        branch: String,
    },
    /// The branch that was asked for does not exist.
    #[error("the repository `{}` has no branch `{branch}`", .dir.display())]
    NoBranch {
        /// The directory that was given.
        dir: PathBuf,
        /// The branch that was asked for.
        branch: String,
        /// Branches that exist (at most five).
        existing: Vec<String>,
    },
    /// A revision that nothing is known by.
    #[error("`{spec}` names no commit in `{}`", .dir.display())]
    UnknownRevision {
        /// The directory that was given.
        dir: PathBuf,
        /// What was asked for.
        spec: String,
        /// The clone is shallow: older commits are not here.
        shallow: bool,
    },
    /// A commit or tree that is not in the object database (any more).
    #[error("commit {id} is not in the repository `{}`", .dir.display())]
    Gone {
        /// The directory that was given.
        dir: PathBuf,
        /// The commit.
        id: CommitId,
    },
    /// Flux has not made an artifact yet, or an older one was forgotten.
    #[error("{}", no_artifact(.source_name, .id.as_ref()))]
    NoArtifact {
        /// The name of the source.
        source_name: String,
        /// The commit; none if there is no artifact at all.
        id: Option<CommitId>,
    },
    /// A blob that is not in the object database.
    #[error("blob {id} is not in the repository `{}`", .dir.display())]
    NoBlob {
        /// The directory that was given.
        dir: PathBuf,
        /// The blob.
        id: BlobId,
    },
    /// The path does not exist in the tree of a commit.
    #[error("commit {} has no directory `{path}`", .id.short())]
    NoPath {
        /// The path, relative to the top of the repository.
        path: String,
        /// The commit.
        id: CommitId,
    },
    /// A path that leaves the repository, or is absolute.
    #[error("`{path}` is not a path inside the repository")]
    BadPath {
        /// What was given.
        path: String,
    },
    /// A blob above the size limit.
    #[error("a file has {size} bytes, more than the limit of {limit}")]
    TooLarge {
        /// Its size.
        size: usize,
        /// The limit.
        limit: usize,
    },
    /// A tree above the limits.
    #[error("commit {} has {what} under `{path}`", .id.short())]
    TooMuch {
        /// The path that was listed.
        path: String,
        /// The commit.
        id: CommitId,
        /// Which limit, such as `more than 50000 files`.
        what: String,
    },
    /// Anything else that libgit2 or the file system reports.
    #[error("reading the repository `{}` failed: {message}", .dir.display())]
    Other {
        /// The directory that was given.
        dir: PathBuf,
        /// What was reported.
        message: String,
    },
}

impl RepoError {
    /// A branch without a commit: it does not exist, or nothing does yet.
    pub(super) fn no_branch(dir: &Path, branch: String, wanted: bool, existing: Vec<String>) -> Self {
        let dir = dir.to_owned();
        if wanted && !existing.is_empty() {
            Self::NoBranch {
                dir,
                branch,
                existing,
            }
        } else {
            Self::NoCommit { dir, branch }
        }
    }
}

impl From<GitError> for RepoError {
    fn from(error: GitError) -> Self {
        Self::Git(Box::new(error))
    }
}

impl Classified for RepoError {
    fn class(&self) -> Class {
        match self {
            Self::Git(error) => error.class(),
            Self::NoDirectory { .. } | Self::Taken { .. } | Self::Other { .. } => Class::Retry(RETRY),
            Self::NoCommit { .. } | Self::NoPath { .. } | Self::NoArtifact { .. } => Class::WaitForChange,
            _ => Class::UserMustFix,
        }
    }

    fn hint(&self) -> Option<String> {
        let hint = match self {
            Self::NoDirectory { .. } => {
                "give the directory of a clone with --checkout; a git-sync link appears after its first sync".into()
            }
            Self::NotARepository { above: Some(above), .. } => format!(
                "`{}` is one: give it as --checkout, and the part below it with --path",
                above.display()
            ),
            Self::NotARepository { .. } => {
                "give the top directory of a clone with --checkout, or make one with `git init`".into()
            }
            Self::LostGitDir { .. } => {
                "mount the whole repository at the path where the work tree was made, or run `git worktree repair`"
                    .into()
            }
            Self::Unsupported { what, .. } => unsupported_hint(what),
            Self::NeedsGit { what, oldest, .. } => format!(
                "install git {oldest} or newer where Serin runs; or {}",
                unsupported_hint(what)
            ),
            Self::Git(error) => return error.hint(),
            Self::NoCommit { .. } => "make a first commit; Serin takes it as the baseline and starts no run".into(),
            Self::NoArtifact { .. } => {
                "`flux get sources all -A` shows whether Flux can fetch the source".into()
            }
            Self::NoBranch { existing, .. } => {
                format!("give one of its branches with --branch: {}", existing.join(", "))
            }
            Self::UnknownRevision { shallow: true, .. } => {
                "the clone is shallow; fetch more history with `git fetch --deepen 50`".into()
            }
            Self::UnknownRevision { .. } => {
                "give a branch, a tag or the id of a commit; `git log --oneline` lists them".into()
            }
            Self::Gone { .. } => {
                "its history was rewritten or the clone is shallow; `git fetch --deepen 50` may bring it back".into()
            }
            Self::NoBlob { .. } => {
                "the clone is partial or damaged; make a full clone, or run `git fetch --refetch`".into()
            }
            Self::Taken { .. } => {
                "it is waited for; give each process that is to run beside others a --clone-dir of its own".into()
            }
            Self::NoCloneDir { .. } => "give a directory for clones with --clone-dir".into(),
            Self::BadBranch { .. } => "give the name of a branch, without refs/heads/".into(),
            Self::NoPath { .. } => "check --path; it is relative to the top of the repository".into(),
            Self::BadPath { .. } => {
                "give a path relative to the top of the repository, without `..`, such as `deploy/test`".into()
            }
            Self::TooLarge { .. } => "split the file, or move it out of the path that Serin reads".into(),
            Self::TooMuch { .. } => "limit what Serin reads with --path".into(),
            Self::Other { .. } => return None,
        };
        Some(hint)
    }
}

fn no_artifact(source: &str, id: Option<&CommitId>) -> String {
    match id {
        None => format!("Flux has no artifact of `{source}` yet"),
        Some(id) => format!(
            "the artifact of {} from `{source}` is not kept any more",
            id.short()
        ),
    }
}

fn unsupported_hint(what: &str) -> String {
    let how = if what.contains("refstorage") {
        "make the clone with `git clone --ref-format=files`, or run `git refs migrate --ref-format=files`"
    } else if what.contains("objectformat") {
        "use a clone with SHA-1 object ids"
    } else if what.contains("partialclone") {
        "make the clone without `--filter`"
    } else {
        "make a plain clone with `git clone`"
    };
    how.to_owned()
}

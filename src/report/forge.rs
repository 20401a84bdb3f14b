//! The seam to where commit statuses are kept: post one, read all. Every forge behaves alike: posting the
//! newest status of a context again changes nothing that a reader sees, and reading gives one status per
//! context, the newest.

use std::{fmt, time::Duration};

use futures::future::BoxFuture;

use super::{CommitStatus, PullRequests};
use crate::{
    error::{Class, Classified},
    http,
    repo::CommitId,
};

/// A place where commit statuses are kept.
pub trait Forge: fmt::Debug + Send + Sync {
    /// Returns the name, as in `--status`; unique among the forges in use.
    fn name(&self) -> &str;

    /// Posts a status of a commit.
    fn post<'a>(
        &'a self,
        commit: &'a CommitId,
        status: &'a CommitStatus,
    ) -> BoxFuture<'a, Result<(), ForgeError>>;

    /// Reads the newest status of each context of a commit, by context. A commit that is not known has none.
    fn read<'a>(&'a self, commit: &'a CommitId) -> BoxFuture<'a, Result<Vec<CommitStatus>, ForgeError>>;

    /// Returns the least time between two texts that only tell progress.
    fn progress_interval(&self) -> Duration;

    /// Returns how many posts the forge takes, where it has a limit that matters.
    fn rate(&self) -> Option<Rate> {
        None
    }

    /// Returns the pull requests of the repository, where the forge has them.
    fn pull_requests(&self) -> Option<&dyn PullRequests> {
        None
    }
}

/// The two calls of a forge, as its own functions `post_one` and `read_all` answer them.
macro_rules! post_and_read {
    () => {
        fn post<'a>(
            &'a self,
            commit: &'a $crate::repo::CommitId,
            status: &'a $crate::report::CommitStatus,
        ) -> futures::future::BoxFuture<'a, Result<(), $crate::report::ForgeError>> {
            Box::pin(self.post_one(commit, status))
        }

        fn read<'a>(
            &'a self,
            commit: &'a $crate::repo::CommitId,
        ) -> futures::future::BoxFuture<
            'a,
            Result<Vec<$crate::report::CommitStatus>, $crate::report::ForgeError>,
        > {
            Box::pin(self.read_all(commit))
        }
    };
}
pub(super) use post_and_read;

/// A budget of posts: so many at once, and one more each time that this long has passed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Rate {
    /// How many may be posted at once.
    pub burst: u32,
    /// The time after which one more may be.
    pub every: Duration,
}

/// Why a status could not be posted or read. No text holds a token.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum ForgeError {
    /// The forge does not accept the token.
    #[error("{forge} does not accept the token (401)")]
    Unauthorized {
        /// Where.
        forge: String,
    },
    /// The token may not do this.
    #[error("{forge} does not allow this token to write commit statuses of {repository} (403): {text}")]
    Forbidden {
        /// Where.
        forge: String,
        /// Which repository.
        repository: String,
        /// What the forge said.
        text: String,
    },
    /// There is no such repository, or the token may not see it.
    #[error("{forge} has no repository {repository}, or hides it from this token (404)")]
    NoRepository {
        /// Where.
        forge: String,
        /// Which repository.
        repository: String,
    },
    /// The commit is not there; it may not have been pushed yet.
    #[error("{forge} does not know commit {commit}")]
    UnknownCommit {
        /// Where.
        forge: String,
        /// Which commit.
        commit: String,
    },
    /// The forge refuses the status itself; it will not take it later either.
    #[error("{forge} refuses the status: {text}")]
    Invalid {
        /// Where.
        forge: String,
        /// What the forge said.
        text: String,
    },
    /// The forge cannot answer now.
    #[error("{forge} is not available: {text}")]
    Unavailable {
        /// Where.
        forge: String,
        /// What went wrong.
        text: String,
        /// When it wants to be asked again.
        retry_after: Option<Duration>,
    },
    /// Somebody else keeps writing in between.
    #[error("{forge} is being changed by others all the time")]
    Contended {
        /// Where.
        forge: String,
    },
    /// What was configured cannot be used.
    #[error("{forge}: {text}")]
    Config {
        /// Where.
        forge: String,
        /// What is wrong.
        text: String,
        /// What to do about it.
        hint: String,
    },
}

impl ForgeError {
    /// Makes the error of a request that had no response.
    pub(super) fn of_http(forge: &str, error: &http::Error) -> Self {
        match error.class() {
            // The request arrived, whatever came back is no reason to leave the forge alone.
            _ if matches!(error, http::Error::TooLarge { .. }) => unavailable(forge, error),
            Class::Retry(_) => unavailable(forge, error),
            _ => Self::Config {
                forge: forge.to_owned(),
                text: error.to_string(),
                hint: error
                    .hint()
                    .unwrap_or_else(|| "check the address and the token file".to_owned()),
            },
        }
    }

    /// Whether this is about one commit or status, and says nothing about the next one.
    #[must_use]
    pub fn is_local(&self) -> bool {
        matches!(
            self,
            Self::UnknownCommit { .. } | Self::Invalid { .. } | Self::Contended { .. }
        )
    }

    /// Whether the status may have been taken all the same.
    #[must_use]
    pub fn is_doubtful(&self) -> bool {
        // One that says when to come back has not taken it.
        matches!(
            self,
            Self::Unavailable {
                retry_after: None,
                ..
            }
        )
    }

    /// Whether the same status will never be taken.
    #[must_use]
    pub fn is_final(&self) -> bool {
        matches!(self, Self::Invalid { .. })
    }
}

impl Classified for ForgeError {
    fn class(&self) -> Class {
        match self {
            Self::Unauthorized { .. }
            | Self::Forbidden { .. }
            | Self::NoRepository { .. }
            | Self::Invalid { .. }
            | Self::Config { .. } => Class::UserMustFix,
            Self::UnknownCommit { .. } => Class::Retry(Duration::from_secs(5)),
            Self::Contended { .. } => Class::Retry(Duration::from_secs(1)),
            Self::Unavailable { retry_after, .. } => {
                Class::Retry(retry_after.unwrap_or(Duration::from_secs(1)))
            }
        }
    }

    fn hint(&self) -> Option<String> {
        Some(match self {
            Self::Unauthorized { .. } => {
                "make a token with the right to write the repository, and give its file by --status-token-file"
                    .to_owned()
            }
            Self::Forbidden { forge, .. } => format!("give the token {}", right(forge)),
            Self::NoRepository { .. } => "check --status-repo and --status-url".to_owned(),
            Self::UnknownCommit { .. } => "push the commit to the forge".to_owned(),
            Self::Config { hint, .. } => hint.clone(),
            Self::Invalid { .. } | Self::Unavailable { .. } | Self::Contended { .. } => return None,
        })
    }
}

fn unavailable(forge: &str, error: &http::Error) -> ForgeError {
    ForgeError::Unavailable {
        forge: forge.to_owned(),
        text: error.to_string(),
        retry_after: None,
    }
}

/// What a token needs.
fn right(forge: &str) -> &'static str {
    match forge {
        "github" => {
            "the permission \"Commit statuses: write\" (a classic one: `repo:status`), and an App also \"Checks: write\""
        }
        "github-deployments" => "the permission \"Deployments: write\" (a classic one: `repo_deployment`)",
        "gitlab" => {
            "the scope `api`, and its user the role Developer; of a protected branch, the right to push to it"
        }
        "bitbucket" => "the scope `repository:write` (for pull requests: `pullrequest:write`)",
        "bitbucket-server" => "the permission to read the repository (for pull requests: to write it)",
        "azuredevops" => "the scope \"Code (status)\", for pull requests \"Code (read and write)\"",
        _ => "the scope `write:repository`, and its user write access",
    }
}

//! What can go wrong with a run of `git`, and what to do about it.

use std::{path::PathBuf, time::Duration};

use super::{RemoteFault, RemoteUrl, Version};
use crate::error::{Class, Classified};

/// How long to wait before a fault that is expected to pass is tried again.
const RETRY: Duration = Duration::from_secs(5);

/// A run of `git` that came to nothing.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum GitError {
    /// There is no such program.
    #[error("the command `{}` cannot be started: {message}", .program.display())]
    NotStarted {
        /// The program.
        program: PathBuf,
        /// What the system said.
        message: String,
    },
    /// It says no version that can be read.
    #[error("`git version` says `{said}`, which is no version")]
    NoVersion {
        /// What it said.
        said: String,
    },
    /// It is too old.
    #[error("git is version {found}; {what} needs {oldest}")]
    TooOld {
        /// The version that is there.
        found: Version,
        /// The oldest that would do.
        oldest: Version,
        /// What needs it.
        what: String,
    },
    /// It ended with a failure.
    #[error("`{what}` failed: {message}")]
    Failed {
        /// The command, without its arguments.
        what: String,
        /// Its exit code, unless a signal ended it.
        code: Option<i32>,
        /// What it said.
        message: String,
    },
    /// A remote refused, or could not be reached.
    #[error("{fault} at {url}: {message}")]
    Remote {
        /// The address, without a password.
        url: Box<RemoteUrl>,
        /// What kind of fault it is.
        fault: RemoteFault,
        /// What git said.
        message: String,
    },
    /// It took too long, and was ended.
    #[error("`{what}` took longer than {} s and was ended", .after.as_secs())]
    TimedOut {
        /// The command, without its arguments.
        what: String,
        /// How long it may take.
        after: Duration,
    },
    /// It printed too much, and was ended.
    #[error("`{what}` printed more than {limit} bytes and was ended")]
    TooMuch {
        /// The command, without its arguments.
        what: String,
        /// How much it may print.
        limit: usize,
    },
    /// It wrote too much, and was ended.
    #[error("`{what}` made `{}` larger than {limit} bytes and was ended", .dir.display())]
    TooLarge {
        /// The command, without its arguments.
        what: String,
        /// The directory that grew.
        dir: PathBuf,
        /// How large it may grow.
        limit: u64,
    },
    /// The process is shutting down.
    #[error("`{what}` was ended: shutting down")]
    Stopped {
        /// The command, without its arguments.
        what: String,
    },
    /// The secret for the remote cannot be read.
    #[error("no credential for {url}: {message}")]
    NoSecret {
        /// The address, without a password.
        url: Box<RemoteUrl>,
        /// Why, with the name of the file.
        message: String,
    },
}

impl Classified for GitError {
    fn class(&self) -> Class {
        match self {
            Self::Failed { .. } | Self::TimedOut { .. } | Self::Stopped { .. } => Class::Retry(RETRY),
            Self::Remote { fault, .. } => fault.class(),
            _ => Class::UserMustFix,
        }
    }

    fn hint(&self) -> Option<String> {
        let hint = match self {
            Self::NotStarted { .. } => {
                "install git where Serin runs (its image has none), or use a checkout that git-sync keeps"
                    .into()
            }
            Self::TooOld { oldest, .. } => format!("install git {oldest} or newer where Serin runs"),
            Self::Remote { fault, url, .. } => return fault.hint(url),
            Self::TimedOut { .. } => {
                "give it more time with --repo-timeout, or fetch less with --repo-depth".into()
            }
            Self::TooLarge { .. } => {
                "fetch less with --repo-depth, or allow more with --repo-max-size".into()
            }
            Self::NoSecret { .. } => {
                "give the file with --repo-token-file; it holds the token and nothing else".into()
            }
            Self::NoVersion { .. } | Self::Failed { .. } | Self::TooMuch { .. } | Self::Stopped { .. } => {
                return None;
            }
        };
        Some(hint)
    }
}

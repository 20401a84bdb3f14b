//! What can go wrong between Serin and the API server.

use std::time::Duration;

use crate::{
    error::{Class, Classified},
    manifest::ObjectKey,
};

/// A request that failed.
#[derive(Debug, thiserror::Error)]
pub enum ClusterError {
    /// The object changed since it was read.
    #[error("{key} changed since it was read: {message}")]
    Conflict {
        /// Which object.
        key: ObjectKey,
        /// What the server says.
        message: String,
    },
    /// The server does not allow it.
    #[error("not allowed to {verb} {key}: {message}")]
    Forbidden {
        /// Which object.
        key: ObjectKey,
        /// What was tried.
        verb: &'static str,
        /// What the server says.
        message: String,
    },
    /// The server does not accept what was sent.
    #[error("the server refused to {verb} {key}: {message}")]
    Rejected {
        /// Which object.
        key: ObjectKey,
        /// What was tried.
        verb: &'static str,
        /// What the server says.
        message: String,
    },
    /// The object, its namespace or its kind is not there.
    #[error("{key} not found: {message}")]
    NotFound {
        /// Which object.
        key: ObjectKey,
        /// What the server says.
        message: String,
    },
    /// No answer, or an answer that asks to come back.
    #[error("could not {verb} {key}: {message}")]
    Unavailable {
        /// Which object.
        key: ObjectKey,
        /// What was tried.
        verb: &'static str,
        /// What went wrong.
        message: String,
    },
    /// Serin does not know how to address the kind.
    #[error("{key} is of a kind that Serin does not write")]
    UnknownKind {
        /// Which object.
        key: ObjectKey,
    },
}

impl ClusterError {
    pub(super) fn of(key: &ObjectKey, verb: &'static str, error: kube::Error) -> Self {
        let key = key.clone();
        match error {
            kube::Error::Api(status) => {
                let message = status.message.chars().take(500).collect();
                match status.code {
                    409 => Self::Conflict { key, message },
                    401 | 403 => Self::Forbidden { key, verb, message },
                    404 => Self::NotFound { key, message },
                    429 | 500..=599 => Self::Unavailable { key, verb, message },
                    _ => Self::Rejected { key, verb, message },
                }
            }
            other => Self::Unavailable {
                key,
                verb,
                message: chain(&other),
            },
        }
    }

    /// Whether the object changed since it was read.
    #[must_use]
    pub fn is_conflict(&self) -> bool {
        matches!(self, Self::Conflict { .. })
    }
}

/// The chain of causes in one line, each said once.
pub(super) fn chain(error: &dyn std::error::Error) -> String {
    let mut text = error.to_string();
    let mut source = error.source();
    while let Some(cause) = source {
        let words = cause.to_string();
        if !text.contains(&words) {
            text = format!("{text}: {words}");
        }
        source = cause.source();
    }
    text
}

impl Classified for ClusterError {
    fn class(&self) -> Class {
        match self {
            Self::Conflict { .. } => Class::Retry(Duration::from_millis(50)),
            Self::Unavailable { .. } => Class::Retry(Duration::from_secs(2)),
            Self::Rejected { .. } => Class::Retry(Duration::from_secs(10)),
            Self::Forbidden { .. } => Class::UserMustFix,
            Self::NotFound { .. } => Class::WaitForChange,
            Self::UnknownKind { .. } => Class::Bug,
        }
    }

    fn hint(&self) -> Option<String> {
        match self {
            Self::Forbidden { .. } => Some(
                "grant it to Serin's service account; deploy/serin.yaml has the rules it needs".to_owned(),
            ),
            Self::NotFound { key, .. } if key.group == "flagger.app" => {
                Some("install the custom resources: serin crd | kubectl apply -f -".to_owned())
            }
            _ => None,
        }
    }
}

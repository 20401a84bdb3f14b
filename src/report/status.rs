//! What is said on a commit: contexts, states and texts.

use std::{fmt, str::FromStr};

use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};

use super::pull_request::cut;
use crate::{canary::CommitReport, http::excerpt, manifest::ObjectKey};

/// State of a commit status.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum CommitState {
    /// Not decided yet.
    Pending,
    /// It went well.
    Success,
    /// It was judged, and found wanting.
    Failure,
    /// It could not be judged.
    Error,
}

impl CommitState {
    /// Returns the name that all forges with GitHub's vocabulary use.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::Pending => "pending",
            Self::Success => "success",
            Self::Failure => "failure",
            Self::Error => "error",
        }
    }

    /// Whether nothing more is expected.
    #[must_use]
    pub fn is_terminal(self) -> bool {
        self != Self::Pending
    }
}

impl fmt::Display for CommitState {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

impl FromStr for CommitState {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        match text {
            "pending" => Ok(Self::Pending),
            "success" => Ok(Self::Success),
            "failure" => Ok(Self::Failure),
            "error" => Ok(Self::Error),
            other => Err(format!("`{}` is no state of a commit", excerpt(other, 40))),
        }
    }
}

/// One status of a commit.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct CommitStatus {
    /// Names what the status is about; the newest status of a context counts.
    pub context: String,
    /// State.
    pub state: CommitState,
    /// Text, on one line, at most [`CommitStatus::DESCRIPTION`] characters.
    pub description: String,
    /// Where to read more.
    pub target_url: Option<String>,
    /// More text, in markdown, for forges that have a page for it. It goes with a status, but is no reason to
    /// post one: it is not part of what makes two statuses differ.
    pub detail: Option<String>,
}

impl CommitStatus {
    /// Greatest length of a description, in characters; what GitHub allows, the least of all forges.
    pub const DESCRIPTION: usize = 140;
    /// Greatest length of a context, in characters.
    pub const CONTEXT: usize = 255;
    /// Greatest length of the text for a page of its own, in characters.
    pub const DETAIL: usize = 16_000;

    /// Makes a status; texts that are too long are cut.
    #[must_use]
    pub fn new(context: &str, state: CommitState, description: &str) -> Self {
        Self {
            context: excerpt(context, Self::CONTEXT),
            state,
            description: excerpt(description, Self::DESCRIPTION),
            target_url: None,
            detail: None,
        }
    }

    /// Sets the text for a page of its own.
    #[must_use]
    pub fn with_detail(mut self, detail: Option<String>) -> Self {
        self.detail = detail.map(|detail| cut(&detail, Self::DETAIL));
        self
    }

    /// Sets where to read more.
    #[must_use]
    pub fn with_url(mut self, url: Option<String>) -> Self {
        self.target_url = url.filter(|url| !url.contains(char::is_whitespace) && url.len() <= 2000);
        self
    }

    /// Returns 16 hex digits that change when anything in the status does.
    #[must_use]
    pub fn digest(&self) -> String {
        let url = self.target_url.as_deref().unwrap_or_default();
        digest(&[&self.context, self.state.name(), &self.description, url])
    }
}

/// What stands before the text of an error on forges whose only word for what is not good is "failed".
const ERROR: &str = "error: ";

/// Returns the description for a forge that does not tell errors from failures; [`plain`] reads it back.
pub(super) fn spoken(status: &CommitStatus) -> String {
    match status.state {
        CommitState::Error => format!("{ERROR}{}", status.description),
        _ => status.description.clone(),
    }
}

/// Reads a status of a forge that does not tell errors from failures.
pub(super) fn plain(context: &str, state: CommitState, description: &str) -> CommitStatus {
    match description.strip_prefix(ERROR) {
        Some(text) if state == CommitState::Failure => CommitStatus::new(context, CommitState::Error, text),
        _ => CommitStatus::new(context, state, description),
    }
}

/// Returns 16 hex digits over texts, with their lengths, so that no two lists run together.
pub(super) fn digest(parts: &[&str]) -> String {
    let mut hasher = Sha256::new();
    for part in parts {
        hasher.update(part.len().to_be_bytes());
        hasher.update(part.as_bytes());
    }
    let first = hasher.finalize().first_chunk().copied().unwrap_or_default();
    format!("{:016x}", u64::from_be_bytes(first))
}

/// Returns the context of one canary: `serin/[<cluster>/]<namespace>/<name>`.
#[must_use]
pub fn context(cluster: Option<&str>, canary: &ObjectKey) -> String {
    let aggregate = aggregate_context(cluster);
    format!("{aggregate}/{}/{}", canary.namespace, canary.name)
}

/// Returns the context that stands for all canaries of a commit: `serin[/<cluster>]`.
#[must_use]
pub fn aggregate_context(cluster: Option<&str>) -> String {
    match cluster.filter(|cluster| !cluster.is_empty()) {
        Some(cluster) => format!("serin/{cluster}"),
        None => "serin".to_owned(),
    }
}

/// State and text of something that was planned for a commit.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Outcome {
    /// State.
    pub state: CommitState,
    /// Text, on one line.
    pub description: String,
}

impl Outcome {
    /// Makes an outcome; the text is cut to what a commit status holds.
    #[must_use]
    pub fn new(state: CommitState, description: &str) -> Self {
        Self {
            state,
            description: excerpt(description, CommitStatus::DESCRIPTION),
        }
    }

    /// Makes the status that says this outcome under a context.
    #[must_use]
    pub fn under(&self, context: &str) -> CommitStatus {
        CommitStatus::new(context, self.state, &self.description)
    }

    /// Reads the outcome of a report in a Canary's status; none if its state is not known.
    #[must_use]
    pub fn of_report(report: &CommitReport) -> Option<Self> {
        let state = report.state.parse().ok()?;
        Some(Self::new(state, &report.description))
    }

    /// Makes the report that says this outcome in a Canary's status, not delivered yet.
    #[must_use]
    pub fn report(&self, commit: &str) -> CommitReport {
        CommitReport {
            commit: commit.to_owned(),
            state: self.state.name().to_owned(),
            description: self.description.clone(),
            delivered: Vec::new(),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::manifest::Resource;

    #[test]
    fn contexts_name_cluster_namespace_and_canary() {
        let key = ObjectKey::new(Resource::CANARY, "test", "podinfo");
        assert_eq!(context(None, &key), "serin/test/podinfo");
        assert_eq!(context(Some("eu"), &key), "serin/eu/test/podinfo");
        assert_eq!(aggregate_context(None), "serin");
        assert_eq!(aggregate_context(Some("")), "serin");
        assert_eq!(aggregate_context(Some("eu")), "serin/eu");
    }

    #[test]
    fn texts_are_cut_and_kept_on_one_line() {
        let status = CommitStatus::new("serin", CommitState::Pending, &format!("a\nb{}", "é".repeat(200)));
        assert_eq!(status.description.chars().count(), 140);
        assert!(status.description.starts_with("a\\nb") && status.description.ends_with('…'));
    }

    #[test]
    fn the_digest_tells_statuses_apart() {
        let base = CommitStatus::new("serin", CommitState::Success, "promoted");
        assert_eq!(base.digest(), base.clone().digest());
        for other in [
            CommitStatus::new("serin/a", CommitState::Success, "promoted"),
            CommitStatus::new("serin", CommitState::Pending, "promoted"),
            CommitStatus::new("serin", CommitState::Success, "promoted!"),
            base.clone().with_url(Some("http://serin/".to_owned())),
        ] {
            assert_ne!(base.digest(), other.digest(), "{other:?}");
        }
    }

    #[test]
    fn states_are_read_back() {
        for state in [
            CommitState::Pending,
            CommitState::Success,
            CommitState::Failure,
            CommitState::Error,
        ] {
            assert_eq!(state.name().parse(), Ok(state));
        }
        assert!("warning".parse::<CommitState>().is_err());
    }
}

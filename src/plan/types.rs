//! What a plan says. Serialises as the output of `serin plan --output json`.

use serde::Serialize;

use super::{Clash, NotRendered};
use crate::{
    manifest::{Difference, ObjectKey, Problem, Skipped},
    repo::{Commit, CommitId, Revision, Since},
};

/// What a range of commits does to the canaries of a source.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Plan {
    /// The older revision; `None` when everything counts as new.
    pub from: Option<Revision>,
    /// The newer revision.
    pub to: Revision,
    /// How the newer revision follows from the older. `Gone`: nothing could be compared.
    pub since: Since,
    /// The commits of the range, newest first, along first parents.
    pub commits: Vec<Commit>,
    /// Older commits of the range are not known.
    pub cut: bool,
    /// Every canary that the range touches, in the order of their keys.
    pub touched: Vec<Touched>,
    /// Commits of the range that touch no canary, newest first; at most as many as are looked at one by one.
    pub unrelated: Vec<CommitId>,
    /// Changed files that only kustomize or Helm could render.
    pub not_rendered: Vec<NotRendered>,
    /// Directories that declare the same objects: only those of the first are looked at.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub clashes: Vec<Clash>,
    /// Documents in changed files that are no objects.
    pub skipped: Vec<Skipped>,
    /// What is wrong in the newer revision.
    pub errors: Vec<Problem>,
}

impl Touched {
    /// Whether a commit touches the canary, in whatever way.
    #[must_use]
    pub fn concerns(&self, commit: &CommitId) -> bool {
        self.commit == *commit || self.superseded.contains(commit) || self.unchanged.contains(commit)
    }
}

impl Plan {
    /// Returns the canaries that start a run.
    pub fn starts(&self) -> impl Iterator<Item = &Touched> {
        self.touched
            .iter()
            .filter(|touched| touched.effect == Effect::Run)
    }

    /// Returns the canaries that a commit of the range is answerable for.
    pub fn of_commit<'a>(&'a self, commit: &'a CommitId) -> impl Iterator<Item = &'a Touched> {
        self.touched
            .iter()
            .filter(move |touched| touched.commit == *commit)
    }

    /// Whether history was rewritten, so that older commits of the branch are not on it any more.
    #[must_use]
    pub fn is_rewritten(&self) -> bool {
        matches!(self.since, Since::Rewritten | Since::Gone)
    }
}

/// A canary that a range of commits touches.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Touched {
    /// The Canary.
    pub canary: ObjectKey,
    /// Its target.
    pub target: ObjectKey,
    /// What happens to it.
    pub effect: Effect,
    /// The newest commit that has this effect.
    pub commit: CommitId,
    /// Older commits of the range that changed the target's revision too, newest first.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub superseded: Vec<CommitId>,
    /// Other commits of the range that touched files of the target, but not its revision, newest first.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub unchanged: Vec<CommitId>,
    /// What was changed.
    pub reasons: Vec<Reason>,
    /// What else a reader should know, such as `suspended`.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub notes: Vec<String>,
}

/// What a range of commits does to a canary.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum Effect {
    /// The target has a new revision: a run starts.
    Run,
    /// The Canary or its target is new: the primary is made, without a run.
    Initialize,
    /// Files that the target comes from change, and only another program can render them: the cluster will
    /// tell whether the target has a new revision.
    MayChange,
    /// Only how a revision is judged changes.
    AnalysisOnly,
    /// The target's files change, but not its revision (replicas, labels, comments).
    NoWorkloadChange,
    /// The target is declared as before, by another commit: history was rewritten.
    Recommitted,
    /// The target is not in git any more; the primary goes on serving.
    TargetRemoved,
    /// The Canary is not in git any more.
    CanaryRemoved,
}

/// An object that was changed, and how.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Reason {
    /// The object.
    pub object: ObjectKey,
    /// The file it is written in (or was).
    pub file: String,
    /// The line that its document begins at.
    pub line: u32,
    /// What happened to the object.
    pub change: Change,
    /// The fields that differ.
    pub fields: Vec<Difference>,
}

/// What happened to an object.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum Change {
    /// It is new.
    Added,
    /// It has other fields.
    Changed,
    /// It is gone.
    Removed,
}

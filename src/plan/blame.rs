//! Which commit of a range a canary's change belongs to: the newest that changed the revision itself, not the
//! newest that touched the file, and not HEAD.

use std::{
    collections::{BTreeMap, BTreeSet},
    sync::Arc,
};

use super::{Effect, Manifests, Settings, compare::Pair, manifests};
use crate::{
    manifest::{Cache, ObjectKey},
    repo::{Commit, CommitId, RepoError, Repository},
};

/// How many commits of a range are looked at one by one. Older changes belong to the oldest of them.
pub(super) const MAX_COMMITS: usize = 50;

/// Trees of commits, read once each.
pub(super) struct Trees<'a> {
    pub(super) repository: &'a dyn Repository,
    pub(super) cache: &'a Cache,
    pub(super) settings: &'a Settings,
    read: BTreeMap<CommitId, Arc<Manifests>>,
}

impl<'a> Trees<'a> {
    pub(super) fn new(repository: &'a dyn Repository, cache: &'a Cache, settings: &'a Settings) -> Self {
        Self {
            repository,
            cache,
            settings,
            read: BTreeMap::new(),
        }
    }

    /// Returns what a commit declares; nothing if it does not have the path (yet).
    pub(super) fn read(&mut self, id: &CommitId) -> Result<Arc<Manifests>, RepoError> {
        if let Some(known) = self.read.get(id) {
            return Ok(Arc::clone(known));
        }
        let found = match manifests(self.repository, self.cache, self.settings, id) {
            Err(RepoError::NoPath { .. }) => Manifests::default(),
            other => other?,
        };
        let found = Arc::new(found);
        self.read.insert(id.clone(), Arc::clone(&found));
        Ok(found)
    }
}

/// A commit and the one to compare it with.
pub(super) struct Step {
    pub(super) commit: CommitId,
    pub(super) before: Option<CommitId>,
    /// The files that differ.
    pub(super) changed: BTreeSet<String>,
}

/// Pairs each commit of a range, newest first, with the one below it; the oldest with the start of the range.
/// Commits that change nothing below the path are left out.
pub(super) fn steps(
    repository: &dyn Repository,
    commits: &[Commit],
    from: Option<&CommitId>,
) -> Result<Vec<Step>, RepoError> {
    let mut steps = Vec::new();
    let commits = commits.get(..MAX_COMMITS).unwrap_or(commits);
    for (index, Commit { id: commit, .. }) in commits.iter().enumerate() {
        let below = commits.get(index + 1).map(|below| &below.id);
        let before = below.or(from).cloned();
        let changes = repository.changes(before.as_ref(), commit)?;
        if !changes.is_empty() {
            steps.push(Step {
                commit: commit.clone(),
                before,
                changed: changes.into_iter().map(|change| change.path).collect(),
            });
        }
    }
    Ok(steps)
}

/// What the commits of a range mean for one canary, each newest first.
#[derive(Debug, Default, PartialEq)]
pub(super) struct Blame {
    /// The newest that has the effect.
    pub(super) commit: Option<CommitId>,
    /// Those that changed the revision of the target, but for the newest with the effect.
    pub(super) revisions: Vec<CommitId>,
    /// Those that touched only files.
    pub(super) files: Vec<CommitId>,
}

/// Says which commits of a range concern a canary, and which of them has this effect on it. Without an effect
/// none has.
pub(super) fn blame(
    trees: &mut Trees<'_>,
    steps: &[Step],
    canary: &ObjectKey,
    target: &ObjectKey,
    effect: Option<Effect>,
) -> Result<Blame, RepoError> {
    let mut found = Blame::default();
    for step in steps {
        let new = trees.read(&step.commit)?;
        let old = match &step.before {
            Some(before) => trees.read(before)?,
            None => Arc::default(),
        };
        let pair = Pair {
            old: &old,
            new: &new,
            settings: trees.settings,
        };
        let revision = !pair.revision_reasons(target).is_empty();
        let has_effect = match effect {
            None => false,
            Some(Effect::Run) => revision,
            Some(effect) => pair.effect(canary).is_some_and(|(seen, _)| seen == effect),
        };
        if has_effect && found.commit.is_none() {
            found.commit = Some(step.commit.clone());
        } else if revision {
            found.revisions.push(step.commit.clone());
        } else if pair.touches_files(target, &step.changed) {
            found.files.push(step.commit.clone());
        }
    }
    Ok(found)
}

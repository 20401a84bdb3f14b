//! Which commit of a range a canary's change belongs to: the newest that changed the revision itself, not the
//! newest that touched the file, and not HEAD.

use std::{collections::BTreeMap, sync::Arc};

use super::{Effect, Manifests, Settings, compare::Pair, manifests};
use crate::{
    manifest::{Cache, ObjectKey},
    repo::{CommitId, RepoError, Repository},
};

/// How many commits of a range are looked at one by one. Older changes belong to the oldest of them.
const MAX_COMMITS: usize = 50;

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
}

/// Pairs each commit of a range, newest first, with the one below it; the oldest with the start of the range.
/// Commits that change nothing below the path are left out.
pub(super) fn steps(
    repository: &dyn Repository,
    commits: &[CommitId],
    from: Option<&CommitId>,
) -> Result<Vec<Step>, RepoError> {
    let mut steps = Vec::new();
    let commits = commits.get(..MAX_COMMITS).unwrap_or(commits);
    for (index, commit) in commits.iter().enumerate() {
        let below = commits.get(index + 1);
        let before = below.or(from).cloned();
        if !repository.changes(before.as_ref(), commit)?.is_empty() {
            steps.push(Step {
                commit: commit.clone(),
                before,
            });
        }
    }
    Ok(steps)
}

/// Returns the newest commit that has this effect on the canary, and older ones that changed its revision too.
pub(super) fn blame(
    trees: &mut Trees<'_>,
    steps: &[Step],
    canary: &ObjectKey,
    target: &ObjectKey,
    effect: Effect,
) -> Result<Option<(CommitId, Vec<CommitId>)>, RepoError> {
    let mut found: Option<(CommitId, Vec<CommitId>)> = None;
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
        let has_effect = match effect {
            Effect::Run => !pair.revision_reasons(target).is_empty(),
            _ => pair.effect(canary).is_some_and(|(seen, _)| seen == effect),
        };
        match &mut found {
            _ if !has_effect => {}
            None => found = Some((step.commit.clone(), Vec::new())),
            Some((_, superseded)) if effect == Effect::Run => superseded.push(step.commit.clone()),
            Some(_) => {}
        }
    }
    Ok(found)
}

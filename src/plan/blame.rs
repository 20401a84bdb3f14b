//! Which commit of a range a canary's change belongs to: the newest that changed the revision itself, not the
//! newest that touched the file, and not HEAD.

use std::{
    collections::{BTreeMap, BTreeSet},
    sync::Arc,
};

use super::{Cache, Effect, Manifests, Settings, compare::Pair, manifests};
use crate::{
    manifest::ObjectKey,
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

    /// Returns what a commit declares, which has to have the path.
    pub(super) fn read_strictly(&mut self, id: &CommitId) -> Result<Arc<Manifests>, RepoError> {
        let found = manifests(self.repository, self.cache, self.settings, id)?;
        self.read.insert(id.clone(), Arc::clone(&found));
        Ok(found)
    }

    /// Returns what a commit declares; nothing if it does not have the path (yet).
    pub(super) fn read(&mut self, id: &CommitId) -> Result<Arc<Manifests>, RepoError> {
        if let Some(known) = self.read.get(id) {
            return Ok(Arc::clone(known));
        }
        let found = match manifests(self.repository, self.cache, self.settings, id) {
            Err(RepoError::NoPath { .. }) => Arc::default(),
            other => other?,
        };
        self.read.insert(id.clone(), Arc::clone(&found));
        Ok(found)
    }
}

/// A commit, and what it and the one below it declare.
pub(super) struct Step {
    pub(super) commit: CommitId,
    old: Arc<Manifests>,
    new: Arc<Manifests>,
    /// The files that differ.
    changed: BTreeSet<String>,
}

impl Step {
    /// Compares what the commit declares with what was declared before.
    pub(super) fn pair<'a>(&'a self, settings: &'a Settings) -> Pair<'a> {
        Pair::new(&self.old, &self.new, settings, &self.changed)
    }
}

/// Pairs each commit of a range, newest first, with the one below it; the oldest with the start of the range.
/// Commits that change no file are left out.
pub(super) fn steps(
    trees: &mut Trees<'_>,
    commits: &[Commit],
    from: Option<&CommitId>,
) -> Result<Vec<Step>, RepoError> {
    let mut steps = Vec::new();
    let commits = commits.get(..MAX_COMMITS).unwrap_or(commits);
    for (index, Commit { id: commit, .. }) in commits.iter().enumerate() {
        let before = commits.get(index + 1).map(|below| &below.id).or(from);
        let changes = trees.repository.whole_changes(before, commit)?;
        if changes.is_empty() {
            continue;
        }
        let new = trees.read(commit)?;
        let old = match before {
            Some(before) => trees.read(before)?,
            None => Arc::default(),
        };
        steps.push(Step {
            commit: commit.clone(),
            old,
            new,
            changed: changes.into_iter().map(|change| change.path).collect(),
        });
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
    steps: &[(&CommitId, Pair<'_>)],
    canary: &ObjectKey,
    target: &ObjectKey,
    effect: Option<Effect>,
) -> Blame {
    let mut found = Blame::default();
    for (index, (commit, pair)) in steps.iter().enumerate() {
        if !pair.is_near(canary, target) {
            continue;
        }
        let below = || steps.iter().skip(index + 1).map(|(_, pair)| pair);
        if effect == Some(Effect::Run) && found.commit.is_none() && pair.only_hides(below(), target) {
            continue;
        }
        let revision = !pair.revision_reasons(target).is_empty();
        let has_effect = match effect {
            None => false,
            Some(Effect::Run) => revision,
            Some(effect) => pair
                .effect(canary, target)
                .is_some_and(|(seen, _)| seen == effect),
        };
        if has_effect && found.commit.is_none() {
            found.commit = Some((*commit).clone());
        } else if revision || has_effect && effect == Some(Effect::MayChange) {
            found.revisions.push((*commit).clone());
        } else if pair.touches_files(target) {
            found.files.push((*commit).clone());
        }
    }
    found
}

//! Reads git for the source, off the async threads: the plan of a range, and what its commits declare.

use std::{collections::BTreeSet, sync::Arc};

use crate::{
    clock,
    manifest::{Object, ObjectKey, config_references},
    plan::{self, Cache, Manifests, Plan, Planned, Refusal, Settings, Touched},
    repo::{CommitId, RepoError, Repository, Revision},
    runtime::commits::Expected,
};

/// What handling a revision needs to know of git.
pub(super) struct Reading {
    pub(super) plan: Plan,
    pub(super) manifests: Arc<Manifests>,
    /// What the older revision declares.
    pub(super) before: Option<Arc<Manifests>>,
    /// What is wrong in the files that the range changed.
    pub(super) faults: Vec<String>,
    pub(super) apply: Vec<Planned>,
    pub(super) refused: Vec<Refusal>,
}

impl Reading {
    /// What is wrong in a file that had a part of a canary: what it touches then only looks removed.
    pub(super) fn fault_of(&self, touched: &Touched) -> Option<&str> {
        let mut files = touched.reasons.iter().map(|reason| format!("{}:", reason.file));
        files.find_map(|file| {
            self.faults
                .iter()
                .find(|fault| fault.starts_with(&file))
                .map(String::as_str)
        })
    }

    /// The canaries of the range whose revision an object is a part of, with the commits that touch them.
    pub(super) fn concerned(&self, key: &ObjectKey) -> Vec<(ObjectKey, CommitId)> {
        let part = |touched: &&Touched| {
            expected(&self.manifests, None, &touched.canary, &touched.commit)
                .is_some_and(|expected| expected.rendered.iter().any(|(object, _)| object.key() == *key))
        };
        let touched = self.plan.touched.iter().filter(part);
        touched
            .map(|touched| (touched.canary.clone(), touched.commit.clone()))
            .collect()
    }
}

/// Reads a range.
pub(super) fn range(
    repository: &dyn Repository,
    cache: &Cache,
    settings: &Settings,
    from: Option<&Revision>,
    to: &Revision,
) -> Result<Reading, RepoError> {
    let plan = plan::plan(repository, cache, settings, from, to)?;
    let manifests = plan::manifests(repository, cache, settings, &to.id)?;
    let old = from.and_then(|from| plan::manifests(repository, cache, settings, &from.id).ok());
    let wanted = plan::apply_set(&manifests);
    let earlier = old.as_deref().map(plan::apply_set).unwrap_or_default();
    let apply: Vec<Planned> = wanted.changed_since(&earlier).cloned().collect();
    let changed = repository
        .whole_changes(from.map(|from| &from.id), &to.id)
        .unwrap_or_default();
    let is_changed = |file: &str| changed.iter().any(|change| change.path == file);
    let faults = plan
        .errors
        .iter()
        .filter(|problem| is_changed(&problem.file))
        .map(ToString::to_string)
        .collect();
    // A directory that cannot be rendered is refused wherever the change in it is.
    let hidden = manifests.unrendered_files(&changed.iter().map(|change| change.path.clone()).collect());
    let refused = wanted
        .refused
        .into_iter()
        .filter(|refusal| is_changed(&refusal.file) || hidden.contains(&refusal.file))
        .collect();
    cache.sweep();
    Ok(Reading {
        plan,
        manifests,
        before: old,
        faults,
        apply,
        refused,
    })
}

/// What has to be live for a commit to be what is live, for one of its canaries.
pub(super) fn expected(
    manifests: &Manifests,
    before: Option<&Manifests>,
    canary: &ObjectKey,
    commit: &CommitId,
) -> Option<Expected> {
    let target = plan::target_of(manifests.object(canary)?)?;
    let target = manifests.object(&target)?;
    let configs = config_references(target).into_keys();
    let configs = configs.filter_map(|key| manifests.object(&key));
    let objects: Vec<&Object> = std::iter::once(target).chain(configs).collect();
    let is_unknown = |object: &&Object| {
        let placed = manifests.objects.get(&object.key());
        placed.is_some_and(|placed| placed.unknown.is_some())
    };
    if objects.iter().any(is_unknown) {
        let expected = Expected::unrendered(commit, Some(target.key()));
        return Some(expected.with_releases(plan::changed_releases(manifests, before)));
    }
    let rendered = objects.into_iter().map(|object| {
        (
            object.clone(),
            before.and_then(|before| before.object(&object.key())).cloned(),
        )
    });
    Some(Expected {
        commit: commit.to_string(),
        rendered: rendered.collect(),
        applied: false,
        target: None,
        guessed: false,
        releases: BTreeSet::new(),
        rewritten: false,
    })
}

/// Reads again what a commit declares for canaries that still wait for it.
pub(super) fn again(
    repository: &dyn Repository,
    cache: &Cache,
    settings: &Settings,
    commits: (&CommitId, Option<&CommitId>),
    canaries: &[ObjectKey],
) -> Result<Vec<(ObjectKey, Expected)>, RepoError> {
    let (commit, from) = commits;
    let manifests = plan::manifests(repository, cache, settings, commit)?;
    let before = from.and_then(|from| plan::manifests(repository, cache, settings, from).ok());
    let found = canaries.iter().map(|canary| {
        let expected = expected(&manifests, before.as_deref(), canary, commit);
        (
            canary.clone(),
            expected.unwrap_or_else(|| {
                let target = manifests.object(canary).and_then(plan::target_of);
                let releases = plan::changed_releases(&manifests, before.as_deref());
                Expected::unrendered(commit, target).with_releases(releases)
            }),
        )
    });
    Ok(found.collect())
}

/// Runs a reading on a thread that may block.
pub(super) async fn off_thread<T: Send + 'static>(
    work: impl FnOnce() -> Result<T, RepoError> + Send + 'static,
) -> Result<T, super::Fault> {
    match clock::off_thread(clock::Turn::Source, work).await {
        Ok(read) => read.map_err(|error| super::Fault::Repo(Arc::new(error))),
        Err(error) => Err(super::Fault::Bug(error.to_string())),
    }
}

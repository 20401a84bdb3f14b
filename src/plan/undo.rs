//! What has to be taken back of which commits so that a canary is declared again as it was promoted.

use std::collections::BTreeSet;

use super::{Cache, Effect, Manifests, Settings, compare::target_of, manifests, plan};
use crate::{
    manifest::{ObjectKey, config_references},
    repo::{CommitId, RepoError, Repository, Revision, Since},
};

/// Commits and those of their files that belong to one canary, newest first.
pub type Steps = Vec<(CommitId, BTreeSet<String>)>;

/// Finds what a commit, that a canary failed with, changed of it, and what earlier commits did that were not
/// promoted either. Without a commit that was promoted, earlier ones are left alone.
pub fn undo(
    repository: &dyn Repository,
    cache: &Cache,
    settings: &Settings,
    canary: &ObjectKey,
    failed: &Revision,
    promoted: Option<&CommitId>,
) -> Result<Steps, RepoError> {
    let promoted = match promoted {
        Some(id) if repository.log(Some(id), &failed.id)?.since == Since::Linear => Some(id.clone()),
        _ => None,
    };
    let mut commits = vec![failed.id.clone()];
    if let Some(promoted) = promoted.filter(|promoted| *promoted != failed.id) {
        let from = at(failed, &promoted);
        let range = plan(repository, cache, settings, Some(&from), failed)?;
        let touched = range
            .touched
            .into_iter()
            .find(|touched| touched.canary == *canary);
        let earlier = touched
            .into_iter()
            .flat_map(|touched| std::iter::once(touched.commit).chain(touched.superseded));
        commits.extend(earlier.filter(|id| *id != failed.id));
    }
    let mut steps = Steps::new();
    for commit in commits {
        let files = files(repository, cache, settings, canary, &at(failed, &commit))?;
        if !files.is_empty() {
            steps.push((commit, files));
        }
    }
    Ok(steps)
}

/// Whether a canary is declared as before, or not at all, after a range.
pub fn is_as_before(
    repository: &dyn Repository,
    cache: &Cache,
    settings: &Settings,
    canary: &ObjectKey,
    from: &Revision,
    to: &Revision,
) -> Result<bool, RepoError> {
    let range = plan(repository, cache, settings, Some(from), to)?;
    let mut touched = range.touched.iter().filter(|touched| touched.canary == *canary);
    Ok(!touched.any(|touched| {
        matches!(
            touched.effect,
            Effect::Run | Effect::Initialize | Effect::TargetRemoved | Effect::CanaryRemoved
        )
    }))
}

fn at(revision: &Revision, id: &CommitId) -> Revision {
    Revision {
        branch: revision.branch.clone(),
        id: id.clone(),
    }
}

/// The files of one commit that belong to a canary: those that its objects are written in, before and after.
fn files(
    repository: &dyn Repository,
    cache: &Cache,
    settings: &Settings,
    canary: &ObjectKey,
    commit: &Revision,
) -> Result<BTreeSet<String>, RepoError> {
    let history = repository.history(&commit.id, 2)?;
    let parent = history.get(1).map(|parent| at(commit, &parent.id));
    let changed: BTreeSet<String> = repository
        .whole_changes(parent.as_ref().map(|parent| &parent.id), &commit.id)?
        .into_iter()
        .map(|change| change.path)
        .collect();
    let own = plan(repository, cache, settings, parent.as_ref(), commit)?;
    let touched = own
        .touched
        .into_iter()
        .filter(|touched| touched.canary == *canary);
    let mut found: BTreeSet<String> = touched
        .flat_map(|touched| touched.reasons)
        .map(|reason| reason.file)
        .collect();
    let new = manifests(repository, cache, settings, &commit.id)?;
    found.extend(written_in(&new, canary));
    if let Some(parent) = &parent
        && let Ok(old) = manifests(repository, cache, settings, &parent.id)
    {
        found.extend(written_in(&old, canary));
    }
    found.retain(|file| changed.contains(file));
    Ok(found)
}

/// The files of a canary, its target and the configs of that.
fn written_in(manifests: &Manifests, canary: &ObjectKey) -> BTreeSet<String> {
    let target = manifests.object(canary).and_then(target_of);
    let workload = target.as_ref().and_then(|target| manifests.object(target));
    let configs = workload.map(config_references).unwrap_or_default();
    let keys = std::iter::once(canary).chain(&target).chain(configs.keys());
    let placed = keys.filter_map(|key| manifests.objects.get(key));
    placed.map(|placed| placed.file.to_string()).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{
        manifest::Resource,
        plan::testing::{canary, config, deployment},
        repo::testing::Repo,
    };

    fn found(repo: &Repo, failed: &CommitId, promoted: Option<&CommitId>) -> Vec<(CommitId, Vec<String>)> {
        let failed = Revision {
            branch: "main".to_owned(),
            id: failed.clone(),
        };
        let key = ObjectKey::new(Resource::CANARY, "default", "podinfo");
        let steps = undo(
            &repo.checkout(""),
            &Cache::default(),
            &Settings::default(),
            &key,
            &failed,
            promoted,
        );
        let steps = steps.unwrap().into_iter();
        steps
            .map(|(id, files)| (id, files.into_iter().collect()))
            .collect()
    }

    fn files(names: &[&str]) -> Vec<String> {
        names.iter().map(|name| (*name).to_owned()).collect()
    }

    #[test]
    fn only_files_of_the_canary_count() {
        let repo = Repo::new();
        repo.commit(&[
            ("canary.yaml", &canary("Deployment", 10)),
            ("d.yaml", &deployment("1", 1)),
            ("settings.yaml", &config("settings", "1")),
            ("other.yaml", &config("other", "1")),
        ]);
        let bad = repo.commit(&[
            ("canary.yaml", &canary("Deployment", 20)),
            ("d.yaml", &deployment("2", 1)),
            ("settings.yaml", &config("settings", "2")),
            ("other.yaml", &config("other", "2")),
            ("README", "docs"),
        ]);
        let expected = (bad.clone(), files(&["canary.yaml", "d.yaml", "settings.yaml"]));
        assert_eq!(found(&repo, &bad, None), [expected]);
    }

    #[test]
    fn a_file_that_the_commit_moved_counts_with_both_its_names() {
        let repo = Repo::new();
        repo.commit(&[
            ("canary.yaml", &canary("Deployment", 10)),
            ("d.yaml", &deployment("1", 1)),
        ]);
        repo.git(&["mv", "d.yaml", "deployment.yaml"]);
        let bad = repo.commit(&[("deployment.yaml", &deployment("2", 1))]);
        assert_eq!(
            found(&repo, &bad, None),
            [(bad.clone(), files(&["d.yaml", "deployment.yaml"]))]
        );
    }

    #[test]
    fn what_was_not_promoted_before_is_taken_back_too() {
        let repo = Repo::new();
        let promoted = repo.commit(&[
            ("canary.yaml", &canary("Deployment", 10)),
            ("d.yaml", &deployment("1", 1)),
        ]);
        let first = repo.commit(&[("d.yaml", &deployment("2", 1))]);
        repo.commit(&[("README", "docs")]);
        let second = repo.commit(&[("d.yaml", &deployment("3", 1))]);
        let both = [(second.clone(), files(&["d.yaml"])), (first, files(&["d.yaml"]))];
        assert_eq!(found(&repo, &second, Some(&promoted)), both);
        assert_eq!(found(&repo, &second, None), both[..1]);
        let elsewhere = {
            repo.git(&["checkout", "-q", "--orphan", "elsewhere"]);
            repo.commit(&[("d.yaml", &deployment("1", 1))])
        };
        assert_eq!(
            found(&repo, &second, Some(&elsewhere)),
            both[..1],
            "not an ancestor"
        );
    }
}

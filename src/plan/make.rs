//! Makes the plan of a range of commits.

use std::{
    collections::{BTreeMap, BTreeSet},
    sync::Arc,
};

use super::{
    Cache, Effect, Manifests, NotRendered, Placed, Plan, Reason, Settings, Touched,
    blame::{Blame, MAX_COMMITS, Step, Trees, blame, steps},
    compare::{Pair, canaries, notes, target_of},
    part::Part,
};
use crate::{
    manifest::{ObjectKey, Problem, Skipped},
    repo::{Change as RepoChange, CommitId, RepoError, Repository, Revision},
};

/// Says which canaries a range of commits touches, how, and why. Without `from`, everything counts as new.
pub fn plan(
    repository: &dyn Repository,
    cache: &Cache,
    settings: &Settings,
    from: Option<&Revision>,
    to: &Revision,
) -> Result<Plan, RepoError> {
    let old_id = from.map(|revision| &revision.id);
    let log = repository.log(old_id, &to.id)?;
    let mut trees = Trees::new(repository, cache, settings);
    // What is read next shares what is equal with the revision that was used last.
    old_id.and_then(|id| cache.snapshot(id));
    let new = read_newest(&mut trees, &to.id)?;
    let mut plan = Plan {
        from: from.cloned(),
        to: to.clone(),
        since: log.since,
        commits: log.commits,
        cut: log.cut,
        touched: Vec::new(),
        unrelated: Vec::new(),
        not_rendered: Vec::new(),
        clashes: new.clashes.clone(),
        skipped: Vec::new(),
        errors: new.errors.clone(),
    };
    plan.errors.extend(shared_targets(&new));
    plan.errors.sort();
    match old_and_changed(&mut trees, old_id, &to.id)? {
        Some((old, changed)) => {
            plan.not_rendered = not_rendered(&new, &changed);
            let is_changed = |one: &&Skipped| changed.contains(&one.file);
            plan.skipped = new.skipped.iter().filter(is_changed).cloned().collect();
            plan.touched = touched(&mut trees, (&old, &new, &changed), &plan, old_id)?;
            plan.unrelated = unrelated(&plan);
        }
        None => plan.touched = all_may_change(&new, settings, &plan),
    }
    cache.sweep();
    Ok(plan)
}

/// Reads the newer tree. A path that neither it nor any older tree has is an error worth telling.
fn read_newest(trees: &mut Trees<'_>, id: &CommitId) -> Result<Arc<Manifests>, RepoError> {
    trees.read_strictly(id)
}

/// What an older revision declares, and which files differ from it.
type Older = (Arc<Manifests>, BTreeSet<String>);

/// Returns what the older revision declares, and which files differ; nothing if the older revision is gone.
fn old_and_changed(
    trees: &mut Trees<'_>,
    from: Option<&CommitId>,
    to: &CommitId,
) -> Result<Option<Older>, RepoError> {
    let paths = |changes: Vec<RepoChange>| changes.into_iter().map(|change| change.path).collect();
    let old = match from.map(|from| trees.read(from)) {
        None => Arc::default(),
        Some(Ok(old)) => old,
        Some(Err(RepoError::Gone { .. })) => return Ok(None),
        Some(Err(error)) => return Err(error),
    };
    match (trees.repository.whole_changes(from, to), from) {
        (Ok(changes), _) => Ok(Some((old, paths(changes)))),
        // It is gone from the repository, but what was read of it is still known.
        (Err(RepoError::Gone { .. }), Some(from)) => {
            let known = |id| trees.cache.snapshot(id).map(|snapshot| snapshot.tree.clone());
            let both = known(from).zip(known(to));
            Ok(both.map(|(before, after)| (old, paths(after.changes_since(&before)))))
        }
        (Err(error), _) => Err(error),
    }
}

/// Returns the changed files that a directory needs that cannot be rendered, and those that are too large.
fn not_rendered(new: &Manifests, changed: &BTreeSet<String>) -> Vec<NotRendered> {
    let large = new.not_rendered.iter().filter(|one| changed.contains(&one.file));
    let mut found: BTreeSet<NotRendered> = large.cloned().collect();
    for part in &new.parts {
        let Some(unrendered) = &part.unrendered else {
            continue;
        };
        let problem = unrendered.fault.problem();
        for file in changed.iter().filter(|file| part.inputs.contains(*file)) {
            found.insert(NotRendered {
                file: file.clone(),
                why: format!("{}:{}: {}", problem.file, problem.line, problem.message),
            });
        }
    }
    found.into_iter().collect()
}

/// Nothing can be compared with: the cluster will tell for every canary whether the revision changes it.
fn all_may_change(new: &Manifests, settings: &Settings, plan: &Plan) -> Vec<Touched> {
    let none = Manifests::default();
    let changed = BTreeSet::new();
    let all = Pair::new(&none, new, settings, &changed).canaries();
    let touched = all.into_iter().map(|(canary, target)| Touched {
        canary,
        target,
        effect: Effect::MayChange,
        commit: plan.to.id.clone(),
        superseded: Vec::new(),
        unchanged: Vec::new(),
        reasons: Vec::new(),
        notes: vec!["the older revision is gone: nothing in git can be compared".to_owned()],
    });
    touched.collect()
}

fn touched(
    trees: &mut Trees<'_>,
    (old, new, changed): (&Manifests, &Manifests, &BTreeSet<String>),
    plan: &Plan,
    from: Option<&CommitId>,
) -> Result<Vec<Touched>, RepoError> {
    let pair = Pair::new(old, new, trees.settings, changed);
    let base = base(trees, plan, from)?;
    let steps = steps(trees, &plan.commits, base.as_ref())?;
    let settings = trees.settings;
    let pairs: Vec<(&CommitId, Pair<'_>)> = steps
        .iter()
        .map(|step| (&step.commit, step.pair(settings)))
        .collect();
    let single = steps.len() == 1 && !plan.is_rewritten();
    let mut touched = Vec::new();
    for (canary, target) in pair.canaries() {
        // With several commits something may be done and undone.
        if single && !pair.is_near(&canary, &target) {
            continue;
        }
        let effect = pair.effect(&canary, &target);
        let seen = effect.as_ref().map(|(effect, _)| *effect);
        let blame = blame(&pairs, &canary, &target, seen);
        let Some((effect, reasons, commit)) = verdict(plan, &steps, &blame, effect) else {
            continue;
        };
        let declared = new.objects.get(&canary).or_else(|| old.objects.get(&canary));
        let mut notes = match (effect, declared) {
            (Effect::Run | Effect::Initialize | Effect::MayChange, Some(placed)) => {
                notes(&placed.object, trees.settings)
            }
            _ => Vec::new(),
        };
        notes.extend(suspended(new, &target));
        notes.extend(
            pair.held(&canary)
                .map(|(by, held)| format!("{by}: {}: Flux fails, and removes nothing", held.why)),
        );
        let but = |commits: Vec<CommitId>| commits.into_iter().filter(|id| *id != commit).collect();
        touched.push(Touched {
            canary,
            target,
            effect,
            superseded: but(blame.revisions),
            unchanged: but(blame.files),
            commit,
            reasons,
            notes,
        });
    }
    Ok(touched)
}

/// Says by which Flux Kustomization a target is not applied at present.
fn suspended(new: &Manifests, target: &ObjectKey) -> Option<String> {
    let placed = new.objects.get(target)?;
    let of_part = |part: &&Arc<Part>| {
        placed
            .root
            .as_ref()
            .is_some_and(|root| Arc::ptr_eq(root, &part.inputs))
    };
    let (by, _) = new.parts.iter().find(of_part)?.by.as_ref()?;
    by.suspended
        .then(|| format!("{} is suspended: Flux does not apply {target}", by.key))
}

/// Decides what a range means for a canary, and which commit answers for it. `None`: it is not touched.
fn verdict(
    plan: &Plan,
    steps: &[Step],
    blame: &Blame,
    effect: Option<(Effect, Vec<Reason>)>,
) -> Option<(Effect, Vec<Reason>, CommitId)> {
    if let Some((effect, reasons)) = effect {
        let oldest = || steps.last().map(|step| step.commit.clone());
        let commit = blame.commit.clone().or_else(oldest);
        return Some((effect, reasons, commit.unwrap_or_else(|| plan.to.id.clone())));
    }
    // What the commits did to the target cancels out, is on the branch anew, or is not seen by its pods.
    let newest = |commits: &[CommitId]| {
        let mut concerned = plan.commits.iter().map(|commit| &commit.id);
        concerned.find(|id| commits.contains(id)).cloned()
    };
    if plan.is_rewritten()
        && let Some(commit) = newest(&blame.revisions)
    {
        return Some((Effect::Recommitted, Vec::new(), commit));
    }
    let all = [blame.revisions.as_slice(), blame.files.as_slice()].concat();
    newest(&all).map(|commit| (Effect::NoWorkloadChange, Vec::new(), commit))
}

/// Returns what the oldest commit of the range is compared with: the older revision, or what the commit itself
/// follows where history was rewritten.
fn base(trees: &Trees<'_>, plan: &Plan, from: Option<&CommitId>) -> Result<Option<CommitId>, RepoError> {
    if !plan.is_rewritten() {
        return Ok(from.cloned());
    }
    let count = plan.commits.len().min(MAX_COMMITS);
    let history = trees.repository.history(&plan.to.id, count + 1)?;
    Ok(history.get(count).map(|commit| commit.id.clone()))
}

/// Returns the commits of a range that touch no canary.
fn unrelated(plan: &Plan) -> Vec<CommitId> {
    let commits = plan
        .commits
        .iter()
        .take(MAX_COMMITS)
        .map(|commit| commit.id.clone());
    commits
        .filter(|id| !plan.touched.iter().any(|touched| touched.concerns(id)))
        .collect()
}

/// Two canaries on one target would fight over it.
fn shared_targets(new: &Manifests) -> Vec<Problem> {
    let mut seen: BTreeMap<ObjectKey, (&ObjectKey, &Placed)> = BTreeMap::new();
    let mut problems = Vec::new();
    for (key, placed) in canaries(new) {
        let Some(target) = target_of(&placed.object) else {
            continue;
        };
        if let Some((first, at)) = seen.get(&target) {
            problems.push(Problem {
                file: placed.file.to_string(),
                line: placed.line,
                column: 1,
                message: format!(
                    "{key} has the same target as {first} at {}:{} ({target})",
                    at.file, at.line
                ),
                snippet: String::new(),
                hint: "remove one of the two canaries".to_owned(),
            });
        } else {
            seen.insert(target, (key, placed));
        }
    }
    problems
}

#[cfg(test)]
mod rendered_tests;
#[cfg(test)]
mod tests;

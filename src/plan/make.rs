//! Makes the plan of a range of commits.

use std::{
    collections::{BTreeMap, BTreeSet},
    sync::Arc,
};

use super::{
    Effect, Manifests, Placed, Plan, Reason, Settings, Touched,
    blame::{Blame, MAX_COMMITS, Step, Trees, blame, steps},
    compare::{Pair, canaries, notes, target_of},
};
use crate::{
    canary::Canary,
    manifest::{Cache, MAX_FILE_BYTES, ObjectKey, Problem, locate},
    repo::{CommitId, RepoError, Repository, Revision, Since, Tree},
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
        skipped: Vec::new(),
        errors: new.errors.clone(),
    };
    plan.errors.extend(shared_targets(&new));
    plan.errors
        .extend(invalid_canaries(repository, settings, &to.id, &new)?);
    plan.errors.sort();
    if plan.since != Since::Gone {
        let old = match old_id {
            Some(id) => trees.read(id)?,
            None => Arc::default(),
        };
        let changed: BTreeSet<String> = repository
            .changes(old_id, &to.id)?
            .into_iter()
            .map(|change| change.path)
            .collect();
        plan.not_rendered = new
            .not_rendered
            .iter()
            .filter(|one| changed.contains(&one.file))
            .cloned()
            .collect();
        plan.skipped = new
            .skipped
            .iter()
            .filter(|one| changed.contains(&one.file))
            .cloned()
            .collect();
        plan.touched = touched(&mut trees, &old, &new, &plan, old_id)?;
        plan.unrelated = unrelated(&plan);
    }
    cache.sweep();
    Ok(plan)
}

/// Reads the newer tree. A path that neither it nor any older tree has is an error worth telling.
fn read_newest(trees: &mut Trees<'_>, id: &CommitId) -> Result<Arc<Manifests>, RepoError> {
    trees.repository.tree(id)?;
    trees.read(id)
}

fn touched(
    trees: &mut Trees<'_>,
    old: &Manifests,
    new: &Manifests,
    plan: &Plan,
    from: Option<&CommitId>,
) -> Result<Vec<Touched>, RepoError> {
    let pair = Pair {
        old,
        new,
        settings: trees.settings,
    };
    let keys: BTreeSet<&ObjectKey> = canaries(old).chain(canaries(new)).map(|(key, _)| key).collect();
    let steps = steps(trees.repository, &plan.commits, base(trees, plan, from)?.as_ref())?;
    let mut touched = Vec::new();
    for canary in keys {
        let Some(placed) = new.objects.get(canary).or_else(|| old.objects.get(canary)) else {
            continue;
        };
        let Some(target) = target_of(&placed.object) else {
            continue;
        };
        let effect = pair.effect(canary);
        let blame = blame(
            trees,
            &steps,
            canary,
            &target,
            effect.as_ref().map(|(effect, _)| *effect),
        )?;
        let Some((effect, reasons, commit)) = verdict(plan, &steps, &blame, effect) else {
            continue;
        };
        let notes = match effect {
            Effect::Run | Effect::Initialize => notes(&placed.object, trees.settings),
            _ => Vec::new(),
        };
        let but = |commits: Vec<CommitId>| commits.into_iter().filter(|id| *id != commit).collect();
        touched.push(Touched {
            canary: canary.clone(),
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

/// Names what is wrong in each Canary, at the line of the field.
fn invalid_canaries(
    repository: &dyn Repository,
    settings: &Settings,
    id: &CommitId,
    new: &Manifests,
) -> Result<Vec<Problem>, RepoError> {
    let mut tree: Option<Tree> = None;
    let mut problems = Vec::new();
    for (key, placed) in canaries(new) {
        let Err(error) = Canary::parse(&placed.object, &settings.defaults) else {
            continue;
        };
        if tree.is_none() {
            tree = Some(repository.tree(id)?);
        }
        let entry = tree.as_ref().and_then(|tree| tree.files.get(&*placed.file));
        let bytes = match entry {
            Some(entry) => repository.read(&entry.id, MAX_FILE_BYTES)?,
            None => Vec::new(),
        };
        for fault in error.faults {
            let (line, column) = locate(&bytes, placed.line, &pointer(&fault.field));
            problems.push(Problem {
                file: placed.file.to_string(),
                line,
                column,
                message: format!("{key}: {}: {}", fault.field, fault.problem),
                snippet: String::new(),
                hint: fault.hint,
            });
        }
    }
    Ok(problems)
}

/// Turns `spec.metrics[0].name` into `/spec/metrics/0/name`.
fn pointer(field: &str) -> String {
    let parts = field.split(['.', '[', ']']).filter(|part| !part.is_empty());
    parts.fold(String::new(), |pointer, part| pointer + "/" + part)
}

#[cfg(test)]
mod tests;

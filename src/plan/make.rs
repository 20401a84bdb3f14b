//! Makes the plan of a range of commits.

use std::{
    collections::{BTreeMap, BTreeSet},
    sync::Arc,
};

use super::{
    Effect, Manifests, Placed, Plan, Settings, Touched,
    blame::{Step, Trees, blame, steps},
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
    let commits: Vec<CommitId> = plan.commits.iter().map(|commit| commit.id.clone()).collect();
    let mut steps_made: Option<Vec<Step>> = None;
    let mut touched = Vec::new();
    for canary in keys {
        let Some((effect, reasons)) = pair.effect(canary) else {
            continue;
        };
        let Some(placed) = new.objects.get(canary).or_else(|| old.objects.get(canary)) else {
            continue;
        };
        let Some(target) = target_of(&placed.object) else {
            continue;
        };
        let steps = match steps_made.take() {
            Some(steps) => steps,
            None => steps(trees.repository, &commits, from)?,
        };
        let (commit, superseded) = blame(trees, &steps, canary, &target, effect)?
            .or_else(|| steps.last().map(|step| (step.commit.clone(), Vec::new())))
            .unwrap_or_else(|| (plan.to.id.clone(), Vec::new()));
        steps_made = Some(steps);
        let notes = match effect {
            Effect::Run | Effect::Initialize => notes(&placed.object, trees.settings),
            _ => Vec::new(),
        };
        touched.push(Touched {
            canary: canary.clone(),
            target,
            effect,
            commit,
            superseded,
            reasons,
            notes,
        });
    }
    Ok(touched)
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

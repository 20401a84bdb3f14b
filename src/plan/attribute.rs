//! Which commit explains a live object: the one that introduced the newest revision whose every declared field
//! the live object has.

use std::sync::Arc;

use super::{Cache, Manifests, Settings, blame::Trees, compare::revision_parts};
use crate::{
    manifest::{Object, ObjectKey, declared_by, differences_in, left_over},
    repo::{CommitId, RepoError, Repository},
};

/// What a commit declared an object to be.
#[derive(Clone, Debug, PartialEq)]
pub struct RenderedRevision {
    /// The commit.
    pub commit: CommitId,
    /// The object; `None`: the commit does not declare it.
    pub object: Option<Object>,
}

/// Returns the commit that a live object belongs to; `history` is newest first. `None`: no commit explains it.
///
/// Several commits may declare the same revision (one changed only the replicas): the one that introduced it
/// answers. A commit that only removes something matches the live object even before it is applied; a match
/// without such leftovers is preferred.
#[must_use]
pub fn attribute(live: &Object, history: &[RenderedRevision]) -> Option<CommitId> {
    let parts = revision_parts(live.str_at("/kind"));
    let matches =
        |index: &usize| object(history, *index).is_some_and(|declared| declared_by(declared, live, parts));
    let clean = |index: &usize| {
        object(history, *index).is_some_and(|current| explains(current, object(history, index + 1), live))
    };
    let all: Vec<usize> = (0..history.len()).filter(matches).collect();
    let found = all.iter().copied().find(clean).or_else(|| all.first().copied())?;
    let introduced = introduced(history, found, parts);
    history.get(introduced).map(|revision| revision.commit.clone())
}

/// Tells whether a live object is what a commit declares: it has every declared field, and nothing that the
/// commit removed from what was declared before it.
#[must_use]
pub fn explains(declared: &Object, before: Option<&Object>, live: &Object) -> bool {
    let parts = revision_parts(live.str_at("/kind"));
    declared_by(declared, live, parts)
        && before.is_none_or(|before| !left_over(before, declared, live, parts))
}

/// Walks back over commits that declare the same revision.
fn introduced(history: &[RenderedRevision], found: usize, parts: &[&str]) -> usize {
    let mut at = found;
    while let (Some(current), Some(previous)) = (object(history, at), object(history, at + 1)) {
        if !differences_in(previous, current, parts).is_empty() {
            break;
        }
        at += 1;
    }
    at
}

fn object(history: &[RenderedRevision], index: usize) -> Option<&Object> {
    history.get(index)?.object.as_ref()
}

/// Returns what the newest commits up to `to` declared an object to be, newest first, at most `limit`.
pub fn history(
    repository: &dyn Repository,
    cache: &Cache,
    settings: &Settings,
    key: &ObjectKey,
    to: &CommitId,
    limit: usize,
) -> Result<Vec<RenderedRevision>, RepoError> {
    let mut trees = Trees::new(repository, cache, settings);
    let mut newer: Option<(CommitId, Arc<Manifests>)> = None;
    let (mut found, mut hidden) = (Vec::new(), Vec::new());
    for commit in repository.history(to, limit)? {
        let tree = match newer.take() {
            // Nothing changed: the tree is the same.
            Some((id, tree)) if repository.whole_changes(Some(&commit.id), &id)?.is_empty() => tree,
            _ => trees.read(&commit.id)?,
        };
        let object = tree.object(key).cloned();
        let is_hidden = object.is_none() && !tree.errors.is_empty();
        hidden.push(is_hidden);
        found.push(RenderedRevision {
            commit: commit.id.clone(),
            object,
        });
        newer = Some((commit.id, tree));
    }
    // What a commit only puts out of sight, because something is wrong, is as it was before.
    let mut before = None;
    for (revision, is_hidden) in found.iter_mut().zip(hidden).rev() {
        if is_hidden {
            revision.object.clone_from(&before);
        }
        before.clone_from(&revision.object);
    }
    Ok(found)
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use super::*;
    use crate::{
        manifest::Resource,
        plan::testing::{config, deployment},
        repo::testing::Repo,
    };

    fn live(tag: &str, env: &[&str]) -> Object {
        let env: Vec<Value> = env
            .iter()
            .map(|name| json!({"name": name, "value": "1"}))
            .collect();
        Object::from(
            json!({"kind": "Deployment", "spec": {"replicas": 0, "template": {"spec": {
            "dnsPolicy": "ClusterFirst",
            "containers": [{"name": "a", "image": format!("a:{tag}"), "env": env, "imagePullPolicy": "Always"}]}}}}),
        )
    }

    fn declared(index: u8, tag: &str, env: &[&str], replicas: i64) -> RenderedRevision {
        let env: Vec<Value> = env
            .iter()
            .map(|name| json!({"name": name, "value": "1"}))
            .collect();
        let object = json!({"kind": "Deployment", "spec": {"replicas": replicas, "template": {"spec": {
            "containers": [{"name": "a", "image": format!("a:{tag}"), "env": env}]}}}});
        RenderedRevision {
            commit: id(index),
            object: Some(Object::from(object)),
        }
    }

    fn id(index: u8) -> CommitId {
        format!("{index:040x}").parse().unwrap()
    }

    #[test]
    fn the_newest_match_wins_and_defaults_do_not_matter() {
        let history = [
            declared(3, "3", &[], 1),
            declared(2, "2", &[], 1),
            declared(1, "1", &[], 1),
        ];
        assert_eq!(attribute(&live("2", &[]), &history), Some(id(2)));
        assert_eq!(attribute(&live("9", &[]), &history), None);
        assert_eq!(attribute(&live("2", &[]), &[]), None);
    }

    #[test]
    fn the_commit_that_introduced_the_revision_answers() {
        let history = [
            declared(4, "2", &[], 7),
            declared(3, "2", &[], 1),
            declared(2, "1", &[], 1),
            declared(1, "2", &[], 1),
        ];
        assert_eq!(
            attribute(&live("2", &[]), &history),
            Some(id(3)),
            "not the one that scaled, nor the first 2"
        );
    }

    #[test]
    fn a_removal_that_is_not_applied_yet_does_not_answer() {
        let history = [declared(2, "1", &["A"], 1), declared(1, "1", &["A", "B"], 1)];
        assert_eq!(attribute(&live("1", &["A", "B"]), &history), Some(id(1)));
        assert_eq!(attribute(&live("1", &["A"]), &history), Some(id(2)));
    }

    #[test]
    fn a_commit_that_mends_another_does_not_answer_for_what_was_before() {
        let repo = Repo::new();
        repo.commit(&[("d.yaml", &deployment("1", 1))]);
        let second = repo.commit(&[("d.yaml", &deployment("2", 1))]);
        repo.commit(&[("d.yaml", "kind: [")]);
        repo.commit(&[("d.yaml", &deployment("2", 1))]);
        let key = ObjectKey::new(Resource::DEPLOYMENT, "default", "podinfo");
        let (cache, settings) = (Cache::default(), Settings::default());
        let all = history(&repo.checkout(""), &cache, &settings, &key, &repo.head(), 10).unwrap();
        assert_eq!(attribute(all[0].object.as_ref().unwrap(), &all), Some(second));
        assert_eq!(all.iter().filter(|revision| revision.object.is_none()).count(), 0);
    }

    #[test]
    fn the_history_of_an_object_is_read_from_git() {
        let repo = Repo::new();
        let first = repo.commit(&[("d.yaml", &deployment("1", 1))]);
        repo.commit(&[("README", "docs")]);
        repo.commit(&[("d.yaml", &deployment("2", 1)), ("c.yaml", &config("c", "1"))]);
        let key = ObjectKey::new(Resource::DEPLOYMENT, "default", "podinfo");
        let read = |limit| {
            history(
                &repo.checkout(""),
                &Cache::default(),
                &Settings::default(),
                &key,
                &repo.head(),
                limit,
            )
            .unwrap()
        };
        let all = read(10);
        let images: Vec<_> = all
            .iter()
            .map(|r| {
                r.object
                    .as_ref()
                    .unwrap()
                    .str_at("/spec/template/spec/containers/0/image")
            })
            .collect();
        assert_eq!(images, ["podinfo:2", "podinfo:1", "podinfo:1"]);
        assert_eq!(attribute(all[1].object.as_ref().unwrap(), &all), Some(first));
        assert_eq!(read(2).len(), 2);
    }
}

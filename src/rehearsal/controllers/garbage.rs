//! The garbage collector: what loses its last owner goes too, at once or, in the foreground, before its owner.

use std::{
    collections::{BTreeMap, BTreeSet},
    time::Duration,
};

use serde_json::Value;

use super::{Context, parts::MANAGER};
use crate::{
    manifest::{Object, ObjectKey},
    rehearsal::store::{Delete, Propagation, json as j},
};

const FOREGROUND: &str = "foregroundDeletion";
const ORPHAN: &str = "orphan";

/// Who lives, and who depends on whom, by uid.
#[derive(Debug, Default)]
pub(super) struct Garbage {
    live: BTreeMap<String, ObjectKey>,
    dependents: BTreeMap<String, BTreeSet<ObjectKey>>,
}

fn owners(object: &Object) -> &[Value] {
    j::items(object.value(), &["metadata", "ownerReferences"])
}

fn uid(owner: &Value) -> &str {
    j::text(owner, &["uid"])
}

fn has_finalizer(object: &Object, name: &str) -> bool {
    j::strings(object.value(), &["metadata", "finalizers"]).contains(&name)
}

impl Garbage {
    /// Remembers an object that lives.
    pub(super) fn learn(&mut self, object: &Object) {
        self.live.insert(object.uid().to_owned(), object.key());
        for owner in owners(object) {
            self.dependents
                .entry(uid(owner).to_owned())
                .or_default()
                .insert(object.key());
        }
    }

    /// Remembers that an object is gone.
    pub(super) fn forget(&mut self, object: &Object) {
        self.live.remove(object.uid());
    }

    /// Returns the objects whose fate may hang on a change of an object: its dependents if it goes, and its
    /// owners, which may wait for it.
    pub(super) fn concerned_by(&self, object: &Object) -> Vec<ObjectKey> {
        let goes =
            !self.live.contains_key(object.uid()) || object.at("/metadata/deletionTimestamp").is_some();
        let dependents = self
            .dependents
            .get(object.uid())
            .filter(|_| goes)
            .into_iter()
            .flatten();
        let owners = owners(object)
            .iter()
            .filter_map(|owner| self.live.get(uid(owner)));
        dependents.chain(owners).cloned().collect()
    }

    pub(super) fn reconcile(&mut self, context: &Context, key: &ObjectKey) -> Option<Duration> {
        let object = context.store.get(key)?;
        self.judge(context, &object);
        if object.at("/metadata/deletionTimestamp").is_some() {
            self.finalize(context, &object);
        }
        None
    }

    /// Deletes an object that has owners but none that stays.
    fn judge(&self, context: &Context, object: &Object) {
        let stays = |owner: &Value| {
            let owner = self.live.get(uid(owner)).and_then(|key| context.store.get(key));
            let waits =
                |o: &Object| o.at("/metadata/deletionTimestamp").is_some() && has_finalizer(o, FOREGROUND);
            owner.is_some_and(|owner| !waits(&owner))
        };
        let owners = owners(object);
        if owners.is_empty() || object.at("/metadata/deletionTimestamp").is_some() {
            return;
        }
        if owners.iter().any(stays) {
            drop_references(context, object, |owner| self.live.contains_key(uid(owner)));
            return;
        }
        let foreground = owners.iter().any(|owner| self.live.contains_key(uid(owner)))
            && self
                .dependents
                .get(object.uid())
                .is_some_and(|dependents| !dependents.is_empty());
        let propagation = if foreground {
            Propagation::Foreground
        } else {
            Propagation::Background
        };
        let options = Delete {
            uid: Some(object.uid().to_owned()),
            propagation,
            ..Delete::default()
        };
        let _gone = context.store.delete(&object.key(), &options);
    }

    /// Removes the collector's finalizers when what they wait for has happened.
    fn finalize(&self, context: &Context, object: &Object) {
        let known = self.dependents.get(object.uid()).into_iter().flatten();
        let refers = |dependent: &Object| owners(dependent).iter().any(|owner| uid(owner) == object.uid());
        let dependents = || {
            known
                .clone()
                .filter_map(|key| context.store.get(key))
                .filter(refers)
        };
        if has_finalizer(object, ORPHAN) {
            for dependent in dependents() {
                drop_references(context, &dependent, |owner| uid(owner) != object.uid());
            }
            release(context, object, ORPHAN);
        }
        let blocks = |dependent: &Object| {
            owners(dependent).iter().any(|owner| {
                uid(owner) == object.uid() && owner.get("blockOwnerDeletion") == Some(&Value::Bool(true))
            })
        };
        if has_finalizer(object, FOREGROUND) && !dependents().any(|dependent| blocks(&dependent)) {
            release(context, object, FOREGROUND);
        }
    }
}

/// Keeps only the owner references that satisfy a condition.
fn drop_references(context: &Context, object: &Object, keep: impl Fn(&Value) -> bool) {
    if owners(object).iter().all(&keep) {
        return;
    }
    let kept: Vec<Value> = owners(object)
        .iter()
        .filter(|owner| keep(owner))
        .cloned()
        .collect();
    let _result = context.store.modify(MANAGER, &object.key(), |value| {
        j::set(value, &["metadata", "ownerReferences"], kept);
    });
}

fn release(context: &Context, object: &Object, finalizer: &str) {
    let _result = context.store.modify(MANAGER, &object.key(), |value| {
        let mut left = j::strings(value, &["metadata", "finalizers"]);
        left.retain(|name| *name != finalizer);
        let left = Value::from(left);
        j::set(value, &["metadata", "finalizers"], left);
    });
}

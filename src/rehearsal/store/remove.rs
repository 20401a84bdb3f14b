//! Deleting: preconditions, finalizers, grace, and what goes with a namespace or a definition.

use std::sync::Arc;

use serde_json::{Value, json};

use super::{
    ApiError, Kind, Target, Verb,
    json::{self as j},
    state::{State, stamp},
};
use crate::manifest::Object;

/// What becomes of the dependents of a deleted object.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Propagation {
    /// The garbage collector deletes them afterwards.
    #[default]
    Background,
    /// The object waits for them, with the finalizer `foregroundDeletion`.
    Foreground,
    /// They stay, without their owner; the object waits with the finalizer `orphan`.
    Orphan,
}

/// How to delete.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Delete {
    /// Only this incarnation.
    pub uid: Option<String>,
    /// Only this state.
    pub resource_version: Option<String>,
    /// Seconds that a running pod is given; none: what its spec says.
    pub grace_seconds: Option<i64>,
    /// What becomes of the dependents.
    pub propagation: Propagation,
    /// Checks everything and deletes nothing.
    pub dry_run: bool,
}

impl Delete {
    /// Deletes at once, as a kubelet does at the end of a pod.
    #[must_use]
    pub fn now() -> Self {
        Self {
            grace_seconds: Some(0),
            ..Self::default()
        }
    }
}

/// What a delete did.
#[derive(Clone, Debug, PartialEq)]
pub enum Deleted {
    /// The object is gone; this was its last state.
    Gone(Object),
    /// The object is marked and waits for finalizers or for its pod to end.
    Waiting(Object),
}

impl Deleted {
    /// Returns the object.
    #[must_use]
    pub fn object(&self) -> &Object {
        match self {
            Self::Gone(object) | Self::Waiting(object) => object,
        }
    }
}

const CLEANUP: &str = "customresourcecleanup.apiextensions.k8s.io";

impl State {
    /// Deletes an object.
    pub(crate) fn delete(&mut self, target: &Target, options: &Delete) -> Result<Deleted, ApiError> {
        let kind = target.kind.clone();
        let old = self
            .object(&kind.group, &kind.kind, &target.namespace, &target.name)
            .cloned()
            .ok_or_else(|| target.not_found())?;
        check_preconditions(target, &old, options)?;
        let grace = grace(&kind, &old, options);
        let mut value = old.value().clone();
        let finalizers = finalizers(&kind, &value, options);
        let was_marked = old.at("/metadata/deletionTimestamp").is_some();
        if finalizers.is_empty() && grace == 0 && kind.kind != "Namespace" {
            let gone = if options.dry_run {
                old
            } else {
                self.finish_delete(&kind, value, old)
            };
            return Ok(Deleted::Gone(gone));
        }
        if was_marked
            && old
                .i64_at("/metadata/deletionGracePeriodSeconds")
                .unwrap_or_default()
                <= grace
        {
            if !options.dry_run {
                self.sweep(&kind, &old);
            }
            return Ok(Deleted::Waiting(old));
        }
        self.mark(&kind, &mut value, &finalizers, grace);
        if options.dry_run {
            return Ok(Deleted::Waiting(Object::from(value)));
        }
        let object = self.commit(&kind, Verb::Modified, &mut value, Some(old));
        self.sweep(&kind, &object);
        let left = self
            .object(&kind.group, &kind.kind, &target.namespace, &target.name)
            .is_some();
        Ok(if left {
            Deleted::Waiting(object)
        } else {
            Deleted::Gone(object)
        })
    }

    /// Removes an object for good, then whatever waited for that.
    pub(super) fn finish_delete(&mut self, kind: &Arc<Kind>, mut value: Value, old: Object) -> Object {
        let object = self.commit(kind, Verb::Deleted, &mut value, Some(old));
        if kind.builtin && kind.kind == "CustomResourceDefinition" {
            self.kinds_mut().forget(object.value());
        }
        self.release_namespace(object.namespace());
        if !kind.builtin {
            self.release_definition(kind);
        }
        object
    }

    fn mark(&self, kind: &Kind, value: &mut Value, finalizers: &[String], grace: i64) {
        let end = self.clock().now().as_second().saturating_add(grace);
        let at = jiff::Timestamp::from_second(end).map_or_else(|_| self.now(), stamp);
        j::set(value, &["metadata", "deletionTimestamp"], at);
        let namespace = kind.builtin && kind.kind == "Namespace";
        if !namespace {
            j::set(value, &["metadata", "deletionGracePeriodSeconds"], grace);
        }
        if !finalizers.is_empty() {
            j::set(value, &["metadata", "finalizers"], json!(finalizers));
        }
        if let Some(generation) = j::at(value, &["metadata", "generation"]).and_then(Value::as_i64) {
            j::set(value, &["metadata", "generation"], generation + 1);
        }
        if namespace {
            j::set(value, &["status", "phase"], "Terminating");
        }
    }

    /// Plays the namespace controller and the clean-up of definitions: deletes what the marked object holds.
    fn sweep(&mut self, kind: &Kind, object: &Object) {
        if !kind.builtin {
            return;
        }
        let held = match kind.kind.as_str() {
            "Namespace" => self.in_namespace(object.name()),
            "CustomResourceDefinition" => self
                .objects(
                    object.str_at("/spec/group"),
                    object.str_at("/spec/names/kind"),
                    None,
                )
                .cloned()
                .collect(),
            _ => return,
        };
        for held in held {
            let key = held.key();
            let Some(kind) = self.kinds().get(&key.group, &key.kind) else {
                continue;
            };
            let target = Target {
                version: kind.storage.clone(),
                namespace: key.namespace,
                name: key.name,
                kind,
            };
            // One that is gone already went with another one.
            let _gone = self.delete(&target, &Delete::default());
        }
        if kind.kind == "Namespace" {
            self.release_namespace(object.name());
        } else if let Some(kind) = self
            .kinds()
            .get(object.str_at("/spec/group"), object.str_at("/spec/names/kind"))
        {
            self.release_definition(&kind);
        }
    }

    fn release_namespace(&mut self, name: &str) {
        let Some(namespace) = self.object("", "Namespace", "", name).cloned() else {
            return;
        };
        let marked = namespace.at("/metadata/deletionTimestamp").is_some();
        if !marked || !self.in_namespace(name).is_empty() {
            return;
        }
        let Some(kind) = self.kinds().get("", "Namespace") else {
            return;
        };
        let mut value = namespace.value().clone();
        j::remove(&mut value, &["spec", "finalizers"]);
        if j::items(&value, &["metadata", "finalizers"]).is_empty() {
            self.finish_delete(&kind, value, namespace);
        }
    }

    fn release_definition(&mut self, kind: &Kind) {
        let Some(definition) = self
            .object(
                "apiextensions.k8s.io",
                "CustomResourceDefinition",
                "",
                &kind.qualified(),
            )
            .cloned()
        else {
            return;
        };
        let marked = definition.at("/metadata/deletionTimestamp").is_some();
        if !marked || self.objects(&kind.group, &kind.kind, None).next().is_some() {
            return;
        }
        let Some(crd) = self
            .kinds()
            .get("apiextensions.k8s.io", "CustomResourceDefinition")
        else {
            return;
        };
        let mut value = definition.value().clone();
        let mut left = j::strings(&value, &["metadata", "finalizers"]);
        left.retain(|f| *f != CLEANUP);
        let left = json!(left);
        if j::items(&left, &[]).is_empty() {
            j::remove(&mut value, &["metadata", "finalizers"]);
            self.finish_delete(&crd, value, definition);
        } else {
            j::set(&mut value, &["metadata", "finalizers"], left);
            self.commit(&crd, Verb::Modified, &mut value, Some(definition));
        }
    }
}

fn check_preconditions(target: &Target, old: &Object, options: &Delete) -> Result<(), ApiError> {
    let (kind, name) = (&target.kind, &target.name);
    let differs = |wanted: &Option<String>, present: &str| {
        wanted
            .as_ref()
            .filter(|w| w.as_str() != present)
            .map(|w| (w.clone(), present.to_owned()))
    };
    let why = if let Some((wanted, present)) = differs(&options.uid, old.uid()) {
        format!(
            "the UID in the precondition ({wanted}) does not match the UID in record ({present}). The object \
             might have been deleted and then recreated"
        )
    } else if let Some((wanted, present)) = differs(&options.resource_version, old.resource_version()) {
        format!(
            "the ResourceVersion in the precondition ({wanted}) does not match the ResourceVersion in record \
             ({present}). The object might have been modified"
        )
    } else {
        return Ok(());
    };
    Err(ApiError::conflict(&kind.group, &kind.kind, name, &why))
}

/// Returns the seconds that a pod is given. Only a scheduled pod that has not ended has any.
fn grace(kind: &Kind, old: &Object, options: &Delete) -> i64 {
    let running = !old.str_at("/spec/nodeName").is_empty()
        && !matches!(old.str_at("/status/phase"), "Succeeded" | "Failed");
    if kind.group.is_empty() && kind.kind == "Pod" && running {
        let own = old.i64_at("/spec/terminationGracePeriodSeconds").unwrap_or(30);
        options.grace_seconds.unwrap_or(own).max(0)
    } else {
        0
    }
}

fn finalizers(kind: &Kind, value: &Value, options: &Delete) -> Vec<String> {
    let mut list: Vec<String> = j::strings(value, &["metadata", "finalizers"])
        .into_iter()
        .map(str::to_owned)
        .collect();
    let mut want = |name: &str, wanted: bool| {
        let has = list.iter().any(|f| f == name);
        if wanted && !has {
            list.push(name.to_owned());
        } else if !wanted && has {
            list.retain(|f| f != name);
        }
    };
    want(
        "foregroundDeletion",
        options.propagation == Propagation::Foreground,
    );
    want("orphan", options.propagation == Propagation::Orphan);
    if kind.builtin && kind.kind == "CustomResourceDefinition" {
        want(CLEANUP, true);
    }
    list
}

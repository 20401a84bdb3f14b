//! The way of a write: names, isolation of the status, types and defaults, ownership, generation, validation,
//! and the check whether anything changed at all.

use std::sync::Arc;

use serde_json::{Value, json};

use super::{
    ApiError, Cause, Draft, Intent, Kind, Part, Target, Verb,
    json::{self as j},
    state::State,
};
use crate::{
    manifest::Object,
    rehearsal::{apply, schema},
};

/// Fields of `metadata` that only the server sets.
const OWNED_METADATA: [&str; 8] = [
    "uid",
    "resourceVersion",
    "generation",
    "creationTimestamp",
    "deletionTimestamp",
    "deletionGracePeriodSeconds",
    "selfLink",
    "namespace",
];

impl State {
    /// Creates an object.
    pub(crate) fn create(
        &mut self,
        target: &Target,
        intent: &Intent,
        draft: Draft,
    ) -> Result<Object, ApiError> {
        let kind = target.kind.clone();
        let mut value = draft.value;
        self.check_namespace(target)?;
        if !j::text(&value, &["metadata", "resourceVersion"]).is_empty() {
            return Err(ApiError::internal(
                "resourceVersion should not be set on objects to be created",
            ));
        }
        let target = self.named(target, &value)?;
        if !draft.applied {
            j::remove(&mut value, &["metadata", "managedFields"]);
        }
        clean(&target, &mut value);
        self.admit(&target, intent, None, &mut value, draft.applied)?;
        j::set(&mut value, &["metadata", "uid"], self.new_uid());
        j::set(&mut value, &["metadata", "creationTimestamp"], self.now());
        if kind.counts_generations() {
            j::set(&mut value, &["metadata", "generation"], 1);
        }
        self.prepare_new(&kind, &mut value);
        schema::fill(&kind, &mut value);
        let causes = schema::validate(&kind, &target.version, &value, None);
        if !causes.is_empty() {
            return Err(target.invalid(&causes));
        }
        if intent.dry_run {
            return Ok(Object::from(value));
        }
        store_version(&kind, &mut value);
        let object = self.commit(&kind, Verb::Added, &mut value, None);
        self.settle(&kind, &object);
        Ok(object)
    }

    /// Updates an object by an edit of its present state (in the version of the request).
    pub(crate) fn update(
        &mut self,
        target: &Target,
        intent: &Intent,
        edit: impl FnOnce(&Value) -> Result<Draft, ApiError>,
    ) -> Result<Object, ApiError> {
        let kind = target.kind.clone();
        let stored = self
            .object(&kind.group, &kind.kind, &target.namespace, &target.name)
            .cloned()
            .ok_or_else(|| target.not_found())?;
        let mut old = stored.value().clone();
        own_type(&mut old, target);
        let Draft { mut value, applied } = edit(&old)?;
        check_guards(target, &old, &value)?;
        own_type(&mut value, target);
        isolate(&kind, intent.part, &old, &mut value);
        self.admit(target, intent, Some(&old), &mut value, applied)?;
        let spec = intent.part != Part::Status && kind.counts_generations();
        if spec && is_new_generation(&kind, &old, &value) {
            let generation = j::at(&old, &["metadata", "generation"]).and_then(Value::as_i64);
            j::set(
                &mut value,
                &["metadata", "generation"],
                generation.unwrap_or_default() + 1,
            );
        }
        self.prepare_update(&kind, &old, &mut value);
        schema::fill(&kind, &mut value);
        let mut causes = schema::validate(&kind, &target.version, &value, Some(&old));
        causes.extend(new_finalizers(&old, &value));
        if !causes.is_empty() {
            return Err(target.invalid(&causes));
        }
        if apply::same(&old, &value) {
            return Ok(stored);
        }
        if intent.dry_run {
            return Ok(Object::from(value));
        }
        store_version(&kind, &mut value);
        if is_released(&value) {
            return Ok(self.finish_delete(&kind, value, stored));
        }
        let object = self.commit(&kind, Verb::Modified, &mut value, Some(stored));
        self.settle(&kind, &object);
        Ok(object)
    }

    /// Reads a value through its type, and records who owns what.
    fn admit(
        &self,
        target: &Target,
        intent: &Intent,
        old: Option<&Value>,
        value: &mut Value,
        applied: bool,
    ) -> Result<(), ApiError> {
        let kind = &target.kind;
        schema::admit(kind, &target.version, value, intent.strict)
            .map_err(|e| if intent.patch && !applied { of_patch(&e) } else { e })?;
        if kind.builtin && kind.kind == "DaemonSet" {
            schema::count_templates(old, value);
        }
        if !applied {
            apply::record_update(target, intent, old, value, &self.now());
        }
        Ok(())
    }

    fn check_namespace(&self, target: &Target) -> Result<(), ApiError> {
        if !target.kind.namespaced {
            return Ok(());
        }
        let Some(namespace) = self.object("", "Namespace", "", &target.namespace) else {
            return Err(ApiError::not_found("", "namespaces", &target.namespace));
        };
        if namespace.at("/metadata/deletionTimestamp").is_some() {
            let why = format!(
                "unable to create new content in namespace {} because it is being terminated",
                target.namespace
            );
            return Err(ApiError::forbidden(
                &target.kind.group,
                &target.kind.plural,
                &target.name,
                &why,
            ));
        }
        Ok(())
    }

    /// Settles the name of a new object, and that it is free.
    fn named(&mut self, target: &Target, value: &Value) -> Result<Target, ApiError> {
        let kind = &target.kind;
        let mut target = target.clone();
        let base = j::text(value, &["metadata", "generateName"]);
        if target.name.is_empty() && base.is_empty() {
            let cause = Cause::required("metadata.name", "name or generateName is required");
            return Err(target.invalid(&[cause]));
        }
        let generated = target.name.is_empty();
        for _ in 0..8 {
            if generated {
                let base: String = base.chars().take(58).collect();
                target.name = format!("{base}{}", self.new_suffix());
            }
            let free = self
                .object(&kind.group, &kind.kind, &target.namespace, &target.name)
                .is_none();
            if free {
                return Ok(target);
            }
            if !generated {
                break;
            }
        }
        Err(ApiError::already_exists(&kind.group, &kind.plural, &target.name))
    }

    fn prepare_new(&mut self, kind: &Kind, value: &mut Value) {
        if kind.builtin {
            schema::first_status(&kind.kind, value);
            self.allocate(kind, None, value);
            if kind.kind == "Namespace" {
                j::default(value, &["spec", "finalizers"], json!(["kubernetes"]));
            }
        }
    }

    fn prepare_update(&mut self, kind: &Kind, old: &Value, value: &mut Value) {
        if kind.builtin {
            self.allocate(kind, Some(old), value);
        }
    }

    /// Does what follows from a write of a special kind: a new definition is served at once.
    fn settle(&mut self, kind: &Arc<Kind>, object: &Object) {
        if kind.kind != "CustomResourceDefinition" || !kind.builtin {
            return;
        }
        self.kinds_mut().define(object.value());
        let mut value = object.value().clone();
        if schema::accept_definition(&mut value, &self.now()) {
            let target = Target {
                kind: kind.clone(),
                version: kind.storage.clone(),
                namespace: String::new(),
                name: object.name().to_owned(),
            };
            let intent = Intent::update("kube-apiserver", Part::Status);
            apply::record_update(&target, &intent, Some(object.value()), &mut value, &self.now());
            self.commit(kind, Verb::Modified, &mut value, Some(object.clone()));
        }
    }
}

/// Takes out of a new object what is not its creator's to say.
fn clean(target: &Target, value: &mut Value) {
    let kind = &target.kind;
    own_type(value, target);
    // Kinds without generations keep the one that they are given.
    let kept = if kind.counts_generations() {
        ""
    } else {
        "generation"
    };
    for field in OWNED_METADATA.into_iter().filter(|f| *f != kept) {
        j::remove(value, &["metadata", field]);
    }
    if kind.has_status() && kind.kind != "Node" {
        j::remove(value, &["status"]);
    }
    own_place(value, target);
}

/// Blames a patch for what it makes of an object.
fn of_patch(error: &ApiError) -> ApiError {
    if error.code != 400 || error.message.contains("strict decoding error") {
        return error.clone();
    }
    let cause = Cause::invalid("patch", &json!(""), &error.message);
    ApiError::invalid("", "", "", &[cause])
}

fn own_type(value: &mut Value, target: &Target) {
    j::set(value, &["apiVersion"], target.kind.api_version(&target.version));
    j::set(value, &["kind"], target.kind.kind.as_str());
}

fn own_place(value: &mut Value, target: &Target) {
    j::set(value, &["metadata", "name"], target.name.as_str());
    if target.kind.namespaced {
        j::set(value, &["metadata", "namespace"], target.namespace.as_str());
    }
}

/// Rewrites the version to the stored one (conversion None: nothing else changes but what its schema prunes).
fn store_version(kind: &Kind, value: &mut Value) {
    let version = kind.api_version(&kind.storage);
    if j::text(value, &["apiVersion"]) != version {
        j::set(value, &["apiVersion"], version);
        schema::convert(kind, value);
    }
}

fn check_guards(target: &Target, old: &Value, new: &Value) -> Result<(), ApiError> {
    let kind = &target.kind;
    let (group, plural, name) = (&kind.group, &kind.plural, &target.name);
    let (uid, present) = (
        j::text(new, &["metadata", "uid"]),
        j::text(old, &["metadata", "uid"]),
    );
    if !uid.is_empty() && uid != present {
        let prefix = if group.is_empty() {
            String::new()
        } else {
            format!("{group}/")
        };
        let key = format!("/registry/{prefix}{plural}/{}/{name}", target.namespace);
        let why = format!(
            "StorageError: invalid object, Code: 4, Key: {key}, ResourceVersion: 0, AdditionalErrorMsg: \
             Precondition failed: UID in precondition: {uid}, UID in object meta: {present}"
        );
        return Err(ApiError::conflict(group, plural, name, &why));
    }
    let version = j::text(new, &["metadata", "resourceVersion"]);
    if version.is_empty() {
        if kind.builtin && kind.kind != "Lease" && kind.kind != "CustomResourceDefinition" {
            return Ok(());
        }
        let cause = Cause::invalid(
            "metadata.resourceVersion",
            &json!(0),
            "must be specified for an update",
        );
        return Err(ApiError::invalid(group, plural, name, &[cause]));
    }
    if version != j::text(old, &["metadata", "resourceVersion"]) {
        return Err(ApiError::stale(group, plural, name));
    }
    Ok(())
}

/// Lets a write touch only its part: the main endpoint all but the status, `/status` nothing but the status.
fn isolate(kind: &Kind, part: Part, old: &Value, value: &mut Value) {
    if part == Part::Status {
        let mut isolated = old.clone();
        j::copy(value, &mut isolated, &["status"]);
        j::copy(value, &mut isolated, &["metadata", "managedFields"]);
        if kind.builtin {
            j::copy(value, &mut isolated, &["metadata", "annotations"]);
        }
        *value = isolated;
        return;
    }
    if kind.has_status() {
        j::copy(old, value, &["status"]);
    }
    for field in OWNED_METADATA.into_iter().chain(["name"]) {
        j::copy(old, value, &["metadata", field]);
    }
}

fn is_new_generation(kind: &Kind, old: &Value, new: &Value) -> bool {
    if kind.builtin && kind.kind != "EndpointSlice" {
        let annotations = ["metadata", "annotations"];
        return old.get("spec") != new.get("spec")
            || (kind.kind == "Deployment" && j::at(old, &annotations) != j::at(new, &annotations));
    }
    let bare = |value: &Value| {
        let mut value = value.clone();
        j::remove(&mut value, &["metadata"]);
        if kind.has_status() {
            j::remove(&mut value, &["status"]);
        }
        value
    };
    bare(old) != bare(new)
}

fn new_finalizers(old: &Value, new: &Value) -> Option<Cause> {
    let path = ["metadata", "finalizers"];
    j::at(old, &["metadata", "deletionTimestamp"])?;
    let before = j::strings(old, &path);
    let added: Vec<&str> = j::strings(new, &path)
        .into_iter()
        .filter(|f| !before.contains(f))
        .collect();
    let added: Vec<String> = added.iter().map(|f| format!("{f:?}")).collect();
    let detail = format!(
        "no new finalizers can be added if the object is being deleted, found new finalizers []string{{{}}}",
        added.join(", ")
    );
    (!added.is_empty()).then(|| Cause::forbidden("metadata.finalizers", &detail))
}

/// Whether an object that is being deleted has nothing left that holds it.
fn is_released(value: &Value) -> bool {
    let grace = j::at(value, &["metadata", "deletionGracePeriodSeconds"]).and_then(Value::as_i64);
    j::at(value, &["metadata", "deletionTimestamp"]).is_some()
        && j::items(value, &["metadata", "finalizers"]).is_empty()
        && grace.unwrap_or_default() == 0
        && j::items(value, &["spec", "finalizers"]).is_empty()
}

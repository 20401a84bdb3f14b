//! The way of a write: names, isolation of the status, types and defaults, ownership, generation, validation,
//! and the check whether anything changed at all.

use std::sync::Arc;

use serde_json::{Value, json};

use super::{
    ApiError, Cause, Kind, Verb,
    json::{self as j},
    state::State,
};
use crate::{
    manifest::Object,
    rehearsal::{apply, schema},
};

/// Which object a request is about, in which version.
#[derive(Clone, Debug)]
pub(crate) struct Target {
    pub(crate) kind: Arc<Kind>,
    pub(crate) version: String,
    pub(crate) namespace: String,
    /// Empty for a create with `generateName`.
    pub(crate) name: String,
}

impl Target {
    pub(crate) fn not_found(&self) -> ApiError {
        ApiError::not_found(&self.kind.group, &self.kind.plural, &self.name)
    }

    fn invalid(&self, causes: &[Cause]) -> ApiError {
        ApiError::invalid(&self.kind.group, &self.kind.kind, &self.name, causes)
    }
}

/// Which part of an object a request may write.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Part {
    Main,
    Status,
    Scale,
}

impl Part {
    pub(crate) fn subresource(self) -> &'static str {
        match self {
            Self::Main => "",
            Self::Status => "status",
            Self::Scale => "scale",
        }
    }
}

/// Who writes what, and how strictly the body is read.
#[derive(Clone, Debug)]
pub(crate) struct Intent {
    pub(crate) manager: String,
    pub(crate) part: Part,
    pub(crate) dry_run: bool,
    /// Unknown fields are an error instead of being dropped.
    pub(crate) strict: bool,
    /// The body is a patch: what it makes unreadable is a fault of the patch.
    pub(crate) patch: bool,
}

impl Intent {
    pub(crate) fn update(manager: &str, part: Part) -> Self {
        Self {
            manager: manager.to_owned(),
            part,
            dry_run: false,
            strict: false,
            patch: false,
        }
    }
}

/// What a write would store, before admission.
#[derive(Clone, Debug)]
pub(crate) struct Draft {
    pub(crate) value: Value,
    /// Ownership was computed by server-side apply and is in `metadata.managedFields`.
    pub(crate) applied: bool,
}

impl Draft {
    pub(crate) fn of(value: Value) -> Self {
        Self {
            value,
            applied: false,
        }
    }
}

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
        own_type(&mut value, &target);
        let kept = if kind.counts_generations() {
            ""
        } else {
            "generation"
        };
        for field in OWNED_METADATA.into_iter().filter(|f| *f != kept) {
            j::remove(&mut value, &["metadata", field]);
        }
        if kind.has_status() && kind.kind != "Node" {
            j::remove(&mut value, &["status"]);
        }
        own_place(&mut value, &target);
        schema::admit(&kind, &target.version, &mut value, intent.strict)?;
        if kind.builtin && kind.kind == "DaemonSet" {
            schema::count_templates(None, &mut value);
        }
        if !draft.applied {
            j::remove(&mut value, &["metadata", "managedFields"]);
            apply::record_update(&target, intent, None, &mut value, &self.now());
        }
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
        schema::admit(&kind, &target.version, &mut value, intent.strict)
            .map_err(|e| if intent.patch && !applied { of_patch(&e) } else { e })?;
        if kind.builtin && kind.kind == "DaemonSet" {
            schema::count_templates(Some(&old), &mut value);
        }
        if !applied {
            apply::record_update(target, intent, Some(&old), &mut value, &self.now());
        }
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

    /// Gives a Service its address.
    fn allocate(&mut self, kind: &Kind, old: Option<&Value>, value: &mut Value) {
        if kind.kind != "Service" {
            return;
        }
        if j::text(value, &["spec", "type"]) == "ExternalName" {
            let external = [
                "clusterIP",
                "clusterIPs",
                "ipFamilies",
                "ipFamilyPolicy",
                "internalTrafficPolicy",
            ];
            if old.is_some_and(|o| j::text(o, &["spec", "type"]) != "ExternalName") {
                for field in external {
                    j::remove(value, &["spec", field]);
                }
            }
            return;
        }
        let kept = old.map_or("", |o| j::text(o, &["spec", "clusterIP"])).to_owned();
        if j::text(value, &["spec", "clusterIP"]).is_empty() {
            let address = if kept.is_empty() {
                self.new_cluster_ip()
            } else {
                Some(kept)
            };
            j::set(value, &["spec", "clusterIP"], address.unwrap_or_default());
        }
        if matches!(j::text(value, &["spec", "type"]), "NodePort" | "LoadBalancer") {
            self.allocate_ports(old, value);
        }
        let address = j::text(value, &["spec", "clusterIP"]).to_owned();
        j::default(value, &["spec", "clusterIPs"], json!([address]));
        j::default(value, &["spec", "ipFamilies"], json!(["IPv4"]));
        j::default(value, &["spec", "ipFamilyPolicy"], "SingleStack");
    }

    /// Gives the ports of a Service that is reached through nodes their numbers; they keep them.
    fn allocate_ports(&self, old: Option<&Value>, value: &mut Value) {
        let mut used = self.node_ports();
        let kept = |port: &Value| {
            let of = |p: &Value| (p.get("port").cloned(), p.get("protocol").cloned());
            let ports = j::items(old?, &["spec", "ports"]);
            ports
                .iter()
                .find(|p| of(p) == of(port))?
                .get("nodePort")
                .and_then(Value::as_i64)
        };
        let ports = j::entry(value, &["spec", "ports"]).as_array_mut();
        for port in ports.into_iter().flatten() {
            let wanted = port.get("nodePort").and_then(Value::as_i64).filter(|p| *p != 0);
            let free = || (30_000..32_768).find(|p| !used.contains(p));
            if let Some(number) = wanted.or_else(|| kept(port)).or_else(free) {
                used.insert(number);
                j::set(port, &["nodePort"], number);
            }
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

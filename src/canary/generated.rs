//! What all objects that Serin generates for a Canary have in common: whose they are, and what of the object
//! that they are made from they do not repeat.

use std::collections::BTreeMap;

use serde_json::{Value, json};

use super::Canary;
use crate::manifest::{Object, Resource};

/// Annotations that keep Flux away from what Serin leads.
pub const HANDS_OFF: [(&str, &str); 2] = [
    ("kustomize.toolkit.fluxcd.io/reconcile", "disabled"),
    ("helm.toolkit.fluxcd.io/driftDetection", "disabled"),
];

/// Whether a label or annotation belongs to the object that it is on, and to no copy of it.
#[must_use]
pub fn stays(key: &str) -> bool {
    key.contains("toolkit.fluxcd.io")
        || key.starts_with("meta.helm.sh/")
        || key.starts_with("kubectl.kubernetes.io/last-applied")
        || key.starts_with("deployment.kubernetes.io/")
        || key.starts_with("serin.dev/")
}

/// Returns the labels (or annotations, by `field`) of an object that a copy may have.
#[must_use]
pub fn copied(object: &Object, field: &str) -> BTreeMap<String, String> {
    let map = object.at("/metadata").and_then(|metadata| metadata.get(field));
    let entries = map.and_then(Value::as_object).into_iter().flatten();
    entries
        .filter(|(key, _)| !stays(key))
        .filter_map(|(key, value)| Some((key.clone(), value.as_str()?.to_owned())))
        .collect()
}

/// Adds the annotations that keep Flux away.
#[must_use]
pub fn hands_off(annotations: &BTreeMap<String, String>) -> BTreeMap<String, String> {
    let mut annotations = annotations.clone();
    annotations.extend(HANDS_OFF.map(|(key, value)| (key.to_owned(), value.to_owned())));
    annotations
}

/// Returns metadata; without what is empty.
#[must_use]
pub fn metadata(
    canary: &Canary,
    name: &str,
    labels: &BTreeMap<String, String>,
    annotations: &BTreeMap<String, String>,
    owners: Vec<Value>,
) -> Value {
    let mut metadata = json!({ "name": name, "namespace": canary.namespace });
    if let Some(fields) = metadata.as_object_mut() {
        if !labels.is_empty() {
            fields.insert("labels".to_owned(), json!(labels));
        }
        if !annotations.is_empty() {
            fields.insert("annotations".to_owned(), json!(annotations));
        }
        if !owners.is_empty() {
            fields.insert("ownerReferences".to_owned(), Value::Array(owners));
        }
    }
    metadata
}

/// Returns the reference that makes the Canary the controller of an object; none for a Canary from git.
#[must_use]
pub fn controller(canary: &Canary) -> Vec<Value> {
    owner(canary, true).into_iter().collect()
}

fn owner(canary: &Canary, controller: bool) -> Option<Value> {
    if canary.uid.is_empty() {
        return None;
    }
    Some(json!({
        "apiVersion": Resource::CANARY.api_version(),
        "kind": Resource::CANARY.kind,
        "name": canary.name,
        "uid": canary.uid,
        "controller": controller,
        "blockOwnerDeletion": true,
    }))
}

/// Returns the references of an object that several Canaries own, none of them its controller.
#[must_use]
pub fn shared_owners(canary: &Canary, live: Option<&Object>) -> Vec<Value> {
    let theirs = live
        .and_then(|live| live.at("/metadata/ownerReferences"))
        .and_then(Value::as_array)
        .into_iter()
        .flatten()
        .filter(|owner| owner.get("uid").and_then(Value::as_str) != Some(canary.uid.as_str()))
        .cloned()
        .map(|mut owner| {
            if let Some(fields) = owner.as_object_mut() {
                fields.insert("controller".to_owned(), Value::Bool(false));
            }
            owner
        });
    theirs.chain(owner(canary, false)).collect()
}

/// Whether the Canary is the controller of an object. Also if it was a Canary of the same name that is gone: the
/// next write makes the object this one's before it is collected as garbage.
#[must_use]
pub fn is_ours(canary: &Canary, object: &Object) -> bool {
    let owners = object.at("/metadata/ownerReferences").and_then(Value::as_array);
    owners.into_iter().flatten().any(|owner| {
        let text = |field: &str| owner.get(field).and_then(Value::as_str).unwrap_or_default();
        text("kind") == Resource::CANARY.kind
            && text("apiVersion").starts_with("flagger.app/")
            && text("name") == canary.name
            && owner.get("controller").and_then(Value::as_bool) == Some(true)
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn annotated(key: &str, text: &str) -> Object {
        Object::from(json!({ "metadata": { "annotations": { key: text } } }))
    }

    #[test]
    fn what_belongs_to_the_original_is_not_copied() {
        for key in [
            "kustomize.toolkit.fluxcd.io/name",
            "meta.helm.sh/release-name",
            "kubectl.kubernetes.io/last-applied-configuration",
            "deployment.kubernetes.io/revision",
        ] {
            assert!(copied(&annotated(key, "x"), "annotations").is_empty(), "{key}");
        }
        assert_eq!(copied(&annotated("team", "x"), "annotations").len(), 1);
    }
}

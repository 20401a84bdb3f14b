//! Labels, annotations and owners of what is generated.

use std::collections::BTreeMap;

use serde_json::{Value, json};

use crate::{
    canary::Canary,
    manifest::{Object, Resource},
    rollout::Revision,
};

/// What an object was made from, on a primary.
pub(super) const PROMOTED_FROM: &str = "serin.dev/promoted-from";
/// Digest of the tracked configs, on the pods of a primary, so that they roll when a config changes.
pub(super) const CONFIG_DIGEST: &str = "serin.dev/config-digest";

/// Keeps Flux away from a service that Serin leads.
pub(super) const HANDS_OFF: [(&str, &str); 2] = [
    ("kustomize.toolkit.fluxcd.io/reconcile", "disabled"),
    ("helm.toolkit.fluxcd.io/driftDetection", "disabled"),
];

/// Whether a label or annotation belongs to the object that it is on, and to no copy of it.
pub(super) fn stays(key: &str) -> bool {
    key.contains("toolkit.fluxcd.io")
        || key.starts_with("meta.helm.sh/")
        || key.starts_with("kubectl.kubernetes.io/last-applied")
        || key.starts_with("deployment.kubernetes.io/")
        || key.starts_with("serin.dev/")
}

/// Returns the labels (or annotations, by `field`) of an object that a copy may have.
pub(super) fn copied(object: &Object, field: &str) -> BTreeMap<String, String> {
    let map = object.at("/metadata").and_then(|metadata| metadata.get(field));
    let entries = map.and_then(Value::as_object).into_iter().flatten();
    entries
        .filter(|(key, _)| !stays(key))
        .filter_map(|(key, value)| Some((key.clone(), value.as_str()?.to_owned())))
        .collect()
}

/// The same, only with the prefixes that the Canary asks for.
pub(super) fn included(canary: &Canary, object: &Object, field: &str) -> BTreeMap<String, String> {
    let prefixes = &canary.spec.include_label_prefix;
    let wanted = |key: &str| {
        prefixes
            .iter()
            .any(|prefix| prefix == "*" || (!prefix.is_empty() && key.starts_with(prefix.as_str())))
    };
    let mut map = copied(object, field);
    map.retain(|key, _| wanted(key));
    map
}

/// Returns metadata; without what is empty.
pub(super) fn metadata(
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
pub(super) fn controller(canary: &Canary) -> Vec<Value> {
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
pub(super) fn shared_owners(canary: &Canary, live: Option<&Object>) -> Vec<Value> {
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

/// Whether the Canary is the controller of an object.
pub(super) fn is_ours(canary: &Canary, object: &Object) -> bool {
    let owners = object.at("/metadata/ownerReferences").and_then(Value::as_array);
    !canary.uid.is_empty()
        && owners.into_iter().flatten().any(|owner| {
            owner.get("uid").and_then(Value::as_str) == Some(canary.uid.as_str())
                && owner.get("controller").and_then(Value::as_bool) == Some(true)
        })
}

/// Writes a revision into an annotation.
pub(super) fn write_revision(revision: &Revision) -> String {
    json!({ "template": revision.template(), "configs": revision.configs() }).to_string()
}

/// Reads the revision that an object was made from.
pub(super) fn read_revision(object: &Object) -> Option<Revision> {
    let value: Value = serde_json::from_str(object.annotation(PROMOTED_FROM)?).ok()?;
    let configs = value.get("configs")?.as_object()?;
    let configs = configs
        .iter()
        .map(|(name, digest)| Some((name.clone(), digest.as_str()?.to_owned())))
        .collect::<Option<_>>()?;
    Some(Revision::new(value.get("template")?.as_str()?, configs))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn annotated(key: &str, text: &str) -> Object {
        Object::from(json!({ "metadata": { "annotations": { key: text } } }))
    }

    #[test]
    fn a_revision_survives_its_annotation() {
        let configs = BTreeMap::from([("secret/a".to_owned(), "v1:01".to_owned())]);
        for revision in [
            Revision::new("v1:ab", configs),
            Revision::new("", BTreeMap::new()),
        ] {
            let object = annotated(PROMOTED_FROM, &write_revision(&revision));
            assert_eq!(read_revision(&object), Some(revision));
        }
        assert_eq!(read_revision(&annotated(PROMOTED_FROM, "{}")), None);
        assert_eq!(read_revision(&annotated(PROMOTED_FROM, "x")), None);
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

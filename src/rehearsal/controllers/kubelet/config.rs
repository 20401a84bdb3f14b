//! The configuration that a pod refers to: what is missing, and what it says.

use std::collections::BTreeMap;

use base64::{Engine as _, prelude::BASE64_STANDARD};
use serde_json::Value;

use super::{Context, j};
use crate::{
    manifest::{Object, ObjectKey, Resource},
    rehearsal::Store,
};

/// Configuration that a pod needs and that does not exist.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Missing {
    /// For a variable: the container cannot be created.
    Variable(String),
    /// For a volume: the pod waits for its volumes.
    Volume(String),
}

/// A reference of a pod to a `ConfigMap` or `Secret`.
#[derive(Debug)]
struct Reference<'a> {
    resource: Resource,
    name: &'a str,
    /// The one key that is meant; else all.
    key: Option<&'a str>,
    /// The variable that the one key becomes.
    variable: Option<&'a str>,
    prefix: &'a str,
    optional: bool,
    volume: bool,
}

fn references(pod: &Object) -> Vec<Reference<'_>> {
    let spec = |field: &'static str| j::items(pod.value(), &["spec", field]);
    let containers = spec("initContainers").iter().chain(spec("containers"));
    let mut found = Vec::new();
    for container in containers {
        for source in j::items(container, &["envFrom"]) {
            let prefix = j::text(source, &["prefix"]);
            for (field, resource) in [
                ("configMapRef", Resource::CONFIG_MAP),
                ("secretRef", Resource::SECRET),
            ] {
                let found_here = source
                    .get(field)
                    .and_then(|r| reference(r, "name", resource, false));
                found.extend(found_here.map(|r| Reference { prefix, ..r }));
            }
        }
        for variable in j::items(container, &["env"]) {
            let name = j::text(variable, &["name"]);
            for (field, resource) in [
                ("configMapKeyRef", Resource::CONFIG_MAP),
                ("secretKeyRef", Resource::SECRET),
            ] {
                let source = j::at(variable, &["valueFrom", field]);
                let found_here = source.and_then(|r| reference(r, "name", resource, false));
                let key = source.map(|r| j::text(r, &["key"]));
                found.extend(found_here.map(|r| Reference {
                    key,
                    variable: Some(name),
                    ..r
                }));
            }
        }
    }
    for volume in spec("volumes") {
        let projected = j::items(volume, &["projected", "sources"])
            .iter()
            .map(|source| (source, "name"));
        for (source, secret_name) in [(volume, "secretName")].into_iter().chain(projected) {
            let map = source
                .get("configMap")
                .and_then(|r| reference(r, "name", Resource::CONFIG_MAP, true));
            let secret = source
                .get("secret")
                .and_then(|r| reference(r, secret_name, Resource::SECRET, true));
            found.extend(map.into_iter().chain(secret));
        }
    }
    found
}

fn reference<'a>(value: &'a Value, field: &str, resource: Resource, volume: bool) -> Option<Reference<'a>> {
    Some(Reference {
        resource,
        name: value.get(field)?.as_str()?,
        key: None,
        variable: None,
        prefix: "",
        optional: value.get("optional") == Some(&Value::Bool(true)),
        volume,
    })
}

/// Returns the first thing that a pod refers to without the word `optional` and that does not exist.
pub(super) fn missing(context: &Context, pod: &Object) -> Option<Missing> {
    references(pod).into_iter().filter(|r| !r.optional).find_map(|r| {
        let key = ObjectKey::new(r.resource, pod.namespace(), r.name);
        let kind = r.resource.kind;
        let message = match (context.store.get(&key), r.key) {
            (None, _) => format!("{} \"{}\" not found", kind.to_lowercase(), r.name),
            (Some(object), Some(wanted)) if data(&object).all(|(name, _)| name != wanted) => {
                format!(
                    "couldn't find key {wanted} in {kind} {}/{}",
                    pod.namespace(),
                    r.name
                )
            }
            _ => return None,
        };
        Some(if r.volume {
            Missing::Volume(message)
        } else {
            Missing::Variable(message)
        })
    })
}

fn data(object: &Object) -> impl Iterator<Item = (&String, &Value)> {
    ["data", "binaryData"]
        .into_iter()
        .filter_map(|f| object.value().get(f)?.as_object())
        .flatten()
}

/// Returns the variables of a pod's containers, and the files of its volumes by name, as they are now.
pub(in crate::rehearsal) fn environment(store: &Store, pod: &Object) -> BTreeMap<String, String> {
    let mut all = BTreeMap::new();
    for r in references(pod) {
        let Some(object) = store.get(&ObjectKey::new(r.resource, pod.namespace(), r.name)) else {
            continue;
        };
        for (name, value) in data(&object).filter(|(name, _)| r.key.is_none_or(|key| key == *name)) {
            let text = value.as_str().unwrap_or_default();
            let text = if r.resource == Resource::SECRET {
                decoded(text)
            } else {
                text.to_owned()
            };
            let name = r
                .variable
                .map_or_else(|| format!("{}{name}", r.prefix), str::to_owned);
            all.insert(name, text);
        }
    }
    for container in j::items(pod.value(), &["spec", "containers"]) {
        for variable in j::items(container, &["env"]) {
            if let Some(value) = variable.get("value").and_then(Value::as_str) {
                all.insert(j::text(variable, &["name"]).to_owned(), value.to_owned());
            }
        }
    }
    all
}

fn decoded(text: &str) -> String {
    let bytes = BASE64_STANDARD.decode(text).unwrap_or_default();
    String::from_utf8_lossy(&bytes).into_owned()
}

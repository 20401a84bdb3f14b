//! ConfigMaps and Secrets that a pod template refers to: which of them count as part of the revision, and
//! their `-primary` copies.

use std::collections::{BTreeMap, BTreeSet};

use serde_json::{Map, Value, json};

use super::{Refusal, compare::exceeds, metadata::included};
use crate::{
    canary::{
        Canary,
        generated::{metadata, shared_owners},
    },
    manifest::{
        Digest, Manager, Object, ObjectKey, Reading, Snapshot, Write, config_references, declared_by,
        is_tracked_config,
    },
};

/// Returns the name, as in `status.trackedConfigs`.
fn label(config: &ObjectKey) -> String {
    format!("{}/{}", config.kind.to_lowercase(), config.name)
}

/// Returns the key of the primary's copy.
pub(super) fn copy_key(config: &ObjectKey) -> ObjectKey {
    ObjectKey {
        name: format!("{}-primary", config.name),
        ..config.clone()
    }
}

/// Why the configs of a target are not known.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Gap {
    NotRead(ObjectKey),
    Missing(String),
}

impl From<Gap> for Refusal {
    fn from(gap: Gap) -> Self {
        match gap {
            Gap::NotRead(key) => Self::NotRead(key),
            Gap::Missing(text) => Self::Invalid(text),
        }
    }
}

/// The configs that count.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct Tracked(BTreeMap<ObjectKey, Object>);

/// Returns the keys of the configs, and of the copies of those that are there.
pub(super) fn inputs(canary: &Canary, target: &Object, known: &Snapshot) -> Vec<ObjectKey> {
    let mut keys = Vec::new();
    for config in references(canary, target).into_keys() {
        if known.get(&config).is_some_and(is_tracked_config) {
            keys.push(copy_key(&config));
        }
        keys.push(config);
    }
    keys
}

fn references(canary: &Canary, target: &Object) -> BTreeMap<ObjectKey, bool> {
    if canary.spec.track_configs {
        config_references(target)
    } else {
        BTreeMap::new()
    }
}

/// Finds the configs that count.
pub(super) fn tracked(canary: &Canary, target: &Object, known: &Snapshot) -> Result<Tracked, Gap> {
    let mut found = BTreeMap::new();
    for (config, required) in references(canary, target) {
        match known.read(&config) {
            Reading::Unknown => return Err(Gap::NotRead(config)),
            Reading::Absent if required => {
                let (kind, name, namespace) = (config.kind.to_lowercase(), &config.name, &config.namespace);
                return Err(Gap::Missing(format!(
                    "{kind} {name}.{namespace} not found, and the pods of {} need it: create it, or make the \
                     reference optional",
                    target.name()
                )));
            }
            Reading::Present(object) if is_tracked_config(object) => {
                found.insert(config, object.clone());
            }
            Reading::Absent | Reading::Present(_) => {}
        }
    }
    Ok(Tracked(found))
}

impl Tracked {
    /// Returns the names of the configs that the primary has copies of.
    pub(super) fn renamed(&self) -> BTreeSet<ObjectKey> {
        self.0.keys().cloned().collect()
    }

    /// Returns the digests, as in `status.trackedConfigs`.
    pub(super) fn digests(&self) -> BTreeMap<String, String> {
        let digest_of = |object: &Object| Digest::of(&content(object)).to_string();
        self.0
            .iter()
            .map(|(config, object)| (label(config), digest_of(object)))
            .collect()
    }

    /// Whether the copies that are there have the text data of the originals. Flagger copies nothing else, so
    /// this is how its copies are told to be current.
    pub(super) fn are_copied(&self, known: &Snapshot) -> Result<bool, ObjectKey> {
        for (config, object) in &self.0 {
            let key = copy_key(config);
            match known.read(&key) {
                Reading::Unknown => return Err(key),
                Reading::Absent => return Ok(false),
                Reading::Present(copy) => {
                    if part(object, "data") != part(copy, "data") {
                        return Ok(false);
                    }
                }
            }
        }
        Ok(true)
    }

    /// Returns what makes the copies current.
    pub(super) fn copies(&self, canary: &Canary, known: &Snapshot) -> Result<Vec<Write>, Refusal> {
        let mut writes = Vec::new();
        for (config, object) in &self.0 {
            let key = copy_key(config);
            let live = match known.read(&key) {
                Reading::Unknown => return Err(Refusal::NotRead(key)),
                Reading::Absent => None,
                Reading::Present(live) => Some(live),
            };
            copy(canary, &key.name, object, live, &mut writes);
        }
        Ok(writes)
    }
}

fn copy(canary: &Canary, name: &str, object: &Object, live: Option<&Object>, writes: &mut Vec<Write>) {
    let mut wanted = content(object);
    if let Some(fields) = wanted.as_object_mut() {
        for field in ["apiVersion", "kind"] {
            fields.insert(field.to_owned(), json!(object.str_at(&format!("/{field}"))));
        }
        if let Some(immutable) = object.at("/immutable").and_then(Value::as_bool) {
            fields.insert("immutable".to_owned(), json!(immutable));
        }
        let metadata = metadata(
            canary,
            name,
            &included(canary, object, "labels"),
            &included(canary, object, "annotations"),
            shared_owners(canary, live),
        );
        fields.insert("metadata".to_owned(), metadata);
    }
    let wanted = Object::from(wanted);
    if let Some(live) = live {
        let surplus = ["data", "binaryData"].map(|field| exceeds(&part(live, field), &part(object, field)));
        let differs = content(live) != content(object);
        if !differs && declared_by(&wanted, live, &[]) {
            return;
        }
        if differs && cannot_change(live, object) {
            writes.push(Write::Delete {
                key: live.key(),
                uid: live.uid().to_owned(),
                grace_seconds: 0,
            });
        } else if surplus.contains(&true) {
            writes.push(replace(live, object));
        }
    }
    writes.push(Write::Apply {
        manager: Manager::Serin,
        object: wanted,
        force: true,
    });
}

/// Whether the API server would refuse to change one into the other.
fn cannot_change(live: &Object, object: &Object) -> bool {
    live.at("/immutable").and_then(Value::as_bool) == Some(true)
        || live.str_at("/type") != object.str_at("/type")
}

/// Drops keys that the original does not have, whoever set them.
fn replace(live: &Object, object: &Object) -> Write {
    let operations = ["data", "binaryData"]
        .into_iter()
        .filter(|field| live.at(&format!("/{field}")).is_some())
        .map(|field| json!({ "op": "add", "path": format!("/{field}"), "value": part(object, field) }));
    super::patch(live, operations)
}

/// Returns what pods can see of a config.
fn content(object: &Object) -> Value {
    let mut content = Map::new();
    for field in ["data", "binaryData"] {
        let part = part(object, field);
        if part.as_object().is_some_and(|fields| !fields.is_empty()) {
            content.insert(field.to_owned(), part);
        }
    }
    if let Some(kind) = object.at("/type") {
        content.insert("type".to_owned(), kind.clone());
    }
    Value::Object(content)
}

fn part(object: &Object, field: &str) -> Value {
    let part = object.value().get(field).filter(|part| part.is_object());
    part.cloned().unwrap_or_else(|| json!({}))
}

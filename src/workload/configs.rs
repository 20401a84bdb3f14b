//! ConfigMaps and Secrets that a pod template refers to: which of them count as part of the revision, and
//! their `-primary` copies.

use std::collections::{BTreeMap, BTreeSet};

use serde_json::{Map, Value, json};

use super::{
    Refusal,
    compare::{covers, exceeds},
    digest::digest,
    metadata::{included, metadata, shared_owners},
    rewrite::visit_configs,
};
use crate::{
    canary::Canary,
    manifest::{Manager, Object, ObjectKey, Reading, Resource, Snapshot, Write},
};

/// Opts a ConfigMap or Secret out of tracking.
const TRACKING: &str = "flagger.app/config-tracking";

/// Types of Secret that are tracked; others belong to machines (service accounts, Helm, pull secrets).
const SECRET_TYPES: [&str; 5] = [
    "",
    "Opaque",
    "kubernetes.io/basic-auth",
    "kubernetes.io/ssh-auth",
    "kubernetes.io/tls",
];

/// Kinds of config.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum ConfigKind {
    ConfigMap,
    Secret,
}

impl ConfigKind {
    fn resource(self) -> Resource {
        match self {
            Self::ConfigMap => Resource::CONFIG_MAP,
            Self::Secret => Resource::SECRET,
        }
    }
}

/// Names a config.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct Config {
    pub(super) kind: ConfigKind,
    pub(super) name: String,
}

impl Config {
    /// Returns the name, as in `status.trackedConfigs`.
    fn label(&self) -> String {
        format!("{}/{}", self.kind.resource().kind.to_lowercase(), self.name)
    }

    pub(super) fn copy_name(&self) -> String {
        format!("{}-primary", self.name)
    }

    fn key(&self, namespace: &str) -> ObjectKey {
        ObjectKey::new(self.kind.resource(), namespace, &self.name)
    }

    fn copy_key(&self, namespace: &str) -> ObjectKey {
        ObjectKey::new(self.kind.resource(), namespace, &self.copy_name())
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
pub(super) struct Tracked(BTreeMap<Config, Object>);

/// Finds what a pod template refers to, and whether the pods need it to start.
fn referenced(template: &Value) -> BTreeMap<Config, bool> {
    let mut pod = template.get("spec").cloned().unwrap_or_default();
    let mut found = BTreeMap::new();
    visit_configs(&mut pod, &mut |kind, reference, field| {
        let name = reference.get(field).and_then(Value::as_str).unwrap_or_default();
        if name.is_empty() {
            return;
        }
        let required = reference.get("optional").and_then(Value::as_bool) != Some(true);
        let config = Config {
            kind,
            name: name.to_owned(),
        };
        *found.entry(config).or_insert(false) |= required;
    });
    found
}

fn is_tracked(kind: ConfigKind, object: &Object) -> bool {
    let opted_out = object
        .annotation(TRACKING)
        .is_some_and(|text| text.starts_with("disable"));
    let known_type = kind == ConfigKind::ConfigMap || SECRET_TYPES.contains(&object.str_at("/type"));
    known_type && !opted_out
}

/// Returns the keys of the configs, and of the copies of those that are there.
pub(super) fn inputs(canary: &Canary, template: &Value, known: &Snapshot) -> Vec<ObjectKey> {
    let mut keys = Vec::new();
    for config in referenced_if_tracked(canary, template).into_keys() {
        let key = config.key(&canary.namespace);
        if known
            .get(&key)
            .is_some_and(|object| is_tracked(config.kind, object))
        {
            keys.push(config.copy_key(&canary.namespace));
        }
        keys.push(key);
    }
    keys
}

fn referenced_if_tracked(canary: &Canary, template: &Value) -> BTreeMap<Config, bool> {
    if canary.spec.track_configs {
        referenced(template)
    } else {
        BTreeMap::new()
    }
}

/// Finds the configs that count.
pub(super) fn tracked(canary: &Canary, template: &Value, known: &Snapshot) -> Result<Tracked, Gap> {
    let mut found = BTreeMap::new();
    for (config, required) in referenced_if_tracked(canary, template) {
        let key = config.key(&canary.namespace);
        match known.read(&key) {
            Reading::Unknown => return Err(Gap::NotRead(key)),
            Reading::Absent if required => {
                let kind = key.kind.to_lowercase();
                let (name, namespace) = (&config.name, &canary.namespace);
                let target = &canary.spec.target.name;
                return Err(Gap::Missing(format!(
                    "{kind} {name}.{namespace} not found, and the pods of {target} need it: create it, or make \
                     the reference optional"
                )));
            }
            Reading::Present(object) if is_tracked(config.kind, object) => {
                found.insert(config, object.clone());
            }
            Reading::Absent | Reading::Present(_) => {}
        }
    }
    Ok(Tracked(found))
}

impl Tracked {
    /// Returns the names of the configs that the primary has copies of.
    pub(super) fn renamed(&self) -> BTreeSet<Config> {
        self.0.keys().cloned().collect()
    }

    /// Returns the digests, as in `status.trackedConfigs`.
    pub(super) fn digests(&self) -> BTreeMap<String, String> {
        let digest_of = |object: &Object| digest(&content(object));
        self.0
            .iter()
            .map(|(config, object)| (config.label(), digest_of(object)))
            .collect()
    }

    /// Whether the copies that are there have the text data of the originals. Flagger copies nothing else, so
    /// this is how its copies are told to be current.
    pub(super) fn are_copied(&self, canary: &Canary, known: &Snapshot) -> Result<bool, ObjectKey> {
        for (config, object) in &self.0 {
            let key = config.copy_key(&canary.namespace);
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
            let key = config.copy_key(&canary.namespace);
            let live = match known.read(&key) {
                Reading::Unknown => return Err(Refusal::NotRead(key)),
                Reading::Absent => None,
                Reading::Present(live) => Some(live),
            };
            copy(canary, config, object, live, &mut writes);
        }
        Ok(writes)
    }
}

fn copy(canary: &Canary, config: &Config, object: &Object, live: Option<&Object>, writes: &mut Vec<Write>) {
    let mut wanted = content(object);
    if let Some(fields) = wanted.as_object_mut() {
        let resource = config.kind.resource();
        fields.insert("apiVersion".to_owned(), json!(resource.api_version()));
        fields.insert("kind".to_owned(), json!(resource.kind));
        if let Some(immutable) = object.at("/immutable").and_then(Value::as_bool) {
            fields.insert("immutable".to_owned(), json!(immutable));
        }
        let metadata = metadata(
            canary,
            &config.copy_name(),
            &included(canary, object, "labels"),
            &included(canary, object, "annotations"),
            shared_owners(canary, live),
        );
        fields.insert("metadata".to_owned(), metadata);
    }
    if let Some(live) = live {
        let surplus = ["data", "binaryData"].map(|field| exceeds(&part(live, field), &part(object, field)));
        let differs = content(live) != content(object);
        if !differs && covers(live.value(), &wanted) {
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
        object: Object::from(wanted),
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

//! An object while it is rendered: its content, and what kustomize remembers of it on the way.

use std::sync::Arc;

use serde_json::{Map, Value};

use super::scope;

/// The namespace of what has none because it is of the whole cluster.
const NOWHERE: &str = "_non_namespaceable_";

/// What a generated object does where one of its name is already there.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) enum Behavior {
    /// It must not be there.
    #[default]
    Create,
    /// It takes its place.
    Replace,
    /// It adds to it.
    Merge,
}

/// A name, namespace and kind that an object had.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Former {
    pub(super) name: String,
    pub(super) namespace: String,
    pub(super) kind: String,
}

/// An object while it is rendered. Cheap to clone; its content is copied when it changes.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct Item {
    pub(super) value: Arc<Value>,
    pub(super) file: Arc<str>,
    pub(super) line: u32,
    /// What it was called, the oldest first.
    pub(super) former: Vec<Former>,
    pub(super) prefixes: Vec<String>,
    pub(super) suffixes: Vec<String>,
    /// Whether its name gets a hash of its content.
    pub(super) hashed: bool,
    pub(super) behavior: Behavior,
    /// JSON pointers of fields that were written without a value.
    pub(super) hollow: Arc<[String]>,
    /// Fields that are one and the same to kustomize, as JSON pointers.
    pub(super) twins: Vec<Vec<String>>,
    /// Variables that are about it.
    pub(super) vars: Vec<String>,
    /// The kind of generator that made it.
    pub(super) made_by: Option<&'static str>,
}

/// What tells objects apart: two of one key cannot be in one build.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(super) struct Id {
    pub(super) group: String,
    pub(super) version: String,
    pub(super) kind: String,
    pub(super) namespace: String,
    pub(super) name: String,
}

impl std::fmt::Display for Id {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        if self.namespace == NOWHERE {
            write!(f, "{}/{}", self.kind, self.name)
        } else {
            write!(f, "{}/{}/{}", self.kind, self.namespace, self.name)
        }
    }
}

impl Item {
    pub(super) fn new(value: Arc<Value>, file: Arc<str>, line: u32, hollow: &[String]) -> Self {
        Self {
            value,
            file,
            line,
            former: Vec::new(),
            prefixes: Vec::new(),
            suffixes: Vec::new(),
            hashed: false,
            behavior: Behavior::Create,
            hollow: hollow.into(),
            twins: Vec::new(),
            vars: Vec::new(),
            made_by: None,
        }
    }

    fn text(&self, pointer: &str) -> &str {
        self.value
            .pointer(pointer)
            .and_then(Value::as_str)
            .unwrap_or_default()
    }

    pub(super) fn api_version(&self) -> &str {
        self.text("/apiVersion")
    }

    pub(super) fn group(&self) -> &str {
        group_version(self.api_version()).0
    }

    pub(super) fn version(&self) -> &str {
        group_version(self.api_version()).1
    }

    pub(super) fn kind(&self) -> &str {
        self.text("/kind")
    }

    pub(super) fn name(&self) -> &str {
        self.text("/metadata/name")
    }

    /// The namespace as it is written; empty where none is.
    pub(super) fn namespace(&self) -> &str {
        self.text("/metadata/namespace")
    }

    pub(super) fn is_cluster_scoped(&self) -> bool {
        scope::is_cluster_scoped(self.api_version(), self.kind())
    }

    /// The namespace for comparisons: none is `default`.
    pub(super) fn effective_namespace(&self) -> &str {
        if self.is_cluster_scoped() {
            return NOWHERE;
        }
        match self.namespace() {
            "" => "default",
            namespace => namespace,
        }
    }

    pub(super) fn id(&self) -> Id {
        Id {
            group: self.group().to_owned(),
            version: self.version().to_owned(),
            kind: self.kind().to_owned(),
            namespace: self.effective_namespace().to_owned(),
            name: self.name().to_owned(),
        }
    }

    /// The names and namespaces that it has had and has.
    pub(super) fn identities(&self) -> impl Iterator<Item = Identity<'_>> {
        let now = Identity {
            name: self.name(),
            namespace: self.effective_namespace(),
            kind: self.kind(),
        };
        self.former
            .iter()
            .map(Former::identity)
            .chain(std::iter::once(now))
    }

    /// What it was called first.
    pub(super) fn original(&self) -> Identity<'_> {
        self.former.first().map_or_else(
            || Identity {
                name: self.name(),
                namespace: self.effective_namespace(),
                kind: self.kind(),
            },
            Former::identity,
        )
    }

    /// Remembers what it is called now, before that changes.
    pub(super) fn remember(&mut self) {
        self.former.push(Former {
            name: self.name().to_owned(),
            namespace: self.effective_namespace().to_owned(),
            kind: self.kind().to_owned(),
        });
    }

    /// The content, to be changed.
    pub(super) fn edit(&mut self) -> &mut Value {
        Arc::make_mut(&mut self.value)
    }

    /// Sets a field of the metadata; an empty text removes it.
    pub(super) fn set_metadata(&mut self, field: &str, text: &str) {
        let Some(metadata) = object_in(self.edit(), "metadata") else {
            return;
        };
        if text.is_empty() {
            metadata.remove(field);
        } else {
            metadata.insert(field.to_owned(), text.into());
        }
    }

    pub(super) fn map_at(&self, pointer: &str) -> Option<&Map<String, Value>> {
        self.value.pointer(pointer).and_then(Value::as_object)
    }

    /// Makes a text of annotations that have none.
    pub(super) fn spell_out_annotations(&mut self) {
        const AT: &str = "/metadata/annotations";
        if !self
            .map_at(AT)
            .is_some_and(|map| map.values().any(Value::is_null))
        {
            return;
        }
        let hollow = Arc::clone(&self.hollow);
        let annotations = self.edit().pointer_mut(AT).and_then(Value::as_object_mut);
        for (key, value) in annotations.into_iter().flatten() {
            if value.is_null() {
                let pointer = format!("{AT}/{}", key.replace('~', "~0").replace('/', "~1"));
                *value = if hollow.contains(&pointer) { "" } else { "null" }.into();
            }
        }
    }

    pub(super) fn annotation(&self, key: &str) -> Option<&str> {
        self.map_at("/metadata/annotations")?.get(key)?.as_str()
    }
}

impl Former {
    fn identity(&self) -> Identity<'_> {
        Identity {
            name: &self.name,
            namespace: &self.namespace,
            kind: &self.kind,
        }
    }
}

/// What an object is or was called.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Identity<'a> {
    pub(super) name: &'a str,
    pub(super) namespace: &'a str,
    pub(super) kind: &'a str,
}

/// Splits an apiVersion.
pub(super) fn group_version(api_version: &str) -> (&str, &str) {
    api_version.split_once('/').unwrap_or(("", api_version))
}

/// Returns the map in a field, made if it is missing or null; none if something else is there.
pub(super) fn object_in<'a>(value: &'a mut Value, field: &str) -> Option<&'a mut Map<String, Value>> {
    let inner = value.as_object_mut()?.entry(field).or_insert(Value::Null);
    if inner.is_null() {
        *inner = Value::Object(Map::new());
    }
    inner.as_object_mut()
}

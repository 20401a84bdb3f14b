//! What the watches have brought, and what the writes gave back.

use std::collections::{BTreeMap, BTreeSet};

use serde_json::Value;

use crate::manifest::{Object, ObjectKey, Resource};

/// What one watch covers.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Scope {
    /// Which resource.
    pub resource: Resource,
    /// In one namespace; none is everywhere.
    pub namespace: Option<String>,
    /// One object only.
    pub name: Option<String>,
}

impl Scope {
    fn covers(&self, key: &ObjectKey) -> bool {
        self.resource.kind == key.kind
            && self.resource.group == key.group
            && self
                .namespace
                .as_ref()
                .is_none_or(|namespace| *namespace == key.namespace)
            && self.name.as_ref().is_none_or(|name| *name == key.name)
    }
}

#[derive(Default)]
pub(super) struct Cache {
    objects: BTreeMap<ObjectKey, Object>,
    /// Objects of which only the metadata was watched, by resourceVersion; their bodies are being fetched.
    partial: BTreeMap<ObjectKey, String>,
    loaded: BTreeSet<Scope>,
}

impl Cache {
    pub(super) fn get(&self, key: &ObjectKey) -> Option<&Object> {
        self.objects.get(key)
    }

    pub(super) fn list(&self, resource: Resource) -> Vec<Object> {
        let of_kind = self.objects.iter();
        of_kind
            .filter(|(key, _)| key.kind == resource.kind && key.group == resource.group)
            .map(|(_, object)| object.clone())
            .collect()
    }

    pub(super) fn is_loaded(&self, scope: &Scope) -> bool {
        self.loaded.contains(scope)
    }

    pub(super) fn is_partial(&self, key: &ObjectKey) -> bool {
        self.partial.contains_key(key)
    }

    /// Takes an object over, unless a newer version is known. Gives whether it did.
    pub(super) fn apply(&mut self, object: &Object) -> bool {
        let key = object.key();
        if self
            .objects
            .get(&key)
            .is_some_and(|known| !is_newer(object, known))
        {
            return false;
        }
        self.partial.remove(&key);
        self.objects.insert(key, slim(object));
        true
    }

    /// Notes that an object has this resourceVersion. Gives whether its body must be fetched.
    pub(super) fn note(&mut self, key: &ObjectKey, version: &str) -> bool {
        if self
            .objects
            .get(key)
            .is_some_and(|known| known.resource_version() == version)
        {
            return false;
        }
        self.objects.remove(key);
        self.partial.insert(key.clone(), version.to_owned());
        true
    }

    pub(super) fn remove(&mut self, key: &ObjectKey) {
        self.objects.remove(key);
        self.partial.remove(key);
    }

    /// Ends a list: what is in the scope and was not listed is gone. Gives the keys that went.
    pub(super) fn loaded(&mut self, scope: &Scope, listed: &BTreeSet<ObjectKey>) -> Vec<ObjectKey> {
        let known = self.objects.keys().chain(self.partial.keys());
        let gone: Vec<ObjectKey> = known
            .filter(|key| scope.covers(key) && !listed.contains(*key))
            .cloned()
            .collect();
        for key in &gone {
            self.remove(key);
        }
        self.loaded.insert(scope.clone());
        gone
    }
}

/// Versions of one object are numbers that grow (Kubernetes 1.35 promises it; etcd always did). What is not a
/// number is taken as newer.
fn is_newer(object: &Object, known: &Object) -> bool {
    let number = |object: &Object| object.resource_version().parse::<u64>().ok();
    match (number(object), number(known)) {
        (Some(new), Some(old)) => new > old || object.uid() != known.uid(),
        _ => true,
    }
}

/// Drops what nobody reads and what is most of an object's size.
fn slim(object: &Object) -> Object {
    let mut value: Value = object.value().clone();
    if let Some(metadata) = value.get_mut("metadata").and_then(Value::as_object_mut) {
        metadata.remove("managedFields");
    }
    Object::from(value)
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    fn object(name: &str, version: &str) -> Object {
        Object::from(json!({"apiVersion": "v1", "kind": "Service",
            "metadata": {"name": name, "namespace": "test", "uid": "u", "resourceVersion": version}}))
    }

    #[test]
    fn an_older_version_does_not_replace_a_newer_one() {
        let mut cache = Cache::default();
        assert!(cache.apply(&object("a", "10")));
        assert!(!cache.apply(&object("a", "9")));
        assert!(cache.apply(&object("a", "11")));
        assert_eq!(
            cache.get(&object("a", "").key()).unwrap().resource_version(),
            "11"
        );
    }

    #[test]
    fn what_a_list_lacks_is_gone() {
        let mut cache = Cache::default();
        cache.apply(&object("a", "1"));
        cache.apply(&object("b", "2"));
        let scope = Scope {
            resource: Resource::SERVICE,
            namespace: Some("test".to_owned()),
            name: None,
        };
        let gone = cache.loaded(&scope, &BTreeSet::from([object("b", "").key()]));
        assert_eq!(gone, [object("a", "").key()]);
        assert!(cache.is_loaded(&scope) && cache.get(&object("a", "").key()).is_none());
    }

    #[test]
    fn a_body_is_fetched_once_per_version() {
        let mut cache = Cache::default();
        let key = object("a", "").key();
        assert!(cache.note(&key, "5"));
        assert!(cache.is_partial(&key));
        cache.apply(&object("a", "5"));
        assert!(!cache.is_partial(&key) && !cache.note(&key, "5"));
        assert!(cache.note(&key, "6"));
    }
}

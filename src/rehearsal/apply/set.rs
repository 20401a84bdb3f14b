//! Sets of fields, as `managedFields` writes them (`f:`, `k:`, `v:`).

use std::collections::BTreeMap;

use serde_json::{Map, Value};

/// A set of fields: a tree whose nodes may be members. Path elements are kept in their written form.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Set {
    pub(super) member: bool,
    pub(super) children: BTreeMap<String, Set>,
}

impl Set {
    /// Reads `fieldsV1`.
    pub(super) fn read(fields: &Value) -> Self {
        let mut set = Self::default();
        for (element, below) in fields.as_object().into_iter().flatten() {
            if element == "." {
                set.member = true;
                continue;
            }
            let mut child = Self::read(below);
            child.member |= below.as_object().is_some_and(Map::is_empty);
            set.children.insert(element.clone(), child);
        }
        set
    }

    /// Writes `fieldsV1`.
    pub(super) fn write(&self) -> Value {
        let mut fields = Map::new();
        if self.member && !self.children.is_empty() {
            fields.insert(".".to_owned(), Value::Object(Map::new()));
        }
        for (element, child) in &self.children {
            fields.insert(element.clone(), child.write());
        }
        Value::Object(fields)
    }

    pub(super) fn is_empty(&self) -> bool {
        !self.member && self.children.values().all(Self::is_empty)
    }

    pub(super) fn child(&mut self, element: String) -> &mut Self {
        self.children.entry(element).or_default()
    }

    /// Returns the members that are also in the other set.
    pub(super) fn intersection(&self, other: &Self) -> Self {
        let children = self
            .children
            .iter()
            .filter_map(|(element, child)| Some((element, child.intersection(other.children.get(element)?))))
            .filter(|(_, child)| !child.is_empty())
            .map(|(element, child)| (element.clone(), child))
            .collect();
        Self {
            member: self.member && other.member,
            children,
        }
    }

    /// Returns the members that are not in the other set.
    pub(super) fn difference(&self, other: &Self) -> Self {
        let children = self
            .children
            .iter()
            .map(|(element, child)| match other.children.get(element) {
                Some(other) => (element, child.difference(other)),
                None => (element, child.clone()),
            })
            .filter(|(_, child)| !child.is_empty())
            .map(|(element, child)| (element.clone(), child))
            .collect();
        Self {
            member: self.member && !other.member,
            children,
        }
    }

    /// Adds the members of the other set.
    pub(super) fn add(&mut self, other: &Self) {
        self.member |= other.member;
        for (element, child) in &other.children {
            self.child(element.clone()).add(child);
        }
    }

    /// Returns the paths of the members, such as `.spec.ports[port=80].name`.
    pub(super) fn paths(&self) -> Vec<String> {
        let mut paths = Vec::new();
        self.collect(&mut String::new(), &mut paths);
        paths
    }

    fn collect(&self, prefix: &mut String, paths: &mut Vec<String>) {
        if self.member {
            paths.push(prefix.clone());
        }
        for (element, child) in &self.children {
            let length = prefix.len();
            prefix.push_str(&readable(element));
            child.collect(prefix, paths);
            prefix.truncate(length);
        }
    }
}

/// Writes a path element for people.
pub(super) fn readable(element: &str) -> String {
    if let Some(name) = element.strip_prefix("f:") {
        return format!(".{name}");
    }
    if let Some(keys) = element.strip_prefix("k:") {
        let keys: Map<String, Value> = serde_json::from_str(keys).unwrap_or_default();
        let keys: Vec<String> = keys.iter().map(|(k, v)| format!("{k}={v}")).collect();
        return format!("[{}]", keys.join(","));
    }
    format!("[={}]", element.strip_prefix("v:").unwrap_or(element))
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn fields_are_read_and_written() {
        let fields = json!({"f:spec": {
            "f:ports": {"k:{\"port\":80}": {".": {}, "f:name": {}}},
            "f:replicas": {},
        }});
        let set = Set::read(&fields);
        assert_eq!(set.write(), fields);
        assert_eq!(
            set.paths(),
            [
                ".spec.ports[port=80]",
                ".spec.ports[port=80].name",
                ".spec.replicas"
            ]
        );
    }

    #[test]
    fn sets_are_combined() {
        let a = Set::read(&json!({"f:x": {"f:a": {}, "f:b": {}}}));
        let b = Set::read(&json!({"f:x": {"f:b": {}, "f:c": {}}}));
        assert_eq!(a.intersection(&b).paths(), [".x.b"]);
        assert_eq!(a.difference(&b).paths(), [".x.a"]);
        assert!(a.difference(&a).is_empty());
        let mut all = a.clone();
        all.add(&b);
        assert_eq!(all.paths(), [".x.a", ".x.b", ".x.c"]);
    }
}

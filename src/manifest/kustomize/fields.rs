//! Field specifications: which field of which kinds a transformation is about, and the walk to it.

use serde::Deserialize;
use serde_json::{Map, Value};

use super::item::{Item, group_version};

/// A field of the objects of a kind. Lists on the way are walked entry by entry.
#[derive(Clone, Debug, Default, PartialEq, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub(super) struct FieldSpec {
    pub(super) group: String,
    pub(super) version: String,
    pub(super) kind: String,
    pub(super) path: String,
    /// Whether the field is made where it is missing.
    pub(super) create: bool,
}

/// A group, version and kind, each of which may be left out to mean any.
#[derive(Clone, Copy, Debug)]
pub(super) struct Selected<'a> {
    pub(super) group: &'a str,
    pub(super) version: &'a str,
    pub(super) kind: &'a str,
}

impl Selected<'_> {
    pub(super) fn matches(self, group: &str, version: &str, kind: &str) -> bool {
        (self.group.is_empty() || self.group == group)
            && (self.version.is_empty() || self.version == version)
            && (self.kind.is_empty() || self.kind == kind)
    }
}

impl FieldSpec {
    pub(super) fn selected(&self) -> Selected<'_> {
        Selected {
            group: &self.group,
            version: &self.version,
            kind: &self.kind,
        }
    }

    /// Tells whether the field is one of an object.
    pub(super) fn fits(&self, item: &Item) -> bool {
        let (group, version) = group_version(item.api_version());
        self.selected().matches(group, version, item.kind())
    }

    pub(super) fn parts(&self) -> Vec<String> {
        split_path(&self.path, '/')
    }
}

/// Adds specifications to others; what is there already is left as it is. None: two disagree on `create`.
pub(super) fn add_all(specs: &mut Vec<FieldSpec>, more: &[FieldSpec]) -> Option<()> {
    for spec in more {
        let same = specs.iter().find(|known| {
            known.path == spec.path && spec.selected().matches(&known.group, &known.version, &known.kind)
        });
        match same {
            Some(known) if known.create != spec.create => return None,
            Some(_) => {}
            None => specs.push(spec.clone()),
        }
    }
    Some(())
}

/// Splits a path; a backslash before a separator makes it part of a name.
pub(super) fn split_path(path: &str, separator: char) -> Vec<String> {
    let mut parts: Vec<String> = Vec::new();
    let path = match path.strip_prefix(separator) {
        Some(rest) => rest,
        None => path,
    };
    for part in path.split(separator) {
        match parts.last_mut().filter(|last| last.ends_with('\\')) {
            Some(last) => {
                last.pop();
                last.push(separator);
                last.push_str(part);
            }
            None => parts.push(part.to_owned()),
        }
    }
    parts
}

/// What is made at the end of a path that is not there.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Leaf {
    /// Nothing: the field is left out.
    None,
    /// A map, to be filled.
    Map,
    /// A scalar, to be set.
    Scalar,
}

/// Calls `set` with every value that a path leads to.
pub(super) fn visit(
    value: &mut Value,
    parts: &[String],
    leaf: Leaf,
    set: &mut dyn FnMut(&mut Value) -> Result<(), String>,
) -> Result<(), String> {
    let Some((part, rest)) = parts.split_first() else {
        return set(value);
    };
    match value {
        Value::Null => Ok(()),
        Value::Array(items) => items
            .iter_mut()
            .try_for_each(|item| visit(item, parts, leaf, set)),
        Value::Object(fields) => {
            let (name, is_list) = match part.strip_suffix("[]") {
                Some(name) => (name, true),
                None => (part.as_str(), false),
            };
            match step(fields, name, is_list, rest.is_empty(), leaf) {
                Some(field) => visit(field, rest, leaf, set),
                None => Ok(()),
            }
        }
        _ => Err(format!(
            "`{part}` is looked for in something that is neither a map nor a list"
        )),
    }
}

fn step<'a>(
    fields: &'a mut Map<String, Value>,
    name: &str,
    is_list: bool,
    last: bool,
    leaf: Leaf,
) -> Option<&'a mut Value> {
    let create = leaf != Leaf::None && !is_list;
    if create && !fields.contains_key(name) {
        fields.insert(name.to_owned(), Value::Null);
    }
    let field = fields.get_mut(name)?;
    if field.is_null() {
        if is_list {
            *field = Value::Array(Vec::new());
        } else if create {
            *field = match (last, leaf) {
                (true, Leaf::Scalar) => Value::String(String::new()),
                _ => Value::Object(Map::new()),
            };
        }
    }
    Some(field)
}

/// Tells whether a path leads to a value that `wanted` takes, so that an object need not be copied to find out.
pub(super) fn any(value: &Value, parts: &[String], wanted: &mut dyn FnMut(&Value) -> bool) -> bool {
    let Some((part, rest)) = parts.split_first() else {
        return wanted(value);
    };
    match value {
        Value::Array(items) => items.iter().any(|item| any(item, parts, wanted)),
        Value::Object(fields) => fields
            .get(part.strip_suffix("[]").unwrap_or(part))
            .is_some_and(|field| any(field, rest, wanted)),
        _ => false,
    }
}

/// Lists the JSON pointers of the maps that a path leads to.
pub(super) fn pointers(value: &Value, parts: &[String]) -> Vec<String> {
    let mut found = Vec::new();
    collect(value, parts, &mut String::new(), &mut found);
    found
}

fn collect(value: &Value, parts: &[String], at: &mut String, found: &mut Vec<String>) {
    let length = at.len();
    match (parts.split_first(), value) {
        (None, Value::Object(_)) => found.push(at.clone()),
        (Some(_), Value::Array(items)) => {
            for (index, item) in items.iter().enumerate() {
                at.push('/');
                at.push_str(&index.to_string());
                collect(item, parts, at, found);
                at.truncate(length);
            }
        }
        (Some((part, rest)), Value::Object(fields)) => {
            let name = part.strip_suffix("[]").unwrap_or(part);
            if let Some(field) = fields.get(name) {
                at.push('/');
                at.push_str(&name.replace('~', "~0").replace('/', "~1"));
                collect(field, rest, at, found);
                at.truncate(length);
            }
        }
        _ => {}
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn set_at(value: Value, path: &str, leaf: Leaf) -> Value {
        let mut value = value;
        let mut set = |field: &mut Value| {
            *field = json!("new");
            Ok(())
        };
        visit(&mut value, &split_path(path, '/'), leaf, &mut set).unwrap();
        value
    }

    #[test]
    fn paths_lead_through_lists() {
        let value = json!({"a": [{"b": 1}, {"c": 2}, {"b": null}]});
        assert_eq!(
            set_at(value.clone(), "a/b", Leaf::None),
            json!({"a": [{"b": "new"}, {"c": 2}, {"b": "new"}]})
        );
        assert_eq!(
            set_at(value, "a[]/b", Leaf::Scalar),
            json!({"a": [{"b": "new"}, {"c": 2, "b": "new"}, {"b": "new"}]})
        );
    }

    #[test]
    fn what_is_missing_is_made_only_when_asked() {
        assert_eq!(set_at(json!({}), "a/b", Leaf::None), json!({}));
        assert_eq!(
            set_at(json!({"a": null}), "a/b", Leaf::Scalar),
            json!({"a": {"b": "new"}})
        );
        assert_eq!(set_at(json!({}), "a[]/b", Leaf::Scalar), json!({}));
    }

    #[test]
    fn a_backslash_keeps_a_separator() {
        assert_eq!(split_path(r"a/b.c\/d/e", '/'), ["a", "b.c/d", "e"]);
        assert_eq!(split_path("/a/b", '/'), ["a", "b"]);
    }
}

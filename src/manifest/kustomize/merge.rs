//! Strategic merge, the way kustomize does it: lists of built-in kinds are merged by the fields that tell their
//! entries apart, the patch's entries first; everything else is a JSON merge.

use std::collections::BTreeSet;

use serde_json::{Map, Value};

use super::{scalar, schema::Schema, yaml::Dialect};

/// Merges a patch into an object. None: the patch deletes it.
pub(super) fn merge(object: Value, patch: &Value, schema: Schema) -> Result<Option<Value>, String> {
    walk(Some(object), Some(patch), schema, &mut Vec::new())
}

#[derive(Clone, Copy, Debug, PartialEq)]
enum Shape {
    Map,
    List,
    Scalar,
}

fn shape(value: &Value) -> Shape {
    match value {
        Value::Object(_) => Shape::Map,
        Value::Array(_) => Shape::List,
        _ => Shape::Scalar,
    }
}

#[derive(Clone, Copy, Debug, PartialEq)]
enum Directive {
    Merge,
    Replace,
    Delete,
}

type Path<'a> = Vec<&'a str>;

fn walk<'a>(
    dest: Option<Value>,
    patch: Option<&'a Value>,
    schema: Schema,
    path: &mut Path<'a>,
) -> Result<Option<Value>, String> {
    let full = |value: Option<&Value>| value.filter(|value| !value.is_null()).map(shape);
    let (own, other) = (full(dest.as_ref()), full(patch));
    if let (Some(own), Some(other)) = (own, other)
        && own != other
    {
        return Err(format!("/{} is of another type in the patch", path.join("/")));
    }
    match own.or(other) {
        None => Ok(match (dest, patch) {
            (Some(null), None) => Some(null),
            _ => None,
        }),
        Some(Shape::Scalar) => Ok(patch.map(|patch| in_quotes(dest.as_ref(), patch)).or(dest)),
        Some(Shape::Map) => map(dest, patch, schema, path),
        Some(Shape::List) => list(dest, patch, schema, path),
    }
}

/// A number that takes the place of a text takes its quotes too. A text that could be read as a number or a switch
/// was quoted; of others that is not known.
fn in_quotes(dest: Option<&Value>, patch: &Value) -> Value {
    let is_quoted = |text: &str| {
        scalar::resolve(text, Dialect::Objects).is_none_or(|value| !value.is_string() && !value.is_null())
    };
    match (dest, patch) {
        (Some(Value::String(text)), Value::Number(_) | Value::Bool(_)) if is_quoted(text) => {
            Value::String(patch.to_string())
        }
        _ => patch.clone(),
    }
}

/// What a map says about itself by `$patch`.
fn directive(map: &Map<String, Value>) -> Result<Directive, String> {
    match map.get("$patch") {
        None => Ok(Directive::Merge),
        Some(Value::String(text)) if text == "merge" => Ok(Directive::Merge),
        Some(Value::String(text)) if text == "replace" => Ok(Directive::Replace),
        Some(Value::String(text)) if text == "delete" => Ok(Directive::Delete),
        Some(other) => Err(format!("unknown directive `$patch: {other}`")),
    }
}

fn map<'a>(
    dest: Option<Value>,
    patch: Option<&'a Value>,
    schema: Schema,
    path: &mut Path<'a>,
) -> Result<Option<Value>, String> {
    let patch = match patch {
        Some(Value::Null) => return Ok(None),
        Some(Value::Object(patch)) => Some(patch),
        _ => None,
    };
    let asked = patch.map(directive).transpose()?.unwrap_or(Directive::Merge);
    let own = match (asked, dest) {
        (Directive::Delete, _) => return Ok(None),
        (Directive::Merge, Some(Value::Object(own))) => own,
        // The patch as it is, without what only a merge needs.
        _ => return patch.map(|patch| fresh(patch, schema, path)).transpose(),
    };
    let mut merged = own;
    if patch.is_some_and(|patch| patch.contains_key("$patch")) {
        merged.remove("$patch");
    }
    let names: BTreeSet<&str> = patch
        .into_iter()
        .flat_map(Map::keys)
        .map(String::as_str)
        .collect();
    let mut untouched: Vec<String> = merged
        .keys()
        .filter(|name| !names.contains(name.as_str()))
        .cloned()
        .collect();
    untouched.retain(|name| {
        merged
            .get(name)
            .is_some_and(|value| !is_settled(value, schema.field(name)))
    });
    for name in untouched {
        let Some(value) = merged.remove(&name) else {
            continue;
        };
        if let Some(value) = walk(Some(value), None, schema.field(&name), path)? {
            merged.insert(name, value);
        }
    }
    for (name, value) in patch.into_iter().flatten().filter(|(name, _)| *name != "$patch") {
        path.push(name);
        let value = walk(merged.remove(name), Some(value), schema.field(name), path)?;
        path.pop();
        if let Some(value) = value.filter(|value| !value.is_null()) {
            merged.insert(name.clone(), value);
        }
    }
    Ok(Some(Value::Object(merged)))
}

/// What a patch adds where nothing was: its nulls and directives are left out.
fn fresh<'a>(patch: &'a Map<String, Value>, schema: Schema, path: &mut Path<'a>) -> Result<Value, String> {
    let mut made = Map::new();
    for (name, value) in patch.iter().filter(|(name, _)| *name != "$patch") {
        path.push(name);
        let value = walk(None, Some(value), schema.field(name), path)?;
        path.pop();
        if let Some(value) = value.filter(|value| !value.is_null()) {
            made.insert(name.clone(), value);
        }
    }
    Ok(Value::Object(made))
}

/// Tells whether a merge that touches nothing of a value leaves it as it is: entries of merged lists that occur
/// twice become one.
fn is_settled(value: &Value, schema: Schema) -> bool {
    match value {
        Value::Object(fields) => fields
            .iter()
            .all(|(name, value)| is_settled(value, schema.field(name))),
        Value::Array(items) => match schema.keys() {
            None => true,
            Some(keys) => {
                let mut seen = BTreeSet::new();
                items.iter().all(|item| {
                    seen.insert(keys.iter().map(|key| text_at(item, key)).collect::<Vec<_>>())
                        && keys.iter().all(|key| text_at(item, key).is_some())
                        && is_settled(item, schema.entries())
                })
            }
        },
        _ => true,
    }
}

fn list<'a>(
    dest: Option<Value>,
    patch: Option<&'a Value>,
    schema: Schema,
    path: &mut Path<'a>,
) -> Result<Option<Value>, String> {
    let Some(keys) = schema.keys() else {
        return Ok(patch.cloned().or(dest));
    };
    let mut asked = Directive::Merge;
    let mut entries: Vec<&'a Value> = match patch {
        Some(Value::Null) => return Ok(None),
        Some(Value::Array(entries)) => entries.iter().collect(),
        _ => Vec::new(),
    };
    if let Some(at) = entries.iter().position(|entry| entry.get("$patch").is_some())
        && let Some(Value::Object(entry)) = entries.get(at)
        && entry.len() == 1
    {
        asked = directive(entry)?;
        let same = entry.get("$patch").cloned();
        entries.retain(|entry| entry.get("$patch") != same.as_ref());
    }
    let own = match (asked, dest) {
        (Directive::Delete, _) => return Ok(None),
        (Directive::Merge, Some(Value::Array(list))) => list,
        _ => entries.iter().copied().cloned().collect(),
    };
    let own = own.into_iter().filter(|entry| !entry.is_null()).collect();
    let merged = Entries { keys, schema, path }.merge(own, &entries)?;
    Ok(Some(Value::Array(merged)))
}

/// The merge of two lists whose entries are told apart by some of their fields.
struct Entries<'a, 'b> {
    keys: Vec<&'static str>,
    schema: Schema,
    path: &'b mut Path<'a>,
}

impl<'a> Entries<'a, '_> {
    fn merge(&mut self, mut own: Vec<Value>, patch: &[&'a Value]) -> Result<Vec<Value>, String> {
        let mut wanted: Vec<Vec<String>> = Vec::new();
        for entry in patch.iter().copied().chain(&own) {
            let values = self.values(entry);
            if !wanted.contains(&values) {
                wanted.push(values);
            }
        }
        if self.keys.len() > 1 {
            complete(&mut wanted);
        }
        let named: Vec<usize> = (0..self.keys.len())
            .filter(|at| {
                wanted
                    .iter()
                    .any(|values| values.get(*at).is_some_and(|value| !value.is_empty()))
            })
            .collect();
        let named = if named.is_empty() {
            (0..self.keys.len()).collect()
        } else {
            named
        };
        let keys: Vec<&str> = named
            .iter()
            .filter_map(|at| self.keys.get(*at).copied())
            .collect();
        let mut first = Vec::new();
        for values in &wanted {
            let values: Vec<&str> = named
                .iter()
                .filter_map(|at| values.get(*at))
                .map(String::as_str)
                .collect();
            self.one(&mut own, patch, &keys, &values, &mut first)?;
        }
        Ok(rest(first, own, &keys))
    }

    /// Merges the entries of one set of values into `first`.
    fn one(
        &mut self,
        own: &mut Vec<Value>,
        patch: &[&'a Value],
        keys: &[&str],
        values: &[&str],
        first: &mut Vec<Value>,
    ) -> Result<(), String> {
        let given: Vec<(&str, &str)> = keys
            .iter()
            .copied()
            .zip(values.iter().copied())
            .filter(|(_, value)| !value.is_empty())
            .collect();
        let is_meant = |entry: &Value| {
            let fits = |(key, value): &(&str, &str)| text_at(entry, key).as_deref() == Some(value);
            if given.is_empty() {
                keys.iter().all(|key| text_at(entry, key).is_some())
            } else {
                given.iter().all(fits)
            }
        };
        let at = own.iter().position(is_meant);
        let change = patch.iter().copied().find(|entry| is_meant(entry));
        let replaced =
            matches!(change, Some(Value::Object(entry)) if directive(entry)? == Directive::Replace);
        let before = at.and_then(|at| own.get(at)).cloned();
        let merged = walk(before, change, self.schema.entries(), self.path)?;
        let Some(mut merged) = merged.filter(|value| !value.is_null() && *value != Value::Object(Map::new()))
        else {
            own.retain(|entry| !matches_all(entry, keys, values));
            return Ok(());
        };
        if let Some(fields) = merged.as_object_mut() {
            for (key, value) in &given {
                if !fields.contains_key(*key) {
                    fields.insert(
                        (*key).to_owned(),
                        scalar::resolve(value, Dialect::Objects).unwrap_or_default(),
                    );
                }
            }
        }
        if let Some(slot) = at.and_then(|at| own.get_mut(at)).filter(|_| !replaced) {
            slot.clone_from(&merged);
        }
        put(first, merged, keys, values);
        Ok(())
    }

    fn values(&self, entry: &Value) -> Vec<String> {
        self.keys
            .iter()
            .map(|key| text_at(entry, key).unwrap_or_default())
            .collect()
    }
}

/// Appends what was there to what the patch names: an entry takes the place of the one with its values.
fn rest(mut first: Vec<Value>, own: Vec<Value>, keys: &[&str]) -> Vec<Value> {
    for entry in own {
        let present: Vec<String> = keys.iter().filter_map(|key| text_at(&entry, key)).collect();
        for _ in present.len()..keys.len() {
            first.push(entry.clone());
        }
        let values: Vec<&str> = present.iter().map(String::as_str).collect();
        if keys.len() > 1 {
            first.retain(|known| !matches_all(known, keys, &values) && !is_hollow(known));
        }
        put(&mut first, entry, keys, &values);
    }
    first
}

/// Puts an entry in the place of those with the same values, or at the end.
fn put(list: &mut Vec<Value>, entry: Value, keys: &[&str], values: &[&str]) {
    let mut found = false;
    list.retain_mut(|known| {
        if is_hollow(known) {
            return false;
        }
        if !matches_all(known, keys, values) {
            return !values.is_empty();
        }
        found = true;
        known.clone_from(&entry);
        true
    });
    if !found {
        list.push(entry);
    }
}

fn is_hollow(entry: &Value) -> bool {
    entry.is_null() || entry.as_object().is_some_and(Map::is_empty)
}

/// Tells whether an entry has all of some values; an empty one is had by whatever has the field.
fn matches_all(entry: &Value, keys: &[&str], values: &[&str]) -> bool {
    if values.is_empty() {
        return false;
    }
    keys.iter()
        .zip(values)
        .all(|(key, value)| match text_at(entry, key) {
            None => false,
            Some(own) => value.is_empty() || own == *value,
        })
}

/// Fills what one of two sets of values leaves open with what the other has, if nothing else differs.
fn complete(wanted: &mut [Vec<String>]) {
    for one in 0..wanted.len() {
        for other in 0..wanted.len() {
            let (Some(a), Some(b)) = (wanted.get(one), wanted.get(other)) else {
                continue;
            };
            let common = a.iter().zip(b).any(|(a, b)| a == b);
            let fits = a
                .iter()
                .zip(b)
                .all(|(a, b)| a == b || a.is_empty() || b.is_empty());
            if !common || !fits {
                continue;
            }
            let both: Vec<String> = a
                .iter()
                .zip(b)
                .map(|(a, b)| if a.is_empty() { b } else { a }.clone())
                .collect();
            for at in [one, other] {
                if let Some(slot) = wanted.get_mut(at) {
                    slot.clone_from(&both);
                }
            }
        }
    }
}

/// The text of a field of an entry, or of the entry itself where the key is empty.
fn text_at(entry: &Value, key: &str) -> Option<String> {
    let value = if key.is_empty() {
        Some(entry)
    } else {
        entry.get(key)
    }?;
    match value {
        Value::String(text) => Some(text.clone()),
        Value::Object(_) | Value::Array(_) | Value::Null => None,
        other => Some(other.to_string()),
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn pod(spec: &Value, patch: &Value) -> Value {
        let merged = merge(
            json!({"spec": spec}),
            &json!({"spec": patch}),
            Schema::of("v1", "Pod"),
        );
        merged.unwrap().unwrap()["spec"].clone()
    }

    #[test]
    fn entries_are_merged_by_name_and_the_new_come_first() {
        let merged = pod(
            &json!({"containers": [{"name": "a", "image": "1", "args": ["x"]}, {"name": "b"}]}),
            &json!({"containers": [{"name": "b", "image": "2"}, {"name": "c"}]}),
        );
        assert_eq!(
            merged,
            json!({"containers": [{"name": "b", "image": "2"}, {"name": "c"}, {"name": "a", "image": "1", "args": ["x"]}]})
        );
    }

    #[test]
    fn directives_delete_and_replace() {
        let merged = pod(
            &json!({"containers": [{"name": "a"}, {"name": "b"}], "nodeSelector": {"x": "1"}, "volumes": [{"name": "v"}]}),
            &json!({
                "containers": [{"name": "a", "$patch": "delete"}],
                "nodeSelector": {"$patch": "replace", "y": "2"},
                "volumes": [{"$patch": "replace"}, {"name": "w"}],
            }),
        );
        assert_eq!(
            merged,
            json!({"containers": [{"name": "b"}], "nodeSelector": {"y": "2"}, "volumes": [{"name": "w"}]})
        );
        let deleted = merge(json!({"a": 1}), &json!({"$patch": "delete"}), Schema::default());
        assert_eq!(deleted, Ok(None));
        assert!(merge(json!({}), &json!({"a": {"$patch": "x"}}), Schema::default()).is_err());
    }

    #[test]
    fn lists_of_other_kinds_are_replaced_and_nulls_remove() {
        let merged = merge(
            json!({"spec": {"a": [{"name": "x"}], "b": 1, "c": {"d": 2}}}),
            &json!({"spec": {"a": [{"name": "y"}], "b": null, "c": {"e": null}}}),
            Schema::of("flagger.app/v1beta1", "Canary"),
        );
        assert_eq!(
            merged,
            Ok(Some(json!({"spec": {"a": [{"name": "y"}], "c": {"d": 2}}})))
        );
    }

    #[test]
    fn another_type_is_refused() {
        let merged = merge(
            json!({"a": {"b": 1}}),
            &json!({"a": {"b": []}}),
            Schema::default(),
        );
        assert_eq!(merged.unwrap_err(), "/a/b is of another type in the patch");
    }
}

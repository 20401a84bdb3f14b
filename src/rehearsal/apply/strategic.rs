//! Strategic merge patch, which kubectl sends for built-in kinds.

use serde_json::{Map, Value};

use crate::rehearsal::{
    schema::{Node, Shape},
    store::ApiError,
};

/// Applies a strategic merge patch to an object of a built-in kind.
pub(crate) fn strategic(kind: &str, old: &Value, patch: &Value) -> Result<Value, ApiError> {
    merge(&Node::Builtin(kind, String::new()), Some(old), patch)
}

/// The field by which strategic merge knows the entries of a list; `=` for a list of values.
fn merge_key(node: &Node<'_>) -> Option<String> {
    match node.shape(&Value::Array(Vec::new())) {
        Shape::Keyed(keys) => keys.first().cloned(),
        Shape::Set => Some("=".to_owned()),
        Shape::Fields | Shape::Atomic => None,
    }
}

fn merge(node: &Node<'_>, old: Option<&Value>, patch: &Value) -> Result<Value, ApiError> {
    let Value::Object(patch) = patch else {
        return Ok(patch.clone());
    };
    let mut merged = match (old, patch.get("$patch").and_then(Value::as_str)) {
        (_, Some("replace")) => return Ok(without_directives(&Value::Object(patch.clone()))),
        (_, Some("delete")) => return Ok(Value::Object(Map::new())),
        (_, Some("merge") | None) => old.and_then(Value::as_object).cloned().unwrap_or_default(),
        (_, Some(other)) => {
            return Err(ApiError::bad_request(format!(
                "unknown patch directive {other:?}"
            )));
        }
    };
    if let Some(kept) = patch.get("$retainKeys").and_then(Value::as_array) {
        merged.retain(|name, _| kept.iter().any(|k| k.as_str() == Some(name)));
    }
    for (name, value) in patch {
        if let Some(list) = name.strip_prefix("$deleteFromPrimitiveList/") {
            if let (Some(Value::Array(present)), Some(gone)) = (merged.get_mut(list), value.as_array()) {
                present.retain(|v| !gone.contains(v));
            }
            continue;
        }
        if name.starts_with('$') {
            continue;
        }
        let below = node.field(name);
        match value {
            Value::Null => drop(merged.remove(name)),
            Value::Array(entries) => {
                let present = merged
                    .get(name)
                    .and_then(Value::as_array)
                    .cloned()
                    .unwrap_or_default();
                merged.insert(name.clone(), Value::Array(lists(&below, present, entries)?));
            }
            value => {
                let value = merge(&below, merged.get(name), value)?;
                merged.insert(name.clone(), value);
            }
        }
    }
    order(node, old, &mut merged, patch);
    Ok(Value::Object(merged))
}

fn lists(node: &Node<'_>, present: Vec<Value>, patch: &[Value]) -> Result<Vec<Value>, ApiError> {
    let directive = |entry: &Value| entry.get("$patch").and_then(Value::as_str).map(str::to_owned);
    let Some(key) = merge_key(node) else {
        return Ok(patch
            .iter()
            .filter(|e| directive(e).is_none())
            .map(without_directives)
            .collect());
    };
    if patch.iter().any(|e| directive(e).as_deref() == Some("replace")) {
        return Ok(patch
            .iter()
            .filter(|e| directive(e).is_none())
            .map(without_directives)
            .collect());
    }
    let mut merged = present;
    for entry in patch {
        if key == "=" {
            if !merged.contains(entry) {
                merged.push(entry.clone());
            }
            continue;
        }
        let Some(id) = entry.get(&key) else {
            return Err(ApiError::bad_request(format!(
                "map: {entry} does not contain declared merge key: {key}"
            )));
        };
        let found = merged.iter().position(|e| e.get(&key) == Some(id));
        if directive(entry).as_deref() == Some("delete") {
            merged.retain(|e| e.get(&key) != Some(id));
            continue;
        }
        match found.and_then(|at| merged.get_mut(at)) {
            Some(slot) => *slot = merge(&node.item(), Some(slot), entry)?,
            None => merged.push(merge(&node.item(), None, entry)?),
        }
    }
    Ok(merged)
}

/// Orders the lists that a patch names: its entries as `$setElementOrder` (or the patch itself) says, the
/// others where they were among them.
fn order(node: &Node<'_>, old: Option<&Value>, merged: &mut Map<String, Value>, patch: &Map<String, Value>) {
    let plain = patch
        .iter()
        .filter(|(name, value)| !name.starts_with('$') && value.is_array());
    let names = patch
        .keys()
        .filter_map(|name| name.strip_prefix("$setElementOrder/"));
    let names: Vec<String> = names
        .chain(plain.map(|(name, _)| name.as_str()))
        .map(str::to_owned)
        .collect();
    for name in names {
        let wanted = patch
            .get(&format!("$setElementOrder/{name}"))
            .or_else(|| patch.get(&name));
        let Some(key) = merge_key(&node.field(&name)) else {
            continue;
        };
        let (Some(Value::Array(list)), Some(Value::Array(wanted))) = (merged.get_mut(&name), wanted) else {
            continue;
        };
        let before = old
            .and_then(|o| o.get(&name))
            .and_then(Value::as_array)
            .cloned()
            .unwrap_or_default();
        let same = |a: &Value, b: &Value| {
            if key == "=" {
                a == b
            } else {
                a.get(&key) == b.get(&key)
            }
        };
        let place = |list: &[Value], entry: &Value| list.iter().position(|e| same(e, entry));
        let (mut left, right): (Vec<Value>, Vec<Value>) = std::mem::take(list)
            .into_iter()
            .partition(|e| place(wanted, e).is_some());
        left.sort_by_key(|e| place(wanted, e));
        let mut right = right.into_iter().peekable();
        for entry in left {
            let at = place(&before, &entry);
            // Those that stood before an entry still do.
            while let Some(own) = right.next_if(|own| at.is_some_and(|at| place(&before, own) < Some(at))) {
                list.push(own);
            }
            list.push(entry);
        }
        list.extend(right);
    }
}

fn without_directives(value: &Value) -> Value {
    match value {
        Value::Object(map) => Value::Object(
            map.iter()
                .filter(|(name, value)| !name.starts_with('$') && !value.is_null())
                .map(|(name, value)| (name.clone(), without_directives(value)))
                .collect(),
        ),
        Value::Array(list) => Value::Array(list.iter().map(without_directives).collect()),
        other => other.clone(),
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn patched(old: &Value, patch: &Value) -> Value {
        strategic("Pod", &json!({"spec": old}), &json!({"spec": patch})).unwrap()["spec"].clone()
    }

    #[test]
    fn containers_are_merged_by_name() {
        let old = json!({"containers": [{"name": "a", "image": "a:1", "args": ["x"]}, {"name": "b", "image": "b:1"}]});
        let new = patched(
            &old,
            &json!({"containers": [{"name": "a", "image": "a:2"}, {"name": "c"}]}),
        );
        let expected = json!({"containers": [
            {"name": "a", "image": "a:2", "args": ["x"]}, {"name": "c"}, {"name": "b", "image": "b:1"},
        ]});
        assert_eq!(new, expected);
    }

    #[test]
    fn directives_are_obeyed() {
        let old = json!({"containers": [{"name": "a"}, {"name": "b"}], "nodeSelector": {"x": "1"}});
        let patch = json!({
            "containers": [{"name": "a", "$patch": "delete"}, {"name": "c"}],
            "$setElementOrder/containers": [{"name": "c"}, {"name": "b"}],
            "nodeSelector": {"$patch": "replace", "y": "2"},
        });
        let new = patched(&old, &patch);
        assert_eq!(
            new,
            json!({"containers": [{"name": "c"}, {"name": "b"}], "nodeSelector": {"y": "2"}})
        );
    }

    #[test]
    fn a_patch_that_cannot_be_read_is_refused() {
        let missing = strategic(
            "Pod",
            &json!({}),
            &json!({"spec": {"containers": [{"image": "x"}]}}),
        );
        assert_eq!(missing.unwrap_err().code, 400);
    }
}

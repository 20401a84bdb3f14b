//! How Kubernetes compares fields: lists by their keys, quantities by their amount, empty as absent.

use std::collections::{BTreeMap, BTreeSet};

use base64::{Engine as _, engine::general_purpose::STANDARD};
use serde_json::{Map, Value};

use super::{Object, quantity::quantity};

/// What identifies the entries of a list, in the order of preference.
const LIST_KEYS: [&str; 9] = [
    "name",
    "containerPort",
    "port",
    "mountPath",
    "devicePath",
    "topologyKey",
    "ip",
    "key",
    "uid",
];

/// Fields whose values, and maps whose values, are quantities.
const QUANTITIES: [&str; 5] = ["sizeLimit", "divisor", "storage", "averageValue", "maxAllocation"];
const QUANTITY_MAPS: [&str; 4] = ["limits", "requests", "capacity", "hard"];

/// Returns the key by which the entries of both lists can be told apart; `None`: only by their position.
pub(super) fn list_key(one: &[Value], other: &[Value]) -> Option<&'static str> {
    if one.is_empty() && other.is_empty() {
        return None;
    }
    LIST_KEYS
        .into_iter()
        .find(|key| by_key(one, key).is_some() && by_key(other, key).is_some())
}

/// Returns the entries by their key. `None`: an entry has none, or two have the same.
pub(super) fn by_key<'a>(items: &'a [Value], key: &str) -> Option<BTreeMap<String, &'a Value>> {
    let mut found = BTreeMap::new();
    for item in items {
        let name = match item.get(key)? {
            Value::String(text) => text.clone(),
            Value::Number(number) => number.to_string(),
            _ => return None,
        };
        if found.insert(name, item).is_some() {
            return None;
        }
    }
    Some(found)
}

/// Returns the keys of a list in the order of its entries.
pub(super) fn key_order<'a>(items: &'a [Value], key: &str) -> Vec<&'a Value> {
    items.iter().filter_map(|item| item.get(key)).collect()
}

/// Tells whether the API server treats this value as if it were absent.
pub(super) fn is_empty(value: &Value) -> bool {
    match value {
        Value::Null => true,
        Value::String(text) => text.is_empty(),
        Value::Array(items) => items.is_empty(),
        Value::Object(fields) => fields.is_empty(),
        _ => false,
    }
}

/// Tells whether two scalars mean the same at a field.
pub(super) fn same_scalar(one: &Value, other: &Value, is_quantity: bool) -> bool {
    one == other || is_quantity && quantity(one).is_some_and(|amount| quantity(other) == Some(amount))
}

/// Tells whether the field `key`, in a parent that is (not) a map of quantities, is a quantity; and whether it
/// is a map of quantities itself.
pub(super) fn quantities(key: &str, in_quantity_map: bool) -> (bool, bool) {
    (
        in_quantity_map || QUANTITIES.contains(&key),
        QUANTITY_MAPS.contains(&key),
    )
}

/// Returns the object as the API server would store it: the `stringData` of a Secret is in its `data`.
pub(super) fn stored(object: &Object) -> Value {
    let mut value = object.value().clone();
    if object.str_at("/kind") != "Secret" {
        return value;
    }
    let Some(fields) = value.as_object_mut() else {
        return value;
    };
    if let Some(Value::Object(plain)) = fields.remove("stringData") {
        let data = fields.entry("data").or_insert_with(|| Value::Object(Map::new()));
        if let Some(data) = data.as_object_mut() {
            for (key, text) in plain {
                let bytes = text.as_str().unwrap_or_default();
                data.insert(key, Value::from(STANDARD.encode(bytes)));
            }
        }
    }
    value
}

/// Returns the union of the keys of two maps, sorted.
pub(super) fn all_keys<'a>(one: &'a Map<String, Value>, other: &'a Map<String, Value>) -> BTreeSet<&'a str> {
    one.keys().chain(other.keys()).map(String::as_str).collect()
}

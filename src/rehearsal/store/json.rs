//! Small helpers over JSON objects: reading by path, writing without panics.

use serde_json::{Map, Value};

/// Returns the value below a chain of field names.
pub(crate) fn at<'a>(value: &'a Value, path: &[&str]) -> Option<&'a Value> {
    path.iter().try_fold(value, |v, field| v.get(field))
}

/// Returns the string below a chain of field names; empty when there is none.
pub(crate) fn text<'a>(value: &'a Value, path: &[&str]) -> &'a str {
    at(value, path).and_then(Value::as_str).unwrap_or_default()
}

/// Returns the fields of a value, which becomes an object if it is not one.
pub(crate) fn fields(value: &mut Value) -> &mut Map<String, Value> {
    if !value.is_object() {
        *value = Value::Object(Map::new());
    }
    match value {
        Value::Object(map) => map,
        _ => unreachable!("made an object above"),
    }
}

/// Returns the value below a chain of field names for writing; objects on the way are created.
pub(crate) fn entry<'a>(value: &'a mut Value, path: &[&str]) -> &'a mut Value {
    path.iter().fold(value, |v, field| {
        fields(v).entry((*field).to_owned()).or_insert(Value::Null)
    })
}

/// Sets the value below a chain of field names.
pub(crate) fn set(value: &mut Value, path: &[&str], new: impl Into<Value>) {
    *entry(value, path) = new.into();
}

/// Sets the value below a chain of field names unless there is one that is not null.
pub(crate) fn default(value: &mut Value, path: &[&str], new: impl Into<Value>) {
    let slot = entry(value, path);
    if slot.is_null() {
        *slot = new.into();
    }
}

/// Removes the value below a chain of field names.
pub(crate) fn remove(value: &mut Value, path: &[&str]) -> Option<Value> {
    let (last, parents) = path.split_last()?;
    let parent = parents.iter().try_fold(value, |v, field| v.get_mut(field))?;
    parent.as_object_mut()?.remove(*last)
}

/// Copies the value below a chain of field names from one object to another; absent stays absent.
pub(crate) fn copy(from: &Value, to: &mut Value, path: &[&str]) {
    match at(from, path) {
        Some(v) => set(to, path, v.clone()),
        None => drop(remove(to, path)),
    }
}

/// Returns the entries of the array below a chain of field names; none when there is no array.
pub(crate) fn items<'a>(value: &'a Value, path: &[&str]) -> &'a [Value] {
    at(value, path)
        .and_then(Value::as_array)
        .map_or(&[], Vec::as_slice)
}

/// Returns the strings of the array below a chain of field names.
pub(crate) fn strings<'a>(value: &'a Value, path: &[&str]) -> Vec<&'a str> {
    items(value, path).iter().filter_map(Value::as_str).collect()
}

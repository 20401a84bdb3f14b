//! Words to write a schema with.

use serde_json::{Map, Value, json};

/// What Flagger's definition accepts as a duration, and the other units of Go.
const DURATION: &str = "^[0-9.]+(ns|us|µs|ms|s|m|h)";

pub(super) fn object<const N: usize>(fields: [(&str, Value); N]) -> Value {
    let properties: Map<_, _> = fields
        .into_iter()
        .map(|(name, schema)| (name.to_owned(), schema))
        .collect();
    json!({ "type": "object", "properties": properties })
}

pub(super) fn with(mut schema: Value, field: &str, value: Value) -> Value {
    if let Some(fields) = schema.as_object_mut() {
        fields.insert(field.to_owned(), value);
    }
    schema
}

pub(super) fn required(schema: Value, names: &[&str]) -> Value {
    with(schema, "required", json!(names))
}

pub(super) fn about(text: &str, schema: Value) -> Value {
    with(schema, "description", json!(text))
}

/// A place for what another project defines.
pub(super) fn open() -> Value {
    json!({ "type": "object", "x-kubernetes-preserve-unknown-fields": true })
}

pub(super) fn list(items: Value) -> Value {
    Value::from_iter([("type", json!("array")), ("items", items)])
}

pub(super) fn map(values: Value) -> Value {
    Value::from_iter([("type", json!("object")), ("additionalProperties", values)])
}

pub(super) fn texts() -> Value {
    list(text())
}

pub(super) fn text_map() -> Value {
    map(text())
}

pub(super) fn text() -> Value {
    json!({ "type": "string" })
}

pub(super) fn one_of(values: &[&str]) -> Value {
    json!({ "type": "string", "enum": values })
}

pub(super) fn duration() -> Value {
    json!({ "type": "string", "pattern": DURATION })
}

pub(super) fn time() -> Value {
    json!({ "type": "string", "format": "date-time" })
}

pub(super) fn number() -> Value {
    json!({ "type": "number" })
}

pub(super) fn integer() -> Value {
    json!({ "type": "integer" })
}

pub(super) fn percent() -> Value {
    json!({ "type": "number", "minimum": 0, "maximum": 100 })
}

pub(super) fn boolean() -> Value {
    json!({ "type": "boolean" })
}

pub(super) fn int_or_text() -> Value {
    json!({ "x-kubernetes-int-or-string": true })
}

/// A reference to an object; `kinds` are allowed, any if there are none.
pub(super) fn reference(kinds: &[&str]) -> Value {
    let kind = if kinds.is_empty() { text() } else { one_of(kinds) };
    let schema = object([("apiVersion", text()), ("kind", kind), ("name", text())]);
    required(schema, &["apiVersion", "kind", "name"])
}

/// A reference by name, perhaps to another namespace.
pub(super) fn named() -> Value {
    object([("name", text()), ("namespace", text())])
}

//! Structural OpenAPI schemas of custom resources: pruning, defaulting, validation.

use serde_json::{Value, json};

use super::shape::Node;
use crate::rehearsal::store::{Cause, json as j};

fn is_true(schema: &Value, key: &str) -> bool {
    schema.get(key).and_then(Value::as_bool) == Some(true)
}

/// What a schema says about a field.
enum Field<'a> {
    Declared(&'a Value),
    Free,
    Unknown,
}

fn field<'a>(schema: &'a Value, name: &str) -> Field<'a> {
    if let Some(declared) = schema.get("properties").and_then(|p| p.get(name)) {
        return Field::Declared(declared);
    }
    match schema.get("additionalProperties") {
        Some(free) if free.is_object() => return Field::Declared(free),
        Some(Value::Bool(true)) => return Field::Free,
        _ => {}
    }
    if is_true(schema, "x-kubernetes-preserve-unknown-fields") {
        Field::Free
    } else {
        Field::Unknown
    }
}

const TYPE_FIELDS: [&str; 3] = ["apiVersion", "kind", "metadata"];

/// Drops what a schema does not declare. `resource`: the value has a type and metadata of its own.
pub(super) fn prune(schema: &Value, value: &mut Value, resource: bool) {
    match value {
        Value::Object(map) => {
            map.retain(|name, value| {
                if resource && TYPE_FIELDS.contains(&name.as_str()) {
                    return true;
                }
                match field(schema, name) {
                    Field::Declared(declared) => {
                        prune(
                            declared,
                            value,
                            is_true(declared, "x-kubernetes-embedded-resource"),
                        );
                        true
                    }
                    Field::Free => true,
                    Field::Unknown => false,
                }
            });
        }
        Value::Array(list) => {
            if let Some(items) = schema.get("items") {
                let embedded = is_true(items, "x-kubernetes-embedded-resource");
                for item in list {
                    prune(items, item, embedded);
                }
            }
        }
        _ => {}
    }
}

/// Returns the paths of what pruning would drop.
pub(super) fn unknown(schema: Option<&Value>, value: &Value) -> Vec<String> {
    let Some(schema) = schema else { return Vec::new() };
    let mut pruned = value.clone();
    prune(schema, &mut pruned, true);
    let mut paths = Vec::new();
    missing(value, &pruned, "", &mut paths);
    paths
}

fn missing(given: &Value, pruned: &Value, path: &str, paths: &mut Vec<String>) {
    match (given, pruned) {
        (Value::Object(given), Value::Object(pruned)) => {
            for (name, value) in given {
                let dot = if path.is_empty() { "" } else { "." };
                let below = format!("{path}{dot}{name}");
                match pruned.get(name) {
                    Some(pruned) => missing(value, pruned, &below, paths),
                    None => paths.push(below),
                }
            }
        }
        (Value::Array(given), Value::Array(pruned)) => {
            for (at, (given, pruned)) in given.iter().zip(pruned).enumerate() {
                missing(given, pruned, &format!("{path}[{at}]"), paths);
            }
        }
        _ => {}
    }
}

/// Sets defaults; a null where none is allowed counts as absent.
pub(super) fn default(schema: &Value, value: &mut Value) {
    match value {
        Value::Object(map) => {
            map.retain(|name, value| match field(schema, name) {
                Field::Declared(declared) => !value.is_null() || is_true(declared, "nullable"),
                Field::Free | Field::Unknown => true,
            });
            for (name, declared) in schema
                .get("properties")
                .and_then(Value::as_object)
                .into_iter()
                .flatten()
            {
                if let Some(standard) = declared.get("default")
                    && !map.contains_key(name)
                {
                    map.insert(name.clone(), standard.clone());
                }
            }
            for (name, value) in map.iter_mut() {
                if let Field::Declared(declared) = field(schema, name) {
                    default(declared, value);
                }
            }
        }
        Value::Array(list) => {
            if let Some(items) = schema.get("items") {
                for item in list {
                    default(items, item);
                }
            }
        }
        _ => {}
    }
}

/// Collects what is wrong with a value.
pub(super) fn validate(schema: &Value, value: &Value, path: &str, causes: &mut Vec<Cause>) {
    if value.is_null() && is_true(schema, "nullable") {
        return;
    }
    if let Some(wanted) = wrong_type(schema, value) {
        let kind = type_name(value);
        causes.push(Cause {
            reason: "FieldValueTypeInvalid",
            message: format!("Invalid value: {kind:?}: {path} in body must be of type {wanted}: {kind:?}"),
            field: path.to_owned(),
        });
        return;
    }
    enumeration(schema, value, path, causes);
    match value {
        Value::Object(map) => object(schema, map, path, causes),
        Value::Array(list) => array(schema, value, list, path, causes),
        Value::String(text) => string(schema, text, path, causes),
        Value::Number(number) => numeric(schema, number, path, causes),
        _ => {}
    }
    combined(schema, value, path, causes);
}

fn type_name(value: &Value) -> &'static str {
    match value {
        Value::Null => "null",
        Value::Bool(_) => "boolean",
        Value::Number(n) if n.is_f64() => "number",
        Value::Number(_) => "integer",
        Value::String(_) => "string",
        Value::Array(_) => "array",
        Value::Object(_) => "object",
    }
}

/// Returns the type that was wanted, if the value has another.
fn wrong_type(schema: &Value, value: &Value) -> Option<String> {
    let is = type_name(value);
    if is_true(schema, "x-kubernetes-int-or-string") {
        return (!matches!(is, "integer" | "string")).then(|| "integer,string".to_owned());
    }
    let wanted = schema.get("type")?.as_str()?;
    let whole = value.as_f64().is_some_and(|n| n.fract() == 0.0);
    let fits = is == wanted || (wanted == "number" && is == "integer") || (wanted == "integer" && whole);
    (!fits).then(|| wanted.to_owned())
}

fn invalid(path: &str, value: &Value, why: &str) -> Cause {
    Cause::invalid(path, value, &format!("{path} in body {why}"))
}

fn enumeration(schema: &Value, value: &Value, path: &str, causes: &mut Vec<Cause>) {
    let allowed = j::items(schema, &["enum"]);
    if !allowed.is_empty() && !allowed.contains(value) {
        let texts: Vec<String> = allowed
            .iter()
            .map(|v| v.as_str().map_or_else(|| v.to_string(), str::to_owned))
            .collect();
        let texts: Vec<&str> = texts.iter().map(String::as_str).collect();
        causes.push(Cause::unsupported(path, value, &texts));
    }
}

fn below(path: &str, name: &str) -> String {
    if path.is_empty() {
        name.to_owned()
    } else {
        format!("{path}.{name}")
    }
}

fn object(schema: &Value, map: &serde_json::Map<String, Value>, path: &str, causes: &mut Vec<Cause>) {
    for name in j::strings(schema, &["required"]) {
        let implied = path.is_empty() && TYPE_FIELDS.contains(&name);
        if !map.contains_key(name) && !implied {
            causes.push(Cause::required(&below(path, name), ""));
        }
    }
    for (name, value) in map {
        if let Field::Declared(declared) = field(schema, name) {
            validate(declared, value, &below(path, name), causes);
        }
    }
    let count = map.len() as u64;
    bounds(
        schema,
        ("minProperties", "maxProperties"),
        count,
        "properties",
        path,
        causes,
    );
}

fn array(schema: &Value, value: &Value, list: &[Value], path: &str, causes: &mut Vec<Cause>) {
    if let Some(items) = schema.get("items") {
        for (at, item) in list.iter().enumerate() {
            validate(items, item, &format!("{path}[{at}]"), causes);
        }
    }
    bounds(
        schema,
        ("minItems", "maxItems"),
        list.len() as u64,
        "items",
        path,
        causes,
    );
    duplicates(schema, value, list, path, causes);
}

fn duplicates(schema: &Value, value: &Value, list: &[Value], path: &str, causes: &mut Vec<Cause>) {
    use super::shape::Shape;
    let id = |entry: &Value| match Node::Schema(schema).shape(value) {
        Shape::Set => Some(entry.clone()),
        Shape::Keyed(keys) => {
            let mut id = json!({});
            for key in keys {
                j::copy(entry, &mut id, &[&key]);
            }
            Some(id)
        }
        Shape::Fields | Shape::Atomic => None,
    };
    let mut seen: Vec<Value> = Vec::new();
    for (at, entry) in list.iter().enumerate() {
        let Some(id) = id(entry) else { return };
        if seen.contains(&id) {
            causes.push(Cause::duplicate(&format!("{path}[{at}]"), &id));
        }
        seen.push(id);
    }
}

fn bounds(schema: &Value, keys: (&str, &str), count: u64, what: &str, path: &str, causes: &mut Vec<Cause>) {
    let limit = |key: &str| schema.get(key).and_then(Value::as_u64);
    if let Some(least) = limit(keys.0).filter(|l| count < *l) {
        causes.push(invalid(
            path,
            &json!(count),
            &format!("should have at least {least} {what}"),
        ));
    }
    if let Some(most) = limit(keys.1).filter(|m| count > *m) {
        let detail = format!("must have at most {most} {what}");
        causes.push(Cause {
            reason: "FieldValueTooMany",
            message: format!("Too many: {count}: {detail}"),
            field: path.to_owned(),
        });
    }
}

fn string(schema: &Value, text: &str, path: &str, causes: &mut Vec<Cause>) {
    let value = json!(text);
    let length = text.chars().count() as u64;
    let limit = |key: &str| schema.get(key).and_then(Value::as_u64);
    if let Some(least) = limit("minLength").filter(|l| length < *l) {
        causes.push(invalid(
            path,
            &value,
            &format!("should be at least {least} chars long"),
        ));
    }
    if let Some(most) = limit("maxLength").filter(|m| length > *m) {
        causes.push(Cause {
            reason: "FieldValueTooLong",
            message: format!("Too long: may not be more than {most} bytes"),
            field: path.to_owned(),
        });
    }
    if let Some(pattern) = schema.get("pattern").and_then(Value::as_str)
        && regex::Regex::new(pattern).is_ok_and(|r| !r.is_match(text))
    {
        causes.push(invalid(path, &value, &format!("should match '{pattern}'")));
    }
    if schema.get("format").and_then(Value::as_str) == Some("date-time")
        && text.parse::<jiff::Timestamp>().is_err()
    {
        causes.push(invalid(
            path,
            &value,
            &format!("must be of type date-time: {text:?}"),
        ));
    }
}

fn numeric(schema: &Value, number: &serde_json::Number, path: &str, causes: &mut Vec<Cause>) {
    let Some(value) = number.as_f64() else { return };
    let shown = Value::Number(number.clone());
    if let Some(least) = schema.get("minimum").and_then(Value::as_f64) {
        let exclusive = is_true(schema, "exclusiveMinimum");
        if value < least || (exclusive && value <= least) {
            let or = if exclusive { "" } else { " or equal to" };
            causes.push(invalid(
                path,
                &shown,
                &format!("should be greater than{or} {least}"),
            ));
        }
    }
    if let Some(most) = schema.get("maximum").and_then(Value::as_f64) {
        let exclusive = is_true(schema, "exclusiveMaximum");
        if value > most || (exclusive && value >= most) {
            let or = if exclusive { "" } else { " or equal to" };
            causes.push(invalid(path, &shown, &format!("should be less than{or} {most}")));
        }
    }
}

fn combined(schema: &Value, value: &Value, path: &str, causes: &mut Vec<Cause>) {
    let fits = |alternative: &Value| {
        let mut found = Vec::new();
        validate(alternative, value, path, &mut found);
        found.is_empty()
    };
    for part in j::items(schema, &["allOf"]) {
        validate(part, value, path, causes);
    }
    let any = j::items(schema, &["anyOf"]);
    if !any.is_empty() && !any.iter().any(fits) {
        causes.push(invalid(path, value, "must validate at least one schema (anyOf)"));
    }
    let one = j::items(schema, &["oneOf"]);
    if !one.is_empty() && one.iter().filter(|s| fits(s)).count() != 1 {
        causes.push(invalid(
            path,
            value,
            "must validate one and only one schema (oneOf)",
        ));
    }
    if schema.get("not").is_some_and(fits) {
        causes.push(invalid(path, value, "must not validate the schema (not)"));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn schema() -> Value {
        json!({"type": "object", "properties": {"spec": {
            "type": "object", "required": ["name"],
            "properties": {
                "name": {"type": "string", "pattern": "^[a-z]+$", "maxLength": 5},
                "weight": {"type": "integer", "minimum": 0, "maximum": 100, "default": 10},
                "mode": {"type": "string", "enum": ["a", "b"]},
                "port": {"x-kubernetes-int-or-string": true},
                "any": {"type": "object", "x-kubernetes-preserve-unknown-fields": true},
                "labels": {"type": "object", "additionalProperties": {"type": "string"}},
                "tags": {"type": "array", "x-kubernetes-list-type": "set", "items": {"type": "string"}},
                "nested": {"type": "object", "default": {}, "properties": {"x": {"type": "integer", "default": 1}}},
            },
        }}})
    }

    fn wrong(spec: &Value) -> Vec<String> {
        let mut causes = Vec::new();
        validate(&schema(), &json!({"spec": spec}), "", &mut causes);
        causes
            .into_iter()
            .map(|c| format!("{}: {}", c.field, c.message))
            .collect()
    }

    #[test]
    fn unknown_fields_are_pruned_where_the_schema_says_so() {
        let mut value = json!({"kind": "X", "spec": {"name": "a", "x": 1, "any": {"k": {"l": 1}}, "labels": {"a": "b"}}, "y": 1});
        assert_eq!(unknown(Some(&schema()), &value), ["spec.x", "y"]);
        prune(&schema(), &mut value, true);
        let spec = json!({"name": "a", "any": {"k": {"l": 1}}, "labels": {"a": "b"}});
        assert_eq!(value, json!({"kind": "X", "spec": spec}));
    }

    #[test]
    fn defaults_reach_into_defaults() {
        let mut value = json!({"spec": {"name": "a", "mode": null}});
        default(&schema(), &mut value);
        assert_eq!(
            value["spec"],
            json!({"name": "a", "weight": 10, "nested": {"x": 1}})
        );
    }

    #[test]
    fn what_is_wrong_is_named() {
        assert!(wrong(&json!({"name": "abc", "port": "http", "tags": ["a", "b"]})).is_empty());
        assert_eq!(wrong(&json!({})), ["spec.name: Required value"]);
        let cases = [
            (json!({"name": 1}), "must be of type string"),
            (json!({"name": "A"}), "should match"),
            (json!({"name": "abcdef"}), "Too long"),
            (
                json!({"name": "a", "weight": 101}),
                "should be less than or equal to 100",
            ),
            (
                json!({"name": "a", "mode": "c"}),
                "supported values: \"a\", \"b\"",
            ),
            (json!({"name": "a", "port": true}), "integer,string"),
            (json!({"name": "a", "tags": ["x", "x"]}), "Duplicate value"),
        ];
        for (spec, text) in cases {
            let found = wrong(&spec);
            assert!(found.len() == 1 && found[0].contains(text), "{spec}: {found:?}");
        }
    }
}

//! What a live object has beyond what is wanted.

use serde_json::Value;

/// Fields that tell the items of a list apart, in the lists that an apply merges.
const IDENTITY: [&str; 7] = [
    "name",
    "mountPath",
    "devicePath",
    "containerPort",
    "port",
    "protocol",
    "topologyKey",
];

/// Whether there is something that is not wanted and that an apply might leave, because another field manager
/// set it (a Canary that Flagger led before).
pub(super) fn exceeds(live: &Value, wanted: &Value) -> bool {
    match (live, wanted) {
        (Value::Object(live), Value::Object(wanted)) => {
            live.iter().any(|(name, live)| match wanted.get(name) {
                Some(wanted) => exceeds(live, wanted),
                None => !is_empty(live),
            })
        }
        (Value::Array(live), Value::Array(wanted)) => {
            live.iter().filter(|item| item.is_object()).any(|item| {
                let same = wanted.iter().find(|other| identity(other) == identity(item));
                same.is_none_or(|other| exceeds(item, other))
            })
        }
        _ => false,
    }
}

fn identity(item: &Value) -> [Option<&Value>; 7] {
    IDENTITY.map(|field| item.get(field))
}

fn is_empty(value: &Value) -> bool {
    match value {
        Value::Null => true,
        Value::Array(items) => items.is_empty(),
        Value::Object(fields) => fields.is_empty(),
        _ => false,
    }
}

/// Removes object fields that are null.
pub(super) fn strip_nulls(value: &mut Value) {
    match value {
        Value::Object(fields) => {
            fields.retain(|_, value| !value.is_null());
            fields.values_mut().for_each(strip_nulls);
        }
        Value::Array(items) => items.iter_mut().for_each(strip_nulls),
        _ => {}
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn what_is_left_over_exceeds() {
        let container =
            |env: Value| json!({ "containers": [{ "name": "c", "args": ["a", "b"], "env": env }] });
        let (a, b) = (
            json!({ "name": "A", "value": "1" }),
            json!({ "name": "B", "value": "1" }),
        );
        let changed = json!({ "name": "A", "value": "2" });
        assert!(exceeds(&container(json!([a])), &container(json!([b]))));
        assert!(exceeds(&container(json!([a, b])), &container(json!([b]))));
        assert!(!exceeds(&container(json!([a])), &container(json!([changed, b]))));
        assert!(exceeds(&json!({ "hostNetwork": true }), &json!({})));
        assert!(!exceeds(
            &json!({ "args": ["a"], "dns": {} }),
            &json!({ "args": ["b"] })
        ));
    }
}

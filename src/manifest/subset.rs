//! Does a live object hold what a manifest declares? Live objects have more: defaults, other managers' fields.

use serde_json::Value;

use super::{
    Object,
    fields::{by_key, is_empty, list_key, quantities, same_scalar, stored},
};

/// Tells whether every field that `manifest` declares under the given JSON pointers (all of it when there are
/// none) equals that of `live`.
#[must_use]
pub fn declared_by(manifest: &Object, live: &Object, parts: &[&str]) -> bool {
    let (manifest, live) = (stored(manifest), stored(live));
    let whole = [""];
    let parts = if parts.is_empty() { &whole } else { parts };
    parts.iter().all(|part| match manifest.pointer(part) {
        None => true,
        Some(declared) => holds(declared, live.pointer(part), false, false),
    })
}

/// Tells whether `live` still has something under the pointers that `previous` declared and `current` does not:
/// a sign that `current` is not what was applied.
#[must_use]
pub fn left_over(previous: &Object, current: &Object, live: &Object, parts: &[&str]) -> bool {
    let (previous, current, live) = (stored(previous), stored(current), stored(live));
    let whole = [""];
    let parts = if parts.is_empty() { &whole } else { parts };
    parts
        .iter()
        .any(|part| match (previous.pointer(part), live.pointer(part)) {
            (Some(previous), Some(live)) => stays(
                previous,
                current.pointer(part),
                live,
                is_free(part.rsplit('/').next()),
            ),
            _ => false,
        })
}

fn holds(declared: &Value, live: Option<&Value>, is_quantity: bool, in_quantity_map: bool) -> bool {
    if declared.is_null() {
        return true;
    }
    let Some(live) = live else {
        // The API server leaves out what is empty, false or zero.
        return is_empty(declared) || declared == &Value::from(false) || declared == &Value::from(0);
    };
    match (declared, live) {
        (Value::Object(fields), Value::Object(live)) => fields.iter().all(|(key, value)| {
            let (quantity, map) = quantities(key, in_quantity_map);
            holds(value, live.get(key), quantity, map)
        }),
        (Value::Array(items), Value::Array(live)) => list_holds(items, live),
        _ => is_empty(declared) && is_empty(live) || same_scalar(declared, live, is_quantity),
    }
}

fn list_holds(declared: &[Value], live: &[Value]) -> bool {
    if let Some(key) = list_key(declared, live)
        && let (Some(declared), Some(live)) = (by_key(declared, key), by_key(live, key))
    {
        return declared.iter().all(|(name, item)| {
            live.get(name)
                .is_some_and(|live| holds(item, Some(live), false, false))
        });
    }
    declared.len() == live.len()
        && declared
            .iter()
            .zip(live)
            .all(|(declared, live)| holds(declared, Some(live), false, false))
}

/// Maps whose entries the API server never fills in.
const FREE_MAPS: [&str; 7] = [
    "annotations",
    "binaryData",
    "data",
    "labels",
    "limits",
    "matchLabels",
    "nodeSelector",
];

fn is_free(key: Option<&str>) -> bool {
    key.is_some_and(|key| FREE_MAPS.contains(&key))
}

/// `free`: the map, or the map that the scalar is in, is never filled in. Elsewhere, a scalar that is still there
/// may be a default and proves nothing.
fn stays(previous: &Value, current: Option<&Value>, live: &Value, free: bool) -> bool {
    match (previous, current, live) {
        (Value::Object(_) | Value::Array(_), None, _) => {
            !is_empty(previous) && holds(previous, Some(live), true, false)
        }
        (_, None, _) => free && !is_empty(previous) && same_scalar(previous, live, true),
        (Value::Object(previous), Some(Value::Object(current)), Value::Object(live)) => {
            previous.iter().any(|(key, value)| {
                let free = if value.is_object() {
                    is_free(Some(key))
                } else {
                    free
                };
                live.get(key)
                    .is_some_and(|live| stays(value, current.get(key), live, free))
            })
        }
        (Value::Array(previous), Some(Value::Array(current)), Value::Array(live)) => {
            let Some(key) = list_key(previous, live) else {
                return false;
            };
            let (Some(previous), Some(current), Some(live)) =
                (by_key(previous, key), by_key(current, key), by_key(live, key))
            else {
                return false;
            };
            previous.iter().any(|(name, item)| {
                live.get(name)
                    .is_some_and(|live| stays(item, current.get(name).copied(), live, false))
            })
        }
        _ => false,
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use serde_json::{Map, json};

    use super::*;

    fn subset(declared: &Value, live: &Value) -> bool {
        declared_by(&Object::from(declared.clone()), &Object::from(live.clone()), &[])
    }

    #[test]
    fn defaults_and_other_fields_do_not_matter() {
        let declared = json!({"spec": {"containers": [{"name": "a", "image": "x:1", "ports": [{"containerPort": 80}],
            "env": [], "resources": {"limits": {"cpu": 1, "memory": "1Gi"}}, "stdin": false, "volumeMounts": null}]}});
        let live = json!({"spec": {"dnsPolicy": "ClusterFirst", "containers": [
            {"name": "injected", "image": "proxy"},
            {"name": "a", "image": "x:1", "imagePullPolicy": "Always",
             "ports": [{"containerPort": 80, "protocol": "TCP"}],
             "resources": {"limits": {"cpu": "1000m", "memory": "1024Mi"}}}]}});
        assert!(subset(&declared, &live));
    }

    #[test]
    fn what_differs_is_seen() {
        let live = json!({"a": {"b": "1", "port": 80, "args": ["x", "y"], "list": [{"name": "p", "v": 1}]}});
        for declared in [
            json!({"a": {"b": "2"}}),
            json!({"a": {"b": 1}}),
            json!({"a": {"port": "80"}}),
            json!({"a": {"args": ["x"]}}),
            json!({"a": {"args": ["y", "x"]}}),
            json!({"a": {"args": []}}),
            json!({"a": {"list": [{"name": "q"}]}}),
            json!({"a": {"list": [{"name": "p", "v": 2}]}}),
            json!({"a": {"new": "x"}}),
            json!({"a": "text"}),
        ] {
            assert!(!subset(&declared, &live), "{declared}");
        }
    }

    #[test]
    fn a_secret_compares_by_its_stored_data() {
        let declared = json!({"kind": "Secret", "stringData": {"password": "hunter2"}});
        assert!(subset(
            &declared,
            &json!({"kind": "Secret", "data": {"password": "aHVudGVyMg=="}})
        ));
        assert!(!subset(
            &declared,
            &json!({"kind": "Secret", "data": {"password": "b3RoZXI="}})
        ));
    }

    #[test]
    fn only_the_parts_that_are_asked_for_count() {
        let object = |replicas: i64, image: &str| {
            Object::from(json!({"spec": {"replicas": replicas, "template": {"spec": {"image": image}}}}))
        };
        assert!(declared_by(&object(1, "a"), &object(0, "a"), &["/spec/template"]));
        assert!(!declared_by(
            &object(1, "a"),
            &object(1, "b"),
            &["/spec/template"]
        ));
    }

    #[test]
    fn what_a_commit_removed_and_is_still_there_is_left_over() {
        let object = |env: &[&str]| {
            let env: Vec<_> = env
                .iter()
                .map(|name| json!({"name": name, "value": "1"}))
                .collect();
            Object::from(json!({"spec": {"containers": [{"name": "a", "env": env}]}}))
        };
        let (before, after) = (object(&["A", "B"]), object(&["A"]));
        assert!(left_over(&before, &after, &object(&["A", "B"]), &["/spec"]));
        assert!(!left_over(&before, &after, &object(&["A"]), &["/spec"]));
        assert!(!left_over(&after, &before, &object(&["A", "B"]), &["/spec"]));
    }

    #[test]
    fn a_default_that_a_commit_no_longer_spells_out_is_not_left_over() {
        let object = |container: Value, labels: Value| {
            Object::from(json!({"spec": {"labels": labels, "containers": [container]}}))
        };
        let spelled =
            json!({"name": "a", "imagePullPolicy": "Always", "livenessProbe": {"exec": {"command": ["x"]}}});
        let short = json!({"name": "a", "livenessProbe": {"exec": {"command": ["x"]}}});
        let none = json!({"name": "a"});
        let live = object(spelled.clone(), json!({"x": "1"}));
        let labelled = |container: &Value| object(container.clone(), json!({"x": "1"}));
        assert!(!left_over(
            &labelled(&spelled),
            &labelled(&short),
            &live,
            &["/spec"]
        ));
        assert!(left_over(&labelled(&short), &labelled(&none), &live, &["/spec"]));
        assert!(left_over(
            &labelled(&none),
            &object(none.clone(), json!({})),
            &live,
            &["/spec"]
        ));
        let data = |keys: Value| Object::from(json!({"kind": "ConfigMap", "data": keys}));
        let both = data(json!({"a": "1", "b": "2"}));
        assert!(left_over(&both, &data(json!({"a": "1"})), &both, &["/data"]));
        assert!(!left_over(
            &both,
            &data(json!({"a": "1"})),
            &data(json!({"a": "1"})),
            &["/data"]
        ));
    }

    /// Objects as they occur: maps, lists of named maps, lists of scalars.
    fn values() -> impl Strategy<Value = Value> {
        let leaf = prop_oneof![
            any::<i32>().prop_map(Value::from),
            "[a-z]{0,3}".prop_map(Value::from),
            any::<bool>().prop_map(Value::from)
        ];
        leaf.prop_recursive(3, 24, 4, |inner| {
            prop_oneof![
                prop::collection::btree_map("[a-e]", inner.clone(), 0..4)
                    .prop_map(|m| m.into_iter().collect::<Map<_, _>>().into()),
                prop::collection::vec("[a-z]{1,2}", 0..4).prop_map(|items| json!(items)),
                prop::collection::btree_map("[p-t]", inner, 1..4).prop_map(|m| {
                    m.into_iter()
                        .map(|(name, v)| json!({"name": name, "v": v}))
                        .collect::<Vec<_>>()
                        .into()
                }),
            ]
        })
    }

    /// Adds what a server adds: fields to maps, entries to keyed lists.
    fn defaulted(value: &Value) -> Value {
        match value {
            Value::Object(fields) => {
                let mut all: Map<String, Value> =
                    fields.iter().map(|(k, v)| (k.clone(), defaulted(v))).collect();
                all.insert("defaulted".into(), json!("yes"));
                all.into()
            }
            Value::Array(items) => {
                let mut all: Vec<Value> = items.iter().map(defaulted).collect();
                if !items.is_empty() && items.iter().all(|item| item.get("name").is_some()) {
                    all.insert(0, json!({"name": "injected"}));
                }
                all.into()
            }
            scalar => scalar.clone(),
        }
    }

    proptest! {
        #[test]
        fn everything_is_declared_by_itself_and_by_its_defaulted_self(value in values()) {
            let value = json!({"spec": value});
            prop_assert!(subset(&value, &value));
            prop_assert!(subset(&value, &defaulted(&value)));
        }

        #[test]
        fn a_declared_field_that_is_not_there_is_seen(value in values(), new in "[x-z]{1,3}") {
            let mut declared = json!({"spec": value.clone()});
            declared["new"] = json!(new);
            let live = json!({"spec": value});
            prop_assert!(!subset(&declared, &live));
        }
    }
}

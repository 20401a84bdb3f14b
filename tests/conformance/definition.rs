//! The definition that the cases work with.

use serde_json::{Value, json};

use super::*;

fn widget_schema() -> Value {
    let hook = json!({"type": "object", "required": ["name"], "properties": {
        "name": {"type": "string"}, "url": {"type": "string"},
    }});
    json!({"type": "object", "properties": {
        "spec": {"type": "object", "properties": {
            "size": {"type": "integer", "minimum": 0, "maximum": 100},
            "mode": {"type": "string", "enum": ["auto", "manual"], "default": "auto"},
            "code": {"type": "string", "pattern": "^[0-9]+$"},
            "port": {"x-kubernetes-int-or-string": true},
            "free": {"type": "object", "x-kubernetes-preserve-unknown-fields": true},
            "nested": {"type": "object", "properties": {"deep": {"type": "integer", "default": 7}}},
            "tags": {"type": "array", "x-kubernetes-list-type": "set", "items": {"type": "string"}},
            "plain": {"type": "array", "items": {"type": "string"}},
            "hooks": {
                "type": "array", "items": hook,
                "x-kubernetes-list-type": "map", "x-kubernetes-list-map-keys": ["name"],
            },
        }},
        "status": {"type": "object", "properties": {"phase": {"type": "string"}}},
    }})
}

pub(super) fn widget_spec() -> Value {
    let version = |name: &str, storage: bool| {
        json!({
            "name": name, "served": true, "storage": storage, "schema": {"openAPIV3Schema": widget_schema()},
            "subresources": {"status": {}},
            "additionalPrinterColumns": [
                {"name": "Size", "type": "integer", "jsonPath": ".spec.size"},
                {"name": "Phase", "type": "string", "jsonPath": ".status.phase", "priority": 1},
                {"name": "Age", "type": "date", "jsonPath": ".metadata.creationTimestamp"},
            ],
        })
    };
    json!({
        "group": WIDGETS.0, "scope": "Namespaced",
        "names": {"plural": "widgets", "kind": "Widget", "shortNames": ["wd"]},
        "versions": [version("v1", true), version("v1alpha1", false)],
    })
}

/// Creates the definition and waits until it is served.
pub(in super::super) async fn install_definitions(client: &Client) {
    let definition = json!({"metadata": {"name": "widgets.conformance.serin.dev"}, "spec": widget_spec()});
    install(client, definition).await;
}

/// Creates a definition and waits until it is served.
pub(in super::super) async fn install(client: &Client, definition: Value) {
    let api: Api<DynamicObject> = Api::all_with(client.clone(), &resource(DEFINITIONS));
    let name = definition["metadata"]["name"].as_str().unwrap().to_owned();
    let definition = object(DEFINITIONS, &name, definition);
    api.create(&PostParams::default(), &definition).await.unwrap();
    for _ in 0..100 {
        let present = api.get(&name).await.unwrap();
        let conditions = at(&present, "/status/conditions")
            .as_array()
            .cloned()
            .unwrap_or_default();
        if conditions
            .iter()
            .any(|c| c["type"] == "Established" && c["status"] == "True")
        {
            // A real server needs a moment more until it serves the kind.
            tokio::time::sleep(Duration::from_secs(1)).await;
            return;
        }
        tokio::time::sleep(Duration::from_millis(100)).await;
    }
    panic!("the definition {name} is not established");
}

//! JSON Patch, merge patch, strategic merge patch.

use serde_json::{Value, json};

use super::*;

fn json_patch(operations: Value) -> Patch<DynamicObject> {
    Patch::Json(serde_json::from_value(operations).unwrap())
}

pub(super) async fn json_patch_tests_guard(context: Context) {
    context.create(DEPLOYMENTS, "web", deployment("i:1")).await;
    let patch = json_patch(json!([
        {"op": "test", "path": "/spec/replicas", "value": 7},
        {"op": "replace", "path": "/spec/replicas", "value": 8},
    ]));
    let api = context.api(DEPLOYMENTS);
    refused(
        api.patch("web", &PatchParams::default(), &patch).await,
        422,
        "Invalid",
    );
    let missing = json_patch(json!([{"op": "remove", "path": "/spec/nothing"}]));
    refused(
        api.patch("web", &PatchParams::default(), &missing).await,
        422,
        "Invalid",
    );
    assert_eq!(at(&api.get("web").await.unwrap(), "/spec/replicas"), &json!(2));
}

pub(super) async fn json_patches_are_applied(context: Context) {
    let made = context.create(DEPLOYMENTS, "web", deployment("i:1")).await;
    let patch = json_patch(json!([
        {"op": "test", "path": "/metadata/resourceVersion", "value": made.metadata.resource_version},
        {"op": "replace", "path": "/spec/replicas", "value": 5},
        {"op": "add", "path": "/spec/template/spec/containers/-", "value": {"name": "side", "image": "s:1"}},
        {"op": "add", "path": "/metadata/annotations", "value": {"example.com/a": "1"}},
    ]));
    let api = context.api(DEPLOYMENTS);
    let patched = api.patch("web", &PatchParams::default(), &patch).await.unwrap();
    assert_eq!(at(&patched, "/spec/replicas"), &json!(5));
    assert_eq!(
        at(&patched, "/spec/template/spec/containers/1/imagePullPolicy"),
        &json!("IfNotPresent")
    );
    refused(
        api.patch("no", &PatchParams::default(), &json_patch(json!([])))
            .await,
        404,
        "NotFound",
    );
}

pub(super) async fn merge_patches_remove_with_null(context: Context) {
    context
        .create(CONFIG_MAPS, "a", json!({"data": {"x": "1", "y": "2"}}))
        .await;
    let patched = context
        .merge(CONFIG_MAPS, "a", json!({"data": {"x": null, "z": "3"}}))
        .await
        .unwrap();
    assert_eq!(at(&patched, "/data"), &json!({"y": "2", "z": "3"}));
}

pub(super) async fn strategic_patches_merge_containers_by_name(context: Context) {
    let mut rest = deployment("i:1");
    rest["spec"]["template"]["spec"]["containers"][0]["env"] = json!([{"name": "A", "value": "1"}]);
    context.create(DEPLOYMENTS, "web", rest).await;
    let patch = json!({"spec": {"template": {"spec": {"containers": [
        {"name": "web", "image": "i:2", "env": [{"name": "B", "value": "2"}]},
    ]}}}});
    let params = PatchParams::default();
    let patched = context
        .api(DEPLOYMENTS)
        .patch("web", &params, &Patch::Strategic(patch))
        .await
        .unwrap();
    let container = at(&patched, "/spec/template/spec/containers/0");
    assert_eq!(container["image"], "i:2");
    let names: Vec<&str> = container["env"]
        .as_array()
        .unwrap()
        .iter()
        .filter_map(|e| e["name"].as_str())
        .collect();
    assert!(
        names.contains(&"A") && names.contains(&"B") && names.len() == 2,
        "{names:?}"
    );
    let patch = json!({"spec": {"template": {"spec": {"containers": [
        {"name": "web", "env": [{"name": "A", "$patch": "delete"}]},
    ]}}}});
    let patched = context
        .api(DEPLOYMENTS)
        .patch("web", &params, &Patch::Strategic(patch))
        .await
        .unwrap();
    assert_eq!(
        at(&patched, "/spec/template/spec/containers/0/env"),
        &json!([{"name": "B", "value": "2"}])
    );
}

pub(super) async fn strategic_patches_of_custom_resources_are_unsupported(context: Context) {
    context.create(WIDGETS, "w", json!({"spec": {"size": 1}})).await;
    let patch = Patch::Strategic(json!({"spec": {"size": 2}}));
    let patched = context
        .api(WIDGETS)
        .patch("w", &PatchParams::default(), &patch)
        .await;
    refused(patched, 415, "UnsupportedMediaType");
}

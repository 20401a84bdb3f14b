//! Replacing objects.

use serde_json::{Value, json};

use super::*;

pub(super) async fn stale_updates_conflict(context: Context) {
    let first = context.create(DEPLOYMENTS, "web", deployment("i:1")).await;
    context
        .merge(DEPLOYMENTS, "web", json!({"spec": {"replicas": 3}}))
        .await
        .unwrap();
    let api = context.api(DEPLOYMENTS);
    let status = refused(
        api.replace("web", &PostParams::default(), &first).await,
        409,
        "Conflict",
    );
    let expected = "Operation cannot be fulfilled on deployments.apps \"web\": the object has been modified; please apply your changes to the latest version and try again";
    assert_eq!(status.message, expected);
    let mut free = first.clone();
    free.metadata.resource_version = None;
    api.replace("web", &PostParams::default(), &free).await.unwrap();
    let mut other = free;
    other.metadata.uid = Some("another".to_owned());
    refused(
        api.replace("web", &PostParams::default(), &other).await,
        409,
        "Conflict",
    );
    let stale =
        json!({"metadata": {"resourceVersion": first.metadata.resource_version}, "spec": {"replicas": 4}});
    refused(context.merge(DEPLOYMENTS, "web", stale).await, 409, "Conflict");
}

pub(super) async fn updates_that_change_nothing_keep_the_version(context: Context) {
    let made = context.create(DEPLOYMENTS, "web", deployment("i:1")).await;
    let api = context.api(DEPLOYMENTS);
    let same = api.replace("web", &PostParams::default(), &made).await.unwrap();
    assert_eq!(version(&same), version(&made));
    let same = context
        .merge(DEPLOYMENTS, "web", json!({"spec": {"replicas": 2}}))
        .await
        .unwrap();
    assert_eq!(version(&same), version(&made));
}

pub(super) async fn generations_count_spec_changes(context: Context) {
    let made = context.create(DEPLOYMENTS, "web", deployment("i:1")).await;
    let scaled = context
        .merge(DEPLOYMENTS, "web", json!({"spec": {"replicas": 3}}))
        .await
        .unwrap();
    let labelled = context
        .merge(DEPLOYMENTS, "web", json!({"metadata": {"labels": {"a": "b"}}}))
        .await
        .unwrap();
    assert_eq!(
        (generation(&made), generation(&scaled), generation(&labelled)),
        (1, 2, 2)
    );
    assert!(version(&labelled) > version(&scaled) && version(&scaled) > version(&made));
    let service = context
        .create(SERVICES, "web", json!({"spec": {"ports": [{"port": 80}]}}))
        .await;
    assert_eq!(service.metadata.generation, None);
    let ingress = json!({"spec": {"defaultBackend": {"service": {"name": "web", "port": {"number": 80}}}}});
    let ingress = context.create(INGRESSES, "web", ingress).await;
    assert_eq!(generation(&ingress), 1);
    let widget = context.create(WIDGETS, "w", json!({"spec": {"size": 1}})).await;
    let widget_2 = context
        .merge(WIDGETS, "w", json!({"spec": {"size": 2}}))
        .await
        .unwrap();
    assert_eq!((generation(&widget), generation(&widget_2)), (1, 2));
}

pub(super) async fn annotations_count_as_a_generation_of_deployments_only(context: Context) {
    context.create(DEPLOYMENTS, "web", deployment("i:1")).await;
    let patch = json!({"metadata": {"annotations": {"a": "b"}}});
    let patched = context.merge(DEPLOYMENTS, "web", patch.clone()).await.unwrap();
    assert_eq!(generation(&patched), 2);
    let mut rest = deployment("i:1");
    rest["spec"].as_object_mut().unwrap().remove("replicas");
    context.create(DAEMON_SETS, "web", rest).await;
    let patched = context.merge(DAEMON_SETS, "web", patch.clone()).await.unwrap();
    assert_eq!(generation(&patched), 1);
    context.create(WIDGETS, "w", json!({"spec": {"size": 1}})).await;
    let patched = context.merge(WIDGETS, "w", patch).await.unwrap();
    assert_eq!(generation(&patched), 1);
}

pub(super) async fn status_and_spec_are_written_apart(context: Context) {
    let mut rest = deployment("i:1");
    rest["status"] = json!({"replicas": 5});
    let made = context.create(DEPLOYMENTS, "web", rest).await;
    assert_eq!(at(&made, "/status/replicas"), &Value::Null);
    let api = context.api(DEPLOYMENTS);
    let patch = json!({"status": {"replicas": 2}, "spec": {"replicas": 9}});
    let params = PatchParams::default();
    let patched = api
        .patch_status("web", &params, &Patch::Merge(patch))
        .await
        .unwrap();
    assert_eq!(
        (at(&patched, "/status/replicas"), at(&patched, "/spec/replicas")),
        (&json!(2), &json!(2))
    );
    assert_eq!(generation(&patched), 1);
    let patch = json!({"status": {"replicas": 7}, "spec": {"replicas": 4}});
    let patched = context.merge(DEPLOYMENTS, "web", patch).await.unwrap();
    assert_eq!(
        (at(&patched, "/status/replicas"), at(&patched, "/spec/replicas")),
        (&json!(2), &json!(4))
    );
    let status = api.get_status("web").await.unwrap();
    assert_eq!(at(&status, "/status/replicas"), &json!(2));
}

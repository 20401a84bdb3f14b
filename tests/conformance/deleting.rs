//! Deleting, finalizers, dry runs.

use serde_json::json;

use super::*;

pub(super) async fn finalizers_hold_objects(context: Context) {
    let rest = json!({"metadata": {"finalizers": ["example.com/a", "example.com/b"]}});
    context.create(WIDGETS, "w", rest).await;
    let api = context.api(WIDGETS);
    let marked = api
        .delete("w", &DeleteParams::default())
        .await
        .unwrap()
        .left()
        .unwrap();
    assert!(marked.metadata.deletion_timestamp.is_some());
    assert_eq!(generation(&marked), 2);
    let again = api
        .delete("w", &DeleteParams::default())
        .await
        .unwrap()
        .left()
        .unwrap();
    assert_eq!(
        again.metadata.deletion_timestamp,
        marked.metadata.deletion_timestamp
    );
    let more = json!({"metadata": {"finalizers": ["example.com/a", "example.com/c"]}});
    refused(context.merge(WIDGETS, "w", more).await, 422, "Invalid");
    let one = json!({"metadata": {"finalizers": ["example.com/a"]}});
    context.merge(WIDGETS, "w", one).await.unwrap();
    context
        .merge(WIDGETS, "w", json!({"metadata": {"finalizers": []}}))
        .await
        .unwrap();
    assert!(api.get_opt("w").await.unwrap().is_none());
}

pub(super) async fn foreground_deletion_is_a_finalizer(context: Context) {
    context.create(WIDGETS, "w", json!({})).await;
    let params = DeleteParams {
        propagation_policy: Some(PropagationPolicy::Orphan),
        ..DeleteParams::default()
    };
    let marked = context
        .api(WIDGETS)
        .delete("w", &params)
        .await
        .unwrap()
        .left()
        .unwrap();
    assert_eq!(marked.metadata.finalizers, Some(vec!["orphan".to_owned()]));
}

pub(super) async fn deletes_are_guarded(context: Context) {
    let made = context.create(CONFIG_MAPS, "a", json!({})).await;
    let api = context.api(CONFIG_MAPS);
    let guard = |uid: Option<String>, resource_version: Option<String>| DeleteParams {
        preconditions: Some(Preconditions {
            uid,
            resource_version,
        }),
        ..DeleteParams::default()
    };
    refused(
        api.delete("a", &guard(Some("other".to_owned()), None)).await,
        409,
        "Conflict",
    );
    refused(
        api.delete("a", &guard(None, Some("1".to_owned()))).await,
        409,
        "Conflict",
    );
    let right = guard(made.metadata.uid.clone(), made.metadata.resource_version.clone());
    let status = api.delete("a", &right).await.unwrap().right().unwrap();
    assert_eq!(status.details.unwrap().uid, made.metadata.uid.unwrap());
    refused(api.delete("a", &DeleteParams::default()).await, 404, "NotFound");
}

pub(super) async fn collections_are_deleted_by_selector(context: Context) {
    for (name, on) in [("a", "yes"), ("b", "no"), ("c", "yes")] {
        context
            .create(SECRETS, name, json!({"metadata": {"labels": {"on": on}}}))
            .await;
    }
    let api = context.api(SECRETS);
    api.delete_collection(&DeleteParams::default(), &ListParams::default().labels("on=yes"))
        .await
        .unwrap();
    let left = api.list(&ListParams::default()).await.unwrap();
    assert_eq!(left.items.len(), 1);
    assert_eq!(left.items[0].metadata.name.as_deref(), Some("b"));
}

pub(super) async fn owner_references_delete_nothing_by_themselves(context: Context) {
    let owner = context.create(CONFIG_MAPS, "owner", json!({})).await;
    let reference =
        json!({"apiVersion": "v1", "kind": "ConfigMap", "name": "owner", "uid": owner.metadata.uid});
    context
        .create(
            CONFIG_MAPS,
            "owned",
            json!({"metadata": {"ownerReferences": [reference]}}),
        )
        .await;
    let bad =
        json!({"metadata": {"ownerReferences": [{"apiVersion": "v1", "kind": "", "name": "x", "uid": "y"}]}});
    refused(context.try_create(CONFIG_MAPS, "bad", bad).await, 422, "Invalid");
}

pub(super) async fn dry_runs_store_nothing(context: Context) {
    let params = PostParams {
        dry_run: true,
        ..PostParams::default()
    };
    let api = context.api(DEPLOYMENTS);
    let made = api
        .create(&params, &object(DEPLOYMENTS, "web", deployment("i:1")))
        .await
        .unwrap();
    assert_eq!(at(&made, "/spec/revisionHistoryLimit"), &json!(10));
    assert!(api.get_opt("web").await.unwrap().is_none());
    context.create(DEPLOYMENTS, "web", deployment("i:1")).await;
    let params = PatchParams::default().dry_run();
    let patched = api
        .patch("web", &params, &Patch::Merge(json!({"spec": {"replicas": 9}})))
        .await
        .unwrap();
    assert_eq!(at(&patched, "/spec/replicas"), &json!(9));
    assert_eq!(at(&api.get("web").await.unwrap(), "/spec/replicas"), &json!(2));
    let params = DeleteParams::default().dry_run();
    api.delete("web", &params).await.unwrap();
    assert!(api.get_opt("web").await.unwrap().is_some());
}

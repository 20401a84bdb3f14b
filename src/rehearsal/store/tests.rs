use serde_json::json;

use super::*;
use crate::manifest::Resource;

fn store() -> Store {
    Store::with_history(Clock::starting_at("2026-01-01T00:00:00Z".parse().unwrap()), 16)
}

fn config_map(name: &str) -> Value {
    json!({"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": name, "namespace": "default"}})
}

fn deployment() -> Value {
    json!({
        "apiVersion": "apps/v1", "kind": "Deployment", "metadata": {"name": "web", "namespace": "default"},
        "spec": {
            "selector": {"matchLabels": {"app": "web"}},
            "template": {
                "metadata": {"labels": {"app": "web"}},
                "spec": {"containers": [{"name": "c", "image": "i:1"}]},
            },
        },
        "status": {"replicas": 7},
    })
}

fn web() -> ObjectKey {
    ObjectKey::new(Resource::DEPLOYMENT, "default", "web")
}

#[tokio::test(start_paused = true)]
async fn a_new_object_gets_what_only_the_server_sets() {
    let store = store();
    let made = store.create("me", deployment()).unwrap();
    assert_eq!(
        (made.generation(), made.str_at("/metadata/creationTimestamp")),
        (1, "2026-01-01T00:00:00Z")
    );
    assert_eq!(made.uid().len(), 36);
    assert_ne!(
        made.i64_at("/status/replicas"),
        Some(7),
        "the status is not the creator's"
    );
    assert_eq!(
        store.create("me", deployment()).unwrap_err().reason,
        "AlreadyExists"
    );
    let lost = store.create(
        "me",
        json!({"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": "a", "namespace": "no"}}),
    );
    assert_eq!(lost.unwrap_err().message, "namespaces \"no\" not found");
}

#[tokio::test(start_paused = true)]
async fn writes_are_guarded_and_no_op_writes_change_nothing() {
    let store = store();
    let made = store.create("me", deployment()).unwrap();
    let same = store.update("me", made.value().clone()).unwrap();
    assert_eq!(same.resource_version(), made.resource_version());
    let newer = store
        .modify("me", &web(), |d| d["spec"]["replicas"] = 3.into())
        .unwrap();
    assert_eq!(newer.generation(), 2);
    let stale = store.update("me", made.value().clone()).unwrap_err();
    assert_eq!((stale.code, stale.reason), (409, "Conflict"));
}

#[tokio::test(start_paused = true)]
async fn status_and_spec_are_written_apart() {
    let store = store();
    store.create("me", deployment()).unwrap();
    let status = store
        .modify_status("kcm", &web(), |d| {
            d["status"] = json!({"replicas": 2});
            d["spec"]["replicas"] = 9.into();
        })
        .unwrap();
    assert_eq!(
        (status.i64_at("/status/replicas"), status.generation()),
        (Some(2), 1)
    );
    assert_ne!(status.i64_at("/spec/replicas"), Some(9));
    let spec = store.modify("me", &web(), |d| d["status"] = json!({})).unwrap();
    assert_eq!(spec.i64_at("/status/replicas"), Some(2));
}

#[tokio::test(start_paused = true)]
async fn finalizers_hold_an_object_until_the_last_is_gone() {
    let store = store();
    let mut map = config_map("held");
    map["metadata"]["finalizers"] = json!(["example.com/hold"]);
    store.create("me", map).unwrap();
    let key = ObjectKey::new(Resource::CONFIG_MAP, "default", "held");
    assert!(matches!(
        store.delete(&key, &Delete::default()).unwrap(),
        Deleted::Waiting(_)
    ));
    let more = store.modify("me", &key, |m| {
        m["metadata"]["finalizers"] = json!(["example.com/hold", "x.com/y"]);
    });
    assert_eq!(more.unwrap_err().code, 422);
    store
        .modify("me", &key, |m| m["metadata"]["finalizers"] = json!([]))
        .unwrap();
    assert!(store.get(&key).is_none());
}

#[tokio::test(start_paused = true)]
async fn deletes_are_guarded_by_uid() {
    let store = store();
    store.create("me", config_map("a")).unwrap();
    let key = ObjectKey::new(Resource::CONFIG_MAP, "default", "a");
    let other = Delete {
        uid: Some("other".to_owned()),
        ..Delete::default()
    };
    assert_eq!(store.delete(&key, &other).unwrap_err().reason, "Conflict");
    assert!(store.delete(&key, &Delete::default()).is_ok());
}

#[tokio::test(start_paused = true)]
async fn a_namespace_takes_its_objects_with_it() {
    let store = store();
    store
        .create(
            "me",
            json!({"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": "t"}}),
        )
        .unwrap();
    let mut map = config_map("a");
    map["metadata"]["namespace"] = "t".into();
    store.create("me", map).unwrap();
    let key = ObjectKey {
        group: String::new(),
        kind: "Namespace".into(),
        namespace: String::new(),
        name: "t".into(),
    };
    store.delete(&key, &Delete::default()).unwrap();
    assert!(store.get(&key).is_none() && store.list("", "ConfigMap", Some("t")).is_empty());
}

#[tokio::test(start_paused = true)]
async fn changes_come_in_order_and_a_short_history_says_so() {
    let store = store();
    let mut changes = store.changes();
    for n in 0..3 {
        store.create("me", config_map(&format!("m{n}"))).unwrap();
    }
    for n in 0..3 {
        assert_eq!(changes.next().await.unwrap().object.name(), format!("m{n}"));
    }
    for n in 0..20 {
        store.create("me", config_map(&format!("n{n}"))).unwrap();
    }
    assert!(changes.next().await.is_err());
    store.create("me", config_map("last")).unwrap();
    assert_eq!(changes.next().await.unwrap().object.name(), "last");
}

//! Watching.

use serde_json::json;

use super::*;

pub(super) async fn next(
    stream: &mut (impl futures::Stream<Item = kube::Result<WatchEvent<DynamicObject>>> + Unpin),
) -> (String, String) {
    let wait = Duration::from_secs(10);
    loop {
        let event = tokio::time::timeout(wait, stream.try_next())
            .await
            .unwrap()
            .unwrap()
            .unwrap();
        let name = |o: DynamicObject| o.metadata.name.unwrap_or_default();
        let (verb, name) = match event {
            WatchEvent::Added(o) => ("added", name(o)),
            WatchEvent::Modified(o) => ("modified", name(o)),
            WatchEvent::Deleted(o) => ("deleted", name(o)),
            WatchEvent::Bookmark(b) => {
                let ends = b.metadata.annotations.get("k8s.io/initial-events-end").cloned();
                ("bookmark", ends.unwrap_or_default())
            }
            WatchEvent::Error(e) => ("error", e.reason.clone()),
        };
        // A real cluster's controller puts this map into every namespace.
        if name != "kube-root-ca.crt" {
            return (verb.to_owned(), name);
        }
    }
}

fn pair(verb: &str, name: &str) -> (String, String) {
    (verb.to_owned(), name.to_owned())
}

pub(super) async fn watches_begin_where_the_list_ended(context: Context) {
    context.create(CONFIG_MAPS, "before", json!({})).await;
    let api = context.api(CONFIG_MAPS);
    let start = api
        .list(&ListParams::default())
        .await
        .unwrap()
        .metadata
        .resource_version
        .unwrap();
    context.create(CONFIG_MAPS, "after", json!({})).await;
    let mut stream = api
        .watch(&WatchParams::default().timeout(60), &start)
        .await
        .unwrap()
        .boxed();
    assert_eq!(next(&mut stream).await, pair("added", "after"));
    context
        .merge(CONFIG_MAPS, "before", json!({"data": {"a": "1"}}))
        .await
        .unwrap();
    assert_eq!(next(&mut stream).await, pair("modified", "before"));
    api.delete("after", &DeleteParams::default()).await.unwrap();
    assert_eq!(next(&mut stream).await, pair("deleted", "after"));
}

pub(super) async fn watches_see_objects_enter_and_leave_a_selector(context: Context) {
    context.create(CONFIG_MAPS, "a", json!({})).await;
    let api = context.api(CONFIG_MAPS);
    let start = api
        .list(&ListParams::default())
        .await
        .unwrap()
        .metadata
        .resource_version
        .unwrap();
    let params = WatchParams::default().labels("on=yes").timeout(60);
    let mut stream = api.watch(&params, &start).await.unwrap().boxed();
    context
        .merge(CONFIG_MAPS, "a", json!({"metadata": {"labels": {"on": "yes"}}}))
        .await
        .unwrap();
    assert_eq!(next(&mut stream).await, pair("added", "a"));
    context
        .merge(CONFIG_MAPS, "a", json!({"data": {"x": "1"}}))
        .await
        .unwrap();
    assert_eq!(next(&mut stream).await, pair("modified", "a"));
    context
        .merge(CONFIG_MAPS, "a", json!({"metadata": {"labels": {"on": "no"}}}))
        .await
        .unwrap();
    assert_eq!(next(&mut stream).await, pair("deleted", "a"));
}

pub(super) async fn streaming_lists_end_with_a_bookmark(context: Context) {
    context.create(SECRETS, "a", json!({})).await;
    let api = context.api(SECRETS);
    let params = WatchParams::default().initial_events().timeout(60);
    let mut stream = api.watch(&params, "0").await.unwrap().boxed();
    assert_eq!(next(&mut stream).await, pair("added", "a"));
    assert_eq!(next(&mut stream).await, pair("bookmark", "true"));
    context.create(SECRETS, "b", json!({})).await;
    assert_eq!(next(&mut stream).await, pair("added", "b"));
    let config = watcher::Config::default().streaming_lists();
    let mut objects = watcher(api, config).applied_objects().boxed();
    for name in ["a", "b"] {
        let object = objects.try_next().await.unwrap().unwrap();
        assert_eq!(object.metadata.name.as_deref(), Some(name));
    }
}

pub(super) async fn watches_without_a_version_begin_with_what_exists(context: Context) {
    context.create(SECRETS, "a", json!({})).await;
    let params = WatchParams::default().timeout(60);
    let mut stream = context.api(SECRETS).watch(&params, "0").await.unwrap().boxed();
    assert_eq!(next(&mut stream).await, pair("added", "a"));
}

//! Metadata, tables, discovery.

use serde_json::{Value, json};

use super::*;

pub(super) async fn metadata_is_served_alone(context: Context) {
    context
        .create(
            CONFIG_MAPS,
            "a",
            json!({"data": {"secret": "x"}, "metadata": {"labels": {"a": "b"}}}),
        )
        .await;
    let api = context.api(CONFIG_MAPS);
    let accept = "application/json;as=PartialObjectMetadata;v=v1;g=meta.k8s.io";
    let path = format!("/api/v1/namespaces/{}/configmaps/a", context.namespace);
    let request = http::Request::get(path)
        .header("accept", accept)
        .body(Vec::new())
        .unwrap();
    let one = context.client.request::<Value>(request).await.unwrap();
    assert_eq!(
        (&one["kind"], &one["metadata"]["name"]),
        (&json!("PartialObjectMetadata"), &json!("a"))
    );
    assert_eq!(one.get("data"), None);
    let params = ListParams::default().labels("a=b");
    let list = api.list_metadata(&params).await.unwrap();
    assert_eq!(list.items.len(), 1);
    let start = list.metadata.resource_version.unwrap();
    let watch = api
        .watch_metadata(&WatchParams::default().labels("a=b").timeout(60), &start)
        .await
        .unwrap();
    context
        .merge(CONFIG_MAPS, "a", json!({"metadata": {"annotations": {"x": "y"}}}))
        .await
        .unwrap();
    match watch.boxed().try_next().await.unwrap().unwrap() {
        WatchEvent::Modified(object) => assert!(object.metadata.annotations.unwrap().contains_key("x")),
        other => panic!("{other:?}"),
    }
}

pub(super) async fn tables_have_columns(context: Context) {
    context.create(DEPLOYMENTS, "web", deployment("i:1")).await;
    context.create(WIDGETS, "w", json!({"spec": {"size": 3}})).await;
    let table = async |path: &str| -> Value {
        let path = format!("{path}/namespaces/{}", context.namespace);
        let (base, kind) = path.split_once('|').unwrap();
        let (kind, namespace) = kind.split_once('/').unwrap();
        let accept = "application/json;as=Table;v=v1;g=meta.k8s.io,application/json";
        let request = http::Request::get(format!("{base}/{namespace}/{kind}")).header("accept", accept);
        context
            .client
            .request::<Value>(request.body(Vec::new()).unwrap())
            .await
            .unwrap()
    };
    let columns = |table: &Value| -> Vec<String> {
        let columns = table["columnDefinitions"].as_array().unwrap().iter();
        columns
            .filter(|c| c["priority"] == 0)
            .map(|c| c["name"].as_str().unwrap().to_owned())
            .collect()
    };
    let deployments = table("/apis/apps/v1|deployments").await;
    assert_eq!(deployments["kind"], "Table");
    assert_eq!(
        columns(&deployments),
        ["Name", "Ready", "Up-to-date", "Available", "Age"]
    );
    assert_eq!(deployments["rows"][0]["cells"][0], "web");
    assert_eq!(deployments["rows"][0]["cells"][1], "0/2");
    assert_eq!(deployments["rows"][0]["object"]["kind"], "PartialObjectMetadata");
    let widgets = table("/apis/conformance.serin.dev/v1|widgets").await;
    assert_eq!(columns(&widgets), ["Name", "Size", "Age"]);
    assert_eq!(widgets["rows"][0]["cells"][1], 3);
}

pub(super) async fn discovery_lists_resources(context: Context) {
    let resources = context
        .client
        .list_api_group_resources("conformance.serin.dev/v1")
        .await
        .unwrap();
    let widgets = resources.resources.iter().find(|r| r.name == "widgets").unwrap();
    assert_eq!((widgets.kind.as_str(), widgets.namespaced), ("Widget", true));
    assert_eq!(widgets.short_names.as_deref(), Some(&["wd".to_owned()][..]));
    assert!(resources.resources.iter().any(|r| r.name == "widgets/status"));
    let groups = context.client.list_api_groups().await.unwrap();
    let group = groups
        .groups
        .iter()
        .find(|g| g.name == "conformance.serin.dev")
        .unwrap();
    assert_eq!(group.preferred_version.as_ref().unwrap().version, "v1");
    let core = context.client.list_core_api_resources("v1").await.unwrap();
    assert!(core.resources.iter().any(|r| r.name == "configmaps"));
    let version = context.client.apiserver_version().await.unwrap();
    assert_eq!(version.major, "1");
}

//! Creating objects.

use serde_json::{Value, json};

use super::*;

pub(super) async fn creating_sets_what_only_the_server_sets(context: Context) {
    let given = json!({"metadata": {"uid": "mine", "creationTimestamp": "2001-01-01T00:00:00Z"}});
    let made = context.create(CONFIG_MAPS, "a", given).await;
    assert_ne!(made.metadata.uid.as_deref(), Some("mine"));
    assert_eq!(made.metadata.generation, None, "config maps have no generations");
    assert!(
        !made
            .metadata
            .creation_timestamp
            .as_ref()
            .unwrap()
            .0
            .to_string()
            .starts_with("2001")
    );
    assert_eq!(made.metadata.namespace, Some(context.namespace.clone()));
    let given = json!({"metadata": {"resourceVersion": "1"}});
    match context.try_create(CONFIG_MAPS, "b", given).await {
        Err(kube::Error::Api(status)) => assert_eq!(status.code, 500, "{status:?}"),
        other => panic!("{other:?}"),
    }
}

pub(super) async fn creating_twice_is_already_exists(context: Context) {
    context.create(CONFIG_MAPS, "a", json!({})).await;
    let status = refused(
        context.try_create(CONFIG_MAPS, "a", json!({})).await,
        409,
        "AlreadyExists",
    );
    assert_eq!(status.message, "configmaps \"a\" already exists");
    assert_eq!(status.details.unwrap().kind, "configmaps");
    context.create(DEPLOYMENTS, "web", deployment("i:1")).await;
    let status = refused(
        context.try_create(DEPLOYMENTS, "web", deployment("i:1")).await,
        409,
        "AlreadyExists",
    );
    assert_eq!(status.message, "deployments.apps \"web\" already exists");
}

pub(super) async fn creating_in_a_missing_namespace_is_not_found(context: Context) {
    let api =
        Api::<DynamicObject>::namespaced_with(context.client.clone(), "nowhere", &resource(CONFIG_MAPS));
    let made = api
        .create(&PostParams::default(), &object(CONFIG_MAPS, "a", json!({})))
        .await;
    assert_eq!(
        refused(made, 404, "NotFound").message,
        "namespaces \"nowhere\" not found"
    );
    let status = refused(context.api(DEPLOYMENTS).get("no").await, 404, "NotFound");
    assert_eq!(status.message, "deployments.apps \"no\" not found");
}

pub(super) async fn creating_with_a_generated_name(context: Context) {
    let mut map = object(CONFIG_MAPS, "", json!({"metadata": {"generateName": "web-"}}));
    map.metadata.name = None;
    let first = context
        .api(CONFIG_MAPS)
        .create(&PostParams::default(), &map)
        .await
        .unwrap();
    let second = context
        .api(CONFIG_MAPS)
        .create(&PostParams::default(), &map)
        .await
        .unwrap();
    let name = first.metadata.name.unwrap();
    assert!(name.starts_with("web-") && name.len() == 9, "{name}");
    assert_ne!(Some(name), second.metadata.name);
}

pub(super) async fn bad_names_are_invalid(context: Context) {
    for (kind, name, rest) in [
        (CONFIG_MAPS, "Upper_Case", json!({})),
        (SERVICES, "1service", json!({"spec": {"ports": [{"port": 80}]}})),
        (DEPLOYMENTS, "-x", deployment("i:1")),
    ] {
        let status = refused(context.try_create(kind, name, rest).await, 422, "Invalid");
        let causes = status.details.unwrap().causes;
        assert_eq!(causes[0].field, "metadata.name", "{causes:?}");
    }
    let label = json!({"metadata": {"labels": {"a": "not a label"}}});
    let status = refused(context.try_create(CONFIG_MAPS, "a", label).await, 422, "Invalid");
    assert_eq!(status.details.unwrap().causes[0].field, "metadata.labels");
}

pub(super) async fn unknown_fields_are_dropped_and_strict_ones_refused(context: Context) {
    let mut rest = deployment("i:1");
    rest["spec"]["unheardOf"] = 1.into();
    let made = context.create(DEPLOYMENTS, "web", rest.clone()).await;
    assert_eq!(at(&made, "/spec/unheardOf"), &Value::Null);
    let patch = json!({"spec": {"template": {"spec": {"odd": true}}}});
    let same = context.merge(DEPLOYMENTS, "web", patch).await.unwrap();
    assert_eq!(version(&same), version(&made), "nothing changed");
    let path = format!(
        "/apis/apps/v1/namespaces/{}/deployments?fieldValidation=Strict",
        context.namespace
    );
    let body = serde_json::to_vec(&object(DEPLOYMENTS, "strict", rest)).unwrap();
    let request = http::Request::post(path)
        .header("content-type", "application/json")
        .body(body)
        .unwrap();
    let status = refused(context.client.request::<Value>(request).await, 400, "BadRequest");
    assert!(
        status
            .message
            .contains("strict decoding error: unknown field \"spec.unheardOf\""),
        "{status:?}"
    );
}

pub(super) async fn wrong_types_are_a_bad_request(context: Context) {
    let mut rest = deployment("i:1");
    rest["spec"]["replicas"] = "two".into();
    refused(
        context.try_create(DEPLOYMENTS, "web", rest).await,
        400,
        "BadRequest",
    );
    refused(
        context
            .try_create(CONFIG_MAPS, "a", json!({"data": {"a": 1}}))
            .await,
        400,
        "BadRequest",
    );
}

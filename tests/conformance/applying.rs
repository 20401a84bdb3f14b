//! Server-side apply and ownership.

use serde_json::{Value, json};

use super::*;

pub(super) async fn apply_creates_and_owns(context: Context) {
    let made = context
        .apply("one", DEPLOYMENTS, "web", deployment("i:1"))
        .await
        .unwrap();
    assert_eq!(
        (at(&made, "/spec/revisionHistoryLimit"), generation(&made)),
        (&json!(10), 1)
    );
    let expected = json!({"f:spec": {
        "f:replicas": {}, "f:selector": {},
        "f:template": {
            "f:metadata": {"f:labels": {"f:app": {}}},
            "f:spec": {"f:containers": {"k:{\"name\":\"web\"}": {".": {}, "f:image": {}, "f:name": {}}}},
        },
    }});
    assert_eq!(owned(&made, "one"), expected.to_string());
    let entry = &made.metadata.managed_fields.unwrap()[0];
    assert_eq!(
        (entry.operation.as_deref(), entry.api_version.as_deref()),
        (Some("Apply"), Some("apps/v1"))
    );
}

pub(super) async fn apply_drops_what_only_it_owned(context: Context) {
    let rest = json!({"metadata": {"labels": {"a": "1", "b": "2"}}, "data": {"x": "1", "y": "2"}});
    context.apply("one", CONFIG_MAPS, "a", rest).await.unwrap();
    let rest = json!({"metadata": {"labels": {"a": "1"}}, "data": {"y": "3"}});
    let applied = context.apply("one", CONFIG_MAPS, "a", rest).await.unwrap();
    assert_eq!(at(&applied, "/data"), &json!({"y": "3"}));
    assert_eq!(json!(applied.metadata.labels), json!({"a": "1"}));
    let applied = context.apply("one", CONFIG_MAPS, "a", json!({})).await.unwrap();
    assert_eq!(
        (at(&applied, "/data"), applied.metadata.labels.clone()),
        (&Value::Null, None)
    );
}

pub(super) async fn apply_keeps_what_others_share(context: Context) {
    context
        .apply("one", CONFIG_MAPS, "a", json!({"data": {"x": "1", "y": "1"}}))
        .await
        .unwrap();
    context
        .apply("two", CONFIG_MAPS, "a", json!({"data": {"x": "1", "z": "1"}}))
        .await
        .unwrap();
    let applied = context
        .apply("one", CONFIG_MAPS, "a", json!({"data": {}}))
        .await
        .unwrap();
    assert_eq!(at(&applied, "/data"), &json!({"x": "1", "z": "1"}));
}

pub(super) async fn apply_resets_replicas_when_their_only_owner_drops_them(context: Context) {
    let mut rest = deployment("i:1");
    let spec = rest["spec"].as_object_mut().unwrap();
    spec.remove("replicas");
    context.apply("one", DEPLOYMENTS, "web", rest).await.unwrap();
    let scaled = context
        .apply("scale", DEPLOYMENTS, "web", json!({"spec": {"replicas": 4}}))
        .await
        .unwrap();
    assert_eq!(at(&scaled, "/spec/replicas"), &json!(4));
    let dropped = context
        .apply("scale", DEPLOYMENTS, "web", json!({}))
        .await
        .unwrap();
    assert_eq!(at(&dropped, "/spec/replicas"), &json!(1));
}

pub(super) async fn apply_conflicts_name_field_and_manager(context: Context) {
    context
        .apply("one", DEPLOYMENTS, "web", deployment("i:1"))
        .await
        .unwrap();
    let status = refused(
        context.apply("two", DEPLOYMENTS, "web", deployment("i:2")).await,
        409,
        "Conflict",
    );
    let field = ".spec.template.spec.containers[name=\"web\"].image";
    assert_eq!(
        status.message,
        format!("Apply failed with 1 conflict: conflict with \"one\": {field}")
    );
    let cause = &status.details.unwrap().causes[0];
    assert_eq!(
        (cause.reason.as_str(), cause.field.as_str()),
        ("FieldManagerConflict", field)
    );
    assert_eq!(cause.message, "conflict with \"one\"");
    // An ordinary write by the same name is another manager.
    context
        .merge(DEPLOYMENTS, "web", json!({"spec": {"replicas": 7}}))
        .await
        .unwrap();
    let status = refused(
        context.apply("one", DEPLOYMENTS, "web", deployment("i:1")).await,
        409,
        "Conflict",
    );
    let causes = status.details.unwrap().causes;
    assert_eq!((causes.len(), causes[0].field.as_str()), (1, ".spec.replicas"));
    assert!(causes[0].message.ends_with("using apps/v1"), "{causes:?}");
}

pub(super) async fn apply_takes_over_by_force(context: Context) {
    context
        .apply("one", DEPLOYMENTS, "web", deployment("i:1"))
        .await
        .unwrap();
    let forced = context.force("two", DEPLOYMENTS, "web", deployment("i:2")).await;
    assert_eq!(
        at(&forced, "/spec/template/spec/containers/0/image"),
        &json!("i:2")
    );
    assert!(
        !owned(&forced, "one").contains("f:image"),
        "{}",
        owned(&forced, "one")
    );
    assert!(
        owned(&forced, "one").contains("f:replicas"),
        "equal values stay shared"
    );
    assert_eq!(generation(&forced), 2);
}

pub(super) async fn apply_of_equal_values_shares_ownership(context: Context) {
    context
        .apply("one", DEPLOYMENTS, "web", deployment("i:1"))
        .await
        .unwrap();
    let second = context
        .apply("two", DEPLOYMENTS, "web", deployment("i:1"))
        .await
        .unwrap();
    assert_eq!(owned(&second, "one"), owned(&second, "two"));
    assert_eq!(generation(&second), 1);
}

pub(super) async fn apply_merges_associative_lists(context: Context) {
    let container = |extra: Value| {
        let mut rest = deployment("i:1");
        json_patch::merge(&mut rest["spec"]["template"]["spec"]["containers"][0], &extra);
        rest
    };
    let one = container(json!({"ports": [{"containerPort": 80}], "env": [{"name": "A", "value": "1"}]}));
    context.apply("one", DEPLOYMENTS, "web", one).await.unwrap();
    let two = json!({"spec": {"template": {"spec": {"containers": [
        {"name": "web", "env": [{"name": "B", "value": "2"}], "ports": [{"containerPort": 80, "name": "http"}]},
        {"name": "side", "image": "s:1"},
    ]}}}});
    let applied = context.apply("two", DEPLOYMENTS, "web", two).await.unwrap();
    let containers = at(&applied, "/spec/template/spec/containers").as_array().unwrap();
    assert_eq!(containers.len(), 2);
    assert_eq!(
        containers[0]["ports"],
        json!([{"containerPort": 80, "name": "http", "protocol": "TCP"}])
    );
    assert_eq!(containers[0]["env"].as_array().unwrap().len(), 2);
    let dropped = context.apply("two", DEPLOYMENTS, "web", json!({})).await.unwrap();
    let containers = at(&dropped, "/spec/template/spec/containers").as_array().unwrap();
    assert_eq!(containers.len(), 1, "the added container goes with its owner");
    assert_eq!(containers[0]["env"], json!([{"name": "A", "value": "1"}]));
    assert_eq!(
        containers[0]["ports"],
        json!([{"containerPort": 80, "protocol": "TCP"}])
    );
}

pub(super) async fn apply_replaces_atomic_lists_and_maps(context: Context) {
    let service =
        |labels: Value| json!({"spec": {"selector": labels, "ports": [{"port": 80, "name": "http"}]}});
    context
        .apply(
            "one",
            SERVICES,
            "web",
            service(json!({"app": "web", "tier": "a"})),
        )
        .await
        .unwrap();
    let other = json!({"spec": {"selector": {"app": "new"}}});
    let status = refused(
        context.apply("two", SERVICES, "web", other.clone()).await,
        409,
        "Conflict",
    );
    assert_eq!(status.details.unwrap().causes[0].field, ".spec.selector");
    let forced = context.force("two", SERVICES, "web", other).await;
    assert_eq!(at(&forced, "/spec/selector"), &json!({"app": "new"}));
    let path = |path: &str| {
        json!({
            "path": path, "pathType": "Prefix", "backend": {"service": {"name": "web", "port": {"number": 80}}},
        })
    };
    let ingress =
        |paths: Value| json!({"spec": {"rules": [{"host": "a.example.com", "http": {"paths": paths}}]}});
    context
        .apply("one", INGRESSES, "web", ingress(json!([path("/a")])))
        .await
        .unwrap();
    let status = context
        .apply("two", INGRESSES, "web", ingress(json!([path("/b")])))
        .await;
    assert_eq!(
        refused(status, 409, "Conflict").details.unwrap().causes[0].field,
        ".spec.rules"
    );
    let forced = context
        .force("two", INGRESSES, "web", ingress(json!([path("/b")])))
        .await;
    assert_eq!(
        at(&forced, "/spec/rules/0/http/paths").as_array().unwrap().len(),
        1
    );
}

pub(super) async fn apply_refuses_undeclared_fields(context: Context) {
    let mut rest = deployment("i:1");
    rest["spec"]["unheardOf"] = 1.into();
    match context.apply("one", DEPLOYMENTS, "web", rest).await {
        Err(kube::Error::Api(status)) => {
            assert!(
                status
                    .message
                    .contains(".spec.unheardOf: field not declared in schema"),
                "{status:?}"
            );
            assert_eq!(status.code, 500);
        }
        other => panic!("{other:?}"),
    }
}

pub(super) async fn apply_needs_a_manager(context: Context) {
    let path = format!("/api/v1/namespaces/{}/configmaps/a", context.namespace);
    let body = serde_json::to_vec(&object(CONFIG_MAPS, "a", json!({}))).unwrap();
    let request = http::Request::patch(path).header("content-type", "application/apply-patch+yaml");
    let status = refused(
        context.client.request::<Value>(request.body(body).unwrap()).await,
        422,
        "Invalid",
    );
    assert!(
        status
            .message
            .contains("fieldManager: Required value: is required for apply patch"),
        "{status:?}"
    );
}

pub(super) async fn apply_of_the_same_changes_nothing(context: Context) {
    let first = context
        .apply("one", DEPLOYMENTS, "web", deployment("i:1"))
        .await
        .unwrap();
    tokio::time::sleep(Duration::from_secs(1)).await;
    let second = context
        .apply("one", DEPLOYMENTS, "web", deployment("i:1"))
        .await
        .unwrap();
    assert_eq!(version(&first), version(&second));
}

pub(super) async fn apply_to_the_status_owns_only_the_status(context: Context) {
    context
        .apply("one", WIDGETS, "w", json!({"spec": {"size": 3}}))
        .await
        .unwrap();
    let api = context.api(WIDGETS);
    let intent = object(
        WIDGETS,
        "w",
        json!({"spec": {"size": 9}, "status": {"phase": "Ready"}}),
    );
    let applied = api
        .patch_status("w", &PatchParams::apply("ctl"), &Patch::Apply(intent))
        .await
        .unwrap();
    assert_eq!(
        (at(&applied, "/spec/size"), at(&applied, "/status/phase")),
        (&json!(3), &json!("Ready"))
    );
    assert_eq!(
        owned(&applied, "ctl"),
        json!({"f:status": {"f:phase": {}}}).to_string()
    );
    let entry = applied
        .metadata
        .managed_fields
        .iter()
        .flatten()
        .find(|e| e.manager.as_deref() == Some("ctl"));
    assert_eq!(entry.unwrap().subresource.as_deref(), Some("status"));
}

pub(super) async fn updates_take_ownership_of_what_they_change(context: Context) {
    context
        .apply("one", DEPLOYMENTS, "web", deployment("i:1"))
        .await
        .unwrap();
    let params = PatchParams {
        field_manager: Some("kubectl-set".to_owned()),
        ..PatchParams::default()
    };
    let patch = json!({"spec": {"template": {"spec": {"containers": [{"name": "web", "image": "i:2"}]}}}});
    let patched = context
        .api(DEPLOYMENTS)
        .patch("web", &params, &Patch::Strategic(patch))
        .await
        .unwrap();
    let expected = json!({"f:spec": {"f:template": {"f:spec": {"f:containers": {
        "k:{\"name\":\"web\"}": {"f:image": {}},
    }}}}});
    assert_eq!(owned(&patched, "kubectl-set"), expected.to_string());
    assert!(!owned(&patched, "one").contains("f:image"));
    let made = context
        .create(
            CONFIG_MAPS,
            "a",
            json!({"data": {"x": "1"}, "metadata": {"labels": {"a": "b"}}}),
        )
        .await;
    let fields = json!(made.metadata.managed_fields.unwrap()[0].fields_v1);
    let expected = json!({
        "f:data": {".": {}, "f:x": {}}, "f:metadata": {"f:labels": {".": {}, "f:a": {}}},
    });
    assert_eq!(fields, expected);
}

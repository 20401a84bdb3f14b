//! Custom resources.

use serde_json::{Value, json};

use super::{definition::widget_spec, *};

pub(super) async fn custom_resources_are_pruned_and_defaulted(context: Context) {
    let spec = json!({"size": 1, "odd": true, "free": {"any": {"thing": 1}}, "nested": {"odd": 1}});
    let made = context
        .create(WIDGETS, "w", json!({"spec": spec, "odd": 1}))
        .await;
    let expected = json!({"size": 1, "mode": "auto", "free": {"any": {"thing": 1}}, "nested": {"deep": 7}});
    assert_eq!(at(&made, "/spec"), &expected);
    assert_eq!(at(&made, "/odd"), &Value::Null);
    let patched = context
        .merge(WIDGETS, "w", json!({"spec": {"mode": null, "port": "http"}}))
        .await
        .unwrap();
    assert_eq!(
        (at(&patched, "/spec/mode"), at(&patched, "/spec/port")),
        (&json!("auto"), &json!("http"))
    );
}

pub(super) async fn custom_resources_are_validated(context: Context) {
    for (spec, field, reason) in [
        (json!({"size": "big"}), "spec.size", "FieldValueTypeInvalid"),
        (json!({"size": 101}), "spec.size", "FieldValueInvalid"),
        (json!({"mode": "odd"}), "spec.mode", "FieldValueNotSupported"),
        (json!({"code": "abc"}), "spec.code", "FieldValueInvalid"),
        (
            json!({"hooks": [{"url": "x"}]}),
            "spec.hooks[0].name",
            "FieldValueRequired",
        ),
        (json!({"port": true}), "spec.port", "FieldValueTypeInvalid"),
    ] {
        let status = refused(
            context.try_create(WIDGETS, "w", json!({"spec": spec})).await,
            422,
            "Invalid",
        );
        assert!(
            status
                .message
                .starts_with("Widget.conformance.serin.dev \"w\" is invalid"),
            "{status:?}"
        );
        let causes = status.details.unwrap().causes;
        let found: Vec<_> = causes
            .iter()
            .map(|c| (c.field.as_str(), c.reason.as_str()))
            .collect();
        assert!(found.contains(&(field, reason)), "{spec}: {found:?}");
    }
}

pub(super) async fn custom_resources_keep_their_status_apart(context: Context) {
    let made = context
        .create(
            WIDGETS,
            "w",
            json!({"spec": {"size": 1}, "status": {"phase": "x"}}),
        )
        .await;
    assert_eq!(at(&made, "/status"), &Value::Null);
    let mut status = made.clone();
    status.data["status"] = json!({"phase": "Ready", "odd": 1});
    status.data["spec"]["size"] = 2.into();
    let api = context.api(WIDGETS);
    let written = api
        .replace_status("w", &PostParams::default(), &status)
        .await
        .unwrap();
    assert_eq!(
        (at(&written, "/status"), at(&written, "/spec/size")),
        (&json!({"phase": "Ready"}), &json!(1))
    );
    assert_eq!(generation(&written), 1);
    refused(
        api.replace_status("w", &PostParams::default(), &status).await,
        409,
        "Conflict",
    );
}

pub(super) async fn custom_resources_are_served_in_each_version(context: Context) {
    context
        .create(OLD_WIDGETS, "w", json!({"spec": {"size": 4}}))
        .await;
    let new = context.api(WIDGETS).get("w").await.unwrap();
    assert_eq!(
        (new.types.unwrap().api_version, &new.data["spec"]["size"]),
        ("conformance.serin.dev/v1".into(), &json!(4))
    );
    let old = context.api(OLD_WIDGETS).get("w").await.unwrap();
    assert_eq!(old.types.unwrap().api_version, "conformance.serin.dev/v1alpha1");
}

pub(super) async fn custom_resource_updates_need_a_version(context: Context) {
    let mut made = context.create(WIDGETS, "w", json!({"spec": {"size": 4}})).await;
    made.metadata.resource_version = None;
    made.data["spec"]["size"] = 5.into();
    let replaced = context
        .api(WIDGETS)
        .replace("w", &PostParams::default(), &made)
        .await;
    let status = refused(replaced, 422, "Invalid");
    assert_eq!(
        status.details.unwrap().causes[0].field,
        "metadata.resourceVersion"
    );
}

pub(super) async fn custom_resources_respect_list_types(context: Context) {
    let hooks = |name: &str| json!({"spec": {"hooks": [{"name": name, "url": "u"}], "tags": [name], "plain": [name]}});
    context.apply("one", WIDGETS, "w", hooks("a")).await.unwrap();
    let mut second = hooks("b");
    second["spec"].as_object_mut().unwrap().remove("plain");
    let applied = context.apply("two", WIDGETS, "w", second).await.unwrap();
    assert_eq!(at(&applied, "/spec/hooks").as_array().unwrap().len(), 2);
    assert_eq!(at(&applied, "/spec/tags"), &json!(["a", "b"]));
    assert!(
        owned(&applied, "two").contains("k:{\\\"name\\\":\\\"b\\\"}")
            && owned(&applied, "two").contains("v:\\\"b\\\"")
    );
    let atomic = context
        .apply("two", WIDGETS, "w", json!({"spec": {"plain": ["c"]}}))
        .await;
    assert_eq!(
        refused(atomic, 409, "Conflict").details.unwrap().causes[0].field,
        ".spec.plain"
    );
    let twice = json!({"spec": {"tags": ["x", "x"]}});
    refused(context.try_create(WIDGETS, "twice", twice).await, 422, "Invalid");
}

pub(super) async fn definitions_are_established(context: Context) {
    let definition = context
        .cluster(DEFINITIONS)
        .get("widgets.conformance.serin.dev")
        .await
        .unwrap();
    let conditions = at(&definition, "/status/conditions").as_array().unwrap().clone();
    for kind in ["NamesAccepted", "Established"] {
        assert!(
            conditions
                .iter()
                .any(|c| c["type"] == kind && c["status"] == "True"),
            "{conditions:?}"
        );
    }
    assert_eq!(at(&definition, "/status/acceptedNames/plural"), &json!("widgets"));
    assert_eq!(at(&definition, "/status/storedVersions"), &json!(["v1"]));
    assert_eq!(at(&definition, "/spec/conversion/strategy"), &json!("None"));
    let bad = object(DEFINITIONS, "wrong.name.dev", json!({"spec": widget_spec()}));
    let status = refused(
        context
            .cluster(DEFINITIONS)
            .create(&PostParams::default(), &bad)
            .await,
        422,
        "Invalid",
    );
    assert_eq!(status.details.unwrap().causes[0].field, "metadata.name");
}

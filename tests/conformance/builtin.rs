//! What built-in types default, spell and refuse.

use serde_json::{Value, json};

use super::*;

pub(super) async fn deployments_get_defaults(context: Context) {
    let mut rest = deployment("i");
    rest["spec"].as_object_mut().unwrap().remove("replicas");
    rest["spec"]["template"]["spec"]["containers"][0]["ports"] = json!([{"containerPort": 80}]);
    rest["spec"]["template"]["spec"]["containers"][0]["readinessProbe"] = json!({"httpGet": {"port": 80}});
    rest["spec"]["template"]["spec"]["volumes"] =
        json!([{"name": "c", "configMap": {"name": "c"}}, {"name": "e"}]);
    let made = context.create(DEPLOYMENTS, "web", rest).await;
    let expected = json!({
        "progressDeadlineSeconds": 600, "replicas": 1, "revisionHistoryLimit": 10,
        "selector": {"matchLabels": {"app": "web"}},
        "strategy": {"type": "RollingUpdate", "rollingUpdate": {"maxSurge": "25%", "maxUnavailable": "25%"}},
        "template": {
            "metadata": {"labels": {"app": "web"}},
            "spec": {
                "containers": [{
                    "name": "web", "image": "i", "imagePullPolicy": "Always", "resources": {},
                    "ports": [{"containerPort": 80, "protocol": "TCP"}],
                    "readinessProbe": {
                        "failureThreshold": 3, "periodSeconds": 10, "successThreshold": 1, "timeoutSeconds": 1,
                        "httpGet": {"path": "/", "port": 80, "scheme": "HTTP"},
                    },
                    "terminationMessagePath": "/dev/termination-log", "terminationMessagePolicy": "File",
                }],
                "dnsPolicy": "ClusterFirst", "restartPolicy": "Always", "schedulerName": "default-scheduler",
                "securityContext": {}, "terminationGracePeriodSeconds": 30,
                "volumes": [{"name": "c", "configMap": {"name": "c", "defaultMode": 420}}, {"name": "e", "emptyDir": {}}],
            },
        },
    });
    let mut spec = at(&made, "/spec").clone();
    // Older servers write this null into templates.
    let metadata = spec["template"]["metadata"].as_object_mut().unwrap();
    if metadata.get("creationTimestamp") == Some(&Value::Null) {
        metadata.remove("creationTimestamp");
    }
    assert_eq!(spec, expected);
}

pub(super) async fn quantities_and_empty_values_are_stored_as_the_server_spells_them(context: Context) {
    let mut rest = deployment("i:1");
    let container = &mut rest["spec"]["template"]["spec"]["containers"][0];
    container["resources"] =
        json!({"limits": {"cpu": "1000m", "memory": "1024Mi"}, "requests": {"cpu": 0.5}});
    container["env"] = json!([{"name": "A", "value": ""}]);
    container["args"] = json!([]);
    rest["spec"]["minReadySeconds"] = 0.into();
    rest["metadata"] = json!({"annotations": {}});
    let made = context.create(DEPLOYMENTS, "web", rest).await;
    let container = at(&made, "/spec/template/spec/containers/0");
    let resources = json!({"limits": {"cpu": "1", "memory": "1Gi"}, "requests": {"cpu": "500m"}});
    assert_eq!(
        (&container["resources"], &container["env"]),
        (&resources, &json!([{"name": "A"}]))
    );
    assert_eq!(
        (container.get("args"), at(&made, "/spec/minReadySeconds")),
        (None, &Value::Null)
    );
    assert_eq!(made.metadata.annotations, None);
}

pub(super) async fn selectors_of_deployments_are_immutable(context: Context) {
    context.create(DEPLOYMENTS, "web", deployment("i:1")).await;
    let patch = json!({"spec": {
        "selector": {"matchLabels": {"app": "other"}}, "template": {"metadata": {"labels": {"app": "other"}}},
    }});
    let status = refused(context.merge(DEPLOYMENTS, "web", patch).await, 422, "Invalid");
    let cause = &status.details.unwrap().causes[0];
    assert_eq!(cause.field, "spec.selector");
    assert!(cause.message.contains("field is immutable"), "{cause:?}");
    assert!(
        status
            .message
            .starts_with("Deployment.apps \"web\" is invalid: spec.selector:"),
        "{}",
        status.message
    );
}

pub(super) async fn selectors_must_match_the_template(context: Context) {
    let mut rest = deployment("i:1");
    rest["spec"]["template"]["metadata"]["labels"] = json!({"app": "other"});
    let status = refused(context.try_create(DEPLOYMENTS, "web", rest).await, 422, "Invalid");
    let fields: Vec<String> = status
        .details
        .unwrap()
        .causes
        .into_iter()
        .map(|c| c.field)
        .collect();
    assert!(
        fields.contains(&"spec.template.metadata.labels".to_owned()),
        "{fields:?}"
    );
    let mut rest = deployment("i:1");
    rest["spec"].as_object_mut().unwrap().remove("selector");
    let status = refused(context.try_create(DEPLOYMENTS, "web", rest).await, 422, "Invalid");
    let fields: Vec<String> = status
        .details
        .unwrap()
        .causes
        .into_iter()
        .map(|c| c.field)
        .collect();
    assert!(fields.contains(&"spec.selector".to_owned()), "{fields:?}");
}

pub(super) async fn containers_need_images(context: Context) {
    let mut rest = deployment("i:1");
    rest["spec"]["template"]["spec"]["containers"] = json!([{"name": "a"}, {"name": "a", "image": "i", "volumeMounts": [{"name": "no", "mountPath": "/x"}]}]);
    let status = refused(context.try_create(DEPLOYMENTS, "web", rest).await, 422, "Invalid");
    let causes = status.details.unwrap().causes;
    let mut found: Vec<(&str, &str)> = causes
        .iter()
        .map(|c| (c.field.as_str(), c.reason.as_str()))
        .collect();
    found.sort_unstable();
    let path = "spec.template.spec.containers";
    let expected = [
        (format!("{path}[0].image"), "FieldValueRequired"),
        (format!("{path}[1].name"), "FieldValueDuplicate"),
        (format!("{path}[1].volumeMounts[0].name"), "FieldValueNotFound"),
    ];
    let expected: Vec<(&str, &str)> = expected.iter().map(|(f, r)| (f.as_str(), *r)).collect();
    assert_eq!(found, expected);
}

pub(super) async fn services_get_addresses_and_defaults(context: Context) {
    let rest = json!({"spec": {"selector": {"app": "web"}, "ports": [{"port": 80}]}});
    let made = context.create(SERVICES, "web", rest).await;
    let mut spec = at(&made, "/spec").clone();
    let address = spec["clusterIP"].as_str().unwrap().to_owned();
    assert!(address.starts_with("10.96."), "{address}");
    assert_eq!(spec["clusterIPs"], json!([address]));
    spec.as_object_mut()
        .unwrap()
        .retain(|k, _| !k.starts_with("clusterIP"));
    let expected = json!({
        "internalTrafficPolicy": "Cluster", "ipFamilies": ["IPv4"], "ipFamilyPolicy": "SingleStack",
        "ports": [{"port": 80, "protocol": "TCP", "targetPort": 80}], "selector": {"app": "web"},
        "sessionAffinity": "None", "type": "ClusterIP",
    });
    assert_eq!(spec, expected);
    assert_eq!(at(&made, "/status"), &json!({"loadBalancer": {}}));
    let external = json!({"spec": {"type": "ExternalName", "externalName": "example.com"}});
    let made = context.create(SERVICES, "external", external).await;
    let expected = json!({"externalName": "example.com", "sessionAffinity": "None", "type": "ExternalName"});
    assert_eq!(at(&made, "/spec"), &expected);
    let headless = json!({"spec": {"clusterIP": "None", "selector": {"a": "b"}}});
    let made = context.create(SERVICES, "headless", headless).await;
    assert_eq!(at(&made, "/spec/clusterIPs"), &json!(["None"]));
}

pub(super) async fn services_need_ports_unless_external(context: Context) {
    let causes = async |rest: Value| -> Vec<String> {
        let status = refused(context.try_create(SERVICES, "web", rest).await, 422, "Invalid");
        status
            .details
            .unwrap()
            .causes
            .into_iter()
            .map(|c| c.field)
            .collect()
    };
    assert_eq!(causes(json!({"spec": {}})).await, ["spec.ports"]);
    let two = json!({"spec": {"ports": [{"port": 80}, {"port": 81}]}});
    assert_eq!(causes(two).await, ["spec.ports[0].name", "spec.ports[1].name"]);
    assert_eq!(
        causes(json!({"spec": {"type": "ExternalName"}})).await,
        ["spec.externalName"]
    );
    assert_eq!(
        causes(json!({"spec": {"ports": [{"port": 70000}]}})).await[0],
        "spec.ports[0].port"
    );
}

pub(super) async fn cluster_addresses_are_immutable(context: Context) {
    let made = context
        .create(SERVICES, "web", json!({"spec": {"ports": [{"port": 80}]}}))
        .await;
    let patch = json!({"spec": {"clusterIP": "10.96.7.7", "clusterIPs": ["10.96.7.7"]}});
    let status = refused(context.merge(SERVICES, "web", patch).await, 422, "Invalid");
    assert_eq!(status.details.unwrap().causes[0].field, "spec.clusterIPs[0]");
    let mut without = made.clone();
    let spec = without.data["spec"].as_object_mut().unwrap();
    spec.retain(|k, _| !k.starts_with("clusterIP"));
    spec.insert("selector".to_owned(), json!({"app": "web"}));
    let replaced = context
        .api(SERVICES)
        .replace("web", &PostParams::default(), &without)
        .await
        .unwrap();
    assert_eq!(
        at(&replaced, "/spec/clusterIP"),
        at(&made, "/spec/clusterIP"),
        "an update keeps the address"
    );
}

pub(super) async fn ingresses_need_path_types(context: Context) {
    let path = |extra: Value| {
        let mut path = json!({"path": "/", "backend": {"service": {"name": "web", "port": {"number": 80}}}});
        json_patch::merge(&mut path, &extra);
        json!({"spec": {"rules": [{"host": "a.example.com", "http": {"paths": [path]}}]}})
    };
    let field = async |rest: Value| -> String {
        let status = refused(context.try_create(INGRESSES, "web", rest).await, 422, "Invalid");
        status.details.unwrap().causes[0].field.clone()
    };
    let base = "spec.rules[0].http.paths[0]";
    assert_eq!(field(path(json!({}))).await, format!("{base}.pathType"));
    assert_eq!(
        field(path(json!({"pathType": "Odd"}))).await,
        format!("{base}.pathType")
    );
    assert_eq!(
        field(path(json!({"pathType": "Prefix", "path": "x"}))).await,
        format!("{base}.path")
    );
    context
        .create(INGRESSES, "web", path(json!({"pathType": "Prefix"})))
        .await;
}

pub(super) async fn secrets_fold_their_texts(context: Context) {
    let made = context
        .create(
            SECRETS,
            "a",
            json!({"stringData": {"k": "v"}, "data": {"l": "bA=="}}),
        )
        .await;
    assert_eq!(at(&made, "/data"), &json!({"k": "dg==", "l": "bA=="}));
    assert_eq!(
        (at(&made, "/type"), at(&made, "/stringData")),
        (&json!("Opaque"), &Value::Null)
    );
    refused(
        context.merge(SECRETS, "a", json!({"type": "other"})).await,
        422,
        "Invalid",
    );
}

pub(super) async fn immutable_config_maps_stay(context: Context) {
    context
        .create(CONFIG_MAPS, "a", json!({"data": {"x": "1"}, "immutable": true}))
        .await;
    let status = refused(
        context.merge(CONFIG_MAPS, "a", json!({"data": {"x": "2"}})).await,
        422,
        "Invalid",
    );
    assert_eq!(status.details.unwrap().causes[0].field, "data");
    context
        .merge(CONFIG_MAPS, "a", json!({"metadata": {"labels": {"a": "b"}}}))
        .await
        .unwrap();
}

pub(super) async fn events_are_named_once(context: Context) {
    let about = |namespace: &str| {
        json!({
            "involvedObject": {"kind": "Widget", "name": "w", "namespace": namespace},
            "reason": "Synced", "message": "said once", "type": "Normal", "source": {"component": "serin"},
        })
    };
    context.create(EVENTS, "e.1", about(&context.namespace)).await;
    refused(
        context.try_create(EVENTS, "e.1", about(&context.namespace)).await,
        409,
        "AlreadyExists",
    );
    refused(
        context.try_create(EVENTS, "e.2", about("elsewhere")).await,
        422,
        "Invalid",
    );
    let of = |name: &str| ListParams::default().fields(&format!("involvedObject.name={name}"));
    let api = context.api(EVENTS);
    assert_eq!(api.list(&of("w")).await.unwrap().items.len(), 1);
    assert!(api.list(&of("x")).await.unwrap().items.is_empty());
}

pub(super) async fn scaling_is_a_subresource(context: Context) {
    context.create(DEPLOYMENTS, "web", deployment("i:1")).await;
    let api = context.api(DEPLOYMENTS);
    let scale = api.get_scale("web").await.unwrap();
    assert_eq!(
        (scale.spec.unwrap().replicas, scale.status.unwrap().selector),
        (Some(2), Some("app=web".to_owned()))
    );
    let params = PatchParams {
        field_manager: Some("scaler".to_owned()),
        ..PatchParams::default()
    };
    let patch = Patch::Merge(json!({"spec": {"replicas": 5}}));
    let scale = api.patch_scale("web", &params, &patch).await.unwrap();
    assert_eq!(scale.spec.unwrap().replicas, Some(5));
    let web = api.get("web").await.unwrap();
    assert_eq!((at(&web, "/spec/replicas"), generation(&web)), (&json!(5), 2));
    assert_eq!(
        owned(&web, "scaler"),
        json!({"f:spec": {"f:replicas": {}}}).to_string()
    );
}

pub(super) async fn leases_are_created_by_update_and_guarded(context: Context) {
    let api = context.api(LEASES);
    let lease = object(
        LEASES,
        "serin",
        json!({"spec": {"holderIdentity": "a", "leaseDurationSeconds": 15}}),
    );
    let made = api.create(&PostParams::default(), &lease).await.unwrap();
    refused(
        api.replace("serin", &PostParams::default(), &lease).await,
        422,
        "Invalid",
    );
    let mut renewed = made.clone();
    renewed.data["spec"]["renewTime"] = json!("2026-01-01T00:00:00.5Z");
    let rounded = api.replace("serin", &PostParams::default(), &renewed).await;
    refused(rounded, 400, "BadRequest");
    renewed.data["spec"]["renewTime"] = json!("2026-01-01T00:00:00.500000Z");
    let renewed = api
        .replace("serin", &PostParams::default(), &renewed)
        .await
        .unwrap();
    assert_eq!(
        at(&renewed, "/spec/renewTime"),
        &json!("2026-01-01T00:00:00.500000Z")
    );
    refused(
        api.replace("serin", &PostParams::default(), &made).await,
        409,
        "Conflict",
    );
}

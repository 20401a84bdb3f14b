//! Defaults of built-in kinds.

use serde_json::{Value, json};

use crate::rehearsal::store::json as j;

/// Sets the defaults of a built-in kind.
pub(super) fn set(kind: &str, value: &mut Value) {
    match kind {
        "Deployment" => deployment(value),
        "ReplicaSet" => {
            j::default(value, &["spec", "replicas"], 1);
            template(value);
        }
        "DaemonSet" => daemon_set(value),
        "Pod" => {
            j::default(value, &["spec", "enableServiceLinks"], true);
            pod(j::entry(value, &["spec"]));
            for list in ["containers", "initContainers"] {
                each(value, &["spec", list], requests);
            }
        }
        "Service" => service(value),
        "Secret" => secret(value),
        "Namespace" => namespace(value),
        "HorizontalPodAutoscaler" => autoscaler(value),
        "Endpoints" => each(value, &["subsets"], |subset| each(subset, &["ports"], tcp)),
        "EndpointSlice" => each(value, &["ports"], tcp),
        "CustomResourceDefinition" => definition(value),
        _ => {}
    }
}

fn each(value: &mut Value, path: &[&str], set: impl Fn(&mut Value)) {
    if j::at(value, path).is_some_and(Value::is_array) {
        j::entry(value, path)
            .as_array_mut()
            .into_iter()
            .flatten()
            .for_each(set);
    }
}

fn tcp(port: &mut Value) {
    j::default(port, &["protocol"], "TCP");
}

fn deployment(value: &mut Value) {
    j::default(value, &["spec", "replicas"], 1);
    j::default(value, &["spec", "strategy", "type"], "RollingUpdate");
    if j::text(value, &["spec", "strategy", "type"]) == "RollingUpdate" {
        j::default(
            value,
            &["spec", "strategy", "rollingUpdate", "maxUnavailable"],
            "25%",
        );
        j::default(value, &["spec", "strategy", "rollingUpdate", "maxSurge"], "25%");
    }
    j::default(value, &["spec", "revisionHistoryLimit"], 10);
    j::default(value, &["spec", "progressDeadlineSeconds"], 600);
    template(value);
}

fn daemon_set(value: &mut Value) {
    j::default(value, &["spec", "updateStrategy", "type"], "RollingUpdate");
    if j::text(value, &["spec", "updateStrategy", "type"]) == "RollingUpdate" {
        j::default(
            value,
            &["spec", "updateStrategy", "rollingUpdate", "maxUnavailable"],
            1,
        );
        j::default(value, &["spec", "updateStrategy", "rollingUpdate", "maxSurge"], 0);
    }
    j::default(value, &["spec", "revisionHistoryLimit"], 10);
    template(value);
}

fn template(value: &mut Value) {
    if j::at(value, &["spec", "template", "spec"]).is_some_and(Value::is_object) {
        pod(j::entry(value, &["spec", "template", "spec"]));
    }
}

fn pod(spec: &mut Value) {
    j::default(spec, &["restartPolicy"], "Always");
    j::default(spec, &["dnsPolicy"], "ClusterFirst");
    j::default(spec, &["schedulerName"], "default-scheduler");
    j::default(spec, &["securityContext"], json!({}));
    j::default(spec, &["terminationGracePeriodSeconds"], 30);
    // The old name of the same field follows the new one.
    let account = j::text(spec, &["serviceAccountName"]).to_owned();
    if account.is_empty() {
        j::copy(&spec.clone(), spec, &["serviceAccount"]);
        let old = j::text(spec, &["serviceAccount"]).to_owned();
        if !old.is_empty() {
            j::set(spec, &["serviceAccountName"], old);
        }
    } else {
        j::set(spec, &["serviceAccount"], account);
    }
    for list in ["containers", "initContainers"] {
        each(spec, &[list], container);
    }
    each(spec, &["volumes"], volume);
}

fn container(container: &mut Value) {
    let image = j::text(container, &["image"]);
    let tag = image.rsplit('/').next().unwrap_or_default();
    let latest = !tag.contains('@') && tag.rsplit_once(':').is_none_or(|(_, tag)| tag == "latest");
    j::default(
        container,
        &["imagePullPolicy"],
        if latest { "Always" } else { "IfNotPresent" },
    );
    j::default(container, &["terminationMessagePath"], "/dev/termination-log");
    j::default(container, &["terminationMessagePolicy"], "File");
    j::default(container, &["resources"], json!({}));
    each(container, &["ports"], tcp);
    each(container, &["env"], |variable| {
        if j::at(variable, &["valueFrom", "fieldRef"]).is_some() {
            j::default(variable, &["valueFrom", "fieldRef", "apiVersion"], "v1");
        }
        if j::at(variable, &["valueFrom", "resourceFieldRef"]).is_some() {
            j::default(variable, &["valueFrom", "resourceFieldRef", "divisor"], "0");
        }
    });
    for name in ["livenessProbe", "readinessProbe", "startupProbe"] {
        if j::at(container, &[name]).is_some() {
            probe(j::entry(container, &[name]));
        }
    }
    for hook in ["postStart", "preStop"] {
        if j::at(container, &["lifecycle", hook, "httpGet"]).is_some() {
            http_get(j::entry(container, &["lifecycle", hook, "httpGet"]));
        }
    }
}

/// A pod asks for its limits unless it asks for something.
fn requests(container: &mut Value) {
    let limits = j::at(container, &["resources", "limits"])
        .cloned()
        .unwrap_or_default();
    for (name, limit) in limits.as_object().into_iter().flatten() {
        j::default(container, &["resources", "requests", name], limit.clone());
    }
}

fn probe(probe: &mut Value) {
    // Zero means unset here, as in the server's own types.
    for (field, value) in [
        ("timeoutSeconds", 1),
        ("periodSeconds", 10),
        ("successThreshold", 1),
        ("failureThreshold", 3),
    ] {
        if j::at(probe, &[field]).and_then(Value::as_i64).unwrap_or_default() == 0 {
            j::set(probe, &[field], value);
        }
    }
    if j::at(probe, &["httpGet"]).is_some() {
        http_get(j::entry(probe, &["httpGet"]));
    }
    if j::at(probe, &["grpc"]).is_some() {
        j::default(probe, &["grpc", "service"], "");
    }
}

fn http_get(action: &mut Value) {
    j::default(action, &["path"], "/");
    j::default(action, &["scheme"], "HTTP");
}

fn volume(volume: &mut Value) {
    let bare = volume.as_object().is_some_and(|v| v.len() <= 1);
    if bare {
        j::set(volume, &["emptyDir"], json!({}));
    }
    for source in ["secret", "configMap", "projected", "downwardAPI"] {
        if j::at(volume, &[source]).is_some() {
            j::default(volume, &[source, "defaultMode"], 420);
        }
    }
    each(volume, &["downwardAPI", "items"], field_reference);
    each(volume, &["projected", "sources"], |source| {
        each(source, &["downwardAPI", "items"], field_reference);
        if j::at(source, &["serviceAccountToken"]).is_some() {
            j::default(source, &["serviceAccountToken", "expirationSeconds"], 3600);
        }
    });
    if j::at(volume, &["hostPath"]).is_some() {
        j::default(volume, &["hostPath", "type"], "");
    }
}

fn field_reference(item: &mut Value) {
    if j::at(item, &["fieldRef"]).is_some() {
        j::default(item, &["fieldRef", "apiVersion"], "v1");
    }
}

fn service(value: &mut Value) {
    j::default(value, &["spec", "sessionAffinity"], "None");
    j::default(value, &["spec", "type"], "ClusterIP");
    if j::text(value, &["spec", "sessionAffinity"]) == "ClientIP" {
        j::default(
            value,
            &["spec", "sessionAffinityConfig", "clientIP", "timeoutSeconds"],
            10_800,
        );
    }
    let kind = j::text(value, &["spec", "type"]).to_owned();
    if kind != "ExternalName" {
        j::default(value, &["spec", "internalTrafficPolicy"], "Cluster");
    }
    if matches!(kind.as_str(), "NodePort" | "LoadBalancer") {
        j::default(value, &["spec", "externalTrafficPolicy"], "Cluster");
    }
    if kind == "LoadBalancer" {
        j::default(value, &["spec", "allocateLoadBalancerNodePorts"], true);
    }
    each(value, &["spec", "ports"], |port| {
        j::default(port, &["protocol"], "TCP");
        let number = j::at(port, &["port"]).cloned().unwrap_or_default();
        let target = j::at(port, &["targetPort"]);
        if target.is_none_or(|t| *t == json!(0) || *t == json!("")) {
            j::set(port, &["targetPort"], number);
        }
    });
}

/// Folds `stringData` into `data`.
fn secret(value: &mut Value) {
    use base64::Engine as _;
    j::default(value, &["type"], "Opaque");
    let Some(Value::Object(texts)) = j::remove(value, &["stringData"]) else {
        return;
    };
    for (key, text) in texts {
        let bytes = text.as_str().unwrap_or_default();
        j::set(
            value,
            &["data", &key],
            base64::engine::general_purpose::STANDARD.encode(bytes),
        );
    }
}

fn namespace(value: &mut Value) {
    let name = j::text(value, &["metadata", "name"]).to_owned();
    j::set(
        value,
        &["metadata", "labels", "kubernetes.io/metadata.name"],
        name,
    );
}

/// Sets what a kind always has, if only as null or empty; nobody owns that.
pub(super) fn fill(kind: &str, value: &mut Value) {
    match kind {
        "Event" => event(value),
        "HorizontalPodAutoscaler" if value.get("status").is_some_and(Value::is_object) => {
            j::default(value, &["status", "currentMetrics"], Value::Null);
        }
        _ => {}
    }
}

fn event(value: &mut Value) {
    j::default(value, &["source"], json!({}));
    for time in ["firstTimestamp", "lastTimestamp", "eventTime"] {
        j::default(value, &[time], Value::Null);
    }
    for text in ["reportingComponent", "reportingInstance"] {
        j::default(value, &[text], "");
    }
}

fn autoscaler(value: &mut Value) {
    j::default(value, &["spec", "minReplicas"], 1);
    let target = json!({"type": "Utilization", "averageUtilization": 80});
    let metric = json!({"type": "Resource", "resource": {"name": "cpu", "target": target}});
    j::default(value, &["spec", "metrics"], json!([metric]));
}

fn definition(value: &mut Value) {
    let kind = j::text(value, &["spec", "names", "kind"]).to_owned();
    j::default(value, &["spec", "names", "singular"], kind.to_lowercase());
    j::default(value, &["spec", "names", "listKind"], format!("{kind}List"));
    j::default(value, &["spec", "conversion", "strategy"], "None");
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_deployment_gets_its_defaults() {
        let container = json!({"name": "c", "image": "i", "ports": [{"containerPort": 80}], "readinessProbe": {"httpGet": {"port": 80}}});
        let mut value = json!({"spec": {"template": {"spec": {"containers": [container]}}}});
        set("Deployment", &mut value);
        let at = |pointer: &str| value.pointer(pointer).cloned().unwrap_or_default();
        assert_eq!(at("/spec/replicas"), 1);
        assert_eq!(at("/spec/strategy/rollingUpdate/maxSurge"), "25%");
        assert_eq!(at("/spec/template/spec/containers/0/imagePullPolicy"), "Always");
        assert_eq!(at("/spec/template/spec/containers/0/ports/0/protocol"), "TCP");
        assert_eq!(
            at("/spec/template/spec/containers/0/readinessProbe/httpGet/scheme"),
            "HTTP"
        );
        assert_eq!(at("/spec/template/spec/dnsPolicy"), "ClusterFirst");
    }

    #[test]
    fn images_with_a_tag_or_a_digest_are_not_always_pulled() {
        for (image, policy) in [
            ("host:5000/app", "Always"),
            ("app:latest", "Always"),
            ("host:5000/app:1", "IfNotPresent"),
            ("app@sha256:00", "IfNotPresent"),
        ] {
            let mut value = json!({"image": image});
            container(&mut value);
            assert_eq!(value["imagePullPolicy"], policy, "{image}");
        }
    }

    #[test]
    fn secrets_fold_their_texts() {
        let mut value = json!({"stringData": {"a": "x"}, "data": {"b": "eQ=="}});
        set("Secret", &mut value);
        assert_eq!(value["data"], json!({"a": "eA==", "b": "eQ=="}));
        assert!(value.get("stringData").is_none());
    }
}

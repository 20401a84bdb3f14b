//! Validation of built-in kinds: the mistakes that people make.

mod network;

use serde_json::{Value, json};

use super::{definition, metadata};
use crate::rehearsal::store::{Cause, json as j};

/// Returns what is wrong with an object of a built-in kind; `old` is what it replaces.
pub(super) fn builtin(kind: &str, value: &Value, old: Option<&Value>) -> Vec<Cause> {
    let mut causes = Vec::new();
    match kind {
        "Deployment" | "ReplicaSet" | "DaemonSet" => workload(kind, value, old, &mut causes),
        "Pod" if old.is_some_and(|old| fixed(old) != fixed(value)) => {
            let detail = "pod updates may not change fields other than `spec.containers[*].image`,\
                          `spec.initContainers[*].image`,`spec.activeDeadlineSeconds`,`spec.tolerations` (only \
                          additions to existing tolerations),`spec.terminationGracePeriodSeconds` (allow it to be \
                          set to 1 if it was previously negative)";
            causes.push(Cause::forbidden("spec", detail));
        }
        "Pod" => pod(
            j::at(value, &["spec"]).unwrap_or(&Value::Null),
            "spec",
            &mut causes,
        ),
        "Service" => network::service(value, old, &mut causes),
        "Ingress" => network::ingress(value, &mut causes),
        "HorizontalPodAutoscaler" => network::autoscaler(value, &mut causes),
        "ConfigMap" | "Secret" => data(kind, value, old, &mut causes),
        "Event" => event(value, &mut causes),
        "Lease" => lease(value, &mut causes),
        "CustomResourceDefinition" => causes.extend(definition::validate(value, old)),
        _ => {}
    }
    causes
}

/// Returns the part of a pod's spec that never changes. A pod is bound to its node once, by another way.
fn fixed(pod: &Value) -> Value {
    let mut spec = j::at(pod, &["spec"]).cloned().unwrap_or_default();
    for field in [
        "activeDeadlineSeconds",
        "tolerations",
        "terminationGracePeriodSeconds",
        "nodeName",
    ] {
        j::remove(&mut spec, &[field]);
    }
    for list in ["containers", "initContainers"] {
        let containers = spec.get_mut(list).and_then(Value::as_array_mut);
        for container in containers.into_iter().flatten() {
            j::remove(container, &["image"]);
        }
    }
    spec
}

fn number(value: &Value, path: &[&str]) -> Option<i64> {
    j::at(value, path).and_then(Value::as_i64)
}

fn workload(kind: &str, value: &Value, old: Option<&Value>, causes: &mut Vec<Cause>) {
    let selector = j::at(value, &["spec", "selector"]);
    let none = json!({});
    let labels = j::at(value, &["spec", "template", "metadata", "labels"]);
    match selector {
        None => causes.push(Cause::required("spec.selector", "")),
        Some(Value::Object(map)) if map.is_empty() => {
            causes.push(Cause::invalid(
                "spec.selector",
                &none,
                "empty selector is invalid for deployment",
            ));
        }
        Some(_) => {}
    }
    let empty = selector
        .and_then(Value::as_object)
        .is_none_or(serde_json::Map::is_empty);
    let chosen = selector.is_some_and(|s| empty || selects(s, labels.unwrap_or(&none)));
    if !chosen {
        let detail = "`selector` does not match template `labels`";
        let shown = labels.cloned().unwrap_or_default();
        causes.push(Cause::invalid("spec.template.metadata.labels", &shown, detail));
    }
    if let Some(old) = old
        && j::at(old, &["spec", "selector"]) != selector
    {
        let shown = selector.cloned().unwrap_or_default();
        causes.push(Cause::invalid("spec.selector", &shown, "field is immutable"));
    }
    for field in ["replicas", "minReadySeconds", "revisionHistoryLimit"] {
        if let Some(below) = number(value, &["spec", field]).filter(|n| *n < 0) {
            let detail = "must be greater than or equal to 0";
            causes.push(Cause::invalid(&format!("spec.{field}"), &json!(below), detail));
        }
    }
    metadata::labels(
        value,
        &["spec", "template", "metadata", "labels"],
        "spec.template.metadata.labels",
        causes,
    );
    if kind == "Deployment" {
        strategy(value, causes);
    }
    let policy = j::text(value, &["spec", "template", "spec", "restartPolicy"]);
    if !matches!(policy, "" | "Always") {
        causes.push(Cause::unsupported(
            "spec.template.spec.restartPolicy",
            &json!(policy),
            &["Always"],
        ));
    }
    let spec = j::at(value, &["spec", "template", "spec"]).unwrap_or(&Value::Null);
    pod(spec, "spec.template.spec", causes);
}

fn strategy(value: &Value, causes: &mut Vec<Cause>) {
    let kind = j::text(value, &["spec", "strategy", "type"]);
    let rolling = j::at(value, &["spec", "strategy", "rollingUpdate"]);
    if !matches!(kind, "Recreate" | "RollingUpdate") {
        let allowed = ["Recreate", "RollingUpdate"];
        causes.push(Cause::unsupported(
            "spec.strategy",
            &json!({"Type": kind, "RollingUpdate": rolling}),
            &allowed,
        ));
    }
    if kind == "Recreate" && rolling.is_some() {
        let detail = "may not be specified when strategy `type` is 'Recreate'";
        causes.push(Cause::forbidden("spec.strategy.rollingUpdate", detail));
    }
    let zero = |field: &str| {
        let limit = rolling.and_then(|r| r.get(field));
        limit.is_some_and(|l| *l == json!(0) || *l == json!("0%"))
    };
    if zero("maxSurge") && zero("maxUnavailable") {
        let field = "spec.strategy.rollingUpdate.maxUnavailable";
        causes.push(Cause::invalid(
            field,
            &json!(0),
            "may not be 0 when `maxSurge` is 0",
        ));
    }
    let deadline = number(value, &["spec", "progressDeadlineSeconds"]);
    let ready = number(value, &["spec", "minReadySeconds"]).unwrap_or_default();
    if let Some(deadline) = deadline.filter(|d| *d <= ready) {
        let detail = "must be greater than minReadySeconds";
        causes.push(Cause::invalid(
            "spec.progressDeadlineSeconds",
            &json!(deadline),
            detail,
        ));
    }
}

/// Whether a label selector chooses labels.
fn selects(selector: &Value, labels: &Value) -> bool {
    let wanted = selector
        .get("matchLabels")
        .and_then(Value::as_object)
        .into_iter()
        .flatten();
    let mut labels_match = wanted.map(|(key, value)| labels.get(key) == Some(value));
    let expressions = j::items(selector, &["matchExpressions"]).iter().all(|e| {
        let label = labels.get(j::text(e, &["key"]));
        let listed = label.is_some_and(|l| j::items(e, &["values"]).contains(l));
        match j::text(e, &["operator"]) {
            "In" => listed,
            "NotIn" => !listed,
            "Exists" => label.is_some(),
            _ => label.is_none(),
        }
    });
    labels_match.all(|m| m) && expressions
}

fn pod(spec: &Value, path: &str, causes: &mut Vec<Cause>) {
    let containers = j::items(spec, &["containers"]);
    if containers.is_empty() {
        causes.push(Cause::required(&format!("{path}.containers"), ""));
    }
    let volumes: Vec<&str> = j::items(spec, &["volumes"])
        .iter()
        .map(|v| j::text(v, &["name"]))
        .collect();
    for (at, name) in volumes.iter().enumerate() {
        let path = format!("{path}.volumes[{at}].name");
        if volumes.iter().take(at).any(|n| n == name) {
            causes.push(Cause::duplicate(&path, &json!(name)));
        } else if let Some(why) = metadata::wrong_label(name) {
            causes.push(Cause::invalid(&path, &json!(name), why));
        }
    }
    let mut names = Vec::new();
    for list in ["containers", "initContainers"] {
        for (at, container) in j::items(spec, &[list]).iter().enumerate() {
            let path = format!("{path}.{list}[{at}]");
            let name = j::text(container, &["name"]);
            if names.contains(&name) {
                causes.push(Cause::duplicate(&format!("{path}.name"), &json!(name)));
            }
            names.push(name);
            check_container(container, &path, &volumes, causes);
        }
    }
}

fn check_container(container: &Value, path: &str, volumes: &[&str], causes: &mut Vec<Cause>) {
    for field in ["name", "image"] {
        if j::text(container, &[field]).is_empty() {
            causes.push(Cause::required(&format!("{path}.{field}"), ""));
        }
    }
    let name = j::text(container, &["name"]);
    if let Some(why) = metadata::wrong_label(name).filter(|_| !name.is_empty()) {
        causes.push(Cause::invalid(&format!("{path}.name"), &json!(name), why));
    }
    let (policy, allowed) = (
        j::text(container, &["imagePullPolicy"]),
        ["Always", "IfNotPresent", "Never"],
    );
    if !allowed.contains(&policy) {
        causes.push(Cause::unsupported(
            &format!("{path}.imagePullPolicy"),
            &json!(policy),
            &allowed,
        ));
    }
    for (at, port) in j::items(container, &["ports"]).iter().enumerate() {
        check_port(
            number(port, &["containerPort"]),
            &format!("{path}.ports[{at}].containerPort"),
            causes,
        );
    }
    for (at, variable) in j::items(container, &["env"]).iter().enumerate() {
        if j::text(variable, &["name"]).is_empty() {
            causes.push(Cause::required(&format!("{path}.env[{at}].name"), ""));
        }
    }
    for (at, mount) in j::items(container, &["volumeMounts"]).iter().enumerate() {
        let name = j::text(mount, &["name"]);
        if !volumes.contains(&name) {
            causes.push(Cause {
                reason: "FieldValueNotFound",
                message: format!("Not found: {name:?}"),
                field: format!("{path}.volumeMounts[{at}].name"),
            });
        }
    }
}

fn check_port(port: Option<i64>, path: &str, causes: &mut Vec<Cause>) {
    match port {
        None | Some(0) => causes.push(Cause::required(path, "")),
        Some(port) if !(1..=65_535).contains(&port) => {
            causes.push(Cause::invalid(
                path,
                &json!(port),
                "must be between 1 and 65535, inclusive",
            ));
        }
        Some(_) => {}
    }
}

fn data(kind: &str, value: &Value, old: Option<&Value>, causes: &mut Vec<Cause>) {
    for field in ["data", "binaryData"] {
        for key in j::at(value, &[field])
            .and_then(Value::as_object)
            .into_iter()
            .flatten()
            .map(|(k, _)| k)
        {
            let plain = |c: char| c.is_ascii_alphanumeric() || matches!(c, '-' | '_' | '.');
            if key.is_empty()
                || key.len() > 253
                || !key.chars().all(plain)
                || matches!(key.as_str(), "." | "..")
            {
                let detail = "a valid config key must consist of alphanumeric characters, '-', '_' or '.' (e.g. 'key.name',  or 'KEY_NAME',  or 'key-name', regex used for validation is '[-._a-zA-Z0-9]+')";
                causes.push(Cause::invalid(&format!("{field}[{key}]"), &json!(key), detail));
            }
        }
    }
    if kind == "Secret" && j::text(value, &["type"]) == "kubernetes.io/tls" {
        for key in ["tls.crt", "tls.key"] {
            if j::at(value, &["data", key]).is_none() {
                causes.push(Cause::required(&format!("data[{key}]"), ""));
            }
        }
    }
    let Some(old) = old else { return };
    let frozen = old.get("immutable").and_then(Value::as_bool) == Some(true);
    for field in ["immutable", "data", "binaryData"] {
        if frozen && old.get(field) != value.get(field) {
            causes.push(Cause::forbidden(
                field,
                "field is immutable when `immutable` is set",
            ));
        }
    }
    if kind == "Secret" && old.get("type") != value.get("type") {
        let shown = value.get("type").cloned().unwrap_or_default();
        causes.push(Cause::invalid("type", &shown, "field is immutable"));
    }
}

fn event(value: &Value, causes: &mut Vec<Cause>) {
    let about = j::text(value, &["involvedObject", "namespace"]);
    let place = j::text(value, &["metadata", "namespace"]);
    let cluster_scoped = about.is_empty() && place == "default";
    if about != place && !cluster_scoped {
        let detail = "does not match event.namespace";
        causes.push(Cause::invalid("involvedObject.namespace", &json!(about), detail));
    }
}

fn lease(value: &Value, causes: &mut Vec<Cause>) {
    for (field, least) in [("leaseDurationSeconds", 1), ("leaseTransitions", 0)] {
        if let Some(wrong) = number(value, &["spec", field]).filter(|n| *n < least) {
            let detail = if least == 1 {
                "must be greater than 0"
            } else {
                "must be greater than or equal to 0"
            };
            causes.push(Cause::invalid(&format!("spec.{field}"), &json!(wrong), detail));
        }
    }
}

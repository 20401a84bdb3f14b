//! Validation of built-in kinds: the mistakes that people make.

use serde_json::{Value, json};

use super::{definition, metadata};
use crate::rehearsal::store::{Cause, json as j};

/// Returns what is wrong with an object of a built-in kind; `old` is what it replaces.
pub(super) fn builtin(kind: &str, value: &Value, old: Option<&Value>) -> Vec<Cause> {
    let mut causes = Vec::new();
    match kind {
        "Deployment" | "ReplicaSet" | "DaemonSet" => workload(kind, value, old, &mut causes),
        "Pod" => pod(
            j::at(value, &["spec"]).unwrap_or(&Value::Null),
            "spec",
            &mut causes,
        ),
        "Service" => service(value, old, &mut causes),
        "Ingress" => ingress(value, &mut causes),
        "HorizontalPodAutoscaler" => autoscaler(value, &mut causes),
        "ConfigMap" | "Secret" => data(kind, value, old, &mut causes),
        "Event" => event(value, &mut causes),
        "CustomResourceDefinition" => causes.extend(definition::validate(value)),
        _ => {}
    }
    causes
}

fn number(value: &Value, path: &[&str]) -> Option<i64> {
    j::at(value, path).and_then(Value::as_i64)
}

fn workload(kind: &str, value: &Value, old: Option<&Value>, causes: &mut Vec<Cause>) {
    let selector = j::at(value, &["spec", "selector"]);
    let empty = selector
        .and_then(Value::as_object)
        .is_none_or(serde_json::Map::is_empty);
    if empty {
        let detail = if selector.is_some() {
            "empty selector is invalid for deployment"
        } else {
            ""
        };
        causes.push(match selector {
            Some(selector) => Cause::invalid("spec.selector", selector, detail),
            None => Cause::required("spec.selector", detail),
        });
    } else if let Some(selector) = selector {
        let none = json!({});
        let labels = j::at(value, &["spec", "template", "metadata", "labels"]).unwrap_or(&none);
        if !selects(selector, labels) {
            let detail = "`selector` does not match template `labels`";
            causes.push(Cause::invalid("spec.template.metadata.labels", labels, detail));
        }
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
    if !matches!(kind, "Recreate" | "RollingUpdate") {
        let allowed = ["Recreate", "RollingUpdate"];
        causes.push(Cause::unsupported("spec.strategy.type", &json!(kind), &allowed));
    }
    let rolling = j::at(value, &["spec", "strategy", "rollingUpdate"]);
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

fn service(value: &Value, old: Option<&Value>, causes: &mut Vec<Cause>) {
    let kind = j::text(value, &["spec", "type"]);
    let allowed = ["ClusterIP", "ExternalName", "LoadBalancer", "NodePort"];
    if !allowed.contains(&kind) {
        causes.push(Cause::unsupported("spec.type", &json!(kind), &allowed));
    }
    let ports = j::items(value, &["spec", "ports"]);
    let headless = j::text(value, &["spec", "clusterIP"]) == "None";
    if kind == "ExternalName" {
        if j::text(value, &["spec", "externalName"]).is_empty() {
            causes.push(Cause::required("spec.externalName", ""));
        }
        if !j::text(value, &["spec", "clusterIP"]).is_empty() {
            let detail = "may not be set when `type` is 'ExternalName'";
            causes.push(Cause::forbidden("spec.clusterIPs[0]", detail));
        }
    } else if ports.is_empty() && !headless {
        causes.push(Cause::required("spec.ports", ""));
    }
    let mut seen: Vec<(Option<i64>, &str)> = Vec::new();
    let mut names: Vec<&str> = Vec::new();
    for (at, port) in ports.iter().enumerate() {
        let path = format!("spec.ports[{at}]");
        let (name, protocol) = (j::text(port, &["name"]), j::text(port, &["protocol"]));
        let target = number(port, &["port"]);
        if target.is_none_or(|p| !(1..=65_535).contains(&p)) {
            let shown = json!(target.unwrap_or_default());
            let detail = "must be between 1 and 65535, inclusive";
            causes.push(Cause::invalid(&format!("{path}.port"), &shown, detail));
        }
        if ports.len() > 1 && name.is_empty() {
            causes.push(Cause::required(&format!("{path}.name"), ""));
        } else if !name.is_empty() && names.contains(&name) {
            causes.push(Cause::duplicate(&format!("{path}.name"), &json!(name)));
        }
        if seen.contains(&(target, protocol)) {
            causes.push(Cause::duplicate(
                &path,
                &json!({"port": target, "protocol": protocol}),
            ));
        }
        seen.push((target, protocol));
        names.push(name);
    }
    if let Some(old) = old {
        let (was, is) = (
            j::text(old, &["spec", "clusterIP"]),
            j::text(value, &["spec", "clusterIP"]),
        );
        let stays = j::text(old, &["spec", "type"]) != "ExternalName" && kind != "ExternalName";
        if stays && !was.is_empty() && was != is {
            causes.push(Cause::invalid(
                "spec.clusterIPs[0]",
                &json!([is]),
                "may not change once set",
            ));
        }
    }
}

fn ingress(value: &Value, causes: &mut Vec<Cause>) {
    let rules = j::items(value, &["spec", "rules"]);
    let default = j::at(value, &["spec", "defaultBackend"]);
    if rules.is_empty() && default.is_none() {
        let detail = "either `defaultBackend` or `rules` must be specified";
        causes.push(Cause::invalid("spec", &json!([]), detail));
    }
    if let Some(default) = default {
        backend(default, "spec.defaultBackend", causes);
    }
    for (rule_at, rule) in rules.iter().enumerate() {
        for (at, path) in j::items(rule, &["http", "paths"]).iter().enumerate() {
            let field = format!("spec.rules[{rule_at}].http.paths[{at}]");
            let kind = j::text(path, &["pathType"]);
            let allowed = ["Exact", "ImplementationSpecific", "Prefix"];
            if kind.is_empty() {
                causes.push(Cause::required(
                    &format!("{field}.pathType"),
                    "pathType must be specified",
                ));
            } else if !allowed.contains(&kind) {
                causes.push(Cause::unsupported(
                    &format!("{field}.pathType"),
                    &json!(kind),
                    &allowed,
                ));
            }
            let url = j::text(path, &["path"]);
            let absolute = url.starts_with('/') || (url.is_empty() && kind == "ImplementationSpecific");
            if !absolute && !kind.is_empty() {
                causes.push(Cause::invalid(
                    &format!("{field}.path"),
                    &json!(url),
                    "must be an absolute path",
                ));
            }
            let none = json!({});
            backend(
                path.get("backend").unwrap_or(&none),
                &format!("{field}.backend"),
                causes,
            );
        }
    }
}

fn backend(backend: &Value, path: &str, causes: &mut Vec<Cause>) {
    if backend.get("resource").is_some() {
        return;
    }
    if j::text(backend, &["service", "name"]).is_empty() {
        causes.push(Cause::required(&format!("{path}.service.name"), ""));
    }
    let name = j::text(backend, &["service", "port", "name"]);
    if name.is_empty() && number(backend, &["service", "port", "number"]).unwrap_or_default() == 0 {
        causes.push(Cause::required(path, "port name or number is required"));
    }
}

fn autoscaler(value: &Value, causes: &mut Vec<Cause>) {
    let most = number(value, &["spec", "maxReplicas"]).unwrap_or_default();
    let least = number(value, &["spec", "minReplicas"]).unwrap_or(1);
    if most < 1 {
        causes.push(Cause::invalid(
            "spec.maxReplicas",
            &json!(most),
            "must be greater than 0",
        ));
    }
    if least < 1 {
        let detail = "must be greater than or equal to 1";
        causes.push(Cause::invalid("spec.minReplicas", &json!(least), detail));
    }
    if most < least {
        let detail = "must be greater than or equal to `minReplicas`";
        causes.push(Cause::invalid("spec.maxReplicas", &json!(most), detail));
    }
    for field in ["kind", "name"] {
        if j::text(value, &["spec", "scaleTargetRef", field]).is_empty() {
            causes.push(Cause::required(&format!("spec.scaleTargetRef.{field}"), ""));
        }
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

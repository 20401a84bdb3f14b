//! Validation of Services, Ingresses and autoscalers.

use serde_json::{Value, json};

use super::number;
use crate::rehearsal::store::{Cause, json as j};

/// Checks a Service.
pub(super) fn service(value: &Value, old: Option<&Value>, causes: &mut Vec<Cause>) {
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
            let detail = "may not be set for ExternalName services";
            causes.push(Cause::forbidden("spec.clusterIPs", detail));
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
        let protocols = ["SCTP", "TCP", "UDP"];
        if !protocols.contains(&protocol) {
            causes.push(Cause::unsupported(
                &format!("{path}.protocol"),
                &json!(protocol),
                &protocols,
            ));
        }
        if let Some(number) = number(port, &["targetPort"]).filter(|p| !(1..=65_535).contains(p)) {
            let detail = "must be between 1 and 65535, inclusive";
            causes.push(Cause::invalid(
                &format!("{path}.targetPort"),
                &json!(number),
                detail,
            ));
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

/// Checks an Ingress.
pub(super) fn ingress(value: &Value, causes: &mut Vec<Cause>) {
    let rules = j::items(value, &["spec", "rules"]);
    let default = j::at(value, &["spec", "defaultBackend"]);
    if rules.is_empty() && default.is_none() {
        let detail = "either `defaultBackend` or `rules` must be specified";
        causes.push(Cause::invalid("spec", &Value::Null, detail));
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
                continue;
            }
            if !allowed.contains(&kind) {
                causes.push(Cause::unsupported(
                    &format!("{field}.pathType"),
                    &json!(kind),
                    &allowed,
                ));
            }
            let url = j::text(path, &["path"]);
            let absolute = url.starts_with('/') || (url.is_empty() && kind == "ImplementationSpecific");
            if !absolute {
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
    let service = backend.get("service");
    match (service, backend.get("resource")) {
        (None, None) => {
            let detail = "resource or service backend is required";
            causes.push(Cause::invalid(path, &json!(""), detail));
        }
        (None, Some(_)) => {}
        (Some(_), Some(_)) => {
            causes.push(Cause::invalid(
                path,
                &json!(""),
                "cannot set both resource and service backends",
            ));
        }
        (Some(service), None) => backend_service(service, path, causes),
    }
}

fn backend_service(service: &Value, path: &str, causes: &mut Vec<Cause>) {
    if j::text(service, &["name"]).is_empty() {
        causes.push(Cause::required(&format!("{path}.service.name"), ""));
    }
    let name = j::text(service, &["port", "name"]);
    match (
        name.is_empty(),
        number(service, &["port", "number"]).unwrap_or_default(),
    ) {
        (true, 0) => causes.push(Cause::required(path, "port name or number is required")),
        (false, port) if port != 0 => {
            causes.push(Cause::invalid(
                path,
                &json!(""),
                "cannot set both port name & port number",
            ));
        }
        _ => {}
    }
}

/// Checks an autoscaler.
pub(super) fn autoscaler(value: &Value, causes: &mut Vec<Cause>) {
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
    if least == 0 {
        let detail =
            "must specify at least one Object or External metric to support scaling to zero replicas";
        causes.push(Cause::forbidden("spec.metrics", detail));
    }
    if j::text(value, &["spec", "scaleTargetRef", "apiVersion"]).is_empty() {
        let detail = "apiVersion must specify API group";
        causes.push(Cause::invalid(
            "spec.scaleTargetRef.apiVersion",
            &json!(""),
            detail,
        ));
    }
    for field in ["kind", "name"] {
        if j::text(value, &["spec", "scaleTargetRef", field]).is_empty() {
            causes.push(Cause::required(&format!("spec.scaleTargetRef.{field}"), ""));
        }
    }
}

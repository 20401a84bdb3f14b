//! Built-in kinds are read through their types, as a kube-apiserver does: unknown fields vanish, wrong types
//! are refused, and what Go's `omitempty` leaves out is left out.

use k8s_openapi::{
    api::{
        apps::v1 as apps, autoscaling::v2 as autoscaling, coordination::v1 as coordination, core::v1 as core,
        discovery::v1 as discovery, networking::v1 as networking,
    },
    apiextensions_apiserver::pkg::apis::apiextensions::v1 as apiextensions,
};
use serde::{Serialize, de::DeserializeOwned};
use serde_json::Value;

use super::{quantity, unreadable};
use crate::rehearsal::store::{ApiError, Kind, json as j};

/// Reads a value through its type. Returns the paths of unknown fields.
pub(super) fn read(kind: &Kind, version: &str, value: &mut Value) -> Result<Vec<String>, ApiError> {
    let owners = j::remove(value, &["metadata", "managedFields"]);
    if kind.kind == "CustomResourceDefinition" {
        // Schemas hold free JSON in which nothing may be dropped.
        let unknown = through::<apiextensions::CustomResourceDefinition>(value)
            .map_err(|e| unreadable(kind, version, &e.to_string()))
            .map(|typed| unknown(value, &typed))?;
        restore(value, owners);
        return Ok(unknown);
    }
    quantity::spell_out(value);
    check_times(value).map_err(|why| unreadable(kind, version, &why))?;
    let mut typed = by_kind(&kind.kind, value).map_err(|e| unreadable(kind, version, &e.to_string()))?;
    let unknown = unknown(value, &typed);
    leave_out(&mut typed);
    keep_required(value, &mut typed);
    *value = typed;
    restore(value, owners);
    Ok(unknown)
}

/// Times with microseconds are read only as they are written: with six digits.
fn check_times(value: &Value) -> Result<(), String> {
    let times = [
        ["spec", "renewTime"].as_slice(),
        &["spec", "acquireTime"],
        &["eventTime"],
    ];
    for time in times
        .into_iter()
        .map(|path| j::text(value, path))
        .filter(|t| !t.is_empty())
    {
        let fraction = time.split_once('.').map_or("", |(_, f)| f);
        let digits = fraction.chars().take_while(char::is_ascii_digit).count();
        if digits != 6 {
            return Err(format!(
                "parsing time {time:?}: six digits of a second are needed"
            ));
        }
    }
    Ok(())
}

fn restore(value: &mut Value, owners: Option<Value>) {
    if let Some(owners) = owners {
        j::set(value, &["metadata", "managedFields"], owners);
    }
}

fn by_kind(kind: &str, value: &Value) -> Result<Value, serde_json::Error> {
    match kind {
        "Namespace" => through::<core::Namespace>(value),
        "Pod" => through::<core::Pod>(value),
        "Service" => through::<core::Service>(value),
        "Endpoints" => through::<core::Endpoints>(value),
        "ConfigMap" => through::<core::ConfigMap>(value),
        "Secret" => through::<core::Secret>(value),
        "Event" => through::<core::Event>(value),
        "Node" => through::<core::Node>(value),
        "ServiceAccount" => through::<core::ServiceAccount>(value),
        "Deployment" => through::<apps::Deployment>(value),
        "ReplicaSet" => through::<apps::ReplicaSet>(value),
        "DaemonSet" => through::<apps::DaemonSet>(value),
        "HorizontalPodAutoscaler" => through::<autoscaling::HorizontalPodAutoscaler>(value),
        "Ingress" => through::<networking::Ingress>(value),
        "IngressClass" => through::<networking::IngressClass>(value),
        "Lease" => through::<coordination::Lease>(value),
        "EndpointSlice" => through::<discovery::EndpointSlice>(value),
        _ => Ok(value.clone()),
    }
}

fn through<T: DeserializeOwned + Serialize>(value: &Value) -> Result<Value, serde_json::Error> {
    serde_json::to_value(T::deserialize(value)?)
}

/// Returns the paths of what the typed form lacks.
fn unknown(given: &Value, typed: &Value) -> Vec<String> {
    let mut paths = Vec::new();
    compare(given, typed, "", &mut paths);
    paths
}

fn compare(given: &Value, typed: &Value, path: &str, paths: &mut Vec<String>) {
    match (given, typed) {
        (Value::Object(given), Value::Object(typed)) => {
            for (name, value) in given.iter().filter(|(_, v)| !v.is_null()) {
                let dot = if path.is_empty() { "" } else { "." };
                let below = format!("{path}{dot}{name}");
                match typed.get(name) {
                    Some(typed) => compare(value, typed, &below, paths),
                    None => paths.push(below),
                }
            }
        }
        (Value::Array(given), Value::Array(typed)) => {
            for (at, (given, typed)) in given.iter().zip(typed).enumerate() {
                compare(given, typed, &format!("{path}[{at}]"), paths);
            }
        }
        _ => {}
    }
}

/// Maps with free keys, whose values are left alone.
const FREE: [&str; 11] = [
    "labels",
    "annotations",
    "matchLabels",
    "data",
    "binaryData",
    "stringData",
    "nodeSelector",
    "limits",
    "requests",
    "capacity",
    "allocatable",
];

#[rustfmt::skip]
const OMITTED: [&str; 53] = [
    // Numbers.
    "minReadySeconds", "initialDelaySeconds", "hostPort", "nodePort", "healthCheckNodePort", "observedGeneration",
    "updatedReplicas", "readyReplicas", "availableReplicas", "unavailableReplicas", "fullyLabeledReplicas",
    "currentReplicas", "numberAvailable", "numberUnavailable", "updatedNumberScheduled", "count", "generation",
    // Booleans.
    "hostNetwork", "hostPID", "hostIPC", "stdin", "stdinOnce", "tty", "paused", "readOnly",
    "publishNotReadyAddresses",
    // Texts.
    "value", "subPath", "subPathExpr", "hostIP", "workingDir", "nodeName", "serviceAccountName",
    "serviceAccount", "clusterIP", "externalName", "message", "phase", "hostname", "subdomain",
    "priorityClassName", "protocol", "host", "path", "scheme", "medium", "namespace", "resourceVersion",
    "uid", "fieldPath", "action", "image", "generateName",
];

/// Leaves out what the server's own types leave out when it is empty.
fn leave_out(value: &mut Value) {
    match value {
        Value::Object(map) => {
            for (name, value) in map.iter_mut() {
                if !FREE.contains(&name.as_str()) {
                    leave_out(value);
                }
            }
            map.retain(|name, value| !is_omitted(name, value));
        }
        Value::Array(list) => list.iter_mut().for_each(leave_out),
        _ => {}
    }
}

fn is_omitted(name: &str, value: &Value) -> bool {
    match value {
        Value::Null => true,
        Value::Array(list) => list.is_empty(),
        Value::Object(map) => map.is_empty() && FREE.contains(&name),
        Value::String(text) => text.is_empty() && OMITTED.contains(&name),
        Value::Bool(yes) => !yes && OMITTED.contains(&name),
        Value::Number(number) => number.as_i64() == Some(0) && OMITTED.contains(&name),
    }
}

/// The types fill in required structs; takes out again the ones whose absence validation must see.
fn keep_required(given: &Value, typed: &mut Value) {
    for path in [
        &["spec", "selector"][..],
        &["spec", "template"],
        &["involvedObject"],
    ] {
        if j::at(given, path).is_none() {
            j::remove(typed, path);
        }
    }
    // A map of a Service, a struct of the others.
    if j::text(typed, &["kind"]) == "Service"
        && j::at(typed, &["spec", "selector"])
            .and_then(Value::as_object)
            .is_some_and(serde_json::Map::is_empty)
    {
        j::remove(typed, &["spec", "selector"]);
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;
    use crate::{clock::Clock, rehearsal::store::Store};

    fn kind(group: &str, name: &str) -> std::sync::Arc<Kind> {
        Store::new(Clock::system()).kind(group, name).unwrap()
    }

    fn deployment(container: &Value) -> Value {
        json!({
            "apiVersion": "apps/v1", "kind": "Deployment", "metadata": {"name": "d"},
            "spec": {"selector": {}, "template": {"spec": {"containers": [container]}}},
        })
    }

    #[tokio::test]
    async fn unknown_fields_vanish_and_are_named() {
        let mut value = deployment(&json!({"name": "c", "imagePullPolizy": "x", "command": null}));
        let unknown = read(&kind("apps", "Deployment"), "v1", &mut value).unwrap();
        assert_eq!(unknown, ["spec.template.spec.containers[0].imagePullPolizy"]);
        assert_eq!(
            value["spec"]["template"]["spec"]["containers"][0],
            json!({"name": "c"})
        );
    }

    #[tokio::test]
    async fn wrong_types_are_refused() {
        let mut value = deployment(&json!({"name": "c"}));
        value["spec"]["replicas"] = "two".into();
        let error = read(&kind("apps", "Deployment"), "v1", &mut value).unwrap_err();
        assert_eq!(error.code, 400);
        assert!(
            error.message.contains("cannot be handled as a Deployment"),
            "{error}"
        );
    }

    #[tokio::test]
    async fn empty_values_are_left_out_as_go_does() {
        let container = json!({
            "name": "c", "args": [], "env": [{"name": "A", "value": ""}], "stdin": false,
            "resources": {"limits": {"cpu": 1, "memory": "1024Mi"}, "requests": {}},
        });
        let mut value = deployment(&container);
        value["metadata"]["labels"] = json!({"a": ""});
        read(&kind("apps", "Deployment"), "v1", &mut value).unwrap();
        let expected = json!({
            "name": "c", "env": [{"name": "A"}], "resources": {"limits": {"cpu": "1", "memory": "1Gi"}},
        });
        assert_eq!(value["spec"]["template"]["spec"]["containers"][0], expected);
        assert_eq!(value["metadata"]["labels"]["a"], "");
    }
}

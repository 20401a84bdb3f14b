//! Endpoints and endpoint slices: which ready pods a service means, and at which ports.

use std::time::Duration;

use serde_json::{Value, json};

use super::{
    Context,
    parts::{self, MANAGER},
    pods,
};
use crate::{
    manifest::{Object, ObjectKey},
    rehearsal::store::{ApiError, Delete, json as j},
};

const SERVICE_NAME: &str = "kubernetes.io/service-name";

/// Whether a service means a pod.
pub(in crate::rehearsal) fn selects(service: &Object, pod: &Object) -> bool {
    let selector = service
        .at("/spec/selector")
        .filter(|s| s.as_object().is_some_and(|map| !map.is_empty()));
    let external = service.str_at("/spec/type") == "ExternalName";
    let labels = pod.at("/metadata/labels").unwrap_or(&Value::Null);
    !external && selector.is_some_and(|selector| parts::contains(labels, selector))
}

pub(super) fn reconcile(context: &Context, key: &ObjectKey) -> Option<Duration> {
    let of_service = ObjectKey {
        kind: "Endpoints".to_owned(),
        ..key.clone()
    };
    let Some(service) = context.store.get(key) else {
        let _gone = context.store.delete(&of_service, &Delete::default());
        return None;
    };
    if service
        .at("/spec/selector")
        .and_then(Value::as_object)
        .is_none_or(serde_json::Map::is_empty)
    {
        return None;
    }
    let mut pods = context.store.list("", "Pod", Some(&key.namespace));
    pods.retain(|pod| selects(&service, pod) && !pod.str_at("/status/podIP").is_empty());
    pods.retain(|pod| !matches!(pod.str_at("/status/phase"), "Succeeded" | "Failed"));
    write_endpoints(context, &of_service, &service, &pods);
    write_slice(context, &service, &pods);
    None
}

/// Returns the ports of a service as its first pod (or its own numbers) resolves them.
fn ports(service: &Object, pods: &[Object]) -> Vec<Value> {
    let resolve = |port: &Value| {
        let target = port.get("targetPort").unwrap_or(&Value::Null);
        let named = target.as_str().and_then(|name| {
            let containers = pods
                .first()
                .map(|pod| j::items(pod.value(), &["spec", "containers"]));
            let mut ports = containers
                .into_iter()
                .flatten()
                .flat_map(|c| j::items(c, &["ports"]));
            ports
                .find(|p| j::text(p, &["name"]) == name)?
                .get("containerPort")
                .and_then(Value::as_i64)
        });
        let number = named
            .or(target.as_i64())
            .or(port.get("port").and_then(Value::as_i64));
        let protocol = port.get("protocol").and_then(Value::as_str).unwrap_or("TCP");
        let mut resolved = json!({"port": number, "protocol": protocol});
        j::copy(port, &mut resolved, &["name"]);
        j::copy(port, &mut resolved, &["appProtocol"]);
        resolved
    };
    j::items(service.value(), &["spec", "ports"])
        .iter()
        .map(resolve)
        .collect()
}

fn reference(pod: &Object) -> Value {
    json!({"kind": "Pod", "name": pod.name(), "namespace": pod.namespace(), "uid": pod.uid()})
}

fn write_endpoints(context: &Context, key: &ObjectKey, service: &Object, pods: &[Object]) {
    let address = |pod: &&Object| {
        let ip = pod.str_at("/status/podIP");
        json!({"ip": ip, "nodeName": pod.str_at("/spec/nodeName"), "targetRef": reference(pod)})
    };
    let live = pods.iter().filter(|pod| pods::is_active(pod));
    let (ready, waiting): (Vec<&Object>, Vec<&Object>) = live.partition(|pod| pods::is_ready(pod));
    let mut subset = json!({"ports": ports(service, pods)});
    for (field, pods) in [("addresses", &ready), ("notReadyAddresses", &waiting)] {
        if !pods.is_empty() {
            j::set(
                &mut subset,
                &[field],
                pods.iter().map(address).collect::<Vec<_>>(),
            );
        }
    }
    let mut labels = service.at("/metadata/labels").cloned().unwrap_or_default();
    j::set(
        &mut labels,
        &["endpoints.kubernetes.io/managed-by"],
        "endpoint-controller",
    );
    let subsets = if ready.is_empty() && waiting.is_empty() {
        json!([])
    } else {
        json!([subset])
    };
    let new = json!({
        "apiVersion": "v1", "kind": "Endpoints",
        "metadata": {"name": key.name, "namespace": key.namespace, "labels": labels},
        "subsets": subsets,
    });
    upsert(context, key, new, |value| {
        j::set(value, &["metadata", "labels"], labels.clone());
        j::set(value, &["subsets"], subsets.clone());
    });
}

fn write_slice(context: &Context, service: &Object, pods: &[Object]) {
    let endpoint = |pod: &Object| {
        let terminating = pod.at("/metadata/deletionTimestamp").is_some();
        let serving = pods::is_ready(pod);
        json!({
            "addresses": [pod.str_at("/status/podIP")],
            "conditions": {"ready": serving && !terminating, "serving": serving, "terminating": terminating},
            "nodeName": pod.str_at("/spec/nodeName"), "targetRef": reference(pod),
        })
    };
    let endpoints: Vec<Value> = pods.iter().map(endpoint).collect();
    // Without pods nobody knows which ports are meant.
    let ports = if pods.is_empty() {
        Vec::new()
    } else {
        ports(service, pods)
    };
    let mut labels = service.at("/metadata/labels").cloned().unwrap_or_default();
    j::set(&mut labels, &[SERVICE_NAME], service.name());
    j::set(
        &mut labels,
        &["endpointslice.kubernetes.io/managed-by"],
        "endpointslice-controller.k8s.io",
    );
    let slices = context
        .store
        .list("discovery.k8s.io", "EndpointSlice", Some(service.namespace()));
    let existing = slices
        .iter()
        .find(|slice| parts::is_controlled_by(slice, service));
    let Some(existing) = existing else {
        let new = json!({
            "apiVersion": "discovery.k8s.io/v1", "kind": "EndpointSlice", "addressType": "IPv4",
            "metadata": {
                "generateName": format!("{}-", service.name()), "namespace": service.namespace(),
                "labels": labels,
                "ownerReferences": parts::controller_reference(service),
            },
            "endpoints": endpoints, "ports": ports,
        });
        return warn(service, context.store.create(MANAGER, new));
    };
    let result = context.store.modify(MANAGER, &existing.key(), |value| {
        j::set(value, &["metadata", "labels"], labels);
        j::set(value, &["endpoints"], endpoints);
        j::set(value, &["ports"], ports);
    });
    warn(service, result);
}

fn upsert(context: &Context, key: &ObjectKey, new: Value, edit: impl FnOnce(&mut Value)) {
    let result = match context.store.get(key) {
        Some(_) => context.store.modify(MANAGER, key, edit),
        None => context.store.create(MANAGER, new),
    };
    if let Err(error) = result {
        tracing::warn!(object = %key, %error, "the embedded cluster could not write endpoints");
    }
}

fn warn(service: &Object, result: Result<Object, ApiError>) {
    if let Err(error) = result {
        tracing::warn!(service = %service.key(), %error, "the embedded cluster could not write endpoints");
    }
}

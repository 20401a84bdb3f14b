//! The three Services of a workload: `-canary`, `-primary`, and the apex that clients use.

use std::collections::BTreeMap;

use serde_json::{Map, Value, json};

use super::{Refusal, compare::exceeds, rewrite::Selection};
use crate::{
    canary::{
        Canary, ExtraMetadata,
        generated::{HANDS_OFF, controller, hands_off, is_ours, metadata},
    },
    manifest::{Manager, Object, ObjectKey, Reading, Resource, Snapshot, Write, declared_by},
    rollout::Seen,
};

/// Sidecars whose ports are not the workload's.
const SIDECARS: [&str; 2] = ["istio-proxy", "envoy"];

pub(super) fn key(canary: &Canary, name: &str) -> ObjectKey {
    ObjectKey::new(Resource::SERVICE, &canary.namespace, name)
}

/// Returns the keys of all three.
pub(super) fn keys(canary: &Canary) -> [ObjectKey; 3] {
    [
        key(canary, &canary.spec.service.name),
        key(canary, &canary.primary_service()),
        key(canary, &canary.canary_service()),
    ]
}

/// Reads a Service; an error if it was not read yet.
pub(super) fn read<'a>(
    canary: &Canary,
    name: &str,
    known: &'a Snapshot,
) -> Result<Option<&'a Object>, Refusal> {
    let key = key(canary, name);
    match known.read(&key) {
        Reading::Unknown => Err(Refusal::NotRead(key)),
        Reading::Absent => Ok(None),
        Reading::Present(object) => Ok(Some(object)),
    }
}

/// Whether nothing would be written.
pub(super) fn settled(writes: &Result<Vec<Write>, Refusal>) -> Seen<bool> {
    match writes {
        Ok(writes) => Seen::Present(writes.is_empty()),
        Err(Refusal::NotRead(_)) => Seen::Unknown,
        Err(_) => Seen::Present(false),
    }
}

/// Returns what makes `-canary` and `-primary` as desired.
pub(super) fn generated(
    canary: &Canary,
    target: &Object,
    selection: &Selection,
    known: &Snapshot,
) -> Result<Vec<Write>, Refusal> {
    let ports = ports(canary, target);
    let sides = [
        (
            canary.canary_service(),
            &selection.canary,
            &canary.spec.service.canary,
        ),
        (
            canary.primary_service(),
            &selection.primary,
            &canary.spec.service.primary,
        ),
    ];
    let mut writes = Vec::new();
    for (name, value, extra) in sides {
        let live = read(canary, &name, known)?;
        let wanted = whole(canary, &name, (&selection.label, value), extra, &ports);
        bring(live, wanted, &mut writes);
    }
    Ok(writes)
}

/// Returns what makes the apex lead to the primary.
pub(super) fn apex(
    canary: &Canary,
    target: &Object,
    selection: &Selection,
    known: &Snapshot,
) -> Result<Vec<Write>, Refusal> {
    let service = &canary.spec.service;
    let ports = ports(canary, target);
    let live = read(canary, &service.name, known)?;
    let mut writes = Vec::new();
    match live {
        Some(live) if !is_ours(canary, live) => writes.extend(take_over(live, selection, ports)?),
        _ => {
            let selects = (&selection.label, &selection.primary);
            let wanted = whole(canary, &service.name, selects, &service.apex, &ports);
            bring(live, wanted, &mut writes);
        }
    }
    Ok(writes)
}

/// Returns the whole intent for a Service that is ours.
fn whole(
    canary: &Canary,
    name: &str,
    (label, value): (&String, &String),
    extra: &ExtraMetadata,
    ports: &[Value],
) -> Value {
    let service = &canary.spec.service;
    let mut labels = BTreeMap::from([(label.clone(), name.to_owned())]);
    labels.extend(extra.labels.clone());
    let mut spec = json!({ "type": "ClusterIP", "selector": { label: value }, "ports": ports });
    if let Some(fields) = spec.as_object_mut() {
        if service.headless {
            fields.insert("clusterIP".to_owned(), json!("None"));
        }
        if let Some(distribution) = &service.traffic_distribution {
            fields.insert("trafficDistribution".to_owned(), json!(distribution));
        }
    }
    json!({
        "apiVersion": "v1",
        "kind": "Service",
        "metadata": metadata(canary, name, &labels, &hands_off(&extra.annotations), controller(canary)),
        "spec": spec,
    })
}

/// Brings a Service that is ours to its whole intent.
pub(super) fn bring(live: Option<&Object>, wanted: Value, writes: &mut Vec<Write>) {
    let wanted = Object::from(wanted);
    if let Some(live) = live {
        let at = |pointer: &str| (live.at(pointer), wanted.at(pointer));
        // An ExternalName has no ports, and may keep some that mean nothing.
        let surplus = match at("/spec/ports") {
            (Some(live), Some(wanted)) if exceeds(live, wanted) => Some(wanted),
            _ => None,
        };
        let (selects, shall_select) = at("/spec/selector");
        if surplus.is_none() && selects == shall_select && declared_by(&wanted, live, &[]) {
            return;
        }
        let replace = |ports: &Value| json!({ "op": "add", "path": "/spec/ports", "value": ports });
        writes.extend(surplus.map(|ports| super::patch(live, [replace(ports)])));
    }
    writes.push(Write::Apply {
        manager: Manager::Serin,
        object: wanted,
        force: true,
    });
}

/// Turns a Service of the user to the primary: its selector and our ports; everything else stays the user's.
fn take_over(live: &Object, selection: &Selection, ports: Vec<Value>) -> Result<Option<Write>, Refusal> {
    if live.str_at("/spec/type") == "ExternalName" {
        return Err(Refusal::Invalid(format!(
            "service {}.{} is of type ExternalName and cannot lead to the primary: make it a ClusterIP Service, \
             or set spec.service.name of the Canary to another name",
            live.name(),
            live.namespace()
        )));
    }
    let selector = json!({ &selection.label: &selection.primary });
    let old_ports = live.at("/spec/ports").and_then(Value::as_array);
    let ports = Value::Array(merge_ports(
        old_ports.map(Vec::as_slice).unwrap_or_default(),
        ports,
    ));
    let missing: Vec<_> = HANDS_OFF
        .into_iter()
        .filter(|(key, value)| live.annotation(key) != Some(*value))
        .collect();
    let selects = live.at("/spec/selector") == Some(&selector);
    let same_ports = live.at("/spec/ports") == Some(&ports);
    if selects && same_ports && missing.is_empty() {
        return Ok(None);
    }
    let mut operations = Vec::new();
    if !selects {
        operations.extend(exchange(live, "/spec/selector", &selector));
    }
    if !same_ports {
        operations.extend(exchange(live, "/spec/ports", &ports));
    }
    if !missing.is_empty() && live.at("/metadata/annotations").is_none() {
        operations.push(json!({ "op": "add", "path": "/metadata/annotations", "value": {} }));
    }
    for (key, value) in missing {
        let path = format!("/metadata/annotations/{}", key.replace('/', "~1"));
        operations.push(json!({ "op": "add", "path": path, "value": value }));
    }
    Ok(Some(super::patch(live, operations)))
}

/// Replaces a field, if it still is what was read.
fn exchange(live: &Object, path: &str, value: &Value) -> Vec<Value> {
    let test = live
        .at(path)
        .map(|old| json!({ "op": "test", "path": path, "value": old }));
    let add = json!({ "op": "add", "path": path, "value": value });
    test.into_iter().chain([add]).collect()
}

/// Puts our ports among those of the user: the same port is replaced and keeps its nodePort, others stay.
fn merge_ports(live: &[Value], wanted: Vec<Value>) -> Vec<Value> {
    let number = |port: &Value| port.get("port").cloned();
    let name = |port: &Value| port.get("name").cloned();
    let protocol = |port: &Value| port.get("protocol").cloned().unwrap_or_else(|| json!("TCP"));
    let mut merged: Vec<Value> = Vec::new();
    for port in wanted {
        let same = |old: &&Value| number(old) == number(&port) && protocol(old) == protocol(&port);
        let old = live
            .iter()
            .find(same)
            .or_else(|| live.iter().find(|old| name(old) == name(&port)));
        let node_port = old.and_then(|old| old.get("nodePort")).cloned();
        let mut port = port;
        if let (Some(node_port), Some(fields)) = (node_port, port.as_object_mut()) {
            fields.insert("nodePort".to_owned(), node_port);
        }
        merged.push(port);
    }
    let clashes = |old: &Value, port: &Value| {
        (number(old) == number(port) && protocol(old) == protocol(port)) || name(old) == name(port)
    };
    for old in live {
        // A port without a name can only stand alone.
        if old.get("name").is_some() && !merged.iter().any(|port| clashes(old, port)) {
            merged.push(old.clone());
        }
    }
    merged
}

/// Returns the ports that the Canary asks for.
fn ports(canary: &Canary, target: &Object) -> Vec<Value> {
    let service = &canary.spec.service;
    let target_port = service.target_port.clone().unwrap_or_else(|| json!(service.port));
    let mut first = json!({
        "name": service.port_name, "port": service.port, "protocol": "TCP", "targetPort": target_port,
    });
    if let (Some(protocol), Some(fields)) = (&service.app_protocol, first.as_object_mut()) {
        fields.insert("appProtocol".to_owned(), json!(protocol));
    }
    let mut ports = vec![first];
    if service.port_discovery {
        discover(&target_port, target, &mut ports);
    }
    ports
}

/// Adds the other ports of the containers.
fn discover(target_port: &Value, target: &Object, ports: &mut Vec<Value>) {
    let containers = target
        .at("/spec/template/spec/containers")
        .and_then(Value::as_array);
    for container in containers.into_iter().flatten() {
        let name = container.get("name").and_then(Value::as_str).unwrap_or_default();
        if SIDECARS.contains(&name) {
            continue;
        }
        let found = container.get("ports").and_then(Value::as_array);
        for (index, port) in found.into_iter().flatten().enumerate() {
            let Some(number) = port.get("containerPort") else {
                continue;
            };
            let is_main = number == target_port || port.get("name") == Some(target_port);
            let protocol = port.get("protocol").cloned().unwrap_or_else(|| json!("TCP"));
            let taken = ports
                .iter()
                .any(|other| other.get("port") == Some(number) && other.get("protocol") == Some(&protocol));
            if is_main || taken {
                continue;
            }
            let unnamed = || json!(format!("tcp-{name}-{index}"));
            let port_name = port.get("name").cloned().unwrap_or_else(unnamed);
            let fields = [
                ("name", port_name),
                ("port", number.clone()),
                ("protocol", protocol),
                ("targetPort", number.clone()),
            ];
            ports.push(Value::Object(
                fields
                    .map(|(key, value)| (key.to_owned(), value))
                    .into_iter()
                    .collect::<Map<_, _>>(),
            ));
        }
    }
}

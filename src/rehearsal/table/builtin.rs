//! Tables of built-in kinds, as kubectl shows them.

use jiff::Timestamp;
use serde_json::{Value, json};

use super::{Column, age};
use crate::{manifest::Object, rehearsal::store::json as j};

/// Columns by kind; `*` marks those of `-o wide`, `#` numbers.
#[rustfmt::skip]
const COLUMNS: &[(&str, &str)] = &[
    ("Deployment", "Name,Ready,Up-to-date,Available,Age,Containers*,Images*,Selector*"),
    ("ReplicaSet", "Name,#Desired,#Current,#Ready,Age,Containers*,Images*,Selector*"),
    ("DaemonSet", "Name,#Desired,#Current,#Ready,#Up-to-date,#Available,Node Selector,Age,Containers*,Images*,Selector*"),
    ("Pod", "Name,Ready,Status,Restarts,Age,IP*,Node*,Nominated Node*,Readiness Gates*"),
    ("Service", "Name,Type,Cluster-IP,External-IP,Port(s),Age,Selector*"),
    ("Ingress", "Name,Class,Hosts,Address,Ports,Age"),
    ("IngressClass", "Name,Controller,Parameters,Age"),
    ("ConfigMap", "Name,Data,Age"),
    ("Secret", "Name,Type,Data,Age"),
    ("Event", "Last Seen,Type,Reason,Object,Subobject*,Source*,Message,First Seen*,Count*,Name*"),
    ("Namespace", "Name,Status,Age"),
    ("Node", "Name,Status,Roles,Age,Version"),
    ("HorizontalPodAutoscaler", "Name,Reference,Targets,MinPods,MaxPods,Replicas,Age"),
    ("Lease", "Name,Holder,Age"),
    ("Endpoints", "Name,Endpoints,Age"),
    ("EndpointSlice", "Name,AddressType,Ports,Endpoints,Age"),
    ("ServiceAccount", "Name,Age"),
    ("CustomResourceDefinition", "Name,Created At"),
];

pub(super) fn columns(kind: &str) -> Vec<Column> {
    let declared = COLUMNS
        .iter()
        .find(|(k, _)| *k == kind)
        .map_or("Name,Age", |(_, c)| c);
    declared.split(',').map(Column::read).collect()
}

/// Returns the cells of an object, in the order of the columns.
pub(super) fn cells(kind: &str, object: &Object, now: Timestamp) -> Vec<Value> {
    let name = json!(object.name());
    let age = json!(age::since(object.str_at("/metadata/creationTimestamp"), now));
    let count = |pointer: &str| json!(object.i64_at(pointer).unwrap_or_default());
    let text = |pointer: &str| json!(or_none(object.str_at(pointer)));
    let size = |field: &str| {
        object
            .at(field)
            .and_then(Value::as_object)
            .map_or(0, serde_json::Map::len)
    };
    let mut cells = match kind {
        "Deployment" => {
            let ready = format!("{}/{}", count("/status/readyReplicas"), count("/spec/replicas"));
            vec![
                name,
                json!(ready),
                count("/status/updatedReplicas"),
                count("/status/availableReplicas"),
                age,
            ]
        }
        "ReplicaSet" => {
            vec![
                name,
                count("/spec/replicas"),
                count("/status/replicas"),
                count("/status/readyReplicas"),
                age,
            ]
        }
        "DaemonSet" => vec![
            name,
            count("/status/desiredNumberScheduled"),
            count("/status/currentNumberScheduled"),
            count("/status/numberReady"),
            count("/status/updatedNumberScheduled"),
            count("/status/numberAvailable"),
            json!(or_none(&pairs(object.at("/spec/template/spec/nodeSelector")))),
            age,
        ],
        "Pod" => pod(object, name, age),
        "Service" => service(object, name, age),
        "Ingress" => ingress(object, name, age),
        "IngressClass" => vec![name, text("/spec/controller"), text("/spec/parameters/name"), age],
        "ConfigMap" => vec![name, json!(size("/data") + size("/binaryData")), age],
        "Secret" => vec![name, json!(object.str_at("/type")), json!(size("/data")), age],
        "Event" => return event(object, now),
        "Namespace" => vec![name, text("/status/phase"), age],
        "Node" => {
            let ready = condition(object, "Ready") == Some("True");
            let status = if ready { "Ready" } else { "NotReady" };
            vec![
                name,
                json!(status),
                json!("<none>"),
                age,
                json!(object.str_at("/status/nodeInfo/kubeletVersion")),
            ]
        }
        "HorizontalPodAutoscaler" => {
            let target = |field: &str| object.str_at(&format!("/spec/scaleTargetRef/{field}")).to_owned();
            let reference = format!("{}/{}", target("kind"), target("name"));
            let least = json!(object.i64_at("/spec/minReplicas").unwrap_or_default().to_string());
            let most = json!(object.i64_at("/spec/maxReplicas").unwrap_or_default());
            vec![
                name,
                json!(reference),
                json!(targets(object)),
                least,
                most,
                count("/status/currentReplicas"),
                age,
            ]
        }
        "Lease" => vec![name, json!(object.str_at("/spec/holderIdentity")), age],
        "Endpoints" => vec![name, json!(or_none(&endpoints(object).join(","))), age],
        "EndpointSlice" => {
            let ports = list(object.at("/ports"), |p| {
                p.get("port").map_or_else(String::new, Value::to_string)
            });
            let addresses: Vec<String> = j::items(object.value(), &["endpoints"])
                .iter()
                .flat_map(|e| j::strings(e, &["addresses"]))
                .map(str::to_owned)
                .collect();
            vec![
                name,
                json!(object.str_at("/addressType")),
                json!(ports),
                json!(addresses.join(",")),
                age,
            ]
        }
        "CustomResourceDefinition" => vec![name, json!(object.str_at("/metadata/creationTimestamp"))],
        _ => vec![name, age],
    };
    if matches!(kind, "Deployment" | "ReplicaSet" | "DaemonSet") {
        let containers = object.at("/spec/template/spec/containers");
        cells.push(list(containers, |c| j::text(c, &["name"]).to_owned()).into());
        cells.push(list(containers, |c| j::text(c, &["image"]).to_owned()).into());
        cells.push(super::selector_text(object.at("/spec/selector").unwrap_or(&Value::Null)).into());
    }
    cells
}

fn or_none(text: &str) -> String {
    if text.is_empty() {
        "<none>".to_owned()
    } else {
        text.to_owned()
    }
}

fn list(entries: Option<&Value>, show: impl Fn(&Value) -> String) -> String {
    let entries = entries
        .and_then(Value::as_array)
        .map(Vec::as_slice)
        .unwrap_or_default();
    entries.iter().map(show).collect::<Vec<_>>().join(",")
}

fn pairs(labels: Option<&Value>) -> String {
    let labels = labels.and_then(Value::as_object).into_iter().flatten();
    let pairs: Vec<String> = labels
        .map(|(k, v)| format!("{k}={}", v.as_str().unwrap_or_default()))
        .collect();
    pairs.join(",")
}

fn condition<'a>(object: &'a Object, kind: &str) -> Option<&'a str> {
    let conditions = j::items(object.value(), &["status", "conditions"]);
    conditions
        .iter()
        .find(|c| j::text(c, &["type"]) == kind)
        .map(|c| j::text(c, &["status"]))
}

fn pod(object: &Object, name: Value, age: Value) -> Vec<Value> {
    let statuses = j::items(object.value(), &["status", "containerStatuses"]);
    let ready = statuses
        .iter()
        .filter(|s| s.get("ready").and_then(Value::as_bool) == Some(true))
        .count();
    let total = j::items(object.value(), &["spec", "containers"]).len();
    let restarts: i64 = statuses
        .iter()
        .filter_map(|s| s.get("restartCount").and_then(Value::as_i64))
        .sum();
    let waiting = statuses
        .iter()
        .map(|s| j::text(s, &["state", "waiting", "reason"]))
        .find(|r| !r.is_empty());
    let status = if object.at("/metadata/deletionTimestamp").is_some() {
        "Terminating"
    } else {
        let reason = object.str_at("/status/reason");
        waiting.unwrap_or(if reason.is_empty() {
            object.str_at("/status/phase")
        } else {
            reason
        })
    };
    let wide = |pointer: &str| json!(or_none(object.str_at(pointer)));
    vec![
        name,
        json!(format!("{ready}/{total}")),
        json!(status),
        json!(restarts),
        age,
        wide("/status/podIP"),
        wide("/spec/nodeName"),
        wide("/status/nominatedNodeName"),
        json!("<none>"),
    ]
}

fn service(object: &Object, name: Value, age: Value) -> Vec<Value> {
    let kind = object.str_at("/spec/type");
    let ports = list(object.at("/spec/ports"), |p| {
        let number = |field: &str| p.get(field).and_then(Value::as_i64).unwrap_or_default();
        let node = match number("nodePort") {
            0 => String::new(),
            port => format!(":{port}"),
        };
        format!("{}{node}/{}", number("port"), j::text(p, &["protocol"]))
    });
    let external = match kind {
        "ExternalName" => or_none(object.str_at("/spec/externalName")),
        "LoadBalancer" => {
            let address = list(object.at("/status/loadBalancer/ingress"), |i| {
                let ip = j::text(i, &["ip"]);
                if ip.is_empty() {
                    j::text(i, &["hostname"]).to_owned()
                } else {
                    ip.to_owned()
                }
            });
            if address.is_empty() {
                "<pending>".to_owned()
            } else {
                address
            }
        }
        _ => or_none(&list(object.at("/spec/externalIPs"), |i| {
            i.as_str().unwrap_or_default().to_owned()
        })),
    };
    vec![
        name,
        json!(kind),
        json!(or_none(object.str_at("/spec/clusterIP"))),
        json!(external),
        json!(or_none(&ports)),
        age,
        json!(or_none(&pairs(object.at("/spec/selector")))),
    ]
}

fn ingress(object: &Object, name: Value, age: Value) -> Vec<Value> {
    let hosts = list(object.at("/spec/rules"), |r| j::text(r, &["host"]).to_owned());
    let hosts: Vec<&str> = hosts.split(',').filter(|h| !h.is_empty()).collect();
    let hosts = match hosts.get(3..) {
        Some(more) if !more.is_empty() => {
            format!(
                "{} + {} more...",
                hosts.get(..3).unwrap_or_default().join(","),
                more.len()
            )
        }
        _ => hosts.join(","),
    };
    let ports = if j::items(object.value(), &["spec", "tls"]).is_empty() {
        "80"
    } else {
        "80, 443"
    };
    let address = list(object.at("/status/loadBalancer/ingress"), |i| {
        let ip = j::text(i, &["ip"]);
        if ip.is_empty() {
            j::text(i, &["hostname"]).to_owned()
        } else {
            ip.to_owned()
        }
    });
    let class = or_none(object.str_at("/spec/ingressClassName"));
    let hosts = if hosts.is_empty() { "*".to_owned() } else { hosts };
    vec![
        name,
        json!(class),
        json!(hosts),
        json!(address),
        json!(ports),
        age,
    ]
}

/// Shows what an autoscaler aims at; the present value is not known here.
fn targets(object: &Object) -> String {
    let shown = list(object.at("/spec/metrics"), |metric| {
        let name = j::text(metric, &["resource", "name"]);
        let target = j::at(metric, &["resource", "target", "averageUtilization"]).and_then(Value::as_i64);
        target.map_or_else(|| "<unknown>".to_owned(), |t| format!("{name}: <unknown>/{t}%"))
    });
    or_none(&shown.replace(',', ", "))
}

fn endpoints(object: &Object) -> Vec<String> {
    let mut found = Vec::new();
    for subset in j::items(object.value(), &["subsets"]) {
        for port in j::items(subset, &["ports"]) {
            let port = port.get("port").map(Value::to_string).unwrap_or_default();
            let addresses = j::items(subset, &["addresses"]).iter();
            found.extend(addresses.map(|a| format!("{}:{port}", j::text(a, &["ip"]))));
        }
    }
    found
}

fn event(object: &Object, now: Timestamp) -> Vec<Value> {
    let first = object.str_at("/firstTimestamp");
    let first = if first.is_empty() {
        object.str_at("/eventTime")
    } else {
        first
    };
    let last = object.str_at("/lastTimestamp");
    let last = if last.is_empty() { first } else { last };
    let kind = object.str_at("/involvedObject/kind").to_lowercase();
    let about = format!("{kind}/{}", object.str_at("/involvedObject/name"));
    let source = |old: &str, new: &str| {
        let text = object.str_at(old);
        if text.is_empty() {
            object.str_at(new).to_owned()
        } else {
            text.to_owned()
        }
    };
    let host = source("/source/host", "/reportingInstance");
    let component = source("/source/component", "/reportingComponent");
    let source = if host.is_empty() {
        component
    } else {
        format!("{component}, {host}")
    };
    vec![
        json!(age::since(last, now)),
        json!(object.str_at("/type")),
        json!(object.str_at("/reason")),
        json!(about),
        json!(object.str_at("/involvedObject/fieldPath")),
        json!(source),
        json!(object.str_at("/message").trim()),
        json!(age::since(first, now)),
        json!(object.i64_at("/count").unwrap_or(1)),
        json!(object.name()),
    ]
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_kind_fills_its_columns() {
        let object =
            Object::from(json!({"metadata": {"name": "x", "creationTimestamp": "2026-01-01T00:00:00Z"}}));
        let now = "2026-01-01T00:05:10Z".parse().unwrap();
        for (kind, _) in COLUMNS {
            assert_eq!(columns(kind).len(), cells(kind, &object, now).len(), "{kind}");
        }
        assert_eq!(
            json!(cells("Namespace", &object, now)),
            json!(["x", "<none>", "5m10s"])
        );
    }

    #[test]
    fn services_show_their_ports() {
        let object = Object::from(json!({"spec": {
            "type": "ClusterIP", "clusterIP": "10.96.0.2", "selector": {"app": "web"},
            "ports": [{"port": 80, "protocol": "TCP"}, {"port": 53, "protocol": "UDP"}],
        }}));
        let row = cells("Service", &object, Timestamp::UNIX_EPOCH);
        assert_eq!(
            (row[4].clone(), row[6].clone()),
            (json!("80/TCP,53/UDP"), json!("app=web"))
        );
    }
}

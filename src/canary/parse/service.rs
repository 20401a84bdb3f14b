//! Reads `spec.service`.

use serde_json::Value;

use super::{
    super::spec::{ExtraMetadata, ServiceSpec},
    reader::Field,
};

/// Fields that other routers use; with an implemented one they have no effect, as with Flagger.
const OTHER_ROUTERS: [&str; 14] = [
    "timeout",
    "backendTimeout",
    "gateways",
    "gatewayRefs",
    "hosts",
    "delegation",
    "trafficPolicy",
    "match",
    "rewrite",
    "retries",
    "headers",
    "mirror",
    "corsPolicy",
    "backends",
];

pub(super) fn read(service: &Field<'_>, target: &str) -> ServiceSpec {
    if !service.is_present() {
        service.fault("is missing", "add `service` with the `port` of the workload");
    }
    let port = service.get("port");
    if service.is_present() && !port.is_present() {
        port.fault("is missing", "give the port of the Service");
    }
    let named = |name: &str| service.get(name).str().filter(|text| !text.is_empty());
    ServiceSpec {
        name: named("name").unwrap_or(target).to_owned(),
        port: port
            .within(1, 65_535)
            .and_then(|port| u16::try_from(port).ok())
            .unwrap_or(80),
        port_name: named("portName").unwrap_or("http").to_owned(),
        target_port: target_port(&service.get("targetPort")),
        app_protocol: named("appProtocol").map(str::to_owned),
        port_discovery: service.get("portDiscovery").bool(),
        headless: service.get("headless").bool(),
        traffic_distribution: named("trafficDistribution").map(str::to_owned),
        apex: metadata(&service.get("apex")),
        primary: metadata(&service.get("primary")),
        canary: metadata(&service.get("canary")),
    }
}

/// Returns the fields that only other routers use.
pub(super) fn without_effect(service: &Field<'_>) -> Vec<String> {
    OTHER_ROUTERS
        .into_iter()
        .map(|name| service.get(name))
        .filter(Field::is_set)
        .map(|field| field.path().to_owned())
        .collect()
}

fn target_port(field: &Field<'_>) -> Option<Value> {
    match field.raw()? {
        Value::Number(_) => field.within(1, 65_535).map(Value::from),
        Value::String(text) if text.is_empty() => None,
        Value::String(text) => Some(Value::String(text.clone())),
        _ => {
            field.fault(
                "is neither a port number nor a port name",
                "give the number or name of a container port",
            );
            None
        }
    }
}

fn metadata(field: &Field<'_>) -> ExtraMetadata {
    ExtraMetadata {
        labels: field.get("labels").strings(),
        annotations: field.get("annotations").strings(),
    }
}

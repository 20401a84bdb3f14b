//! `spec.service`: the services, and the routing that some routers add.

use serde_json::{Value, json};

use super::schema::{
    about, boolean, duration, int_or_text, integer, list, map, number, object, one_of, open, required, text,
    text_map, texts, with,
};

pub(super) fn schema() -> Value {
    let mut schema = own();
    if let (Some(properties), Some(more)) = (
        schema.get_mut("properties").and_then(Value::as_object_mut),
        routing().get("properties").and_then(Value::as_object),
    ) {
        properties.extend(more.clone());
    }
    required(schema, &["port"])
}

/// What makes the Services.
fn own() -> Value {
    let distribution = ["PreferClose", "PreferSameZone", "PreferSameNode"];
    object([
        (
            "name",
            about("Name of the apex Service; the target's if missing.", text()),
        ),
        ("port", about("Port of the services.", number())),
        ("portName", about("Name of the port. Default http.", text())),
        (
            "targetPort",
            about("Port of the containers, by number or name.", int_or_text()),
        ),
        ("appProtocol", text()),
        ("trafficDistribution", one_of(&distribution)),
        (
            "portDiscovery",
            about("Adds all other container ports.", boolean()),
        ),
        ("headless", boolean()),
        ("apex", metadata()),
        ("primary", metadata()),
        ("canary", metadata()),
        (
            "unmanagedMetadata",
            object([("annotations", texts()), ("labels", texts())]),
        ),
    ])
}

/// What makes routes, for the routers that can.
fn routing() -> Value {
    object([
        ("timeout", text()),
        ("backendTimeout", text()),
        ("gateways", texts()),
        ("gatewayRefs", list(gateway_ref())),
        ("hosts", texts()),
        ("delegation", boolean()),
        ("trafficPolicy", traffic_policy()),
        ("match", list(request_match())),
        (
            "rewrite",
            object([("uri", text()), ("authority", text()), ("type", text())]),
        ),
        (
            "retries",
            object([
                ("attempts", number()),
                ("perTryTimeout", text()),
                ("retryOn", text()),
            ]),
        ),
        (
            "headers",
            object([("request", header_change()), ("response", header_change())]),
        ),
        ("mirror", list(object([("backendRef", backend_ref())]))),
        ("corsPolicy", cors()),
        ("meshName", text()),
        ("backends", texts()),
    ])
}

fn metadata() -> Value {
    object([("labels", text_map()), ("annotations", text_map())])
}

fn gateway_ref() -> Value {
    required(
        object([
            ("group", text()),
            ("kind", text()),
            ("namespace", text()),
            ("name", text()),
            ("sectionName", text()),
            ("port", integer()),
        ]),
        &["name"],
    )
}

fn backend_ref() -> Value {
    object([
        ("group", text()),
        ("kind", text()),
        ("name", text()),
        ("namespace", text()),
        ("port", integer()),
    ])
}

fn header_change() -> Value {
    object([("set", text_map()), ("add", text_map()), ("remove", texts())])
}

fn cors() -> Value {
    object([
        ("allowOrigin", texts()),
        ("allowOrigins", list(text_match())),
        ("allowMethods", texts()),
        ("allowHeaders", texts()),
        ("exposeHeaders", texts()),
        ("maxAge", text()),
        ("allowCredentials", boolean()),
    ])
}

fn text_match() -> Value {
    object([
        ("exact", text()),
        ("prefix", text()),
        ("suffix", text()),
        ("regex", text()),
    ])
}

/// A match of requests, as in a VirtualService.
pub(super) fn request_match() -> Value {
    object([
        ("name", text()),
        ("uri", text_match()),
        ("scheme", text_match()),
        ("method", text_match()),
        ("authority", text_match()),
        ("headers", map(text_match())),
        ("port", integer()),
        ("sourceLabels", text_map()),
        ("gateways", texts()),
        ("queryParams", map(text_match())),
        ("ignoreUriCase", boolean()),
        ("withoutHeaders", map(text_match())),
        ("sourceNamespace", text()),
    ])
}

/// A TrafficPolicy, as in a DestinationRule.
fn traffic_policy() -> Value {
    let tls = object([
        ("mode", one_of(&["DISABLE", "SIMPLE", "MUTUAL", "ISTIO_MUTUAL"])),
        ("caCertificates", text()),
        ("clientCertificate", text()),
        ("privateKey", text()),
        ("sni", text()),
        ("subjectAltNames", texts()),
    ]);
    object([
        ("connectionPool", open()),
        ("loadBalancer", load_balancer()),
        ("outlierDetection", outlier_detection()),
        ("tls", tls),
        ("portLevelSettings", list(open())),
    ])
}

fn load_balancer() -> Value {
    let cookie = object([("name", text()), ("path", text()), ("ttl", text())]);
    let hash = object([
        ("httpCookie", cookie),
        ("httpHeaderName", text()),
        ("httpQueryParameterName", text()),
        ("useSourceIp", boolean()),
        ("minimumRingSize", integer()),
    ]);
    object([
        ("simple", text()),
        ("consistentHash", hash),
        ("localityLbSetting", open()),
        ("warmupDurationSecs", duration()),
    ])
}

fn outlier_detection() -> Value {
    let count = || with(integer(), "minimum", json!(0));
    object([
        ("baseEjectionTime", text()),
        ("consecutive5xxErrors", count()),
        ("consecutiveErrors", count()),
        ("consecutiveGatewayErrors", count()),
        ("consecutiveLocalOriginFailures", count()),
        ("splitExternalLocalOriginErrors", boolean()),
        ("interval", text()),
        ("maxEjectionPercent", count()),
        ("minHealthPercent", count()),
    ])
}

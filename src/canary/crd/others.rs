//! The MetricTemplate and the AlertProvider.

use serde_json::{Value, json};

use super::{
    super::metric_template::PROVIDER_TYPES,
    definition,
    schema::{about, boolean, list, map, object, one_of, open, required, text, texts},
};

/// Types of alert that Flagger knows.
const ALERT_TYPES: [&str; 5] = ["slack", "msteams", "discord", "rocket", "gchat"];

pub(super) fn metric_template() -> Value {
    let provider = object([
        ("type", about("Who is asked.", one_of(&PROVIDER_TYPES))),
        ("address", about("URL of the API.", text())),
        ("headers", map(texts())),
        ("secretRef", secret_ref()),
        ("region", text()),
        (
            "insecureSkipVerify",
            about("Skips the verification of the server's certificate.", boolean()),
        ),
    ]);
    let spec = object([
        ("provider", required(provider, &["type"])),
        ("query", about("A query, as a template in Go's syntax.", text())),
    ]);
    let column = json!({ "name": "Provider", "type": "string", "jsonPath": ".spec.provider.type" });
    let versions = version(required(spec, &["provider", "query"]), &column);
    definition("metrictemplates", "metrictemplate", "MetricTemplate", &versions)
}

pub(super) fn alert_provider() -> Value {
    let spec = object([
        ("type", one_of(&ALERT_TYPES)),
        ("channel", text()),
        ("username", text()),
        ("address", text()),
        ("proxy", text()),
        ("secretRef", secret_ref()),
    ]);
    let mut spec = required(spec, &["type"]);
    if let Some(fields) = spec.as_object_mut() {
        let either = json!([{ "required": ["type", "address"] }, { "required": ["type", "secretRef"] }]);
        fields.insert("oneOf".to_owned(), either);
    }
    let column = json!({ "name": "Type", "type": "string", "jsonPath": ".spec.type" });
    definition(
        "alertproviders",
        "alertprovider",
        "AlertProvider",
        &version(spec, &column),
    )
}

fn secret_ref() -> Value {
    required(object([("name", text())]), &["name"])
}

fn version(spec: Value, column: &Value) -> Value {
    let status = object([("conditions", list(open()))]);
    let schema = object([
        ("apiVersion", text()),
        ("kind", text()),
        ("metadata", json!({ "type": "object" })),
        ("spec", spec),
        ("status", status),
    ]);
    json!([{
        "name": "v1beta1",
        "served": true,
        "storage": true,
        "subresources": { "status": {} },
        "additionalPrinterColumns": [column],
        "schema": { "openAPIV3Schema": schema },
    }])
}

//! The Canary.

use serde_json::{Map, Value, json};

use super::{
    super::Provider,
    analysis,
    schema::{about, boolean, integer, map, number, object, one_of, reference, required, text, with},
    service, status,
};

/// Flagger's columns; `analysis` is the name of the analysis in that version.
fn columns(analysis: &str) -> Value {
    let wide = |name: &str, kind: &str, path: String| json!({ "name": name, "type": kind, "jsonPath": path, "priority": 1 });
    let analysed =
        |name: &str, kind: &str, field: &str| wide(name, kind, format!(".spec.{analysis}.{field}"));
    json!([
        { "name": "Status", "type": "string", "jsonPath": ".status.phase" },
        { "name": "Weight", "type": "string", "jsonPath": ".status.canaryWeight" },
        wide("Suspended", "boolean", ".spec.suspend".to_owned()),
        wide("FailedChecks", "string", ".status.failedChecks".to_owned()),
        analysed("Interval", "string", "interval"),
        analysed("Mirror", "boolean", "mirror"),
        analysed("StepWeight", "string", "stepWeight"),
        analysed("StepWeights", "string", "stepWeights"),
        analysed("MaxWeight", "string", "maxWeight"),
        { "name": "LastTransitionTime", "type": "string", "format": "date-time",
          "jsonPath": ".status.lastTransitionTime" },
    ])
}

pub(super) fn definition() -> Value {
    let schema = object([
        ("apiVersion", text()),
        ("kind", text()),
        ("metadata", json!({ "type": "object" })),
        ("spec", spec()),
        ("status", status::schema()),
    ]);
    let version = |name: &str, storage: bool, analysis: &str| {
        json!({
            "name": name,
            "served": true,
            "storage": storage,
            "subresources": { "status": {} },
            "additionalPrinterColumns": columns(analysis),
            "schema": { "openAPIV3Schema": required(schema.clone(), &["spec"]) },
        })
    };
    let versions = json!([
        version("v1beta1", true, "analysis"),
        version("v1alpha3", false, "canaryAnalysis"),
    ]);
    super::definition("canaries", "canary", "Canary", &versions)
}

fn spec() -> Value {
    let analysis = analysis::schema();
    let deadline = "Seconds that the canary may be not ready. Default 600.";
    let mut schema = object([
        ("progressDeadlineSeconds", about(deadline, number())),
        (
            "service",
            about("The services that clients use.", service::schema()),
        ),
        ("skipAnalysis", about("Promote without analysis.", boolean())),
        (
            "revertOnDeletion",
            about("Restore the target at the end.", boolean()),
        ),
        ("suspend", about("Do nothing.", boolean())),
        ("analysis", about("How a revision is judged.", analysis.clone())),
        ("canaryAnalysis", about("Its name in v1alpha3.", analysis)),
    ]);
    if let (Some(properties), Some(more)) = (properties(&mut schema), properties(&mut references())) {
        properties.append(more);
    }
    required(schema, &["targetRef"])
}

/// What a Canary refers to.
fn references() -> Value {
    let provider = one_of(&Provider::ALL.map(Provider::name));
    let target = reference(&["DaemonSet", "Deployment", "Service"]);
    object([
        ("provider", about("Router; --mesh-provider if missing.", provider)),
        (
            "metricsServer",
            about("Prometheus API; --metrics-server if missing.", text()),
        ),
        ("targetRef", about("What is rolled out.", target)),
        ("autoscalerRef", about("What scales the target.", autoscaler())),
        ("ingressRef", about("Ingress to clone.", reference(&["Ingress"]))),
        (
            "routeRef",
            about("ApisixRoute to clone.", reference(&["ApisixRoute"])),
        ),
        (
            "upstreamRef",
            about("Upstream to copy settings from.", upstream()),
        ),
    ])
}

fn properties(schema: &mut Value) -> Option<&mut Map<String, Value>> {
    schema.get_mut("properties").and_then(Value::as_object_mut)
}

fn upstream() -> Value {
    let mut schema = reference(&["Upstream"]);
    if let Some(properties) = properties(&mut schema) {
        properties.insert("namespace".to_owned(), text());
    }
    schema
}

fn autoscaler() -> Value {
    let at_least_one = || with(integer(), "minimum", json!(1));
    let mut schema = reference(&["HorizontalPodAutoscaler", "ScaledObject"]);
    if let Some(properties) = properties(&mut schema) {
        properties.insert("primaryScalerQueries".to_owned(), map(text()));
        let replicas = object([("minReplicas", at_least_one()), ("maxReplicas", at_least_one())]);
        properties.insert("primaryScalerReplicas".to_owned(), replicas);
    }
    schema
}

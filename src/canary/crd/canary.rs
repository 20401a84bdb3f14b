//! The Canary.

use serde_json::{Value, json};

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
    let providers = Provider::ALL.map(Provider::name);
    let analysis = analysis::schema();
    let schema = object([
        (
            "provider",
            about(
                "Router that shifts the traffic; --mesh-provider if missing.",
                one_of(&providers),
            ),
        ),
        (
            "metricsServer",
            about(
                "Address of the Prometheus API; --metrics-server if missing.",
                text(),
            ),
        ),
        (
            "progressDeadlineSeconds",
            about("Seconds that the canary may be not ready. Default 600.", number()),
        ),
        (
            "targetRef",
            about(
                "What is rolled out.",
                reference(&["DaemonSet", "Deployment", "Service"]),
            ),
        ),
        ("autoscalerRef", about("What scales the target.", autoscaler())),
        (
            "ingressRef",
            about(
                "Ingress that leads to the service (skipper, nginx).",
                reference(&["Ingress"]),
            ),
        ),
        (
            "routeRef",
            about(
                "ApisixRoute that leads to the service (apisix).",
                reference(&["ApisixRoute"]),
            ),
        ),
        (
            "upstreamRef",
            about("Upstream whose settings are copied (gloo).", upstream()),
        ),
        (
            "service",
            about(
                "The services that clients reach the workload by.",
                service::schema(),
            ),
        ),
        ("skipAnalysis", about("Promote without analysis.", boolean())),
        (
            "revertOnDeletion",
            about("Restore the target when the Canary is deleted.", boolean()),
        ),
        ("suspend", about("Do nothing.", boolean())),
        ("analysis", about("How a revision is judged.", analysis.clone())),
        (
            "canaryAnalysis",
            about("The analysis, by its name in v1alpha3.", analysis),
        ),
    ]);
    required(schema, &["targetRef"])
}

fn upstream() -> Value {
    let mut schema = reference(&["Upstream"]);
    if let Some(properties) = schema.get_mut("properties").and_then(Value::as_object_mut) {
        properties.insert("namespace".to_owned(), text());
    }
    schema
}

fn autoscaler() -> Value {
    let at_least_one = || with(integer(), "minimum", json!(1));
    let mut schema = reference(&["HorizontalPodAutoscaler", "ScaledObject"]);
    if let Some(properties) = schema.get_mut("properties").and_then(Value::as_object_mut) {
        properties.insert("primaryScalerQueries".to_owned(), map(text()));
        let replicas = object([("minReplicas", at_least_one()), ("maxReplicas", at_least_one())]);
        properties.insert("primaryScalerReplicas".to_owned(), replicas);
    }
    schema
}

//! The CustomResourceDefinitions. Both versions of the Canary have one schema, the union of what they know, so
//! that nothing is lost whichever version is stored; Flagger's names, enums and columns.

mod analysis;
mod canary;
mod others;
mod schema;
mod service;
mod status;

use serde_json::{Value, json};

const GROUP: &str = "flagger.app";

/// Returns the definitions of Canary, MetricTemplate and AlertProvider.
#[must_use]
pub fn all() -> Vec<Value> {
    vec![
        canary::definition(),
        others::metric_template(),
        others::alert_provider(),
    ]
}

/// Prints the definitions as YAML; `serin crd` prints this and `deploy/crd/crds.yaml` is this.
#[must_use]
pub fn yaml() -> String {
    let print = |definition: &Value| serde_saphyr::to_string(definition).unwrap_or_default();
    let documents: Vec<_> = all().iter().map(print).collect();
    let head = "# Made by `serin crd > deploy/crd/crds.yaml`; do not edit.\n";
    format!("{head}---\n{}", documents.join("---\n"))
}

/// Makes a definition of a kind in our group.
fn definition(plural: &str, singular: &str, kind: &str, versions: &Value) -> Value {
    json!({
        "apiVersion": "apiextensions.k8s.io/v1",
        "kind": "CustomResourceDefinition",
        "metadata": { "name": format!("{plural}.{GROUP}") },
        "spec": {
            "group": GROUP,
            "names": {
                "plural": plural,
                "singular": singular,
                "kind": kind,
                "listKind": format!("{kind}List"),
                "categories": ["all"],
            },
            "scope": "Namespaced",
            "conversion": { "strategy": "None" },
            "versions": versions,
        },
    })
}

#[cfg(test)]
pub(super) mod tests {
    use super::*;
    use crate::manifest::documents;

    const FILE: &str = "deploy/crd/crds.yaml";

    #[test]
    fn the_file_is_what_is_made() {
        let path = std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join(FILE);
        if std::env::var_os("SERIN_WRITE").is_some() {
            std::fs::write(&path, yaml()).unwrap();
        }
        let kept = std::fs::read_to_string(&path).unwrap_or_default();
        assert!(kept == yaml(), "{FILE} differs: run `serin crd > {FILE}`");
    }

    #[test]
    fn the_yaml_reads_back() {
        let read = documents(yaml().as_bytes(), FILE);
        assert_eq!(read.errors, []);
        let values: Vec<_> = read
            .objects
            .iter()
            .map(|document| document.object.value().clone())
            .collect();
        assert_eq!(values, all());
    }

    /// Every object schema says what is in it, or that anything may be.
    fn check_structural(path: &str, schema: &Value) {
        let fields = schema.as_object().unwrap_or_else(|| panic!("{path}"));
        let open = fields.get("x-kubernetes-preserve-unknown-fields").is_some();
        let int_or_string = fields.get("x-kubernetes-int-or-string").is_some();
        match fields.get("type").and_then(Value::as_str) {
            Some("object") => {
                let known = fields.contains_key("properties") || fields.contains_key("additionalProperties");
                assert!(known || open || path == ".metadata", "{path} keeps nothing");
            }
            Some("array") => check_structural(&format!("{path}[]"), &fields["items"]),
            Some(_) => {}
            None => assert!(int_or_string, "{path} has no type"),
        }
        for (name, property) in fields
            .get("properties")
            .and_then(Value::as_object)
            .into_iter()
            .flatten()
        {
            check_structural(&format!("{path}.{name}"), property);
        }
        if let Some(values) = fields.get("additionalProperties") {
            check_structural(&format!("{path}{{}}"), values);
        }
    }

    #[test]
    fn the_schemas_are_structural() {
        for definition in all() {
            for version in definition["spec"]["versions"].as_array().unwrap() {
                check_structural("", &version["schema"]["openAPIV3Schema"]);
            }
        }
    }

    #[test]
    fn one_version_is_stored_and_all_are_served() {
        for definition in all() {
            let versions = definition["spec"]["versions"].as_array().unwrap();
            let stored: Vec<_> = versions.iter().filter(|v| v["storage"] == json!(true)).collect();
            assert_eq!(stored.len(), 1);
            assert_eq!(stored[0]["name"], "v1beta1");
            assert!(versions.iter().all(|v| v["served"] == json!(true)));
            let schemas: Vec<_> = versions.iter().map(|v| &v["schema"]).collect();
            assert!(schemas.iter().all(|schema| *schema == schemas[0]));
        }
    }

    /// Fails on a field that the schema would prune.
    pub(super) fn check(path: &str, value: &Value, schema: &Value) {
        match value {
            Value::Object(_) if schema.get("x-kubernetes-preserve-unknown-fields").is_some() => {}
            Value::Object(fields) if schema.get("additionalProperties").is_none() => {
                for (name, value) in fields {
                    let property = &schema["properties"][name];
                    assert!(property.is_object(), "{path}.{name} would be pruned");
                    check(&format!("{path}.{name}"), value, property);
                }
            }
            Value::Array(items) => items.iter().for_each(|item| check(path, item, &schema["items"])),
            Value::String(text) => {
                let values = schema.get("enum").and_then(Value::as_array);
                assert!(
                    values.is_none_or(|all| all.iter().any(|one| one == text)),
                    "{path}: {text}"
                );
            }
            Value::Null => panic!("{path} is null"),
            _ => {}
        }
    }

    /// What tutorials and seeds write, for all routers.
    #[test]
    fn every_field_of_a_canary_is_kept() {
        let spec = json!({
            "provider": "istio", "metricsServer": "http://prometheus:9090", "progressDeadlineSeconds": 60,
            "targetRef": { "apiVersion": "core/v1", "kind": "Service", "name": "podinfo" },
            "autoscalerRef": {
                "apiVersion": "autoscaling/v2beta1", "kind": "HorizontalPodAutoscaler", "name": "podinfo",
                "primaryScalerQueries": { "a": "b" }, "primaryScalerReplicas": { "minReplicas": 2, "maxReplicas": 5 }
            },
            "ingressRef": { "apiVersion": "networking.k8s.io/v1", "kind": "Ingress", "name": "podinfo" },
            "upstreamRef": { "apiVersion": "gloo.solo.io/v1", "kind": "Upstream", "name": "u", "namespace": "gloo" },
            "skipAnalysis": false, "revertOnDeletion": true, "suspend": false,
            "service": {
                "name": "podinfo", "port": 9898, "targetPort": "http", "portName": "http", "appProtocol": "http",
                "portDiscovery": true, "headless": false, "trafficDistribution": "PreferClose", "timeout": "5s",
                "gateways": ["mesh"], "gatewayRefs": [{ "name": "g", "namespace": "istio-system", "port": 80 }],
                "hosts": ["app.example.com"], "delegation": true,
                "trafficPolicy": {
                    "connectionPool": { "http": { "http1MaxPendingRequests": 100 } },
                    "tls": { "mode": "ISTIO_MUTUAL" },
                    "loadBalancer": { "consistentHash": { "httpCookie": { "name": "c", "ttl": "0s" } } },
                    "outlierDetection": { "consecutive5xxErrors": 5, "interval": "5s" }
                },
                "match": [{ "uri": { "prefix": "/" }, "headers": { "x": { "exact": "y" } } }],
                "rewrite": { "uri": "/" }, "retries": { "attempts": 3, "perTryTimeout": "1s", "retryOn": "5xx" },
                "headers": { "request": { "add": { "x": "y" }, "remove": ["z"] } },
                "mirror": [{ "backendRef": { "name": "m", "port": 80 } }],
                "corsPolicy": { "allowOrigins": [{ "regex": ".*" }], "allowMethods": ["GET"], "maxAge": "24h" },
                "meshName": "m", "backends": ["b"], "apex": { "labels": { "a": "b" } },
                "unmanagedMetadata": { "annotations": ["a"] }
            },
            "canaryAnalysis": {
                "interval": "500ms", "threshold": 5, "iterations": 10, "maxWeight": 50, "stepWeight": 10,
                "stepWeights": [1, 2], "stepWeightPromotion": 50, "mirror": true, "mirrorWeight": 100,
                "primaryReadyThreshold": 50, "canaryReadyThreshold": 50,
                "match": [{ "headers": { "cookie": { "regex": "^(.*?;)?(canary=always)(;.*)?$" } } }],
                "alerts": [{ "name": "a", "severity": "", "providerRef": { "name": "slack", "namespace": "x" } }],
                "metrics": [
                    { "name": "request-success-rate", "threshold": 99.5, "interval": "1m" },
                    { "name": "m", "thresholdRange": { "min": 0, "max": 5 }, "query": "up",
                      "templateRef": { "name": "t", "namespace": "n" }, "templateVariables": { "a": "b" } }
                ],
                "webhooks": [{
                    "name": "w", "type": "pre-rollout", "url": "http://a", "timeout": "5s", "retries": 2,
                    "disableTLS": true, "muteAlert": true, "metadata": { "cmd": "hey" }
                }],
                "sessionAffinity": { "cookieName": "c", "maxAge": 21600, "sameSite": "Strict" }
            }
        });
        let definition = canary::definition();
        let schema = definition
            .pointer("/spec/versions/0/schema/openAPIV3Schema/properties/spec")
            .unwrap();
        check("spec", &spec, schema);
        let fields = |name: &str| &schema["properties"][name]["properties"];
        assert_eq!(fields("analysis"), fields("canaryAnalysis"));
        assert_eq!(schema["required"], json!(["targetRef"]));
    }
}

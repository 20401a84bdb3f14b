//! MetricTemplates: where a metric comes from that a Canary refers to.

use std::collections::BTreeMap;

use super::parse::{
    SpecError, finish,
    reader::{Faults, Field},
};
use crate::manifest::{Object, Resource};

/// Types of provider that a MetricTemplate may name; `metrics` says which of them are implemented.
pub(crate) const PROVIDER_TYPES: [&str; 11] = [
    "prometheus",
    "influxdb",
    "datadog",
    "externalmetrics",
    "stackdriver",
    "cloudwatch",
    "newrelic",
    "graphite",
    "dynatrace",
    "keptn",
    "splunk",
];

/// A validated MetricTemplate.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct MetricTemplate {
    /// Namespace.
    pub namespace: String,
    /// Name.
    pub name: String,
    /// Who is asked.
    pub provider: MetricProvider,
    /// The query, a template in Go's syntax.
    pub query: String,
}

/// Who is asked for a metric.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct MetricProvider {
    /// Type, such as `prometheus`.
    pub kind: String,
    /// Address, an http or https URL; none for vendors with a fixed one.
    pub address: Option<String>,
    /// Headers to send.
    pub headers: BTreeMap<String, Vec<String>>,
    /// Name of the Secret with the credentials, in the MetricTemplate's namespace.
    pub secret: Option<String>,
    /// Region, for vendors that have some.
    pub region: Option<String>,
    /// Skips the verification of the server's certificate.
    pub insecure_skip_verify: bool,
}

impl MetricTemplate {
    /// Reads a MetricTemplate.
    pub fn parse(object: &Object) -> Result<Self, SpecError> {
        let faults = Faults::default();
        let key = object.key();
        let expected = Resource::METRIC_TEMPLATE;
        if key.kind != expected.kind || key.group != expected.group {
            faults.push(
                "kind",
                "is not a flagger.app MetricTemplate",
                "give a MetricTemplate",
            );
        }
        let spec = Field::root(object.at("/spec"), "spec", &faults);
        let template = Self {
            namespace: object.namespace().to_owned(),
            name: object.name().to_owned(),
            provider: provider(&spec.get("provider")),
            query: spec.get("query").required_str().to_owned(),
        };
        finish(template, object, faults)
    }
}

fn provider(field: &Field<'_>) -> MetricProvider {
    let kind = field.get("type");
    let name = kind.required_str();
    if !name.is_empty() && !PROVIDER_TYPES.contains(&name) {
        kind.fault(
            format!("`{name}` is no type of provider"),
            format!("use one of {}", PROVIDER_TYPES.join(", ")),
        );
    }
    let address = field.get("address");
    let address_given = address.is_set();
    if name == "prometheus" && !address_given {
        address.fault("is missing", "give the URL of the Prometheus server");
    }
    let text = |name: &str| {
        let text = field.get(name).str().filter(|text| !text.is_empty());
        text.map(str::to_owned)
    };
    let secret = field.get("secretRef");
    MetricProvider {
        kind: name.to_owned(),
        address: if address_given { address.url() } else { None },
        headers: headers(&field.get("headers")),
        secret: secret
            .is_present()
            .then(|| secret.get("name").required_str().to_owned()),
        region: text("region"),
        insecure_skip_verify: field.get("insecureSkipVerify").bool(),
    }
}

fn headers(field: &Field<'_>) -> BTreeMap<String, Vec<String>> {
    let values = |header: &Field<'_>| {
        let items = header.items();
        let texts = items.iter().filter_map(|item| item.str().map(str::to_owned));
        texts.collect::<Vec<_>>()
    };
    field
        .entries()
        .into_iter()
        .map(|(name, header)| (name, values(&header)))
        .collect()
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn reads_a_template() {
        let template = MetricTemplate::parse(&Object::from(json!({
            "apiVersion": "flagger.app/v1beta1", "kind": "MetricTemplate",
            "metadata": { "name": "latency", "namespace": "test" },
            "spec": {
                "provider": {
                    "type": "prometheus", "address": "http://prometheus.linkerd:9090",
                    "headers": { "X-Scope-OrgID": ["a", "b"] },
                    "secretRef": { "name": "basic" }, "insecureSkipVerify": true
                },
                "query": "histogram_quantile(0.99, sum(rate(x{ns=\"{{ namespace }}\"}[{{ interval }}])))"
            }
        })))
        .unwrap();
        assert_eq!(template.provider.kind, "prometheus");
        assert_eq!(template.provider.headers["X-Scope-OrgID"], ["a", "b"]);
        assert_eq!(template.provider.secret.as_deref(), Some("basic"));
        assert!(template.provider.insecure_skip_verify);
        assert!(template.query.starts_with("histogram_quantile"));
    }

    #[test]
    fn says_what_is_wrong() {
        let error = MetricTemplate::parse(&Object::from(json!({
            "apiVersion": "flagger.app/v1beta1", "kind": "MetricTemplate", "metadata": { "name": "latency" },
            "spec": { "provider": { "type": "promtheus", "address": "prometheus:9090", "headers": { "a": "b" } } }
        })))
        .unwrap_err();
        let fields: Vec<_> = error.faults.iter().map(|fault| fault.field.as_str()).collect();
        assert_eq!(
            fields,
            [
                "spec.provider.type",
                "spec.provider.address",
                "spec.provider.headers.a",
                "spec.query"
            ]
        );
    }
}

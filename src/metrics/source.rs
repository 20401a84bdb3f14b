//! Where a metric comes from: finds template, credentials and address, and renders the query. Pure.

use std::collections::BTreeMap;

use base64::{Engine, prelude::BASE64_STANDARD};

use super::{observers, prometheus::Question};
use crate::{
    canary::{
        Canary, Metric, MetricTemplate, NotImplemented, Query, TemplateRef,
        template::{self, Names},
    },
    http::Secret,
    manifest::{Object, ObjectKey, Reading, Resource, Snapshot},
};

const PROMETHEUS: &str = "prometheus";

/// How Prometheus is told who asks.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) enum Auth {
    /// Not at all, or by the address.
    #[default]
    None,
    /// With a bearer token.
    Bearer(Secret),
    /// With a user name and a password.
    Basic(String, Secret),
}

pub(super) fn inputs(canary: &Canary, read: &Snapshot) -> Vec<ObjectKey> {
    let mut keys = Vec::new();
    for reference in templates(canary) {
        keys.push(reference.key());
        let template = read.get(&reference.key()).map(MetricTemplate::parse);
        if let Some(secret) = template.and_then(Result::ok).and_then(|t| secret_key(&t)) {
            keys.push(secret);
        }
    }
    keys.sort();
    keys.dedup();
    keys
}

pub(super) fn unsupported(canary: &Canary, read: &Snapshot) -> Vec<NotImplemented> {
    let missing = |metric: &Metric| match &metric.query {
        Query::SuccessRate | Query::Duration if !observers::implemented(canary.spec.provider) => {
            Some(format!("for provider {}", canary.spec.provider.name()))
        }
        Query::Template(reference) => {
            let template = MetricTemplate::parse(read.get(&reference.key())?).ok()?;
            (template.provider.kind != PROMETHEUS)
                .then(|| format!("MetricTemplate type {}", template.provider.kind))
        }
        Query::SuccessRate | Query::Duration | Query::Inline(_) => None,
    };
    let metrics = canary.spec.analysis.metrics.iter();
    metrics
        .filter_map(|metric| {
            missing(metric).map(|what| NotImplemented {
                field: format!("spec.analysis.metrics[{}] ({what})", metric.name),
                gates: true,
            })
        })
        .collect()
}

/// Makes the question of a metric, or the text that says why it cannot be asked.
pub(super) fn question(canary: &Canary, metric: &Metric, read: &Snapshot) -> Result<Question, String> {
    let server = |query: String| Question {
        address: canary.spec.metrics_server.clone(),
        query,
        auth: Auth::None,
        headers: BTreeMap::new(),
        skip_verify: false,
    };
    match &metric.query {
        Query::SuccessRate | Query::Duration => {
            observers::query(canary, metric).map(server).ok_or_else(|| {
                let provider = canary.spec.provider.name();
                format!(
                    "Prometheus query failed: {} of provider {provider} is not implemented",
                    metric.name
                )
            })
        }
        Query::Inline(text) => render(canary, metric, text)
            .map(server)
            .map_err(|error| format!("Prometheus query failed for {}: {error}", metric.name)),
        Query::Template(reference) => from_template(canary, metric, reference, read).map_err(|error| {
            format!(
                "Metric template {}.{} {error}",
                reference.name, reference.namespace
            )
        }),
    }
}

fn from_template(
    canary: &Canary,
    metric: &Metric,
    reference: &TemplateRef,
    read: &Snapshot,
) -> Result<Question, String> {
    let object = present(read, &reference.key()).map_err(|why| format!("error: {why}"))?;
    let template = MetricTemplate::parse(object).map_err(|error| format!("error: {error}"))?;
    let provider = &template.provider;
    if provider.kind != PROMETHEUS {
        return Err(format!("provider {} error: not implemented yet", provider.kind));
    }
    let auth = match secret_key(&template) {
        None => Auth::None,
        Some(key) => present(read, &key)
            .and_then(auth)
            .map_err(|why| format!("secret {} error: {why}", key.name))?,
    };
    Ok(Question {
        address: provider.address.clone().unwrap_or_default(),
        query: render(canary, metric, &template.query)
            .map_err(|error| format!("query render error: {error}"))?,
        auth,
        headers: provider.headers.clone(),
        skip_verify: provider.insecure_skip_verify,
    })
}

fn render(canary: &Canary, metric: &Metric, text: &str) -> Result<String, template::TemplateError> {
    template::render(text, &Names::of(canary, metric.interval, &metric.variables))
}

fn templates(canary: &Canary) -> impl Iterator<Item = &TemplateRef> {
    let metrics = canary.spec.analysis.metrics.iter();
    metrics.filter_map(|metric| match &metric.query {
        Query::Template(reference) => Some(reference),
        Query::SuccessRate | Query::Duration | Query::Inline(_) => None,
    })
}

fn secret_key(template: &MetricTemplate) -> Option<ObjectKey> {
    let name = template.provider.secret.as_deref()?;
    Some(ObjectKey::new(Resource::SECRET, &template.namespace, name))
}

fn present<'a>(read: &'a Snapshot, key: &ObjectKey) -> Result<&'a Object, String> {
    match read.read(key) {
        Reading::Present(object) => Ok(object),
        Reading::Absent => Err(format!("{key} not found")),
        Reading::Unknown => Err(format!("{key} has not been read yet")),
    }
}

/// Reads credentials: `token`, or `username` and `password`.
fn auth(secret: &Object) -> Result<Auth, String> {
    let value = |key: &str| -> Result<Option<Secret>, String> {
        let Some(encoded) = secret.at("/data").and_then(|data| data.get(key)?.as_str()) else {
            return Ok(None);
        };
        let bytes = BASE64_STANDARD.decode(encoded);
        let text = bytes.ok().and_then(|bytes| String::from_utf8(bytes).ok());
        let text = text.ok_or_else(|| format!("key {key} is not text in base64"))?;
        Ok(Some(Secret::new(&text)).filter(|secret| !secret.is_empty()))
    };
    if let Some(token) = value("token")? {
        return Ok(Auth::Bearer(token));
    }
    match (value("username")?, value("password")?) {
        (Some(user), Some(password)) => Ok(Auth::Basic(user.expose().to_owned(), password)),
        (Some(_), None) => Err("key password is missing".to_owned()),
        (None, _) => Err("neither token nor username and password".to_owned()),
    }
}

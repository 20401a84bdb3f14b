//! The built-in queries, per router: the share of requests that did not end in a 5xx, in percent, and the
//! duration of requests, in milliseconds.

use std::time::Duration;

use crate::canary::{Canary, Metric, Provider, Query, TargetKind, template::window};

/// Returns the query of a built-in metric; none if the router's are not implemented.
pub(super) fn query(canary: &Canary, metric: &Metric) -> Option<String> {
    let window = window(metric.interval.max(Duration::from_millis(1)));
    let series = match canary.spec.provider {
        Provider::Skipper => skipper(canary),
        Provider::Kubernetes => kubernetes(canary),
        _ => return None,
    };
    match metric.query {
        Query::SuccessRate => Some(success_rate(&series, &window)),
        Query::Duration => Some(duration(&series, &window)),
        Query::Inline(_) | Query::Template(_) => None,
    }
}

/// Whether the built-in queries of a router are implemented.
pub(super) fn implemented(provider: Provider) -> bool {
    matches!(provider, Provider::Skipper | Provider::Kubernetes)
}

/// The series of one router for one canary.
struct Series {
    /// Counts requests.
    requests: &'static str,
    /// Selects the canary's.
    selector: String,
    /// Selects, of a histogram, what counts all requests; empty for a counter.
    total: &'static str,
    /// Selects those that did not end in a 5xx.
    good: &'static str,
    /// How the duration is made of its series.
    duration: Timing,
}

enum Timing {
    /// Sum of seconds and count: an average.
    Average(&'static str, &'static str),
    /// A histogram of seconds: the 99th percentile.
    Percentile(&'static str),
}

/// Skipper names a route after the Ingress that it comes from: `kube_<ns>__<ingress>__<host>__<path>__<service>`,
/// every other character an underscore; `kubeew` is the east-west twin, a number is added if there are several.
fn skipper(canary: &Canary) -> Series {
    let id = |text: &str| text.replace(|c: char| !c.is_ascii_alphanumeric(), "_");
    let namespace = id(&canary.namespace);
    let ingress = id(canary
        .spec
        .ingress
        .as_deref()
        .unwrap_or(&canary.spec.service.name));
    let service = id(&canary.spec.service.name);
    Series {
        requests: "skipper_response_duration_seconds_bucket",
        selector: format!(
            r#"route=~"kube(ew)?_{namespace}__{ingress}_canary__.*__{service}_canary(_[0-9]+)?""#
        ),
        total: r#",le="+Inf""#,
        good: r#"code!~"5..""#,
        duration: Timing::Average(
            "skipper_serve_route_duration_seconds_sum",
            "skipper_serve_route_duration_seconds_count",
        ),
    }
}

/// The workload counts its own requests. The pattern must not match the pods of `<target>-primary`: those of
/// a Deployment have two more parts in their names, those of a DaemonSet one.
fn kubernetes(canary: &Canary) -> Series {
    let pods = match canary.spec.target.kind {
        TargetKind::DaemonSet => "[0-9a-zA-Z]+",
        TargetKind::Deployment | TargetKind::Service => "[0-9a-zA-Z]+-[0-9a-zA-Z]+",
    };
    // In a PromQL string a backslash is written twice.
    let target = canary.spec.target.name.replace('.', r"\\.");
    Series {
        requests: "http_request_duration_seconds_count",
        selector: format!(
            r#"kubernetes_namespace="{}",kubernetes_pod_name=~"{target}-{pods}""#,
            canary.namespace
        ),
        total: "",
        good: r#"status!~"5..""#,
        duration: Timing::Percentile("http_request_duration_seconds_bucket"),
    }
}

/// The share is 0 if there are only bad requests (a plain quotient would have no value then: no series counts
/// good ones), and not a number if there are none at all.
fn success_rate(series: &Series, window: &str) -> String {
    let Series {
        requests,
        selector,
        total,
        good,
        ..
    } = series;
    let all = format!("sum(rate({requests}{{{selector}{total}}}[{window}]))");
    let good = format!("sum(rate({requests}{{{selector},{good}{total}}}[{window}]))");
    format!("({good} or 0 * {all}) / {all} * 100")
}

fn duration(series: &Series, window: &str) -> String {
    let selector = &series.selector;
    match series.duration {
        Timing::Average(sum, count) => format!(
            "sum(rate({sum}{{{selector}}}[{window}])) / sum(rate({count}{{{selector}}}[{window}])) * 1000"
        ),
        Timing::Percentile(bucket) => {
            format!("histogram_quantile(0.99, sum(rate({bucket}{{{selector}}}[{window}])) by (le)) * 1000")
        }
    }
}

//! Metric checks: what is asked of which server, and what its answer means.
//!
//! Every source has one shape: a pure translation (query text and request), a thin send through
//! [`crate::http`], and a pure verdict. This room never decides what a verdict leads to. No value, a value
//! that is not a number, a server that is late and a server that is down are four different verdicts; none
//! of them passes.

mod observers;
mod prometheus;
mod source;
mod verdict;

use crate::{
    canary::{Canary, Metric, NotImplemented, Verdict},
    http::Client,
    manifest::{ObjectKey, Snapshot},
    rollout::Answer,
};

/// Returns the objects that the metrics of a canary need: MetricTemplates, and the Secrets that those name as
/// far as they were read. Read what is returned and ask again, until nothing is new.
#[must_use]
pub fn inputs(canary: &Canary, read: &Snapshot) -> Vec<ObjectKey> {
    source::inputs(canary, read)
}

/// Returns what the metrics of a canary need and Serin does not have yet: built-in queries of other routers,
/// MetricTemplates of other types. All of it gates.
#[must_use]
pub fn unsupported(canary: &Canary, read: &Snapshot) -> Vec<NotImplemented> {
    source::unsupported(canary, read)
}

/// Measures one metric of a canary, named as in the Canary or as in an
/// [`AskId`](crate::rollout::AskId) (`metric/<name>`).
pub async fn ask(name: &str, canary: &Canary, read: &Snapshot, client: &Client) -> Answer {
    let name = name.strip_prefix("metric/").unwrap_or(name);
    let Some(metric) = canary.spec.analysis.metrics.iter().find(|m| m.name == name) else {
        return unavailable(format!(
            "Metric query failed for {name}: the Canary has no such metric"
        ));
    };
    let reading = match source::question(canary, metric, read) {
        Ok(question) => prometheus::send(question, client).await,
        Err(text) => return unavailable(text),
    };
    verdict::judge(canary, metric, &reading)
}

/// Returns the limits of a metric for a human, such as `≥ 99` or `1–500`.
#[must_use]
pub fn limits(metric: &Metric) -> String {
    match (metric.range.min, metric.range.max) {
        (Some(min), Some(max)) => format!("{min}–{max}"),
        (Some(min), None) => format!("≥ {min}"),
        (None, Some(max)) => format!("≤ {max}"),
        (None, None) => "any".to_owned(),
    }
}

fn unavailable(text: String) -> Answer {
    Answer {
        verdict: Verdict::Unavailable,
        value: None,
        text,
    }
}

/// What a server said, before it is held against the limits.
#[derive(Clone, Debug, PartialEq)]
enum Reading {
    /// A number, maybe infinite.
    Value(f64),
    /// There is no value.
    Empty,
    /// There is a value, and it is not a number.
    NotANumber,
    /// No answer in time; says who was late.
    TimedOut(String),
    /// No usable answer; says why.
    Unavailable(String),
}

#[cfg(test)]
mod tests;

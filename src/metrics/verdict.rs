//! What a reading means for a metric, in Flagger's words where it has some.

use super::Reading;
use crate::{
    canary::{Canary, Metric, Query, Verdict},
    rollout::Answer,
};

/// Holds a reading against the limits of a metric.
pub(super) fn judge(canary: &Canary, metric: &Metric, reading: &Reading) -> Answer {
    let answer = |verdict, value, text| Answer { verdict, value, text };
    match reading {
        Reading::Value(value) => in_range(canary, metric, *value),
        Reading::Empty => answer(Verdict::NoData, None, no_values(canary, metric, None)),
        Reading::NotANumber => {
            let text = no_values(canary, metric, Some("the value is not a number"));
            answer(Verdict::NotANumber, None, text)
        }
        Reading::TimedOut(why) => answer(Verdict::TimedOut, None, query_failed(metric, why)),
        Reading::Unavailable(why) => answer(Verdict::Unavailable, None, query_failed(metric, why)),
    }
}

fn in_range(canary: &Canary, metric: &Metric, value: f64) -> Answer {
    // Flagger judges durations in whole milliseconds; so must we, or 500.4 ms would read "500ms > 500ms".
    let value = match metric.query {
        Query::Duration => value.trunc(),
        _ => value,
    };
    let broken = match (metric.range.min, metric.range.max) {
        (Some(min), _) if value < min => Some(('<', min)),
        (_, Some(max)) if value > max => Some(('>', max)),
        _ => None,
    };
    if let Some((sign, limit)) = broken {
        return Answer {
            verdict: Verdict::Failed,
            value: Some(value).filter(|value| value.is_finite()),
            text: halt(canary, metric, value, sign, limit),
        };
    }
    if !value.is_finite() {
        return Answer {
            verdict: Verdict::NotANumber,
            value: None,
            text: no_values(canary, metric, Some("the value is infinite")),
        };
    }
    Answer {
        verdict: Verdict::Passed,
        value: Some(value),
        text: String::new(),
    }
}

fn halt(canary: &Canary, metric: &Metric, value: f64, sign: char, limit: f64) -> String {
    let (name, namespace) = (&canary.name, &canary.namespace);
    let what = match metric.query {
        Query::SuccessRate => format!("success rate {value:.2}% {sign} {limit}%"),
        Query::Duration => format!(
            "request duration {} {sign} {}",
            go_duration(value),
            go_duration(limit)
        ),
        Query::Inline(_) | Query::Template(_) => format!("{} {value:.2} {sign} {limit}", metric.name),
    };
    format!("Halt {name}.{namespace} advancement {what}")
}

fn no_values(canary: &Canary, metric: &Metric, why: Option<&str>) -> String {
    let name = &metric.name;
    match metric.query {
        Query::SuccessRate | Query::Duration => {
            let (provider, target) = (canary.spec.provider.name(), &canary.spec.target.name);
            let tail = why.map(|why| format!(": {why}")).unwrap_or_default();
            format!(
                "Halt advancement no values found for {provider} metric {name} probably {target}.{} is not receiving traffic{tail}",
                canary.namespace
            )
        }
        Query::Inline(_) => {
            let tail = why.map(|why| format!(": {why}")).unwrap_or_default();
            format!("Halt advancement no values found for metric: {name}{tail}")
        }
        Query::Template(_) => {
            let why = why.unwrap_or("the query returned nothing");
            format!("Halt advancement no values found for custom metric: {name}: {why}")
        }
    }
}

fn query_failed(metric: &Metric, why: &str) -> String {
    match metric.query {
        Query::SuccessRate | Query::Duration => format!("Prometheus query failed: {why}"),
        Query::Inline(_) => format!("Prometheus query failed for {}: {why}", metric.name),
        Query::Template(_) => format!("Metric query failed for {}: {why}", metric.name),
    }
}

/// Writes milliseconds as Go prints a duration: `500ms`, `1.515s`, `1m0.5s`, `2h0m0s`.
fn go_duration(millis: f64) -> String {
    if !millis.is_finite() {
        return format!("{millis}ms");
    }
    #[expect(
        clippy::cast_possible_truncation,
        reason = "saturates; a duration of more years is no use"
    )]
    let whole = millis as i64;
    let sign = if whole < 0 { "-" } else { "" };
    let whole = whole.unsigned_abs();
    if whole == 0 {
        return "0s".to_owned();
    }
    if whole < 1000 {
        return format!("{sign}{whole}ms");
    }
    let (minutes, rest) = (whole / 60_000, whole % 60_000);
    let fraction = format!("{:03}", rest % 1000);
    let fraction = fraction.trim_end_matches('0');
    let point = if fraction.is_empty() { "" } else { "." };
    let seconds = format!("{}{point}{fraction}s", rest / 1000);
    match (minutes / 60, minutes % 60) {
        (0, 0) => format!("{sign}{seconds}"),
        (0, minutes) => format!("{sign}{minutes}m{seconds}"),
        (hours, minutes) => format!("{sign}{hours}h{minutes}m{seconds}"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn durations_read_as_go_prints_them() {
        for (millis, text) in [
            (0.0, "0s"),
            (0.9, "0s"),
            (1.0, "1ms"),
            (500.0, "500ms"),
            (999.9, "999ms"),
            (1000.0, "1s"),
            (1515.0, "1.515s"),
            (1500.0, "1.5s"),
            (10_050.0, "10.05s"),
            (60_000.0, "1m0s"),
            (60_500.0, "1m0.5s"),
            (7_200_000.0, "2h0m0s"),
            (-1500.0, "-1.5s"),
        ] {
            assert_eq!(go_duration(millis), text);
        }
    }
}

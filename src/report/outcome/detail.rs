//! The page of a rollout, in markdown, for forges that have room for one: where it is, and every measurement.
//! Names and texts are other people's: they are escaped, so that they show as they are and nothing else. Pure.

use std::fmt::Write as _;

use crate::{
    canary::{Canary, Measurement, Range, Status, Verdict},
    http::excerpt,
};

/// Greatest length of a text in a cell, in characters.
const CELL: usize = 120;

/// Says what a canary's status tells of the run in progress, or of the last one.
#[must_use]
pub fn detail(canary: &Canary, status: &Status) -> String {
    let target = &canary.spec.target;
    let mut page = format!(
        "**{}** `{}`: {}, {} % of the traffic to the canary, {} of {} failed checks allowed\n",
        escape(target.kind.name()),
        escape_code(&target.name),
        escape(status.phase.name()),
        status.canary_weight,
        status.failed_checks,
        canary.spec.analysis.threshold,
    );
    if let Some(why) = &status.reason {
        let _ = write!(page, "\n{}\n", escape(why));
    }
    let run = status.run.as_ref().map(|run| run.id.as_str());
    let measured: Vec<&Measurement> = status
        .measurements
        .iter()
        .filter(|measurement| run.is_none_or(|run| run == measurement.run))
        .collect();
    if measured.is_empty() {
        return page;
    }
    page.push_str("\n| weight | check | value | wanted | verdict |\n| ---: | --- | ---: | --- | --- |\n");
    for measurement in measured {
        page.push_str(&row(canary, measurement));
    }
    page
}

fn row(canary: &Canary, measurement: &Measurement) -> String {
    let metrics = &canary.spec.analysis.metrics;
    let metric = metrics.iter().find(|metric| metric.name == measurement.name);
    let value = measurement.value.map_or_else(String::new, number);
    let wanted = metric.map_or_else(String::new, |metric| wanted(metric.range));
    let verdict = match measurement.verdict {
        Verdict::Passed => "passed".to_owned(),
        verdict if measurement.message.is_empty() => format!("**{}**", verdict.name()),
        verdict => format!("**{}**: {}", verdict.name(), escape(&measurement.message)),
    };
    format!(
        "| {} % | {} | {} | {wanted} | {verdict} |\n",
        measurement.weight,
        escape(&measurement.name),
        escape(&value),
    )
}

/// Writes a number with no more digits than tell something.
fn number(value: f64) -> String {
    let text = format!("{value:.3}");
    text.trim_end_matches('0').trim_end_matches('.').to_owned()
}

fn wanted(range: Range) -> String {
    match (range.min, range.max) {
        (Some(min), Some(max)) => escape(&format!("{} to {}", number(min), number(max))),
        (Some(min), None) => escape(&format!("at least {}", number(min))),
        (None, Some(max)) => escape(&format!("at most {}", number(max))),
        (None, None) => String::new(),
    }
}

/// Makes a text show as it is, on one line: nothing in it is a link, a mention, a cell, or markup.
#[must_use]
pub fn escape(text: &str) -> String {
    let mut out = String::new();
    for c in excerpt(text, CELL).chars() {
        match c {
            // What names a person would call them; the space has no width.
            '@' => out.push_str("@\u{200b}"),
            // These are plain in a text, and a number is easier to read without marks.
            ' ' | ',' | '.' | ':' | '%' | '/' | '=' | ';' | '\'' | '"' | '?' => out.push(c),
            c if c.is_ascii_punctuation() => out.extend(['\\', c]),
            c => out.push(c),
        }
    }
    // What looks like an address would become a link.
    out.replace("://", ":\u{200b}//").replace("www.", "www\u{200b}.")
}

fn escape_code(text: &str) -> String {
    excerpt(text, CELL).replace('`', "'")
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;
    use crate::{
        canary::{Defaults, Phase, RunStatus},
        manifest::Object,
    };

    fn canary() -> Canary {
        let object = Object::from(json!({
            "apiVersion": "flagger.app/v1beta1", "kind": "Canary",
            "metadata": { "namespace": "test", "name": "podinfo" },
            "spec": {
                "provider": "kubernetes",
                "targetRef": { "apiVersion": "apps/v1", "kind": "Deployment", "name": "podinfo" },
                "service": { "port": 9898 },
                "analysis": {
                    "iterations": 2, "threshold": 5, "interval": "10s",
                    "metrics": [
                        { "name": "request-success-rate", "interval": "1m", "thresholdRange": { "min": 99 } },
                        { "name": "latency", "interval": "1m", "query": "x", "thresholdRange": { "max": 0.5 } }
                    ]
                }
            }
        }));
        Canary::parse(&object, &Defaults::default()).unwrap()
    }

    fn measured(run: &str, name: &str, verdict: Verdict, value: Option<f64>, message: &str) -> Measurement {
        Measurement {
            name: name.to_owned(),
            run: run.to_owned(),
            tick: 1,
            weight: 20,
            verdict,
            value,
            message: message.to_owned(),
            at: "2026-11-22T03:00:00Z".parse().unwrap(),
        }
    }

    fn status(measurements: Vec<Measurement>) -> Status {
        Status {
            phase: Phase::Progressing,
            canary_weight: 20,
            failed_checks: 1,
            run: Some(RunStatus {
                id: "2-ab".to_owned(),
                ..RunStatus::default()
            }),
            measurements,
            ..Status::default()
        }
    }

    #[test]
    fn the_measurements_of_the_run_are_a_table() {
        let status = status(vec![
            measured("1-ff", "latency", Verdict::Passed, Some(0.1), ""),
            measured("2-ab", "request-success-rate", Verdict::Passed, Some(99.5), ""),
            measured(
                "2-ab",
                "latency",
                Verdict::Failed,
                Some(0.98765),
                "latency 0.99 > 0.5",
            ),
            measured("2-ab", "smoke", Verdict::TimedOut, None, ""),
        ]);
        assert_eq!(
            detail(&canary(), &status),
            "**Deployment** `podinfo`: Progressing, 20 % of the traffic to the canary, 1 of 5 failed checks allowed\n\
             \n\
             | weight | check | value | wanted | verdict |\n\
             | ---: | --- | ---: | --- | --- |\n\
             | 20 % | request\\-success\\-rate | 99.5 | at least 99 | passed |\n\
             | 20 % | latency | 0.988 | at most 0.5 | **Failed**: latency 0.99 \\> 0.5 |\n\
             | 20 % | smoke |  |  | **TimedOut** |\n"
        );
    }

    #[test]
    fn hostile_texts_show_as_they_are() {
        let hostile =
            "x | y\n@owner [a](http://evil.example) <img src=x> `c` #1 **b** _i_ ~s~ \\ www.evil.example";
        let row = detail(
            &canary(),
            &status(vec![measured("2-ab", hostile, Verdict::Failed, None, hostile)]),
        );
        let row = row.lines().last().unwrap();
        // What stands after a backslash is shown as it is.
        let mut live = String::new();
        let mut rest = row.chars();
        while let Some(c) = rest.next() {
            match c {
                '\\' => drop(rest.next()),
                c => live.push(c),
            }
        }
        assert_eq!(live.matches('|').count(), 6, "{row}");
        for markup in [
            "[", "]", "(", "<", ">", "`", "#", "_", "~", "@owner", "://", "www.evil",
        ] {
            assert!(!live.contains(markup), "{markup}: {row}");
        }
        assert_eq!(live.matches('*').count(), 4, "only ours: {row}");
    }

    #[test]
    fn the_page_is_bounded() {
        let long = "é|".repeat(5000);
        let rows = (0..30)
            .map(|_| measured("2-ab", &long, Verdict::Failed, None, &long))
            .collect();
        let page = detail(&canary(), &status(rows));
        assert!(
            page.chars().count() < crate::report::CommitStatus::DETAIL,
            "{}",
            page.chars().count()
        );
    }
}

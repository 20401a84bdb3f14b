//! Reads `spec.analysis`, or `spec.canaryAnalysis` of older Canaries.

use std::{collections::BTreeSet, time::Duration};

use super::{
    super::{
        Defaults, Provider,
        spec::{Analysis, Hook, HookKind, Metric, NotImplemented, Query, Range, Strategy, TemplateRef},
    },
    Remarks,
    reader::Field,
};

const DEFAULT_INTERVAL: Duration = Duration::from_secs(60);
const LEAST_INTERVAL: Duration = Duration::from_secs(1);
const DEFAULT_WINDOW: Duration = Duration::from_secs(60);
const DEFAULT_HOOK_TIMEOUT: Duration = Duration::from_secs(10);
/// Blue/green checks with provider kubernetes when a Canary names none; Flagger's number.
const DEFAULT_ITERATIONS: u32 = 10;

/// Types of hooks that Flagger knows, and whether leaving one out would change what is promoted.
const OTHER_HOOKS: [(&str, bool); 6] = [
    ("pre-rollout", true),
    ("confirm-rollout", true),
    ("confirm-traffic-increase", true),
    ("rollback", true),
    ("post-rollout", false),
    ("event", false),
];

/// What surrounds the analysis.
pub(super) struct Around<'a> {
    pub(super) namespace: &'a str,
    pub(super) provider: Provider,
    pub(super) skip: bool,
    pub(super) defaults: &'a Defaults,
}

pub(super) fn read(analysis: &Field<'_>, around: &Around<'_>, remarks: &mut Remarks) -> Analysis {
    not_implemented(analysis, around.provider, remarks);
    let threshold = analysis.get("threshold").integer().unwrap_or(1).max(1);
    let metrics = analysis.get("metrics").items();
    let hooks = analysis.get("webhooks").items();
    Analysis {
        interval: interval(&analysis.get("interval"), remarks),
        threshold: u32::try_from(threshold).unwrap_or(u32::MAX),
        strategy: strategy(analysis, around, remarks),
        metrics: unique(
            metrics
                .iter()
                .map(|field| metric(field, around, remarks))
                .collect(),
            |metric| &mut metric.name,
        ),
        hooks: unique(
            hooks.iter().filter_map(|field| hook(field, remarks)).collect(),
            |hook| &mut hook.name,
        ),
        primary_ready_threshold: analysis.get("primaryReadyThreshold").percent(0).unwrap_or(100),
        canary_ready_threshold: analysis.get("canaryReadyThreshold").percent(0).unwrap_or(100),
    }
}

fn not_implemented(analysis: &Field<'_>, provider: Provider, remarks: &mut Remarks) {
    for name in ["mirror", "sessionAffinity", "stepWeightPromotion"] {
        remarks.not_implemented(&analysis.get(name), true);
    }
    remarks.not_implemented(&analysis.get("alerts"), false);
    let matching = analysis.get("match");
    if provider == Provider::Kubernetes {
        if matching.is_set() {
            remarks.warn("A/B testing is not supported when using the kubernetes provider");
        }
    } else {
        remarks.not_implemented(&matching, true);
    }
}

fn interval(field: &Field<'_>, remarks: &mut Remarks) -> Duration {
    let interval = field.duration().unwrap_or(DEFAULT_INTERVAL);
    if interval < LEAST_INTERVAL {
        remarks.warn(format!("{} is below 1s, 1s is used", field.path()));
    }
    interval.max(LEAST_INTERVAL)
}

fn strategy(analysis: &Field<'_>, around: &Around<'_>, remarks: &mut Remarks) -> Strategy {
    let iterations = analysis.get("iterations").count().unwrap_or_default();
    if iterations > 0 {
        return Strategy::Iterations(iterations);
    }
    if around.skip {
        return Strategy::Iterations(1);
    }
    if around.provider == Provider::Kubernetes {
        remarks.warn("Progressive traffic is not supported when using the kubernetes provider");
        remarks.warn(format!("Setting canaryAnalysis.iterations: {DEFAULT_ITERATIONS}"));
        return Strategy::Iterations(DEFAULT_ITERATIONS);
    }
    let weights = weights(analysis);
    if weights.is_empty() {
        analysis.fault(
            "has neither `stepWeight`, `stepWeights` nor `iterations`, so the canary would never advance",
            "add `stepWeight: 10`, a list `stepWeights`, or `iterations: 10` for blue/green",
        );
        return Strategy::Iterations(1);
    }
    Strategy::Weights(weights)
}

/// Returns the weights that are routed one after the other; empty when none are asked for.
fn weights(analysis: &Field<'_>) -> Vec<u8> {
    let step = analysis.get("stepWeight").percent(0).unwrap_or_default();
    if step == 0 {
        return listed(&analysis.get("stepWeights"));
    }
    let max = analysis.get("maxWeight").percent(0).filter(|max| *max > 0);
    linear(step, max.unwrap_or(100))
}

/// Steps until `max` is reached; the last may be above it, as with Flagger.
fn linear(step: u8, max: u8) -> Vec<u8> {
    let mut weights = Vec::new();
    let mut weight = 0u8;
    while weight < max {
        weight = weight.saturating_add(step.max(1)).min(100);
        weights.push(weight);
    }
    weights
}

fn listed(list: &Field<'_>) -> Vec<u8> {
    let mut weights: Vec<u8> = Vec::new();
    for item in list.items() {
        let Some(weight) = item.percent(1) else { continue };
        if let Some(before) = weights.last().filter(|before| **before >= weight) {
            item.fault(
                format!("{weight} is not above {before}, the step before it"),
                "list the weights in ascending order, each once",
            );
            continue;
        }
        weights.push(weight);
    }
    if weights.is_empty() && list.is_set() {
        // The faults of the items say what is wrong; a second one about a missing step would mislead.
        weights.push(100);
    }
    weights
}

fn metric(field: &Field<'_>, around: &Around<'_>, remarks: &mut Remarks) -> Metric {
    let name = field.get("name").required_str();
    let query = query(field, name, around);
    Metric {
        name: name.to_owned(),
        interval: field
            .get("interval")
            .duration()
            .filter(|window| !window.is_zero())
            .unwrap_or(DEFAULT_WINDOW),
        range: range(field, &query, remarks),
        query,
        variables: field.get("templateVariables").strings(),
    }
}

fn query(field: &Field<'_>, name: &str, around: &Around<'_>) -> Query {
    let template = field.get("templateRef");
    if template.is_present() {
        return Query::Template(template_ref(&template, around));
    }
    let inline = field.get("query").str().unwrap_or_default();
    match (inline, name) {
        ("", "request-success-rate") => Query::SuccessRate,
        ("", "request-duration") => Query::Duration,
        ("", _) => {
            field.fault(
                format!("metric `{name}` has no query"),
                "add `templateRef` or `query`, or name it `request-success-rate` or `request-duration`",
            );
            Query::SuccessRate
        }
        (inline, _) => Query::Inline(inline.to_owned()),
    }
}

fn template_ref(field: &Field<'_>, around: &Around<'_>) -> TemplateRef {
    let namespace = field.get("namespace");
    let name = field.get("name").required_str().to_owned();
    let asked = namespace.str().filter(|text| !text.is_empty());
    let asked = asked.unwrap_or(around.namespace);
    if around.defaults.no_cross_namespace_refs && asked != around.namespace {
        namespace.fault(
            format!("`{asked}` is not the Canary's namespace"),
            "move the MetricTemplate into the Canary's namespace, or run without --no-cross-namespace-refs",
        );
    }
    TemplateRef {
        namespace: asked.to_owned(),
        name,
    }
}

fn range(field: &Field<'_>, query: &Query, remarks: &mut Remarks) -> Range {
    let both = field.get("thresholdRange");
    let (min, max) = (both.get("min").float(), both.get("max").float());
    if let (Some(min), Some(max)) = (min, max)
        && min > max
    {
        both.fault(format!("min {min} is above max {max}"), "swap them");
    }
    if min.is_some() || max.is_some() {
        return Range { min, max };
    }
    let threshold = field.get("threshold").float();
    if threshold.is_none() {
        remarks.warn(match query {
            Query::SuccessRate => format!("{} has no limit, so every value passes", field.path()),
            _ => format!("{} has no limit, so every value above 0 fails", field.path()),
        });
    }
    let limit = Some(threshold.unwrap_or_default());
    match query {
        Query::SuccessRate => Range {
            min: limit,
            max: None,
        },
        _ => Range {
            min: None,
            max: limit,
        },
    }
}

fn hook(field: &Field<'_>, remarks: &mut Remarks) -> Option<Hook> {
    let name = field.get("name").required_str().to_owned();
    let kind = hook_kind(&field.get("type"), remarks);
    let url = field.get("url");
    if !url.is_present() {
        url.fault("is missing", "give the address that the hook calls");
    }
    let hook = Hook {
        name,
        kind: kind.unwrap_or(HookKind::Rollout),
        url: url.url().unwrap_or_default(),
        timeout: field
            .get("timeout")
            .duration()
            .filter(|timeout| !timeout.is_zero())
            .unwrap_or(DEFAULT_HOOK_TIMEOUT),
        retries: field.get("retries").count().unwrap_or_default(),
        disable_tls: field.get("disableTLS").bool(),
        metadata: field.get("metadata").strings(),
    };
    kind.map(|_| hook)
}

/// Returns none for a kind that is not implemented, or that does not exist.
fn hook_kind(field: &Field<'_>, remarks: &mut Remarks) -> Option<HookKind> {
    let name = field.str().unwrap_or_default();
    match name {
        "" | "rollout" => return Some(HookKind::Rollout),
        "confirm-promotion" => return Some(HookKind::ConfirmPromotion),
        _ => {}
    }
    if let Some((_, gates)) = OTHER_HOOKS.into_iter().find(|(other, _)| *other == name) {
        remarks.not_implemented.push(NotImplemented {
            field: format!("{}={name}", field.path()),
            gates,
        });
    } else {
        let known: Vec<_> = OTHER_HOOKS.into_iter().map(|(other, _)| other).collect();
        field.fault(
            format!("`{name}` is no type of hook"),
            format!("use one of rollout, confirm-promotion, {}", known.join(", ")),
        );
    }
    None
}

/// Makes names unique: Flagger accepts a name twice, but answers are told apart by name.
fn unique<T>(mut items: Vec<T>, name: impl Fn(&mut T) -> &mut String) -> Vec<T> {
    let mut taken = BTreeSet::new();
    let mut again = Vec::new();
    for (i, item) in items.iter_mut().enumerate() {
        if !taken.insert(name(item).clone()) {
            again.push(i);
        }
    }
    for i in again {
        let Some(item) = items.get_mut(i) else { continue };
        let base = name(item).clone();
        let free = (2..=u32::MAX)
            .map(|n| format!("{base}-{n}"))
            .find(|candidate| !taken.contains(candidate));
        if let Some(free) = free {
            taken.insert(free.clone());
            *name(item) = free;
        }
    }
    items
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn steps_end_at_or_above_the_maximum() {
        assert_eq!(linear(20, 60), [20, 40, 60]);
        assert_eq!(linear(20, 50), [20, 40, 60]);
        assert_eq!(linear(30, 100), [30, 60, 90, 100]);
        assert_eq!(linear(100, 50), [100]);
    }

    proptest! {
        #[test]
        fn steps_ascend_and_reach_the_maximum(step in 1u8..=100, max in 1u8..=100) {
            let weights = linear(step, max);
            prop_assert!(weights.is_sorted_by(|a, b| a < b));
            prop_assert!(weights.iter().all(|w| (1..=100).contains(w)));
            prop_assert!(*weights.last().unwrap() >= max);
            prop_assert!(weights.iter().rev().skip(1).all(|w| *w < max));
        }

        #[test]
        fn names_become_unique(names in prop::collection::vec("[ab](-2)?", 0..8)) {
            let made = unique(names.clone(), |name| name);
            let set: BTreeSet<_> = made.iter().collect();
            prop_assert_eq!(set.len(), names.len());
            for name in &names {
                prop_assert!(made.contains(name));
            }
        }
    }
}

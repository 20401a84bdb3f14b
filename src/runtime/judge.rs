//! Whose thresholds judge: puts those of the promoted revision on a Canary where that is asked for, and keeps
//! what judges now at each promotion.

use std::sync::Arc;

use super::Shared;
use crate::{
    canary::{Canary, Edited, JudgeBy, Query, SpecError, Status, Thresholds, promotes},
    manifest::{Object, ObjectKey, Reading, Snapshot},
};

const FITS_NOT: &str =
    "they no longer fit the rest of the spec: take that edit back, or promote once with --judge-by commit";

/// What judges a Canary.
pub(super) struct Bench {
    /// The Canary as it is judged.
    pub(super) canary: Canary,
    /// MetricTemplates that count instead of those in the cluster.
    pub(super) held: Vec<Object>,
    /// What the Canary itself brings; nothing until all of it was read.
    own: Option<Thresholds>,
}

impl Bench {
    /// Decides what judges a Canary, `own` as it was read from `object`.
    pub(super) fn of(
        shared: &Arc<Shared>,
        object: &Object,
        own: Canary,
        status: &Status,
    ) -> Result<Self, SpecError> {
        let keys = templates(&own);
        shared.watch_keys(&own.key(), &keys);
        let brought = brought(object, &keys, &shared.cluster.read(&keys));
        decide(object, own, brought, status.thresholds.as_ref(), &shared.defaults)
    }

    /// Whether all that judges was read.
    pub(super) fn is_complete(&self) -> bool {
        self.own.is_some()
    }

    /// Keeps in a status what judges now, if that is what was promoted. What is too large to keep is not kept.
    pub(super) fn keep(&self, before: &Status, next: &mut Status) {
        let begun = !next.phase.name().is_empty() && next.phase != crate::canary::Phase::Initializing;
        let first = before.thresholds.is_none() && begun;
        if let Some(own) = &self.own
            && (first || promotes(before.phase, next.phase))
        {
            next.thresholds = own.excess().is_none().then(|| own.clone());
        }
    }
}

/// The MetricTemplates that a Canary names.
fn templates(canary: &Canary) -> Vec<ObjectKey> {
    let metrics = canary.spec.analysis.metrics.iter();
    let named = metrics.filter_map(|metric| match &metric.query {
        Query::Template(template) => Some(template.key()),
        Query::SuccessRate | Query::Duration | Query::Inline(_) => None,
    });
    named.collect()
}

/// What a Canary brings itself; nothing while one of its templates was not read.
fn brought(object: &Object, keys: &[ObjectKey], snapshot: &Snapshot) -> Option<Thresholds> {
    let read = keys.iter().all(|key| snapshot.read(key) != Reading::Unknown);
    let templates = keys.iter().filter_map(|key| snapshot.get(key));
    read.then(|| Thresholds::of(object, templates))
}

fn decide(
    object: &Object,
    mut own: Canary,
    brought: Option<Thresholds>,
    promoted: Option<&Thresholds>,
    defaults: &crate::canary::Defaults,
) -> Result<Bench, SpecError> {
    let judged_by = defaults.judge_by;
    if let Some(size) = brought.as_ref().and_then(Thresholds::excess)
        && judged_by == JudgeBy::Promoted
    {
        return Err(too_large(object, size));
    }
    let fields = promoted
        .zip(brought.as_ref())
        .and_then(|(old, new)| old.edited_in(new));
    own.spec.edited = fields.map(|fields| Edited { fields, judged_by });
    let (canary, held) = match promoted.filter(|_| judged_by == JudgeBy::Promoted) {
        Some(promoted) => {
            let mut judged = Canary::parse(&promoted.put_on(object), defaults).map_err(no_longer_fits)?;
            judged.spec.edited = own.spec.edited;
            (judged, promoted.metric_templates())
        }
        None => (own, Vec::new()),
    };
    Ok(Bench {
        canary,
        held,
        own: brought,
    })
}

fn too_large(object: &Object, size: usize) -> SpecError {
    let limit = Thresholds::LIMIT;
    SpecError::new(
        object,
        "spec.analysis",
        &format!("has {size} bytes with its MetricTemplates, and --judge-by promoted keeps at most {limit}"),
        "shorten the queries, or run with --judge-by commit",
    )
}

/// The Canary itself is valid, but not with the thresholds of the promoted revision.
fn no_longer_fits(mut error: SpecError) -> SpecError {
    for fault in &mut error.faults {
        fault.problem = format!("{} in the thresholds of the promoted revision", fault.problem);
        FITS_NOT.clone_into(&mut fault.hint);
    }
    error
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use super::*;
    use crate::canary::{Defaults, Phase};

    fn canary(provider: &str, analysis: &Value) -> Object {
        Object::from(json!({
            "apiVersion": "flagger.app/v1beta1", "kind": "Canary",
            "metadata": {"name": "podinfo", "namespace": "test"},
            "spec": {"provider": provider, "ingressRef": {"name": "podinfo"},
                "targetRef": {"apiVersion": "apps/v1", "kind": "Deployment", "name": "podinfo"},
                "service": {"port": 80}, "analysis": analysis},
        }))
    }

    fn strict() -> Object {
        canary(
            "skipper",
            &json!({"stepWeight": 20, "maxWeight": 60, "threshold": 2}),
        )
    }

    fn loose() -> Object {
        canary(
            "skipper",
            &json!({"stepWeight": 20, "maxWeight": 60, "threshold": 50}),
        )
    }

    fn bench(object: &Object, promoted: Option<&Object>, judge_by: JudgeBy) -> Result<Bench, SpecError> {
        let defaults = Defaults {
            judge_by,
            ..Defaults::default()
        };
        let own = Canary::parse(object, &defaults)?;
        let promoted = promoted.map(|object| Thresholds::of(object, std::iter::empty()));
        let brought = Thresholds::of(object, std::iter::empty());
        decide(object, own, Some(brought), promoted.as_ref(), &defaults)
    }

    #[test]
    fn a_loosened_threshold_counts_by_policy() {
        for (judge_by, threshold) in [(JudgeBy::Commit, 50), (JudgeBy::Promoted, 2)] {
            let bench = bench(&loose(), Some(&strict()), judge_by).unwrap();
            assert_eq!(bench.canary.spec.analysis.threshold, threshold);
            let edited = bench.canary.spec.edited.unwrap();
            assert_eq!(
                (edited.fields.as_str(), edited.judged_by),
                ("spec.analysis.threshold", judge_by)
            );
        }
        let same = bench(&strict(), Some(&strict()), JudgeBy::Promoted).unwrap();
        assert_eq!(same.canary.spec.edited, None);
        let first = bench(&strict(), None, JudgeBy::Promoted).unwrap();
        assert_eq!(
            (first.canary.spec.analysis.threshold, first.canary.spec.edited),
            (2, None)
        );
    }

    #[test]
    fn new_thresholds_are_kept_at_the_next_promotion_and_not_before() {
        let bench = bench(&loose(), Some(&strict()), JudgeBy::Promoted).unwrap();
        let status = |phase| Status {
            phase,
            thresholds: Some(Thresholds::of(&strict(), std::iter::empty())),
            ..Status::default()
        };
        for (before, after, kept) in [
            (Phase::Succeeded, Phase::Progressing, false),
            (Phase::Progressing, Phase::Failed, false),
            (Phase::Promoting, Phase::Failed, false),
            (Phase::Failed, Phase::Succeeded, false),
            (Phase::Promoting, Phase::Finalising, true),
        ] {
            let mut next = status(after);
            bench.keep(&status(before), &mut next);
            let expected = if kept { loose() } else { strict() };
            let expected = Thresholds::of(&expected, std::iter::empty());
            assert_eq!(next.thresholds, Some(expected), "{before:?} to {after:?}");
        }
    }

    #[test]
    fn a_status_without_thresholds_gets_those_that_are_seen_first() {
        let bench = bench(&strict(), None, JudgeBy::Promoted).unwrap();
        for (phase, kept) in [
            (Phase::New, false),
            (Phase::Initializing, false),
            (Phase::Succeeded, true),
            (Phase::Failed, true),
            (Phase::Progressing, true),
        ] {
            let before = Status {
                phase,
                ..Status::default()
            };
            let mut next = before.clone();
            bench.keep(&before, &mut next);
            assert_eq!(next.thresholds.is_some(), kept, "{phase:?}");
        }
    }

    #[test]
    fn thresholds_that_no_longer_fit_are_told_with_the_way_out() {
        let promoted = canary("kubernetes", &json!({"threshold": 2}));
        let error = bench(&strict(), Some(&promoted), JudgeBy::Promoted)
            .err()
            .unwrap();
        assert!(error.to_string().contains("of the promoted revision"), "{error}");
        assert!(error.faults[0].hint.contains("--judge-by commit"));
        assert!(bench(&strict(), Some(&promoted), JudgeBy::Commit).is_ok());
    }

    #[test]
    fn thresholds_that_are_too_large_are_refused_only_where_they_have_to_be_kept() {
        let query = "x".repeat(Thresholds::LIMIT);
        let metric = json!({"name": "errors", "query": query, "thresholdRange": {"max": 1}});
        let large = canary("skipper", &json!({"stepWeight": 20, "metrics": [metric]}));
        let error = bench(&large, None, JudgeBy::Promoted).err().unwrap();
        assert!(error.to_string().contains("keeps at most 65536"), "{error}");
        let bench = bench(&large, None, JudgeBy::Commit).unwrap();
        let mut next = Status {
            phase: Phase::Succeeded,
            ..Status::default()
        };
        bench.keep(&next.clone(), &mut next);
        assert_eq!(next.thresholds, None);
    }
}

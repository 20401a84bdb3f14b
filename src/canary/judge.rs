//! By whose thresholds a revision is judged when it edits them itself. Pure.
//!
//! What judges is kept in the status at each promotion: the fields of the Canary, as they are written, and the
//! MetricTemplates that they name.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};
use serde_json::{Map, Value, json};

use super::Phase;
use crate::manifest::{Object, ObjectKey, Resource, differences_in};

/// Fields of `spec` that judge. A deadline or a drain only ends runs, and promotes nothing.
const JUDGING: [&str; 4] = ["analysis", "canaryAnalysis", "skipAnalysis", "metricsServer"];

/// How many edited fields are named.
const NAMED: usize = 3;

/// `--judge-by`: whose thresholds count for a revision that brings its own.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub enum JudgeBy {
    /// Its own, as with Flagger.
    #[default]
    Commit,
    /// Those that the Canary had when the last revision was promoted.
    Promoted,
}

/// What judges a revision.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub struct Thresholds {
    /// Fields of the Canary's `spec`, as they are written.
    pub spec: Map<String, Value>,
    /// `<namespace>/<name>` to `spec` of the MetricTemplates that they name.
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    pub templates: BTreeMap<String, Value>,
}

/// Thresholds that a revision edits itself, and whose count for it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Edited {
    /// The fields, in words.
    pub fields: String,
    /// Whose count.
    pub judged_by: JudgeBy,
}

impl Thresholds {
    /// The status keeps no more than this, in bytes of JSON.
    pub const LIMIT: usize = 64 << 10;

    /// Takes down what judges a Canary now.
    #[must_use]
    pub fn of<'a>(canary: &Object, templates: impl Iterator<Item = &'a Object>) -> Self {
        let field = |name: &&str| {
            let value = canary.at("/spec")?.get(*name).filter(|value| !value.is_null())?;
            Some(((*name).to_owned(), value.clone()))
        };
        let template = |template: &Object| {
            let name = format!("{}/{}", template.namespace(), template.name());
            (name, template.at("/spec").cloned().unwrap_or_default())
        };
        Self {
            spec: JUDGING.iter().filter_map(field).collect(),
            templates: templates.map(template).collect(),
        }
    }

    /// Returns the size if it is more than the status keeps.
    #[must_use]
    pub fn excess(&self) -> Option<usize> {
        let size = serde_json::to_vec(self).map_or(usize::MAX, |bytes| bytes.len());
        (size > Self::LIMIT).then_some(size)
    }

    /// Returns the Canary as these thresholds judge it.
    #[must_use]
    pub fn put_on(&self, canary: &Object) -> Object {
        let mut value = canary.value().clone();
        if let Some(spec) = value.get_mut("spec").and_then(Value::as_object_mut) {
            spec.retain(|name, _| !JUDGING.contains(&name.as_str()));
            spec.extend(self.spec.clone());
        }
        Object::from(value)
    }

    /// Returns the MetricTemplates as they were.
    #[must_use]
    pub fn metric_templates(&self) -> Vec<Object> {
        let template = |(name, spec): (&String, &Value)| {
            let (namespace, name) = name.split_once('/')?;
            let key = ObjectKey::new(Resource::METRIC_TEMPLATE, namespace, name);
            Some(Object::from(json!({
                "apiVersion": "flagger.app/v1beta1", "kind": key.kind,
                "metadata": {"namespace": namespace, "name": name}, "spec": spec,
            })))
        };
        self.templates.iter().filter_map(template).collect()
    }

    /// Names the fields that newer thresholds have otherwise; none if there are none.
    #[must_use]
    pub fn edited_in(&self, newer: &Self) -> Option<String> {
        if self == newer {
            return None;
        }
        let mut fields: Vec<String> = differences_in(&self.as_object(), &newer.as_object(), &["/spec"])
            .into_iter()
            .map(|difference| difference.path)
            .collect();
        // A template that the Canary names for the first time is not an edit of that template.
        let edited = |(name, spec): &(&String, &Value)| {
            self.templates.get(*name).is_some_and(|before| before != *spec)
        };
        let templates = newer.templates.iter().filter(edited);
        fields.extend(templates.map(|(name, _)| format!("MetricTemplate {name}")));
        fields.dedup();
        let more = fields.len().saturating_sub(NAMED);
        fields.truncate(NAMED);
        let more = if more > 0 {
            format!(" and {more} more")
        } else {
            String::new()
        };
        (!fields.is_empty()).then(|| fields.join(", ") + &more)
    }

    fn as_object(&self) -> Object {
        Object::from(json!({"kind": "Canary", "spec": self.spec}))
    }
}

/// Whether this change of the phase makes what judges now what is promoted: a revision was promoted, or the
/// first one stands.
#[must_use]
pub fn promotes(before: Phase, after: Phase) -> bool {
    matches!(
        (before, after),
        (Phase::Promoting, Phase::Finalising) | (Phase::Initializing, Phase::Initialized)
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    fn canary(spec: &Value) -> Object {
        Object::from(json!({
            "apiVersion": "flagger.app/v1beta1", "kind": "Canary",
            "metadata": {"namespace": "test", "name": "podinfo"}, "spec": spec,
        }))
    }

    fn template(query: &str) -> Object {
        Object::from(json!({
            "apiVersion": "flagger.app/v1beta1", "kind": "MetricTemplate",
            "metadata": {"namespace": "test", "name": "errors"}, "spec": {"query": query},
        }))
    }

    fn strict() -> Object {
        canary(&json!({
            "targetRef": {"name": "podinfo"}, "service": {"port": 80},
            "analysis": {"threshold": 2, "metrics": [
                {"name": "request-success-rate", "thresholdRange": {"min": 99}}]},
        }))
    }

    #[test]
    fn what_judges_is_put_back_and_the_rest_stays() {
        let promoted = Thresholds::of(&strict(), std::iter::empty());
        let loose = canary(&json!({
            "targetRef": {"name": "podinfo"}, "service": {"port": 81}, "skipAnalysis": true,
            "canaryAnalysis": {"threshold": 9}, "metricsServer": "http://mine",
        }));
        let judged = promoted.put_on(&loose);
        assert_eq!(judged.at("/spec/analysis"), strict().at("/spec/analysis"));
        assert_eq!(judged.i64_at("/spec/service/port"), Some(81));
        for gone in ["skipAnalysis", "canaryAnalysis", "metricsServer"] {
            assert_eq!(judged.at(&format!("/spec/{gone}")), None, "{gone}");
        }
    }

    #[test]
    fn edits_are_named_and_other_fields_are_none() {
        let promoted = Thresholds::of(&strict(), [template("a")].iter());
        let port = canary(&json!({
            "service": {"port": 81}, "analysis": strict().at("/spec/analysis").cloned(), "skipAnalysis": null,
        }));
        assert_eq!(
            promoted.edited_in(&Thresholds::of(&port, [template("a")].iter())),
            None
        );
        assert_eq!(
            promoted
                .edited_in(&Thresholds::of(&strict(), [template("b")].iter()))
                .as_deref(),
            Some("MetricTemplate test/errors")
        );
        let skipped = canary(&json!({"skipAnalysis": true}));
        let said = promoted.edited_in(&Thresholds::of(&skipped, [template("a")].iter()));
        assert_eq!(said.as_deref(), Some("spec.analysis, spec.skipAnalysis"));
    }

    #[test]
    fn templates_are_kept_as_they_were() {
        let kept = Thresholds::of(&strict(), [template("a")].iter());
        let back = kept.metric_templates();
        assert_eq!(back.len(), 1);
        assert_eq!(back[0].key(), template("a").key());
        assert_eq!(back[0].at("/spec"), template("a").at("/spec"));
        let text = serde_json::to_string(&kept).unwrap();
        assert_eq!(serde_json::from_str::<Thresholds>(&text).unwrap(), kept);
    }

    #[test]
    fn what_is_kept_is_bounded() {
        let small = Thresholds::of(&strict(), [template("a")].iter());
        assert_eq!(small.excess(), None);
        let query = "x".repeat(Thresholds::LIMIT);
        let large = Thresholds::of(&strict(), [template(&query)].iter());
        assert!(large.excess().is_some_and(|size| size > Thresholds::LIMIT));
    }

    #[test]
    fn only_a_promotion_makes_new_thresholds_count() {
        for before in Phase::ALL {
            for after in Phase::ALL {
                let expected = (before, after) == (Phase::Promoting, Phase::Finalising)
                    || (before, after) == (Phase::Initializing, Phase::Initialized);
                assert_eq!(promotes(before, after), expected, "{before:?} to {after:?}");
            }
        }
    }
}

//! The `-primary` Deployment.

use serde_json::{Map, Value, json};

use super::{
    compare::exceeds,
    configs::Tracked,
    metadata::{CONFIG_DIGEST, PROMOTED_FROM, included, write_revision},
    readiness::replicas,
    rewrite::{Selection, primary_template},
};
use crate::{
    canary::{
        Canary,
        generated::{controller, metadata},
    },
    manifest::{Digest, Manager, Object, Write, declared_by},
    rollout::Revision,
};

/// Annotations of the primary's pods that say nothing about what runs.
const MARKS: [&str; 2] = [CONFIG_DIGEST, "flagger-id"];

/// Fields of a Deployment's spec, beside the template, that the primary has from the target.
const COPIED: [&str; 4] = [
    "progressDeadlineSeconds",
    "minReadySeconds",
    "revisionHistoryLimit",
    "strategy",
];

/// What a primary is made from.
pub(super) struct Source<'a> {
    pub(super) canary: &'a Canary,
    pub(super) target: &'a Object,
    pub(super) existing: Option<&'a Object>,
    pub(super) selection: &'a Selection,
    pub(super) tracked: &'a Tracked,
}

/// Chooses the label that tells the pods apart, and its values. What an existing primary has stays.
pub(super) fn selection(
    canary: &Canary,
    target: &Object,
    existing: Option<&Object>,
) -> Result<Selection, String> {
    let labels = match_labels(target);
    let wanted = &canary.spec.selector_labels;
    let found = wanted
        .iter()
        .find_map(|label| Some((label.clone(), labels.get(label)?.as_str()?.to_owned())));
    let Some((label, value)) = found else {
        return Err(format!(
            "deployment {}.{} has none of the labels {} in spec.selector.matchLabels: add one, or name the one \
             it has with --selector-labels",
            target.name(),
            canary.namespace,
            wanted.join(", ")
        ));
    };
    let kept = existing.and_then(|primary| Some(match_labels(primary).get(&label)?.as_str()?.to_owned()));
    Ok(Selection {
        primary: kept.unwrap_or_else(|| format!("{value}-primary")),
        canary: value,
        label,
    })
}

fn match_labels(object: &Object) -> Map<String, Value> {
    let labels = object.at("/spec/selector/matchLabels").and_then(Value::as_object);
    labels.cloned().unwrap_or_default()
}

impl Source<'_> {
    /// Returns what makes the primary from the target. The configs are copied before.
    pub(super) fn writes(&self, revision: &Revision) -> Vec<Write> {
        let wanted = Object::from(self.deployment(revision));
        let mut writes = Vec::new();
        if let Some(live) = self.existing {
            let exceeding: Vec<_> = ["/spec/template", "/spec/strategy"]
                .into_iter()
                .filter_map(|path| Some((path, live.at(path)?, wanted.at(path)?)))
                .filter(|(_, live, wanted)| exceeds(live, wanted))
                .map(|(path, _, wanted)| json!({ "op": "add", "path": path, "value": wanted }))
                .collect();
            if exceeding.is_empty() && declared_by(&wanted, live, &[]) {
                return writes;
            }
            if !exceeding.is_empty() {
                writes.push(super::patch(live, exceeding));
            }
        }
        writes.push(Write::Apply {
            manager: Manager::Serin,
            object: wanted,
            force: true,
        });
        writes
    }

    /// Whether the primary runs what would be made from the target.
    pub(super) fn matches(&self) -> bool {
        let Some(live) = self.existing.and_then(|primary| primary.at("/spec/template")) else {
            return false;
        };
        let bare = |template: &Value| {
            let mut template = template.clone();
            super::compare::strip_nulls(&mut template);
            if let Some(metadata) = template.get_mut("metadata").and_then(Value::as_object_mut) {
                let annotations = metadata.get_mut("annotations").and_then(Value::as_object_mut);
                if let Some(annotations) = annotations {
                    annotations.retain(|key, _| !MARKS.contains(&key.as_str()));
                    if annotations.is_empty() {
                        metadata.remove("annotations");
                    }
                }
            }
            template
        };
        bare(live) == bare(&self.template())
    }

    fn deployment(&self, revision: &Revision) -> Value {
        let canary = self.canary;
        let mut labels = included(canary, self.target, "labels");
        labels.insert(self.selection.label.clone(), self.selection.primary.clone());
        let mut annotations = included(canary, self.target, "annotations");
        annotations.insert(PROMOTED_FROM.to_owned(), write_revision(revision));
        let mut spec = Map::new();
        for field in COPIED {
            let value = self.target.at("/spec").and_then(|spec| spec.get(field));
            if let Some(value) = value.filter(|value| !value.is_null()) {
                spec.insert(field.to_owned(), value.clone());
            }
        }
        spec.insert("replicas".to_owned(), json!(self.replicas()));
        spec.insert("selector".to_owned(), self.selector());
        spec.insert("template".to_owned(), self.template());
        json!({
            "apiVersion": "apps/v1",
            "kind": "Deployment",
            "metadata": metadata(canary, &canary.primary_name(), &labels, &annotations, controller(canary)),
            "spec": spec,
        })
    }

    fn replicas(&self) -> i64 {
        let counts = [Some(self.target), self.existing];
        let running = counts
            .into_iter()
            .flatten()
            .map(replicas)
            .find(|count| *count > 0);
        running.unwrap_or(1)
    }

    /// A selector cannot be changed: an existing one is repeated.
    fn selector(&self) -> Value {
        let existing = self.existing.and_then(|primary| primary.at("/spec/selector"));
        existing.cloned().unwrap_or_else(|| {
            let Selection { label, primary, .. } = self.selection;
            json!({ "matchLabels": { label: primary } })
        })
    }

    fn template(&self) -> Value {
        let digests = self.tracked.digests();
        let mark = Digest::of(&json!(digests)).to_string();
        let annotations = if digests.is_empty() {
            Vec::new()
        } else {
            vec![(CONFIG_DIGEST, mark)]
        };
        let required = self.existing.map(match_labels).unwrap_or_default();
        primary_template(
            self.target.at("/spec/template").unwrap_or(&Value::Null),
            self.selection,
            &required,
            &self.tracked.renamed(),
            &annotations,
        )
    }
}

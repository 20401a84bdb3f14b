//! What two trees mean for one canary: has its target another revision, and why.

use std::collections::BTreeSet;

use serde_json::Value;

use super::{Change, Effect, Manifests, Placed, Reason, Settings};
use crate::{
    canary::{Canary, Query},
    manifest::{
        Difference, Object, ObjectKey, Resource, config_references, differences, differences_in,
        is_tracked_config,
    },
};

/// Returns the parts of an object that make its revision, as JSON pointers.
#[must_use]
pub fn revision_parts(kind: &str) -> &'static [&'static str] {
    match kind {
        "Deployment" | "DaemonSet" => &["/spec/template"],
        "Service" => &["/spec"],
        "ConfigMap" | "Secret" => &["/data", "/binaryData"],
        _ => &[""],
    }
}

/// Returns the target that a Canary names, even if the rest of it is not valid.
#[must_use]
pub fn target_of(canary: &Object) -> Option<ObjectKey> {
    let resource = match canary.str_at("/spec/targetRef/kind") {
        "Deployment" => Resource::DEPLOYMENT,
        "DaemonSet" => Resource::DAEMON_SET,
        "Service" => Resource::SERVICE,
        _ => return None,
    };
    let name = canary.str_at("/spec/targetRef/name");
    (!name.is_empty()).then(|| ObjectKey::new(resource, canary.namespace(), name))
}

/// Returns the Canaries of a tree.
pub(super) fn canaries(manifests: &Manifests) -> impl Iterator<Item = (&ObjectKey, &Placed)> {
    let is_canary = |key: &ObjectKey| key.resource() == Some(Resource::CANARY);
    manifests.objects.iter().filter(move |(key, _)| is_canary(key))
}

/// Compares what two trees declare for one canary.
pub(super) struct Pair<'a> {
    pub(super) old: &'a Manifests,
    pub(super) new: &'a Manifests,
    pub(super) settings: &'a Settings,
}

impl Pair<'_> {
    /// Returns the effect on a canary and the reasons for it; `None`: it is not touched.
    pub(super) fn effect(&self, canary: &ObjectKey) -> Option<(Effect, Vec<Reason>)> {
        let (before, after) = (self.old.objects.get(canary), self.new.objects.get(canary));
        let Some(after) = after else {
            let removed = reason(canary, before?, Change::Removed, Vec::new());
            return Some((Effect::CanaryRemoved, vec![removed]));
        };
        let target = target_of(&after.object)?;
        let Some(before) = before else {
            return Some((
                Effect::Initialize,
                vec![reason(canary, after, Change::Added, Vec::new())],
            ));
        };
        let moved = target_of(&before.object).as_ref() != Some(&target);
        let mut reasons = self.revision_reasons(&target);
        let judged_anew = self.analysis_reasons(canary, before, after);
        let own = |reasons: &[Reason], change: Change| {
            reasons
                .iter()
                .any(|reason| reason.object == target && reason.change == change)
        };
        let effect = if moved || own(&reasons, Change::Added) {
            Effect::Initialize
        } else if own(&reasons, Change::Removed) {
            Effect::TargetRemoved
        } else if !reasons.is_empty() {
            Effect::Run
        } else if !judged_anew.is_empty() {
            Effect::AnalysisOnly
        } else {
            reasons = self.other_reasons(&target);
            return (!reasons.is_empty()).then_some((Effect::NoWorkloadChange, reasons));
        };
        reasons.extend(judged_anew);
        Some((effect, reasons))
    }

    /// Returns what makes another revision of the target: its template or spec, and its tracked configs.
    pub(super) fn revision_reasons(&self, target: &ObjectKey) -> Vec<Reason> {
        let mut reasons: Vec<Reason> = self
            .reason_of(target, revision_parts(&target.kind))
            .into_iter()
            .collect();
        if !self.settings.defaults.track_configs {
            return reasons;
        }
        let Some(workload) = self.new.object(target) else {
            return reasons;
        };
        for config in config_references(workload).keys() {
            let declared = self.new.object(config).or_else(|| self.old.object(config));
            if declared.is_some_and(is_tracked_config) {
                reasons.extend(self.reason_of(config, revision_parts(&config.kind)));
            }
        }
        reasons
    }

    /// Whether one of the changed files is one of the target, or of a config of it, and no other object of that
    /// file explains the change: an edit of comments, or of fields that make no revision.
    pub(super) fn touches_files(&self, target: &ObjectKey, changed: &BTreeSet<String>) -> bool {
        let configs = self.new.object(target).map(config_references).unwrap_or_default();
        let parts = std::iter::once(target).chain(configs.keys());
        let mut files = parts
            .flat_map(|key| [self.old.objects.get(key), self.new.objects.get(key)])
            .flatten()
            .filter(|placed| changed.contains(&*placed.file));
        files.any(|placed| !self.is_explained(target, &placed.file))
    }

    /// Whether an object of the file, other than this one, is not what it was.
    fn is_explained(&self, but: &ObjectKey, file: &str) -> bool {
        let of_file = |manifests: &'_ Manifests| -> Vec<ObjectKey> {
            let in_file = manifests
                .objects
                .iter()
                .filter(|(_, placed)| &*placed.file == file);
            in_file.map(|(key, _)| key.clone()).collect()
        };
        if !self.other_reasons(but).is_empty() {
            return false;
        }
        let mut keys = of_file(self.old);
        keys.extend(of_file(self.new));
        keys.iter()
            .any(|key| key != but && self.old.object(key) != self.new.object(key))
    }

    fn analysis_reasons(&self, key: &ObjectKey, before: &Placed, after: &Placed) -> Vec<Reason> {
        let mut reasons = Vec::new();
        let fields = differences_in(&before.object, &after.object, &["/spec"]);
        if !fields.is_empty() {
            reasons.push(reason(key, after, Change::Changed, fields));
        }
        let Ok(canary) = Canary::parse(&after.object, &self.settings.defaults) else {
            return reasons;
        };
        for metric in &canary.spec.analysis.metrics {
            if let Query::Template(template) = &metric.query {
                reasons.extend(self.reason_of(&template.key(), &["/spec"]));
            }
        }
        reasons
    }

    /// Returns what else is changed of the target.
    fn other_reasons(&self, target: &ObjectKey) -> Vec<Reason> {
        let (Some(before), Some(after)) = (self.old.objects.get(target), self.new.objects.get(target)) else {
            return Vec::new();
        };
        let fields = differences(&before.object, &after.object);
        if fields.is_empty() {
            Vec::new()
        } else {
            vec![reason(target, after, Change::Changed, fields)]
        }
    }

    fn reason_of(&self, key: &ObjectKey, parts: &[&str]) -> Option<Reason> {
        match (self.old.objects.get(key), self.new.objects.get(key)) {
            (None, None) => None,
            (Some(before), None) => Some(reason(key, before, Change::Removed, Vec::new())),
            (None, Some(after)) => Some(reason(key, after, Change::Added, Vec::new())),
            (Some(before), Some(after)) => {
                let fields = differences_in(&before.object, &after.object, parts);
                (!fields.is_empty()).then(|| reason(key, after, Change::Changed, fields))
            }
        }
    }
}

fn reason(object: &ObjectKey, placed: &Placed, change: Change, fields: Vec<Difference>) -> Reason {
    Reason {
        object: object.clone(),
        file: placed.file.to_string(),
        line: placed.line,
        change,
        fields,
    }
}

/// Returns what a reader should know about a canary that a run or an initialization is planned for.
pub(super) fn notes(canary: &Object, settings: &Settings) -> Vec<String> {
    let on = |pointer: &str| canary.at(pointer).and_then(Value::as_bool).unwrap_or_default();
    let mut notes = Vec::new();
    if on("/spec/suspend") {
        notes.push("suspended: nothing happens until spec.suspend is removed".to_owned());
    }
    if on("/spec/skipAnalysis") {
        notes.push("promoted without analysis (spec.skipAnalysis)".to_owned());
    }
    if let Ok(canary) = Canary::parse(canary, &settings.defaults) {
        let gates = canary.spec.not_implemented.iter().filter(|field| field.gates);
        notes.extend(gates.map(|field| format!("stalled: {} is not implemented yet", field.field)));
    }
    notes
}

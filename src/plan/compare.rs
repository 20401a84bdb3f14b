//! What two trees mean for one canary: has its target another revision, and why.

use std::{
    collections::{BTreeMap, BTreeSet},
    sync::Arc,
};

use serde_json::Value;

use super::{
    Change, Effect, Manifests, Placed, Reason, Settings,
    objects::{Difference as PartDifference, differences as part_differences},
    part::Part,
};
use crate::{
    canary::{Canary, Query},
    manifest::{
        Difference, Object, ObjectKey, Resource, Skipped, config_references, differences, differences_in,
        flux::{HelmRelease, is_below},
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
    manifests.objects.of(Resource::CANARY)
}

fn is_canary(key: &ObjectKey) -> bool {
    key.kind == Resource::CANARY.kind && key.resource() == Some(Resource::CANARY)
}

/// Returns the Canaries in directories that cannot be rendered.
fn raw_canaries(manifests: &Manifests) -> impl Iterator<Item = &(ObjectKey, Placed)> {
    let unrendered = manifests.parts.iter().filter_map(|part| part.unrendered.as_ref());
    unrendered
        .flat_map(|unrendered| &unrendered.raw)
        .filter(|(key, _)| is_canary(key))
}

/// Returns the keys that a part declares in either revision, and whether it declares the same.
fn objects_of(part: PartDifference<'_>) -> BTreeMap<&ObjectKey, bool> {
    fn declared(part: Option<&Arc<Part>>) -> BTreeMap<&ObjectKey, &Placed> {
        let all = part.into_iter().flat_map(|part| &part.objects);
        all.map(|(key, placed)| (&**key, placed)).collect()
    }
    let (old, new) = (declared(part.old), declared(part.new));
    let keys = old.keys().chain(new.keys());
    keys.map(|key| (*key, is_alike(old.get(key).copied(), new.get(key).copied())))
        .collect()
}

/// Whether two declarations mean the same, wherever they are.
fn is_alike(old: Option<&Placed>, new: Option<&Placed>) -> bool {
    match (old, new) {
        (Some(old), Some(new)) => old.is_alike(new),
        (None, None) => true,
        _ => false,
    }
}

/// Compares what two trees declare for one canary.
pub(super) struct Pair<'a> {
    old: &'a Manifests,
    new: &'a Manifests,
    settings: &'a Settings,
    /// The files that differ.
    changed: &'a BTreeSet<String>,
    /// The objects that differ.
    differ: BTreeSet<&'a ObjectKey>,
    /// Those, and the objects whose files differ.
    near: BTreeSet<&'a ObjectKey>,
    /// Among them is a config, or what judges a canary.
    near_configs: bool,
    near_judges: bool,
}

impl<'a> Pair<'a> {
    pub(super) fn new(
        old: &'a Manifests,
        new: &'a Manifests,
        settings: &'a Settings,
        changed: &'a BTreeSet<String>,
    ) -> Self {
        let (mut differ, mut near) = (BTreeSet::new(), BTreeSet::new());
        for part in part_differences(&old.parts, &new.parts) {
            for (key, is_same) in objects_of(part) {
                // What a part declares as before is what counts as before, or another part differs in it too.
                if !is_same && !is_alike(old.objects.get(key), new.objects.get(key)) {
                    differ.insert(key);
                }
            }
            let objects = [part.old, part.new]
                .into_iter()
                .flatten()
                .flat_map(|part| &part.objects);
            let touched = objects.filter(|(_, placed)| changed.contains(&*placed.file));
            near.extend(touched.map(|(key, _)| &**key));
        }
        near.extend(&differ);
        let has = |kinds: [Resource; 2]| {
            near.iter()
                .any(|key| kinds.iter().any(|resource| resource.kind == key.kind))
        };
        Self {
            old,
            new,
            settings,
            changed,
            near_configs: has([Resource::CONFIG_MAP, Resource::SECRET]),
            near_judges: has([Resource::METRIC_TEMPLATE, Resource::ALERT_PROVIDER]),
            differ,
            near,
        }
    }

    /// Returns all canaries that either tree, or the cluster, knows of, with their targets.
    pub(super) fn canaries(&self) -> BTreeMap<ObjectKey, ObjectKey> {
        let mut found = BTreeMap::new();
        for canary in self.settings.ties.canaries() {
            if let Some(tie) = self.settings.ties.of(canary) {
                found.insert(canary.clone(), tie.target.clone());
            }
        }
        for manifests in [self.old, self.new] {
            let raw = raw_canaries(manifests).map(|(key, placed)| (key, placed));
            for (canary, placed) in raw.chain(canaries(manifests)) {
                match target_of(&placed.object) {
                    Some(target) => found.insert(canary.clone(), target),
                    None => found.remove(canary),
                };
            }
        }
        found
    }

    /// Whether anything that differs can be a matter of this canary at all: most canaries of a large repository
    /// need no closer look.
    pub(super) fn is_near(&self, canary: &ObjectKey, target: &ObjectKey) -> bool {
        if self.near_judges || self.near.contains(canary) || self.near.contains(target) {
            return true;
        }
        let declared = [self.old, self.new].map(|manifests| manifests.object(target));
        let mut configs = declared.into_iter().flatten().filter(|_| self.near_configs);
        let refers = |workload| {
            config_references(workload)
                .keys()
                .any(|config| self.near.contains(config))
        };
        configs.any(refers) || declared.iter().all(Option::is_none)
    }

    /// Returns the effect on a canary and the reasons for it; `None`: it is not touched.
    pub(super) fn effect(&self, canary: &ObjectKey, target: &ObjectKey) -> Option<(Effect, Vec<Reason>)> {
        let (before, after) = (self.old.objects.get(canary), self.new.objects.get(canary));
        let Some(after) = after else {
            let may_change = self.may_change(canary, target);
            if let Some(before) = before.filter(|_| may_change.is_empty()) {
                let removed = self.reason(canary, before, Change::Removed, Vec::new());
                return Some((Effect::CanaryRemoved, vec![removed]));
            }
            return (!may_change.is_empty()).then_some((Effect::MayChange, may_change));
        };
        let Some(before) = before else {
            let added = self.reason(canary, after, Change::Added, Vec::new());
            // What Flux could not render meanwhile is still there.
            let by = self.new.objects.applied_by(canary);
            let was_held = by.is_some_and(|by| self.old.held.contains_key(by));
            let effect = if was_held {
                Effect::MayChange
            } else {
                Effect::Initialize
            };
            return Some((effect, vec![added]));
        };
        let moved = target_of(&before.object).as_ref() != Some(target);
        let mut reasons = self.revision_reasons(target);
        let judged_anew = self.analysis_reasons(canary, before, after);
        let own = |reasons: &[Reason], change: Change| {
            reasons
                .iter()
                .any(|reason| reason.object == *target && reason.change == change)
        };
        let effect = if moved || own(&reasons, Change::Added) {
            Effect::Initialize
        } else if own(&reasons, Change::Removed) {
            Effect::TargetRemoved
        } else if reasons.iter().any(|reason| self.is_unknown(&reason.object))
            || self.is_unknown_change(target, &reasons)
        {
            Effect::MayChange
        } else if !reasons.is_empty() {
            Effect::Run
        } else {
            reasons = self.may_change(canary, target);
            if !reasons.is_empty() {
                Effect::MayChange
            } else if !judged_anew.is_empty() {
                Effect::AnalysisOnly
            } else {
                reasons = self.other_reasons(target);
                return (!reasons.is_empty()).then_some((Effect::NoWorkloadChange, reasons));
            }
        };
        reasons.extend(judged_anew);
        Some((effect, reasons))
    }

    /// Whether what the cluster will hold of an object is not known exactly.
    fn is_unknown(&self, key: &ObjectKey) -> bool {
        self.new
            .objects
            .get(key)
            .is_some_and(|placed| placed.unknown.is_some())
    }

    /// Whether the target changes, and is not known exactly.
    fn is_unknown_change(&self, target: &ObjectKey, reasons: &[Reason]) -> bool {
        !reasons.is_empty() && self.is_unknown(target)
    }

    /// Returns what may make another revision of a target that git does not declare as it will be: a change of
    /// the HelmRelease that runs it, or of the files of a directory that cannot be rendered.
    fn may_change(&self, canary: &ObjectKey, target: &ObjectKey) -> Vec<Reason> {
        let mut reasons = Vec::new();
        if self.new.objects.contains_key(target) {
            return reasons;
        }
        reasons.extend(self.held(canary).map(|(_, held)| file_reason(target, &held.file)));
        let tie = self.settings.ties.of(canary);
        let runs = |release: &HelmRelease| match tie.and_then(|tie| tie.release.as_ref()) {
            Some(owner) => *owner == release.key,
            None => release.may_run(target),
        };
        let releases: BTreeMap<ObjectKey, HelmRelease> = self
            .old
            .releases()
            .chain(self.new.releases())
            .filter(runs)
            .map(|release| (release.key.clone(), release))
            .collect();
        for release in releases.values() {
            reasons.extend(self.reason_of(&release.key, &["/spec"]));
            for values in &release.values_from {
                reasons.extend(self.reason_of(values, revision_parts(&values.kind)));
            }
            if let Some(chart) = &release.chart {
                let mut below = self.changed.iter().filter(|path| is_below(path, chart));
                reasons.extend(below.next().map(|path| file_reason(&release.key, path)));
            }
        }
        let parts = self.old.parts.iter().chain(&self.new.parts);
        for part in parts.filter(|part| part.unrendered.is_some()) {
            let by = part.by.as_ref().map(|(by, _)| &by.key);
            let owned =
                tie.is_some_and(|tie| tie.kustomization.is_some() && tie.kustomization.as_ref() == by);
            let mut raw = part.unrendered.iter().flat_map(|unrendered| &unrendered.raw);
            if !owned && !raw.any(|(key, _)| key == target || key == canary) {
                continue;
            }
            let mut touched = self.changed.iter().filter(|path| part.inputs.contains(*path));
            let reason = touched.next().map(|path| file_reason(target, path));
            reasons.extend(reason.filter(|reason| !reasons.contains(reason)));
        }
        reasons
    }

    /// Returns the Flux Kustomization that applied a canary, and fails now without removing it.
    pub(super) fn held(&self, canary: &ObjectKey) -> Option<(&ObjectKey, &Skipped)> {
        self.new.held.get_key_value(self.old.objects.applied_by(canary)?)
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

    /// Whether the target is only out of sight because something is wrong, or comes back as it was before that.
    /// `below` are the older steps, newest first.
    pub(super) fn only_hides<'b>(
        &self,
        below: impl Iterator<Item = &'b Pair<'b>>,
        target: &ObjectKey,
    ) -> bool {
        let is_hidden = |in_it: &Manifests| in_it.object(target).is_none() && !in_it.errors.is_empty();
        if is_hidden(self.new) {
            return true;
        }
        let Some(workload) = self.new.object(target).filter(|_| is_hidden(self.old)) else {
            return false;
        };
        let mut sound = below.map(|pair| pair.old).skip_while(|old| is_hidden(old));
        let configs = config_references(workload);
        let mut keys = std::iter::once(target).chain(configs.keys());
        sound.next().is_some_and(|old| {
            keys.all(|key| match (old.object(key), self.new.object(key)) {
                (Some(old), Some(new)) => differences_in(old, new, revision_parts(&key.kind)).is_empty(),
                (None, None) => true,
                _ => false,
            })
        })
    }

    /// Whether one of the changed files is one of the target, or of a config of it, and no other object of that
    /// file explains the change: an edit of comments, or of fields that make no revision.
    pub(super) fn touches_files(&self, target: &ObjectKey) -> bool {
        let configs = self.new.object(target).map(config_references).unwrap_or_default();
        let parts = std::iter::once(target).chain(configs.keys());
        let mut files = parts
            .flat_map(|key| [self.old.objects.get(key), self.new.objects.get(key)])
            .flatten()
            .filter(|placed| self.changed.contains(&*placed.file));
        files.any(|placed| !self.is_explained(target, &placed.file))
    }

    /// Whether an object of the file, other than this one, is not what it was.
    fn is_explained(&self, but: &ObjectKey, file: &str) -> bool {
        if !self.other_reasons(but).is_empty() {
            return false;
        }
        let is_of_file = |placed: Option<&Placed>| placed.is_some_and(|placed| &*placed.file == file);
        self.differ.iter().any(|key| {
            let (old, new) = (self.old.objects.get(key), self.new.objects.get(key));
            let is_other = old.map(|placed| &placed.object) != new.map(|placed| &placed.object);
            *key != but && is_other && (is_of_file(old) || is_of_file(new))
        })
    }

    fn analysis_reasons(&self, key: &ObjectKey, before: &Placed, after: &Placed) -> Vec<Reason> {
        let mut reasons = Vec::new();
        let fields = fields(before, after, &["/spec"]);
        if !fields.is_empty() {
            reasons.push(self.reason(key, after, Change::Changed, fields));
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
        let mut fields = differences(&before.object, &after.object);
        if before.secret || after.secret {
            fields.iter_mut().for_each(hide);
        }
        if fields.is_empty() {
            Vec::new()
        } else {
            vec![self.reason(target, after, Change::Changed, fields)]
        }
    }

    fn reason_of(&self, key: &ObjectKey, parts: &[&str]) -> Option<Reason> {
        match (self.old.objects.get(key), self.new.objects.get(key)) {
            (None, None) => None,
            (Some(before), None) => Some(self.reason(key, before, Change::Removed, Vec::new())),
            (None, Some(after)) => Some(self.reason(key, after, Change::Added, Vec::new())),
            (Some(before), Some(after)) => {
                let fields = fields(before, after, parts);
                (!fields.is_empty()).then(|| self.reason(key, after, Change::Changed, fields))
            }
        }
    }

    fn reason(&self, object: &ObjectKey, placed: &Placed, change: Change, fields: Vec<Difference>) -> Reason {
        let file = placed.file_of_change(self.changed);
        Reason {
            object: object.clone(),
            line: if file == &*placed.file { placed.line } else { 1 },
            file: file.to_owned(),
            change,
            fields,
        }
    }
}

/// A change of a file whose effect on an object is not known.
fn file_reason(object: &ObjectKey, path: &str) -> Reason {
    Reason {
        object: object.clone(),
        file: path.to_owned(),
        line: 1,
        change: Change::Changed,
        fields: Vec::new(),
    }
}

fn fields(before: &Placed, after: &Placed, parts: &[&str]) -> Vec<Difference> {
    let mut fields = differences_in(&before.object, &after.object, parts);
    if before.secret || after.secret {
        fields.iter_mut().for_each(hide);
    }
    fields
}

/// Leaves of a difference only where it is.
fn hide(field: &mut Difference) {
    field.text = format!("{} changed", field.path);
    field.before = None;
    field.after = None;
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

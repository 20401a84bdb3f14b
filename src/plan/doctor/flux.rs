//! What is wrong between Flux and a rollout.

use std::collections::BTreeMap;

use jiff::{SignedDuration, Timestamp};
use serde_json::{Value, json};

use super::{Finding, Severity, Ward, quoted};
use crate::{
    canary::duration,
    manifest::{Object, ObjectKey, Resource},
    plan::{
        flux::{inventory, is_suspended},
        target_of,
    },
};

/// How many objects with two owners are told.
const TOLD: usize = 20;

pub(super) fn examine(ward: &Ward, found: &mut Vec<Finding>) {
    let kinds = [
        Resource::GIT_REPOSITORY,
        Resource::OCI_REPOSITORY,
        Resource::KUSTOMIZATION,
        Resource::HELM_RELEASE,
    ];
    for resource in kinds {
        let suspended = ward.of(resource).filter(|object| is_suspended(object));
        found.extend(suspended.map(|object| resume(object, resource)));
    }
    found.extend(two_owners(ward));
    found.extend(
        ward.of(Resource::CANARY)
            .filter_map(|canary| helm_drift(ward, canary)),
    );
}

fn resume(object: &Object, resource: Resource) -> Finding {
    Finding {
        severity: Severity::Note,
        code: "suspended",
        object: object.key().to_string(),
        problem: "it is suspended: commits wait until it goes on".to_owned(),
        fix: format!(
            "kubectl -n {} patch {}.{} {} --type=merge -p '{{\"spec\":{{\"suspend\":false}}}}'",
            object.namespace(),
            resource.plural,
            resource.group,
            object.name()
        ),
    }
}

/// Two Kustomizations that apply one object take it from each other at every interval.
fn two_owners(ward: &Ward) -> Vec<Finding> {
    let mut owners: BTreeMap<(String, String, String, String), Vec<ObjectKey>> = BTreeMap::new();
    for kustomization in ward.of(Resource::KUSTOMIZATION) {
        for id in inventory(kustomization) {
            owners.entry(id).or_default().push(kustomization.key());
        }
    }
    let both = owners.into_iter().filter_map(|((namespace, name, _, kind), owners)| {
        let [first, second, ..] = owners.as_slice() else { return None };
        let place = if namespace.is_empty() { name } else { format!("{namespace}/{name}") };
        Some(Finding {
            severity: Severity::Fight,
            code: "two-owners",
            object: format!("{kind}/{place}"),
            problem: format!("{first} and {second} both apply it, and take it from each other"),
            fix: format!("leave it in one of the two paths in git; {second} is the one to take it out of, if both mean the same"),
        })
    });
    both.take(TOLD).collect()
}

/// A HelmRelease that corrects drift scales its target back.
fn helm_drift(ward: &Ward, canary: &Object) -> Option<Finding> {
    let target = ward.objects.get(&target_of(canary)?)?;
    let key = owner(target, "helm.toolkit.fluxcd.io", Resource::HELM_RELEASE)?;
    let release = ward.objects.get(&key)?;
    let detection = release.value().pointer("/spec/driftDetection")?;
    if detection.get("mode").and_then(Value::as_str) != Some("enabled") || is_ignored(detection, target) {
        return None;
    }
    let wanted =
        json!({"paths": ["/spec/replicas"], "target": {"kind": target.key().kind, "name": target.name()}});
    Some(Finding {
        severity: Severity::Fight,
        code: "helm-drift",
        object: target.key().to_string(),
        problem: format!("{key} corrects drift: it scales the target back whenever Serin scales it"),
        fix: change(release, "helmrelease", &["driftDetection", "ignore"], &wanted),
    })
}

fn is_ignored(detection: &Value, target: &Object) -> bool {
    let rules = detection.get("ignore").and_then(Value::as_array);
    rules.into_iter().flatten().any(|rule| {
        let paths = rule.get("paths").and_then(Value::as_array);
        let covers = |path: &Value| matches!(path.as_str(), Some("/spec/replicas" | "/spec" | ""));
        let wants = |field: &str, is: &str| {
            let wanted = rule.pointer(&format!("/target/{field}")).and_then(Value::as_str);
            wanted.is_none_or(|wanted| wanted == is)
        };
        paths.is_some_and(|paths| paths.iter().any(covers))
            && wants("kind", &target.key().kind)
            && wants("name", target.name())
    })
}

/// How Flux is told to leave `replicas` of a target alone, without a change of its manifest.
pub(super) fn fix_of_replicas(ward: &Ward, target: &Object) -> Option<String> {
    let key = owner(target, "kustomize.toolkit.fluxcd.io", Resource::KUSTOMIZATION)?;
    let kustomization = ward.objects.get(&key)?;
    let (kind, name) = (target.key().kind, target.name());
    if can_ignore(ward) {
        let rule = json!({"paths": ["/spec/replicas"], "target": {"kind": kind, "name": name}});
        return Some(change(kustomization, "kustomization", &["ignore"], &rule));
    }
    // A merge with null takes the field out where it is, and does nothing where it is not.
    let without = json!({"apiVersion": target.str_at("/apiVersion"), "kind": kind,
        "metadata": {"name": name, "namespace": target.namespace()}, "spec": {"replicas": null}});
    let patch = json!({"patch": without.to_string(), "target": {"kind": kind, "name": name}});
    Some(change(kustomization, "kustomization", &["patches"], &patch))
}

/// Whether the installed Kustomization knows `spec.ignore`.
fn can_ignore(ward: &Ward) -> bool {
    let definition = ward
        .definitions
        .as_ref()
        .and_then(|all| all.kustomization.as_ref());
    let versions = definition.and_then(|definition| definition.value().pointer("/spec/versions")?.as_array());
    versions.into_iter().flatten().any(|version| {
        version
            .pointer("/schema/openAPIV3Schema/properties/spec/properties/ignore")
            .is_some()
    })
}

/// When the last reconciliation of an object of Flux began, at the latest before that second. An older Flux does not tell.
pub(super) fn began(object: &Object) -> Option<Timestamp> {
    let last = object.at("/status/history/0")?;
    let text = |field: &str| last.get(field).and_then(Value::as_str);
    let ended: Timestamp = text("lastReconciled")?.parse().ok()?;
    let took = duration::parse(text("lastReconciledDuration")?).ok()?;
    ended.checked_sub(SignedDuration::try_from(took).ok()?).ok()
}

/// The Kustomization or HelmRelease that applied an object, by its labels.
fn owner(object: &Object, group: &str, resource: Resource) -> Option<ObjectKey> {
    let labels = object.value().pointer("/metadata/labels")?;
    let label = |name: &str| labels.get(format!("{group}/{name}"))?.as_str();
    Some(ObjectKey::new(resource, label("namespace")?, label("name")?))
}

/// The object of Flux that applies an object.
pub(super) fn applier(object: &Object) -> Option<ObjectKey> {
    let kustomization = owner(object, "kustomize.toolkit.fluxcd.io", Resource::KUSTOMIZATION);
    kustomization.or_else(|| owner(object, "helm.toolkit.fluxcd.io", Resource::HELM_RELEASE))
}

/// A command that appends to a list of an object of Flux; where that object comes from git itself, what to write there.
fn change(object: &Object, kind: &str, path: &[&str], entry: &Value) -> String {
    let (name, namespace) = (object.name(), object.namespace());
    if let Some(parent) = owner(object, "kustomize.toolkit.fluxcd.io", Resource::KUSTOMIZATION) {
        return format!(
            "in git, in the manifest of {} (which {parent} applies), add to spec.{}:\n- {entry}",
            object.key(),
            path.join(".")
        );
    }
    let pointer = format!("/spec/{}", path.join("/"));
    let operation = match object.value().pointer(&pointer) {
        Some(Value::Array(_)) => json!([{"op": "add", "path": format!("{pointer}/-"), "value": entry}]),
        _ => json!([{"op": "add", "path": pointer, "value": [entry]}]),
    };
    format!(
        "kubectl -n {namespace} patch {kind} {name} --type=json -p {}",
        quoted(&operation.to_string())
    )
}

//! What is wrong with Canaries and their targets.

use std::collections::BTreeMap;

use serde_json::{Value, json};

use super::{Finding, Severity, Ward, declared_by, drift, flux, made, routes};
use crate::{
    canary::{Canary, SpecError},
    manifest::{Object, ObjectKey, Resource},
    plan::target_of,
};

pub(super) fn examine(ward: &Ward, found: &mut Vec<Finding>) {
    let mut targets: BTreeMap<ObjectKey, Vec<ObjectKey>> = BTreeMap::new();
    for object in ward.of(Resource::CANARY) {
        if let Some(target) = target_of(object) {
            targets.entry(target).or_default().push(object.key());
        }
        match Canary::parse(object, &ward.defaults) {
            Ok(canary) => {
                found.extend(stalled(object));
                found.extend(apex(ward, &canary));
                routes::examine(ward, &canary, found);
                found.extend(autoscalers(ward, &canary));
                found.extend(target(ward, object, &canary));
            }
            Err(error) => found.push(invalid(object, &error)),
        }
    }
    found.extend(
        targets
            .into_iter()
            .filter_map(|(target, canaries)| rivals(&target, &canaries)),
    );
}

fn finding(object: &ObjectKey, code: &'static str, problem: String, fix: String) -> Finding {
    Finding {
        severity: Severity::Fight,
        code,
        object: object.to_string(),
        problem,
        fix,
    }
}

fn invalid(object: &Object, error: &SpecError) -> Finding {
    let hint = error
        .faults
        .iter()
        .map(|fault| format!("{}: {}", fault.field, fault.hint));
    let hints: Vec<String> = hint.collect();
    finding(&object.key(), "invalid", error.to_string(), hints.join("\n"))
}

/// The sidecar itself says that it cannot act.
fn stalled(object: &Object) -> Option<Finding> {
    let conditions = object.value().pointer("/status/conditions")?.as_array()?;
    let text = |condition: &Value, field: &str| {
        condition
            .get(field)
            .and_then(Value::as_str)
            .unwrap_or_default()
            .to_owned()
    };
    let stalled = conditions
        .iter()
        .find(|condition| text(condition, "type") == "Stalled" && text(condition, "status") == "True")?;
    let (reason, message) = (text(stalled, "reason"), text(stalled, "message"));
    let fix = if reason == "NotImplemented" {
        "leave the field out, or keep this Canary with Flagger, in a namespace that Serin does not watch"
            .to_owned()
    } else {
        format!(
            "kubectl -n {} describe canary {}",
            object.namespace(),
            object.name()
        )
    };
    Some(finding(
        &object.key(),
        "stalled",
        format!("Stalled: {reason}: {message}"),
        fix,
    ))
}

fn rivals(target: &ObjectKey, canaries: &[ObjectKey]) -> Option<Finding> {
    let [first, second, ..] = canaries else {
        return None;
    };
    let problem = format!("it is the target of {first} and of {second}");
    let fix = format!("kubectl -n {} delete canary {}", second.namespace, second.name);
    Some(finding(target, "rivals", problem, fix))
}

fn target(ward: &Ward, object: &Object, canary: &Canary) -> Vec<Finding> {
    let Some(target) = target_of(object).and_then(|key| ward.objects.get(&key)) else {
        return Vec::new();
    };
    let mut found = Vec::new();
    if target.key().kind == Resource::DEPLOYMENT.kind {
        found.extend(labels(target, canary));
    }
    found.extend(replicas(ward, object, target));
    found
}

/// The primary's pods must be told from the canary's by a label that the target selects by.
fn labels(target: &Object, canary: &Canary) -> Option<Finding> {
    let selector = target
        .value()
        .pointer("/spec/selector/matchLabels")
        .and_then(Value::as_object);
    let wanted = &canary.spec.selector_labels;
    if wanted
        .iter()
        .any(|label| selector.is_some_and(|labels| labels.contains_key(label)))
    {
        return None;
    }
    let has: Vec<&str> = selector
        .into_iter()
        .flatten()
        .map(|(label, _)| label.as_str())
        .collect();
    let fix = match has.first() {
        Some(label) => format!("serin run --selector-labels={},{label}", wanted.join(",")),
        None => format!(
            "spec:\n  selector:\n    matchLabels:\n      app: {}",
            target.name()
        ),
    };
    let problem = format!("it selects its pods by none of the labels {}", wanted.join(", "));
    Some(finding(&target.key(), "labels", problem, fix))
}

/// Who declares `replicas` scales the target back while Serin scales it.
fn replicas(ward: &Ward, canary: &Object, target: &Object) -> Option<Finding> {
    let problem = match declared_by(target, &["spec", "replicas"]) {
        Some(manager) => {
            format!("{manager} declares spec.replicas: it scales the target back whenever Serin scales it")
        }
        None => format!(
            "{}: Serin scales it, and will again",
            drift::scales_back(ward, canary, target)?
        ),
    };
    let in_git =
        "take `replicas` out of the manifest in git (an autoscaler, or the rollout, decides)".to_owned();
    let fix = match flux::fix_of_replicas(ward, target) {
        Some(fix) => format!("{in_git}, or\n{fix}"),
        None => in_git,
    };
    Some(finding(&target.key(), "replicas", problem, fix))
}

/// The Services that Serin takes over must not be applied by another one too.
fn apex(ward: &Ward, canary: &Canary) -> Option<Finding> {
    let key = made::apex(canary)?;
    let service = ward.objects.get(&key)?;
    let fields = ["selector", "ports"];
    let (field, manager) = fields
        .into_iter()
        .find_map(|field| Some((field, declared_by(service, &["spec", field])?)))?;
    if annotation(service, "kustomize.toolkit.fluxcd.io/reconcile") == "disabled" {
        return None;
    }
    let problem = match field {
        "selector" => format!("{manager} declares its selector, which Serin leads to the primary"),
        _ => format!("{manager} declares its ports, which Serin has from the Canary"),
    };
    let fix = super::let_go(
        &key,
        "the Service (Serin makes it from spec.service of the Canary)",
    );
    Some(finding(&key, "service", problem, fix))
}

fn annotation<'a>(object: &'a Object, name: &str) -> &'a str {
    let annotations = object.value().pointer("/metadata/annotations");
    let text = annotations.and_then(|annotations| annotations.get(name)?.as_str());
    text.unwrap_or_default()
}

/// Autoscalers that scale the target, which runs for the time of an analysis only.
fn autoscalers(ward: &Ward, canary: &Canary) -> Vec<Finding> {
    let target = &canary.spec.target;
    let scale = ward.of(Resource::AUTOSCALER).filter(|autoscaler| {
        autoscaler.namespace() == canary.namespace
            && autoscaler.str_at("/spec/scaleTargetRef/kind") == target.kind.name()
            && autoscaler.str_at("/spec/scaleTargetRef/name") == target.name
    });
    let found = scale.map(|autoscaler| {
        let primary = canary.primary_name();
        let patch = json!({"spec": {"scaleTargetRef": {"name": primary}}}).to_string();
        let (name, namespace) = (autoscaler.name(), autoscaler.namespace());
        let fix = match flux::applier(autoscaler) {
            Some(owner) => {
                format!("in git, in what {owner} applies: let spec.scaleTargetRef.name be {primary}")
            }
            None => format!(
                "kubectl -n {namespace} patch hpa {name} --type=merge -p {}",
                super::quoted(&patch)
            ),
        };
        Finding {
            severity: Severity::Note,
            code: "autoscaler",
            object: autoscaler.key().to_string(),
            problem: format!("it scales {}, not {primary}, which has the traffic", target.name),
            fix,
        }
    });
    found.collect()
}

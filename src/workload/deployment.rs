//! A Deployment as target.

use serde_json::{Value, json};

use super::{
    Observation, Refusal,
    compare::strip_nulls,
    configs,
    configs::{Gap, Tracked},
    metadata::read_revision,
    primary::{Source, selection},
    readiness::{of_deployment, replicas},
    rewrite::Selection,
    services,
};
use crate::{
    canary::Canary,
    manifest::{Digest, Manager, Object, ObjectKey, Reading, Resource, Snapshot, Write},
    rollout::{Effect, Live, Primary, Revision, Seen, Target},
};

fn primary_key(canary: &Canary) -> ObjectKey {
    ObjectKey::new(Resource::DEPLOYMENT, &canary.namespace, &canary.primary_name())
}

/// Returns the pod template. Older servers send fields that are null, newer ones leave them out.
fn template(target: &Object) -> Value {
    let mut template = target.at("/spec/template").cloned().unwrap_or_default();
    strip_nulls(&mut template);
    template
}

pub(super) fn inputs(canary: &Canary, known: &Snapshot) -> Vec<ObjectKey> {
    let target = canary.target_key();
    let mut keys = known
        .get(&target)
        .map(|target| configs::inputs(canary, target, known))
        .unwrap_or_default();
    keys.extend([target, primary_key(canary)]);
    keys.extend(services::keys(canary));
    keys.sort();
    keys.dedup();
    keys
}

pub(super) fn observe(canary: &Canary, known: &Snapshot) -> Observation {
    let target = match known.read(&canary.target_key()) {
        Reading::Unknown => return Observation::default(),
        Reading::Absent => {
            // Nothing can be desired of services whose target is gone; they stay as they are.
            return Observation {
                target: Seen::Absent,
                primary: primary(canary, None, known),
                services: Seen::Present(true),
                apex: Seen::Present(true),
            };
        }
        Reading::Present(target) => target,
    };
    let services = |effect| services::settled(&desired(&effect, canary, known));
    Observation {
        target: observe_target(canary, target, known),
        primary: primary(canary, Some(target), known),
        services: services(Effect::Services),
        apex: services(Effect::Apex),
    }
}

fn observe_target(canary: &Canary, target: &Object, known: &Snapshot) -> Seen<Target> {
    let live = match live(canary, target, known) {
        Ok((revision, _)) => Live::Revision(revision),
        Err(Gap::NotRead(_)) => return Seen::Unknown,
        Err(Gap::Missing(text)) => Live::Blocked(text),
    };
    Seen::Present(Target {
        uid: target.uid().to_owned(),
        generation: target.generation(),
        live,
        readiness: of_deployment(target, canary.spec.analysis.canary_ready_threshold),
        scaled_up: replicas(target) > 0,
    })
}

/// Returns the revision of the live target, and the configs that are part of it.
fn live(canary: &Canary, target: &Object, known: &Snapshot) -> Result<(Revision, Tracked), Gap> {
    selection(canary, target, None).map_err(Gap::Missing)?;
    let tracked = configs::tracked(canary, target, known)?;
    let revision = Revision::new(Digest::of(&template(target)).to_string(), tracked.digests());
    Ok((revision, tracked))
}

fn primary(canary: &Canary, target: Option<&Object>, known: &Snapshot) -> Seen<Primary> {
    let primary = match known.read(&primary_key(canary)) {
        Reading::Unknown => return Seen::Unknown,
        Reading::Absent => return Seen::Absent,
        Reading::Present(primary) => primary,
    };
    let Ok(matches_target) = matches(canary, target, primary, known) else {
        return Seen::Unknown;
    };
    Seen::Present(Primary {
        made_from: read_revision(primary),
        matches_target,
        readiness: of_deployment(primary, canary.spec.analysis.primary_ready_threshold),
    })
}

/// Whether the primary and its configs are what would be made from the target.
fn matches(
    canary: &Canary,
    target: Option<&Object>,
    primary: &Object,
    known: &Snapshot,
) -> Result<bool, ObjectKey> {
    let Some(target) = target else { return Ok(false) };
    let tracked = match live(canary, target, known) {
        Ok((_, tracked)) => tracked,
        Err(Gap::NotRead(key)) => return Err(key),
        Err(Gap::Missing(_)) => return Ok(false),
    };
    let Ok(selection) = selection(canary, target, Some(primary)) else {
        return Ok(false);
    };
    let source = Source {
        canary,
        target,
        existing: Some(primary),
        selection: &selection,
        tracked: &tracked,
    };
    Ok(source.matches() && tracked.are_copied(known)?)
}

pub(super) fn desired(effect: &Effect, canary: &Canary, known: &Snapshot) -> Result<Vec<Write>, Refusal> {
    if matches!(effect, Effect::Route(_) | Effect::Ask(_)) {
        return Ok(Vec::new());
    }
    let key = canary.target_key();
    let target = match known.read(&key) {
        Reading::Unknown => return Err(Refusal::NotRead(key)),
        Reading::Absent => return gone(effect, canary),
        Reading::Present(target) => target,
    };
    let key = primary_key(canary);
    let existing = match known.read(&key) {
        Reading::Unknown => return Err(Refusal::NotRead(key)),
        Reading::Absent => None,
        Reading::Present(primary) => Some(primary),
    };
    match effect {
        Effect::ScaleUp => return Ok(scale_up(canary, target, existing)),
        Effect::ScaleDown => return Ok(scale(canary, target, 0)),
        _ => {}
    }
    let selection = selection(canary, target, existing).map_err(Refusal::Invalid)?;
    match effect {
        Effect::Services => services::generated(canary, target, &selection, known),
        Effect::Apex => services::apex(canary, target, &selection, known),
        Effect::Primary(revision) => promote(canary, target, existing, (&selection, revision), known),
        _ => Ok(Vec::new()),
    }
}

/// What is left to do when the target is gone: nothing runs that could be scaled down.
fn gone(effect: &Effect, canary: &Canary) -> Result<Vec<Write>, Refusal> {
    match effect {
        Effect::ScaleDown => Ok(Vec::new()),
        Effect::Primary(_) => Err(Refusal::Moved),
        _ => Err(Refusal::Invalid(format!(
            "deployment {}.{} not found: create it, or correct spec.targetRef of the Canary",
            canary.spec.target.name, canary.namespace
        ))),
    }
}

fn promote(
    canary: &Canary,
    target: &Object,
    existing: Option<&Object>,
    (selection, revision): (&Selection, &Revision),
    known: &Snapshot,
) -> Result<Vec<Write>, Refusal> {
    let (live, tracked) = live(canary, target, known)?;
    if live != *revision {
        return Err(Refusal::Moved);
    }
    let source = Source {
        canary,
        target,
        existing,
        selection,
        tracked: &tracked,
    };
    let mut writes = tracked.copies(canary, known)?;
    writes.extend(source.writes(revision));
    Ok(writes)
}

fn scale_up(canary: &Canary, target: &Object, primary: Option<&Object>) -> Vec<Write> {
    if replicas(target) > 0 {
        return Vec::new();
    }
    let like_primary = primary.map(replicas).filter(|count| *count > 0);
    scale(canary, target, like_primary.unwrap_or(1))
}

fn scale(canary: &Canary, target: &Object, count: i64) -> Vec<Write> {
    if replicas(target) == count {
        return Vec::new();
    }
    let intent = json!({
        "apiVersion": Resource::DEPLOYMENT.api_version(),
        "kind": Resource::DEPLOYMENT.kind,
        "metadata": { "name": target.name(), "namespace": canary.namespace },
        "spec": { "replicas": count },
    });
    vec![Write::Apply {
        manager: Manager::Scale,
        object: Object::from(intent),
        force: true,
    }]
}

#[cfg(test)]
mod tests;

//! Pods as their controllers see them: owned, active, ready, available; and making them from a template.

use std::time::Duration;

use jiff::Timestamp;
use serde_json::{Value, json};
use sha2::{Digest as _, Sha256};

use super::{
    Context,
    parts::{self, MANAGER},
};
use crate::{manifest::Object, rehearsal::store::json as j};

/// Returns the pods that an owner controls.
pub(super) fn owned(context: &Context, owner: &Object) -> Vec<Object> {
    let pods = context.store.list("", "Pod", Some(owner.namespace()));
    pods.into_iter()
        .filter(|pod| parts::is_controlled_by(pod, owner))
        .collect()
}

/// Whether a pod counts: it has neither ended nor been told to.
pub(super) fn is_active(pod: &Object) -> bool {
    pod.at("/metadata/deletionTimestamp").is_none()
        && !matches!(pod.str_at("/status/phase"), "Succeeded" | "Failed")
}

/// Whether a pod is ready.
pub(in crate::rehearsal) fn is_ready(pod: &Object) -> bool {
    ready_since(pod).is_some()
}

fn ready_since(pod: &Object) -> Option<Timestamp> {
    let ready = parts::condition(pod.at("/status")?, "Ready")?;
    if j::text(ready, &["status"]) != "True" {
        return None;
    }
    j::text(ready, &["lastTransitionTime"]).parse().ok()
}

/// How many pods are ready and available, and when to count again.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Health {
    pub(super) ready: i64,
    pub(super) available: i64,
    pub(super) again: Option<Duration>,
}

/// Counts pods that are ready, and those that have been for long enough.
pub(super) fn health(context: &Context, pods: &[Object], min_ready_seconds: i64) -> Health {
    let mut health = Health::default();
    let wait = jiff::SignedDuration::from_secs(min_ready_seconds);
    for since in pods.iter().filter_map(ready_since) {
        health.ready += 1;
        let left = since
            .saturating_add(wait)
            .map_or(wait, |at| at.duration_since(context.clock.now()));
        match Duration::try_from(left) {
            Ok(left) if !left.is_zero() => {
                health.again = Some(health.again.map_or(left, |again| again.min(left)));
            }
            _ => health.available += 1,
        }
    }
    health
}

/// Creates a pod for an owner from a pod template, with one label more.
pub(super) fn create(context: &Context, owner: &Object, template: &Value, label: Option<(&str, &str)>) {
    let mut metadata = json!({
        "generateName": format!("{}-", owner.name()),
        "namespace": owner.namespace(),
        "ownerReferences": parts::controller_reference(owner),
    });
    for field in ["labels", "annotations", "finalizers"] {
        if let Some(value) = j::at(template, &["metadata", field]) {
            j::set(&mut metadata, &[field], value.clone());
        }
    }
    if let Some((name, value)) = label {
        j::set(&mut metadata, &["labels", name], value);
    }
    let pod = json!({"apiVersion": "v1", "kind": "Pod", "metadata": metadata, "spec": template.get("spec")});
    if let Err(error) = context.store.create(MANAGER, pod) {
        tracing::warn!(owner = %owner.key(), %error, "the embedded cluster could not create a pod");
    }
}

/// Returns a short name for a pod template: the same for equal templates.
pub(super) fn template_hash(template: &Value) -> String {
    const ALPHABET: &[u8] = b"bcdfghjklmnpqrstvwxz2456789";
    let digest = Sha256::digest(template.to_string());
    digest
        .iter()
        .take(10)
        .filter_map(|byte| ALPHABET.get(usize::from(*byte) % ALPHABET.len()))
        .map(|byte| char::from(*byte))
        .collect()
}

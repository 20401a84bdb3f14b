//! Daemon sets: one pod on the node if the node is selected; a changed template replaces it.

use std::time::Duration;

use serde_json::Value;

use super::{
    Context, kubelet,
    parts::{MANAGER, set_counts},
    pods,
};
use crate::{
    manifest::{Object, ObjectKey},
    rehearsal::store::{Delete, json as j},
};

const HASH: &str = "controller-revision-hash";

pub(super) fn reconcile(context: &Context, key: &ObjectKey) -> Option<Duration> {
    let set = context.store.get(key)?;
    if set.at("/metadata/deletionTimestamp").is_some() {
        return None;
    }
    let template = set.at("/spec/template").cloned().unwrap_or_default();
    let hash = pods::template_hash(&template);
    let wanted = kubelet::is_selected(context, &template);
    let pods = pods::owned(context, &set);
    let on_delete = set.str_at("/spec/updateStrategy/type") == "OnDelete";
    let keep = |pod: &Object| wanted && (on_delete || pod.label(HASH) == Some(&hash));
    for pod in pods.iter().filter(|pod| pods::is_active(pod) && !keep(pod)) {
        let _gone = context.store.delete(&pod.key(), &Delete::default());
    }
    // The old pod is gone before the new one is made, as without surge.
    if wanted && pods.iter().all(|pod| context.store.get(&pod.key()).is_none()) {
        pods::create(context, &set, &template, Some((HASH, &hash)));
    }
    write_status(context, &set, &hash, wanted)
}

fn write_status(context: &Context, set: &Object, hash: &str, wanted: bool) -> Option<Duration> {
    let mut active = pods::owned(context, set);
    active.retain(pods::is_active);
    let count = |n: usize| i64::try_from(n).unwrap_or(i64::MAX);
    let updated = active.iter().filter(|pod| pod.label(HASH) == Some(hash)).count();
    let health = pods::health(
        context,
        &active,
        set.i64_at("/spec/minReadySeconds").unwrap_or_default(),
    );
    let desired = i64::from(wanted);
    let scheduled = if wanted { count(active.len()) } else { 0 };
    let _result = context.store.modify_status(MANAGER, &set.key(), |value| {
        let generation = set.generation();
        let status = j::entry(value, &["status"]);
        for (field, number) in [
            ("currentNumberScheduled", scheduled),
            ("desiredNumberScheduled", desired),
            ("numberMisscheduled", count(active.len()) - scheduled),
            ("numberReady", if wanted { health.ready } else { 0 }),
            ("observedGeneration", generation),
        ] {
            j::set(status, &[field], Value::from(number));
        }
        let available = if wanted { health.available } else { 0 };
        set_counts(
            status,
            &[
                ("updatedNumberScheduled", if wanted { count(updated) } else { 0 }),
                ("numberAvailable", available),
                ("numberUnavailable", desired - available),
            ],
        );
    });
    health.again
}

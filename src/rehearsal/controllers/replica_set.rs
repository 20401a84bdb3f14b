//! Replica sets: as many pods as they say.

use std::time::Duration;

use super::{
    Context,
    parts::{MANAGER, set_counts},
    pods,
};
use crate::{
    manifest::{Object, ObjectKey},
    rehearsal::store::{Delete, json as j},
};

/// No more pods than this are made for one set, whatever it says: the node has room for no more.
const MAX_PODS: usize = 1000;

pub(super) fn reconcile(context: &Context, key: &ObjectKey) -> Option<Duration> {
    let set = context.store.get(key)?;
    if set.at("/metadata/deletionTimestamp").is_some() {
        return None;
    }
    let mut active = pods::owned(context, &set);
    active.retain(pods::is_active);
    let wanted = usize::try_from(set.i64_at("/spec/replicas").unwrap_or(1))
        .unwrap_or_default()
        .min(MAX_PODS);
    if active.len() < wanted {
        let template = set.at("/spec/template").cloned().unwrap_or_default();
        (active.len()..wanted).for_each(|_| pods::create(context, &set, &template, None));
    } else {
        let excess = active.len() - wanted;
        active.sort_by_key(worth);
        for pod in active.drain(..excess) {
            let _gone = context.store.delete(&pod.key(), &Delete::default());
        }
    }
    write_status(context, &set)
}

/// Orders pods by what is lost with them: the first are the first to go.
fn worth(pod: &Object) -> (bool, bool, std::cmp::Reverse<String>, String) {
    (
        pod.str_at("/status/phase") == "Running",
        pods::is_ready(pod),
        std::cmp::Reverse(pod.str_at("/metadata/creationTimestamp").to_owned()),
        pod.name().to_owned(),
    )
}

fn write_status(context: &Context, set: &Object) -> Option<Duration> {
    let mut active = pods::owned(context, set);
    let ending = active
        .iter()
        .filter(|pod| pod.at("/metadata/deletionTimestamp").is_some())
        .count();
    active.retain(pods::is_active);
    let health = pods::health(
        context,
        &active,
        set.i64_at("/spec/minReadySeconds").unwrap_or_default(),
    );
    let count = i64::try_from(active.len()).unwrap_or(i64::MAX);
    let _result = context.store.modify_status(MANAGER, &set.key(), |value| {
        let generation = set.generation();
        let status = j::entry(value, &["status"]);
        j::set(status, &["replicas"], count);
        j::set(status, &["terminatingReplicas"], ending);
        j::set(status, &["observedGeneration"], generation);
        set_counts(
            status,
            &[
                ("fullyLabeledReplicas", count),
                ("readyReplicas", health.ready),
                ("availableReplicas", health.available),
            ],
        );
    });
    health.again
}

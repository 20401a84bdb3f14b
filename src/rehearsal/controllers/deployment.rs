//! Deployments: one replica set per pod template, moved from old to new, and what `kubectl rollout status` reads.

mod status;

use std::time::Duration;

use serde_json::{Value, json};

use super::{
    Context,
    parts::{self, MANAGER, TEMPLATE_HASH},
    pods,
    rollout::{self, Bounds, Size},
};
use crate::{
    manifest::{Object, ObjectKey},
    rehearsal::store::{Delete, json as j},
};

const REVISION: &str = "deployment.kubernetes.io/revision";
const HISTORY: &str = "deployment.kubernetes.io/revision-history";
const DESIRED: &str = "deployment.kubernetes.io/desired-replicas";
const MAX: &str = "deployment.kubernetes.io/max-replicas";

/// A deployment's replica sets: that of the present template, and the others, oldest first.
#[derive(Debug, Default)]
struct Sets {
    new: Option<Object>,
    old: Vec<Object>,
    /// The new one was created in this turn.
    created: bool,
}

pub(super) fn reconcile(context: &Context, key: &ObjectKey) -> Option<Duration> {
    let deployment = context.store.get(key)?;
    if deployment.at("/metadata/deletionTimestamp").is_some() {
        return None;
    }
    let mut sets = find(context, &deployment);
    if deployment.at("/spec/paused") == Some(&Value::Bool(true)) {
        resize_paused(context, &deployment, &sets);
    } else if is_recreated(&deployment) {
        recreate(context, &deployment, &mut sets);
    } else {
        adopt_revision(context, &deployment, &mut sets);
        roll(context, &deployment, &sets);
    }
    let created = sets.created;
    let mut sets = find(context, &deployment);
    sets.created = created;
    forget_old(context, &deployment, &sets);
    status::write(context, &deployment, &sets)
}

fn find(context: &Context, deployment: &Object) -> Sets {
    let mut all = context
        .store
        .list("apps", "ReplicaSet", Some(deployment.namespace()));
    all.retain(|set| parts::is_controlled_by(set, deployment));
    all.sort_by_key(|set| (revision(set), set.name().to_owned()));
    let template = bare_template(deployment);
    let new = all.iter().position(|set| bare_template(set) == template);
    Sets {
        new: new.map(|at| all.remove(at)),
        old: all,
        created: false,
    }
}

/// Returns the pod template without the label that tells replica sets apart.
fn bare_template(object: &Object) -> Value {
    let mut template = object.at("/spec/template").cloned().unwrap_or_default();
    j::remove(&mut template, &["metadata", "labels", TEMPLATE_HASH]);
    template
}

fn revision(object: &Object) -> i64 {
    object
        .annotation(REVISION)
        .and_then(|text| text.parse().ok())
        .unwrap_or_default()
}

fn replicas(set: &Object) -> i64 {
    set.i64_at("/spec/replicas").unwrap_or_default()
}

fn size(set: &Object) -> Size {
    Size {
        wanted: replicas(set),
        available: set.i64_at("/status/availableReplicas").unwrap_or_default(),
    }
}

/// Makes sure that the present template has a replica set, whose revision is the highest.
fn adopt_revision(context: &Context, deployment: &Object, sets: &mut Sets) {
    let highest = sets.old.iter().map(revision).max().unwrap_or_default();
    let mut number = highest + 1;
    match &sets.new {
        None => {
            sets.new = create(context, deployment, sets, number);
            sets.created = sets.new.is_some();
        }
        Some(set) if revision(set) <= highest => {
            let history = [set.annotation(HISTORY), set.annotation(REVISION)];
            let history: Vec<&str> = history.into_iter().flatten().collect();
            let _result = context.store.modify(MANAGER, &set.key(), |value| {
                j::set(value, &["metadata", "annotations", REVISION], number.to_string());
                j::set(value, &["metadata", "annotations", HISTORY], history.join(","));
            });
        }
        Some(set) => number = revision(set),
    }
    if let Some(set) = &sets.new {
        let min_ready = deployment.i64_at("/spec/minReadySeconds").unwrap_or_default();
        let _result = context.store.modify(MANAGER, &set.key(), |value| {
            j::set(value, &["spec", "minReadySeconds"], min_ready);
        });
    }
    if revision(deployment) != number {
        // Through the status, as the real controller does: this does not count as a new generation.
        let _result = context.store.modify_status(MANAGER, &deployment.key(), |value| {
            j::set(value, &["metadata", "annotations", REVISION], number.to_string());
        });
    }
}

fn create(context: &Context, deployment: &Object, sets: &Sets, number: i64) -> Option<Object> {
    let template = deployment.at("/spec/template").cloned().unwrap_or_default();
    let hash = pods::template_hash(&template);
    let bounds = Bounds::of(deployment.value());
    let old: Vec<Size> = sets.old.iter().map(size).collect();
    let first = rollout::grow(bounds, Size::default(), &old);
    let mut labelled = template;
    j::set(
        &mut labelled,
        &["metadata", "labels", TEMPLATE_HASH],
        hash.as_str(),
    );
    let mut selector = deployment.at("/spec/selector").cloned().unwrap_or_default();
    j::set(&mut selector, &["matchLabels", TEMPLATE_HASH], hash.as_str());
    let set = json!({
        "apiVersion": "apps/v1", "kind": "ReplicaSet",
        "metadata": {
            "name": format!("{}-{hash}", deployment.name()),
            "namespace": deployment.namespace(),
            "labels": j::at(&labelled, &["metadata", "labels"]),
            "annotations": {
                REVISION: number.to_string(),
                DESIRED: bounds.replicas.to_string(),
                MAX: (bounds.replicas + bounds.surge).to_string(),
            },
            "ownerReferences": parts::controller_reference(deployment),
        },
        "spec": {
            "replicas": first,
            "minReadySeconds": deployment.i64_at("/spec/minReadySeconds").unwrap_or_default(),
            "selector": selector,
            "template": labelled,
        },
    });
    match context.store.create(MANAGER, set) {
        Ok(set) => Some(set),
        Err(error) => {
            tracing::warn!(deployment = %deployment.key(), %error, "the embedded cluster could not create a replica set");
            None
        }
    }
}

fn resize(context: &Context, bounds: Bounds, set: &Object, wanted: i64) {
    let annotations = [(DESIRED, bounds.replicas), (MAX, bounds.replicas + bounds.surge)];
    let _result = context.store.modify(MANAGER, &set.key(), |value| {
        j::set(value, &["spec", "replicas"], wanted);
        for (name, number) in annotations {
            j::set(value, &["metadata", "annotations", name], number.to_string());
        }
    });
}

/// Takes one step of a rolling update: up if there is room, else down.
fn roll(context: &Context, deployment: &Object, sets: &Sets) {
    let Some(new) = &sets.new else { return };
    let bounds = Bounds::of(deployment.value());
    let old: Vec<Size> = sets.old.iter().map(size).collect();
    let wanted = rollout::grow(bounds, size(new), &old);
    if wanted != replicas(new) {
        return resize(context, bounds, new, wanted);
    }
    for (set, wanted) in sets.old.iter().zip(rollout::shrink(bounds, size(new), &old)) {
        if wanted != replicas(set) {
            resize(context, bounds, set, wanted);
        }
    }
}

fn is_recreated(deployment: &Object) -> bool {
    deployment.str_at("/spec/strategy/type") == "Recreate"
}

/// Ends all old pods before the first new one is made.
fn recreate(context: &Context, deployment: &Object, sets: &mut Sets) {
    let bounds = Bounds::of(deployment.value());
    let mut ended = true;
    for set in &mut sets.old {
        if replicas(set) > 0 {
            resize(context, bounds, set, 0);
            *set = context.store.get(&set.key()).unwrap_or_else(|| set.clone());
        }
        ended &= pods::owned(context, set).is_empty();
    }
    if ended || sets.new.is_some() {
        adopt_revision(context, deployment, sets);
    }
    if let Some(new) = sets
        .new
        .as_ref()
        .filter(|set| ended && replicas(set) != bounds.replicas)
    {
        resize(context, bounds, new, bounds.replicas);
    }
}

/// Follows `spec.replicas` of a paused deployment, with the set that has pods.
fn resize_paused(context: &Context, deployment: &Object, sets: &Sets) {
    let bounds = Bounds::of(deployment.value());
    let mut active = sets.old.iter().chain(&sets.new).filter(|set| replicas(set) > 0);
    let (first, second) = (active.next(), active.next());
    if let (Some(set), None) = (first.or(sets.new.as_ref()), second)
        && replicas(set) != bounds.replicas
    {
        resize(context, bounds, set, bounds.replicas);
    }
}

/// Deletes the oldest replica sets that are empty, beyond the history that is kept.
fn forget_old(context: &Context, deployment: &Object, sets: &Sets) {
    let limit = deployment.i64_at("/spec/revisionHistoryLimit").unwrap_or(10);
    let excess = sets
        .old
        .len()
        .saturating_sub(usize::try_from(limit).unwrap_or_default());
    let empty = |set: &&Object| replicas(set) == 0 && set.i64_at("/status/replicas").unwrap_or_default() == 0;
    for set in sets.old.iter().take(excess).filter(empty) {
        let _gone = context.store.delete(&set.key(), &Delete::default());
    }
}

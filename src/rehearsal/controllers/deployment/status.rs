//! The status of a deployment: counts, and the conditions `Available` and `Progressing`.

use std::time::Duration;

use jiff::{SignedDuration, Timestamp};
use serde_json::Value;

use super::{Bounds, MANAGER, Object, Sets, j, replicas};
use crate::rehearsal::controllers::{
    Context,
    parts::{Condition, Times, condition, set_condition, set_counts},
};

/// The counts of a deployment's status.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Counts {
    replicas: i64,
    updated: i64,
    ready: i64,
    available: i64,
    unavailable: i64,
    ending: i64,
}

impl Counts {
    fn of_sets(sets: &Sets) -> Self {
        let count = |set: &Object, field: &str| {
            set.at("/status")
                .and_then(|status| status.get(field))
                .and_then(Value::as_i64)
                .unwrap_or_default()
        };
        let sum = |field: &str| {
            sets.old
                .iter()
                .chain(&sets.new)
                .map(|set| count(set, field))
                .sum::<i64>()
        };
        let wanted: i64 = sets.old.iter().chain(&sets.new).map(replicas).sum();
        let available = sum("availableReplicas");
        Self {
            replicas: sum("replicas"),
            updated: sets
                .new
                .as_ref()
                .map(|set| count(set, "replicas"))
                .unwrap_or_default(),
            ready: sum("readyReplicas"),
            available,
            unavailable: (wanted - available).max(0),
            ending: sum("terminatingReplicas"),
        }
    }

    fn of_status(status: &Value) -> Self {
        let count = |field: &str| status.get(field).and_then(Value::as_i64).unwrap_or_default();
        Self {
            replicas: count("replicas"),
            updated: count("updatedReplicas"),
            ready: count("readyReplicas"),
            available: count("availableReplicas"),
            unavailable: count("unavailableReplicas"),
            ending: count("terminatingReplicas"),
        }
    }

    fn is_complete(self, wanted: i64) -> bool {
        self.updated == wanted && self.replicas == wanted && self.available == wanted
    }

    fn is_beyond(self, before: Self) -> bool {
        self.updated > before.updated
            || self.replicas - self.updated < before.replicas - before.updated
            || self.ready > before.ready
            || self.available > before.available
    }
}

pub(super) fn write(context: &Context, deployment: &Object, sets: &Sets) -> Option<Duration> {
    let counts = Counts::of_sets(sets);
    let mut again = None;
    let _result = context.store.modify_status(MANAGER, &deployment.key(), |value| {
        let spec = value.get("spec").cloned().unwrap_or_default();
        let bounds = Bounds::of(value);
        let generation = j::at(value, &["metadata", "generation"])
            .cloned()
            .unwrap_or_default();
        let status = j::entry(value, &["status"]);
        let before = Counts::of_status(status);
        // What was read is what is observed; a newer spec is observed in the next turn.
        if generation == deployment.generation() {
            j::set(status, &["observedGeneration"], generation);
        }
        j::set(status, &["terminatingReplicas"], counts.ending);
        set_counts(
            status,
            &[
                ("replicas", counts.replicas),
                ("updatedReplicas", counts.updated),
                ("readyReplicas", counts.ready),
                ("availableReplicas", counts.available),
                ("unavailableReplicas", counts.unavailable),
            ],
        );
        available(context, bounds, status, counts);
        again = progressing(
            context,
            &spec,
            status,
            &Progress {
                deployment: deployment.name(),
                sets,
                counts,
                before,
            },
        );
    });
    again
}

fn available(context: &Context, bounds: Bounds, status: &mut Value, counts: Counts) {
    let enough = counts.available >= bounds.replicas - bounds.unavailable;
    let wanted = if enough {
        Condition {
            kind: "Available",
            status: Some(true),
            reason: "MinimumReplicasAvailable",
            message: "Deployment has minimum availability.",
        }
    } else {
        Condition {
            kind: "Available",
            status: Some(false),
            reason: "MinimumReplicasUnavailable",
            message: "Deployment does not have minimum availability.",
        }
    };
    set_condition(
        status,
        &wanted,
        &context.stamp(),
        Times {
            updated: true,
            touch: false,
        },
    );
}

/// How far a deployment is, and was.
struct Progress<'a> {
    deployment: &'a str,
    sets: &'a Sets,
    counts: Counts,
    before: Counts,
}

/// Sets `Progressing`; returns when the deadline passes.
fn progressing(
    context: &Context,
    spec: &Value,
    status: &mut Value,
    progress: &Progress<'_>,
) -> Option<Duration> {
    let deadline = integer(spec, "progressDeadlineSeconds").unwrap_or(600);
    let name = progress.sets.new.as_ref().map_or("", |set| set.name());
    let subject = match &progress.sets.new {
        Some(set) => format!("ReplicaSet \"{}\"", set.name()),
        None => format!("Deployment \"{}\"", progress.deployment),
    };
    let old = condition(status, "Progressing").cloned();
    let old_reason = old.as_ref().map_or("", |c| j::text(c, &["reason"])).to_owned();
    let counts = progress.counts;
    let paused = spec.get("paused") == Some(&Value::Bool(true));
    let set = |status: Option<bool>, reason: &str, message: String, target: &mut Value| {
        let wanted = Condition {
            kind: "Progressing",
            status,
            reason,
            message: &message,
        };
        set_condition(
            target,
            &wanted,
            &context.stamp(),
            Times {
                updated: true,
                touch: true,
            },
        );
    };
    if paused {
        if old_reason != "DeploymentPaused" {
            set(
                None,
                "DeploymentPaused",
                "Deployment is paused".to_owned(),
                status,
            );
        }
        return None;
    }
    if old_reason == "DeploymentPaused" {
        set(
            None,
            "DeploymentResumed",
            "Deployment is resumed".to_owned(),
            status,
        );
    }
    if progress.sets.created {
        set(
            Some(true),
            "NewReplicaSetCreated",
            format!("Created new replica set \"{name}\""),
            status,
        );
    } else if old.is_none() && progress.sets.new.is_some() {
        set(
            Some(true),
            "FoundNewReplicaSet",
            format!("Found new replica set \"{name}\""),
            status,
        );
    } else if old_reason == "NewReplicaSetAvailable" && counts.replicas == counts.updated {
        return None;
    }
    let wanted = integer(spec, "replicas").unwrap_or(1);
    if counts.is_complete(wanted) {
        let message = format!("{subject} has successfully progressed.");
        set(Some(true), "NewReplicaSetAvailable", message, status);
        return None;
    }
    if counts.is_beyond(progress.before) && !progress.sets.created {
        set(
            Some(true),
            "ReplicaSetUpdated",
            format!("{subject} is progressing."),
            status,
        );
    }
    let (reason, since) = reason_and_update(status);
    if matches!(
        reason.as_str(),
        "NewReplicaSetAvailable" | "ProgressDeadlineExceeded"
    ) {
        return None;
    }
    let end = since?.saturating_add(SignedDuration::from_secs(deadline)).ok()?;
    let left = end.duration_since(context.clock.now());
    if left.is_positive() {
        return Duration::try_from(left).ok();
    }
    let message = format!("{subject} has timed out progressing.");
    set(Some(false), "ProgressDeadlineExceeded", message, status);
    None
}

fn integer(spec: &Value, field: &str) -> Option<i64> {
    spec.get(field).and_then(Value::as_i64)
}

fn reason_and_update(status: &Value) -> (String, Option<Timestamp>) {
    let Some(condition) = condition(status, "Progressing") else {
        return (String::new(), None);
    };
    (
        j::text(condition, &["reason"]).to_owned(),
        j::text(condition, &["lastUpdateTime"]).parse().ok(),
    )
}

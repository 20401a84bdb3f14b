//! Horizontal autoscalers: keep a target between its bounds, and leave one that is scaled to zero alone. There
//! is no load, so nothing else is ever wanted.

use std::time::Duration;

use super::{
    Context,
    parts::{Condition, MANAGER, Times, set_condition},
};
use crate::{
    manifest::{Object, ObjectKey, Resource},
    rehearsal::store::json as j,
};

pub(super) fn reconcile(context: &Context, key: &ObjectKey) -> Option<Duration> {
    let autoscaler = context.store.get(key)?;
    let name = autoscaler.str_at("/spec/scaleTargetRef/name");
    let is_deployment = autoscaler.str_at("/spec/scaleTargetRef/kind") == "Deployment";
    let target_key = ObjectKey::new(Resource::DEPLOYMENT, &key.namespace, name);
    let target = if is_deployment {
        context.store.get(&target_key)
    } else {
        None
    };
    let current = target
        .as_ref()
        .map(|target| target.i64_at("/spec/replicas").unwrap_or(1));
    let desired = current.map(|current| bounded(&autoscaler, current));
    if desired != current {
        let _result = context.store.modify(MANAGER, &target_key, |value| {
            j::set(value, &["spec", "replicas"], desired);
        });
    }
    write_status(context, &autoscaler, current, desired);
    None
}

fn bounded(autoscaler: &Object, current: i64) -> i64 {
    let least = autoscaler.i64_at("/spec/minReplicas").unwrap_or(1);
    let most = autoscaler.i64_at("/spec/maxReplicas").unwrap_or(i64::MAX);
    if current == 0 {
        0
    } else {
        current.max(least).min(most)
    }
}

fn write_status(context: &Context, autoscaler: &Object, current: Option<i64>, desired: Option<i64>) {
    let able = match desired {
        Some(_) => Condition {
            kind: "AbleToScale",
            status: Some(true),
            reason: "SucceededGetScale",
            message: "the HPA controller was able to get the target's current scale",
        },
        None => Condition {
            kind: "AbleToScale",
            status: Some(false),
            reason: "FailedGetScale",
            message: "the HPA controller was unable to get the target's current scale",
        },
    };
    let active = match desired {
        Some(0) => Condition {
            kind: "ScalingActive",
            status: Some(false),
            reason: "ScalingDisabled",
            message: "scaling is disabled since the replica count of the target is zero",
        },
        _ => Condition {
            kind: "ScalingActive",
            status: Some(desired.is_some()),
            reason: if desired.is_some() {
                "ValidMetricFound"
            } else {
                "FailedGetScale"
            },
            message: "",
        },
    };
    let _result = context.store.modify_status(MANAGER, &autoscaler.key(), |value| {
        let status = j::entry(value, &["status"]);
        j::set(status, &["currentReplicas"], current.unwrap_or_default());
        j::set(status, &["desiredReplicas"], desired.unwrap_or_default());
        for wanted in [&able, &active] {
            set_condition(status, wanted, &context.stamp(), Times::default());
        }
    });
}

//! Whether the pods of a workload are ready, in Flagger's words. The deadline is the machine's.

use serde_json::Value;

use crate::{manifest::Object, rollout::Readiness};

/// Returns whether enough replicas of a Deployment are ready; `threshold` is a percentage.
pub(super) fn of_deployment(deployment: &Object, threshold: u8) -> Readiness {
    let count = |pointer: &str| deployment.i64_at(pointer).unwrap_or_default();
    let replicas = replicas(deployment);
    if replicas == 0 {
        return Readiness::NotReady("scaled to zero".to_owned());
    }
    if deployment.generation() > count("/status/observedGeneration") {
        let why = "observed deployment generation less than desired generation";
        return Readiness::NotReady(why.to_owned());
    }
    if gave_up(deployment) {
        let name = deployment.name();
        return Readiness::Stuck(format!("deployment \"{name}\" exceeded its progress deadline"));
    }
    let updated = count("/status/updatedReplicas");
    let pending = count("/status/replicas") - updated;
    let available = count("/status/availableReplicas");
    let why = if updated < replicas {
        format!("{updated} out of {replicas} new replicas have been updated")
    } else if pending > 0 {
        format!("{pending} old replicas are pending termination")
    } else if available < least(updated, threshold) {
        format!("{available} of {updated} (readyThreshold {threshold}%) updated replicas are available")
    } else {
        return Readiness::Ready;
    };
    Readiness::NotReady(format!("waiting for rollout to finish: {why}"))
}

/// Returns the replicas that are asked for.
pub(super) fn replicas(deployment: &Object) -> i64 {
    deployment.i64_at("/spec/replicas").unwrap_or(1)
}

/// Replicas that must be available: rounded down, but not to none unless none is asked for.
fn least(updated: i64, threshold: u8) -> i64 {
    let share = updated * i64::from(threshold) / 100;
    if threshold == 0 { 0 } else { share.max(1) }
}

fn gave_up(deployment: &Object) -> bool {
    let conditions = deployment.at("/status/conditions").and_then(Value::as_array);
    conditions.into_iter().flatten().any(|condition| {
        let is = |field: &str, text: &str| condition.get(field).and_then(Value::as_str) == Some(text);
        is("type", "Progressing") && is("reason", "ProgressDeadlineExceeded")
    })
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn deployment(status: &Value) -> Object {
        Object::from(json!({
            "metadata": { "name": "podinfo", "generation": 2 }, "spec": { "replicas": 2 }, "status": status
        }))
    }

    fn status(updated: i64, replicas: i64, available: i64) -> Value {
        json!({
            "observedGeneration": 2, "updatedReplicas": updated, "replicas": replicas,
            "availableReplicas": available
        })
    }

    #[test]
    fn says_what_is_waited_for() {
        for (updated, replicas, available, why) in [
            (1, 2, 1, "1 out of 2 new replicas have been updated"),
            (2, 3, 2, "1 old replicas are pending termination"),
            (
                2,
                2,
                1,
                "1 of 2 (readyThreshold 100%) updated replicas are available",
            ),
        ] {
            let readiness = of_deployment(&deployment(&status(updated, replicas, available)), 100);
            assert_eq!(readiness.why(), format!("waiting for rollout to finish: {why}"));
            assert!(matches!(readiness, Readiness::NotReady(_)));
        }
        assert!(of_deployment(&deployment(&status(2, 2, 2)), 100).is_ready());
    }

    #[test]
    fn a_threshold_rounds_down_but_not_to_nothing() {
        assert!(of_deployment(&deployment(&status(2, 2, 1)), 50).is_ready());
        assert!(!of_deployment(&deployment(&status(2, 2, 0)), 10).is_ready());
        assert!(of_deployment(&deployment(&status(2, 2, 0)), 0).is_ready());
    }

    #[test]
    fn a_status_of_an_older_generation_counts_for_nothing() {
        let mut old = status(2, 2, 2);
        old["observedGeneration"] = json!(1);
        let why = "observed deployment generation less than desired generation";
        assert_eq!(of_deployment(&deployment(&old), 100).why(), why);
    }

    #[test]
    fn the_controller_may_give_up() {
        let mut given_up = status(2, 2, 1);
        given_up["conditions"] = json!([{ "type": "Progressing", "reason": "ProgressDeadlineExceeded" }]);
        let why = "deployment \"podinfo\" exceeded its progress deadline".to_owned();
        assert_eq!(of_deployment(&deployment(&given_up), 100), Readiness::Stuck(why));
    }

    #[test]
    fn scaled_to_zero_is_not_ready() {
        let object = Object::from(json!({ "spec": { "replicas": 0 } }));
        assert_eq!(
            of_deployment(&object, 0),
            Readiness::NotReady("scaled to zero".into())
        );
    }
}

//! Two canaries on one target would fight over it: the elder keeps it, the other one is refused.

use std::sync::Arc;

use super::Shared;
use crate::{
    canary::{Fault, SpecError},
    manifest::{Object, ObjectKey, Resource},
    plan::target_of,
};

/// Looks for an elder Canary with the same target. The worker is nudged when that one changes or goes.
pub(super) fn refuse(shared: &Arc<Shared>, canary: &Object) -> Option<SpecError> {
    let target = target_of(canary)?;
    let rival = shared
        .cluster
        .list(Resource::CANARY)
        .into_iter()
        .filter(|other| target_of(other).as_ref() == Some(&target) && age(other) < age(canary))
        .min_by(|a, b| age(a).cmp(&age(b)))?;
    let (key, rival) = (canary.key(), rival.key());
    shared.watch_keys(&key, std::slice::from_ref(&rival));
    Some(error(&key, &target, &rival))
}

/// Elder first; of the same second, by name.
fn age(canary: &Object) -> (&str, &str) {
    (canary.str_at("/metadata/creationTimestamp"), canary.name())
}

fn error(canary: &ObjectKey, target: &ObjectKey, rival: &ObjectKey) -> SpecError {
    SpecError {
        object: canary.to_string(),
        faults: vec![Fault {
            field: "spec.targetRef".to_owned(),
            problem: format!("{target} is the target of {rival} already"),
            hint: "delete one of the two; until then the elder one keeps the target".to_owned(),
        }],
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn the_elder_comes_first_and_then_the_name() {
        let canary = |name: &str, created: &str| {
            Object::from(json!({"metadata": {"name": name, "creationTimestamp": created}}))
        };
        let (first, second) = ("2026-01-01T00:00:00Z", "2026-01-01T00:00:01Z");
        assert!(age(&canary("b", first)) < age(&canary("a", second)));
        assert!(age(&canary("a", first)) < age(&canary("b", first)));
    }
}

//! Who set back what a rollout wrote: named once in a run, in an event, a log line, the status, and the word on the
//! commit.

use std::sync::Arc;

use jiff::Timestamp;

use super::{Shared, effects, worker::Memory};
use crate::{
    canary::{Announced, Canary, DriftStatus, Status, reason},
    cluster::ClusterError,
    manifest::{ObjectKey, Setter, Snapshot, set_by_others},
    rollout::{Effect, Level},
};

/// How many objects are told of in one run.
const TOLD: usize = 8;

/// Finds out who set levels back, before they are put back, and tells what was not told in this run yet.
pub(super) async fn tell(
    shared: &Arc<Shared>,
    canary: &Canary,
    snapshot: &Snapshot,
    memory: &mut Memory,
    set_back: &[Effect],
) -> Result<(), ClusterError> {
    for effect in set_back {
        for (object, setter) in found(shared, canary, snapshot, effect).await? {
            if let Some(level) = Level::of(effect) {
                shared.telemetry.set_back(canary, level);
            }
            let run = memory.state.control.run_id();
            let Some(entry) = news(&memory.drift, run, &object, setter.as_ref(), shared.now()) else {
                continue;
            };
            let news = announced(canary, &entry);
            tracing::warn!(
                canary = %canary.key(), object = entry.object, field = entry.field, manager = entry.manager,
                reason = news.reason, "{}", news.text
            );
            let event = crate::report::event(&canary.key(), &canary.uid, &news);
            shared.cluster.write(event).await?;
            memory.drift.push(entry);
        }
    }
    Ok(())
}

/// The objects of a level that somebody else has changed, or deleted.
async fn found(
    shared: &Arc<Shared>,
    canary: &Canary,
    snapshot: &Snapshot,
    effect: &Effect,
) -> Result<Vec<(ObjectKey, Option<Setter>)>, ClusterError> {
    let mut found = Vec::new();
    let Ok(Some(writes)) = effects::writes(canary, snapshot, effect) else {
        return Ok(found);
    };
    for write in writes {
        let key = write.key();
        // The watches leave out who manages what.
        match shared.cluster.get(&key).await? {
            None => found.push((key, None)),
            Some(live) => {
                let setter = set_by_others(&live, &write);
                found.extend(setter.map(|setter| (key, Some(setter))));
            }
        }
    }
    Ok(found)
}

/// What is to be told; nothing if the object was told of in this run.
fn news(
    told: &[DriftStatus],
    run: String,
    object: &ObjectKey,
    setter: Option<&Setter>,
    now: Timestamp,
) -> Option<DriftStatus> {
    let object = object.to_string();
    let known = told
        .iter()
        .any(|entry| entry.run == run && entry.object == object);
    if known || told.len() >= TOLD {
        return None;
    }
    let (field, manager, owner) = match setter {
        Some(setter) => (
            setter.field.as_str(),
            setter.manager.as_str(),
            setter.owner.as_ref(),
        ),
        None => ("", "", None),
    };
    Some(DriftStatus {
        run,
        object,
        field: field.to_owned(),
        manager: manager.to_owned(),
        applied_by: owner.map(ToString::to_string),
        at: now,
    })
}

fn announced(canary: &Canary, entry: &DriftStatus) -> Announced {
    let DriftStatus {
        object,
        field,
        manager,
        ..
    } = entry;
    let what = match &entry.applied_by {
        _ if manager.is_empty() => format!("Somebody deleted {object}"),
        Some(owner) => format!("{manager} ({owner}) changed {field} of {object}"),
        None => format!("{manager} changed {field} of {object}"),
    };
    Announced {
        warning: true,
        reason: reason::DRIFT.to_owned(),
        text: format!(
            "{what}, which the rollout sets: it is put back. The fix: serin doctor -n {}",
            canary.namespace
        ),
        run: entry.run.clone(),
        tick: 0,
        at: entry.at,
    }
}

/// Puts what was set back in the run that the status is about into it.
pub(super) fn keep(drift: &mut Vec<DriftStatus>, status: &mut Status) {
    let run = status.run.as_ref().map(|run| run.id.as_str()).unwrap_or_default();
    drift.retain(|entry| entry.run == run);
    status.drift.clone_from(drift);
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{
        canary::{Defaults, RunStatus},
        manifest::{Object, Resource},
    };

    fn canary() -> Canary {
        let object = serde_json::json!({
            "apiVersion": "flagger.app/v1beta1", "kind": "Canary",
            "metadata": {"name": "podinfo", "namespace": "test"},
            "spec": {"provider": "kubernetes", "service": {"port": 80}, "analysis": {"iterations": 2},
                "targetRef": {"apiVersion": "apps/v1", "kind": "Deployment", "name": "podinfo"}}
        });
        Canary::parse(&Object::from(object), &Defaults::default()).unwrap()
    }

    fn setter(owner: Option<ObjectKey>) -> Setter {
        Setter {
            field: "spec.replicas".to_owned(),
            manager: "kustomize-controller".to_owned(),
            owner,
        }
    }

    #[test]
    fn an_object_is_told_of_once_in_a_run_and_the_text_says_who_and_what_to_do() {
        let target = ObjectKey::new(Resource::DEPLOYMENT, "test", "podinfo");
        let flux = ObjectKey::new(Resource::KUSTOMIZATION, "flux-system", "apps");
        let mut told = Vec::new();
        let run = || "1-ab".to_owned();
        let first = news(
            &told,
            run(),
            &target,
            Some(&setter(Some(flux))),
            Timestamp::UNIX_EPOCH,
        )
        .unwrap();
        assert_eq!(
            announced(&canary(), &first).text,
            "kustomize-controller (Kustomization/flux-system/apps) changed spec.replicas of Deployment/test/podinfo, \
             which the rollout sets: it is put back. The fix: serin doctor -n test"
        );
        told.push(first);
        assert_eq!(
            news(&told, run(), &target, Some(&setter(None)), Timestamp::UNIX_EPOCH),
            None
        );
        let service = ObjectKey::new(Resource::SERVICE, "test", "podinfo-canary");
        let deleted = news(&told, run(), &service, None, Timestamp::UNIX_EPOCH).unwrap();
        let text = announced(&canary(), &deleted).text;
        assert!(
            text.starts_with("Somebody deleted Service/test/podinfo-canary, which"),
            "{text}"
        );
        let next = news(
            &told,
            "2-cd".to_owned(),
            &target,
            Some(&setter(None)),
            Timestamp::UNIX_EPOCH,
        );
        assert!(next.is_some(), "another run, another word");
        let many = vec![deleted; TOLD];
        assert_eq!(
            news(&many, run(), &target, Some(&setter(None)), Timestamp::UNIX_EPOCH),
            None
        );
    }

    #[test]
    fn a_new_run_begins_without_what_was_told_in_the_last() {
        let entry = news(
            &[],
            "1-ab".to_owned(),
            &ObjectKey::new(Resource::DEPLOYMENT, "test", "podinfo"),
            Some(&setter(None)),
            Timestamp::UNIX_EPOCH,
        );
        let mut drift: Vec<_> = entry.into_iter().collect();
        let mut status = Status {
            run: Some(RunStatus {
                id: "1-ab".to_owned(),
                ..RunStatus::default()
            }),
            ..Status::default()
        };
        keep(&mut drift, &mut status);
        assert_eq!((drift.len(), status.drift.len()), (1, 1));
        status.run = Some(RunStatus {
            id: "2-cd".to_owned(),
            ..RunStatus::default()
        });
        keep(&mut drift, &mut status);
        assert_eq!((drift.len(), status.drift.len()), (0, 0));
    }
}

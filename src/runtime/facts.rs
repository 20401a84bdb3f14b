//! From what was read to facts: asks the rooms for what they need, until they need no more.

use std::{collections::BTreeMap, sync::Arc};

use super::Shared;
use crate::{
    canary::Canary,
    manifest::{Object, ObjectKey, Reading, Snapshot},
    metrics,
    rollout::{Answer, AskId, Facts},
    traffic, workload,
};

/// How often rooms may ask for more keys: target, configs, copies, and one to spare.
const ROUNDS: usize = 5;

/// Reads all that the rooms need for this Canary; what is `held` counts instead of what is in the cluster. Gives
/// also whether all of it has been read.
pub(super) fn gather(shared: &Arc<Shared>, canary: &Canary, held: &[Object]) -> (Snapshot, bool) {
    let mut keys = vec![canary.key()];
    let mut snapshot = Snapshot::default();
    for _ in 0..ROUNDS {
        let before = keys.len();
        for key in wanted(canary, &snapshot) {
            if !keys.contains(&key) {
                keys.push(key);
            }
        }
        if keys.len() == before {
            break;
        }
        shared.watch_keys(&canary.key(), &keys);
        snapshot = shared.cluster.read(&keys);
        for object in held {
            snapshot.insert(object.clone());
        }
    }
    let complete = keys.iter().all(|key| snapshot.read(key) != Reading::Unknown);
    (snapshot, complete)
}

fn wanted(canary: &Canary, known: &Snapshot) -> Vec<ObjectKey> {
    let mut keys = workload::inputs(canary, known);
    keys.extend(traffic::inputs(canary, known));
    keys.extend(metrics::inputs(canary, known));
    keys
}

/// Makes the facts of a step.
pub(super) fn observe(
    canary: &Canary,
    snapshot: &Snapshot,
    answers: &BTreeMap<AskId, Answer>,
    deleted: bool,
    unverified: Option<String>,
) -> Facts {
    let seen = workload::observe(canary, snapshot);
    Facts {
        target: seen.target,
        primary: seen.primary,
        services: seen.services,
        apex: seen.apex,
        routes: traffic::observe(canary, snapshot),
        answers: answers.clone(),
        deleted,
        unverified,
        withheld: BTreeMap::new(),
    }
}

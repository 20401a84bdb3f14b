//! Carries effects out: the rooms say what to write, `cluster` writes it; questions are asked by tasks of
//! their own, whose answers come back as nudges.

use std::sync::Arc;

use tokio::sync::mpsc;

use super::{
    Shared,
    worker::{Memory, Nudge},
};
use crate::{
    canary::Canary,
    cluster::ClusterError,
    hooks,
    manifest::{Snapshot, Write},
    metrics,
    rollout::{AskId, Effect},
    traffic,
    workload::{self, Refusal},
};

/// Brings one level about. Gives false if the target has moved since it was read.
pub(super) async fn carry_out(
    shared: &Arc<Shared>,
    canary: &Canary,
    snapshot: &Snapshot,
    effect: &Effect,
) -> Result<bool, ClusterError> {
    let refuse = |message| ClusterError::Rejected {
        key: canary.target_key(),
        verb: "prepare",
        message,
    };
    let Some(writes) = writes(canary, snapshot, effect).map_err(refuse)? else {
        return Ok(false);
    };
    for write in writes {
        shared.cluster.write(write).await?;
    }
    Ok(true)
}

/// What to write; nothing if the target has moved. Both rooms refuse alike, each in its own type.
pub(super) fn writes(
    canary: &Canary,
    snapshot: &Snapshot,
    effect: &Effect,
) -> Result<Option<Vec<Write>>, String> {
    match effect {
        Effect::Route(weight) => match traffic::desired(*weight, canary, snapshot) {
            Ok(writes) => Ok(Some(writes)),
            Err(traffic::Refusal::NotRead(_)) => Ok(None),
            Err(traffic::Refusal::Unroutable(message)) => Err(message),
        },
        Effect::Ask(_) => Ok(Some(Vec::new())),
        _ => match workload::desired(effect, canary, snapshot) {
            Ok(writes) => Ok(Some(writes)),
            Err(Refusal::Moved | Refusal::NotRead(_)) => Ok(None),
            Err(Refusal::Invalid(message)) => Err(message),
        },
    }
}

/// Asks in a task of its own; asking never blocks a step.
pub(super) fn ask(
    shared: &Arc<Shared>,
    canary: &Canary,
    snapshot: &Snapshot,
    memory: &Memory,
    id: AskId,
    inbox: mpsc::UnboundedSender<Nudge>,
) {
    let (shared, canary, snapshot) = (Arc::clone(shared), canary.clone(), snapshot.clone());
    let control = &memory.state.control;
    let told = hooks::Facts {
        phase: control.phase,
        checksum: control.applied.as_ref().map(hooks::checksum).unwrap_or_default(),
    };
    tokio::spawn(async move {
        let answer = match id.name.split_once('/') {
            Some(("hook", name)) => hooks::call(name, &canary, &told, &shared.http).await,
            Some((_, name)) => metrics::ask(name, &canary, &snapshot, &shared.http).await,
            None => return,
        };
        shared.measured(&canary, &id, &answer);
        // The worker is gone only when its Canary is.
        inbox.send(Nudge::Answered(id, answer)).ok();
    });
}

//! What is told outside a step: a Canary that is wrong, a write that failed, a CRD that is not ours. Each text
//! is told once.

use std::{collections::BTreeSet, sync::Arc};

use jiff::Timestamp;

use super::Shared;
use crate::{
    canary::{Announced, Canary, Condition, SpecError, Status, reason},
    manifest::ObjectKey,
};

const OUTDATED_CRD: &str = "the installed CRD of Canary drops what Serin keeps in status (Flagger's CRD is \
    installed): serin crd | kubectl apply --server-side --force-conflicts -f -; nothing else was touched";

/// Remembers what was told.
#[derive(Default)]
pub(super) struct Notice {
    told: BTreeSet<String>,
}

impl Notice {
    /// At most this many different texts are remembered, and told, for one Canary.
    const LIMIT: usize = 100;

    async fn tell(&mut self, shared: &Arc<Shared>, canary: &ObjectKey, uid: &str, reason: &str, text: &str) {
        let text: String = text.chars().take(900).collect();
        if self.told.len() >= Self::LIMIT || !self.told.insert(text.clone()) {
            return;
        }
        let news = Announced {
            warning: true,
            reason: reason.to_owned(),
            text,
            run: String::new(),
            tick: 0,
            at: shared.now(),
        };
        tracing::warn!(%canary, reason, "{}", news.text);
        if let Err(error) = shared
            .cluster
            .write(crate::report::event(canary, uid, &news))
            .await
        {
            tracing::warn!(%canary, %error, "Cannot write an event.");
        }
    }

    pub(super) async fn failed(&mut self, shared: &Arc<Shared>, canary: &ObjectKey, uid: &str, text: &str) {
        self.tell(shared, canary, uid, reason::SYNC_FAILED, text).await;
    }

    pub(super) async fn invalid(
        &mut self,
        shared: &Arc<Shared>,
        canary: &ObjectKey,
        uid: &str,
        error: &SpecError,
    ) {
        self.tell(shared, canary, uid, reason::INVALID_SPEC, &error.to_string())
            .await;
    }

    pub(super) async fn outdated_crd(&mut self, shared: &Arc<Shared>, canary: &Canary) {
        self.tell(
            shared,
            &canary.key(),
            &canary.uid,
            reason::OUTDATED_CRD,
            OUTDATED_CRD,
        )
        .await;
    }

    /// Tells once of a run that something else than a commit of the source has started.
    pub(super) async fn unexplained(&mut self, shared: &Arc<Shared>, canary: &Canary, run: &str) {
        if self.told.len() >= Self::LIMIT || !self.told.insert(run.to_owned()) {
            return;
        }
        let news = Announced {
            warning: false,
            reason: reason::NO_COMMIT.to_owned(),
            text: format!(
                "No commit explains what is live of {}.{}: nothing is said on any commit",
                canary.spec.target.name, canary.namespace
            ),
            run: run.to_owned(),
            tick: 0,
            at: shared.now(),
        };
        let key = canary.key();
        tracing::info!(canary = %key, run, reason = news.reason, "{}", news.text);
        let event = crate::report::event(&key, &canary.uid, &news);
        if let Err(error) = shared.cluster.write(event).await {
            tracing::warn!(canary = %key, %error, "Cannot write an event.");
        }
    }

    /// Tells the remarks on an accepted Canary.
    pub(super) async fn warnings(&mut self, shared: &Arc<Shared>, canary: &Canary) {
        for text in &canary.spec.warnings {
            self.tell(shared, &canary.key(), &canary.uid, reason::SPEC_WARNING, text)
                .await;
        }
        for missing in &canary.spec.not_implemented {
            let text = if missing.gates {
                format!("{} is not implemented yet; nothing was touched", missing.field)
            } else {
                format!("{} is not implemented yet and has no effect", missing.field)
            };
            self.tell(shared, &canary.key(), &canary.uid, reason::NOT_IMPLEMENTED, &text)
                .await;
        }
    }
}

/// The status of a Canary that cannot be read.
pub(super) fn invalid_status(before: &Status, generation: i64, error: &SpecError, now: Timestamp) -> Status {
    stalled(before, generation, reason::INVALID_SPEC, &error.to_string(), now)
}

/// The status under a CRD that drops Serin's fields. Says it in the one field that Flagger's CRD keeps.
pub(super) fn outdated_crd_status(before: &Status, generation: i64, now: Timestamp) -> Status {
    stalled(before, generation, reason::OUTDATED_CRD, OUTDATED_CRD, now)
}

fn stalled(before: &Status, generation: i64, reason: &str, message: &str, now: Timestamp) -> Status {
    let mut status = before.clone();
    status.observed_generation = Some(generation);
    status.last_transition_time = Some(now);
    let conditions = [("Ready", "False"), ("Stalled", "True")];
    status.conditions.retain(|condition| condition.kind == "Promoted");
    for (kind, value) in conditions {
        let old = before
            .conditions
            .iter()
            .find(|old| old.kind == kind && old.status == value);
        let since = old.and_then(|old| old.last_transition_time).unwrap_or(now);
        status.conditions.push(Condition {
            kind: kind.to_owned(),
            status: value.to_owned(),
            reason: reason.to_owned(),
            message: message.to_owned(),
            observed_generation: Some(generation),
            last_update_time: Some(since),
            last_transition_time: Some(since),
        });
    }
    status
}

//! Kinds of target, one file each, all of one shape: what must be read (`inputs`), what that means to the
//! machine (`observe`), and what is to be written for an effect (`desired`). Pure: decides nothing about the
//! rollout, and writes nothing itself.

mod compare;
mod configs;
mod deployment;
mod metadata;
mod primary;
mod readiness;
mod rewrite;
mod service;
mod services;

#[cfg(test)]
mod fixtures;

use serde_json::{Value, json};

use crate::{
    canary::{Canary, TargetKind},
    error::{Class, Classified},
    manifest::{Object, ObjectKey, Snapshot, Write},
    rollout::{Effect, Facts, Primary, Seen, Target},
};

/// What `workload` knows of the world.
#[derive(Clone, Debug, PartialEq, Default)]
pub struct Observation {
    /// The target.
    pub target: Seen<Target>,
    /// The primary.
    pub primary: Seen<Primary>,
    /// Whether the generated services are as desired: [`Effect::Services`] would write nothing.
    pub services: Seen<bool>,
    /// Whether the apex Service is as desired: [`Effect::Apex`] would write nothing.
    pub apex: Seen<bool>,
}

impl Observation {
    /// Puts what is known among the facts.
    pub fn tell(self, facts: &mut Facts) {
        facts.target = self.target;
        facts.primary = self.primary;
        facts.services = self.services;
        facts.apex = self.apex;
    }
}

/// Why an effect cannot be carried out now.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Refusal {
    /// The target is no longer of the revision that the effect is for.
    #[error("the target has moved on")]
    Moved,
    /// Something that is needed was not read.
    #[error("{0} was not read yet")]
    NotRead(ObjectKey),
    /// What is in the cluster makes it impossible; says what, where and what to do.
    #[error("{0}")]
    Invalid(String),
}

impl Classified for Refusal {
    fn class(&self) -> Class {
        match self {
            Self::Moved | Self::NotRead(_) => Class::WaitForChange,
            Self::Invalid(_) => Class::UserMustFix,
        }
    }
}

/// Returns the keys that must be read. Call again with what was read, until no new keys come.
#[must_use]
pub fn inputs(canary: &Canary, known: &Snapshot) -> Vec<ObjectKey> {
    match canary.spec.target.kind {
        TargetKind::Service => service::inputs(canary),
        TargetKind::Deployment | TargetKind::DaemonSet => deployment::inputs(canary, known),
    }
}

/// Returns what the readings mean to the machine.
#[must_use]
pub fn observe(canary: &Canary, known: &Snapshot) -> Observation {
    match canary.spec.target.kind {
        TargetKind::Deployment => deployment::observe(canary, known),
        TargetKind::Service => service::observe(canary, known),
        // A DaemonSet is stalled before anything is read.
        TargetKind::DaemonSet => Observation::default(),
    }
}

/// Returns what is to be written for an effect; nothing when all is as desired, and for an effect that is not
/// about workloads.
pub fn desired(effect: &Effect, canary: &Canary, known: &Snapshot) -> Result<Vec<Write>, Refusal> {
    match canary.spec.target.kind {
        TargetKind::Deployment => deployment::desired(effect, canary, known),
        TargetKind::Service => service::desired(effect, canary, known),
        TargetKind::DaemonSet => Err(Refusal::Invalid(
            "targets of kind DaemonSet are not implemented yet: use a Deployment".to_owned(),
        )),
    }
}

/// Makes a patch of an object that must still be the one that was read.
fn patch(live: &Object, operations: impl IntoIterator<Item = Value>) -> Write {
    let test = json!({ "op": "test", "path": "/metadata/uid", "value": live.uid() });
    let operations: Value = std::iter::once(test).chain(operations).collect();
    Write::Patch {
        key: live.key(),
        patch: serde_json::from_value(operations).unwrap_or_default(),
    }
}

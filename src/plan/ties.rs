//! Which of Flux's objects applies the target of a canary: what the labels of live objects say.

use std::collections::BTreeMap;

use crate::manifest::{
    Object, ObjectKey,
    flux::{HELM, KUSTOMIZE},
};

/// What the cluster knows of canaries: their targets, and who applies these.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Ties(BTreeMap<ObjectKey, Tie>);

/// The target of a canary, and who applies it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Tie {
    pub(super) target: ObjectKey,
    pub(super) kustomization: Option<ObjectKey>,
    pub(super) release: Option<ObjectKey>,
}

impl Ties {
    /// Remembers who applies a live target.
    pub fn add(&mut self, canary: ObjectKey, target: &Object) {
        let tie = Tie {
            target: target.key(),
            kustomization: owner(target, KUSTOMIZE, "Kustomization"),
            release: owner(target, HELM, "HelmRelease"),
        };
        if tie.kustomization.is_some() || tie.release.is_some() {
            self.0.insert(canary, tie);
        }
    }

    pub(super) fn of(&self, canary: &ObjectKey) -> Option<&Tie> {
        self.0.get(canary)
    }

    pub(super) fn canaries(&self) -> impl Iterator<Item = &ObjectKey> {
        self.0.keys()
    }
}

fn owner(object: &Object, group: &str, kind: &str) -> Option<ObjectKey> {
    Some(ObjectKey {
        group: group.to_owned(),
        kind: kind.to_owned(),
        namespace: object.label(&format!("{group}/namespace"))?.to_owned(),
        name: object.label(&format!("{group}/name"))?.to_owned(),
    })
}

//! What hooks are told.

use std::collections::BTreeMap;

use serde::Serialize;
use sha2::{Digest, Sha256};

use crate::{
    canary::{Canary, Hook, Phase},
    rollout::Revision,
};

/// What a hook is told of the rollout, beside what the Canary says.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Facts {
    /// Where the rollout is.
    pub phase: Phase,
    /// Names the revision; see [`checksum`].
    pub checksum: String,
}

/// Names a revision for hooks: 16 hex digits over template and configs. Opaque.
#[must_use]
pub fn checksum(revision: &Revision) -> String {
    let mut hasher = Sha256::new();
    // Lengths in front, so that no two revisions run together to the same bytes.
    let mut add = |text: &str| {
        hasher.update(text.len().to_be_bytes());
        hasher.update(text.as_bytes());
    };
    add(revision.template());
    for (name, digest) in revision.configs() {
        add(name);
        add(digest);
    }
    let digest = hasher.finalize();
    let first = digest.first_chunk().copied().unwrap_or_default();
    format!("{:016x}", u64::from_be_bytes(first))
}

/// The body of a call, as Flagger's load tester and its like read it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub(super) struct Payload<'a> {
    name: &'a str,
    namespace: &'a str,
    phase: &'static str,
    checksum: &'a str,
    metadata: &'a BTreeMap<String, String>,
}

pub(super) fn of<'a>(canary: &'a Canary, hook: &'a Hook, facts: &'a Facts) -> Payload<'a> {
    Payload {
        name: &canary.name,
        namespace: &canary.namespace,
        phase: facts.phase.name(),
        checksum: &facts.checksum,
        metadata: &hook.metadata,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_checksum_tells_revisions_apart() {
        let revision = |template: &str, configs: &[(&str, &str)]| {
            let configs = configs
                .iter()
                .map(|(name, digest)| ((*name).to_owned(), (*digest).to_owned()));
            checksum(&Revision::new(template, configs.collect()))
        };
        let base = revision("v1:aa", &[("configmap/a", "v1:bb")]);
        assert_eq!(base.len(), 16);
        assert!(base.chars().all(|c| c.is_ascii_hexdigit()));
        assert_eq!(base, revision("v1:aa", &[("configmap/a", "v1:bb")]));
        for other in [
            revision("v1:ab", &[("configmap/a", "v1:bb")]),
            revision("v1:aa", &[("configmap/a", "v1:bc")]),
            revision("v1:aa", &[("configmap/av1", ":bb")]),
            revision("v1:aa", &[]),
        ] {
            assert_ne!(base, other);
        }
    }
}

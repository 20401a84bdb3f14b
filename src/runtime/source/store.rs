//! The state of a source, in one small ConfigMap: the revision that was handled last, the commits whose
//! changes are not live yet, and what forges are still owed.

use std::collections::{BTreeMap, BTreeSet};

use jiff::Timestamp;
use serde::{Deserialize, Serialize};
use serde_json::json;

use crate::{
    cluster::{Cluster, ClusterError},
    manifest::{Manager, Object, ObjectKey, Resource, Write},
    repo::{CommitId, Download, Revision},
    report::Outcome,
};

const FIELD: &str = "state";
/// Greatest size of what is written; Kubernetes takes 1 MiB.
const MAX_BYTES: usize = 512 * 1024;

/// What a restart must know.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub(super) struct Stored {
    /// The revision that was handled last.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) handled: Option<Revision>,
    /// It was verified before it was handled.
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    pub(super) verified: bool,
    /// Where the artifact of that revision was, if it came from Flux.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) artifact: Option<Download>,
    /// Commits whose changes are not live yet, oldest first.
    pub(super) waiting: Vec<Waiting>,
    /// Commits that are not decided, or whose last words have not reached every forge, oldest first.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub(super) owed: Vec<Owed>,
}

/// A commit whose last words forges are owed.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Owed {
    /// The commit.
    pub(super) commit: CommitId,
    /// What it is answerable for, with the last word where there is one.
    pub(super) planned: BTreeMap<String, Option<Outcome>>,
}

/// A commit whose changes are not live yet.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Waiting {
    /// The commit.
    pub(super) commit: CommitId,
    /// The commit that it was compared with.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(super) from: Option<CommitId>,
    /// `<namespace>/<name>` of the canaries that wait for it.
    pub(super) canaries: BTreeSet<String>,
    /// Those that it was given up for: it may become live late.
    #[serde(default, skip_serializing_if = "BTreeSet::is_empty")]
    pub(super) late: BTreeSet<String>,
    /// Since when.
    pub(super) since: Timestamp,
}

impl Waiting {
    /// Whether it may still become live somewhere.
    pub(super) fn is_open(&self) -> bool {
        !self.canaries.is_empty() || !self.late.is_empty()
    }
}

impl Stored {
    /// What was given up, and may become live late.
    pub(super) fn late(&self) -> BTreeSet<(CommitId, String)> {
        let each = |waiting: &Waiting| {
            let late = waiting.late.iter();
            late.map(|name| (waiting.commit.clone(), name.clone()))
                .collect::<Vec<_>>()
        };
        self.waiting.iter().flat_map(each).collect()
    }

    /// At most this many commits are waited for; the oldest are given up.
    const WAITING: usize = 20;

    pub(super) fn bound(&mut self) {
        let surplus = self.waiting.len().saturating_sub(Self::WAITING);
        self.waiting.drain(..surplus);
    }

    /// As it is written: what is owed longest is given up where there is too much.
    fn to_text(&self) -> String {
        let mut bounded = self.clone();
        loop {
            let text = serde_json::to_string(&bounded).unwrap_or_default();
            if text.len() <= MAX_BYTES || bounded.owed.is_empty() {
                return text;
            }
            let part = bounded.owed.len().div_ceil(10);
            tracing::warn!(
                commits = part,
                "Too much is owed to forges: the oldest would be forgotten in a restart."
            );
            bounded.owed.drain(..part);
        }
    }
}

/// The key of the state of a source.
pub(super) fn key(namespace: &str, source: &str) -> ObjectKey {
    ObjectKey::new(
        Resource::CONFIG_MAP,
        namespace,
        &format!("serin-{}", dns_name(source)),
    )
}

/// Makes a part of a DNS-1123 name of any text.
fn dns_name(text: &str) -> String {
    let lower = text.to_lowercase();
    let fit = lower.chars().map(|letter| {
        if letter.is_ascii_alphanumeric() {
            letter
        } else {
            '-'
        }
    });
    let fit: String = fit.take(200).collect();
    let trimmed = fit.trim_matches('-');
    if trimmed.is_empty() {
        "source".to_owned()
    } else {
        trimmed.to_owned()
    }
}

pub(super) async fn load(cluster: &Cluster, key: &ObjectKey) -> Result<Stored, ClusterError> {
    let Some(object) = cluster.get(key).await? else {
        return Ok(Stored::default());
    };
    let text = object.str_at(&format!("/data/{FIELD}"));
    Ok(serde_json::from_str(text).unwrap_or_else(|error| {
        tracing::warn!(%key, %error, "The state of the source cannot be read; beginning anew from here.");
        Stored::default()
    }))
}

pub(super) async fn save(cluster: &Cluster, key: &ObjectKey, state: &Stored) -> Result<(), ClusterError> {
    let object = Object::from(json!({
        "apiVersion": "v1", "kind": "ConfigMap",
        "metadata": {"name": key.name, "namespace": key.namespace,
            "labels": {"app.kubernetes.io/managed-by": "serin"}},
        "data": {FIELD: state.to_text()},
    }));
    cluster
        .write(Write::Apply {
            manager: Manager::Serin,
            object,
            force: true,
        })
        .await
        .map(drop)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn any_source_has_a_name_that_kubernetes_accepts() {
        assert_eq!(key("flux-system", "My Repo.git").name, "serin-my-repo-git");
        assert_eq!(key("flux-system", "...").name, "serin-source");
    }

    fn owed(commit: &CommitId, canaries: usize) -> Owed {
        let said = Outcome::new(crate::report::CommitState::Failure, &"why ".repeat(40));
        let planned = (0..canaries).map(|n| (format!("test/podinfo-{n}"), Some(said.clone())));
        Owed {
            commit: commit.clone(),
            planned: planned.collect(),
        }
    }

    #[test]
    fn what_is_owed_is_bounded_and_the_newest_is_kept() {
        let ids = (0..200).map(|n: u32| format!("{n:040x}").parse().unwrap());
        let mut stored = Stored {
            owed: ids.map(|id| owed(&id, 50)).collect(),
            ..Stored::default()
        };
        let text = stored.to_text();
        assert!(text.len() <= MAX_BYTES, "{}", text.len());
        let read: Stored = serde_json::from_str(&text).unwrap();
        assert_eq!(read.owed.last(), stored.owed.last());
        stored.owed.truncate(3);
        assert_eq!(serde_json::from_str::<Stored>(&stored.to_text()).unwrap(), stored);
    }

    #[test]
    fn what_is_stored_is_read_again() {
        let id: CommitId = "0123456789012345678901234567890123456789".parse().unwrap();
        let waiting = Waiting {
            commit: id.clone(),
            from: None,
            canaries: BTreeSet::from(["test/podinfo".to_owned()]),
            late: BTreeSet::from(["test/other".to_owned()]),
            since: Timestamp::UNIX_EPOCH,
        };
        let handled = Revision {
            branch: "main".to_owned(),
            id: id.clone(),
        };
        let stored = Stored {
            handled: Some(handled),
            verified: true,
            artifact: None,
            waiting: vec![waiting],
            owed: vec![owed(&id, 2)],
        };
        let text = serde_json::to_string(&stored).unwrap();
        assert_eq!(serde_json::from_str::<Stored>(&text).unwrap(), stored);
        assert_eq!(serde_json::from_str::<Stored>("{}").unwrap(), Stored::default());
    }
}

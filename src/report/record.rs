//! What of a source must survive a restart and belongs to no Canary: the last handled revision, and what was
//! planned for the newest commits. Kept in one small ConfigMap per source, which `runtime` reads and writes.

use std::collections::{BTreeMap, BTreeSet};

use serde::{Deserialize, Serialize};

use super::{CommitStatus, Outcome, outcome};
use crate::manifest::Object;

/// Keys of the ConfigMap's data.
const REVISION: &str = "revision";
const COMMITS: &str = "commits";

/// What of a source must survive a restart.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct SourceRecord {
    /// The last handled revision, such as `main@sha1:<hex>`.
    pub revision: Option<String>,
    /// The newest commits that something was planned for, oldest first.
    pub commits: Vec<CommitRecord>,
}

/// What was planned for a commit.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct CommitRecord {
    /// Full id of the commit.
    pub commit: String,
    /// Outcome of each canary that the commit concerns, by `<namespace>/<name>`.
    #[serde(default)]
    pub planned: BTreeMap<String, Outcome>,
    /// Marks of the aggregate's delivery, `<forge>=<digest>`.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub delivered: Vec<String>,
}

impl CommitRecord {
    /// Returns the aggregate status; none if nothing was planned.
    #[must_use]
    pub fn aggregate(&self, context: &str) -> Option<CommitStatus> {
        Some(outcome::aggregate(&self.planned)?.under(context))
    }
}

impl SourceRecord {
    /// How many commits are kept.
    pub const COMMITS: usize = 5;

    /// Reads a record from a ConfigMap, leniently: a record that cannot be read is worth less than a start.
    #[must_use]
    pub fn parse(config_map: &Object) -> Self {
        let text = |key: &str| {
            let data = config_map.at("/data").and_then(|data| data.get(key));
            data.and_then(|value| value.as_str())
                .filter(|text| !text.is_empty())
        };
        let commits = text(COMMITS).map(serde_json::from_str).and_then(Result::ok);
        let mut record = Self {
            revision: text(REVISION).map(str::to_owned),
            commits: commits.unwrap_or_default(),
        };
        record.forget();
        record
    }

    /// Returns the data of the ConfigMap.
    #[must_use]
    pub fn data(&self) -> BTreeMap<String, String> {
        let commits = serde_json::to_string(&self.commits).unwrap_or_default();
        let revision = self
            .revision
            .as_ref()
            .map(|text| (REVISION.to_owned(), text.clone()));
        revision
            .into_iter()
            .chain([(COMMITS.to_owned(), commits)])
            .collect()
    }

    /// Returns what is recorded of a commit; makes a record, and forgets the oldest, if there is none.
    pub fn commit(&mut self, commit: &str) -> &mut CommitRecord {
        let known = self.commits.iter().position(|record| record.commit == commit);
        let index = known.unwrap_or_else(|| {
            self.commits.push(CommitRecord {
                commit: commit.to_owned(),
                ..CommitRecord::default()
            });
            self.forget();
            self.commits.len() - 1
        });
        #[expect(clippy::indexing_slicing, reason = "found, or just pushed")]
        &mut self.commits[index]
    }

    /// Keeps the newest commits, each once.
    fn forget(&mut self) {
        let mut seen = BTreeSet::new();
        self.commits.reverse();
        self.commits.retain(|record| seen.insert(record.commit.clone()));
        self.commits.truncate(Self::COMMITS);
        self.commits.reverse();
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;
    use crate::report::CommitState;

    fn config_map(data: &BTreeMap<String, String>) -> Object {
        Object::from(json!({ "apiVersion": "v1", "kind": "ConfigMap", "data": data }))
    }

    #[test]
    fn what_is_written_is_read_back() {
        let mut record = SourceRecord {
            revision: Some("main@sha1:0123".to_owned()),
            ..SourceRecord::default()
        };
        let commit = record.commit("0123");
        let pending = Outcome::new(CommitState::Pending, "podinfo.test 10 %");
        commit.planned.insert("test/podinfo".to_owned(), pending);
        commit.delivered.push("notes=ab".to_owned());
        let aggregate = commit.aggregate("serin").unwrap();
        assert_eq!(
            aggregate.description,
            "0 of 1 done; test/podinfo: podinfo.test 10 %"
        );
        for record in [SourceRecord::default(), record] {
            assert_eq!(SourceRecord::parse(&config_map(&record.data())), record);
        }
        assert_eq!(CommitRecord::default().aggregate("serin"), None);
    }

    #[test]
    fn the_newest_commits_are_kept() {
        let mut record = SourceRecord::default();
        for n in 0..7 {
            record.commit(&n.to_string()).delivered.push("x".to_owned());
        }
        record.commit("3").delivered.push("y".to_owned());
        let kept: Vec<_> = record
            .commits
            .iter()
            .map(|record| (record.commit.as_str(), record.delivered.len()))
            .collect();
        assert_eq!(kept, [("2", 1), ("3", 2), ("4", 1), ("5", 1), ("6", 1)]);
    }

    #[test]
    fn a_broken_record_does_not_hinder_the_start() {
        let data = BTreeMap::from([
            ("revision".to_owned(), "main@sha1:01".to_owned()),
            ("commits".to_owned(), "[{".to_owned()),
        ]);
        let record = SourceRecord::parse(&config_map(&data));
        assert_eq!(record.revision.as_deref(), Some("main@sha1:01"));
        assert_eq!(record.commits, []);
        assert_eq!(
            SourceRecord::parse(&Object::from(json!({}))),
            SourceRecord::default()
        );
    }
}

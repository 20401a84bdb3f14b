//! A record of every request, as an audit log keeps one.

use std::{
    collections::{BTreeMap, VecDeque},
    sync::{Arc, Mutex, PoisonError},
};

use jiff::Timestamp;

/// One request.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Entry {
    /// When it arrived.
    pub at: Timestamp,
    /// The `User-Agent`: who asked.
    pub agent: String,
    /// `get`, `list`, `watch`, `create`, `update`, `patch`, `delete`, `deletecollection`; the lower-case HTTP
    /// method for paths that are no resources.
    pub verb: &'static str,
    /// Plural name and group, such as `deployments.apps`; the path for what is no resource.
    pub resource: String,
    /// Namespace; empty for all or none.
    pub namespace: String,
    /// Name; also the one that a `fieldSelector` names; empty for a collection.
    pub name: String,
    /// Subresource, such as `status`.
    pub subresource: String,
    /// The HTTP status of the answer.
    pub code: u16,
}

const LIMIT: usize = 65_536;

/// Records requests; the oldest are dropped after 65,536. Clones share the record.
#[derive(Clone, Debug, Default)]
pub struct Ledger {
    entries: Arc<Mutex<VecDeque<Entry>>>,
}

impl Ledger {
    pub(crate) fn record(&self, entry: Entry) {
        let mut entries = self.entries.lock().unwrap_or_else(PoisonError::into_inner);
        if entries.len() >= LIMIT {
            entries.pop_front();
        }
        entries.push_back(entry);
    }

    /// Returns the requests so far, oldest first.
    #[must_use]
    pub fn entries(&self) -> Vec<Entry> {
        self.entries
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .iter()
            .cloned()
            .collect()
    }

    /// Returns the requests of one agent (a prefix of its `User-Agent`).
    #[must_use]
    pub fn of(&self, agent: &str) -> Vec<Entry> {
        self.entries()
            .into_iter()
            .filter(|e| e.agent.starts_with(agent))
            .collect()
    }

    /// Counts the requests of one agent by verb, resource and subresource, such as `patch canaries.flagger.app/status`.
    #[must_use]
    pub fn summary(&self, agent: &str) -> BTreeMap<String, usize> {
        let mut counts = BTreeMap::new();
        for entry in self.of(agent) {
            let slash = if entry.subresource.is_empty() { "" } else { "/" };
            let key = format!("{} {}{slash}{}", entry.verb, entry.resource, entry.subresource);
            *counts.entry(key).or_default() += 1;
        }
        counts
    }

    /// Forgets everything.
    pub fn clear(&self) {
        self.entries
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .clear();
    }
}

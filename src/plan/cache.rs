//! What was read of the last revisions, so that the cost of a plan grows with what changed.

use std::{
    collections::{BTreeMap, VecDeque},
    sync::{Arc, Mutex, MutexGuard, PoisonError},
};

use super::{Manifests, layout::Layout, part::Part};
use crate::{
    manifest::{self, Documents, kustomize::File},
    repo::{BlobId, CommitId, Tree},
};

/// How many revisions are remembered as a whole: the two of a plan, and those between.
const SNAPSHOTS: usize = 4;

/// Shared by reference, and meant for one repository and one set of settings.
#[derive(Debug, Default)]
pub struct Cache {
    documents: manifest::Cache,
    state: Mutex<State>,
}

#[derive(Debug, Default)]
struct State {
    /// Used last comes last.
    snapshots: VecDeque<Arc<Snapshot>>,
    /// What the build at hand has read, by path and content.
    files: BTreeMap<(String, BlobId), Arc<File>>,
}

/// All that was read of a revision.
#[derive(Debug)]
pub(super) struct Snapshot {
    pub(super) id: CommitId,
    pub(super) tree: Tree,
    pub(super) layout: Arc<Layout>,
    /// Everything that was made for it, also what only led to the rest; in the order of the names.
    pub(super) parts: Vec<Arc<Part>>,
    pub(super) manifests: Arc<Manifests>,
}

impl Cache {
    /// Forgets files that were not used since the sweep before.
    pub fn sweep(&self) {
        self.documents.sweep();
    }

    /// Forgets the files that builds have read.
    pub(super) fn forget_files(&self) {
        self.state().files.clear();
    }

    pub(super) fn documents<E>(
        &self,
        file: &str,
        id: &BlobId,
        read: impl FnOnce() -> Result<Vec<u8>, E>,
    ) -> Result<Arc<Documents>, E> {
        self.documents.get(file, id.as_str(), read)
    }

    pub(super) fn file<E>(
        &self,
        path: &str,
        id: &BlobId,
        read: impl FnOnce() -> Result<File, E>,
    ) -> Result<Arc<File>, E> {
        let key = (path.to_owned(), id.clone());
        if let Some(known) = self.state().files.get(&key) {
            return Ok(Arc::clone(known));
        }
        let made = Arc::new(read()?);
        self.state().files.insert(key, Arc::clone(&made));
        Ok(made)
    }

    /// Returns what was read of a revision.
    pub(super) fn snapshot(&self, id: &CommitId) -> Option<Arc<Snapshot>> {
        let mut state = self.state();
        let at = state.snapshots.iter().position(|known| known.id == *id)?;
        let known = state.snapshots.remove(at)?;
        state.snapshots.push_back(Arc::clone(&known));
        Some(known)
    }

    /// Returns the revision that was used last.
    pub(super) fn latest(&self) -> Option<Arc<Snapshot>> {
        self.state().snapshots.back().cloned()
    }

    pub(super) fn keep(&self, snapshot: Snapshot) -> Arc<Snapshot> {
        let snapshot = Arc::new(snapshot);
        let mut state = self.state();
        state.snapshots.push_back(Arc::clone(&snapshot));
        if state.snapshots.len() > SNAPSHOTS {
            state.snapshots.pop_front();
        }
        snapshot
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

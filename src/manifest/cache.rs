//! Keeps what files were parsed to, by the id of their content, so that cost grows with what changed.

use std::{
    collections::BTreeMap,
    mem,
    sync::{Arc, Mutex, PoisonError},
};

use super::{Documents, documents};

/// The parsed files of the revisions that were read last. Shared by reference.
#[derive(Debug, Default)]
pub struct Cache {
    state: Mutex<State>,
}

type Entries = BTreeMap<(String, String), Arc<Documents>>;

#[derive(Debug, Default)]
struct State {
    /// Used since the last sweep.
    young: Entries,
    /// Used between the two sweeps before.
    old: Entries,
}

impl Cache {
    /// Returns what `file` was parsed to, reading it only if its content `id` was not seen lately.
    pub fn get<E>(
        &self,
        file: &str,
        id: &str,
        read: impl FnOnce() -> Result<Vec<u8>, E>,
    ) -> Result<Arc<Documents>, E> {
        let key = (file.to_owned(), id.to_owned());
        if let Some(known) = self.known(&key) {
            return Ok(known);
        }
        let parsed = Arc::new(documents(&read()?, file));
        self.state().young.insert(key, Arc::clone(&parsed));
        Ok(parsed)
    }

    /// Forgets what was not used since the sweep before.
    pub fn sweep(&self) {
        let mut state = self.state();
        state.old = mem::take(&mut state.young);
    }

    fn known(&self, key: &(String, String)) -> Option<Arc<Documents>> {
        let mut state = self.state();
        if let Some(known) = state.young.get(key) {
            return Some(Arc::clone(known));
        }
        let known = state.old.remove(key)?;
        state.young.insert(key.clone(), Arc::clone(&known));
        Some(known)
    }

    fn state(&self) -> std::sync::MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use std::cell::Cell;

    use super::*;

    #[test]
    fn parses_a_content_once_and_forgets_it_when_it_is_not_used() {
        let (cache, reads) = (Cache::default(), Cell::new(0));
        let get = |id: &str| {
            let read = || {
                reads.set(reads.get() + 1);
                Ok::<_, ()>(b"apiVersion: v1\nkind: ConfigMap\nmetadata: {name: a}\n".to_vec())
            };
            assert_eq!(cache.get("a.yaml", id, read).unwrap().objects.len(), 1);
            reads.get()
        };
        assert_eq!((get("1"), get("1"), get("2")), (1, 1, 2));
        cache.sweep();
        assert_eq!(get("1"), 2, "survives one sweep");
        cache.sweep();
        assert_eq!((get("1"), get("2")), (2, 3), "what was not used is forgotten");
    }

    #[test]
    fn a_failed_read_is_not_kept() {
        let cache = Cache::default();
        assert_eq!(cache.get("a", "1", || Err("gone")), Err("gone"));
        assert!(cache.get("a", "1", || Ok::<_, &str>(Vec::new())).is_ok());
    }
}

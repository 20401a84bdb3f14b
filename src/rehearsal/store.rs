//! The objects of the embedded cluster, and every rule about writing them: names, versions, generations, status
//! isolation, finalizers, defaulting, validation. Knows no HTTP; [`super::api`] translates requests to it, and
//! simulated controllers call it directly.
//!
//! ```
//! # use serin::{clock::Clock, manifest::{ObjectKey, Resource}, rehearsal::store::{Delete, Store}};
//! # #[tokio::main(flavor = "current_thread")] async fn main() {
//! let store = Store::new(Clock::system());
//! let mut changes = store.changes();
//! let map = serde_json::json!({
//!     "apiVersion": "v1", "kind": "ConfigMap",
//!     "metadata": {"name": "settings", "namespace": "default"}, "data": {"a": "1"},
//! });
//! let made = store.create("me", map).unwrap();
//! let change = changes.next().await.unwrap();
//! assert_eq!(change.object.resource_version(), made.resource_version());
//!
//! let key = ObjectKey::new(Resource::CONFIG_MAP, "default", "settings");
//! store.modify("me", &key, |map| map["data"]["a"] = "2".into()).unwrap();
//! assert_eq!(store.get(&key).unwrap().str_at("/data/a"), "2");
//! store.delete(&key, &Delete::default()).unwrap();
//! assert!(store.get(&key).is_none());
//! # }
//! ```

mod addresses;
mod admit;
mod error;
pub(crate) mod json;
mod kind;
mod remove;
mod request;
pub(crate) mod selector;
mod state;

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use serde_json::Value;
use tokio::sync::Notify;

pub(crate) use self::{
    error::qualified,
    request::{Draft, Intent, Part, Target},
    state::State,
};
pub use self::{
    error::{ApiError, Cause},
    kind::{Kind, Version},
    remove::{Delete, Deleted, Propagation},
    state::{Change, Verb},
};
use crate::{
    clock::Clock,
    manifest::{Object, ObjectKey},
};

/// The objects of one embedded cluster. Clones share them. No call blocks or waits.
#[derive(Clone, Debug)]
pub struct Store {
    state: Arc<Mutex<State>>,
    /// Wakes who waits for changes, first come first served: the order must not be left to chance (that of
    /// `tokio::sync::watch` is random), or virtual time could not be repeated.
    wake: Arc<Notify>,
}

/// The history does not reach back far enough: list again, then follow [`Store::changes`] from there.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("the history no longer holds the changes after revision {0}; list again")]
pub struct Lost(pub u64);

impl Store {
    /// Makes a store with the namespaces `default`, `kube-system`, `kube-public` and `kube-node-lease`.
    #[must_use]
    pub fn new(clock: Clock) -> Self {
        Self::with_history(clock, 16_384)
    }

    /// Makes a store that remembers at most this many changes for watches.
    #[must_use]
    pub fn with_history(clock: Clock, history: usize) -> Self {
        let mut state = State::new(clock, history);
        state.seed_namespaces();
        Self {
            state: Arc::new(Mutex::new(state)),
            wake: Arc::default(),
        }
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Reads under the lock.
    pub(crate) fn read<T>(&self, read: impl FnOnce(&State) -> T) -> T {
        read(&self.lock())
    }

    /// Writes under the lock, then wakes those who watch.
    pub(crate) fn transact<T>(&self, write: impl FnOnce(&mut State) -> T) -> T {
        let (result, is_news) = {
            let mut state = self.lock();
            let before = state.revision();
            (write(&mut state), state.revision() != before)
        };
        if is_news {
            self.wake.notify_waiters();
        }
        result
    }

    /// Returns what tells of every new revision that comes after `notified` was called on it.
    pub(crate) fn wake(&self) -> Arc<Notify> {
        Arc::clone(&self.wake)
    }

    /// Returns the present time.
    pub(crate) fn time(&self) -> jiff::Timestamp {
        self.read(|s| s.clock().now())
    }

    /// Returns the revision of the newest change: the `resourceVersion` of a list made now.
    #[must_use]
    pub fn revision(&self) -> u64 {
        self.read(State::revision)
    }

    /// Returns an object, in the version in which it is stored.
    #[must_use]
    pub fn get(&self, key: &ObjectKey) -> Option<Object> {
        self.read(|s| {
            s.object(&key.group, &key.kind, &key.namespace, &key.name)
                .cloned()
        })
    }

    /// Returns the objects of a kind, in one namespace or in all, ordered by namespace and name.
    #[must_use]
    pub fn list(&self, group: &str, kind: &str, namespace: Option<&str>) -> Vec<Object> {
        self.read(|s| s.objects(group, kind, namespace).cloned().collect())
    }

    /// Creates an object; `metadata.generateName` works. `manager` is the field manager that is recorded.
    /// A status in it is kept where Kubernetes keeps it (kinds without a status subresource).
    pub fn create(&self, manager: &str, object: Value) -> Result<Object, ApiError> {
        let mut target = self.target_of(&object)?;
        json::text(&object, &["metadata", "name"]).clone_into(&mut target.name);
        let intent = Intent::update(manager, Part::Main);
        self.transact(|s| s.create(&target, &intent, Draft::of(object)))
    }

    /// Replaces an object, except its status. Guarded by `metadata.resourceVersion` when that is set: a 409
    /// means that someone else wrote.
    pub fn update(&self, manager: &str, object: Value) -> Result<Object, ApiError> {
        self.replace(manager, Part::Main, object)
    }

    /// Replaces the status of an object and nothing else, guarded in the same way.
    pub fn update_status(&self, manager: &str, object: Value) -> Result<Object, ApiError> {
        self.replace(manager, Part::Status, object)
    }

    /// Edits the present state of an object, except its status: read and write in one step, so that no
    /// conflict is possible. An edit that changes nothing writes nothing.
    pub fn modify(
        &self,
        manager: &str,
        key: &ObjectKey,
        edit: impl FnOnce(&mut Value),
    ) -> Result<Object, ApiError> {
        self.edit(manager, Part::Main, key, edit)
    }

    /// Edits the present status of an object and nothing else: read and write in one step. The closure is
    /// given the whole object.
    pub fn modify_status(
        &self,
        manager: &str,
        key: &ObjectKey,
        edit: impl FnOnce(&mut Value),
    ) -> Result<Object, ApiError> {
        self.edit(manager, Part::Status, key, edit)
    }

    /// Deletes an object. With finalizers (or a running pod and a grace period) it stays, with a
    /// `deletionTimestamp`, until they are gone; a controller that plays the kubelet then deletes the pod with
    /// [`Delete::now`].
    pub fn delete(&self, key: &ObjectKey, options: &Delete) -> Result<Deleted, ApiError> {
        let target = self.target(key)?;
        self.transact(|s| s.delete(&target, options))
    }

    /// Follows every change of every kind from now on.
    #[must_use]
    pub fn changes(&self) -> Changes {
        self.changes_since(self.revision())
    }

    /// Follows every change after a revision (that of a list, of an object, of a change).
    #[must_use]
    pub fn changes_since(&self, revision: u64) -> Changes {
        Changes {
            store: self.clone(),
            seen: revision,
        }
    }

    /// Returns a kind that is served.
    #[must_use]
    pub fn kind(&self, group: &str, kind: &str) -> Option<Arc<Kind>> {
        self.read(|s| s.kinds().get(group, kind))
    }

    fn target_of(&self, object: &Value) -> Result<Target, ApiError> {
        self.target(&Object::from(object.clone()).key())
    }

    fn target(&self, key: &ObjectKey) -> Result<Target, ApiError> {
        let kind = self
            .kind(&key.group, &key.kind)
            .ok_or_else(ApiError::no_such_path)?;
        Ok(Target {
            version: kind.storage.clone(),
            namespace: key.namespace.clone(),
            name: key.name.clone(),
            kind,
        })
    }

    fn replace(&self, manager: &str, part: Part, object: Value) -> Result<Object, ApiError> {
        let target = self.target_of(&object)?;
        let intent = Intent::update(manager, part);
        self.transact(|s| s.update(&target, &intent, |_| Ok(Draft::of(object))))
    }

    fn edit(
        &self,
        manager: &str,
        part: Part,
        key: &ObjectKey,
        edit: impl FnOnce(&mut Value),
    ) -> Result<Object, ApiError> {
        let target = self.target(key)?;
        let intent = Intent::update(manager, part);
        self.transact(|s| {
            s.update(&target, &intent, |old| {
                let mut value = old.clone();
                edit(&mut value);
                Ok(Draft::of(value))
            })
        })
    }
}

/// Follows the changes of a store, in order, without gaps.
#[derive(Debug)]
pub struct Changes {
    store: Store,
    seen: u64,
}

impl Changes {
    /// Waits for the next change. [`Lost`] after falling too far behind; the following call then continues
    /// from the present.
    pub async fn next(&mut self) -> Result<Change, Lost> {
        let wake = self.store.wake();
        loop {
            let news = wake.notified();
            if let Some(result) = self.try_next() {
                return result;
            }
            news.await;
        }
    }

    /// Returns the next change if there is one already.
    pub fn try_next(&mut self) -> Option<Result<Change, Lost>> {
        match self
            .store
            .read(|s| s.change_after(self.seen).map(Option::<&Change>::cloned))
        {
            Ok(change) => {
                let change = change?;
                self.seen = change.revision;
                Some(Ok(change))
            }
            Err(lost) => {
                self.seen = self.store.revision();
                Some(Err(lost))
            }
        }
    }

    /// Returns the revision up to which changes were returned.
    #[must_use]
    pub fn seen(&self) -> u64 {
        self.seen
    }
}

#[cfg(test)]
mod tests;

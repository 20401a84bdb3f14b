//! The cluster: shared watches to read from, and the only writer. Knows objects and writes, no rollouts.

mod cache;
mod connect;
mod error;
mod lease;
mod survey;
mod url;
mod watch;
mod writer;

use std::{
    collections::BTreeSet,
    sync::{Arc, Mutex, MutexGuard},
};

use kube::Client;
use tokio::sync::mpsc;

use crate::manifest::{Object, ObjectKey, Resource, Snapshot};

pub use cache::Scope;
pub use connect::{ConnectError, Connection, connect};
pub use error::ClusterError;
pub use lease::{Lease, LeaseOptions};
pub use survey::Access;

use cache::Cache;

/// A cluster. Cheap to clone; all clones share watches and cache.
#[derive(Clone)]
pub struct Cluster {
    client: Client,
    limit: Option<String>,
    shared: Arc<Shared>,
}

struct Shared {
    cache: Mutex<Cache>,
    watched: Mutex<BTreeSet<Scope>>,
    tasks: Mutex<tokio::task::JoinSet<()>>,
    changes: mpsc::UnboundedSender<ObjectKey>,
}

impl Cluster {
    /// Makes a cluster from a client. With `limit`, custom resources are watched in that namespace alone. The
    /// receiver gets the key of everything that changes; a key may come more than once.
    #[must_use]
    pub fn new(client: Client, limit: Option<String>) -> (Self, mpsc::UnboundedReceiver<ObjectKey>) {
        let (changes, receiver) = mpsc::unbounded_channel();
        let shared = Shared {
            cache: Mutex::default(),
            watched: Mutex::default(),
            tasks: Mutex::default(),
            changes,
        };
        (
            Self {
                client,
                limit,
                shared: Arc::new(shared),
            },
            receiver,
        )
    }

    /// Reads keys from the watches. A key that was not watched yet is from now on, and `Unknown` until then.
    #[must_use]
    pub fn read(&self, keys: &[ObjectKey]) -> Snapshot {
        let mut snapshot = Snapshot::default();
        for key in keys {
            let Some(resource) = key.resource() else { continue };
            let scope = self.scope(resource, key);
            self.watch(&scope);
            let cache = self.cache();
            if let Some(object) = cache.get(key) {
                snapshot.insert(object.clone());
            } else if cache.is_loaded(&scope) && !cache.is_partial(key) {
                snapshot.insert_absent(key.clone());
            }
        }
        snapshot
    }

    /// Lists the objects of a resource that are in the cache, and watches it from now on.
    #[must_use]
    pub fn list(&self, resource: Resource) -> Vec<Object> {
        self.watch(&Scope {
            resource,
            namespace: self.limit.clone(),
            name: None,
        });
        self.cache().list(resource)
    }

    /// The same, where `--namespace` limits what is watched: in that namespace and in another one.
    #[must_use]
    pub fn list_with(&self, resource: Resource, other: &str) -> Vec<Object> {
        if self.limit.is_some() {
            self.watch(&Scope {
                resource,
                namespace: Some(other.to_owned()),
                name: None,
            });
        }
        self.list(resource)
    }

    /// Whether the watch that [`Cluster::list`] reads from has listed everything once.
    #[must_use]
    pub fn listed(&self, resource: Resource) -> bool {
        self.has_listed(resource, self.limit.clone())
    }

    /// The same for what [`Cluster::list_with`] reads from.
    #[must_use]
    pub fn listed_with(&self, resource: Resource, other: &str) -> bool {
        let beside = self.limit.is_none() || self.has_listed(resource, Some(other.to_owned()));
        beside && self.listed(resource)
    }

    fn has_listed(&self, resource: Resource, namespace: Option<String>) -> bool {
        self.cache().is_loaded(&Scope {
            resource,
            namespace,
            name: None,
        })
    }

    /// Reads an object from the API server itself (a quorum read), past the cache.
    pub async fn get(&self, key: &ObjectKey) -> Result<Option<Object>, ClusterError> {
        let object = writer::get(&self.client, key).await?;
        if let Some(object) = &object {
            self.remember(object);
        }
        Ok(object)
    }

    /// Custom resources are watched wherever Serin looks; the rest only where a canary refers to it. A Secret
    /// is watched alone: a list of a namespace's Secrets would be full read. So is a Provider: only the one that
    /// is reused is anybody's business.
    fn scope(&self, resource: Resource, key: &ObjectKey) -> Scope {
        let namespace = match resource {
            Resource::CANARY => self.limit.clone(),
            _ => Some(key.namespace.clone()),
        };
        let alone = matches!(resource, Resource::SECRET | Resource::PROVIDER);
        let name = alone.then(|| key.name.clone());
        Scope {
            resource,
            namespace,
            name,
        }
    }

    fn watch(&self, scope: &Scope) {
        if !lock(&self.shared.watched).insert(scope.clone()) {
            return;
        }
        let task = watch::run(self.clone(), scope.clone());
        lock(&self.shared.tasks).spawn(task);
    }

    fn cache(&self) -> MutexGuard<'_, Cache> {
        lock(&self.shared.cache)
    }

    /// Takes over what a write or a read gave, unless something newer is known.
    fn remember(&self, object: &Object) {
        self.cache().apply(object);
    }

    fn changed(&self, key: ObjectKey) {
        // The receiver is gone only when everything is being shut down.
        self.shared.changes.send(key).ok();
    }
}

/// Locks a mutex whose holders never panic half-way through a change.
fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(std::sync::PoisonError::into_inner)
}

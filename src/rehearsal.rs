//! A Kubernetes cluster inside this process: an API server that the ordinary kube client talks to, simulated
//! controllers, and a scripted traffic world. It must not flatter: the same conformance cases run against it
//! and against a real kube-apiserver. Knows nothing of the sidecar.
//!
//! Works under tokio's paused clock: no TCP, no subprocess, no thread; ordered maps, counted uids, timestamps
//! from [`crate::clock::Clock`].

mod apply;
pub mod promql;
mod schema;
pub mod store;

use crate::clock::Clock;

pub use store::Store;

/// An embedded cluster. Clones share it.
#[derive(Clone, Debug)]
pub struct Cluster {
    store: Store,
    clock: Clock,
}

impl Cluster {
    /// Makes a cluster with nothing in it but the namespaces that every cluster has.
    #[must_use]
    pub fn new(clock: Clock) -> Self {
        Self {
            store: Store::new(clock),
            clock,
        }
    }

    /// Returns its objects, for simulated controllers.
    #[must_use]
    pub fn store(&self) -> &Store {
        &self.store
    }

    /// Returns its clock.
    #[must_use]
    pub fn clock(&self) -> Clock {
        self.clock
    }
}

//! A Kubernetes cluster inside this process: an API server that the ordinary kube client talks to, simulated
//! controllers, and a scripted traffic world. It must not flatter: the same conformance cases run against it
//! and against a real kube-apiserver. Knows nothing of the sidecar.
//!
//! Works under tokio's paused clock: no TCP, no subprocess, no thread; ordered maps, counted uids, timestamps
//! from [`crate::clock::Clock`].

pub mod api;
mod apply;
pub mod controllers;
pub mod prometheus;
pub mod promql;
mod schema;
mod span;
pub mod store;
mod table;
pub mod traffic_world;

use std::convert::Infallible;

use http::{HeaderValue, Request, header};

use crate::clock::Clock;

pub use api::{Entry, Ledger};
pub use span::Span;
pub use store::Store;
pub use traffic_world::{Totals, World, WorldSpec};

/// An embedded cluster. Clones share it.
#[derive(Clone, Debug)]
pub struct Cluster {
    store: Store,
    ledger: Ledger,
    clock: Clock,
}

impl Cluster {
    /// Makes a cluster with nothing in it but the namespaces that every cluster has.
    #[must_use]
    pub fn new(clock: Clock) -> Self {
        Self {
            store: Store::new(clock),
            ledger: Ledger::default(),
            clock,
        }
    }

    /// Makes a cluster whose watches can reach back over at most this many changes.
    #[must_use]
    pub fn with_history(clock: Clock, history: usize) -> Self {
        Self {
            store: Store::with_history(clock, history),
            ledger: Ledger::default(),
            clock,
        }
    }

    /// Makes a client that talks to this cluster in process. `agent` is its `User-Agent`, by which the ledger
    /// knows it. Must be called inside a tokio runtime.
    #[must_use]
    pub fn client(&self, agent: &str) -> kube::Client {
        let agent = HeaderValue::from_str(agent).unwrap_or(HeaderValue::from_static("unknown"));
        let (store, ledger) = (self.store.clone(), self.ledger.clone());
        let service = tower::service_fn(move |mut request: Request<kube::client::Body>| {
            request
                .headers_mut()
                .entry(header::USER_AGENT)
                .or_insert_with(|| agent.clone());
            let answer = api::handle(store.clone(), ledger.clone(), request);
            async move { Ok::<_, Infallible>(answer.await) }
        });
        kube::Client::new(service, "default")
    }

    /// Returns the API as a router, for serving it over TCP.
    pub fn router(&self) -> axum::Router {
        let (store, ledger) = (self.store.clone(), self.ledger.clone());
        axum::Router::new().fallback(move |request: Request<axum::body::Body>| {
            api::handle(store.clone(), ledger.clone(), request)
        })
    }

    /// Returns the record of requests.
    #[must_use]
    pub fn ledger(&self) -> &Ledger {
        &self.ledger
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

/// Serves a cluster over plain HTTP until the future is dropped.
pub async fn serve(cluster: &Cluster, listener: tokio::net::TcpListener) -> std::io::Result<()> {
    axum::serve(listener, cluster.router()).await
}

/// Returns a kubeconfig for a cluster that is served at an address.
#[must_use]
pub fn kubeconfig(address: std::net::SocketAddr) -> String {
    format!(
        "apiVersion: v1\nkind: Config\ncurrent-context: serin\nclusters:\n- name: serin\n  cluster:\n    \
         server: http://{address}\ncontexts:\n- name: serin\n  context:\n    cluster: serin\n    user: \
         serin\n    namespace: default\nusers:\n- name: serin\n  user: {{}}\n"
    )
}

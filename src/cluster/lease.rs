//! One Serin acts at a time: a Lease that is taken, renewed, and released on shutdown. Expiry is judged by how
//! long the holder's renewal has been seen unchanged, never by comparing clocks.

use std::time::Duration;

use jiff::Timestamp;
use serde_json::{Value, json};
use tokio::{sync::watch, time::Instant};

use super::{Cluster, ClusterError};
use crate::{
    clock::Clock,
    manifest::{Manager, Object, ObjectKey, Resource, Write},
};

/// How the lease is held.
#[derive(Clone, Debug)]
pub struct LeaseOptions {
    /// Namespace of the Lease.
    pub namespace: String,
    /// Who holds it: unique for this process.
    pub identity: String,
    /// Time without a renewal after which another may take it.
    pub duration: Duration,
}

/// A lease that this process tries to hold.
pub struct Lease {
    cluster: Cluster,
    clock: Clock,
    options: LeaseOptions,
    seen: Option<(String, Instant)>,
}

enum Try {
    Held,
    Theirs,
}

impl Lease {
    /// Name of the Lease object.
    pub const NAME: &'static str = "serin";

    /// Makes a lease; nothing is written before [`Lease::hold`].
    #[must_use]
    pub fn new(cluster: Cluster, clock: Clock, options: LeaseOptions) -> Self {
        Self {
            cluster,
            clock,
            options,
            seen: None,
        }
    }

    /// Takes and renews the lease until the receiver of `leading` is gone, and says in it whether it is held.
    /// A holder that cannot renew in time says so before another can take the lease.
    pub async fn hold(mut self, leading: watch::Sender<bool>) {
        let pause = self.options.duration / 3;
        let mut renewed = Instant::now();
        while !leading.is_closed() {
            match self.attempt().await {
                Ok(Try::Held) => {
                    renewed = Instant::now();
                    leading.send_replace(true);
                }
                Ok(Try::Theirs) => {
                    leading.send_replace(false);
                }
                Err(error) => {
                    tracing::warn!(%error, "Cannot renew the lease.");
                    if renewed.elapsed() + pause >= self.options.duration {
                        leading.send_replace(false);
                    }
                }
            }
            tokio::select! {
                () = tokio::time::sleep(pause) => {}
                () = leading.closed() => {}
            }
        }
        self.release().await;
    }

    fn key(&self) -> ObjectKey {
        ObjectKey::new(Resource::LEASE, &self.options.namespace, Self::NAME)
    }

    async fn attempt(&mut self) -> Result<Try, ClusterError> {
        let Some(lease) = self.cluster.get(&self.key()).await? else {
            let object = Object::from(self.intent(&self.options.identity, self.clock.now(), None, 0));
            let made = self.cluster.write(Write::Create { object }).await?;
            return Ok(if made.is_some() { Try::Held } else { Try::Theirs });
        };
        let holder = lease.str_at("/spec/holderIdentity");
        if holder != self.options.identity && !holder.is_empty() && !self.expired(&lease) {
            return Ok(Try::Theirs);
        }
        let transitions = lease.i64_at("/spec/leaseTransitions").unwrap_or_default();
        let transitions = transitions + i64::from(holder != self.options.identity);
        let version = Some(lease.resource_version());
        let object = self.intent(&self.options.identity, self.clock.now(), version, transitions);
        self.apply(object).await
    }

    fn expired(&mut self, lease: &Object) -> bool {
        let version = lease.resource_version().to_owned();
        match &self.seen {
            Some((seen, since)) if *seen == version => since.elapsed() >= self.options.duration,
            _ => {
                self.seen = Some((version, Instant::now()));
                false
            }
        }
    }

    async fn apply(&self, object: Value) -> Result<Try, ClusterError> {
        let write = Write::Apply {
            manager: Manager::Serin,
            object: Object::from(object),
            force: true,
        };
        match self.cluster.write(write).await {
            Ok(_) => Ok(Try::Held),
            Err(error) if error.is_conflict() => Ok(Try::Theirs),
            Err(error) => Err(error),
        }
    }

    fn intent(&self, holder: &str, now: Timestamp, version: Option<&str>, transitions: i64) -> Value {
        let mut metadata = json!({"name": Self::NAME, "namespace": self.options.namespace});
        if let (Some(version), Some(metadata)) = (version, metadata.as_object_mut()) {
            metadata.insert("resourceVersion".to_owned(), version.into());
        }
        let now = format!("{now:.6}");
        json!({"apiVersion": "coordination.k8s.io/v1", "kind": "Lease", "metadata": metadata, "spec": {
            "holderIdentity": holder,
            "leaseDurationSeconds": self.options.duration.as_secs().max(1),
            "acquireTime": now, "renewTime": now, "leaseTransitions": transitions,
        }})
    }

    async fn release(self) {
        let Ok(Some(lease)) = self.cluster.get(&self.key()).await else {
            return;
        };
        if lease.str_at("/spec/holderIdentity") != self.options.identity {
            return;
        }
        let transitions = lease.i64_at("/spec/leaseTransitions").unwrap_or_default();
        let object = self.intent("", self.clock.now(), Some(lease.resource_version()), transitions);
        if let Err(error) = self.apply(object).await {
            tracing::warn!(%error, "Cannot release the lease; another will take it when it expires.");
        }
    }
}

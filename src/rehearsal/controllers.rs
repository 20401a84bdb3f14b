//! The simulated controllers: what a control plane and a node do with the objects of a cluster. One task follows
//! every change and works off a queue in a fixed order, so that a run in virtual time is the same every time.
//! Each controller is a function of one object: it reads the store, writes the store, and says when to look again.

mod autoscaler;
mod daemon_set;
mod deployment;
mod endpoints;
mod garbage;
mod kubelet;
mod parts;
mod pods;
mod replica_set;
mod rollout;

use std::{
    collections::{BTreeMap, BTreeSet},
    time::Duration,
};

use serde::Deserialize;
use tokio::{task::JoinHandle, time::Instant};

use self::{garbage::Garbage, kubelet::Kubelet};
pub(super) use self::{kubelet::environment, parts::glob, pods::is_ready};
use super::{
    Cluster, Store,
    span::Span,
    store::{Change, Lost, Verb},
};
use crate::{
    clock::Clock,
    manifest::{Object, ObjectKey},
};

/// The name of the one node.
pub const NODE: &str = "serin-node";

/// How the node treats pods.
#[derive(Clone, Debug, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields, default)]
pub struct Options {
    /// How long a pod takes from its binding to its readiness.
    pub start: Span,
    /// How long a pod takes to end; at most its grace period.
    pub stop: Span,
    /// Images that behave otherwise; the first that matches counts.
    pub images: Vec<ImageRule>,
    /// Labels of the node, beside those that every node has.
    pub node_labels: BTreeMap<String, String>,
}

impl Default for Options {
    fn default() -> Self {
        Self {
            start: Span::from_secs(1),
            stop: Span::from_secs(1),
            images: Vec::new(),
            node_labels: BTreeMap::new(),
        }
    }
}

/// How pods with a certain image behave.
#[derive(Clone, Debug, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct ImageRule {
    /// The image; `*` stands for any text.
    pub image: String,
    /// How long a pod takes to become ready, if it does.
    #[serde(default)]
    pub start: Option<Span>,
    /// Why it never becomes ready, if it does not.
    #[serde(default)]
    pub fault: Option<Fault>,
    /// When the fault begins, counted from the start of the cluster; before, the pod is sound.
    #[serde(default)]
    pub from: Option<Span>,
    /// When the fault ends.
    #[serde(default)]
    pub until: Option<Span>,
}

/// Why a pod is not ready.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize)]
pub enum Fault {
    /// The image cannot be pulled.
    ImagePullBackOff,
    /// The container ends again and again.
    CrashLoopBackOff,
    /// The container runs, but its readiness probe fails.
    Unready,
}

/// Starts the controllers of a cluster, and its node. They run until the handle is aborted.
pub fn start(cluster: &Cluster, options: Options) -> JoinHandle<()> {
    let mut engine = Engine::new(cluster.store().clone(), cluster.clock(), options);
    tokio::spawn(async move { engine.run().await })
}

/// What every controller works with.
#[derive(Debug)]
struct Context {
    store: Store,
    clock: Clock,
    options: Options,
    started: Instant,
}

/// A controller; the order is the order of work.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
enum Controller {
    Garbage,
    Autoscaler,
    Deployment,
    ReplicaSet,
    DaemonSet,
    Kubelet,
    Endpoints,
}

type Work = (Controller, ObjectKey);

struct Engine {
    context: Context,
    kubelet: Kubelet,
    garbage: Garbage,
    queue: BTreeSet<Work>,
    timers: BTreeMap<Work, Instant>,
}

impl Engine {
    fn new(store: Store, clock: Clock, options: Options) -> Self {
        let context = Context {
            store,
            clock,
            options,
            started: Instant::now(),
        };
        Self {
            context,
            kubelet: Kubelet::default(),
            garbage: Garbage::default(),
            queue: BTreeSet::new(),
            timers: BTreeMap::new(),
        }
    }

    async fn run(&mut self) {
        let mut changes = self.context.store.changes();
        kubelet::register_node(&self.context);
        self.list();
        loop {
            self.work();
            let due = self.timers.values().min().copied();
            let timer = async {
                match due {
                    Some(at) => tokio::time::sleep_until(at).await,
                    None => std::future::pending().await,
                }
            };
            tokio::select! {
                biased;
                change = changes.next() => self.take(change),
                () = timer => self.ring(),
            }
            // Everything that has happened counts before anything is done about it.
            while let Some(change) = changes.try_next() {
                self.take(change);
            }
            tokio::task::yield_now().await;
        }
    }

    /// Queues everything that there is.
    fn list(&mut self) {
        let kinds = self
            .context
            .store
            .read(|state| state.kinds().all().cloned().collect::<Vec<_>>());
        let objects = || {
            kinds
                .iter()
                .flat_map(|kind| self.context.store.list(&kind.group, &kind.kind, None))
        };
        let objects: Vec<Object> = objects().collect();
        for object in &objects {
            self.garbage.learn(object);
        }
        for object in &objects {
            self.affected(Verb::Added, object, None);
        }
    }

    fn take(&mut self, change: Result<Change, Lost>) {
        let Ok(change) = change else { return self.list() };
        match change.verb {
            Verb::Added | Verb::Modified => self.garbage.learn(&change.object),
            Verb::Deleted => self.garbage.forget(&change.object),
        }
        self.affected(change.verb, &change.object, change.previous.as_ref());
    }

    fn ring(&mut self) {
        let now = Instant::now();
        let due: Vec<Work> = self
            .timers
            .iter()
            .filter(|(_, at)| **at <= now)
            .map(|(work, _)| work.clone())
            .collect();
        for work in due {
            self.timers.remove(&work);
            self.queue.insert(work);
        }
    }

    /// Works off the queue.
    fn work(&mut self) {
        while let Some((controller, key)) = self.queue.pop_first() {
            let again = match controller {
                Controller::Garbage => self.garbage.reconcile(&self.context, &key),
                Controller::Autoscaler => autoscaler::reconcile(&self.context, &key),
                Controller::Deployment => deployment::reconcile(&self.context, &key),
                Controller::ReplicaSet => replica_set::reconcile(&self.context, &key),
                Controller::DaemonSet => daemon_set::reconcile(&self.context, &key),
                Controller::Kubelet => self.kubelet.reconcile(&self.context, &key),
                Controller::Endpoints => endpoints::reconcile(&self.context, &key),
            };
            let work = (controller, key);
            match again {
                Some(after) => self.timers.insert(work, Instant::now() + after),
                None => self.timers.remove(&work),
            };
        }
    }

    fn enqueue(&mut self, controller: Controller, key: ObjectKey) {
        self.queue.insert((controller, key));
    }

    /// Queues all that a change of an object may concern.
    fn affected(&mut self, verb: Verb, object: &Object, previous: Option<&Object>) {
        let key = object.key();
        let namespace = key.namespace.clone();
        match (key.group.as_str(), key.kind.as_str()) {
            ("apps", "Deployment") => {
                self.enqueue(Controller::Deployment, key.clone());
                self.all_of(
                    "autoscaling",
                    "HorizontalPodAutoscaler",
                    Some(&namespace),
                    Controller::Autoscaler,
                );
            }
            ("apps", "ReplicaSet") => {
                self.enqueue(Controller::ReplicaSet, key.clone());
                self.owner(object);
            }
            ("apps", "DaemonSet") => self.enqueue(Controller::DaemonSet, key.clone()),
            ("autoscaling", "HorizontalPodAutoscaler") => self.enqueue(Controller::Autoscaler, key.clone()),
            ("", "Pod") => {
                self.enqueue(Controller::Kubelet, key.clone());
                self.owner(object);
                self.services_of(object);
                if let Some(previous) = previous {
                    self.services_of(previous);
                }
            }
            ("", "Service") => self.enqueue(Controller::Endpoints, key.clone()),
            ("", "ConfigMap" | "Secret") if verb != Verb::Deleted => {
                self.all_of("", "Pod", Some(&namespace), Controller::Kubelet);
            }
            ("", "Node") => {
                self.all_of("", "Pod", None, Controller::Kubelet);
                self.all_of("apps", "DaemonSet", None, Controller::DaemonSet);
            }
            _ => {}
        }
        self.enqueue(Controller::Garbage, key);
        for dependent in self.garbage.concerned_by(object) {
            self.enqueue(Controller::Garbage, dependent);
        }
    }

    fn all_of(&mut self, group: &str, kind: &str, namespace: Option<&str>, controller: Controller) {
        for object in self.context.store.list(group, kind, namespace) {
            self.enqueue(controller, object.key());
        }
    }

    /// Queues the controlling owner of an object, and for a pod of a replica set the deployment too: it waits
    /// for pods to be gone.
    fn owner(&mut self, object: &Object) {
        let Some(owner) = parts::controller_of(object) else {
            return;
        };
        match owner.kind.as_str() {
            "ReplicaSet" => {
                if let Some(set) = self.context.store.get(&owner) {
                    self.owner(&set);
                }
                self.enqueue(Controller::ReplicaSet, owner);
            }
            "Deployment" => self.enqueue(Controller::Deployment, owner),
            "DaemonSet" => self.enqueue(Controller::DaemonSet, owner),
            _ => {}
        }
    }

    fn services_of(&mut self, pod: &Object) {
        for service in self.context.store.list("", "Service", Some(pod.namespace())) {
            if endpoints::selects(&service, pod) {
                self.enqueue(Controller::Endpoints, service.key());
            }
        }
    }
}

impl Context {
    /// Returns the present time as Kubernetes writes it: whole seconds.
    fn stamp(&self) -> String {
        let now = self.clock.now();
        jiff::Timestamp::from_second(now.as_second())
            .unwrap_or(now)
            .to_string()
    }

    /// Returns how long the cluster has been running.
    fn age(&self) -> Duration {
        self.started.elapsed()
    }
}

#[cfg(test)]
mod tests;

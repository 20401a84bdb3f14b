//! The one node, its scheduler and its kubelet: pods are bound, start, become ready (or not) and end.

mod config;
mod state;

use std::{collections::BTreeMap, time::Duration};

use serde_json::{Value, json};
use tokio::time::Instant;

pub(in crate::rehearsal) use self::config::environment;
use self::state::State;
use super::{
    Context, Fault, ImageRule, NODE,
    parts::{self, Condition, Times, glob, set_condition},
};
use crate::{
    manifest::{Object, ObjectKey},
    rehearsal::store::{Delete, json as j},
};

const KUBELET: &str = "kubelet";
const SCHEDULER: &str = "kube-scheduler";
const NODE_IP: &str = "10.0.0.1";

/// What the kubelet remembers of a pod.
#[derive(Clone, Debug)]
struct Pod {
    uid: String,
    address: String,
    /// When it had all that it needs to start.
    prepared: Option<Instant>,
    /// When its containers first ran, as Kubernetes writes it.
    ran: Option<String>,
    /// When it will have ended.
    end: Option<Instant>,
}

/// The pods of the node.
#[derive(Debug, Default)]
pub(super) struct Kubelet {
    pods: BTreeMap<ObjectKey, Pod>,
    addresses: u32,
}

fn node_key() -> ObjectKey {
    ObjectKey {
        group: String::new(),
        kind: "Node".to_owned(),
        namespace: String::new(),
        name: NODE.to_owned(),
    }
}

/// Creates the node if it does not exist.
pub(super) fn register_node(context: &Context) {
    if context.store.get(&node_key()).is_some() {
        return;
    }
    let mut labels = json!({
        "kubernetes.io/hostname": NODE, "kubernetes.io/os": "linux", "kubernetes.io/arch": "amd64",
        "node-role.kubernetes.io/control-plane": "",
    });
    for (name, value) in &context.options.node_labels {
        j::set(&mut labels, &[name], value.as_str());
    }
    let node = json!({"apiVersion": "v1", "kind": "Node", "metadata": {"name": NODE, "labels": labels}});
    if let Err(error) = context.store.create(KUBELET, node) {
        tracing::warn!(%error, "the embedded cluster could not register its node");
        return;
    }
    let now = context.stamp();
    let _result = context.store.modify_status(KUBELET, &node_key(), |value| {
        let capacity = json!({"cpu": "8", "memory": "32Gi", "pods": "1000"});
        let status = json!({
            "capacity": capacity, "allocatable": capacity,
            "addresses": [{"type": "InternalIP", "address": NODE_IP}, {"type": "Hostname", "address": NODE}],
            "conditions": [{
                "type": "Ready", "status": "True", "reason": "KubeletReady",
                "message": "kubelet is posting ready status",
                "lastHeartbeatTime": now, "lastTransitionTime": now,
            }],
        });
        j::set(value, &["status"], status);
    });
}

/// Whether the node has the labels that the `nodeSelector` of a pod (or a pod template) demands.
pub(super) fn is_selected(context: &Context, pod: &Value) -> bool {
    let node = context.store.get(&node_key());
    let labels = node
        .as_ref()
        .and_then(|node| node.at("/metadata/labels"))
        .unwrap_or(&Value::Null);
    parts::contains(
        labels,
        j::at(pod, &["spec", "nodeSelector"]).unwrap_or(&Value::Null),
    )
}

impl Kubelet {
    pub(super) fn reconcile(&mut self, context: &Context, key: &ObjectKey) -> Option<Duration> {
        let Some(pod) = context.store.get(key) else {
            self.pods.remove(key);
            return None;
        };
        if pod.at("/metadata/deletionTimestamp").is_some() {
            return self.end(context, &pod);
        }
        if matches!(pod.str_at("/status/phase"), "Succeeded" | "Failed") || !bind(context, &pod) {
            return None;
        }
        self.observe(context, &pod)
    }

    fn memory(&mut self, pod: &Object) -> &mut Pod {
        let stale = self
            .pods
            .get(&pod.key())
            .is_some_and(|known| known.uid != pod.uid());
        if stale {
            self.pods.remove(&pod.key());
        }
        let addresses = &mut self.addresses;
        self.pods.entry(pod.key()).or_insert_with(|| {
            *addresses += 1;
            Pod {
                uid: pod.uid().to_owned(),
                address: format!("10.244.{}.{}", *addresses / 254 % 256, *addresses % 254 + 1),
                prepared: None,
                ran: None,
                end: None,
            }
        })
    }

    /// Ends a pod that was told to, after the time that this takes.
    fn end(&mut self, context: &Context, pod: &Object) -> Option<Duration> {
        let grace = pod
            .i64_at("/metadata/deletionGracePeriodSeconds")
            .unwrap_or_default();
        let grace = Duration::from_secs(u64::try_from(grace).unwrap_or_default());
        let end = Instant::now() + context.options.stop.0.min(grace);
        let end = *self.memory(pod).end.get_or_insert(end);
        let left = end.saturating_duration_since(Instant::now());
        if !left.is_zero() {
            return Some(left);
        }
        let options = Delete {
            uid: Some(pod.uid().to_owned()),
            ..Delete::now()
        };
        let _gone = context.store.delete(&pod.key(), &options);
        None
    }

    /// Finds out how a bound pod is, writes that, and says when it will be otherwise.
    fn observe(&mut self, context: &Context, pod: &Object) -> Option<Duration> {
        let rule = rule_of(context, pod);
        let missing = config::missing(context, pod);
        let memory = self.memory(pod);
        let (state, again) = match (missing, memory.prepared) {
            (Some(missing), None) => (State::unconfigured(missing), None),
            (_, prepared) => {
                let prepared = prepared.unwrap_or_else(Instant::now);
                memory.prepared = Some(prepared);
                State::at(context, rule, prepared.elapsed(), memory.ran.is_some())
            }
        };
        if state.runs() && memory.ran.is_none() {
            memory.ran = Some(context.stamp());
        }
        let memory = memory.clone();
        let now = context.stamp();
        let _result = context.store.modify_status(KUBELET, &pod.key(), |value| {
            let containers = j::items(value, &["spec", "containers"]).to_vec();
            let status = j::entry(value, &["status"]);
            state.write(status, &containers, memory.ran.as_deref(), &now);
            for (field, text) in [("hostIP", NODE_IP), ("podIP", &memory.address)] {
                j::set(status, &[field], text);
            }
            j::set(status, &["podIPs"], json!([{"ip": memory.address}]));
            j::set(status, &["hostIPs"], json!([{"ip": NODE_IP}]));
            j::default(status, &["startTime"], now.as_str());
        });
        again
    }
}

/// Binds a pod to the node; false if it does not fit.
fn bind(context: &Context, pod: &Object) -> bool {
    if !pod.str_at("/spec/nodeName").is_empty() {
        return pod.str_at("/spec/nodeName") == NODE;
    }
    let fits = is_selected(context, pod.value());
    if fits {
        let bound = context.store.modify(SCHEDULER, &pod.key(), |value| {
            j::set(value, &["spec", "nodeName"], NODE);
        });
        if let Err(error) = &bound {
            tracing::warn!(pod = %pod.key(), %error, "the embedded cluster could not bind a pod");
            return false;
        }
    }
    let condition = if fits {
        Condition {
            kind: "PodScheduled",
            status: Some(true),
            reason: "",
            message: "",
        }
    } else {
        Condition {
            kind: "PodScheduled",
            status: Some(false),
            reason: "Unschedulable",
            message: "0/1 nodes are available: 1 node(s) didn't match Pod's node affinity/selector.",
        }
    };
    let now = context.stamp();
    let _result = context.store.modify_status(SCHEDULER, &pod.key(), |value| {
        let status = j::entry(value, &["status"]);
        j::default(status, &["phase"], "Pending");
        set_condition(status, &condition, &now, Times::default());
    });
    fits
}

/// Returns the first rule whose pattern means an image of a pod.
fn rule_of<'a>(context: &'a Context, pod: &Object) -> Option<&'a ImageRule> {
    let containers = j::items(pod.value(), &["spec", "containers"]);
    let has = |pattern: &str| containers.iter().any(|c| glob(pattern, j::text(c, &["image"])));
    context.options.images.iter().find(|rule| has(&rule.image))
}

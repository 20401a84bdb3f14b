//! A world of one canary for the tests of this room: what was read, and a simple way to carry writes out.

use serde_json::{Value, json};

use super::{Observation, Refusal, desired, inputs, observe};
use crate::{
    canary::{Canary, Defaults},
    manifest::{Object, ObjectKey, Reading, Resource, Snapshot, Write},
    rollout::Effect,
};

/// Makes a Canary for a target `podinfo` of this kind; `spec` is merged over it.
pub(super) fn canary_for(kind: &str, spec: &Value) -> Canary {
    let api_version = if kind == "Service" { "v1" } else { "apps/v1" };
    let mut object = json!({
        "apiVersion": "flagger.app/v1beta1", "kind": "Canary",
        "metadata": { "name": "podinfo", "namespace": "test", "uid": "canary" },
        "spec": {
            "provider": "kubernetes",
            "targetRef": { "apiVersion": api_version, "kind": kind, "name": "podinfo" },
            "service": { "port": 9898 },
            "analysis": { "iterations": 1 }
        }
    });
    merge(&mut object, &json!({ "spec": spec }));
    Canary::parse(&Object::from(object), &Defaults::default()).unwrap()
}

/// A Deployment as an API server returns it.
pub(super) fn podinfo(image: &str, replicas: i64) -> Value {
    json!({
        "apiVersion": "apps/v1", "kind": "Deployment",
        "metadata": {
            "name": "podinfo", "namespace": "test", "uid": "target", "generation": 1,
            "labels": { "app": "podinfo", "team": "a" },
            "annotations": { "deployment.kubernetes.io/revision": "3", "team": "b" }
        },
        "spec": {
            "replicas": replicas, "minReadySeconds": 3, "progressDeadlineSeconds": 60, "revisionHistoryLimit": 5,
            "selector": { "matchLabels": { "app": "podinfo" } },
            "strategy": { "type": "RollingUpdate", "rollingUpdate": { "maxSurge": "25%", "maxUnavailable": 0 } },
            "template": {
                "metadata": {
                    "creationTimestamp": null, "labels": { "app": "podinfo" },
                    "annotations": { "prometheus.io/scrape": "true" }
                },
                "spec": {
                    "containers": [{
                        "name": "podinfod", "image": image,
                        "ports": [
                            { "name": "http", "containerPort": 9898, "protocol": "TCP" },
                            { "name": "http-metrics", "containerPort": 9797, "protocol": "TCP" },
                            { "containerPort": 9999, "protocol": "TCP" }
                        ],
                        "envFrom": [{ "configMapRef": { "name": "podinfo-env" } }],
                        "env": [{ "name": "TOKEN", "valueFrom": {
                            "secretKeyRef": { "name": "podinfo-token", "key": "token", "optional": true }
                        } }]
                    }],
                    "restartPolicy": "Always", "dnsPolicy": "ClusterFirst"
                }
            }
        },
        "status": {
            "observedGeneration": 1, "replicas": replicas, "updatedReplicas": replicas,
            "readyReplicas": replicas, "availableReplicas": replicas
        }
    })
}

pub(super) fn config_map(name: &str, data: &Value) -> Value {
    json!({
        "apiVersion": "v1", "kind": "ConfigMap",
        "metadata": { "name": name, "namespace": "test", "uid": name }, "data": data
    })
}

/// What was read. Everything that was not inserted is absent, or unknown in an unread world.
#[derive(Clone)]
pub(super) struct World {
    pub(super) canary: Canary,
    known: Snapshot,
    unread: bool,
}

impl World {
    pub(super) fn new(canary: Canary) -> Self {
        let mut world = Self::unread(canary);
        world.unread = false;
        world.read();
        world
    }

    pub(super) fn unread(canary: Canary) -> Self {
        Self {
            canary,
            known: Snapshot::default(),
            unread: true,
        }
    }

    pub(super) fn with(mut self, object: Value) -> Self {
        self.insert(object);
        self
    }

    pub(super) fn insert(&mut self, object: Value) {
        self.known.insert(Object::from(object));
        self.read();
    }

    pub(super) fn remove(&mut self, key: ObjectKey) {
        self.known.insert_absent(key);
    }

    /// Reads what is asked for until nothing new is.
    fn read(&mut self) {
        if self.unread {
            return;
        }
        loop {
            let new: Vec<_> = inputs(&self.canary, &self.known)
                .into_iter()
                .filter(|key| self.known.read(key) == Reading::Unknown)
                .collect();
            if new.is_empty() {
                return;
            }
            for key in new {
                self.known.insert_absent(key);
            }
        }
    }

    pub(super) fn observe(&self) -> Observation {
        observe(&self.canary, &self.known)
    }

    pub(super) fn desired(&self, effect: &Effect) -> Result<Vec<Write>, Refusal> {
        desired(effect, &self.canary, &self.known)
    }

    pub(super) fn get(&self, resource: Resource, name: &str) -> Option<&Object> {
        self.known.get(&ObjectKey::new(resource, "test", name))
    }

    pub(super) fn service(&self, name: &str) -> &Object {
        self.get(Resource::SERVICE, name).unwrap()
    }

    pub(super) fn primary(&self) -> &Object {
        self.get(Resource::DEPLOYMENT, "podinfo-primary").unwrap()
    }

    /// Carries an effect out, and holds that doing it again would write nothing.
    pub(super) fn carry_out(&mut self, effect: &Effect) {
        for write in self.desired(effect).unwrap() {
            self.write(&write);
        }
        self.read();
        assert_eq!(self.desired(effect), Ok(vec![]), "{effect:?} twice");
    }

    fn write(&mut self, write: &Write) {
        let key = write.key();
        match write {
            Write::Apply { object, .. } => {
                let new = || json!({ "metadata": { "uid": format!("{}-uid", key.name) } });
                let mut live = self.known.get(&key).map_or_else(new, |live| live.value().clone());
                merge(&mut live, object.value());
                self.known.insert(Object::from(live));
            }
            Write::Patch { patch, .. } => {
                let mut live = self.known.get(&key).unwrap().value().clone();
                json_patch::patch(&mut live, patch).unwrap();
                self.known.insert(Object::from(live));
            }
            Write::Delete { .. } => self.known.insert_absent(key),
            Write::Create { .. } | Write::Status { .. } => panic!("not a write of this room"),
        }
    }
}

/// Merges as an apply would that owns nothing yet: lists and selectors as a whole, maps field by field.
fn merge(live: &mut Value, wanted: &Value) {
    match (live, wanted) {
        (Value::Object(live), Value::Object(wanted)) => {
            for (field, value) in wanted {
                if field == "selector" {
                    live.insert(field.clone(), value.clone());
                } else {
                    merge(live.entry(field).or_insert(Value::Null), value);
                }
            }
        }
        (live, wanted) => *live = wanted.clone(),
    }
}

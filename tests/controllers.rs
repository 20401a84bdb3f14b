//! What a control plane makes of objects: the same story is played on the embedded cluster and on the real
//! control plane, and what they have made of it at each point is compared. A difference is a failure, or a line
//! that is declared here.

#![expect(
    clippy::indexing_slicing,
    reason = "a field that is missing is null, and compared as that"
)]

mod common;

use std::time::Duration;

use anyhow::Context as _;
use common::lab::{ADMIN, Lab};
use kube::{
    Api, Client,
    api::{
        ApiResource, DeleteParams, DynamicObject, GroupVersionKind, ListParams, Patch, PatchParams,
        PostParams,
    },
};
use serde_json::{Value, json};
use serin::{
    clock::Clock,
    rehearsal::{Cluster, controllers},
};

/// How long a point of the story may take to be reached.
const PATIENCE: Duration = Duration::from_secs(40);

/// A namespace in which the story is played.
struct Stage {
    client: Client,
}

impl Stage {
    fn api(&self, group: &str, kind: &str) -> Api<DynamicObject> {
        let resource = ApiResource::from_gvk(&GroupVersionKind::gvk(group, "v1", kind));
        let resource = match kind {
            "Endpoints" => ApiResource {
                plural: "endpoints".to_owned(),
                ..resource
            },
            "HorizontalPodAutoscaler" => ApiResource::from_gvk(&GroupVersionKind::gvk(group, "v2", kind)),
            _ => resource,
        };
        Api::namespaced_with(self.client.clone(), "default", &resource)
    }

    async fn create(&self, group: &str, kind: &str, object: Value) -> anyhow::Result<()> {
        self.api(group, kind)
            .create(&PostParams::default(), &serde_json::from_value(object)?)
            .await?;
        Ok(())
    }

    async fn patch(&self, kind: &str, name: &str, patch: Value) -> anyhow::Result<()> {
        let api = self.api("apps", kind);
        api.patch(name, &PatchParams::default(), &Patch::Strategic(patch))
            .await?;
        Ok(())
    }

    async fn get(&self, group: &str, kind: &str, name: &str) -> anyhow::Result<Option<Value>> {
        let object = self.api(group, kind).get_opt(name).await?;
        Ok(object.map(serde_json::to_value).transpose()?)
    }

    async fn list(&self, group: &str, kind: &str) -> anyhow::Result<Vec<Value>> {
        let list = self.api(group, kind).list(&ListParams::default()).await?;
        Ok(list
            .items
            .into_iter()
            .map(serde_json::to_value)
            .collect::<Result<_, _>>()?)
    }

    /// Waits until an object is as wanted, then until all is quiet.
    async fn until(&self, kind: &str, name: &str, wanted: impl Fn(&Value) -> bool) -> anyhow::Result<()> {
        let reached = async {
            loop {
                if let Some(object) = self.get("apps", kind, name).await?
                    && wanted(&object)
                {
                    return anyhow::Ok(());
                }
                tokio::time::sleep(Duration::from_millis(50)).await;
            }
        };
        let last = tokio::time::timeout(PATIENCE, reached).await;
        last.with_context(|| format!("{kind} {name} did not get there"))??;
        tokio::time::sleep(Duration::from_millis(1500)).await;
        Ok(())
    }
}

fn complete(object: &Value) -> bool {
    let status = &object["status"];
    let count = |field: &str| status[field].as_i64().unwrap_or_default();
    let wanted = object["spec"]["replicas"].as_i64().unwrap_or(1);
    status["observedGeneration"] == object["metadata"]["generation"]
        && [
            count("replicas"),
            count("updatedReplicas"),
            count("availableReplicas"),
        ] == [wanted; 3]
}

fn reason<'a>(object: &'a Value, kind: &str) -> &'a str {
    let conditions = object["status"]["conditions"]
        .as_array()
        .map_or(&[][..], Vec::as_slice);
    conditions
        .iter()
        .find(|c| c["type"] == kind)
        .and_then(|c| c["reason"].as_str())
        .unwrap_or_default()
}

/// Leaves out what differs between any two clusters: names that are made up, times, addresses; and these
/// differences of the embedded one: it does not keep the annotation of daemon sets that has been deprecated
/// since 2017, nor the time of the last change of endpoints, and it counts other generations of slices.
fn comparable(object: &Value) -> Value {
    fn strip(value: &mut Value) {
        const NEVER: [&str; 20] = [
            "uid",
            "resourceVersion",
            "creationTimestamp",
            "managedFields",
            "lastTransitionTime",
            "lastUpdateTime",
            "pod-template-hash",
            "podIP",
            "podIPs",
            "hostIP",
            "hostIPs",
            "ip",
            "addresses",
            "nodeName",
            "startTime",
            "startedAt",
            "clusterIP",
            "clusterIPs",
            "deprecated.daemonset.template.generation",
            "endpoints.kubernetes.io/last-change-trigger-time",
        ];
        if let Value::Object(map) = value {
            map.retain(|key, value| !NEVER.contains(&key.as_str()) && !matches!(value, Value::Null));
            if let Some(Value::String(name)) = map.get_mut("name")
                && name.starts_with("web-")
            {
                "web-*".clone_into(name);
            }
            if let Some(Value::String(message)) = map.get_mut("message")
                && let Some((head, rest)) = message.split_once("\"web-")
            {
                *message = format!("{head}web-*{}", rest.split_once('"').map_or("", |(_, tail)| tail));
            }
            map.values_mut().for_each(strip);
            // `null`, an empty list and nothing at all say the same.
            map.retain(|_, value| !matches!(value, Value::Array(items) if items.is_empty()));
            map.retain(|key, value| key != "annotations" || *value != json!({}));
        } else if let Value::Array(items) = value {
            items.iter_mut().for_each(strip);
            items.sort_by_key(|item| item["type"].as_str().unwrap_or_default().to_owned());
        }
    }
    let mut value = object.clone();
    strip(&mut value);
    value
}

/// Returns what the story is about in a pod; the rest is the node's and the admission's business.
fn summary(pod: &Value) -> Value {
    let ready = pod["status"]["conditions"]
        .as_array()
        .into_iter()
        .flatten()
        .find(|c| c["type"] == "Ready");
    json!({
        "pod": pod["metadata"]["labels"]["app"], "image": pod["spec"]["containers"][0]["image"],
        "phase": pod["status"]["phase"], "ready": ready.map(|c| c["status"].clone()),
    })
}

/// A point of the story, and what has been made of it.
type Scene = (String, Vec<Value>);

async fn scene(stage: &Stage, title: &str) -> anyhow::Result<Scene> {
    let mut objects = Vec::new();
    for (group, kind) in [
        ("apps", "Deployment"),
        ("apps", "ReplicaSet"),
        ("apps", "DaemonSet"),
        ("", "Pod"),
    ] {
        let mut list = stage.list(group, kind).await?;
        let revision = |o: &Value| {
            let annotations = &o["metadata"]["annotations"];
            annotations["deployment.kubernetes.io/revision"]
                .as_str()
                .unwrap_or_default()
                .to_owned()
        };
        list.sort_by_key(|o| {
            (
                revision(o),
                o["metadata"]["labels"]["app"].to_string(),
                o["spec"]["containers"][0]["image"].to_string(),
            )
        });
        let mut made: Vec<Value> = list
            .iter()
            .map(if kind == "Pod" { summary } else { comparable })
            .collect();
        if kind == "Pod" {
            made.sort_by_key(Value::to_string);
        } else {
            for object in &mut made {
                object["kind"] = json!(kind);
            }
        }
        objects.extend(made);
    }
    for (group, kind) in [("", "Endpoints"), ("discovery.k8s.io", "EndpointSlice")] {
        let list = stage.list(group, kind).await?;
        let own = |o: &&Value| {
            o["metadata"]["name"]
                .as_str()
                .is_some_and(|name| name.starts_with("web"))
        };
        objects.extend(list.iter().filter(own).map(|object| {
            let mut object = comparable(object);
            object["kind"] = json!(kind);
            object["metadata"]
                .as_object_mut()
                .map(|metadata| metadata.remove("generation"));
            object
        }));
    }
    Ok((title.to_owned(), objects))
}

async fn story(client: Client) -> anyhow::Result<Vec<Scene>> {
    let stage = Stage { client };
    let mut scenes = Vec::new();
    stage
        .create(
            "apps",
            "Deployment",
            json!({
                "apiVersion": "apps/v1", "kind": "Deployment", "metadata": {"name": "web"},
                "spec": {
                    "replicas": 2, "progressDeadlineSeconds": 5, "selector": {"matchLabels": {"app": "web"}},
                    "template": {"metadata": {"labels": {"app": "web"}}, "spec": {"containers": [{
                        "name": "web", "image": "web:1", "ports": [{"name": "http", "containerPort": 9898}],
                    }]}},
                },
            }),
        )
        .await?;
    stage.create("", "Service", json!({
        "apiVersion": "v1", "kind": "Service", "metadata": {"name": "web", "labels": {"a": "b"}},
        "spec": {"selector": {"app": "web"}, "ports": [{"name": "http", "port": 80, "targetPort": "http"}]},
    })).await?;
    stage.create("apps", "DaemonSet", json!({
        "apiVersion": "apps/v1", "kind": "DaemonSet", "metadata": {"name": "agent"},
        "spec": {
            "selector": {"matchLabels": {"app": "agent"}},
            "template": {"metadata": {"labels": {"app": "agent"}}, "spec": {"containers": [{"name": "agent", "image": "agent:1"}]}},
        },
    })).await?;
    stage.until("Deployment", "web", complete).await?;
    scenes.push(scene(&stage, "created").await?);

    let image = |image: &str| json!({"spec": {"template": {"spec": {"containers": [{"name": "web", "image": image}]}}}});
    stage.patch("Deployment", "web", image("web:2")).await?;
    stage.until("Deployment", "web", complete).await?;
    scenes.push(scene(&stage, "updated").await?);

    stage
        .patch("Deployment", "web", json!({"spec": {"replicas": 0}}))
        .await?;
    stage.until("Deployment", "web", complete).await?;
    scenes.push(scene(&stage, "scaled to zero").await?);

    stage
        .patch("Deployment", "web", json!({"spec": {"replicas": 1}}))
        .await?;
    stage.until("Deployment", "web", complete).await?;
    scenes.push(scene(&stage, "scaled up").await?);

    stage.patch("Deployment", "web", image("web:1")).await?;
    stage.until("Deployment", "web", complete).await?;
    scenes.push(scene(&stage, "rolled back").await?);

    let nowhere = json!({"spec": {"template": {"spec": {"nodeSelector": {"nowhere": "true"}}}}});
    stage.patch("Deployment", "web", nowhere.clone()).await?;
    stage.patch("DaemonSet", "agent", nowhere).await?;
    stage
        .until("Deployment", "web", |o| {
            reason(o, "Progressing") == "ProgressDeadlineExceeded"
        })
        .await?;
    scenes.push(scene(&stage, "stuck").await?);

    let somewhere = json!({"spec": {"template": {"spec": {"nodeSelector": null}}}});
    stage.patch("Deployment", "web", somewhere.clone()).await?;
    stage.patch("DaemonSet", "agent", somewhere).await?;
    stage.until("Deployment", "web", complete).await?;
    stage
        .until("DaemonSet", "agent", |o| o["status"]["numberAvailable"] == 1)
        .await?;
    scenes.push(scene(&stage, "freed").await?);

    stage
        .patch(
            "Deployment",
            "web",
            json!({"spec": {"strategy": {"type": "Recreate", "rollingUpdate": null}, "replicas": 2}}),
        )
        .await?;
    stage.until("Deployment", "web", complete).await?;
    stage.patch("Deployment", "web", image("web:3")).await?;
    stage.until("Deployment", "web", complete).await?;
    scenes.push(scene(&stage, "recreated").await?);

    stage
        .patch("Deployment", "web", json!({"spec": {"paused": true}}))
        .await?;
    stage.patch("Deployment", "web", image("web:4")).await?;
    stage
        .until("Deployment", "web", |o| {
            reason(o, "Progressing") == "DeploymentPaused"
        })
        .await?;
    scenes.push(scene(&stage, "paused").await?);

    stage
        .api("apps", "Deployment")
        .delete("web", &DeleteParams::foreground())
        .await?;
    stage
        .api("apps", "DaemonSet")
        .delete("agent", &DeleteParams::background())
        .await?;
    let gone = async {
        while !stage.list("", "Pod").await?.is_empty() {
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
        anyhow::Ok(())
    };
    tokio::time::timeout(PATIENCE, gone)
        .await
        .context("pods stay")??;
    tokio::time::sleep(Duration::from_secs(1)).await;
    scenes.push(scene(&stage, "deleted").await?);
    Ok(scenes)
}

#[tokio::test]
async fn the_embedded_controllers_do_as_the_real_ones() -> anyhow::Result<()> {
    let lab = Lab::start().await?;
    let real = story(lab.client(ADMIN).await?);
    let cluster = Cluster::new(Clock::system());
    let running = controllers::start(&cluster, controllers::Options::default());
    let (real, embedded) = tokio::join!(real, story(cluster.client("test")));
    running.abort();
    let (real, embedded) = (real?, embedded?);
    let mut found = Vec::new();
    for ((title, wanted), (_, made)) in real.iter().zip(&embedded) {
        found.extend(
            differences(wanted, made)
                .into_iter()
                .map(|line| format!("{title}: {line}")),
        );
    }
    assert!(
        found.is_empty(),
        "the embedded control plane differs (- real, + embedded):\n{}",
        found.join("\n")
    );
    assert_eq!(real.len(), embedded.len());
    Ok(())
}

/// Returns what one side has and the other has not, as paths and values.
fn differences(wanted: &[Value], made: &[Value]) -> Vec<String> {
    fn flatten(path: &str, value: &Value, lines: &mut Vec<String>) {
        match value {
            Value::Object(map) => map
                .iter()
                .for_each(|(k, v)| flatten(&format!("{path}/{k}"), v, lines)),
            Value::Array(items) => {
                for (n, item) in items.iter().enumerate() {
                    flatten(&format!("{path}/{n}"), item, lines);
                }
            }
            leaf => lines.push(format!("{path} = {leaf}")),
        }
    }
    let lines = |objects: &[Value]| {
        let mut lines = Vec::new();
        for (n, object) in objects.iter().enumerate() {
            let kind = object["kind"].as_str().unwrap_or("Pod");
            flatten(&format!("{n}/{kind}"), object, &mut lines);
        }
        lines
    };
    let (wanted, made) = (lines(wanted), lines(made));
    let missing = wanted
        .iter()
        .filter(|line| !made.contains(line))
        .map(|line| format!("- {line}"));
    let added = made
        .iter()
        .filter(|line| !wanted.contains(line))
        .map(|line| format!("+ {line}"));
    missing.chain(added).collect()
}

//! The controllers at work, in virtual time.

use serde_json::{Value, json};

use super::*;
use crate::{
    manifest::Resource,
    rehearsal::store::{Delete, Propagation},
};

struct Lab {
    store: Store,
}

impl Lab {
    fn new(options: Options) -> Self {
        let clock = Clock::starting_at("2026-01-01T00:00:00Z".parse().unwrap());
        let cluster = Cluster::new(clock);
        start(&cluster, options);
        Self {
            store: cluster.store().clone(),
        }
    }

    fn with_rule(rule: &str) -> Self {
        let images = vec![serde_saphyr::from_str(rule).unwrap()];
        Self::new(Options {
            images,
            ..Options::default()
        })
    }

    fn make(&self, object: Value) -> Object {
        self.store.create("test", object).unwrap()
    }

    fn deploy(&self, replicas: i64, image: &str) {
        self.make(json!({
            "apiVersion": "apps/v1", "kind": "Deployment", "metadata": {"name": "web", "namespace": "default"},
            "spec": {
                "replicas": replicas, "progressDeadlineSeconds": 60,
                "selector": {"matchLabels": {"app": "web"}},
                "template": {
                    "metadata": {"labels": {"app": "web"}},
                    "spec": {"containers": [{
                        "name": "web", "image": image, "ports": [{"name": "http", "containerPort": 9898}],
                    }]},
                },
            },
        }));
    }

    fn set_image(&self, image: &str) {
        self.edit("/spec/template/spec/containers/0/image", json!(image));
    }

    fn edit(&self, pointer: &str, new: Value) {
        let edit = |value: &mut Value| *value.pointer_mut(pointer).unwrap() = new;
        self.store
            .modify("test", &key(Resource::DEPLOYMENT, "web"), edit)
            .unwrap();
    }

    fn web(&self) -> Object {
        self.store.get(&key(Resource::DEPLOYMENT, "web")).unwrap()
    }

    fn pods(&self) -> Vec<Object> {
        self.store.list("", "Pod", Some("default"))
    }

    fn images(&self) -> Vec<String> {
        self.pods()
            .iter()
            .map(|pod| pod.str_at("/spec/containers/0/image").to_owned())
            .collect()
    }

    /// Prints the counts and conditions that `kubectl rollout status` and kstatus read.
    fn status(&self) -> String {
        let web = self.web();
        let count = |field: &str| web.i64_at(&format!("/status/{field}")).unwrap_or_default();
        let reason = |kind: &str| {
            let condition = parts::condition(&web.value()["status"], kind).unwrap();
            format!(
                "{}={} {}",
                kind,
                condition["status"].as_str().unwrap(),
                condition["reason"].as_str().unwrap()
            )
        };
        format!(
            "{} updated {} ready {} available {} missing {}; {}; {}",
            count("replicas"),
            count("updatedReplicas"),
            count("readyReplicas"),
            count("availableReplicas"),
            count("unavailableReplicas"),
            reason("Available"),
            reason("Progressing"),
        )
    }
}

fn key(resource: Resource, name: &str) -> ObjectKey {
    ObjectKey::new(resource, "default", name)
}

async fn pass(seconds: f64) {
    tokio::time::sleep(Duration::from_secs_f64(seconds)).await;
}

#[tokio::test(start_paused = true)]
async fn a_deployment_gets_its_pods() {
    let lab = Lab::new(Options::default());
    lab.deploy(2, "web:1");
    pass(0.5).await;
    assert_eq!(lab.pods().len(), 2);
    assert_eq!(lab.pods()[0].str_at("/status/phase"), "Pending");
    assert_eq!(
        lab.status(),
        "2 updated 2 ready 0 available 0 missing 2; Available=False MinimumReplicasUnavailable; \
         Progressing=True ReplicaSetUpdated"
    );
    pass(1.0).await;
    assert_eq!(
        lab.status(),
        "2 updated 2 ready 2 available 2 missing 0; Available=True MinimumReplicasAvailable; \
         Progressing=True NewReplicaSetAvailable"
    );
    let pod = &lab.pods()[0];
    assert_eq!(
        (pod.str_at("/status/phase"), pod.str_at("/spec/nodeName")),
        ("Running", NODE)
    );
    assert_eq!(pod.at("/status/containerStatuses/0/ready"), Some(&json!(true)));
    assert_eq!(lab.web().i64_at("/status/observedGeneration"), Some(1));
    assert_eq!(
        lab.web().annotation("deployment.kubernetes.io/revision"),
        Some("1")
    );
}

#[tokio::test(start_paused = true)]
async fn a_rolling_update_never_lacks_pods() {
    let lab = Lab::new(Options::default());
    lab.deploy(3, "web:1");
    pass(2.0).await;
    lab.set_image("web:2");
    for _ in 0..200 {
        pass(0.1).await;
        let web = lab.web();
        assert!(
            web.i64_at("/status/availableReplicas").unwrap() >= 3,
            "{}",
            lab.status()
        );
        assert!(lab.pods().iter().filter(|pod| pods::is_active(pod)).count() <= 4);
    }
    assert_eq!(lab.images(), ["web:2", "web:2", "web:2"]);
    assert_eq!(
        lab.web().annotation("deployment.kubernetes.io/revision"),
        Some("2")
    );
    let sets = lab.store.list("apps", "ReplicaSet", Some("default"));
    assert_eq!(sets.len(), 2);
    assert!(lab.status().ends_with("Progressing=True NewReplicaSetAvailable"));
}

#[tokio::test(start_paused = true)]
async fn going_back_reuses_the_old_replica_set() {
    let lab = Lab::new(Options::default());
    lab.deploy(1, "web:1");
    pass(2.0).await;
    lab.set_image("web:2");
    pass(5.0).await;
    lab.set_image("web:1");
    pass(5.0).await;
    assert_eq!(lab.store.list("apps", "ReplicaSet", None).len(), 2);
    assert_eq!(
        lab.web().annotation("deployment.kubernetes.io/revision"),
        Some("3")
    );
    assert_eq!(lab.images(), ["web:1"]);
}

#[tokio::test(start_paused = true)]
async fn a_rollout_that_does_not_progress_exceeds_its_deadline() {
    let lab = Lab::with_rule("{image: 'web:bad', fault: ImagePullBackOff}");
    lab.deploy(2, "web:1");
    pass(2.0).await;
    lab.set_image("web:bad");
    pass(55.0).await;
    assert!(
        lab.status()
            .ends_with("Available=True MinimumReplicasAvailable; Progressing=True ReplicaSetUpdated")
    );
    let waiting =
        |pod: &Object| pod.str_at("/status/containerStatuses/0/state/waiting/reason") == "ImagePullBackOff";
    assert_eq!(lab.pods().iter().filter(|pod| waiting(pod)).count(), 1);
    pass(10.0).await;
    assert_eq!(
        lab.status(),
        "3 updated 1 ready 2 available 2 missing 1; Available=True MinimumReplicasAvailable; \
         Progressing=False ProgressDeadlineExceeded"
    );
    lab.set_image("web:3");
    pass(5.0).await;
    assert!(
        lab.status().ends_with("Progressing=True NewReplicaSetAvailable"),
        "{}",
        lab.status()
    );
    assert_eq!(lab.images(), ["web:3", "web:3"]);
}

#[tokio::test(start_paused = true)]
async fn scaling_to_zero_and_back() {
    let lab = Lab::new(Options::default());
    lab.deploy(2, "web:1");
    pass(2.0).await;
    lab.edit("/spec/replicas", json!(0));
    pass(0.5).await;
    assert_eq!(lab.pods().len(), 2, "they end gracefully");
    assert_eq!(lab.web().i64_at("/status/replicas"), None);
    pass(1.0).await;
    assert_eq!(lab.pods().len(), 0);
    lab.edit("/spec/replicas", json!(1));
    pass(0.1).await;
    assert!(
        lab.status()
            .starts_with("1 updated 1 ready 0 available 0 missing 1; Available=False")
    );
    pass(2.0).await;
    assert!(lab.status().starts_with("1 updated 1 ready 1 available 1"));
}

#[tokio::test(start_paused = true)]
async fn recreate_ends_all_pods_first() {
    let lab = Lab::new(Options::default());
    lab.deploy(2, "web:1");
    lab.store
        .modify("test", &key(Resource::DEPLOYMENT, "web"), |d| {
            d["spec"]["strategy"] = json!({"type": "Recreate"});
        })
        .unwrap();
    pass(2.0).await;
    lab.set_image("web:2");
    for _ in 0..50 {
        pass(0.1).await;
        let images = lab.images();
        assert!(images.iter().all(|i| i == &images[0]), "{images:?}");
    }
    assert_eq!(lab.images(), ["web:2", "web:2"]);
}

#[tokio::test(start_paused = true)]
async fn a_pod_waits_for_its_configuration() {
    let lab = Lab::new(Options::default());
    lab.deploy(1, "web:1");
    lab.edit("/spec/template/spec/containers/0", json!({
        "name": "web", "image": "web:1",
        "envFrom": [{"configMapRef": {"name": "settings"}}, {"secretRef": {"name": "no", "optional": true}}],
    }));
    pass(5.0).await;
    let stuck = lab
        .pods()
        .into_iter()
        .find(|pod| pod.at("/spec/containers/0/envFrom").is_some())
        .unwrap();
    let waiting = stuck.at("/status/containerStatuses/0/state/waiting").unwrap();
    assert_eq!(waiting["reason"], "CreateContainerConfigError");
    assert_eq!(waiting["message"], "configmap \"settings\" not found");
    let settings = json!({"apiVersion": "v1", "kind": "ConfigMap",
        "metadata": {"name": "settings", "namespace": "default"}, "data": {"COLOR": "blue"}});
    lab.make(settings);
    pass(1.5).await;
    assert!(pods::is_ready(&lab.store.get(&stuck.key()).unwrap()));
    assert_eq!(kubelet::environment(&lab.store, &stuck)["COLOR"], "blue");
}

#[tokio::test(start_paused = true)]
async fn services_find_ready_pods() {
    let lab = Lab::new(Options::default());
    lab.make(
        json!({"apiVersion": "v1", "kind": "Service", "metadata": {"name": "web", "namespace": "default"},
        "spec": {"selector": {"app": "web"}, "ports": [{"name": "http", "port": 80, "targetPort": "http"}]}}),
    );
    lab.deploy(2, "web:1");
    let endpoints = ObjectKey {
        kind: "Endpoints".to_owned(),
        ..key(Resource::SERVICE, "web")
    };
    let ready = || {
        lab.store
            .get(&endpoints)
            .unwrap()
            .at("/subsets/0/addresses")
            .map_or(0, |a| a.as_array().unwrap().len())
    };
    pass(0.5).await;
    assert_eq!(ready(), 0);
    pass(1.0).await;
    assert_eq!(ready(), 2);
    assert_eq!(
        lab.store
            .get(&endpoints)
            .unwrap()
            .i64_at("/subsets/0/ports/0/port"),
        Some(9898)
    );
    let slices = lab.store.list("discovery.k8s.io", "EndpointSlice", None);
    assert_eq!(slices[0].at("/endpoints/1/conditions/ready"), Some(&json!(true)));
    lab.edit("/spec/replicas", json!(0));
    pass(0.1).await;
    assert_eq!(ready(), 0, "a pod that ends is not an endpoint");
}

#[tokio::test(start_paused = true)]
async fn what_loses_its_owner_goes_too() {
    for (propagation, left) in [
        (Propagation::Background, 0),
        (Propagation::Foreground, 0),
        (Propagation::Orphan, 1),
    ] {
        let lab = Lab::new(Options::default());
        lab.deploy(1, "web:1");
        pass(2.0).await;
        let options = Delete {
            propagation,
            ..Delete::default()
        };
        lab.store
            .delete(&key(Resource::DEPLOYMENT, "web"), &options)
            .unwrap();
        pass(0.5).await;
        let waits = lab.store.get(&key(Resource::DEPLOYMENT, "web")).is_some();
        assert_eq!(waits, propagation == Propagation::Foreground);
        pass(5.0).await;
        assert!(lab.store.get(&key(Resource::DEPLOYMENT, "web")).is_none());
        assert_eq!(
            lab.store.list("apps", "ReplicaSet", None).len(),
            left,
            "{propagation:?}"
        );
        assert_eq!(lab.pods().len(), left);
    }
}

#[tokio::test(start_paused = true)]
async fn a_namespace_goes_with_all_that_is_in_it() {
    let lab = Lab::new(Options::default());
    lab.deploy(1, "web:1");
    pass(2.0).await;
    let namespace = ObjectKey {
        group: String::new(),
        kind: "Namespace".into(),
        namespace: String::new(),
        name: "default".into(),
    };
    lab.store.delete(&namespace, &Delete::default()).unwrap();
    pass(5.0).await;
    assert!(lab.store.get(&namespace).is_none());
}

#[tokio::test(start_paused = true)]
async fn a_daemon_set_follows_its_node_selector() {
    let lab = Lab::new(Options::default());
    let set = key(Resource::DAEMON_SET, "agent");
    lab.make(json!({"apiVersion": "apps/v1", "kind": "DaemonSet", "metadata": {"name": "agent", "namespace": "default"},
        "spec": {"selector": {"matchLabels": {"app": "agent"}}, "template": {
            "metadata": {"labels": {"app": "agent"}}, "spec": {"containers": [{"name": "agent", "image": "agent:1"}]}}}}));
    let numbers = || {
        let status = lab.store.get(&set).unwrap().value()["status"].clone();
        let number = |field: &str| status[field].as_i64().unwrap_or_default();
        [
            number("desiredNumberScheduled"),
            number("updatedNumberScheduled"),
            number("numberAvailable"),
            number("numberUnavailable"),
        ]
    };
    pass(0.5).await;
    assert_eq!(numbers(), [1, 1, 0, 1]);
    pass(1.0).await;
    assert_eq!(numbers(), [1, 1, 1, 0]);
    let edit = |new: Value| {
        lab.store
            .modify("test", &set, |d| {
                d["spec"]["template"]["spec"]["nodeSelector"] = new;
            })
            .unwrap()
    };
    edit(json!({"nowhere": "true"}));
    pass(2.0).await;
    assert_eq!((numbers(), lab.pods().len()), ([0, 0, 0, 0], 0));
    edit(Value::Null);
    pass(2.0).await;
    assert_eq!((numbers(), lab.pods().len()), ([1, 1, 1, 0], 1));
}

#[tokio::test(start_paused = true)]
async fn an_autoscaler_keeps_its_bounds_but_leaves_zero_alone() {
    let lab = Lab::new(Options::default());
    lab.deploy(1, "web:1");
    lab.make(
        json!({"apiVersion": "autoscaling/v2", "kind": "HorizontalPodAutoscaler",
        "metadata": {"name": "web", "namespace": "default"},
        "spec": {"minReplicas": 2, "maxReplicas": 4,
            "scaleTargetRef": {"apiVersion": "apps/v1", "kind": "Deployment", "name": "web"}}}),
    );
    pass(3.0).await;
    assert_eq!(lab.web().i64_at("/spec/replicas"), Some(2));
    for (set, kept) in [(0, 0), (9, 4), (3, 3)] {
        lab.edit("/spec/replicas", json!(set));
        pass(3.0).await;
        assert_eq!(lab.web().i64_at("/spec/replicas"), Some(kept));
    }
}

#[tokio::test(start_paused = true)]
async fn pods_fail_and_recover_as_scripted() {
    let lab = Lab::with_rule("{image: 'web:*', fault: Unready, from: 10s, until: 20s}");
    lab.deploy(1, "web:1");
    for (seconds, ready) in [(5.0, true), (8.0, false), (8.0, true)] {
        pass(seconds).await;
        assert_eq!(pods::is_ready(&lab.pods()[0]), ready);
    }
    let lab = Lab::with_rule("{image: 'web:*', fault: CrashLoopBackOff}");
    lab.deploy(1, "web:1");
    pass(35.0).await;
    assert_eq!(
        lab.pods()[0].i64_at("/status/containerStatuses/0/restartCount"),
        Some(2)
    );
    assert_eq!(lab.pods()[0].str_at("/status/phase"), "Running");
}

#[tokio::test(start_paused = true)]
async fn min_ready_seconds_delay_availability() {
    let lab = Lab::new(Options::default());
    lab.deploy(1, "web:1");
    lab.store
        .modify("test", &key(Resource::DEPLOYMENT, "web"), |d| {
            d["spec"]["minReadySeconds"] = json!(10);
        })
        .unwrap();
    pass(5.0).await;
    assert!(
        lab.status().starts_with("1 updated 1 ready 1 available 0"),
        "{}",
        lab.status()
    );
    pass(8.0).await;
    assert!(lab.status().starts_with("1 updated 1 ready 1 available 1"));
}

#[tokio::test(start_paused = true)]
async fn a_cluster_at_rest_is_still() {
    let lab = Lab::new(Options::default());
    lab.deploy(2, "web:1");
    pass(60.0).await;
    let revision = lab.store.revision();
    pass(3600.0).await;
    assert_eq!(lab.store.revision(), revision);
}

#[tokio::test(start_paused = true)]
async fn two_runs_are_the_same() {
    let mut runs = Vec::new();
    for _ in 0..2 {
        let lab = Lab::new(Options::default());
        lab.deploy(3, "web:1");
        pass(2.0).await;
        lab.set_image("web:2");
        pass(20.0).await;
        let pods: Vec<String> = lab.pods().iter().map(|pod| pod.value().to_string()).collect();
        runs.push((lab.store.revision(), pods));
    }
    assert_eq!(runs[0], runs[1]);
}

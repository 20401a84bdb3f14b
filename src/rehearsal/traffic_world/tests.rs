//! A world around a small cluster, in virtual time.

use serde_json::{Value as Json, json};

use super::*;
use crate::{
    manifest::{ObjectKey, Resource},
    rehearsal::Store,
};

struct Lab {
    store: Store,
    world: World,
    clock: Clock,
}

const WORLD: &str = "
routerLag: 2s
clients:
- {rate: 50, host: app.example.com, from: 5s}
- {rate: 10, service: test/web-canary, path: /direct, from: 5s}
answers:
- {image: 'web:2', config: {COLOR: red}, errors: 1}
- {image: 'web:2', errors: 0.1, latency: {mean: 200ms, p99: 900ms}, from: 60s}
";

impl Lab {
    /// Makes a cluster with a primary and a canary, and both behind one Ingress.
    async fn new(world: &str) -> Self {
        let clock = Clock::starting_at("2026-01-01T00:00:00Z".parse().unwrap());
        let cluster = Cluster::new(clock);
        let lab = Self {
            store: cluster.store().clone(),
            world: World::start(&cluster, WorldSpec::parse(world).unwrap()),
            clock,
        };
        lab.make(json!({"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": "test"}}));
        lab.version("web-primary", "web:1", 2);
        lab.version("web-canary", "web:2", 1);
        lab.make(json!({
            "apiVersion": "networking.k8s.io/v1", "kind": "Ingress",
            "metadata": {"name": "web-canary", "namespace": "test"},
            "spec": {"rules": [{"host": "app.example.com", "http": {"paths": [
                {"path": "/", "pathType": "Prefix", "backend": {"service": {"name": "web-primary", "port": {"number": 80}}}},
                {"path": "/", "pathType": "Prefix", "backend": {"service": {"name": "web-canary", "port": {"number": 80}}}},
            ]}}]},
        }));
        lab.weigh(100, 0);
        // Looks between the steps of the world, not at them.
        tokio::time::sleep(Duration::from_millis(500)).await;
        lab
    }

    fn make(&self, object: Json) {
        self.store.create("test", object).unwrap();
    }

    fn version(&self, name: &str, image: &str, replicas: i64) {
        self.make(json!({
            "apiVersion": "apps/v1", "kind": "Deployment", "metadata": {"name": name, "namespace": "test"},
            "spec": {
                "replicas": replicas, "selector": {"matchLabels": {"app": name}},
                "template": {
                    "metadata": {"labels": {"app": name}},
                    "spec": {"containers": [{"name": "web", "image": image,
                        "env": [{"name": "COLOR", "value": "blue"}]}]},
                },
            },
        }));
        self.make(
            json!({"apiVersion": "v1", "kind": "Service", "metadata": {"name": name, "namespace": "test"},
            "spec": {"selector": {"app": name}, "ports": [{"port": 80, "targetPort": 9898}]}}),
        );
    }

    fn weigh(&self, primary: i64, canary: i64) {
        let weights = json!({"web-primary": primary, "web-canary": canary}).to_string();
        let key = ObjectKey::new(Resource::INGRESS, "test", "web-canary");
        self.store
            .modify("test", &key, |i| {
                i["metadata"]["annotations"] = json!({"zalando.org/backend-weights": weights});
            })
            .unwrap();
    }

    fn edit(&self, name: &str, pointer: &str, new: Json) {
        let key = ObjectKey::new(Resource::DEPLOYMENT, "test", name);
        self.store
            .modify("test", &key, |d| *d.pointer_mut(pointer).unwrap() = new)
            .unwrap();
    }

    fn ask(&self, query: &str) -> Option<f64> {
        let query = Query::parse(query).unwrap();
        match self
            .world
            .query(&query, self.clock.now().as_millisecond())
            .unwrap()
        {
            Value::Instant(samples) => samples.last().map(|sample| sample.value),
            other => panic!("{other:?}"),
        }
    }
}

async fn pass(seconds: u64) {
    tokio::time::sleep(Duration::from_secs(seconds)).await;
}

const CANARY_ROUTE: &str = "kube(ew)?_test__web_canary__.*__web_canary(_[0-9]+)?";

fn success_rate(route: &str) -> String {
    let metric = "skipper_response_duration_seconds_bucket";
    format!(
        "sum(rate({metric}{{route=~\"{route}\", code!~\"5..\", le=\"+Inf\"}}[10s])) \
         / sum(rate({metric}{{route=~\"{route}\", le=\"+Inf\"}}[10s])) * 100"
    )
}

#[tokio::test(start_paused = true)]
async fn requests_follow_the_weights_after_the_routers_lag() {
    let lab = Lab::new(WORLD).await;
    pass(20).await;
    let before = lab.world.totals();
    assert_eq!(
        (before.lost(), before.services["test/web-primary"].requests),
        (0, 16 * 50)
    );
    assert_eq!(
        before.services["test/web-canary"].requests, 160,
        "only those that are sent there directly"
    );
    lab.weigh(80, 20);
    pass(2).await;
    assert_eq!(
        lab.world.totals().since(&before).services["test/web-canary"].requests,
        20,
        "not yet followed"
    );
    pass(2).await;
    pass(30).await;
    let recent = lab.world.recent(Duration::from_secs(20));
    assert_eq!(recent.services["test/web-canary"].requests, 20 * 10 + 20 * 10);
    assert!((recent.share_of_version("web:1") - 800.0 / 1200.0).abs() < 1e-9);
    assert_eq!(recent.failed(), 0);
}

#[tokio::test(start_paused = true)]
async fn skippers_metrics_tell_how_a_canary_answers() {
    let lab = Lab::new(WORLD).await;
    assert_eq!(lab.ask(&success_rate(CANARY_ROUTE)), None, "no traffic, no value");
    pass(5).await;
    lab.weigh(50, 50);
    pass(40).await;
    assert_eq!(lab.ask(&success_rate(CANARY_ROUTE)), Some(100.0));
    pass(40).await;
    let rate = lab.ask(&success_rate(CANARY_ROUTE)).unwrap();
    assert!((rate - 90.0).abs() < 1.0, "{rate}");
    let average = format!(
        "sum(rate(skipper_serve_route_duration_seconds_sum{{route=~\"{CANARY_ROUTE}\"}}[10s])) \
         / sum(rate(skipper_serve_route_duration_seconds_count{{route=~\"{CANARY_ROUTE}\"}}[10s])) * 1000"
    );
    assert!((lab.ask(&average).unwrap() - 200.0).abs() < 1.0);
}

#[tokio::test(start_paused = true)]
async fn applications_metrics_tell_how_pods_answer() {
    let lab = Lab::new(WORLD).await;
    pass(90).await;
    let of_pods = |filter: &str| {
        format!(
            "http_request_duration_seconds_count{{kubernetes_namespace=\"test\",kubernetes_pod_name=~\"web-canary-[0-9a-zA-Z]+(-[0-9a-zA-Z]+)\"{filter}}}[10s]"
        )
    };
    let rate = format!(
        "sum(rate({})) / sum(rate({})) * 100",
        of_pods(",status!~\"5.*\""),
        of_pods("")
    );
    assert!((lab.ask(&rate).unwrap() - 90.0).abs() < 1.0);
    let p99 = format!(
        "histogram_quantile(0.99, sum(rate({})) by (le)) * 1000",
        of_pods("").replace("_count", "_bucket").replace("10s", "30s")
    );
    let p99 = lab.ask(&p99).unwrap();
    assert!((500.0..1000.0).contains(&p99), "{p99} is in the bucket of 900 ms");
    assert_eq!(lab.ask("sum(up{namespace=\"test\"})"), Some(3.0));
}

#[tokio::test(start_paused = true)]
async fn a_service_without_ready_pods_fails_requests() {
    let lab = Lab::new(WORLD).await;
    pass(20).await;
    lab.weigh(50, 50);
    pass(5).await;
    let before = lab.world.totals();
    lab.edit("web-canary", "/spec/replicas", json!(0));
    pass(10).await;
    let after = lab.world.totals().since(&before);
    assert!(after.lost() > 250, "{after:?}");
    assert_eq!(after.services["test/web-primary"].unserved, 0);
    assert_eq!(lab.ask(&success_rate(CANARY_ROUTE)), Some(0.0));
    assert_eq!(
        lab.ask("sum(up{pod=~\"web-canary-.*\"})"),
        None,
        "the series of a pod end with it"
    );
}

#[tokio::test(start_paused = true)]
async fn configuration_can_make_a_version_fail() {
    let lab = Lab::new(WORLD).await;
    pass(20).await;
    assert_eq!(lab.world.totals().failed(), 0);
    lab.edit(
        "web-canary",
        "/spec/template/spec/containers/0/env/0/value",
        json!("red"),
    );
    pass(20).await;
    assert_eq!(
        lab.world.recent(Duration::from_secs(10)).services["test/web-canary"].errors,
        100
    );
}

#[tokio::test(start_paused = true)]
async fn an_external_name_leads_to_a_service_or_outside() {
    let world = "routerLag: 0s\nclients:\n- {rate: 10, service: test/alias}\n\
                 answers: [{image: old.example.com, errors: 0.5}]\n";
    let lab = Lab::new(world).await;
    let alias = |name: &str| {
        json!({"apiVersion": "v1", "kind": "Service", "metadata": {"name": "alias", "namespace": "test"},
            "spec": {"type": "ExternalName", "externalName": name}})
    };
    lab.make(alias("web-primary.test.svc.cluster.local"));
    pass(10).await;
    let first = lab.world.recent(Duration::from_secs(5));
    assert_eq!(first.versions["web:1"].requests, 50);
    let key = ObjectKey::new(Resource::SERVICE, "test", "alias");
    lab.store
        .modify("test", &key, |s| {
            s["spec"]["externalName"] = json!("old.example.com");
        })
        .unwrap();
    pass(10).await;
    let second = lab.world.recent(Duration::from_secs(5));
    assert_eq!(
        (second.versions["old.example.com"].requests, second.failed()),
        (50, 25)
    );
    lab.store
        .modify("test", &key, |s| {
            s["spec"]["externalName"] = json!("alias.test.svc");
        })
        .unwrap();
    pass(10).await;
    assert_eq!(
        lab.world.recent(Duration::from_secs(5)).lost(),
        50,
        "a circle leads nowhere"
    );
}

#[tokio::test(start_paused = true)]
async fn hosts_without_a_route_are_counted() {
    let lab = Lab::new("clients: [{rate: 1, host: other.example.com}]").await;
    pass(10).await;
    let totals = lab.world.totals();
    assert_eq!((totals.unrouted, totals.lost(), totals.requests()), (10, 10, 10));
}

#[tokio::test(start_paused = true)]
async fn two_worlds_are_the_same() {
    let mut runs = Vec::new();
    for _ in 0..2 {
        let lab = Lab::new(WORLD).await;
        pass(10).await;
        lab.weigh(90, 10);
        pass(100).await;
        runs.push((
            lab.world.totals(),
            lab.ask("sum(rate(http_request_duration_seconds_sum[20s]))"),
        ));
    }
    assert_eq!(runs[0], runs[1]);
}

//! The cases.

use http::Request;
use kube::Client;
use serde_json::{Value, json};
use serin::{
    canary::{Canary, Defaults, crd},
    cluster::Cluster,
    manifest::{Manager, Object, ObjectKey, Reading, Resource, Snapshot, Write, documents},
    rollout::{Effect, Live, Revision, Routes, Seen},
    traffic, workload,
};

pub(crate) async fn run_all(client: Client) {
    install(&client).await;
    a_rollout_with_skipper(World::new(&client, "one").await).await;
    a_service_of_the_user(World::new(&client, "two").await).await;
    a_primary_of_flagger(World::new(&client, "three").await).await;
    a_service_target(World::new(&client, "four").await).await;
}

/// Installs the custom resources and waits until they are served.
async fn install(client: &Client) {
    for definition in crd::all() {
        let path = "/apis/apiextensions.k8s.io/v1/customresourcedefinitions";
        post(client, path, &definition).await;
    }
    for _ in 0..100 {
        let request = Request::get("/apis/flagger.app/v1beta1/canaries")
            .body(Vec::new())
            .unwrap();
        if client.request::<Value>(request).await.is_ok() {
            return;
        }
        tokio::time::sleep(std::time::Duration::from_millis(100)).await;
    }
    panic!("the custom resources are not served");
}

async fn post(client: &Client, path: &str, value: &Value) -> Value {
    let request = Request::post(path).header("content-type", "application/json");
    let request = request.body(value.to_string().into_bytes()).unwrap();
    client.request::<Value>(request).await.unwrap()
}

/// A namespace with the objects of `fixtures/podinfo`, as far as a case wants them.
struct World {
    client: Client,
    cluster: Cluster,
    namespace: &'static str,
}

impl World {
    async fn new(client: &Client, namespace: &'static str) -> Self {
        let object = json!({ "apiVersion": "v1", "kind": "Namespace", "metadata": { "name": namespace } });
        post(client, "/api/v1/namespaces", &object).await;
        Self {
            client: client.clone(),
            cluster: Cluster::new(client.clone(), None).0,
            namespace,
        }
    }

    /// Returns an object of the fixtures, in this namespace.
    fn fixture(&self, file: &str) -> Value {
        let path = format!("{}/fixtures/podinfo/{file}.yaml", env!("CARGO_MANIFEST_DIR"));
        let read = documents(&std::fs::read(path).unwrap(), file);
        let mut object = read.objects[0].object.value().clone();
        object["metadata"]["namespace"] = json!(self.namespace);
        object
    }

    /// Applies an object as `serin run --apply` would.
    async fn apply(&self, object: Value) -> Object {
        let object = Object::from(object);
        let write = Write::Apply {
            manager: Manager::Source,
            object,
            force: true,
        };
        self.cluster.write(write).await.unwrap().unwrap()
    }

    async fn get(&self, resource: Resource, name: &str) -> Object {
        let key = ObjectKey::new(resource, self.namespace, name);
        self.cluster
            .get(&key)
            .await
            .unwrap()
            .unwrap_or_else(|| panic!("no {key}"))
    }

    async fn canary(&self, object: Value) -> Canary {
        let object = self.apply(object).await;
        Canary::parse(&object, &Defaults::default()).unwrap()
    }

    /// Reads all that a canary needs.
    async fn read(&self, canary: &Canary) -> Snapshot {
        let mut known = Snapshot::default();
        loop {
            let mut keys = workload::inputs(canary, &known);
            keys.extend(traffic::inputs(canary, &known));
            keys.retain(|key| known.read(key) == Reading::Unknown);
            if keys.is_empty() {
                return known;
            }
            for key in keys {
                match self.cluster.get(&key).await.unwrap() {
                    Some(object) => known.insert(object),
                    None => known.insert_absent(key),
                }
            }
        }
    }

    async fn observe(&self, canary: &Canary) -> workload::Observation {
        workload::observe(canary, &self.read(canary).await)
    }

    async fn routes(&self, canary: &Canary) -> Seen<Routes> {
        traffic::observe(canary, &self.read(canary).await)
    }

    async fn revision(&self, canary: &Canary) -> Revision {
        match self
            .observe(canary)
            .await
            .target
            .present()
            .map(|target| target.live.clone())
        {
            Some(Live::Revision(revision)) => revision,
            other => panic!("{other:?}"),
        }
    }

    /// Carries an effect out; asked again, there must be nothing to do. Returns how much was written.
    async fn carry_out(&self, effect: Effect, canary: &Canary) -> usize {
        let ask = |known: Snapshot| match &effect {
            Effect::Route(weight) => traffic::desired(*weight, canary, &known).unwrap(),
            effect => workload::desired(effect, canary, &known).unwrap(),
        };
        let writes = ask(self.read(canary).await);
        let count = writes.len();
        for write in writes {
            let shown = format!("{write:?}");
            if let Err(error) = self.cluster.write(write).await {
                panic!("{effect:?}: {error}\n{shown}");
            }
        }
        assert_eq!(ask(self.read(canary).await), vec![], "{effect:?} again");
        count
    }

    async fn initialize(&self, canary: &Canary) -> Revision {
        let revision = self.revision(canary).await;
        self.carry_out(Effect::Services, canary).await;
        self.carry_out(Effect::Primary(revision.clone()), canary).await;
        self.carry_out(Effect::Route(0), canary).await;
        self.carry_out(Effect::Apex, canary).await;
        self.carry_out(Effect::ScaleDown, canary).await;
        let seen = self.observe(canary).await;
        assert_eq!(
            (seen.services, seen.apex),
            (Seen::Present(true), Seen::Present(true))
        );
        assert_eq!(
            seen.primary.present().unwrap().made_from.as_ref(),
            Some(&revision)
        );
        revision
    }
}

fn image(object: &Object) -> &str {
    object.str_at("/spec/template/spec/containers/0/image")
}

async fn a_rollout_with_skipper(world: World) {
    for file in ["config", "deployment", "ingress"] {
        world.apply(world.fixture(file)).await;
    }
    let canary = world.canary(world.fixture("canary")).await;
    let first = world.initialize(&canary).await;
    assert_eq!(world.routes(&canary).await, Seen::Present(Routes::Weight(0)));
    let seen = world.observe(&canary).await;
    assert!(seen.primary.present().unwrap().matches_target);
    assert!(!seen.target.present().unwrap().scaled_up);

    let mut next = world.fixture("deployment");
    let container = &mut next["spec"]["template"]["spec"]["containers"][0];
    container["image"] = json!("podinfo:6.0.1");
    container["env"] = json!([{ "name": "NEW", "value": "1" }]);
    world.apply(next).await;
    let mut config = world.fixture("config");
    config["data"] = json!({ "color": "green", "message": "hello" });
    world.apply(config).await;
    let second = world.revision(&canary).await;
    assert_ne!(first.template(), second.template());
    assert_ne!(first.configs(), second.configs());
    let target = world.get(Resource::DEPLOYMENT, "podinfo").await;
    assert_eq!(
        target.i64_at("/spec/replicas"),
        Some(0),
        "what git does not name stays"
    );

    world.carry_out(Effect::ScaleUp, &canary).await;
    assert_eq!(world.revision(&canary).await, second);
    for weight in [20, 60] {
        assert_eq!(world.carry_out(Effect::Route(weight), &canary).await, 1);
        assert_eq!(world.routes(&canary).await, Seen::Present(Routes::Weight(weight)));
    }
    let mut ingress = world.fixture("ingress");
    ingress["metadata"]["annotations"] = json!({ "zalando.org/skipper-filter": "compress()" });
    world.apply(ingress).await;
    assert!(matches!(
        world.routes(&canary).await,
        Seen::Present(Routes::Broken(_))
    ));
    world.carry_out(Effect::Route(60), &canary).await;
    assert_eq!(world.routes(&canary).await, Seen::Present(Routes::Weight(60)));
    world.apply(world.fixture("ingress")).await;
    world.carry_out(Effect::Route(0), &canary).await;
    let copy = world.get(Resource::INGRESS, "podinfo-canary").await;
    assert_eq!(copy.annotation("zalando.org/skipper-filter"), None);

    let written = world.carry_out(Effect::Primary(second.clone()), &canary).await;
    assert!(written <= 3, "{written} writes");
    let primary = world.get(Resource::DEPLOYMENT, "podinfo-primary").await;
    assert_eq!(image(&primary), "podinfo:6.0.1");
    let env = primary.at("/spec/template/spec/containers/0/env").unwrap();
    assert_eq!(env, &json!([{ "name": "NEW", "value": "1" }]));
    let copy = world.get(Resource::CONFIG_MAP, "podinfo-primary").await;
    assert_eq!(
        copy.at("/data"),
        Some(&json!({ "color": "green", "message": "hello" }))
    );
    world.carry_out(Effect::ScaleDown, &canary).await;
    let seen = world.observe(&canary).await;
    assert_eq!(seen.primary.present().unwrap().made_from, Some(second));
    assert_eq!(
        (seen.services, seen.apex),
        (Seen::Present(true), Seen::Present(true))
    );
}

async fn a_service_of_the_user(world: World) {
    for file in ["config", "deployment"] {
        world.apply(world.fixture(file)).await;
    }
    world
        .apply(json!({
            "apiVersion": "v1", "kind": "Service",
            "metadata": { "name": "podinfo", "namespace": world.namespace, "labels": { "team": "a" } },
            "spec": {
                "type": "NodePort", "selector": { "app": "podinfo", "tier": "web" },
                "ports": [
                    { "name": "web", "port": 80, "targetPort": 9898 },
                    { "name": "metrics", "port": 9797, "targetPort": 9797 }
                ]
            }
        }))
        .await;
    let before = world.get(Resource::SERVICE, "podinfo").await;
    let mut canary = world.fixture("canary");
    canary["spec"]["provider"] = json!("kubernetes");
    canary["spec"]["analysis"] = json!({ "iterations": 1 });
    let canary = world.canary(canary).await;
    world.initialize(&canary).await;
    let after = world.get(Resource::SERVICE, "podinfo").await;
    assert_eq!(
        after.at("/spec/selector"),
        Some(&json!({ "app": "podinfo-primary" }))
    );
    for kept in [
        "/spec/clusterIP",
        "/spec/type",
        "/metadata/labels",
        "/metadata/uid",
        "/spec/ports/0/nodePort",
    ] {
        assert_eq!(after.at(kept), before.at(kept), "{kept}");
    }
    assert_eq!(after.at("/spec/ports/1"), before.at("/spec/ports/1"));
    assert_eq!(
        after.annotation("kustomize.toolkit.fluxcd.io/reconcile"),
        Some("disabled")
    );
}

/// Another manager made the primary, and set what the target does not have.
async fn a_primary_of_flagger(world: World) {
    for file in ["config", "deployment"] {
        world.apply(world.fixture(file)).await;
    }
    let mut canary = world.fixture("canary");
    canary["spec"]["provider"] = json!("kubernetes");
    canary["spec"]["analysis"] = json!({ "iterations": 1 });
    let canary = world.canary(canary).await;
    let mut primary = world.fixture("deployment");
    primary["metadata"]["name"] = json!("podinfo-primary");
    primary["spec"]["selector"]["matchLabels"] = json!({ "app": "podinfo-primary" });
    let template = &mut primary["spec"]["template"];
    template["metadata"] =
        json!({ "labels": { "app": "podinfo-primary" }, "annotations": { "flagger-id": "1" } });
    let left_over = json!({ "name": "LEFT_OVER", "value": "1" });
    template["spec"]["containers"][0]["env"]
        .as_array_mut()
        .unwrap()
        .push(left_over);
    let path = format!(
        "/apis/apps/v1/namespaces/{}/deployments?fieldManager=flagger",
        world.namespace
    );
    post(&world.client, &path, &primary).await;
    let copy = json!({
        "apiVersion": "v1", "kind": "ConfigMap", "data": { "color": "red", "old": "x" },
        "metadata": { "name": "podinfo-primary", "namespace": world.namespace }
    });
    let path = format!(
        "/api/v1/namespaces/{}/configmaps?fieldManager=flagger",
        world.namespace
    );
    post(&world.client, &path, &copy).await;

    let seen = world.observe(&canary).await;
    let seen = seen.primary.present().unwrap();
    assert_eq!((&seen.made_from, seen.matches_target), (&None, false));
    world.initialize(&canary).await;
    let primary = world.get(Resource::DEPLOYMENT, "podinfo-primary").await;
    let env = primary
        .at("/spec/template/spec/containers/0/env")
        .and_then(Value::as_array)
        .unwrap();
    assert!(env.iter().all(|env| env["name"] != "LEFT_OVER"), "{env:?}");
    assert_eq!(primary.at("/spec/template/metadata/annotations/flagger-id"), None);
    let copy = world.get(Resource::CONFIG_MAP, "podinfo-primary").await;
    assert_eq!(
        copy.at("/data"),
        world.get(Resource::CONFIG_MAP, "podinfo").await.at("/data")
    );
    assert!(
        world
            .observe(&canary)
            .await
            .primary
            .present()
            .unwrap()
            .matches_target
    );
}

async fn a_service_target(world: World) {
    let apex = |spec: Value| {
        json!({
            "apiVersion": "v1", "kind": "Service", "spec": spec,
            "metadata": { "name": "podinfo", "namespace": world.namespace, "annotations": { "lb": "internal" } }
        })
    };
    let ports = json!([{ "name": "http", "port": 80, "targetPort": 9898 }]);
    world
        .apply(apex(json!({ "selector": { "app": "blue" }, "ports": ports })))
        .await;
    world.apply(world.fixture("ingress")).await;
    let mut canary = world.fixture("canary");
    canary["apiVersion"] = json!("flagger.app/v1beta1");
    canary["spec"]["targetRef"] = json!({ "apiVersion": "core/v1", "kind": "Service", "name": "podinfo" });
    let canary = world.canary(canary).await;
    let blue = world.initialize(&canary).await;
    assert_eq!(world.routes(&canary).await, Seen::Present(Routes::Weight(0)));
    let made = world.get(Resource::SERVICE, "podinfo-canary").await;
    let original = world.get(Resource::SERVICE, "podinfo").await;
    assert_ne!(made.at("/spec/clusterIP"), original.at("/spec/clusterIP"));
    assert_eq!(made.annotation("lb"), Some("internal"));

    let external = json!({ "type": "ExternalName", "externalName": "green.example.com" });
    let green_ports =
        json!([{ "name": "http", "port": 80, "targetPort": 9898 }, { "name": "m", "port": 81 }]);
    for spec in [
        json!({ "selector": { "app": "green" }, "ports": green_ports }),
        external,
        json!({ "selector": { "app": "blue" }, "ports": ports }),
    ] {
        world.apply(apex(spec)).await;
        let next = world.revision(&canary).await;
        world.carry_out(Effect::Services, &canary).await;
        assert_eq!(world.observe(&canary).await.services, Seen::Present(true));
        world.carry_out(Effect::Primary(next.clone()), &canary).await;
        let seen = world.observe(&canary).await;
        assert_eq!(seen.primary.present().unwrap().made_from, Some(next));
        assert!(seen.primary.present().unwrap().matches_target);
    }
    assert_eq!(world.revision(&canary).await, blue);
}

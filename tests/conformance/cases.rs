//! What a Kubernetes API server does, as cases over a client: the same ones run against the embedded cluster
//! and against a real kube-apiserver, without controllers. A case gets a namespace of its own.

use std::{fmt::Debug, time::Duration};

use futures::{StreamExt as _, TryStreamExt as _, future::BoxFuture};
use kube::{
    Api, Client,
    api::{
        ApiResource, DeleteParams, DynamicObject, GroupVersionKind, ListParams, Patch, PatchParams,
        PostParams, Preconditions, PropagationPolicy, WatchEvent, WatchParams,
    },
    core::Status,
    runtime::{WatchStreamExt as _, watcher},
};
use serde_json::{Value, json};

/// A case: its name, and what it does with a client and a namespace.
pub type Case = (&'static str, fn(Context) -> BoxFuture<'static, ()>);

macro_rules! cases {
    ($($name:ident),* $(,)?) => {
        /// All cases.
        pub const ALL: &[Case] = &[$((stringify!($name), |context| Box::pin($name(context)))),*];
    };
}

cases![
    creating_sets_what_only_the_server_sets,
    creating_twice_is_already_exists,
    creating_in_a_missing_namespace_is_not_found,
    creating_with_a_generated_name,
    bad_names_are_invalid,
    unknown_fields_are_dropped_and_strict_ones_refused,
    wrong_types_are_a_bad_request,
    lists_select_by_label_and_field,
    lists_come_in_pages,
    watches_begin_where_the_list_ended,
    watches_see_objects_enter_and_leave_a_selector,
    streaming_lists_end_with_a_bookmark,
    watches_without_a_version_begin_with_what_exists,
    stale_updates_conflict,
    updates_that_change_nothing_keep_the_version,
    generations_count_spec_changes,
    annotations_count_as_a_generation_of_deployments_only,
    status_and_spec_are_written_apart,
    json_patch_tests_guard,
    json_patches_are_applied,
    merge_patches_remove_with_null,
    strategic_patches_merge_containers_by_name,
    strategic_patches_of_custom_resources_are_unsupported,
    deployments_get_defaults,
    quantities_and_empty_values_are_stored_as_the_server_spells_them,
    selectors_of_deployments_are_immutable,
    selectors_must_match_the_template,
    containers_need_images,
    services_get_addresses_and_defaults,
    services_need_ports_unless_external,
    cluster_addresses_are_immutable,
    ingresses_need_path_types,
    secrets_fold_their_texts,
    immutable_config_maps_stay,
    events_are_named_once,
    scaling_is_a_subresource,
    leases_are_created_by_update_and_guarded,
    finalizers_hold_objects,
    foreground_deletion_is_a_finalizer,
    deletes_are_guarded,
    collections_are_deleted_by_selector,
    owner_references_delete_nothing_by_themselves,
    dry_runs_store_nothing,
    apply_creates_and_owns,
    apply_drops_what_only_it_owned,
    apply_keeps_what_others_share,
    apply_resets_replicas_when_their_only_owner_drops_them,
    apply_conflicts_name_field_and_manager,
    apply_takes_over_by_force,
    apply_of_equal_values_shares_ownership,
    apply_merges_associative_lists,
    apply_replaces_atomic_lists_and_maps,
    apply_refuses_undeclared_fields,
    apply_needs_a_manager,
    apply_of_the_same_changes_nothing,
    apply_to_the_status_owns_only_the_status,
    updates_take_ownership_of_what_they_change,
    custom_resources_are_pruned_and_defaulted,
    custom_resources_are_validated,
    custom_resources_keep_their_status_apart,
    custom_resources_are_served_in_each_version,
    custom_resource_updates_need_a_version,
    custom_resources_respect_list_types,
    definitions_are_established,
    metadata_is_served_alone,
    tables_have_columns,
    discovery_lists_resources,
];

/// What a case works with.
#[derive(Clone)]
pub struct Context {
    /// A client that may do everything.
    pub client: Client,
    /// A namespace that exists and in which nothing of this case exists.
    pub namespace: String,
}

/// Runs every case, each in a namespace of its own, and fails with the names of those that failed.
pub async fn run_all(client: Client) {
    install_definitions(&client).await;
    let mut failed = Vec::new();
    for (number, (name, run)) in ALL.iter().enumerate() {
        let namespace = format!("case-{number}");
        let context = Context {
            client: client.clone(),
            namespace: namespace.clone(),
        };
        let namespaces = context.cluster(NAMESPACES);
        namespaces
            .create(&PostParams::default(), &object(NAMESPACES, &namespace, json!({})))
            .await
            .unwrap();
        let case = tokio::time::timeout(Duration::from_secs(30), run(context));
        match std::panic::AssertUnwindSafe(case).catch_unwind_().await {
            Ok(Ok(())) => {}
            Ok(Err(_)) => failed.push(format!("{name}: timed out")),
            Err(panic) => {
                let text = panic
                    .downcast_ref::<String>()
                    .cloned()
                    .or_else(|| panic.downcast_ref::<&str>().map(|t| (*t).to_owned()));
                failed.push(format!("{name}: {}", text.unwrap_or_default()));
            }
        }
    }
    assert!(
        failed.is_empty(),
        "{} of {} cases failed:\n{}",
        failed.len(),
        ALL.len(),
        failed.join("\n")
    );
}

trait CatchUnwind: Sized + std::future::Future + std::panic::UnwindSafe {
    fn catch_unwind_(self) -> impl Future<Output = std::thread::Result<Self::Output>>;
}

impl<F: std::future::Future + std::panic::UnwindSafe> CatchUnwind for F {
    fn catch_unwind_(self) -> impl Future<Output = std::thread::Result<Self::Output>> {
        futures::FutureExt::catch_unwind(self)
    }
}

type Type = (&'static str, &'static str, &'static str, &'static str);

const NAMESPACES: Type = ("", "v1", "Namespace", "namespaces");
const CONFIG_MAPS: Type = ("", "v1", "ConfigMap", "configmaps");
const SECRETS: Type = ("", "v1", "Secret", "secrets");
const SERVICES: Type = ("", "v1", "Service", "services");
const EVENTS: Type = ("", "v1", "Event", "events");
const DEPLOYMENTS: Type = ("apps", "v1", "Deployment", "deployments");
const DAEMON_SETS: Type = ("apps", "v1", "DaemonSet", "daemonsets");
const INGRESSES: Type = ("networking.k8s.io", "v1", "Ingress", "ingresses");
const LEASES: Type = ("coordination.k8s.io", "v1", "Lease", "leases");
const DEFINITIONS: Type = (
    "apiextensions.k8s.io",
    "v1",
    "CustomResourceDefinition",
    "customresourcedefinitions",
);
const WIDGETS: Type = ("conformance.serin.dev", "v1", "Widget", "widgets");
const OLD_WIDGETS: Type = ("conformance.serin.dev", "v1alpha1", "Widget", "widgets");

fn resource(kind: Type) -> ApiResource {
    ApiResource::from_gvk_with_plural(&GroupVersionKind::gvk(kind.0, kind.1, kind.2), kind.3)
}

fn object(kind: Type, name: &str, rest: Value) -> DynamicObject {
    let mut value = rest;
    let resource = resource(kind);
    value["apiVersion"] = resource.api_version.into();
    value["kind"] = resource.kind.into();
    value["metadata"]["name"] = name.into();
    serde_json::from_value(value).unwrap()
}

impl Context {
    fn api(&self, kind: Type) -> Api<DynamicObject> {
        Api::namespaced_with(self.client.clone(), &self.namespace, &resource(kind))
    }

    fn cluster(&self, kind: Type) -> Api<DynamicObject> {
        Api::all_with(self.client.clone(), &resource(kind))
    }

    async fn create(&self, kind: Type, name: &str, rest: Value) -> DynamicObject {
        self.api(kind)
            .create(&PostParams::default(), &object(kind, name, rest))
            .await
            .unwrap()
    }

    async fn try_create(&self, kind: Type, name: &str, rest: Value) -> Result<DynamicObject, kube::Error> {
        self.api(kind)
            .create(&PostParams::default(), &object(kind, name, rest))
            .await
    }

    async fn merge(&self, kind: Type, name: &str, patch: Value) -> Result<DynamicObject, kube::Error> {
        self.api(kind)
            .patch(name, &PatchParams::default(), &Patch::Merge(patch))
            .await
    }

    async fn apply(
        &self,
        manager: &str,
        kind: Type,
        name: &str,
        rest: Value,
    ) -> Result<DynamicObject, kube::Error> {
        let params = PatchParams::apply(manager);
        self.api(kind)
            .patch(name, &params, &Patch::Apply(object(kind, name, rest)))
            .await
    }

    async fn force(&self, manager: &str, kind: Type, name: &str, rest: Value) -> DynamicObject {
        let params = PatchParams::apply(manager).force();
        self.api(kind)
            .patch(name, &params, &Patch::Apply(object(kind, name, rest)))
            .await
            .unwrap()
    }
}

fn refused<T: Debug>(result: Result<T, kube::Error>, code: u16, reason: &str) -> Status {
    match result {
        Err(kube::Error::Api(status)) => {
            assert_eq!(
                (status.code, status.reason.as_str()),
                (code, reason),
                "{status:?}"
            );
            *status
        }
        other => panic!("expected {code} {reason}, got {other:?}"),
    }
}

fn at<'a>(object: &'a DynamicObject, pointer: &str) -> &'a Value {
    object.data.pointer(pointer).unwrap_or(&Value::Null)
}

fn version(object: &DynamicObject) -> u64 {
    object
        .metadata
        .resource_version
        .as_ref()
        .unwrap()
        .parse()
        .unwrap()
}

fn generation(object: &DynamicObject) -> i64 {
    object.metadata.generation.unwrap_or_default()
}

fn template(image: &str) -> Value {
    json!({
        "metadata": {"labels": {"app": "web"}},
        "spec": {"containers": [{"name": "web", "image": image}]},
    })
}

fn deployment(image: &str) -> Value {
    json!({"spec": {
        "replicas": 2, "selector": {"matchLabels": {"app": "web"}}, "template": template(image),
    }})
}

/// Returns the fields that a manager owns, as text.
fn owned(object: &DynamicObject, manager: &str) -> String {
    let entries = object.metadata.managed_fields.iter().flatten();
    let fields = entries
        .filter(|e| e.manager.as_deref() == Some(manager))
        .map(|e| json!(e.fields_v1));
    fields.map(|f| f.to_string()).collect()
}

// Creating.

async fn creating_sets_what_only_the_server_sets(context: Context) {
    let given =
        json!({"metadata": {"uid": "mine", "generation": 9, "creationTimestamp": "2001-01-01T00:00:00Z"}});
    let made = context.create(CONFIG_MAPS, "a", given).await;
    assert_ne!(made.metadata.uid.as_deref(), Some("mine"));
    assert_eq!(made.metadata.generation, None, "config maps have no generations");
    assert!(
        !made
            .metadata
            .creation_timestamp
            .as_ref()
            .unwrap()
            .0
            .to_string()
            .starts_with("2001")
    );
    assert_eq!(made.metadata.namespace, Some(context.namespace.clone()));
    let given = json!({"metadata": {"resourceVersion": "1"}});
    match context.try_create(CONFIG_MAPS, "b", given).await {
        Err(kube::Error::Api(status)) => assert_eq!(status.code, 500, "{status:?}"),
        other => panic!("{other:?}"),
    }
}

async fn creating_twice_is_already_exists(context: Context) {
    context.create(CONFIG_MAPS, "a", json!({})).await;
    let status = refused(
        context.try_create(CONFIG_MAPS, "a", json!({})).await,
        409,
        "AlreadyExists",
    );
    assert_eq!(status.message, "configmaps \"a\" already exists");
    assert_eq!(status.details.unwrap().kind, "configmaps");
    context.create(DEPLOYMENTS, "web", deployment("i:1")).await;
    let status = refused(
        context.try_create(DEPLOYMENTS, "web", deployment("i:1")).await,
        409,
        "AlreadyExists",
    );
    assert_eq!(status.message, "deployments.apps \"web\" already exists");
}

async fn creating_in_a_missing_namespace_is_not_found(context: Context) {
    let api =
        Api::<DynamicObject>::namespaced_with(context.client.clone(), "nowhere", &resource(CONFIG_MAPS));
    let made = api
        .create(&PostParams::default(), &object(CONFIG_MAPS, "a", json!({})))
        .await;
    assert_eq!(
        refused(made, 404, "NotFound").message,
        "namespaces \"nowhere\" not found"
    );
    let status = refused(context.api(DEPLOYMENTS).get("no").await, 404, "NotFound");
    assert_eq!(status.message, "deployments.apps \"no\" not found");
}

async fn creating_with_a_generated_name(context: Context) {
    let mut map = object(CONFIG_MAPS, "", json!({"metadata": {"generateName": "web-"}}));
    map.metadata.name = None;
    let first = context
        .api(CONFIG_MAPS)
        .create(&PostParams::default(), &map)
        .await
        .unwrap();
    let second = context
        .api(CONFIG_MAPS)
        .create(&PostParams::default(), &map)
        .await
        .unwrap();
    let name = first.metadata.name.unwrap();
    assert!(name.starts_with("web-") && name.len() == 9, "{name}");
    assert_ne!(Some(name), second.metadata.name);
}

async fn bad_names_are_invalid(context: Context) {
    for (kind, name, rest) in [
        (CONFIG_MAPS, "Upper_Case", json!({})),
        (SERVICES, "1service", json!({"spec": {"ports": [{"port": 80}]}})),
        (DEPLOYMENTS, "-x", deployment("i:1")),
    ] {
        let status = refused(context.try_create(kind, name, rest).await, 422, "Invalid");
        let causes = status.details.unwrap().causes;
        assert_eq!(causes[0].field, "metadata.name", "{causes:?}");
    }
    let label = json!({"metadata": {"labels": {"a": "not a label"}}});
    let status = refused(context.try_create(CONFIG_MAPS, "a", label).await, 422, "Invalid");
    assert_eq!(status.details.unwrap().causes[0].field, "metadata.labels");
}

async fn unknown_fields_are_dropped_and_strict_ones_refused(context: Context) {
    let mut rest = deployment("i:1");
    rest["spec"]["unheardOf"] = 1.into();
    let made = context.create(DEPLOYMENTS, "web", rest.clone()).await;
    assert_eq!(at(&made, "/spec/unheardOf"), &Value::Null);
    let patch = json!({"spec": {"template": {"spec": {"odd": true}}}});
    let same = context.merge(DEPLOYMENTS, "web", patch).await.unwrap();
    assert_eq!(version(&same), version(&made), "nothing changed");
    let path = format!(
        "/apis/apps/v1/namespaces/{}/deployments?fieldValidation=Strict",
        context.namespace
    );
    let body = serde_json::to_vec(&object(DEPLOYMENTS, "strict", rest)).unwrap();
    let request = http::Request::post(path)
        .header("content-type", "application/json")
        .body(body)
        .unwrap();
    let status = refused(context.client.request::<Value>(request).await, 400, "BadRequest");
    assert!(
        status
            .message
            .contains("strict decoding error: unknown field \"spec.unheardOf\""),
        "{status:?}"
    );
}

async fn wrong_types_are_a_bad_request(context: Context) {
    let mut rest = deployment("i:1");
    rest["spec"]["replicas"] = "two".into();
    refused(
        context.try_create(DEPLOYMENTS, "web", rest).await,
        400,
        "BadRequest",
    );
    refused(
        context
            .try_create(CONFIG_MAPS, "a", json!({"data": {"a": 1}}))
            .await,
        400,
        "BadRequest",
    );
}

// Reading.

async fn lists_select_by_label_and_field(context: Context) {
    for (name, tier) in [("a", "front"), ("b", "back"), ("c", "front")] {
        context
            .create(CONFIG_MAPS, name, json!({"metadata": {"labels": {"tier": tier}}}))
            .await;
    }
    let api = context.api(CONFIG_MAPS);
    let names = async |params: ListParams| -> Vec<String> {
        let list = api.list(&params).await.unwrap();
        list.items
            .into_iter()
            .filter_map(|o| o.metadata.name)
            .filter(|n| n.len() == 1)
            .collect()
    };
    assert_eq!(
        names(ListParams::default().labels("tier=front")).await,
        ["a", "c"]
    );
    assert_eq!(
        names(ListParams::default().labels("tier notin (front),tier")).await,
        ["b"]
    );
    assert_eq!(
        names(ListParams::default().fields("metadata.name=b")).await,
        ["b"]
    );
    assert_eq!(
        names(ListParams::default().fields("metadata.name!=b").labels("tier")).await,
        ["a", "c"]
    );
    refused(
        api.list(&ListParams::default().fields("data.a=b")).await,
        400,
        "BadRequest",
    );
    refused(
        api.list(&ListParams::default().labels("a b c")).await,
        400,
        "BadRequest",
    );
}

async fn lists_come_in_pages(context: Context) {
    for name in ["a", "b", "c"] {
        context
            .create(
                CONFIG_MAPS,
                name,
                json!({"metadata": {"labels": {"page": "yes"}}}),
            )
            .await;
    }
    let api = context.api(CONFIG_MAPS);
    let params = ListParams::default().labels("page").limit(2);
    let first = api.list(&params).await.unwrap();
    assert_eq!(first.items.len(), 2);
    let token = first.metadata.continue_.unwrap();
    context
        .create(
            CONFIG_MAPS,
            "bb",
            json!({"metadata": {"labels": {"page": "yes"}}}),
        )
        .await;
    let second = api.list(&params.continue_token(&token)).await.unwrap();
    assert_eq!(second.items.len(), 1, "a page shows the state of the first");
    assert!(second.metadata.continue_.unwrap_or_default().is_empty());
    assert_eq!(second.metadata.resource_version, first.metadata.resource_version);
}

// Watching.

async fn next(
    stream: &mut (impl futures::Stream<Item = kube::Result<WatchEvent<DynamicObject>>> + Unpin),
) -> (String, String) {
    let wait = Duration::from_secs(10);
    loop {
        let event = tokio::time::timeout(wait, stream.try_next())
            .await
            .unwrap()
            .unwrap()
            .unwrap();
        let name = |o: DynamicObject| o.metadata.name.unwrap_or_default();
        let (verb, name) = match event {
            WatchEvent::Added(o) => ("added", name(o)),
            WatchEvent::Modified(o) => ("modified", name(o)),
            WatchEvent::Deleted(o) => ("deleted", name(o)),
            WatchEvent::Bookmark(b) => {
                let ends = b.metadata.annotations.get("k8s.io/initial-events-end").cloned();
                ("bookmark", ends.unwrap_or_default())
            }
            WatchEvent::Error(e) => ("error", e.reason.clone()),
        };
        // A real cluster's controller puts this map into every namespace.
        if name != "kube-root-ca.crt" {
            return (verb.to_owned(), name);
        }
    }
}

fn pair(verb: &str, name: &str) -> (String, String) {
    (verb.to_owned(), name.to_owned())
}

async fn watches_begin_where_the_list_ended(context: Context) {
    context.create(CONFIG_MAPS, "before", json!({})).await;
    let api = context.api(CONFIG_MAPS);
    let start = api
        .list(&ListParams::default())
        .await
        .unwrap()
        .metadata
        .resource_version
        .unwrap();
    context.create(CONFIG_MAPS, "after", json!({})).await;
    let mut stream = api
        .watch(&WatchParams::default().timeout(60), &start)
        .await
        .unwrap()
        .boxed();
    assert_eq!(next(&mut stream).await, pair("added", "after"));
    context
        .merge(CONFIG_MAPS, "before", json!({"data": {"a": "1"}}))
        .await
        .unwrap();
    assert_eq!(next(&mut stream).await, pair("modified", "before"));
    api.delete("after", &DeleteParams::default()).await.unwrap();
    assert_eq!(next(&mut stream).await, pair("deleted", "after"));
}

async fn watches_see_objects_enter_and_leave_a_selector(context: Context) {
    context.create(CONFIG_MAPS, "a", json!({})).await;
    let api = context.api(CONFIG_MAPS);
    let start = api
        .list(&ListParams::default())
        .await
        .unwrap()
        .metadata
        .resource_version
        .unwrap();
    let params = WatchParams::default().labels("on=yes").timeout(60);
    let mut stream = api.watch(&params, &start).await.unwrap().boxed();
    context
        .merge(CONFIG_MAPS, "a", json!({"metadata": {"labels": {"on": "yes"}}}))
        .await
        .unwrap();
    assert_eq!(next(&mut stream).await, pair("added", "a"));
    context
        .merge(CONFIG_MAPS, "a", json!({"data": {"x": "1"}}))
        .await
        .unwrap();
    assert_eq!(next(&mut stream).await, pair("modified", "a"));
    context
        .merge(CONFIG_MAPS, "a", json!({"metadata": {"labels": {"on": "no"}}}))
        .await
        .unwrap();
    assert_eq!(next(&mut stream).await, pair("deleted", "a"));
}

async fn streaming_lists_end_with_a_bookmark(context: Context) {
    context.create(SECRETS, "a", json!({})).await;
    let api = context.api(SECRETS);
    let params = WatchParams::default().initial_events().timeout(60);
    let mut stream = api.watch(&params, "0").await.unwrap().boxed();
    assert_eq!(next(&mut stream).await, pair("added", "a"));
    assert_eq!(next(&mut stream).await, pair("bookmark", "true"));
    context.create(SECRETS, "b", json!({})).await;
    assert_eq!(next(&mut stream).await, pair("added", "b"));
    let config = watcher::Config::default().streaming_lists();
    let mut objects = watcher(api, config).applied_objects().boxed();
    for name in ["a", "b"] {
        let object = objects.try_next().await.unwrap().unwrap();
        assert_eq!(object.metadata.name.as_deref(), Some(name));
    }
}

async fn watches_without_a_version_begin_with_what_exists(context: Context) {
    context.create(SECRETS, "a", json!({})).await;
    let params = WatchParams::default().timeout(60);
    let mut stream = context.api(SECRETS).watch(&params, "0").await.unwrap().boxed();
    assert_eq!(next(&mut stream).await, pair("added", "a"));
}

// Updating.

async fn stale_updates_conflict(context: Context) {
    let first = context.create(DEPLOYMENTS, "web", deployment("i:1")).await;
    context
        .merge(DEPLOYMENTS, "web", json!({"spec": {"replicas": 3}}))
        .await
        .unwrap();
    let api = context.api(DEPLOYMENTS);
    let status = refused(
        api.replace("web", &PostParams::default(), &first).await,
        409,
        "Conflict",
    );
    let expected = "Operation cannot be fulfilled on deployments.apps \"web\": the object has been modified; please apply your changes to the latest version and try again";
    assert_eq!(status.message, expected);
    let mut free = first.clone();
    free.metadata.resource_version = None;
    api.replace("web", &PostParams::default(), &free).await.unwrap();
    let mut other = free;
    other.metadata.uid = Some("another".to_owned());
    refused(
        api.replace("web", &PostParams::default(), &other).await,
        409,
        "Conflict",
    );
    let stale =
        json!({"metadata": {"resourceVersion": first.metadata.resource_version}, "spec": {"replicas": 4}});
    refused(context.merge(DEPLOYMENTS, "web", stale).await, 409, "Conflict");
}

async fn updates_that_change_nothing_keep_the_version(context: Context) {
    let made = context.create(DEPLOYMENTS, "web", deployment("i:1")).await;
    let api = context.api(DEPLOYMENTS);
    let same = api.replace("web", &PostParams::default(), &made).await.unwrap();
    assert_eq!(version(&same), version(&made));
    let same = context
        .merge(DEPLOYMENTS, "web", json!({"spec": {"replicas": 2}}))
        .await
        .unwrap();
    assert_eq!(version(&same), version(&made));
}

async fn generations_count_spec_changes(context: Context) {
    let made = context.create(DEPLOYMENTS, "web", deployment("i:1")).await;
    let scaled = context
        .merge(DEPLOYMENTS, "web", json!({"spec": {"replicas": 3}}))
        .await
        .unwrap();
    let labelled = context
        .merge(DEPLOYMENTS, "web", json!({"metadata": {"labels": {"a": "b"}}}))
        .await
        .unwrap();
    assert_eq!(
        (generation(&made), generation(&scaled), generation(&labelled)),
        (1, 2, 2)
    );
    assert!(version(&labelled) > version(&scaled) && version(&scaled) > version(&made));
    let service = context
        .create(SERVICES, "web", json!({"spec": {"ports": [{"port": 80}]}}))
        .await;
    assert_eq!(service.metadata.generation, None);
    let ingress = json!({"spec": {"defaultBackend": {"service": {"name": "web", "port": {"number": 80}}}}});
    let ingress = context.create(INGRESSES, "web", ingress).await;
    assert_eq!(generation(&ingress), 1);
    let widget = context.create(WIDGETS, "w", json!({"spec": {"size": 1}})).await;
    let widget_2 = context
        .merge(WIDGETS, "w", json!({"spec": {"size": 2}}))
        .await
        .unwrap();
    assert_eq!((generation(&widget), generation(&widget_2)), (1, 2));
}

async fn annotations_count_as_a_generation_of_deployments_only(context: Context) {
    context.create(DEPLOYMENTS, "web", deployment("i:1")).await;
    let patch = json!({"metadata": {"annotations": {"a": "b"}}});
    let patched = context.merge(DEPLOYMENTS, "web", patch.clone()).await.unwrap();
    assert_eq!(generation(&patched), 2);
    let mut rest = deployment("i:1");
    rest["spec"].as_object_mut().unwrap().remove("replicas");
    context.create(DAEMON_SETS, "web", rest).await;
    let patched = context.merge(DAEMON_SETS, "web", patch.clone()).await.unwrap();
    assert_eq!(generation(&patched), 1);
    context.create(WIDGETS, "w", json!({"spec": {"size": 1}})).await;
    let patched = context.merge(WIDGETS, "w", patch).await.unwrap();
    assert_eq!(generation(&patched), 1);
}

async fn status_and_spec_are_written_apart(context: Context) {
    let mut rest = deployment("i:1");
    rest["status"] = json!({"replicas": 5});
    let made = context.create(DEPLOYMENTS, "web", rest).await;
    assert_eq!(at(&made, "/status/replicas"), &Value::Null);
    let api = context.api(DEPLOYMENTS);
    let patch = json!({"status": {"replicas": 2}, "spec": {"replicas": 9}});
    let params = PatchParams::default();
    let patched = api
        .patch_status("web", &params, &Patch::Merge(patch))
        .await
        .unwrap();
    assert_eq!(
        (at(&patched, "/status/replicas"), at(&patched, "/spec/replicas")),
        (&json!(2), &json!(2))
    );
    assert_eq!(generation(&patched), 1);
    let patch = json!({"status": {"replicas": 7}, "spec": {"replicas": 4}});
    let patched = context.merge(DEPLOYMENTS, "web", patch).await.unwrap();
    assert_eq!(
        (at(&patched, "/status/replicas"), at(&patched, "/spec/replicas")),
        (&json!(2), &json!(4))
    );
    let status = api.get_status("web").await.unwrap();
    assert_eq!(at(&status, "/status/replicas"), &json!(2));
}

// Patching.

fn json_patch(operations: Value) -> Patch<DynamicObject> {
    Patch::Json(serde_json::from_value(operations).unwrap())
}

async fn json_patch_tests_guard(context: Context) {
    context.create(DEPLOYMENTS, "web", deployment("i:1")).await;
    let patch = json_patch(json!([
        {"op": "test", "path": "/spec/replicas", "value": 7},
        {"op": "replace", "path": "/spec/replicas", "value": 8},
    ]));
    let api = context.api(DEPLOYMENTS);
    refused(
        api.patch("web", &PatchParams::default(), &patch).await,
        422,
        "Invalid",
    );
    let missing = json_patch(json!([{"op": "remove", "path": "/spec/nothing"}]));
    refused(
        api.patch("web", &PatchParams::default(), &missing).await,
        422,
        "Invalid",
    );
    assert_eq!(at(&api.get("web").await.unwrap(), "/spec/replicas"), &json!(2));
}

async fn json_patches_are_applied(context: Context) {
    let made = context.create(DEPLOYMENTS, "web", deployment("i:1")).await;
    let patch = json_patch(json!([
        {"op": "test", "path": "/metadata/resourceVersion", "value": made.metadata.resource_version},
        {"op": "replace", "path": "/spec/replicas", "value": 5},
        {"op": "add", "path": "/spec/template/spec/containers/-", "value": {"name": "side", "image": "s:1"}},
        {"op": "add", "path": "/metadata/annotations", "value": {"example.com/a": "1"}},
    ]));
    let api = context.api(DEPLOYMENTS);
    let patched = api.patch("web", &PatchParams::default(), &patch).await.unwrap();
    assert_eq!(at(&patched, "/spec/replicas"), &json!(5));
    assert_eq!(
        at(&patched, "/spec/template/spec/containers/1/imagePullPolicy"),
        &json!("IfNotPresent")
    );
    refused(
        api.patch("no", &PatchParams::default(), &json_patch(json!([])))
            .await,
        404,
        "NotFound",
    );
}

async fn merge_patches_remove_with_null(context: Context) {
    context
        .create(CONFIG_MAPS, "a", json!({"data": {"x": "1", "y": "2"}}))
        .await;
    let patched = context
        .merge(CONFIG_MAPS, "a", json!({"data": {"x": null, "z": "3"}}))
        .await
        .unwrap();
    assert_eq!(at(&patched, "/data"), &json!({"y": "2", "z": "3"}));
}

async fn strategic_patches_merge_containers_by_name(context: Context) {
    let mut rest = deployment("i:1");
    rest["spec"]["template"]["spec"]["containers"][0]["env"] = json!([{"name": "A", "value": "1"}]);
    context.create(DEPLOYMENTS, "web", rest).await;
    let patch = json!({"spec": {"template": {"spec": {"containers": [
        {"name": "web", "image": "i:2", "env": [{"name": "B", "value": "2"}]},
    ]}}}});
    let params = PatchParams::default();
    let patched = context
        .api(DEPLOYMENTS)
        .patch("web", &params, &Patch::Strategic(patch))
        .await
        .unwrap();
    let container = at(&patched, "/spec/template/spec/containers/0");
    assert_eq!(container["image"], "i:2");
    let names: Vec<&str> = container["env"]
        .as_array()
        .unwrap()
        .iter()
        .filter_map(|e| e["name"].as_str())
        .collect();
    assert!(
        names.contains(&"A") && names.contains(&"B") && names.len() == 2,
        "{names:?}"
    );
    let patch = json!({"spec": {"template": {"spec": {"containers": [
        {"name": "web", "env": [{"name": "A", "$patch": "delete"}]},
    ]}}}});
    let patched = context
        .api(DEPLOYMENTS)
        .patch("web", &params, &Patch::Strategic(patch))
        .await
        .unwrap();
    assert_eq!(
        at(&patched, "/spec/template/spec/containers/0/env"),
        &json!([{"name": "B", "value": "2"}])
    );
}

async fn strategic_patches_of_custom_resources_are_unsupported(context: Context) {
    context.create(WIDGETS, "w", json!({"spec": {"size": 1}})).await;
    let patch = Patch::Strategic(json!({"spec": {"size": 2}}));
    let patched = context
        .api(WIDGETS)
        .patch("w", &PatchParams::default(), &patch)
        .await;
    refused(patched, 415, "UnsupportedMediaType");
}

// Built-in types.

async fn deployments_get_defaults(context: Context) {
    let mut rest = deployment("i");
    rest["spec"].as_object_mut().unwrap().remove("replicas");
    rest["spec"]["template"]["spec"]["containers"][0]["ports"] = json!([{"containerPort": 80}]);
    rest["spec"]["template"]["spec"]["containers"][0]["readinessProbe"] = json!({"httpGet": {"port": 80}});
    rest["spec"]["template"]["spec"]["volumes"] =
        json!([{"name": "c", "configMap": {"name": "c"}}, {"name": "e"}]);
    let made = context.create(DEPLOYMENTS, "web", rest).await;
    let expected = json!({
        "progressDeadlineSeconds": 600, "replicas": 1, "revisionHistoryLimit": 10,
        "selector": {"matchLabels": {"app": "web"}},
        "strategy": {"type": "RollingUpdate", "rollingUpdate": {"maxSurge": "25%", "maxUnavailable": "25%"}},
        "template": {
            "metadata": {"labels": {"app": "web"}},
            "spec": {
                "containers": [{
                    "name": "web", "image": "i", "imagePullPolicy": "Always", "resources": {},
                    "ports": [{"containerPort": 80, "protocol": "TCP"}],
                    "readinessProbe": {
                        "failureThreshold": 3, "periodSeconds": 10, "successThreshold": 1, "timeoutSeconds": 1,
                        "httpGet": {"path": "/", "port": 80, "scheme": "HTTP"},
                    },
                    "terminationMessagePath": "/dev/termination-log", "terminationMessagePolicy": "File",
                }],
                "dnsPolicy": "ClusterFirst", "restartPolicy": "Always", "schedulerName": "default-scheduler",
                "securityContext": {}, "terminationGracePeriodSeconds": 30,
                "volumes": [{"name": "c", "configMap": {"name": "c", "defaultMode": 420}}, {"name": "e", "emptyDir": {}}],
            },
        },
    });
    let mut spec = at(&made, "/spec").clone();
    // Older servers write this null into templates.
    let metadata = spec["template"]["metadata"].as_object_mut().unwrap();
    if metadata.get("creationTimestamp") == Some(&Value::Null) {
        metadata.remove("creationTimestamp");
    }
    assert_eq!(spec, expected);
}

async fn quantities_and_empty_values_are_stored_as_the_server_spells_them(context: Context) {
    let mut rest = deployment("i:1");
    let container = &mut rest["spec"]["template"]["spec"]["containers"][0];
    container["resources"] =
        json!({"limits": {"cpu": "1000m", "memory": "1024Mi"}, "requests": {"cpu": 0.5}});
    container["env"] = json!([{"name": "A", "value": ""}]);
    container["args"] = json!([]);
    rest["spec"]["minReadySeconds"] = 0.into();
    rest["metadata"] = json!({"annotations": {}});
    let made = context.create(DEPLOYMENTS, "web", rest).await;
    let container = at(&made, "/spec/template/spec/containers/0");
    let resources = json!({"limits": {"cpu": "1", "memory": "1Gi"}, "requests": {"cpu": "500m"}});
    assert_eq!(
        (&container["resources"], &container["env"]),
        (&resources, &json!([{"name": "A"}]))
    );
    assert_eq!(
        (container.get("args"), at(&made, "/spec/minReadySeconds")),
        (None, &Value::Null)
    );
    assert_eq!(made.metadata.annotations, None);
}

async fn selectors_of_deployments_are_immutable(context: Context) {
    context.create(DEPLOYMENTS, "web", deployment("i:1")).await;
    let patch = json!({"spec": {
        "selector": {"matchLabels": {"app": "other"}}, "template": {"metadata": {"labels": {"app": "other"}}},
    }});
    let status = refused(context.merge(DEPLOYMENTS, "web", patch).await, 422, "Invalid");
    let cause = &status.details.unwrap().causes[0];
    assert_eq!(cause.field, "spec.selector");
    assert!(cause.message.contains("field is immutable"), "{cause:?}");
    assert!(
        status
            .message
            .starts_with("Deployment.apps \"web\" is invalid: spec.selector:"),
        "{}",
        status.message
    );
}

async fn selectors_must_match_the_template(context: Context) {
    let mut rest = deployment("i:1");
    rest["spec"]["template"]["metadata"]["labels"] = json!({"app": "other"});
    let status = refused(context.try_create(DEPLOYMENTS, "web", rest).await, 422, "Invalid");
    let fields: Vec<String> = status
        .details
        .unwrap()
        .causes
        .into_iter()
        .map(|c| c.field)
        .collect();
    assert!(
        fields.contains(&"spec.template.metadata.labels".to_owned()),
        "{fields:?}"
    );
    let mut rest = deployment("i:1");
    rest["spec"].as_object_mut().unwrap().remove("selector");
    let status = refused(context.try_create(DEPLOYMENTS, "web", rest).await, 422, "Invalid");
    let fields: Vec<String> = status
        .details
        .unwrap()
        .causes
        .into_iter()
        .map(|c| c.field)
        .collect();
    assert!(fields.contains(&"spec.selector".to_owned()), "{fields:?}");
}

async fn containers_need_images(context: Context) {
    let mut rest = deployment("i:1");
    rest["spec"]["template"]["spec"]["containers"] = json!([{"name": "a"}, {"name": "a", "image": "i", "volumeMounts": [{"name": "no", "mountPath": "/x"}]}]);
    let status = refused(context.try_create(DEPLOYMENTS, "web", rest).await, 422, "Invalid");
    let causes = status.details.unwrap().causes;
    let mut found: Vec<(&str, &str)> = causes
        .iter()
        .map(|c| (c.field.as_str(), c.reason.as_str()))
        .collect();
    found.sort_unstable();
    let path = "spec.template.spec.containers";
    let expected = [
        (format!("{path}[0].image"), "FieldValueRequired"),
        (format!("{path}[1].name"), "FieldValueDuplicate"),
        (format!("{path}[1].volumeMounts[0].name"), "FieldValueNotFound"),
    ];
    let expected: Vec<(&str, &str)> = expected.iter().map(|(f, r)| (f.as_str(), *r)).collect();
    assert_eq!(found, expected);
}

async fn services_get_addresses_and_defaults(context: Context) {
    let rest = json!({"spec": {"selector": {"app": "web"}, "ports": [{"port": 80}]}});
    let made = context.create(SERVICES, "web", rest).await;
    let mut spec = at(&made, "/spec").clone();
    let address = spec["clusterIP"].as_str().unwrap().to_owned();
    assert!(address.starts_with("10.96."), "{address}");
    assert_eq!(spec["clusterIPs"], json!([address]));
    spec.as_object_mut()
        .unwrap()
        .retain(|k, _| !k.starts_with("clusterIP"));
    let expected = json!({
        "internalTrafficPolicy": "Cluster", "ipFamilies": ["IPv4"], "ipFamilyPolicy": "SingleStack",
        "ports": [{"port": 80, "protocol": "TCP", "targetPort": 80}], "selector": {"app": "web"},
        "sessionAffinity": "None", "type": "ClusterIP",
    });
    assert_eq!(spec, expected);
    assert_eq!(at(&made, "/status"), &json!({"loadBalancer": {}}));
    let external = json!({"spec": {"type": "ExternalName", "externalName": "example.com"}});
    let made = context.create(SERVICES, "external", external).await;
    let expected = json!({"externalName": "example.com", "sessionAffinity": "None", "type": "ExternalName"});
    assert_eq!(at(&made, "/spec"), &expected);
    let headless = json!({"spec": {"clusterIP": "None", "selector": {"a": "b"}}});
    let made = context.create(SERVICES, "headless", headless).await;
    assert_eq!(at(&made, "/spec/clusterIPs"), &json!(["None"]));
}

async fn services_need_ports_unless_external(context: Context) {
    let causes = async |rest: Value| -> Vec<String> {
        let status = refused(context.try_create(SERVICES, "web", rest).await, 422, "Invalid");
        status
            .details
            .unwrap()
            .causes
            .into_iter()
            .map(|c| c.field)
            .collect()
    };
    assert_eq!(causes(json!({"spec": {}})).await, ["spec.ports"]);
    let two = json!({"spec": {"ports": [{"port": 80}, {"port": 81}]}});
    assert_eq!(causes(two).await, ["spec.ports[0].name", "spec.ports[1].name"]);
    assert_eq!(
        causes(json!({"spec": {"type": "ExternalName"}})).await,
        ["spec.externalName"]
    );
    assert_eq!(
        causes(json!({"spec": {"ports": [{"port": 70000}]}})).await[0],
        "spec.ports[0].port"
    );
}

async fn cluster_addresses_are_immutable(context: Context) {
    let made = context
        .create(SERVICES, "web", json!({"spec": {"ports": [{"port": 80}]}}))
        .await;
    let patch = json!({"spec": {"clusterIP": "10.96.7.7", "clusterIPs": ["10.96.7.7"]}});
    let status = refused(context.merge(SERVICES, "web", patch).await, 422, "Invalid");
    assert_eq!(status.details.unwrap().causes[0].field, "spec.clusterIPs[0]");
    let mut without = made.clone();
    let spec = without.data["spec"].as_object_mut().unwrap();
    spec.retain(|k, _| !k.starts_with("clusterIP"));
    spec.insert("selector".to_owned(), json!({"app": "web"}));
    let replaced = context
        .api(SERVICES)
        .replace("web", &PostParams::default(), &without)
        .await
        .unwrap();
    assert_eq!(
        at(&replaced, "/spec/clusterIP"),
        at(&made, "/spec/clusterIP"),
        "an update keeps the address"
    );
}

async fn ingresses_need_path_types(context: Context) {
    let path = |extra: Value| {
        let mut path = json!({"path": "/", "backend": {"service": {"name": "web", "port": {"number": 80}}}});
        json_patch::merge(&mut path, &extra);
        json!({"spec": {"rules": [{"host": "a.example.com", "http": {"paths": [path]}}]}})
    };
    let field = async |rest: Value| -> String {
        let status = refused(context.try_create(INGRESSES, "web", rest).await, 422, "Invalid");
        status.details.unwrap().causes[0].field.clone()
    };
    let base = "spec.rules[0].http.paths[0]";
    assert_eq!(field(path(json!({}))).await, format!("{base}.pathType"));
    assert_eq!(
        field(path(json!({"pathType": "Odd"}))).await,
        format!("{base}.pathType")
    );
    assert_eq!(
        field(path(json!({"pathType": "Prefix", "path": "x"}))).await,
        format!("{base}.path")
    );
    context
        .create(INGRESSES, "web", path(json!({"pathType": "Prefix"})))
        .await;
}

async fn secrets_fold_their_texts(context: Context) {
    let made = context
        .create(
            SECRETS,
            "a",
            json!({"stringData": {"k": "v"}, "data": {"l": "bA=="}}),
        )
        .await;
    assert_eq!(at(&made, "/data"), &json!({"k": "dg==", "l": "bA=="}));
    assert_eq!(
        (at(&made, "/type"), at(&made, "/stringData")),
        (&json!("Opaque"), &Value::Null)
    );
    refused(
        context.merge(SECRETS, "a", json!({"type": "other"})).await,
        422,
        "Invalid",
    );
}

async fn immutable_config_maps_stay(context: Context) {
    context
        .create(CONFIG_MAPS, "a", json!({"data": {"x": "1"}, "immutable": true}))
        .await;
    let status = refused(
        context.merge(CONFIG_MAPS, "a", json!({"data": {"x": "2"}})).await,
        422,
        "Invalid",
    );
    assert_eq!(status.details.unwrap().causes[0].field, "data");
    context
        .merge(CONFIG_MAPS, "a", json!({"metadata": {"labels": {"a": "b"}}}))
        .await
        .unwrap();
}

async fn events_are_named_once(context: Context) {
    let about = |namespace: &str| {
        json!({
            "involvedObject": {"kind": "Widget", "name": "w", "namespace": namespace},
            "reason": "Synced", "message": "said once", "type": "Normal", "source": {"component": "serin"},
        })
    };
    context.create(EVENTS, "e.1", about(&context.namespace)).await;
    refused(
        context.try_create(EVENTS, "e.1", about(&context.namespace)).await,
        409,
        "AlreadyExists",
    );
    refused(
        context.try_create(EVENTS, "e.2", about("elsewhere")).await,
        422,
        "Invalid",
    );
    let of = |name: &str| ListParams::default().fields(&format!("involvedObject.name={name}"));
    let api = context.api(EVENTS);
    assert_eq!(api.list(&of("w")).await.unwrap().items.len(), 1);
    assert!(api.list(&of("x")).await.unwrap().items.is_empty());
}

async fn scaling_is_a_subresource(context: Context) {
    context.create(DEPLOYMENTS, "web", deployment("i:1")).await;
    let api = context.api(DEPLOYMENTS);
    let scale = api.get_scale("web").await.unwrap();
    assert_eq!(
        (scale.spec.unwrap().replicas, scale.status.unwrap().selector),
        (Some(2), Some("app=web".to_owned()))
    );
    let params = PatchParams {
        field_manager: Some("scaler".to_owned()),
        ..PatchParams::default()
    };
    let patch = Patch::Merge(json!({"spec": {"replicas": 5}}));
    let scale = api.patch_scale("web", &params, &patch).await.unwrap();
    assert_eq!(scale.spec.unwrap().replicas, Some(5));
    let web = api.get("web").await.unwrap();
    assert_eq!((at(&web, "/spec/replicas"), generation(&web)), (&json!(5), 2));
    assert_eq!(
        owned(&web, "scaler"),
        json!({"f:spec": {"f:replicas": {}}}).to_string()
    );
}

async fn leases_are_created_by_update_and_guarded(context: Context) {
    let api = context.api(LEASES);
    let lease = object(
        LEASES,
        "serin",
        json!({"spec": {"holderIdentity": "a", "leaseDurationSeconds": 15}}),
    );
    let made = api.create(&PostParams::default(), &lease).await.unwrap();
    refused(
        api.replace("serin", &PostParams::default(), &lease).await,
        422,
        "Invalid",
    );
    let mut renewed = made.clone();
    renewed.data["spec"]["renewTime"] = json!("2026-01-01T00:00:00.5Z");
    let renewed = api
        .replace("serin", &PostParams::default(), &renewed)
        .await
        .unwrap();
    assert_eq!(
        at(&renewed, "/spec/renewTime"),
        &json!("2026-01-01T00:00:00.500000Z")
    );
    refused(
        api.replace("serin", &PostParams::default(), &made).await,
        409,
        "Conflict",
    );
}

// Deleting.

async fn finalizers_hold_objects(context: Context) {
    let rest = json!({"metadata": {"finalizers": ["example.com/a", "example.com/b"]}});
    context.create(WIDGETS, "w", rest).await;
    let api = context.api(WIDGETS);
    let marked = api
        .delete("w", &DeleteParams::default())
        .await
        .unwrap()
        .left()
        .unwrap();
    assert!(marked.metadata.deletion_timestamp.is_some());
    assert_eq!(generation(&marked), 2);
    let again = api
        .delete("w", &DeleteParams::default())
        .await
        .unwrap()
        .left()
        .unwrap();
    assert_eq!(
        again.metadata.deletion_timestamp,
        marked.metadata.deletion_timestamp
    );
    let more = json!({"metadata": {"finalizers": ["example.com/a", "example.com/c"]}});
    refused(context.merge(WIDGETS, "w", more).await, 422, "Invalid");
    let one = json!({"metadata": {"finalizers": ["example.com/a"]}});
    context.merge(WIDGETS, "w", one).await.unwrap();
    context
        .merge(WIDGETS, "w", json!({"metadata": {"finalizers": []}}))
        .await
        .unwrap();
    assert!(api.get_opt("w").await.unwrap().is_none());
}

async fn foreground_deletion_is_a_finalizer(context: Context) {
    context.create(WIDGETS, "w", json!({})).await;
    let params = DeleteParams {
        propagation_policy: Some(PropagationPolicy::Orphan),
        ..DeleteParams::default()
    };
    let marked = context
        .api(WIDGETS)
        .delete("w", &params)
        .await
        .unwrap()
        .left()
        .unwrap();
    assert_eq!(marked.metadata.finalizers, Some(vec!["orphan".to_owned()]));
}

async fn deletes_are_guarded(context: Context) {
    let made = context.create(CONFIG_MAPS, "a", json!({})).await;
    let api = context.api(CONFIG_MAPS);
    let guard = |uid: Option<String>, resource_version: Option<String>| DeleteParams {
        preconditions: Some(Preconditions {
            uid,
            resource_version,
        }),
        ..DeleteParams::default()
    };
    refused(
        api.delete("a", &guard(Some("other".to_owned()), None)).await,
        409,
        "Conflict",
    );
    refused(
        api.delete("a", &guard(None, Some("1".to_owned()))).await,
        409,
        "Conflict",
    );
    let right = guard(made.metadata.uid.clone(), made.metadata.resource_version.clone());
    let status = api.delete("a", &right).await.unwrap().right().unwrap();
    assert_eq!(status.details.unwrap().uid, made.metadata.uid.unwrap());
    refused(api.delete("a", &DeleteParams::default()).await, 404, "NotFound");
}

async fn collections_are_deleted_by_selector(context: Context) {
    for (name, on) in [("a", "yes"), ("b", "no"), ("c", "yes")] {
        context
            .create(SECRETS, name, json!({"metadata": {"labels": {"on": on}}}))
            .await;
    }
    let api = context.api(SECRETS);
    api.delete_collection(&DeleteParams::default(), &ListParams::default().labels("on=yes"))
        .await
        .unwrap();
    let left = api.list(&ListParams::default()).await.unwrap();
    assert_eq!(left.items.len(), 1);
    assert_eq!(left.items[0].metadata.name.as_deref(), Some("b"));
}

async fn owner_references_delete_nothing_by_themselves(context: Context) {
    let owner = context.create(CONFIG_MAPS, "owner", json!({})).await;
    let reference =
        json!({"apiVersion": "v1", "kind": "ConfigMap", "name": "owner", "uid": owner.metadata.uid});
    context
        .create(
            CONFIG_MAPS,
            "owned",
            json!({"metadata": {"ownerReferences": [reference]}}),
        )
        .await;
    let bad =
        json!({"metadata": {"ownerReferences": [{"apiVersion": "v1", "kind": "", "name": "x", "uid": "y"}]}});
    refused(context.try_create(CONFIG_MAPS, "bad", bad).await, 422, "Invalid");
}

async fn dry_runs_store_nothing(context: Context) {
    let params = PostParams {
        dry_run: true,
        ..PostParams::default()
    };
    let api = context.api(DEPLOYMENTS);
    let made = api
        .create(&params, &object(DEPLOYMENTS, "web", deployment("i:1")))
        .await
        .unwrap();
    assert_eq!(at(&made, "/spec/revisionHistoryLimit"), &json!(10));
    assert!(api.get_opt("web").await.unwrap().is_none());
    context.create(DEPLOYMENTS, "web", deployment("i:1")).await;
    let params = PatchParams::default().dry_run();
    let patched = api
        .patch("web", &params, &Patch::Merge(json!({"spec": {"replicas": 9}})))
        .await
        .unwrap();
    assert_eq!(at(&patched, "/spec/replicas"), &json!(9));
    assert_eq!(at(&api.get("web").await.unwrap(), "/spec/replicas"), &json!(2));
    let params = DeleteParams::default().dry_run();
    api.delete("web", &params).await.unwrap();
    assert!(api.get_opt("web").await.unwrap().is_some());
}

// Server-side apply.

async fn apply_creates_and_owns(context: Context) {
    let made = context
        .apply("one", DEPLOYMENTS, "web", deployment("i:1"))
        .await
        .unwrap();
    assert_eq!(
        (at(&made, "/spec/revisionHistoryLimit"), generation(&made)),
        (&json!(10), 1)
    );
    let expected = json!({"f:spec": {
        "f:replicas": {}, "f:selector": {},
        "f:template": {
            "f:metadata": {"f:labels": {"f:app": {}}},
            "f:spec": {"f:containers": {"k:{\"name\":\"web\"}": {".": {}, "f:image": {}, "f:name": {}}}},
        },
    }});
    assert_eq!(owned(&made, "one"), expected.to_string());
    let entry = &made.metadata.managed_fields.unwrap()[0];
    assert_eq!(
        (entry.operation.as_deref(), entry.api_version.as_deref()),
        (Some("Apply"), Some("apps/v1"))
    );
}

async fn apply_drops_what_only_it_owned(context: Context) {
    let rest = json!({"metadata": {"labels": {"a": "1", "b": "2"}}, "data": {"x": "1", "y": "2"}});
    context.apply("one", CONFIG_MAPS, "a", rest).await.unwrap();
    let rest = json!({"metadata": {"labels": {"a": "1"}}, "data": {"y": "3"}});
    let applied = context.apply("one", CONFIG_MAPS, "a", rest).await.unwrap();
    assert_eq!(at(&applied, "/data"), &json!({"y": "3"}));
    assert_eq!(json!(applied.metadata.labels), json!({"a": "1"}));
    let applied = context.apply("one", CONFIG_MAPS, "a", json!({})).await.unwrap();
    assert_eq!(
        (at(&applied, "/data"), applied.metadata.labels.clone()),
        (&Value::Null, None)
    );
}

async fn apply_keeps_what_others_share(context: Context) {
    context
        .apply("one", CONFIG_MAPS, "a", json!({"data": {"x": "1", "y": "1"}}))
        .await
        .unwrap();
    context
        .apply("two", CONFIG_MAPS, "a", json!({"data": {"x": "1", "z": "1"}}))
        .await
        .unwrap();
    let applied = context
        .apply("one", CONFIG_MAPS, "a", json!({"data": {}}))
        .await
        .unwrap();
    assert_eq!(at(&applied, "/data"), &json!({"x": "1", "z": "1"}));
}

async fn apply_resets_replicas_when_their_only_owner_drops_them(context: Context) {
    let mut rest = deployment("i:1");
    let spec = rest["spec"].as_object_mut().unwrap();
    spec.remove("replicas");
    context.apply("one", DEPLOYMENTS, "web", rest).await.unwrap();
    let scaled = context
        .apply("scale", DEPLOYMENTS, "web", json!({"spec": {"replicas": 4}}))
        .await
        .unwrap();
    assert_eq!(at(&scaled, "/spec/replicas"), &json!(4));
    let dropped = context
        .apply("scale", DEPLOYMENTS, "web", json!({}))
        .await
        .unwrap();
    assert_eq!(at(&dropped, "/spec/replicas"), &json!(1));
}

async fn apply_conflicts_name_field_and_manager(context: Context) {
    context
        .apply("one", DEPLOYMENTS, "web", deployment("i:1"))
        .await
        .unwrap();
    let status = refused(
        context.apply("two", DEPLOYMENTS, "web", deployment("i:2")).await,
        409,
        "Conflict",
    );
    let field = ".spec.template.spec.containers[name=\"web\"].image";
    assert_eq!(
        status.message,
        format!("Apply failed with 1 conflict: conflict with \"one\": {field}")
    );
    let cause = &status.details.unwrap().causes[0];
    assert_eq!(
        (cause.reason.as_str(), cause.field.as_str()),
        ("FieldManagerConflict", field)
    );
    assert_eq!(cause.message, "conflict with \"one\"");
    // An ordinary write by the same name is another manager.
    context
        .merge(DEPLOYMENTS, "web", json!({"spec": {"replicas": 7}}))
        .await
        .unwrap();
    let status = refused(
        context.apply("one", DEPLOYMENTS, "web", deployment("i:1")).await,
        409,
        "Conflict",
    );
    let causes = status.details.unwrap().causes;
    assert_eq!((causes.len(), causes[0].field.as_str()), (1, ".spec.replicas"));
    assert!(causes[0].message.ends_with("using apps/v1"), "{causes:?}");
}

async fn apply_takes_over_by_force(context: Context) {
    context
        .apply("one", DEPLOYMENTS, "web", deployment("i:1"))
        .await
        .unwrap();
    let forced = context.force("two", DEPLOYMENTS, "web", deployment("i:2")).await;
    assert_eq!(
        at(&forced, "/spec/template/spec/containers/0/image"),
        &json!("i:2")
    );
    assert!(
        !owned(&forced, "one").contains("f:image"),
        "{}",
        owned(&forced, "one")
    );
    assert!(
        owned(&forced, "one").contains("f:replicas"),
        "equal values stay shared"
    );
    assert_eq!(generation(&forced), 2);
}

async fn apply_of_equal_values_shares_ownership(context: Context) {
    context
        .apply("one", DEPLOYMENTS, "web", deployment("i:1"))
        .await
        .unwrap();
    let second = context
        .apply("two", DEPLOYMENTS, "web", deployment("i:1"))
        .await
        .unwrap();
    assert_eq!(owned(&second, "one"), owned(&second, "two"));
    assert_eq!(generation(&second), 1);
}

async fn apply_merges_associative_lists(context: Context) {
    let container = |extra: Value| {
        let mut rest = deployment("i:1");
        json_patch::merge(&mut rest["spec"]["template"]["spec"]["containers"][0], &extra);
        rest
    };
    let one = container(json!({"ports": [{"containerPort": 80}], "env": [{"name": "A", "value": "1"}]}));
    context.apply("one", DEPLOYMENTS, "web", one).await.unwrap();
    let two = json!({"spec": {"template": {"spec": {"containers": [
        {"name": "web", "env": [{"name": "B", "value": "2"}], "ports": [{"containerPort": 80, "name": "http"}]},
        {"name": "side", "image": "s:1"},
    ]}}}});
    let applied = context.apply("two", DEPLOYMENTS, "web", two).await.unwrap();
    let containers = at(&applied, "/spec/template/spec/containers").as_array().unwrap();
    assert_eq!(containers.len(), 2);
    assert_eq!(
        containers[0]["ports"],
        json!([{"containerPort": 80, "name": "http", "protocol": "TCP"}])
    );
    assert_eq!(containers[0]["env"].as_array().unwrap().len(), 2);
    let dropped = context.apply("two", DEPLOYMENTS, "web", json!({})).await.unwrap();
    let containers = at(&dropped, "/spec/template/spec/containers").as_array().unwrap();
    assert_eq!(containers.len(), 1, "the added container goes with its owner");
    assert_eq!(containers[0]["env"], json!([{"name": "A", "value": "1"}]));
    assert_eq!(
        containers[0]["ports"],
        json!([{"containerPort": 80, "protocol": "TCP"}])
    );
}

async fn apply_replaces_atomic_lists_and_maps(context: Context) {
    let service =
        |labels: Value| json!({"spec": {"selector": labels, "ports": [{"port": 80, "name": "http"}]}});
    context
        .apply(
            "one",
            SERVICES,
            "web",
            service(json!({"app": "web", "tier": "a"})),
        )
        .await
        .unwrap();
    let other = json!({"spec": {"selector": {"app": "new"}}});
    let status = refused(
        context.apply("two", SERVICES, "web", other.clone()).await,
        409,
        "Conflict",
    );
    assert_eq!(status.details.unwrap().causes[0].field, ".spec.selector");
    let forced = context.force("two", SERVICES, "web", other).await;
    assert_eq!(at(&forced, "/spec/selector"), &json!({"app": "new"}));
    let path = |path: &str| {
        json!({
            "path": path, "pathType": "Prefix", "backend": {"service": {"name": "web", "port": {"number": 80}}},
        })
    };
    let ingress =
        |paths: Value| json!({"spec": {"rules": [{"host": "a.example.com", "http": {"paths": paths}}]}});
    context
        .apply("one", INGRESSES, "web", ingress(json!([path("/a")])))
        .await
        .unwrap();
    let status = context
        .apply("two", INGRESSES, "web", ingress(json!([path("/b")])))
        .await;
    assert_eq!(
        refused(status, 409, "Conflict").details.unwrap().causes[0].field,
        ".spec.rules"
    );
    let forced = context
        .force("two", INGRESSES, "web", ingress(json!([path("/b")])))
        .await;
    assert_eq!(
        at(&forced, "/spec/rules/0/http/paths").as_array().unwrap().len(),
        1
    );
}

async fn apply_refuses_undeclared_fields(context: Context) {
    let mut rest = deployment("i:1");
    rest["spec"]["unheardOf"] = 1.into();
    match context.apply("one", DEPLOYMENTS, "web", rest).await {
        Err(kube::Error::Api(status)) => {
            assert!(
                status
                    .message
                    .contains(".spec.unheardOf: field not declared in schema"),
                "{status:?}"
            );
            assert_eq!(status.code, 500);
        }
        other => panic!("{other:?}"),
    }
}

async fn apply_needs_a_manager(context: Context) {
    let path = format!("/api/v1/namespaces/{}/configmaps/a", context.namespace);
    let body = serde_json::to_vec(&object(CONFIG_MAPS, "a", json!({}))).unwrap();
    let request = http::Request::patch(path).header("content-type", "application/apply-patch+yaml");
    let status = refused(
        context.client.request::<Value>(request.body(body).unwrap()).await,
        422,
        "Invalid",
    );
    assert!(
        status
            .message
            .contains("fieldManager: Required value: is required for apply patch"),
        "{status:?}"
    );
}

async fn apply_of_the_same_changes_nothing(context: Context) {
    let first = context
        .apply("one", DEPLOYMENTS, "web", deployment("i:1"))
        .await
        .unwrap();
    tokio::time::sleep(Duration::from_secs(1)).await;
    let second = context
        .apply("one", DEPLOYMENTS, "web", deployment("i:1"))
        .await
        .unwrap();
    assert_eq!(version(&first), version(&second));
}

async fn apply_to_the_status_owns_only_the_status(context: Context) {
    context
        .apply("one", WIDGETS, "w", json!({"spec": {"size": 3}}))
        .await
        .unwrap();
    let api = context.api(WIDGETS);
    let intent = object(
        WIDGETS,
        "w",
        json!({"spec": {"size": 9}, "status": {"phase": "Ready"}}),
    );
    let applied = api
        .patch_status("w", &PatchParams::apply("ctl"), &Patch::Apply(intent))
        .await
        .unwrap();
    assert_eq!(
        (at(&applied, "/spec/size"), at(&applied, "/status/phase")),
        (&json!(3), &json!("Ready"))
    );
    assert_eq!(
        owned(&applied, "ctl"),
        json!({"f:status": {"f:phase": {}}}).to_string()
    );
    let entry = applied
        .metadata
        .managed_fields
        .iter()
        .flatten()
        .find(|e| e.manager.as_deref() == Some("ctl"));
    assert_eq!(entry.unwrap().subresource.as_deref(), Some("status"));
}

async fn updates_take_ownership_of_what_they_change(context: Context) {
    context
        .apply("one", DEPLOYMENTS, "web", deployment("i:1"))
        .await
        .unwrap();
    let params = PatchParams {
        field_manager: Some("kubectl-set".to_owned()),
        ..PatchParams::default()
    };
    let patch = json!({"spec": {"template": {"spec": {"containers": [{"name": "web", "image": "i:2"}]}}}});
    let patched = context
        .api(DEPLOYMENTS)
        .patch("web", &params, &Patch::Strategic(patch))
        .await
        .unwrap();
    let expected = json!({"f:spec": {"f:template": {"f:spec": {"f:containers": {
        "k:{\"name\":\"web\"}": {"f:image": {}},
    }}}}});
    assert_eq!(owned(&patched, "kubectl-set"), expected.to_string());
    assert!(!owned(&patched, "one").contains("f:image"));
    let made = context
        .create(
            CONFIG_MAPS,
            "a",
            json!({"data": {"x": "1"}, "metadata": {"labels": {"a": "b"}}}),
        )
        .await;
    let fields = json!(made.metadata.managed_fields.unwrap()[0].fields_v1);
    let expected = json!({
        "f:data": {".": {}, "f:x": {}}, "f:metadata": {"f:labels": {".": {}, "f:a": {}}},
    });
    assert_eq!(fields, expected);
}

// Custom resources.

async fn custom_resources_are_pruned_and_defaulted(context: Context) {
    let spec = json!({"size": 1, "odd": true, "free": {"any": {"thing": 1}}, "nested": {"odd": 1}});
    let made = context
        .create(WIDGETS, "w", json!({"spec": spec, "odd": 1}))
        .await;
    let expected = json!({"size": 1, "mode": "auto", "free": {"any": {"thing": 1}}, "nested": {"deep": 7}});
    assert_eq!(at(&made, "/spec"), &expected);
    assert_eq!(at(&made, "/odd"), &Value::Null);
    let patched = context
        .merge(WIDGETS, "w", json!({"spec": {"mode": null, "port": "http"}}))
        .await
        .unwrap();
    assert_eq!(
        (at(&patched, "/spec/mode"), at(&patched, "/spec/port")),
        (&json!("auto"), &json!("http"))
    );
}

async fn custom_resources_are_validated(context: Context) {
    for (spec, field, reason) in [
        (json!({"size": "big"}), "spec.size", "FieldValueTypeInvalid"),
        (json!({"size": 101}), "spec.size", "FieldValueInvalid"),
        (json!({"mode": "odd"}), "spec.mode", "FieldValueNotSupported"),
        (json!({"code": "abc"}), "spec.code", "FieldValueInvalid"),
        (
            json!({"hooks": [{"url": "x"}]}),
            "spec.hooks[0].name",
            "FieldValueRequired",
        ),
        (json!({"port": true}), "spec.port", "FieldValueTypeInvalid"),
    ] {
        let status = refused(
            context.try_create(WIDGETS, "w", json!({"spec": spec})).await,
            422,
            "Invalid",
        );
        assert!(
            status
                .message
                .starts_with("Widget.conformance.serin.dev \"w\" is invalid"),
            "{status:?}"
        );
        let causes = status.details.unwrap().causes;
        let found: Vec<_> = causes
            .iter()
            .map(|c| (c.field.as_str(), c.reason.as_str()))
            .collect();
        assert!(found.contains(&(field, reason)), "{spec}: {found:?}");
    }
}

async fn custom_resources_keep_their_status_apart(context: Context) {
    let made = context
        .create(
            WIDGETS,
            "w",
            json!({"spec": {"size": 1}, "status": {"phase": "x"}}),
        )
        .await;
    assert_eq!(at(&made, "/status"), &Value::Null);
    let mut status = made.clone();
    status.data["status"] = json!({"phase": "Ready", "odd": 1});
    status.data["spec"]["size"] = 2.into();
    let api = context.api(WIDGETS);
    let written = api
        .replace_status("w", &PostParams::default(), &status)
        .await
        .unwrap();
    assert_eq!(
        (at(&written, "/status"), at(&written, "/spec/size")),
        (&json!({"phase": "Ready"}), &json!(1))
    );
    assert_eq!(generation(&written), 1);
    refused(
        api.replace_status("w", &PostParams::default(), &status).await,
        409,
        "Conflict",
    );
}

async fn custom_resources_are_served_in_each_version(context: Context) {
    context
        .create(OLD_WIDGETS, "w", json!({"spec": {"size": 4}}))
        .await;
    let new = context.api(WIDGETS).get("w").await.unwrap();
    assert_eq!(
        (new.types.unwrap().api_version, &new.data["spec"]["size"]),
        ("conformance.serin.dev/v1".into(), &json!(4))
    );
    let old = context.api(OLD_WIDGETS).get("w").await.unwrap();
    assert_eq!(old.types.unwrap().api_version, "conformance.serin.dev/v1alpha1");
}

async fn custom_resource_updates_need_a_version(context: Context) {
    let mut made = context.create(WIDGETS, "w", json!({"spec": {"size": 4}})).await;
    made.metadata.resource_version = None;
    made.data["spec"]["size"] = 5.into();
    let replaced = context
        .api(WIDGETS)
        .replace("w", &PostParams::default(), &made)
        .await;
    let status = refused(replaced, 422, "Invalid");
    assert_eq!(
        status.details.unwrap().causes[0].field,
        "metadata.resourceVersion"
    );
}

async fn custom_resources_respect_list_types(context: Context) {
    let hooks = |name: &str| json!({"spec": {"hooks": [{"name": name, "url": "u"}], "tags": [name], "plain": [name]}});
    context.apply("one", WIDGETS, "w", hooks("a")).await.unwrap();
    let mut second = hooks("b");
    second["spec"].as_object_mut().unwrap().remove("plain");
    let applied = context.apply("two", WIDGETS, "w", second).await.unwrap();
    assert_eq!(at(&applied, "/spec/hooks").as_array().unwrap().len(), 2);
    assert_eq!(at(&applied, "/spec/tags"), &json!(["a", "b"]));
    assert!(
        owned(&applied, "two").contains("k:{\\\"name\\\":\\\"b\\\"}")
            && owned(&applied, "two").contains("v:\\\"b\\\"")
    );
    let atomic = context
        .apply("two", WIDGETS, "w", json!({"spec": {"plain": ["c"]}}))
        .await;
    assert_eq!(
        refused(atomic, 409, "Conflict").details.unwrap().causes[0].field,
        ".spec.plain"
    );
    let twice = json!({"spec": {"tags": ["x", "x"]}});
    refused(context.try_create(WIDGETS, "twice", twice).await, 422, "Invalid");
}

async fn definitions_are_established(context: Context) {
    let definition = context
        .cluster(DEFINITIONS)
        .get("widgets.conformance.serin.dev")
        .await
        .unwrap();
    let conditions = at(&definition, "/status/conditions").as_array().unwrap().clone();
    for kind in ["NamesAccepted", "Established"] {
        assert!(
            conditions
                .iter()
                .any(|c| c["type"] == kind && c["status"] == "True"),
            "{conditions:?}"
        );
    }
    assert_eq!(at(&definition, "/status/acceptedNames/plural"), &json!("widgets"));
    assert_eq!(at(&definition, "/status/storedVersions"), &json!(["v1"]));
    assert_eq!(at(&definition, "/spec/conversion/strategy"), &json!("None"));
    let bad = object(DEFINITIONS, "wrong.name.dev", json!({"spec": widget_spec()}));
    let status = refused(
        context
            .cluster(DEFINITIONS)
            .create(&PostParams::default(), &bad)
            .await,
        422,
        "Invalid",
    );
    assert_eq!(status.details.unwrap().causes[0].field, "metadata.name");
}

// Forms.

async fn metadata_is_served_alone(context: Context) {
    context
        .create(
            CONFIG_MAPS,
            "a",
            json!({"data": {"secret": "x"}, "metadata": {"labels": {"a": "b"}}}),
        )
        .await;
    let api = context.api(CONFIG_MAPS);
    let accept = "application/json;as=PartialObjectMetadata;v=v1;g=meta.k8s.io";
    let path = format!("/api/v1/namespaces/{}/configmaps/a", context.namespace);
    let request = http::Request::get(path)
        .header("accept", accept)
        .body(Vec::new())
        .unwrap();
    let one = context.client.request::<Value>(request).await.unwrap();
    assert_eq!(
        (&one["kind"], &one["metadata"]["name"]),
        (&json!("PartialObjectMetadata"), &json!("a"))
    );
    assert_eq!(one.get("data"), None);
    let params = ListParams::default().labels("a=b");
    let list = api.list_metadata(&params).await.unwrap();
    assert_eq!(list.items.len(), 1);
    let start = list.metadata.resource_version.unwrap();
    let watch = api
        .watch_metadata(&WatchParams::default().labels("a=b").timeout(60), &start)
        .await
        .unwrap();
    context
        .merge(CONFIG_MAPS, "a", json!({"metadata": {"annotations": {"x": "y"}}}))
        .await
        .unwrap();
    match watch.boxed().try_next().await.unwrap().unwrap() {
        WatchEvent::Modified(object) => assert!(object.metadata.annotations.unwrap().contains_key("x")),
        other => panic!("{other:?}"),
    }
}

async fn tables_have_columns(context: Context) {
    context.create(DEPLOYMENTS, "web", deployment("i:1")).await;
    context.create(WIDGETS, "w", json!({"spec": {"size": 3}})).await;
    let table = async |path: &str| -> Value {
        let path = format!("{path}/namespaces/{}", context.namespace);
        let (base, kind) = path.split_once('|').unwrap();
        let (kind, namespace) = kind.split_once('/').unwrap();
        let accept = "application/json;as=Table;v=v1;g=meta.k8s.io,application/json";
        let request = http::Request::get(format!("{base}/{namespace}/{kind}")).header("accept", accept);
        context
            .client
            .request::<Value>(request.body(Vec::new()).unwrap())
            .await
            .unwrap()
    };
    let columns = |table: &Value| -> Vec<String> {
        let columns = table["columnDefinitions"].as_array().unwrap().iter();
        columns
            .filter(|c| c["priority"] == 0)
            .map(|c| c["name"].as_str().unwrap().to_owned())
            .collect()
    };
    let deployments = table("/apis/apps/v1|deployments").await;
    assert_eq!(deployments["kind"], "Table");
    assert_eq!(
        columns(&deployments),
        ["Name", "Ready", "Up-to-date", "Available", "Age"]
    );
    assert_eq!(deployments["rows"][0]["cells"][0], "web");
    assert_eq!(deployments["rows"][0]["cells"][1], "0/2");
    assert_eq!(deployments["rows"][0]["object"]["kind"], "PartialObjectMetadata");
    let widgets = table("/apis/conformance.serin.dev/v1|widgets").await;
    assert_eq!(columns(&widgets), ["Name", "Size", "Age"]);
    assert_eq!(widgets["rows"][0]["cells"][1], 3);
}

async fn discovery_lists_resources(context: Context) {
    let resources = context
        .client
        .list_api_group_resources("conformance.serin.dev/v1")
        .await
        .unwrap();
    let widgets = resources.resources.iter().find(|r| r.name == "widgets").unwrap();
    assert_eq!((widgets.kind.as_str(), widgets.namespaced), ("Widget", true));
    assert_eq!(widgets.short_names.as_deref(), Some(&["wd".to_owned()][..]));
    assert!(resources.resources.iter().any(|r| r.name == "widgets/status"));
    let groups = context.client.list_api_groups().await.unwrap();
    let group = groups
        .groups
        .iter()
        .find(|g| g.name == "conformance.serin.dev")
        .unwrap();
    assert_eq!(group.preferred_version.as_ref().unwrap().version, "v1");
    let core = context.client.list_core_api_resources("v1").await.unwrap();
    assert!(core.resources.iter().any(|r| r.name == "configmaps"));
    let version = context.client.apiserver_version().await.unwrap();
    assert_eq!(version.major, "1");
}

// The definition that the cases work with.

fn widget_schema() -> Value {
    let hook = json!({"type": "object", "required": ["name"], "properties": {
        "name": {"type": "string"}, "url": {"type": "string"},
    }});
    json!({"type": "object", "properties": {
        "spec": {"type": "object", "properties": {
            "size": {"type": "integer", "minimum": 0, "maximum": 100},
            "mode": {"type": "string", "enum": ["auto", "manual"], "default": "auto"},
            "code": {"type": "string", "pattern": "^[0-9]+$"},
            "port": {"x-kubernetes-int-or-string": true},
            "free": {"type": "object", "x-kubernetes-preserve-unknown-fields": true},
            "nested": {"type": "object", "properties": {"deep": {"type": "integer", "default": 7}}},
            "tags": {"type": "array", "x-kubernetes-list-type": "set", "items": {"type": "string"}},
            "plain": {"type": "array", "items": {"type": "string"}},
            "hooks": {
                "type": "array", "items": hook,
                "x-kubernetes-list-type": "map", "x-kubernetes-list-map-keys": ["name"],
            },
        }},
        "status": {"type": "object", "properties": {"phase": {"type": "string"}}},
    }})
}

fn widget_spec() -> Value {
    let version = |name: &str, storage: bool| {
        json!({
            "name": name, "served": true, "storage": storage, "schema": {"openAPIV3Schema": widget_schema()},
            "subresources": {"status": {}},
            "additionalPrinterColumns": [
                {"name": "Size", "type": "integer", "jsonPath": ".spec.size"},
                {"name": "Phase", "type": "string", "jsonPath": ".status.phase", "priority": 1},
                {"name": "Age", "type": "date", "jsonPath": ".metadata.creationTimestamp"},
            ],
        })
    };
    json!({
        "group": WIDGETS.0, "scope": "Namespaced",
        "names": {"plural": "widgets", "kind": "Widget", "shortNames": ["wd"]},
        "versions": [version("v1", true), version("v1alpha1", false)],
    })
}

async fn install_definitions(client: &Client) {
    let api: Api<DynamicObject> = Api::all_with(client.clone(), &resource(DEFINITIONS));
    let definition = object(
        DEFINITIONS,
        "widgets.conformance.serin.dev",
        json!({"spec": widget_spec()}),
    );
    api.create(&PostParams::default(), &definition).await.unwrap();
    for _ in 0..100 {
        let present = api.get("widgets.conformance.serin.dev").await.unwrap();
        let conditions = at(&present, "/status/conditions")
            .as_array()
            .cloned()
            .unwrap_or_default();
        if conditions
            .iter()
            .any(|c| c["type"] == "Established" && c["status"] == "True")
        {
            // A real server needs a moment more until it serves the kind.
            tokio::time::sleep(Duration::from_secs(1)).await;
            return;
        }
        tokio::time::sleep(Duration::from_millis(100)).await;
    }
    panic!("the definition is not established");
}

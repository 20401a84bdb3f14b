//! What a Kubernetes API server does, as cases over a client: the same ones run against the embedded cluster
//! and against a real kube-apiserver, without controllers. A case gets a namespace of its own.

mod applying;
mod builtin;
mod creating;
mod custom;
mod definition;
mod deleting;
mod forms;
mod patching;
mod reading;
mod updating;
mod watching;

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
pub(super) type Case = (&'static str, fn(Context) -> BoxFuture<'static, ()>);

macro_rules! cases {
    ($($module:ident :: $name:ident),* $(,)?) => {
        /// All cases.
        pub(super) const ALL: &[Case] = &[$((stringify!($name), |context| Box::pin($module::$name(context)))),*];
    };
}

cases![
    creating::creating_sets_what_only_the_server_sets,
    creating::creating_twice_is_already_exists,
    creating::creating_in_a_missing_namespace_is_not_found,
    creating::creating_with_a_generated_name,
    creating::bad_names_are_invalid,
    creating::unknown_fields_are_dropped_and_strict_ones_refused,
    creating::wrong_types_are_a_bad_request,
    reading::lists_select_by_label_and_field,
    reading::lists_come_in_pages,
    watching::watches_begin_where_the_list_ended,
    watching::watches_see_objects_enter_and_leave_a_selector,
    watching::streaming_lists_end_with_a_bookmark,
    watching::watches_without_a_version_begin_with_what_exists,
    updating::stale_updates_conflict,
    updating::updates_that_change_nothing_keep_the_version,
    updating::generations_count_spec_changes,
    updating::annotations_count_as_a_generation_of_deployments_only,
    updating::status_and_spec_are_written_apart,
    patching::json_patch_tests_guard,
    patching::json_patches_are_applied,
    patching::merge_patches_remove_with_null,
    patching::strategic_patches_merge_containers_by_name,
    patching::strategic_patches_of_custom_resources_are_unsupported,
    builtin::deployments_get_defaults,
    builtin::quantities_and_empty_values_are_stored_as_the_server_spells_them,
    builtin::selectors_of_deployments_are_immutable,
    builtin::selectors_must_match_the_template,
    builtin::containers_need_images,
    builtin::services_get_addresses_and_defaults,
    builtin::services_need_ports_unless_external,
    builtin::cluster_addresses_are_immutable,
    builtin::ingresses_need_path_types,
    builtin::secrets_fold_their_texts,
    builtin::immutable_config_maps_stay,
    builtin::events_are_named_once,
    builtin::scaling_is_a_subresource,
    builtin::leases_are_created_by_update_and_guarded,
    deleting::finalizers_hold_objects,
    deleting::foreground_deletion_is_a_finalizer,
    deleting::deletes_are_guarded,
    deleting::collections_are_deleted_by_selector,
    deleting::owner_references_delete_nothing_by_themselves,
    deleting::dry_runs_store_nothing,
    applying::apply_creates_and_owns,
    applying::apply_drops_what_only_it_owned,
    applying::apply_keeps_what_others_share,
    applying::apply_resets_replicas_when_their_only_owner_drops_them,
    applying::apply_conflicts_name_field_and_manager,
    applying::apply_takes_over_by_force,
    applying::apply_of_equal_values_shares_ownership,
    applying::apply_merges_associative_lists,
    applying::apply_replaces_atomic_lists_and_maps,
    applying::apply_refuses_undeclared_fields,
    applying::apply_needs_a_manager,
    applying::apply_of_the_same_changes_nothing,
    applying::apply_to_the_status_owns_only_the_status,
    applying::updates_take_ownership_of_what_they_change,
    custom::custom_resources_are_pruned_and_defaulted,
    custom::custom_resources_are_validated,
    custom::custom_resources_keep_their_status_apart,
    custom::custom_resources_are_served_in_each_version,
    custom::custom_resource_updates_need_a_version,
    custom::custom_resources_respect_list_types,
    custom::definitions_are_established,
    forms::metadata_is_served_alone,
    forms::tables_have_columns,
    forms::discovery_lists_resources,
];

pub(super) use definition::{install, install_definitions};

/// What a case works with.
#[derive(Clone)]
pub(super) struct Context {
    /// A client that may do everything.
    pub client: Client,
    /// A namespace that exists and in which nothing of this case exists.
    pub namespace: String,
}

/// Runs every case, each in a namespace of its own, and fails with the names of those that failed.
pub(super) async fn run_all(client: Client) {
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

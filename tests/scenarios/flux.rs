//! Flux, as far as a sidecar sees it: a GitRepository whose artifacts are served, and a Kustomization that applies them.
//! Each does its part when the script says so. Written from Flux's documentation, never from what reads it.

use std::{
    collections::BTreeMap,
    sync::{Arc, Mutex},
};

use flate2::{Compression, write::GzEncoder};
use serde::Deserialize;
use serde_json::{Value, json};
use serin::{
    cli::stage,
    manifest::{Object, ObjectKey, Resource},
    rehearsal::Cluster,
};
use sha2::{Digest as _, Sha256};

use crate::script::Files;

/// The host that serves artifacts.
pub(crate) const HOST: &str = "source-controller";
const NAMESPACE: &str = "flux-system";
const NAME: &str = "fleet";

/// What Flux does.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub(crate) enum Deed {
    /// The source has an artifact of the newest commit.
    Fetch,
    /// The artifact is applied.
    Apply,
    /// It cannot be applied.
    Fail,
    /// Flux is told to stand still.
    Suspend,
    /// Flux may go on.
    Resume,
}

/// Flux on the stage.
#[derive(Clone, Debug, Default)]
pub(crate) struct Flux {
    archives: Arc<Mutex<BTreeMap<String, Vec<u8>>>>,
    fetched: Option<(String, Files)>,
}

impl Flux {
    /// The source that the sidecar follows.
    pub(crate) fn source() -> ObjectKey {
        ObjectKey::new(Resource::GIT_REPOSITORY, NAMESPACE, NAME)
    }

    /// Serves the artifacts.
    pub(crate) fn host(&self) -> axum::Router {
        let archives = Arc::clone(&self.archives);
        axum::Router::new().fallback(move |uri: http::Uri| {
            let found = archives.lock().unwrap().get(uri.path()).cloned();
            async move { found.ok_or(http::StatusCode::NOT_FOUND) }
        })
    }

    /// Makes Flux's resources, its namespace and its two objects.
    pub(crate) fn install(cluster: &Cluster) {
        let metadata = json!({"name": NAME, "namespace": NAMESPACE});
        let objects = [
            json!({"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": NAMESPACE}}),
            definition(Resource::GIT_REPOSITORY),
            definition(Resource::KUSTOMIZATION),
            json!({"apiVersion": Resource::GIT_REPOSITORY.api_version(), "kind": "GitRepository", "metadata": metadata,
                "spec": {"interval": "1m", "url": "https://git.example.com/team/fleet", "ref": {"branch": "main"}}}),
            json!({"apiVersion": Resource::KUSTOMIZATION.api_version(), "kind": "Kustomization", "metadata": metadata,
                "spec": {"interval": "10m", "path": "./apps", "prune": true,
                    "sourceRef": {"kind": "GitRepository", "name": NAME}}}),
        ];
        for object in objects {
            stage::create(cluster, object).unwrap();
        }
    }

    /// Does what the script says.
    pub(crate) fn act(
        &mut self,
        deed: Deed,
        cluster: &Cluster,
        newest: &str,
        files: &Files,
    ) -> Result<(), String> {
        let kustomization = ObjectKey::new(Resource::KUSTOMIZATION, NAMESPACE, NAME);
        match deed {
            Deed::Fetch => {
                let artifact = self.archive(newest, files);
                self.fetched = Some((newest.to_owned(), files.clone()));
                status(
                    cluster,
                    &Self::source(),
                    &json!({"artifact": artifact, "conditions": ready("Succeeded", "")}),
                )
            }
            Deed::Apply => {
                let (commit, files) = self.fetched.clone().ok_or("nothing was fetched")?;
                let inventory = apply(cluster, &files)?;
                let revision = format!("main@sha1:{commit}");
                let now = json!({"lastAttemptedRevision": revision, "lastAppliedRevision": revision,
                    "conditions": ready("ReconciliationSucceeded", ""), "inventory": {"entries": inventory}});
                status(cluster, &kustomization, &now)
            }
            Deed::Fail => {
                let (commit, _) = self.fetched.clone().ok_or("nothing was fetched")?;
                let why = "kustomize build failed: accumulating resources";
                let now = json!({"lastAttemptedRevision": format!("main@sha1:{commit}"),
                    "conditions": ready("BuildFailed", why)});
                status(cluster, &kustomization, &now)
            }
            Deed::Suspend | Deed::Resume => {
                let suspend = json!({"spec": {"suspend": deed == Deed::Suspend}});
                let store = cluster.store();
                let done = store.modify("flux", &kustomization, |value| json_patch::merge(value, &suspend));
                done.map(drop).map_err(|error| format!("{error:?}"))
            }
        }
    }

    fn archive(&self, commit: &str, files: &Files) -> Value {
        let mut builder = tar::Builder::new(GzEncoder::new(Vec::new(), Compression::default()));
        for (path, text) in files {
            let mut header = tar::Header::new_gnu();
            header.set_size(text.len() as u64);
            header.set_mode(0o644);
            builder.append_data(&mut header, path, text.as_bytes()).unwrap();
        }
        let bytes = builder.into_inner().unwrap().finish().unwrap();
        let digest = Sha256::digest(&bytes)
            .iter()
            .fold("sha256:".to_owned(), |text, byte| text + &format!("{byte:02x}"));
        let path = format!("/gitrepository/{NAMESPACE}/{NAME}/{commit}.tar.gz");
        let artifact = json!({"revision": format!("main@sha1:{commit}"), "digest": digest,
            "url": format!("http://{HOST}{path}"), "path": path, "size": bytes.len()});
        self.archives.lock().unwrap().insert(path, bytes);
        artifact
    }
}

/// Condition Ready: False where there is something to say.
fn ready(reason: &str, why: &str) -> Value {
    let status = if why.is_empty() { "True" } else { "False" };
    json!([{"type": "Ready", "status": status, "reason": reason, "message": why}])
}

fn status(cluster: &Cluster, key: &ObjectKey, change: &Value) -> Result<(), String> {
    let change = json!({ "status": change });
    let store = cluster.store();
    let done = store.modify_status("flux", key, |value| json_patch::merge(value, &change));
    done.map(drop).map_err(|error| format!("{error:?}"))
}

/// Applies all manifests; gives the inventory.
fn apply(cluster: &Cluster, files: &Files) -> Result<Vec<Value>, String> {
    let mut inventory = Vec::new();
    for (path, text) in files.iter().filter(|(path, _)| path.starts_with("apps/")) {
        let object: Value = serde_saphyr::from_str(text).map_err(|error| format!("{path}: {error}"))?;
        let key = Object::from(object.clone()).key();
        let store = cluster.store();
        let done = match store.get(&key) {
            Some(_) => store.modify("kustomize-controller", &key, |value| {
                json_patch::merge(value, &object);
            }),
            None => store.create("kustomize-controller", object),
        };
        done.map_err(|error| format!("{path}: {error:?}"))?;
        let id = format!("{}_{}_{}_{}", key.namespace, key.name, key.group, key.kind);
        inventory.push(json!({ "id": id, "v": "v1" }));
    }
    Ok(inventory)
}

fn definition(resource: Resource) -> Value {
    let schema = json!({"openAPIV3Schema": {"type": "object", "x-kubernetes-preserve-unknown-fields": true}});
    json!({"apiVersion": "apiextensions.k8s.io/v1", "kind": "CustomResourceDefinition",
        "metadata": {"name": format!("{}.{}", resource.plural, resource.group)},
        "spec": {"group": resource.group, "scope": "Namespaced",
            "names": {"kind": resource.kind, "plural": resource.plural, "singular": resource.kind.to_lowercase(),
                "listKind": format!("{}List", resource.kind)},
            "versions": [{"name": resource.version, "served": true, "storage": true, "schema": schema,
                "subresources": {"status": {}}}]}})
}

//! The only writer. Carries a [`Write`] out, and gives what the server made of it.

use http::{Method, Request};
use kube::Client;
use serde_json::{Value, json};

use super::{Cluster, ClusterError, url};
use crate::manifest::{Manager, Object, ObjectKey, Resource, Write};

const JSON: &str = "application/json";
const JSON_PATCH: &str = "application/json-patch+json";
const APPLY: &str = "application/apply-patch+yaml";

pub(super) async fn get(client: &Client, key: &ObjectKey) -> Result<Option<Object>, ClusterError> {
    let resource = known(key)?;
    let request = request(key, Method::GET, url::object(resource, key), JSON, Vec::new())?;
    match client.request::<Value>(request).await {
        Ok(value) => Ok(Some(Object::from(value))),
        Err(kube::Error::Api(status)) if status.code == 404 => Ok(None),
        Err(error) => Err(ClusterError::of(key, "get", error)),
    }
}

impl Cluster {
    /// Carries a write out. Gives the object as the server has it now; nothing after a deletion or where a
    /// `Create` found the object there already.
    pub async fn write(&self, write: Write) -> Result<Option<Object>, ClusterError> {
        let key = write.key();
        let (verb, request) = render(&key, write)?;
        tracing::debug!(%key, verb, "Writing.");
        match self.client.request::<Value>(request).await {
            Ok(value) if verb == "delete" => {
                tracing::trace!(%key, answer = ?value.get("kind"), "Deleted.");
                Ok(None)
            }
            Ok(value) => {
                let object = Object::from(value);
                self.remember(&object);
                Ok(Some(object))
            }
            Err(kube::Error::Api(status)) if verb == "create" && status.code == 409 => Ok(None),
            Err(kube::Error::Api(status)) if verb == "delete" && status.code == 404 => Ok(None),
            Err(error) => Err(ClusterError::of(&key, verb, error)),
        }
    }
}

fn render(key: &ObjectKey, write: Write) -> Result<(&'static str, Request<Vec<u8>>), ClusterError> {
    let resource = known(key)?;
    let path = url::object(resource, key);
    let manager = Manager::Serin.name();
    let made = match write {
        Write::Apply {
            manager,
            object,
            force,
        } => {
            let path = format!("{path}?fieldManager={}&force={force}", manager.name());
            (
                "apply",
                request(key, Method::PATCH, path, APPLY, bytes(object.value()))?,
            )
        }
        Write::Patch { patch, .. } => {
            let path = format!("{path}?fieldManager={manager}");
            let body = serde_json::to_vec(&patch).unwrap_or_default();
            ("patch", request(key, Method::PATCH, path, JSON_PATCH, body)?)
        }
        Write::Create { object } => {
            let path = format!(
                "{}?fieldManager={manager}",
                url::collection(resource, &key.namespace)
            );
            (
                "create",
                request(key, Method::POST, path, JSON, bytes(object.value()))?,
            )
        }
        Write::Status {
            uid,
            resource_version,
            status,
            ..
        } => {
            let path = format!("{path}/status?fieldManager={manager}");
            let metadata = json!({"name": key.name, "namespace": key.namespace, "uid": uid,
                "resourceVersion": resource_version});
            let body = json!({"apiVersion": resource.api_version(), "kind": key.kind, "metadata": metadata,
                "status": status});
            (
                "update the status of",
                request(key, Method::PUT, path, JSON, bytes(&body))?,
            )
        }
        Write::Delete {
            uid, grace_seconds, ..
        } => {
            let options = json!({"apiVersion": "v1", "kind": "DeleteOptions",
                "gracePeriodSeconds": grace_seconds, "preconditions": {"uid": uid}});
            (
                "delete",
                request(key, Method::DELETE, path, JSON, bytes(&options))?,
            )
        }
    };
    Ok(made)
}

fn known(key: &ObjectKey) -> Result<Resource, ClusterError> {
    key.resource()
        .ok_or_else(|| ClusterError::UnknownKind { key: key.clone() })
}

fn bytes(value: &Value) -> Vec<u8> {
    value.to_string().into_bytes()
}

fn request(
    key: &ObjectKey,
    method: Method,
    path: String,
    content_type: &str,
    body: Vec<u8>,
) -> Result<Request<Vec<u8>>, ClusterError> {
    let request = Request::builder()
        .method(method)
        .uri(path)
        .header("content-type", content_type);
    request.body(body).map_err(|error| ClusterError::Rejected {
        key: key.clone(),
        verb: "address",
        message: error.to_string(),
    })
}

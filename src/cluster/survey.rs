//! One look at a cluster: lists past the watches and with everything that the server keeps, and asks what is allowed. Writes
//! nothing.

use http::{Method, Request};
use serde_json::{Value, json};

use super::{Cluster, ClusterError, url};
use crate::manifest::{Object, ObjectKey, Resource};

/// Definitions of custom resources. Cluster-scoped, and so in none of the lists of resources that Serin addresses.
const DEFINITION: Resource = Resource {
    group: "apiextensions.k8s.io",
    version: "v1",
    kind: "CustomResourceDefinition",
    plural: "customresourcedefinitions",
};

/// Something that may be allowed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Access {
    /// In which namespace.
    pub namespace: String,
    /// On what.
    pub resource: Resource,
    /// The subresource; empty for the object itself.
    pub subresource: &'static str,
    /// The one object; empty for all.
    pub name: String,
    /// The verb.
    pub verb: &'static str,
}

/// What a server answers.
enum Answer {
    Value(Value),
    Absent,
    Denied,
}

impl Answer {
    fn value(self) -> Option<Value> {
        match self {
            Self::Value(value) => Some(value),
            Self::Absent | Self::Denied => None,
        }
    }
}

impl Cluster {
    /// Lists a resource in one namespace or in all, with `managedFields`. None: the server does not have it, or does not allow it.
    pub async fn survey(
        &self,
        resource: Resource,
        namespace: Option<&str>,
    ) -> Result<Option<Vec<Object>>, ClusterError> {
        let key = ObjectKey::new(resource, namespace.unwrap_or_default(), "");
        let path = url::collection(resource, namespace.unwrap_or_default());
        let Some(list) = self.ask(&key, Method::GET, path, None).await?.value() else {
            return Ok(None);
        };
        let items = list.get("items").and_then(Value::as_array).cloned();
        let named = items.into_iter().flatten().filter_map(|mut item| {
            let fields = item.as_object_mut()?;
            fields.insert("apiVersion".to_owned(), resource.api_version().into());
            fields.insert("kind".to_owned(), resource.kind.into());
            Some(Object::from(item))
        });
        Ok(Some(named.collect()))
    }

    /// Reads the definition of a custom resource, if it is there. None: the server does not allow to look.
    pub async fn definition(&self, resource: Resource) -> Result<Option<Option<Object>>, ClusterError> {
        let name = format!("{}.{}", resource.plural, resource.group);
        let key = ObjectKey::new(DEFINITION, "", &name);
        let path = url::object(DEFINITION, &key);
        Ok(match self.ask(&key, Method::GET, path, None).await? {
            Answer::Value(value) => Some(Some(Object::from(value))),
            Answer::Absent => Some(None),
            Answer::Denied => None,
        })
    }

    /// Whether the caller, or this service account (`namespace/name`), is allowed something. None: the server cannot tell.
    pub async fn allows(&self, access: &Access, account: Option<&str>) -> Result<Option<bool>, ClusterError> {
        let mut spec = json!({"resourceAttributes": {"namespace": access.namespace, "group": access.resource.group,
            "resource": access.resource.plural, "subresource": access.subresource, "name": access.name, "verb": access.verb}});
        let mut kind = ("SelfSubjectAccessReview", "selfsubjectaccessreviews");
        if let Some((namespace, name)) = account.and_then(|account| account.split_once('/')) {
            kind = ("SubjectAccessReview", "subjectaccessreviews");
            let groups = json!([
                "system:serviceaccounts",
                format!("system:serviceaccounts:{namespace}"),
                "system:authenticated"
            ]);
            if let Some(fields) = spec.as_object_mut() {
                fields.insert(
                    "user".to_owned(),
                    format!("system:serviceaccount:{namespace}:{name}").into(),
                );
                fields.insert("groups".to_owned(), groups);
            }
        }
        let review = json!({"apiVersion": "authorization.k8s.io/v1", "kind": kind.0, "spec": spec});
        let path = format!("/apis/authorization.k8s.io/v1/{}", kind.1);
        let key = ObjectKey {
            group: "authorization.k8s.io".to_owned(),
            kind: kind.0.to_owned(),
            namespace: String::new(),
            name: String::new(),
        };
        let answer = self.ask(&key, Method::POST, path, Some(&review)).await?.value();
        Ok(answer.and_then(|answer| answer.pointer("/status/allowed")?.as_bool()))
    }

    async fn ask(
        &self,
        key: &ObjectKey,
        method: Method,
        path: String,
        body: Option<&Value>,
    ) -> Result<Answer, ClusterError> {
        let request = Request::builder()
            .method(method)
            .uri(path)
            .header("content-type", "application/json")
            .body(body.map(|body| body.to_string().into_bytes()).unwrap_or_default())
            .map_err(|error| ClusterError::Rejected {
                key: key.clone(),
                verb: "address",
                message: error.to_string(),
            })?;
        match self.client.request::<Value>(request).await {
            Ok(value) => Ok(Answer::Value(value)),
            Err(kube::Error::Api(status)) if status.code == 403 => Ok(Answer::Denied),
            Err(kube::Error::Api(status)) if matches!(status.code, 404 | 405) => Ok(Answer::Absent),
            Err(error) => Err(ClusterError::of(key, "examine", error)),
        }
    }
}

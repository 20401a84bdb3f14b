//! Paths of the Kubernetes API.

use crate::manifest::{ObjectKey, Resource};

/// The path of a collection.
pub(super) fn collection(resource: Resource, namespace: &str) -> String {
    let root = if resource.group.is_empty() {
        format!("/api/{}", resource.version)
    } else {
        format!("/apis/{}/{}", resource.group, resource.version)
    };
    if namespace.is_empty() {
        format!("{root}/{}", resource.plural)
    } else {
        format!("{root}/namespaces/{namespace}/{}", resource.plural)
    }
}

/// The path of an object.
pub(super) fn object(resource: Resource, key: &ObjectKey) -> String {
    format!("{}/{}", collection(resource, &key.namespace), key.name)
}

//! An object, its key, and the table of the resources that Serin knows how to address.

use std::{fmt, sync::Arc};

use serde_json::Value;

/// Names an object in a cluster. The version is left out: two versions of one object are the same object.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct ObjectKey {
    /// API group; empty for the core group.
    pub group: String,
    /// Kind, such as `Deployment`.
    pub kind: String,
    /// Namespace; empty for cluster-scoped objects and for manifests that name none.
    pub namespace: String,
    /// Name.
    pub name: String,
}

impl ObjectKey {
    /// Makes the key of a namespaced object of a known resource.
    #[must_use]
    pub fn new(resource: Resource, namespace: &str, name: &str) -> Self {
        Self {
            group: resource.group.to_owned(),
            kind: resource.kind.to_owned(),
            namespace: namespace.to_owned(),
            name: name.to_owned(),
        }
    }

    /// Returns the resource of this key, if Serin knows it.
    #[must_use]
    pub fn resource(&self) -> Option<Resource> {
        Resource::ALL
            .into_iter()
            .find(|r| r.kind == self.kind && r.group == self.group)
    }
}

/// Prints `Deployment/test/podinfo`, or `Namespace/test` for a cluster-scoped object.
impl fmt::Display for ObjectKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.namespace.is_empty() {
            write!(f, "{}/{}", self.kind, self.name)
        } else {
            write!(f, "{}/{}/{}", self.kind, self.namespace, self.name)
        }
    }
}

impl serde::Serialize for ObjectKey {
    fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

/// How to address a kind: its group, version, kind and plural name.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Resource {
    /// API group; empty for the core group.
    pub group: &'static str,
    /// The version that Serin reads and writes.
    pub version: &'static str,
    /// Kind.
    pub kind: &'static str,
    /// Plural name, as in the URL.
    pub plural: &'static str,
}

macro_rules! resources {
    ($($(#[$doc:meta])* $name:ident = ($group:literal, $version:literal, $kind:literal, $plural:literal);)*) => {
        impl Resource {
            $($(#[$doc])* pub const $name: Self =
                Self { group: $group, version: $version, kind: $kind, plural: $plural };)*

            /// Every resource that Serin knows how to address.
            pub const ALL: [Self; resources!(@count $($name)*)] = [$(Self::$name),*];
        }
    };
    (@count $($name:ident)*) => { [$(resources!(@one $name)),*].len() };
    (@one $name:ident) => { () };
}

resources! {
    /// apps/v1 Deployment.
    DEPLOYMENT = ("apps", "v1", "Deployment", "deployments");
    /// apps/v1 DaemonSet.
    DAEMON_SET = ("apps", "v1", "DaemonSet", "daemonsets");
    /// v1 Service.
    SERVICE = ("", "v1", "Service", "services");
    /// v1 ConfigMap.
    CONFIG_MAP = ("", "v1", "ConfigMap", "configmaps");
    /// v1 Secret.
    SECRET = ("", "v1", "Secret", "secrets");
    /// v1 Event.
    EVENT = ("", "v1", "Event", "events");
    /// networking.k8s.io/v1 Ingress.
    INGRESS = ("networking.k8s.io", "v1", "Ingress", "ingresses");
    /// autoscaling/v2 HorizontalPodAutoscaler.
    AUTOSCALER = ("autoscaling", "v2", "HorizontalPodAutoscaler", "horizontalpodautoscalers");
    /// coordination.k8s.io/v1 Lease.
    LEASE = ("coordination.k8s.io", "v1", "Lease", "leases");
    /// source.toolkit.fluxcd.io/v1 GitRepository.
    GIT_REPOSITORY = ("source.toolkit.fluxcd.io", "v1", "GitRepository", "gitrepositories");
    /// source.toolkit.fluxcd.io/v1 OCIRepository.
    OCI_REPOSITORY = ("source.toolkit.fluxcd.io", "v1", "OCIRepository", "ocirepositories");
    /// kustomize.toolkit.fluxcd.io/v1 Kustomization.
    KUSTOMIZATION = ("kustomize.toolkit.fluxcd.io", "v1", "Kustomization", "kustomizations");
    /// helm.toolkit.fluxcd.io/v2 HelmRelease.
    HELM_RELEASE = ("helm.toolkit.fluxcd.io", "v2", "HelmRelease", "helmreleases");
    /// notification.toolkit.fluxcd.io/v1beta3 Provider.
    PROVIDER = ("notification.toolkit.fluxcd.io", "v1beta3", "Provider", "providers");
    /// flagger.app/v1beta1 Canary.
    CANARY = ("flagger.app", "v1beta1", "Canary", "canaries");
    /// flagger.app/v1beta1 MetricTemplate.
    METRIC_TEMPLATE = ("flagger.app", "v1beta1", "MetricTemplate", "metrictemplates");
    /// flagger.app/v1beta1 AlertProvider.
    ALERT_PROVIDER = ("flagger.app", "v1beta1", "AlertProvider", "alertproviders");
}

impl Resource {
    /// Returns `group/version`, or the version alone for the core group.
    #[must_use]
    pub fn api_version(&self) -> String {
        if self.group.is_empty() {
            self.version.to_owned()
        } else {
            format!("{}/{}", self.group, self.version)
        }
    }
}

/// A Kubernetes object as raw JSON. Cheap to clone. Fields that newer servers add are kept.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Object(Arc<Value>);

impl From<Value> for Object {
    fn from(value: Value) -> Self {
        Self(Arc::new(value))
    }
}

impl From<Arc<Value>> for Object {
    fn from(value: Arc<Value>) -> Self {
        Self(value)
    }
}

impl Object {
    /// Returns the raw JSON.
    #[must_use]
    pub fn value(&self) -> &Value {
        &self.0
    }

    /// Returns the key. Missing parts are empty.
    #[must_use]
    pub fn key(&self) -> ObjectKey {
        let api_version = self.str_at("/apiVersion");
        ObjectKey {
            group: api_version
                .rsplit_once('/')
                .map_or("", |(group, _)| group)
                .to_owned(),
            kind: self.str_at("/kind").to_owned(),
            namespace: self.str_at("/metadata/namespace").to_owned(),
            name: self.name().to_owned(),
        }
    }

    /// Returns the value at a JSON pointer.
    #[must_use]
    pub fn at(&self, pointer: &str) -> Option<&Value> {
        self.0.pointer(pointer)
    }

    /// Returns the string at a JSON pointer; empty when there is none.
    #[must_use]
    pub fn str_at(&self, pointer: &str) -> &str {
        self.at(pointer).and_then(Value::as_str).unwrap_or_default()
    }

    /// Returns the integer at a JSON pointer.
    #[must_use]
    pub fn i64_at(&self, pointer: &str) -> Option<i64> {
        self.at(pointer).and_then(Value::as_i64)
    }

    /// Returns `metadata.name`; empty when there is none.
    #[must_use]
    pub fn name(&self) -> &str {
        self.str_at("/metadata/name")
    }

    /// Returns `metadata.namespace`; empty when there is none.
    #[must_use]
    pub fn namespace(&self) -> &str {
        self.str_at("/metadata/namespace")
    }

    /// Returns `metadata.uid`; empty for an object that was not read from a cluster.
    #[must_use]
    pub fn uid(&self) -> &str {
        self.str_at("/metadata/uid")
    }

    /// Returns `metadata.resourceVersion`; empty for an object that was not read from a cluster.
    #[must_use]
    pub fn resource_version(&self) -> &str {
        self.str_at("/metadata/resourceVersion")
    }

    /// Returns `metadata.generation`; 0 when there is none.
    #[must_use]
    pub fn generation(&self) -> i64 {
        self.i64_at("/metadata/generation").unwrap_or_default()
    }

    /// Returns an annotation.
    #[must_use]
    pub fn annotation(&self, key: &str) -> Option<&str> {
        self.0.get("metadata")?.get("annotations")?.get(key)?.as_str()
    }

    /// Returns a label.
    #[must_use]
    pub fn label(&self, key: &str) -> Option<&str> {
        self.0.get("metadata")?.get("labels")?.get(key)?.as_str()
    }
}

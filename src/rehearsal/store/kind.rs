//! Which kinds the API server serves: the built-in ones as a table, the others from CustomResourceDefinitions.

use std::{collections::BTreeMap, sync::Arc};

use serde_json::Value;

use super::{error::qualified, json};

/// One served version of a kind.
#[derive(Clone, Debug, PartialEq)]
pub struct Version {
    /// The version, such as `v1`.
    pub name: String,
    /// Whether it is served.
    pub served: bool,
    /// Whether the kind has `/status`.
    pub status: bool,
    /// Whether the kind has `/scale`.
    pub scale: bool,
    /// The OpenAPI schema, for kinds that come from a CustomResourceDefinition.
    pub schema: Option<Arc<Value>>,
    /// `additionalPrinterColumns`, for kinds that come from a CustomResourceDefinition.
    pub columns: Arc<Value>,
}

/// A kind that is served.
#[derive(Clone, Debug, PartialEq)]
pub struct Kind {
    /// API group; empty for the core group.
    pub group: String,
    /// Kind, such as `Deployment`.
    pub kind: String,
    /// Kind of a list.
    pub list_kind: String,
    /// Plural name, as in the URL.
    pub plural: String,
    /// Singular name.
    pub singular: String,
    /// Short names for kubectl.
    pub short_names: Vec<String>,
    /// Categories for kubectl, such as `all`.
    pub categories: Vec<String>,
    /// Whether objects live in namespaces.
    pub namespaced: bool,
    /// Whether it is compiled in (it then knows its types) rather than defined by a CustomResourceDefinition.
    pub builtin: bool,
    /// The versions, preferred first.
    pub versions: Vec<Version>,
    /// The version in which objects are stored.
    pub storage: String,
}

impl Kind {
    /// Returns `deployments.apps`.
    #[must_use]
    pub fn qualified(&self) -> String {
        qualified(&self.group, &self.plural)
    }

    /// Returns `group/version`, or the version alone for the core group.
    #[must_use]
    pub fn api_version(&self, version: &str) -> String {
        if self.group.is_empty() {
            version.to_owned()
        } else {
            format!("{}/{version}", self.group)
        }
    }

    /// Returns a served version.
    #[must_use]
    pub fn version(&self, name: &str) -> Option<&Version> {
        self.versions.iter().find(|v| v.name == name && v.served)
    }

    /// Returns the version in which objects are stored.
    #[must_use]
    pub fn stored(&self) -> Option<&Version> {
        self.versions.iter().find(|v| v.name == self.storage)
    }

    /// Whether `/status` exists, in the stored version.
    #[must_use]
    pub fn has_status(&self) -> bool {
        self.stored().is_some_and(|v| v.status)
    }

    /// Whether `metadata.generation` counts changes of this kind.
    #[must_use]
    pub fn counts_generations(&self) -> bool {
        !self.builtin || GENERATIONS.contains(&self.kind.as_str())
    }
}

const GENERATIONS: [&str; 8] = [
    "Pod",
    "Deployment",
    "ReplicaSet",
    "DaemonSet",
    "Ingress",
    "IngressClass",
    "CustomResourceDefinition",
    "EndpointSlice",
];

// group, version, kind, plural, short names, namespaced, status, scale, in category `all`
type Row = (
    &'static str,
    &'static str,
    &'static str,
    &'static str,
    &'static [&'static str],
    bool,
    bool,
    bool,
    bool,
);

#[rustfmt::skip]
const BUILTIN: [Row; 18] = [
    ("", "v1", "Namespace", "namespaces", &["ns"], false, true, false, false),
    ("", "v1", "Pod", "pods", &["po"], true, true, false, true),
    ("", "v1", "Service", "services", &["svc"], true, true, false, true),
    ("", "v1", "Endpoints", "endpoints", &["ep"], true, false, false, false),
    ("", "v1", "ConfigMap", "configmaps", &["cm"], true, false, false, false),
    ("", "v1", "Secret", "secrets", &[], true, false, false, false),
    ("", "v1", "Event", "events", &["ev"], true, false, false, false),
    ("", "v1", "Node", "nodes", &["no"], false, true, false, false),
    ("", "v1", "ServiceAccount", "serviceaccounts", &["sa"], true, false, false, false),
    ("apps", "v1", "Deployment", "deployments", &["deploy"], true, true, true, true),
    ("apps", "v1", "ReplicaSet", "replicasets", &["rs"], true, true, true, true),
    ("apps", "v1", "DaemonSet", "daemonsets", &["ds"], true, true, false, true),
    ("autoscaling", "v2", "HorizontalPodAutoscaler", "horizontalpodautoscalers", &["hpa"], true, true, false, true),
    ("networking.k8s.io", "v1", "Ingress", "ingresses", &["ing"], true, true, false, false),
    ("networking.k8s.io", "v1", "IngressClass", "ingressclasses", &[], false, false, false, false),
    ("coordination.k8s.io", "v1", "Lease", "leases", &[], true, false, false, false),
    ("discovery.k8s.io", "v1", "EndpointSlice", "endpointslices", &[], true, false, false, false),
    ("apiextensions.k8s.io", "v1", "CustomResourceDefinition", "customresourcedefinitions", &["crd", "crds"], false, true, false, false),
];

fn builtin(row: Row) -> Kind {
    let (group, version, kind, plural, short, namespaced, status, scale, all) = row;
    Kind {
        group: group.to_owned(),
        kind: kind.to_owned(),
        list_kind: format!("{kind}List"),
        plural: plural.to_owned(),
        singular: kind.to_lowercase(),
        short_names: short.iter().map(|s| (*s).to_owned()).collect(),
        categories: if all { vec!["all".to_owned()] } else { Vec::new() },
        namespaced,
        builtin: true,
        versions: vec![Version {
            name: version.to_owned(),
            served: true,
            status,
            scale,
            schema: None,
            columns: Arc::new(Value::Null),
        }],
        storage: version.to_owned(),
    }
}

/// The kinds that are served at present, by group and kind.
#[derive(Clone, Debug)]
pub(crate) struct Kinds {
    by_kind: BTreeMap<(String, String), Arc<Kind>>,
}

impl Default for Kinds {
    fn default() -> Self {
        let by_kind = BUILTIN
            .into_iter()
            .map(|row| ((row.0.to_owned(), row.2.to_owned()), Arc::new(builtin(row))))
            .collect();
        Self { by_kind }
    }
}

impl Kinds {
    /// Returns a kind.
    pub(crate) fn get(&self, group: &str, kind: &str) -> Option<Arc<Kind>> {
        self.by_kind.get(&(group.to_owned(), kind.to_owned())).cloned()
    }

    /// Returns the kind with a plural name.
    pub(crate) fn by_plural(&self, group: &str, plural: &str) -> Option<Arc<Kind>> {
        self.by_kind
            .values()
            .find(|k| k.group == group && k.plural == plural)
            .cloned()
    }

    /// Returns all kinds.
    pub(crate) fn all(&self) -> impl Iterator<Item = &Arc<Kind>> {
        self.by_kind.values()
    }

    /// Serves the kind of a CustomResourceDefinition, in its present form.
    pub(crate) fn define(&mut self, definition: &Value) {
        if let Some(kind) = from_definition(definition) {
            self.by_kind
                .insert((kind.group.clone(), kind.kind.clone()), Arc::new(kind));
        }
    }

    /// Stops serving the kind of a CustomResourceDefinition. Returns its group and kind.
    pub(crate) fn forget(&mut self, definition: &Value) -> Option<(String, String)> {
        let group = json::text(definition, &["spec", "group"]).to_owned();
        let kind = json::text(definition, &["spec", "names", "kind"]).to_owned();
        let key = (group, kind);
        self.by_kind.remove(&key).map(|_| key)
    }
}

fn from_definition(definition: &Value) -> Option<Kind> {
    let spec = definition.get("spec")?;
    let names = spec.get("names")?;
    let kind = json::text(names, &["kind"]).to_owned();
    let list = |key: &str| -> Vec<String> {
        json::strings(names, &[key])
            .into_iter()
            .map(str::to_owned)
            .collect()
    };
    let mut versions: Vec<Version> = json::items(spec, &["versions"]).iter().map(version).collect();
    versions.sort_by_key(|v| std::cmp::Reverse(priority(&v.name)));
    let storage = json::items(spec, &["versions"])
        .iter()
        .find(|v| json::at(v, &["storage"]).and_then(Value::as_bool) == Some(true))
        .map(|v| json::text(v, &["name"]).to_owned())?;
    let or = |text: &str, other: String| if text.is_empty() { other } else { text.to_owned() };
    Some(Kind {
        group: json::text(spec, &["group"]).to_owned(),
        list_kind: or(json::text(names, &["listKind"]), format!("{kind}List")),
        plural: json::text(names, &["plural"]).to_owned(),
        singular: or(json::text(names, &["singular"]), kind.to_lowercase()),
        short_names: list("shortNames"),
        categories: list("categories"),
        namespaced: json::text(spec, &["scope"]) == "Namespaced",
        builtin: false,
        versions,
        storage,
        kind,
    })
}

fn version(value: &Value) -> Version {
    Version {
        name: json::text(value, &["name"]).to_owned(),
        served: json::at(value, &["served"])
            .and_then(Value::as_bool)
            .unwrap_or_default(),
        status: json::at(value, &["subresources", "status"]).is_some(),
        scale: json::at(value, &["subresources", "scale"]).is_some(),
        schema: json::at(value, &["schema", "openAPIV3Schema"]).map(|s| Arc::new(s.clone())),
        columns: Arc::new(value.get("additionalPrinterColumns").cloned().unwrap_or_default()),
    }
}

/// Orders versions as Kubernetes does: v2 before v1, stable before beta before alpha, others last.
fn priority(version: &str) -> (u8, u64, u64) {
    let parse = |v: &str| -> Option<(u8, u64, u64)> {
        let rest = v.strip_prefix('v')?;
        for (stage, word) in [(2, "beta"), (1, "alpha")] {
            if let Some((major, minor)) = rest.split_once(word) {
                return Some((stage, major.parse().ok()?, minor.parse().ok()?));
            }
        }
        Some((3, rest.parse().ok()?, 0))
    };
    parse(version).unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn versions_are_ordered_as_kubernetes_orders_them() {
        let mut names = ["v1alpha3", "v1beta1", "v2", "foo", "v1", "v1beta2"];
        names.sort_by_key(|v| std::cmp::Reverse(priority(v)));
        assert_eq!(names, ["v2", "v1", "v1beta2", "v1beta1", "v1alpha3", "foo"]);
    }
}

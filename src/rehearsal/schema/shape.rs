//! Which lists are sets or maps, and which maps are replaced whole: what merging and ownership go by.

use serde_json::Value;

use crate::rehearsal::store::{Kind, json as j};

/// How a value is merged and owned.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Shape {
    /// Field by field; for what is no object, as one value.
    Fields,
    /// As one value.
    Atomic,
    /// A list without order whose entries are values.
    Set,
    /// A list whose entries are objects known by these fields.
    Keyed(Vec<String>),
}

/// A place in the type of a kind.
#[derive(Clone, Debug)]
pub(crate) enum Node<'a> {
    /// A place in a built-in type: the kind, and the field names from the root.
    Builtin(&'a str, String),
    /// A place in an OpenAPI schema.
    Schema(&'a Value),
    /// The root of a custom resource.
    Root(&'a Value),
    /// A place of which nothing is known.
    Unknown,
}

const SET: &[&str] = &["="];
const ATOMIC: &[&str] = &[];

/// Lists that are not atomic, and maps that are; `@` is an entry of a list, `pod.` is the pod's spec wherever it is embedded.
#[rustfmt::skip]
const TABLE: &[(&str, &str, &[&str])] = &[
    ("", "metadata.ownerReferences", &["uid"]),
    ("", "metadata.ownerReferences.@", ATOMIC),
    ("", "metadata.finalizers", SET),
    ("", "pod.containers", &["name"]),
    ("", "pod.containers.ports", &["containerPort", "protocol"]),
    ("", "pod.containers.env", &["name"]),
    ("", "pod.containers.volumeMounts", &["mountPath"]),
    ("", "pod.containers.volumeDevices", &["devicePath"]),
    ("", "pod.containers.resources.claims", &["name"]),
    ("", "pod.volumes", &["name"]),
    ("", "pod.imagePullSecrets", &["name"]),
    ("", "pod.imagePullSecrets.@", ATOMIC),
    ("", "pod.hostAliases", &["ip"]),
    ("", "pod.topologySpreadConstraints", &["topologyKey", "whenUnsatisfiable"]),
    ("", "pod.schedulingGates", &["name"]),
    ("", "pod.resourceClaims", &["name"]),
    ("", "pod.nodeSelector", ATOMIC),
    ("", "spec.selector", ATOMIC),
    ("", "status.conditions", &["type"]),
    ("Service", "spec.ports", &["port", "protocol"]),
    ("Pod", "status.podIPs", &["ip"]),
    ("Node", "spec.podCIDRs", SET),
    ("Node", "status.addresses", &["type"]),
    ("ServiceAccount", "secrets", &["name"]),
    ("ServiceAccount", "secrets.@", ATOMIC),
    ("ServiceAccount", "imagePullSecrets", &["name"]),
    ("ServiceAccount", "imagePullSecrets.@", ATOMIC),
    ("Event", "involvedObject", ATOMIC),
    ("Event", "related", ATOMIC),
];

/// Fields that are replaced whole wherever they are.
const ATOMIC_ANYWHERE: [&str; 8] = [
    "labelSelector",
    "namespaceSelector",
    "fieldRef",
    "secretKeyRef",
    "configMapKeyRef",
    "resourceFieldRef",
    "secretRef",
    "requiredDuringSchedulingIgnoredDuringExecution",
];

/// Fields of built-in types that hold free keys.
const FREE_KEYS: [&str; 12] = [
    "labels",
    "annotations",
    "matchLabels",
    "data",
    "binaryData",
    "stringData",
    "nodeSelector",
    "limits",
    "requests",
    "capacity",
    "allocatable",
    "overhead",
];

/// Structs and lists of built-in types that are never absent in the server's own form of an object.
#[rustfmt::skip]
const ALWAYS_THERE: [&str; 15] = [
    "", "metadata", "spec", "status", "source", "spec.template", "spec.template.metadata",
    "spec.template.spec", "pod.containers", "spec.strategy", "spec.updateStrategy", "spec.names",
    "spec.scaleTargetRef", "status.loadBalancer", "involvedObject",
];

impl<'a> Node<'a> {
    /// Returns the root of a kind's type.
    pub(crate) fn root(kind: &'a Kind, version: &str) -> Self {
        if kind.builtin {
            return Self::Builtin(&kind.kind, String::new());
        }
        kind.version(version)
            .and_then(|v| v.schema.as_deref())
            .map_or(Self::Unknown, Node::Root)
    }

    /// Returns the place of a field.
    pub(crate) fn field(&self, name: &str) -> Self {
        match self {
            Self::Builtin(kind, path) if path.is_empty() => Self::Builtin(kind, name.to_owned()),
            Self::Builtin(kind, path) => Self::Builtin(kind, canonical(kind, &format!("{path}.{name}"))),
            Self::Root(_) if name == "metadata" => Self::Builtin("", name.to_owned()),
            Self::Root(schema) | Self::Schema(schema) => property(schema, name),
            Self::Unknown => Self::Unknown,
        }
    }

    /// Returns the place of the entries of a list.
    pub(crate) fn item(&self) -> Self {
        match self {
            Self::Builtin(kind, path) => Self::Builtin(kind, format!("{path}.@")),
            Self::Schema(schema) => schema.get("items").map_or(Self::Unknown, Node::Schema),
            other => other.clone(),
        }
    }

    /// Returns how the value at this place is merged and owned.
    pub(crate) fn shape(&self, value: &Value) -> Shape {
        let list = value.is_array();
        match self {
            Self::Builtin(kind, path) => builtin(kind, path, list),
            Self::Schema(schema) => declared(schema, list),
            Self::Unknown if list => Shape::Atomic,
            Self::Root(_) | Self::Unknown => Shape::Fields,
        }
    }

    /// Returns the value that a missing key field of a list entry stands for.
    pub(crate) fn key_default(&self, key: &str) -> Option<Value> {
        match self {
            Self::Builtin(_, path) => {
                (key == "protocol" && path.ends_with("ports")).then(|| Value::from("TCP"))
            }
            Self::Schema(schema) => j::at(schema, &["items", "properties", key, "default"]).cloned(),
            Self::Root(_) | Self::Unknown => None,
        }
    }

    /// Whether this place holds free keys rather than declared fields.
    pub(crate) fn has_free_keys(&self) -> bool {
        match self {
            Self::Builtin(_, path) => path
                .rsplit('.')
                .next()
                .is_some_and(|last| FREE_KEYS.contains(&last)),
            Self::Root(schema) | Self::Schema(schema) => schema.get("properties").is_none(),
            Self::Unknown => true,
        }
    }

    /// Whether the server's own form of an object always has this struct.
    pub(crate) fn is_always_there(&self) -> bool {
        match self {
            Self::Builtin(_, path) => ALWAYS_THERE.contains(&path.as_str()),
            Self::Root(_) => true,
            Self::Schema(_) | Self::Unknown => false,
        }
    }
}

/// Folds the places of pods in workloads, and the three kinds of containers, into one.
fn canonical(kind: &str, path: &str) -> String {
    let pod = match kind {
        "Deployment" | "ReplicaSet" | "DaemonSet" => {
            if let Some(rest) = path.strip_prefix("spec.template.metadata.") {
                return format!("metadata.{rest}");
            }
            path.strip_prefix("spec.template.spec.")
        }
        "Pod" => path.strip_prefix("spec."),
        _ => None,
    };
    match pod {
        Some(rest) => format!("pod.{rest}"),
        None => path.to_owned(),
    }
}

/// Returns what the table says of a place; the three kinds of containers are one.
fn lookup(kind: &str, path: &str) -> Option<&'static [&'static str]> {
    let containers = ["pod.initContainers", "pod.ephemeralContainers"];
    let rest = containers.iter().find_map(|c| path.strip_prefix(c));
    let path = rest.map_or_else(|| path.to_owned(), |rest| format!("pod.containers{rest}"));
    let row = |path: &str| {
        TABLE
            .iter()
            .find(|(k, p, _)| *p == path && (k.is_empty() || *k == kind))
    };
    row(&path)
        .or_else(|| row(&path.replace(".@", "")))
        .map(|(_, _, keys)| *keys)
}

fn builtin(kind: &str, path: &str, list: bool) -> Shape {
    match lookup(kind, path) {
        Some([]) => Shape::Atomic,
        // An entry has the place of its list.
        Some(_) if !list => Shape::Fields,
        Some(keys) if keys == SET => Shape::Set,
        Some(keys) => Shape::Keyed(keys.iter().map(|k| (*k).to_owned()).collect()),
        None if list => Shape::Atomic,
        None if path
            .rsplit('.')
            .next()
            .is_some_and(|last| ATOMIC_ANYWHERE.contains(&last)) =>
        {
            Shape::Atomic
        }
        None => Shape::Fields,
    }
}

fn declared(schema: &Value, list: bool) -> Shape {
    if !list {
        let atomic = j::text(schema, &["x-kubernetes-map-type"]) == "atomic";
        return if atomic { Shape::Atomic } else { Shape::Fields };
    }
    match j::text(schema, &["x-kubernetes-list-type"]) {
        "set" => Shape::Set,
        "map" => {
            let keys = j::strings(schema, &["x-kubernetes-list-map-keys"]);
            Shape::Keyed(keys.into_iter().map(str::to_owned).collect())
        }
        _ => Shape::Atomic,
    }
}

fn property<'a>(schema: &'a Value, name: &str) -> Node<'a> {
    let declared = schema.get("properties").and_then(|p| p.get(name));
    let free = || schema.get("additionalProperties").filter(|a| a.is_object());
    declared.or_else(free).map_or(Node::Unknown, Node::Schema)
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn pods_have_the_same_shape_wherever_they_are() {
        let list = json!([]);
        for (kind, path) in [
            ("Deployment", &["spec", "template", "spec", "initContainers"][..]),
            ("Pod", &["spec", "containers"][..]),
        ] {
            let root = Node::Builtin(kind, String::new());
            let containers = path.iter().fold(root, |node, field| node.field(field));
            assert_eq!(containers.shape(&list), Shape::Keyed(vec!["name".into()]));
            let ports = containers.item().field("ports");
            assert_eq!(
                ports.shape(&list),
                Shape::Keyed(vec!["containerPort".into(), "protocol".into()])
            );
            assert_eq!(ports.key_default("protocol"), Some("TCP".into()));
            assert_eq!(containers.item().field("args").shape(&list), Shape::Atomic);
        }
    }

    #[test]
    fn custom_resources_declare_their_shapes() {
        let schema = json!({"properties": {"spec": {"properties": {
            "tags": {"type": "array", "x-kubernetes-list-type": "set"},
            "hooks": {"type": "array", "x-kubernetes-list-type": "map", "x-kubernetes-list-map-keys": ["name"]},
            "match": {"type": "object", "x-kubernetes-map-type": "atomic"},
        }}}});
        let spec = Node::Root(&schema).field("spec");
        assert_eq!(spec.field("tags").shape(&json!([])), Shape::Set);
        assert_eq!(
            spec.field("hooks").shape(&json!([])),
            Shape::Keyed(vec!["name".into()])
        );
        assert_eq!(spec.field("match").shape(&json!({})), Shape::Atomic);
        assert_eq!(spec.field("other").shape(&json!([])), Shape::Atomic);
        assert_eq!(
            Node::Root(&schema)
                .field("metadata")
                .field("finalizers")
                .shape(&json!([])),
            Shape::Set
        );
    }
}

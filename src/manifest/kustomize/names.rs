//! Names and namespaces: what is put before and after them, the hash of generated objects, and the order in
//! which objects are printed.

use std::collections::BTreeSet;

use serde_json::{Value, json};
use sha2::{Digest as _, Sha256};

use super::{
    fault::Outcome,
    fields::{FieldSpec, Leaf, Selected, visit},
    item::Item,
    load::Spot,
};

/// Sets the namespace of every object that has one.
pub(super) fn namespace(
    items: &mut [Item],
    namespace: &str,
    specs: &[FieldSpec],
    spot: &Spot,
) -> Outcome<()> {
    if namespace.is_empty() {
        return Ok(());
    }
    let parts: Vec<_> = specs.iter().map(|spec| (spec, spec.parts())).collect();
    let mut ids = BTreeSet::new();
    for item in items.iter_mut() {
        item.remember();
        set_namespace(item, namespace, &parts).map_err(|message| {
            spot.at("/namespace").wrong(
                format!("the namespace of {} cannot be set: {message}", item.id()),
                "correct the object",
            )
        })?;
        let id = item.id();
        if let Some(id) = ids.replace(id) {
            return Err(spot.at("/namespace").wrong(
                format!("two objects become {id} in one namespace"),
                "give them different names, or leave out `namespace`",
            ));
        }
    }
    Ok(())
}

fn set_namespace(
    item: &mut Item,
    namespace: &str,
    specs: &[(&FieldSpec, Vec<String>)],
) -> Result<(), String> {
    let mut set = |field: &mut Value| {
        if field.is_object() || field.is_array() {
            return Err("it is not a text".to_owned());
        }
        *field = json!(namespace);
        Ok(())
    };
    if !item.is_cluster_scoped() {
        item.set_metadata("namespace", namespace);
    }
    let is_binding = matches!(item.kind(), "RoleBinding" | "ClusterRoleBinding");
    for (spec, parts) in specs {
        let path = spec.path.as_str();
        let hard_coded = path == "metadata/namespace"
            || path == "metadata/name" && item.api_version() != "v1"
            || is_binding
                && path == "subjects/namespace"
                && matches!(spec.kind.as_str(), "RoleBinding" | "ClusterRoleBinding");
        if spec.fits(item) && !hard_coded {
            let leaf = if spec.create { Leaf::Scalar } else { Leaf::None };
            visit(item.edit(), parts, leaf, &mut set)?;
        }
    }
    if is_binding {
        default_subjects(item, namespace);
    }
    Ok(())
}

/// The default service account of a binding is that of the new namespace.
fn default_subjects(item: &mut Item, namespace: &str) {
    let is_default = |subject: &Value| subject.get("name").is_some_and(|name| name == "default");
    let subjects = |value: &Value| value.get("subjects").and_then(Value::as_array).cloned();
    if !subjects(&item.value).is_some_and(|subjects| subjects.iter().any(is_default)) {
        return;
    }
    let Some(Value::Array(subjects)) = item.edit().get_mut("subjects") else {
        return;
    };
    for subject in subjects.iter_mut().filter(|subject| is_default(subject)) {
        if let Some(fields) = subject.as_object_mut() {
            fields.insert("namespace".to_owned(), json!(namespace));
        }
    }
}

/// Puts something before the name of every object that may be renamed.
pub(super) fn prefix(items: &mut [Item], prefix: &str, specs: &[FieldSpec], spot: &Spot) -> Outcome<()> {
    rename(items, prefix, specs, &spot.at("/namePrefix"), Side::Before)
}

/// Puts something after the name of every object that may be renamed.
pub(super) fn suffix(items: &mut [Item], suffix: &str, specs: &[FieldSpec], spot: &Spot) -> Outcome<()> {
    rename(items, suffix, specs, &spot.at("/nameSuffix"), Side::After)
}

#[derive(Clone, Copy, PartialEq)]
enum Side {
    Before,
    After,
}

fn rename(items: &mut [Item], affix: &str, specs: &[FieldSpec], spot: &Spot, side: Side) -> Outcome<()> {
    if affix.is_empty() {
        return Ok(());
    }
    let parts: Vec<_> = specs.iter().map(|spec| (spec, spec.parts())).collect();
    for item in items.iter_mut().filter(|item| !keeps_its_name(item)) {
        let kind = item.original().kind.to_owned();
        for (spec, parts) in &parts {
            let (group, version) = (item.group(), item.version());
            if !spec.selected().matches(group, version, &kind) {
                continue;
            }
            if spec.path == "metadata/name" {
                let affixes = if side == Side::Before {
                    &mut item.prefixes
                } else {
                    &mut item.suffixes
                };
                affixes.push(affix.to_owned());
                item.remember();
            }
            let mut set = |field: &mut Value| match field {
                Value::String(text) => {
                    *field = match side {
                        Side::Before => json!(format!("{affix}{text}")),
                        Side::After => json!(format!("{text}{affix}")),
                    };
                    Ok(())
                }
                _ => Err(format!("{} is not a text", spec.path)),
            };
            if spec.fits(item) {
                let id = item.id();
                let leaf = if spec.create { Leaf::Scalar } else { Leaf::None };
                visit(item.edit(), parts, leaf, &mut set).map_err(|message| {
                    spot.wrong(format!("{id} cannot be renamed: {message}"), "correct the object")
                })?;
            }
        }
    }
    Ok(())
}

/// Kinds whose name says more than which object it is.
fn keeps_its_name(item: &Item) -> bool {
    let kept = [
        ("", "CustomResourceDefinition"),
        ("apiregistration.k8s.io", "APIService"),
        ("", "Namespace"),
    ];
    let kind = item.original().kind;
    kept.into_iter().any(|(group, kept)| {
        let selected = Selected {
            group,
            version: "",
            kind: kept,
        };
        selected.matches(item.group(), item.version(), kind)
    })
}

/// Gives generated objects the hash of their content as a part of their name.
pub(super) fn hash(items: &mut [Item]) {
    for item in items.iter_mut().filter(|item| item.hashed) {
        let name = format!("{}-{}", item.name(), content_hash(item));
        item.remember();
        item.set_metadata("name", &name);
    }
}

/// Hex digits, some of them replaced so that no words come about.
const DIGITS: [char; 16] = [
    'g', 'h', '2', 'k', '4', '5', '6', '7', '8', '9', 'm', 'b', 'c', 'd', 't', 'f',
];

/// The hash of a ConfigMap's or Secret's content, ten letters and digits.
fn content_hash(item: &Item) -> String {
    let kind = item.kind();
    let field = |name: &str| item.value.get(name).cloned().unwrap_or_else(|| json!(""));
    let mut content = serde_json::Map::new();
    content.insert("kind".to_owned(), json!(kind));
    content.insert("name".to_owned(), json!(""));
    content.insert("data".to_owned(), field("data"));
    let more = if kind == "Secret" {
        content.insert("type".to_owned(), field("type"));
        "stringData"
    } else {
        "binaryData"
    };
    if let Some(map) = item.value.get(more).filter(|map| map.is_object()) {
        content.insert(more.to_owned(), map.clone());
    }
    let text = Value::Object(content).to_string();
    // As Go writes JSON.
    let text = text
        .replace('<', "\\u003c")
        .replace('>', "\\u003e")
        .replace('&', "\\u0026")
        .replace('\u{2028}', "\\u2028")
        .replace('\u{2029}', "\\u2029");
    let digest = Sha256::digest(text.as_bytes());
    let digit = |half: u8| DIGITS.get(usize::from(half)).copied().unwrap_or_default();
    digest
        .iter()
        .take(5)
        .flat_map(|byte| [digit(byte >> 4), digit(byte & 15)])
        .collect()
}

/// Kinds that are printed first, in this order.
const FIRST: [&str; 22] = [
    "Namespace",
    "ResourceQuota",
    "StorageClass",
    "CustomResourceDefinition",
    "ServiceAccount",
    "PodSecurityPolicy",
    "Role",
    "ClusterRole",
    "RoleBinding",
    "ClusterRoleBinding",
    "ConfigMap",
    "Secret",
    "Endpoints",
    "Service",
    "LimitRange",
    "PriorityClass",
    "PersistentVolume",
    "PersistentVolumeClaim",
    "Deployment",
    "StatefulSet",
    "CronJob",
    "PodDisruptionBudget",
];

/// Kinds that are printed last.
const LAST: [&str; 2] = ["MutatingWebhookConfiguration", "ValidatingWebhookConfiguration"];

/// Where a kind is among those that are printed first and last.
fn rank(kind: &str) -> usize {
    match (
        FIRST.iter().position(|first| *first == kind),
        LAST.iter().position(|last| *last == kind),
    ) {
        (Some(at), _) => at,
        (None, Some(at)) => FIRST.len() + 1 + at,
        (None, None) => FIRST.len(),
    }
}

/// The place of a group, version and kind in kustomize's order of them; those that mean any come late.
pub(super) fn legacy_order(selected: Selected<'_>) -> (usize, [&str; 3]) {
    let words = [selected.group, selected.version, selected.kind];
    (
        rank(selected.kind),
        words.map(|text| if text.is_empty() { "~" } else { text }),
    )
}

/// Puts the objects in the order in which `kustomize build` prints them.
pub(super) fn sort(items: &mut [Item]) {
    items.sort_by_cached_key(|item| {
        let kind = item.kind();
        (
            rank(kind),
            item.group().to_owned(),
            item.version().to_owned(),
            kind.to_owned(),
            item.namespace().to_owned(),
            item.name().to_owned(),
        )
    });
}

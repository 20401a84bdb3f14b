//! Types: what the API server knows about the shape of objects. Reading (unknown fields dropped, wrong types
//! refused), defaults, validation, and which lists are sets or maps. Built-in kinds know their types from
//! k8s-openapi; the others bring an OpenAPI schema.

mod defaults;
mod definition;
mod metadata;
mod quantity;
mod shape;
mod structural;
mod typed;
mod validate;

use serde_json::{Value, json};

pub(crate) use self::{
    definition::accept_definition,
    shape::{Node, Shape},
};
use super::store::{ApiError, Cause, Kind, json as j};

/// Reads a value as an object of a kind: drops unknown fields (or refuses them), refuses wrong types, sets
/// defaults.
pub(crate) fn admit(kind: &Kind, version: &str, value: &mut Value, strict: bool) -> Result<(), ApiError> {
    let unknown = if kind.builtin {
        typed::read(kind, version, value)?
    } else {
        metadata::read(kind, version, value)?;
        let mut unknown = structural::unknown(schema_of(kind, version), value);
        unknown.retain(|path| !path.starts_with("metadata."));
        prune_and_default(kind, version, value);
        unknown
    };
    if strict && !unknown.is_empty() {
        let fields: Vec<String> = unknown.iter().map(|f| format!("unknown field {f:?}")).collect();
        return Err(unreadable(
            kind,
            version,
            &format!("strict decoding error: {}", fields.join(", ")),
        ));
    }
    if kind.builtin {
        defaults::set(&kind.kind, value);
    }
    Ok(())
}

fn unreadable(kind: &Kind, version: &str, why: &str) -> ApiError {
    let name = &kind.kind;
    ApiError::bad_request(format!(
        "{name} in version {version:?} cannot be handled as a {name}: {why}"
    ))
}

/// Returns the fields of a value that its type lacks.
pub(crate) fn unknown_fields(kind: &Kind, version: &str, value: &Value) -> Result<Vec<String>, ApiError> {
    let mut value = value.clone();
    if kind.builtin {
        return typed::read(kind, version, &mut value);
    }
    let mut unknown = structural::unknown(schema_of(kind, version), &value);
    unknown.retain(|path| !path.starts_with("metadata."));
    Ok(unknown)
}

fn schema_of<'a>(kind: &'a Kind, version: &str) -> Option<&'a Value> {
    kind.versions
        .iter()
        .find(|v| v.name == version)
        .and_then(|v| v.schema.as_deref())
}

fn prune_and_default(kind: &Kind, version: &str, value: &mut Value) {
    if let Some(schema) = schema_of(kind, version) {
        let metadata = value.get("metadata").cloned();
        structural::prune(schema, value, true);
        structural::default(schema, value);
        if let (Some(metadata), Some(map)) = (metadata, value.as_object_mut()) {
            map.insert("metadata".to_owned(), metadata);
        }
    }
}

/// Returns what is wrong with a value; `old` is what it replaces.
pub(crate) fn validate(kind: &Kind, version: &str, value: &Value, old: Option<&Value>) -> Vec<Cause> {
    let mut causes = metadata::validate(kind, value);
    if kind.builtin {
        causes.extend(validate::builtin(&kind.kind, value, old));
    } else if let Some(schema) = schema_of(kind, version) {
        let mut value = value.clone();
        j::remove(&mut value, &["metadata"]);
        structural::validate(schema, &value, "", &mut causes);
    }
    causes
}

/// Returns the fields of an intent for a custom resource that have the wrong type, or name an entry twice.
pub(crate) fn mistyped(kind: &Kind, version: &str, value: &Value) -> Vec<Cause> {
    let mut causes = Vec::new();
    if let Some(schema) = schema_of(kind, version).filter(|_| !kind.builtin) {
        let mut value = value.clone();
        j::remove(&mut value, &["metadata"]);
        structural::validate(schema, &value, "", &mut causes);
        causes.retain(|c| matches!(c.reason, "FieldValueTypeInvalid" | "FieldValueDuplicate"));
    }
    causes
}

/// Prunes and defaults a value by the stored version.
pub(crate) fn convert(kind: &Kind, value: &mut Value) {
    if !kind.builtin {
        prune_and_default(kind, &kind.storage, value);
    }
}

/// Prunes and defaults a value that is read in another version than the stored one.
pub(crate) fn serve(kind: &Kind, version: &str, value: &mut Value) {
    if !kind.builtin {
        prune_and_default(kind, version, value);
    }
}

/// Counts the templates of a DaemonSet in the annotation that its first API version left behind.
pub(crate) fn count_templates(old: Option<&Value>, value: &mut Value) {
    let path = [
        "metadata",
        "annotations",
        "deprecated.daemonset.template.generation",
    ];
    let count = old.map_or(1, |old| {
        let count: i64 = j::text(old, &path).parse().unwrap_or_default();
        let template = ["spec", "template"];
        count + i64::from(j::at(old, &template) != j::at(value, &template))
    });
    j::set(value, &path, count.to_string());
}

/// Sets what a built-in object always has, if only as null or empty; nobody owns that.
pub(crate) fn fill(kind: &Kind, value: &mut Value) {
    if kind.builtin {
        defaults::fill(&kind.kind, value);
    }
}

/// Gives a new built-in object the status that it starts with.
pub(crate) fn first_status(kind: &str, value: &mut Value) {
    let status = match kind {
        "Deployment" => json!({}),
        "Service" | "Ingress" => json!({"loadBalancer": {}}),
        "ReplicaSet" => json!({"replicas": 0}),
        "DaemonSet" => json!({
            "currentNumberScheduled": 0, "desiredNumberScheduled": 0, "numberMisscheduled": 0, "numberReady": 0,
        }),
        "Pod" => json!({"phase": "Pending", "qosClass": quality(value)}),
        "Namespace" => json!({"phase": "Active"}),
        "HorizontalPodAutoscaler" => json!({"currentMetrics": null, "desiredReplicas": 0}),
        "CustomResourceDefinition" => {
            let stored = definition::storage(value);
            json!({"acceptedNames": {"kind": "", "plural": ""}, "conditions": null, "storedVersions": [stored]})
        }
        _ => return,
    };
    j::set(value, &["status"], status);
}

/// Returns the quality of service of a pod.
fn quality(pod: &Value) -> &'static str {
    let containers = j::items(pod, &["spec", "containers"]);
    let of = |c: &Value, field: &str| j::at(c, &["resources", field]).cloned().unwrap_or(json!({}));
    let asks = |c: &Value| of(c, "limits") != json!({}) || of(c, "requests") != json!({});
    let sure = |c: &Value| {
        let limits = of(c, "limits");
        limits == of(c, "requests") && limits.get("cpu").is_some() && limits.get("memory").is_some()
    };
    match (containers.iter().any(asks), containers.iter().all(sure)) {
        (false, _) => "BestEffort",
        (true, true) => "Guaranteed",
        (true, false) => "Burstable",
    }
}

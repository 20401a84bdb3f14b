//! CustomResourceDefinitions: when they are accepted.

use serde_json::{Value, json};

use crate::rehearsal::store::{Cause, json as j};

/// Sets the conditions and names of a CustomResourceDefinition. Returns whether that changed it.
pub(crate) fn accept_definition(value: &mut Value, now: &str) -> bool {
    let accepted = value.pointer("/status/conditions").is_some_and(Value::is_array);
    let before = value.clone();
    if !accepted {
        let condition = |kind: &str, reason: &str, message: &str| {
            json!({
                "type": kind, "status": "True", "reason": reason, "message": message, "lastTransitionTime": now,
            })
        };
        let conditions = [
            condition("NamesAccepted", "NoConflicts", "no conflicts found"),
            condition(
                "Established",
                "InitialNamesAccepted",
                "the initial names have been accepted",
            ),
        ];
        j::set(value, &["status", "conditions"], json!(conditions));
    }
    let names = j::at(value, &["spec", "names"]).cloned().unwrap_or_default();
    j::set(value, &["status", "acceptedNames"], names);
    let storage = storage(value);
    let mut stored: Vec<String> = j::strings(value, &["status", "storedVersions"])
        .into_iter()
        .map(str::to_owned)
        .collect();
    if !stored.contains(&storage) {
        stored.push(storage);
    }
    j::set(value, &["status", "storedVersions"], json!(stored));
    *value != before
}

/// Returns the version in which objects are stored.
pub(super) fn storage(value: &Value) -> String {
    let versions = j::items(value, &["spec", "versions"]);
    let stored = versions
        .iter()
        .find(|v| v.get("storage").and_then(Value::as_bool) == Some(true));
    stored
        .map(|v| j::text(v, &["name"]).to_owned())
        .unwrap_or_default()
}

/// Returns what is wrong with a definition.
pub(super) fn validate(value: &Value, old: Option<&Value>) -> Vec<Cause> {
    let mut causes = Vec::new();
    let text = |path: &[&str]| j::text(value, path);
    let (group, plural) = (text(&["spec", "group"]), text(&["spec", "names", "plural"]));
    let name = text(&["metadata", "name"]);
    if name != format!("{plural}.{group}") {
        let detail = "must be spec.names.plural+\".\"+spec.group";
        causes.push(Cause::invalid("metadata.name", &json!(name), detail));
    }
    for (field, path) in [
        ("spec.group", &["spec", "group"][..]),
        ("spec.names.plural", &["spec", "names", "plural"]),
        ("spec.names.kind", &["spec", "names", "kind"]),
        ("spec.scope", &["spec", "scope"]),
    ] {
        if text(path).is_empty() {
            causes.push(Cause::required(field, ""));
        }
    }
    if !group.is_empty() && !group.contains('.') {
        let detail = "should be a domain with at least one dot";
        causes.push(Cause::invalid("spec.group", &json!(group), detail));
    }
    let scope = text(&["spec", "scope"]);
    if !matches!(scope, "" | "Cluster" | "Namespaced") {
        causes.push(Cause::unsupported(
            "spec.scope",
            &json!(scope),
            &["Cluster", "Namespaced"],
        ));
    }
    let versions = j::items(value, &["spec", "versions"]);
    let storage = versions
        .iter()
        .filter(|v| v.get("storage").and_then(Value::as_bool) == Some(true))
        .count();
    if storage != 1 {
        let detail = "must have exactly one version marked as storage version";
        causes.push(Cause::invalid("spec.versions", &json!(storage), detail));
    }
    for (at, version) in versions.iter().enumerate() {
        if j::at(version, &["schema", "openAPIV3Schema"]).is_none() {
            let field = format!("spec.versions[{at}].schema.openAPIV3Schema");
            causes.push(Cause::required(&field, "schemas are required"));
        }
    }
    for (field, path) in [
        ("spec.group", &["spec", "group"][..]),
        ("spec.names.plural", &["spec", "names", "plural"]),
        ("spec.names.kind", &["spec", "names", "kind"]),
        ("spec.scope", &["spec", "scope"]),
    ] {
        let (was, is) = (old.map_or("", |old| j::text(old, path)), text(path));
        if !was.is_empty() && was != is {
            causes.push(Cause::invalid(field, &json!(is), "field is immutable"));
        }
    }
    causes
}

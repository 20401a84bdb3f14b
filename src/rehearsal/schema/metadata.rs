//! `metadata`: its types, names, labels, finalizers.

use k8s_openapi::apimachinery::pkg::apis::meta::v1::ObjectMeta;
use serde::Deserialize as _;
use serde_json::{Value, json};

use super::unreadable;
use crate::rehearsal::store::{ApiError, Cause, Kind, json as j};

/// Reads the metadata of a custom resource through its type.
pub(super) fn read(kind: &Kind, version: &str, value: &mut Value) -> Result<(), ApiError> {
    let Some(metadata) = value.get("metadata") else {
        return Ok(());
    };
    let owners = metadata.get("managedFields").cloned();
    let mut bare = metadata.clone();
    j::remove(&mut bare, &["managedFields"]);
    let mut typed = ObjectMeta::deserialize(&bare)
        .and_then(serde_json::to_value)
        .map_err(|e| unreadable(kind, version, &e.to_string()))?;
    for field in ["labels", "annotations", "finalizers", "ownerReferences"] {
        let empty = match typed.get(field) {
            Some(Value::Object(map)) => map.is_empty(),
            Some(Value::Array(list)) => list.is_empty(),
            _ => false,
        };
        if empty {
            j::remove(&mut typed, &[field]);
        }
    }
    if let Some(owners) = owners {
        j::set(&mut typed, &["managedFields"], owners);
    }
    j::set(value, &["metadata"], typed);
    Ok(())
}

const SUBDOMAIN: &str = "a lowercase RFC 1123 subdomain must consist of lower case alphanumeric characters, '-' or '.', and must start and end with an alphanumeric character (e.g. 'example.com', regex used for validation is '[a-z0-9]([-a-z0-9]*[a-z0-9])?(\\.[a-z0-9]([-a-z0-9]*[a-z0-9])?)*')";
const LABEL: &str = "a lowercase RFC 1123 label must consist of lower case alphanumeric characters or '-', and must start and end with an alphanumeric character (e.g. 'my-name',  or '123-abc', regex used for validation is '[a-z0-9]([-a-z0-9]*[a-z0-9])?')";
const LABEL_1035: &str = "a DNS-1035 label must consist of lower case alphanumeric characters or '-', start with an alphabetic character, and end with an alphanumeric character (e.g. 'my-name',  or 'abc-123', regex used for validation is '[a-z]([-a-z0-9]*[a-z0-9])?')";

/// Returns what is wrong with the metadata of an object.
pub(super) fn validate(kind: &Kind, value: &Value) -> Vec<Cause> {
    let mut causes = Vec::new();
    let name = j::text(value, &["metadata", "name"]);
    if let Some(why) = wrong_name(kind, name) {
        causes.push(Cause::invalid("metadata.name", &json!(name), &why));
    }
    labels(value, &["metadata", "labels"], "metadata.labels", &mut causes);
    annotations(value, &mut causes);
    for (at, finalizer) in j::strings(value, &["metadata", "finalizers"]).iter().enumerate() {
        let standard = matches!(*finalizer, "foregroundDeletion" | "orphan" | "kubernetes");
        if kind.builtin && !standard && !finalizer.contains('/') {
            let detail = "name is neither a standard finalizer name nor is it fully qualified";
            let field = format!("metadata.finalizers[{at}]");
            causes.push(Cause::invalid(&field, &json!(finalizer), detail));
        }
    }
    for (at, owner) in j::items(value, &["metadata", "ownerReferences"])
        .iter()
        .enumerate()
    {
        for field in ["apiVersion", "kind", "name", "uid"] {
            if j::text(owner, &[field]).is_empty() {
                let path = format!("metadata.ownerReferences[{at}].{field}");
                causes.push(Cause::invalid(&path, &json!(""), "must not be empty"));
            }
        }
    }
    causes
}

fn wrong_name(kind: &Kind, name: &str) -> Option<String> {
    match kind.kind.as_str() {
        "Namespace" if kind.builtin => (!is_label(name)).then(|| LABEL.to_owned()),
        "Service" if kind.builtin => {
            let right = is_label(name) && name.starts_with(|c: char| c.is_ascii_lowercase());
            (!right).then(|| LABEL_1035.to_owned())
        }
        _ if name.len() > 253 => Some("must be no more than 253 bytes".to_owned()),
        _ => (!name.split('.').all(is_label_part)).then(|| SUBDOMAIN.to_owned()),
    }
}

/// Returns what is wrong with a name that must be a DNS label.
pub(super) fn wrong_label(name: &str) -> Option<&'static str> {
    (!is_label(name)).then_some(LABEL)
}

fn is_label_part(text: &str) -> bool {
    let plain = |c: char| c.is_ascii_lowercase() || c.is_ascii_digit();
    text.starts_with(plain) && text.ends_with(plain) && text.chars().all(|c| plain(c) || c == '-')
}

fn is_label(text: &str) -> bool {
    text.len() <= 63 && is_label_part(text)
}

/// Whether a text is a name part or a label value: letters, digits, `-_.`, ends with letter or digit.
fn is_word(text: &str) -> bool {
    let plain = |c: char| c.is_ascii_alphanumeric();
    text.len() <= 63
        && text.starts_with(plain)
        && text.ends_with(plain)
        && text.chars().all(|c| plain(c) || matches!(c, '-' | '_' | '.'))
}

fn is_qualified(key: &str) -> bool {
    match key.split_once('/') {
        Some((prefix, name)) => prefix.len() <= 253 && prefix.split('.').all(is_label_part) && is_word(name),
        None => is_word(key),
    }
}

const QUALIFIED: &str = "name part must consist of alphanumeric characters, '-', '_' or '.', and must start and end with an alphanumeric character (e.g. 'MyName',  or 'my.name',  or '123-abc', regex used for validation is '([A-Za-z0-9][-A-Za-z0-9_.]*)?[A-Za-z0-9]')";
const VALUE: &str = "a valid label must be an empty string or consist of alphanumeric characters, '-', '_' or '.', and must start and end with an alphanumeric character (e.g. 'MyValue',  or 'my_value',  or '12345', regex used for validation is '(([A-Za-z0-9][-A-Za-z0-9_.]*)?[A-Za-z0-9])?')";

/// Collects what is wrong with labels.
pub(super) fn labels(value: &Value, path: &[&str], field: &str, causes: &mut Vec<Cause>) {
    for (key, label) in j::at(value, path)
        .and_then(Value::as_object)
        .into_iter()
        .flatten()
    {
        if !is_qualified(key) {
            causes.push(Cause::invalid(field, &json!(key), QUALIFIED));
        }
        if label.as_str().is_some_and(|l| !l.is_empty() && !is_word(l)) {
            let detail = if label.as_str().is_some_and(|l| l.len() > 63) {
                "must be no more than 63 bytes"
            } else {
                VALUE
            };
            causes.push(Cause::invalid(field, label, detail));
        }
    }
}

fn annotations(value: &Value, causes: &mut Vec<Cause>) {
    let annotations = j::at(value, &["metadata", "annotations"]).and_then(Value::as_object);
    let mut size = 0;
    for (key, text) in annotations.into_iter().flatten() {
        size += key.len() + text.as_str().map_or(0, str::len);
        if !is_qualified(&key.to_lowercase()) {
            causes.push(Cause::invalid("metadata.annotations", &json!(key), QUALIFIED));
        }
    }
    if size > 256 * 1024 {
        causes.push(Cause {
            reason: "FieldValueTooLong",
            message: "Too long: may not be more than 262144 bytes".to_owned(),
            field: "metadata.annotations".to_owned(),
        });
    }
}

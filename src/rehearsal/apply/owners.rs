//! `metadata.managedFields`: who owns which fields.

use serde_json::{Value, json};

use super::set::Set;
use crate::rehearsal::store::json as j;

/// One entry.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct Owner {
    pub(super) manager: String,
    pub(super) operation: String,
    pub(super) api_version: String,
    pub(super) subresource: String,
    pub(super) time: String,
    pub(super) fields: Set,
}

impl Owner {
    /// Whether this is the entry of a manager, in any version for `Apply`.
    pub(super) fn is(&self, manager: &str, operation: &str, subresource: &str, api_version: &str) -> bool {
        self.manager == manager
            && self.operation == operation
            && self.subresource == subresource
            && (operation == "Apply" || self.api_version == api_version)
    }

    /// Returns how a conflict names this owner.
    pub(super) fn label(&self) -> String {
        let subresource = match self.subresource.as_str() {
            "" => String::new(),
            name => format!(" with subresource {name:?}"),
        };
        match self.operation.as_str() {
            "Update" => format!("{:?}{subresource} using {}", self.manager, self.api_version),
            _ => format!("{:?}{subresource}", self.manager),
        }
    }
}

/// Reads the owners of an object.
pub(super) fn read(object: &Value) -> Vec<Owner> {
    j::items(object, &["metadata", "managedFields"])
        .iter()
        .filter(|e| !j::text(e, &["operation"]).is_empty())
        .map(|e| {
            let text = |field: &str| j::text(e, &[field]).to_owned();
            Owner {
                manager: text("manager"),
                operation: text("operation"),
                api_version: text("apiVersion"),
                subresource: text("subresource"),
                time: text("time"),
                fields: e.get("fieldsV1").map(Set::read).unwrap_or_default(),
            }
        })
        .collect()
}

/// Writes the owners of an object; those that own nothing are left out.
pub(super) fn write(object: &mut Value, mut owners: Vec<Owner>) {
    owners.retain(|o| !o.fields.is_empty());
    owners.sort_by(|a, b| {
        (&a.operation, &a.time, &a.manager, &a.subresource).cmp(&(
            &b.operation,
            &b.time,
            &b.manager,
            &b.subresource,
        ))
    });
    if owners.is_empty() {
        j::remove(object, &["metadata", "managedFields"]);
        return;
    }
    let entries: Vec<Value> = owners
        .into_iter()
        .map(|o| {
            let mut entry = json!({
                "manager": o.manager, "operation": o.operation, "apiVersion": o.api_version,
                "fieldsType": "FieldsV1", "fieldsV1": o.fields.write(),
            });
            for (field, text) in [("subresource", o.subresource), ("time", o.time)] {
                if !text.is_empty() {
                    j::set(&mut entry, &[field], text);
                }
            }
            entry
        })
        .collect();
    j::set(object, &["metadata", "managedFields"], entries);
}

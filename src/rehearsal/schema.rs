//! Types: what the API server knows about the shape of objects. Reading (unknown fields dropped, wrong types
//! refused), defaults, validation, and which lists are sets or maps.

use serde_json::Value;

use super::store::{ApiError, Cause, Kind};

/// Reads a value as an object of a kind: drops unknown fields (or refuses them), refuses wrong types, sets
/// defaults.
pub(crate) fn admit(_kind: &Kind, _version: &str, _value: &mut Value, _strict: bool) -> Result<(), ApiError> {
    Ok(())
}

/// Returns what is wrong with a value; `old` is what it replaces.
pub(crate) fn validate(_kind: &Kind, _version: &str, _value: &Value, _old: Option<&Value>) -> Vec<Cause> {
    Vec::new()
}

/// Prunes and defaults a value by the stored version.
pub(crate) fn convert(_kind: &Kind, _value: &mut Value) {}

/// Prunes and defaults a value that is read in another version than the stored one.
pub(crate) fn serve(_kind: &Kind, _version: &str, _value: &mut Value) {}

/// Gives a new built-in object the status that it starts with.
pub(crate) fn first_status(_kind: &str, _value: &mut Value) {}

/// Sets the conditions and names of a CustomResourceDefinition. Returns whether that changed it.
pub(crate) fn accept_definition(_value: &mut Value, _now: &str) -> bool {
    false
}

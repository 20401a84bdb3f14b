//! Tables for kubectl: the columns and cells of each kind.

use jiff::Timestamp;
use serde_json::{Value, json};

use super::store::Kind;
use crate::manifest::Object;

/// Returns column definitions, and the cells of each object.
pub(crate) fn table(
    _kind: &Kind,
    _version: &str,
    objects: &[Object],
    _now: Timestamp,
) -> (Value, Vec<Vec<Value>>) {
    let columns =
        json!([{"name": "Name", "type": "string", "format": "name", "description": "", "priority": 0}]);
    (columns, objects.iter().map(|o| vec![json!(o.name())]).collect())
}

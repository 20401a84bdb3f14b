//! Tables for kubectl: the columns and cells of each kind.

mod age;
mod builtin;
mod custom;
mod path;

use jiff::Timestamp;
use serde_json::{Value, json};

use super::store::Kind;
use crate::manifest::Object;

/// One column.
#[derive(Clone, Debug, PartialEq, Eq)]
struct Column {
    name: String,
    kind: String,
    format: &'static str,
    /// Columns above 0 are shown by `-o wide` only.
    priority: i64,
}

impl Column {
    fn text(name: &str) -> Self {
        let format = if name == "Name" { "name" } else { "" };
        Self {
            name: name.to_owned(),
            kind: "string".to_owned(),
            format,
            priority: 0,
        }
    }

    fn wide(name: &str) -> Self {
        Self {
            priority: 1,
            ..Self::text(name)
        }
    }

    fn write(&self) -> Value {
        json!({
            "name": self.name, "type": self.kind, "format": self.format, "description": "",
            "priority": self.priority,
        })
    }
}

/// Returns column definitions, and the cells of each object.
pub(crate) fn table(
    kind: &Kind,
    version: &str,
    objects: &[Object],
    now: Timestamp,
) -> (Value, Vec<Vec<Value>>) {
    let (columns, rows) = if kind.builtin {
        let rows = objects
            .iter()
            .map(|o| builtin::cells(&kind.kind, o, now))
            .collect();
        (builtin::columns(&kind.kind), rows)
    } else {
        let columns = kind
            .version(version)
            .map(|v| v.columns.clone())
            .unwrap_or_default();
        let rows = objects.iter().map(|o| custom::cells(&columns, o, now)).collect();
        (custom::columns(&columns), rows)
    };
    (columns.iter().map(Column::write).collect(), rows)
}

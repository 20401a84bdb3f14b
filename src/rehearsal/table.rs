//! Tables for kubectl: the columns and cells of each kind.

mod age;
mod builtin;
mod custom;
mod path;

use jiff::Timestamp;
use serde_json::{Value, json};

use super::store::{Kind, json as j};
use crate::manifest::Object;

/// One column.
#[derive(Clone, Debug, PartialEq, Eq)]
struct Column {
    name: String,
    kind: String,
    format: String,
    /// Columns above 0 are shown by `-o wide` only.
    priority: i64,
}

impl Column {
    fn text(name: &str) -> Self {
        let format = if name == "Name" { "name" } else { "" }.to_owned();
        Self {
            name: name.to_owned(),
            kind: "string".to_owned(),
            format,
            priority: 0,
        }
    }

    /// Reads `Name`, `Name*` (wide), `#Name` (a number).
    fn read(text: &str) -> Self {
        let (name, priority) = text.strip_suffix('*').map_or((text, 0), |name| (name, 1));
        let (name, kind) = name
            .strip_prefix('#')
            .map_or((name, "string"), |name| (name, "integer"));
        Self {
            kind: kind.to_owned(),
            priority,
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

/// Writes a label selector as text, such as `app=web,tier in (a,b)`.
pub(crate) fn selector_text(selector: &Value) -> String {
    let labels = selector
        .get("matchLabels")
        .and_then(Value::as_object)
        .into_iter()
        .flatten();
    let mut parts: Vec<String> = labels
        .map(|(key, value)| format!("{key}={}", value.as_str().unwrap_or_default()))
        .collect();
    for expression in j::items(selector, &["matchExpressions"]) {
        let key = j::text(expression, &["key"]);
        let values = j::strings(expression, &["values"]).join(",");
        parts.push(match j::text(expression, &["operator"]) {
            "In" => format!("{key} in ({values})"),
            "NotIn" => format!("{key} notin ({values})"),
            "Exists" => key.to_owned(),
            _ => format!("!{key}"),
        });
    }
    parts.sort();
    parts.join(",")
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

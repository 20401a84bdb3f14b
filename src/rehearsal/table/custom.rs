//! Tables of custom resources, by their `additionalPrinterColumns`.

use jiff::Timestamp;
use serde_json::{Value, json};

use super::{Column, age, path};
use crate::{manifest::Object, rehearsal::store::json as j};

pub(super) fn columns(declared: &Value) -> Vec<Column> {
    let mut columns = vec![Column::text("Name")];
    let declared = declared.as_array().map(Vec::as_slice).unwrap_or_default();
    columns.extend(declared.iter().map(|c| {
        Column {
            name: j::text(c, &["name"]).to_owned(),
            kind: j::text(c, &["type"]).to_owned(),
            format: j::text(c, &["format"]).to_owned(),
            priority: j::at(c, &["priority"])
                .and_then(Value::as_i64)
                .unwrap_or_default(),
        }
    }));
    if declared.is_empty() {
        columns.push(Column {
            kind: "date".to_owned(),
            ..Column::text("Age")
        });
    }
    columns
}

pub(super) fn cells(declared: &Value, object: &Object, now: Timestamp) -> Vec<Value> {
    let created = object.str_at("/metadata/creationTimestamp");
    let mut cells = vec![json!(object.name())];
    let Some(declared) = declared.as_array() else {
        cells.push(age::since(created, now).into());
        return cells;
    };
    cells.extend(declared.iter().map(|c| cell(c, object.value(), now)));
    cells
}

fn cell(column: &Value, object: &Value, now: Timestamp) -> Value {
    let found = path::find(object, j::text(column, &["jsonPath"]));
    let Some(first) = found.first() else {
        return Value::Null;
    };
    match (j::text(column, &["type"]), first) {
        ("date", Value::String(time)) => age::since(time, now).into(),
        ("integer", Value::Number(number)) => number.as_i64().into(),
        ("integer" | "number", Value::String(_)) => Value::Null,
        ("boolean", Value::Bool(_)) | ("number", Value::Number(_)) => (*first).clone(),
        _ => {
            let texts: Vec<String> = found
                .iter()
                .map(|v| v.as_str().map_or_else(|| v.to_string(), str::to_owned))
                .collect();
            texts.join(",").into()
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn declared_columns_are_filled() {
        let declared = json!([
            {"name": "Weight", "type": "string", "jsonPath": ".status.canaryWeight"},
            {"name": "Count", "type": "integer", "jsonPath": ".status.count"},
            {"name": "Missing", "type": "string", "jsonPath": ".status.missing"},
            {"name": "Age", "type": "date", "jsonPath": ".metadata.creationTimestamp"},
        ]);
        let object = Object::from(json!({
            "metadata": {"name": "x", "creationTimestamp": "2026-01-01T00:00:00Z"},
            "status": {"canaryWeight": 20, "count": 3},
        }));
        let now = "2026-01-01T00:01:00Z".parse().unwrap();
        assert_eq!(
            json!(cells(&declared, &object, now)),
            json!(["x", "20", 3, null, "60s"])
        );
        assert_eq!(json!(cells(&Value::Null, &object, now)), json!(["x", "60s"]));
    }
}

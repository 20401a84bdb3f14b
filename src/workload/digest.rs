//! Digests of live objects: SHA-256 over JSON with sorted keys.

use std::fmt::Write;

use serde_json::Value;
use sha2::{Digest, Sha256};

/// Returns `v1:<64 hex>`. Object fields that are null count as absent.
pub(super) fn digest(value: &Value) -> String {
    let mut text = String::new();
    canonical(value, &mut text);
    let hash = Sha256::digest(text.as_bytes());
    hash.iter().fold("v1:".to_owned(), |mut text, byte| {
        let _ = write!(text, "{byte:02x}");
        text
    })
}

fn canonical(value: &Value, out: &mut String) {
    match value {
        Value::Object(fields) => {
            let mut fields: Vec<_> = fields.iter().filter(|(_, value)| !value.is_null()).collect();
            fields.sort_by_key(|(name, _)| *name);
            out.push('{');
            for (name, value) in fields {
                out.push_str(&Value::String(name.clone()).to_string());
                out.push(':');
                canonical(value, out);
                out.push(',');
            }
            out.push('}');
        }
        Value::Array(items) => {
            out.push('[');
            for item in items {
                canonical(item, out);
                out.push(',');
            }
            out.push(']');
        }
        scalar => out.push_str(&scalar.to_string()),
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn order_and_nulls_do_not_count_but_values_do() {
        let one: Value = serde_json::from_str(r#"{"a":1,"b":{"c":null,"d":[1,2]}}"#).unwrap();
        let two: Value = serde_json::from_str(r#"{"b":{"d":[1,2]},"a":1}"#).unwrap();
        assert_eq!(digest(&one), digest(&two));
        assert_ne!(digest(&one), digest(&json!({ "a": 1, "b": { "d": [2, 1] } })));
        assert_ne!(digest(&json!(["a,b"])), digest(&json!(["a", "b"])));
        assert_ne!(digest(&json!("1")), digest(&json!(1)));
        assert_eq!(digest(&one).len(), 3 + 64);
    }
}

//! The part of JSONPath that printer columns use: fields, indexes, `[*]`, and filters by equality.

use serde_json::Value;

#[derive(Clone, Debug, PartialEq)]
enum Step {
    Field(String),
    Index(usize),
    All,
    /// Entries in which a path has a value.
    Filter(Vec<Step>, Value),
}

/// Returns the values that a path finds; none if the path cannot be read.
pub(super) fn find<'a>(value: &'a Value, path: &str) -> Vec<&'a Value> {
    let path = path
        .trim()
        .trim_start_matches('{')
        .trim_end_matches('}')
        .trim_start_matches('$');
    parse(path).map(|steps| walk(value, &steps)).unwrap_or_default()
}

fn walk<'a>(value: &'a Value, steps: &[Step]) -> Vec<&'a Value> {
    let Some((step, rest)) = steps.split_first() else {
        return vec![value];
    };
    let entries = || value.as_array().map(Vec::as_slice).unwrap_or_default();
    match step {
        Step::Field(name) => value.get(name).map(|v| walk(v, rest)).unwrap_or_default(),
        Step::Index(at) => entries().get(*at).map(|v| walk(v, rest)).unwrap_or_default(),
        Step::All => entries().iter().flat_map(|v| walk(v, rest)).collect(),
        Step::Filter(path, wanted) => entries()
            .iter()
            .filter(|v| walk(v, path).first() == Some(&wanted))
            .flat_map(|v| walk(v, rest))
            .collect(),
    }
}

fn parse(path: &str) -> Option<Vec<Step>> {
    let mut steps = Vec::new();
    let mut rest = path;
    while !rest.is_empty() {
        if let Some(inner) = rest.strip_prefix('[') {
            let end = closing(inner)?;
            let (inside, after) = inner.split_at_checked(end)?;
            steps.push(bracket(inside.trim())?);
            rest = after.strip_prefix(']')?;
            continue;
        }
        rest = rest.strip_prefix('.').unwrap_or(rest);
        let mut name = String::new();
        let mut end = rest.len();
        let mut chars = rest.char_indices();
        while let Some((at, c)) = chars.next() {
            match c {
                '\\' => name.extend(chars.next().map(|(_, c)| c)),
                '.' | '[' => {
                    end = at;
                    break;
                }
                c => name.push(c),
            }
        }
        if name.is_empty() && end != rest.len() && !rest.starts_with('[') {
            return None;
        }
        if !name.is_empty() {
            steps.push(if name == "*" { Step::All } else { Step::Field(name) });
        }
        rest = rest.get(end..)?;
    }
    Some(steps)
}

/// Returns where the bracket closes, outside quotes.
fn closing(inner: &str) -> Option<usize> {
    let mut quote = None;
    for (at, c) in inner.char_indices() {
        match (quote, c) {
            (None, '"' | '\'') => quote = Some(c),
            (Some(q), c) if q == c => quote = None,
            (None, ']') => return Some(at),
            _ => {}
        }
    }
    None
}

fn bracket(inside: &str) -> Option<Step> {
    if inside == "*" {
        return Some(Step::All);
    }
    if let Some(filter) = inside.strip_prefix("?(").and_then(|f| f.strip_suffix(')')) {
        let (path, wanted) = filter.split_once("==")?;
        let path = parse(path.trim().strip_prefix('@')?)?;
        return Some(Step::Filter(path, literal(wanted.trim())?));
    }
    match literal(inside)? {
        Value::String(name) => Some(Step::Field(name)),
        Value::Number(at) => Some(Step::Index(usize::try_from(at.as_u64()?).ok()?)),
        _ => None,
    }
}

fn literal(text: &str) -> Option<Value> {
    let quoted = |q: char| text.strip_prefix(q).and_then(|t| t.strip_suffix(q));
    if let Some(inside) = quoted('"').or_else(|| quoted('\'')) {
        return Some(inside.into());
    }
    serde_json::from_str(text).ok()
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn paths_of_printer_columns_are_followed() {
        let value = json!({
            "metadata": {"labels": {"a.b/c": "x"}},
            "status": {"conditions": [{"type": "A", "status": "no"}, {"type": "Ready", "status": "yes"}], "n": [1, 2]},
        });
        for (path, expected) in [
            (".status.n[1]", json!([2])),
            (".status.n[*]", json!([1, 2])),
            (".status.conditions[?(@.type==\"Ready\")].status", json!(["yes"])),
            (".status.conditions[?(@.type=='A')].status", json!(["no"])),
            (".metadata.labels.a\\.b/c", json!(["x"])),
            (".metadata.labels['a.b/c']", json!(["x"])),
            (".nothing.here", json!([])),
            ("[", json!([])),
        ] {
            assert_eq!(json!(find(&value, path)), expected, "{path}");
        }
    }
}

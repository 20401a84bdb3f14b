//! Label and field selectors.

use serde_json::Value;

use super::{ApiError, json};
use crate::manifest::Object;

#[derive(Clone, Debug, PartialEq)]
enum Match {
    In(String, Vec<String>),
    NotIn(String, Vec<String>),
    Exists(String),
    Missing(String),
}

/// Chooses objects by labels and fields. The default chooses all.
#[derive(Clone, Debug, Default, PartialEq)]
pub(crate) struct Selector {
    labels: Vec<Match>,
    fields: Vec<Match>,
}

impl Selector {
    /// Parses `labelSelector` and `fieldSelector`. `core_kind` is the kind if it has fields of its own.
    pub(crate) fn parse(labels: &str, fields: &str, kind: &str) -> Result<Self, ApiError> {
        let labels = split(labels)
            .iter()
            .map(|r| requirement(r))
            .collect::<Result<_, _>>()?;
        let fields: Vec<Match> = split(fields)
            .iter()
            .map(|r| requirement(r).map_err(|_| ApiError::bad_request(format!("invalid selector: '{r}'"))))
            .collect::<Result<_, _>>()?;
        for field in &fields {
            let (Match::In(name, _) | Match::NotIn(name, _) | Match::Exists(name) | Match::Missing(name)) =
                field;
            if !selectable(kind, name) {
                let own = matches!(
                    kind,
                    "" | "Event" | "Pod" | "Secret" | "Namespace" | "Service" | "ReplicaSet"
                );
                return Err(ApiError::bad_request(if own {
                    format!("field label not supported: {name}")
                } else {
                    let known = "only \"metadata.name\", \"metadata.namespace\"";
                    format!("{name:?} is not a known field selector: {known}")
                }));
            }
        }
        Ok(Self { labels, fields })
    }

    /// Whether an object is chosen.
    pub(crate) fn matches(&self, object: &Object) -> bool {
        let label = |key: &str| object.label(key).map(str::to_owned);
        let field = |key: &str| {
            let path: Vec<&str> = key.split('.').collect();
            Some(match json::at(object.value(), &path) {
                Some(Value::String(text)) => text.clone(),
                Some(Value::Null) | None => String::new(),
                Some(other) => other.to_string(),
            })
        };
        self.labels.iter().all(|m| holds(m, label)) && self.fields.iter().all(|m| holds(m, field))
    }
}

fn holds(requirement: &Match, value: impl Fn(&str) -> Option<String>) -> bool {
    match requirement {
        Match::In(key, values) => value(key).is_some_and(|v| values.contains(&v)),
        Match::NotIn(key, values) => value(key).is_none_or(|v| !values.contains(&v)),
        Match::Exists(key) => value(key).is_some(),
        Match::Missing(key) => value(key).is_none(),
    }
}

fn selectable(kind: &str, field: &str) -> bool {
    if matches!(field, "metadata.name" | "metadata.namespace") {
        return true;
    }
    match kind {
        "Event" => {
            field.starts_with("involvedObject.")
                || matches!(field, "reason" | "type" | "source" | "reportingComponent")
        }
        "Pod" => matches!(
            field,
            "spec.nodeName"
                | "status.phase"
                | "status.podIP"
                | "spec.restartPolicy"
                | "spec.serviceAccountName"
                | "spec.schedulerName"
        ),
        "Secret" => field == "type",
        "Namespace" => field == "status.phase",
        "Service" => matches!(field, "spec.clusterIP" | "spec.type"),
        "ReplicaSet" => field == "status.replicas",
        _ => false,
    }
}

/// Splits at commas outside parentheses.
fn split(text: &str) -> Vec<String> {
    let (mut parts, mut part, mut depth) = (Vec::new(), String::new(), 0_i32);
    for c in text.chars() {
        match c {
            '(' => depth += 1,
            ')' => depth -= 1,
            _ => {}
        }
        if c == ',' && depth <= 0 {
            parts.push(std::mem::take(&mut part));
        } else {
            part.push(c);
        }
    }
    parts.push(part);
    parts
        .into_iter()
        .map(|p| p.trim().to_owned())
        .filter(|p| !p.is_empty())
        .collect()
}

fn requirement(text: &str) -> Result<Match, ApiError> {
    let bad = || ApiError::bad_request(format!("unable to parse requirement: {text:?}"));
    let one = |k: &str, v: &str| (k.trim().to_owned(), vec![v.trim().to_owned()]);
    for (operator, positive) in [("!=", false), ("==", true), ("=", true)] {
        if let Some((key, value)) = text.split_once(operator) {
            let (key, values) = one(key, value);
            if key.is_empty() {
                return Err(bad());
            }
            return Ok(if positive {
                Match::In(key, values)
            } else {
                Match::NotIn(key, values)
            });
        }
    }
    if let Some((head, rest)) = text.split_once('(') {
        let values = rest.strip_suffix(')').ok_or_else(bad)?;
        let values: Vec<String> = values.split(',').map(|v| v.trim().to_owned()).collect();
        let words: Vec<&str> = head.split_whitespace().collect();
        return match words.as_slice() {
            [key, "in"] => Ok(Match::In((*key).to_owned(), values)),
            [key, "notin"] => Ok(Match::NotIn((*key).to_owned(), values)),
            _ => Err(bad()),
        };
    }
    match text.strip_prefix('!') {
        Some(key) if !key.trim().is_empty() => Ok(Match::Missing(key.trim().to_owned())),
        None if !text.contains(char::is_whitespace) => Ok(Match::Exists(text.to_owned())),
        _ => Err(bad()),
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn chosen(labels: &str) -> bool {
        let object = Object::from(json!({"metadata": {"name": "x", "labels": {"app": "web", "tier": "a"}}}));
        Selector::parse(labels, "", "Pod").unwrap().matches(&object)
    }

    #[test]
    fn labels_are_chosen_by_every_operator() {
        for yes in [
            "app=web",
            "app==web",
            "app!=db",
            "app",
            "!other",
            "app in (db, web),tier=a",
            "x notin (a)",
            "",
        ] {
            assert!(chosen(yes), "{yes}");
        }
        for no in [
            "app=db",
            "app!=web",
            "other",
            "!app",
            "app in (db)",
            "app notin (web)",
            "app=web,tier=b",
        ] {
            assert!(!chosen(no), "{no}");
        }
    }

    #[test]
    fn fields_without_an_index_are_refused() {
        assert_eq!(
            Selector::parse("", "spec.replicas=1", "Deployment")
                .unwrap_err()
                .code,
            400
        );
        assert_eq!(Selector::parse("a b", "", "Pod").unwrap_err().code, 400);
    }
}

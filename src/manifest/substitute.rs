//! Flux's `postBuild` substitution: `${name}` in a rendered object becomes a value. What only the cluster knows
//! is not guessed at.

mod expand;

use std::collections::BTreeMap;

use serde_json::{Map, Value};

use super::yaml::options;

pub use expand::Unresolved;

/// A label or annotation that takes an object out of the substitution with the value `disabled`.
pub const SUBSTITUTE: &str = "kustomize.toolkit.fluxcd.io/substitute";

/// A value of a variable, and whether it comes from a Secret.
#[derive(Clone, Debug, PartialEq, Eq)]
struct Known {
    value: String,
    secret: bool,
}

/// What is known of variables. Later values take the place of earlier ones.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Variables {
    known: BTreeMap<String, Known>,
    /// Variables that are not known here may be known in the cluster.
    more: bool,
}

/// What became of an object.
#[derive(Clone, Debug, PartialEq)]
pub struct Substituted {
    /// The object.
    pub value: Value,
    /// Something in it comes from a Secret: it must not be shown.
    pub secret: bool,
}

impl Variables {
    /// Adds a variable. Line ends are left out, as Flux does.
    pub fn add(&mut self, name: &str, value: &str, secret: bool) {
        let value = value.replace('\n', "");
        self.known.insert(name.to_owned(), Known { value, secret });
    }

    /// From here on the cluster knows variables that may take the place of those known so far.
    pub fn add_unknown(&mut self) {
        self.known.clear();
        self.more = true;
    }

    /// Whether there is nothing to substitute: objects stay as they are.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.known.is_empty() && !self.more
    }

    /// Substitutes in an object. `None`: it stays as it is.
    pub fn substitute(&self, object: &Value) -> Result<Option<Substituted>, Unresolved> {
        if self.is_empty() || is_disabled(object) || !has_dollar(object) {
            return Ok(None);
        }
        let mut work = Work {
            variables: self,
            secret: false,
        };
        let value = work.value(object)?;
        Ok(Some(Substituted {
            value,
            secret: work.secret,
        }))
    }
}

fn is_disabled(object: &Value) -> bool {
    ["labels", "annotations"].into_iter().any(|field| {
        let map = object.get("metadata").and_then(|metadata| metadata.get(field));
        map.and_then(|map| map.get(SUBSTITUTE)).and_then(Value::as_str) == Some("disabled")
    })
}

fn has_dollar(value: &Value) -> bool {
    match value {
        Value::String(text) => text.contains("${") || text.contains("$$"),
        Value::Array(items) => items.iter().any(has_dollar),
        Value::Object(fields) => fields
            .iter()
            .any(|(key, value)| key.contains("${") || key.contains("$$") || has_dollar(value)),
        _ => false,
    }
}

struct Work<'a> {
    variables: &'a Variables,
    secret: bool,
}

impl Work<'_> {
    fn value(&mut self, value: &Value) -> Result<Value, Unresolved> {
        Ok(match value {
            Value::String(text) => self.scalar(text)?,
            Value::Array(items) => {
                let items: Result<_, _> = items.iter().map(|item| self.value(item)).collect();
                Value::Array(items?)
            }
            Value::Object(fields) => {
                let mut made = Map::new();
                for (key, value) in fields {
                    made.insert(self.text(key)?, self.value(value)?);
                }
                Value::Object(made)
            }
            other => other.clone(),
        })
    }

    /// Substitutes in a string. Flux does it in YAML, where most strings are written without quotes: what
    /// `${replicas}` becomes there is a number.
    fn scalar(&mut self, text: &str) -> Result<Value, Unresolved> {
        let made = self.text(text)?;
        if made == text || !is_written_plain(text) {
            return Ok(Value::String(made));
        }
        let parsed: Result<Value, _> =
            serde_saphyr::from_str_with_options(&format!("v: {made}\n"), options());
        let wrong = || Unresolved::Wrong("the object is no YAML any more after the substitution".to_owned());
        let Ok(Value::Object(mut fields)) = parsed else {
            return Err(wrong());
        };
        match fields.remove("v") {
            Some(value) if fields.is_empty() => Ok(value),
            _ => Err(wrong()),
        }
    }

    fn text(&mut self, text: &str) -> Result<String, Unresolved> {
        if !text.contains("${") && !text.contains("$$") {
            return Ok(text.to_owned());
        }
        let Self { variables, secret } = self;
        expand::expand(text, &mut |name| match variables.known.get(name) {
            Some(known) => {
                *secret |= known.secret;
                Ok(Some(known.value.clone()))
            }
            None if variables.more => Err(Unresolved::Unknown(name.to_owned())),
            None => Ok(None),
        })
    }
}

/// Whether the YAML that kustomize writes has this string without quotes, on one line.
fn is_written_plain(text: &str) -> bool {
    let Some(first) = text.chars().next() else {
        return false;
    };
    let indicator = "#,[]{}&*!|>'\"%@`".contains(first)
        || (['-', '?', ':'].contains(&first) && text.chars().nth(1).is_none_or(char::is_whitespace));
    let spaced = text.starts_with(char::is_whitespace) || text.ends_with(char::is_whitespace);
    let inside = text.contains(": ") || text.contains(" #") || text.ends_with(':');
    !indicator && !spaced && !inside && !text.chars().any(char::is_control)
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn variables(pairs: &[(&str, &str)]) -> Variables {
        let mut variables = Variables::default();
        for (name, value) in pairs {
            variables.add(name, value, false);
        }
        variables
    }

    fn made(object: &Value, pairs: &[(&str, &str)]) -> Value {
        variables(pairs).substitute(object).unwrap().unwrap().value
    }

    #[test]
    fn values_take_the_type_that_yaml_gives_them_and_keys_are_substituted_too() {
        let object = json!({"spec": {"replicas": "${n}", "on": "${flag}", "${key}": "a-${n}", "text": "a: ${n}",
            "more": "${n}\n", "list": ["${n}", 7, null]}});
        let pairs = [("n", "3"), ("flag", "true"), ("key", "k")];
        assert_eq!(
            made(&object, &pairs),
            json!({"spec": {"replicas": 3, "on": true, "k": "a-3", "text": "a: 3", "more": "3\n", "list": [3, 7, null]}})
        );
        let quoted = json!({"a": "${b:=\"true\"}"});
        assert_eq!(
            made(&quoted, &[("n", "1")]),
            json!({"a": "true"}),
            "as Flux documents"
        );
    }

    #[test]
    fn nothing_is_substituted_without_variables_or_where_it_is_switched_off() {
        let object = json!({"a": "${b}"});
        assert_eq!(Variables::default().substitute(&object), Ok(None));
        for field in ["labels", "annotations"] {
            let off = json!({"metadata": {field: {SUBSTITUTE: "disabled"}}, "a": "${b}"});
            assert_eq!(variables(&[("b", "1")]).substitute(&off), Ok(None));
        }
        assert_eq!(
            variables(&[("b", "1")]).substitute(&json!({"a": "$b {c}"})),
            Ok(None)
        );
    }

    #[test]
    fn what_only_the_cluster_knows_is_not_guessed_at_and_the_unset_is_an_error() {
        let unset = variables(&[("a", "1")]).substitute(&json!({"x": "${b}"}));
        assert_eq!(unset, Err(Unresolved::Unset("b".to_owned())));
        let mut partly = variables(&[("a", "1")]);
        partly.add_unknown();
        partly.add("c", "3", false);
        let unknown = |text: &str| partly.substitute(&json!({"x": text}));
        assert_eq!(unknown("${b:=2}"), Err(Unresolved::Unknown("b".to_owned())));
        assert_eq!(
            unknown("${a}"),
            Err(Unresolved::Unknown("a".to_owned())),
            "the cluster's comes later"
        );
        assert_eq!(unknown("${c}").unwrap().unwrap().value, json!({"x": 3}));
    }

    #[test]
    fn what_comes_from_a_secret_is_marked() {
        let mut variables = variables(&[("a", "1")]);
        variables.add("s", "hunter\n2", true);
        let of = |text: &str| variables.substitute(&json!({"x": text})).unwrap().unwrap();
        assert!(!of("${a}").secret);
        assert_eq!(
            of("${a}${s}"),
            Substituted {
                value: json!({"x": "1hunter2"}),
                secret: true
            }
        );
    }

    #[test]
    fn what_is_no_yaml_any_more_is_wrong() {
        let wrong = variables(&[("a", "b: c")]).substitute(&json!({"x": "${a}"}));
        assert!(matches!(wrong, Err(Unresolved::Wrong(_))), "{wrong:?}");
    }
}

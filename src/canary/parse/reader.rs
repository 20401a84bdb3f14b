//! Reads a JSON value field by field, remembers the path, and collects everything that is wrong.

use std::{cell::RefCell, collections::BTreeMap, fmt, time::Duration};

use serde_json::Value;

use crate::canary::duration;

/// One thing that is wrong in an object.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Fault {
    /// Path of the field, such as `spec.analysis.interval`.
    pub field: String,
    /// What is wrong with it.
    pub problem: String,
    /// What to do.
    pub hint: String,
}

impl fmt::Display for Fault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: {}", self.field, self.problem)
    }
}

/// Collects faults while an object is read.
#[derive(Debug, Default)]
pub(in crate::canary) struct Faults(RefCell<Vec<Fault>>);

impl Faults {
    pub(in crate::canary) fn push(&self, field: &str, problem: impl Into<String>, hint: impl Into<String>) {
        self.0.borrow_mut().push(Fault {
            field: field.to_owned(),
            problem: problem.into(),
            hint: hint.into(),
        });
    }

    pub(super) fn into_inner(self) -> Vec<Fault> {
        self.0.into_inner()
    }
}

/// A place in the object. `null` is as good as nothing there.
#[derive(Clone, Debug)]
pub(in crate::canary) struct Field<'a> {
    value: Option<&'a Value>,
    path: String,
    faults: &'a Faults,
}

impl<'a> Field<'a> {
    pub(in crate::canary) fn root(value: Option<&'a Value>, path: &str, faults: &'a Faults) -> Self {
        Self {
            value: value.filter(|value| !value.is_null()),
            path: path.to_owned(),
            faults,
        }
    }

    /// Goes to a field of this object.
    pub(in crate::canary) fn get(&self, name: &str) -> Self {
        let value = self.value.and_then(|value| value.get(name));
        Self::root(value, &format!("{}.{name}", self.path), self.faults)
    }

    pub(in crate::canary) fn path(&self) -> &str {
        &self.path
    }

    pub(in crate::canary) fn is_present(&self) -> bool {
        self.value.is_some()
    }

    /// Whether there is something that is neither empty nor `false` nor 0.
    pub(in crate::canary) fn is_set(&self) -> bool {
        match self.value {
            None | Some(Value::Null | Value::Bool(false)) => false,
            Some(Value::Bool(true)) => true,
            Some(Value::Number(number)) => number.as_f64() != Some(0.0),
            Some(Value::String(text)) => !text.is_empty(),
            Some(Value::Array(items)) => !items.is_empty(),
            Some(Value::Object(fields)) => !fields.is_empty(),
        }
    }

    /// Records a fault of this field.
    pub(in crate::canary) fn fault(&self, problem: impl Into<String>, hint: impl Into<String>) {
        self.faults.push(&self.path, problem, hint);
    }

    fn wrong(&self, what: &str) {
        let value = self.value.map(Value::to_string).unwrap_or_default();
        self.fault(
            format!("{} is not {what}", shorten(&value)),
            format!("give {what}"),
        );
    }

    pub(in crate::canary) fn raw(&self) -> Option<&'a Value> {
        self.value
    }

    pub(in crate::canary) fn str(&self) -> Option<&'a str> {
        let text = self.value?.as_str();
        if text.is_none() {
            self.wrong("a string");
        }
        text
    }

    /// Reads a string that must be there and not be empty.
    pub(in crate::canary) fn required_str(&self) -> &'a str {
        match self.str() {
            Some("") => self.fault("is empty", "give a value"),
            Some(text) => return text,
            None if !self.is_present() => self.fault("is missing", "add the field"),
            None => {}
        }
        ""
    }

    pub(in crate::canary) fn bool(&self) -> bool {
        let Some(value) = self.value else { return false };
        value.as_bool().unwrap_or_else(|| {
            self.wrong("`true` or `false`");
            false
        })
    }

    /// Reads a whole number; `2.0` is one.
    pub(in crate::canary) fn integer(&self) -> Option<i64> {
        let value = self.value?;
        #[expect(
            clippy::cast_possible_truncation,
            reason = "the float is checked to be whole and small"
        )]
        let whole = |float: f64| (float.fract() == 0.0 && float.abs() < 1e15).then_some(float as i64);
        let number = value.as_i64().or_else(|| value.as_f64().and_then(whole));
        if number.is_none() {
            self.wrong("a whole number");
        }
        number
    }

    /// Reads a whole number within bounds.
    pub(in crate::canary) fn within(&self, least: i64, most: i64) -> Option<i64> {
        let number = self.integer()?;
        if (least..=most).contains(&number) {
            return Some(number);
        }
        self.fault(
            format!("{number} is out of range"),
            format!("give {least} to {most}"),
        );
        None
    }

    /// Reads a whole number of at least 0.
    pub(in crate::canary) fn count(&self) -> Option<u32> {
        self.within(0, i64::from(u32::MAX))
            .and_then(|number| u32::try_from(number).ok())
    }

    /// Reads a percentage.
    pub(in crate::canary) fn percent(&self, least: u8) -> Option<u8> {
        self.within(i64::from(least), 100)
            .and_then(|number| u8::try_from(number).ok())
    }

    pub(in crate::canary) fn float(&self) -> Option<f64> {
        let number = self.value?.as_f64();
        if number.is_none() {
            self.wrong("a number");
        }
        number
    }

    pub(in crate::canary) fn duration(&self) -> Option<Duration> {
        let text = self.str()?;
        match duration::parse(text) {
            Ok(duration) => Some(duration),
            Err(error) => {
                self.fault(
                    format!("`{}` {error}", shorten(text)),
                    "write a duration such as `30s` or `1m30s`",
                );
                None
            }
        }
    }

    /// Reads an http or https URL. The fault does not show it: it may carry a password.
    pub(in crate::canary) fn url(&self) -> Option<String> {
        let text = self.str()?;
        match url::Url::parse(text) {
            Ok(url) if matches!(url.scheme(), "http" | "https") && url.has_host() => Some(text.to_owned()),
            _ => {
                self.fault(
                    "is not an http or https URL",
                    "write it as `http://host:port/path`",
                );
                None
            }
        }
    }

    /// Returns the items of a list.
    pub(in crate::canary) fn items(&self) -> Vec<Self> {
        let Some(value) = self.value else {
            return Vec::new();
        };
        let Some(items) = value.as_array() else {
            self.wrong("a list");
            return Vec::new();
        };
        items
            .iter()
            .enumerate()
            .map(|(i, item)| Self::root(Some(item), &format!("{}[{i}]", self.path), self.faults))
            .collect()
    }

    /// Returns the fields of a map.
    pub(in crate::canary) fn entries(&self) -> Vec<(String, Self)> {
        let Some(value) = self.value else {
            return Vec::new();
        };
        let Some(fields) = value.as_object() else {
            self.wrong("a map");
            return Vec::new();
        };
        fields.keys().map(|key| (key.clone(), self.get(key))).collect()
    }

    /// Reads a map of strings.
    pub(in crate::canary) fn strings(&self) -> BTreeMap<String, String> {
        let text = |field: &Self| field.str().unwrap_or_default().to_owned();
        let entries = self.entries();
        entries
            .into_iter()
            .map(|(key, field)| (key, text(&field)))
            .collect()
    }
}

/// Cuts a value that is too long to be shown.
fn shorten(text: &str) -> String {
    const MOST: usize = 60;
    if text.chars().count() <= MOST {
        return text.to_owned();
    }
    format!("{}…", text.chars().take(MOST).collect::<String>())
}

//! Which objects a patch or a replacement is for.

use std::collections::BTreeSet;

use regex::Regex;
use serde_json::Value;

use super::{item::Item, spec::Target};

/// A target of patches: regular expressions for the names, selectors for labels and annotations.
pub(super) struct Selector {
    group: Option<Regex>,
    version: Option<Regex>,
    kind: Option<Regex>,
    name: Option<Regex>,
    namespace: Option<Regex>,
    labels: Requirements,
    annotations: Requirements,
}

impl Selector {
    /// Reads a target; what is wrong is said with the field.
    pub(super) fn new(target: &Target) -> Result<Self, (&'static str, String)> {
        let pattern = |field: &'static str, text: &str| {
            if text.is_empty() {
                return Ok(None);
            }
            Regex::new(&format!("^(?:{})$", as_go_reads(text)))
                .map(Some)
                .map_err(|_| (field, format!("`{text}` is not a regular expression")))
        };
        Ok(Self {
            group: pattern("group", &target.group)?,
            version: pattern("version", &target.version)?,
            kind: pattern("kind", &target.kind)?,
            name: pattern("name", &target.name)?,
            namespace: pattern("namespace", &target.namespace)?,
            labels: Requirements::read(&target.label_selector)
                .map_err(|message| ("labelSelector", message))?,
            annotations: Requirements::read(&target.annotation_selector)
                .map_err(|message| ("annotationSelector", message))?,
        })
    }

    pub(super) fn selects(&self, item: &Item) -> bool {
        let fits = |pattern: &Option<Regex>, text: &str| {
            pattern.as_ref().is_none_or(|pattern| pattern.is_match(text))
        };
        let original = item.original();
        (fits(&self.namespace, original.namespace) || fits(&self.namespace, item.effective_namespace()))
            && (fits(&self.name, original.name) || fits(&self.name, item.name()))
            && fits(&self.group, item.group())
            && fits(&self.version, item.version())
            && fits(&self.kind, item.kind())
            && self.labels.met_by(item, "/metadata/labels")
            && self.annotations.met_by(item, "/metadata/annotations")
    }
}

/// Writes a regular expression of Go for our reader: a brace that repeats nothing is a brace.
pub(super) fn as_go_reads(pattern: &str) -> String {
    let mut made = String::with_capacity(pattern.len());
    let mut rest = pattern;
    while let Some(c) = rest.chars().next() {
        let after = rest.get(c.len_utf8()..).unwrap_or_default();
        if let Some(quoted) = rest.strip_prefix("\\Q") {
            let (quoted, after) = quoted.split_once("\\E").unwrap_or((quoted, ""));
            made.push_str(&regex::escape(quoted));
            rest = after;
            continue;
        }
        if c == '\\' {
            let escaped = after.chars().next().map_or(0, char::len_utf8);
            made.push(c);
            made.push_str(after.get(..escaped).unwrap_or_default());
            rest = after.get(escaped..).unwrap_or_default();
            // `\p{Greek}` and `\x{10FFFF}` have braces of their own.
            if let Some((inner, _)) = rest.strip_prefix('{').and_then(|rest| rest.split_once('}')) {
                let end = inner.len() + 2;
                made.push_str(rest.get(..end).unwrap_or_default());
                rest = rest.get(end..).unwrap_or_default();
            }
            continue;
        }
        if c == '{' && !repeats(after) {
            made.push('\\');
        }
        made.push(c);
        rest = after;
    }
    made
}

fn repeats(after: &str) -> bool {
    let Some((count, _)) = after.split_once('}') else {
        return false;
    };
    let (least, most) = count.split_once(',').unwrap_or((count, "0"));
    let digits = |text: &str| text.bytes().all(|byte| byte.is_ascii_digit());
    !least.is_empty() && digits(least) && digits(most)
}

/// What a selector of labels asks for.
#[derive(Debug, Default, PartialEq)]
pub(super) struct Requirements(Vec<Requirement>);

#[derive(Debug, PartialEq)]
struct Requirement {
    key: String,
    ask: Ask,
}

#[derive(Debug, PartialEq)]
enum Ask {
    Exists,
    Missing,
    In(BTreeSet<String>),
    NotIn(BTreeSet<String>),
    More(i64),
    Less(i64),
}

impl Requirements {
    /// Reads `a=b,c!=d,e in (f,g),h notin (i),j,!k,l>1`.
    pub(super) fn read(text: &str) -> Result<Self, String> {
        let bad = || format!("`{text}` is not a selector of labels");
        parts(text)
            .into_iter()
            .map(|part| Requirement::read(part).ok_or_else(bad))
            .collect::<Result<_, _>>()
            .map(Self)
    }

    pub(super) fn met_by(&self, item: &Item, pointer: &str) -> bool {
        if self.0.is_empty() {
            return true;
        }
        let map = item.map_at(pointer);
        self.0.iter().all(|requirement| {
            let value = map.and_then(|map| map.get(&requirement.key)).map(text_of);
            requirement.ask.is_met(value.as_deref())
        })
    }
}

fn text_of(value: &Value) -> String {
    value.as_str().map_or_else(|| value.to_string(), str::to_owned)
}

/// Splits at commas that are not in parentheses.
fn parts(text: &str) -> Vec<&str> {
    let (mut depth, mut start, mut parts) = (0_usize, 0, Vec::new());
    for (at, c) in text.char_indices() {
        match c {
            '(' => depth += 1,
            ')' => depth = depth.saturating_sub(1),
            ',' if depth == 0 => {
                parts.push(text.get(start..at).unwrap_or_default());
                start = at + 1;
            }
            _ => {}
        }
    }
    parts.push(text.get(start..).unwrap_or_default());
    if parts.len() == 1 && text.trim().is_empty() {
        return Vec::new();
    }
    parts
}

impl Requirement {
    fn read(part: &str) -> Option<Self> {
        let part = part.trim();
        let made = |key: &str, ask: Ask| {
            let key = key.trim();
            let fits = |c: char| c.is_ascii_alphanumeric() || "-_./".contains(c);
            (!key.is_empty() && key.chars().all(fits)).then(|| Self {
                key: key.to_owned(),
                ask,
            })
        };
        let one = |value: &str| -> Option<BTreeSet<String>> {
            let value = value.trim();
            let fits = |c: char| c.is_ascii_alphanumeric() || "-_.".contains(c);
            value
                .chars()
                .all(fits)
                .then(|| BTreeSet::from([value.to_owned()]))
        };
        if let Some(key) = part.strip_prefix('!') {
            return made(key, Ask::Missing);
        }
        if let Some((head, list)) = part.split_once('(') {
            let list = list.strip_suffix(')')?;
            let values = list.split(',').map(|value| value.trim().to_owned()).collect();
            let mut words = head.split_whitespace();
            let (key, word) = (words.next()?, words.next()?);
            return match (word, words.next()) {
                ("in", None) => made(key, Ask::In(values)),
                ("notin", None) => made(key, Ask::NotIn(values)),
                _ => None,
            };
        }
        if let Some((key, value)) = part.split_once("!=") {
            return made(key, Ask::NotIn(one(value)?));
        }
        if let Some((key, value)) = part.split_once('=') {
            return made(key, Ask::In(one(value.strip_prefix('=').unwrap_or(value))?));
        }
        if let Some((key, value)) = part.split_once('>') {
            return made(key, Ask::More(value.trim().parse().ok()?));
        }
        if let Some((key, value)) = part.split_once('<') {
            return made(key, Ask::Less(value.trim().parse().ok()?));
        }
        made(part, Ask::Exists)
    }
}

impl Ask {
    fn is_met(&self, value: Option<&str>) -> bool {
        let number = || value.and_then(|value| value.parse::<i64>().ok());
        match self {
            Self::Exists => value.is_some(),
            Self::Missing => value.is_none(),
            Self::In(values) => value.is_some_and(|value| values.contains(value)),
            Self::NotIn(values) => value.is_none_or(|value| !values.contains(value)),
            Self::More(than) => number().is_some_and(|number| number > *than),
            Self::Less(than) => number().is_some_and(|number| number < *than),
        }
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use serde_json::json;

    use super::*;

    fn meets(selector: &str) -> bool {
        let value = json!({"metadata": {"labels": {"app": "web", "tier": "front", "level": "3"}}});
        let item = Item::new(Arc::new(value), "f".into(), 1, &[]);
        Requirements::read(selector)
            .unwrap()
            .met_by(&item, "/metadata/labels")
    }

    #[test]
    fn selectors_of_labels() {
        for yes in [
            "",
            "app=web",
            "app == web, tier!=back",
            "app in (api, web)",
            "tier notin (back)",
            "app",
            "!other",
            "level>2,level<4",
            "other!=x",
        ] {
            assert!(meets(yes), "{yes}");
        }
        for no in [
            "app=api",
            "app in (api)",
            "tier notin (front)",
            "!app",
            "other",
            "level>3",
            "other=x",
        ] {
            assert!(!meets(no), "{no}");
        }
        for bad in ["app=web,", "a b", "app in web", "=x", "level>x"] {
            assert!(Requirements::read(bad).is_err(), "{bad}");
        }
    }

    #[test]
    fn braces_and_quotes_are_read_as_go_reads_them() {
        for (pattern, read) in [
            ("a{2}b{1,}c{1,3}", "a{2}b{1,}c{1,3}"),
            ("${x}/{,2}", "$\\{x}/\\{,2}"),
            (r"\{a\p{Greek}\x{61}", r"\{a\p{Greek}\x{61}"),
            (r"\Qa.b\E.\Q{", r"a\.b.\{"),
        ] {
            assert_eq!(as_go_reads(pattern), read);
        }
    }

    #[test]
    fn names_are_whole_regular_expressions() {
        let value = json!({"apiVersion": "apps/v1", "kind": "Deployment", "metadata": {"name": "web-api"}});
        let item = Item::new(Arc::new(value), "f".into(), 1, &[]);
        let selects = |name: &str| {
            let target = Target {
                name: name.to_owned(),
                ..Target::default()
            };
            Selector::new(&target).map(|selector| selector.selects(&item))
        };
        assert_eq!(selects("web-.*"), Ok(true));
        assert_eq!(selects("web"), Ok(false));
        assert_eq!(selects("web|web-api"), Ok(true));
        assert_eq!(
            selects("("),
            Err(("name", "`(` is not a regular expression".to_owned()))
        );
    }
}

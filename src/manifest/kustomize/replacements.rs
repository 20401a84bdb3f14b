//! Replacements: a value of one object, put into fields of others.

use std::sync::Arc;

use regex::Regex;
use serde_json::{Map, Value, json};

use super::{
    fault::Outcome,
    fields::{Selected, split_path},
    item::Item,
    load::{Loaded, Loader, Spot},
    place::Place,
    scalar,
    select::{Requirements, as_go_reads},
    spec::{FieldOptions, Misread, Replacement, ReplacementTarget, Source, Target, typed, without_nulls},
    twins,
    yaml::Dialect,
};

const OTHER_TYPE: &str = "is not of the type of the field";

/// What is meant where no path is given.
pub(super) const NAME: &str = "metadata.name";

/// Applies the replacements of a kustomization.
pub(super) fn run(
    loader: &mut Loader<'_>,
    place: &Place<'_>,
    loaded: &Loaded,
    items: &mut [Item],
) -> Outcome<()> {
    let mut all = Vec::new();
    for (at, field) in loaded.spec.replacements.iter().enumerate() {
        let spot = loaded.spot.at(&format!("/replacements/{at}"));
        if field.path.is_empty() {
            let inline = Replacement {
                source: field.source.clone(),
                source_value: field.source_value.clone(),
                targets: field.targets.clone(),
            };
            all.push((inline, spot));
        } else if field.source.is_some() || field.targets.as_ref().is_some_and(|targets| !targets.is_empty())
        {
            return Err(spot.wrong("both a path and a replacement are given", "give one of the two"));
        } else {
            read(loader, place, &field.path, &spot, &mut all)?;
        }
    }
    for (replacement, spot) in &all {
        let value = value(items, replacement, spot)?;
        for (at, target) in replacement.targets.iter().flatten().enumerate() {
            put(items, &value, target, &spot.at(&format!("/targets/{at}")))?;
        }
    }
    Ok(())
}

fn read(
    loader: &mut Loader<'_>,
    place: &Place<'_>,
    path: &str,
    spot: &Spot,
    all: &mut Vec<(Replacement, Spot)>,
) -> Outcome<()> {
    let file = loader.needed(place, path, spot)?;
    let texts = file.settings()?;
    let Some(text) = texts.first() else {
        return Err(spot.wrong(
            format!("{path} is empty"),
            "write a replacement or a list of them",
        ));
    };
    let spot = |pointer: String| Spot {
        file: Arc::clone(&file),
        line: text.line,
        pointer,
    };
    let one = |value: &Value, spot: Spot| -> Outcome<(Replacement, Spot)> {
        match typed(&without_nulls(value)) {
            Ok(replacement) => Ok((replacement, spot)),
            Err(Misread {
                pointer,
                message,
                hint,
            }) => Err(spot.at(&pointer).wrong(message, hint)),
        }
    };
    match text.value.as_ref() {
        Value::Array(list) => {
            for (at, value) in list.iter().enumerate() {
                all.push(one(value, spot(format!("/{at}")))?);
            }
            Ok(())
        }
        value => {
            all.push(one(value, spot(String::new()))?);
            Ok(())
        }
    }
}

/// Takes the value that is to be put elsewhere.
fn value(items: &[Item], replacement: &Replacement, spot: &Spot) -> Outcome<Value> {
    if replacement.targets.is_none() {
        return Err(spot.wrong("a replacement without targets", "add `targets`"));
    }
    let source = match (&replacement.source, &replacement.source_value) {
        (Some(source), None) => source,
        (None, Some(text)) => return Ok(json!(text)),
        (None, None) => return Err(spot.wrong("a replacement without a source", "add `source`")),
        (Some(_), Some(_)) => {
            return Err(spot.wrong("both `source` and `sourceValue` are given", "give one of the two"));
        }
    };
    let spot = spot.at("/source");
    let mut found = items.iter().filter(|item| is_source(item, source));
    let item = match (found.next(), found.next()) {
        (Some(item), None) => item,
        (None, _) => return Err(spot.wrong("no object is the source", "correct kind, name or namespace")),
        (Some(_), Some(_)) => {
            return Err(spot.wrong(
                "more than one object may be the source",
                "say kind, name and namespace",
            ));
        }
    };
    let path = if source.field_path.is_empty() {
        NAME
    } else {
        &source.field_path
    };
    let value = look_up(&item.value, &split_field_path(path)).filter(|value| !is_nothing(value));
    let Some(value) = value else {
        let message = format!("{} has no `{path}`", item.id());
        return Err(spot.at("/fieldPath").wrong(message, "correct the path"));
    };
    part(value, source.options.as_ref())
        .map_err(|message| spot.at("/options").wrong(message, "correct the options"))
}

fn is_nothing(value: &Value) -> bool {
    match value {
        Value::Null => true,
        Value::Object(fields) => fields.is_empty(),
        Value::Array(items) => items.is_empty(),
        _ => false,
    }
}

fn is_source(item: &Item, source: &Source) -> bool {
    let selected = Selected {
        group: &source.group,
        version: &source.version,
        kind: &source.kind,
    };
    is_selected(item, selected, &source.name, &source.namespace)
}

fn is_selected(item: &Item, selected: Selected<'_>, name: &str, namespace: &str) -> bool {
    let plain = |namespace: &str| {
        if namespace.is_empty() {
            "default".to_owned()
        } else {
            namespace.to_owned()
        }
    };
    let fits = |own_name: &str, own_namespace: &str, kind: &str| {
        (name.is_empty() || name == own_name)
            && (namespace.is_empty() || plain(namespace) == plain(own_namespace))
            && selected.matches(item.group(), item.version(), kind)
    };
    fits(item.name(), item.namespace(), item.kind())
        || item
            .former
            .iter()
            .any(|was| fits(&was.name, &was.namespace, &was.kind))
}

/// Splits a path at dots that are not in brackets; brackets around a plain name only keep its dots.
pub(super) fn split_field_path(path: &str) -> Vec<String> {
    let mut parts = Vec::new();
    let mut rest = split_path(path, '.').into_iter();
    while let Some(mut part) = rest.next() {
        if part.starts_with('[') && !part.ends_with(']') {
            for more in rest.by_ref() {
                part.push('.');
                part.push_str(&more);
                if more.ends_with(']') {
                    break;
                }
            }
            if !part.contains('=') {
                part.retain(|c| c != '[' && c != ']');
            }
        }
        parts.push(part);
    }
    parts
}

/// The field and value in `[name=value]`.
fn entry(part: &str) -> Option<(&str, &str)> {
    part.strip_prefix('[')?.strip_suffix(']')?.split_once('=')
}

pub(super) fn look_up<'a>(value: &'a Value, parts: &[String]) -> Option<&'a Value> {
    let Some((part, rest)) = parts.split_first() else {
        return Some(value);
    };
    let inner = match value {
        Value::Array(items) => match (part.parse::<usize>(), entry(part)) {
            (Ok(index), _) => items.get(index),
            (_, Some(("", wanted))) => items.iter().find(|item| text_of(item).as_deref() == Some(wanted)),
            (_, Some((key, wanted))) => items
                .iter()
                .find(|item| item.get(key).and_then(text_of).as_deref() == Some(wanted)),
            _ if part == "-" => items.last(),
            _ => None,
        },
        other => other.get(part),
    };
    look_up(inner?, rest)
}

/// The text of a scalar.
fn text_of(value: &Value) -> Option<String> {
    match value {
        Value::String(text) => Some(text.clone()),
        Value::Object(_) | Value::Array(_) => None,
        other => Some(other.to_string()),
    }
}

/// Takes the part of a value that options ask for.
fn part(value: &Value, options: Option<&FieldOptions>) -> Result<Value, String> {
    let Some(options) = options.filter(|options| !options.delimiter.is_empty()) else {
        return Ok(value.clone());
    };
    let text = text_of(value).ok_or("only a text can be split by a delimiter")?;
    let index = usize::try_from(options.index).ok();
    let part = index.and_then(|index| text.split(&options.delimiter).nth(index));
    part.map(|part| json!(part))
        .ok_or_else(|| format!("there is no part {} in `{text}`", options.index))
}

fn put(items: &mut [Item], value: &Value, target: &ReplacementTarget, spot: &Spot) -> Outcome<()> {
    let Some(select) = &target.select else {
        return Err(spot.wrong("a target without `select`", "say which objects are meant"));
    };
    let default = [NAME.to_owned()];
    let paths = if target.field_paths.is_empty() {
        default.as_slice()
    } else {
        &target.field_paths
    };
    let wanted =
        Wanted::new(select).map_err(|message| spot.at("/select").wrong(message, "correct the selector"))?;
    let mut rejected = Vec::new();
    for (at, reject) in target.reject.iter().enumerate() {
        let spot = spot.at(&format!("/reject/{at}"));
        rejected.push(Wanted::new(reject).map_err(|message| spot.wrong(message, "correct the selector"))?);
    }
    for item in items.iter_mut() {
        let is_rejected = rejected.iter().any(|reject| {
            reject.asks_for_id() && reject.has_id(item) || reject.asks_for_labels() && reject.has_labels(item)
        });
        if !wanted.has_labels(item) || !wanted.has_id(item) || is_rejected {
            continue;
        }
        for (at, path) in paths.iter().enumerate() {
            let (id, old) = (item.id(), twins::before(item));
            fill(item.edit(), path, value, target.options.as_ref()).map_err(|message| {
                let spot = spot.at(&format!("/fieldPaths/{at}"));
                let said = format!("`{path}` of {id}: {message}");
                if message.ends_with(OTHER_TYPE) {
                    // kustomize finds out at the end, if the field still is what it was given.
                    return spot.beyond(said, "take a value of the type of the field");
                }
                spot.wrong(said, "correct the path, or say `create: true`")
            })?;
            twins::after(item, &old);
        }
    }
    Ok(())
}

/// Which objects a selector of replacements means: names as they are, not regular expressions.
struct Wanted<'a> {
    target: &'a Target,
    labels: Requirements,
    annotations: Requirements,
}

impl<'a> Wanted<'a> {
    fn new(target: &'a Target) -> Result<Self, String> {
        Ok(Self {
            target,
            labels: Requirements::read(&target.label_selector)?,
            annotations: Requirements::read(&target.annotation_selector)?,
        })
    }

    fn asks_for_labels(&self) -> bool {
        !self.target.label_selector.is_empty() || !self.target.annotation_selector.is_empty()
    }

    fn asks_for_id(&self) -> bool {
        let Target {
            group,
            version,
            kind,
            name,
            namespace,
            ..
        } = self.target;
        [group, version, kind, name, namespace]
            .into_iter()
            .any(|text| !text.is_empty())
    }

    fn has_labels(&self, item: &Item) -> bool {
        self.labels.met_by(item, "/metadata/labels") && self.annotations.met_by(item, "/metadata/annotations")
    }

    fn has_id(&self, item: &Item) -> bool {
        let selected = Selected {
            group: &self.target.group,
            version: &self.target.version,
            kind: &self.target.kind,
        };
        is_selected(item, selected, &self.target.name, &self.target.namespace)
    }
}

fn fill(object: &mut Value, path: &str, value: &Value, options: Option<&FieldOptions>) -> Result<(), String> {
    let parts = split_field_path(path);
    let create = options.is_some_and(|options| options.create);
    let mut found = 0;
    let mut set = |field: &mut Value, is_new: bool| {
        found += 1;
        set(field, value, options, is_new)
    };
    visit(object, &parts, create.then_some(value), false, &mut set)?;
    if found == 0 {
        return Err("there is no such field".to_owned());
    }
    Ok(())
}

/// What is done with a field: the flag tells whether it was made for this.
type Set<'a> = dyn FnMut(&mut Value, bool) -> Result<(), String> + 'a;

/// Calls `set` with every value that a path leads to; missing parts are made if there is a value to be created.
fn visit(
    value: &mut Value,
    parts: &[String],
    create: Option<&Value>,
    is_new: bool,
    set: &mut Set<'_>,
) -> Result<(), String> {
    let Some((part, rest)) = parts.split_first() else {
        return set(value, is_new);
    };
    if part.parse::<usize>().is_ok() || entry(part).is_some() || part == "*" {
        let Value::Array(items) = value else {
            return Err(format!("`{part}` is looked for in something that is not a list"));
        };
        return visit_list(items, part, rest, create, set);
    }
    let fields = match value {
        Value::Null => return Ok(()),
        Value::Object(fields) => fields,
        _ => return Err(format!("`{part}` is looked for in something that is not a map")),
    };
    let missing = create.filter(|_| !fields.contains_key(part));
    if let Some(leaf) = missing {
        fields.insert(part.clone(), made(rest.first(), leaf));
    }
    match fields.get_mut(part) {
        Some(field) => visit(field, rest, create, missing.is_some(), set),
        None => Ok(()),
    }
}

/// What is made where a part is missing: what the next part needs.
fn made(next: Option<&String>, leaf: &Value) -> Value {
    match next {
        Some(part) if part.parse::<usize>().is_ok() || part.starts_with('[') => json!([]),
        Some(_) => json!({}),
        None => match leaf {
            Value::Object(_) => json!({}),
            Value::Array(_) => json!([]),
            _ => Value::Null,
        },
    }
}

fn visit_list(
    items: &mut Vec<Value>,
    part: &str,
    rest: &[String],
    create: Option<&Value>,
    set: &mut Set<'_>,
) -> Result<(), String> {
    if part == "*" {
        return items
            .iter_mut()
            .try_for_each(|item| visit(item, rest, create, false, set));
    }
    if let Ok(index) = part.parse::<usize>() {
        let missing = create.filter(|_| index == items.len());
        if let Some(leaf) = missing {
            items.push(made(rest.first(), leaf));
        }
        let count = items.len();
        let item = items.get_mut(index);
        let item = item.ok_or_else(|| format!("entry {index} is asked for, but there are only {count}"))?;
        return visit(item, rest, create, missing.is_some(), set);
    }
    let Some((key, wanted)) = entry(part) else {
        return Ok(());
    };
    let pattern =
        Regex::new(&as_go_reads(wanted)).map_err(|_| format!("`{wanted}` is not a regular expression"))?;
    let fits = |item: &Value| {
        let value = if key.is_empty() { Some(item) } else { item.get(key) };
        value
            .and_then(text_of)
            .is_some_and(|text| pattern.is_match(&text))
    };
    if create.is_some() && !items.iter().any(fits) {
        let text = scalar::resolve(wanted, Dialect::Objects).unwrap_or_default();
        items.push(if key.is_empty() {
            text
        } else {
            Value::Object(Map::from_iter([(key.to_owned(), text)]))
        });
    }
    let rest = if key.is_empty() { &[] } else { rest };
    items
        .iter_mut()
        .filter(|item| fits(item))
        .try_for_each(|item| visit(item, rest, create, false, set))
}

/// Puts a value into a field. A scalar keeps its type.
fn set(field: &mut Value, value: &Value, options: Option<&FieldOptions>, is_new: bool) -> Result<(), String> {
    let mut value = value.clone();
    if let Some(options) = options.filter(|options| !options.delimiter.is_empty()) {
        let own = text_of(field).ok_or("only a text can be split by a delimiter")?;
        let own = if field.is_null() { String::new() } else { own };
        let mut parts: Vec<String> = own.split(&options.delimiter).map(str::to_owned).collect();
        let text = text_of(&value).unwrap_or_default();
        match usize::try_from(options.index) {
            Err(_) => parts.insert(0, text),
            Ok(index) => match parts.get_mut(index) {
                Some(part) => *part = text,
                None => parts.push(text),
            },
        }
        value = json!(parts.join(&options.delimiter));
    }
    *field = match field {
        Value::Object(_) | Value::Array(_) => value,
        Value::Null if is_new && text_of(&value).is_some() => typed_as(&value, |_| true)?,
        _ if value.is_object() || value.is_array() => return Err(format!("the value {OTHER_TYPE}")),
        Value::String(_) => json!(text_of(&value).unwrap_or_default()),
        Value::Number(own) if own.is_f64() => typed_as(&value, Value::is_number)?,
        Value::Number(_) => typed_as(&value, |value| value.is_i64() || value.is_u64())?,
        Value::Bool(_) => typed_as(&value, Value::is_boolean)?,
        Value::Null => typed_as(&value, Value::is_null)?,
    };
    Ok(())
}

/// Reads the text of a value as a plain scalar, which must be of the type that is asked for.
fn typed_as(value: &Value, fits: impl Fn(&Value) -> bool) -> Result<Value, String> {
    let text = text_of(value).unwrap_or_default();
    scalar::resolve(&text, Dialect::Objects)
        .filter(fits)
        .ok_or_else(|| format!("`{text}` {OTHER_TYPE}"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn paths_are_split_at_dots_outside_of_brackets() {
        assert_eq!(
            split_field_path("spec.containers.[name=a.b].image"),
            ["spec", "containers", "[name=a.b]", "image"]
        );
        assert_eq!(
            split_field_path("metadata.annotations.[a.b/c]"),
            ["metadata", "annotations", "a.b/c"]
        );
        assert_eq!(split_field_path(r"a.b\.c"), ["a", "b.c"]);
    }

    fn filled(mut object: Value, path: &str, value: &Value, options: &FieldOptions) -> Result<Value, String> {
        fill(&mut object, path, value, Some(options)).map(|()| object)
    }

    #[test]
    fn fields_are_filled_and_made() {
        let plain = FieldOptions::default();
        let create = FieldOptions {
            create: true,
            ..FieldOptions::default()
        };
        let object = json!({"a": [{"name": "x", "v": 1}, {"name": "y", "v": "1"}]});
        assert_eq!(
            filled(object.clone(), "a.*.v", &json!("2"), &plain),
            Ok(json!({"a": [{"name": "x", "v": 2}, {"name": "y", "v": "2"}]}))
        );
        assert_eq!(
            filled(object.clone(), "a.[name=z].v", &json!("2"), &create),
            Ok(json!({"a": [{"name": "x", "v": 1}, {"name": "y", "v": "1"}, {"name": "z", "v": 2}]}))
        );
        assert!(filled(object.clone(), "b.c", &json!("2"), &plain).is_err());
        assert!(filled(object, "a.7.v", &json!("2"), &plain).is_err());
    }

    #[test]
    fn a_delimiter_picks_a_part() {
        let options = |index| FieldOptions {
            delimiter: ":".into(),
            index,
            ..FieldOptions::default()
        };
        let object = json!({"image": "app:1"});
        assert_eq!(
            filled(object.clone(), "image", &json!("2"), &options(1)),
            Ok(json!({"image": "app:2"}))
        );
        assert_eq!(
            filled(object.clone(), "image", &json!("host"), &options(-1)),
            Ok(json!({"image": "host:app:1"}))
        );
        assert_eq!(
            filled(object, "image", &json!("x"), &options(9)),
            Ok(json!({"image": "app:1:x"}))
        );
    }
}

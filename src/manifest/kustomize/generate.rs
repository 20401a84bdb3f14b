//! ConfigMaps and Secrets that are made of files and texts.

use std::collections::BTreeMap;

use base64::{Engine as _, engine::general_purpose::STANDARD};
use serde_json::{Map, Value, json};

use super::{
    fault::Outcome,
    item::{Behavior, Item},
    layer::Layer,
    load::{Loaded, Loader, Spot},
    place::Place,
    spec::{Generator, GeneratorOptions},
};

/// Adds what the generators of a kustomization make.
pub(super) fn run(
    loader: &mut Loader<'_>,
    place: &Place<'_>,
    loaded: &Loaded,
    layer: &mut Layer,
) -> Outcome<()> {
    let both = [
        (
            "ConfigMap",
            "configMapGenerator",
            &loaded.spec.config_map_generator,
        ),
        ("Secret", "secretGenerator", &loaded.spec.secret_generator),
    ];
    for (kind, field, generators) in both {
        for (at, generator) in generators.iter().enumerate() {
            let spot = loaded.spot.at(&format!("/{field}/{at}"));
            let options = options(generator, loaded.spec.generator_options.as_ref());
            let item = make(loader, place, kind, generator, &options, &spot)?;
            layer.take_in(item, &spot)?;
        }
    }
    Ok(())
}

/// The options of one generator: its own, then those for all. A switch that is on for all is on.
fn options(generator: &Generator, all: Option<&GeneratorOptions>) -> GeneratorOptions {
    let mut own = generator.options.clone().unwrap_or_default();
    if let Some(all) = all {
        for (mine, theirs) in [
            (&mut own.labels, &all.labels),
            (&mut own.annotations, &all.annotations),
        ] {
            for (key, value) in theirs {
                mine.entry(key.clone()).or_insert_with(|| value.clone());
            }
        }
        own.disable_name_suffix_hash |= all.disable_name_suffix_hash;
        own.immutable |= all.immutable;
    }
    own
}

fn make(
    loader: &mut Loader<'_>,
    place: &Place<'_>,
    kind: &str,
    generator: &Generator,
    options: &GeneratorOptions,
    spot: &Spot,
) -> Outcome<Item> {
    if generator.name.is_empty() {
        return Err(spot.wrong("a generator without a name", "add `name`"));
    }
    let pairs = pairs(loader, place, generator, spot)?;
    let mut object = Map::new();
    object.insert("apiVersion".to_owned(), json!("v1"));
    object.insert("kind".to_owned(), json!(kind));
    let mut metadata = Map::new();
    metadata.insert("name".to_owned(), json!(generator.name));
    if !generator.namespace.is_empty() {
        metadata.insert("namespace".to_owned(), json!(generator.namespace));
    }
    for (field, map) in [("labels", &options.labels), ("annotations", &options.annotations)] {
        if !map.is_empty() {
            metadata.insert(field.to_owned(), json!(map));
        }
    }
    object.insert("metadata".to_owned(), Value::Object(metadata));
    if kind == "Secret" {
        let own = generator.kind.as_deref().filter(|kind| !kind.is_empty());
        object.insert("type".to_owned(), json!(own.unwrap_or("Opaque")));
        let data: Map<String, Value> = pairs
            .iter()
            .map(|(key, value)| (key.clone(), json!(encoded(value))))
            .collect();
        object.insert("data".to_owned(), Value::Object(data));
    } else {
        for (key, value) in &pairs {
            let (field, text) = match std::str::from_utf8(value) {
                Ok(text) => ("data", text.to_owned()),
                Err(_) => ("binaryData", encoded(value)),
            };
            if let Some(map) = object.entry(field).or_insert_with(|| json!({})).as_object_mut() {
                map.insert(key.clone(), json!(text));
            }
        }
    }
    if options.immutable {
        object.insert("immutable".to_owned(), json!(true));
    }
    let line = spot.problem("", "").line;
    let mut item = Item::new(Value::Object(object).into(), spot.file.path().clone(), line, &[]);
    item.hashed = !options.disable_name_suffix_hash;
    item.made_by = Some(if kind == "Secret" {
        "SecretGenerator"
    } else {
        "ConfigMapGenerator"
    });
    item.behavior = match generator.behavior.as_str() {
        "replace" => Behavior::Replace,
        "merge" => Behavior::Merge,
        _ => Behavior::Create,
    };
    Ok(item)
}

/// Base64 in lines, if it is long, as kustomize writes it.
fn encoded(bytes: &[u8]) -> String {
    const WIDTH: usize = 70;
    let text = STANDARD.encode(bytes);
    if text.len() < WIDTH {
        return text;
    }
    let mut lines = String::with_capacity(text.len() + text.len() / WIDTH + 1);
    let mut rest = text.as_str();
    while !rest.is_empty() {
        let (line, after) = rest.split_at(rest.len().min(WIDTH));
        lines.push_str(line);
        lines.push('\n');
        rest = after;
    }
    lines
}

fn pairs(
    loader: &mut Loader<'_>,
    place: &Place<'_>,
    generator: &Generator,
    spot: &Spot,
) -> Outcome<BTreeMap<String, Vec<u8>>> {
    let mut pairs = BTreeMap::new();
    let mut add = |key: &str, value: Vec<u8>, spot: &Spot| match pairs.insert(key.to_owned(), value) {
        None => Ok(()),
        Some(_) => Err(spot.wrong(format!("the key `{key}` occurs twice"), "remove one of the two")),
    };
    for (at, path) in generator.envs.iter().enumerate() {
        let spot = spot.at(&format!("/envs/{at}"));
        let file = loader.needed(place, path, &spot)?;
        for (key, value) in variables(file.bytes()).map_err(|line| {
            spot.wrong(
                format!("line {line} of {path} is not UTF-8"),
                "save the file as UTF-8",
            )
        })? {
            add(&key, value.into_bytes(), &spot)?;
        }
    }
    for (at, literal) in generator.literals.iter().enumerate() {
        let spot = spot.at(&format!("/literals/{at}"));
        match literal.split_once('=') {
            Some((key, value)) if !key.is_empty() => add(key, unquoted(value).as_bytes().to_vec(), &spot)?,
            _ => return Err(spot.wrong("a literal is `key=value`", "write it so")),
        }
    }
    for (at, source) in generator.files.iter().enumerate() {
        let spot = spot.at(&format!("/files/{at}"));
        let (key, path) = match source.split_once('=') {
            None => (
                source
                    .rsplit('/')
                    .find(|part| !part.is_empty())
                    .unwrap_or_default(),
                source.as_str(),
            ),
            Some((key, path)) if !key.is_empty() && !path.is_empty() && !path.contains('=') => (key, path),
            Some(_) => return Err(spot.wrong("a file is `path` or `key=path`", "write it so")),
        };
        let file = loader.needed(place, path, &spot)?;
        add(key, file.bytes().to_vec(), &spot)?;
    }
    Ok(pairs)
}

/// Takes off a pair of quotes.
fn unquoted(text: &str) -> &str {
    ['"', '\'']
        .into_iter()
        .find_map(|quote| text.strip_prefix(quote)?.strip_suffix(quote))
        .unwrap_or(text)
}

/// Reads the lines `KEY=value` of a file; the number of a line that cannot be read is the error.
fn variables(bytes: &[u8]) -> Result<Vec<(String, String)>, usize> {
    let mut found = Vec::new();
    for (number, line) in bytes.split(|byte| *byte == b'\n').enumerate() {
        let line = line.strip_suffix(b"\r").unwrap_or(line);
        let text = std::str::from_utf8(line).map_err(|_| number + 1)?;
        let text = if number == 0 {
            text.strip_prefix('\u{feff}').unwrap_or(text)
        } else {
            text
        };
        let text = text.trim_start();
        if text.is_empty() || text.starts_with('#') {
            continue;
        }
        let (key, value) = text.split_once('=').unwrap_or((text, ""));
        if !key.is_empty() {
            found.push((key.to_owned(), value.to_owned()));
        }
    }
    Ok(found)
}

impl Layer {
    /// Takes in a generated object: beside, in the place of, or into the one of its name.
    fn take_in(&mut self, mut item: Item, spot: &Spot) -> Outcome<()> {
        let is_same = |known: &Item| {
            known.group() == item.group()
                && known.version() == item.version()
                && known.identities().any(|was| {
                    was.name == item.name()
                        && was.kind == item.kind()
                        && was.namespace == item.effective_namespace()
                })
        };
        let mut same = (0..self.items.len()).filter(|at| self.items.get(*at).is_some_and(is_same));
        let (first, second) = (same.next(), same.next());
        let id = item.id();
        match (first, second, item.behavior) {
            (None, _, Behavior::Create) => return self.add([item], spot),
            (None, ..) => Err(spot.at("/behavior").wrong(
                format!("there is no {id} to merge with or to replace"),
                "leave out `behavior`, or correct the name",
            )),
            (Some(_), Some(_), _) => {
                Err(spot.wrong(format!("there is more than one {id}"), "rename one of them"))
            }
            (Some(_), None, Behavior::Create) => Err(spot.wrong(
                format!("{id} is there already"),
                "say `behavior: merge` or `behavior: replace`, or give it another name",
            )),
            (Some(at), None, behavior) => {
                if let Some(old) = self.items.get_mut(at) {
                    inherit(&mut item, old, behavior);
                    *old = item;
                }
                Ok(())
            }
        }?;
        self.count();
        Ok(())
    }
}

/// Gives a generated object what it has of the one that was there.
fn inherit(item: &mut Item, old: &Item, behavior: Behavior) {
    let mut fields = vec!["/metadata/labels", "/metadata/annotations"];
    if behavior == Behavior::Merge {
        fields.extend(["/data", "/binaryData"]);
        (item.file, item.line, item.made_by) = (old.file.clone(), old.line, old.made_by);
    }
    for pointer in fields {
        let mut both: Map<String, Value> = old.map_at(pointer).cloned().unwrap_or_default();
        for value in both
            .values_mut()
            .filter(|value| value.is_number() || value.is_boolean())
        {
            *value = json!(value.to_string());
        }
        both.extend(item.map_at(pointer).cloned().unwrap_or_default());
        let Some((parent, name)) = pointer.rsplit_once('/') else {
            continue;
        };
        if let Some(Value::Object(parent)) = item.edit().pointer_mut(parent) {
            if both.is_empty() {
                parent.remove(name);
            } else {
                parent.insert(name.to_owned(), Value::Object(both));
            }
        }
    }
    let (name, namespace) = (old.name().to_owned(), old.namespace().to_owned());
    item.set_metadata("name", &name);
    item.set_metadata("namespace", &namespace);
    item.former.clone_from(&old.former);
    item.prefixes.clone_from(&old.prefixes);
    item.suffixes.clone_from(&old.suffixes);
    item.vars.clone_from(&old.vars);
    item.hashed &= old.hashed;
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn variables_are_lines() {
        let read = variables("\u{feff}A=1\n# note\n\n  B= x = y \r\nC\n=x\n".as_bytes()).unwrap();
        let read: Vec<(&str, &str)> = read
            .iter()
            .map(|(key, value)| (key.as_str(), value.as_str()))
            .collect();
        assert_eq!(read, [("A", "1"), ("B", " x = y "), ("C", "")]);
        assert_eq!(variables(b"A=1\nB=\xff\n"), Err(2));
    }

    #[test]
    fn quotes_come_off_in_pairs_and_long_texts_are_broken() {
        assert_eq!(
            (unquoted("'a'"), unquoted("\"a'"), unquoted("\"")),
            ("a", "\"a'", "\"")
        );
        assert_eq!(
            encoded(&[0; 60]).lines().map(str::len).collect::<Vec<_>>(),
            [70, 10]
        );
        assert_eq!(encoded(&[0; 30]).len(), 40);
    }
}

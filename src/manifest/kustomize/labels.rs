//! Labels and annotations for all objects, their templates and selectors.

use std::collections::{BTreeMap, BTreeSet};

use serde_json::{Map, Value, json};

use super::{
    config::Config,
    fault::Outcome,
    fields::{FieldSpec, Leaf, add_all, any, pointers, visit},
    item::Item,
    load::{Loaded, Spot},
    twins::{self, Newborn},
};

/// Adds what `labels` and `commonLabels` say.
pub(super) fn labels(items: &mut [Item], loaded: &Loaded, config: &Config) -> Outcome<()> {
    for (at, label) in loaded.spec.labels.iter().enumerate() {
        let spot = loaded.spot.at(&format!("/labels/{at}"));
        let mut specs = label.fields.clone();
        let metadata = FieldSpec {
            path: "metadata/labels".to_owned(),
            create: true,
            ..FieldSpec::default()
        };
        let merge = || {
            add_all(&mut specs, &config.labels)?;
            if label.include_selectors {
                return add_all(&mut specs, &config.common_labels);
            }
            if label.include_templates {
                add_all(&mut specs, &config.template_labels)?;
            }
            add_all(&mut specs, &[metadata])
        };
        merge().ok_or_else(|| {
            spot.wrong(
                "a field that labels are written to anyway is named with another `create`",
                "leave it out of `fields`",
            )
        })?;
        set(items, &label.pairs, &specs, &spot)?;
    }
    let spot = loaded.spot.at("/commonLabels");
    set(items, &loaded.spec.common_labels, &config.common_labels, &spot)
}

/// Adds annotations.
pub(super) fn annotations(
    items: &mut [Item],
    pairs: &BTreeMap<String, String>,
    specs: &[FieldSpec],
    spot: &Spot,
) -> Outcome<()> {
    set(items, pairs, specs, &spot.at("/commonAnnotations"))
}

pub(super) fn set(
    items: &mut [Item],
    pairs: &BTreeMap<String, String>,
    specs: &[FieldSpec],
    spot: &Spot,
) -> Outcome<()> {
    if pairs.is_empty() {
        return Ok(());
    }
    let parts: Vec<_> = specs.iter().map(|spec| (spec, spec.parts())).collect();
    let pairs: Map<String, Value> = pairs
        .iter()
        .map(|(key, value)| (key.clone(), json!(value)))
        .collect();
    for item in items {
        let old = twins::before(item);
        let mut newborn = Newborn::default();
        for (spec, parts) in &parts {
            if spec.fits(item) && (spec.create || any(&item.value, parts, &mut |_| true)) {
                add(item, spec, parts, &pairs, &mut newborn).map_err(|message| {
                    spot.wrong(
                        format!("{} of {} cannot be set: {message}", spec.path, item.id()),
                        "correct the object",
                    )
                })?;
            }
        }
        twins::after(item, &old);
        newborn.settle(item);
    }
    Ok(())
}

/// Adds pairs to the maps that one path leads to.
fn add(
    item: &mut Item,
    spec: &FieldSpec,
    parts: &[String],
    pairs: &Map<String, Value>,
    newborn: &mut Newborn,
) -> Result<(), String> {
    let known = pointers(&item.value, parts);
    let known: BTreeSet<String> = known
        .iter()
        .flat_map(|map| pairs.keys().map(move |key| (map, key)))
        .map(|(map, key)| below(map, key))
        .filter(|pointer| item.value.pointer(pointer).is_some())
        .collect();
    let mut set = |field: &mut Value| match field {
        Value::Object(map) => {
            map.extend(pairs.clone());
            Ok(())
        }
        Value::Null => Ok(()),
        _ => Err("it is not a map".to_owned()),
    };
    let leaf = if spec.create { Leaf::Map } else { Leaf::None };
    visit(item.edit(), parts, leaf, &mut set)?;
    for map in pointers(&item.value, parts) {
        for key in pairs.keys() {
            let pointer = below(&map, key);
            if !known.contains(&pointer) {
                newborn.add(key, pointer);
            }
        }
    }
    Ok(())
}

fn below(map: &str, key: &str) -> String {
    format!("{map}/{}", key.replace('~', "~0").replace('/', "~1"))
}

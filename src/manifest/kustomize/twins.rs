//! Labels and annotations that kustomize writes to several fields of an object at once are one and the same to it
//! from then on: whatever changes one of them changes all. A base that writes `env: base` to metadata and
//! template, below an overlay that writes `env: prod` to the metadata alone, has `env: prod` in both.

use std::collections::BTreeMap;

use serde_json::Value;

use super::item::Item;

/// The fields that are one, as JSON pointers, and their value.
pub(super) type Values = Vec<Option<Value>>;

/// Remembers which fields became one.
#[derive(Debug, Default)]
pub(super) struct Newborn(BTreeMap<String, Vec<String>>);

impl Newborn {
    pub(super) fn add(&mut self, key: &str, pointer: String) {
        let pointers = self.0.entry(key.to_owned()).or_default();
        if !pointers.contains(&pointer) {
            pointers.push(pointer);
        }
    }

    pub(super) fn settle(self, item: &mut Item) {
        let groups = self.0.into_values().filter(|pointers| pointers.len() > 1);
        item.twins.extend(groups);
    }
}

/// Takes the values of the fields that are one, before a change.
pub(super) fn before(item: &Item) -> Values {
    let first = |pointers: &Vec<String>| item.value.pointer(pointers.first()?).cloned();
    item.twins.iter().map(first).collect()
}

/// Gives all fields that are one the value that one of them was given. Those that are gone are on their own.
pub(super) fn after(item: &mut Item, before: &Values) {
    if item.twins.is_empty() {
        return;
    }
    let mut groups = std::mem::take(&mut item.twins);
    for (pointers, old) in groups.iter_mut().zip(before) {
        pointers.retain(|pointer| item.value.pointer(pointer).is_some_and(Value::is_string));
        pointers.sort();
        let changed = pointers
            .iter()
            .rev()
            .find_map(|pointer| {
                item.value
                    .pointer(pointer)
                    .filter(|value| Some(*value) != old.as_ref())
            })
            .cloned();
        if let Some(new) = changed {
            for pointer in pointers.iter() {
                if let Some(field) = item.edit().pointer_mut(pointer) {
                    field.clone_from(&new);
                }
            }
        }
    }
    groups.retain(|pointers| pointers.len() > 1);
    item.twins = groups;
}

/// Parts the fields that a patch replaces as a whole.
pub(super) fn part(item: &mut Item, patch: &Value) {
    let is_replaced = |pointer: &String| {
        let mut at = Some(patch);
        for name in pointer.split('/').skip(1) {
            if at.is_some_and(|map| map.get("$patch").is_some()) {
                return true;
            }
            at = at.and_then(|map| map.get(name.replace("~1", "/").replace("~0", "~")));
        }
        false
    };
    for pointers in &mut item.twins {
        pointers.retain(|pointer| !is_replaced(pointer));
    }
}

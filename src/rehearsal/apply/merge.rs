//! Field sets of values, the difference of two states, merging an intent, and taking out what nobody owns.

use std::collections::BTreeMap;

use serde_json::{Map, Value};

use super::set::Set;
use crate::rehearsal::schema::{Node, Shape};

fn field(name: &str) -> String {
    format!("f:{name}")
}

/// Returns the path element of a list entry; none if it lacks its keys.
pub(super) fn element(node: &Node<'_>, shape: &Shape, entry: &Value) -> Option<String> {
    match shape {
        Shape::Set => Some(format!("v:{entry}")),
        Shape::Keyed(keys) => {
            let mut found = Map::new();
            for key in keys {
                let value = entry.get(key).cloned().or_else(|| node.key_default(key));
                if let Some(value) = value {
                    found.insert(key.clone(), value);
                }
            }
            (!found.is_empty()).then(|| format!("k:{}", Value::Object(found)))
        }
        Shape::Fields | Shape::Atomic => None,
    }
}

/// The parts of a value that are owned one by one.
enum Parts<'a> {
    /// None: it is owned whole.
    Whole,
    Fields(&'a Map<String, Value>),
    /// Entries by path element; the first of equal ones.
    Entries(Vec<(String, &'a Value)>),
}

fn parts<'a>(node: &Node<'_>, value: &'a Value) -> Parts<'a> {
    let shape = node.shape(value);
    match (&shape, value) {
        (Shape::Fields, Value::Object(map)) if !map.is_empty() => Parts::Fields(map),
        (Shape::Set | Shape::Keyed(_), Value::Array(list)) if !list.is_empty() => {
            let mut entries: Vec<(String, &Value)> = Vec::new();
            for entry in list {
                let Some(element) = element(node, &shape, entry) else {
                    return Parts::Whole;
                };
                if !entries.iter().any(|(known, _)| *known == element) {
                    entries.push((element, entry));
                }
            }
            Parts::Entries(entries)
        }
        _ => Parts::Whole,
    }
}

/// Returns the fields that an applied intent declares.
pub(super) fn fields_of(node: &Node<'_>, value: &Value) -> Set {
    let mut set = Set::default();
    match parts(node, value) {
        Parts::Whole => set.member = true,
        Parts::Fields(map) => {
            for (name, child) in map {
                set.children
                    .insert(field(name), fields_of(&node.field(name), child));
            }
        }
        Parts::Entries(entries) => {
            for (element, entry) in entries {
                let mut child = fields_of(&node.item(), entry);
                child.member = true;
                set.children.insert(element, child);
            }
        }
    }
    set
}

/// What differs between two states.
#[derive(Debug, Default)]
pub(super) struct Difference {
    /// Added or modified.
    pub(super) changed: Set,
    /// Gone.
    pub(super) removed: Set,
}

/// Compares two states.
pub(super) fn compare(node: &Node<'_>, old: Option<&Value>, new: Option<&Value>) -> Difference {
    let mut difference = Difference::default();
    compare_into(node, old, new, &mut difference.changed, &mut difference.removed);
    // The root itself is nobody's.
    difference.changed.member = false;
    difference.removed.member = false;
    difference
}

fn compare_into(
    node: &Node<'_>,
    old: Option<&Value>,
    new: Option<&Value>,
    changed: &mut Set,
    removed: &mut Set,
) {
    let (old, new) = (old.filter(|v| !v.is_null()), new.filter(|v| !v.is_null()));
    let sides = (side(node, old), side(node, new));
    let sides = match sides {
        // What was or becomes empty is owned whole, but its parts come and go one by one.
        (Side::Empty, other @ Side::Parts(_)) => (Side::Parts(BTreeMap::new()), other),
        (other @ Side::Parts(_), Side::Empty) => (other, Side::Parts(BTreeMap::new())),
        sides => sides,
    };
    match sides {
        (Side::Absent, Side::Absent) => {}
        // Both, or the only one, are owned part by part.
        (old_parts @ (Side::Absent | Side::Parts(_)), new_parts @ (Side::Absent | Side::Parts(_))) => {
            let (old_parts, new_parts) = (old_parts.parts(), new_parts.parts());
            let elements: std::collections::BTreeSet<&String> =
                old_parts.keys().chain(new_parts.keys()).collect();
            for element in elements {
                let below = match element.strip_prefix("f:") {
                    Some(name) => node.field(name),
                    None => node.item(),
                };
                let (mut more, mut less) = (Set::default(), Set::default());
                let sides = (old_parts.get(element).copied(), new_parts.get(element).copied());
                compare_into(&below, sides.0, sides.1, &mut more, &mut less);
                keep(changed, element, more);
                keep(removed, element, less);
            }
            changed.member |= old.is_none() && !node.is_always_there();
            removed.member |= new.is_none() && !node.is_always_there();
        }
        _ if old == new => {}
        _ if new.is_none() => removed.member = true,
        _ => changed.member = true,
    }
}

fn keep(set: &mut Set, element: &str, child: Set) {
    if !child.is_empty() {
        set.children.insert(element.to_owned(), child);
    }
}

/// One side of a comparison.
enum Side<'a> {
    Absent,
    /// An empty object or list, owned whole.
    Empty,
    Whole,
    Parts(BTreeMap<String, &'a Value>),
}

impl<'a> Side<'a> {
    fn parts(self) -> BTreeMap<String, &'a Value> {
        match self {
            Self::Parts(parts) => parts,
            Self::Absent | Self::Empty | Self::Whole => BTreeMap::new(),
        }
    }
}

fn side<'a>(node: &Node<'_>, value: Option<&'a Value>) -> Side<'a> {
    let Some(value) = value else { return Side::Absent };
    match parts(node, value) {
        Parts::Fields(map) => Side::Parts(map.iter().map(|(name, value)| (field(name), value)).collect()),
        Parts::Entries(entries) => Side::Parts(entries.into_iter().collect()),
        Parts::Whole => match value {
            Value::Object(map) if map.is_empty() => Side::Empty,
            Value::Array(list) if list.is_empty() => Side::Empty,
            _ => Side::Whole,
        },
    }
}

/// Returns what is wrong if a list names an entry twice.
pub(super) fn duplicate(node: &Node<'_>, value: &Value, path: &str) -> Option<String> {
    let shape = node.shape(value);
    match value {
        Value::Object(map) if shape == Shape::Fields => map
            .iter()
            .find_map(|(name, v)| duplicate(&node.field(name), v, &format!("{path}.{name}"))),
        Value::Array(list) if matches!(shape, Shape::Set | Shape::Keyed(_)) => {
            let mut seen = Vec::new();
            list.iter().find_map(|entry| {
                let key = element(node, &shape, entry)?;
                if seen.contains(&key) {
                    return Some(format!(
                        "{path}: duplicate entries for key {}",
                        super::set::readable(&key)
                    ));
                }
                let below = duplicate(
                    &node.item(),
                    entry,
                    &format!("{path}{}", super::set::readable(&key)),
                );
                seen.push(key);
                below
            })
        }
        _ => None,
    }
}

/// Merges an intent into a live value.
pub(super) fn merge(node: &Node<'_>, live: Option<&Value>, intent: &Value) -> Value {
    let Some(live) = live else { return intent.clone() };
    let shape = node.shape(intent);
    match (&shape, live, intent) {
        (Shape::Fields, Value::Object(live), Value::Object(intent)) => {
            let mut merged = live.clone();
            for (name, value) in intent {
                let value = merge(&node.field(name), live.get(name), value);
                merged.insert(name.clone(), value);
            }
            Value::Object(merged)
        }
        (Shape::Set | Shape::Keyed(_), Value::Array(live), Value::Array(intent)) => {
            merge_lists(node, &shape, live, intent)
        }
        _ => intent.clone(),
    }
}

/// Merges lists: what both have comes in the intent's order; what only the live list has stays before what
/// followed it there.
fn merge_lists(node: &Node<'_>, shape: &Shape, live: &[Value], intent: &[Value]) -> Value {
    let keyed = |list: &[Value]| -> Option<Vec<(String, Value)>> {
        list.iter()
            .map(|e| Some((element(node, shape, e)?, e.clone())))
            .collect()
    };
    let (Some(live), Some(intent)) = (keyed(live), keyed(intent)) else {
        return Value::Array(intent.to_vec());
    };
    let of =
        |list: &[(String, Value)], key: &str| list.iter().find(|(k, _)| k == key).map(|(_, v)| v.clone());
    let mut merged = Vec::new();
    let mut left = live.iter().peekable();
    let mut right = intent.iter().enumerate().peekable();
    loop {
        // The next entry of the intent that the live list has too.
        let at = right.peek().map_or(intent.len(), |(at, _)| *at);
        let shared = intent
            .iter()
            .skip(at)
            .map(|(k, _)| k)
            .find(|k| of(&live, k).is_some());
        match (left.peek(), right.peek()) {
            (Some((key, own)), _) if of(&intent, key).is_none() => {
                merged.push(own.clone());
                left.next();
            }
            // Comes, or came, in the intent's order.
            (Some((key, _)), _) if shared != Some(key) => drop(left.next()),
            (_, Some((_, (key, value)))) => {
                merged.push(merge(&node.item(), of(&live, key).as_ref(), value));
                left.next_if(|(k, _)| k == key);
                right.next();
            }
            (Some(_), None) => drop(left.next()),
            (None, None) => return Value::Array(merged),
        }
    }
}

/// Takes out of a value what was in the last intent and is owned by nobody now.
pub(super) fn prune(node: &Node<'_>, value: &mut Value, last: &Set, owned: &Set) {
    let nobody = Set::default();
    for (element, was) in &last.children {
        let is = owned.children.get(element).unwrap_or(&nobody);
        let below = match element.strip_prefix("f:") {
            Some(name) => node.field(name),
            None => node.item(),
        };
        let Some(child) = find(node, value, element) else {
            continue;
        };
        let owned = !is.is_empty();
        let whole = matches!(parts(&below, child), Parts::Whole);
        let declared = element.starts_with("f:") && !below.has_free_keys() && !child.is_array();
        let mut goes = !owned && (was.member || (declared && !whole));
        if !goes && !whole {
            prune(&below, child, was, is);
            goes = !owned && is_empty(child);
        }
        if goes {
            take(node, value, element);
        }
    }
}

fn is_empty(value: &Value) -> bool {
    match value {
        Value::Object(map) => map.is_empty(),
        Value::Array(list) => list.is_empty(),
        _ => false,
    }
}

fn find<'a>(node: &Node<'_>, value: &'a mut Value, wanted: &str) -> Option<&'a mut Value> {
    if let Some(name) = wanted.strip_prefix("f:") {
        return value.get_mut(name);
    }
    let shape = node.shape(value);
    value
        .as_array_mut()?
        .iter_mut()
        .find(|e| element(node, &shape, e).as_deref() == Some(wanted))
}

fn take(node: &Node<'_>, value: &mut Value, wanted: &str) {
    let shape = node.shape(value);
    match value {
        Value::Object(map) => {
            if let Some(name) = wanted.strip_prefix("f:") {
                map.remove(name);
            }
        }
        Value::Array(list) => list.retain(|e| element(node, &shape, e).as_deref() != Some(wanted)),
        _ => {}
    }
}

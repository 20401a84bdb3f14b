//! Where the objects of a revision are declared, by key. Revisions share what is the same in both, so that a new
//! one costs as much as has changed.

use std::{cmp::Ordering, collections::BTreeSet, iter, ops::Bound, sync::Arc};

use rpds::RedBlackTreeMapSync;

use super::{Placed, part::Part};
use crate::manifest::{ObjectKey, Resource};

/// The objects that a revision declares. Of a key that is declared several times, the first counts.
#[derive(Clone, Debug, Default)]
pub struct Objects {
    declared: RedBlackTreeMapSync<Arc<ObjectKey>, Declared>,
    /// Keys that are declared several times.
    again: RedBlackTreeMapSync<Arc<ObjectKey>, ()>,
}

/// The parts that declare one key, in their order.
#[derive(Clone, Debug)]
struct Declared {
    first: Owner,
    more: Vec<Owner>,
}

/// A part that declares an object, and which of its objects that is.
#[derive(Clone, Debug)]
pub(super) struct Owner {
    pub(super) part: Arc<Part>,
    at: usize,
}

impl Owner {
    pub(super) fn placed(&self) -> Option<&Placed> {
        self.part.objects.get(self.at).map(|(_, placed)| placed)
    }

    fn rank(&self, other: &Self) -> Ordering {
        (&self.part.name, self.at).cmp(&(&other.part.name, other.at))
    }
}

impl Declared {
    /// Returns this without a part; nothing is left if no other declares the key.
    fn without(&self, part: &Arc<Part>) -> Option<Self> {
        let others = iter::once(&self.first).chain(&self.more);
        let mut others = others.filter(|owner| !Arc::ptr_eq(&owner.part, part)).cloned();
        Some(Self {
            first: others.next()?,
            more: others.collect(),
        })
    }

    fn with(&self, owner: Owner) -> Self {
        let mut more = self.more.clone();
        let (first, other) = if owner.rank(&self.first) == Ordering::Less {
            (owner, self.first.clone())
        } else {
            (self.first.clone(), owner)
        };
        let at = more.partition_point(|known| known.rank(&other) == Ordering::Less);
        more.insert(at, other);
        Self { first, more }
    }
}

impl Objects {
    /// Returns the object with a key.
    #[must_use]
    pub fn get(&self, key: &ObjectKey) -> Option<&Placed> {
        self.declared.get(key)?.first.placed()
    }

    /// Returns the Flux Kustomization that applies an object.
    pub(super) fn applied_by(&self, key: &ObjectKey) -> Option<&ObjectKey> {
        let (by, _) = self.declared.get(key)?.first.part.by.as_ref()?;
        Some(&by.key)
    }

    /// Tells whether there is an object with a key.
    #[must_use]
    pub fn contains_key(&self, key: &ObjectKey) -> bool {
        self.declared.contains_key(key)
    }

    /// Returns all objects, in the order of their keys.
    pub fn iter(&self) -> impl Iterator<Item = (&ObjectKey, &Placed)> {
        self.declared
            .iter()
            .filter_map(|(key, declared)| Some((&**key, declared.first.placed()?)))
    }

    /// Returns the keys in their order.
    pub fn keys(&self) -> impl Iterator<Item = &ObjectKey> {
        self.declared.keys().map(|key| &**key)
    }

    /// Returns the objects of one resource, in the order of their keys.
    pub fn of(&self, resource: Resource) -> impl Iterator<Item = (&ObjectKey, &Placed)> {
        let from = ObjectKey::new(resource, "", "");
        let rest = self
            .declared
            .range::<ObjectKey, _>((Bound::Included(from), Bound::Unbounded));
        rest.take_while(move |(key, _)| key.kind == resource.kind && key.group == resource.group)
            .filter_map(|(key, declared)| Some((&**key, declared.first.placed()?)))
    }

    /// Tells whether a key is declared more than once.
    #[must_use]
    pub fn is_declared_again(&self, key: &ObjectKey) -> bool {
        self.again.contains_key(key)
    }

    /// Returns the keys that are declared more than once: who counts, and the others.
    pub(super) fn declared_again(&self) -> impl Iterator<Item = (&ObjectKey, &Owner, &[Owner])> {
        self.again.keys().filter_map(|key| {
            let declared = self.declared.get(key)?;
            Some((&**key, &declared.first, declared.more.as_slice()))
        })
    }

    /// Makes the objects of some parts from those of others; both are in the order of their names.
    pub(super) fn moved(&self, from: &[Arc<Part>], to: &[Arc<Part>]) -> Self {
        let changes = differences(from, to);
        let touched = |pick: fn(&Difference<'_>) -> usize| changes.iter().map(pick).sum::<usize>();
        let gone = touched(|change| change.old.map_or(0, |part| part.objects.len()));
        if 2 * gone > self.declared.size() {
            return Self::of_parts(to);
        }
        let mut moved = self.clone();
        for change in &changes {
            let kept: BTreeSet<&ObjectKey> = change.new.map(|part| part.keys().collect()).unwrap_or_default();
            for key in change
                .old
                .into_iter()
                .flat_map(|part| &part.objects)
                .map(|(key, _)| key)
            {
                // What is declared again by the same part is put in its place below.
                let stays = kept.contains(&**key) && !self.is_declared_again(key);
                if let Some(old) = change.old.filter(|_| !stays) {
                    moved.remove(key, old);
                }
            }
        }
        for change in &changes {
            if let Some(new) = change.new {
                moved.add(new, change.old);
            }
        }
        moved
    }

    fn of_parts(parts: &[Arc<Part>]) -> Self {
        let mut objects = Self::default();
        for part in parts {
            objects.add(part, None);
        }
        objects
    }

    fn remove(&mut self, key: &Arc<ObjectKey>, part: &Arc<Part>) {
        let Some(declared) = self.declared.get(key) else {
            return;
        };
        if let Some(left) = declared.without(part) {
            self.set(key, left);
        } else {
            self.declared.remove_mut(key);
            self.again.remove_mut(key);
        }
    }

    /// Adds the objects of a part; what `instead` of it alone declared is replaced.
    fn add(&mut self, part: &Arc<Part>, instead: Option<&Arc<Part>>) {
        for (at, (key, _)) in part.objects.iter().enumerate() {
            let owner = Owner {
                part: Arc::clone(part),
                at,
            };
            let known = self.declared.get(key);
            let known = match (known, instead) {
                (Some(known), Some(old)) => known.without(old),
                (known, _) => known.cloned(),
            };
            let declared = match known {
                Some(known) => known.with(owner),
                None => Declared {
                    first: owner,
                    more: Vec::new(),
                },
            };
            self.set(key, declared);
        }
    }

    fn set(&mut self, key: &Arc<ObjectKey>, declared: Declared) {
        if declared.more.is_empty() {
            self.again.remove_mut(key);
        } else {
            self.again.insert_mut(Arc::clone(key), ());
        }
        self.declared.insert_mut(Arc::clone(key), declared);
    }
}

/// A part that is not the same in two revisions.
#[derive(Clone, Copy, Debug)]
pub(super) struct Difference<'a> {
    pub(super) old: Option<&'a Arc<Part>>,
    pub(super) new: Option<&'a Arc<Part>>,
}

/// Returns the parts that are not the same; both lists are in the order of their names.
pub(super) fn differences<'a>(old: &'a [Arc<Part>], new: &'a [Arc<Part>]) -> Vec<Difference<'a>> {
    let (mut old, mut new) = (old.iter().peekable(), new.iter().peekable());
    let mut found = Vec::new();
    loop {
        let order = match (old.peek(), new.peek()) {
            (None, None) => return found,
            (Some(_), None) => Ordering::Less,
            (None, Some(_)) => Ordering::Greater,
            (Some(old), Some(new)) if Arc::ptr_eq(old, new) => Ordering::Equal,
            (Some(old), Some(new)) => old.name.cmp(&new.name),
        };
        let change = Difference {
            old: if order == Ordering::Greater {
                None
            } else {
                old.next()
            },
            new: if order == Ordering::Less { None } else { new.next() },
        };
        let is_same =
            matches!(change, Difference { old: Some(old), new: Some(new) } if Arc::ptr_eq(old, new));
        if !is_same {
            found.push(change);
        }
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use proptest::prelude::*;
    use serde_json::json;

    use super::*;
    use crate::{manifest::Object, plan::part::PartName};

    /// Which parts there are, and the keys that each declares, one of them perhaps twice.
    type Declares = BTreeMap<u8, Vec<u8>>;

    fn declare(part: &mut Part, object: Object) {
        let placed = Placed {
            file: Arc::from(part.name.path()),
            line: 1,
            unknown: None,
            substituted: false,
            secret: false,
            root: None,
            object,
        };
        part.objects.push((Arc::new(placed.object.key()), placed));
    }

    fn part(name: u8, keys: &[u8]) -> Arc<Part> {
        let path = format!("part-{name}");
        let name = if name.is_multiple_of(2) {
            PartName::File(path)
        } else {
            PartName::Root(path)
        };
        let mut part = Part::new(name, BTreeSet::new());
        for key in keys {
            let object = Object::from(
                json!({"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": key.to_string()}}),
            );
            declare(&mut part, object);
        }
        Arc::new(part)
    }

    /// Makes the parts of a revision; those that declare the same as before are the same.
    fn parts(before: &[Arc<Part>], declares: &Declares) -> Vec<Arc<Part>> {
        let made = declares.iter().map(|(name, keys)| part(*name, keys));
        let mut parts: Vec<Arc<Part>> = made
            .map(|part| {
                let same = |known: &&Arc<Part>| known.name == part.name && known.keys().eq(part.keys());
                before
                    .iter()
                    .find(same)
                    .map_or_else(|| Arc::clone(&part), Arc::clone)
            })
            .collect();
        parts.sort_by(|a, b| a.name.cmp(&b.name));
        parts
    }

    /// Who declares each key, in their order.
    fn owners(objects: &Objects) -> BTreeMap<String, Vec<(*const Part, usize)>> {
        let all = objects.declared.iter().map(|(key, declared)| {
            let owners = iter::once(&declared.first).chain(&declared.more);
            let owners = owners.map(|owner| (Arc::as_ptr(&owner.part), owner.at));
            (key.name.clone(), owners.collect())
        });
        all.collect()
    }

    proptest! {
        #[test]
        fn what_is_moved_from_another_revision_is_what_is_made_anew(
            revisions in prop::collection::vec(
                prop::collection::btree_map(0..6_u8, prop::collection::vec(0..12_u8, 0..5), 0..6), 1..8)
        ) {
            let (mut before, mut moved) = (Vec::new(), Objects::default());
            for declares in &revisions {
                let parts = parts(&before, declares);
                moved = moved.moved(&before, &parts);
                let anew = Objects::of_parts(&parts);
                prop_assert_eq!(owners(&moved), owners(&anew));
                prop_assert!(moved.again.keys().eq(anew.again.keys()));
                prop_assert!(owners(&anew).values().all(|owners| !owners.is_empty()));
                before = parts;
            }
        }
    }

    #[test]
    fn objects_of_one_resource_are_found_among_the_others() {
        let object = |api: &str, kind: &str, name: &str| {
            Object::from(
                json!({"apiVersion": api, "kind": kind, "metadata": {"name": name, "namespace": "n"}}),
            )
        };
        let all = [
            object("v1", "ConfigMap", "b"),
            object("v1", "ConfigMap", "a"),
            object("v1", "ConfigMapList", "x"),
            object("example.com/v1", "ConfigMap", "x"),
            object("v1", "Secret", "x"),
        ];
        let mut part = Part::new(PartName::File("f".to_owned()), BTreeSet::new());
        for object in all {
            declare(&mut part, object);
        }
        let objects = Objects::of_parts(&[Arc::new(part)]);
        let of = |resource| {
            objects
                .of(resource)
                .map(|(key, _)| key.name.clone())
                .collect::<Vec<_>>()
        };
        assert_eq!(of(Resource::CONFIG_MAP), ["a", "b"]);
        assert_eq!(of(Resource::SECRET), ["x"]);
        assert!(of(Resource::CANARY).is_empty());
    }
}

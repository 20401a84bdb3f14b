//! What was read of a cluster: for each key an object, its absence, or nothing yet.

use std::collections::BTreeMap;

use super::{Object, ObjectKey};

/// What is known of a key.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Reading<'a> {
    /// Not read yet.
    Unknown,
    /// Read, and not there.
    Absent,
    /// Read, and there.
    Present(&'a Object),
}

impl<'a> Reading<'a> {
    /// Returns the object, if it is there.
    #[must_use]
    pub fn present(self) -> Option<&'a Object> {
        match self {
            Self::Present(object) => Some(object),
            Self::Unknown | Self::Absent => None,
        }
    }
}

/// Readings by key.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Snapshot(BTreeMap<ObjectKey, Option<Object>>);

impl Snapshot {
    /// Returns what is known of a key.
    #[must_use]
    pub fn read(&self, key: &ObjectKey) -> Reading<'_> {
        match self.0.get(key) {
            None => Reading::Unknown,
            Some(None) => Reading::Absent,
            Some(Some(object)) => Reading::Present(object),
        }
    }

    /// Returns the object under a key, if it was read and is there.
    #[must_use]
    pub fn get(&self, key: &ObjectKey) -> Option<&Object> {
        self.read(key).present()
    }

    /// Records an object under its own key.
    pub fn insert(&mut self, object: Object) {
        self.0.insert(object.key(), Some(object));
    }

    /// Records that there is no object under a key.
    pub fn insert_absent(&mut self, key: ObjectKey) {
        self.0.insert(key, None);
    }

    /// Iterates over the objects that are there, by key.
    pub fn objects(&self) -> impl Iterator<Item = &Object> {
        self.0.values().flatten()
    }
}

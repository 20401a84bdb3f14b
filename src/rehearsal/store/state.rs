//! What the store holds: objects by kind, the bounded history of changes, the counters.

use std::{
    collections::{BTreeMap, BTreeSet, VecDeque},
    sync::Arc,
};

use jiff::Timestamp;
use serde_json::{Value, json};
use sha2::{Digest as _, Sha256};

use super::{
    Lost, json as j,
    kind::{Kind, Kinds},
};
use crate::{clock::Clock, manifest::Object};

/// What happened to an object.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Verb {
    /// It was created.
    Added,
    /// It was changed.
    Modified,
    /// It is gone.
    Deleted,
}

/// One change of one object.
#[derive(Clone, Debug, PartialEq)]
pub struct Change {
    /// The revision that this change made; also the object's `resourceVersion`, deletion included.
    pub revision: u64,
    /// What happened.
    pub verb: Verb,
    /// The kind.
    pub kind: Arc<Kind>,
    /// The object after the change; the last state of a deleted one.
    pub object: Object,
    /// The object before the change; none for a new one.
    pub previous: Option<Object>,
}

type Place = (String, String);

/// Everything that the store holds.
#[derive(Debug)]
pub(crate) struct State {
    clock: Clock,
    kinds: Kinds,
    objects: BTreeMap<Place, BTreeMap<Place, Object>>,
    history: VecDeque<Change>,
    limit: usize,
    revision: u64,
    forgotten: u64,
    counter: u64,
}

/// Formats a time as `metadata` does: whole seconds.
pub(crate) fn stamp(at: Timestamp) -> String {
    Timestamp::from_second(at.as_second()).unwrap_or(at).to_string()
}

impl State {
    pub(super) fn new(clock: Clock, limit: usize) -> Self {
        Self {
            clock,
            kinds: Kinds::default(),
            objects: BTreeMap::new(),
            history: VecDeque::new(),
            limit,
            revision: 0,
            forgotten: 0,
            counter: 0,
        }
    }

    pub(super) fn seed_namespaces(&mut self) {
        let Some(kind) = self.kinds.get("", "Namespace") else {
            return;
        };
        for name in ["default", "kube-node-lease", "kube-public", "kube-system"] {
            let mut value = json!({
                "apiVersion": "v1", "kind": "Namespace",
                "metadata": {
                    "name": name, "uid": self.new_uid(), "creationTimestamp": self.now(),
                    "labels": {"kubernetes.io/metadata.name": name},
                },
                "spec": {"finalizers": ["kubernetes"]}, "status": {"phase": "Active"},
            });
            self.commit(&kind, Verb::Added, &mut value, None);
        }
    }

    pub(crate) fn kinds(&self) -> &Kinds {
        &self.kinds
    }

    pub(super) fn kinds_mut(&mut self) -> &mut Kinds {
        &mut self.kinds
    }

    pub(crate) fn revision(&self) -> u64 {
        self.revision
    }

    /// Returns the present time as `metadata` writes it.
    pub(crate) fn now(&self) -> String {
        stamp(self.clock.now())
    }

    pub(crate) fn clock(&self) -> Clock {
        self.clock
    }

    pub(crate) fn object(&self, group: &str, kind: &str, namespace: &str, name: &str) -> Option<&Object> {
        self.objects
            .get(&(group.to_owned(), kind.to_owned()))?
            .get(&(namespace.to_owned(), name.to_owned()))
    }

    pub(crate) fn objects<'a>(
        &'a self,
        group: &str,
        kind: &str,
        namespace: Option<&'a str>,
    ) -> impl Iterator<Item = &'a Object> + use<'a> {
        self.objects
            .get(&(group.to_owned(), kind.to_owned()))
            .into_iter()
            .flatten()
            .filter(move |((ns, _), _)| namespace.is_none_or(|n| n == ns))
            .map(|(_, object)| object)
    }

    /// Returns every object in a namespace.
    pub(super) fn in_namespace(&self, namespace: &str) -> Vec<Object> {
        self.objects
            .values()
            .flatten()
            .filter(|((ns, _), _)| ns == namespace)
            .map(|(_, object)| object.clone())
            .collect()
    }

    /// Returns the remembered changes after a revision, oldest first; `Lost` if some were forgotten.
    pub(crate) fn changes_after(&self, seen: u64) -> Result<impl Iterator<Item = &Change>, Lost> {
        if seen < self.forgotten {
            return Err(Lost(seen));
        }
        let start = self.history.partition_point(|c| c.revision <= seen);
        Ok(self.history.range(start..))
    }

    /// Returns the remembered changes after a revision, newest first.
    pub(crate) fn changes_back_to(&self, seen: u64) -> Result<impl Iterator<Item = &Change>, Lost> {
        if seen < self.forgotten {
            return Err(Lost(seen));
        }
        Ok(self.history.iter().rev().take_while(move |c| c.revision > seen))
    }

    /// Returns the revision from which changes are remembered.
    pub(crate) fn oldest(&self) -> u64 {
        self.forgotten
    }

    /// Returns the oldest remembered change after a revision; `Lost` if some were forgotten.
    pub(crate) fn change_after(&self, seen: u64) -> Result<Option<&Change>, Lost> {
        if seen < self.forgotten {
            return Err(Lost(seen));
        }
        let start = self.history.partition_point(|c| c.revision <= seen);
        Ok(self.history.get(start))
    }

    /// Writes an object and remembers the change. Sets its `resourceVersion`.
    pub(super) fn commit(
        &mut self,
        kind: &Arc<Kind>,
        verb: Verb,
        value: &mut Value,
        previous: Option<Object>,
    ) -> Object {
        self.revision += 1;
        j::set(value, &["metadata", "resourceVersion"], self.revision.to_string());
        let object = Object::from(value.take());
        let place = (object.namespace().to_owned(), object.name().to_owned());
        let objects = self
            .objects
            .entry((kind.group.clone(), kind.kind.clone()))
            .or_default();
        if verb == Verb::Deleted {
            objects.remove(&place);
        } else {
            objects.insert(place, object.clone());
        }
        self.history.push_back(Change {
            revision: self.revision,
            verb,
            kind: kind.clone(),
            object: object.clone(),
            previous,
        });
        while self.history.len() > self.limit {
            self.forgotten = self.history.pop_front().map_or(self.forgotten, |c| c.revision);
        }
        object
    }

    /// Returns a uid that is new in this cluster and the same in every run.
    pub(super) fn new_uid(&mut self) -> String {
        let hex = self.next_hash();
        let part = |from: usize, to: usize| hex.get(from..to).unwrap_or_default().to_owned();
        format!(
            "{}-{}-4{}-8{}-{}",
            part(0, 8),
            part(8, 12),
            part(13, 16),
            part(17, 20),
            part(20, 32)
        )
    }

    /// Returns five characters for `generateName`.
    pub(super) fn new_suffix(&mut self) -> String {
        const ALPHABET: &[u8] = b"bcdfghjklmnpqrstvwxz2456789";
        let hash = self.next_hash();
        hash.bytes()
            .take(10)
            .collect::<Vec<_>>()
            .chunks(2)
            .map(|pair| pair.iter().fold(0_usize, |sum, b| sum * 31 + usize::from(*b)))
            .filter_map(|n| ALPHABET.get(n % ALPHABET.len()).map(|b| char::from(*b)))
            .collect()
    }

    fn next_hash(&mut self) -> String {
        use std::fmt::Write as _;
        self.counter += 1;
        Sha256::digest(format!("serin {}", self.counter))
            .iter()
            .fold(String::new(), |mut text, byte| {
                let _infallible = write!(text, "{byte:02x}");
                text
            })
    }

    /// Returns the ports of nodes that Services use.
    pub(super) fn node_ports(&self) -> BTreeSet<i64> {
        self.objects("", "Service", None)
            .flat_map(|s| j::items(s.value(), &["spec", "ports"]))
            .filter_map(|p| p.get("nodePort").and_then(Value::as_i64))
            .collect()
    }

    /// Returns a free address for a Service.
    pub(super) fn new_cluster_ip(&self) -> Option<String> {
        let used: BTreeSet<&str> = self
            .objects("", "Service", None)
            .map(|s| s.str_at("/spec/clusterIP"))
            .collect();
        (1_u32..65_534)
            .map(|n| format!("10.96.{}.{}", n / 256, n % 256))
            .find(|ip| ip != "10.96.0.1" && ip != "10.96.0.10" && !used.contains(ip.as_str()))
    }
}

//! Follows names: where an object was renamed, the fields of others that name it are renamed too.

use std::collections::{BTreeMap, BTreeSet};

use serde_json::{Value, json};

use super::{
    config::{Config, Reference},
    fault::Outcome,
    fields::{FieldSpec, Leaf, Selected, any, visit},
    item::Item,
    load::Spot,
};

/// What the search for a name needs to know of an object, as it was before any reference was changed.
struct Candidate {
    group: String,
    version: String,
    kind: String,
    name: String,
    /// As written, and for comparisons.
    namespace: (String, String),
    cluster_scoped: bool,
    /// Former kinds and namespaces.
    former: Vec<(String, String)>,
    prefixes: Vec<String>,
    suffixes: Vec<String>,
}

struct Index {
    candidates: Vec<Candidate>,
    /// Which objects once had a name.
    by_name: BTreeMap<String, Vec<usize>>,
}

/// Follows the names of all objects.
pub(super) fn follow(items: &mut [Item], config: &Config, spot: &Spot) -> Outcome<()> {
    let index = Index::of(items);
    if index.by_name.is_empty() {
        return Ok(());
    }
    let references = config.references();
    for (at, item) in items.iter_mut().enumerate() {
        let kind = item.original().kind.to_owned();
        let own = references
            .get(kind.as_str())
            .into_iter()
            .chain(references.get(""))
            .flatten();
        for reference in own {
            let spec = reference.field;
            if !spec.selected().matches(item.group(), item.version(), &kind) {
                continue;
            }
            if !any(&item.value, &reference.parts, &mut |value| {
                names_something(value, &index)
            }) {
                continue;
            }
            let search = Search::new(&index, at, item, reference);
            let mut set = |field: &mut Value| search.set(field);
            let id = item.id();
            visit(item.edit(), &reference.parts, Leaf::None, &mut set).map_err(|message| {
                spot.wrong(
                    format!("{} of {id} cannot follow a name: {message}", spec.path),
                    "give the objects names that are not the same before they are renamed",
                )
            })?;
        }
    }
    Ok(())
}

fn names_something(value: &Value, index: &Index) -> bool {
    match value {
        Value::String(name) => index.by_name.contains_key(name),
        Value::Array(items) => items.iter().any(|item| names_something(item, index)),
        // A map without a name is an error of the configuration, and to be said.
        Value::Object(fields) => fields
            .get("name")
            .is_none_or(|name| name.as_str().is_none_or(|name| index.by_name.contains_key(name))),
        _ => false,
    }
}

impl Index {
    fn of(items: &[Item]) -> Self {
        let mut by_name: BTreeMap<String, Vec<usize>> = BTreeMap::new();
        let mut candidates = Vec::with_capacity(items.len());
        for (at, item) in items.iter().enumerate() {
            let names: BTreeSet<&str> = item.former.iter().map(|former| former.name.as_str()).collect();
            for name in names {
                by_name.entry(name.to_owned()).or_default().push(at);
            }
            candidates.push(Candidate {
                group: item.group().to_owned(),
                version: item.version().to_owned(),
                kind: item.kind().to_owned(),
                name: item.name().to_owned(),
                namespace: (item.namespace().to_owned(), item.effective_namespace().to_owned()),
                cluster_scoped: item.is_cluster_scoped(),
                former: item
                    .former
                    .iter()
                    .map(|former| (former.kind.clone(), former.namespace.clone()))
                    .collect(),
                prefixes: item.prefixes.clone(),
                suffixes: item.suffixes.clone(),
            });
        }
        Self { candidates, by_name }
    }
}

/// The search for the objects that one field of one object may name.
struct Search<'a> {
    index: &'a Index,
    referrer: &'a Candidate,
    target: Selected<'a>,
    /// The group and kind that a `roleRef` asks for.
    role: Option<(String, String)>,
    /// Namespaces of a binding's subjects.
    subjects: BTreeSet<String>,
}

impl<'a> Search<'a> {
    fn new(index: &'a Index, at: usize, item: &Item, reference: &'a Reference<'a>) -> Self {
        #[expect(clippy::indexing_slicing, reason = "one candidate per object")]
        let referrer = &index.candidates[at];
        Self {
            index,
            referrer,
            target: reference.target.selected(),
            role: role(item, reference.field),
            subjects: subject_namespaces(item),
        }
    }

    fn set(&self, field: &mut Value) -> Result<(), String> {
        match field {
            Value::Array(items) => items.iter_mut().try_for_each(|item| self.set(item)),
            Value::Object(_) => self.set_map(field),
            Value::String(name) => {
                let found = self.find(name, |_| true, |a, b| a.name == b.name)?;
                if let Some(found) = found {
                    field.clone_from(&json!(found.name));
                }
                Ok(())
            }
            _ => Ok(()),
        }
    }

    /// Sets the name and namespace in a map.
    fn set_map(&self, field: &mut Value) -> Result<(), String> {
        let Some(fields) = field.as_object_mut() else {
            return Ok(());
        };
        let Some(name) = fields
            .get("name")
            .map(|name| name.as_str().unwrap_or_default().to_owned())
        else {
            return Err("there is no `name` in it".to_owned());
        };
        let namespace = fields
            .get("namespace")
            .map(|namespace| namespace.as_str().unwrap_or_default().to_owned());
        let originally = |candidate: &Candidate| {
            candidate
                .former
                .first()
                .map_or(candidate.namespace.1.as_str(), |(_, namespace)| namespace)
                .to_owned()
        };
        // Those of the namespace that is written, as it was; else as it is now.
        let was = namespace.as_ref().is_some_and(|namespace| {
            self.index.candidates.iter().any(|candidate| {
                self.may_refer(candidate) && !candidate.cluster_scoped && originally(candidate) == *namespace
            })
        });
        let here = |candidate: &Candidate| match &namespace {
            None => true,
            Some(namespace) if was => originally(candidate) == *namespace,
            Some(namespace) => candidate.namespace.1 == *namespace,
        };
        let same = |a: &Candidate, b: &Candidate| a.name == b.name && a.namespace.0 == b.namespace.0;
        let Some(found) = self.find(&name, here, same)? else {
            return Ok(());
        };
        if found.name == name && found.namespace.0.is_empty() {
            return Ok(());
        }
        fields.insert("name".to_owned(), json!(found.name));
        if !found.namespace.0.is_empty() {
            fields.insert("namespace".to_owned(), json!(found.namespace.0));
        }
        Ok(())
    }

    /// Tells whether an object is one that the referrer can name at all.
    fn may_refer(&self, candidate: &Candidate) -> bool {
        self.referrer.cluster_scoped
            || candidate.cluster_scoped
            || candidate.namespace.1 == self.referrer.namespace.1
            || self.subjects.contains(&candidate.namespace.0)
    }

    fn find(
        &self,
        name: &str,
        here: impl Fn(&Candidate) -> bool,
        same: impl Fn(&Candidate, &Candidate) -> bool,
    ) -> Result<Option<&'a Candidate>, String> {
        let mut found: Vec<&Candidate> = self
            .index
            .by_name
            .get(name)
            .into_iter()
            .flatten()
            .filter_map(|at| self.index.candidates.get(*at))
            .filter(|candidate| self.may_refer(candidate) && here(candidate) && self.fits(candidate))
            .collect();
        if found.len() > 1 {
            found.retain(|candidate| self.in_context(candidate, true));
        }
        if found.len() > 1 {
            found.retain(|candidate| self.in_context(candidate, false));
        }
        match found.as_slice() {
            [] => Ok(None),
            [only] => Ok(Some(only)),
            [first, rest @ ..] if rest.iter().all(|other| same(first, other)) => Ok(Some(first)),
            _ => Err(format!("`{name}` may be any of {} objects", found.len())),
        }
    }

    fn fits(&self, candidate: &Candidate) -> bool {
        let was = |selected: Selected<'_>| {
            candidate
                .former
                .iter()
                .any(|(kind, _)| selected.matches(&candidate.group, &candidate.version, kind))
        };
        let role = self.role.as_ref().is_none_or(|(group, kind)| {
            was(Selected {
                group,
                version: "",
                kind,
            })
        });
        let same_namespace = self.referrer.cluster_scoped
            || candidate.cluster_scoped
            || candidate.kind == "ServiceAccount"
            || candidate.namespace.1 == self.referrer.namespace.1;
        was(self.target) && role && same_namespace
    }

    /// Tells whether an object was given the same prefixes and suffixes on the way.
    fn in_context(&self, candidate: &Candidate, lenient: bool) -> bool {
        let same = |a: &[String], b: &[String]| {
            if lenient && (a.is_empty() || b.is_empty()) {
                return true;
            }
            let (short, long) = if a.len() <= b.len() { (a, b) } else { (b, a) };
            if short.is_empty() {
                long.is_empty()
            } else {
                long.ends_with(short)
            }
        };
        same(&candidate.prefixes, &self.referrer.prefixes)
            && same(&candidate.suffixes, &self.referrer.suffixes)
    }
}

fn role(item: &Item, field: &FieldSpec) -> Option<(String, String)> {
    if !field.path.ends_with("roleRef/name") {
        return None;
    }
    let text = |pointer: &str| Some(item.value.pointer(pointer)?.as_str()?.to_owned());
    Some((text("/roleRef/apiGroup")?, text("/roleRef/kind")?))
}

fn subject_namespaces(item: &Item) -> BTreeSet<String> {
    if item.kind() != "RoleBinding" {
        return BTreeSet::new();
    }
    let subjects = item.value.get("subjects").and_then(Value::as_array);
    subjects
        .into_iter()
        .flatten()
        .filter(|subject| subject.get("kind").is_some_and(|kind| kind == "ServiceAccount"))
        .filter_map(|subject| Some(subject.get("namespace")?.as_str()?.to_owned()))
        .collect()
}

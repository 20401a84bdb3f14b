//! What in a cluster will fight with a rollout, and the exact fix. Pure over a snapshot of the cluster and, if there is one, a
//! checkout.

mod canaries;
mod drift;
mod flux;
mod git;
mod made;
mod routes;
mod system;

use std::{
    collections::BTreeMap,
    fmt::{self, Write as _},
    sync::Arc,
};

use serde::Serialize;
use serde_json::{Value, json};

use super::Manifests;
use crate::{
    canary::{Defaults, generated::HANDS_OFF},
    manifest::{Object, ObjectKey, Resource},
};

/// How much a finding matters.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Severity {
    /// It will fight with a rollout, or keep one from starting.
    Fight,
    /// Worth knowing.
    Note,
}

/// Something that was found.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize)]
pub struct Finding {
    /// How much it matters.
    pub severity: Severity,
    /// What kind of finding it is, for programs.
    pub code: &'static str,
    /// What it is about.
    pub object: String,
    /// What is wrong.
    pub problem: String,
    /// What to do: words, then a command or a piece of a manifest.
    pub fix: String,
}

/// Something that the sidecar must be allowed to do, and is not.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Denied {
    /// In which namespace.
    pub namespace: String,
    /// Which API group.
    pub group: String,
    /// Which resource.
    pub resource: String,
    /// Which object; empty for all.
    pub name: String,
    /// Which verb.
    pub verb: String,
}

/// What is known of a cluster. Objects with their `managedFields`; what cannot be listed is left out.
#[derive(Clone, Debug, Default)]
pub struct Ward {
    /// Everything, by key.
    pub objects: BTreeMap<ObjectKey, Object>,
    /// The `CustomResourceDefinition` of Canaries and of Flux's Kustomizations, if they are installed. None: not known.
    pub definitions: Option<Definitions>,
    /// What the sidecar is not allowed to do.
    pub denied: Vec<Denied>,
    /// What the checkout declares.
    pub manifests: Option<Arc<Manifests>>,
    /// The documents of the files that rendered objects are made of, by path; those of [`files_of_interest`].
    pub sources: BTreeMap<String, Vec<Value>>,
    /// What the flags say about canaries.
    pub defaults: Defaults,
}

/// Installed custom resources.
#[derive(Clone, Debug, Default)]
pub struct Definitions {
    /// Of Canaries.
    pub canary: Option<Object>,
    /// Of Flux's Kustomizations.
    pub kustomization: Option<Object>,
}

impl Ward {
    /// Takes objects in.
    pub fn admit(&mut self, objects: impl IntoIterator<Item = Object>) {
        self.objects
            .extend(objects.into_iter().map(|object| (object.key(), object)));
    }

    fn of(&self, resource: Resource) -> impl Iterator<Item = &Object> {
        let of_kind = self.objects.iter();
        of_kind
            .filter(move |(key, _)| key.kind == resource.kind && key.group == resource.group)
            .map(|(_, object)| object)
    }
}

/// Examines a cluster. Most serious first.
#[must_use]
pub fn examine(ward: &Ward) -> Vec<Finding> {
    let mut found = Vec::new();
    system::examine(ward, &mut found);
    canaries::examine(ward, &mut found);
    git::examine(ward, &mut found);
    flux::examine(ward, &mut found);
    drift::examine(ward, &mut found);
    found.sort();
    found.dedup();
    found
}

/// The files that tell where a rendered object has its fields from.
#[must_use]
pub fn files_of_interest(ward: &Ward) -> Vec<String> {
    git::of_interest(ward)
}

/// Reads the documents of such a file; what cannot be read is left out.
#[must_use]
pub fn read_source(text: &str) -> Vec<Value> {
    git::documents(text)
}

/// Whether something will fight.
#[must_use]
pub fn is_sick(found: &[Finding]) -> bool {
    found.iter().any(|finding| finding.severity == Severity::Fight)
}

/// Prints findings for people.
#[must_use]
pub fn render(found: &[Finding]) -> String {
    let mut text = String::new();
    for finding in found {
        let _ = writeln!(text, "{finding}\n");
    }
    let fights = found
        .iter()
        .filter(|finding| finding.severity == Severity::Fight)
        .count();
    let _ = match fights {
        0 => writeln!(text, "Nothing here will fight with a rollout."),
        1 => writeln!(text, "1 thing here will fight with a rollout."),
        n => writeln!(text, "{n} things here will fight with a rollout."),
    };
    text
}

impl fmt::Display for Finding {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let word = match self.severity {
            Severity::Fight => "fight",
            Severity::Note => "note",
        };
        write!(f, "{word}: {}: {}", self.object, self.problem)?;
        for line in self.fix.lines() {
            write!(f, "\n    {line}")?;
        }
        Ok(())
    }
}

/// Returns who declares a field by server-side apply, beside Serin.
fn declared_by<'a>(object: &'a Object, path: &[&str]) -> Option<&'a str> {
    let entries = object.value().pointer("/metadata/managedFields")?.as_array()?;
    let pointer = format!("/f:{}", path.join("/f:"));
    let declares = |entry: &&Value| {
        entry.get("operation").and_then(Value::as_str) == Some("Apply")
            && entry
                .get("fieldsV1")
                .is_some_and(|fields| fields.pointer(&pointer).is_some())
    };
    let managers = entries
        .iter()
        .filter(declares)
        .filter_map(|entry| entry.get("manager")?.as_str());
    let mut managers = managers.filter(|manager| !manager.starts_with("serin"));
    managers.next()
}

/// How an object of Serin's is taken from Flux: out of git, and before that so that it is not pruned.
fn let_go(key: &ObjectKey, what: &str) -> String {
    let annotations: BTreeMap<&str, &str> = HANDS_OFF.into_iter().collect();
    let patch = json!({"metadata": {"annotations": annotations}});
    format!(
        "take {what} out of git. Before that, so that it is not pruned:\nkubectl -n {} patch {} {} --type=merge -p {}",
        key.namespace,
        key.kind.to_lowercase(),
        key.name,
        quoted(&patch.to_string())
    )
}

/// Quotes a text for a shell.
fn quoted(text: &str) -> String {
    format!("'{}'", text.replace('\'', r"'\''"))
}

#[cfg(test)]
mod tests;

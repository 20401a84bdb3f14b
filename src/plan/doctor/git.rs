//! What the checkout declares, plain or rendered, and a rollout writes. The fix names the file where it is written, not the one
//! where it is put together.

use serde_json::Value;

use super::{Finding, Severity, Ward, made, routes};
use crate::{
    canary::Canary,
    manifest::{ObjectKey, Resource},
    plan::{Manifests, Placed, target_of},
};

/// How many files are named where none of them shows what it declares.
const NAMED: usize = 5;

/// What has to go.
#[derive(Clone, Copy)]
enum What {
    /// The number of replicas.
    Replicas,
    /// All of the object.
    Whole,
}

pub(super) fn examine(ward: &Ward, found: &mut Vec<Finding>) {
    let Some(manifests) = &ward.manifests else { return };
    for object in ward.of(Resource::CANARY) {
        if let Some(key) = target_of(object)
            && let Some(placed) = manifests.objects.get(&key)
            && placed.object.at("/spec/replicas").is_some()
        {
            let problem = "declares spec.replicas, which the rollout scales".to_owned();
            let fix = remove(ward, &key, placed, What::Replicas);
            found.push(finding(&key, placed, "replicas-in-git", &problem, fix));
        }
        if let Ok(canary) = Canary::parse(object, &ward.defaults) {
            found.extend(written(ward, manifests, &canary));
            found.extend(routed(ward, manifests, &canary));
        }
    }
}

fn finding(key: &ObjectKey, placed: &Placed, code: &'static str, problem: &str, fix: String) -> Finding {
    Finding {
        severity: Severity::Fight,
        code,
        object: key.to_string(),
        problem: format!("{}:{} {problem}", placed.file, placed.line),
        fix,
    }
}

/// Objects that Serin makes.
fn written(ward: &Ward, manifests: &Manifests, canary: &Canary) -> Vec<Finding> {
    let apex = made::apex(canary);
    let made = apex.iter().cloned().chain(made::generated(canary));
    let declared = made.filter_map(|key| {
        let placed = manifests.objects.get(&key)?;
        let is_apex = Some(&key) == apex.as_ref();
        let (code, why) = if is_apex {
            ("service-in-git", "spec.service of the Canary describes it")
        } else {
            ("generated-in-git", "the rollout makes it from the target")
        };
        let problem = format!("declares the {} that Serin makes", key.kind);
        let fix = format!("{}; {why}", remove(ward, &key, placed, What::Whole));
        Some(finding(&key, placed, code, &problem, fix))
    });
    declared.collect()
}

/// Ingresses that route past the weights.
fn routed(ward: &Ward, manifests: &Manifests, canary: &Canary) -> Vec<Finding> {
    let copy = made::copy(canary);
    let ingresses = manifests.objects.of(Resource::INGRESS);
    let ingresses =
        ingresses.filter(|(key, _)| key.namespace == canary.namespace && copy.as_ref() != Some(*key));
    let found = ingresses.filter_map(|(key, placed)| {
        let past = routes::past(canary, &placed.object)?;
        let mut at: Vec<String> = sources(ward, key, placed, What::Whole)
            .into_iter()
            .map(|(_, file)| file)
            .collect();
        if at.is_empty() {
            at.push(placed.file.to_string());
        }
        let fix = format!("in {}: {}", at.join(", "), past.fix);
        Some(Finding {
            severity: past.severity(),
            ..finding(key, placed, "route-in-git", &past.problem, fix)
        })
    });
    found.collect()
}

/// Says what to take out, and of which files.
fn remove(ward: &Ward, key: &ObjectKey, placed: &Placed, what: What) -> String {
    let word = what.word(key);
    let mut places = sources(ward, key, placed, what);
    if places.is_empty() {
        let files: Vec<&str> = match &placed.root {
            None => vec![&placed.file],
            Some(files) => files.iter().take(NAMED).map(String::as_str).collect(),
        };
        places = files
            .into_iter()
            .map(|file| (word.clone(), file.to_owned()))
            .collect();
    }
    let places: Vec<String> = places
        .iter()
        .map(|(part, file)| format!("{part} out of {file}"))
        .collect();
    format!("take {}", places.join(" and "))
}

/// The places in a build where something is written: what, and in which file.
fn sources(ward: &Ward, key: &ObjectKey, placed: &Placed, what: What) -> Vec<(String, String)> {
    let files = placed.root.iter().flat_map(|files| files.iter());
    let mut places = Vec::new();
    for file in files {
        let documents = ward.sources.get(file).into_iter().flatten();
        places.extend(documents.filter_map(|document| Some((place(document, key, what)?, file.clone()))));
    }
    places.sort();
    places.dedup();
    places
}

impl What {
    fn word(self, key: &ObjectKey) -> String {
        match self {
            Self::Replicas => "`replicas`".to_owned(),
            Self::Whole => format!("the {}", key.kind),
        }
    }
}

/// What a document has of it.
fn place(document: &Value, key: &ObjectKey, what: What) -> Option<String> {
    let text = |pointer: &str| {
        document
            .pointer(pointer)
            .and_then(Value::as_str)
            .unwrap_or_default()
    };
    // Prefixes and suffixes are added by kustomizations.
    let is_it = |name: &str| !name.is_empty() && key.name.contains(name);
    if text("/kind") == key.kind && is_it(text("/metadata/name")) {
        let count = document.pointer("/spec/replicas");
        let there = matches!(what, What::Whole) || count.is_some_and(|count| !count.is_null());
        return there.then(|| what.word(key));
    }
    if matches!(what, What::Whole) {
        return None;
    }
    if has_operation(document) {
        return Some("the operation on /spec/replicas".to_owned());
    }
    let list = |field: &str| {
        document
            .get(field)
            .and_then(Value::as_array)
            .into_iter()
            .flatten()
    };
    let mut counts = list("replicas").filter_map(|entry| entry.get("name")?.as_str());
    if let Some(name) = counts.find(|name| is_it(name)) {
        return Some(format!("`{name}` of `replicas`"));
    }
    let entries = list("patches").chain(list("patchesJson6902"));
    let inline = entries.filter_map(|entry| entry.get("patch")?.as_str());
    let mut inline = inline.chain(list("patchesStrategicMerge").filter_map(Value::as_str));
    let sets = |patch: &str| {
        let patches = documents(patch);
        let mut patches = patches.iter();
        patches.any(|patch| has_operation(patch) || place(patch, key, what).is_some())
    };
    inline.any(sets).then(|| "spec.replicas of the patch".to_owned())
}

/// Whether a JSON patch sets the replicas.
fn has_operation(document: &Value) -> bool {
    let operations = document.as_array().into_iter().flatten();
    let mut setting =
        operations.filter(|operation| operation.get("op").and_then(Value::as_str) != Some("remove"));
    setting.any(|operation| operation.get("path").and_then(Value::as_str) == Some("/spec/replicas"))
}

/// Reads the documents of a file; what cannot be read is left out.
pub(super) fn documents(text: &str) -> Vec<Value> {
    let chunks = text.split("\n---");
    chunks
        .filter_map(|chunk| serde_saphyr::from_str(chunk.trim_start_matches("---")).ok())
        .collect()
}

/// The files of the builds that the findings here are about.
pub(super) fn of_interest(ward: &Ward) -> Vec<String> {
    let Some(manifests) = &ward.manifests else {
        return Vec::new();
    };
    let mut files = Vec::new();
    for object in ward.of(Resource::CANARY) {
        let namespace = object.namespace();
        let kinds = [Resource::DEPLOYMENT, Resource::SERVICE, Resource::INGRESS];
        let near = |key: &ObjectKey| {
            key.namespace == namespace && key.resource().is_some_and(|resource| kinds.contains(&resource))
        };
        let placed = manifests.objects.iter().filter(|(key, _)| near(key));
        let roots = placed.filter_map(|(_, placed)| placed.root.as_deref());
        files.extend(roots.flatten().cloned());
    }
    files.sort();
    files.dedup();
    files
}

#[cfg(test)]
mod tests;

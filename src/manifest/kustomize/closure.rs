//! What a path that cannot be rendered depends on: every file that its kustomizations name.

use std::collections::BTreeSet;

use serde_json::Value;

use super::{Files, Overlay, load::NAMES, place::join};

/// The most files that a closure names.
const MAX_FILES: usize = 10_000;

/// Adds the files that a directory depends on.
pub(super) fn add(files: &dyn Files, dir: &str, overlay: &Overlay, inputs: &mut BTreeSet<String>) {
    let mut open = vec![dir.to_owned()];
    open.extend(overlay.components.iter().filter_map(|path| join(dir, path)));
    let mut seen = BTreeSet::new();
    while let Some(dir) = open.pop() {
        if inputs.len() > MAX_FILES || !seen.insert(dir.clone()) {
            continue;
        }
        let mut found = false;
        for name in NAMES {
            let path = join(&dir, name).unwrap_or_default();
            inputs.insert(path.clone());
            let Ok(Some(file)) = files.file(&path) else {
                continue;
            };
            found = true;
            let Ok(texts) = file.settings() else { continue };
            let named = texts.iter().flat_map(|text| texts_in(&text.value));
            for path in named.filter_map(|text| join(&dir, file_of(text))) {
                if files.is_dir(&path) {
                    open.push(path);
                } else if matches!(files.file(&path), Ok(Some(_))) {
                    inputs.insert(path);
                }
            }
        }
        // A directory that is no kustomization is a chart, or Flux takes all of it.
        if !found {
            all(files, &dir, inputs);
        }
    }
}

/// The file in `key=file`.
fn file_of(text: &str) -> &str {
    text.split_once('=').map_or(text, |(_, file)| file)
}

fn texts_in(value: &Value) -> Vec<&str> {
    match value {
        Value::String(text) if text.len() < 512 && !text.contains('\n') => vec![text],
        Value::Array(items) => items.iter().flat_map(texts_in).collect(),
        Value::Object(fields) => fields.values().flat_map(texts_in).collect(),
        _ => Vec::new(),
    }
}

fn all(files: &dyn Files, dir: &str, inputs: &mut BTreeSet<String>) {
    let mut open = vec![dir.to_owned()];
    while let Some(dir) = open.pop() {
        inputs.insert(format!("{dir}/"));
        for name in files.list(&dir) {
            let path = join(&dir, &name).unwrap_or_default();
            if inputs.len() > MAX_FILES {
                return;
            }
            if files.is_dir(&path) {
                open.push(path);
            } else {
                inputs.insert(path);
            }
        }
    }
}

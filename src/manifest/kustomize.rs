//! Renders kustomizations as `kustomize build` does, from a tree of files that it is handed. Reads nothing by
//! itself and runs nothing: what only another program can do is named, with the files that it depends on.

mod closure;
mod config;
mod defaults;
mod fault;
mod fields;
mod file;
mod generate;
mod images;
mod item;
mod labels;
mod layer;
mod load;
mod merge;
mod names;
mod overlay;
mod patches;
mod place;
mod references;
mod refold;
mod replacements;
mod scalar;
mod schema;
mod scope;
mod select;
mod separate;
mod spec;
#[cfg(test)]
mod tests;
mod transformers;
mod twins;
mod vars;
mod yaml;

use std::{collections::BTreeSet, sync::Arc};

pub use fault::Fault;
pub use file::{File, Files, ReadError};
pub use layer::Renderer;
pub use overlay::{CommonMetadata, Overlay, OverlayPatch, Rules};
pub use spec::{Image, Target};

use super::Object;

/// An object that a build yields, and where it is written.
#[derive(Clone, Debug, PartialEq)]
pub struct Rendered {
    /// The object.
    pub object: Object,
    /// The file that declares it, or the kustomization that generates it.
    pub file: Arc<str>,
    /// The line that it begins at.
    pub line: u32,
}

/// What a build yields.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Built {
    /// The objects, in the order in which kustomize prints them.
    pub objects: Vec<Rendered>,
    /// Every path that was read or looked for: a change of anything else changes nothing. `DIR/` stands for the
    /// entries of a directory.
    pub inputs: BTreeSet<String>,
}

/// Why a directory cannot be rendered, and what it depends on as far as that can be told.
#[derive(Clone, Debug, PartialEq)]
pub struct Unrendered {
    /// Why.
    pub fault: Fault,
    /// Every path that was read or looked for, and those that the kustomizations name.
    pub inputs: BTreeSet<String>,
}

/// Reads one document as Kubernetes does; none if it cannot be read.
pub(super) fn settings(text: &str) -> Option<serde_json::Value> {
    yaml::settings(text)
}

/// Tells whether a directory has a kustomization file.
#[must_use]
pub fn is_kustomization(files: &dyn Files, dir: &str) -> bool {
    load::NAMES.into_iter().any(|name| {
        let path = place::join(dir, name).unwrap_or_default();
        !matches!(files.file(&path), Ok(None))
    })
}

/// Renders a directory. To render many of one tree, make one [`Renderer`]: it renders a shared base once.
pub fn build(files: &dyn Files, dir: &str, overlay: &Overlay) -> Result<Built, Unrendered> {
    Renderer::new(files).build(dir, overlay)
}

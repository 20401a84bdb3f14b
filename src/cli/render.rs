//! `serin render`: the objects under a path at a revision, as `kustomize build` prints them. Offline.

use std::{process::ExitCode, sync::Arc};

use serde_json::json;

use super::{
    Failure, Output,
    args::{Format, RenderArgs},
};
use crate::{
    manifest::{
        MAX_FILE_BYTES,
        kustomize::{Built, File, Files, Overlay, ReadError, Rules, build, is_kustomization},
    },
    repo::{Checkout, Mode, Options, Tree},
};

/// Exit codes: 0 rendered, 1 it cannot be rendered.
pub(super) fn run(args: &RenderArgs, output: &mut Output) -> Result<ExitCode, Failure> {
    let checkout = Checkout::open(&args.checkout, Options::default())?;
    let revision = checkout.resolve(&args.revision)?;
    let tree = checkout.tree(&revision.id)?;
    let files = Revision {
        checkout: &checkout,
        tree: &tree,
    };
    let parts = args.path.split('/').filter(|part| !matches!(*part, "" | "."));
    let dir = parts.collect::<Vec<_>>().join("/");
    let overlay = Overlay {
        rules: if is_kustomization(&files, &dir) {
            Rules::Kustomize
        } else {
            Rules::Flux
        },
        ..Overlay::default()
    };
    let built = build(&files, &dir, &overlay).map_err(|unrendered| Failure::from(unrendered.fault))?;
    match args.output {
        Format::Human => output.data(&documents(&built)?),
        Format::Json => output.line(&listed(&built)),
    }
    Ok(ExitCode::SUCCESS)
}

/// The objects as YAML documents.
fn documents(built: &Built) -> Result<String, Failure> {
    let mut text = String::new();
    for (at, rendered) in built.objects.iter().enumerate() {
        if at > 0 {
            text.push_str("---\n");
        }
        let object = serde_saphyr::to_string(rendered.object.value());
        text.push_str(
            &object.map_err(|error| Failure::bug(format!("an object cannot be written: {error}")))?,
        );
    }
    Ok(text)
}

/// The objects with their places, and the files that they depend on.
fn listed(built: &Built) -> String {
    let objects: Vec<_> = built
        .objects
        .iter()
        .map(|rendered| json!({"file": &*rendered.file, "line": rendered.line, "object": rendered.object.value()}))
        .collect();
    let listed = json!({"objects": objects, "inputs": built.inputs});
    serde_json::to_string_pretty(&listed).unwrap_or_default()
}

/// The files of one revision.
struct Revision<'a> {
    checkout: &'a Checkout,
    tree: &'a Tree,
}

impl Revision<'_> {
    /// What is below a directory, relative to it.
    fn below<'a>(&'a self, dir: &str) -> impl Iterator<Item = &'a str> {
        let prefix = if dir.is_empty() {
            String::new()
        } else {
            format!("{dir}/")
        };
        let paths = self.tree.files.range(prefix.clone()..);
        paths.map_while(move |(path, _)| path.strip_prefix(prefix.as_str()))
    }
}

impl Files for Revision<'_> {
    fn file(&self, path: &str) -> Result<Option<Arc<File>>, ReadError> {
        let Some(entry) = self.tree.files.get(path) else {
            return Ok(None);
        };
        match entry.mode {
            Mode::Submodule => return Ok(None),
            Mode::Link => return Err(ReadError("it is a symbolic link".to_owned())),
            Mode::File => {}
        }
        let bytes = self.checkout.read(&entry.id, MAX_FILE_BYTES);
        let bytes = bytes.map_err(|error| ReadError(error.to_string()))?;
        Ok(Some(Arc::new(File::new(path, bytes))))
    }

    fn is_dir(&self, path: &str) -> bool {
        path.is_empty() || self.below(path).next().is_some()
    }

    fn list(&self, dir: &str) -> Vec<String> {
        let mut names: Vec<String> = self
            .below(dir)
            .map(|path| path.split('/').next().unwrap_or_default().to_owned())
            .collect();
        names.dedup();
        names
    }
}

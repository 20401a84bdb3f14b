//! `serin render`: the objects under a path at a revision, as `kustomize build` prints them. Offline.

use std::process::ExitCode;

use serde_json::json;

use super::{
    Failure, Output,
    args::{Format, RenderArgs},
};
use crate::{
    manifest::kustomize::{Built, Overlay, Rules, build, is_kustomization},
    plan::{Cache, TreeFiles},
    repo::{Checkout, Options},
};

/// Exit codes: 0 rendered, 1 it cannot be rendered.
pub(super) fn run(args: &RenderArgs, output: &mut Output) -> Result<ExitCode, Failure> {
    let checkout = Checkout::open(&args.checkout, Options::default())?;
    let revision = checkout.resolve(&args.revision)?;
    let tree = checkout.tree(&revision.id)?;
    let cache = Cache::default();
    let files = TreeFiles::new(&checkout, &cache, &tree);
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
    let built = build(&files, &dir, &overlay);
    files.check()?;
    let built = built.map_err(|unrendered| Failure::from(unrendered.fault))?;
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

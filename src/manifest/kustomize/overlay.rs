//! What a Flux Kustomization adds to the kustomization of its path.

use std::{collections::BTreeMap, sync::Arc};

use serde_json::json;

use super::{
    fault::Outcome,
    file::File,
    item::{Item, object_in},
    load::{Loaded, Loader, Spot},
    place::{Place, join},
    spec::{Image, Kustomization, Patch, Target},
};

/// Whose rules hold for what a kustomization may read.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord)]
pub enum Rules {
    /// `kustomize build`: files below the directory of the kustomization that names them, and a kustomization
    /// file in every directory.
    #[default]
    Kustomize,
    /// Flux: files anywhere in the repository, and where the directory has no kustomization file, every manifest
    /// below it.
    Flux,
}

/// What a Flux Kustomization adds. The default adds nothing.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Overlay {
    /// Whose rules hold.
    pub rules: Rules,
    /// `spec.targetNamespace`.
    pub target_namespace: Option<String>,
    /// `spec.namePrefix`.
    pub name_prefix: Option<String>,
    /// `spec.nameSuffix`.
    pub name_suffix: Option<String>,
    /// `spec.patches`.
    pub patches: Vec<OverlayPatch>,
    /// `spec.images`.
    pub images: Vec<Image>,
    /// `spec.components`, relative to the path.
    pub components: Vec<String>,
    /// `spec.ignoreMissingComponents`.
    pub ignore_missing_components: bool,
    /// `spec.commonMetadata`, which Flux sets last, on top of everything.
    pub common_metadata: CommonMetadata,
}

/// A patch of a Flux Kustomization.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct OverlayPatch {
    /// The patch, strategic merge or JSON 6902, as YAML.
    pub patch: String,
    /// The objects that it is for; none: the one that it names.
    pub target: Option<Target>,
}

/// Labels and annotations for every object.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct CommonMetadata {
    /// Labels.
    pub labels: BTreeMap<String, String>,
    /// Annotations.
    pub annotations: BTreeMap<String, String>,
}

impl Overlay {
    /// Adds to what the kustomization of the path says.
    pub(super) fn add_to(&self, spec: &mut Kustomization, dir: &str, files: &dyn super::Files) {
        let set = |field: &mut String, value: &Option<String>| {
            if let Some(value) = value {
                field.clone_from(value);
            }
        };
        set(&mut spec.namespace, &self.target_namespace);
        set(&mut spec.name_prefix, &self.name_prefix);
        set(&mut spec.name_suffix, &self.name_suffix);
        spec.patches.extend(self.patches.iter().map(|patch| Patch {
            text: patch.patch.clone(),
            target: patch.target.clone(),
            ..Patch::default()
        }));
        for image in &self.images {
            match spec.images.iter_mut().find(|known| known.name == image.name) {
                Some(known) => known.clone_from(image),
                None => spec.images.push(image.clone()),
            }
        }
        let there = |component: &&String| {
            !self.ignore_missing_components || join(dir, component).is_some_and(|path| files.is_dir(&path))
        };
        spec.components
            .extend(self.components.iter().filter(there).cloned());
    }

    /// Sets the common metadata.
    pub(super) fn finish(&self, items: &mut [Item]) {
        let both = [
            ("labels", &self.common_metadata.labels),
            ("annotations", &self.common_metadata.annotations),
        ];
        for (field, pairs) in both.into_iter().filter(|(_, pairs)| !pairs.is_empty()) {
            for item in items.iter_mut() {
                let Some(metadata) = item.edit().get_mut("metadata") else {
                    continue;
                };
                if let Some(map) = object_in(metadata, field) {
                    map.extend(pairs.iter().map(|(key, value)| (key.clone(), json!(value))));
                }
            }
        }
    }
}

/// Makes the kustomization that Flux makes of a directory without one: every manifest below it, and directories
/// that have a kustomization as they are.
pub(super) fn generated(loader: &mut Loader<'_>, place: &Place<'_>) -> Outcome<Loaded> {
    let mut resources = Vec::new();
    walk(loader, &place.dir, "", &mut resources)?;
    let path = join(&place.dir, "kustomization.yaml").unwrap_or_default();
    let spec = Kustomization::of_resources(resources);
    let spot = Spot {
        file: Arc::new(File::new(&path, Vec::new())),
        line: 1,
        pointer: String::new(),
    };
    Ok(Loaded { spec, spot })
}

/// What Flux leaves out of its artifacts by default, of what could be taken for a manifest.
const LEFT_OUT: [&str; 16] = [
    ".git",
    ".github",
    ".circleci",
    ".travis.yml",
    ".gitlab-ci.yml",
    "appveyor.yml",
    ".drone.yml",
    "cloudbuild.yaml",
    "codeship-services.yml",
    "codeship-steps.yml",
    ".goreleaser.yml",
    ".goreleaser.brew.yml",
    ".sops.yaml",
    ".flux.yaml",
    ".gitignore",
    ".gitmodules",
];

fn walk(loader: &mut Loader<'_>, top: &str, below: &str, found: &mut Vec<String>) -> Outcome<()> {
    let dir = join(top, below).unwrap_or_default();
    // What is added to the directory later belongs to it too.
    loader.note(&format!("{dir}/"));
    let mut names = loader.files.list(&dir);
    names.sort();
    for name in names
        .into_iter()
        .filter(|name| !LEFT_OUT.contains(&name.as_str()))
    {
        let relative = if below.is_empty() {
            name.clone()
        } else {
            format!("{below}/{name}")
        };
        let path = join(top, &relative).unwrap_or_default();
        if !loader.files.is_dir(&path) {
            if matches!(name.rsplit_once('.'), Some((_, "yaml" | "yml"))) {
                found.push(relative);
            }
        } else if loader.find(&path)?.is_some() {
            found.push(relative);
        } else {
            walk(loader, top, &relative, found)?;
        }
    }
    Ok(())
}

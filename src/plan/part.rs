//! A part of what a revision declares: the objects of one manifest, or of one directory that is rendered. Made
//! once, and kept until one of the files that it was made of changes.

use std::{
    collections::{BTreeMap, BTreeSet},
    sync::Arc,
};

use serde_json::{Value, json};

use super::{NotRendered, Placed, Settings};
use crate::{
    canary::Canary,
    manifest::{
        Document, Object, ObjectKey, Problem, Resource, Skipped,
        flux::FluxKustomization,
        kustomize::{Fault, Rendered},
        locate,
        substitute::{Unresolved, Variables},
    },
};

/// What a part was made of. Of those that declare the same object, the least counts.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum PartName {
    /// A directory that a Flux Kustomization renders.
    Flux {
        /// The Kustomization.
        key: ObjectKey,
        /// The directory.
        path: String,
        /// The file that the Kustomization is written in.
        file: String,
    },
    /// A manifest that stands for itself.
    File(String),
    /// A directory with a kustomization.
    Root(String),
}

impl PartName {
    /// Returns the path of the file or directory.
    pub(super) fn path(&self) -> &str {
        match self {
            Self::File(path) | Self::Root(path) | Self::Flux { path, .. } => path,
        }
    }
}

/// A Flux Kustomization, the file it is written in, and its line.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct FoundFlux {
    pub(super) kustomization: FluxKustomization,
    pub(super) file: Arc<str>,
    pub(super) line: u32,
}

/// Why a directory could not be rendered, and what would be in it.
#[derive(Clone, Debug)]
pub(super) struct Unrendered {
    /// Why.
    pub(super) fault: Fault,
    /// Objects as its files write them, before anything is done to them.
    pub(super) raw: Vec<(ObjectKey, Placed)>,
}

/// A part of what a revision declares.
#[derive(Debug)]
pub(super) struct Part {
    pub(super) name: PartName,
    /// Everything that was read or looked for.
    pub(super) inputs: Arc<BTreeSet<String>>,
    pub(super) objects: Vec<(Arc<ObjectKey>, Placed)>,
    pub(super) skipped: Vec<Skipped>,
    pub(super) errors: Vec<Problem>,
    pub(super) not_rendered: Option<NotRendered>,
    pub(super) unrendered: Option<Unrendered>,
    /// The Flux Kustomizations that it declares.
    pub(super) flux: Vec<FoundFlux>,
    /// What it was rendered by, and with which variables.
    pub(super) by: Option<(FluxKustomization, Variables)>,
    pub(super) bytes: usize,
}

impl Part {
    pub(super) fn new(name: PartName, inputs: BTreeSet<String>) -> Self {
        Self {
            name,
            inputs: Arc::new(inputs),
            objects: Vec::new(),
            skipped: Vec::new(),
            errors: Vec::new(),
            not_rendered: None,
            unrendered: None,
            flux: Vec::new(),
            by: None,
            bytes: 0,
        }
    }

    /// Adds an object of a manifest.
    pub(super) fn document(&mut self, document: &Document, settings: &Settings) {
        let object = in_namespace(&document.object, &settings.namespace);
        self.place(Placed {
            object,
            file: Arc::clone(&document.file),
            line: document.line,
            unknown: is_encrypted(&document.object).then(sops),
            substituted: false,
            secret: false,
            root: None,
        });
    }

    /// Adds an object of a build.
    pub(super) fn rendered(
        &mut self,
        rendered: Rendered,
        variables: Option<&Variables>,
        settings: &Settings,
    ) {
        let mut placed = Placed {
            object: rendered.object,
            file: rendered.file,
            line: rendered.line,
            unknown: None,
            substituted: variables.is_some_and(|variables| !variables.is_empty()),
            secret: false,
            root: Some(Arc::clone(&self.inputs)),
        };
        if is_encrypted(&placed.object) {
            placed.unknown = Some(sops());
        } else if let Some(variables) = variables {
            match variables.substitute(placed.object.value()) {
                Ok(None) => {}
                Ok(Some(made)) => {
                    placed.object = Object::from(made.value);
                    placed.secret = made.secret;
                }
                Err(why) => placed.unknown = Some(unresolved(&why)),
            }
        }
        placed.object = in_namespace(&placed.object, &settings.namespace);
        self.place(placed);
    }

    fn place(&mut self, placed: Placed) {
        if let Some(kustomization) = FluxKustomization::read(&placed.object) {
            self.flux.push(FoundFlux {
                kustomization,
                file: Arc::clone(&placed.file),
                line: placed.line,
            });
        }
        self.objects.push((Arc::new(placed.object.key()), placed));
    }

    /// Names what is wrong in each Canary, at the line of the field. `read` gives the content of a file.
    pub(super) fn check_canaries<E>(
        &mut self,
        settings: &Settings,
        mut read: impl FnMut(&str) -> Result<Vec<u8>, E>,
    ) -> Result<(), E> {
        for (key, placed) in &self.objects {
            if key.resource() != Some(Resource::CANARY) {
                continue;
            }
            let Err(error) = Canary::parse(&placed.object, &settings.defaults) else {
                continue;
            };
            let bytes = read(&placed.file)?;
            for fault in error.faults {
                let (line, column) = locate(&bytes, placed.line, &pointer(&fault.field));
                self.errors.push(Problem {
                    file: placed.file.to_string(),
                    line,
                    column,
                    message: format!("{key}: {}: {}", fault.field, fault.problem),
                    snippet: String::new(),
                    hint: fault.hint,
                });
            }
        }
        Ok(())
    }

    pub(super) fn keys(&self) -> impl Iterator<Item = &ObjectKey> {
        self.objects.iter().map(|(key, _)| &**key)
    }

    /// Takes from what the part was before all that is still the same, so that it is held once.
    pub(super) fn share(&mut self, before: &Self) {
        if self.inputs == before.inputs {
            self.inputs = Arc::clone(&before.inputs);
        }
        let known: BTreeMap<&ObjectKey, (&Arc<ObjectKey>, &Object)> = before
            .objects
            .iter()
            .map(|(key, placed)| (&**key, (key, &placed.object)))
            .collect();
        for (key, placed) in &mut self.objects {
            if let Some((known, object)) = known.get(&**key) {
                *key = Arc::clone(known);
                if placed.object == **object {
                    placed.object = Object::clone(object);
                }
            }
            if placed.root.is_some() {
                placed.root = Some(Arc::clone(&self.inputs));
            }
        }
    }

    /// Whether a change of these paths can change the part.
    pub(super) fn is_touched(&self, changed: &BTreeSet<String>) -> bool {
        if self.inputs.len() < changed.len() {
            self.inputs.iter().any(|path| changed.contains(path))
        } else {
            changed.iter().any(|path| self.inputs.contains(path))
        }
    }
}

fn sops() -> Arc<str> {
    Arc::from("it is encrypted by SOPS; apply it by Flux, or as a plain Secret")
}

fn unresolved(why: &Unresolved) -> Arc<str> {
    Arc::from(format!("{why}: only Flux can apply it"))
}

fn is_encrypted(object: &Object) -> bool {
    object.at("/sops").is_some()
}

/// Fills in the namespace of an object of a kind that Serin knows, or of one of Flux's: all have one.
pub(super) fn in_namespace(object: &Object, namespace: &str) -> Object {
    let key = object.key();
    let has_one = key.resource().is_some() || key.group.ends_with(".toolkit.fluxcd.io");
    if !key.namespace.is_empty() || !has_one {
        return object.clone();
    }
    let mut value = object.value().clone();
    if let Some(metadata) = value.get_mut("metadata").and_then(Value::as_object_mut) {
        metadata.insert("namespace".to_owned(), json!(namespace));
    }
    Object::from(value)
}

/// Turns `spec.metrics[0].name` into `/spec/metrics/0/name`.
fn pointer(field: &str) -> String {
    let parts = field.split(['.', '[', ']']).filter(|part| !part.is_empty());
    parts.fold(String::new(), |pointer, part| pointer + "/" + part)
}

//! Which fields the transformations are about: kustomize's defaults, and what `configurations` add.

use std::{
    collections::BTreeMap,
    sync::{Arc, LazyLock},
};

use serde::Deserialize;

use super::{
    defaults,
    fields::{FieldSpec, Selected, add_all},
    names,
};

/// The fields that refer to objects of a kind by name.
#[derive(Clone, Debug, Default, PartialEq, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub(super) struct Backward {
    pub(super) group: String,
    pub(super) version: String,
    pub(super) kind: String,
    #[serde(rename = "fieldSpecs")]
    pub(super) fields: Vec<FieldSpec>,
}

impl Backward {
    pub(super) fn selected(&self) -> Selected<'_> {
        Selected {
            group: &self.group,
            version: &self.version,
            kind: &self.kind,
        }
    }
}

/// The fields of every transformation.
#[derive(Clone, Debug, Default, PartialEq, Deserialize)]
#[serde(deny_unknown_fields, default, rename_all = "camelCase")]
pub(super) struct Config {
    pub(super) name_prefix: Vec<FieldSpec>,
    pub(super) name_suffix: Vec<FieldSpec>,
    pub(super) namespace: Vec<FieldSpec>,
    pub(super) common_labels: Vec<FieldSpec>,
    pub(super) labels: Vec<FieldSpec>,
    pub(super) template_labels: Vec<FieldSpec>,
    pub(super) common_annotations: Vec<FieldSpec>,
    pub(super) name_reference: Vec<Backward>,
    pub(super) var_reference: Vec<FieldSpec>,
    pub(super) images: Vec<FieldSpec>,
    pub(super) replicas: Vec<FieldSpec>,
}

static DEFAULT: LazyLock<Arc<Config>> = LazyLock::new(|| Arc::new(defaults::config()));

impl Config {
    /// What holds where no `configurations` say more.
    pub(super) fn default_fields() -> Arc<Self> {
        Arc::clone(&DEFAULT)
    }

    /// Adds what another one names, and puts all in kustomize's order: where one field names all kinds and one of
    /// the same path some kinds, it depends on the order whether both hold. None: two disagree on whether a
    /// field is made.
    pub(super) fn add(&mut self, more: &Self) -> Option<()> {
        self.merge(more)?;
        for specs in [
            &mut self.name_prefix,
            &mut self.name_suffix,
            &mut self.namespace,
            &mut self.common_labels,
            &mut self.labels,
            &mut self.template_labels,
            &mut self.common_annotations,
            &mut self.var_reference,
            &mut self.images,
            &mut self.replicas,
        ] {
            specs.sort_by(|a, b| names::legacy_order(a.selected()).cmp(&names::legacy_order(b.selected())));
        }
        Some(())
    }

    fn merge(&mut self, more: &Self) -> Option<()> {
        add_all(&mut self.name_prefix, &more.name_prefix)?;
        add_all(&mut self.name_suffix, &more.name_suffix)?;
        add_all(&mut self.namespace, &more.namespace)?;
        add_all(&mut self.common_labels, &more.common_labels)?;
        add_all(&mut self.labels, &more.labels)?;
        add_all(&mut self.template_labels, &more.template_labels)?;
        add_all(&mut self.common_annotations, &more.common_annotations)?;
        add_all(&mut self.var_reference, &more.var_reference)?;
        add_all(&mut self.images, &more.images)?;
        add_all(&mut self.replicas, &more.replicas)?;
        for reference in &more.name_reference {
            let same = |known: &&mut Backward| {
                known.group == reference.group
                    && known.version == reference.version
                    && known.kind == reference.kind
            };
            match self.name_reference.iter_mut().find(same) {
                Some(known) => add_all(&mut known.fields, &reference.fields)?,
                None => self.name_reference.push(reference.clone()),
            }
        }
        Some(())
    }

    /// Lists by the kind of the referrer which fields refer to what; those for any kind are under `""`.
    pub(super) fn references(&self) -> BTreeMap<&str, Vec<Reference<'_>>> {
        let mut by_kind: BTreeMap<&str, Vec<Reference<'_>>> = BTreeMap::new();
        for backward in &self.name_reference {
            for field in &backward.fields {
                by_kind.entry(&field.kind).or_default().push(Reference {
                    target: backward,
                    field,
                    parts: field.parts(),
                });
            }
        }
        by_kind
    }
}

/// A field that refers to objects of a kind.
#[derive(Debug)]
pub(super) struct Reference<'a> {
    pub(super) target: &'a Backward,
    pub(super) field: &'a FieldSpec,
    pub(super) parts: Vec<String>,
}

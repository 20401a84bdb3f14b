//! What a kustomization file says.

use std::collections::BTreeMap;

use serde::{Deserialize, de::DeserializeOwned};
use serde_json::Value;

use super::fields::FieldSpec;

/// A kustomization, or a component.
#[derive(Clone, Debug, Default, PartialEq, Deserialize)]
#[serde(deny_unknown_fields, default, rename_all = "camelCase")]
pub(super) struct Kustomization {
    pub(super) api_version: String,
    pub(super) kind: String,
    metadata: Metadata,
    pub(super) resources: Vec<String>,
    bases: Vec<String>,
    pub(super) components: Vec<String>,
    pub(super) namespace: String,
    pub(super) name_prefix: String,
    pub(super) name_suffix: String,
    pub(super) common_labels: BTreeMap<String, String>,
    pub(super) labels: Vec<Label>,
    pub(super) common_annotations: BTreeMap<String, String>,
    pub(super) patches: Vec<Patch>,
    pub(super) patches_strategic_merge: Vec<String>,
    #[serde(rename = "patchesJson6902")]
    pub(super) patches_json6902: Vec<Patch>,
    pub(super) images: Vec<Image>,
    image_tags: Vec<Image>,
    pub(super) replicas: Vec<Replica>,
    pub(super) replacements: Vec<ReplacementField>,
    pub(super) vars: Vec<Var>,
    pub(super) config_map_generator: Vec<Generator>,
    pub(super) secret_generator: Vec<Generator>,
    pub(super) generator_options: Option<GeneratorOptions>,
    pub(super) configurations: Vec<String>,
    pub(super) crds: Vec<String>,
    pub(super) openapi: BTreeMap<String, String>,
    pub(super) generators: Vec<String>,
    pub(super) transformers: Vec<String>,
    pub(super) validators: Vec<String>,
    pub(super) helm_charts: Vec<Value>,
    pub(super) helm_globals: Option<Value>,
    pub(super) helm_chart_inflation_generator: Vec<Value>,
    pub(super) build_metadata: Vec<String>,
    sort_options: Option<SortOptions>,
}

/// In which order the objects are printed: that it can be read is all that matters here.
#[derive(Clone, Debug, Default, PartialEq, Deserialize)]
#[serde(deny_unknown_fields, default, rename_all = "camelCase")]
struct SortOptions {
    order: Order,
    legacy_sort_options: Option<LegacyOrder>,
}

#[derive(Clone, Copy, Debug, Default, PartialEq, Deserialize)]
#[serde(rename_all = "lowercase")]
enum Order {
    #[default]
    Fifo,
    Legacy,
}

#[derive(Clone, Debug, Default, PartialEq, Deserialize)]
#[serde(deny_unknown_fields, default, rename_all = "camelCase")]
struct LegacyOrder {
    order_first: Vec<String>,
    order_last: Vec<String>,
}

#[derive(Clone, Debug, Default, PartialEq, Deserialize)]
#[serde(deny_unknown_fields, default)]
struct Metadata {
    name: String,
    namespace: String,
    labels: BTreeMap<String, String>,
    annotations: BTreeMap<String, String>,
}

/// An entry of `labels`.
#[derive(Clone, Debug, Default, PartialEq, Deserialize)]
#[serde(deny_unknown_fields, default, rename_all = "camelCase")]
pub(super) struct Label {
    pub(super) pairs: BTreeMap<String, String>,
    pub(super) include_selectors: bool,
    pub(super) include_templates: bool,
    pub(super) fields: Vec<FieldSpec>,
}

/// An entry of `patches` or `patchesJson6902`.
#[derive(Clone, Debug, Default, PartialEq, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub(super) struct Patch {
    pub(super) path: String,
    #[serde(rename = "patch")]
    pub(super) text: String,
    pub(super) target: Option<Target>,
    pub(super) options: BTreeMap<String, bool>,
}

/// Which objects a patch or a replacement is for.
#[derive(Clone, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields, default, rename_all = "camelCase")]
pub struct Target {
    /// API group; a regular expression in a patch.
    pub group: String,
    /// API version; a regular expression in a patch.
    pub version: String,
    /// Kind; a regular expression in a patch.
    pub kind: String,
    /// Name; a regular expression in a patch.
    pub name: String,
    /// Namespace; a regular expression in a patch.
    pub namespace: String,
    /// Selector of annotations.
    pub annotation_selector: String,
    /// Selector of labels.
    pub label_selector: String,
}

/// An entry of `images`: what is put in the place of an image.
#[derive(Clone, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields, default, rename_all = "camelCase")]
pub struct Image {
    /// The image that is meant, without tag and digest.
    pub name: String,
    /// Its new name; empty keeps it.
    pub new_name: String,
    /// Its new tag; empty keeps it.
    pub new_tag: String,
    /// What is added to its tag.
    pub tag_suffix: String,
    /// Its new digest; empty keeps it.
    pub digest: String,
}

/// An entry of `replicas`.
#[derive(Clone, Debug, Default, PartialEq, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub(super) struct Replica {
    pub(super) name: String,
    pub(super) count: i64,
}

/// An entry of `configMapGenerator` or `secretGenerator`.
#[derive(Clone, Debug, Default, PartialEq, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub(super) struct Generator {
    pub(super) name: String,
    pub(super) namespace: String,
    pub(super) behavior: String,
    pub(super) literals: Vec<String>,
    pub(super) files: Vec<String>,
    pub(super) envs: Vec<String>,
    pub(super) env: String,
    pub(super) options: Option<GeneratorOptions>,
    /// Of a Secret alone.
    #[serde(rename = "type")]
    pub(super) kind: Option<String>,
}

/// What holds for generated objects.
#[derive(Clone, Debug, Default, PartialEq, Deserialize)]
#[serde(deny_unknown_fields, default, rename_all = "camelCase")]
pub(super) struct GeneratorOptions {
    pub(super) labels: BTreeMap<String, String>,
    pub(super) annotations: BTreeMap<String, String>,
    pub(super) disable_name_suffix_hash: bool,
    pub(super) immutable: bool,
}

/// An entry of `replacements`: one in place, or in a file.
#[derive(Clone, Debug, Default, PartialEq, Deserialize)]
#[serde(deny_unknown_fields, default, rename_all = "camelCase")]
pub(super) struct ReplacementField {
    pub(super) path: String,
    pub(super) source: Option<Source>,
    pub(super) source_value: Option<String>,
    pub(super) targets: Option<Vec<ReplacementTarget>>,
}

/// A replacement in a file.
#[derive(Clone, Debug, Default, PartialEq, Deserialize)]
#[serde(deny_unknown_fields, default, rename_all = "camelCase")]
pub(super) struct Replacement {
    pub(super) source: Option<Source>,
    pub(super) source_value: Option<String>,
    pub(super) targets: Option<Vec<ReplacementTarget>>,
}

/// Where a value is taken from.
#[derive(Clone, Debug, Default, PartialEq, Deserialize)]
#[serde(deny_unknown_fields, default, rename_all = "camelCase")]
pub(super) struct Source {
    pub(super) group: String,
    pub(super) version: String,
    pub(super) kind: String,
    pub(super) name: String,
    pub(super) namespace: String,
    #[serde(alias = "fieldpath")]
    pub(super) field_path: String,
    pub(super) options: Option<FieldOptions>,
}

/// Where a value is put.
#[derive(Clone, Debug, Default, PartialEq, Deserialize)]
#[serde(deny_unknown_fields, default, rename_all = "camelCase")]
pub(super) struct ReplacementTarget {
    pub(super) select: Option<Target>,
    pub(super) reject: Vec<Target>,
    #[serde(alias = "fieldpaths")]
    pub(super) field_paths: Vec<String>,
    pub(super) options: Option<FieldOptions>,
}

/// Which part of a field is meant.
#[derive(Clone, Debug, Default, PartialEq, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub(super) struct FieldOptions {
    pub(super) delimiter: String,
    pub(super) index: i64,
    pub(super) encoding: String,
    pub(super) create: bool,
}

/// An entry of the deprecated `vars`.
#[derive(Clone, Debug, Default, PartialEq, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub(super) struct Var {
    pub(super) name: String,
    #[serde(rename = "objref")]
    pub(super) object: VarObject,
    #[serde(rename = "fieldref")]
    pub(super) field: VarField,
}

/// The object that a variable is about.
#[derive(Clone, Debug, Default, PartialEq, Deserialize)]
#[serde(deny_unknown_fields, default, rename_all = "camelCase")]
pub(super) struct VarObject {
    pub(super) api_version: String,
    pub(super) group: String,
    pub(super) version: String,
    pub(super) kind: String,
    pub(super) name: String,
    pub(super) namespace: String,
}

/// The field that a variable is about.
#[derive(Clone, Debug, Default, PartialEq, Deserialize)]
#[serde(deny_unknown_fields, default, rename_all = "camelCase")]
pub(super) struct VarField {
    #[serde(alias = "fieldpath")]
    pub(super) field_path: String,
}

/// What is wrong in a kustomization file: the field, and what about it.
pub(super) struct Misread {
    pub(super) pointer: String,
    pub(super) message: String,
    pub(super) hint: &'static str,
}

impl Kustomization {
    /// Reads what a document says.
    pub(super) fn read(value: &Value) -> Result<Self, Misread> {
        let bare = without_nulls(value);
        let Some(fields) = bare.as_object() else {
            return Err(misread("", "not a kustomization", "write it as a map of fields"));
        };
        let says = |(name, value): (&String, &Value)| {
            name != "apiVersion"
                && name != "kind"
                && value != &Value::from("")
                && value != &Value::from(false)
        };
        if !fields.iter().any(says) {
            return Err(misread("", "the kustomization is empty", "list its resources"));
        }
        let mut read: Self = typed(&bare).or_else(|misread| typed(&respelled(&bare).ok_or(misread)?))?;
        read.settle()?;
        Ok(read)
    }

    /// Moves what deprecated fields say to where it belongs now.
    fn settle(&mut self) -> Result<(), Misread> {
        let own = match self.kind.as_str() {
            "" | "Kustomization" => "kustomize.config.k8s.io/v1beta1",
            "Component" => "kustomize.config.k8s.io/v1alpha1",
            _ => {
                return Err(misread(
                    "/kind",
                    "the kind of a kustomization is Kustomization or Component",
                    "correct it",
                ));
            }
        };
        if !self.api_version.is_empty() && self.api_version != own {
            return Err(misread(
                "/apiVersion",
                &format!("the apiVersion must be {own}"),
                "correct it",
            ));
        }
        if let Some(SortOptions {
            order: Order::Fifo,
            legacy_sort_options: Some(_),
        }) = self.sort_options
        {
            return Err(misread(
                "/sortOptions/legacySortOptions",
                "they are given, but the order is not `legacy`",
                "leave them out, or say `order: legacy`",
            ));
        }
        self.resources.append(&mut self.bases);
        self.images.append(&mut self.image_tags);
        for generator in self
            .config_map_generator
            .iter_mut()
            .chain(&mut self.secret_generator)
        {
            if !generator.env.is_empty() {
                generator.envs.push(std::mem::take(&mut generator.env));
            }
        }
        match self
            .config_map_generator
            .iter()
            .position(|generator| generator.kind.is_some())
        {
            Some(at) => Err(misread(
                &format!("/configMapGenerator/{at}/type"),
                "unknown field `type`",
                "only a secretGenerator has a type",
            )),
            None => Ok(()),
        }
    }

    /// A kustomization of nothing but resources.
    pub(super) fn of_resources(resources: Vec<String>) -> Self {
        Self {
            resources,
            ..Self::default()
        }
    }

    /// A kustomization of nothing but patches.
    pub(super) fn of_patches(patches: Vec<Patch>, merges: Vec<String>, operations: Vec<Patch>) -> Self {
        Self {
            patches,
            patches_strategic_merge: merges,
            patches_json6902: operations,
            ..Self::default()
        }
    }

    /// A kustomization of nothing but replacements.
    pub(super) fn of_replacements(replacements: Vec<ReplacementField>) -> Self {
        Self {
            replacements,
            ..Self::default()
        }
    }

    pub(super) fn is_component(&self) -> bool {
        self.kind == "Component"
    }
}

fn misread(pointer: &str, message: &str, hint: &'static str) -> Misread {
    Misread {
        pointer: pointer.to_owned(),
        message: message.to_owned(),
        hint,
    }
}

/// Reads a map of fields; what does not fit is found field by field, so that its place can be said.
pub(super) fn typed<T: DeserializeOwned>(bare: &Value) -> Result<T, Misread> {
    let error = match T::deserialize(bare) {
        Ok(read) => return Ok(read),
        Err(error) => error,
    };
    let culprit = bare.as_object().into_iter().flatten().find_map(|(name, value)| {
        let alone = Value::Object([(name.clone(), value.clone())].into_iter().collect());
        Some((name, T::deserialize(alone).err()?))
    });
    let pointer = culprit
        .as_ref()
        .map_or_else(String::new, |(name, _)| format!("/{name}"));
    let error = culprit.map_or(error, |(_, error)| error).to_string();
    Err(misread(
        &pointer,
        error.split(", expected one of").next().unwrap_or(&error),
        "compare with kustomize's reference of its fields",
    ))
}

/// Writes the names of fields as they are meant: to kustomize upper and lower case are the same.
fn respelled(bare: &Value) -> Option<Value> {
    let known = |name: &str| {
        let alone = Value::Object([(name.to_owned(), Value::Null)].into_iter().collect());
        let error = Kustomization::deserialize(&alone).err()?.to_string();
        let names = error.split_once(", expected one of ")?.1;
        let mut names = names.split(", ").map(|name| name.trim_matches('`'));
        names
            .find(|known| known.eq_ignore_ascii_case(name))
            .map(str::to_owned)
    };
    let mut changed = false;
    let fields = bare.as_object()?.iter().map(|(name, value)| {
        let meant = known(name)
            .inspect(|_| changed = true)
            .unwrap_or_else(|| name.clone());
        (meant, value.clone())
    });
    let fields: Value = fields.collect();
    changed.then_some(fields)
}

/// Leaves out fields that are null, as if they were not written.
pub(super) fn without_nulls(value: &Value) -> Value {
    match value {
        Value::Object(fields) => fields
            .iter()
            .filter(|(_, value)| !value.is_null())
            .map(|(name, value)| (name.clone(), without_nulls(value)))
            .collect(),
        Value::Array(items) => items.iter().map(without_nulls).collect(),
        other => other.clone(),
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn said(value: &Value) -> (String, String) {
        let misread = Kustomization::read(value).err().unwrap();
        (misread.pointer, misread.message)
    }

    #[test]
    fn deprecated_fields_go_where_they_belong() {
        let read = Kustomization::read(&json!({
            "resources": ["a"], "bases": ["b"], "imageTags": [{"name": "x"}], "patches": null,
            "configMapGenerator": [{"name": "c", "env": "e"}],
        }));
        let read = read.ok().unwrap();
        assert_eq!(read.resources, ["a", "b"]);
        assert_eq!(
            (read.images.len(), read.config_map_generator[0].envs.len()),
            (1, 1)
        );
    }

    #[test]
    fn what_does_not_fit_is_named() {
        assert_eq!(
            said(&json!({"kind": "Kustomization"})).1,
            "the kustomization is empty"
        );
        assert_eq!(
            said(&json!({"resource": ["a"]})),
            ("/resource".into(), "unknown field `resource`".into())
        );
        assert_eq!(
            said(&json!({"images": [{"name": "a", "newTag": 1.5}]})).0,
            "/images"
        );
        assert_eq!(said(&json!({"kind": "Other", "resources": []})).0, "/kind");
        assert_eq!(
            said(&json!({"apiVersion": "v1", "resources": []})).0,
            "/apiVersion"
        );
    }
}

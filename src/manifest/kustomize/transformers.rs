//! `transformers`: what kustomize does by fields of a kustomization, configured in objects of their own. Those that
//! are programs are not run.

use std::{collections::BTreeMap, sync::Arc};

use serde::{Deserialize, de::DeserializeOwned};

use super::{
    config::Config,
    fault::Outcome,
    fields::FieldSpec,
    file::{File, objects},
    images,
    item::Item,
    labels,
    load::{Loaded, Loader, Spot},
    names, patches,
    place::Place,
    replacements,
    spec::{Image, Kustomization, Patch, ReplacementField, Replica, Target, typed, without_nulls},
};

#[derive(Debug, Default, Deserialize)]
#[serde(default, rename_all = "camelCase")]
struct Settings {
    metadata: Metadata,
    field_specs: Vec<FieldSpec>,
    prefix: String,
    suffix: String,
    labels: BTreeMap<String, String>,
    annotations: BTreeMap<String, String>,
    image_tag: Image,
    replica: Replica,
    path: String,
    patch: String,
    json_op: String,
    target: Option<Target>,
    options: BTreeMap<String, bool>,
    paths: Vec<String>,
    patches: String,
    replacements: Vec<ReplacementField>,
    unset_only: bool,
    set_role_binding_subjects: String,
}

#[derive(Debug, Default, Deserialize)]
#[serde(default)]
struct Metadata {
    namespace: String,
}

/// Runs the transformers of a kustomization.
pub(super) fn run(
    loader: &mut Loader<'_>,
    place: &Place<'_>,
    loaded: &Loaded,
    items: &mut Vec<Item>,
) -> Outcome<()> {
    let mut all = Vec::new();
    let mut named = Vec::new();
    for (at, text) in loaded.spec.transformers.iter().enumerate() {
        let spot = loaded.spot.at(&format!("/transformers/{at}"));
        let inline = Arc::new(File::new(spot.file.path(), text.as_bytes().to_vec()));
        let inline = inline
            .texts()
            .ok()
            .and_then(|texts| objects(&texts, spot.file.path()).ok());
        match inline {
            Some(inline) => all.extend(inline.into_iter().map(|item| (item, spot.clone()))),
            None => named.push((text, spot)),
        }
    }
    for (path, spot) in named {
        let file = loader.named(place, path, &spot)?;
        let file = file
            .ok_or_else(|| spot.beyond(format!("{path} is no file"), "name the files of the transformers"))?;
        let at = |item: &Item| Spot {
            file: Arc::clone(&file),
            line: item.line,
            pointer: String::new(),
        };
        all.extend(file.items()?.iter().map(|item| (item.clone(), at(item))));
    }
    for (item, spot) in &all {
        one(loader, place, item, spot, items)?;
        items.retain(|item| !item.value.is_null());
    }
    Ok(())
}

fn read<T: DeserializeOwned>(item: &Item, spot: &Spot) -> Outcome<T> {
    typed(&without_nulls(&item.value)).map_err(|misread| spot.wrong(misread.message, misread.hint))
}

fn one(
    loader: &mut Loader<'_>,
    place: &Place<'_>,
    config: &Item,
    spot: &Spot,
    items: &mut Vec<Item>,
) -> Outcome<()> {
    let attributed = "Serin does not render this path: what it depends on is told by its files";
    if config.api_version() != "builtin" {
        return Err(spot.beyond(
            format!("the transformer {} is a program", config.kind()),
            attributed,
        ));
    }
    let own: Settings = read(config, spot)?;
    let specs = own.field_specs.as_slice();
    let loaded = |spec: Kustomization| Loaded {
        spec,
        spot: spot.clone(),
    };
    match config.kind() {
        "PrefixTransformer" => names::prefix(items, &own.prefix, specs, spot),
        "SuffixTransformer" => names::suffix(items, &own.suffix, specs, spot),
        "PrefixSuffixTransformer" => {
            names::prefix(items, &own.prefix, specs, spot)?;
            names::suffix(items, &own.suffix, specs, spot)
        }
        "LabelTransformer" => labels::set(items, &own.labels, specs, spot),
        "AnnotationsTransformer" => labels::set(items, &own.annotations, specs, spot),
        "NamespaceTransformer" => {
            if own.unset_only || !matches!(own.set_role_binding_subjects.as_str(), "" | "defaultOnly") {
                return Err(spot.beyond(
                    "`unsetOnly` and `setRoleBindingSubjects` are not followed",
                    attributed,
                ));
            }
            names::namespace(items, &own.metadata.namespace, specs, spot)
        }
        "ImageTagTransformer" => images::images(items, std::slice::from_ref(&own.image_tag), specs, spot),
        "ReplicaCountTransformer" => {
            let config = Config {
                replicas: own.field_specs.clone(),
                ..Config::default()
            };
            images::replicas(items, std::slice::from_ref(&own.replica), &config, spot)
        }
        "PatchTransformer" => {
            let patch = Patch {
                path: own.path,
                text: own.patch,
                target: own.target,
                options: own.options,
            };
            patches::patches(
                loader,
                place,
                &loaded(Kustomization::of_patches(vec![patch], Vec::new(), Vec::new())),
                items,
            )
        }
        "PatchJson6902Transformer" => {
            let patch = Patch {
                path: own.path,
                text: own.json_op,
                target: own.target,
                options: BTreeMap::new(),
            };
            patches::json6902(
                loader,
                place,
                &loaded(Kustomization::of_patches(Vec::new(), Vec::new(), vec![patch])),
                items,
            )
        }
        "PatchStrategicMergeTransformer" => {
            let mut texts = own.paths;
            if !own.patches.is_empty() {
                texts.push(own.patches);
            }
            patches::strategic_merges(
                loader,
                place,
                &loaded(Kustomization::of_patches(Vec::new(), texts, Vec::new())),
                items,
            )
        }
        "ReplacementTransformer" => replacements::run(
            loader,
            place,
            &loaded(Kustomization::of_replacements(own.replacements)),
            items,
        ),
        other => Err(spot.beyond(format!("the transformer {other} is not run"), attributed)),
    }
}

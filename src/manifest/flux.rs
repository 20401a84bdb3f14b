//! What Flux's own objects say about the rest of a repository: which directory a Kustomization renders and what
//! it adds, and which chart and values a HelmRelease runs.

use std::collections::{BTreeMap, BTreeSet};

use serde_json::Value;

use super::{
    Object, ObjectKey, Resource,
    kustomize::{CommonMetadata, Image, Overlay, OverlayPatch, Rules, Target},
};

/// The API group of Flux's Kustomization.
pub const KUSTOMIZE: &str = "kustomize.toolkit.fluxcd.io";
/// The API group of HelmRelease.
pub const HELM: &str = "helm.toolkit.fluxcd.io";
/// The API group of GitRepository and other sources.
const SOURCE: &str = "source.toolkit.fluxcd.io";

/// A Flux Kustomization, as far as it says what is rendered.
#[derive(Clone, Debug, PartialEq)]
pub struct FluxKustomization {
    /// Its key.
    pub key: ObjectKey,
    /// The directory that it renders, from the top of its source.
    pub path: String,
    /// Where the directory is.
    pub source: ObjectKey,
    /// What it adds to the kustomization of the directory.
    pub overlay: Overlay,
    /// `spec.postBuild.substitute`.
    pub substitute: BTreeMap<String, String>,
    /// `spec.postBuild.substituteFrom`.
    pub substitute_from: Vec<SubstituteFrom>,
    /// Flux does not act on it.
    pub suspended: bool,
}

/// An entry of `spec.postBuild.substituteFrom`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SubstituteFrom {
    /// The ConfigMap or Secret.
    pub key: ObjectKey,
}

impl FluxKustomization {
    /// Reads a Flux Kustomization; none for other objects, and for those that say nothing useful.
    #[must_use]
    pub fn read(object: &Object) -> Option<Self> {
        let key = object.key();
        if key.kind != "Kustomization" || key.group != KUSTOMIZE {
            return None;
        }
        let path = clean(object.str_at("/spec/path"))?;
        let of = |pointer: &str| Some(object.str_at(pointer).to_owned()).filter(|text| !text.is_empty());
        let source = ObjectKey {
            group: SOURCE.to_owned(),
            kind: object.str_at("/spec/sourceRef/kind").to_owned(),
            namespace: of("/spec/sourceRef/namespace").unwrap_or_else(|| key.namespace.clone()),
            name: object.str_at("/spec/sourceRef/name").to_owned(),
        };
        let overlay = Overlay {
            rules: Rules::Flux,
            target_namespace: of("/spec/targetNamespace"),
            name_prefix: of("/spec/namePrefix"),
            name_suffix: of("/spec/nameSuffix"),
            patches: patches(object),
            images: list(object, "/spec/images")
                .filter_map(read_as::<Image>)
                .collect(),
            components: list(object, "/spec/components")
                .filter_map(|path| path.as_str().map(str::to_owned))
                .collect(),
            ignore_missing_components: is_true(object, "/spec/ignoreMissingComponents"),
            common_metadata: CommonMetadata {
                labels: texts(object.at("/spec/commonMetadata/labels")),
                annotations: texts(object.at("/spec/commonMetadata/annotations")),
            },
        };
        let substitute_from = list(object, "/spec/postBuild/substituteFrom")
            .filter_map(|entry| substitute_from(entry, &key.namespace))
            .collect();
        Some(Self {
            path,
            source,
            overlay,
            substitute: texts(object.at("/spec/postBuild/substitute")),
            substitute_from,
            suspended: is_true(object, "/spec/suspend"),
            key,
        })
    }

    /// Whether a file is in the directory that it renders.
    #[must_use]
    pub fn covers(&self, file: &str) -> bool {
        is_below(file, &self.path)
    }
}

/// Whether a path is in a directory; every path is in `""`.
#[must_use]
pub fn is_below(path: &str, dir: &str) -> bool {
    dir.is_empty() || path.strip_prefix(dir).is_some_and(|rest| rest.starts_with('/'))
}

/// Picks those of several Kustomizations that render this repository. Their source is one that applies the file
/// in which a Kustomization itself is written; where there is none such (not bootstrapped from here), any Git
/// repository may be meant.
#[must_use]
pub fn of_this_repository<'a>(all: &[(&'a FluxKustomization, &str)]) -> Vec<&'a FluxKustomization> {
    let own: BTreeSet<&ObjectKey> = all
        .iter()
        .filter(|(kustomization, file)| kustomization.covers(file))
        .map(|(kustomization, _)| &kustomization.source)
        .collect();
    let is_ours = |source: &ObjectKey| {
        if own.is_empty() {
            source.kind == "GitRepository"
        } else {
            own.contains(source)
        }
    };
    let mut ours: Vec<&FluxKustomization> = Vec::new();
    for (kustomization, _) in all {
        if is_ours(&kustomization.source) {
            ours.push(kustomization);
        }
    }
    ours
}

/// A HelmRelease, as far as it says what it depends on.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct HelmRelease {
    /// Its key.
    pub key: ObjectKey,
    /// The name that Helm knows it by.
    pub release: String,
    /// The namespace of what it runs.
    pub target_namespace: String,
    /// ConfigMaps and Secrets that its values come from.
    pub values_from: Vec<ObjectKey>,
    /// The folder of its chart, if that may be in this repository.
    pub chart: Option<String>,
}

impl HelmRelease {
    /// Reads a HelmRelease; none for other objects.
    #[must_use]
    pub fn read(object: &Object) -> Option<Self> {
        let key = object.key();
        if key.kind != "HelmRelease" || key.group != HELM {
            return None;
        }
        let of = |pointer: &str| Some(object.str_at(pointer)).filter(|text| !text.is_empty());
        let target_namespace = of("/spec/targetNamespace").unwrap_or(&key.namespace).to_owned();
        let release = match (of("/spec/releaseName"), of("/spec/targetNamespace")) {
            (Some(name), _) => name.to_owned(),
            (None, Some(namespace)) => format!("{namespace}-{}", key.name),
            (None, None) => key.name.clone(),
        };
        let values_from = list(object, "/spec/valuesFrom")
            .filter_map(|entry| substitute_from(entry, &key.namespace))
            .map(|from| from.key)
            .collect();
        let in_git = object.str_at("/spec/chart/spec/sourceRef/kind") == "GitRepository";
        let chart = of("/spec/chart/spec/chart").filter(|_| in_git).and_then(clean);
        Some(Self {
            key,
            release,
            target_namespace,
            values_from,
            chart,
        })
    }

    /// Whether a workload is named as charts name what they run: as the release, or with the release in front,
    /// or as the HelmRelease.
    #[must_use]
    pub fn may_run(&self, workload: &ObjectKey) -> bool {
        let named = |name: &str| {
            workload.name == name
                || workload
                    .name
                    .strip_prefix(name)
                    .is_some_and(|rest| rest.starts_with('-'))
        };
        workload.namespace == self.target_namespace && (named(&self.release) || named(&self.key.name))
    }
}

/// Normalises a path of Flux: `./apps/` is `apps`, and nothing leaves the repository.
fn clean(path: &str) -> Option<String> {
    let mut parts: Vec<&str> = Vec::new();
    for part in path.split('/') {
        match part {
            "" | "." => {}
            ".." => {
                parts.pop()?;
            }
            name => parts.push(name),
        }
    }
    Some(parts.join("/"))
}

fn list<'a>(object: &'a Object, pointer: &str) -> impl Iterator<Item = &'a Value> + use<'a> {
    object.at(pointer).and_then(Value::as_array).into_iter().flatten()
}

fn is_true(object: &Object, pointer: &str) -> bool {
    object.at(pointer).and_then(Value::as_bool).unwrap_or_default()
}

fn texts(map: Option<&Value>) -> BTreeMap<String, String> {
    let fields = map.and_then(Value::as_object).into_iter().flatten();
    fields
        .filter_map(|(key, value)| Some((key.clone(), value.as_str()?.to_owned())))
        .collect()
}

fn read_as<T: serde::de::DeserializeOwned>(value: &Value) -> Option<T> {
    serde_json::from_value(value.clone()).ok()
}

fn substitute_from(entry: &Value, namespace: &str) -> Option<SubstituteFrom> {
    let resource = match entry.get("kind")?.as_str()? {
        "ConfigMap" => Resource::CONFIG_MAP,
        "Secret" => Resource::SECRET,
        _ => return None,
    };
    let key = ObjectKey::new(resource, namespace, entry.get("name")?.as_str()?);
    Some(SubstituteFrom { key })
}

fn patches(object: &Object) -> Vec<OverlayPatch> {
    let plain = list(object, "/spec/patches").filter_map(|entry| {
        Some(OverlayPatch {
            patch: entry.get("patch")?.as_str()?.to_owned(),
            target: entry.get("target").and_then(read_as::<Target>),
        })
    });
    let merges = list(object, "/spec/patchesStrategicMerge").map(|patch| OverlayPatch {
        patch: patch.to_string(),
        target: None,
    });
    let json = list(object, "/spec/patchesJson6902").filter_map(|entry| {
        Some(OverlayPatch {
            patch: entry.get("patch")?.to_string(),
            target: Some(entry.get("target").and_then(read_as::<Target>)?),
        })
    });
    plain.chain(merges).chain(json).collect()
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn kustomization(name: &str, spec: &Value) -> FluxKustomization {
        let object = json!({"apiVersion": "kustomize.toolkit.fluxcd.io/v1", "kind": "Kustomization",
            "metadata": {"name": name, "namespace": "flux-system"}, "spec": spec});
        FluxKustomization::read(&Object::from(object)).unwrap()
    }

    #[test]
    fn a_kustomization_says_where_and_what_it_adds() {
        let read = kustomization(
            "apps",
            &json!({"path": "./apps/production/", "targetNamespace": "prod", "suspend": true,
                "sourceRef": {"kind": "GitRepository", "name": "flux-system"},
                "patches": [{"patch": "x: 1", "target": {"kind": "Deployment"}}],
                "images": [{"name": "podinfo", "newTag": "6.0.1"}],
                "commonMetadata": {"labels": {"team": "birds"}},
                "postBuild": {"substitute": {"a": "1"}, "substituteFrom": [
                    {"kind": "ConfigMap", "name": "vars"}, {"kind": "Secret", "name": "more", "optional": true}]}}),
        );
        assert_eq!((read.path.as_str(), read.suspended), ("apps/production", true));
        assert_eq!(read.source.namespace, "flux-system");
        assert_eq!(read.overlay.target_namespace.as_deref(), Some("prod"));
        assert_eq!(read.overlay.images[0].new_tag, "6.0.1");
        assert_eq!(
            read.overlay.patches[0]
                .target
                .as_ref()
                .map(|target| target.kind.as_str()),
            Some("Deployment")
        );
        assert_eq!(read.overlay.common_metadata.labels["team"], "birds");
        assert_eq!(read.substitute["a"], "1");
        let from: Vec<_> = read
            .substitute_from
            .iter()
            .map(|from| from.key.to_string())
            .collect();
        assert_eq!(from, ["ConfigMap/flux-system/vars", "Secret/flux-system/more"]);
        assert!(read.covers("apps/production/x.yaml") && !read.covers("apps/production-2/x.yaml"));
        let leaves = json!({"apiVersion": "kustomize.toolkit.fluxcd.io/v1", "kind": "Kustomization",
            "metadata": {"name": "x"}, "spec": {"path": "../x"}});
        assert_eq!(FluxKustomization::read(&Object::from(leaves)), None);
    }

    #[test]
    fn the_source_that_applies_a_kustomizations_own_file_is_this_repository() {
        let of = |name: &str, path: &str, source: &str| {
            kustomization(
                name,
                &json!({"path": path, "sourceRef": {"kind": "GitRepository", "name": source}}),
            )
        };
        let (root, apps) = (
            of("flux-system", "./clusters/a", "flux-system"),
            of("apps", "./apps", "flux-system"),
        );
        let other = of("other", "./deploy", "other");
        let all = [
            (&root, "clusters/a/sync.yaml"),
            (&apps, "clusters/a/apps.yaml"),
            (&other, "clusters/a/o.yaml"),
        ];
        let names = |found: Vec<&FluxKustomization>| -> Vec<String> {
            found.into_iter().map(|one| one.key.name.clone()).collect()
        };
        assert_eq!(names(of_this_repository(&all)), ["flux-system", "apps"]);
        assert_eq!(
            names(of_this_repository(&all[2..])),
            ["other"],
            "nothing else is known"
        );
    }

    #[test]
    fn a_release_is_known_by_the_names_that_charts_give() {
        let release = |spec: Value| {
            let object = json!({"apiVersion": "helm.toolkit.fluxcd.io/v2", "kind": "HelmRelease",
                "metadata": {"name": "podinfo", "namespace": "flux-system"}, "spec": spec});
            HelmRelease::read(&Object::from(object)).unwrap()
        };
        let read = release(
            json!({"targetNamespace": "test", "valuesFrom": [{"kind": "ConfigMap", "name": "values"}],
            "chart": {"spec": {"chart": "./charts/podinfo", "sourceRef": {"kind": "GitRepository", "name": "x"}}}}),
        );
        assert_eq!(
            (read.release.as_str(), read.chart.as_deref()),
            ("test-podinfo", Some("charts/podinfo"))
        );
        assert_eq!(read.values_from[0].to_string(), "ConfigMap/flux-system/values");
        let workload = |namespace: &str, name: &str| ObjectKey::new(Resource::DEPLOYMENT, namespace, name);
        for name in ["test-podinfo", "test-podinfo-web", "podinfo", "podinfo-web"] {
            assert!(read.may_run(&workload("test", name)), "{name}");
        }
        assert!(!read.may_run(&workload("flux-system", "podinfo")));
        assert!(!read.may_run(&workload("test", "podinfos")));
        let remote = release(json!({"releaseName": "web",
            "chart": {"spec": {"chart": "podinfo", "sourceRef": {"kind": "HelmRepository", "name": "x"}}}}));
        assert_eq!((remote.release.as_str(), remote.chart), ("web", None));
    }
}

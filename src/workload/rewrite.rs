//! Turns the pod template of a target into that of its primary.

use std::collections::{BTreeMap, BTreeSet};

use serde_json::{Map, Value};

use super::{compare::strip_nulls, configs::copy_key};
use crate::{
    canary::generated,
    manifest::{ObjectKey, Resource},
};

/// The label that tells the pods of target and primary apart.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Selection {
    /// Its key.
    pub(super) label: String,
    /// Its value on the target's pods.
    pub(super) canary: String,
    /// Its value on the primary's pods.
    pub(super) primary: String,
}

/// Visits every reference to a ConfigMap or Secret in a pod spec: its kind, the object that holds it, and the
/// field of that object with the name.
pub(super) fn visit_configs(pod: &mut Value, each: &mut dyn FnMut(Resource, &mut Value, &'static str)) {
    let mut part = |holder: &mut Value, field: &str, kind: Resource, name: &'static str| {
        if let Some(reference) = holder.get_mut(field) {
            each(kind, reference, name);
        }
    };
    for volume in list(pod, "volumes") {
        part(volume, "configMap", Resource::CONFIG_MAP, "name");
        part(volume, "secret", Resource::SECRET, "secretName");
        for source in volume
            .get_mut("projected")
            .into_iter()
            .flat_map(|projected| list(projected, "sources"))
        {
            part(source, "configMap", Resource::CONFIG_MAP, "name");
            part(source, "secret", Resource::SECRET, "name");
        }
    }
    for containers in ["initContainers", "containers"] {
        for container in list(pod, containers) {
            for from in list(container, "env").filter_map(|env| env.get_mut("valueFrom")) {
                part(from, "configMapKeyRef", Resource::CONFIG_MAP, "name");
                part(from, "secretKeyRef", Resource::SECRET, "name");
            }
            for from in list(container, "envFrom") {
                part(from, "configMapRef", Resource::CONFIG_MAP, "name");
                part(from, "secretRef", Resource::SECRET, "name");
            }
        }
    }
}

/// Returns the primary's pod template. `required` are the labels that its selector asks for.
pub(super) fn primary_template(
    template: &Value,
    selection: &Selection,
    required: &Map<String, Value>,
    renamed: &BTreeSet<ObjectKey>,
    annotations: &[(&str, String)],
) -> Value {
    let mut metadata = fields_of(template.get("metadata"));
    let mut labels = fields_of(metadata.get("labels"));
    labels.extend(required.clone());
    labels.insert(selection.label.clone(), Value::String(selection.primary.clone()));
    let mut own = fields_of(metadata.get("annotations"));
    own.retain(|key, _| !generated::stays(key));
    own.extend(
        annotations
            .iter()
            .map(|(key, text)| ((*key).to_owned(), Value::String(text.clone()))),
    );
    metadata.insert("labels".to_owned(), Value::Object(labels));
    metadata.remove("annotations");
    if !own.is_empty() {
        metadata.insert("annotations".to_owned(), Value::Object(own));
    }
    let mut pod = template.get("spec").cloned().unwrap_or_default();
    rename_configs(&mut pod, renamed);
    spread_apart(&mut pod, selection);
    let mut template = serde_json::json!({ "metadata": metadata, "spec": pod });
    strip_nulls(&mut template);
    template
}

fn fields_of(value: Option<&Value>) -> Map<String, Value> {
    value.and_then(Value::as_object).cloned().unwrap_or_default()
}

fn rename_configs(pod: &mut Value, renamed: &BTreeSet<ObjectKey>) {
    let copies: BTreeMap<_, _> = renamed
        .iter()
        .map(|config| {
            (
                (config.kind.as_str(), config.name.as_str()),
                copy_key(config).name,
            )
        })
        .collect();
    visit_configs(pod, &mut |resource, reference, field| {
        let Some(name) = reference.get_mut(field) else {
            return;
        };
        if let Some(copy) = copies.get(&(resource.kind, name.as_str().unwrap_or_default())) {
            *name = Value::String(copy.clone());
        }
    });
}

/// Pods of the primary keep away from each other, not from those of the target.
fn spread_apart(pod: &mut Value, selection: &Selection) {
    for constraint in list(pod, "topologySpreadConstraints") {
        relabel(constraint.get_mut("labelSelector"), selection);
    }
    let Some(affinity) = pod.pointer_mut("/affinity/podAntiAffinity") else {
        return;
    };
    for term in list(affinity, "requiredDuringSchedulingIgnoredDuringExecution") {
        relabel(term.get_mut("labelSelector"), selection);
    }
    for term in list(affinity, "preferredDuringSchedulingIgnoredDuringExecution") {
        relabel(term.pointer_mut("/podAffinityTerm/labelSelector"), selection);
    }
}

fn relabel(selector: Option<&mut Value>, selection: &Selection) {
    let Some(selector) = selector else { return };
    let rename = |value: &mut Value| {
        if value.as_str() == Some(selection.canary.as_str()) {
            *value = Value::String(selection.primary.clone());
        }
    };
    if let Some(value) = selector
        .get_mut("matchLabels")
        .and_then(|labels| labels.get_mut(&selection.label))
    {
        rename(value);
    }
    for expression in list(selector, "matchExpressions") {
        if expression.get("key").and_then(Value::as_str) == Some(selection.label.as_str()) {
            list(expression, "values").for_each(rename);
        }
    }
}

fn list<'a>(value: &'a mut Value, name: &str) -> impl Iterator<Item = &'a mut Value> {
    let items = value.get_mut(name).and_then(Value::as_array_mut);
    items.into_iter().flatten()
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn selection() -> Selection {
        Selection {
            label: "app".into(),
            canary: "podinfo".into(),
            primary: "podinfo-primary".into(),
        }
    }

    fn config(resource: Resource, name: &str) -> ObjectKey {
        ObjectKey::new(resource, "test", name)
    }

    /// A pod spec that refers to `cm` and `sec` in every way there is.
    fn everywhere(cm: &str, sec: &str) -> Value {
        let env = json!([
            { "name": "A", "valueFrom": { "configMapKeyRef": { "name": cm, "key": "k" } } },
            { "name": "B", "valueFrom": { "secretKeyRef": { "name": sec, "key": "k" } } },
            { "name": "C", "value": "x" }
        ]);
        let from = json!([{ "configMapRef": { "name": cm } }, { "secretRef": { "name": sec } }]);
        json!({
            "volumes": [
                { "name": "a", "configMap": { "name": cm } },
                { "name": "b", "secret": { "secretName": sec } },
                { "name": "c", "projected": { "sources": [
                    { "configMap": { "name": cm } }, { "secret": { "name": sec } }
                ] } },
                { "name": "d", "emptyDir": {} },
                { "name": "e", "configMap": { "name": "other" } }
            ],
            "initContainers": [{ "name": "i", "env": env, "envFrom": from }],
            "containers": [{ "name": "c", "env": env, "envFrom": from }]
        })
    }

    #[test]
    fn configs_are_renamed_wherever_they_are_referred_to() {
        let renamed = BTreeSet::from([config(Resource::CONFIG_MAP, "x"), config(Resource::SECRET, "y")]);
        let mut pod = everywhere("x", "y");
        rename_configs(&mut pod, &renamed);
        assert_eq!(pod, everywhere("x-primary", "y-primary"));
    }

    #[test]
    fn a_secret_of_the_same_name_is_another_config() {
        let mut pod = everywhere("x", "x");
        rename_configs(&mut pod, &BTreeSet::from([config(Resource::SECRET, "x")]));
        assert_eq!(pod, everywhere("x", "x-primary"));
    }

    #[test]
    fn only_the_selection_label_is_rewritten() {
        let template = json!({
            "metadata": {
                "creationTimestamp": null,
                "labels": { "app": "podinfo", "app.kubernetes.io/name": "podinfo" },
                "annotations": { "kustomize.toolkit.fluxcd.io/x": "y", "prometheus.io/scrape": "true" }
            },
            "spec": {
                "topologySpreadConstraints": [
                    { "labelSelector": { "matchLabels": { "app": "podinfo", "app.kubernetes.io/name": "podinfo" } } }
                ],
                "affinity": {
                    "podAffinity": { "requiredDuringSchedulingIgnoredDuringExecution": [
                        { "labelSelector": { "matchLabels": { "app": "podinfo" } } }
                    ] },
                    "podAntiAffinity": {
                        "requiredDuringSchedulingIgnoredDuringExecution": [
                            { "labelSelector": { "matchExpressions": [
                                { "key": "app", "operator": "In", "values": ["other", "podinfo"] },
                                { "key": "tier", "operator": "In", "values": ["podinfo"] }
                            ] } }
                        ],
                        "preferredDuringSchedulingIgnoredDuringExecution": [
                            { "weight": 1, "podAffinityTerm": { "labelSelector": { "matchLabels": { "app": "podinfo" } } } }
                        ]
                    }
                }
            }
        });
        let required = Map::from_iter([("tier".to_owned(), json!("web"))]);
        let made = primary_template(
            &template,
            &selection(),
            &required,
            &BTreeSet::new(),
            &[("a", "b".into())],
        );
        assert_eq!(
            made["metadata"],
            json!({
                "labels": { "app": "podinfo-primary", "app.kubernetes.io/name": "podinfo", "tier": "web" },
                "annotations": { "prometheus.io/scrape": "true", "a": "b" }
            })
        );
        let at = |pointer: &str| made.pointer(pointer).unwrap().clone();
        let spread = at("/spec/topologySpreadConstraints/0/labelSelector/matchLabels");
        assert_eq!(
            spread,
            json!({ "app": "podinfo-primary", "app.kubernetes.io/name": "podinfo" })
        );
        let anti = at("/spec/affinity/podAntiAffinity");
        let expressions = anti
            .pointer("/requiredDuringSchedulingIgnoredDuringExecution/0/labelSelector/matchExpressions")
            .unwrap();
        assert_eq!(expressions[0]["values"], json!(["other", "podinfo-primary"]));
        assert_eq!(expressions[1]["values"], json!(["podinfo"]));
        let preferred = anti
            .pointer("/preferredDuringSchedulingIgnoredDuringExecution/0/podAffinityTerm/labelSelector/matchLabels/app");
        assert_eq!(preferred, Some(&json!("podinfo-primary")));
        let near = "/spec/affinity/podAffinity/requiredDuringSchedulingIgnoredDuringExecution/0/labelSelector/matchLabels";
        assert_eq!(at(near), json!({ "app": "podinfo" }));
    }
}

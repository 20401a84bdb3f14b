//! Which ConfigMaps and Secrets a pod template refers to, and which of them count as part of its revision.

use std::collections::BTreeMap;

use serde_json::Value;

use super::{Object, ObjectKey, Resource};

/// An annotation that takes a config out of the revision when it begins with `disable`.
const TRACKING: &str = "flagger.app/config-tracking";

/// Types of Secret that count; other types are written by controllers.
const TRACKED_TYPES: [&str; 4] = [
    "Opaque",
    "kubernetes.io/basic-auth",
    "kubernetes.io/ssh-auth",
    "kubernetes.io/tls",
];

/// Returns the ConfigMaps and Secrets that the pod template of a workload refers to (volumes, projected
/// sources, `env` and `envFrom` of all containers), and whether the pods need them (`optional` is not set).
#[must_use]
pub fn config_references(workload: &Object) -> BTreeMap<ObjectKey, bool> {
    let mut found = Found {
        namespace: workload.namespace(),
        keys: BTreeMap::new(),
    };
    let list = |pointer: &str| {
        workload
            .at("/spec/template/spec")
            .and_then(|pod| pod.pointer(pointer))
            .and_then(Value::as_array)
            .into_iter()
            .flatten()
    };
    for volume in list("/volumes") {
        found.config_map(volume.get("configMap"), "name");
        found.secret(volume.get("secret"), "secretName");
        for source in each(volume.pointer("/projected/sources")) {
            found.config_map(source.get("configMap"), "name");
            found.secret(source.get("secret"), "name");
        }
    }
    for container in list("/containers").chain(list("/initContainers")) {
        for variable in each(container.get("env")) {
            found.config_map(variable.pointer("/valueFrom/configMapKeyRef"), "name");
            found.secret(variable.pointer("/valueFrom/secretKeyRef"), "name");
        }
        for source in each(container.get("envFrom")) {
            found.config_map(source.get("configMapRef"), "name");
            found.secret(source.get("secretRef"), "name");
        }
    }
    found.keys
}

/// Tells whether a ConfigMap or Secret counts as part of the revision of those that refer to it.
#[must_use]
pub fn is_tracked_config(config: &Object) -> bool {
    let opted_out = config
        .annotation(TRACKING)
        .is_some_and(|value| value.starts_with("disable"));
    let kind = config.str_at("/type");
    let untracked_type =
        config.str_at("/kind") == "Secret" && !kind.is_empty() && !TRACKED_TYPES.contains(&kind);
    !opted_out && !untracked_type
}

fn each(list: Option<&Value>) -> impl Iterator<Item = &Value> {
    list.and_then(Value::as_array).into_iter().flatten()
}

struct Found<'a> {
    namespace: &'a str,
    keys: BTreeMap<ObjectKey, bool>,
}

impl Found<'_> {
    fn config_map(&mut self, reference: Option<&Value>, name: &str) {
        self.note(Resource::CONFIG_MAP, reference, name);
    }

    fn secret(&mut self, reference: Option<&Value>, name: &str) {
        self.note(Resource::SECRET, reference, name);
    }

    fn note(&mut self, resource: Resource, reference: Option<&Value>, name: &str) {
        let Some(reference) = reference else { return };
        let Some(name) = reference
            .get(name)
            .and_then(Value::as_str)
            .filter(|name| !name.is_empty())
        else {
            return;
        };
        let needed = !reference
            .get("optional")
            .and_then(Value::as_bool)
            .unwrap_or_default();
        let entry = self
            .keys
            .entry(ObjectKey::new(resource, self.namespace, name))
            .or_default();
        *entry |= needed;
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn every_place_that_names_a_config_is_found() {
        let workload = Object::from(
            json!({"metadata": {"namespace": "test"}, "spec": {"template": {"spec": {
                "volumes": [
                    {"name": "a", "configMap": {"name": "volume"}},
                    {"name": "b", "secret": {"secretName": "volume"}},
                    {"name": "c", "projected": {"sources": [
                        {"configMap": {"name": "projected"}}, {"secret": {"name": "projected", "optional": true}}]}},
                    {"name": "d", "emptyDir": {}}],
                "imagePullSecrets": [{"name": "pull"}],
                "initContainers": [{"env": [{"name": "X", "valueFrom": {"secretKeyRef": {"name": "init", "key": "k"}}}]}],
                "containers": [{
                    "env": [{"name": "Y", "value": "1"},
                        {"name": "Z", "valueFrom": {"configMapKeyRef": {"name": "env", "key": "k", "optional": true}}}],
                    "envFrom": [{"configMapRef": {"name": "from"}}, {"secretRef": {"name": "projected"}}]}],
            }}}}),
        );
        let found: Vec<_> = config_references(&workload)
            .into_iter()
            .map(|(key, needed)| format!("{key} {needed}"))
            .collect();
        assert_eq!(
            found,
            [
                "ConfigMap/test/env false",
                "ConfigMap/test/from true",
                "ConfigMap/test/projected true",
                "ConfigMap/test/volume true",
                "Secret/test/init true",
                "Secret/test/projected true",
                "Secret/test/volume true",
            ]
        );
        assert_eq!(
            config_references(&Object::from(json!({"kind": "Service"}))),
            BTreeMap::new()
        );
    }

    #[test]
    fn an_annotation_and_types_that_controllers_write_opt_out() {
        let tracked = |config: Value| is_tracked_config(&Object::from(config));
        assert!(tracked(json!({"kind": "ConfigMap"})));
        assert!(tracked(json!({"kind": "Secret", "type": "Opaque"})));
        assert!(tracked(json!({"kind": "Secret"})));
        assert!(!tracked(
            json!({"kind": "Secret", "type": "kubernetes.io/service-account-token"})
        ));
        assert!(!tracked(
            json!({"metadata": {"annotations": {TRACKING: "disabled"}}})
        ));
        assert!(tracked(
            json!({"metadata": {"annotations": {TRACKING: "enabled"}}})
        ));
    }
}

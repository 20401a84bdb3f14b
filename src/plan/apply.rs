//! What `--apply` may write, in which order, and what it refuses. Never deletes.

use std::collections::{BTreeMap, BTreeSet};

use serde::Serialize;
use serde_json::Value;

use super::{
    Manifests, Placed,
    compare::{canaries, target_of},
};
use crate::manifest::{
    Manager, Object, ObjectKey, Problem, Resource, Write, config_references, kustomize::Fault,
    substitute::SUBSTITUTE,
};

/// What a tree wants the cluster to hold.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct ApplySet {
    /// In this order: templates and alert providers, configs, targets, Canaries.
    pub writes: Vec<Planned>,
    /// What is left out, and why.
    pub refused: Vec<Refusal>,
}

/// A write and where its object is written.
#[derive(Clone, Debug, PartialEq)]
pub struct Planned {
    /// The object.
    pub key: ObjectKey,
    /// The write.
    pub write: Write,
    /// The file.
    pub file: String,
    /// The line that its document begins at.
    pub line: u32,
}

/// Something that is not applied.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize)]
pub struct Refusal {
    /// The file.
    pub file: String,
    /// The line.
    pub line: u32,
    /// The object; `None`: the file is not read as objects at all.
    pub object: Option<ObjectKey>,
    /// Why, and what to do.
    pub why: String,
}

impl ApplySet {
    /// Returns the writes that differ from those of an earlier tree: only they are carried out, so that what
    /// people set in the cluster stays until git says otherwise.
    pub fn changed_since<'a>(&'a self, earlier: &'a Self) -> impl Iterator<Item = &'a Planned> {
        let known: BTreeMap<&ObjectKey, &Write> = earlier
            .writes
            .iter()
            .map(|planned| (&planned.key, &planned.write))
            .collect();
        self.writes
            .iter()
            .filter(move |planned| known.get(&planned.key) != Some(&&planned.write))
    }
}

/// Decides what of a tree is applied: Canaries, what judges them, their targets, and the configs that the
/// targets refer to.
#[must_use]
pub fn apply_set(manifests: &Manifests) -> ApplySet {
    let mut set = ApplySet {
        writes: Vec::new(),
        refused: unread(manifests),
    };
    let targets: BTreeSet<ObjectKey> = canaries(manifests)
        .filter_map(|(_, canary)| target_of(&canary.object))
        .collect();
    let configs: BTreeSet<ObjectKey> = targets
        .iter()
        .filter_map(|target| manifests.object(target))
        .flat_map(|workload| config_references(workload).into_keys())
        .collect();
    let of_kind = |wanted: Resource| manifests.objects.of(wanted).map(|(key, _)| key.clone());
    let judges = of_kind(Resource::METRIC_TEMPLATE).chain(of_kind(Resource::ALERT_PROVIDER));
    for key in judges.chain(configs) {
        set.add(manifests, &key);
    }
    let refused: BTreeSet<ObjectKey> = set
        .refused
        .iter()
        .filter_map(|refusal| refusal.object.clone())
        .collect();
    for key in &targets {
        let needed = manifests.object(key).map(config_references).unwrap_or_default();
        match (
            manifests.objects.get(key),
            needed.keys().find(|config| refused.contains(config)),
        ) {
            (Some(placed), Some(config)) => {
                set.refuse(key, placed, format!("it refers to {config}, which is refused"));
            }
            _ => set.add(manifests, key),
        }
    }
    for key in of_kind(Resource::CANARY) {
        set.add(manifests, &key);
    }
    set.refused.sort();
    set
}

impl ApplySet {
    fn add(&mut self, manifests: &Manifests, key: &ObjectKey) {
        let Some(placed) = manifests.objects.get(key) else {
            return;
        };
        if manifests.objects.is_declared_again(key) {
            return self.refuse(
                key,
                placed,
                "it is declared more than once; remove all but one, or choose a directory by --path"
                    .to_owned(),
            );
        }
        if let Some(why) = unfit(placed) {
            return self.refuse(key, placed, why.to_owned());
        }
        let write = Write::Apply {
            manager: Manager::Source,
            object: intent(&placed.object),
            force: false,
        };
        self.writes.push(Planned {
            key: key.clone(),
            write,
            file: placed.file.to_string(),
            line: placed.line,
        });
    }

    fn refuse(&mut self, key: &ObjectKey, placed: &Placed, why: String) {
        let (file, line) = (placed.file.to_string(), placed.line);
        self.refused.push(Refusal {
            file,
            line,
            object: Some(key.clone()),
            why,
        });
    }
}

/// Returns what could not be read as objects.
fn unread(manifests: &Manifests) -> Vec<Refusal> {
    let mut refused = Vec::new();
    let refuse = |file: &str, line: u32, why: String| Refusal {
        file: file.to_owned(),
        line,
        object: None,
        why,
    };
    for one in &manifests.not_rendered {
        refused.push(refuse(&one.file, 1, one.why.clone()));
    }
    for unrendered in manifests.parts.iter().filter_map(|part| part.unrendered.as_ref()) {
        let problem = unrendered.fault.problem();
        if !matches!(unrendered.fault, Fault::Wrong(_)) {
            let why = format!("not rendered: {}; apply it by Flux", problem.message);
            refused.push(refuse(&problem.file, problem.line, why));
        }
    }
    let again = |error: &&Problem| error.message.contains("is declared a second time");
    for error in manifests.errors.iter().filter(|error| !again(error)) {
        refused.push(refuse(&error.file, error.line, error.message.clone()));
    }
    refused
}

/// Returns why an object cannot be applied as it is written.
fn unfit(placed: &Placed) -> Option<&str> {
    if let Some(why) = &placed.unknown {
        return Some(why);
    }
    let object = &placed.object;
    let literal = object
        .annotation(SUBSTITUTE)
        .is_some_and(|value| value.eq_ignore_ascii_case("disabled"));
    if !placed.substituted && !literal && has_variable(object.value()) {
        return Some(
            "it has an unresolved `${…}`; write the value, or annotate the object with \
             `kustomize.toolkit.fluxcd.io/substitute: disabled` if it is meant literally",
        );
    }
    None
}

fn has_variable(value: &Value) -> bool {
    match value {
        Value::String(text) => text.match_indices("${").any(|(at, _)| {
            let escaped = at > 0 && text.as_bytes().get(at - 1) == Some(&b'$');
            let named = text
                .as_bytes()
                .get(at + 2)
                .is_some_and(|b| b.is_ascii_alphabetic() || *b == b'_');
            named && !escaped
        }),
        Value::Array(items) => items.iter().any(has_variable),
        Value::Object(fields) => fields.values().any(has_variable),
        _ => false,
    }
}

/// Returns what Serin wants to own of an object: not its status, nor what the server writes, nor the replicas
/// of a target, which the rollout sets.
fn intent(object: &Object) -> Object {
    const SERVER: [&str; 7] = [
        "uid",
        "resourceVersion",
        "generation",
        "creationTimestamp",
        "deletionTimestamp",
        "managedFields",
        "selfLink",
    ];
    let mut value = object.value().clone();
    if let Some(fields) = value.as_object_mut() {
        fields.remove("status");
    }
    if let Some(metadata) = value.get_mut("metadata").and_then(Value::as_object_mut) {
        metadata.retain(|key, _| !SERVER.contains(&key.as_str()));
    }
    if object.key().resource() == Some(Resource::DEPLOYMENT)
        && let Some(spec) = value.get_mut("spec").and_then(Value::as_object_mut)
    {
        spec.remove("replicas");
    }
    Object::from(value)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{
        plan::{
            Cache, Settings, manifests,
            testing::{canary, config, deployment},
        },
        repo::testing::Repo,
    };

    const TEMPLATE: &str = "apiVersion: flagger.app/v1beta1\nkind: MetricTemplate\nmetadata: {name: errors}\n\
                            spec: {provider: {type: prometheus}, query: \"up{{ target }}\"}\n";
    const INGRESS: &str =
        "apiVersion: networking.k8s.io/v1\nkind: Ingress\nmetadata: {name: podinfo}\nspec: {}\n";

    fn set(files: &[(&str, &str)]) -> ApplySet {
        let repo = Repo::new();
        repo.commit(files);
        apply_set(
            &manifests(
                &repo.checkout(""),
                &Cache::default(),
                &Settings::default(),
                &repo.head(),
            )
            .unwrap(),
        )
    }

    fn keys(set: &ApplySet) -> Vec<String> {
        set.writes.iter().map(|planned| planned.key.to_string()).collect()
    }

    fn refusals(set: &ApplySet) -> Vec<String> {
        set.refused
            .iter()
            .map(|refusal| format!("{}:{}: {}", refusal.file, refusal.line, refusal.why))
            .collect()
    }

    #[test]
    fn only_what_belongs_to_a_canary_is_applied_in_order_without_replicas() {
        let set = set(&[
            ("a-canary.yaml", &canary("Deployment", 10)),
            ("b-deployment.yaml", &deployment("1", 3)),
            ("c-config.yaml", &config("settings", "1")),
            ("d-other.yaml", &config("other", "1")),
            ("e-template.yaml", TEMPLATE),
            ("f-ingress.yaml", INGRESS),
        ]);
        assert_eq!(
            keys(&set),
            [
                "MetricTemplate/default/errors",
                "ConfigMap/default/settings",
                "Deployment/default/podinfo",
                "Canary/default/podinfo",
            ]
        );
        assert_eq!(set.refused, []);
        let Write::Apply {
            manager,
            object,
            force,
        } = &set.writes[2].write
        else {
            panic!("not an apply")
        };
        assert_eq!(
            (*manager, *force, object.namespace()),
            (Manager::Source, false, "default")
        );
        assert_eq!(
            (object.at("/spec/replicas"), object.at("/spec/selector").is_some()),
            (None, true)
        );
    }

    #[test]
    fn what_cannot_be_applied_is_refused_with_a_clear_word() {
        let sops = format!("{}sops: {{mac: x}}\n", config("settings", "ENC[AES256_GCM]"));
        let set_of_sops = set(&[
            ("canary.yaml", &canary("Deployment", 10)),
            ("deployment.yaml", &deployment("1", 3)),
            ("config.yaml", &sops),
        ]);
        assert_eq!(keys(&set_of_sops), ["Canary/default/podinfo"]);
        assert_eq!(
            refusals(&set_of_sops),
            [
                "config.yaml:1: it is encrypted by SOPS; apply it by Flux, or as a plain Secret",
                "deployment.yaml:1: it refers to ConfigMap/default/settings, which is refused",
            ]
        );
        let variable = set(&[
            ("canary.yaml", &canary("Deployment", 10)),
            ("d.yaml", &deployment("${TAG:=1}", 3)),
        ]);
        assert_eq!(keys(&variable), ["Canary/default/podinfo"]);
        assert!(refusals(&variable)[0].starts_with("d.yaml:1: it has an unresolved `${…}`"));
    }

    #[test]
    fn twice_unread_and_unrendered_are_refused() {
        let set = set(&[
            ("canary.yaml", &canary("Deployment", 10)),
            ("d1.yaml", &deployment("1", 3)),
            ("d2.yaml", &deployment("2", 3)),
            ("bad.yaml", "kind: [\n"),
            (
                "base/kustomization.yaml",
                "resources: [x.yaml]\nhelmCharts: [{name: x}]\n",
            ),
            ("base/x.yaml", &config("settings", "1")),
        ]);
        assert_eq!(keys(&set), ["Canary/default/podinfo"]);
        let said = refusals(&set);
        assert!(said[0].starts_with("bad.yaml:1:"), "{said:?}");
        assert!(
            said[1].starts_with("base/kustomization.yaml:2: not rendered: Helm charts are not rendered"),
            "{said:?}"
        );
        assert_eq!(
            said[2],
            "d1.yaml:1: it is declared more than once; remove all but one, or choose a directory by --path"
        );
        assert_eq!(said.len(), 3);
    }

    #[test]
    fn a_variable_that_is_meant_literally_or_escaped_is_fine() {
        for text in ["$${HOME}", "${", "${1}", "a $HOME b"] {
            assert!(!has_variable(&Value::from(text)), "{text}");
        }
        for text in ["${HOME}", "x${_a}", "$${A} ${B}"] {
            assert!(has_variable(&Value::from(text)), "{text}");
        }
        let annotation = "name: settings\n  annotations: {kustomize.toolkit.fluxcd.io/substitute: disabled}";
        let literal = config("settings", "${HOME}").replace("name: settings", annotation);
        let set = set(&[
            ("c.yaml", &canary("Deployment", 10)),
            ("d.yaml", &deployment("1", 1)),
            ("s.yaml", &literal),
        ]);
        assert_eq!(set.refused, []);
    }

    #[test]
    fn only_what_changed_is_applied_again() {
        let files = |tag: &str, replicas| {
            set(&[
                ("canary.yaml", &canary("Deployment", 10)),
                ("d.yaml", &deployment(tag, replicas)),
            ])
        };
        let changed = |new: &ApplySet, old: &ApplySet| new.changed_since(old).count();
        assert_eq!(changed(&files("1", 1), &ApplySet::default()), 2);
        assert_eq!(
            changed(&files("1", 5), &files("1", 1)),
            0,
            "replicas are not ours to apply"
        );
        assert_eq!(changed(&files("2", 1), &files("1", 1)), 1);
    }
}

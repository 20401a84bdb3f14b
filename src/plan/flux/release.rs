//! What a HelmRelease says of its target: whether helm-controller has come to the spec that a commit brought, and what
//! came of it.

use serde_json::Value;

use super::{Condition, Word, is_suspended};
use crate::manifest::{Object, ObjectKey, Resource, flux::HELM};

/// A HelmRelease, as far as it tells what it has released.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Release {
    /// Its key.
    pub key: ObjectKey,
    word: Word,
}

impl Release {
    /// Returns the key of the HelmRelease that a live target is of, if it is of one.
    #[must_use]
    pub fn of_target(target: &Object) -> Option<ObjectKey> {
        let part = |part: &str| target.label(&format!("{HELM}/{part}"));
        let (namespace, name) = (part("namespace")?, part("name")?);
        Some(ObjectKey::new(Resource::HELM_RELEASE, namespace, name))
    }

    /// Reads a live HelmRelease that Flux has applied a commit to. `moved`: the commit changes the HelmRelease itself, so
    /// that whoever has come to its newest generation has come to the commit.
    #[must_use]
    pub fn read(object: &Object, moved: bool) -> Self {
        Self {
            key: object.key(),
            word: word(object, moved),
        }
    }

    /// Says what it means for the commit.
    pub(super) fn word(&self) -> Word {
        self.word.clone()
    }
}

fn word(object: &Object, moved: bool) -> Word {
    let key = object.key();
    if is_suspended(object) {
        return Word::Suspended(key);
    }
    let find = |kind: &str| Condition::find(object, kind).filter(|_| is_of_newest(object, kind));
    let told = |condition: &Condition| format!("{key}: {}", condition.text());
    if let Some(stalled) = find("Stalled").filter(|stalled| stalled.status == "True") {
        // Ready says what went wrong, Stalled that it was tried often enough.
        let fault = find("Ready").filter(|ready| ready.status == "False");
        return Word::Failed(told(&fault.unwrap_or(stalled)));
    }
    let Some(ready) = find("Ready") else {
        return Word::Attempted;
    };
    let at_work = find("Reconciling").is_some_and(|at| at.status == "True" && at.reason == "Progressing");
    let is_done = object.i64_at("/status/observedGeneration") == Some(object.generation());
    let knows_all = moved || !has_other_inputs(object);
    match (ready.status.as_str(), ready.reason.as_str()) {
        _ if at_work => Word::Attempted,
        // Tests come after all is released.
        ("True", _) | ("False", "TestFailed") if is_done && knows_all => Word::Applied,
        ("False", "DependencyNotReady" | "SourceNotReady") => Word::Waiting(Some(told(&ready))),
        ("False", "TestFailed") => Word::Attempted,
        ("False", _) if ready.is_fault() => Word::Failed(told(&ready)),
        _ => Word::Attempted,
    }
}

/// Whether a condition is of the newest generation.
fn is_of_newest(object: &Object, kind: &str) -> bool {
    let conditions = object.at("/status/conditions").and_then(Value::as_array);
    let mut conditions = conditions.into_iter().flatten();
    let found = conditions.find(|condition| condition["type"] == kind);
    let of = found.and_then(|condition| condition["observedGeneration"].as_i64());
    let of = of.or_else(|| object.i64_at("/status/observedGeneration"));
    of == Some(object.generation())
}

/// Whether what is released depends on more than the spec: values that are elsewhere, a chart that is in git or follows a
/// tag. A change of these brings no new generation.
fn has_other_inputs(object: &Object) -> bool {
    let values = object.at("/spec/valuesFrom").and_then(Value::as_array);
    let chart = object.str_at("/spec/chart/spec/sourceRef/kind");
    values.is_some_and(|values| !values.is_empty()) || chart != "HelmRepository"
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use super::*;

    fn release(generation: i64, observed: i64, conditions: &[Value]) -> Value {
        json!({"apiVersion": "helm.toolkit.fluxcd.io/v2", "kind": "HelmRelease",
            "metadata": {"name": "shop", "namespace": "apps", "generation": generation},
            "spec": {"chart": {"spec": {"chart": "shop", "version": "1.2.3",
                "sourceRef": {"kind": "HelmRepository", "name": "charts"}}}},
            "status": {"observedGeneration": observed, "conditions": conditions}})
    }

    fn condition(kind: &str, status: &str, reason: &str, generation: i64) -> Value {
        json!({"type": kind, "status": status, "reason": reason, "message": "Helm  says\nso",
            "observedGeneration": generation})
    }

    fn said(object: &Value, moved: bool) -> Word {
        Release::read(&Object::from(object.clone()), moved).word()
    }

    #[test]
    fn it_is_released_once_the_newest_generation_is() {
        let ready = |of: i64| condition("Ready", "True", "UpgradeSucceeded", of);
        assert_eq!(said(&release(2, 2, &[ready(2)]), false), Word::Applied);
        assert_eq!(
            said(&release(2, 1, &[ready(1)]), true),
            Word::Attempted,
            "not seen yet"
        );
        assert_eq!(
            said(&release(2, 1, &[ready(2)]), true),
            Word::Attempted,
            "not done yet"
        );
        let reconciling = condition("Reconciling", "True", "Progressing", 2);
        assert_eq!(
            said(&release(2, 2, &[ready(2), reconciling]), true),
            Word::Attempted
        );
        let tests = condition("Ready", "False", "TestFailed", 2);
        assert_eq!(said(&release(2, 2, &[tests]), true), Word::Applied, "all is live");
    }

    #[test]
    fn a_failed_release_is_told_with_the_reason_of_flux() {
        let why = Word::Failed("HelmRelease/apps/shop: UpgradeFailed: Helm says so".to_owned());
        let failed = condition("Ready", "False", "UpgradeFailed", 2);
        assert_eq!(said(&release(2, 1, std::slice::from_ref(&failed)), false), why);
        let stalled = condition("Stalled", "True", "RetriesExceeded", 2);
        assert_eq!(said(&release(2, 2, &[stalled.clone(), failed]), false), why);
        let text = "HelmRelease/apps/shop: RetriesExceeded: Helm says so";
        assert_eq!(
            said(&release(2, 2, &[stalled]), false),
            Word::Failed(text.to_owned())
        );
        let older = condition("Ready", "False", "UpgradeFailed", 1);
        assert_eq!(
            said(&release(2, 1, &[older]), false),
            Word::Attempted,
            "of the generation before"
        );
        let waits = condition("Ready", "False", "DependencyNotReady", 2);
        assert!(matches!(
            said(&release(2, 1, &[waits]), false),
            Word::Waiting(Some(_))
        ));
    }

    #[test]
    fn inputs_that_bring_no_generation_leave_it_open() {
        let ready = [condition("Ready", "True", "UpgradeSucceeded", 2)];
        let mut values = release(2, 2, &ready);
        values["spec"]["valuesFrom"] = json!([{"kind": "ConfigMap", "name": "values"}]);
        let mut chart = release(2, 2, &ready);
        chart["spec"]["chart"]["spec"]["sourceRef"]["kind"] = json!("GitRepository");
        let mut tag = release(2, 2, &ready);
        tag["spec"] = json!({"chartRef": {"kind": "OCIRepository", "name": "shop"}});
        for object in [values, chart, tag] {
            assert_eq!(said(&object, false), Word::Attempted, "{}", object["spec"]);
            assert_eq!(
                said(&object, true),
                Word::Applied,
                "the commit changed the HelmRelease itself"
            );
        }
    }

    #[test]
    fn a_suspended_release_stands_still() {
        let mut object = release(2, 2, &[condition("Ready", "True", "UpgradeSucceeded", 2)]);
        object["spec"]["suspend"] = json!(true);
        assert!(matches!(said(&object, true), Word::Suspended(key) if key.name == "shop"));
    }

    #[test]
    fn the_labels_of_a_target_name_its_release() {
        let labels =
            json!({"helm.toolkit.fluxcd.io/name": "shop", "helm.toolkit.fluxcd.io/namespace": "apps"});
        let target = json!({"kind": "Deployment", "metadata": {"name": "x", "labels": labels}});
        let key = ObjectKey::new(Resource::HELM_RELEASE, "apps", "shop");
        assert_eq!(Release::of_target(&Object::from(target)), Some(key));
        assert_eq!(
            Release::of_target(&Object::from(json!({"kind": "Deployment"}))),
            None
        );
    }
}

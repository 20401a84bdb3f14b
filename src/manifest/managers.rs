//! Who manages the fields of a live object, from its `managedFields`. What others wrote there is theirs: names are
//! cut short, and what cannot be read is left out.

use serde_json::Value;

use super::{Object, ObjectKey, Resource, Write};

/// The begin of the names of our own managers.
const OURS: &str = "serin";
/// Greatest length of a manager's name, in characters; the API server's own limit.
const NAME: usize = 128;

/// The annotation or label groups in which Flux says whose an object is, and what applies it.
const OWNERS: [(&str, &str, Resource); 2] = [
    (
        "kustomize.toolkit.fluxcd.io",
        "kustomize-controller",
        Resource::KUSTOMIZATION,
    ),
    (
        "helm.toolkit.fluxcd.io",
        "helm-controller",
        Resource::HELM_RELEASE,
    ),
];

/// Who set a field to something else.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Setter {
    /// The field, such as `spec.replicas`.
    pub field: String,
    /// The field manager.
    pub manager: String,
    /// The object of Flux that it did this for, if it is one of Flux's.
    pub owner: Option<ObjectKey>,
}

/// Says who else set a field that a write would change; the newest, if there are several. None where nobody else
/// has: then the write is for another reason.
#[must_use]
pub fn set_by_others(live: &Object, write: &Write) -> Option<Setter> {
    let entries = live.at("/metadata/managedFields")?.as_array()?;
    let mut newest: Option<(&str, Setter)> = None;
    for path in changes(live, write) {
        for entry in entries {
            let text = |field: &str| entry.get(field).and_then(Value::as_str).unwrap_or_default();
            let (manager, time) = (text("manager"), text("time"));
            let fields = entry.get("fieldsV1");
            if manager.starts_with(OURS)
                || text("subresource") == "status"
                || !fields.is_some_and(|fields| has(fields, &path))
                || newest.as_ref().is_some_and(|(newest, _)| *newest >= time)
            {
                continue;
            }
            let setter = Setter {
                field: shown(&path),
                manager: manager.chars().take(NAME).collect(),
                owner: owner(live, manager),
            };
            newest = Some((time, setter));
        }
    }
    newest.map(|(_, setter)| setter)
}

/// The Kustomization or HelmRelease that a manager of Flux applies an object for, by the object's labels.
fn owner(object: &Object, manager: &str) -> Option<ObjectKey> {
    let (group, _, resource) = OWNERS.into_iter().find(|(_, name, _)| *name == manager)?;
    let label = |name: &str| object.label(&format!("{group}/{name}"));
    Some(ObjectKey::new(resource, label("namespace")?, label("name")?))
}

/// The paths of the fields that a write changes.
fn changes(live: &Object, write: &Write) -> Vec<Vec<String>> {
    let mut paths = Vec::new();
    match write {
        Write::Apply { object, .. } => {
            differing(Some(live.value()), object.value(), &mut Vec::new(), &mut paths);
        }
        Write::Patch { patch, .. } => {
            let operations = serde_json::to_value(patch).unwrap_or_default();
            let changing = |operation: &&Value| operation.get("op").and_then(Value::as_str) != Some("test");
            let operations = operations.as_array().into_iter().flatten().filter(changing);
            paths.extend(operations.filter_map(|operation| {
                let path = operation.get("path")?.as_str()?;
                Some(path.split('/').skip(1).map(unescape).collect())
            }));
        }
        Write::Create { .. } | Write::Status { .. } | Write::Delete { .. } => {}
    }
    paths
}

fn unescape(part: &str) -> String {
    part.replace("~1", "/").replace("~0", "~")
}

fn differing(live: Option<&Value>, wanted: &Value, path: &mut Vec<String>, paths: &mut Vec<Vec<String>>) {
    match wanted {
        Value::Object(fields) if !fields.is_empty() => {
            for (name, wanted) in fields {
                path.push(name.clone());
                differing(live.and_then(|live| live.get(name)), wanted, path, paths);
                path.pop();
            }
        }
        _ if live != Some(wanted) => paths.push(path.clone()),
        _ => {}
    }
}

/// Whether a set of fields has one: itself, or as a part of what is set as a whole.
fn has(fields: &Value, path: &[String]) -> bool {
    let mut at = fields;
    for (index, part) in path.iter().enumerate() {
        match at.get(format!("f:{part}")) {
            Some(inside) => at = inside,
            None => return index > 0 && at.as_object().is_some_and(serde_json::Map::is_empty),
        }
    }
    true
}

/// Writes a path as people do: `spec.replicas`, `metadata.annotations[example.com/name]`.
fn shown(path: &[String]) -> String {
    let mut text = String::new();
    for part in path {
        let plain = part.chars().all(|c| c.is_ascii_alphanumeric());
        match (plain, text.is_empty()) {
            (true, true) => text.push_str(part),
            (true, false) => {
                text.push('.');
                text.push_str(part);
            }
            (false, _) => {
                text.push('[');
                text.push_str(part);
                text.push(']');
            }
        }
    }
    text
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;
    use crate::manifest::Manager;

    fn live(spec: &Value, managed: &Value) -> Object {
        Object::from(json!({"apiVersion": "apps/v1", "kind": "Deployment",
            "metadata": {"name": "podinfo", "namespace": "test", "managedFields": managed, "labels": {
                "kustomize.toolkit.fluxcd.io/name": "apps", "kustomize.toolkit.fluxcd.io/namespace": "flux-system"}},
            "spec": spec}))
    }

    fn scale(count: i64) -> Write {
        Write::Apply {
            manager: Manager::Scale,
            object: Object::from(json!({"apiVersion": "apps/v1", "kind": "Deployment",
                "metadata": {"name": "podinfo", "namespace": "test"}, "spec": {"replicas": count}})),
            force: true,
        }
    }

    fn entry(manager: &str, time: &str, fields: &Value) -> Value {
        json!({"manager": manager, "operation": "Apply", "time": time, "fieldsV1": fields})
    }

    #[test]
    fn the_newest_other_manager_of_a_field_that_differs_is_named() {
        let replicas = json!({"f:spec": {"f:replicas": {}}});
        let template = json!({"f:spec": {"f:template": {}}});
        let managed = json!([
            entry("kubectl", "2026-01-01T00:00:01Z", &replicas),
            entry("kustomize-controller", "2026-01-01T00:00:02Z", &replicas),
            entry("kubectl-edit", "2026-01-01T00:00:03Z", &template),
            entry("serin-scale", "2026-01-01T00:00:04Z", &replicas),
        ]);
        let found = set_by_others(&live(&json!({"replicas": 2}), &managed), &scale(0)).unwrap();
        assert_eq!(
            (found.field.as_str(), found.manager.as_str()),
            ("spec.replicas", "kustomize-controller")
        );
        let owner = found.owner.map(|owner| owner.to_string());
        assert_eq!(owner.as_deref(), Some("Kustomization/flux-system/apps"));
        let same = set_by_others(&live(&json!({"replicas": 0}), &managed), &scale(0));
        assert_eq!(same, None, "what is as it shall be was not set back");
        let alone = json!([
            entry("serin-scale", "", &replicas),
            entry("kubectl", "", &template)
        ]);
        assert_eq!(
            set_by_others(&live(&json!({"replicas": 2}), &alone), &scale(0)),
            None
        );
        let odd = json!([{"manager": 7, "fieldsV1": "x"}, null, "text"]);
        assert_eq!(
            set_by_others(&live(&json!({"replicas": 2}), &odd), &scale(0)),
            None
        );
    }

    #[test]
    fn parts_of_what_is_set_as_a_whole_and_names_with_slashes_are_found() {
        let service = |managed: &Value| {
            Object::from(
                json!({"apiVersion": "v1", "kind": "Service", "metadata": {"name": "web", "namespace": "test",
                "annotations": {"example.com/weights": "1"}, "managedFields": managed},
                "spec": {"selector": {"app": "other"}}}),
            )
        };
        let write = Write::Apply {
            manager: Manager::Serin,
            object: Object::from(
                json!({"apiVersion": "v1", "kind": "Service", "metadata": {"name": "web",
                "namespace": "test", "annotations": {"example.com/weights": "2"}},
                "spec": {"selector": {"app": "web-primary"}}}),
            ),
            force: true,
        };
        let by = |fields: Value| {
            let managed = json!([entry("helm-controller", "", &fields)]);
            set_by_others(&service(&managed), &write).map(|setter| setter.field)
        };
        let atomic = json!({"f:spec": {"f:selector": {}}});
        assert_eq!(by(atomic).as_deref(), Some("spec.selector.app"));
        let weights = json!({"f:metadata": {"f:annotations": {".": {}, "f:example.com/weights": {}}}});
        assert_eq!(
            by(weights).as_deref(),
            Some("metadata.annotations[example.com/weights]")
        );
        assert_eq!(by(json!({"f:metadata": {"f:labels": {"f:app": {}}}})), None);
        assert_eq!(by(json!({})), None);
        let patch = json!([{"op": "test", "path": "/metadata/labels", "value": {}},
            {"op": "add", "path": "/metadata/annotations/example.com~1weights", "value": "3"}]);
        let patch = Write::Patch {
            key: service(&json!([])).key(),
            patch: serde_json::from_value(patch).unwrap(),
        };
        let managed = json!([entry(
            "kubectl",
            "",
            &json!({"f:metadata": {"f:annotations": {"f:example.com/weights": {}}, "f:labels": {}}})
        )]);
        let field = set_by_others(&service(&managed), &patch).map(|setter| setter.field);
        assert_eq!(
            field.as_deref(),
            Some("metadata.annotations[example.com/weights]")
        );
    }
}

//! What several controllers need: owners, labels, counts, conditions.

use serde_json::{Map, Value, json};

use crate::{
    manifest::{Object, ObjectKey},
    rehearsal::store::json as j,
};

/// The manager under which the control plane writes.
pub(super) const MANAGER: &str = "kube-controller-manager";
/// The label that tells the pods of a deployment's replica sets apart.
pub(super) const TEMPLATE_HASH: &str = "pod-template-hash";

/// Returns the key of the owner that controls an object.
pub(super) fn controller_of(object: &Object) -> Option<ObjectKey> {
    let owner = controlling(object)?;
    let group = j::text(owner, &["apiVersion"])
        .rsplit_once('/')
        .map_or("", |(group, _)| group);
    Some(ObjectKey {
        group: group.to_owned(),
        kind: j::text(owner, &["kind"]).to_owned(),
        namespace: object.namespace().to_owned(),
        name: j::text(owner, &["name"]).to_owned(),
    })
}

/// Whether an object is controlled by another.
pub(super) fn is_controlled_by(object: &Object, owner: &Object) -> bool {
    controlling(object).is_some_and(|reference| j::text(reference, &["uid"]) == owner.uid())
}

fn controlling(object: &Object) -> Option<&Value> {
    let owners = j::items(object.value(), &["metadata", "ownerReferences"]);
    owners
        .iter()
        .find(|owner| j::at(owner, &["controller"]) == Some(&Value::Bool(true)))
}

/// Returns the reference with which an object controls others.
pub(super) fn controller_reference(owner: &Object) -> Value {
    json!([{
        "apiVersion": owner.str_at("/apiVersion"), "kind": owner.str_at("/kind"),
        "name": owner.name(), "uid": owner.uid(), "controller": true, "blockOwnerDeletion": true,
    }])
}

/// Whether labels have every one of some wanted labels.
pub(super) fn contains(labels: &Value, wanted: &Value) -> bool {
    let Some(wanted) = wanted.as_object() else {
        return true;
    };
    wanted.iter().all(|(key, value)| labels.get(key) == Some(value))
}

/// Returns an integer or a percentage of a whole, rounded up or down.
pub(super) fn share(value: Option<&Value>, default: &str, whole: i64, up: bool) -> i64 {
    let text = match value {
        Some(Value::Number(number)) => return number.as_i64().unwrap_or_default().max(0),
        Some(Value::String(text)) => text.as_str(),
        _ => default,
    };
    let percent: i64 = text.trim_end_matches('%').parse().unwrap_or_default();
    let product = percent.saturating_mul(whole).max(0);
    if up {
        product.div_euclid(100) + i64::from(product % 100 > 0)
    } else {
        product / 100
    }
}

/// Sets fields of a status; zero is left out, as the real API does.
pub(super) fn set_counts(status: &mut Value, counts: &[(&str, i64)]) {
    for (field, count) in counts {
        if *count == 0 {
            j::remove(status, &[field]);
        } else {
            j::set(status, &[field], *count);
        }
    }
}

/// A condition to be set.
#[derive(Clone, Debug)]
pub(super) struct Condition<'a> {
    pub(super) kind: &'a str,
    /// None: unknown.
    pub(super) status: Option<bool>,
    pub(super) reason: &'a str,
    pub(super) message: &'a str,
}

/// Returns a condition of a status.
pub(super) fn condition<'a>(status: &'a Value, kind: &str) -> Option<&'a Value> {
    j::items(status, &["conditions"])
        .iter()
        .find(|c| j::text(c, &["type"]) == kind)
}

/// Sets a condition. Its transition time changes with its status; its other times with anything, or when the
/// caller touches it.
pub(super) fn set_condition(status: &mut Value, wanted: &Condition<'_>, now: &str, times: Times) {
    let text = wanted
        .status
        .map_or("Unknown", |up| if up { "True" } else { "False" });
    let old = condition(status, wanted.kind).cloned();
    let same = |field: &str, value: &str| old.as_ref().is_some_and(|c| j::text(c, &[field]) == value);
    let unchanged = same("status", text) && same("reason", wanted.reason) && same("message", wanted.message);
    if unchanged && !times.touch {
        return;
    }
    let transition = if same("status", text) {
        old.as_ref()
            .map_or(now, |c| j::text(c, &["lastTransitionTime"]))
            .to_owned()
    } else {
        now.to_owned()
    };
    let mut new = Map::new();
    for (field, value) in [
        ("type", wanted.kind),
        ("status", text),
        ("reason", wanted.reason),
        ("message", wanted.message),
        ("lastTransitionTime", &transition),
    ] {
        if !value.is_empty() {
            new.insert(field.to_owned(), value.into());
        }
    }
    if times.updated {
        new.insert("lastUpdateTime".to_owned(), now.into());
    }
    let list = j::entry(status, &["conditions"]);
    if !list.is_array() {
        *list = json!([]);
    }
    let Some(list) = list.as_array_mut() else { return };
    match list.iter_mut().find(|c| j::text(c, &["type"]) == wanted.kind) {
        Some(slot) => *slot = Value::Object(new),
        None => list.push(Value::Object(new)),
    }
}

/// Which times of a condition are kept.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Times {
    /// The kind of condition has `lastUpdateTime`.
    pub(super) updated: bool,
    /// `lastUpdateTime` is set even if nothing else changes.
    pub(super) touch: bool,
}

/// Whether a name or an image is the one that a pattern means; `*` stands for any text.
pub(in crate::rehearsal) fn glob(pattern: &str, text: &str) -> bool {
    let Some((head, tail)) = pattern.split_once('*') else {
        return pattern == text;
    };
    let Some(rest) = text.strip_prefix(head) else {
        return false;
    };
    rest.char_indices()
        .map(|(at, _)| at)
        .chain([rest.len()])
        .any(|at| rest.get(at..).is_some_and(|rest| glob(tail, rest)))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn shares_are_rounded_as_deployments_do() {
        assert_eq!(share(Some(&json!("25%")), "", 3, true), 1);
        assert_eq!(share(Some(&json!("25%")), "", 3, false), 0);
        assert_eq!(share(Some(&json!(2)), "", 3, false), 2);
        assert_eq!(share(None, "50%", 4, false), 2);
    }

    #[test]
    fn stars_stand_for_any_text() {
        assert!(glob("*:6.0.*", "ghcr.io/x/podinfo:6.0.1"));
        assert!(!glob("*:6.0.*", "podinfo:6.1.0"));
        assert!(glob("a", "a") && !glob("a", "ab") && glob("a*", "a"));
    }

    #[test]
    fn a_condition_keeps_its_transition_time_while_its_status_stays() {
        let mut status = json!({});
        let set = |status: &mut Value, up: bool, reason: &str, now: &str| {
            let wanted = Condition {
                kind: "Ready",
                status: Some(up),
                reason,
                message: "",
            };
            set_condition(status, &wanted, now, Times::default());
        };
        set(&mut status, false, "A", "1");
        set(&mut status, false, "B", "2");
        assert_eq!(condition(&status, "Ready").unwrap()["lastTransitionTime"], "1");
        set(&mut status, true, "B", "3");
        assert_eq!(condition(&status, "Ready").unwrap()["lastTransitionTime"], "3");
    }
}

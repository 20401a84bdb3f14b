//! Skipper. The user's Ingress stays as it is; a copy of it, `-canary`, has each path that leads to the apex
//! Service twice, once to `-primary` and once to `-canary`, and says in annotations how to split.
//!
//! Skipper splits among the paths of one rule that are equal as text; a predicate `Weight(100)` makes the
//! copy win over the original, `False()` turns it off. Other paths are copied too: with a Skipper that matches
//! paths as regular expressions, a copy of `/` alone would take the traffic of `/api`.

use std::collections::BTreeMap;

use serde_json::{Map, Value, json};

use super::Refusal;
use crate::{
    canary::{
        Canary, TargetKind,
        generated::{controller, copied, hands_off, is_ours, metadata},
    },
    manifest::{Manager, Object, ObjectKey, Reading, Resource, Snapshot, Write, declared_by},
    rollout::{Routes, Seen},
};

const WEIGHTS: &str = "zalando.org/backend-weights";
const PREDICATE: &str = "zalando.org/skipper-predicate";
/// Annotations that mean something to Skipper; others may be added by anyone.
const SKIPPER: &str = "zalando.org/";

pub(super) fn inputs(canary: &Canary) -> Vec<ObjectKey> {
    vec![apex_key(canary), copy_key(canary)]
}

pub(super) fn observe(canary: &Canary, known: &Snapshot) -> Seen<Routes> {
    let live = match known.read(&copy_key(canary)) {
        Reading::Unknown => return Seen::Unknown,
        Reading::Absent => None,
        Reading::Present(live) => Some(live),
    };
    // Rendered with any weight first, to see whether there is something to render.
    match render(0, canary, known) {
        Err(Refusal::NotRead(_)) => return Seen::Unknown,
        Err(Refusal::Unroutable(why)) => return Seen::Present(Routes::Unroutable(why)),
        Ok(_) => {}
    }
    let Some(live) = live else { return Seen::Absent };
    Seen::Present(match weight_of(canary, live) {
        Err(why) => Routes::Broken(why),
        Ok(weight) => match render(weight, canary, known) {
            Ok(wanted) if is_settled(live, &wanted) => Routes::Weight(weight),
            _ => Routes::Broken(format!(
                "ingress {} is not what ingress {} asks for",
                live.name(),
                ingress(canary)
            )),
        },
    })
}

pub(super) fn desired(weight: u8, canary: &Canary, known: &Snapshot) -> Result<Vec<Write>, Refusal> {
    let wanted = render(weight, canary, known)?;
    if known
        .get(&copy_key(canary))
        .is_some_and(|live| is_settled(live, &wanted))
    {
        return Ok(Vec::new());
    }
    Ok(vec![Write::Apply {
        manager: Manager::Serin,
        object: wanted,
        force: true,
    }])
}

fn ingress(canary: &Canary) -> &str {
    canary.spec.ingress.as_deref().unwrap_or_default()
}

fn apex_key(canary: &Canary) -> ObjectKey {
    ObjectKey::new(Resource::INGRESS, &canary.namespace, ingress(canary))
}

fn copy_name(canary: &Canary) -> String {
    format!("{}-canary", ingress(canary))
}

fn copy_key(canary: &Canary) -> ObjectKey {
    ObjectKey::new(Resource::INGRESS, &canary.namespace, &copy_name(canary))
}

/// Reads the weight of the canary back.
fn weight_of(canary: &Canary, live: &Object) -> Result<u8, String> {
    let broken = |what: &str| format!("annotation {WEIGHTS} of ingress {} {what}", live.name());
    let text = live.annotation(WEIGHTS).ok_or_else(|| broken("is missing"))?;
    let weights: BTreeMap<String, f64> =
        serde_json::from_str(text).map_err(|_| broken("is not a map of numbers"))?;
    let of = |service: &str| weights.get(service).copied();
    match (of(&canary.primary_service()), of(&canary.canary_service())) {
        #[expect(
            clippy::float_cmp,
            clippy::cast_possible_truncation,
            clippy::cast_sign_loss,
            reason = "the weight is checked to be whole and within 0 to 100"
        )]
        (Some(primary), Some(canary))
            if (0.0..=100.0).contains(&canary) && canary.fract() == 0.0 && primary + canary == 100.0 =>
        {
            Ok(canary as u8)
        }
        _ => Err(broken("does not split 100 between primary and canary")),
    }
}

/// Whether nothing would be written.
fn is_settled(live: &Object, wanted: &Object) -> bool {
    let annotations = live.at("/metadata/annotations").and_then(Value::as_object);
    let leftover = annotations
        .into_iter()
        .flat_map(Map::keys)
        .any(|key| key.starts_with(SKIPPER) && wanted.annotation(key).is_none());
    // Lists that an apply sets as a whole.
    let same = |pointer: &str| live.at(pointer) == wanted.at(pointer);
    !leftover && same("/spec/rules") && same("/spec/tls") && declared_by(wanted, live, &[])
}

/// Returns the copy that splits like this.
fn render(weight: u8, canary: &Canary, known: &Snapshot) -> Result<Object, Refusal> {
    let (key, copy) = (apex_key(canary), copy_key(canary));
    let unroutable = |text: String| Err(Refusal::Unroutable(text));
    let apex = match known.read(&key) {
        Reading::Unknown => return Err(Refusal::NotRead(key)),
        Reading::Absent => {
            return unroutable(format!(
                "ingress {}.{} not found: create it, or correct spec.ingressRef of the Canary",
                key.name, key.namespace
            ));
        }
        Reading::Present(apex) => apex,
    };
    match known.read(&copy) {
        Reading::Unknown => return Err(Refusal::NotRead(copy)),
        Reading::Present(live) if !is_ours(canary, live) => {
            return unroutable(format!(
                "ingress {}.{} exists and does not belong to this Canary: rename or delete it",
                copy.name, copy.namespace
            ));
        }
        Reading::Absent | Reading::Present(_) => {}
    }
    let mut spec = apex.at("/spec").cloned().unwrap_or_default();
    split_paths(canary, &mut spec)?;
    if let Some(fields) = spec.as_object_mut() {
        // Skipper routes a default backend without the predicates.
        fields.remove("defaultBackend");
    }
    Ok(Object::from(json!({
        "apiVersion": Resource::INGRESS.api_version(),
        "kind": Resource::INGRESS.kind,
        "metadata": metadata(
            canary,
            &copy.name,
            &copied(apex, "labels"),
            &annotations(weight, canary, apex),
            controller(canary),
        ),
        "spec": spec,
    })))
}

fn annotations(weight: u8, canary: &Canary, apex: &Object) -> BTreeMap<String, String> {
    let mut annotations = hands_off(&copied(apex, "annotations"));
    let users: Map<String, Value> = annotations
        .get(WEIGHTS)
        .and_then(|text| serde_json::from_str(text).ok())
        .unwrap_or_default();
    // What the user splits between other services on other paths stays.
    let mut weights: BTreeMap<String, Value> = users.into_iter().collect();
    weights.remove(&canary.spec.service.name);
    weights.insert(canary.primary_service(), json!(100u8.saturating_sub(weight)));
    weights.insert(canary.canary_service(), json!(weight));
    annotations.insert(WEIGHTS.to_owned(), json!(weights).to_string());
    let own = annotations
        .get(PREDICATE)
        .map(|text| text.trim())
        .filter(|text| !text.is_empty());
    let switch = switch(weight, canary);
    let predicate = own.map_or_else(|| switch.to_owned(), |own| format!("{switch} && {own}"));
    annotations.insert(PREDICATE.to_owned(), predicate);
    annotations
}

/// Without canary traffic the copy is off, and the original leads through the apex Service to the primary. Not
/// so for a Service target: its apex is already what is to be checked.
fn switch(weight: u8, canary: &Canary) -> &'static str {
    if weight == 0 && canary.spec.target.kind != TargetKind::Service {
        "False()"
    } else {
        "Weight(100)"
    }
}

/// Leads each path of the apex Service to primary and canary.
fn split_paths(canary: &Canary, spec: &mut Value) -> Result<(), Refusal> {
    let mut found = false;
    let rules = spec.get_mut("rules").and_then(Value::as_array_mut);
    for rule in rules.into_iter().flatten() {
        let Some(paths) = rule.pointer_mut("/http/paths").and_then(Value::as_array_mut) else {
            continue;
        };
        let mut split = Vec::with_capacity(paths.len() + 1);
        for path in paths.iter() {
            if service_of(path) != Some(canary.spec.service.name.as_str()) {
                split.push(path.clone());
                continue;
            }
            found = true;
            check_path(canary, path, paths)?;
            for service in [canary.primary_service(), canary.canary_service()] {
                let mut path = path.clone();
                if let Some(name) = path.pointer_mut("/backend/service/name") {
                    *name = Value::String(service);
                }
                split.push(path);
            }
        }
        *paths = split;
    }
    if found {
        return Ok(());
    }
    let (service, ingress) = (&canary.spec.service.name, ingress(canary));
    Err(Refusal::Unroutable(format!(
        "backend `{service}` not found in ingress `{ingress}`: let a path of the ingress lead to service {service}, \
         or correct spec.service.name or spec.ingressRef of the Canary"
    )))
}

fn service_of(path: &Value) -> Option<&str> {
    path.pointer("/backend/service/name")?.as_str()
}

/// Refuses a path that cannot be split as asked.
fn check_path(canary: &Canary, path: &Value, siblings: &[Value]) -> Result<(), Refusal> {
    let text = |path: &Value| {
        path.get("path")
            .and_then(Value::as_str)
            .unwrap_or_default()
            .to_owned()
    };
    let service = &canary.spec.service;
    let shown = text(path);
    let other = siblings
        .iter()
        .filter(|other| text(other) == shown)
        .filter_map(service_of)
        .find(|name| *name != service.name);
    if let Some(other) = other {
        return Err(Refusal::Unroutable(format!(
            "path `{shown}` of ingress `{}` is split between `{}` and `{other}`: give it one backend",
            ingress(canary),
            service.name
        )));
    }
    let port = path.pointer("/backend/service/port");
    let (number, name) = (
        port.and_then(|p| p.get("number")),
        port.and_then(|p| p.get("name")),
    );
    let known = number == Some(&json!(service.port)) || name == Some(&json!(service.port_name));
    if known || service.port_discovery || canary.spec.target.kind == TargetKind::Service {
        return Ok(());
    }
    let asked = number.or(name).map(Value::to_string).unwrap_or_default();
    Err(Refusal::Unroutable(format!(
        "path `{shown}` of ingress `{}` leads to port {asked} of service `{}`, and the Canary's services have \
         only port {} (`{}`): make them the same",
        ingress(canary),
        service.name,
        service.port,
        service.port_name
    )))
}

#[cfg(test)]
mod tests;

//! A Service as target: the apex is the user's and is never written. `-canary` mirrors the latest apex,
//! `-primary` the last promoted one. What runs behind them is not touched.

use std::collections::BTreeMap;

use serde_json::{Map, Value, json};

use super::{
    Observation, Refusal,
    metadata::{PROMOTED_FROM, read_revision, write_revision},
    services::{self, bring, read, settled},
};
use crate::{
    canary::{
        Canary, ExtraMetadata,
        generated::{controller, copied, hands_off, metadata},
    },
    manifest::{Digest, Object, ObjectKey, Reading, Snapshot, Write},
    rollout::{Effect, Live, Primary, Readiness, Revision, Seen, Target},
};

/// Fields of a Service's spec that the server allocates, or that only one Service can have.
const ALLOCATED: [&str; 6] = [
    "clusterIP",
    "clusterIPs",
    "healthCheckNodePort",
    "ipFamilies",
    "ipFamilyPolicy",
    "loadBalancerIP",
];

/// Values that mean the same as nothing, so that a server which fills them in changes no revision.
const DEFAULTS: [(&str, &str); 4] = [
    ("type", "ClusterIP"),
    ("sessionAffinity", "None"),
    ("internalTrafficPolicy", "Cluster"),
    ("externalTrafficPolicy", "Cluster"),
];

pub(super) fn inputs(canary: &Canary) -> Vec<ObjectKey> {
    vec![
        canary.target_key(),
        services::key(canary, &canary.primary_service()),
        services::key(canary, &canary.canary_service()),
    ]
}

pub(super) fn observe(canary: &Canary, known: &Snapshot) -> Observation {
    let target = known.read(&canary.target_key());
    let seen = match target {
        Reading::Unknown => return Observation::default(),
        Reading::Absent => Seen::Absent,
        Reading::Present(target) => Seen::Present(Target {
            uid: target.uid().to_owned(),
            generation: target.generation(),
            live: Live::Revision(revision(target)),
            readiness: Readiness::Ready,
            scaled_up: true,
        }),
    };
    let services = match target.present() {
        Some(target) => settled(&mirror(canary, target, known)),
        None => Seen::Present(true),
    };
    Observation {
        target: seen,
        primary: primary(canary, target.present(), known),
        services,
        apex: Seen::Present(true),
    }
}

fn primary(canary: &Canary, target: Option<&Object>, known: &Snapshot) -> Seen<Primary> {
    let primary = match known.read(&services::key(canary, &canary.primary_service())) {
        Reading::Unknown => return Seen::Unknown,
        Reading::Absent => return Seen::Absent,
        Reading::Present(primary) => primary,
    };
    Seen::Present(Primary {
        made_from: read_revision(primary),
        matches_target: target.is_some_and(|target| normal(target) == normal(primary)),
        readiness: Readiness::Ready,
    })
}

pub(super) fn desired(effect: &Effect, canary: &Canary, known: &Snapshot) -> Result<Vec<Write>, Refusal> {
    if !matches!(effect, Effect::Services | Effect::Primary(_)) {
        return Ok(Vec::new());
    }
    let key = canary.target_key();
    let target = match known.read(&key) {
        Reading::Unknown => return Err(Refusal::NotRead(key)),
        Reading::Absent if matches!(effect, Effect::Primary(_)) => return Err(Refusal::Moved),
        Reading::Absent => {
            return Err(Refusal::Invalid(format!(
                "service {}.{} not found: create it, or correct spec.targetRef of the Canary",
                canary.spec.target.name, canary.namespace
            )));
        }
        Reading::Present(target) => target,
    };
    match effect {
        Effect::Primary(wanted) if revision(target) == *wanted => promote(canary, target, wanted, known),
        Effect::Primary(_) => Err(Refusal::Moved),
        _ => mirror(canary, target, known),
    }
}

fn mirror(canary: &Canary, target: &Object, known: &Snapshot) -> Result<Vec<Write>, Refusal> {
    let name = canary.canary_service();
    let live = read(canary, &name, known)?;
    let mut writes = Vec::new();
    let wanted = clone(canary, target, &name, &canary.spec.service.canary);
    bring(live, wanted, &mut writes);
    Ok(writes)
}

fn promote(
    canary: &Canary,
    target: &Object,
    revision: &Revision,
    known: &Snapshot,
) -> Result<Vec<Write>, Refusal> {
    let name = canary.primary_service();
    let live = read(canary, &name, known)?;
    let mut extra = canary.spec.service.primary.clone();
    extra
        .annotations
        .insert(PROMOTED_FROM.to_owned(), write_revision(revision));
    let mut writes = Vec::new();
    bring(live, clone(canary, target, &name, &extra), &mut writes);
    Ok(writes)
}

/// Returns the intent for a Service like the target.
fn clone(canary: &Canary, target: &Object, name: &str, extra: &ExtraMetadata) -> Value {
    let mut labels = copied(target, "labels");
    labels.extend(extra.labels.clone());
    let mut annotations = copied(target, "annotations");
    annotations.extend(extra.annotations.clone());
    json!({
        "apiVersion": "v1",
        "kind": "Service",
        "metadata": metadata(canary, name, &labels, &hands_off(&annotations), controller(canary)),
        "spec": without_allocated(target),
    })
}

/// Returns the spec of a Service without what the server allocated for it alone.
fn without_allocated(service: &Object) -> Map<String, Value> {
    let spec = service.at("/spec").and_then(Value::as_object);
    let mut spec = spec.cloned().unwrap_or_default();
    let headless = spec.get("clusterIP").and_then(Value::as_str) == Some("None");
    spec.retain(|field, value| !value.is_null() && !ALLOCATED.contains(&field.as_str()));
    if headless {
        spec.insert("clusterIP".to_owned(), json!("None"));
    }
    for port in spec
        .get_mut("ports")
        .and_then(Value::as_array_mut)
        .into_iter()
        .flatten()
    {
        if let Some(port) = port.as_object_mut() {
            port.remove("nodePort");
        }
    }
    spec
}

/// Returns what of a Service's spec says where it leads.
fn normal(service: &Object) -> Map<String, Value> {
    let mut spec = without_allocated(service);
    spec.retain(|field, value| {
        let default = DEFAULTS.contains(&(field.as_str(), value.as_str().unwrap_or_default()));
        let allocates = field == "allocateLoadBalancerNodePorts" && value.as_bool() == Some(true);
        !default && !allocates
    });
    for port in spec
        .get_mut("ports")
        .and_then(Value::as_array_mut)
        .into_iter()
        .flatten()
    {
        if let Some(port) = port.as_object_mut() {
            let number = port.get("port").cloned();
            port.retain(|field, value| match field.as_str() {
                "protocol" => value != "TCP",
                "targetPort" => Some(&*value) != number.as_ref(),
                _ => true,
            });
        }
    }
    spec
}

fn revision(service: &Object) -> Revision {
    Revision::new(
        Digest::of(&Value::Object(normal(service))).to_string(),
        BTreeMap::new(),
    )
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::{
        super::fixtures::{World, canary_for},
        *,
    };

    fn canary() -> Canary {
        canary_for("Service", &json!({}))
    }

    fn apex(version: &str) -> Value {
        json!({
            "apiVersion": "v1", "kind": "Service",
            "metadata": {
                "name": "podinfo", "namespace": "test", "uid": "apex", "labels": { "team": "a" },
                "annotations": { "kubectl.kubernetes.io/last-applied-configuration": "{}", "lb": "internal" }
            },
            "spec": {
                "type": "ClusterIP", "clusterIP": "10.0.0.7", "clusterIPs": ["10.0.0.7"],
                "ipFamilies": ["IPv4"], "ipFamilyPolicy": "SingleStack", "sessionAffinity": "None",
                "internalTrafficPolicy": "Cluster", "selector": { "app": "podinfo", "version": version },
                "ports": [{ "name": "http", "port": 9898, "protocol": "TCP", "targetPort": 9898, "nodePort": 30001 }]
            }
        })
    }

    fn world(apex: Value) -> World {
        World::new(canary()).with(apex)
    }

    fn live(world: &World) -> Revision {
        match &world.observe().target.present().unwrap().live {
            Live::Revision(revision) => revision.clone(),
            Live::Blocked(why) => panic!("{why}"),
        }
    }

    #[test]
    fn canary_mirrors_the_apex_and_primary_the_promoted_one() {
        let mut world = world(apex("1"));
        let first = live(&world);
        assert_eq!(world.observe().primary, Seen::Absent);
        world.carry_out(&Effect::Services);
        world.carry_out(&Effect::Primary(first.clone()));
        assert_eq!(world.observe().services, Seen::Present(true));
        world.insert(apex("2"));
        assert_ne!(live(&world), first);
        assert_eq!(world.observe().services, Seen::Present(false));
        world.carry_out(&Effect::Services);
        let selects = |world: &World, name| world.service(name).at("/spec/selector/version").cloned();
        assert_eq!(selects(&world, "podinfo-canary"), Some(json!("2")));
        assert_eq!(selects(&world, "podinfo-primary"), Some(json!("1")));
        let primary = world.observe().primary;
        assert_eq!(primary.present().unwrap().made_from, Some(first.clone()));
        assert!(!primary.present().unwrap().matches_target);
        let second = live(&world);
        assert_eq!(world.desired(&Effect::Primary(first)), Err(Refusal::Moved));
        world.carry_out(&Effect::Primary(second.clone()));
        assert_eq!(selects(&world, "podinfo-primary"), Some(json!("2")));
        let primary = world.observe().primary;
        assert_eq!(primary.present().unwrap().made_from, Some(second));
        assert!(primary.present().unwrap().matches_target);
    }

    #[test]
    fn the_apex_and_its_workloads_are_never_written() {
        let world = world(apex("1"));
        for effect in [
            Effect::Apex,
            Effect::ScaleUp,
            Effect::ScaleDown,
            Effect::Route(50),
        ] {
            assert_eq!(world.desired(&effect), Ok(vec![]), "{effect:?}");
        }
        for effect in [Effect::Services, Effect::Primary(live(&world))] {
            for write in world.desired(&effect).unwrap() {
                assert_ne!(write.key().name, "podinfo");
            }
        }
    }

    #[test]
    fn what_the_server_allocates_is_no_revision_and_is_not_copied() {
        let mut other = apex("1");
        other["spec"]["clusterIP"] = json!("10.0.0.9");
        other["spec"]["ports"][0]["nodePort"] = json!(30_002);
        other["spec"]
            .as_object_mut()
            .unwrap()
            .remove("internalTrafficPolicy");
        other["spec"].as_object_mut().unwrap().remove("ipFamilies");
        assert_eq!(live(&world(apex("1"))), live(&world(other)));
        let mut headless = apex("1");
        headless["spec"]["clusterIP"] = json!("None");
        assert_ne!(live(&world(apex("1"))), live(&world(headless.clone())));

        let mut first = world(apex("1"));
        first.carry_out(&Effect::Services);
        let made = first.service("podinfo-canary");
        assert_eq!(made.at("/spec/clusterIP"), None);
        assert_eq!(made.at("/spec/ports/0/nodePort"), None);
        assert_eq!(
            (made.label("team"), made.annotation("lb")),
            (Some("a"), Some("internal"))
        );
        assert_eq!(
            made.annotation("kubectl.kubernetes.io/last-applied-configuration"),
            None
        );
        let mut second = world(headless);
        second.carry_out(&Effect::Services);
        assert_eq!(second.service("podinfo-canary").str_at("/spec/clusterIP"), "None");
    }

    #[test]
    fn external_names_are_mirrored_too() {
        let external = |host: &str| {
            json!({
                "apiVersion": "v1", "kind": "Service",
                "metadata": { "name": "podinfo", "namespace": "test", "uid": "apex" },
                "spec": { "type": "ExternalName", "externalName": host, "sessionAffinity": "None" }
            })
        };
        let mut world = world(external("blue.example.com"));
        let blue = live(&world);
        world.carry_out(&Effect::Services);
        world.carry_out(&Effect::Primary(blue.clone()));
        world.insert(external("green.example.com"));
        assert_ne!(live(&world), blue);
        world.carry_out(&Effect::Services);
        assert_eq!(
            world.service("podinfo-canary").str_at("/spec/externalName"),
            "green.example.com"
        );
        assert_eq!(
            world.service("podinfo-primary").str_at("/spec/externalName"),
            "blue.example.com"
        );
    }

    #[test]
    fn nothing_is_known_before_it_was_read() {
        let world = World::unread(canary());
        assert_eq!(world.observe(), Observation::default());
        assert!(matches!(
            world.desired(&Effect::Services),
            Err(Refusal::NotRead(_))
        ));
        let gone = World::new(canary());
        assert_eq!(gone.observe().target, Seen::Absent);
        assert!(matches!(
            gone.desired(&Effect::Services),
            Err(Refusal::Invalid(_))
        ));
        assert_eq!(
            gone.desired(&Effect::Primary(Revision::new("x", BTreeMap::new()))),
            Err(Refusal::Moved)
        );
    }
}

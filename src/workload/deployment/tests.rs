use std::collections::BTreeMap;

use serde_json::json;

use super::{
    super::fixtures::{World, canary_for, config_map, podinfo},
    *,
};
use crate::rollout::Readiness;

fn canary() -> Canary {
    canary_for("Deployment", &json!({}))
}

fn world() -> World {
    World::new(canary())
        .with(config_map("podinfo-env", &json!({ "COLOR": "blue" })))
        .with(podinfo("podinfo:6.0.0", 2))
}

fn revision_of(world: &World) -> Revision {
    match &world.observe().target.present().unwrap().live {
        Live::Revision(revision) => revision.clone(),
        Live::Blocked(why) => panic!("{why}"),
    }
}

fn blocked(world: &World) -> String {
    match &world.observe().target.present().unwrap().live {
        Live::Blocked(why) => why.clone(),
        Live::Revision(_) => panic!("not blocked"),
    }
}

/// Builds primary, services and apex, as an initialization does.
fn initialized() -> World {
    let mut world = world();
    let revision = revision_of(&world);
    world.carry_out(&Effect::Services);
    world.carry_out(&Effect::Primary(revision));
    world.carry_out(&Effect::Apex);
    world
}

#[test]
fn inputs_follow_the_references() {
    let mut known = Snapshot::default();
    let canary = canary();
    let names = |known: &Snapshot| -> Vec<String> {
        let keys = inputs(&canary, known);
        keys.iter()
            .map(|key| format!("{}/{}", key.kind, key.name))
            .collect()
    };
    let bare = [
        "Service/podinfo",
        "Service/podinfo-canary",
        "Service/podinfo-primary",
        "Deployment/podinfo",
        "Deployment/podinfo-primary",
    ];
    assert_eq!(names(&known), bare);
    known.insert(Object::from(podinfo("podinfo:6.0.0", 1)));
    let configs = ["ConfigMap/podinfo-env", "Secret/podinfo-token"];
    assert!(
        configs
            .iter()
            .all(|name| names(&known).contains(&(*name).to_owned()))
    );
    known.insert(Object::from(config_map("podinfo-env", &json!({}))));
    assert!(names(&known).contains(&"ConfigMap/podinfo-env-primary".to_owned()));
    assert!(!names(&known).contains(&"Secret/podinfo-token-primary".to_owned()));
}

#[test]
fn initialization_makes_a_primary_of_its_own() {
    let world = initialized();
    let primary = world.primary();
    assert_eq!(
        primary.at("/spec/selector"),
        Some(&json!({ "matchLabels": { "app": "podinfo-primary" } }))
    );
    assert_eq!(
        primary.str_at("/spec/template/metadata/labels/app"),
        "podinfo-primary"
    );
    assert_eq!(primary.i64_at("/spec/replicas"), Some(2));
    assert_eq!(primary.i64_at("/spec/minReadySeconds"), Some(3));
    assert_eq!(primary.str_at("/spec/strategy/type"), "RollingUpdate");
    assert_eq!(
        primary.str_at("/spec/template/spec/containers/0/image"),
        "podinfo:6.0.0"
    );
    let from = "/spec/template/spec/containers/0/envFrom/0/configMapRef/name";
    assert_eq!(primary.str_at(from), "podinfo-env-primary");
    let absent = "/spec/template/spec/containers/0/env/0/valueFrom/secretKeyRef/name";
    assert_eq!(primary.str_at(absent), "podinfo-token");
    let owner = primary.at("/metadata/ownerReferences/0").unwrap();
    assert_eq!(
        (&owner["uid"], &owner["controller"]),
        (&json!("canary"), &json!(true))
    );
    assert_eq!(primary.label("app"), Some("podinfo-primary"));
    assert_eq!((primary.label("team"), primary.annotation("team")), (None, None));

    let copy = world.get(Resource::CONFIG_MAP, "podinfo-env-primary").unwrap();
    assert_eq!(copy.at("/data"), Some(&json!({ "COLOR": "blue" })));
    let seen = world.observe();
    let primary = seen.primary.present().unwrap();
    assert_eq!(primary.made_from, Some(revision_of(&world)));
    assert!(primary.matches_target);
    assert_eq!(
        (seen.services, seen.apex),
        (Seen::Present(true), Seen::Present(true))
    );
}

#[test]
fn the_services_lead_to_their_sides() {
    let world = initialized();
    for (name, value) in [
        ("podinfo", "podinfo-primary"),
        ("podinfo-primary", "podinfo-primary"),
        ("podinfo-canary", "podinfo"),
    ] {
        let service = world.service(name);
        assert_eq!(service.at("/spec/selector"), Some(&json!({ "app": value })));
        let port = json!({ "name": "http", "port": 9898, "protocol": "TCP", "targetPort": 9898 });
        assert_eq!(service.at("/spec/ports"), Some(&json!([port])));
        assert_eq!(service.label("app"), Some(name));
        assert_eq!(
            service.annotation("kustomize.toolkit.fluxcd.io/reconcile"),
            Some("disabled")
        );
        assert_eq!(
            service.annotation("helm.toolkit.fluxcd.io/driftDetection"),
            Some("disabled")
        );
    }
}

#[test]
fn facts_are_true_exactly_when_nothing_would_be_written() {
    let mut world = initialized();
    let mut spoil = world.service("podinfo-canary").value().clone();
    spoil["spec"]["selector"]["version"] = json!("2");
    world.insert(spoil);
    assert_eq!(world.observe().services, Seen::Present(false));
    world.carry_out(&Effect::Services);
    let mut spoil = world.service("podinfo").value().clone();
    spoil["spec"]["selector"] = json!({ "app": "podinfo" });
    world.insert(spoil);
    assert_eq!(world.observe().apex, Seen::Present(false));
    world.carry_out(&Effect::Apex);
    assert_eq!(world.observe().apex, Seen::Present(true));
    world.remove(services::key(&world.canary, "podinfo-primary"));
    assert_eq!(world.observe().services, Seen::Present(false));
}

#[test]
fn an_apex_of_the_user_is_taken_over_with_care() {
    let mut world = world().with(json!({
        "apiVersion": "v1", "kind": "Service",
        "metadata": { "name": "podinfo", "namespace": "test", "uid": "theirs", "labels": { "team": "a" } },
        "spec": {
            "type": "NodePort", "clusterIP": "10.0.0.7", "selector": { "app": "podinfo", "tier": "web" },
            "ports": [
                { "name": "web", "port": 9898, "protocol": "TCP", "targetPort": 9898, "nodePort": 30001 },
                { "name": "metrics", "port": 9797, "protocol": "TCP", "targetPort": 9797, "nodePort": 30002 }
            ]
        }
    }));
    let writes = world.desired(&Effect::Apex).unwrap();
    let [Write::Patch { patch, .. }] = writes.as_slice() else {
        panic!("{writes:?}")
    };
    let patch = serde_json::to_value(patch).unwrap();
    let tests = patch.as_array().unwrap().iter().filter(|op| op["op"] == "test");
    let tested: Vec<_> = tests.map(|op| op["path"].as_str().unwrap()).collect();
    assert_eq!(tested, ["/metadata/uid", "/spec/selector", "/spec/ports"]);
    world.carry_out(&Effect::Apex);
    let apex = world.service("podinfo");
    assert_eq!(
        apex.at("/spec/selector"),
        Some(&json!({ "app": "podinfo-primary" }))
    );
    assert_eq!(apex.at("/spec/ports/0/nodePort"), Some(&json!(30_001)));
    assert_eq!(apex.str_at("/spec/ports/0/name"), "http");
    assert_eq!(apex.str_at("/spec/ports/1/name"), "metrics");
    assert_eq!(apex.at("/metadata/labels"), Some(&json!({ "team": "a" })));
    assert_eq!(apex.at("/metadata/ownerReferences"), None);
    assert_eq!(
        apex.annotation("kustomize.toolkit.fluxcd.io/reconcile"),
        Some("disabled")
    );
    assert_eq!(
        (apex.str_at("/spec/type"), apex.str_at("/spec/clusterIP")),
        ("NodePort", "10.0.0.7")
    );
}

#[test]
fn an_external_name_cannot_be_taken_over() {
    let world = world().with(json!({
        "apiVersion": "v1", "kind": "Service", "metadata": { "name": "podinfo", "namespace": "test", "uid": "x" },
        "spec": { "type": "ExternalName", "externalName": "example.com" }
    }));
    assert!(
        matches!(world.desired(&Effect::Apex), Err(Refusal::Invalid(text)) if text.contains("ExternalName"))
    );
    assert_eq!(world.observe().apex, Seen::Present(false));
}

#[test]
fn promotion_is_of_the_revision_that_was_analysed() {
    let mut world = initialized();
    let first = revision_of(&world);
    world.insert(podinfo("podinfo:6.0.1", 2));
    let second = revision_of(&world);
    assert_ne!(first.template(), second.template());
    assert_eq!(world.desired(&Effect::Primary(first)), Err(Refusal::Moved));
    world.insert(config_map("podinfo-env", &json!({ "COLOR": "green" })));
    let third = revision_of(&world);
    assert_eq!(second.template(), third.template());
    assert_ne!(second.configs(), third.configs());
    assert_eq!(world.desired(&Effect::Primary(second)), Err(Refusal::Moved));
    let writes = world.desired(&Effect::Primary(third.clone())).unwrap();
    let kinds: Vec<_> = writes.iter().map(|write| write.key().kind).collect();
    assert_eq!(kinds, ["ConfigMap", "Deployment"]);
    world.carry_out(&Effect::Primary(third.clone()));
    assert_eq!(world.observe().primary.present().unwrap().made_from, Some(third));
}

#[test]
fn the_primary_rolls_for_its_configs_and_for_nothing_else() {
    let mut world = initialized();
    let template = |world: &World| world.primary().at("/spec/template").cloned();
    let before = template(&world);
    let mut edited = podinfo("podinfo:6.0.0", 3);
    edited["spec"]["minReadySeconds"] = json!(9);
    world.insert(edited);
    world.carry_out(&Effect::Primary(revision_of(&world)));
    assert_eq!(template(&world), before);
    assert_eq!(world.primary().i64_at("/spec/minReadySeconds"), Some(9));
    assert_eq!(world.primary().i64_at("/spec/replicas"), Some(3));
    world.insert(config_map("podinfo-env", &json!({ "COLOR": "green" })));
    world.carry_out(&Effect::Primary(revision_of(&world)));
    assert_ne!(template(&world), before);
}

#[test]
fn binary_data_counts_and_is_copied() {
    let mut world = world();
    let before = revision_of(&world);
    let mut binary = config_map("podinfo-env", &json!({ "COLOR": "blue" }));
    binary["binaryData"] = json!({ "logo": "AAEC" });
    world.insert(binary);
    assert_ne!(before.configs(), revision_of(&world).configs());
    world.carry_out(&Effect::Primary(revision_of(&world)));
    let copy = world.get(Resource::CONFIG_MAP, "podinfo-env-primary").unwrap();
    assert_eq!(copy.at("/binaryData"), Some(&json!({ "logo": "AAEC" })));
}

#[test]
fn secrets_are_tracked_by_type_and_copied_with_it() {
    let secret = |kind: &str| {
        json!({
            "apiVersion": "v1", "kind": "Secret", "type": kind, "data": { "token": "c2VjcmV0" },
            "metadata": { "name": "podinfo-token", "namespace": "test", "uid": "s" }
        })
    };
    let mut tracked = world().with(secret("Opaque"));
    let revision = revision_of(&tracked);
    let labels: Vec<_> = revision.configs().keys().cloned().collect();
    assert_eq!(labels, ["configmap/podinfo-env", "secret/podinfo-token"]);
    tracked.carry_out(&Effect::Primary(revision));
    let copy = tracked.get(Resource::SECRET, "podinfo-token-primary").unwrap();
    assert_eq!(
        (copy.str_at("/type"), copy.str_at("/data/token")),
        ("Opaque", "c2VjcmV0")
    );
    let foreign = world().with(secret("kubernetes.io/service-account-token"));
    assert_eq!(revision_of(&foreign).configs().len(), 1);
}

#[test]
fn configs_can_opt_out() {
    let mut opted_out = config_map("podinfo-env", &json!({ "COLOR": "blue" }));
    opted_out["metadata"]["annotations"] = json!({ "flagger.app/config-tracking": "disabled" });
    let mut world = world().with(opted_out);
    assert!(revision_of(&world).configs().is_empty());
    world.carry_out(&Effect::Primary(revision_of(&world)));
    let from = "/spec/template/spec/containers/0/envFrom/0/configMapRef/name";
    assert_eq!(world.primary().str_at(from), "podinfo-env");
    assert_eq!(
        world
            .primary()
            .at("/spec/template/metadata/annotations/serin.dev~1config-digest"),
        None
    );
}

#[test]
fn a_missing_config_blocks_if_it_is_needed() {
    let world = World::new(canary()).with(podinfo("podinfo:6.0.0", 1));
    let why = blocked(&world);
    assert!(why.starts_with("configmap podinfo-env.test not found"), "{why}");
    let any = Revision::new("v1:x", BTreeMap::new());
    assert!(matches!(
        world.desired(&Effect::Primary(any)),
        Err(Refusal::Invalid(_))
    ));
}

#[test]
fn a_config_that_was_not_read_is_no_fact() {
    let mut known = Snapshot::default();
    known.insert(Object::from(podinfo("podinfo:6.0.0", 1)));
    let seen = observe(&canary(), &known);
    assert_eq!(seen.target, Seen::Unknown);
    let any = Effect::Primary(Revision::new("v1:x", BTreeMap::new()));
    assert!(matches!(
        desired(&any, &canary(), &known),
        Err(Refusal::NotRead(_))
    ));
}

#[test]
fn canaries_that_share_a_config_keep_each_others_ownership() {
    let theirs = json!({
        "apiVersion": "flagger.app/v1beta1", "kind": "Canary", "name": "other", "uid": "other", "controller": true
    });
    let mut copy = config_map("podinfo-env-primary", &json!({ "COLOR": "red", "OLD": "x" }));
    copy["metadata"]["ownerReferences"] = json!([theirs]);
    let mut world = world().with(copy);
    world.carry_out(&Effect::Primary(revision_of(&world)));
    let copy = world.get(Resource::CONFIG_MAP, "podinfo-env-primary").unwrap();
    let owners = copy
        .at("/metadata/ownerReferences")
        .and_then(Value::as_array)
        .unwrap();
    let uids: Vec<_> = owners
        .iter()
        .map(|owner| (owner["uid"].as_str().unwrap(), &owner["controller"]))
        .collect();
    assert_eq!(uids, [("other", &json!(false)), ("canary", &json!(false))]);
    assert_eq!(copy.at("/data"), Some(&json!({ "COLOR": "blue" })));
}

#[test]
fn an_immutable_copy_is_made_anew() {
    let mut immutable = config_map("podinfo-env", &json!({ "COLOR": "blue" }));
    immutable["immutable"] = json!(true);
    let mut world = world().with(immutable.clone());
    world.carry_out(&Effect::Primary(revision_of(&world)));
    immutable["data"]["COLOR"] = json!("green");
    world.insert(immutable);
    let writes = world.desired(&Effect::Primary(revision_of(&world))).unwrap();
    assert!(matches!(writes.first(), Some(Write::Delete { .. })), "{writes:?}");
    world.carry_out(&Effect::Primary(revision_of(&world)));
    let copy = world.get(Resource::CONFIG_MAP, "podinfo-env-primary").unwrap();
    assert_eq!(copy.str_at("/data/COLOR"), "green");
}

#[test]
fn a_primary_of_flagger_is_adopted() {
    let mut world = initialized();
    let revision = revision_of(&world);
    let mut flaggers = world.primary().value().clone();
    flaggers["metadata"]["annotations"] = json!({});
    flaggers["spec"]["selector"] = json!({ "matchLabels": { "app": "podinfo-primary", "tier": "web" } });
    flaggers["spec"]["template"]["metadata"] = json!({
        "labels": { "app": "podinfo-primary", "tier": "web" },
        "annotations": { "prometheus.io/scrape": "true", "flagger-id": "1b2c" }
    });
    world.insert(flaggers.clone());
    let seen = world.observe().primary;
    assert_eq!(
        seen.present().map(|p| (p.made_from.clone(), p.matches_target)),
        Some((None, true))
    );
    let mut changed = flaggers.clone();
    changed["spec"]["template"]["spec"]["containers"][0]["image"] = json!("podinfo:5");
    changed["spec"]["template"]["spec"]["containers"][0]["env"][0]["name"] = json!("LEFT_OVER");
    world.insert(changed);
    assert!(!world.observe().primary.present().unwrap().matches_target);
    world.carry_out(&Effect::Primary(revision));
    let primary = world.primary();
    assert_eq!(primary.at("/spec/selector/matchLabels/tier"), Some(&json!("web")));
    assert_eq!(primary.str_at("/spec/template/metadata/labels/tier"), "web");
    assert_eq!(
        primary.str_at("/spec/template/spec/containers/0/env/0/name"),
        "TOKEN"
    );
    assert_eq!(primary.at("/spec/template/metadata/annotations/flagger-id"), None);
}

#[test]
fn stale_copies_do_not_match() {
    let mut world = initialized();
    world.insert(config_map("podinfo-env-primary", &json!({ "COLOR": "red" })));
    assert!(!world.observe().primary.present().unwrap().matches_target);
}

#[test]
fn only_the_replicas_are_scaled() {
    let mut world = initialized();
    let writes = world.desired(&Effect::ScaleDown).unwrap();
    let [
        Write::Apply {
            manager,
            object,
            force,
        },
    ] = writes.as_slice()
    else {
        panic!("{writes:?}")
    };
    assert_eq!((*manager, *force), (Manager::Scale, true));
    assert_eq!(
        object.value(),
        &json!({
            "apiVersion": "apps/v1", "kind": "Deployment",
            "metadata": { "name": "podinfo", "namespace": "test" }, "spec": { "replicas": 0 }
        })
    );
    assert!(world.observe().target.present().unwrap().scaled_up);
    world.carry_out(&Effect::ScaleDown);
    let target = world.observe().target;
    let target = target.present().unwrap();
    assert!(!target.scaled_up);
    assert_eq!(target.readiness, Readiness::NotReady("scaled to zero".into()));
    world.carry_out(&Effect::ScaleUp);
    let scaled = world.get(Resource::DEPLOYMENT, "podinfo").unwrap();
    assert_eq!(scaled.i64_at("/spec/replicas"), Some(2));
    assert_eq!(revision_of(&world), revision_of(&initialized()));
}

#[test]
fn a_target_that_is_gone_needs_no_scaling_down() {
    let mut world = initialized();
    world.remove(world.canary.target_key());
    let seen = world.observe();
    assert_eq!(seen.target, Seen::Absent);
    assert!(!seen.primary.present().unwrap().matches_target);
    assert_eq!(world.desired(&Effect::ScaleDown), Ok(vec![]));
    let any = Effect::Primary(Revision::new("v1:x", BTreeMap::new()));
    assert_eq!(world.desired(&any), Err(Refusal::Moved));
    assert!(matches!(
        world.desired(&Effect::ScaleUp),
        Err(Refusal::Invalid(_))
    ));
}

#[test]
fn a_target_without_a_known_label_says_so() {
    let mut odd = podinfo("podinfo:6.0.0", 1);
    odd["spec"]["selector"]["matchLabels"] = json!({ "component": "podinfo" });
    let world = world().with(odd);
    assert!(blocked(&world).contains("app, name, app.kubernetes.io/name"));
    assert!(matches!(
        world.desired(&Effect::Services),
        Err(Refusal::Invalid(_))
    ));
}

#[test]
fn the_first_selector_label_is_rewritten_and_no_other() {
    let mut target = podinfo("podinfo:6.0.0", 1);
    let labels = json!({ "app.kubernetes.io/name": "podinfo", "name": "info" });
    target["spec"]["selector"]["matchLabels"] = labels.clone();
    target["spec"]["template"]["metadata"]["labels"] = labels;
    let mut world = world().with(target);
    world.carry_out(&Effect::Primary(revision_of(&world)));
    let primary = world.primary();
    assert_eq!(
        primary.at("/spec/selector"),
        Some(&json!({ "matchLabels": { "name": "info-primary" } }))
    );
    let pods = primary.at("/spec/template/metadata/labels");
    assert_eq!(
        pods,
        Some(&json!({ "app.kubernetes.io/name": "podinfo", "name": "info-primary" }))
    );
}

#[test]
fn metadata_reaches_the_primary_by_prefix() {
    let mut canary = canary();
    canary.spec.include_label_prefix = vec!["te".to_owned()];
    let mut world = World::new(canary)
        .with(config_map("podinfo-env", &json!({})))
        .with(podinfo("podinfo:6.0.0", 1));
    world.carry_out(&Effect::Primary(revision_of(&world)));
    assert_eq!(world.primary().label("team"), Some("a"));
    assert_eq!(world.primary().annotation("team"), Some("b"));
    assert_eq!(
        world.primary().annotation("deployment.kubernetes.io/revision"),
        None
    );
}

#[test]
fn all_container_ports_can_be_discovered() {
    let service =
        json!({ "service": { "port": 80, "targetPort": "http", "portDiscovery": true, "portName": "web" } });
    let mut world = World::new(canary_for("Deployment", &service)).with(podinfo("podinfo:6.0.0", 1));
    world.insert(config_map("podinfo-env", &json!({})));
    world.carry_out(&Effect::Services);
    let ports = world.service("podinfo-canary").at("/spec/ports").cloned();
    assert_eq!(
        ports,
        Some(json!([
            { "name": "web", "port": 80, "protocol": "TCP", "targetPort": "http" },
            { "name": "http-metrics", "port": 9797, "protocol": "TCP", "targetPort": 9797 },
            { "name": "tcp-podinfod-2", "port": 9999, "protocol": "TCP", "targetPort": 9999 }
        ]))
    );
}

#[test]
fn the_spec_decides_how_services_look() {
    let service = json!({ "service": {
        "name": "web", "headless": true, "appProtocol": "http", "trafficDistribution": "PreferClose",
        "canary": { "labels": { "a": "b" }, "annotations": { "c": "d" } }
    } });
    let mut world = World::new(canary_for("Deployment", &service)).with(podinfo("podinfo:6.0.0", 1));
    world.insert(config_map("podinfo-env", &json!({})));
    world.carry_out(&Effect::Services);
    let canary = world.service("web-canary");
    assert_eq!(
        (canary.label("a"), canary.label("app"), canary.annotation("c")),
        (Some("b"), Some("web-canary"), Some("d"))
    );
    assert_eq!(canary.str_at("/spec/clusterIP"), "None");
    assert_eq!(canary.str_at("/spec/trafficDistribution"), "PreferClose");
    assert_eq!(canary.str_at("/spec/ports/0/appProtocol"), "http");
    assert_eq!(canary.at("/spec/selector"), Some(&json!({ "app": "podinfo" })));
}

#[test]
fn a_canary_that_was_made_anew_takes_its_services_back() {
    let mut world = initialized();
    world.canary.uid = "second".to_owned();
    assert_eq!(world.observe().apex, Seen::Present(false));
    let writes = world.desired(&Effect::Apex).unwrap();
    assert!(matches!(writes.as_slice(), [Write::Apply { .. }]), "{writes:?}");
    world.carry_out(&Effect::Apex);
    let owner = world.service("podinfo").at("/metadata/ownerReferences/0/uid");
    assert_eq!(owner, Some(&json!("second")));
}

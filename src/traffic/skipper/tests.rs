use serde_json::json;

use super::*;
use crate::canary::Defaults;

fn canary(kind: &str) -> Canary {
    let api_version = if kind == "Service" { "core/v1" } else { "apps/v1" };
    let object = json!({
        "apiVersion": "flagger.app/v1beta1", "kind": "Canary",
        "metadata": { "name": "podinfo", "namespace": "test", "uid": "canary" },
        "spec": {
            "provider": "skipper",
            "targetRef": { "apiVersion": api_version, "kind": kind, "name": "podinfo" },
            "ingressRef": { "apiVersion": "networking.k8s.io/v1", "kind": "Ingress", "name": "podinfo-ingress" },
            "service": { "port": 80, "targetPort": 9898 },
            "analysis": { "stepWeight": 20 }
        }
    });
    Canary::parse(&Object::from(object), &Defaults::default()).unwrap()
}

fn path(path: &str, service: &str) -> Value {
    let backend = json!({ "service": { "name": service, "port": { "number": 80 } } });
    json!({ "path": path, "pathType": "ImplementationSpecific", "backend": backend })
}

fn apex() -> Value {
    json!({
        "apiVersion": "networking.k8s.io/v1", "kind": "Ingress",
        "metadata": {
            "name": "podinfo-ingress", "namespace": "test", "uid": "apex", "resourceVersion": "7",
            "labels": { "app": "podinfo", "kustomize.toolkit.fluxcd.io/name": "apps" },
            "annotations": {
                "kubectl.kubernetes.io/last-applied-configuration": "{}",
                "zalando.org/skipper-filter": "compress()"
            }
        },
        "spec": {
            "ingressClassName": "skipper",
            "defaultBackend": { "service": { "name": "podinfo", "port": { "number": 80 } } },
            "tls": [{ "hosts": ["app.example.com"], "secretName": "cert" }],
            "rules": [
                { "host": "app.example.com", "http": { "paths": [path("/", "podinfo"), path("/api", "backend")] } },
                { "host": "other.example.com" }
            ]
        },
        "status": { "loadBalancer": { "ingress": [{ "hostname": "lb" }] } }
    })
}

fn world(apex: Value) -> Snapshot {
    let mut known = Snapshot::default();
    known.insert(Object::from(apex));
    known.insert_absent(copy_key(&canary("Deployment")));
    known
}

/// Routes this weight, as an API server would store it.
fn route(weight: u8, canary: &Canary, known: &mut Snapshot) {
    let writes = desired(weight, canary, known).unwrap();
    let [
        Write::Apply {
            object,
            force: true,
            manager: Manager::Serin,
        },
    ] = writes.as_slice()
    else {
        panic!("{writes:?}")
    };
    let mut stored = object.value().clone();
    stored["metadata"]["uid"] = json!("copy");
    known.insert(Object::from(stored));
}

fn copy(known: &Snapshot) -> &Object {
    known.get(&copy_key(&canary("Deployment"))).unwrap()
}

fn backends(known: &Snapshot) -> Vec<(String, String)> {
    let paths = copy(known)
        .at("/spec/rules/0/http/paths")
        .unwrap()
        .as_array()
        .unwrap();
    let text = |path: &Value| path["path"].as_str().unwrap().to_owned();
    paths
        .iter()
        .map(|path| (text(path), service_of(path).unwrap().to_owned()))
        .collect()
}

fn unroutable(known: &Snapshot) -> String {
    let canary = canary("Deployment");
    let Seen::Present(Routes::Unroutable(why)) = observe(&canary, known) else {
        panic!("{:?}", observe(&canary, known))
    };
    assert_eq!(desired(20, &canary, known), Err(Refusal::Unroutable(why.clone())));
    why
}

#[test]
fn nothing_is_known_before_both_were_read() {
    let canary = canary("Deployment");
    let mut known = Snapshot::default();
    assert_eq!(observe(&canary, &known), Seen::Unknown);
    known.insert(Object::from(apex()));
    assert_eq!(observe(&canary, &known), Seen::Unknown);
    assert!(matches!(desired(0, &canary, &known), Err(Refusal::NotRead(_))));
    for key in inputs(&canary) {
        if known.get(&key).is_none() {
            known.insert_absent(key);
        }
    }
    assert_eq!(observe(&canary, &known), Seen::Absent);
}

#[test]
fn every_weight_is_read_back_and_written_once() {
    let canary = canary("Deployment");
    for weight in 0..=100 {
        let mut known = world(apex());
        route(weight, &canary, &mut known);
        assert_eq!(observe(&canary, &known), Seen::Present(Routes::Weight(weight)));
        assert_eq!(desired(weight, &canary, &known), Ok(vec![]));
    }
}

#[test]
fn the_copy_splits_our_path_and_keeps_the_others() {
    let canary = canary("Deployment");
    let mut known = world(apex());
    route(20, &canary, &mut known);
    let all = [
        ("/", "podinfo-primary"),
        ("/", "podinfo-canary"),
        ("/api", "backend"),
    ];
    let all = all.map(|(path, service)| (path.to_owned(), service.to_owned()));
    assert_eq!(backends(&known), all);
    route(40, &canary, &mut known);
    assert_eq!(backends(&known), all, "paths are not doubled again");
    let copy = copy(&known);
    let weights: Value = serde_json::from_str(copy.annotation(WEIGHTS).unwrap()).unwrap();
    assert_eq!(weights, json!({ "podinfo-primary": 60, "podinfo-canary": 40 }));
    assert_eq!(copy.annotation(PREDICATE), Some("Weight(100)"));
    assert_eq!(copy.annotation("zalando.org/skipper-filter"), Some("compress()"));
    assert_eq!(
        copy.annotation("kustomize.toolkit.fluxcd.io/reconcile"),
        Some("disabled")
    );
    assert_eq!(
        copy.annotation("kubectl.kubernetes.io/last-applied-configuration"),
        None
    );
    assert_eq!(copy.at("/metadata/labels"), Some(&json!({ "app": "podinfo" })));
    assert_eq!(copy.str_at("/spec/ingressClassName"), "skipper");
    assert_eq!(copy.at("/spec/tls"), apex().pointer("/spec/tls"));
    assert_eq!(copy.at("/spec/defaultBackend"), None);
    assert_eq!(
        (copy.at("/status"), copy.at("/metadata/resourceVersion")),
        (None, None)
    );
    assert_eq!(copy.str_at("/metadata/ownerReferences/0/uid"), "canary");
}

#[test]
fn the_copy_is_off_without_canary_traffic() {
    let canary = canary("Deployment");
    let mut known = world(apex());
    route(20, &canary, &mut known);
    route(0, &canary, &mut known);
    assert_eq!(copy(&known).annotation(PREDICATE), Some("False()"));
    route(100, &canary, &mut known);
    assert_eq!(copy(&known).annotation(PREDICATE), Some("Weight(100)"));
}

/// The apex Service of a Service target is the new one: with the copy off, all traffic would go there.
#[test]
fn the_copy_is_never_off_for_a_service_target() {
    let mut known = world(apex());
    route(0, &canary("Service"), &mut known);
    assert_eq!(copy(&known).annotation(PREDICATE), Some("Weight(100)"));
    assert_eq!(
        observe(&canary("Service"), &known),
        Seen::Present(Routes::Weight(0))
    );
}

#[test]
fn predicates_of_the_user_are_kept() {
    let mut own = apex();
    own["metadata"]["annotations"][PREDICATE] = json!("Method(\"GET\")");
    let canary = canary("Deployment");
    let mut known = world(own);
    route(20, &canary, &mut known);
    assert_eq!(
        copy(&known).annotation(PREDICATE),
        Some("Weight(100) && Method(\"GET\")")
    );
    route(0, &canary, &mut known);
    assert_eq!(
        copy(&known).annotation(PREDICATE),
        Some("False() && Method(\"GET\")")
    );
}

#[test]
fn weights_of_the_user_for_other_services_are_kept() {
    let mut own = apex();
    own["metadata"]["annotations"][WEIGHTS] = json!("{\"podinfo\": 1, \"a\": 30, \"b\": 70.5}");
    let mut known = world(own);
    route(20, &canary("Deployment"), &mut known);
    let weights: Value = serde_json::from_str(copy(&known).annotation(WEIGHTS).unwrap()).unwrap();
    assert_eq!(
        weights,
        json!({ "a": 30, "b": 70.5, "podinfo-primary": 80, "podinfo-canary": 20 })
    );
}

#[test]
fn an_edit_of_the_apex_breaks_the_copy_and_keeps_the_weight() {
    let canary = canary("Deployment");
    let mut known = world(apex());
    route(40, &canary, &mut known);
    let mut edited = apex();
    edited["spec"]["rules"][0]["http"]["paths"][1]["path"] = json!("/v2");
    known.insert(Object::from(edited));
    assert!(matches!(
        observe(&canary, &known),
        Seen::Present(Routes::Broken(_))
    ));
    route(40, &canary, &mut known);
    assert_eq!(observe(&canary, &known), Seen::Present(Routes::Weight(40)));
    assert_eq!(backends(&known)[2].0, "/v2");
    let mut unfiltered = apex();
    unfiltered["metadata"]["annotations"] = json!({});
    known.insert(Object::from(unfiltered));
    assert!(matches!(
        observe(&canary, &known),
        Seen::Present(Routes::Broken(_))
    ));
}

#[test]
fn foreign_hands_on_the_copy_break_it() {
    let canary = canary("Deployment");
    let mut known = world(apex());
    route(40, &canary, &mut known);
    let whole = copy(&known).value().clone();
    for (pointer, value) in [
        (
            "/metadata/annotations/zalando.org~1backend-weights",
            json!("{\"podinfo-primary\":50,\"podinfo-canary\":40}"),
        ),
        (
            "/metadata/annotations/zalando.org~1backend-weights",
            json!("{\"podinfo-primary\":59.5,\"podinfo-canary\":40.5}"),
        ),
        (
            "/metadata/annotations/zalando.org~1backend-weights",
            json!("{\"podinfo-primary\":-20,\"podinfo-canary\":120}"),
        ),
        (
            "/metadata/annotations/zalando.org~1backend-weights",
            json!("{\"podinfo-canary\":100}"),
        ),
        ("/metadata/annotations/zalando.org~1backend-weights", json!("x")),
        (
            "/metadata/annotations/zalando.org~1skipper-predicate",
            json!("False()"),
        ),
        ("/spec/rules/0/http/paths/0/path", json!("/x")),
    ] {
        let mut spoilt = whole.clone();
        *spoilt.pointer_mut(pointer).unwrap() = value.clone();
        known.insert(Object::from(spoilt));
        assert!(
            matches!(observe(&canary, &known), Seen::Present(Routes::Broken(_))),
            "{pointer} {value}"
        );
        assert!(!desired(40, &canary, &known).unwrap().is_empty());
    }
    let mut added = whole.clone();
    added["metadata"]["annotations"]["zalando.org/ratelimit"] = json!("ratelimit(1, \"1m\")");
    known.insert(Object::from(added));
    assert!(matches!(
        observe(&canary, &known),
        Seen::Present(Routes::Broken(_))
    ));
    let mut harmless = whole;
    harmless["metadata"]["annotations"]["example.com/seen"] = json!("yes");
    known.insert(Object::from(harmless));
    assert_eq!(observe(&canary, &known), Seen::Present(Routes::Weight(40)));
}

#[test]
fn a_missing_backend_is_detected() {
    let mut other = apex();
    other["spec"]["rules"][0]["http"]["paths"] = json!([path("/", "elsewhere")]);
    let why = unroutable(&world(other));
    assert!(
        why.starts_with("backend `podinfo` not found in ingress `podinfo-ingress`:"),
        "{why}"
    );
    let mut empty = apex();
    empty["spec"] = json!({});
    assert!(unroutable(&world(empty)).starts_with("backend `podinfo` not found"));
}

#[test]
fn a_missing_ingress_is_named() {
    let mut known = world(apex());
    known.insert_absent(apex_key(&canary("Deployment")));
    assert!(unroutable(&known).starts_with("ingress podinfo-ingress.test not found:"));
}

#[test]
fn what_cannot_be_split_is_refused() {
    let mut shared = apex();
    shared["spec"]["rules"][0]["http"]["paths"] = json!([path("/", "podinfo"), path("/", "other")]);
    assert!(unroutable(&world(shared)).contains("split between `podinfo` and `other`"));
    let mut port = apex();
    port["spec"]["rules"][0]["http"]["paths"][0]["backend"]["service"]["port"] = json!({ "number": 9898 });
    assert!(unroutable(&world(port.clone())).contains("leads to port 9898"));
    port["spec"]["rules"][0]["http"]["paths"][0]["backend"]["service"]["port"] = json!({ "name": "http" });
    assert_eq!(observe(&canary("Deployment"), &world(port)), Seen::Absent);
}

#[test]
fn an_ingress_of_someone_else_is_not_taken() {
    let mut known = world(apex());
    let mut theirs = apex();
    theirs["metadata"]["name"] = json!("podinfo-ingress-canary");
    known.insert(Object::from(theirs));
    assert!(unroutable(&known).contains("does not belong to this Canary"));
}

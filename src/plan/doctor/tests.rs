use serde_json::{Value, json};

use super::*;

fn canary() -> Value {
    json!({"apiVersion": "flagger.app/v1beta1", "kind": "Canary",
        "metadata": {"name": "podinfo", "namespace": "test"},
        "spec": {"provider": "kubernetes", "service": {"port": 80}, "analysis": {"iterations": 3, "interval": "10s"},
            "targetRef": {"apiVersion": "apps/v1", "kind": "Deployment", "name": "podinfo"}}})
}

fn target() -> Value {
    json!({"apiVersion": "apps/v1", "kind": "Deployment",
        "metadata": {"name": "podinfo", "namespace": "test", "labels": {
            "kustomize.toolkit.fluxcd.io/name": "apps", "kustomize.toolkit.fluxcd.io/namespace": "flux-system"}},
        "spec": {"replicas": 2, "selector": {"matchLabels": {"app": "podinfo"}}}})
}

fn kustomization(name: &str) -> Value {
    json!({"apiVersion": "kustomize.toolkit.fluxcd.io/v1", "kind": "Kustomization",
        "metadata": {"name": name, "namespace": "flux-system"}, "spec": {}})
}

#[expect(
    clippy::needless_pass_by_value,
    reason = "json! reads better as an argument without a reference"
)]
fn managed(mut object: Value, manager: &str, operation: &str, fields: Value) -> Value {
    object["metadata"]["managedFields"] =
        json!([{"manager": manager, "operation": operation, "fieldsV1": fields}]);
    object
}

fn ward(objects: impl IntoIterator<Item = Value>) -> Ward {
    let mut ward = Ward::default();
    ward.admit(objects.into_iter().map(Object::from));
    ward
}

fn codes(found: &[Finding]) -> Vec<&str> {
    found.iter().map(|finding| finding.code).collect()
}

#[test]
fn a_healthy_cluster_has_no_findings() {
    let found = examine(&ward([canary(), target(), kustomization("apps")]));
    assert_eq!(found, []);
    assert!(!is_sick(&found));
    assert_eq!(render(&found), "Nothing here will fight with a rollout.\n");
}

#[test]
fn replicas_that_flux_declares_are_found_with_a_patch_of_its_kustomization() {
    let by = |manager: &str, operation: &str| {
        let target = managed(
            target(),
            manager,
            operation,
            json!({"f:spec": {"f:replicas": {}}}),
        );
        examine(&ward([canary(), target, kustomization("apps")]))
    };
    let found = by("kustomize-controller", "Apply");
    assert_eq!(codes(&found), ["replicas"]);
    let fix = &found[0].fix;
    assert!(
        fix.contains("kubectl -n flux-system patch kustomization apps --type=json -p '"),
        "{fix}"
    );
    assert!(
        fix.contains(r#""path":"/spec/patches","value":["#) && fix.contains(r#"\"replicas\":null"#),
        "{fix}"
    );
    assert!(is_sick(&found));
    assert_eq!(by("serin-scale", "Apply"), []);
    assert_eq!(
        by("kubectl", "Update"),
        [],
        "kubectl scale does it once, not again and again"
    );
}

#[test]
fn a_fix_keeps_what_is_there_and_goes_to_git_where_that_decides() {
    let target = managed(
        target(),
        "kustomize-controller",
        "Apply",
        json!({"f:spec": {"f:replicas": {}}}),
    );
    let mut patched = kustomization("apps");
    patched["spec"]["patches"] = json!([{"patch": "other"}]);
    let found = examine(&ward([canary(), target.clone(), patched.clone()]));
    assert!(
        found[0].fix.contains(r#""path":"/spec/patches/-""#),
        "{}",
        found[0].fix
    );
    patched["metadata"]["labels"] = json!({"kustomize.toolkit.fluxcd.io/name": "flux-system",
        "kustomize.toolkit.fluxcd.io/namespace": "flux-system"});
    let found = examine(&ward([canary(), target.clone(), patched]));
    assert!(
        found[0]
            .fix
            .contains("in git, in the manifest of Kustomization/flux-system/apps"),
        "{}",
        found[0].fix
    );

    let mut knows = ward([canary(), target, kustomization("apps")]);
    let schema = json!({"spec": {"versions": [{"schema": {"openAPIV3Schema": {"properties": {"spec": {"properties":
        {"ignore": {}}}}}}}]}});
    knows.definitions = Some(Definitions {
        canary: crate::canary::crd::all().into_iter().next().map(Object::from),
        kustomization: Some(Object::from(schema)),
    });
    let found = examine(&knows);
    assert!(
        found[0].fix.contains(r#""path":"/spec/ignore""#),
        "{}",
        found[0].fix
    );
}

#[test]
fn a_flagger_on_the_same_namespaces_is_found() {
    let flagger = |replicas: i64, args: &[&str]| {
        json!({"apiVersion": "apps/v1", "kind": "Deployment", "metadata": {"name": "flagger", "namespace": "mesh"},
            "spec": {"replicas": replicas, "template": {"spec": {"containers": [
                {"name": "flagger", "image": "example.com/fluxcd/flagger:1.44.0", "args": args}]}}}})
    };
    let found = |flagger: Value| codes(&examine(&ward([canary(), target(), flagger]))).join(",");
    assert_eq!(found(flagger(1, &[])), "flagger");
    assert_eq!(found(flagger(0, &[])), "");
    assert_eq!(found(flagger(1, &["-namespace=other"])), "");
    assert_eq!(found(flagger(1, &["-namespace=test"])), "flagger");
}

#[test]
fn definitions_that_drop_serins_fields_are_found() {
    let with = |canary: Option<Object>| {
        let mut ward = ward([]);
        ward.definitions = Some(Definitions {
            canary,
            kustomization: None,
        });
        examine(&ward)
    };
    let missing = with(None);
    assert!(
        missing[0].problem.contains("not installed")
            && missing[0].fix.starts_with("serin crd | kubectl apply")
    );
    let flaggers = json!({"spec": {"versions": [{"storage": true, "schema": {"openAPIV3Schema": {"properties":
        {"status": {"properties": {"phase": {}}}}}}}]}});
    assert_eq!(codes(&with(Some(Object::from(flaggers)))), ["crd"]);
    assert_eq!(
        with(crate::canary::crd::all().into_iter().next().map(Object::from)),
        []
    );
}

#[test]
fn missing_rights_are_told_as_rules() {
    let mut ward = ward([]);
    for verb in ["create", "patch"] {
        ward.denied.push(Denied {
            namespace: "test".to_owned(),
            group: String::new(),
            resource: "services".to_owned(),
            name: String::new(),
            verb: verb.to_owned(),
        });
    }
    let found = examine(&ward);
    assert_eq!(codes(&found), ["rbac"]);
    let rule = "- apiGroups: [\"\"]\n  resources: [services]\n  verbs: [create, patch]";
    assert!(found[0].fix.ends_with(rule), "{}", found[0].fix);
}

#[test]
fn a_target_without_a_selector_label_is_found() {
    let mut target = target();
    target["spec"]["selector"]["matchLabels"] = json!({"component": "web"});
    let found = examine(&ward([canary(), target]));
    assert_eq!(codes(&found), ["labels"]);
    assert!(
        found[0]
            .fix
            .ends_with("--selector-labels=app,name,app.kubernetes.io/name,component")
    );
}

#[test]
fn an_apex_service_that_flux_applies_is_found_until_it_is_let_go() {
    let service =
        json!({"apiVersion": "v1", "kind": "Service", "metadata": {"name": "podinfo", "namespace": "test"}});
    let mut service = managed(
        service,
        "kustomize-controller",
        "Apply",
        json!({"f:spec": {"f:selector": {}}}),
    );
    let found = examine(&ward([canary(), target(), service.clone()]));
    assert_eq!(codes(&found), ["service"]);
    let mut ports = service.clone();
    ports["metadata"]["managedFields"][0]["fieldsV1"] = json!({"f:spec": {"f:ports": {}}});
    assert_eq!(codes(&examine(&ward([canary(), target(), ports]))), ["service"]);
    service["metadata"]["annotations"] = json!({"kustomize.toolkit.fluxcd.io/reconcile": "disabled"});
    assert_eq!(examine(&ward([canary(), target(), service])), []);
}

#[test]
fn two_owners_and_two_canaries_are_found() {
    let mut owners = ["apps", "more"].map(kustomization);
    for owner in &mut owners {
        owner["status"] =
            json!({"inventory": {"entries": [{"id": "test_podinfo_apps_Deployment", "v": "v1"}]}});
    }
    let [first, second] = owners;
    let found = examine(&ward([canary(), target(), first, second]));
    assert_eq!(
        (codes(&found), found[0].object.as_str()),
        (vec!["two-owners"], "Deployment/test/podinfo")
    );
    let mut rival = canary();
    rival["metadata"]["name"] = json!("rival");
    assert_eq!(codes(&examine(&ward([canary(), rival, target()]))), ["rivals"]);
}

#[test]
fn a_helm_release_that_corrects_drift_is_found() {
    let mut target = target();
    target["metadata"]["labels"] = json!({"helm.toolkit.fluxcd.io/name": "podinfo",
        "helm.toolkit.fluxcd.io/namespace": "test"});
    let release = |detection: Value| {
        json!({"apiVersion": "helm.toolkit.fluxcd.io/v2", "kind": "HelmRelease",
            "metadata": {"name": "podinfo", "namespace": "test"}, "spec": {"driftDetection": detection}})
    };
    let found = |detection: Value| examine(&ward([canary(), target.clone(), release(detection)]));
    let sick = found(json!({"mode": "enabled"}));
    assert_eq!(codes(&sick), ["helm-drift"]);
    assert!(
        sick[0].fix.contains(r#""path":"/spec/driftDetection/ignore""#),
        "{}",
        sick[0].fix
    );
    assert_eq!(found(json!({"mode": "warn"})), []);
    let ignored = json!({"mode": "enabled", "ignore": [{"paths": ["/spec/replicas"], "target": {"kind": "Deployment"}}]});
    assert_eq!(found(ignored), []);
}

#[test]
fn suspension_is_a_note_and_a_stalled_canary_is_told() {
    let mut suspended = kustomization("apps");
    suspended["spec"]["suspend"] = json!(true);
    let found = examine(&ward([canary(), target(), suspended]));
    assert_eq!((codes(&found), is_sick(&found)), (vec!["suspended"], false));
    let mut stalled = canary();
    stalled["status"] = json!({"conditions": [{"type": "Stalled", "status": "True", "reason": "NotImplemented",
        "message": "provider istio"}]});
    let found = examine(&ward([stalled, target()]));
    assert!(codes(&found) == ["stalled"] && found[0].problem == "Stalled: NotImplemented: provider istio");
}

/// A canary whose sidecar has seen something to be set back.
fn drifting(object: &str, field: &str, manager: &str, by: Option<&str>) -> Value {
    let mut canary = canary();
    canary["status"] = json!({"drift": [{"run": "1-ab", "object": object, "field": field, "manager": manager,
        "appliedBy": by, "at": "2026-01-01T00:00:10.123456Z"}]});
    canary
}

#[test]
fn what_the_sidecar_has_put_back_is_found_until_flux_leaves_it_alone() {
    let target = managed(
        target(),
        "serin-scale",
        "Apply",
        json!({"f:spec": {"f:replicas": {}}}),
    );
    let at = |put_back: &str, history: Value| {
        let mut target = target.clone();
        target["metadata"]["managedFields"][0]["time"] = json!(put_back);
        let mut flux = kustomization("apps");
        flux["status"] = json!({"history": history});
        let by = Some("Kustomization/flux-system/apps");
        let canary = drifting(
            "Deployment/test/podinfo",
            "spec.replicas",
            "kustomize-controller",
            by,
        );
        examine(&ward([canary, target, flux]))
    };
    let put_back = "2026-01-01T00:00:20Z";
    let found = at(put_back, json!([]));
    assert_eq!((codes(&found), is_sick(&found)), (vec!["replicas"], true));
    assert_eq!(
        found[0].problem,
        "kustomize-controller (Kustomization/flux-system/apps) changed spec.replicas (first seen at \
         2026-01-01T00:00:10Z): Serin scales it, and will again"
    );
    assert!(
        found[0].fix.contains("patch kustomization apps"),
        "{}",
        found[0].fix
    );
    let ended = |at: &str, took: &str| json!([{"lastReconciled": at, "lastReconciledDuration": took}]);
    let long = at(put_back, ended("2026-01-01T00:02:00Z", "1m45s"));
    assert_eq!(codes(&long), ["replicas"], "it began before Serin put it back");
    let odd = at(put_back, ended("soon", "x"));
    assert_eq!(codes(&odd), ["replicas"]);
    let later = at(put_back, ended("2026-01-01T00:00:22Z", "345.6ms"));
    assert_eq!(later, [], "Flux let it be");
}

#[test]
fn what_a_person_has_set_back_is_a_note() {
    let of = |canary: Value| examine(&ward([canary, target()]));
    let once = of(drifting(
        "Deployment/test/podinfo",
        "spec.replicas",
        "kubectl-edit",
        None,
    ));
    assert_eq!((codes(&once), is_sick(&once)), (vec!["drift"], false));
    assert!(once[0].fix.contains("patch canary podinfo"), "{}", once[0].fix);
    let deleted = of(drifting("Service/test/podinfo-canary", "", "", None));
    assert_eq!((codes(&deleted), is_sick(&deleted)), (vec!["drift"], false));
    let other = of(drifting(
        "Deployment/test/podinfo",
        "spec.replicas",
        "keda-operator",
        None,
    ));
    assert_eq!((codes(&other), is_sick(&other)), (vec!["replicas"], true));
}

#[test]
fn a_service_that_flux_set_back_is_found_with_what_lets_it_go() {
    let service = json!({"apiVersion": "v1", "kind": "Service", "metadata": {"name": "podinfo-canary", "namespace": "test"}});
    let by = Some("HelmRelease/test/podinfo");
    let canary = drifting(
        "Service/test/podinfo-canary",
        "spec.selector.app",
        "helm-controller",
        by,
    );
    let release = |mode: &str| {
        json!({"apiVersion": "helm.toolkit.fluxcd.io/v2", "kind": "HelmRelease",
            "metadata": {"name": "podinfo", "namespace": "test"}, "spec": {"driftDetection": {"mode": mode}}})
    };
    let found = examine(&ward([
        canary.clone(),
        target(),
        service.clone(),
        release("enabled"),
    ]));
    assert_eq!((codes(&found), is_sick(&found)), (vec!["drift"], true));
    assert!(
        found[0]
            .fix
            .contains("kubectl -n test patch service podinfo-canary --type=merge -p '"),
        "{}",
        found[0].fix
    );
    let found = examine(&ward([canary, target(), service, release("disabled")]));
    assert!(!is_sick(&found), "it acts with an upgrade only: {found:?}");
}

use std::{collections::BTreeSet, sync::Arc};

use serde_json::json;

use super::{
    super::{examine, is_sick},
    *,
};
use crate::{
    manifest::Object,
    plan::part::{Part, PartName},
};

fn canary() -> Value {
    json!({"apiVersion": "flagger.app/v1beta1", "kind": "Canary",
        "metadata": {"name": "podinfo", "namespace": "test", "uid": "u"},
        "spec": {"provider": "skipper", "service": {"port": 80}, "analysis": {"iterations": 3, "interval": "10s"},
            "ingressRef": {"apiVersion": "networking.k8s.io/v1", "kind": "Ingress", "name": "podinfo"},
            "targetRef": {"apiVersion": "apps/v1", "kind": "Deployment", "name": "podinfo"}}})
}

/// Declares an object, in a file of its own or built of some.
fn declare(ward: &mut Ward, object: Value, sources: &[(&str, &str)]) {
    let object = Object::from(object);
    let key = Arc::new(object.key());
    let root: BTreeSet<String> = sources.iter().map(|(file, _)| (*file).to_owned()).collect();
    let placed = Placed {
        object,
        file: "app.yaml".into(),
        line: 3,
        unknown: None,
        substituted: false,
        secret: false,
        root: (!root.is_empty()).then(|| Arc::new(root)),
    };
    let known = ward.manifests.take();
    let mut parts = known.map(|known| known.parts.clone()).unwrap_or_default();
    let mut part = Part::new(PartName::File(format!("{}.yaml", parts.len())), BTreeSet::new());
    part.objects.push((key, placed));
    parts.push(Arc::new(part));
    ward.manifests = Some(Arc::new(Manifests::of(parts, Vec::new(), &Manifests::default())));
    for (file, text) in sources {
        ward.sources.insert((*file).to_owned(), documents(text));
    }
}

fn ward() -> Ward {
    let mut ward = Ward::default();
    ward.admit([Object::from(canary())]);
    ward
}

fn deployment(replicas: Option<i64>) -> Value {
    let mut object = json!({"apiVersion": "apps/v1", "kind": "Deployment",
        "metadata": {"name": "podinfo", "namespace": "test"}, "spec": {"paused": false}});
    if let Some(replicas) = replicas {
        object["spec"]["replicas"] = json!(replicas);
    }
    object
}

fn fix_of_replicas(sources: &[(&str, &str)]) -> String {
    let mut ward = ward();
    declare(&mut ward, deployment(Some(2)), sources);
    let found = examine(&ward);
    assert_eq!(
        found.iter().map(|found| found.code).collect::<Vec<_>>(),
        ["replicas-in-git"]
    );
    assert_eq!(
        found[0].problem,
        "app.yaml:3 declares spec.replicas, which the rollout scales"
    );
    found[0].fix.clone()
}

const BASE: (&str, &str) = (
    "base/app.yaml",
    "kind: Deployment\nmetadata: {name: podinfo}\nspec: {paused: false}",
);

#[test]
fn the_place_where_a_build_has_its_replicas_from_is_named() {
    assert_eq!(fix_of_replicas(&[]), "take `replicas` out of app.yaml");
    let counts = (
        "over/kustomization.yaml",
        "replicas: [{name: other, count: 1}, {name: podinfo, count: 2}]",
    );
    assert_eq!(
        fix_of_replicas(&[BASE, counts]),
        "take `podinfo` of `replicas` out of over/kustomization.yaml"
    );
    let plain = (
        "base/app.yaml",
        "---\nkind: Service\n---\nkind: Deployment\nmetadata: {name: podinfo}\nspec: {replicas: 2}",
    );
    assert_eq!(fix_of_replicas(&[plain]), "take `replicas` out of base/app.yaml");
    let merge = "patches:\n- patch: |\n    kind: Deployment\n    metadata: {name: podinfo}\n    spec: {replicas: 2}\n";
    let inline = ("over/kustomization.yaml", merge);
    assert_eq!(
        fix_of_replicas(&[BASE, inline]),
        "take spec.replicas of the patch out of over/kustomization.yaml"
    );
    let operation = (
        "over/patch.yaml",
        "- {op: replace, path: /spec/replicas, value: 2}",
    );
    assert_eq!(
        fix_of_replicas(&[BASE, operation]),
        "take the operation on /spec/replicas out of over/patch.yaml"
    );
    let unclear = [
        BASE,
        ("over/kustomization.yaml", "resources: [../base]"),
        ("over/odd.yaml", "a: ["),
    ];
    assert_eq!(
        fix_of_replicas(&unclear),
        "take `replicas` out of base/app.yaml and `replicas` out of over/kustomization.yaml and `replicas` out of over/odd.yaml"
    );
    let both = [plain, counts];
    assert!(fix_of_replicas(&both).contains(" and "), "each of them");
}

#[test]
fn a_manifest_with_the_fix_has_no_finding() {
    let mut ward = ward();
    declare(&mut ward, deployment(None), &[]);
    let apex = json!({"apiVersion": "networking.k8s.io/v1", "kind": "Ingress",
        "metadata": {"name": "podinfo", "namespace": "test", "annotations": {"zalando.org/backend-weights": "{\"x\": 1}"}},
        "spec": {"rules": [{"http": {"paths": [{"backend": {"service": {"name": "podinfo"}}}]}}]}});
    declare(&mut ward, apex, &[]);
    assert_eq!(examine(&ward), []);
}

#[test]
fn what_the_rollout_makes_is_not_declared_in_git() {
    let made = [
        ("v1", "Service", "podinfo", "service-in-git"),
        ("v1", "Service", "podinfo-primary", "generated-in-git"),
        ("v1", "Service", "podinfo-canary", "generated-in-git"),
        ("apps/v1", "Deployment", "podinfo-primary", "generated-in-git"),
        (
            "networking.k8s.io/v1",
            "Ingress",
            "podinfo-canary",
            "generated-in-git",
        ),
    ];
    for (version, kind, name, code) in made {
        let mut ward = ward();
        let object =
            json!({"apiVersion": version, "kind": kind, "metadata": {"name": name, "namespace": "test"}});
        let text = format!("kind: {kind}\nmetadata: {{name: {name}}}");
        declare(
            &mut ward,
            object,
            &[
                ("base/all.yaml", text.as_str()),
                ("kustomization.yaml", "resources: [base]"),
            ],
        );
        let found = examine(&ward);
        assert_eq!(
            found.iter().map(|found| found.code).collect::<Vec<_>>(),
            [code],
            "{kind} {name}"
        );
        let fix = format!("take the {kind} out of base/all.yaml; ");
        assert!(found[0].fix.starts_with(&fix), "{}", found[0].fix);
    }
}

fn ingress(annotation: Option<(&str, &str)>, backend: &str) -> Value {
    let mut object = json!({"apiVersion": "networking.k8s.io/v1", "kind": "Ingress",
        "metadata": {"name": "mine", "namespace": "test"},
        "spec": {"rules": [{"http": {"paths": [{"backend": {"service": {"name": backend}}}]}}]}});
    if let Some((name, value)) = annotation {
        object["metadata"]["annotations"] = json!({name: value});
    }
    object
}

#[test]
fn weights_of_ones_own_are_found_in_git_and_live() {
    let weights = Some((
        "zalando.org/backend-weights",
        r#"{"podinfo-canary": 10, "podinfo-primary": 90}"#,
    ));
    let nginx = Some(("nginx.ingress.kubernetes.io/canary-weight", "10"));
    let cases = [
        (weights, "podinfo", true),
        (nginx, "podinfo-canary", true),
        (None, "podinfo-canary", false),
    ];
    for (annotation, backend, sick) in cases {
        let mut in_git = ward();
        declare(&mut in_git, ingress(annotation, backend), &[]);
        let found = examine(&in_git);
        assert_eq!(
            found.iter().map(|found| found.code).collect::<Vec<_>>(),
            ["route-in-git"]
        );
        assert_eq!(is_sick(&found), sick);
        assert!(found[0].fix.starts_with("in app.yaml: "), "{}", found[0].fix);
        let mut live = ward();
        live.admit([Object::from(ingress(annotation, backend))]);
        let found = examine(&live);
        assert_eq!(
            found.iter().map(|found| found.code).collect::<Vec<_>>(),
            ["route"]
        );
        if let Some((name, _)) = annotation {
            assert_eq!(
                found[0].fix,
                format!("kubectl -n test annotate ingress mine {name}-")
            );
        }
    }
    for harmless in [ingress(nginx, "other"), ingress(None, "podinfo")] {
        let mut fine = ward();
        declare(&mut fine, harmless.clone(), &[]);
        fine.admit([Object::from(harmless)]);
        assert_eq!(examine(&fine), []);
    }
}

#[test]
fn the_ingress_that_the_rollout_makes_is_no_finding_unless_another_declares_it_too() {
    let mut own = ingress(
        Some((
            "zalando.org/backend-weights",
            r#"{"podinfo-canary": 10, "podinfo-primary": 90}"#,
        )),
        "podinfo-canary",
    );
    own["metadata"]["name"] = json!("podinfo-canary");
    own["metadata"]["ownerReferences"] = json!([{"apiVersion": "flagger.app/v1beta1", "kind": "Canary", "name": "podinfo", "controller": true}]);
    let found = |object: &Value| {
        let mut ward = ward();
        ward.admit([Object::from(object.clone())]);
        examine(&ward)
    };
    assert_eq!(found(&own), []);
    own["metadata"]["managedFields"] = json!([{"manager": "kustomize-controller", "operation": "Apply", "fieldsV1":
        {"f:metadata": {"f:annotations": {"f:zalando.org/backend-weights": {}}}}}]);
    let both = found(&own);
    assert_eq!((both[0].code, both.len()), ("generated", 1));
    // The fix, as the command does it.
    own["metadata"]["annotations"]["kustomize.toolkit.fluxcd.io/reconcile"] = json!("disabled");
    assert!(
        both[0]
            .fix
            .contains("patch ingress podinfo-canary --type=merge -p '{\"metadata\":{\"annotations\":{"),
        "{}",
        both[0].fix
    );
    assert_eq!(found(&own), []);
}

#[test]
fn an_autoscaler_of_the_target_is_a_note_until_it_scales_the_primary() {
    let mut autoscaler = json!({"apiVersion": "autoscaling/v2", "kind": "HorizontalPodAutoscaler",
        "metadata": {"name": "podinfo", "namespace": "test"},
        "spec": {"scaleTargetRef": {"kind": "Deployment", "name": "podinfo"}}});
    let found = |object: &Value| {
        let mut ward = ward();
        ward.admit([Object::from(object.clone())]);
        examine(&ward)
    };
    let noted = found(&autoscaler);
    assert_eq!((noted[0].code, is_sick(&noted)), ("autoscaler", false));
    let patch = noted[0].fix.split('\'').nth(1).unwrap();
    let patch: Value = serde_json::from_str(patch).unwrap();
    json_patch::merge(&mut autoscaler, &patch);
    assert_eq!(found(&autoscaler), []);
}

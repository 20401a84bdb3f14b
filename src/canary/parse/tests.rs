use std::time::Duration;

use serde_json::{Value, json};

use super::*;
use crate::canary::{HookKind, Query, Range, Strategy};

fn skipper() -> Value {
    json!({
        "apiVersion": "flagger.app/v1beta1", "kind": "Canary",
        "metadata": { "name": "podinfo", "namespace": "test", "uid": "u1", "generation": 3 },
        "spec": {
            "provider": "skipper",
            "targetRef": { "apiVersion": "apps/v1", "kind": "Deployment", "name": "podinfo" },
            "ingressRef": { "apiVersion": "networking.k8s.io/v1", "kind": "Ingress", "name": "podinfo-ingress" },
            "progressDeadlineSeconds": 60,
            "service": { "port": 80, "targetPort": 9898, "apex": { "labels": { "team": "a" } } },
            "analysis": {
                "interval": "10s", "threshold": 10, "maxWeight": 60, "stepWeight": 20,
                "metrics": [
                    { "name": "request-success-rate", "interval": "1m", "thresholdRange": { "min": 99 } },
                    { "name": "latency", "thresholdRange": { "max": 500.5 },
                      "templateRef": { "name": "latency" }, "templateVariables": { "a": "b" } }
                ],
                "webhooks": [
                    { "name": "gate", "type": "confirm-promotion", "url": "http://gate.test/gate/approve" },
                    { "name": "load-test", "type": "rollout", "url": "http://loadtester.test/", "timeout": "5s",
                      "metadata": { "type": "cmd", "cmd": "hey -z 10s http://podinfo-canary.test" } }
                ]
            }
        }
    })
}

fn parse(value: &Value) -> Result<Canary, SpecError> {
    Canary::parse(&Object::from(value.clone()), &Defaults::default())
}

/// Sets a field by its pointer; the parent exists.
fn with(mut value: Value, pointer: &str, new: Value) -> Value {
    let (parent, name) = pointer.rsplit_once('/').unwrap();
    value.pointer_mut(parent).unwrap()[name] = new;
    value
}

fn without(mut value: Value, pointer: &str) -> Value {
    let (parent, name) = pointer.rsplit_once('/').unwrap();
    let parent = value.pointer_mut(parent).unwrap().as_object_mut().unwrap();
    parent.remove(name).unwrap();
    value
}

/// Returns the fields that are at fault.
fn faults(value: &Value) -> Vec<String> {
    let error = parse(value).unwrap_err();
    assert!(error.faults.iter().all(|fault| !fault.hint.is_empty()), "{error}");
    error.faults.into_iter().map(|fault| fault.field).collect()
}

fn stalled_by(canary: &Canary) -> Vec<(&str, bool)> {
    let list = &canary.spec.not_implemented;
    list.iter()
        .map(|item| (item.field.as_str(), item.gates))
        .collect()
}

#[test]
fn reads_a_canary_of_today() {
    let canary = parse(&skipper()).unwrap();
    assert_eq!(
        (canary.namespace.as_str(), canary.uid.as_str(), canary.generation),
        ("test", "u1", 3)
    );
    let spec = canary.spec;
    assert_eq!(spec.provider, Provider::Skipper);
    assert_eq!(spec.ingress.as_deref(), Some("podinfo-ingress"));
    assert_eq!(spec.progress_deadline, Duration::from_secs(60));
    assert_eq!(spec.drain, Duration::from_secs(5));
    assert_eq!(spec.service.name, "podinfo");
    assert_eq!((spec.service.port, spec.service.port_name.as_str()), (80, "http"));
    assert_eq!(spec.service.target_port, Some(json!(9898)));
    assert_eq!(spec.service.apex.labels["team"], "a");
    assert_eq!(spec.analysis.interval, Duration::from_secs(10));
    assert_eq!(spec.analysis.threshold, 10);
    assert_eq!(spec.analysis.strategy, Strategy::Weights(vec![20, 40, 60]));
    let [rate, latency] = spec.analysis.metrics.as_slice() else {
        panic!()
    };
    assert_eq!((&rate.query, rate.range.min), (&Query::SuccessRate, Some(99.0)));
    assert_eq!(
        latency.range,
        Range {
            min: None,
            max: Some(500.5)
        }
    );
    assert!(matches!(&latency.query, Query::Template(t) if t.namespace == "test" && t.name == "latency"));
    assert_eq!(latency.interval, Duration::from_secs(60));
    let [gate, load] = spec.analysis.hooks.as_slice() else {
        panic!()
    };
    assert_eq!(
        (gate.kind, gate.timeout),
        (HookKind::ConfirmPromotion, Duration::from_secs(10))
    );
    assert_eq!(
        (load.kind, load.timeout),
        (HookKind::Rollout, Duration::from_secs(5))
    );
    assert_eq!(spec.warnings, Vec::<String>::new());
    assert_eq!(spec.not_implemented, []);
}

/// The Service target of seed 000, as it stands there.
#[test]
fn reads_the_seed_with_a_service_target() {
    let seed = json!({
        "apiVersion": "flagger.app/v1alpha3", "kind": "Canary", "metadata": { "name": "podinfo" },
        "spec": {
            "provider": "kubernetes",
            "targetRef": { "apiVersion": "core/v1", "kind": "Service", "name": "podinfo" },
            "service": { "port": 9898 },
            "canaryAnalysis": { "interval": "10s", "threshold": 2, "iterations": 2, "metrics": [] }
        }
    });
    let spec = parse(&seed).unwrap().spec;
    assert_eq!(spec.target.kind, TargetKind::Service);
    assert_eq!(spec.analysis.strategy, Strategy::Iterations(2));
    assert_eq!(spec.analysis.threshold, 2);
    assert_eq!(spec.drain, Duration::ZERO);
    assert_eq!(spec.warnings, Vec::<String>::new());
    assert_eq!(spec.not_implemented, []);
}

/// The Istio tutorial of seed 001: v1alpha3, `threshold` of metrics, an autoscaler of an old version.
#[test]
fn reads_the_seed_for_istio_and_says_what_is_missing() {
    let seed = json!({
        "apiVersion": "flagger.app/v1alpha3", "kind": "Canary",
        "metadata": { "name": "podinfo", "namespace": "test" },
        "spec": {
            "targetRef": { "apiVersion": "apps/v1", "kind": "Deployment", "name": "podinfo" },
            "progressDeadlineSeconds": 60,
            "autoscalerRef": { "apiVersion": "autoscaling/v2beta1", "kind": "HorizontalPodAutoscaler", "name": "podinfo" },
            "service": { "port": 9898, "gateways": ["mesh"], "hosts": ["app.example.com"] },
            "canaryAnalysis": {
                "interval": "1m", "threshold": 5, "maxWeight": 50, "stepWeight": 10,
                "metrics": [
                    { "name": "request-success-rate", "threshold": 99, "interval": "1m" },
                    { "name": "request-duration", "threshold": 500, "interval": "30s" }
                ],
                "webhooks": [{ "name": "load-test", "url": "http://flagger-loadtester.test/", "timeout": "5s" }]
            }
        }
    });
    let canary = parse(&seed).unwrap();
    assert_eq!(canary.spec.provider, Provider::Istio);
    let gating = [("spec.provider=istio", true), ("spec.autoscalerRef", true)];
    assert_eq!(stalled_by(&canary), gating);
    assert_eq!(
        canary.spec.analysis.strategy,
        Strategy::Weights(vec![10, 20, 30, 40, 50])
    );
    let ranges: Vec<_> = canary.spec.analysis.metrics.iter().map(|m| m.range).collect();
    assert_eq!(
        ranges[0],
        Range {
            min: Some(99.0),
            max: None
        }
    );
    assert_eq!(
        ranges[1],
        Range {
            min: None,
            max: Some(500.0)
        }
    );
}

#[test]
fn says_everything_that_is_wrong_at_once() {
    let mut bad = skipper();
    bad["spec"]["provider"] = json!("itsio");
    bad["spec"]["service"]["port"] = json!(70_000);
    bad["spec"]["analysis"]["interval"] = json!("10");
    bad["spec"]["analysis"]["metrics"][1]["templateRef"] = json!({});
    bad["spec"]["analysis"]["webhooks"][0]["url"] = json!("ftp://user:secret@gate.test");
    bad["spec"]["analysis"]["webhooks"][1]["type"] = json!("confirm");
    assert_eq!(
        faults(&bad),
        [
            "spec.provider",
            "spec.analysis.interval",
            "spec.analysis.metrics[1].templateRef.name",
            "spec.analysis.webhooks[0].url",
            "spec.analysis.webhooks[1].type",
            "spec.service.port",
        ]
        .into_iter()
        // The router is not known, so neither is what it can do with steps.
        .collect::<Vec<_>>()
    );
    let error = parse(&bad).unwrap_err();
    assert!(
        error
            .to_string()
            .starts_with("Canary/test/podinfo is not valid: spec.provider: `itsio` is no")
    );
    assert!(error.hint().unwrap().contains("kubernetes"));
    assert!(!format!("{error:?}").contains("secret"));
    assert_eq!(error.class(), Class::UserMustFix);
}

#[test]
fn refuses_what_cannot_be_meant() {
    for (pointer, value, field) in [
        (
            "/spec/targetRef/kind",
            json!("StatefulSet"),
            "spec.targetRef.kind",
        ),
        ("/spec/targetRef/name", json!(""), "spec.targetRef.name"),
        (
            "/spec/targetRef/apiVersion",
            json!("v1"),
            "spec.targetRef.apiVersion",
        ),
        ("/spec/analysis/stepWeight", json!(0), "spec.analysis"),
        (
            "/spec/analysis/stepWeight",
            json!(101),
            "spec.analysis.stepWeight",
        ),
        (
            "/spec/analysis/stepWeight",
            json!("20"),
            "spec.analysis.stepWeight",
        ),
        ("/spec/analysis/interval", json!("-10s"), "spec.analysis.interval"),
        ("/spec/analysis/metrics", json!({}), "spec.analysis.metrics"),
        (
            "/spec/analysis/metrics",
            json!([{ "name": "errors" }]),
            "spec.analysis.metrics[0]",
        ),
        (
            "/spec/progressDeadlineSeconds",
            json!(0),
            "spec.progressDeadlineSeconds",
        ),
        (
            "/spec/metricsServer",
            json!("prometheus:9090"),
            "spec.metricsServer",
        ),
        ("/spec/service/targetPort", json!(0), "spec.service.targetPort"),
        ("/spec/skipAnalysis", json!("yes"), "spec.skipAnalysis"),
        ("/metadata/name", json!(7), "metadata.name"),
    ] {
        let found = faults(&with(skipper(), pointer, value.clone()));
        assert!(found.iter().any(|f| f == field), "{pointer} {value}: {found:?}");
    }
    assert_eq!(
        faults(&without(skipper(), "/spec/ingressRef")),
        ["spec.ingressRef"]
    );
    assert_eq!(faults(&without(skipper(), "/spec/service")), ["spec.service"]);
    assert_eq!(
        faults(&without(skipper(), "/spec/service/port")),
        ["spec.service.port"]
    );
    assert_eq!(faults(&with(skipper(), "/kind", json!("Deployment"))), ["kind"]);
}

#[test]
fn listed_weights_must_ascend() {
    let listed = |list: Value| {
        let value = without(skipper(), "/spec/analysis/stepWeight");
        with(value, "/spec/analysis/stepWeights", list)
    };
    let spec = parse(&listed(json!([1, 5, 50, 100]))).unwrap().spec;
    assert_eq!(spec.analysis.strategy, Strategy::Weights(vec![1, 5, 50, 100]));
    assert_eq!(faults(&listed(json!([10, 10]))), ["spec.analysis.stepWeights[1]"]);
    assert_eq!(faults(&listed(json!([0]))), ["spec.analysis.stepWeights[0]"]);
    assert_eq!(faults(&listed(json!([]))), ["spec.analysis"]);
    let both = with(skipper(), "/spec/analysis/stepWeights", json!([1]));
    assert_eq!(parse(&both).unwrap().spec.analysis.strategy.checks(), 3);
}

#[test]
fn provider_kubernetes_counts_iterations_instead() {
    let mut value = with(skipper(), "/spec/provider", json!("kubernetes"));
    value["spec"]["analysis"]["match"] = json!([{ "headers": { "a": { "exact": "b" } } }]);
    let canary = parse(&value).unwrap();
    assert_eq!(canary.spec.analysis.strategy, Strategy::Iterations(10));
    assert_eq!(
        canary.spec.warnings,
        [
            "A/B testing is not supported when using the kubernetes provider",
            "Progressive traffic is not supported when using the kubernetes provider",
            "Setting canaryAnalysis.iterations: 10",
        ]
    );
    assert_eq!(canary.spec.not_implemented, []);
}

#[test]
fn what_gates_is_told_from_what_informs() {
    let mut value = skipper();
    let analysis = value["spec"]["analysis"].as_object_mut().unwrap();
    analysis.insert("match".into(), json!([{}]));
    analysis.insert("mirror".into(), json!(true));
    analysis.insert("sessionAffinity".into(), json!({ "cookieName": "c" }));
    analysis.insert("stepWeightPromotion".into(), json!(10));
    analysis.insert("alerts".into(), json!([{ "name": "a" }]));
    let types = [
        "pre-rollout",
        "post-rollout",
        "event",
        "rollback",
        "confirm-rollout",
    ];
    let hooks: Vec<_> = types
        .iter()
        .map(|kind| json!({ "name": kind, "type": kind, "url": "http://a.test" }))
        .collect();
    analysis.insert("webhooks".into(), json!(hooks));
    value["spec"]["revertOnDeletion"] = json!(true);
    let canary = parse(&value).unwrap();
    assert_eq!(
        stalled_by(&canary),
        [
            ("spec.revertOnDeletion", true),
            ("spec.analysis.mirror", true),
            ("spec.analysis.sessionAffinity", true),
            ("spec.analysis.stepWeightPromotion", true),
            ("spec.analysis.alerts", false),
            ("spec.analysis.match", true),
            ("spec.analysis.webhooks[0].type=pre-rollout", true),
            ("spec.analysis.webhooks[1].type=post-rollout", false),
            ("spec.analysis.webhooks[2].type=event", false),
            ("spec.analysis.webhooks[3].type=rollback", true),
            ("spec.analysis.webhooks[4].type=confirm-rollout", true),
        ]
    );
    assert_eq!(canary.spec.analysis.hooks, []);

    let off = with(skipper(), "/spec/analysis/mirror", json!(false));
    assert_eq!(parse(&off).unwrap().spec.not_implemented, []);
    let set = with(skipper(), "/spec/targetRef/kind", json!("DaemonSet"));
    assert_eq!(
        stalled_by(&parse(&set).unwrap()),
        [("spec.targetRef.kind=DaemonSet", true)]
    );
    let knative = json!({ "apiVersion": "serving.knative.dev/v1", "kind": "Service", "name": "podinfo" });
    let knative = with(skipper(), "/spec/targetRef", knative);
    let field = "spec.targetRef.apiVersion=serving.knative.dev/v1";
    assert_eq!(stalled_by(&parse(&knative).unwrap()), [(field, true)]);
}

#[test]
fn defaults_are_flaggers_with_a_lower_floor() {
    let mut value = skipper();
    value["spec"]["analysis"] = json!({ "stepWeight": 50, "interval": "200ms", "threshold": -1 });
    let spec = parse(&value).unwrap().spec;
    assert_eq!(
        (spec.analysis.interval, spec.analysis.threshold),
        (Duration::from_secs(1), 1)
    );
    assert_eq!(spec.warnings, ["spec.analysis.interval is below 1s, 1s is used"]);
    value["spec"]["analysis"] = json!({ "stepWeight": 50 });
    let spec = parse(&value).unwrap().spec;
    assert_eq!(
        (spec.analysis.interval, spec.analysis.threshold),
        (Duration::from_secs(60), 1)
    );
    assert_eq!(spec.analysis.strategy, Strategy::Weights(vec![50, 100]));
}

#[test]
fn no_analysis_means_no_checks() {
    let spec = parse(&without(skipper(), "/spec/analysis")).unwrap().spec;
    assert!(spec.skip_analysis);
    assert_eq!(spec.warnings.len(), 1, "{:?}", spec.warnings);
}

#[test]
fn metrics_without_a_limit_pass_or_fail_with_a_warning() {
    let metrics = json!([
        { "name": "request-success-rate" },
        { "name": "request-duration", "threshold": 0 },
        { "name": "errors", "query": "up", "thresholdRange": {} },
    ]);
    let spec = parse(&with(skipper(), "/spec/analysis/metrics", metrics))
        .unwrap()
        .spec;
    let ranges: Vec<_> = spec
        .analysis
        .metrics
        .iter()
        .map(|m| (m.range.min, m.range.max))
        .collect();
    assert_eq!(ranges, [(Some(0.0), None), (None, Some(0.0)), (None, Some(0.0))]);
    assert_eq!(spec.warnings.len(), 2, "{:?}", spec.warnings);
}

#[test]
fn names_used_twice_are_told_apart() {
    let hook = json!({ "name": "load", "url": "http://a.test" });
    let value = with(skipper(), "/spec/analysis/webhooks", json!([hook, hook, hook]));
    let spec = parse(&value).unwrap().spec;
    let names: Vec<_> = spec
        .analysis
        .hooks
        .iter()
        .map(|hook| hook.name.as_str())
        .collect();
    assert_eq!(names, ["load", "load-2", "load-3"]);
}

#[test]
fn templates_of_other_namespaces_can_be_refused() {
    let other = json!({ "name": "latency", "namespace": "monitoring" });
    let value = with(skipper(), "/spec/analysis/metrics/1/templateRef", other);
    assert!(parse(&value).is_ok());
    let strict = Defaults {
        no_cross_namespace_refs: true,
        ..Defaults::default()
    };
    assert!(Canary::parse(&Object::from(skipper()), &strict).is_ok());
    let error = Canary::parse(&Object::from(value), &strict).unwrap_err();
    assert_eq!(
        error.faults[0].field,
        "spec.analysis.metrics[1].templateRef.namespace"
    );
}

#[test]
fn fields_of_other_routers_are_not_silently_lost() {
    let value = with(skipper(), "/spec/service/timeout", json!("5s"));
    let spec = parse(&value).unwrap().spec;
    assert_eq!(
        spec.warnings,
        ["spec.service.timeout has no effect with provider skipper"]
    );
}

#[test]
fn nothing_at_all_is_an_error_and_no_panic() {
    for value in [
        json!(null),
        json!([]),
        json!({}),
        json!({ "spec": 1, "metadata": [] }),
    ] {
        assert!(parse(&value).is_err(), "{value}");
    }
}

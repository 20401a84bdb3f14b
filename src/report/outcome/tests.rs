use serde_json::json;

use super::*;
use crate::{
    canary::{Announced, Condition, Defaults, Measurement, RunStatus, Verdict, WaitStatus},
    manifest::Object,
};

fn canary() -> Canary {
    let object = Object::from(json!({
        "apiVersion": "flagger.app/v1beta1", "kind": "Canary",
        "metadata": { "namespace": "test", "name": "podinfo" },
        "spec": {
            "provider": "kubernetes",
            "targetRef": { "apiVersion": "apps/v1", "kind": "Deployment", "name": "podinfo" },
            "service": { "port": 9898 },
            "analysis": { "iterations": 2 }
        }
    }));
    Canary::parse(&object, &Defaults::default()).unwrap()
}

fn status(phase: Phase) -> Status {
    Status {
        phase,
        run: Some(RunStatus::default()),
        ..Status::default()
    }
}

fn said(status: &Status) -> (CommitState, String) {
    let outcome = outcome(&canary(), status);
    (outcome.state, outcome.description)
}

fn waiting(kind: &str, message: &str) -> WaitStatus {
    WaitStatus {
        kind: kind.to_owned(),
        since: "2026-11-22T03:00:00Z".parse().unwrap(),
        deadline: None,
        message: message.to_owned(),
    }
}

fn measured(verdict: Verdict) -> Measurement {
    Measurement {
        name: "request-success-rate".to_owned(),
        run: "1-ab".to_owned(),
        tick: 1,
        weight: 10,
        verdict,
        value: None,
        message: String::new(),
        at: "2026-11-22T03:00:00Z".parse().unwrap(),
    }
}

#[test]
fn only_the_ends_are_terminal() {
    for (phase, state) in [
        (Phase::New, CommitState::Pending),
        (Phase::Initializing, CommitState::Pending),
        (Phase::Initialized, CommitState::Success),
        (Phase::Waiting, CommitState::Pending),
        (Phase::Progressing, CommitState::Pending),
        (Phase::WaitingPromotion, CommitState::Pending),
        (Phase::Promoting, CommitState::Pending),
        (Phase::Finalising, CommitState::Pending),
        (Phase::Succeeded, CommitState::Success),
        (Phase::Failed, CommitState::Failure),
        (Phase::Terminating, CommitState::Error),
    ] {
        assert_eq!(said(&status(phase)).0, state, "{phase:?}");
    }
}

#[test]
fn progress_tells_weight_failures_and_what_is_waited_for() {
    let mut progressing = status(Phase::Progressing);
    progressing.canary_weight = 40;
    assert_eq!(said(&progressing).1, "podinfo.test 40 %");
    progressing.failed_checks = 2;
    assert_eq!(said(&progressing).1, "podinfo.test 40 %, 2 failed checks");
    progressing.run.as_mut().unwrap().wait =
        Some(waiting("CanaryNotReady", "1 of 2 updated replicas are available"));
    assert_eq!(
        said(&progressing).1,
        "podinfo.test 40 %, 2 failed checks, waiting: canary not ready: 1 of 2 updated replicas are available"
    );
    let mut gated = status(Phase::WaitingPromotion);
    gated.canary_weight = 50;
    gated.run.as_mut().unwrap().wait = Some(waiting(
        "PromotionApproval",
        "Halt podinfo.test advancement waiting for promotion approval gate",
    ));
    assert_eq!(
        said(&gated).1,
        "podinfo.test 50 %, waiting for promotion approval gate"
    );
    let mut blue = status(Phase::Progressing);
    blue.iterations = 2;
    assert_eq!(said(&blue).1, "podinfo.test iteration 2");
}

#[test]
fn a_rollback_is_pending_until_it_is_done_and_names_the_check() {
    let mut rolling = status(Phase::Progressing);
    rolling.reason = Some("Halt podinfo.test advancement success rate 61.20% < 99%".to_owned());
    rolling.run.as_mut().unwrap().rolling_back = Some("FailedChecks".to_owned());
    assert_eq!(
        said(&rolling),
        (
            CommitState::Pending,
            "podinfo.test rolling back: request-success-rate 61.20% < 99%".to_owned()
        )
    );
    rolling.phase = Phase::Failed;
    rolling.run.as_mut().unwrap().rolling_back = None;
    assert_eq!(
        said(&rolling),
        (
            CommitState::Failure,
            "rolled back: request-success-rate 61.20% < 99%".to_owned()
        )
    );
}

#[test]
fn a_run_that_nobody_could_judge_is_an_error() {
    let mut failed = status(Phase::Failed);
    failed.reason =
        Some("progress deadline exceeded: Prometheus query failed: cannot reach http://prom".to_owned());
    failed.measurements = vec![measured(Verdict::Passed), measured(Verdict::Unavailable)];
    assert_eq!(
        said(&failed),
        (
            CommitState::Error,
            "could not be evaluated, rolled back: Prometheus query failed: cannot reach http://prom"
                .to_owned()
        )
    );
    failed.measurements.push(measured(Verdict::Passed));
    failed.reason = Some("progress deadline exceeded: canary podinfo.test not ready: x".to_owned());
    assert_eq!(
        said(&failed),
        (
            CommitState::Failure,
            "rolled back: progress deadline exceeded: canary podinfo.test not ready: x".to_owned()
        )
    );
    failed.reason = Some("Promotion of podinfo.test failed, primary not ready: y".to_owned());
    assert_eq!(said(&failed).1, "promotion failed: primary not ready: y");
}

#[test]
fn success_tells_how_many_checks_passed_or_why_there_were_none() {
    let mut succeeded = status(Phase::Succeeded);
    succeeded.run.as_mut().unwrap().passed = 3;
    assert_eq!(said(&succeeded).1, "promoted, 3 checks passed");
    let mut skipping = canary();
    skipping.spec.skip_analysis = true;
    assert_eq!(
        outcome(&skipping, &succeeded).description,
        "promoted, analysis skipped"
    );
    succeeded.announced = vec![Announced {
        warning: false,
        reason: reason::ALREADY_PROMOTED.to_owned(),
        text: String::new(),
        run: String::new(),
        tick: 0,
        at: "2026-11-22T03:00:00Z".parse().unwrap(),
    }];
    assert_eq!(said(&succeeded).1, "already promoted");
}

#[test]
fn a_canary_that_cannot_be_acted_on_is_an_error_and_a_missing_target_is_a_wait() {
    let mut stalled = status(Phase::Initializing);
    let condition = |reason: &str| Condition {
        kind: "Stalled".to_owned(),
        status: "True".to_owned(),
        reason: reason.to_owned(),
        message: "not implemented yet: spec.analysis.mirror".to_owned(),
        observed_generation: None,
        last_update_time: None,
        last_transition_time: None,
    };
    stalled.conditions = vec![condition(reason::NOT_IMPLEMENTED)];
    assert_eq!(
        said(&stalled),
        (
            CommitState::Error,
            "not implemented yet: spec.analysis.mirror".to_owned()
        )
    );
    stalled.conditions = vec![condition("TargetMissing")];
    stalled.run.as_mut().unwrap().wait = Some(waiting("TargetMissing", ""));
    assert_eq!(
        said(&stalled),
        (
            CommitState::Pending,
            "initializing, waiting: target missing".to_owned()
        )
    );
}

#[test]
fn the_aggregate_is_terminal_when_all_are_and_as_bad_as_the_worst() {
    let combined = |parts: &[(&str, CommitState, &str)]| {
        let planned = parts
            .iter()
            .map(|(name, state, text)| ((*name).to_owned(), Outcome::new(*state, text)));
        aggregate(&planned.collect()).map(|outcome| (outcome.state, outcome.description))
    };
    let some = |state, text: &str| Some((state, text.to_owned()));
    let (pending, success) = (CommitState::Pending, CommitState::Success);
    assert_eq!(combined(&[]), None);
    assert_eq!(
        combined(&[("a", CommitState::Failure, "bad"), ("b", pending, "10 %")]),
        some(pending, "1 of 2 done; b: 10 %")
    );
    assert_eq!(
        combined(&[("a", success, "promoted")]),
        some(success, "a: promoted")
    );
    assert_eq!(
        combined(&[("a", success, "promoted"), ("b", success, "x")]),
        some(success, "all 2 canaries done")
    );
    assert_eq!(
        combined(&[
            ("a", success, ""),
            ("b", CommitState::Failure, "bad"),
            ("c", CommitState::Failure, "worse")
        ]),
        some(CommitState::Failure, "b: bad")
    );
    assert_eq!(
        combined(&[("a", CommitState::Error, "?"), ("b", CommitState::Failure, "bad")]),
        some(CommitState::Error, "a: ?")
    );
}

#[test]
fn fixed_texts_name_the_other_commit_briefly() {
    let id = "0123456789abcdef0123456789abcdef01234567";
    assert_eq!(superseded(id).description, "superseded by 0123456789ab");
    assert_eq!(
        reverted(Some(id)).description,
        "reverted by 0123456789ab during the analysis"
    );
    assert_eq!(reverted(None).state, CommitState::Failure);
}

#[test]
fn drift_is_added_to_a_word_once_and_the_rest_gives_way() {
    let entry = |field: &str, manager: &str| crate::canary::DriftStatus {
        run: "1-ab".to_owned(),
        object: "Service/test/podinfo-canary".to_owned(),
        field: field.to_owned(),
        manager: manager.to_owned(),
        applied_by: None,
        at: jiff::Timestamp::UNIX_EPOCH,
    };
    let said = Outcome::new(CommitState::Success, "promoted, 3 checks passed");
    assert_eq!(with_drift(&said, &[]), said);
    let flux = [entry("spec.replicas", "kustomize-controller")];
    let added = with_drift(&said, &flux);
    assert_eq!(
        added.description,
        "promoted, 3 checks passed; drift: spec.replicas by kustomize-controller, see serin doctor"
    );
    assert!(adds_to(&added, &said) && !adds_to(&said, &added) && !adds_to(&added, &added));
    assert_eq!(with_drift(&added, &[entry("spec.ports", "kubectl")]), added);
    let weights = with_drift(
        &said,
        &[entry("metadata.annotations[zalando.org/backend-weights]", "x")],
    );
    assert!(
        weights.description.contains("; drift: backend-weights by x,"),
        "{weights:?}"
    );
    let deleted = with_drift(&said, &[entry("", "")]);
    assert!(
        deleted
            .description
            .contains("Service/test/podinfo-canary deleted"),
        "{deleted:?}"
    );
    let long = Outcome::new(CommitState::Failure, &"é".repeat(300));
    let hostile = with_drift(&long, &[entry(&"f".repeat(300), &"m".repeat(300))]);
    assert!(
        hostile.description.chars().count() <= CommitStatus::DESCRIPTION
            && hostile.description.ends_with("see serin doctor"),
        "{hostile:?}"
    );
    let proposed = with_revert(&long, "revert proposed: https://git.example.com/1");
    assert_eq!(with_drift(&proposed, &flux), proposed, "an address is not cut");
}

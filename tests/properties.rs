//! Properties of the machine, in a model of a cluster that crashes after any effect, reads stale facts, and
//! whose users edit whatever they like.

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::unused_self,
    clippy::struct_excessive_bools,
    reason = "tests"
)]

#[path = "properties/corpus.rs"]
mod corpus;
#[path = "properties/model.rs"]
mod model;

use jiff::SignedDuration;
use model::{Happening, Rig, Shape, config, happening, run_to_rest, shapes};
use proptest::prelude::*;
use serin::{
    canary::{Edited, JudgeBy, Phase, Verdict},
    rollout::{Readiness, Rollback, Routes, Seen, step},
};

proptest! {
    #![proptest_config(config())]

    /// Whatever happens: the invariants hold at every step, and when the world is well again the machine rests
    /// on the live revision.
    #[test]
    fn holds_and_comes_to_rest(shape in shapes(), story in prop::collection::vec(happening(), 0..120)) {
        let mut rig = Rig::new(shape);
        let mut old = rig.world.facts();
        for happening in &story {
            let facts = rig.world.facts();
            rig.world.happen(happening);
            match happening {
                Happening::Stale => { rig.step(&old, None); }
                Happening::CrashAfter(effects) => { rig.step(&rig.world.facts(), Some(*effects)); }
                _ => { rig.step(&rig.world.facts(), None); }
            }
            old = facts;
        }
        if rig.world.primary.is_none() && rig.state.control.promoted.is_some() {
            rig.world.primary.clone_from(&rig.state.control.promoted);
        }
        rig.settle();
        let control = &rig.state.control;
        prop_assert!(control.phase.at_rest(), "rests in {:?}", control);
        prop_assert_eq!(control.applied.as_ref(), Some(&rig.world.live()), "a revision was lost: {:?}", control);
        prop_assert!(control.rolling_back.is_none());
        if shape != Shape::Kubernetes {
            prop_assert_eq!(&rig.world.routes, &Seen::Present(Routes::Weight(control.weight)));
        }
        prop_assert!(rig.world.services && (rig.world.apex || shape == Shape::Service));
        prop_assert!(
            shape == Shape::Service || control.weight == 100 || !rig.world.scaled_up,
            "a target that nobody needs runs on: {:?}", control
        );
        if control.phase != Phase::Failed {
            prop_assert_eq!(control.promoted.as_ref(), Some(&rig.world.live()));
            prop_assert_eq!(rig.world.primary.as_ref(), Some(&rig.world.live()));
        }
        let again = step(&rig.canary, &rig.state, &rig.world.facts(), rig.world.now);
        prop_assert_eq!(&again.state.control, control);
        prop_assert!(again.effects.is_empty() && again.wake_at.is_none(), "rest does nothing: {:?}", again);
    }

    /// A run whose checks fail never promotes, and ends with all traffic on the primary.
    #[test]
    fn failing_checks_roll_back(shape in shapes(), crashes in prop::collection::vec(0u8..12, 0..40)) {
        let mut rig = Rig::new(shape);
        rig.settle();
        let promoted = rig.world.primary.clone();
        rig.world.happen(&Happening::Revision(1));
        rig.world.verdict = Verdict::Failed;
        let mut crashes = crashes.into_iter();
        for _ in 0..600 {
            let facts = rig.world.facts();
            let wake_at = rig.wake_at(&facts);
            let crash = crashes.next().filter(|at| *at < 4);
            if !rig.step(&facts, crash) {
                match wake_at { Some(at) => rig.world.now = at, None => break }
            }
        }
        prop_assert_eq!(rig.state.control.phase, Phase::Failed);
        prop_assert_eq!(rig.state.control.failed_checks, 2);
        prop_assert_eq!(rig.world.primary, promoted);
        prop_assert_eq!(rig.state.control.weight, 0);
        prop_assert_eq!(rig.state.record.reason.as_deref(), Some("Failed"));
        prop_assert!(shape == Shape::Service || !rig.world.scaled_up);
    }
}

#[test]
fn a_good_run_tells_what_flagger_tells_and_takes_three_intervals() {
    let mut rig = Rig::new(Shape::Weights);
    rig.settle();
    rig.world.happen(&Happening::Revision(1));
    let began = rig.world.now;
    let told = run_to_rest(&mut rig);
    assert_eq!(
        told,
        [
            "New revision detected! Scaling up podinfo.test",
            "Starting canary analysis for podinfo.test",
            "Advance podinfo.test canary weight 20",
            "Advance podinfo.test canary weight 40",
            "Advance podinfo.test canary weight 60",
            "Copying podinfo.test template spec to podinfo-primary.test",
            "Routing all traffic to primary",
            "Promotion completed! Scaling down podinfo.test",
        ]
    );
    assert_eq!(
        rig.world.now.duration_since(began),
        SignedDuration::from_secs(35),
        "three intervals, one drain"
    );
    assert_eq!(rig.state.control.phase, Phase::Succeeded);
}

#[test]
fn a_revert_ends_the_run_at_once_without_a_second_run() {
    let mut rig = Rig::new(Shape::Weights);
    rig.settle();
    rig.world.happen(&Happening::Revision(1));
    while rig.state.control.weight != 20 {
        let facts = rig.world.facts();
        rig.step(&facts, None);
    }
    rig.world.happen(&Happening::Revision(0));
    let facts = rig.world.facts();
    rig.step(&facts, None);
    assert_eq!(rig.state.control.rolling_back, Some(Rollback::Reverted));
    run_to_rest(&mut rig);
    assert_eq!(rig.state.control.phase, Phase::Succeeded);
    assert_eq!(rig.state.control.counter, 1);
    assert_eq!(rig.world.routes, Seen::Present(Routes::Weight(0)));
}

#[test]
fn a_broken_primary_does_not_block_its_own_fix() {
    let mut rig = Rig::new(Shape::Weights);
    rig.settle();
    rig.world.primary_readiness = Readiness::NotReady("0 of 2".to_owned());
    rig.world.happen(&Happening::Revision(1));
    for _ in 0..60 {
        let facts = rig.world.facts();
        let wake_at = rig.wake_at(&facts);
        if rig.state.control.phase == Phase::Promoting && rig.world.primary == rig.state.control.applied {
            rig.world.primary_readiness = Readiness::Ready;
        }
        if !rig.step(&facts, None)
            && let Some(at) = wake_at
        {
            rig.world.now = at;
        }
    }
    assert_eq!(rig.state.control.phase, Phase::Succeeded);
}

#[test]
fn a_metric_server_that_is_down_never_promotes_and_ends_at_the_deadline() {
    let mut rig = Rig::new(Shape::Weights);
    rig.settle();
    rig.world.verdict = Verdict::Unavailable;
    rig.world.happen(&Happening::Revision(1));
    run_to_rest(&mut rig);
    assert_eq!(rig.state.control.phase, Phase::Failed);
    assert_eq!(
        rig.state.control.failed_checks, 0,
        "an error is not a failed check"
    );
    assert!(
        rig.state
            .record
            .reason
            .as_deref()
            .is_some_and(|why| why.starts_with("progress deadline"))
    );
}

#[test]
fn a_template_that_nobody_edited_starts_nothing() {
    let mut rig = Rig::new(Shape::Weights);
    rig.settle();
    rig.world.revision.0 = 2;
    run_to_rest(&mut rig);
    assert_eq!(
        (rig.state.control.counter, rig.state.control.phase),
        (0, Phase::Initialized)
    );
    rig.world.revision.1 = 1;
    run_to_rest(&mut rig);
    assert_eq!(rig.state.control.counter, 1, "tracked configs always count");
}

#[test]
fn a_revision_that_comes_back_while_its_revert_is_rolled_back_is_not_lost() {
    let mut rig = Rig::new(Shape::Weights);
    rig.settle();
    for revision in [1, 0, 1] {
        rig.world.happen(&Happening::Revision(revision));
        for _ in 0..4 {
            rig.step(&rig.world.facts(), None);
        }
    }
    rig.world.happen(&Happening::Wait(5));
    rig.step(&rig.world.facts(), None);
    assert!(!rig.world.scaled_up);
    // The rollback has to wait once more, so it sees the target as it is now.
    rig.world.happen(&Happening::EditRoute(1));
    rig.world.happen(&Happening::PrimaryReady(false));
    rig.step(&rig.world.facts(), None);
    assert_eq!(rig.state.control.rolling_back, Some(Rollback::Reverted));
    rig.settle();
    assert_eq!(rig.state.control.phase, Phase::Succeeded);
    assert_eq!(rig.world.primary, Some(rig.world.live()));
}

#[test]
fn a_run_whose_target_moves_to_what_is_not_verified_ends_and_the_revision_runs_again_when_it_is_back() {
    let mut rig = Rig::new(Shape::Weights);
    rig.settle();
    rig.world.happen(&Happening::Revision(1));
    for _ in 0..25 {
        rig.step(&rig.world.facts(), None);
        rig.world.now += SignedDuration::from_secs(1);
    }
    assert_eq!(rig.state.control.phase, Phase::Progressing);
    assert!(rig.state.control.weight > 0);
    rig.world.happen(&Happening::Revision(2));
    rig.world.verified = false;
    rig.step(&rig.world.facts(), None);
    assert!(matches!(
        rig.state.control.rolling_back,
        Some(Rollback::Unverified(_))
    ));
    for _ in 0..60 {
        rig.step(&rig.world.facts(), None);
        rig.world.now += SignedDuration::from_secs(1);
    }
    let control = &rig.state.control;
    assert_eq!((control.weight, control.counter), (0, 1));
    assert!(!rig.world.scaled_up, "its pods are gone");
    let wait = control.wait.as_ref().map(|wait| wait.kind.name());
    assert_eq!(wait, Some("NotVerified"));
    rig.world.verified = true;
    rig.world.happen(&Happening::Revision(1));
    rig.settle();
    assert_eq!(
        rig.state.control.counter, 2,
        "the first revision was never judged"
    );
    assert_eq!(rig.state.control.promoted, Some(rig.world.live()));
}

#[test]
fn an_edit_of_thresholds_is_told_once_a_run() {
    for (judged_by, said) in [
        (JudgeBy::Commit, "judged by its own"),
        (JudgeBy::Promoted, "judged by those of the promoted revision"),
    ] {
        let mut rig = Rig::new(Shape::Weights);
        rig.settle();
        rig.world.happen(&Happening::Revision(1));
        rig.canary.spec.edited = Some(Edited {
            fields: "spec.analysis.threshold".to_owned(),
            judged_by,
        });
        let told = run_to_rest(&mut rig);
        let told: Vec<_> = told.iter().filter(|line| line.contains("thresholds")).collect();
        let text = format!("podinfo.test edits its own thresholds (spec.analysis.threshold), {said}");
        assert_eq!(told, [&text]);
    }
}

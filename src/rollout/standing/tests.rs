use proptest::prelude::*;
use serde_json::json;

use super::*;
use crate::{
    canary::Defaults,
    rollout::{Primary, Readiness, State, Target, step},
};

fn canary() -> Canary {
    let object = json!({
        "apiVersion": "flagger.app/v1beta1", "kind": "Canary",
        "metadata": {"name": "podinfo", "namespace": "test", "generation": 1},
        "spec": {"provider": "skipper", "ingressRef": {"apiVersion": "networking.k8s.io/v1", "kind": "Ingress", "name": "podinfo"},
            "targetRef": {"apiVersion": "apps/v1", "kind": "Deployment", "name": "podinfo"},
            "service": {"port": 80}, "analysis": {"interval": "10s", "stepWeight": 20, "maxWeight": 60}}
    });
    Canary::parse(&object.into(), &Defaults::default()).unwrap()
}

fn live(name: &str) -> Revision {
    Revision::new(format!("v1:{name}"), BTreeMap::new())
}

/// At rest: all is as it is meant to be.
fn facts(revision: &Revision) -> Facts {
    Facts {
        target: Seen::Present(Target {
            uid: "t".to_owned(),
            generation: 1,
            live: Live::Revision(revision.clone()),
            readiness: Readiness::NotReady("scaled to zero".to_owned()),
            scaled_up: false,
        }),
        primary: Seen::Present(Primary {
            made_from: Some(revision.clone()),
            matches_target: true,
            readiness: Readiness::Ready,
        }),
        services: Seen::Present(true),
        apex: Seen::Present(true),
        routes: Seen::Present(Routes::Weight(0)),
        ..Facts::default()
    }
}

fn resting(revision: &Revision) -> State {
    State {
        control: Control {
            phase: Phase::Succeeded,
            counter: 1,
            applied: Some(revision.clone()),
            promoted: Some(revision.clone()),
            target_uid: "t".to_owned(),
            target_generation: 1,
            ..Control::default()
        },
        ..State::default()
    }
}

fn scaled(mut facts: Facts, up: bool) -> Facts {
    if let Seen::Present(target) = &mut facts.target {
        target.scaled_up = up;
        target.generation += 1;
        target.readiness = if up {
            Readiness::Ready
        } else {
            Readiness::NotReady("scaled to zero".to_owned())
        };
    }
    facts
}

fn at(seconds: i64) -> Timestamp {
    Timestamp::from_second(seconds).unwrap()
}

/// What a worker does: looks, steps, does. Gives what was set back and what was done.
fn turn(
    standing: &mut Standing,
    state: &mut State,
    facts: &Facts,
    now: Timestamp,
) -> (Vec<Effect>, Vec<Effect>, Option<Timestamp>) {
    let (canary, mut facts) = (canary(), facts.clone());
    let set_back = standing.see(&canary, &state.control, &mut facts, now);
    let out = step(&canary, state, &facts, now);
    standing.did(&out.effects, now);
    *state = out.state;
    (set_back, out.effects, out.wake_at)
}

#[test]
fn a_target_that_is_scaled_up_at_rest_is_scaled_down_and_no_run_starts() {
    let (mut standing, revision) = (Standing::default(), live("a"));
    let mut state = resting(&revision);
    let calm = facts(&revision);
    assert_eq!(
        turn(&mut standing, &mut state, &calm, at(0)),
        (vec![], vec![], None)
    );
    let before = state.clone();
    let up = scaled(calm.clone(), true);
    let down = vec![Effect::ScaleDown];
    assert_eq!(
        turn(&mut standing, &mut state, &up, at(1)),
        (down.clone(), down, None)
    );
    assert_eq!(state, before, "nothing else moves");
    assert_eq!(
        turn(&mut standing, &mut state, &calm, at(1)),
        (vec![], vec![], None)
    );
}

#[test]
fn a_target_stays_up_at_rest_while_the_primary_or_the_routes_need_it() {
    let revision = live("a");
    let mut unready = scaled(facts(&revision), true);
    if let Seen::Present(primary) = &mut unready.primary {
        primary.readiness = Readiness::NotReady("0 of 2".to_owned());
    }
    let mut routed = scaled(facts(&revision), true);
    routed.routes = Seen::Present(Routes::Weight(50));
    let mut astray = scaled(facts(&revision), true);
    astray.apex = Seen::Present(false);
    for (facts, wanted) in [
        (unready, vec![]),
        (routed, vec![Effect::Route(0)]),
        (astray, vec![Effect::Apex]),
    ] {
        let (_, done, _) = turn(&mut Standing::default(), &mut resting(&revision), &facts, at(0));
        assert_eq!(done, wanted);
    }
    let mut broken_primary = resting(&revision);
    broken_primary.control.phase = Phase::Failed;
    broken_primary.control.weight = 100;
    let mut facts = scaled(facts(&revision), true);
    facts.routes = Seen::Present(Routes::Weight(100));
    let (set_back, done, _) = turn(&mut Standing::default(), &mut broken_primary, &facts, at(0));
    assert_eq!((set_back, done), (vec![], vec![]), "the canary serves");
}

fn running(promoted: &Revision, revision: &Revision) -> State {
    let mut state = resting(promoted);
    state.control.phase = Phase::Progressing;
    state.control.applied = Some(revision.clone());
    state.control.weight = 20;
    state.control.tick = 1;
    state.control.next_tick = Some(at(10));
    state.control.target_generation = 2;
    state
}

fn in_a_run(promoted: &Revision, revision: &Revision) -> Facts {
    let mut facts = scaled(facts(revision), true);
    facts.routes = Seen::Present(Routes::Weight(20));
    if let Seen::Present(primary) = &mut facts.primary {
        primary.made_from = Some(promoted.clone());
        primary.matches_target = false;
    }
    facts
}

#[test]
fn weights_that_are_reset_in_a_run_are_put_back_and_the_check_waits() {
    let (mut standing, old, new) = (Standing::default(), live("a"), live("b"));
    let mut state = running(&old, &new);
    let calm = in_a_run(&old, &new);
    turn(&mut standing, &mut state, &calm, at(1));
    let before = state.control.clone();
    let reset = Facts {
        routes: Seen::Present(Routes::Weight(0)),
        ..calm.clone()
    };
    let back = vec![Effect::Route(20)];
    let (set_back, done, _) = turn(&mut standing, &mut state, &reset, at(9));
    assert_eq!((set_back, done), (back.clone(), back));
    assert_eq!(
        state.control,
        Control {
            next_tick: Some(at(19)),
            ..before
        },
        "no new run, no new weight: the check sees a whole interval"
    );
    let (set_back, done, _) = turn(&mut standing, &mut state, &scaled(calm, false), at(10));
    let up = vec![Effect::ScaleUp];
    assert_eq!((set_back, done), (up.clone(), up));
    assert_eq!(state.control.counter, 1, "the same run");
}

#[test]
fn whoever_insists_is_answered_five_times_and_then_now_and_then() {
    let (mut standing, revision) = (Standing::default(), live("a"));
    let mut state = resting(&revision);
    let calm = facts(&revision);
    let up = scaled(calm.clone(), true);
    let mut told = 0;
    let mut puts = Vec::new();
    for second in 0..300 {
        turn(&mut standing, &mut state, &calm, at(second));
        let (set_back, done, wake_at) = turn(&mut standing, &mut state, &up, at(second));
        told += set_back.len();
        if done.is_empty() {
            assert!(wake_at.is_some_and(|at| at.as_second() > second), "it comes back");
        } else {
            puts.push(second);
        }
    }
    assert_eq!(told, 300, "each is seen");
    assert_eq!(puts[..5], [0, 1, 2, 3, 4]);
    assert_eq!(puts[5..], [30, 60, 90, 120, 150, 180, 210, 240, 270]);
    // Later it has its five again.
    let mut again = Vec::new();
    for second in 700..706 {
        turn(&mut standing, &mut state, &calm, at(second));
        again.extend(turn(&mut standing, &mut state, &up, at(second)).1);
    }
    assert_eq!(again.len(), 5);
}

#[test]
fn whoever_is_so_quick_that_the_level_is_never_seen_to_stand_is_seen_too() {
    let (mut standing, revision) = (Standing::default(), live("a"));
    let mut state = resting(&revision);
    let up = scaled(facts(&revision), true);
    let first = turn(&mut standing, &mut state, &up, at(0));
    assert_eq!(
        (first.0, first.1),
        (vec![], vec![Effect::ScaleDown]),
        "it may have been so"
    );
    let puts = (1..20).filter(|_| !turn(&mut standing, &mut state, &up, at(1)).1.is_empty());
    assert_eq!(puts.count(), 5);
}

#[test]
fn what_the_canary_or_a_new_revision_asks_for_is_no_drift() {
    let (mut standing, revision) = (Standing::default(), live("a"));
    let state = resting(&revision);
    let mut see = |canary: &Canary, facts: &Facts| {
        let mut facts = facts.clone();
        standing.see(canary, &state.control, &mut facts, at(0))
    };
    let (calm, mut edited) = (facts(&revision), canary());
    assert_eq!(see(&edited, &calm), []);
    edited.generation = 2;
    let mut changed = calm.clone();
    changed.services = Seen::Present(false);
    assert_eq!(see(&edited, &changed), [], "another generation, other Services");
    assert_eq!(see(&edited, &calm), []);
    assert_eq!(see(&edited, &changed), [Effect::Services], "the same generation");
    assert_eq!(
        see(&edited, &scaled(facts(&live("b")), true)),
        [],
        "a new revision, scaled by who brought it"
    );
    edited.spec.suspend = true;
    assert_eq!(see(&edited, &calm), []);
    assert_eq!(
        see(&edited, &scaled(calm, true)),
        [],
        "a suspended Canary holds nothing"
    );
}

proptest! {
    /// However often and whenever a level is set back: it is put back at a bounded rate, and in the end.
    #[test]
    fn levels_are_put_back_at_a_bounded_rate(pauses in prop::collection::vec(0i64..40_000, 1..200)) {
        let (mut standing, revision) = (Standing::default(), live("a"));
        let mut state = resting(&revision);
        let calm = facts(&revision);
        let up = scaled(calm.clone(), true);
        let (mut now, mut puts, mut is_up) = (at(0), Vec::new(), false);
        for pause in pauses {
            now += SignedDuration::from_millis(pause);
            if !is_up {
                turn(&mut standing, &mut state, &calm, now);
            }
            let (_, done, wake_at) = turn(&mut standing, &mut state, &up, now);
            is_up = done.is_empty();
            if is_up {
                prop_assert!(wake_at.is_some_and(|at| at > now));
            } else {
                puts.push(now);
            }
        }
        for (index, first) in puts.iter().enumerate() {
            for (more, last) in puts.iter().skip(index).enumerate() {
                let span = last.duration_since(*first).as_millis();
                prop_assert!(i128::try_from(more).unwrap() <= 5 + span / 30_000, "{more} more in {span} ms");
            }
        }
        if is_up {
            let (_, done, _) = turn(&mut standing, &mut state, &up, now + Standing::EVERY);
            prop_assert_eq!(done, [Effect::ScaleDown]);
        }
    }
}

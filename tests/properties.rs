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

use std::{collections::BTreeMap, time::Duration};

use jiff::{SignedDuration, Timestamp};
use proptest::{prelude::*, test_runner::RngSeed};
use serin::{
    canary::{
        Analysis, Canary, Edited, ExtraMetadata, Hook, HookKind, JudgeBy, Metric, Phase, Provider, Query,
        Range, ServiceSpec, Spec, Status, Strategy as Steps, TargetKind, TargetRef, Verdict,
    },
    rollout::{
        Answer, AskId, Effect, Facts, Live, Primary, Readiness, Revision, Rollback, Routes, Seen, State,
        Target, step,
    },
};

fn canary(shape: Shape) -> Canary {
    let (provider, strategy, kind) = match shape {
        Shape::Weights => (
            Provider::Skipper,
            Steps::Weights(vec![20, 40, 60]),
            TargetKind::Deployment,
        ),
        Shape::BlueGreen => (Provider::Skipper, Steps::Iterations(2), TargetKind::Deployment),
        Shape::Kubernetes => (Provider::Kubernetes, Steps::Iterations(3), TargetKind::Deployment),
        Shape::Service => (Provider::Skipper, Steps::Weights(vec![50]), TargetKind::Service),
    };
    let metric = Metric {
        name: "success".to_owned(),
        interval: Duration::from_secs(60),
        range: Range {
            min: Some(99.0),
            max: None,
        },
        query: Query::SuccessRate,
        variables: BTreeMap::new(),
    };
    let gate = Hook {
        name: "gate".to_owned(),
        kind: HookKind::ConfirmPromotion,
        url: "http://gate/".to_owned(),
        timeout: Duration::from_secs(1),
        retries: 0,
        disable_tls: false,
        metadata: BTreeMap::new(),
    };
    Canary {
        namespace: "test".to_owned(),
        name: "podinfo".to_owned(),
        uid: "u".to_owned(),
        generation: 1,
        spec: Spec {
            provider,
            target: TargetRef {
                kind,
                name: "podinfo".to_owned(),
            },
            service: ServiceSpec {
                name: "podinfo".to_owned(),
                port: 80,
                port_name: "http".to_owned(),
                target_port: None,
                app_protocol: None,
                port_discovery: false,
                headless: false,
                traffic_distribution: None,
                apex: ExtraMetadata::default(),
                primary: ExtraMetadata::default(),
                canary: ExtraMetadata::default(),
            },
            ingress: Some("podinfo".to_owned()),
            analysis: Analysis {
                interval: Duration::from_secs(10),
                threshold: 2,
                strategy,
                metrics: vec![metric],
                hooks: vec![gate],
                primary_ready_threshold: 100,
                canary_ready_threshold: 100,
            },
            progress_deadline: Duration::from_secs(120),
            drain: Duration::from_secs(if provider == Provider::Kubernetes { 0 } else { 5 }),
            skip_analysis: false,
            suspend: false,
            metrics_server: "http://prometheus:9090".to_owned(),
            track_configs: true,
            selector_labels: vec!["app".to_owned()],
            include_label_prefix: vec![],
            not_implemented: vec![],
            warnings: vec![],
            edited: None,
        },
    }
}

#[derive(Clone, Copy, Debug, PartialEq)]
enum Shape {
    Weights,
    BlueGreen,
    Kubernetes,
    Service,
}

/// What the users and the cluster may do between two steps.
#[derive(Clone, Debug)]
enum Happening {
    Nothing,
    Wait(u8),
    Revision(u8),
    Config(u8),
    CanaryReady(bool),
    CanaryStuck,
    PrimaryReady(bool),
    EditRoute(u8),
    BreakRoute,
    DeleteRoute,
    DeleteTarget,
    DeletePrimary,
    Checks(Verdict),
    Gate(bool),
    Verified(bool),
    CrashAfter(u8),
    Stale,
}

fn happening() -> impl Strategy<Value = Happening> {
    use Happening as H;
    prop_oneof![
        6 => Just(H::Nothing),
        6 => (1u8..40).prop_map(H::Wait),
        3 => (0u8..3).prop_map(H::Revision),
        1 => (0u8..2).prop_map(H::Config),
        2 => any::<bool>().prop_map(H::CanaryReady),
        1 => Just(H::CanaryStuck),
        2 => any::<bool>().prop_map(H::PrimaryReady),
        1 => (0u8..=100).prop_map(H::EditRoute),
        1 => Just(H::BreakRoute),
        1 => Just(H::DeleteRoute),
        1 => Just(H::DeleteTarget),
        1 => Just(H::DeletePrimary),
        3 => prop_oneof![
            Just(Verdict::Passed), Just(Verdict::Failed), Just(Verdict::NoData), Just(Verdict::NotANumber),
            Just(Verdict::TimedOut), Just(Verdict::Unavailable)
        ].prop_map(H::Checks),
        1 => any::<bool>().prop_map(H::Gate),
        2 => any::<bool>().prop_map(H::Verified),
        3 => (0u8..3).prop_map(H::CrashAfter),
        2 => Just(H::Stale),
    ]
}

#[derive(Clone)]
struct World {
    shape: Shape,
    now: Timestamp,
    revision: (u8, u8),
    generation: i64,
    target: bool,
    scaled_up: bool,
    canary: Readiness,
    primary: Option<Revision>,
    primary_readiness: Readiness,
    services: bool,
    apex: bool,
    routes: Seen<Routes>,
    verdict: Verdict,
    gate: bool,
    verified: bool,
    answers: BTreeMap<AskId, Answer>,
}

impl World {
    fn new(shape: Shape) -> Self {
        let scales = shape != Shape::Service;
        Self {
            shape,
            now: "2026-01-01T00:00:00Z".parse().unwrap(),
            revision: (0, 0),
            generation: 1,
            target: true,
            scaled_up: true,
            canary: Readiness::Ready,
            primary: None,
            primary_readiness: Readiness::Ready,
            services: false,
            apex: !scales,
            routes: if shape == Shape::Kubernetes {
                Seen::Present(Routes::Weight(0))
            } else {
                Seen::Absent
            },
            verdict: Verdict::Passed,
            gate: true,
            verified: true,
            answers: BTreeMap::new(),
        }
    }

    fn live(&self) -> Revision {
        let configs = [("configmap/c".to_owned(), format!("v1:c{}", self.revision.1))];
        Revision::new(format!("v1:{}aaaaaaaa", self.revision.0), configs.into())
    }

    fn facts(&self) -> Facts {
        let readiness = match (&self.canary, self.scaled_up) {
            _ if self.shape == Shape::Service => Readiness::Ready,
            (_, false) => Readiness::NotReady("scaled to zero".to_owned()),
            (readiness, true) => readiness.clone(),
        };
        let target = Target {
            uid: "t".to_owned(),
            generation: self.generation,
            live: Live::Revision(self.live()),
            readiness,
            scaled_up: self.scaled_up || self.shape == Shape::Service,
        };
        let primary = self.primary.clone().map(|made| Primary {
            matches_target: made == self.live(),
            made_from: Some(made),
            readiness: if self.shape == Shape::Service {
                Readiness::Ready
            } else {
                self.primary_readiness.clone()
            },
        });
        Facts {
            target: if self.target {
                Seen::Present(target)
            } else {
                Seen::Absent
            },
            primary: primary.map_or(Seen::Absent, Seen::Present),
            services: Seen::Present(self.services),
            apex: Seen::Present(self.apex),
            routes: self.routes.clone(),
            answers: self.answers.clone(),
            deleted: false,
            unverified: (!self.verified).then(|| "nobody signed it".to_owned()),
        }
    }

    fn happen(&mut self, happening: &Happening) {
        let routed = self.shape != Shape::Kubernetes;
        match happening {
            Happening::Wait(seconds) => self.pass(SignedDuration::from_secs(i64::from(*seconds))),
            Happening::Revision(n) => {
                self.generation += i64::from(self.revision.0 != *n);
                self.revision.0 = *n;
            }
            Happening::Config(n) => self.revision.1 = *n,
            Happening::CanaryReady(true) => self.canary = Readiness::Ready,
            Happening::CanaryReady(false) => self.canary = Readiness::NotReady("0 of 2".to_owned()),
            Happening::CanaryStuck => self.canary = Readiness::Stuck("gave up".to_owned()),
            Happening::PrimaryReady(true) => self.primary_readiness = Readiness::Ready,
            Happening::PrimaryReady(false) => {
                self.primary_readiness = Readiness::NotReady("1 of 2".to_owned());
            }
            Happening::EditRoute(weight) if routed => self.routes = Seen::Present(Routes::Weight(*weight)),
            Happening::BreakRoute if routed => {
                self.routes = Seen::Present(Routes::Broken("edited".to_owned()));
            }
            Happening::DeleteRoute if routed => self.routes = Seen::Absent,
            Happening::DeleteTarget => self.target = !self.target,
            Happening::DeletePrimary => self.primary = None,
            Happening::Checks(verdict) => self.verdict = *verdict,
            Happening::Gate(open) => self.gate = *open,
            Happening::Verified(verified) => self.verified = *verified,
            _ => {}
        }
    }

    fn pass(&mut self, span: SignedDuration) {
        self.now += span;
    }

    fn apply(&mut self, effect: &Effect) {
        match effect {
            Effect::Services => self.services = true,
            Effect::Apex => self.apex = true,
            Effect::Primary(revision) => {
                if self.target && self.live() == *revision {
                    self.primary = Some(revision.clone());
                }
            }
            Effect::Route(weight) => self.routes = Seen::Present(Routes::Weight(*weight)),
            Effect::ScaleUp => {
                self.generation += i64::from(!self.scaled_up);
                self.scaled_up = true;
            }
            Effect::ScaleDown => {
                self.generation += i64::from(self.scaled_up);
                self.scaled_up = false;
            }
            Effect::Ask(id) => {
                let verdict = match (id.name.as_str(), self.gate) {
                    ("hook/gate", false) => Verdict::Failed,
                    ("hook/gate", true) => Verdict::Passed,
                    _ => self.verdict,
                };
                let answer = Answer {
                    verdict,
                    value: None,
                    text: format!("{verdict:?}"),
                };
                self.answers.insert(id.clone(), answer);
            }
        }
    }
}

struct Rig {
    canary: Canary,
    world: World,
    state: State,
    stored: Status,
    /// Checks that passed, by run.
    passed: BTreeMap<String, u32>,
}

impl Rig {
    fn new(shape: Shape) -> Self {
        let (state, stored) = (State::default(), Status::default());
        Self {
            canary: canary(shape),
            world: World::new(shape),
            state,
            stored,
            passed: BTreeMap::new(),
        }
    }

    fn demanded(&self) -> u32 {
        let extra = self.world.shape == Shape::BlueGreen;
        self.canary.spec.analysis.strategy.checks() + u32::from(extra)
    }

    /// One step on given facts; crashes after that many effects, if it says so. Gives whether anything moved.
    fn step(&mut self, facts: &Facts, crash_after: Option<u8>) -> bool {
        let out = step(&self.canary, &self.state, facts, self.world.now);
        self.check(facts, &out);
        for (done, effect) in out.effects.iter().enumerate() {
            if crash_after.is_some_and(|limit| usize::from(limit) <= done) {
                return self.crash();
            }
            self.world.apply(effect);
        }
        if crash_after.is_some() {
            return self.crash();
        }
        let moved = out.state != self.state || !out.effects.is_empty();
        if out.state != self.state {
            self.stored = out.state.store(&self.canary, &self.stored, self.world.now);
            let text = serde_json::to_string(&self.stored).unwrap();
            self.stored = serde_json::from_str(&text).unwrap();
            assert_eq!(State::load(&self.stored), out.state, "the status keeps the state");
        }
        self.state = out.state;
        moved
    }

    fn crash(&mut self) -> bool {
        self.state = State::load(&self.stored);
        self.world.answers.clear();
        true
    }

    /// What must hold of every step, whatever happened before.
    fn check(&mut self, facts: &Facts, out: &serin::rollout::Step) {
        let (before, after) = (&self.state.control, &out.state.control);
        assert!(after.weight <= 100);
        if facts.unverified.is_some() {
            assert_eq!(before.counter, after.counter, "nothing runs that is not verified");
        }
        if after.tick == before.tick + 1 && after.passed > before.passed {
            *self.passed.entry(before.run_id()).or_default() += 1;
        }
        for effect in &out.effects {
            match effect {
                Effect::Route(weight) => self.check_route(facts, *weight),
                Effect::Primary(revision) if before.phase == Phase::Promoting => {
                    assert_eq!(
                        Some(revision),
                        before.applied.as_ref(),
                        "only what was analysed is promoted"
                    );
                    let passed = self.passed.get(&before.run_id()).copied().unwrap_or_default();
                    assert!(
                        passed >= self.demanded(),
                        "promoted after {passed} of {}",
                        self.demanded()
                    );
                }
                Effect::Primary(revision) => {
                    assert!(
                        facts.unverified.is_none() || Some(revision) == before.promoted.as_ref(),
                        "a primary was made from what is not verified"
                    );
                    let initial = matches!(before.phase, Phase::New | Phase::Initializing);
                    assert!(
                        initial || Some(revision) == after.promoted.as_ref(),
                        "a primary is made only to initialize, to promote, or to restore"
                    );
                }
                Effect::ScaleDown => {
                    assert_eq!(
                        facts.routes,
                        Seen::Present(Routes::Weight(0)),
                        "scaled down under traffic"
                    );
                }
                Effect::Ask(_) => {
                    assert_eq!(
                        facts.routes,
                        Seen::Present(Routes::Weight(before.weight)),
                        "asked elsewhere"
                    );
                }
                Effect::Services | Effect::Apex | Effect::ScaleUp => {}
            }
        }
        if out
            .effects
            .iter()
            .any(|effect| matches!(effect, Effect::Primary(_)))
            && !before.phase.at_rest()
        {
            assert_eq!(
                before.phase, after.phase,
                "the decision is stored before its effect"
            );
        }
        if before.rolling_back.is_none() && after.rolling_back.is_some() {
            assert!(
                out.effects.is_empty(),
                "the rollback is stored before its effects"
            );
        }
        if let Some(wait) = &after.wait {
            assert!(wait.since <= self.world.now);
        }
    }

    fn check_route(&self, facts: &Facts, weight: u8) {
        let Seen::Present(Routes::Weight(observed)) = facts.routes else {
            return;
        };
        let ready = |seen: Option<&Readiness>| seen.is_some_and(Readiness::is_ready);
        if weight > observed {
            let side = facts.target.present().map(|target| &target.readiness);
            assert!(ready(side), "traffic moved to a canary that is not ready");
        } else if weight < observed {
            let side = facts.primary.present().map(|primary| &primary.readiness);
            assert!(ready(side), "traffic moved to a primary that is not ready");
        }
    }

    /// Lets time pass until the machine rests, in a world that is well.
    fn settle(&mut self) {
        self.world.target = true;
        self.world.canary = Readiness::Ready;
        self.world.primary_readiness = Readiness::Ready;
        self.world.verdict = Verdict::Passed;
        self.world.gate = true;
        self.world.verified = true;
        for _ in 0..400 {
            let facts = self.world.facts();
            let wake_at = step(&self.canary, &self.state, &facts, self.world.now).wake_at;
            if !self.step(&facts, None) {
                match wake_at {
                    Some(at) => self.world.now = at,
                    None => return,
                }
            }
        }
        panic!("does not come to rest: {:?}", self.state.control);
    }
}

fn shapes() -> impl Strategy<Value = Shape> {
    prop_oneof![
        Just(Shape::Weights),
        Just(Shape::BlueGreen),
        Just(Shape::Kubernetes),
        Just(Shape::Service)
    ]
}

/// The same cases every time; `SERIN_EXPLORE=20000 cargo test --test properties` looks at so many new ones.
fn config() -> ProptestConfig {
    let explore = std::env::var("SERIN_EXPLORE")
        .ok()
        .and_then(|cases| cases.parse().ok());
    ProptestConfig {
        cases: explore.unwrap_or(400),
        rng_seed: if explore.is_some() {
            RngSeed::Random
        } else {
            RngSeed::Fixed(20_261_122)
        },
        max_shrink_iters: 20_000,
        ..ProptestConfig::default()
    }
}

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
            let wake_at = step(&rig.canary, &rig.state, &facts, rig.world.now).wake_at;
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

fn run_to_rest(rig: &mut Rig) -> Vec<String> {
    let mut told = Vec::new();
    for _ in 0..400 {
        let facts = rig.world.facts();
        let wake_at = step(&rig.canary, &rig.state, &facts, rig.world.now).wake_at;
        let before = rig.state.control.announced.clone();
        let moved = rig.step(&facts, None);
        if rig.state.control.announced != before {
            told.extend(rig.state.control.announced.iter().map(|news| news.text.clone()));
        }
        if !moved {
            match wake_at {
                Some(at) => rig.world.now = at,
                None => break,
            }
        }
    }
    told
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
        let wake_at = step(&rig.canary, &rig.state, &facts, rig.world.now).wake_at;
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

//! A model of a cluster that crashes after any effect and reads stale facts, and whose users, and other controllers, edit
//! whatever they like.

use std::{collections::BTreeMap, time::Duration};

use jiff::{SignedDuration, Timestamp};
use proptest::{prelude::*, test_runner::RngSeed};
use serin::{
    canary::{
        Analysis, Canary, ExtraMetadata, Hook, HookKind, Metric, Phase, Provider, Query, Range, ServiceSpec,
        Spec, Status, Strategy as Steps, TargetKind, TargetRef, Verdict,
    },
    rollout::{
        Answer, AskId, Effect, Facts, Live, Primary, Readiness, Revision, Routes, Seen, Standing, State,
        Target, step,
    },
};

pub(crate) fn canary(shape: Shape) -> Canary {
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
pub(crate) enum Shape {
    Weights,
    BlueGreen,
    Kubernetes,
    Service,
}

/// What the users and the cluster may do between two steps.
#[derive(Clone, Debug)]
pub(crate) enum Happening {
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
    ScaleTarget(bool),
    EditServices,
    DeleteTarget,
    DeletePrimary,
    Checks(Verdict),
    Gate(bool),
    Verified(bool),
    CrashAfter(u8),
    Stale,
}

pub(crate) fn happening() -> impl Strategy<Value = Happening> {
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
        2 => any::<bool>().prop_map(H::ScaleTarget),
        1 => Just(H::EditServices),
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
pub(crate) struct World {
    pub(crate) shape: Shape,
    pub(crate) now: Timestamp,
    pub(crate) revision: (u8, u8),
    pub(crate) generation: i64,
    pub(crate) target: bool,
    pub(crate) scaled_up: bool,
    pub(crate) canary: Readiness,
    pub(crate) primary: Option<Revision>,
    pub(crate) primary_readiness: Readiness,
    pub(crate) services: bool,
    pub(crate) apex: bool,
    pub(crate) routes: Seen<Routes>,
    pub(crate) verdict: Verdict,
    pub(crate) gate: bool,
    pub(crate) verified: bool,
    pub(crate) answers: BTreeMap<AskId, Answer>,
}

impl World {
    pub(crate) fn new(shape: Shape) -> Self {
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

    pub(crate) fn live(&self) -> Revision {
        let configs = [("configmap/c".to_owned(), format!("v1:c{}", self.revision.1))];
        Revision::new(format!("v1:{}aaaaaaaa", self.revision.0), configs.into())
    }

    pub(crate) fn facts(&self) -> Facts {
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
            withheld: BTreeMap::new(),
            unverified: (!self.verified).then(|| "nobody signed it".to_owned()),
        }
    }

    pub(crate) fn happen(&mut self, happening: &Happening) {
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
            Happening::ScaleTarget(up) if self.shape != Shape::Service => self.scale(*up),
            Happening::EditServices => self.services = false,
            Happening::DeleteTarget => self.target = !self.target,
            Happening::DeletePrimary => self.primary = None,
            Happening::Checks(verdict) => self.verdict = *verdict,
            Happening::Gate(open) => self.gate = *open,
            Happening::Verified(verified) => self.verified = *verified,
            _ => {}
        }
    }

    fn scale(&mut self, up: bool) {
        self.generation += i64::from(self.scaled_up != up);
        self.scaled_up = up;
    }

    pub(crate) fn pass(&mut self, span: SignedDuration) {
        self.now += span;
    }

    pub(crate) fn apply(&mut self, effect: &Effect) {
        match effect {
            Effect::Services => self.services = true,
            Effect::Apex => self.apex = true,
            Effect::Primary(revision) => {
                if self.target && self.live() == *revision {
                    self.primary = Some(revision.clone());
                }
            }
            Effect::Route(weight) => self.routes = Seen::Present(Routes::Weight(*weight)),
            Effect::ScaleUp => self.scale(true),
            Effect::ScaleDown => self.scale(false),
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

pub(crate) struct Rig {
    pub(crate) canary: Canary,
    pub(crate) world: World,
    pub(crate) state: State,
    pub(crate) stored: Status,
    /// What stands; a crash forgets it.
    pub(crate) standing: Standing,
    /// Checks that passed, by run.
    pub(crate) passed: BTreeMap<String, u32>,
}

impl Rig {
    pub(crate) fn new(shape: Shape) -> Self {
        let (state, stored) = (State::default(), Status::default());
        Self {
            canary: canary(shape),
            world: World::new(shape),
            state,
            stored,
            standing: Standing::default(),
            passed: BTreeMap::new(),
        }
    }

    pub(crate) fn demanded(&self) -> u32 {
        let extra = self.world.shape == Shape::BlueGreen;
        self.canary.spec.analysis.strategy.checks() + u32::from(extra)
    }

    /// One step on given facts; crashes after that many effects, if it says so. Gives whether anything moved.
    pub(crate) fn step(&mut self, facts: &Facts, crash_after: Option<u8>) -> bool {
        let mut facts = facts.clone();
        self.standing
            .see(&self.canary, &self.state.control, &mut facts, self.world.now);
        let out = step(&self.canary, &self.state, &facts, self.world.now);
        self.check(&facts, &out);
        for (done, effect) in out.effects.iter().enumerate() {
            if crash_after.is_some_and(|limit| usize::from(limit) <= done) {
                return self.crash();
            }
            self.world.apply(effect);
        }
        if crash_after.is_some() {
            return self.crash();
        }
        self.standing.did(&out.effects, self.world.now);
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

    /// When the machine wants to step again, if nothing happens before.
    pub(crate) fn wake_at(&self, facts: &Facts) -> Option<Timestamp> {
        let mut facts = facts.clone();
        let mut standing = self.standing.clone();
        standing.see(&self.canary, &self.state.control, &mut facts, self.world.now);
        step(&self.canary, &self.state, &facts, self.world.now).wake_at
    }

    pub(crate) fn crash(&mut self) -> bool {
        self.state = State::load(&self.stored);
        self.standing = Standing::default();
        self.world.answers.clear();
        true
    }

    /// What must hold of every step, whatever happened before.
    pub(crate) fn check(&mut self, facts: &Facts, out: &serin::rollout::Step) {
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

    pub(crate) fn check_route(&self, facts: &Facts, weight: u8) {
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
    pub(crate) fn settle(&mut self) {
        self.world.target = true;
        self.world.canary = Readiness::Ready;
        self.world.primary_readiness = Readiness::Ready;
        self.world.verdict = Verdict::Passed;
        self.world.gate = true;
        self.world.verified = true;
        for _ in 0..400 {
            let facts = self.world.facts();
            let wake_at = self.wake_at(&facts);
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

pub(crate) fn shapes() -> impl Strategy<Value = Shape> {
    prop_oneof![
        Just(Shape::Weights),
        Just(Shape::BlueGreen),
        Just(Shape::Kubernetes),
        Just(Shape::Service)
    ]
}

/// The same cases every time; `SERIN_EXPLORE=20000 cargo test --test properties` looks at so many new ones.
pub(crate) fn config() -> ProptestConfig {
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

pub(crate) fn run_to_rest(rig: &mut Rig) -> Vec<String> {
    let mut told = Vec::new();
    for _ in 0..400 {
        let facts = rig.world.facts();
        let wake_at = rig.wake_at(&facts);
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

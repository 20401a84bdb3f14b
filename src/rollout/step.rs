//! The step: what was decided, what to do, and when to come back.

use jiff::Timestamp;

use super::{Facts, Live, State, Step, Target, WaitKind, turn::Turn};
use crate::canary::{Canary, Phase};

/// Takes one step. Does nothing while something it needs is unknown, and for a Canary that is suspended, being
/// deleted, or asks for something that gates, shifts or scales and is not implemented.
#[must_use]
pub fn step(canary: &Canary, state: &State, facts: &Facts, now: Timestamp) -> Step {
    let mut turn = Turn {
        canary,
        facts,
        now,
        control: state.control.clone(),
        record: state.record.clone(),
        effects: Vec::new(),
        news: Vec::new(),
        withheld: None,
    };
    if !is_halted(canary, facts) && known(facts) {
        turn.take();
    }
    turn.finish(state)
}

/// Whether nothing at all is done for a Canary.
pub(super) fn is_halted(canary: &Canary, facts: &Facts) -> bool {
    canary.spec.suspend || facts.deleted || canary.spec.not_implemented.iter().any(|field| field.gates)
}

fn known(facts: &Facts) -> bool {
    !(facts.target.is_unknown()
        || facts.primary.is_unknown()
        || facts.services.is_unknown()
        || facts.apex.is_unknown()
        || facts.routes.is_unknown())
}

/// Remembers with which generation of the target its revision was seen. A generation stands for the revision
/// that it was seen with, and for no other.
fn remember(state: &mut State, before: &State, target: Option<&Target>) {
    let control = &mut state.control;
    let seen = target.filter(
        |target| matches!(&target.live, Live::Revision(live) if control.applied.as_ref() == Some(live)),
    );
    if let Some(target) = seen {
        control.target_uid.clone_from(&target.uid);
        control.target_generation = target.generation;
    } else if control.applied != before.control.applied {
        control.target_uid.clear();
        control.target_generation = 0;
    }
}

impl Turn<'_> {
    fn take(&mut self) {
        if self.control.rolling_back.is_some() {
            return self.roll_back();
        }
        if self.control.phase == Phase::Finalising {
            return self.finalise();
        }
        let Some(target) = self.target() else {
            return self.target_missing();
        };
        match &target.live {
            Live::Blocked(why) => {
                self.wait(WaitKind::ConfigMissing, None, why.clone());
            }
            Live::Revision(live) => {
                self.ends(&[WaitKind::TargetMissing, WaitKind::ConfigMissing]);
                let live = live.clone();
                match self.control.phase {
                    Phase::New | Phase::Initializing => self.initialize(&live),
                    Phase::Initialized | Phase::Succeeded | Phase::Failed | Phase::Waiting => {
                        self.rest(&live);
                    }
                    Phase::Progressing | Phase::WaitingPromotion => self.progress(&live),
                    Phase::Promoting => self.promote(&live),
                    Phase::Finalising | Phase::Terminating | Phase::Terminated => {}
                }
            }
        }
    }

    /// Keeps the primary serving, and starts the analysis anew when the target is back.
    fn target_missing(&mut self) {
        let message = format!(
            "{} {} not found",
            self.spec().target.kind.name().to_lowercase(),
            self.target_name()
        );
        self.wait(WaitKind::TargetMissing, None, message);
        if matches!(self.control.phase, Phase::Progressing | Phase::WaitingPromotion) && self.primary_ready()
        {
            self.control.weight = 0;
            self.control.passed = 0;
            self.control.iteration = 0;
            self.control.next_tick = None;
            self.hold_routes();
        }
    }

    fn finish(mut self, before: &State) -> Step {
        if !self.news.is_empty() {
            self.control.announced = std::mem::take(&mut self.news);
        }
        let wake_at = self.wake_at();
        let mut state = State {
            control: self.control,
            record: self.record,
        };
        if state != *before {
            remember(&mut state, before, self.facts.target.present());
        }
        Step {
            state,
            effects: self.effects,
            wake_at,
        }
    }

    fn wake_at(&self) -> Option<Timestamp> {
        let tick = self.control.next_tick.filter(|at| *at > self.now);
        let deadline = self
            .control
            .wait
            .as_ref()
            .and_then(|wait| wait.deadline)
            .filter(|at| *at > self.now);
        [tick, deadline, self.withheld].into_iter().flatten().min()
    }
}

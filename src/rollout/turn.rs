//! One turn of the machine: the words in which the phases say what they want.

use jiff::{SignedDuration, Timestamp};
use std::time::Duration;

use super::{Control, Effect, Facts, Level, Primary, Record, Routes, Seen, Target, Wait, WaitKind};
use crate::canary::{Announced, Canary, Spec};

pub(super) struct Turn<'a> {
    pub(super) canary: &'a Canary,
    pub(super) facts: &'a Facts,
    pub(super) now: Timestamp,
    pub(super) control: Control,
    pub(super) record: Record,
    pub(super) effects: Vec<Effect>,
    pub(super) news: Vec<Announced>,
    /// When the first of the levels that had to be left as others made them may be brought about again.
    pub(super) withheld: Option<Timestamp>,
}

impl<'a> Turn<'a> {
    pub(super) fn spec(&self) -> &'a Spec {
        &self.canary.spec
    }

    pub(super) fn target(&self) -> Option<&'a Target> {
        self.facts.target.present()
    }

    pub(super) fn primary(&self) -> Option<&'a Primary> {
        self.facts.primary.present()
    }

    pub(super) fn primary_ready(&self) -> bool {
        self.primary().is_some_and(|primary| primary.readiness.is_ready())
    }

    pub(super) fn canary_ready(&self) -> bool {
        self.target().is_some_and(|target| target.readiness.is_ready())
    }

    pub(super) fn scaled_up(&self) -> bool {
        self.spec().target.kind.scales() && self.target().is_some_and(|target| target.scaled_up)
    }

    pub(super) fn after(&self, span: Duration) -> Timestamp {
        let span = SignedDuration::try_from(span).unwrap_or(SignedDuration::MAX);
        self.now.saturating_add(span).unwrap_or(Timestamp::MAX)
    }

    pub(super) fn progress_deadline(&self) -> Timestamp {
        self.after(self.spec().progress_deadline)
    }

    /// Waits, from now on if it did not wait for the same before. Beginning and deadline of a wait stay.
    pub(super) fn wait(&mut self, kind: WaitKind, deadline: Option<Timestamp>, message: impl Into<String>) {
        if self.control.wait.as_ref().is_none_or(|wait| wait.kind != kind) {
            self.control.wait = Some(Wait {
                kind,
                since: self.now,
                deadline,
                message: message.into(),
            });
        }
    }

    pub(super) fn waits_for(&self, kind: WaitKind) -> bool {
        self.control.wait.as_ref().is_some_and(|wait| wait.kind == kind)
    }

    /// Ends the wait if it is one of these.
    pub(super) fn ends(&mut self, kinds: &[WaitKind]) {
        self.control.wait.take_if(|wait| kinds.contains(&wait.kind));
    }

    /// Whether the wait of this kind, if there is one, is over its deadline.
    pub(super) fn overdue(&self, kind: WaitKind) -> bool {
        self.control.wait.as_ref().is_some_and(|wait| {
            wait.kind == kind && wait.deadline.is_some_and(|deadline| deadline <= self.now)
        })
    }

    pub(super) fn tell(&mut self, reason: &str, text: impl Into<String>) {
        self.announce(false, reason, text.into());
    }

    pub(super) fn warn(&mut self, reason: &str, text: impl Into<String>) {
        self.announce(true, reason, text.into());
    }

    fn announce(&mut self, warning: bool, reason: &str, text: String) {
        let (run, tick) = (self.control.run_id(), self.control.tick);
        self.news.push(Announced {
            warning,
            reason: reason.to_owned(),
            text,
            run,
            tick,
            at: self.now,
        });
    }

    /// `<target>.<namespace>`, as events name it.
    pub(super) fn target_name(&self) -> String {
        format!("{}.{}", self.spec().target.name, self.canary.namespace)
    }

    /// `<canary>.<namespace>`, as events name it.
    pub(super) fn canary_name(&self) -> String {
        format!("{}.{}", self.canary.name, self.canary.namespace)
    }

    /// Brings the routes to the weight of the state. Gives whether they are there already. Moves traffic only
    /// to a side that is ready; what is merely broken or gone is written again as it was.
    pub(super) fn hold_routes(&mut self) -> bool {
        let weight = self.control.weight;
        let allowed = match &self.facts.routes {
            Seen::Unknown => return false,
            Seen::Present(Routes::Weight(observed)) if *observed == weight => {
                self.ends(&[WaitKind::Unroutable]);
                return true;
            }
            Seen::Present(Routes::Unroutable(why)) => {
                let deadline = (!self.control.phase.at_rest()).then(|| self.progress_deadline());
                self.wait(WaitKind::Unroutable, deadline, why.clone());
                return false;
            }
            Seen::Present(Routes::Weight(observed)) if *observed < weight => self.canary_ready(),
            Seen::Present(Routes::Weight(_)) => self.primary_ready(),
            Seen::Present(Routes::Broken(_)) | Seen::Absent => true,
        };
        if allowed && self.bring(Effect::Route(weight)) && self.control.next_tick.is_some() {
            self.control.next_tick = Some(self.after(self.spec().analysis.interval));
        }
        false
    }

    /// Brings the generated services and the apex to where they belong.
    pub(super) fn hold_services(&mut self) {
        if self.facts.services != Seen::Present(true) {
            self.bring(Effect::Services);
        }
        if self.facts.apex != Seen::Present(true) {
            self.bring(Effect::Apex);
        }
    }

    /// Brings a level about, unless it is withheld. Gives whether it does.
    pub(super) fn bring(&mut self, effect: Effect) -> bool {
        let until = Level::of(&effect).and_then(|level| self.facts.withheld.get(&level));
        let Some(until) = until.filter(|until| **until > self.now) else {
            self.effects.push(effect);
            return true;
        };
        self.withheld = Some(self.withheld.map_or(*until, |at| at.min(*until)));
        false
    }

    /// Whether some level is not as it has to be.
    pub(super) fn unsettled(&self) -> bool {
        !self.effects.is_empty() || self.withheld.is_some()
    }
}

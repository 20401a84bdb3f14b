//! Between runs: initialization, the start of a run, and what holds while nothing runs.

use super::{Effect, Revision, Wait, WaitKind, turn::Turn};
use crate::canary::{Phase, reason};

impl Turn<'_> {
    /// Builds the primary, the services and the routes; only then takes traffic from the target and scales
    /// it down. Nothing is analysed: what is live becomes the primary.
    pub(super) fn initialize(&mut self, live: &Revision) {
        if self.control.phase == Phase::New {
            self.control.phase = Phase::Initializing;
            return;
        }
        if self.facts.services != super::Seen::Present(true) {
            self.effects.push(Effect::Services);
        }
        if self
            .primary()
            .is_none_or(|primary| primary.made_from.as_ref() != Some(live))
        {
            if let Some(why) = &self.facts.unverified {
                return self.not_verified(why);
            }
            self.effects.push(Effect::Primary(live.clone()));
            return;
        }
        if !self.primary_ready() {
            let why = self
                .primary()
                .map(|primary| primary.readiness.why().to_owned())
                .unwrap_or_default();
            return self.wait(WaitKind::PrimaryNotReady, None, why);
        }
        self.ends(&[WaitKind::PrimaryNotReady, WaitKind::NotVerified]);
        self.control.weight = 0;
        if !self.hold_routes() {
            return;
        }
        if self.facts.apex != super::Seen::Present(true) {
            self.effects.push(Effect::Apex);
            return;
        }
        if self.unsettled() || !self.drained_and_scaled_down() {
            return;
        }
        self.control.phase = Phase::Initialized;
        self.control.wait = None;
        self.control.applied = Some(live.clone());
        self.control.promoted = Some(live.clone());
        self.tell(
            reason::INITIALIZED,
            format!("Initialization done! {}", self.canary_name()),
        );
    }

    /// Waits for the drain, then scales the target down. Gives whether it is down.
    pub(super) fn drained_and_scaled_down(&mut self) -> bool {
        if !self.scaled_up() {
            return true;
        }
        if !self.waits_for(WaitKind::Drain) {
            let deadline = self.after(self.spec().drain);
            self.wait_anew(WaitKind::Drain, Some(deadline), "");
        }
        if self.overdue(WaitKind::Drain) {
            self.bring(Effect::ScaleDown);
        }
        false
    }

    /// Waits from now on, whatever it waited for before.
    pub(super) fn wait_anew(&mut self, kind: WaitKind, deadline: Option<jiff::Timestamp>, message: &str) {
        self.control.wait = Some(Wait {
            kind,
            since: self.now,
            deadline,
            message: message.to_owned(),
        });
    }

    pub(super) fn rest(&mut self, live: &Revision) {
        if self.control.applied.is_none() && !self.adopt(live) {
            return;
        }
        let reseeded = self.reseed(live);
        let applied = self.control.applied.as_ref() == Some(live);
        let promoted = self.control.promoted.as_ref() == Some(live);
        if self.primary().is_none() {
            return self.primary_missing(live, promoted);
        }
        self.ends(&[WaitKind::PrimaryMissing]);
        if applied || promoted || reseeded {
            self.ends(&[WaitKind::NotVerified]);
        }
        if applied || reseeded {
            if promoted || reseeded {
                self.hold_primary(live);
            }
            self.hold_services();
            if self.hold_routes() {
                self.hold_scaled_down();
            }
        } else if promoted {
            self.already_promoted(live);
        } else if let Some(why) = &self.facts.unverified {
            if self.primary_ready() {
                // The target may hold all traffic, because the primary was broken.
                self.control.weight = 0;
            }
            self.hold_services();
            self.hold_routes();
            self.not_verified(why);
        } else {
            self.start_run(live);
            self.tell(
                reason::NEW_REVISION,
                format!("New revision detected! Scaling up {}", self.target_name()),
            );
        }
    }

    /// Waits for a verified commit that declares what is live, and says so once.
    fn not_verified(&mut self, why: &str) {
        if self.waits_for(WaitKind::NotVerified) || self.waits_for(WaitKind::Unroutable) {
            return;
        }
        self.wait(WaitKind::NotVerified, None, why);
        let text = format!("{} is not rolled out: {why}", self.target_name());
        self.warn(reason::NOT_VERIFIED, text);
    }

    /// Takes over a Canary whose status Serin did not write: its digests mean nothing here. Starts nothing
    /// that is not new. Gives whether the rest of the rules apply.
    fn adopt(&mut self, live: &Revision) -> bool {
        let Some(primary) = self.primary() else {
            self.primary_missing(live, false);
            return false;
        };
        if primary.matches_target || primary.made_from.as_ref() == Some(live) {
            self.control.promoted = Some(live.clone());
            self.control.applied = Some(live.clone());
        } else if self.control.phase == Phase::Failed {
            self.control.promoted.clone_from(&primary.made_from);
            self.control.applied = Some(live.clone());
        } else {
            self.control.promoted.clone_from(&primary.made_from);
        }
        true
    }

    /// A template whose digest changed although the target was not edited is the same template, seen with
    /// other eyes (a server's new defaults, a new version of the digest).
    fn reseed(&mut self, live: &Revision) -> bool {
        let Some(applied) = self.control.applied.clone() else {
            return false;
        };
        let unedited = self.spec().target.kind.scales()
            && applied.template() != live.template()
            && applied.configs() == live.configs()
            && self.target().is_some_and(|target| {
                target.uid == self.control.target_uid && target.generation == self.control.target_generation
            });
        if unedited {
            if self.control.promoted.as_ref() == Some(&applied) {
                self.control.promoted = Some(live.clone());
            }
            self.control.applied = Some(live.clone());
        }
        unedited
    }

    /// Makes the primary say what it was made from: what is live, and was promoted. One that a Flagger made says
    /// nothing, and is left alone.
    fn hold_primary(&mut self, live: &Revision) {
        let made_from = self.primary().and_then(|primary| primary.made_from.as_ref());
        if made_from.is_some_and(|made_from| made_from != live)
            && self.control.promoted.as_ref() == Some(live)
        {
            self.effects.push(Effect::Primary(live.clone()));
        }
    }

    fn primary_missing(&mut self, live: &Revision, promoted: bool) {
        if promoted {
            self.effects.push(Effect::Primary(live.clone()));
            return;
        }
        let message = format!(
            "{}-primary.{} is gone and {} is not the promoted revision; bring the promoted revision back, or \
             delete the Canary's status to initialize from what is live",
            self.spec().target.name,
            self.canary.namespace,
            self.target_name()
        );
        self.wait(WaitKind::PrimaryMissing, None, message);
    }

    pub(super) fn already_promoted(&mut self, live: &Revision) {
        self.control.phase = Phase::Succeeded;
        self.control.applied = Some(live.clone());
        self.control.wait = None;
        self.record.reason = None;
        self.tell(
            reason::ALREADY_PROMOTED,
            format!(
                "{} is back at the promoted revision, nothing to do",
                self.target_name()
            ),
        );
    }

    /// Begins a run for a revision: the traffic goes to the primary, if that is ready, and the target runs.
    pub(super) fn start_run(&mut self, live: &Revision) {
        let control = &mut self.control;
        control.counter += 1;
        control.phase = Phase::Progressing;
        control.applied = Some(live.clone());
        control.failed_checks = 0;
        control.tick = 0;
        control.passed = 0;
        control.iteration = 0;
        control.next_tick = None;
        control.gates_announced.clear();
        control.edit_announced = false;
        self.record.reason = None;
        self.record.started_at = Some(self.now);
        self.control.held = self.control.weight > 0 && !self.primary_ready();
        if !self.control.held {
            self.control.weight = 0;
        }
        let deadline = self.progress_deadline();
        self.wait_anew(WaitKind::CanaryNotReady, Some(deadline), "");
        self.hold_services();
        self.hold_routes();
        self.hold_scale();
    }

    /// Brings the target up.
    pub(super) fn hold_scale(&mut self) {
        if self.spec().target.kind.scales() && !self.scaled_up() {
            self.bring(Effect::ScaleUp);
        }
    }

    /// Keeps the target down that nobody needs: all traffic is on a primary that is ready.
    fn hold_scaled_down(&mut self) {
        let idle = self.control.weight == 0 && self.primary_ready();
        if idle && self.scaled_up() && !self.unsettled() {
            self.bring(Effect::ScaleDown);
        }
    }
}

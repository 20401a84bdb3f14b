//! The end of a run: promotion, finalising, rollback. What cannot be taken back is written before its effects:
//! the step that decides it has none.

use super::{Effect, Live, Readiness, Revision, Rollback, Routes, Seen, WaitKind, turn::Turn};
use crate::canary::{Phase, reason};

impl Turn<'_> {
    pub(super) fn begin_promotion(&mut self) {
        self.effects.clear();
        self.control.phase = Phase::Promoting;
        self.control.next_tick = None;
        let deadline = self.progress_deadline();
        self.wait_anew(WaitKind::PrimaryNotReady, Some(deadline), "");
        let (target, namespace) = (&self.spec().target.name, &self.canary.namespace);
        let text = format!("Copying {target}.{namespace} template spec to {target}-primary.{namespace}");
        self.tell(reason::PROMOTING, text);
    }

    pub(super) fn promote(&mut self, live: &Revision) {
        let Some(applied) = self.control.applied.clone() else {
            return;
        };
        let made = self
            .primary()
            .is_some_and(|primary| primary.made_from.as_ref() == Some(&applied));
        if !made && *live != applied {
            return self.moved(live);
        }
        if !made {
            self.effects.push(Effect::Primary(applied));
            return;
        }
        let why = match self.primary().map(|primary| &primary.readiness) {
            Some(Readiness::Ready) => return self.begin_finalising(),
            Some(Readiness::Stuck(why)) => why.clone(),
            Some(Readiness::NotReady(why)) if self.overdue(WaitKind::PrimaryNotReady) => why.clone(),
            Some(Readiness::NotReady(_)) | None => {
                self.hold_scale();
                self.hold_routes();
                return;
            }
        };
        self.promotion_failed(&why);
    }

    fn begin_finalising(&mut self) {
        self.control.phase = Phase::Finalising;
        self.control.promoted.clone_from(&self.control.applied);
        if self.spec().provider.weights() {
            self.tell(reason::ROUTED_TO_PRIMARY, "Routing all traffic to primary");
        }
        self.route_to_primary();
    }

    /// All traffic to the primary, which is ready; the drain begins.
    fn route_to_primary(&mut self) {
        let drains = self.control.weight == 0 && self.waits_for(WaitKind::Drain);
        self.control.weight = 0;
        self.control.held = false;
        self.hold_routes();
        if !drains || self.overdue(WaitKind::Drain) {
            let deadline = self.after(self.spec().drain);
            self.wait_anew(WaitKind::Drain, Some(deadline), "");
        }
    }

    /// The primary does not become ready with what was analysed: traffic moves to the canary if that is ready,
    /// else nothing moves until one side is.
    fn promotion_failed(&mut self, why: &str) {
        let text = format!(
            "Promotion of {} failed, primary not ready: {why}",
            self.target_name()
        );
        self.control.promoted.clone_from(&self.control.applied);
        let routable = self.spec().provider.weights();
        if routable && !self.canary_ready() {
            if self
                .control
                .wait
                .as_ref()
                .is_some_and(|wait| wait.deadline.is_some())
            {
                self.wait_anew(WaitKind::PrimaryNotReady, None, why);
                self.warn(reason::PROMOTION_FAILED, text);
            }
            return;
        }
        if routable {
            self.control.weight = 100;
            self.hold_routes();
        }
        self.control.phase = Phase::Failed;
        self.control.wait = None;
        self.record.reason = Some(text.clone());
        self.warn(reason::PROMOTION_FAILED, text);
    }

    pub(super) fn finalise(&mut self) {
        if !self.at_primary() {
            return;
        }
        if !self.drained_and_scaled_down() || self.unsettled() {
            return;
        }
        self.control.phase = Phase::Succeeded;
        self.control.wait = None;
        self.record.reason = None;
        self.tell(
            reason::PROMOTED,
            format!("Promotion completed! Scaling down {}", self.target_name()),
        );
    }

    /// Whether all traffic is on the primary; if not, sends it there once the primary is ready.
    fn at_primary(&mut self) -> bool {
        let observed = match &self.facts.routes {
            Seen::Present(Routes::Weight(observed)) => Some(*observed),
            _ => None,
        };
        if self.control.weight == 0 && observed == Some(0) {
            self.ends(&[WaitKind::PrimaryNotReady, WaitKind::Unroutable]);
            return true;
        }
        if let Seen::Present(Routes::Unroutable(why)) = &self.facts.routes {
            self.wait(WaitKind::Unroutable, None, why.clone());
        } else if self.primary_ready() {
            self.route_to_primary();
        } else {
            let why = self
                .primary()
                .map_or("the primary is gone", |primary| primary.readiness.why());
            self.wait(WaitKind::PrimaryNotReady, None, why);
        }
        false
    }

    pub(super) fn begin_rollback(&mut self, why: Rollback) {
        self.effects.clear();
        self.control.next_tick = None;
        self.control.wait = None;
        match &why {
            Rollback::FailedChecks(_) => {
                let text = format!(
                    "Rolling back {} failed checks threshold reached {}",
                    self.canary_name(),
                    self.control.failed_checks
                );
                self.warn(reason::THRESHOLD_REACHED, text);
            }
            Rollback::Deadline(what) => {
                let text = format!(
                    "Rolling back {} progress deadline exceeded {what}",
                    self.canary_name()
                );
                self.warn(reason::DEADLINE_EXCEEDED, text);
            }
            Rollback::Unverified(why) => {
                let text = format!("Rolling back {} {why}", self.canary_name());
                self.warn(reason::NOT_VERIFIED, text);
            }
            Rollback::Reverted => {}
        }
        self.record.reason = match &why {
            Rollback::FailedChecks(what) => Some(what.clone()),
            Rollback::Deadline(what) => Some(format!("progress deadline exceeded: {what}")),
            Rollback::Unverified(why) => Some(why.clone()),
            Rollback::Reverted => None,
        };
        self.control.rolling_back = Some(why);
    }

    /// Gives the revision that took the place of the one that was judged, if a verified commit turned up for it before
    /// its pods are gone: a change may be live before its commit is read.
    fn verified_after_all(&self) -> Option<Revision> {
        let unverified = matches!(self.control.rolling_back, Some(Rollback::Unverified(_)));
        let Live::Revision(live) = &self.target()?.live else {
            return None;
        };
        let may_run = unverified && self.facts.unverified.is_none();
        (may_run && self.control.promoted.as_ref() != Some(live)).then(|| live.clone())
    }

    /// The run was ended by a revision that nobody may judge: nothing is said of the one that was judged, so
    /// that it runs again should it come back.
    fn as_before_the_run(&mut self) {
        self.control.phase = Phase::Succeeded;
        self.control.applied.clone_from(&self.control.promoted);
        self.record.reason = None;
    }

    pub(super) fn roll_back(&mut self) {
        if !self.at_primary() {
            return;
        }
        if let Some(live) = self.verified_after_all() {
            self.control.rolling_back = None;
            return self.restart(&live);
        }
        if !self.drained_and_scaled_down() || self.unsettled() {
            return;
        }
        let why = self.control.rolling_back.take();
        self.control.wait = None;
        self.control.held = false;
        if let (Some(Rollback::Reverted), Some(promoted)) = (&why, self.control.promoted.clone()) {
            return self.already_promoted(&promoted);
        }
        if let Some(Rollback::Unverified(_)) = &why {
            return self.as_before_the_run();
        }
        self.control.phase = Phase::Failed;
        self.warn(
            reason::ROLLED_BACK,
            format!("Canary failed! Scaling down {}", self.canary_name()),
        );
    }
}

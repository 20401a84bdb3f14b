//! A run in progress: from the first weight to the last check.

use super::{Answer, AskId, Effect, Readiness, Revision, Rollback, WaitKind, turn::Turn};
use crate::canary::{HookKind, JudgeBy, Measurement, Phase, Strategy, Verdict, reason};

impl Turn<'_> {
    pub(super) fn progress(&mut self, live: &Revision) {
        if self.control.applied.as_ref() != Some(live) {
            return self.moved(live);
        }
        self.tell_edited();
        self.hold_services();
        self.hold_scale();
        let routed = self.hold_routes();
        if self.overdue(WaitKind::Unroutable) {
            let why = self
                .control
                .wait
                .as_ref()
                .map(|wait| wait.message.clone())
                .unwrap_or_default();
            return self.begin_rollback(Rollback::Deadline(why));
        }
        if !self.wait_for_canary() || !routed || self.unsettled() {
            return;
        }
        match self.control.next_tick {
            None => self.begin_analysis(),
            Some(at) if at <= self.now => self.check(),
            Some(_) => {}
        }
    }

    /// Says once in a run that its revision edits what judges it, and what does.
    fn tell_edited(&mut self) {
        let Some(edited) = self
            .spec()
            .edited
            .as_ref()
            .filter(|_| !self.control.edit_announced)
        else {
            return;
        };
        self.control.edit_announced = true;
        let name = self.canary_name();
        let by = match edited.judged_by {
            JudgeBy::Commit => "its own",
            JudgeBy::Promoted => "those of the promoted revision",
        };
        let text = format!(
            "{name} edits its own thresholds ({}), judged by {by}",
            edited.fields
        );
        self.tell(reason::THRESHOLDS_EDITED, text);
    }

    /// The target changed during the run: back to the promoted revision ends it, so does one that is not
    /// verified; anything else restarts it.
    pub(super) fn moved(&mut self, live: &Revision) {
        if self.control.promoted.as_ref() == Some(live) {
            return self.begin_rollback(Rollback::Reverted);
        }
        if let Some(why) = self.facts.unverified.clone() {
            return self.begin_rollback(Rollback::Unverified(why));
        }
        self.restart(live);
    }

    /// The analysis begins anew for another revision.
    pub(super) fn restart(&mut self, live: &Revision) {
        self.start_run(live);
        self.tell(
            reason::RESTARTED,
            format!(
                "New revision detected! Restarting analysis for {}",
                self.target_name()
            ),
        );
    }

    fn wait_for_canary(&mut self) -> bool {
        let Some(target) = self.target() else { return false };
        let why = match &target.readiness {
            Readiness::Ready => {
                self.ends(&[WaitKind::CanaryNotReady]);
                return true;
            }
            Readiness::Stuck(why) => {
                self.deadline(&format!("canary {} not ready: {why}", self.target_name()));
                return false;
            }
            Readiness::NotReady(why) => why.clone(),
        };
        if self.waits_for(WaitKind::Unroutable) {
            return false;
        }
        let deadline = self.progress_deadline();
        self.wait(WaitKind::CanaryNotReady, Some(deadline), why.clone());
        if self.overdue(WaitKind::CanaryNotReady) {
            self.deadline(&format!("canary {} not ready: {why}", self.target_name()));
        }
        false
    }

    fn deadline(&mut self, what: &str) {
        self.begin_rollback(Rollback::Deadline(what.to_owned()));
    }

    fn begin_analysis(&mut self) {
        if self.spec().skip_analysis {
            return self.begin_promotion();
        }
        self.tell(
            reason::ANALYSIS_STARTED,
            format!("Starting canary analysis for {}", self.target_name()),
        );
        self.control.next_tick = Some(self.after(self.spec().analysis.interval));
        if !self.control.held {
            self.advance();
        }
    }

    /// Moves to what the number of passed checks stands for.
    fn advance(&mut self) {
        let name = self.canary_name();
        match &self.spec().analysis.strategy {
            Strategy::Weights(steps) => {
                let index = usize::try_from(self.control.passed).unwrap_or(usize::MAX);
                if let Some(weight) = steps.get(index) {
                    self.control.weight = *weight;
                    self.tell(
                        reason::WEIGHT_ADVANCED,
                        format!("Advance {name} canary weight {weight}"),
                    );
                    self.hold_routes();
                }
            }
            Strategy::Iterations(count) if self.control.passed < *count => {
                self.control.iteration = self.control.passed + 1;
                let text = format!(
                    "Advance {name} canary iteration {}/{count}",
                    self.control.iteration
                );
                self.tell(reason::ITERATION_ADVANCED, text);
            }
            Strategy::Iterations(_) => {
                self.control.weight = 100;
                self.tell(reason::ROUTED_TO_CANARY, "Routing all traffic to canary");
                self.hold_routes();
            }
        }
    }

    /// How many checks must pass: blue/green with a router has one more, with all traffic on the canary.
    fn demanded(&self) -> u32 {
        let strategy = &self.spec().analysis.strategy;
        let extra = matches!(strategy, Strategy::Iterations(_)) && self.spec().provider.weights();
        strategy.checks().saturating_add(u32::from(extra))
    }

    fn check(&mut self) {
        let Some(answers) = self.answers(&self.checks()) else {
            return;
        };
        let errors = answers.iter().any(|(_, answer)| answer.verdict.is_error());
        let failures = answers.iter().any(|(_, answer)| answer.verdict.is_failure());
        if failures {
            self.record(&answers);
            self.failed(&answers);
        } else if errors {
            self.record(&answers);
            self.no_verdict(&answers);
        } else {
            self.passed(&answers);
        }
    }

    fn passed(&mut self, answers: &[(AskId, Answer)]) {
        let reached = self.control.passed.saturating_add(1);
        let last = reached >= self.demanded();
        let turns_all = !last && self.switches_all_at(reached);
        let mut gated = Vec::new();
        if last || turns_all {
            let Some(gates) = self.answers(&self.gates()) else {
                return;
            };
            gated = gates;
        }
        self.record(answers);
        self.ends(&[WaitKind::NoVerdict]);
        if let Some((id, refusal)) = gated.iter().find(|(_, answer)| answer.verdict != Verdict::Passed) {
            return self.refused(id, refusal);
        }
        if !self.control.gates_announced.is_empty() {
            for name in std::mem::take(&mut self.control.gates_announced) {
                self.tell(
                    reason::PROMOTION_CONFIRMED,
                    format!("Confirm-promotion check {name} passed"),
                );
            }
        }
        self.ends(&[WaitKind::PromotionApproval]);
        self.control.phase = Phase::Progressing;
        self.control.passed = reached;
        self.next_tick();
        if last {
            self.begin_promotion();
        } else if !self.control.held {
            self.advance();
        }
    }

    /// Whether this many passed checks move all traffic at once.
    fn switches_all_at(&self, passed: u32) -> bool {
        matches!(self.spec().analysis.strategy, Strategy::Iterations(count) if count == passed)
    }

    /// A gate refuses: checks go on, at the same weight, until it agrees or they fail.
    fn refused(&mut self, id: &AskId, refusal: &Answer) {
        self.next_tick();
        self.control.phase = Phase::WaitingPromotion;
        self.wait(WaitKind::PromotionApproval, None, refusal.text.clone());
        let name = id.name.trim_start_matches("hook/").to_owned();
        if !self.control.gates_announced.contains(&name) {
            self.control.gates_announced.push(name);
            self.warn(reason::WAITING_FOR_PROMOTION, refusal.text.clone());
        }
    }

    fn failed(&mut self, answers: &[(AskId, Answer)]) {
        self.control.failed_checks = self.control.failed_checks.saturating_add(1);
        self.ends(&[WaitKind::NoVerdict]);
        let mut last = String::new();
        for (_, answer) in answers.iter().filter(|(_, answer)| answer.verdict.is_failure()) {
            if last.is_empty() {
                last.clone_from(&answer.text);
            }
            self.warn(reason::CHECK_FAILED, answer.text.clone());
        }
        self.next_tick();
        if self.control.failed_checks >= self.spec().analysis.threshold {
            self.begin_rollback(Rollback::FailedChecks(last));
        }
    }

    /// Nobody could say: not a failed check, and never a pass. Asked again until the deadline.
    fn no_verdict(&mut self, answers: &[(AskId, Answer)]) {
        let text = answers
            .iter()
            .find(|(_, answer)| answer.verdict.is_error())
            .map(|(_, answer)| answer.text.clone())
            .unwrap_or_default();
        self.warn(reason::CHECK_ERROR, text.clone());
        self.next_tick();
        let deadline = self.progress_deadline();
        self.wait(WaitKind::NoVerdict, Some(deadline), text.clone());
        if self.overdue(WaitKind::NoVerdict) {
            self.deadline(&text);
        }
    }

    fn next_tick(&mut self) {
        self.control.tick = self.control.tick.saturating_add(1);
        self.control.next_tick = Some(self.after(self.spec().analysis.interval));
    }

    fn checks(&self) -> Vec<String> {
        let analysis = &self.spec().analysis;
        let hooks = analysis
            .hooks
            .iter()
            .filter(|hook| hook.kind == HookKind::Rollout);
        hooks
            .map(|hook| format!("hook/{}", hook.name))
            .chain(
                analysis
                    .metrics
                    .iter()
                    .map(|metric| format!("metric/{}", metric.name)),
            )
            .collect()
    }

    fn gates(&self) -> Vec<String> {
        let hooks = self.spec().analysis.hooks.iter();
        hooks
            .filter(|hook| hook.kind == HookKind::ConfirmPromotion)
            .map(|hook| format!("hook/{}", hook.name))
            .collect()
    }

    /// The answers to all of these, or none, and then those that are missing are asked.
    fn answers(&mut self, names: &[String]) -> Option<Vec<(AskId, Answer)>> {
        let (run, tick) = (self.control.run_id(), self.control.tick);
        let ids: Vec<AskId> = names
            .iter()
            .map(|name| AskId {
                run: run.clone(),
                tick,
                name: name.clone(),
            })
            .collect();
        let answers = &self.facts.answers;
        let missing = ids
            .iter()
            .filter(|id| !answers.contains_key(id))
            .cloned()
            .map(Effect::Ask);
        self.effects.extend(missing);
        if !self.effects.is_empty() {
            return None;
        }
        Some(
            ids.into_iter()
                .filter_map(|id| answers.get(&id).cloned().map(|answer| (id, answer)))
                .collect(),
        )
    }

    fn record(&mut self, answers: &[(AskId, Answer)]) {
        let weight = u32::from(self.control.weight);
        for (id, answer) in answers {
            self.record.measurements.push(Measurement {
                name: id
                    .name
                    .split_once('/')
                    .map_or(id.name.as_str(), |(_, name)| name)
                    .to_owned(),
                run: id.run.clone(),
                tick: id.tick,
                weight,
                verdict: answer.verdict,
                value: answer.value.filter(|value| value.is_finite()),
                message: answer.text.clone(),
                at: self.now,
            });
        }
        let surplus = self
            .record
            .measurements
            .len()
            .saturating_sub(super::Record::MEASUREMENTS);
        self.record.measurements.drain(..surplus);
    }
}

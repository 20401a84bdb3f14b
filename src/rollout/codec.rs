//! The state in a Canary's status, and back. Flagger's fields keep their meaning; what they cannot hold is in
//! `status.run`.

use jiff::Timestamp;

use super::{Control, Record, Revision, Rollback, State, Wait, WaitKind, conditions};
use crate::canary::{Canary, RunStatus, Status, WaitStatus};

/// The version prefix of digests. Others (Flagger's) mean nothing to Serin.
const DIGEST: &str = "v1:";

impl State {
    /// Reads the state from a status, which may be empty or left by Flagger.
    #[must_use]
    pub fn load(status: &Status) -> Self {
        let run = status.run.clone().unwrap_or_default();
        let control = Control {
            phase: status.phase,
            weight: u8::try_from(status.canary_weight.min(100)).unwrap_or(100),
            passed: run.passed,
            iteration: u32::try_from(status.iterations).unwrap_or_default(),
            failed_checks: status.failed_checks,
            counter: run.counter,
            tick: run.tick,
            next_tick: run.next_tick,
            held: run.held,
            applied: revision(&status.last_applied_spec, &status.tracked_configs),
            promoted: revision(&status.last_promoted_spec, &status.last_promoted_configs),
            rolling_back: run
                .rolling_back
                .as_deref()
                .map(|text| rollback(text, status.reason.as_deref())),
            wait: run.wait.and_then(wait),
            target_uid: run.target_uid,
            target_generation: run.target_generation,
            gates_announced: run.gates_announced,
            edit_announced: run.edit_announced,
            announced: status.announced.clone(),
        };
        let record = Record {
            reason: status.reason.clone(),
            measurements: status.measurements.clone(),
            started_at: run.started_at,
        };
        Self { control, record }
    }

    /// Writes the state over a status. What the machine does not know (commits, other conditions) is kept.
    #[must_use]
    pub fn store(&self, canary: &Canary, before: &Status, now: Timestamp) -> Status {
        let control = &self.control;
        let mut status = before.clone();
        status.phase = control.phase;
        status.canary_weight = u32::from(control.weight);
        status.failed_checks = control.failed_checks;
        status.iterations = i64::from(control.iteration);
        if let Some(applied) = &control.applied {
            applied.template().clone_into(&mut status.last_applied_spec);
            status.tracked_configs.clone_from(applied.configs());
        }
        if let Some(promoted) = &control.promoted {
            promoted.template().clone_into(&mut status.last_promoted_spec);
            status.last_promoted_configs.clone_from(promoted.configs());
        }
        status.last_transition_time = Some(now);
        status.observed_generation = Some(canary.generation);
        status.reason.clone_from(&self.record.reason);
        status.run = Some(self.run());
        status.measurements.clone_from(&self.record.measurements);
        status.announced.clone_from(&control.announced);
        status.conditions = conditions::of(canary, self, &before.conditions, now);
        status
    }

    fn run(&self) -> RunStatus {
        let control = &self.control;
        RunStatus {
            id: control.run_id(),
            counter: control.counter,
            tick: control.tick,
            passed: control.passed,
            held: control.held,
            next_tick: control.next_tick,
            rolling_back: control
                .rolling_back
                .as_ref()
                .map(|why| rollback_name(why).to_owned()),
            wait: control.wait.as_ref().map(|wait| WaitStatus {
                kind: wait.kind.name().to_owned(),
                since: wait.since,
                deadline: wait.deadline,
                message: wait.message.clone(),
            }),
            started_at: self.record.started_at,
            target_uid: control.target_uid.clone(),
            target_generation: control.target_generation,
            gates_announced: control.gates_announced.clone(),
            edit_announced: control.edit_announced,
        }
    }
}

fn revision(template: &str, configs: &std::collections::BTreeMap<String, String>) -> Option<Revision> {
    template
        .starts_with(DIGEST)
        .then(|| Revision::new(template, configs.clone()))
}

fn wait(status: WaitStatus) -> Option<Wait> {
    let kind = WaitKind::parse(&status.kind)?;
    Some(Wait {
        kind,
        since: status.since,
        deadline: status.deadline,
        message: status.message,
    })
}

fn rollback_name(why: &Rollback) -> &'static str {
    match why {
        Rollback::FailedChecks(_) => "FailedChecks",
        Rollback::Deadline(_) => "Deadline",
        Rollback::Reverted => "Reverted",
        Rollback::Unverified(_) => "Unverified",
    }
}

fn rollback(name: &str, reason: Option<&str>) -> Rollback {
    let reason = reason.unwrap_or_default();
    match name {
        "Reverted" => Rollback::Reverted,
        "Unverified" => Rollback::Unverified(reason.to_owned()),
        "Deadline" => Rollback::Deadline(
            reason
                .strip_prefix("progress deadline exceeded: ")
                .unwrap_or(reason)
                .to_owned(),
        ),
        _ => Rollback::FailedChecks(reason.to_owned()),
    }
}

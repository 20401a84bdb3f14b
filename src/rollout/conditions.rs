//! Conditions: Flagger's `Promoted`, word for word, and kstatus' `Ready`, `Reconciling` and `Stalled`, so that
//! a Flux Kustomization can wait for a canary.

use jiff::Timestamp;

use super::State;
use crate::canary::{Canary, Condition, Phase, reason};

/// Makes the conditions. A condition's `lastTransitionTime` moves only when its status does.
pub(super) fn of(canary: &Canary, state: &State, before: &[Condition], now: Timestamp) -> Vec<Condition> {
    let generation = Some(canary.generation);
    let mut conditions = Vec::with_capacity(4);
    if let Some((status, message)) = promoted(canary, state.control.phase) {
        conditions.push(draft("Promoted", status, state.control.phase.name(), message));
    }
    let (ready, why, message) = readiness(canary, state);
    conditions.push(draft("Ready", ready, &why, message.clone()));
    let stall = stall(canary, state);
    if let Some((why, message)) = stall {
        conditions.push(draft("Stalled", "True", &why, message));
    } else if ready == "Unknown" {
        conditions.push(draft("Reconciling", "True", &why, message));
    }
    let warnings = warnings(canary);
    if !warnings.is_empty() {
        conditions.push(draft(
            "Warning",
            "True",
            reason::SPEC_WARNING,
            warnings.join("; "),
        ));
    }
    conditions
        .into_iter()
        .map(|condition| dated(condition, before, generation, now))
        .collect()
}

fn draft(kind: &str, status: &str, reason: &str, message: impl Into<String>) -> Condition {
    Condition {
        kind: kind.to_owned(),
        status: status.to_owned(),
        reason: reason.to_owned(),
        message: message.into(),
        observed_generation: None,
        last_update_time: None,
        last_transition_time: None,
    }
}

fn dated(
    mut condition: Condition,
    before: &[Condition],
    generation: Option<i64>,
    now: Timestamp,
) -> Condition {
    let old = before.iter().find(|old| old.kind == condition.kind);
    let unmoved = old
        .filter(|old| old.status == condition.status)
        .and_then(|old| old.last_transition_time);
    let unchanged = old
        .filter(|old| old.status == condition.status && old.reason == condition.reason)
        .and_then(|old| old.last_update_time);
    condition.last_transition_time = Some(unmoved.unwrap_or(now));
    condition.last_update_time = Some(unchanged.unwrap_or(now));
    condition.observed_generation = generation;
    condition
}

/// Flagger's condition: its texts are what users' scripts and dashboards know.
fn promoted(canary: &Canary, phase: Phase) -> Option<(&'static str, String)> {
    let kind = canary.spec.target.kind.name();
    Some(match phase {
        Phase::New | Phase::Initializing => (
            "Unknown",
            format!("New {kind} detected, starting initialization."),
        ),
        Phase::Initialized => ("True", format!("{kind} initialization completed.")),
        Phase::Waiting | Phase::WaitingPromotion => ("Unknown", "Waiting for approval.".to_owned()),
        Phase::Progressing => (
            "Unknown",
            "New revision detected, progressing canary analysis.".to_owned(),
        ),
        Phase::Promoting => (
            "Unknown",
            "Canary analysis completed, starting primary rolling update.".to_owned(),
        ),
        Phase::Finalising => (
            "Unknown",
            "Canary analysis completed, routing all traffic to primary.".to_owned(),
        ),
        Phase::Succeeded => (
            "True",
            "Canary analysis completed successfully, promotion finished.".to_owned(),
        ),
        Phase::Failed => ("False", format!("Canary analysis failed, {kind} scaled to zero.")),
        Phase::Terminating | Phase::Terminated => return None,
    })
}

fn readiness(canary: &Canary, state: &State) -> (&'static str, String, String) {
    if let Some((why, message)) = stall(canary, state) {
        return ("False", why, message);
    }
    let control = &state.control;
    let phase = control.phase.name();
    match control.phase {
        Phase::Failed => {
            let why = state
                .record
                .reason
                .clone()
                .unwrap_or_else(|| "canary analysis failed".to_owned());
            ("False", phase.to_owned(), why)
        }
        Phase::Initialized | Phase::Succeeded => {
            ("True", phase.to_owned(), "primary is up to date".to_owned())
        }
        _ => {
            let waiting = control
                .wait
                .as_ref()
                .map(|wait| (wait.kind.name(), wait.message.as_str()));
            let message = match waiting {
                Some((kind, "")) => format!("waiting: {kind}"),
                Some((kind, text)) => format!("waiting: {kind}: {text}"),
                None => format!("canary weight {} %", control.weight),
            };
            (
                "Unknown",
                if phase.is_empty() { "New" } else { phase }.to_owned(),
                message,
            )
        }
    }
}

fn stall(canary: &Canary, state: &State) -> Option<(String, String)> {
    let missing: Vec<&str> = canary
        .spec
        .not_implemented
        .iter()
        .filter(|n| n.gates)
        .map(|n| n.field.as_str())
        .collect();
    if !missing.is_empty() {
        let message = format!(
            "not implemented yet: {}; remove it, or leave this Canary to Flagger; nothing was touched",
            missing.join(", ")
        );
        return Some((reason::NOT_IMPLEMENTED.to_owned(), message));
    }
    let wait = state.control.wait.as_ref().filter(|wait| wait.kind.stalls())?;
    Some((wait.kind.name().to_owned(), wait.message.clone()))
}

fn warnings(canary: &Canary) -> Vec<String> {
    let ignored = canary.spec.not_implemented.iter().filter(|n| !n.gates);
    ignored
        .map(|n| format!("{} is not implemented yet and has no effect", n.field))
        .chain(canary.spec.warnings.iter().cloned())
        .collect()
}

//! What a rollout means for the commit that it is for: state and text. Pure.
//!
//! A commit is never green before the end. Failure means that the revision was judged and rolled back, error
//! that nobody could judge it.

mod detail;

use std::collections::BTreeMap;

pub use self::detail::{detail, escape};
use super::{CommitState, CommitStatus, Outcome};
use crate::{
    canary::{Canary, DriftStatus, Phase, Status, reason},
    http::excerpt,
    manifest::ObjectKey,
};

/// What is added to the last word about a commit once its revert is proposed.
const PROPOSED: &str = "; revert proposed: ";
/// How it begins what is said of a commit that policy does not let anything be done for.
const NOT_VERIFIED: &str = "not verified: ";
/// What is added to a word about a commit once somebody else has set back what its rollout wrote.
const DRIFT: &str = "; drift: ";

/// Says what a canary's status means for the commit that its run is for.
#[must_use]
pub fn outcome(canary: &Canary, status: &Status) -> Outcome {
    let pending = |text: String| Outcome::new(CommitState::Pending, &text);
    if let Some(error) = stalled_for_good(status) {
        return error;
    }
    match status.phase {
        Phase::New | Phase::Initializing => pending(format!("initializing{}", wait(canary, status))),
        Phase::Initialized => initialized(),
        Phase::Waiting => pending("waiting for approval".to_owned()),
        Phase::Progressing | Phase::WaitingPromotion => pending(progress(canary, status)),
        Phase::Promoting => pending(format!("promoting{}", wait(canary, status))),
        Phase::Finalising => pending("promoted, scaling the canary down".to_owned()),
        Phase::Succeeded => succeeded(canary, status),
        Phase::Failed => failed(canary, status),
        Phase::Terminating | Phase::Terminated => deleted(),
    }
}

/// The Canary cannot be acted on at all: an error, not a long wait.
fn stalled_for_good(status: &Status) -> Option<Outcome> {
    let stalled = status
        .conditions
        .iter()
        .find(|condition| condition.kind == "Stalled" && condition.status == "True")?;
    let lasting = [
        reason::NOT_IMPLEMENTED,
        reason::INVALID_SPEC,
        reason::OUTDATED_CRD,
    ];
    lasting
        .contains(&stalled.reason.as_str())
        .then(|| Outcome::new(CommitState::Error, &stalled.message))
}

fn progress(canary: &Canary, status: &Status) -> String {
    let name = format!("{}.{}", canary.name, canary.namespace);
    if status.run.as_ref().is_some_and(|run| run.rolling_back.is_some()) {
        let why = status.reason.as_deref().unwrap_or("the revision was reverted");
        return format!("{name} rolling back: {}", bare(canary, why));
    }
    let failed = match status.failed_checks {
        0 => String::new(),
        1 => ", 1 failed check".to_owned(),
        n => format!(", {n} failed checks"),
    };
    let at = if status.canary_weight == 0 && status.iterations > 0 {
        format!("iteration {}", status.iterations)
    } else {
        format!("{} %", status.canary_weight)
    };
    format!("{name} {at}{failed}{}", wait(canary, status))
}

/// What is waited for, as the tail of a text.
fn wait(canary: &Canary, status: &Status) -> String {
    let Some(wait) = status.run.as_ref().and_then(|run| run.wait.as_ref()) else {
        return String::new();
    };
    let message = bare(canary, &wait.message);
    match (wait.kind.as_str(), message.as_str()) {
        ("Drain", _) => String::new(),
        // Flagger's text begins with what it is, and ends with the hook's name.
        ("PromotionApproval", text) if text.starts_with("waiting ") => format!(", {text}"),
        (kind, "") => format!(", waiting: {}", words(kind)),
        (kind, text) => format!(", waiting: {}: {text}", words(kind)),
    }
}

/// Splits `CanaryNotReady` into words.
fn words(name: &str) -> String {
    let mut out = String::new();
    for c in name.chars() {
        if c.is_uppercase() && !out.is_empty() {
            out.push(' ');
        }
        out.extend(c.to_lowercase());
    }
    out
}

fn succeeded(canary: &Canary, status: &Status) -> Outcome {
    if status
        .announced
        .iter()
        .any(|announced| announced.reason == reason::ALREADY_PROMOTED)
    {
        return already_promoted();
    }
    let passed = status.run.as_ref().map_or(0, |run| run.passed);
    let checks = match passed {
        _ if canary.spec.skip_analysis => "analysis skipped".to_owned(),
        1 => "1 check passed".to_owned(),
        n => format!("{n} checks passed"),
    };
    Outcome::new(CommitState::Success, &format!("promoted, {checks}"))
}

fn failed(canary: &Canary, status: &Status) -> Outcome {
    let why = status.reason.as_deref().unwrap_or("canary analysis failed");
    let promotion = format!(
        "Promotion of {}.{} failed, ",
        canary.spec.target.name, canary.namespace
    );
    if let Some(why) = why.strip_prefix(&promotion) {
        return Outcome::new(CommitState::Failure, &format!("promotion failed: {why}"));
    }
    let unanswered = status
        .measurements
        .last()
        .is_some_and(|measurement| measurement.verdict.is_error());
    let deadline = "progress deadline exceeded: ";
    match why.strip_prefix(deadline) {
        Some(what) if unanswered => Outcome::new(
            CommitState::Error,
            &format!("could not be evaluated, rolled back: {}", bare(canary, what)),
        ),
        _ => Outcome::new(
            CommitState::Failure,
            &format!("rolled back: {}", bare(canary, why)),
        ),
    }
}

/// Takes Flagger's "Halt podinfo.test advancement" off a text, and calls built-in metrics by their names: a
/// description has no room for what the context says already.
fn bare(canary: &Canary, text: &str) -> String {
    let halt = format!("Halt {}.{} advancement ", canary.name, canary.namespace);
    let (before, text) = match text.split_once(halt.as_str()) {
        Some((before, rest)) => (before, rest),
        None => ("", text.strip_prefix("Halt advancement ").unwrap_or(text)),
    };
    for (words, metric) in [
        ("success rate ", "request-success-rate "),
        ("request duration ", "request-duration "),
    ] {
        if let Some(rest) = text.strip_prefix(words) {
            return format!("{before}{metric}{rest}");
        }
    }
    format!("{before}{text}")
}

/// The commit was seen, and what it changes is on its way to the cluster.
#[must_use]
pub fn detected() -> Outcome {
    Outcome::new(
        CommitState::Pending,
        "detected, waiting for the cluster to run it",
    )
}

/// The commit was seen, and Flux has not come to it; with its reason, if it gives one.
#[must_use]
pub fn waiting_for_flux(why: Option<&str>) -> Outcome {
    let why = why.map(|why| format!(": {why}")).unwrap_or_default();
    Outcome::new(CommitState::Pending, &format!("waiting for Flux{why}"))
}

/// The commit was seen, and Flux was told to stand still.
#[must_use]
pub fn flux_suspended(what: &ObjectKey) -> Outcome {
    Outcome::new(CommitState::Pending, &format!("Flux is suspended ({what})"))
}

/// Flux has begun to apply the commit.
#[must_use]
pub fn flux_applies() -> Outcome {
    Outcome::new(
        CommitState::Pending,
        "Flux applies it, waiting for the cluster to run it",
    )
}

/// The commit was seen; only the cluster can tell whether it changes the target.
#[must_use]
pub fn may_change() -> Outcome {
    Outcome::new(
        CommitState::Pending,
        "may change the workload, waiting for the cluster to tell",
    )
}

/// The commit brought the Canary itself, or was there before Serin.
#[must_use]
pub fn initialized() -> Outcome {
    Outcome::new(CommitState::Success, "initialized")
}

/// The commit changed files of the target, but nothing that its pods see.
#[must_use]
pub fn no_workload_change() -> Outcome {
    Outcome::new(CommitState::Success, "no workload change")
}

/// The commit touches no canary at all.
#[must_use]
pub fn unrelated() -> Outcome {
    Outcome::new(CommitState::Success, "no canary is concerned")
}

/// The target is at the revision that the primary runs.
#[must_use]
pub fn already_promoted() -> Outcome {
    Outcome::new(CommitState::Success, "already promoted")
}

/// Adds where a revert is proposed to the last word about a commit. The reason gives way, the address does not.
#[must_use]
pub fn with_revert(said: &Outcome, proposed: &str) -> Outcome {
    if said.description.contains(PROPOSED) {
        return said.clone();
    }
    let tail = format!("; {proposed}");
    let room = CommitStatus::DESCRIPTION.saturating_sub(tail.chars().count());
    let head = excerpt(&said.description, room);
    Outcome::new(said.state, &format!("{head}{tail}"))
}

/// Adds to a word about a commit who has set back what its rollout wrote, and what finds the fix. The reason gives
/// way.
#[must_use]
pub fn with_drift(said: &Outcome, drift: &[DriftStatus]) -> Outcome {
    let Some(first) = drift.first() else {
        return said.clone();
    };
    let description = &said.description;
    if description.contains(DRIFT) || description.contains(PROPOSED) {
        return said.clone();
    }
    let what = match first.manager.as_str() {
        "" => format!("{} deleted", excerpt(&first.object, 40)),
        manager => {
            // Of an annotation, its own name says enough.
            let field = first.field.rsplit('/').next().unwrap_or_default();
            format!(
                "{} by {}",
                excerpt(field.trim_end_matches(']'), 24),
                excerpt(manager, 30)
            )
        }
    };
    let tail = format!("{DRIFT}{what}, see serin doctor");
    let room = CommitStatus::DESCRIPTION.saturating_sub(tail.chars().count());
    Outcome::new(said.state, &format!("{}{tail}", excerpt(description, room)))
}

/// Whether this is the last word about a commit with more added.
#[must_use]
pub fn adds_to(new: &Outcome, said: &Outcome) -> bool {
    let adds = |mark| new.description.contains(mark) && !said.description.contains(mark);
    new.state == said.state && [PROPOSED, DRIFT].into_iter().any(adds)
}

/// A newer commit took over before this one was decided.
#[must_use]
pub fn superseded(by: &str) -> Outcome {
    let is_id = by.chars().all(|c| c.is_ascii_hexdigit());
    let by: String = by.chars().take(if is_id { 12 } else { 100 }).collect();
    Outcome::new(CommitState::Success, &format!("superseded by {by}"))
}

/// The commit's run was ended by a commit that takes it back.
#[must_use]
pub fn reverted(by: Option<&str>) -> Outcome {
    let by = by.map(|by| format!(" by {}", by.chars().take(12).collect::<String>()));
    let text = format!("reverted{} during the analysis", by.unwrap_or_default());
    Outcome::new(CommitState::Failure, &text)
}

/// The commit's change never reached the cluster.
#[must_use]
pub fn not_applied() -> Outcome {
    Outcome::new(CommitState::Error, "not applied: the cluster never ran it")
}

/// The commit may have changed the target, by files that only another program renders, and nothing was seen.
#[must_use]
pub fn unseen() -> Outcome {
    Outcome::new(
        CommitState::Error,
        "no change was seen in time: it is not known whether it was applied",
    )
}

/// The server does not take what the commit wants of a target; says where, and why.
#[must_use]
pub fn refused(why: &str) -> Outcome {
    Outcome::new(CommitState::Error, &format!("not applied: {why}"))
}

/// A file of the canary cannot be read; says where, and why.
#[must_use]
pub fn unreadable(why: &str) -> Outcome {
    Outcome::new(CommitState::Error, why)
}

/// A commit that policy does not let anything be done for; says why.
#[must_use]
pub fn not_verified(why: &str) -> Outcome {
    Outcome::new(CommitState::Error, &format!("{NOT_VERIFIED}{why}"))
}

/// Whether this is what is said of a commit that is not verified.
#[must_use]
pub fn is_not_verified(said: &Outcome) -> bool {
    said.state == CommitState::Error && said.description.starts_with(NOT_VERIFIED)
}

/// A commit that waits for one below it, which is not verified, to be taken back.
#[must_use]
pub fn stands_on(below: &str, why: &str) -> Outcome {
    Outcome::new(
        CommitState::Pending,
        &format!("held: commit {below} below it is not verified: {why}"),
    )
}

/// The Canary was deleted before the commit was decided.
#[must_use]
pub fn deleted() -> Outcome {
    Outcome::new(CommitState::Error, "the canary was deleted")
}

/// Combines the outcomes of all canaries planned for a commit, by the canaries' names. Terminal only when all
/// are; then the worst counts. None when nothing was planned: such commits are left alone.
#[must_use]
pub fn aggregate(planned: &BTreeMap<String, Outcome>) -> Option<Outcome> {
    let open: Vec<_> = planned
        .iter()
        .filter(|(_, outcome)| !outcome.state.is_terminal())
        .collect();
    if let Some((name, first)) = open.first() {
        let done = planned.len() - open.len();
        let text = format!("{done} of {} done; {name}: {}", planned.len(), first.description);
        return Some(Outcome::new(CommitState::Pending, &text));
    }
    let (name, worst) = planned
        .iter()
        // The first of the worst, so that the text does not depend on how many there are.
        .max_by(|(a_name, a), (b_name, b)| a.state.cmp(&b.state).then(b_name.cmp(a_name)))?;
    if worst.state == CommitState::Success {
        let count = planned.len();
        let text = if count == 1 {
            format!("{name}: {}", worst.description)
        } else {
            format!("all {count} canaries done")
        };
        return Some(Outcome::new(CommitState::Success, &text));
    }
    Some(Outcome::new(
        worst.state,
        &format!("{name}: {}", worst.description),
    ))
}

#[cfg(test)]
mod tests;

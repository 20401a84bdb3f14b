//! Which commit a run belongs to, and what is to be said of each commit. Pure over statuses: the reports are
//! part of the status, so that they survive a restart.

use std::collections::BTreeSet;

use jiff::{SignedDuration, Timestamp};

use crate::{
    canary::{Canary, CommitReport, Phase, Status},
    manifest::{Object, ObjectKey, Snapshot},
    plan,
    repo::CommitId,
    report::{self, CommitState, Outcome},
};

/// Why a run ends whose place something took that is not verified.
const UNVERIFIED: &str = "Unverified";

/// How many commits a Canary keeps reports of.
pub(super) const KEPT: usize = 5;

/// A commit that touches a Canary's target, and is not yet explained by what is live.
#[derive(Clone, Debug)]
pub(super) struct Expected {
    /// Full id of the commit.
    pub(super) commit: String,
    /// The target and its configs as the commit declares them, each with what was declared before.
    pub(super) rendered: Vec<(Object, Option<Object>)>,
    /// The target, where it is not known what the commit declares it to be.
    pub(super) target: Option<ObjectKey>,
    /// A change of the target that nobody can know beforehand is taken for it.
    pub(super) guessed: bool,
    /// The HelmReleases that the commit changes.
    pub(super) releases: BTreeSet<ObjectKey>,
    /// Flux says that it has applied the commit: what is live is what became of it.
    pub(super) applied: bool,
    /// History was rewritten: what was there before is dropped by this commit, not taken back.
    pub(super) rewritten: bool,
}

impl Expected {
    /// Expects a change that cannot be told before it is live: only another program can render it.
    pub(super) fn unrendered(commit: &CommitId, target: Option<ObjectKey>) -> Self {
        Self {
            commit: commit.to_string(),
            rendered: Vec::new(),
            applied: false,
            target,
            guessed: true,
            releases: BTreeSet::new(),
            rewritten: false,
        }
    }

    /// It was given up: only Flux's word tells that it is live after all.
    pub(super) fn late(mut self) -> Self {
        self.guessed = false;
        self
    }

    /// Says which HelmReleases the commit changes.
    pub(super) fn with_releases(mut self, releases: BTreeSet<ObjectKey>) -> Self {
        self.releases = releases;
        self
    }

    /// Returns the target, as far as it is known.
    pub(super) fn target(&self) -> Option<ObjectKey> {
        let first = self.rendered.first().map(|(object, _)| object.key());
        first.or_else(|| self.target.clone())
    }

    /// Whether it is not known what has to be live.
    pub(super) fn is_unrendered(&self) -> bool {
        self.rendered.is_empty()
    }

    /// Whether what is live is what the commit declares, and nothing that it removed is left.
    pub(super) fn is_live(&self, snapshot: &Snapshot) -> bool {
        self.applied
            || !self.rendered.is_empty()
                && self.rendered.iter().all(|(object, before)| {
                    let live = snapshot.get(&object.key());
                    live.is_some_and(|live| plan::explains(object, before.as_ref(), live))
                })
    }
}

/// How long a run may go on before it is told that no commit explains it: the commit may be on its way.
const GRACE: SignedDuration = SignedDuration::from_secs(60);

/// Returns the id of a run that no commit explains, once that can be said: after a while, or at its end.
pub(super) fn unexplained(status: &Status, now: Timestamp) -> Option<&str> {
    let run = status.run.as_ref()?;
    let began = run
        .started_at
        .filter(|_| status.commit.is_none() && run.counter > 0)?;
    let over = matches!(status.phase, Phase::Succeeded | Phase::Failed);
    (over || now.duration_since(began) >= GRACE).then_some(run.id.as_str())
}

/// What is known of the live target when a status is settled.
#[derive(Clone, Copy, Debug)]
pub(super) struct Seen {
    /// The expected commit is what is live.
    pub(super) expected: bool,
    /// What is live is what the status is about. It is not while a Canary is suspended, or stalled.
    pub(super) applied: bool,
}

/// Gives the new status its commit and its reports. A last word stands: what happens later is about other
/// commits.
pub(super) fn settle(
    canary: &Canary,
    before: &Status,
    next: &mut Status,
    expected: Option<&Expected>,
    seen: Seen,
) {
    let counter = |status: &Status| status.run.as_ref().map_or(0, |run| run.counter);
    let new_run = counter(before) != counter(next);
    let reverted = is_revert(before, next);
    let mut idle = false;
    // What took the place of the commit is not verified. Its own commit may be on its way.
    let unverified = ends_for(next, UNVERIFIED);
    if ends_for(before, UNVERIFIED) && !unverified && !new_run {
        leave(next, false, None);
        next.commit = None;
    }
    let is_it = |expected: &&Expected| {
        let spent = next.commit.as_ref() == Some(&expected.commit) || is_decided(next, &expected.commit);
        let may_be = expected.guessed && expected.is_unrendered() && !spent;
        seen.expected || may_be && (new_run || reverted || lacks_its_commit(next))
    };
    match expected.filter(is_it) {
        Some(expected) if next.commit.as_ref() != Some(&expected.commit) => {
            leave(next, reverted && !expected.rewritten, Some(&expected.commit));
            next.commit = Some(expected.commit.clone());
            idle = before.phase == next.phase && matches!(next.phase, Phase::Initialized | Phase::Succeeded);
        }
        None if new_run || reverted => {
            leave(next, reverted, None);
            next.commit = None;
        }
        _ => {}
    }
    if seen.applied && matches!(next.phase, Phase::Initialized | Phase::Succeeded) {
        next.promoted_commit.clone_from(&next.commit);
    }
    if let Some(commit) = next.commit.clone()
        && !is_decided(next, &commit)
        && !unverified
    {
        let outcome = match report::outcome(canary, next) {
            error if error.state == CommitState::Error => error,
            _ if next.phase.at_rest() && !seen.applied => held_back(canary, next),
            _ if idle => report::outcome::no_workload_change(),
            outcome => outcome,
        };
        let outcome = report::outcome::with_drift(&outcome, &next.drift);
        say(next, &commit, &outcome);
    }
    remark(next);
}

/// Adds to the last word about the commit who has set back since what its rollout wrote.
fn remark(next: &mut Status) {
    let mut reports = next.commits.iter_mut();
    let Some(report) = reports.find(|report| Some(&report.commit) == next.commit.as_ref()) else {
        return;
    };
    let state = report
        .state
        .parse()
        .ok()
        .filter(|state: &CommitState| state.is_terminal());
    if let Some(state) = state {
        let said = Outcome::new(state, &report.description);
        let added = report::outcome::with_drift(&said, &next.drift);
        if added != said {
            report.description = added.description;
            report.delivered.clear();
        }
    }
}

/// Whether a run has just begun that no commit explains yet: one that comes now may be its reason.
fn lacks_its_commit(status: &Status) -> bool {
    let Some(run) = status.run.as_ref().filter(|run| run.counter > 0) else {
        return false;
    };
    let since = run.started_at.zip(status.last_transition_time);
    let is_new = since.is_some_and(|(began, now)| now.duration_since(began) < GRACE);
    status.commit.is_none() && !status.phase.at_rest() && is_new
}

/// The commit is live, and no run may start for it: never green.
fn held_back(canary: &Canary, status: &Status) -> Outcome {
    let wait = status.run.as_ref().and_then(|run| run.wait.as_ref());
    let text = match wait {
        _ if canary.spec.suspend => "the Canary is suspended".to_owned(),
        Some(wait) => format!("waiting: {}", wait.message),
        None => "waiting to start".to_owned(),
    };
    Outcome::new(CommitState::Pending, &text)
}

/// Whether this status begins to end a run because the target went back to what is promoted. Not its end: by
/// then the commit is the one that took the target back.
fn is_revert(before: &Status, next: &Status) -> bool {
    ends_for(next, "Reverted") && !ends_for(before, "Reverted")
}

/// Whether this status ends a run for this reason.
fn ends_for(status: &Status, why: &str) -> bool {
    let run = status.run.as_ref();
    run.and_then(|run| run.rolling_back.as_deref()) == Some(why)
}

/// The commit so far is no longer what is judged: if it was still pending, it gets its last word.
fn leave(next: &mut Status, reverted: bool, by: Option<&str>) {
    let Some(commit) = next.commit.clone() else { return };
    if is_decided(next, &commit) {
        return;
    }
    let outcome = match by {
        _ if reverted => report::outcome::reverted(by),
        Some(by) => report::outcome::superseded(by),
        None => report::outcome::superseded("a change without a commit"),
    };
    say(next, &commit, &outcome);
}

fn is_decided(status: &Status, commit: &str) -> bool {
    let mut reports = status.commits.iter();
    reports.any(|report| report.commit == commit && report.state != CommitState::Pending.name())
}

/// Says something of a commit. What was delivered of an earlier word is forgotten.
fn say(status: &mut Status, commit: &str, outcome: &Outcome) {
    let (state, description) = (outcome.state.name(), outcome.description.as_str());
    if let Some(report) = status.commits.iter_mut().find(|report| report.commit == commit) {
        if report.state != state || report.description != description {
            state.clone_into(&mut report.state);
            description.clone_into(&mut report.description);
            report.delivered.clear();
        }
        return;
    }
    status.commits.push(CommitReport {
        commit: commit.to_owned(),
        state: state.to_owned(),
        description: description.to_owned(),
        delivered: Vec::new(),
    });
    let surplus = status.commits.len().saturating_sub(KEPT);
    status.commits.drain(..surplus);
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::canary::{Announced, RunStatus, reason};

    fn canary() -> Canary {
        let object = serde_json::json!({
            "apiVersion": "flagger.app/v1beta1", "kind": "Canary",
            "metadata": {"name": "podinfo", "namespace": "test"},
            "spec": {"provider": "skipper", "ingressRef": {"name": "podinfo"},
                "targetRef": {"apiVersion": "apps/v1", "kind": "Deployment", "name": "podinfo"},
                "service": {"port": 80}, "analysis": {"stepWeight": 20, "maxWeight": 60}}
        });
        Canary::parse(&Object::from(object), &crate::canary::Defaults::default()).unwrap()
    }

    fn status(phase: Phase, counter: u64, commit: Option<&str>) -> Status {
        Status {
            phase,
            commit: commit.map(str::to_owned),
            run: Some(RunStatus {
                counter,
                ..RunStatus::default()
            }),
            ..Status::default()
        }
    }

    fn expected(commit: &str) -> Expected {
        let object = Object::from(serde_json::json!({"kind": "Deployment"}));
        Expected {
            commit: commit.to_owned(),
            rendered: vec![(object, None)],
            applied: false,
            target: None,
            guessed: false,
            releases: BTreeSet::new(),
            rewritten: false,
        }
    }

    const LIVE: Seen = Seen {
        expected: true,
        applied: true,
    };
    const NOT_LIVE: Seen = Seen {
        expected: false,
        applied: true,
    };

    fn states(status: &Status) -> Vec<(&str, &str)> {
        status
            .commits
            .iter()
            .map(|report| (report.commit.as_str(), report.state.as_str()))
            .collect()
    }

    #[test]
    fn a_run_gets_the_commit_that_is_live() {
        let before = status(Phase::Succeeded, 0, None);
        let mut next = status(Phase::Progressing, 1, None);
        settle(&canary(), &before, &mut next, Some(&expected("aaaaaaaa")), LIVE);
        assert_eq!(next.commit.as_deref(), Some("aaaaaaaa"));
        assert_eq!(states(&next), [("aaaaaaaa", "pending")]);
    }

    #[test]
    fn a_run_that_no_commit_explains_has_none() {
        let before = status(Phase::Succeeded, 0, Some("aaaaaaaa"));
        let mut next = status(Phase::Progressing, 1, Some("aaaaaaaa"));
        settle(
            &canary(),
            &before,
            &mut next,
            Some(&expected("bbbbbbbb")),
            NOT_LIVE,
        );
        assert_eq!(next.commit, None);
    }

    #[test]
    fn a_run_without_a_commit_is_told_of_after_a_while_or_at_its_end() {
        let at = |seconds| Timestamp::from_second(seconds).unwrap();
        let mut run = status(Phase::Progressing, 1, None);
        let began = RunStatus {
            id: "1-abc".to_owned(),
            counter: 1,
            started_at: Some(at(0)),
            ..RunStatus::default()
        };
        run.run = Some(began);
        assert_eq!(unexplained(&run, at(59)), None, "its commit may be on its way");
        assert_eq!(unexplained(&run, at(60)), Some("1-abc"));
        run.phase = Phase::Failed;
        assert_eq!(unexplained(&run, at(5)), Some("1-abc"));
        run.commit = Some("aaaaaaaa".to_owned());
        assert_eq!(unexplained(&run, at(60)), None);
    }

    #[test]
    fn a_newer_commit_supersedes_a_pending_one_and_leaves_a_judged_one_alone() {
        let mut next = status(Phase::Progressing, 1, None);
        settle(
            &canary(),
            &status(Phase::Succeeded, 0, None),
            &mut next,
            Some(&expected("aaaaaaaa")),
            LIVE,
        );
        let before = next.clone();
        let mut restarted = Status {
            run: Some(RunStatus {
                counter: 2,
                ..RunStatus::default()
            }),
            ..next
        };
        settle(
            &canary(),
            &before,
            &mut restarted,
            Some(&expected("bbbbbbbb")),
            LIVE,
        );
        assert_eq!(
            states(&restarted),
            [("aaaaaaaa", "success"), ("bbbbbbbb", "pending")]
        );
        assert_eq!(restarted.commits[0].description, "superseded by bbbbbbbb");
        restarted.phase = Phase::Failed;
        let before = restarted.clone();
        settle(&canary(), &before, &mut restarted, None, NOT_LIVE);
        let mut third = Status {
            phase: Phase::Progressing,
            ..restarted.clone()
        };
        third.run = Some(RunStatus {
            counter: 3,
            ..RunStatus::default()
        });
        settle(
            &canary(),
            &restarted,
            &mut third,
            Some(&expected("cccccccc")),
            LIVE,
        );
        assert_eq!(
            states(&third),
            [
                ("aaaaaaaa", "success"),
                ("bbbbbbbb", "failure"),
                ("cccccccc", "pending")
            ]
        );
    }

    #[test]
    fn a_revert_fails_the_reverted_commit_and_passes_the_revert() {
        let mut before = status(Phase::Progressing, 1, Some("aaaaaaaa"));
        say(&mut before, "aaaaaaaa", &report::outcome::detected());
        let mut next = before.clone();
        if let Some(run) = &mut next.run {
            run.rolling_back = Some("Reverted".to_owned());
        }
        settle(&canary(), &before, &mut next, Some(&expected("bbbbbbbb")), LIVE);
        assert_eq!(states(&next), [("aaaaaaaa", "failure"), ("bbbbbbbb", "pending")]);
        let before = next.clone();
        next.phase = Phase::Succeeded;
        next.announced = vec![Announced {
            warning: false,
            reason: reason::ALREADY_PROMOTED.to_owned(),
            text: String::new(),
            run: String::new(),
            tick: 0,
            at: jiff::Timestamp::UNIX_EPOCH,
        }];
        settle(&canary(), &before, &mut next, Some(&expected("bbbbbbbb")), LIVE);
        assert_eq!(states(&next), [("aaaaaaaa", "failure"), ("bbbbbbbb", "success")]);
    }

    #[test]
    fn a_commit_is_superseded_by_one_that_is_read_after_its_change_is_live() {
        let rolling = |status: &Status, why: Option<&str>, counter| Status {
            run: Some(RunStatus {
                rolling_back: why.map(str::to_owned),
                counter,
                ..RunStatus::default()
            }),
            ..status.clone()
        };
        let mut before = status(Phase::Progressing, 1, Some("aaaaaaaa"));
        say(&mut before, "aaaaaaaa", &report::outcome::detected());
        let mut held = rolling(&before, Some("Unverified"), 1);
        settle(&canary(), &before, &mut held, None, NOT_LIVE);
        assert_eq!(held.commits, before.commits, "what took its place is not known");
        let mut restarted = rolling(&held, None, 2);
        settle(
            &canary(),
            &held,
            &mut restarted,
            Some(&expected("bbbbbbbb")),
            LIVE,
        );
        assert_eq!(
            states(&restarted),
            [("aaaaaaaa", "success"), ("bbbbbbbb", "pending")]
        );
        assert_eq!(restarted.commits[0].description, "superseded by bbbbbbbb");
        let mut ended = rolling(&held, None, 1);
        settle(&canary(), &held, &mut ended, None, NOT_LIVE);
        assert_eq!(
            (states(&ended), &ended.commit),
            (vec![("aaaaaaaa", "success")], &None)
        );
        assert_eq!(
            ended.commits[0].description,
            "superseded by a change without a commit"
        );
    }

    #[test]
    fn a_rewritten_history_supersedes_what_it_dropped() {
        let mut before = status(Phase::Progressing, 1, Some("aaaaaaaa"));
        say(&mut before, "aaaaaaaa", &report::outcome::detected());
        let mut next = before.clone();
        if let Some(run) = &mut next.run {
            run.rolling_back = Some("Reverted".to_owned());
        }
        let dropped = Expected {
            rewritten: true,
            ..expected("bbbbbbbb")
        };
        settle(&canary(), &before, &mut next, Some(&dropped), LIVE);
        assert_eq!(states(&next), [("aaaaaaaa", "success"), ("bbbbbbbb", "pending")]);
        assert_eq!(next.commits[0].description, "superseded by bbbbbbbb");
    }

    #[test]
    fn what_cannot_be_rendered_is_explained_by_the_run_that_it_starts() {
        let id: CommitId = "0123456789012345678901234567890123456789".parse().unwrap();
        let expected = Expected::unrendered(&id, None);
        let before = status(Phase::Succeeded, 1, None);
        let mut rest = before.clone();
        settle(&canary(), &before, &mut rest, Some(&expected), NOT_LIVE);
        assert_eq!(rest.commit, None, "nothing has changed yet");
        let mut started = status(Phase::Progressing, 2, None);
        settle(&canary(), &before, &mut started, Some(&expected), NOT_LIVE);
        assert_eq!(started.commit.as_deref(), Some(id.as_str()));
        let mut next = Status {
            phase: Phase::Succeeded,
            ..started.clone()
        };
        settle(&canary(), &started, &mut next, Some(&expected), NOT_LIVE);
        let mut third = status(Phase::Progressing, 3, Some(id.as_str()));
        third.commits.clone_from(&next.commits);
        settle(&canary(), &next, &mut third, Some(&expected), NOT_LIVE);
        assert_eq!(third.commit, None, "one commit explains one run");
        let mut late = status(Phase::Progressing, 2, None);
        settle(
            &canary(),
            &before,
            &mut late,
            Some(&expected.clone().late()),
            NOT_LIVE,
        );
        assert_eq!(
            late.commit, None,
            "it was given up: nobody knows whether it is that"
        );
        settle(
            &canary(),
            &before,
            &mut late,
            Some(&expected.clone().late()),
            LIVE,
        );
        assert_eq!(late.commit.as_deref(), Some(id.as_str()), "Flux says so");
        let at = |seconds| Some(Timestamp::from_second(seconds).unwrap());
        for (now, commit) in [(59, Some(id.as_str())), (61, None)] {
            let mut running = status(Phase::Progressing, 2, None);
            running.last_transition_time = at(now);
            if let Some(run) = &mut running.run {
                run.started_at = at(0);
            }
            let before = running.clone();
            settle(&canary(), &before, &mut running, Some(&expected), NOT_LIVE);
            assert_eq!(
                running.commit.as_deref(),
                commit,
                "a commit that comes {now} s later"
            );
        }
    }

    #[test]
    fn what_flux_applied_and_did_not_change_is_green_although_nobody_can_render_it() {
        let id: CommitId = "0123456789012345678901234567890123456789".parse().unwrap();
        let mut expected = Expected::unrendered(&id, None);
        let snapshot = Snapshot::default();
        assert!(
            !expected.is_live(&snapshot),
            "Flux has not said that it applied it"
        );
        expected.applied = true;
        assert!(expected.is_live(&snapshot));
        let before = status(Phase::Succeeded, 1, None);
        let mut rest = before.clone();
        settle(&canary(), &before, &mut rest, Some(&expected), LIVE);
        assert_eq!(states(&rest), [(id.as_str(), "success")]);
        assert_eq!(
            rest.commits[0].description,
            report::outcome::no_workload_change().description
        );
        let mut changed = status(Phase::Progressing, 2, None);
        settle(&canary(), &before, &mut changed, Some(&expected), LIVE);
        assert_eq!(
            states(&changed),
            [(id.as_str(), "pending")],
            "it has: the run decides"
        );
    }

    #[test]
    fn a_suspended_canary_is_never_green() {
        let before = status(Phase::Succeeded, 1, None);
        let mut next = before.clone();
        let mut canary = canary();
        canary.spec.suspend = true;
        let seen = Seen {
            expected: true,
            applied: false,
        };
        settle(&canary, &before, &mut next, Some(&expected("aaaaaaaa")), seen);
        assert_eq!(states(&next), [("aaaaaaaa", "pending")]);
        assert_eq!(next.commits[0].description, "the Canary is suspended");
        let mut later = next.clone();
        settle(&canary, &next, &mut later, Some(&expected("aaaaaaaa")), LIVE);
        assert_eq!(states(&later), [("aaaaaaaa", "success")]);
    }

    #[test]
    fn five_commits_are_kept() {
        let mut status = Status::default();
        for n in 0..9 {
            say(
                &mut status,
                &format!("commit{n}"),
                &report::outcome::initialized(),
            );
        }
        assert_eq!(status.commits.len(), KEPT);
        assert_eq!(status.commits[0].commit, "commit4");
    }
}

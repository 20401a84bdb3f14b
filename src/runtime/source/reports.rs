//! What is owed to forges: per commit and canary, and for each commit as a whole. The last word about a canary
//! of a commit stands.

use std::{
    collections::{BTreeMap, BTreeSet},
    sync::{Arc, Mutex, MutexGuard, PoisonError},
};

use crate::{
    canary::{CommitReport, Status},
    clock::Clock,
    manifest::ObjectKey,
    repo::CommitId,
    report::{CommitState, CommitStatus, Forge, Outbox, Outcome, aggregate_context, context, outcome},
};

/// Shared by the source and the workers.
#[derive(Clone)]
pub(in crate::runtime) struct Reports {
    outbox: Outbox,
    cluster: Option<String>,
    commits: Arc<Mutex<Commits>>,
}

/// The part of the name of an outcome that stands for the manifests themselves.
const MANIFESTS: &str = "manifests";

#[derive(Default)]
struct Commits {
    known: BTreeMap<CommitId, Commit>,
    order: Vec<CommitId>,
    restored: BTreeSet<(ObjectKey, String)>,
}

#[derive(Default)]
struct Commit {
    /// What the commit is answerable for; the aggregate is told only for commits that were planned.
    planned: BTreeSet<String>,
    outcomes: BTreeMap<String, Outcome>,
}

impl Commits {
    /// How many commits are remembered.
    const KEPT: usize = 100;

    fn get(&mut self, commit: &CommitId) -> &mut Commit {
        if !self.known.contains_key(commit) {
            self.order.push(commit.clone());
            if self.order.len() > Self::KEPT {
                let oldest = self.order.remove(0);
                self.known.remove(&oldest);
            }
        }
        self.known.entry(commit.clone()).or_default()
    }
}

impl Reports {
    pub(super) fn new(forges: Vec<Arc<dyn Forge>>, cluster: Option<String>, clock: Clock) -> Self {
        Self {
            outbox: Outbox::new(forges, clock),
            cluster,
            commits: Arc::default(),
        }
    }

    /// Returns when forges have been told all that is owed.
    pub(in crate::runtime) async fn settled(&self) {
        self.outbox.settled().await;
    }

    pub(super) fn outbox(&self) -> &Outbox {
        &self.outbox
    }

    /// The commit is answerable for this canary.
    pub(super) fn plan(&self, commit: &CommitId, canary: &ObjectKey) {
        self.lock().get(commit).planned.insert(name(canary));
        self.aggregate(commit);
    }

    /// Says something of a canary of a commit, unless the last word was said.
    pub(in crate::runtime) fn say(&self, commit: &CommitId, canary: &ObjectKey, outcome: &Outcome) {
        if self.keep(commit, &name(canary), outcome) {
            self.outbox.set(commit, self.status(canary, outcome));
            self.aggregate(commit);
        }
    }

    /// Says that the manifests of a commit are wrong.
    pub(super) fn fault(&self, commit: &CommitId, text: &str) {
        self.lock().get(commit).planned.insert(MANIFESTS.to_owned());
        if self.keep(commit, MANIFESTS, &Outcome::new(CommitState::Error, text)) {
            self.aggregate(commit);
        }
    }

    /// Says that a commit concerns no canary, so that a check that is required passes. Not where anything else
    /// is to be said of it.
    pub(super) fn unrelated(&self, commit: &CommitId) {
        if self.lock().get(commit).planned.is_empty() {
            let outcome = outcome::unrelated();
            let context = aggregate_context(self.cluster.as_deref());
            let status = CommitStatus::new(&context, outcome.state, &outcome.description);
            self.outbox.set(commit, status);
        }
    }

    /// Takes over what the status of a canary owes. What a status held when it was first read may have been
    /// delivered by an earlier process.
    pub(in crate::runtime) fn owe(&self, canary: &ObjectKey, status: &Status) {
        for report in &status.commits {
            let (Ok(commit), Ok(state)) = (report.commit.parse::<CommitId>(), report.state.parse()) else {
                continue;
            };
            let outcome = Outcome::new(state, &report.description);
            let fresh = self
                .lock()
                .restored
                .insert((canary.clone(), report.commit.clone()));
            if !self.keep(&commit, &name(canary), &outcome) {
                continue;
            }
            if fresh {
                self.outbox
                    .restore(&commit, self.status(canary, &outcome), &report.delivered);
            } else {
                self.outbox.set(&commit, self.status(canary, &outcome));
            }
            self.aggregate(&commit);
        }
    }

    /// Marks in a status what forges have been told.
    pub(in crate::runtime) fn mark_delivered(&self, canary: &ObjectKey, status: &mut Status) {
        for report in &mut status.commits {
            let Ok(commit) = report.commit.parse::<CommitId>() else {
                continue;
            };
            if self.is_said(&commit, canary, report) {
                report.delivered = self
                    .outbox
                    .marks(&commit, &context(self.cluster.as_deref(), canary));
            }
        }
    }

    fn is_said(&self, commit: &CommitId, canary: &ObjectKey, report: &CommitReport) -> bool {
        let mut commits = self.lock();
        let said = commits.get(commit).outcomes.get(&name(canary));
        said.is_some_and(|said| said.state.name() == report.state && said.description == report.description)
    }

    /// Keeps an outcome. Gives whether it says something new that may still be said.
    fn keep(&self, commit: &CommitId, name: &str, outcome: &Outcome) -> bool {
        let mut commits = self.lock();
        let outcomes = &mut commits.get(commit).outcomes;
        if outcomes
            .get(name)
            .is_some_and(|last| last.state.is_terminal() || last == outcome)
        {
            return false;
        }
        outcomes.insert(name.to_owned(), outcome.clone());
        true
    }

    fn aggregate(&self, commit: &CommitId) {
        let mut commits = self.lock();
        let known = commits.get(commit);
        let planned: BTreeMap<String, Outcome> = known
            .planned
            .iter()
            .map(|name| {
                let outcome = known.outcomes.get(name).cloned();
                (name.clone(), outcome.unwrap_or_else(outcome::detected))
            })
            .collect();
        drop(commits);
        if let Some(outcome) = outcome::aggregate(&planned) {
            let context = aggregate_context(self.cluster.as_deref());
            self.outbox.set(
                commit,
                CommitStatus::new(&context, outcome.state, &outcome.description),
            );
        }
    }

    fn status(&self, canary: &ObjectKey, outcome: &Outcome) -> CommitStatus {
        let context = context(self.cluster.as_deref(), canary);
        CommitStatus::new(&context, outcome.state, &outcome.description)
    }

    fn lock(&self) -> MutexGuard<'_, Commits> {
        self.commits.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// `<namespace>/<name>`.
pub(super) fn name(canary: &ObjectKey) -> String {
    format!("{}/{}", canary.namespace, canary.name)
}

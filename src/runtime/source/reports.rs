//! What is owed to forges: per commit and canary, and for each commit as a whole. The last word about a canary
//! of a commit stands.

use std::{
    collections::{BTreeMap, BTreeSet},
    sync::{Arc, Mutex, MutexGuard, PoisonError},
};

use tokio::sync::Notify;

use super::{super::LentForge, store::Owed};
use crate::{
    canary::{Canary, CommitReport, Status},
    clock::Clock,
    manifest::{ObjectKey, Resource},
    repo::CommitId,
    report::{
        Comments, CommitState, CommitStatus, Forge, Outbox, Outcome, aggregate_context, comment, context,
        outcome,
    },
};

/// Shared by the source and the workers.
#[derive(Clone)]
pub(in crate::runtime) struct Reports {
    outbox: Outbox,
    cluster: Option<String>,
    commits: Arc<Mutex<Commits>>,
    unsaved: Arc<Notify>,
    lent: Vec<Arc<LentForge>>,
    comments: Option<Outbox>,
}

/// The part of the name of an outcome that stands for the manifests themselves.
const MANIFESTS: &str = "manifests";
/// The part of the name of an outcome that stands for the signature of the commit.
const SIGNATURE: &str = "signature";
/// The name of the outcome of a commit that touches no canary.
const UNRELATED: &str = "unrelated";

#[derive(Default)]
struct Commits {
    known: BTreeMap<CommitId, Commit>,
    order: Vec<CommitId>,
    restored: BTreeSet<(ObjectKey, String)>,
    /// What an earlier process may have said of commits that are met now is not known.
    doubt: bool,
}

#[derive(Default)]
struct Commit {
    /// What the commit is answerable for; the aggregate is told only for commits that were planned.
    planned: BTreeSet<String>,
    outcomes: BTreeMap<String, Outcome>,
    /// An earlier process may have told forges of it: they are read before they are told anything.
    doubtful: bool,
    /// Whose last word may still be another one.
    for_now: BTreeSet<String>,
    /// What was given up and may become live late: then its canary has the last word.
    late: BTreeSet<String>,
    /// What an earlier process gave up; forges are not told so again before the canary could speak.
    unsaid: BTreeSet<String>,
    /// It is not verified, and stands between what is handled and what is newest.
    refused: bool,
}

impl Commit {
    fn is_decided(&self) -> bool {
        let last_word = |name| {
            self.outcomes
                .get(name)
                .is_some_and(|said| said.state.is_terminal() && !self.for_now.contains(name))
        };
        self.planned.iter().all(last_word)
    }

    /// Whether a last word was said that this does not add to.
    fn stands(&self, name: &str, outcome: &Outcome) -> bool {
        self.outcomes.get(name).is_some_and(|last| {
            let anew = outcome::is_not_verified(last) && outcome::is_not_verified(outcome);
            let more = anew || outcome::adds_to(outcome, last);
            last.state.is_terminal() && !self.for_now.contains(name) && !more
        })
    }

    /// Whether its last words have to outlive this process although forges know them.
    fn is_open(&self) -> bool {
        self.refused || !self.late.is_empty()
    }
}

impl Commits {
    /// How many commits are remembered.
    const KEPT: usize = 200;

    fn get(&mut self, commit: &CommitId) -> &mut Commit {
        if !self.known.contains_key(commit) {
            self.order.push(commit.clone());
            if self.order.len() > Self::KEPT {
                self.forget_one();
            }
        }
        let doubtful = self.doubt;
        self.known.entry(commit.clone()).or_insert_with(|| Commit {
            doubtful,
            ..Commit::default()
        })
    }

    /// Forgets the oldest commit that is decided; the oldest of all if none is.
    fn forget_one(&mut self) {
        let decided = |commit: &CommitId| self.known.get(commit).is_none_or(Commit::is_decided);
        let at = self.order.iter().position(decided).unwrap_or_default();
        let oldest = self.order.remove(at);
        self.known.remove(&oldest);
        self.restored.retain(|(_, commit)| *commit != oldest.as_str());
    }
}

impl Reports {
    pub(super) fn new(forges: Vec<Arc<dyn Forge>>, cluster: Option<String>, clock: Clock) -> Self {
        Self {
            outbox: Outbox::new(forges, clock),
            cluster,
            commits: Arc::default(),
            unsaved: Arc::default(),
            lent: Vec::new(),
            comments: None,
        }
    }

    pub(super) fn lend(&mut self, lent: Vec<Arc<LentForge>>) {
        self.lent = lent;
    }

    /// Keeps a comment on each pull request that a commit came from.
    pub(super) fn comment_on_pull_requests(&mut self, clock: Clock) {
        let context = aggregate_context(self.cluster.as_deref());
        let forges = self.outbox.forges().iter();
        let comments = forges.filter_map(|forge| Comments::new(Arc::clone(forge), &context));
        let comments: Vec<Arc<dyn Forge>> = comments.map(|comments| Arc::new(comments) as _).collect();
        self.comments = Some(Outbox::new(comments, clock));
    }

    /// Delivers, for ever.
    pub(super) async fn run(&self) {
        let comments = async {
            match &self.comments {
                Some(comments) => comments.run().await,
                None => std::future::pending().await,
            }
        };
        tokio::select! {
            biased;
            () = self.outbox.run() => {}
            () = comments => {}
        }
    }

    /// Tries forges again at once that are made of what has changed.
    pub(in crate::runtime) fn changed(&self, key: &ObjectKey) {
        for forge in self.lent.iter().filter(|forge| forge.is_made_of(key)) {
            self.outbox.retry(forge.name());
            if let Some(comments) = &self.comments {
                comments.retry(&Comments::name_of(&**forge));
            }
        }
    }

    /// Returns when forges have been told all that is owed.
    pub(in crate::runtime) async fn settled(&self) {
        self.outbox.settled().await;
        if let Some(comments) = &self.comments {
            comments.settled().await;
        }
    }

    #[cfg(test)]
    pub(super) fn outbox(&self) -> &Outbox {
        &self.outbox
    }

    /// Whether forges may have heard, from an earlier process, of commits that this one meets from now on.
    pub(super) fn doubt(&self, doubt: bool) {
        self.lock().doubt = doubt;
    }

    /// Takes over what an earlier process has left. What it gave up is `late`: the canary may know better.
    pub(super) fn restore(&self, owed: &[Owed], late: &BTreeSet<(CommitId, String)>) {
        for Owed { commit, planned } in owed {
            let mut commits = self.lock();
            let known = commits.get(commit);
            known.doubtful = true;
            known.refused = planned.contains_key(SIGNATURE);
            let late = late
                .iter()
                .filter(|(of, _)| of == commit)
                .map(|(_, name)| name.clone());
            known.late = late
                .filter(|name| planned.get(name).is_some_and(Option::is_some))
                .collect();
            known.unsaid = known.late.clone();
            for (name, said) in planned {
                known.planned.insert(name.clone());
                if let Some(said) = said {
                    known.outcomes.entry(name.clone()).or_insert_with(|| said.clone());
                }
            }
            let (decided, unsaid) = (
                known.is_decided() && known.unsaid.is_empty(),
                known.unsaid.clone(),
            );
            let outcomes = known.outcomes.clone();
            drop(commits);
            for (name, outcome) in outcomes.iter().filter(|(name, _)| !unsaid.contains(*name)) {
                if let Some(canary) = canary_key(name) {
                    self.post(commit, self.status(&canary, outcome));
                }
            }
            if decided {
                self.aggregate(commit);
            }
        }
    }

    /// What a restart must not lose: commits that are not decided, and those of which forges have not heard
    /// all, oldest first.
    pub(super) fn owed(&self) -> Vec<Owed> {
        let commits = self.lock();
        let known = commits
            .order
            .iter()
            .filter_map(|id| Some((id, commits.known.get(id)?)));
        let open = known.filter(|(id, known)| {
            !known.planned.is_empty() && (!known.is_decided() || known.is_open() || self.owes(id))
        });
        let owed = open.map(|(id, known)| Owed {
            commit: id.clone(),
            planned: known
                .planned
                .iter()
                .map(|name| {
                    let last = |said: &&Outcome| said.state.is_terminal() && !known.for_now.contains(name);
                    let said = known.outcomes.get(name).filter(last);
                    (name.clone(), said.cloned())
                })
                .collect(),
        });
        owed.collect()
    }

    /// Returns when something was said that nobody but this process remembers.
    pub(super) async fn unsaved(&self) {
        self.unsaved.notified().await;
    }

    /// Canaries of which nobody has said anything since the start, by commit.
    pub(super) fn silent(&self) -> Vec<(CommitId, ObjectKey)> {
        let commits = self.lock();
        let doubtful = commits.known.iter().filter(|(_, known)| known.doubtful);
        let silent = doubtful.flat_map(|(id, known)| {
            let unsaid = known
                .planned
                .iter()
                .filter(|name| !known.outcomes.contains_key(*name));
            unsaid.filter_map(|name| Some((id.clone(), canary_key(name)?)))
        });
        silent.collect()
    }

    /// The commit is answerable for this canary.
    pub(super) fn plan(&self, commit: &CommitId, canary: &ObjectKey) {
        let mut commits = self.lock();
        let known = commits.get(commit);
        known.planned.remove(UNRELATED);
        known.planned.insert(name(canary));
        let doubtful = known.doubtful;
        drop(commits);
        // After a restart the canaries speak first, for they may be further than their commit was.
        if !doubtful {
            self.aggregate(commit);
        }
    }

    /// Says something of a canary of a commit, unless the last word was said. Gives whether it was new.
    pub(super) fn say(&self, commit: &CommitId, canary: &ObjectKey, outcome: &Outcome) -> bool {
        let new = self.keep(commit, &name(canary), outcome);
        if new {
            self.post(commit, self.status(canary, outcome));
            self.aggregate(commit);
        }
        new
    }

    /// The commit still waits to become live for this canary: that is its word if it has none since a restart.
    pub(super) fn still_waits(&self, commit: &CommitId, canary: &ObjectKey) {
        let silent = !self.lock().get(commit).outcomes.contains_key(&name(canary));
        if silent {
            self.say(commit, canary, &outcome::detected());
        }
    }

    /// Says the last word on a canary that has no status to keep it.
    pub(in crate::runtime) fn say_for_good(&self, commit: &CommitId, canary: &ObjectKey, outcome: &Outcome) {
        if self.say(commit, canary, outcome) {
            self.unsaved.notify_one();
        }
    }

    /// Says something that may pass, although it sounds like a last word.
    pub(super) fn say_for_now(&self, commit: &CommitId, canary: &ObjectKey, outcome: &Outcome) {
        self.say(commit, canary, outcome);
        let mut commits = self.lock();
        let known = commits.get(commit);
        if known.outcomes.get(&name(canary)) == Some(outcome) {
            known.for_now.insert(name(canary));
        }
    }

    /// Whether what was said last of a canary of a commit may pass.
    pub(super) fn is_for_now(&self, commit: &CommitId, canary: &ObjectKey) -> bool {
        self.lock().get(commit).for_now.contains(&name(canary))
    }

    /// Lets what was said for now be the last word. Gives whether there was such a thing.
    pub(super) fn let_stand(&self, commit: &CommitId, canary: &ObjectKey) -> bool {
        self.lock().get(commit).for_now.remove(&name(canary))
    }

    /// Says the last word on a change that did not become live in time: what stands for now, if there is such a thing.
    /// It stays the last one unless the change becomes live after all.
    pub(super) fn give_up(&self, commit: &CommitId, canary: &ObjectKey, outcome: &Outcome) {
        if self.let_stand(commit, canary) {
            self.unsaved.notify_one();
        } else {
            self.say_for_good(commit, canary, outcome);
        }
        self.lock().get(commit).late.insert(name(canary));
    }

    /// What was given up will not become live any more: a newer change took its place.
    pub(super) fn never(&self, commit: &CommitId, canary: &ObjectKey) {
        self.repeat(commit, canary);
        self.lock().get(commit).late.remove(&name(canary));
    }

    /// Tells forges what an earlier process gave up, for the canary had its time to speak.
    pub(super) fn repeat(&self, commit: &CommitId, canary: &ObjectKey) {
        let mut commits = self.lock();
        let known = commits.get(commit);
        let said = known.outcomes.get(&name(canary)).cloned();
        let unsaid = known.unsaid.remove(&name(canary));
        drop(commits);
        if let Some(said) = said.filter(|_| unsaid) {
            self.post(commit, self.status(canary, &said));
            self.aggregate(commit);
        }
    }

    /// Says of a commit as a whole that it is not verified.
    pub(super) fn unsigned(&self, commit: &CommitId, outcome: &Outcome) {
        let mut commits = self.lock();
        let known = commits.get(commit);
        known.planned.insert(SIGNATURE.to_owned());
        known.refused = true;
        drop(commits);
        if self.keep(commit, SIGNATURE, outcome) {
            self.aggregate(commit);
        }
    }

    /// Whether it was said of a commit that it is not verified.
    pub(super) fn is_refused(&self, commit: &CommitId) -> bool {
        let commits = self.lock();
        let known = commits.known.get(commit);
        known.is_some_and(|known| known.planned.contains(SIGNATURE))
    }

    /// The commit is verified after all: what was said against it for that reason is no last word.
    pub(super) fn signed(&self, commit: &CommitId) {
        let mut commits = self.lock();
        let Some(known) = commits.known.get_mut(commit) else {
            return;
        };
        known.planned.remove(SIGNATURE);
        known.outcomes.remove(SIGNATURE);
        known.refused = false;
        let passes = known
            .outcomes
            .iter()
            .filter(|(_, said)| outcome::is_not_verified(said));
        let passes: Vec<String> = passes.map(|(name, _)| name.clone()).collect();
        known.for_now.extend(passes);
    }

    /// What is handled now is newer than all that was refused: that stays as it is.
    pub(super) fn refusals_stand(&self) {
        for known in self.lock().known.values_mut() {
            known.refused = false;
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
        let mut commits = self.lock();
        let known = commits.get(commit);
        if known.planned.is_empty() {
            known.planned.insert(UNRELATED.to_owned());
            known.outcomes.insert(UNRELATED.to_owned(), outcome::unrelated());
            drop(commits);
            self.aggregate(commit);
        }
    }

    /// Takes over what the status of a canary owes. What a status held when it was first read may have been
    /// delivered by an earlier process.
    pub(in crate::runtime) fn owe(&self, canary: &ObjectKey, spec: Option<&Canary>, status: &Status) {
        for report in &status.commits {
            let (Ok(commit), Ok(state)) = (report.commit.parse::<CommitId>(), report.state.parse()) else {
                continue;
            };
            let outcome = Outcome::new(state, &report.description);
            let mut commits = self.lock();
            let fresh = commits.restored.insert((canary.clone(), report.commit.clone()));
            if fresh && !commits.known.contains_key(&commit) {
                commits.get(&commit).doubtful = true;
            }
            if let Some(known) = commits.known.get_mut(&commit)
                && known.late.remove(&name(canary))
            {
                // It went live late: what came of it counts, not that it was given up.
                known.for_now.insert(name(canary));
                known.unsaid.remove(&name(canary));
            }
            drop(commits);
            if !self.keep(&commit, &name(canary), &outcome) {
                continue;
            }
            // The measurements are those of the commit that ran last.
            let ran_last = status.commit.as_deref() == Some(&report.commit);
            let detail = spec
                .filter(|_| ran_last)
                .map(|spec| outcome::detail(spec, status));
            let said = self.status(canary, &outcome).with_detail(detail);
            if fresh {
                self.outbox.restore(&commit, said, &report.delivered);
            } else {
                self.post(&commit, said);
            }
            self.aggregate(&commit);
        }
    }

    /// Marks in a status what forges have been told. A last word that stands is the status's, too: else another process
    /// would tell them what the status has.
    pub(in crate::runtime) fn mark_delivered(&self, canary: &ObjectKey, status: &mut Status) {
        for report in &mut status.commits {
            let Ok(commit) = report.commit.parse::<CommitId>() else {
                continue;
            };
            if let Some(last) = self.last_word(&commit, canary, report)
                && (last.state.name(), &last.description) != (report.state.as_str(), &report.description)
            {
                last.state.name().clone_into(&mut report.state);
                report.description = last.description;
                report.delivered.clear();
            }
            if self.is_said(&commit, canary, report) {
                report.delivered = self
                    .outbox
                    .marks(&commit, &context(self.cluster.as_deref(), canary));
            }
        }
    }

    /// The last word that stands against what a status says.
    fn last_word(&self, commit: &CommitId, canary: &ObjectKey, report: &CommitReport) -> Option<Outcome> {
        let name = name(canary);
        let says = Outcome::of_report(report)?;
        let commits = self.lock();
        let known = commits.known.get(commit)?;
        // What was given up and goes live late is spoken of anew.
        let stands = known.stands(&name, &says) && !known.late.contains(&name);
        known.outcomes.get(&name).filter(|_| stands).cloned()
    }

    fn is_said(&self, commit: &CommitId, canary: &ObjectKey, report: &CommitReport) -> bool {
        let mut commits = self.lock();
        let said = commits.get(commit).outcomes.get(&name(canary));
        said.is_some_and(|said| said.state.name() == report.state && said.description == report.description)
    }

    /// Keeps an outcome. Gives whether it says something new that may still be said.
    fn keep(&self, commit: &CommitId, name: &str, outcome: &Outcome) -> bool {
        let mut commits = self.lock();
        let known = commits.get(commit);
        if known.stands(name, outcome) || known.outcomes.get(name) == Some(outcome) {
            return false;
        }
        known.for_now.remove(name);
        known.outcomes.insert(name.to_owned(), outcome.clone());
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
        if !planned.contains_key(UNRELATED) {
            self.comment(commit, &planned);
        }
        let unrelated = planned.get(UNRELATED).filter(|_| planned.len() == 1).cloned();
        if let Some(outcome) = unrelated.or_else(|| outcome::aggregate(&planned)) {
            let context = aggregate_context(self.cluster.as_deref());
            let status = CommitStatus::new(&context, outcome.state, &outcome.description);
            self.post(commit, status);
        }
    }

    fn owes(&self, commit: &CommitId) -> bool {
        let comments = self.comments.as_ref();
        self.outbox.owes(commit) || comments.is_some_and(|comments| comments.owes(commit))
    }

    /// Says in a comment what the canaries of a commit say.
    fn comment(&self, commit: &CommitId, planned: &BTreeMap<String, Outcome>) {
        let Some(comments) = &self.comments else { return };
        let context = aggregate_context(self.cluster.as_deref());
        let was_told = || self.lock().get(commit).doubtful || !comments.take_back(commit, &context);
        if let Some(text) = comment(&context, commit, planned, was_told) {
            comments.set(commit, text);
        }
    }

    fn post(&self, commit: &CommitId, status: CommitStatus) {
        let doubtful = self.lock().get(commit).doubtful;
        if doubtful {
            self.outbox.restore(commit, status, &[]);
        } else {
            self.outbox.set(commit, status);
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

/// The canary of an outcome's name.
pub(super) fn canary_key(name: &str) -> Option<ObjectKey> {
    let (namespace, name) = name.split_once('/')?;
    Some(ObjectKey::new(Resource::CANARY, namespace, name))
}

/// `<namespace>/<name>`.
pub(super) fn name(canary: &ObjectKey) -> String {
    format!("{}/{}", canary.namespace, canary.name)
}

#[cfg(test)]
mod tests;

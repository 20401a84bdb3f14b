//! `--require-verified`: a revision is acted on only if its commits are verified. What verified revisions declare
//! is remembered, so that the machine can be told whether what is live is one of them.

use std::{
    collections::{BTreeMap, VecDeque},
    sync::Arc,
};

use super::{Fault, Shared, Source, read, read::Reading, store::Stored};
use crate::{
    manifest::{ObjectKey, Resource, Snapshot},
    plan::{self, Manifests},
    repo::{CommitId, Revision, verify},
    report::outcome,
    runtime::commits::Expected,
};

/// How many revisions are remembered of a canary.
const KEPT: usize = 5;

/// What verified revisions declare, newest first, and the newest reason against one that is not.
#[derive(Default)]
pub(in crate::runtime) struct Verified {
    declared: BTreeMap<ObjectKey, VecDeque<Expected>>,
    refused: Option<String>,
}

impl Verified {
    pub(super) fn declare(&mut self, canary: ObjectKey, expected: Expected) {
        let known = self.declared.entry(canary).or_default();
        if known
            .front()
            .is_none_or(|newest| newest.rendered != expected.rendered)
        {
            known.push_front(expected);
            known.truncate(KEPT);
        }
    }

    /// Says why what is live of a canary is not verified; nothing if each of its objects is as one of the verified
    /// revisions declares it.
    pub(in crate::runtime) fn why_not(&self, canary: &ObjectKey, snapshot: &Snapshot) -> Option<String> {
        let known = self.declared.get(canary);
        let newest = known
            .and_then(VecDeque::front)
            .filter(|newest| !newest.rendered.is_empty());
        let all = newest.is_some_and(|newest| {
            newest.rendered.iter().all(|(object, _)| {
                let key = object.key();
                known.into_iter().flatten().any(|expected| {
                    expected.rendered.iter().any(|(object, before)| {
                        let live = snapshot.get(&key).filter(|_| object.key() == key);
                        live.is_some_and(|live| plan::explains(object, before.as_ref(), live))
                    })
                })
            })
        });
        let why = || match &self.refused {
            Some(refused) => format!("not verified: {refused}"),
            None => "not verified: no verified commit declares what is live".to_owned(),
        };
        (!all).then(why)
    }
}

/// What is said against a commit.
fn against(commit: &CommitId, why: &str) -> String {
    format!("commit {}: {why}", commit.short())
}

impl Source {
    /// Returns the commits of a range that are not verified; none if they are, or need not be.
    pub(super) async fn unverified(
        &self,
        from: Option<&Revision>,
        to: &Revision,
    ) -> Result<Vec<(CommitId, String)>, Fault> {
        let Some(verifier) = self.options.verifier.clone() else {
            return Ok(Vec::new());
        };
        let (repository, to) = (Arc::clone(&self.repository), to.id.clone());
        let from = from.map(|from| from.id.clone());
        let work = move || verify::unverified(&*repository, &*verifier, from.as_ref(), &to);
        match crate::clock::off_thread(crate::clock::Turn::Source, work).await {
            Ok(found) => found.map_err(Fault::Verify),
            Err(error) => Err(Fault::Bug(error.to_string())),
        }
    }

    /// Says on the commits of a revision why it is not acted on. What stands on top of them waits.
    pub(super) fn refuse(&self, shared: &Arc<Shared>, reading: &Reading, bad: &[(CommitId, String)]) {
        let Some((first, why)) = bad.last() else { return };
        tracing::warn!(revision = %reading.plan.to, commit = %first, why, "Not verified: nothing is done.");
        let reason = |commit: &CommitId| bad.iter().find(|(id, _)| id == commit).map(|(_, why)| why);
        self.plan_all(&reading.plan);
        for touched in &reading.plan.touched {
            let older = touched.superseded.iter().chain(&touched.unchanged);
            for commit in std::iter::once(&touched.commit).chain(older) {
                let said = match reason(commit) {
                    Some(why) => outcome::not_verified(why),
                    None => outcome::stands_on(first.short(), why),
                };
                self.reports.say(commit, &touched.canary, &said);
            }
        }
        for (commit, why) in bad {
            self.reports.unsigned(commit, &outcome::not_verified(why));
        }
        if let Some(verified) = &shared.verified {
            super::super::lock(verified).refused = Some(against(first, why));
        }
        shared.nudge_all();
    }

    /// A verified revision may be acted on. What was said against its commits before they were verified is taken back:
    /// gives those that need another word.
    pub(super) async fn accept(&self, shared: &Arc<Shared>, reading: &Reading) -> Vec<CommitId> {
        let (Some(_), Some(verifier)) = (&shared.verified, self.options.verifier.clone()) else {
            return Vec::new();
        };
        let plan = &reading.plan;
        let mut refused: Vec<CommitId> = plan.commits.iter().map(|commit| commit.id.clone()).collect();
        if !refused.contains(&plan.to.id) {
            refused.push(plan.to.id.clone());
        }
        refused.retain(|commit| self.reports.is_refused(commit));
        self.reports.refusals_stand();
        if refused.is_empty() {
            return refused;
        }
        let (repository, newest) = (Arc::clone(&self.repository), plan.to.id.clone());
        let work = move || {
            // All that counts is verified. What was taken back since may be not.
            let good = |commit: &CommitId| {
                *commit == newest
                    || verifier
                        .verify(&*repository, commit)
                        .is_ok_and(|why| why.is_none())
            };
            refused.retain(good);
            Ok(refused)
        };
        let good = read::off_thread(work).await.unwrap_or_default();
        for commit in &good {
            self.reports.signed(commit);
        }
        good
    }

    /// A commit that Flux turns down is told so, for its artifact never comes.
    pub(super) fn hear_turned_down(&self, shared: &Arc<Shared>) {
        let flux = self.flux.as_ref().filter(|_| self.options.verifier.is_some());
        if let Some((commit, why)) = flux.and_then(|flux| flux.turned_down(shared)) {
            self.reports.unsigned(&commit, &outcome::not_verified(&why));
        }
    }

    /// Hears what Flux says of signatures. Gives the newest revision, if Flux says of it what it did not say before.
    pub(super) async fn hear_signatures(&self, shared: &Arc<Shared>, state: &mut Stored) -> Option<Revision> {
        let (flux, verified) = (self.flux.as_ref()?, shared.verified.as_ref()?);
        self.hear_turned_down(shared);
        if state.handled.is_some() && !state.verified {
            self.declare_again(shared, state).await;
        }
        let (newest, why) = flux.judged(state.handled.as_ref())?;
        let known = super::super::lock(verified).refused.clone();
        let is_news = why.is_none_or(|why| known != Some(against(&newest.id, &why)));
        is_news.then_some(newest)
    }

    /// Remembers what a verified revision declares.
    pub(super) fn declare(
        shared: &Arc<Shared>,
        manifests: &Manifests,
        before: Option<&Manifests>,
        id: &CommitId,
    ) {
        let Some(verified) = &shared.verified else { return };
        {
            let mut verified = super::super::lock(verified);
            verified.refused = None;
            for (canary, _) in manifests.objects.of(Resource::CANARY) {
                if let Some(expected) = read::expected(manifests, before, canary, id) {
                    verified.declare(canary.clone(), expected);
                }
            }
        }
        shared.nudge_all();
    }

    /// Remembers what the revision declares that an earlier process has acted on, if it was verified then or is now.
    pub(super) async fn declare_again(&self, shared: &Arc<Shared>, state: &mut Stored) {
        let (Some(verified), Some(handled)) = (&shared.verified, state.handled.clone()) else {
            return;
        };
        if !state.verified {
            match self.unverified(None, &handled).await {
                Ok(bad) => {
                    if let Some((commit, why)) = bad.last() {
                        let why = against(commit, why);
                        let mut verified = super::super::lock(verified);
                        if verified.refused.as_ref() != Some(&why) {
                            tracing::warn!(revision = %handled, why, "What runs already is not verified.");
                        }
                        verified.refused = Some(why);
                        return;
                    }
                }
                Err(error) => return error.log(&handled),
            }
        }
        let (source, settings) = (self.clone(), self.settings_now(shared));
        let id = handled.id.clone();
        let work = move || plan::manifests(&*source.repository, &source.cache, &settings, &id);
        match read::off_thread(work).await {
            Ok(manifests) => {
                state.verified = true;
                Self::declare(shared, &manifests, None, &handled.id);
            }
            Err(error) => error.log(&handled),
        }
    }
}

//! Commits that wait to become live, and what Flux says of them.

use std::{collections::BTreeMap, sync::Arc};

use super::{Shared, Source, Stored, canary_key, read};
use crate::{
    manifest::ObjectKey,
    plan::{
        self,
        flux::{Applier, FluxSource, Release, Word, word},
    },
    repo::{CommitId, Repository},
    report::{Outcome, outcome},
    runtime::commits::Expected,
};

/// What Flux's objects say now.
struct Said {
    source: FluxSource,
    appliers: Vec<Applier>,
    /// For each commit that waits: the revisions of Flux that have it.
    have: BTreeMap<CommitId, Vec<String>>,
}

impl Source {
    /// The first word on a commit whose change is on its way.
    pub(super) fn detected(&self) -> Outcome {
        match &self.flux {
            Some(_) => outcome::waiting_for_flux(None),
            None => outcome::detected(),
        }
    }

    /// Returns when Flux's objects have changed; never without Flux.
    pub(super) async fn flux_changed(&self, news: &mut tokio::sync::watch::Receiver<u64>) {
        if self.flux.is_none() || news.changed().await.is_err() {
            std::future::pending::<()>().await;
        }
    }

    /// Tells commits what Flux says of them. Where Flux was told to stand still, time does not count.
    pub(super) async fn hear_flux(&self, shared: &Arc<Shared>, state: &mut Stored) {
        let Some(said) = self.said(shared, state).await else {
            return;
        };
        let now = shared.now();
        for waiting in &mut state.waiting {
            for name in waiting.canaries.union(&waiting.late) {
                let Some(canary) = canary_key(name) else { continue };
                let expected = shared
                    .expected(&canary)
                    .filter(|expected| expected.commit == waiting.commit.as_str());
                let Some(expected) = expected else { continue };
                if shared.is_attributed(&canary, &expected.commit) {
                    continue;
                }
                let word = said.of(shared, &waiting.commit, &canary, &expected);
                if waiting.late.contains(name) && !matches!(word, Word::Applied) {
                    continue;
                }
                if matches!(word, Word::Suspended(_)) {
                    waiting.since = now;
                }
                self.pass_on(shared, &waiting.commit, &canary, &expected, word)
                    .await;
            }
        }
    }

    async fn said(&self, shared: &Arc<Shared>, state: &Stored) -> Option<Said> {
        let flux = self.flux.as_ref().filter(|_| !state.waiting.is_empty())?;
        let (source, appliers) = (flux.source(shared)?, flux.appliers(shared)?);
        let mut named: Vec<String> = appliers.iter().flat_map(Applier::revisions).collect();
        named.extend(source.artifact.iter().map(|artifact| artifact.named.clone()));
        named.sort();
        named.dedup();
        let revisions: Vec<(String, CommitId)> = named
            .into_iter()
            .filter_map(|named| Some((named.clone(), flux.commit_of(&named)?)))
            .collect();
        let commits: Vec<CommitId> = state
            .waiting
            .iter()
            .map(|waiting| waiting.commit.clone())
            .collect();
        let repository = Arc::clone(&self.repository);
        let have = read::off_thread(move || Ok(have(&*repository, commits, &revisions))).await;
        Some(Said {
            source,
            appliers,
            have: have.ok()?,
        })
    }

    async fn pass_on(
        &self,
        shared: &Arc<Shared>,
        commit: &CommitId,
        canary: &ObjectKey,
        expected: &Expected,
        word: Word,
    ) {
        let outcome = match word {
            // Flux tries again and again; that is no news until it succeeds.
            Word::Waiting(_) | Word::Attempted if self.reports.is_for_now(commit, canary) => return,
            Word::Waiting(why) => outcome::waiting_for_flux(why.as_deref()),
            Word::Suspended(key) => outcome::flux_suspended(&key),
            Word::Attempted => outcome::flux_applies(),
            // Flux may succeed later: the last word on the run that starts then is another one.
            Word::Failed(why) => return self.reports.say_for_now(commit, canary, &outcome::refused(&why)),
            Word::Applied if expected.applied => return,
            Word::Applied => return self.applied(shared, canary, expected).await,
        };
        self.reports.say(commit, canary, &outcome);
    }

    /// Flux has applied the commit: what is live now, past every cache, is what Flux made of it, also where it
    /// substituted variables or something in the cluster changed it on its way in.
    async fn applied(&self, shared: &Arc<Shared>, canary: &ObjectKey, expected: &Expected) {
        let rendered = expected.rendered.iter().map(|(object, _)| object.key());
        for key in rendered.chain(expected.target.clone()) {
            if let Err(error) = shared.cluster.get(&key).await {
                tracing::warn!(%canary, %error, "Cannot read what Flux applied; trying again.");
                return;
            }
        }
        let mut expected = expected.clone();
        expected.applied = true;
        shared.expect(canary, expected);
    }
}

impl Said {
    fn of(&self, shared: &Shared, commit: &CommitId, canary: &ObjectKey, expected: &Expected) -> Word {
        let have = self.have.get(commit);
        let contains = |named: &str| have.is_some_and(|have| have.iter().any(|one| one == named));
        let target = expected.target().or_else(|| target_of(shared, canary));
        let release = target.as_ref().filter(|_| expected.is_unrendered());
        let release = release.and_then(|target| release_of(shared, target, expected));
        let target = target.as_ref().unwrap_or(canary);
        word(
            &self.source,
            &self.appliers,
            target,
            canary,
            release.as_ref(),
            &contains,
        )
    }
}

/// The target that a live Canary names.
fn target_of(shared: &Shared, canary: &ObjectKey) -> Option<ObjectKey> {
    let snapshot = shared.cluster.read(std::slice::from_ref(canary));
    plan::target_of(snapshot.get(canary)?)
}

/// The HelmRelease that a live target is of. It is watched from now on.
fn release_of(shared: &Shared, target: &ObjectKey, expected: &Expected) -> Option<Release> {
    let live = shared.cluster.read(std::slice::from_ref(target));
    let key = Release::of_target(live.get(target)?)?;
    let release = shared.cluster.read(std::slice::from_ref(&key));
    let moved = expected.releases.contains(&key);
    release.get(&key).map(|object| Release::read(object, moved))
}

fn have(
    repository: &dyn Repository,
    commits: Vec<CommitId>,
    revisions: &[(String, CommitId)],
) -> BTreeMap<CommitId, Vec<String>> {
    let with = |commit: CommitId| {
        let have = revisions
            .iter()
            .filter(|(_, newer)| repository.contains(&commit, newer))
            .map(|(named, _)| named.clone())
            .collect();
        (commit, have)
    };
    commits.into_iter().map(with).collect()
}

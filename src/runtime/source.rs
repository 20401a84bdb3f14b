//! The git side of the runtime: a new revision is planned, its commits get `pending`, its manifests are applied
//! if that is asked for, and what it changes is expected to become live.

mod apply;
mod flux;
mod read;
mod reports;
mod store;
mod verified;

use std::{
    collections::{BTreeMap, BTreeSet},
    sync::Arc,
    time::Duration,
};

use jiff::SignedDuration;
use serde_json::Value;
use tokio::{sync::watch, time::Instant};

use super::{
    LentForge, Shared,
    commits::Expected,
    flux::{Flux, FluxOptions},
    notify::{Notify, NotifyOptions},
    revert::{RevertOptions, Reverts},
};
use crate::{
    canary::Defaults,
    clock::Clock,
    cluster::ClusterError,
    error::Classified as _,
    manifest::{Object, ObjectKey, Resource},
    plan::{self, Cache, Effect, Plan, Settings, Ties},
    repo::{
        CommitId, Hints, RepoError, Repository, Revision, Trigger, Update, Watch,
        git::Git,
        verify::{Verifier, VerifyError},
    },
    report::{Forge, outcome},
};

pub(super) use reports::Reports;
pub(super) use verified::Verified;

use read::Reading;
use reports::{canary_key, name};
use store::{Stored, Waiting};

/// Commits that are waited for are looked at this often, for their deadline.
const LOOK: Duration = Duration::from_secs(15);

/// How the source is used.
#[derive(Clone, Debug)]
pub struct SourceOptions {
    /// Names the source: its state is in ConfigMap `serin-<name>`.
    pub name: String,
    /// Namespace of manifests that name none.
    pub namespace: String,
    /// Namespace of the state.
    pub state_namespace: String,
    /// What flags say about canaries.
    pub defaults: Defaults,
    /// Part of the contexts of commit statuses.
    pub cluster_name: Option<String>,
    /// Apply the manifests.
    pub apply: bool,
    /// Time for a commit's change to become live.
    pub apply_deadline: Duration,
    /// Say on commits that touch no canary that they do not.
    pub status_unrelated: bool,
    /// What to do with a commit that a canary failed with.
    pub on_failure: Option<RevertOptions>,
    /// Act only on commits that this verifies.
    pub verifier: Option<Arc<dyn Verifier>>,
}

/// A checkout that is followed, and the forges that are told.
#[derive(Clone)]
pub struct Source {
    repository: Arc<dyn Repository>,
    hints: Hints,
    trigger: Trigger,
    notify: Option<NotifyOptions>,
    options: Arc<SourceOptions>,
    settings: Arc<Settings>,
    reports: Reports,
    reverts: Option<Reverts>,
    cache: Arc<Cache>,
    flux: Option<Flux>,
}

/// Why a revision could not be handled.
#[derive(Debug, thiserror::Error)]
pub(super) enum Fault {
    #[error(transparent)]
    Repo(Arc<RepoError>),
    #[error(transparent)]
    Cluster(#[from] ClusterError),
    #[error("signatures cannot be judged: {0}")]
    Verify(VerifyError),
    #[error("a bug: {0}")]
    Bug(String),
}

impl Fault {
    fn log(&self, revision: &Revision) {
        let hint = match self {
            Self::Repo(error) => error.hint(),
            Self::Cluster(error) => error.hint(),
            Self::Verify(error) => error.hint(),
            Self::Bug(_) => None,
        };
        let hint = hint.unwrap_or_default();
        tracing::warn!(%revision, error = %self, hint, "Cannot handle the revision; trying again.");
    }
}

impl Source {
    /// Makes a source. Nothing is read before the runtime runs.
    #[must_use]
    pub fn new(
        repository: Arc<dyn Repository>,
        hints: Hints,
        forges: Vec<Arc<dyn Forge>>,
        options: SourceOptions,
        clock: Clock,
    ) -> Self {
        let settings = Arc::new(Settings {
            namespace: options.namespace.clone(),
            defaults: options.defaults.clone(),
            ties: Ties::default(),
        });
        let cache = Arc::<Cache>::default();
        let cluster = options.cluster_name.clone();
        let reverts = options.on_failure.clone().map(|on_failure| {
            let (repository, cache, settings) =
                (Arc::clone(&repository), Arc::clone(&cache), Arc::clone(&settings));
            let (git, cluster) = (Git::find(), cluster.clone());
            Reverts::new(
                repository, cache, settings, &forges, cluster, on_failure, git, clock,
            )
        });
        Self {
            repository,
            trigger: hints.trigger(),
            notify: None,
            hints,
            settings,
            reports: Reports::new(forges, cluster, clock),
            reverts,
            options: Arc::new(options),
            cache,
            flux: None,
        }
    }

    /// Follows what Flux says of the commits, and brings its artifacts if they are what is read.
    #[must_use]
    pub fn with_flux(mut self, options: FluxOptions) -> Self {
        self.flux = Some(Flux::new(options));
        self
    }

    /// Lets calls to `POST /notify` make the source look.
    #[must_use]
    pub fn notified(mut self, options: NotifyOptions) -> Self {
        self.notify = Some(options);
        self
    }

    /// Returns what makes the source look now.
    #[must_use]
    pub fn trigger(&self) -> Trigger {
        self.trigger.clone()
    }

    pub(super) fn notify(&self) -> Option<Notify> {
        let options = self.notify.clone()?;
        Some(Notify::new(options, self.trigger()))
    }

    /// Keeps a comment on each pull request that a commit came from.
    #[must_use]
    pub fn with_comments(mut self, clock: Clock) -> Self {
        self.reports.comment_on_pull_requests(clock);
        self
    }

    /// Names those of the forges whose settings the cluster keeps.
    #[must_use]
    pub fn with_lent(mut self, lent: Vec<Arc<LentForge>>) -> Self {
        self.reports.lend(lent);
        self
    }

    pub(super) fn reports(&self) -> Reports {
        self.reports.clone()
    }

    /// What is remembered of verified revisions, where they have to be.
    pub(super) fn verified(&self) -> Option<Verified> {
        self.options.verifier.as_ref().map(|_| Verified::default())
    }

    pub(super) fn reverts(&self) -> Option<Reverts> {
        self.reverts.clone()
    }

    /// Follows the checkout and delivers reports. Faults are told and tried again; they never end the sidecar.
    pub(super) async fn run(self, shared: Arc<Shared>) {
        tokio::select! {
            biased;
            () = self.reports.run() => {}
            () = self.bring(&shared) => {}
            () = self.follow(&shared) => {}
        }
    }

    async fn bring(&self, shared: &Arc<Shared>) {
        match &self.flux {
            Some(flux) => flux.bring(shared).await,
            None => std::future::pending().await,
        }
    }

    async fn follow(&self, shared: &Arc<Shared>) {
        let mut news = shared.flux_news();
        self.arrived(shared, &mut news).await;
        let mut watch = Watch::start_with(Arc::clone(&self.repository), self.hints.clone(), self.trigger());
        let mut state = self.recall(shared).await;
        self.declare_again(shared, &mut state).await;
        let mut orphans = !state.owed.is_empty();
        let mut due: Option<Revision> = None;
        let mut failures = 0_u32;
        let mut look_at: Option<Instant> = None;
        loop {
            if let Some(revision) = due.clone() {
                match self.handle(shared, &mut state, &revision).await {
                    Ok(()) => {
                        (due, failures) = (None, 0);
                        self.reports.doubt(false);
                        shared.source_is_ready();
                    }
                    Err(error) => {
                        failures = failures.saturating_add(1);
                        error.log(&revision);
                    }
                }
            }
            // Not from now: news come more often than that, and must not put it off.
            let idle = state.waiting.is_empty() && !orphans;
            let anew = || Instant::now() + LOOK.min(self.options.apply_deadline);
            look_at = (!idle).then(|| look_at.unwrap_or_else(anew));
            let again = Duration::from_secs(1) * failures.min(30);
            let wake_at = due.as_ref().map(|_| Instant::now() + again).or(look_at);
            tokio::select! {
                biased;
                update = watch.next() => match update {
                    Some(Update::Revision(revision)) => due = Some(revision),
                    Some(Update::Fault(error)) => {
                        let hint = error.hint().unwrap_or_default();
                        tracing::warn!(%error, hint, "Cannot read the checkout.");
                    }
                    None => return,
                },
                () = self.reports.unsaved() => self.save(shared, &mut state).await,
                () = self.flux_changed(&mut news) => {
                    due = due.or(self.hear_signatures(shared, &mut state).await);
                    self.hear_flux(shared, &mut state).await;
                }
                () = sleep_until(wake_at) => {
                    look_at = None;
                    self.hear_flux(shared, &mut state).await;
                    self.look(shared, &mut state);
                    orphans = orphans && !self.settle_orphans(shared, &state);
                }
            }
        }
    }

    /// Returns once there is something to read.
    async fn arrived(&self, shared: &Arc<Shared>, news: &mut watch::Receiver<u64>) {
        let Some(flux) = &self.flux else { return };
        self.reports.doubt(true);
        let mut arrived = std::pin::pin!(flux.arrived(shared));
        loop {
            self.hear_turned_down(shared);
            tokio::select! {
                biased;
                () = &mut arrived => return,
                () = self.flux_changed(news) => {}
            }
        }
    }

    /// Reads what an earlier process has left, and expects again what it waited for.
    async fn recall(&self, shared: &Arc<Shared>) -> Stored {
        let mut pause = 1;
        let mut state = loop {
            match store::load(&shared.cluster, &self.key()).await {
                Ok(state) => break state,
                Err(error) => {
                    let hint = error.hint().unwrap_or_default();
                    tracing::warn!(%error, hint, "Cannot read the state of the source; trying again.");
                    tokio::time::sleep(Duration::from_secs(pause)).await;
                    pause = (pause * 2).min(30);
                }
            }
        };
        state.waiting.retain(Waiting::is_open);
        self.reports
            .doubt(state.handled.is_some() || !state.waiting.is_empty());
        self.reports.restore(&state.owed, &state.late());
        if let (Some(flux), Some(handled), Some(artifact)) = (&self.flux, &state.handled, &state.artifact) {
            flux.bring_back(shared, handled, artifact).await;
        }
        for waiting in &state.waiting {
            if let Err(error) = self.expect_again(shared, waiting).await {
                tracing::warn!(commit = %waiting.commit, %error, "Cannot read a commit again.");
            }
        }
        state
    }

    async fn expect_again(&self, shared: &Arc<Shared>, waiting: &Waiting) -> Result<(), Fault> {
        let canaries: Vec<ObjectKey> = waiting
            .canaries
            .union(&waiting.late)
            .filter_map(|name| canary_key(name))
            .collect();
        for canary in canaries
            .iter()
            .filter(|canary| waiting.canaries.contains(&name(canary)))
        {
            self.reports.plan(&waiting.commit, canary);
        }
        let source = self.clone();
        let (commit, from) = (waiting.commit.clone(), waiting.from.clone());
        let found = read::off_thread(move || {
            read::again(
                &*source.repository,
                &source.cache,
                &source.settings,
                (&commit, from.as_ref()),
                &canaries,
            )
        });
        for (canary, mut expected) in found.await? {
            if waiting.late.contains(&name(&canary)) {
                expected = expected.late();
            }
            shared.expect(&canary, expected);
        }
        Ok(())
    }

    async fn handle(&self, shared: &Arc<Shared>, state: &mut Stored, to: &Revision) -> Result<(), Fault> {
        let from = state.handled.clone();
        if from.as_ref().is_some_and(|from| from.id == to.id) {
            return Ok(());
        }
        let bad = self.unverified(from.as_ref(), to).await?;
        let (source, old, new) = (self.clone(), from.clone(), to.clone());
        let settings = self.settings_now(shared);
        let reading = read::off_thread(move || {
            read::range(&*source.repository, &source.cache, &settings, old.as_ref(), &new)
        });
        let reading = reading.await?;
        if !bad.is_empty() {
            self.refuse(shared, &reading, &bad);
            state.owed = self.reports.owed();
            store::save(&shared.cluster, &self.key(), state).await?;
            return Ok(());
        }
        let accepted = self.accept(shared, &reading).await;
        tracing::info!(revision = %to, canaries = reading.plan.touched.len(), "Handling a revision.");
        for problem in &reading.plan.errors {
            tracing::warn!(revision = %to, "{problem}");
        }
        // The first revision that is ever seen is what the cluster runs already, unless it is applied now.
        let told = from.is_some() || self.options.apply || !accepted.is_empty();
        if told {
            if let Some(fault) = reading.faults.first() {
                self.reports.fault(&to.id, fault);
            }
            self.expect_all(shared, state, &reading);
            if self.options.status_unrelated && from.is_some() {
                for commit in &reading.plan.unrelated {
                    self.reports.unrelated(commit);
                }
            }
            for commit in &accepted {
                self.reports.unrelated(commit);
            }
        }
        // Only now: what becomes verified with it has its commit already.
        Self::declare(shared, &reading.manifests, reading.before.as_deref(), &to.id);
        if told {
            // What is waited for must be known before anything is applied: a crash in between loses nothing.
            state.owed = self.reports.owed();
            store::save(&shared.cluster, &self.key(), state).await?;
        }
        if self.options.apply {
            self.apply(shared, &reading, to).await?;
        }
        state.handled = Some(to.clone());
        state.verified = self.options.verifier.is_some();
        state.owed = self.reports.owed();
        state.artifact = self.flux.as_ref().and_then(|flux| flux.download_of(&to.id));
        store::save(&shared.cluster, &self.key(), state).await?;
        if let Some(flux) = &self.flux {
            flux.nudge(shared, &to.id).await;
            self.hear_flux(shared, state).await;
        }
        Ok(())
    }

    /// Commits get their first word: pending where something will start, the last word where nothing can.
    fn expect_all(&self, shared: &Arc<Shared>, state: &mut Stored, reading: &Reading) {
        self.plan_all(&reading.plan);
        let releases = plan::changed_releases(&reading.manifests, reading.before.as_deref());
        let mut awaited: BTreeMap<CommitId, BTreeSet<String>> = BTreeMap::new();
        for touched in &reading.plan.touched {
            let (canary, commit) = (&touched.canary, &touched.commit);
            for older in &touched.superseded {
                self.reports
                    .say(older, canary, &outcome::superseded(commit.short()));
            }
            for other in &touched.unchanged {
                self.reports.say(other, canary, &outcome::no_workload_change());
            }
            let awaits = match touched.effect {
                Effect::Run | Effect::Initialize | Effect::Recommitted | Effect::MayChange => true,
                // What an older commit changed is not live yet, and comes with this one.
                Effect::NoWorkloadChange | Effect::AnalysisOnly => {
                    Self::is_awaited(shared, state, canary, commit)
                }
                Effect::TargetRemoved | Effect::CanaryRemoved => false,
            };
            let exact = read::expected(&reading.manifests, reading.before.as_deref(), canary, commit);
            let unrendered = (touched.effect == Effect::MayChange)
                .then(|| Expected::unrendered(commit, Some(touched.target.clone())))
                .map(|expected| expected.with_releases(releases.clone()));
            let expected = exact.or(unrendered).filter(|_| awaits);
            if let Some(mut expected) = expected {
                expected.rewritten = reading.plan.is_rewritten();
                self.supersede(shared, state, canary, commit);
                let first = if expected.is_unrendered() {
                    outcome::may_change()
                } else {
                    self.detected()
                };
                self.reports.say(commit, canary, &first);
                shared.expect(canary, expected);
                awaited.entry(commit.clone()).or_default().insert(name(canary));
            } else {
                let outcome = reading
                    .fault_of(touched)
                    .map_or_else(outcome::no_workload_change, outcome::unreadable);
                self.reports.say(commit, canary, &outcome);
            }
        }
        for (commit, canaries) in awaited {
            state.waiting.retain(|waiting| waiting.commit != commit);
            state.waiting.push(Waiting {
                commit,
                from: reading.plan.from.as_ref().map(|from| from.id.clone()),
                canaries,
                late: BTreeSet::new(),
                since: shared.now(),
            });
        }
        state.bound();
    }

    /// All that a commit is answerable for is known before the first word: no aggregate is green too early.
    fn plan_all(&self, plan: &Plan) {
        for touched in &plan.touched {
            self.reports.plan(&touched.commit, &touched.canary);
            for other in touched.superseded.iter().chain(&touched.unchanged) {
                self.reports.plan(other, &touched.canary);
            }
        }
    }

    /// Whether a commit other than this one still waits to become live for a canary.
    fn is_awaited(shared: &Arc<Shared>, state: &Stored, canary: &ObjectKey, but: &CommitId) -> bool {
        state.waiting.iter().any(|waiting| {
            waiting.commit != *but
                && (waiting.canaries.contains(&name(canary)) || waiting.late.contains(&name(canary)))
                && !shared.is_attributed(canary, waiting.commit.as_str())
        })
    }

    /// An older commit that still waits to become live for this canary never will.
    fn supersede(&self, shared: &Arc<Shared>, state: &mut Stored, canary: &ObjectKey, by: &CommitId) {
        for waiting in &mut state.waiting {
            if waiting.commit == *by {
                continue;
            }
            if waiting.late.remove(&name(canary)) && !shared.is_attributed(canary, waiting.commit.as_str()) {
                self.reports.never(&waiting.commit, canary);
            }
            let waited = waiting.canaries.remove(&name(canary));
            // A commit that Flux could not apply stays one.
            if waited
                && !shared.is_attributed(canary, waiting.commit.as_str())
                && !self.reports.let_stand(&waiting.commit, canary)
            {
                self.reports
                    .say(&waiting.commit, canary, &outcome::superseded(by.short()));
            }
        }
        state.waiting.retain(Waiting::is_open);
    }

    /// Lets go of what has become live, and gives up what has not in time.
    fn look(&self, shared: &Arc<Shared>, state: &mut Stored) {
        let limit = SignedDuration::try_from(self.options.apply_deadline).unwrap_or(SignedDuration::MAX);
        for waiting in &mut state.waiting {
            let overdue = shared.now().duration_since(waiting.since) >= limit;
            let commit = waiting.commit.clone();
            let is_live = |canary: &ObjectKey| shared.is_attributed(canary, commit.as_str());
            waiting.late.retain(|name| {
                let canary = canary_key(name).filter(|canary| !is_live(canary));
                canary.is_some_and(|canary| {
                    self.reports.repeat(&commit, &canary);
                    true
                })
            });
            waiting.canaries.retain(|name| {
                let Some(canary) = canary_key(name).filter(|canary| !is_live(canary)) else {
                    return false;
                };
                if overdue && self.give_up(shared, &commit, &canary) {
                    waiting.late.insert(name.clone());
                } else if !overdue {
                    self.reports.still_waits(&commit, &canary);
                }
                !overdue
            });
        }
        state.waiting.retain(Waiting::is_open);
    }

    /// A change did not become live in time. Gives whether it may do so late, and would be known.
    fn give_up(&self, shared: &Arc<Shared>, commit: &CommitId, canary: &ObjectKey) -> bool {
        let unrendered = shared.expects_unrendered(canary, commit.as_str());
        let outcome = if unrendered {
            outcome::unseen()
        } else {
            outcome::not_applied()
        };
        self.reports.give_up(commit, canary, &outcome);
        // Flux's word would tell.
        let known = !unrendered || self.flux.is_some();
        if known {
            shared.expect_late(canary, commit.as_str());
        } else {
            shared.expect_no_more(canary, commit.as_str());
            self.reports.never(commit, canary);
        }
        known
    }

    /// Says the last word on canaries that went while no sidecar ran, or that remember a commit no more. Gives
    /// whether all could be looked at.
    fn settle_orphans(&self, shared: &Arc<Shared>, state: &Stored) -> bool {
        let canaries = shared.cluster.list(Resource::CANARY);
        if !shared.cluster.listed(Resource::CANARY) {
            return false;
        }
        let mut all = true;
        for (commit, canary) in self.reports.silent() {
            let waits =
                |waiting: &Waiting| waiting.commit == commit && waiting.canaries.contains(&name(&canary));
            if state.waiting.iter().any(waits) {
                continue;
            }
            let outcome = match canaries.iter().find(|object| object.key() == canary) {
                Some(object) if remembers(object, &commit) => {
                    all = false;
                    continue;
                }
                Some(_) => outcome::superseded("a later change"),
                None => outcome::deleted(),
            };
            self.reports.say_for_good(&commit, &canary, &outcome);
        }
        all
    }

    /// Writes the state down outside of a revision. What fails is written with the next revision.
    async fn save(&self, shared: &Arc<Shared>, state: &mut Stored) {
        state.owed = self.reports.owed();
        if let Err(error) = store::save(&shared.cluster, &self.key(), state).await {
            let hint = error.hint().unwrap_or_default();
            tracing::warn!(%error, hint, "Cannot write the state of the source.");
        }
    }

    /// Adds what the cluster knows of who applies the targets.
    fn settings_now(&self, shared: &Arc<Shared>) -> Settings {
        let mut settings = Settings::clone(&self.settings);
        for canary in shared.cluster.list(Resource::CANARY) {
            let Some(target) = plan::target_of(&canary) else {
                continue;
            };
            let snapshot = shared.cluster.read(std::slice::from_ref(&target));
            if let Some(live) = snapshot.get(&target) {
                settings.ties.add(canary.key(), live);
            }
        }
        settings
    }

    fn key(&self) -> ObjectKey {
        store::key(&self.options.state_namespace, &self.options.name)
    }
}

/// Whether the status of a Canary tells of a commit: its worker will say what.
fn remembers(canary: &Object, commit: &CommitId) -> bool {
    let reports = canary.at("/status/commits").and_then(Value::as_array);
    let mut reports = reports.into_iter().flatten();
    reports.any(|report| report["commit"] == *commit.as_str())
}

async fn sleep_until(at: Option<Instant>) {
    match at {
        Some(at) => tokio::time::sleep_until(at).await,
        None => std::future::pending().await,
    }
}

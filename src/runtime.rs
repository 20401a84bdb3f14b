//! Turns the crank: watch events, timers and answers become facts, the machine steps, its effects are carried
//! out through the other rooms. Decides nothing about rollouts itself.

mod commits;
mod drift;
mod effects;
mod facts;
mod flux;
mod judge;
mod lent;
mod notice;
mod notify;
mod revert;
mod rivals;
mod server;
mod source;
mod telemetry;
mod worker;

use std::{
    collections::{BTreeMap, BTreeSet},
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::Duration,
};

use jiff::{SignedDuration, Timestamp};
use tokio::{
    sync::{mpsc, watch},
    task::JoinSet,
};

use crate::{
    canary::{Announced, Canary, Defaults, Status},
    clock::Clock,
    cluster::{Cluster, Lease, LeaseOptions},
    http,
    manifest::{ObjectKey, Resource, Snapshot},
    report::Outcome,
    rollout::{Answer, AskId},
};

pub use flux::FluxOptions;
pub use lent::{Lender, LentForge, LookError};
pub use notify::NotifyOptions;
pub use revert::RevertOptions;
pub use source::{Source, SourceOptions};

use commits::Expected;
use telemetry::Telemetry;
use worker::{Nudge, Worker};

/// Kubernetes forgets events after an hour; older ones are not sent again after a restart.
const EVENTS_LAST: SignedDuration = SignedDuration::from_hours(1);

/// The end of the groups of Flux's objects.
const FLUX: &str = ".toolkit.fluxcd.io";

/// What the sidecar runs with.
pub struct Runtime {
    /// Reads and writes.
    pub cluster: Cluster,
    /// The receiver that came with the cluster.
    pub changes: mpsc::UnboundedReceiver<ObjectKey>,
    /// The time.
    pub clock: Clock,
    /// Asks metric servers, hooks and forges.
    pub http: http::Client,
    /// What flags say about canaries.
    pub defaults: Defaults,
    /// Act only while this is held.
    pub lease: Option<LeaseOptions>,
    /// Where commits come from, and where their outcomes go.
    pub source: Option<Source>,
}

/// What all workers share.
pub(crate) struct Shared {
    pub(crate) cluster: Cluster,
    pub(crate) clock: Clock,
    pub(crate) http: http::Client,
    pub(crate) defaults: Defaults,
    telemetry: Telemetry,
    wanted: Mutex<BTreeMap<ObjectKey, BTreeSet<ObjectKey>>>,
    workers: Mutex<BTreeMap<ObjectKey, mpsc::UnboundedSender<Nudge>>>,
    expected: Mutex<BTreeMap<ObjectKey, Expected>>,
    attributed: Mutex<BTreeMap<ObjectKey, String>>,
    reports: Option<source::Reports>,
    notify: Option<notify::Notify>,
    reverts: Option<revert::Reverts>,
    verified: Option<Mutex<source::Verified>>,
    source_ready: Mutex<bool>,
    flux: watch::Sender<u64>,
}

impl Runtime {
    /// Runs until `shutdown` says so, then finishes what is being written and releases the lease. Gives the
    /// router to serve to `serve`, which may drop it.
    pub async fn run(mut self, mut shutdown: watch::Receiver<bool>, serve: impl FnOnce(axum::Router)) {
        let source = self.source.take();
        let shared = Arc::new(Shared {
            telemetry: Telemetry::new(&self.defaults.mesh_provider),
            cluster: self.cluster,
            clock: self.clock,
            http: self.http,
            defaults: self.defaults,
            wanted: Mutex::default(),
            workers: Mutex::default(),
            expected: Mutex::default(),
            attributed: Mutex::default(),
            reports: source.as_ref().map(Source::reports),
            notify: source.as_ref().and_then(Source::notify),
            reverts: source.as_ref().and_then(Source::reverts),
            verified: source.as_ref().and_then(Source::verified).map(Mutex::new),
            source_ready: Mutex::new(source.is_none()),
            flux: watch::Sender::new(0),
        });
        serve(server::router(Arc::clone(&shared)));
        let (leading, mut lead) = watch::channel(self.lease.is_none());
        let lease = self.lease.take().map(|options| {
            let lease = Lease::new(shared.cluster.clone(), shared.clock, options);
            tokio::spawn(lease.hold(leading.clone()))
        });
        while !*shutdown.borrow() {
            tokio::select! {
                biased;
                _ = shutdown.changed() => break,
                _ = lead.wait_for(|held| *held) => {}
            }
            tracing::info!("Acting.");
            let mut tasks = JoinSet::new();
            let source = source.clone();
            if let Some(source) = source {
                tasks.spawn(source.run(Arc::clone(&shared)));
            }
            dispatch(&shared, &mut self.changes, &mut tasks, &mut shutdown, &mut lead).await;
            if let Some(reports) = shared.reports.as_ref().filter(|_| *shutdown.borrow()) {
                // Forges hear what is owed to them, if they answer; else after the next start.
                tokio::time::timeout(Duration::from_secs(5), reports.settled())
                    .await
                    .ok();
            }
            settle(tasks).await;
            lock(&shared.workers).clear();
            lock(&shared.wanted).clear();
        }
        drop(lead);
        drop(leading);
        if let Some(lease) = lease {
            tokio::time::timeout(Duration::from_secs(5), lease).await.ok();
        }
    }
}

/// Starts a worker for every Canary, and nudges those that read what has changed, until the end of the lease
/// or of the process.
async fn dispatch(
    shared: &Arc<Shared>,
    changes: &mut mpsc::UnboundedReceiver<ObjectKey>,
    tasks: &mut JoinSet<()>,
    shutdown: &mut watch::Receiver<bool>,
    lead: &mut watch::Receiver<bool>,
) {
    shared.start_workers(tasks);
    loop {
        let change = tokio::select! {
            biased;
            _ = shutdown.changed() => return,
            _ = lead.wait_for(|held| !*held) => {
                tracing::warn!("The lease is lost: acting no more until it is held again.");
                return;
            }
            change = changes.recv() => change,
            Some(ended) = tasks.join_next(), if !tasks.is_empty() => {
                if let Err(error) = ended && error.is_panic() {
                    tracing::error!(%error, "A worker ended by a bug; it starts again with the next change.");
                }
                shared.start_workers(tasks);
                continue;
            }
        };
        let Some(key) = change else { return };
        if key.kind == Resource::CANARY.kind && key.group == Resource::CANARY.group {
            shared.start_workers(tasks);
        }
        if let Some(reports) = &shared.reports {
            reports.changed(&key);
        }
        shared.nudge(&key);
    }
}

/// Lets workers finish the turn they are in: a turn ends with a wait, where they can be dropped.
async fn settle(mut tasks: JoinSet<()>) {
    tokio::task::yield_now().await;
    tasks.abort_all();
    while tasks.join_next().await.is_some() {}
}

impl Shared {
    pub(crate) fn now(&self) -> Timestamp {
        self.clock.now()
    }

    fn is_stale(&self, news: &Announced) -> bool {
        self.now().duration_since(news.at) > EVENTS_LAST
    }

    fn start_workers(self: &Arc<Self>, tasks: &mut JoinSet<()>) {
        for object in self.cluster.list(Resource::CANARY) {
            let key = object.key();
            let mut workers = lock(&self.workers);
            if workers.get(&key).is_some_and(|inbox| !inbox.is_closed()) {
                continue;
            }
            let (sender, inbox) = mpsc::unbounded_channel();
            workers.insert(key.clone(), sender.clone());
            tasks.spawn(Worker::new(Arc::clone(self), key, sender, inbox).run());
        }
    }

    /// From now on a change of any of these keys nudges the worker of this Canary.
    fn watch_keys(&self, canary: &ObjectKey, keys: &[ObjectKey]) {
        let mut wanted = lock(&self.wanted);
        for key in keys {
            wanted.entry(key.clone()).or_default().insert(canary.clone());
        }
    }

    /// Nudges whoever reads this key; a key without a name stands for all of its kind in its namespace.
    fn nudge(&self, key: &ObjectKey) {
        if key.group.ends_with(FLUX) {
            self.tell_flux_news();
        }
        let wanted = lock(&self.wanted);
        let mut canaries: BTreeSet<&ObjectKey> = wanted.get(key).into_iter().flatten().collect();
        if key.name.is_empty() {
            let alike = wanted.iter().filter(|(other, _)| {
                other.kind == key.kind
                    && other.group == key.group
                    && (key.namespace.is_empty() || other.namespace == key.namespace)
            });
            canaries.extend(alike.flat_map(|(_, canaries)| canaries));
        }
        let workers = lock(&self.workers);
        for canary in canaries {
            if let Some(inbox) = workers.get(canary) {
                inbox.send(Nudge::Changed).ok();
            }
        }
    }

    /// Counts the changes of Flux's objects.
    fn flux_news(&self) -> watch::Receiver<u64> {
        self.flux.subscribe()
    }

    fn tell_flux_news(&self) {
        self.flux.send_modify(|count| *count = count.wrapping_add(1));
    }

    /// Nudges every worker.
    fn nudge_all(&self) {
        for inbox in lock(&self.workers).values() {
            inbox.send(Nudge::Changed).ok();
        }
    }

    /// Says why what is live of a canary must not be rolled out, where only verified commits may be.
    fn unverified(&self, canary: &Canary, snapshot: &Snapshot) -> Option<String> {
        let verified = self.verified.as_ref()?;
        lock(verified).why_not(&canary.key(), snapshot)
    }

    fn forget(&self, canary: &ObjectKey) {
        lock(&self.workers).remove(canary);
        lock(&self.wanted).retain(|_, canaries| {
            canaries.remove(canary);
            !canaries.is_empty()
        });
        lock(&self.attributed).remove(canary);
        self.telemetry.forget(&canary.namespace, &canary.name);
    }

    fn measured(&self, canary: &Canary, id: &AskId, answer: &Answer) {
        self.telemetry.measured(canary, id, answer);
    }

    fn observed(&self, canary: &Canary, before: &Status, after: Option<&Status>) {
        if let Some(after) = after {
            self.telemetry.observed(canary, before, after);
        }
    }

    /// Expects that what a commit changes becomes live, and nudges the worker, for it may be live already.
    fn expect(&self, canary: &ObjectKey, expected: Expected) {
        lock(&self.expected).insert(canary.clone(), expected);
        if let Some(inbox) = lock(&self.workers).get(canary) {
            inbox.send(Nudge::Changed).ok();
        }
    }

    fn expected(&self, canary: &ObjectKey) -> Option<Expected> {
        lock(&self.expected).get(canary).cloned()
    }

    /// What a commit changes is not expected any more, if it could not be told what that is: any later change
    /// would be taken for it.
    fn expect_no_more(&self, canary: &ObjectKey, commit: &str) {
        if self.expects_unrendered(canary, commit) {
            lock(&self.expected).remove(canary);
        }
    }

    /// The same, where Flux may still say that it applied the commit.
    fn expect_late(&self, canary: &ObjectKey, commit: &str) {
        if let Some(expected) = lock(&self.expected).get_mut(canary)
            && expected.commit == commit
        {
            expected.guessed = false;
        }
    }

    /// Whether a commit is expected to change a canary in a way that cannot be told before it does.
    fn expects_unrendered(&self, canary: &ObjectKey, commit: &str) -> bool {
        self.expected(canary)
            .is_some_and(|expected| expected.commit == commit && expected.is_unrendered())
    }

    /// Gives a status its commit and what is to be said of it.
    fn attribute(
        &self,
        canary: &Canary,
        snapshot: &Snapshot,
        applied: bool,
        before: &Status,
        next: &mut Status,
    ) {
        let expected = self.expected(&canary.key());
        let live = expected
            .as_ref()
            .is_some_and(|expected| expected.is_live(snapshot));
        let seen = commits::Seen {
            expected: live,
            applied,
        };
        commits::settle(canary, before, next, expected.as_ref(), seen);
    }

    /// A Canary that cannot be read, or that is gone, says nothing of its commits: this does.
    fn give_up(&self, canary: &ObjectKey, status: Option<&Status>, outcome: &Outcome) {
        let Some(reports) = &self.reports else { return };
        let expected = self.expected(canary).map(|expected| expected.commit);
        let reported = status
            .into_iter()
            .flat_map(|status| &status.commits)
            .map(|report| report.commit.clone());
        for commit in reported.chain(expected) {
            if let Ok(commit) = commit.parse() {
                reports.say_for_good(&commit, canary, outcome);
            }
        }
    }

    /// Marks what forges have been told; the mark rides on the next status write.
    fn owe_reports(&self, canary: &Canary, next: &mut Status) {
        if let Some(reports) = &self.reports {
            reports.mark_delivered(&canary.key(), next);
        }
    }

    /// Hands what a status owes to forges on; after a restart, what an earlier process may not have delivered.
    fn report(&self, key: &ObjectKey, canary: Option<&Canary>, status: &Status) {
        if let Some(commit) = &status.commit {
            lock(&self.attributed).insert(key.clone(), commit.clone());
        }
        if let Some(reports) = &self.reports {
            reports.owe(key, canary, status);
        }
    }

    /// Whether this is the commit that a canary runs, or ran last.
    fn is_attributed(&self, canary: &ObjectKey, commit: &str) -> bool {
        lock(&self.attributed)
            .get(canary)
            .is_some_and(|known| known == commit)
    }

    fn source_is_ready(&self) {
        *lock(&self.source_ready) = true;
    }

    /// Says what is not there yet; nothing if all is.
    fn not_ready(&self) -> Option<&'static str> {
        if !self.cluster.listed(Resource::CANARY) {
            return Some("canaries are not listed yet");
        }
        (!*lock(&self.source_ready)).then_some("the first revision of the source is not handled yet")
    }
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

//! One task per Canary: steps its machine whenever something that it reads has changed, an answer has come or
//! its time is up. Between restarts the state in memory is the truth; the status follows it.

use std::{
    collections::{BTreeMap, BTreeSet},
    sync::Arc,
    time::Duration,
};

use serde_json::{Value, json};
use tokio::{sync::mpsc, time::Instant};

use super::{
    Shared, drift, effects, facts,
    judge::Bench,
    notice::Notice,
    revert::{self, Proposal},
    rivals,
};
use crate::{
    canary::{Announced, Canary, DriftStatus, Status},
    cluster::ClusterError,
    error::{Class, Classified},
    manifest::{Object, ObjectKey, Reading, Snapshot, Write},
    repo::CommitId,
    report::{CommitState, Outcome, outcome},
    rollout::{Answer, AskId, Effect, Live, Standing, State, Step, step},
};

/// What Flagger puts on a Canary with `revertOnDeletion`.
const FLAGGERS_FINALIZER: &str = "finalizer.flagger.app";

/// After which time it is seen whether a CRD that dropped Serin's fields has been replaced: nothing that is
/// watched tells.
const CRD_PAUSE: Duration = Duration::from_secs(30);

/// Something that may give the machine a step.
#[derive(Debug)]
pub(super) enum Nudge {
    /// Something that the worker reads has changed.
    Changed,
    /// An answer has come.
    Answered(AskId, Answer),
    /// The revert of a commit was proposed, or not.
    Proposed(Proposal),
}

pub(super) struct Worker {
    pub(super) shared: Arc<Shared>,
    pub(super) key: ObjectKey,
    inbox: mpsc::UnboundedReceiver<Nudge>,
    outbox: mpsc::UnboundedSender<Nudge>,
    memory: Option<Memory>,
    failures: u32,
}

/// What a worker knows of its Canary beside the cluster.
pub(super) struct Memory {
    pub(super) uid: String,
    pub(super) version: String,
    pub(super) state: State,
    pub(super) stored: Status,
    pub(super) answers: BTreeMap<AskId, Answer>,
    pub(super) asked: BTreeSet<AskId>,
    standing: Standing,
    /// What others set back in this run, or since.
    pub(super) drift: Vec<DriftStatus>,
    told: Vec<Announced>,
    notice: Notice,
    /// The installed CRD keeps Serin's fields.
    proven: bool,
    /// When the installed CRD was last seen to drop Serin's fields.
    dropped: Option<Instant>,
    /// What was done last, and how often in a row.
    done: (Vec<Effect>, u32),
    /// The commit whose revert is being proposed, by this task.
    proposing: Option<(CommitId, EndsWithUs)>,
    proposal: Option<Proposal>,
}

/// A task that ends with whoever started it.
pub(super) struct EndsWithUs(tokio::task::AbortHandle);

impl Drop for EndsWithUs {
    fn drop(&mut self) {
        self.0.abort();
    }
}

/// When to go on.
enum Next {
    Now,
    At(Option<Instant>),
    Gone,
}

impl Worker {
    pub(super) fn new(
        shared: Arc<Shared>,
        key: ObjectKey,
        outbox: mpsc::UnboundedSender<Nudge>,
        inbox: mpsc::UnboundedReceiver<Nudge>,
    ) -> Self {
        Self {
            shared,
            key,
            inbox,
            outbox,
            memory: None,
            failures: 0,
        }
    }

    /// Works until the Canary is gone.
    pub(super) async fn run(mut self) {
        loop {
            match self.turn().await {
                Next::Gone => break,
                Next::Now => self.drain(),
                Next::At(wake) => self.sleep(wake).await,
            }
        }
        let stored = self.memory.as_ref().map(|memory| &memory.stored);
        self.shared.give_up(&self.key, stored, &outcome::deleted());
        self.shared.forget(&self.key);
    }

    async fn sleep(&mut self, wake: Option<Instant>) {
        let timer = async {
            match wake {
                Some(at) => tokio::time::sleep_until(at).await,
                None => std::future::pending().await,
            }
        };
        let nudge = tokio::select! {
            biased;
            nudge = self.inbox.recv() => nudge,
            () = timer => None,
        };
        if let Some(nudge) = nudge {
            self.take(nudge);
        }
        self.drain();
    }

    fn drain(&mut self) {
        while let Ok(nudge) = self.inbox.try_recv() {
            self.take(nudge);
        }
    }

    fn take(&mut self, nudge: Nudge) {
        let Some(memory) = &mut self.memory else { return };
        match nudge {
            Nudge::Answered(id, answer) => {
                memory.answers.insert(id, answer);
            }
            Nudge::Proposed(proposal) => memory.proposal = Some(proposal),
            Nudge::Changed => {}
        }
    }

    /// One turn; a fault is told, and tried again by its class.
    async fn turn(&mut self) -> Next {
        match self.reconcile().await {
            Ok(next) => {
                self.failures = 0;
                next
            }
            Err(error) => self.faulted(&error).await,
        }
    }

    async fn faulted(&mut self, error: &ClusterError) -> Next {
        self.failures = self.failures.saturating_add(1);
        let canary = self.key.clone();
        if error.is_conflict() && self.failures < 10 {
            tracing::debug!(%canary, %error, "Read again.");
            if let Err(error) = self.refresh().await {
                tracing::debug!(%canary, %error, "Cannot read again.");
            }
            return Next::Now;
        }
        let hint = error.hint().unwrap_or_default();
        tracing::warn!(%canary, %error, hint, "Cannot go on.");
        if let Some(memory) = &mut self.memory {
            memory
                .notice
                .failed(&self.shared, &canary, &memory.uid, &error.to_string())
                .await;
        }
        let pause = match error.class() {
            Class::Retry(pause) => pause * self.failures.min(15),
            Class::UserMustFix | Class::WaitForChange | Class::Bug => Duration::from_secs(60),
        };
        Next::At(Some(Instant::now() + pause))
    }

    /// Reads the Canary past the cache, and keeps the state in memory.
    async fn refresh(&mut self) -> Result<(), ClusterError> {
        if let Some(object) = self.shared.cluster.get(&self.key).await?
            && let Some(memory) = &mut self.memory
            && memory.uid == object.uid()
        {
            object.resource_version().clone_into(&mut memory.version);
        }
        Ok(())
    }

    async fn reconcile(&mut self) -> Result<Next, ClusterError> {
        self.shared.watch_keys(&self.key, std::slice::from_ref(&self.key));
        let snapshot = self.shared.cluster.read(std::slice::from_ref(&self.key));
        let object = match snapshot.read(&self.key) {
            Reading::Unknown => return Ok(Next::At(None)),
            Reading::Absent => return Ok(Next::Gone),
            Reading::Present(object) => object.clone(),
        };
        let Some(object) = self.recall(object).await? else {
            return Ok(Next::Gone);
        };
        let own = match Canary::parse(&object, &self.shared.defaults) {
            Ok(canary) => canary,
            Err(error) => return self.invalid(&object, &error).await,
        };
        if let Some(error) = rivals::refuse(&self.shared, &object) {
            return self.invalid(&object, &error).await;
        }
        let Some(memory) = &self.memory else {
            return Ok(Next::At(None));
        };
        let mut bench = match Bench::of(&self.shared, &object, own, &memory.stored) {
            Ok(bench) => bench,
            Err(error) => return self.invalid(&object, &error).await,
        };
        let (snapshot, complete) = facts::gather(&self.shared, &bench.canary, &bench.held);
        let complete = complete && bench.is_complete();
        let canary = &mut bench.canary;
        canary
            .spec
            .not_implemented
            .extend(crate::metrics::unsupported(canary, &snapshot));
        let halted = canary.spec.suspend || canary.spec.not_implemented.iter().any(|field| field.gates);
        if !complete && !halted {
            return Ok(Next::At(None));
        }
        let began = Instant::now();
        let next = self.advance(&bench, &object, &snapshot).await;
        self.shared
            .telemetry
            .took(&bench.canary, began.elapsed().as_secs_f64());
        next
    }

    /// Makes sure there is a memory of this very Canary. The first read after a start is a quorum read.
    async fn recall(&mut self, object: Object) -> Result<Option<Object>, ClusterError> {
        let known = self
            .memory
            .as_ref()
            .is_some_and(|memory| memory.uid == object.uid());
        if known && !self.was_reset(&object) {
            if let Some(memory) = &mut self.memory {
                object.resource_version().clone_into(&mut memory.version);
            }
            return Ok(Some(object));
        }
        let Some(object) = self.shared.cluster.get(&self.key).await? else {
            return Ok(None);
        };
        let status = read_status(&object);
        self.shared.report(&self.key, None, &status);
        self.memory = Some(Memory {
            uid: object.uid().to_owned(),
            version: object.resource_version().to_owned(),
            state: State::load(&status),
            proven: status.run.is_some(),
            dropped: None,
            standing: Standing::default(),
            drift: status.drift.clone(),
            stored: status,
            answers: BTreeMap::new(),
            asked: BTreeSet::new(),
            told: Vec::new(),
            notice: Notice::default(),
            done: (Vec::new(), 0),
            proposing: None,
            proposal: None,
        });
        Ok(Some(object))
    }

    /// Whether somebody emptied the status, to begin again.
    fn was_reset(&self, object: &Object) -> bool {
        let emptied = object.at("/status/phase").is_none() && object.at("/status/run").is_none();
        self.memory
            .as_ref()
            .is_some_and(|memory| emptied && memory.proven && object.resource_version() != memory.version)
    }

    async fn invalid(
        &mut self,
        object: &Object,
        error: &crate::canary::SpecError,
    ) -> Result<Next, ClusterError> {
        let Some(memory) = &mut self.memory else {
            return Ok(Next::At(None));
        };
        let next =
            super::notice::invalid_status(&memory.stored, object.generation(), error, self.shared.now());
        memory
            .notice
            .invalid(&self.shared, &self.key, &memory.uid, error)
            .await;
        let outcome = Outcome::new(CommitState::Error, &error.to_string());
        self.shared.give_up(&self.key, None, &outcome);
        self.write_status(next).await?;
        Ok(Next::At(None))
    }

    async fn advance(
        &mut self,
        bench: &Bench,
        object: &Object,
        snapshot: &Snapshot,
    ) -> Result<Next, ClusterError> {
        let canary = &bench.canary;
        let now = self.shared.now();
        let Some(memory) = &mut self.memory else {
            return Ok(Next::At(None));
        };
        memory.notice.warnings(&self.shared, canary).await;
        if !memory.proven {
            return self.prove(canary).await;
        }
        let deleted = object.at("/metadata/deletionTimestamp").is_some();
        if deleted {
            self.let_go(object).await?;
            return Ok(Next::At(None));
        }
        let Some(memory) = &mut self.memory else {
            return Ok(Next::At(None));
        };
        let mut facts = facts::observe(
            canary,
            snapshot,
            &memory.answers,
            deleted,
            self.shared.unverified(canary, snapshot),
        );
        let set_back = memory
            .standing
            .see(canary, &memory.state.control, &mut facts, now);
        drift::tell(&self.shared, canary, snapshot, memory, &set_back).await?;
        let step = step(canary, &memory.state, &facts, now);
        if !self.execute(canary, snapshot, &step.effects).await? {
            return Ok(Next::At(Some(Instant::now() + Duration::from_millis(100))));
        }
        if let Some(memory) = &mut self.memory {
            memory.standing.did(&step.effects, now);
        }
        let live = facts.target.present().map(|target| &target.live);
        let applied = matches!((live, &step.state.control.applied),
            (Some(Live::Revision(live)), Some(applied)) if live == applied);
        self.conclude(bench, snapshot, step, applied).await
    }

    /// Removes the finalizer that a Flagger has left: nobody else would, and the Canary could not go.
    async fn let_go(&self, object: &Object) -> Result<(), ClusterError> {
        let finalizers = object.at("/metadata/finalizers").and_then(Value::as_array);
        let at = finalizers.and_then(|all| all.iter().position(|name| name == FLAGGERS_FINALIZER));
        let Some(at) = at else { return Ok(()) };
        let path = format!("/metadata/finalizers/{at}");
        let patch = json!([
            {"op": "test", "path": path, "value": FLAGGERS_FINALIZER},
            {"op": "remove", "path": path},
        ]);
        let patch = serde_json::from_value(patch).unwrap_or_default();
        self.shared
            .cluster
            .write(Write::Patch {
                key: self.key.clone(),
                patch,
            })
            .await
            .map(drop)
    }

    /// Writes the state as it is, before anything is touched, to see that the CRD keeps Serin's fields.
    async fn prove(&mut self, canary: &Canary) -> Result<Next, ClusterError> {
        let Some(memory) = &mut self.memory else {
            return Ok(Next::At(None));
        };
        if let Some(dropped) = memory.dropped
            && dropped.elapsed() < CRD_PAUSE
        {
            return Ok(Next::At(Some(dropped + CRD_PAUSE)));
        }
        let mut status = memory.state.store(canary, &memory.stored, self.shared.now());
        if memory.dropped.is_some() {
            // Nothing new but the field in question, so that the server has nothing to write if it drops it.
            status = Status {
                run: status.run,
                ..memory.stored.clone()
            };
        }
        let kept = self.write_status(status).await?;
        let Some(memory) = &mut self.memory else {
            return Ok(Next::At(None));
        };
        memory.proven = kept;
        if kept {
            return Ok(Next::Now);
        }
        let first = memory.dropped.replace(Instant::now()).is_none();
        memory.stored.run = None;
        if first {
            let now = self.shared.now();
            let status = super::notice::outdated_crd_status(&memory.stored, canary.generation, now);
            memory.notice.outdated_crd(&self.shared, canary).await;
            self.write_status(status).await?;
        }
        Ok(Next::At(Some(Instant::now() + CRD_PAUSE)))
    }

    /// Does what the step asks for, in its order. Gives false if the target has moved since it was read.
    async fn execute(
        &mut self,
        canary: &Canary,
        snapshot: &Snapshot,
        effects: &[Effect],
    ) -> Result<bool, ClusterError> {
        for effect in effects {
            if let Effect::Ask(id) = effect {
                let Some(memory) = &mut self.memory else {
                    return Ok(false);
                };
                if memory.asked.insert(id.clone()) {
                    effects::ask(
                        &self.shared,
                        canary,
                        snapshot,
                        memory,
                        id.clone(),
                        self.outbox.clone(),
                    );
                }
                continue;
            }
            if !effects::carry_out(&self.shared, canary, snapshot, effect).await? {
                return Ok(false);
            }
        }
        Ok(true)
    }

    /// Writes the status if it says anything new, and then tells the world.
    async fn conclude(
        &mut self,
        bench: &Bench,
        snapshot: &Snapshot,
        step: Step,
        applied: bool,
    ) -> Result<Next, ClusterError> {
        let canary = &bench.canary;
        let now = self.shared.now();
        let Some(memory) = &mut self.memory else {
            return Ok(Next::At(None));
        };
        let moved = step.state != memory.state;
        let mut status = step.state.store(canary, &memory.stored, now);
        bench.keep(&memory.stored, &mut status);
        drift::keep(&mut memory.drift, &mut status);
        self.shared
            .attribute(canary, snapshot, applied, &memory.stored, &mut status);
        if let Some(proposal) = &memory.proposal
            && let Some(news) = revert::settle(&mut status, proposal, now)
        {
            tracing::info!(canary = %self.key, reason = news.reason, "{}", news.text);
            let event = crate::report::event(&self.key, &canary.uid, &news);
            self.shared.cluster.write(event).await?;
        }
        self.shared.owe_reports(canary, &mut status);
        if says_more(&memory.stored, &status) {
            let previous = memory.stored.clone();
            self.write_status(status).await?;
            self.shared.observed(
                canary,
                &previous,
                self.memory.as_ref().map(|memory| &memory.stored),
            );
        }
        let Some(memory) = &mut self.memory else {
            return Ok(Next::At(None));
        };
        memory.state = step.state;
        if moved {
            let (run, tick) = (memory.state.control.run_id(), memory.state.control.tick);
            memory.answers.retain(|id, _| id.run == run && id.tick == tick);
            memory.asked.retain(|id| id.run == run && id.tick == tick);
        }
        self.announce(canary).await?;
        if let Some(memory) = &mut self.memory {
            self.shared.report(&self.key, Some(canary), &memory.stored);
            if self.shared.reports.is_some()
                && let Some(run) = super::commits::unexplained(&memory.stored, now)
            {
                memory.notice.unexplained(&self.shared, canary, run).await;
            }
        }
        self.propose();
        if moved {
            return Ok(Next::Now);
        }
        let wake = step.wake_at.map(|at| self.shared.clock.instant_of(at));
        Ok(self.after_effects(step.effects).unwrap_or(Next::At(wake)))
    }

    /// Begins to propose the revert of the commit that failed, and ends what is being proposed for another.
    fn propose(&mut self) {
        let (Some(reverts), Some(memory)) = (&self.shared.reverts, &mut self.memory) else {
            return;
        };
        let Some(commit) = revert::wanted(&memory.stored) else {
            memory.proposing = None;
            return;
        };
        if memory
            .proposing
            .as_ref()
            .is_some_and(|(known, _)| *known == commit)
        {
            return;
        }
        let (reverts, key, inbox) = (reverts.clone(), self.key.clone(), self.outbox.clone());
        let (status, failed) = (memory.stored.clone(), commit.clone());
        let task = tokio::spawn(async move {
            let proposal = reverts.propose(&key, &status, failed).await;
            // The worker is gone only when its Canary is.
            inbox.send(Nudge::Proposed(proposal)).ok();
        });
        memory.proposing = Some((commit, EndsWithUs(task.abort_handle())));
    }

    /// Looks at once at what levels that were brought about have changed: the answers to writes are in the
    /// cache. A level that does not stay is brought about again with growing pauses.
    fn after_effects(&mut self, mut effects: Vec<Effect>) -> Option<Next> {
        effects.retain(|effect| !matches!(effect, Effect::Ask(_)));
        let memory = self.memory.as_mut()?;
        let (last, times) = &mut memory.done;
        *times = if *last == effects {
            times.saturating_add(1)
        } else {
            0
        };
        *last = effects;
        match *times {
            _ if last.is_empty() => None,
            0 => Some(Next::Now),
            times => {
                let (canary, effects) = (&self.key, &*last);
                tracing::debug!(%canary, ?effects, times, "Does not stay as it was made.");
                Some(Next::At(Some(
                    Instant::now() + Duration::from_millis(250) * times.min(120),
                )))
            }
        }
    }

    /// Writes the status. Gives whether the server kept Serin's fields.
    async fn write_status(&mut self, status: Status) -> Result<bool, ClusterError> {
        let Some(memory) = &mut self.memory else {
            return Ok(false);
        };
        if !says_more(&memory.stored, &status) {
            return Ok(memory.proven);
        }
        let value = serde_json::to_value(&status).unwrap_or_default();
        let write = Write::Status {
            key: self.key.clone(),
            uid: memory.uid.clone(),
            resource_version: memory.version.clone(),
            status: value,
        };
        let object = self.shared.cluster.write(write).await?;
        memory.stored = status;
        let Some(object) = object else { return Ok(false) };
        object.resource_version().clone_into(&mut memory.version);
        Ok(object.at("/status/run").is_some())
    }

    /// Sends the events of the last status that has some; those of an earlier process too, under their names.
    async fn announce(&mut self, canary: &Canary) -> Result<(), ClusterError> {
        let Some(memory) = &mut self.memory else {
            return Ok(());
        };
        if memory.told == memory.stored.announced {
            return Ok(());
        }
        for news in &memory.stored.announced {
            if memory.told.contains(news) || self.shared.is_stale(news) {
                continue;
            }
            self.shared
                .cluster
                .write(crate::report::event(&self.key, &canary.uid, news))
                .await?;
            let (canary, reason) = (&self.key, news.reason.as_str());
            if news.warning {
                tracing::warn!(%canary, reason, "{}", news.text);
            } else {
                tracing::info!(%canary, reason, "{}", news.text);
            }
        }
        memory.told.clone_from(&memory.stored.announced);
        Ok(())
    }
}

/// Reads a status leniently: what cannot be read is as if it were not there.
fn read_status(object: &Object) -> Status {
    let Some(status) = object.at("/status").cloned() else {
        return Status::default();
    };
    serde_json::from_value(status).unwrap_or_else(|error| {
        let canary = object.key();
        tracing::warn!(%canary, %error, "The status cannot be read; taken as empty.");
        Status::default()
    })
}

/// Whether a status says more than the stored one: its time, and what forges were told, ride along.
fn says_more(stored: &Status, next: &Status) -> bool {
    let mut alike = next.clone();
    alike.last_transition_time = stored.last_transition_time;
    let marks = stored.commits.iter().map(|report| &report.delivered);
    for (report, delivered) in alike.commits.iter_mut().zip(marks) {
        report.delivered.clone_from(delivered);
    }
    alike != *stored
}

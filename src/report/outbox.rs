//! The outbox: makes what every forge shows equal to what is desired.
//!
//! Level-triggered: only the newest desired status of a context counts, however many there were before. Texts
//! that only tell progress wait for the forge's budget, ends do not. After a restart, what has no mark of
//! delivery is read back before it is posted. What to do is decided purely (`queue`); this file only does it.

mod queue;

use std::{
    future,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
};

use futures::{StreamExt, future::BoxFuture, stream::FuturesUnordered};
use jiff::Timestamp;
use tokio::sync::{Notify, watch};

use self::queue::{Action, Budget, Ending, Queue};
use super::{CommitStatus, Forge, ForgeError};
use crate::{clock::Clock, error::Classified, http::excerpt, repo::CommitId};

/// Desired statuses, and who brings them to the forges. Clones share everything.
#[derive(Clone, Debug)]
pub struct Outbox(Arc<Shared>);

#[derive(Debug)]
struct Shared {
    forges: Vec<Arc<dyn Forge>>,
    queue: Mutex<Queue>,
    clock: Clock,
    wake: Notify,
    changes: watch::Sender<u64>,
}

impl Outbox {
    /// Makes an empty outbox. Nothing is posted before [`Outbox::run`] runs.
    #[must_use]
    pub fn new(forges: Vec<Arc<dyn Forge>>, clock: Clock) -> Self {
        let names = forges.iter().map(|forge| forge.name().to_owned());
        let queue = Mutex::new(Queue::new(names));
        Self(Arc::new(Shared {
            forges,
            queue,
            clock,
            wake: Notify::new(),
            changes: watch::Sender::new(0),
        }))
    }

    /// Returns the forges that are told.
    #[must_use]
    pub fn forges(&self) -> &[Arc<dyn Forge>] {
        &self.0.forges
    }

    /// Says what the status of a context of a commit shall be. Saying the same again does nothing.
    pub fn set(&self, commit: &CommitId, status: CommitStatus) {
        self.lock().set(commit, status);
        self.0.wake.notify_one();
    }

    /// Says the same after a restart, with the marks of delivery that were kept ([`Outbox::marks`]). What has
    /// no mark may have been posted all the same: it is read back first.
    pub fn restore(&self, commit: &CommitId, status: CommitStatus, marks: &[String]) {
        self.lock().restore(commit, status, marks);
        self.0.wake.notify_one();
    }

    /// Tries a forge again at once that may do better now: what it is reached with has changed.
    pub fn retry(&self, forge: &str) {
        self.lock().retry(forge);
        self.0.wake.notify_one();
    }

    /// Returns the marks of what was delivered of a context of a commit, `<forge>=<digest>`, to be kept with
    /// what was desired.
    #[must_use]
    pub fn marks(&self, commit: &CommitId, context: &str) -> Vec<String> {
        self.lock().marks(commit, context)
    }

    /// Tells of each delivery: its number changes when a mark does.
    #[must_use]
    pub fn changes(&self) -> watch::Receiver<u64> {
        self.0.changes.subscribe()
    }

    /// Takes back what is desired of a context of a commit; false if a forge may have been told of it.
    #[must_use]
    pub fn take_back(&self, commit: &CommitId, context: &str) -> bool {
        self.lock().take_back(commit, context)
    }

    /// Whether a forge does not show yet what is desired of a commit.
    #[must_use]
    pub fn owes(&self, commit: &CommitId) -> bool {
        self.lock().owes(commit)
    }

    /// Whether every forge shows all that is desired, apart from what a forge will never take.
    #[must_use]
    pub fn is_settled(&self) -> bool {
        self.lock().is_settled()
    }

    /// Returns when the outbox is settled. Bound it by a timeout: a forge may be down.
    pub async fn settled(&self) {
        let mut changes = self.changes();
        while !self.is_settled() {
            if changes.changed().await.is_err() {
                return;
            }
        }
    }

    /// Delivers, for ever. Run it once; when it is dropped, delivering stops, and may be started anew.
    pub async fn run(&self) {
        self.lock().begin();
        let mut under_way: FuturesUnordered<BoxFuture<'_, (Action, Ending)>> = FuturesUnordered::new();
        loop {
            let now = self.0.clock.now();
            let (actions, wake_at) = self.decide(now);
            under_way.extend(actions.into_iter().map(|action| self.carry_out(action)));
            let timer = async {
                match wake_at {
                    Some(at) => tokio::time::sleep_until(self.0.clock.instant_of(at)).await,
                    None => future::pending().await,
                }
            };
            tokio::select! {
                biased;
                Some((action, ending)) = under_way.next() => self.finish(&action, ending),
                () = self.0.wake.notified() => {}
                () = timer => {}
            }
        }
    }

    fn decide(&self, now: Timestamp) -> (Vec<Action>, Option<Timestamp>) {
        let budgets = self.0.forges.iter().map(|forge| Budget {
            progress: forge.progress_interval(),
            rate: forge.rate(),
        });
        let mut queue = self.lock();
        queue.set_budgets(budgets);
        queue.decide(now)
    }

    fn carry_out(&self, action: Action) -> BoxFuture<'_, (Action, Ending)> {
        Box::pin(async move {
            let Some(forge) = self.0.forges.get(action.forge()) else {
                return (action, Ending::Posted);
            };
            let ending = match &action {
                Action::Post { commit, status, .. } => match forge.post(commit, status).await {
                    Ok(()) => Ending::Posted,
                    Err(error) => failed(forge.name(), commit, &error),
                },
                Action::Read { commit, .. } => match forge.read(commit).await {
                    Ok(statuses) => Ending::Read(statuses),
                    Err(error) => failed(forge.name(), commit, &error),
                },
            };
            (action, ending)
        })
    }

    fn finish(&self, action: &Action, ending: Ending) {
        if let (Action::Post { commit, status, .. }, Ending::Posted) = (action, &ending) {
            let (context, state) = (&status.context, status.state);
            let description = excerpt(&status.description, CommitStatus::DESCRIPTION);
            tracing::info!(%commit, context, %state, description, "Commit status posted.");
        }
        self.lock().finish(action, ending, self.0.clock.now());
        self.0.changes.send_modify(|count| *count = count.wrapping_add(1));
    }

    fn lock(&self) -> MutexGuard<'_, Queue> {
        self.0.queue.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

fn failed(forge: &str, commit: &CommitId, error: &ForgeError) -> Ending {
    let hint = error.hint().unwrap_or_default();
    tracing::warn!(forge, %commit, %error, hint, "Commit status not delivered.");
    Ending::Failed {
        class: error.class(),
        local: error.is_local(),
        last: error.is_final(),
        doubtful: error.is_doubtful(),
    }
}

#[cfg(test)]
mod tests;

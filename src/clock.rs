//! The one source of time. Timestamps are derived from tokio's clock, so that a runtime with a paused clock
//! (the embedded cluster in virtual time) sees the same time everywhere. Nothing else calls the system clock.

use std::time::Duration;

use jiff::{SignedDuration, Timestamp};
use tokio::{task::JoinError, time::Instant};

/// A clock that maps tokio's monotonic time to timestamps. Copies share the same origin.
#[derive(Clone, Copy, Debug)]
pub struct Clock {
    origin: Timestamp,
    started: Instant,
}

impl Clock {
    /// Starts a clock at the system's present time. Must be called inside a tokio runtime for paused time.
    #[must_use]
    pub fn system() -> Self {
        #[expect(
            clippy::disallowed_methods,
            reason = "this is the one place that reads the system clock"
        )]
        Self::starting_at(Timestamp::now())
    }

    /// Starts a clock at a given time; used by virtual time, where it makes runs repeatable.
    #[must_use]
    pub fn starting_at(origin: Timestamp) -> Self {
        Self {
            origin,
            started: Instant::now(),
        }
    }

    /// Returns the present time, in whole microseconds (what Kubernetes' MicroTime keeps).
    #[must_use]
    pub fn now(&self) -> Timestamp {
        let elapsed = SignedDuration::try_from(self.started.elapsed()).unwrap_or(SignedDuration::MAX);
        let now = self.origin.saturating_add(elapsed).unwrap_or(self.origin);
        Timestamp::from_microsecond(now.as_microsecond()).unwrap_or(now)
    }

    /// Returns the tokio instant at which `now()` will be `at`; the present instant for a time that has passed.
    #[must_use]
    pub fn instant_of(&self, at: Timestamp) -> Instant {
        let wait = at.duration_since(self.now());
        Instant::now() + std::time::Duration::try_from(wait).unwrap_or_default()
    }
}

/// Who waits for a thread. Under a paused clock answers are taken up in this order.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Turn {
    /// The watch of a checkout.
    Watch = 1,
    /// The source that reads git.
    Source = 2,
    /// The notes of a repository.
    Notes = 3,
    /// Whoever sets a stage.
    Stage = 4,
    /// Whoever proposes a revert.
    Revert = 5,
}

/// Runs work that blocks on a thread that may. The answer is taken up some milliseconds later: under a paused
/// clock everything else has come to rest by then, so that nothing depends on how fast a thread was. A task of
/// its own waits for the thread: who asked is not woken, and so not moved in the queue of tasks, before that.
pub async fn off_thread<T: Send + 'static>(
    turn: Turn,
    work: impl FnOnce() -> T + Send + 'static,
) -> Result<T, JoinError> {
    let waiting = tokio::spawn(async move {
        let answer = tokio::task::spawn_blocking(work).await;
        tokio::time::sleep(Duration::from_millis(turn as u64)).await;
        answer
    });
    waiting.await.flatten()
}

//! Tells when a checkout has a new revision. Looking is the truth; what makes us look (file events, a poll, an
//! explicit trigger) is only a hint. An absence is believed only when it is seen twice.

use std::{sync::Arc, time::Duration};

use tokio::{sync::Notify, task::JoinHandle, time};

use crate::{clock, error::Classified as _};

use super::{RepoError, Repository, Revision, watcher::Watcher};

/// How long file events may gather before we look; a `git pull` makes dozens.
const GATHER: Duration = Duration::from_millis(50);
/// How long after a failed look the second one follows: links flip, files are replaced.
const AGAIN: Duration = Duration::from_millis(500);

/// What makes a watch look.
#[derive(Clone, Debug)]
pub enum Hints {
    /// File events, and a poll because events get lost.
    Files {
        /// How often to look without events.
        poll: Duration,
    },
    /// Only a poll.
    Poll(Duration),
    /// A remote is asked again and again; between two questions only a trigger makes us ask.
    Remote(Pace),
    /// Only an explicit trigger; touches neither files nor timers, so virtual time holds.
    Trigger(Trigger),
}

/// How often a remote is asked: at an interval that differs a little each time and from source to source, so that
/// many do not ask at once; ever more seldom while it does not answer.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Pace {
    interval: Duration,
    seed: u64,
}

impl Pace {
    /// The longest pause after failures, unless the interval is longer.
    const SLOWEST: Duration = Duration::from_secs(300);

    /// Makes a pace; `name` tells this source from others.
    #[must_use]
    pub fn new(interval: Duration, name: &str) -> Self {
        // FNV-1a: the same on every machine and in every run.
        let seed = name.bytes().fold(0xcbf2_9ce4_8422_2325, |hash: u64, byte| {
            (hash ^ u64::from(byte)).wrapping_mul(0x100_0000_01b3)
        });
        Self { interval, seed }
    }

    /// The pause before question `round`, after so many failures in a row: within a tenth of what was asked for.
    fn pause(self, round: u64, failures: u32) -> Duration {
        let slowest = Self::SLOWEST.max(self.interval);
        let base = self.interval.saturating_mul(1 << failures.min(16)).min(slowest);
        let mixed = (self.seed ^ round).wrapping_mul(0x9e37_79b9_7f4a_7c15);
        let thousandths = 900 + u32::try_from((mixed >> 32) % 200).unwrap_or_default();
        base.saturating_mul(thousandths) / 1000
    }
}

impl Hints {
    /// The trigger that makes a watch with these hints look.
    #[must_use]
    pub fn trigger(&self) -> Trigger {
        match self {
            Self::Trigger(trigger) => trigger.clone(),
            Self::Files { .. } | Self::Poll(_) | Self::Remote(_) => Trigger::default(),
        }
    }
}

/// Makes a watch look now. Cheap to clone; may fire before the watch starts.
#[derive(Clone, Debug, Default)]
pub struct Trigger(Arc<Notify>);

impl Trigger {
    /// Makes the watch look. Several calls before it does are one.
    pub fn fire(&self) {
        self.0.notify_one();
    }
}

/// What a watch saw.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Update {
    /// The newest revision, which differs from the one that was reported before.
    Revision(Revision),
    /// The checkout cannot be read; reported once until it changes.
    Fault(RepoError),
}

/// A running watch. Ends when it is dropped.
#[derive(Debug)]
pub struct Watch {
    updates: tokio::sync::watch::Receiver<Option<Update>>,
    task: JoinHandle<()>,
}

impl Watch {
    /// Starts to watch a checkout. The first update is its present revision. Must be called in a tokio runtime.
    #[must_use]
    pub fn start(repository: Arc<dyn Repository>, hints: Hints) -> Self {
        let trigger = hints.trigger();
        Self::start_with(repository, hints, trigger)
    }

    /// Starts to watch a checkout; the trigger makes it look, beside its hints.
    #[must_use]
    pub fn start_with(repository: Arc<dyn Repository>, hints: Hints, trigger: Trigger) -> Self {
        let (sender, updates) = tokio::sync::watch::channel(None);
        let task = tokio::spawn(run(repository, hints, trigger, sender));
        Self { updates, task }
    }

    /// Waits for the next update. Only the newest is kept: revisions that were replaced meanwhile are skipped.
    /// Returns `None` if the watch has ended. Cancel safe.
    pub async fn next(&mut self) -> Option<Update> {
        self.updates.changed().await.ok()?;
        self.updates.borrow_and_update().clone()
    }
}

impl Drop for Watch {
    fn drop(&mut self) {
        self.task.abort();
    }
}

async fn run(
    repository: Arc<dyn Repository>,
    hints: Hints,
    trigger: Trigger,
    sender: tokio::sync::watch::Sender<Option<Update>>,
) {
    let by_files = matches!(hints, Hints::Files { .. });
    let mut watcher = None;
    let mut last = None;
    let mut remote = Refreshing::default();
    loop {
        if by_files && watcher.is_none() {
            // Before the look, so that nothing falls between the two.
            watcher = Some(watch_files(&repository, &trigger).await);
        }
        let (seen, was_away) = look_twice(&repository).await;
        if last.as_ref() == Some(&seen) {
            if was_away && by_files {
                // What was away while we began to watch is not watched.
                watcher = None;
                continue;
            }
        } else {
            last = Some(seen.clone());
            if sender.send(Some(seen)).is_err() {
                return;
            }
            // What has to be watched may have moved with it.
            watcher = None;
            if by_files {
                continue;
            }
        }
        let pause = match &hints {
            Hints::Files { poll } | Hints::Poll(poll) => Some(*poll),
            // What is there already comes first.
            Hints::Remote(_) if remote.round == 0 => Some(Duration::ZERO),
            Hints::Remote(pace) => Some(pace.pause(remote.round, remote.failures)),
            Hints::Trigger(_) => None,
        };
        let hinted = tokio::select! {
            biased;
            () = trigger.0.notified() => true,
            () = sleep_or_never(pause) => false,
        };
        if hinted && by_files {
            time::sleep(GATHER).await;
        }
        if matches!(hints, Hints::Remote(_)) {
            remote.refresh(&repository).await;
        }
    }
}

/// Where the questions to a remote have got to.
#[derive(Default)]
struct Refreshing {
    round: u64,
    failures: u32,
    fault: Option<RepoError>,
}

impl Refreshing {
    /// Asks, and tells of a fault once until it changes. What was there before stays in force.
    async fn refresh(&mut self, repository: &Arc<dyn Repository>) {
        self.round += 1;
        let asked = on_thread(repository, |repository| repository.refresh()).await;
        let source = repository.name();
        match &asked {
            Ok(()) if self.fault.is_some() => tracing::info!(source, "The remote answers again."),
            Err(error) if self.fault.as_ref() != Some(error) => {
                let hint = error.hint().unwrap_or_default();
                tracing::warn!(source, %error, hint, "Cannot fetch; the last revision stays in force.");
            }
            _ => {}
        }
        self.failures = asked.as_ref().map_or(self.failures.saturating_add(1), |()| 0);
        self.fault = asked.err();
    }
}

async fn sleep_or_never(poll: Option<Duration>) {
    match poll {
        Some(poll) => time::sleep(poll).await,
        None => std::future::pending().await,
    }
}

/// Looks, and once more if there was nothing to see; tells whether the checkout came back meanwhile.
async fn look_twice(repository: &Arc<dyn Repository>) -> (Update, bool) {
    if let Ok(revision) = look(repository).await {
        return (Update::Revision(revision), false);
    }
    time::sleep(AGAIN).await;
    match look(repository).await {
        Ok(revision) => (Update::Revision(revision), true),
        Err(error) => (Update::Fault(error), false),
    }
}

async fn look(repository: &Arc<dyn Repository>) -> Result<Revision, RepoError> {
    on_thread(repository, |repository| repository.newest()).await
}

async fn on_thread<T: Send + 'static>(
    repository: &Arc<dyn Repository>,
    ask: impl FnOnce(&dyn Repository) -> Result<T, RepoError> + Send + 'static,
) -> Result<T, RepoError> {
    let reader = Arc::clone(repository);
    clock::off_thread(clock::Turn::Watch, move || ask(&*reader))
        .await
        .unwrap_or_else(|error| {
            Err(RepoError::Other {
                dir: repository.name().into(),
                message: error.to_string(),
            })
        })
}

async fn watch_files(repository: &Arc<dyn Repository>, trigger: &Trigger) -> Option<Watcher> {
    let (repository, trigger) = (Arc::clone(repository), trigger.clone());
    tokio::task::spawn_blocking(move || Watcher::new(&*repository, trigger))
        .await
        .ok()
        .flatten()
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::symlink;

    use super::*;
    use crate::repo::{
        Checkout, Options,
        testing::{Repo, git},
    };

    /// Long enough that only the hint under test can be the reason.
    const NEVER: Duration = Duration::from_secs(3600);

    async fn next(watch: &mut Watch) -> Update {
        time::timeout(Duration::from_secs(20), watch.next())
            .await
            .expect("an update in time")
            .unwrap()
    }

    fn id(update: &Update) -> &str {
        match update {
            Update::Revision(revision) => revision.id.as_str(),
            Update::Fault(error) => panic!("{error}"),
        }
    }

    #[tokio::test]
    async fn file_events_tell_of_commits_resets_and_packed_refs() {
        let repo = Repo::new();
        let first = repo.commit(&[("a", "1")]);
        let mut watch = Watch::start(Arc::new(repo.checkout("")), Hints::Files { poll: NEVER });
        assert_eq!(id(&next(&mut watch).await), first.as_str());
        let second = repo.commit(&[("a", "2")]);
        assert_eq!(id(&next(&mut watch).await), second.as_str());
        repo.git(&["pack-refs", "--all"]);
        let third = repo.commit(&[("a", "3")]);
        assert_eq!(id(&next(&mut watch).await), third.as_str());
        repo.git(&["reset", "-q", "--hard", first.as_str()]);
        assert_eq!(id(&next(&mut watch).await), first.as_str());
    }

    #[tokio::test]
    async fn file_events_tell_of_a_pull_and_of_a_branch_switch() {
        let upstream = Repo::new();
        upstream.commit(&[("a", "1")]);
        let clone = tempfile::tempdir().unwrap();
        git(
            clone.path(),
            &["clone", "-q", &upstream.dir().display().to_string(), "."],
        );
        let checkout = Arc::new(crate::repo::testing::open(clone.path(), ""));
        let mut watch = Watch::start(checkout, Hints::Files { poll: NEVER });
        next(&mut watch).await;
        let second = upstream.commit(&[("a", "2")]);
        git(clone.path(), &["pull", "-q"]);
        assert_eq!(id(&next(&mut watch).await), second.as_str());
        git(clone.path(), &["checkout", "-q", "-b", "other"]);
        assert!(
            matches!(next(&mut watch).await, Update::Revision(Revision { branch, .. }) if branch == "other")
        );
    }

    #[tokio::test]
    async fn a_link_that_flips_to_another_work_tree_is_followed() {
        let repo = Repo::new();
        let first = repo.commit(&[("a", "1")]);
        let root = tempfile::tempdir().unwrap();
        let tree = |name: &str| root.path().join(".worktrees").join(name);
        let add = |id: &str| {
            repo.git(&[
                "worktree",
                "add",
                "-q",
                "--detach",
                tree(id).to_str().unwrap(),
                id,
            ])
        };
        let flip = |id: &str| {
            symlink(format!(".worktrees/{id}"), root.path().join("tmp-link")).unwrap();
            std::fs::rename(root.path().join("tmp-link"), root.path().join("link")).unwrap();
        };
        add(first.as_str());
        flip(first.as_str());
        let options = Options {
            branch: Some("main".into()),
            path: String::new(),
        };
        let checkout = Arc::new(Checkout::open(root.path().join("link"), options).unwrap());
        let mut watch = Watch::start(checkout.clone(), Hints::Files { poll: NEVER });
        assert_eq!(id(&next(&mut watch).await), first.as_str());

        let second = repo.commit(&[("a", "2")]);
        add(second.as_str());
        flip(second.as_str());
        std::fs::remove_dir_all(tree(first.as_str())).unwrap();
        let Update::Revision(revision) = next(&mut watch).await else {
            panic!("a fault")
        };
        assert_eq!(revision.to_string(), format!("main@sha1:{second}"));
        assert_eq!(checkout.tree(&second).unwrap().files.size(), 1);
    }

    #[tokio::test]
    async fn without_events_the_poll_finds_it() {
        let repo = Repo::new();
        repo.commit(&[("a", "1")]);
        let checkout = Arc::new(repo.checkout(""));
        let mut watch = Watch::start(checkout, Hints::Poll(Duration::from_millis(20)));
        next(&mut watch).await;
        let second = repo.commit(&[("a", "2")]);
        assert_eq!(id(&next(&mut watch).await), second.as_str());
    }

    #[tokio::test]
    async fn a_checkout_that_is_away_for_a_moment_is_no_fault_and_one_that_stays_away_is_one() {
        let root = tempfile::tempdir().unwrap();
        let repo = Repo::new();
        repo.commit(&[("a", "1")]);
        let link = root.path().join("link");
        symlink(repo.dir(), &link).unwrap();
        let checkout = Arc::new(Checkout::open(&link, Options::default()).unwrap());
        let trigger = Trigger::default();
        let mut watch = Watch::start(checkout, Hints::Trigger(trigger.clone()));
        next(&mut watch).await;

        std::fs::remove_file(&link).unwrap();
        trigger.fire();
        time::sleep(AGAIN / 5).await;
        symlink(repo.dir(), &link).unwrap();
        assert!(
            time::timeout(AGAIN * 2, watch.next()).await.is_err(),
            "nothing to tell"
        );

        std::fs::remove_file(&link).unwrap();
        trigger.fire();
        assert!(matches!(
            next(&mut watch).await,
            Update::Fault(RepoError::NoDirectory { .. })
        ));
        symlink(repo.dir(), &link).unwrap();
        trigger.fire();
        assert!(matches!(next(&mut watch).await, Update::Revision(_)));
    }

    #[test]
    fn the_pace_differs_from_source_to_source_and_slows_down_while_nobody_answers() {
        let minute = Duration::from_secs(60);
        let (one, other) = (Pace::new(minute, "https://h/a"), Pace::new(minute, "https://h/b"));
        let pauses = |pace: Pace| (0..50).map(|round| pace.pause(round, 0)).collect::<Vec<_>>();
        assert_eq!(
            pauses(one),
            pauses(Pace::new(minute, "https://h/a")),
            "repeatable"
        );
        assert_ne!(pauses(one), pauses(other));
        let bounds = minute * 9 / 10..=minute * 11 / 10;
        assert!(pauses(one).iter().all(|pause| bounds.contains(pause)));
        assert!(one.pause(1, 1) > one.pause(1, 0) && one.pause(1, 2) > one.pause(1, 1));
        assert!(one.pause(1, u32::MAX) <= Pace::SLOWEST * 11 / 10);
        let hourly = Pace::new(minute * 60, "x");
        assert!(hourly.pause(1, 9) >= minute * 54);
    }

    #[tokio::test(start_paused = true)]
    async fn a_trigger_works_in_virtual_time_and_tells_only_of_changes() {
        let repo = Repo::new();
        repo.commit(&[("a", "1")]);
        let trigger = Trigger::default();
        let mut watch = Watch::start(Arc::new(repo.checkout("")), Hints::Trigger(trigger.clone()));
        next(&mut watch).await;
        trigger.fire();
        assert!(
            time::timeout(Duration::from_secs(60), watch.next())
                .await
                .is_err()
        );
        let second = repo.commit(&[("a", "2")]);
        assert!(
            time::timeout(NEVER, watch.next()).await.is_err(),
            "nobody looks without a trigger"
        );
        trigger.fire();
        assert_eq!(id(&next(&mut watch).await), second.as_str());
    }
}

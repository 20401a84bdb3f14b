//! A forge for tests that keeps a diary.

use std::{
    collections::BTreeMap,
    sync::{Arc, Mutex, MutexGuard},
    time::Duration,
};

use futures::{FutureExt, future::BoxFuture};

use super::{CommitState, CommitStatus, Forge, ForgeError, Rate};
use crate::{clock::Clock, repo::CommitId};

/// A forge that notes when it was asked what, and refuses as it is told.
#[derive(Debug)]
pub(crate) struct Diary {
    name: &'static str,
    clock: Clock,
    started: jiff::Timestamp,
    inner: Mutex<Inner>,
    latency: Duration,
}

#[derive(Debug, Default)]
struct Inner {
    lines: Vec<String>,
    shown: BTreeMap<(CommitId, String), CommitStatus>,
    taken: Vec<(CommitId, CommitStatus)>,
    refusals: Vec<ForgeError>,
    down: bool,
    /// So many posts are taken whose answers are lost.
    loses: usize,
    rate: Option<Rate>,
}

impl Diary {
    pub(crate) fn new(name: &'static str, latency_ms: u64) -> Arc<Self> {
        let clock = clock();
        Arc::new(Self {
            name,
            clock,
            started: clock.now(),
            inner: Mutex::default(),
            latency: Duration::from_millis(latency_ms),
        })
    }

    fn inner(&self) -> MutexGuard<'_, Inner> {
        self.inner.lock().unwrap()
    }

    fn enter(&self, line: &str) -> Result<(), ForgeError> {
        let at = self.clock.now().duration_since(self.started).as_millis();
        let mut inner = self.inner();
        inner.lines.push(format!("{at} {line}"));
        if inner.down {
            return Err(unavailable(None));
        }
        inner.refusals.pop().map_or(Ok(()), Err)
    }

    pub(crate) fn refuse(&self, error: ForgeError, times: usize) {
        self.inner().refusals = vec![error; times];
    }

    pub(crate) fn set_down(&self, down: bool) {
        self.inner().down = down;
    }

    pub(crate) fn lose_answers(&self, times: usize) {
        self.inner().loses = times;
    }

    pub(crate) fn limit(&self, rate: Rate) {
        self.inner().rate = Some(rate);
    }

    pub(crate) fn lines(&self) -> Vec<String> {
        std::mem::take(&mut self.inner().lines)
    }

    /// Every post that was taken, in order.
    pub(crate) fn taken(&self) -> Vec<(CommitId, CommitStatus)> {
        self.inner().taken.clone()
    }

    /// The newest status of each commit and context.
    pub(crate) fn shown(&self) -> BTreeMap<(CommitId, String), CommitStatus> {
        self.inner().shown.clone()
    }

    /// Makes it show what nobody has posted here.
    pub(crate) fn show(&self, commit: &CommitId, status: CommitStatus) {
        let key = (commit.clone(), status.context.clone());
        self.inner().shown.insert(key, status);
    }

    pub(crate) fn shows(&self, commit: &CommitId) -> Vec<String> {
        let shown = self.shown();
        let of_commit = shown.iter().filter(|((of, _), _)| of == commit);
        of_commit
            .map(|(_, status)| format!("{} {} {}", status.context, status.state, status.description))
            .collect()
    }
}

impl Forge for Diary {
    fn name(&self) -> &str {
        self.name
    }

    fn post<'a>(
        &'a self,
        commit: &'a CommitId,
        status: &'a CommitStatus,
    ) -> BoxFuture<'a, Result<(), ForgeError>> {
        async move {
            tokio::time::sleep(self.latency).await;
            let digit = commit.as_str().chars().next().unwrap();
            self.enter(&format!("post {digit} {} {}", status.context, status.description))?;
            self.show(commit, status.clone());
            let mut inner = self.inner();
            inner.taken.push((commit.clone(), status.clone()));
            if inner.loses > 0 {
                inner.loses -= 1;
                return Err(unavailable(None));
            }
            Ok(())
        }
        .boxed()
    }

    fn read<'a>(&'a self, commit: &'a CommitId) -> BoxFuture<'a, Result<Vec<CommitStatus>, ForgeError>> {
        async move {
            tokio::time::sleep(self.latency).await;
            self.enter(&format!("read {}", &commit.as_str()[..1]))?;
            let shown = self.shown();
            let of_commit = shown.into_iter().filter(|((of, _), _)| of == commit);
            Ok(of_commit.map(|(_, status)| status).collect())
        }
        .boxed()
    }

    fn progress_interval(&self) -> Duration {
        Duration::from_secs(10)
    }

    fn rate(&self) -> Option<Rate> {
        self.inner().rate
    }
}

pub(crate) fn clock() -> Clock {
    Clock::starting_at("2026-11-22T03:00:00Z".parse().unwrap())
}

pub(crate) fn commit(digit: char) -> CommitId {
    digit.to_string().repeat(40).parse().unwrap()
}

pub(crate) fn said(context: &str, state: CommitState, text: &str) -> CommitStatus {
    CommitStatus::new(context, state, text)
}

pub(crate) fn unavailable(retry_after: Option<u64>) -> ForgeError {
    ForgeError::Unavailable {
        forge: "a".to_owned(),
        text: "down".to_owned(),
        retry_after: retry_after.map(Duration::from_secs),
    }
}

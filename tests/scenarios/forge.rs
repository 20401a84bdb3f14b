//! A forge that writes down what it is told, as people would see it on a commit.

use std::{
    collections::BTreeMap,
    sync::{
        Arc, Mutex,
        atomic::{AtomicBool, Ordering},
    },
    time::Duration,
};

use futures::{FutureExt, future::BoxFuture};
use serin::{
    repo::CommitId,
    report::{CommitStatus, Draft, Forge, ForgeError, NewPullRequest, PullRequest, PullRequests},
};

use crate::transcript::Transcript;

/// Statuses by commit and context.
pub(crate) type Statuses = BTreeMap<CommitId, BTreeMap<String, CommitStatus>>;

#[derive(Clone, Debug)]
pub(crate) struct Recorder {
    transcript: Transcript,
    statuses: Arc<Mutex<Statuses>>,
    down: Arc<AtomicBool>,
}

impl Recorder {
    pub(crate) fn new(transcript: Transcript) -> Self {
        Self {
            transcript,
            statuses: Arc::default(),
            down: Arc::default(),
        }
    }

    pub(crate) fn set_down(&self, down: bool) {
        self.down.store(down, Ordering::Relaxed);
    }

    fn answers(&self) -> Result<(), ForgeError> {
        if self.down.load(Ordering::Relaxed) {
            return Err(ForgeError::Unavailable {
                forge: "recorder".to_owned(),
                text: "down".to_owned(),
                retry_after: None,
            });
        }
        Ok(())
    }

    pub(crate) fn statuses(&self) -> Statuses {
        self.statuses.lock().unwrap().clone()
    }
}

impl Forge for Recorder {
    fn name(&self) -> &'static str {
        "recorder"
    }

    fn post<'a>(
        &'a self,
        commit: &'a CommitId,
        status: &'a CommitStatus,
    ) -> BoxFuture<'a, Result<(), ForgeError>> {
        async move {
            self.answers()?;
            let message = self.transcript.name_of(commit.as_str());
            let text = self.transcript.named(&status.description);
            self.transcript.said(&format!(
                "{message}: {} {} \"{text}\"",
                status.context, status.state
            ));
            let mut statuses = self.statuses.lock().unwrap();
            let contexts = statuses.entry(commit.clone()).or_default();
            contexts.insert(status.context.clone(), status.clone());
            Ok(())
        }
        .boxed()
    }

    fn read<'a>(&'a self, commit: &'a CommitId) -> BoxFuture<'a, Result<Vec<CommitStatus>, ForgeError>> {
        async move {
            self.answers()?;
            let statuses = self.statuses.lock().unwrap();
            let contexts = statuses.get(commit).cloned().unwrap_or_default();
            Ok(contexts.into_values().collect())
        }
        .boxed()
    }

    fn progress_interval(&self) -> Duration {
        Duration::ZERO
    }

    fn pull_requests(&self) -> Option<&dyn PullRequests> {
        Some(self)
    }
}

impl PullRequests for Recorder {
    fn open<'a>(&'a self, request: &'a NewPullRequest) -> BoxFuture<'a, Result<PullRequest, ForgeError>> {
        async move {
            let text = self.transcript.named(&format!(
                "{} to {}: {}",
                request.head, request.base, request.title
            ));
            self.transcript.said(&format!("pull request of {text}"));
            for line in self
                .transcript
                .named(&request.body)
                .lines()
                .filter(|line| !line.is_empty())
            {
                self.transcript.said(&format!("  {line}"));
            }
            Ok(PullRequest {
                number: 1,
                url: "http://forge/pulls/1".to_owned(),
            })
        }
        .boxed()
    }

    fn of_commit<'a>(&'a self, _: &'a CommitId) -> BoxFuture<'a, Result<Vec<u64>, ForgeError>> {
        async { Ok(Vec::new()) }.boxed()
    }

    fn upsert_comment<'a>(
        &'a self,
        _: u64,
        _: &'a str,
        _: &'a Draft<'a>,
    ) -> BoxFuture<'a, Result<(), ForgeError>> {
        async { Ok(()) }.boxed()
    }
}

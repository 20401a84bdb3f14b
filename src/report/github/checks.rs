//! Check runs: one per commit and context, made once and then changed in place, with a page of their own.

use std::{
    collections::BTreeMap,
    sync::{Mutex, PoisonError},
};

use ::http::Method;
use serde::Deserialize;
use serde_json::{Value, json};

use super::pages;
use crate::{
    repo::CommitId,
    report::{
        CommitState, CommitStatus, ForgeError,
        api::Api,
        status::{plain, spoken},
    },
};

/// How many runs are remembered; one that is forgotten is looked up again.
const REMEMBERED: usize = 1000;

/// The check runs of a repository.
#[derive(Debug)]
pub(super) struct Checks {
    api: Api,
    known: Mutex<BTreeMap<(CommitId, String), Run>>,
}

#[derive(Clone, Debug, Deserialize)]
struct Run {
    id: u64,
    #[serde(default)]
    name: String,
    /// We put the context here, too: other Apps have runs of their own.
    #[serde(default)]
    external_id: Option<String>,
    status: String,
    #[serde(default)]
    conclusion: Option<String>,
    #[serde(default)]
    details_url: Option<String>,
    #[serde(default)]
    output: Output,
}

#[derive(Clone, Debug, Default, Deserialize)]
struct Output {
    #[serde(default)]
    title: Option<String>,
}

impl Checks {
    pub(super) fn new(api: Api) -> Self {
        Self {
            api,
            known: Mutex::default(),
        }
    }

    pub(super) async fn post(&self, commit: &CommitId, status: &CommitStatus) -> Result<(), ForgeError> {
        let body = body(commit, status);
        let response = match self.find(commit, &status.context).await? {
            // A run that has ended stays: what begins anew is a run of its own.
            Some(run) if run.status != "completed" || status.state.is_terminal() => {
                let id = run.id.to_string();
                let path = ["check-runs", id.as_str()];
                self.api.send(Method::PATCH, &path, &[], Some(&body)).await?
            }
            _ => self.api.post(&["check-runs"], &body).await?,
        };
        if !response.is_success() {
            self.remember(commit, &status.context, None);
            return Err(self.api.refusal_of(commit, &response).await);
        }
        let run: Run = self.api.parse(&response, "check run")?;
        self.remember(commit, &status.context, Some(run));
        Ok(())
    }

    async fn find(&self, commit: &CommitId, context: &str) -> Result<Option<Run>, ForgeError> {
        let key = (commit.clone(), context.to_owned());
        let known = self
            .known
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .get(&key)
            .cloned();
        if known.is_some() {
            return Ok(known);
        }
        let runs = self.list(commit, &[("check_name", context)]).await?;
        Ok(runs.into_iter().find(|run| run.name == context))
    }

    /// Lists our newest runs.
    async fn list(&self, commit: &CommitId, query: &[(&str, &str)]) -> Result<Vec<Run>, ForgeError> {
        let path = ["commits", commit.as_str(), "check-runs"];
        let query = [query, &[("filter", "latest")]].concat();
        let mut runs: Vec<Run> = self
            .api
            .list_of(commit, &path, &query, pages(Some("check_runs")))
            .await?;
        runs.retain(|run| run.external_id.as_ref() == Some(&run.name));
        runs.sort_by_key(|run| std::cmp::Reverse(run.id));
        Ok(runs)
    }

    fn remember(&self, commit: &CommitId, context: &str, run: Option<Run>) {
        let mut known = self.known.lock().unwrap_or_else(PoisonError::into_inner);
        let key = (commit.clone(), context.to_owned());
        match run {
            Some(run) => {
                if known.len() >= REMEMBERED {
                    known.clear();
                }
                known.insert(key, run);
            }
            None => drop(known.remove(&key)),
        }
    }

    pub(super) async fn read(&self, commit: &CommitId) -> Result<Vec<CommitStatus>, ForgeError> {
        let mut by_context: BTreeMap<String, CommitStatus> = BTreeMap::new();
        for run in self.list(commit, &[]).await? {
            by_context.entry(run.name.clone()).or_insert_with(|| run.status());
        }
        Ok(by_context.into_values().collect())
    }
}

fn body(commit: &CommitId, status: &CommitStatus) -> Value {
    let mut body = json!({
        "name": status.context,
        "head_sha": commit.as_str(),
        "external_id": status.context,
        "output": {
            "title": spoken(status),
            // GitHub wants a summary, and takes 65535 characters.
            "summary": status.detail.as_deref().unwrap_or(&status.description),
        },
    });
    let Some(fields) = body.as_object_mut() else {
        return body;
    };
    match status.state {
        CommitState::Pending => drop(fields.insert("status".to_owned(), "in_progress".into())),
        ended => {
            let conclusion = if ended == CommitState::Success {
                "success"
            } else {
                "failure"
            };
            fields.insert("status".to_owned(), "completed".into());
            fields.insert("conclusion".to_owned(), conclusion.into());
        }
    }
    if let Some(url) = &status.target_url {
        fields.insert("details_url".to_owned(), url.as_str().into());
    }
    body
}

impl Run {
    fn status(&self) -> CommitStatus {
        let title = self.output.title.as_deref().unwrap_or_default();
        let state = match (self.status.as_str(), self.conclusion.as_deref()) {
            ("completed", Some("success" | "neutral" | "skipped")) => CommitState::Success,
            ("completed", Some("failure" | "timed_out")) => CommitState::Failure,
            ("completed", _) => CommitState::Error,
            _ => CommitState::Pending,
        };
        plain(&self.name, state, title).with_url(self.details_url.clone())
    }
}

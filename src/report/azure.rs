//! Commit statuses of Azure DevOps, by its API. A status is found again by its genre and name.

mod pulls;

use std::{collections::BTreeMap, time::Duration};

use serde::Deserialize;
use serde_json::json;

use super::{
    CommitState, CommitStatus, Forge, ForgeError, PullRequests, Remote,
    api::{self, Api, By, Pages, Scheme},
    forge::post_and_read,
};
use crate::repo::CommitId;

const PAGES: Pages = Pages {
    name: "top",
    size: 100,
    by: By::Skip("skip"),
    field: Some("value"),
};

/// One repository on Azure DevOps.
#[derive(Debug)]
pub struct AzureDevOps {
    api: Api,
    /// Where people look.
    site: String,
}

#[derive(Deserialize)]
struct Row {
    #[serde(default)]
    id: u64,
    state: String,
    #[serde(default)]
    description: Option<String>,
    #[serde(default, rename = "targetUrl")]
    target_url: Option<String>,
    context: Context,
}

#[derive(Deserialize)]
struct Context {
    #[serde(default)]
    genre: Option<String>,
    name: String,
}

impl AzureDevOps {
    /// The name of this forge in `--status`.
    pub const NAME: &'static str = "azuredevops";
    /// The address if none is given.
    pub const URL: &'static str = "https://dev.azure.com";

    /// Makes the forge of one repository, `[ORGANIZATION/]PROJECT/NAME`; `_git`, as in addresses to clone from,
    /// is not part of it.
    pub fn new(remote: Remote) -> Result<Self, ForgeError> {
        let given = remote.repository.clone();
        let segments = given.trim_matches('/').split('/');
        let path: Vec<&str> = segments.filter(|segment| *segment != "_git").collect();
        let refuse = || api::no_repository(Self::NAME, &given, "ORGANIZATION/PROJECT/NAME");
        let [project @ .., name] = path.as_slice() else {
            return Err(refuse());
        };
        // Projects may have spaces in their names.
        let is_segment = |text: &&str| {
            !matches!(*text, "" | "." | "..") && !text.chars().any(|c| c.is_control() || "\\?#%".contains(c))
        };
        if project.is_empty() || !path.iter().all(is_segment) {
            return Err(refuse());
        }
        let remote = Remote {
            repository: path.join("/"),
            ..remote
        };
        let root = [project, &["_apis", "git", "repositories", name]].concat();
        Ok(Self {
            site: api::page(&remote.url, &[project, &["_git", name]].concat()),
            api: Api {
                // The newest that Azure DevOps Server 2022 knows, too.
                query: &[("api-version", "7.0")],
                about_commit: |status, text| status == 404 && text.contains("commit"),
                leads_to_sign_in: true,
                ..Api::new(Self::NAME, Scheme::Password, &root, remote)?
            },
        })
    }

    async fn post_one(&self, commit: &CommitId, status: &CommitStatus) -> Result<(), ForgeError> {
        let (genre, name) = genre_and_name(&status.context);
        let body = json!({
            "state": match status.state {
                CommitState::Pending => "pending",
                CommitState::Success => "succeeded",
                CommitState::Failure => "failed",
                CommitState::Error => "error",
            },
            "description": status.description,
            "targetUrl": status.target_url,
            "context": { "genre": genre, "name": name },
        });
        let path = ["commits", commit.as_str(), "statuses"];
        let response = self.api.post(&path, &body).await?;
        if response.is_success() {
            return Ok(());
        }
        Err(self.api.refusal_of(commit, &response).await)
    }

    async fn read_all(&self, commit: &CommitId) -> Result<Vec<CommitStatus>, ForgeError> {
        let path = ["commits", commit.as_str(), "statuses"];
        let query = [("latestOnly", "true")];
        let mut rows: Vec<Row> = self.api.list_of(commit, &path, &query, PAGES).await?;
        rows.sort_by_key(|row| row.id);
        let by_context: BTreeMap<String, CommitStatus> = rows
            .into_iter()
            .map(Row::said)
            .map(|status| (status.context.clone(), status))
            .collect();
        Ok(by_context.into_values().collect())
    }
}

/// Splits a context at its first slash; one without has no genre.
fn genre_and_name(context: &str) -> (Option<&str>, &str) {
    match context.split_once('/') {
        Some((genre, name)) => (Some(genre), name),
        None => (None, context),
    }
}

impl Row {
    fn said(self) -> CommitStatus {
        let state = match self.state.as_str() {
            "succeeded" | "notApplicable" | "partiallySucceeded" => CommitState::Success,
            "failed" => CommitState::Failure,
            "error" => CommitState::Error,
            _ => CommitState::Pending,
        };
        let genre = self.context.genre.filter(|genre| !genre.is_empty());
        let context = match genre {
            Some(genre) => format!("{genre}/{}", self.context.name),
            None => self.context.name,
        };
        let url = self.target_url.filter(|url| !url.is_empty());
        CommitStatus::new(&context, state, &self.description.unwrap_or_default()).with_url(url)
    }
}

impl Forge for AzureDevOps {
    fn name(&self) -> &str {
        Self::NAME
    }

    post_and_read!();

    fn progress_interval(&self) -> Duration {
        api::PROGRESS
    }

    fn pull_requests(&self) -> Option<&dyn PullRequests> {
        Some(self)
    }
}

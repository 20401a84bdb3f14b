//! Commit statuses of Bitbucket Data Center (and Server), by its API: builds, found again by their key.

mod pulls;

use std::{collections::BTreeMap, time::Duration};

use serde::Deserialize;
use serde_json::{Value, json};

use super::{
    CommitState, CommitStatus, Forge, ForgeError, PullRequests, Remote,
    api::{self, Api, By, Pages, Scheme},
    forge::post_and_read,
    status::{plain, spoken},
};
use crate::repo::CommitId;

/// Greatest length of an address.
const URL: usize = 450;

const PAGES: Pages = Pages {
    name: "limit",
    size: 100,
    by: By::Start,
    field: Some("values"),
};

/// One repository on a Bitbucket Data Center.
#[derive(Debug)]
pub struct BitbucketServer {
    api: Api,
    /// The only list of all builds of a commit is outside of the repository.
    builds: Api,
    /// Where people look.
    site: String,
}

#[derive(Deserialize)]
struct Row {
    key: String,
    state: String,
    #[serde(default)]
    description: Option<String>,
    #[serde(default)]
    url: Option<String>,
}

impl BitbucketServer {
    /// The name of this forge in `--status`.
    pub const NAME: &'static str = "bitbucket-server";

    /// Makes the forge of one repository, `PROJECT/NAME`, or `~USER/NAME`. `scm/` in front, as in addresses to
    /// clone from, is not part of it. A token with one colon is a user and a password.
    pub fn new(remote: Remote) -> Result<Self, ForgeError> {
        let path = remote.repository.trim_start_matches('/');
        let path = path.strip_prefix("scm/").unwrap_or(path);
        let (project, name) = api::owner_and_name(Self::NAME, path)?;
        let remote = Remote {
            repository: format!("{project}/{name}"),
            ..remote
        };
        let site = api::page(&remote.url, &["projects", &project, "repos", &name]);
        let root = ["rest", "api", "latest", "projects", &project, "repos", &name];
        let api = Api {
            headers: &[("accept", "application/json"), ("x-atlassian-token", "no-check")],
            about_commit: |status, text| status == 404 && text.contains("commit"),
            ..Api::new(Self::NAME, Scheme::TokenOrPair, &root, remote)?
        };
        Ok(Self {
            builds: api.below(&["rest", "build-status", "latest", "commits"]),
            api,
            site,
        })
    }

    /// An address is required; without one of ours, the commit's own page.
    fn default_url(&self, commit: &CommitId) -> String {
        api::page(&self.site, &["commits", commit.as_str()])
    }

    fn body(&self, commit: &CommitId, status: &CommitStatus) -> Value {
        let url = status.target_url.clone().filter(|url| url.len() <= URL);
        let mut body = json!({
            "key": status.context,
            "name": status.context,
            "state": match status.state {
                CommitState::Pending => "INPROGRESS",
                CommitState::Success => "SUCCESSFUL",
                CommitState::Failure | CommitState::Error => "FAILED",
            },
            "description": spoken(status),
            "url": url.unwrap_or_else(|| self.default_url(commit)),
        });
        if let (Some(branch), Some(fields)) = (&self.api.remote.branch, body.as_object_mut()) {
            fields.insert("ref".to_owned(), format!("refs/heads/{branch}").into());
        }
        body
    }

    async fn post_one(&self, commit: &CommitId, status: &CommitStatus) -> Result<(), ForgeError> {
        let path = ["commits", commit.as_str(), "builds"];
        let response = self.api.post(&path, &self.body(commit, status)).await?;
        if response.is_success() {
            return Ok(());
        }
        Err(self.api.refusal_of(commit, &response).await)
    }

    async fn read_all(&self, commit: &CommitId) -> Result<Vec<CommitStatus>, ForgeError> {
        let rows: Vec<Row> = self.builds.list(&[commit.as_str()], &[], PAGES).await?;
        let default = self.default_url(commit);
        let by_context: BTreeMap<String, CommitStatus> = rows
            .into_iter()
            .map(|row| (row.key.clone(), row.said(&default)))
            .collect();
        Ok(by_context.into_values().collect())
    }
}

impl Row {
    fn said(self, default: &str) -> CommitStatus {
        let state = match self.state.as_str() {
            "SUCCESSFUL" => CommitState::Success,
            "FAILED" => CommitState::Failure,
            "CANCELLED" => CommitState::Error,
            _ => CommitState::Pending,
        };
        let url = self.url.filter(|url| !url.is_empty() && url != default);
        plain(&self.key, state, &self.description.unwrap_or_default()).with_url(url)
    }
}

impl Forge for BitbucketServer {
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

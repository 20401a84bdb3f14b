//! Commit statuses of Bitbucket Cloud, by its API. A status is found again by its key, and posting it anew
//! overwrites it.

mod pulls;

use std::{collections::BTreeMap, time::Duration};

use serde::Deserialize;
use serde_json::{Value, json};

use super::{
    CommitState, CommitStatus, Forge, ForgeError, PullRequests, Rate, Remote,
    api::{self, Api, By, Pages, Scheme},
    forge::post_and_read,
    status::{digest, plain, spoken},
};
use crate::repo::CommitId;

/// Greatest length of a key, in characters.
const KEY: usize = 40;
/// Least time between two texts that only tell progress: a token may make about 1000 requests in an hour.
const PROGRESS: Duration = Duration::from_secs(30);

/// What is left of these is for reading.
const RATE: Rate = Rate {
    burst: 60,
    every: Duration::from_secs(5),
};

/// Rows per page; pull requests come in pages of at most 50.
const PAGES: Pages = Pages {
    name: "pagelen",
    size: 50,
    by: By::Number,
    field: Some("values"),
};

/// One repository on Bitbucket Cloud.
#[derive(Debug)]
pub struct Bitbucket {
    api: Api,
    /// Where people look.
    site: String,
}

#[derive(Deserialize)]
struct Row {
    #[serde(default)]
    name: Option<String>,
    key: String,
    state: String,
    #[serde(default)]
    description: Option<String>,
    #[serde(default)]
    url: Option<String>,
}

impl Bitbucket {
    /// The name of this forge in `--status`.
    pub const NAME: &'static str = "bitbucket";
    /// The address if none is given.
    pub const URL: &'static str = "https://bitbucket.org";

    /// Makes the forge of one repository, `WORKSPACE/NAME`. A token with one colon is a user and a password.
    pub fn new(remote: Remote) -> Result<Self, ForgeError> {
        let (workspace, name) = api::owner_and_name(Self::NAME, &remote.repository)?;
        let site = remote
            .url
            .trim_end_matches('/')
            .replace("://api.bitbucket.org", "://bitbucket.org");
        let remote = Remote {
            url: site.replace("://bitbucket.org", "://api.bitbucket.org"),
            repository: format!("{workspace}/{name}"),
            ..remote
        };
        let root = ["2.0", "repositories", &workspace, &name];
        Ok(Self {
            api: Api {
                commits: &["commit"],
                about_commit: |status, text| status == 404 && text.contains("commit"),
                ..Api::new(Self::NAME, Scheme::TokenOrPair, &root, remote)?
            },
            site: api::page(&site, &[&workspace, &name]),
        })
    }

    /// An address is required; without one of ours, the commit's own page.
    fn default_url(&self, commit: &CommitId) -> String {
        api::page(&self.site, &["commits", commit.as_str()])
    }

    fn body(&self, commit: &CommitId, status: &CommitStatus) -> Value {
        let url = status
            .target_url
            .clone()
            .unwrap_or_else(|| self.default_url(commit));
        let mut body = json!({
            "key": key(&status.context),
            "name": status.context,
            "state": match status.state {
                CommitState::Pending => "INPROGRESS",
                CommitState::Success => "SUCCESSFUL",
                CommitState::Failure | CommitState::Error => "FAILED",
            },
            "description": spoken(status),
            // What is in braces would be filled in.
            "url": url.replace('{', "%7B").replace('}', "%7D"),
        });
        // Without it the status is not shown with pull requests.
        if let (Some(branch), Some(fields)) = (&self.api.remote.branch, body.as_object_mut()) {
            fields.insert("refname".to_owned(), branch.as_str().into());
        }
        body
    }

    async fn post_one(&self, commit: &CommitId, status: &CommitStatus) -> Result<(), ForgeError> {
        let path = ["commit", commit.as_str(), "statuses", "build"];
        let response = self.api.post(&path, &self.body(commit, status)).await?;
        if response.is_success() {
            return Ok(());
        }
        Err(self.api.refusal_of(commit, &response).await)
    }

    async fn read_all(&self, commit: &CommitId) -> Result<Vec<CommitStatus>, ForgeError> {
        let path = ["commit", commit.as_str(), "statuses"];
        let rows: Vec<Row> = self.api.list_of(commit, &path, &[], PAGES).await?;
        let default = self.default_url(commit);
        let by_context: BTreeMap<String, CommitStatus> = rows
            .into_iter()
            .map(|row| row.said(&default))
            .map(|status| (status.context.clone(), status))
            .collect();
        Ok(by_context.into_values().collect())
    }
}

/// Returns the key of a context: itself, or what stands for one that is too long.
fn key(context: &str) -> String {
    if context.chars().count() <= KEY {
        return context.to_owned();
    }
    format!("serin-{}", digest(&[context]))
}

impl Row {
    fn said(self, default: &str) -> CommitStatus {
        let state = match self.state.as_str() {
            "SUCCESSFUL" => CommitState::Success,
            "FAILED" => CommitState::Failure,
            "STOPPED" => CommitState::Error,
            _ => CommitState::Pending,
        };
        let url = self.url.filter(|url| !url.is_empty() && url != default);
        plain(
            &self.name.unwrap_or(self.key),
            state,
            &self.description.unwrap_or_default(),
        )
        .with_url(url)
    }
}

impl Forge for Bitbucket {
    fn name(&self) -> &str {
        Self::NAME
    }

    post_and_read!();

    fn progress_interval(&self) -> Duration {
        PROGRESS
    }

    fn rate(&self) -> Option<Rate> {
        Some(RATE)
    }

    fn pull_requests(&self) -> Option<&dyn PullRequests> {
        Some(self)
    }
}

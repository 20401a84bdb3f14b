//! Commit statuses of GitLab, by its API. A status is a job there, with states of its own: what is pending cannot
//! become pending, what runs cannot run again, and what has ended is followed by a new job. So it is looked
//! first, and then said what may follow.

mod pulls;

use std::{collections::BTreeMap, time::Duration};

use serde::Deserialize;
use serde_json::{Value, json};

use super::{
    CommitState, CommitStatus, Forge, ForgeError, PullRequests, Remote,
    api::{self, Api, By, Pages, Scheme, message},
    forge::post_and_read,
    status::{plain, spoken},
};
use crate::repo::CommitId;

const PAGES: Pages = Pages {
    name: "per_page",
    size: 100,
    by: By::Number,
    field: None,
};
/// Greatest length of an address.
const URL: usize = 255;
/// How often it is tried when somebody else changes the job in between.
const TRIES: usize = 3;

/// One project on a GitLab.
#[derive(Debug)]
pub struct GitLab {
    api: Api,
}

/// A status as GitLab lists it.
#[derive(Deserialize)]
struct Row {
    id: u64,
    name: String,
    status: String,
    #[serde(default)]
    description: Option<String>,
    #[serde(default)]
    target_url: Option<String>,
    #[serde(default, rename = "ref")]
    branch: Option<String>,
    #[serde(default)]
    pipeline_id: Option<u64>,
}

impl GitLab {
    /// The name of this forge in `--status`.
    pub const NAME: &'static str = "gitlab";
    /// The address if none is given.
    pub const URL: &'static str = "https://gitlab.com";

    /// Makes the forge of one project, `GROUP[/SUBGROUP…]/NAME`, or its number.
    pub fn new(remote: Remote) -> Result<Self, ForgeError> {
        let project = remote.repository.trim_matches('/');
        let project = project.strip_suffix(".git").unwrap_or(project).to_owned();
        let is_number = !project.is_empty() && project.chars().all(|c| c.is_ascii_digit());
        let is_path = project.contains('/') && project.split('/').all(api::is_segment);
        if !(is_number || is_path) {
            return Err(api::no_repository(Self::NAME, &remote.repository, "GROUP/NAME"));
        }
        let remote = Remote {
            repository: project.clone(),
            ..remote
        };
        // The project is one segment of the path: its slashes are escaped.
        let root = ["api", "v4", "projects", &project];
        Ok(Self {
            api: Api {
                commits: &["repository", "commits"],
                about_commit: |status, text| status == 404 && text.contains("commit"),
                ..Api::new(Self::NAME, Scheme::Word("Bearer"), &root, remote)?
            },
        })
    }

    async fn rows(&self, commit: &CommitId, query: &[(&str, &str)]) -> Result<Vec<Row>, ForgeError> {
        let path = ["repository", "commits", commit.as_str(), "statuses"];
        self.api.list_of(commit, &path, query, PAGES).await
    }

    /// The newest job of a context.
    async fn newest(&self, commit: &CommitId, context: &str) -> Result<Option<Row>, ForgeError> {
        let rows = self.rows(commit, &[("name", context)]).await?;
        let named = rows.into_iter().filter(|row| row.name == context);
        Ok(named.max_by_key(|row| row.id))
    }

    async fn post_one(&self, commit: &CommitId, status: &CommitStatus) -> Result<(), ForgeError> {
        let mut pinned = true;
        for _ in 0..TRIES {
            let newest = self.newest(commit, &status.context).await?;
            let Some(state) = follow(newest.as_ref(), status) else {
                return Ok(());
            };
            let body = self.body(state, status, newest.as_ref().filter(|_| pinned));
            let response = self.api.post(&["statuses", commit.as_str()], &body).await?;
            let text = message(&response).to_lowercase();
            match response.status {
                200..=299 => return Ok(()),
                // Somebody else was faster: what may follow now?
                400 if text.contains("cannot transition") => {}
                // The pipeline was deleted.
                404 if pinned && text.contains("pipeline") => pinned = false,
                _ => return Err(self.api.refusal_of(commit, &response).await),
            }
        }
        Err(ForgeError::Contended {
            forge: self.api.forge(),
        })
    }

    /// A job stays in the pipeline that it began in, of which a commit may have several.
    fn body(&self, state: &str, status: &CommitStatus, newest: Option<&Row>) -> Value {
        let url = status.target_url.as_deref().filter(|url| url.len() <= URL);
        let branch = newest.and_then(|row| row.branch.as_ref());
        let branch = branch.or(self.api.remote.branch.as_ref());
        let pipeline = newest.and_then(|row| row.pipeline_id);
        let mut body = json!({
            "state": state, "name": status.context, "description": spoken(status),
            "target_url": url, "ref": branch, "pipeline_id": pipeline,
        });
        if let Some(fields) = body.as_object_mut() {
            fields.retain(|_, value| !value.is_null());
        }
        body
    }

    async fn read_all(&self, commit: &CommitId) -> Result<Vec<CommitStatus>, ForgeError> {
        let mut newest: BTreeMap<String, Row> = BTreeMap::new();
        for row in self.rows(commit, &[]).await? {
            match newest.get(&row.name) {
                Some(known) if known.id > row.id => {}
                _ => drop(newest.insert(row.name.clone(), row)),
            }
        }
        Ok(newest.into_values().map(Row::said).collect())
    }
}

/// Returns the state to post so that a status is shown, given the newest job; none if there is nothing to do.
fn follow(newest: Option<&Row>, status: &CommitStatus) -> Option<&'static str> {
    let shown = newest.map(|row| row.status.as_str());
    let same = newest.is_some_and(|row| row.text() == spoken(status));
    match (status.state, shown) {
        // The text of what runs cannot be changed.
        (CommitState::Pending, Some("running")) => None,
        (CommitState::Pending, Some("pending")) => (!same).then_some("running"),
        (CommitState::Pending, _) => Some("pending"),
        (CommitState::Success, shown) => (shown != Some("success") || !same).then_some("success"),
        (CommitState::Failure | CommitState::Error, shown) => {
            (shown != Some("failed") || !same).then_some("failed")
        }
    }
}

impl Row {
    fn text(&self) -> &str {
        self.description.as_deref().unwrap_or_default()
    }

    fn said(self) -> CommitStatus {
        let state = match self.status.as_str() {
            "success" | "skipped" => CommitState::Success,
            "failed" => CommitState::Failure,
            "canceled" => CommitState::Error,
            _ => CommitState::Pending,
        };
        let url = self.target_url.clone().filter(|url| !url.is_empty());
        plain(&self.name, state, self.text()).with_url(url)
    }
}

impl Forge for GitLab {
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

//! Deployments: what a commit as a whole did in an environment, in GitHub's own list of environments.

use std::time::Duration;

use serde::Deserialize;
use serde_json::json;

use super::{api_of, pages};
use crate::{
    repo::CommitId,
    report::{CommitState, CommitStatus, Forge, ForgeError, Rate, Remote, api::Api, forge::post_and_read},
};

/// Marks our deployments among others.
const TASK: &str = "serin";

/// The deployments of a repository to one environment. It takes the aggregate statuses alone: an environment
/// has one state.
#[derive(Debug)]
pub struct Deployments {
    api: Api,
    environment: String,
}

#[derive(Deserialize)]
struct Deployment {
    id: u64,
    #[serde(default)]
    description: Option<String>,
}

#[derive(Deserialize)]
struct Row {
    state: String,
    #[serde(default)]
    description: Option<String>,
    #[serde(default)]
    log_url: Option<String>,
}

impl Deployments {
    /// The name of this place in logs and marks.
    pub const NAME: &'static str = "github-deployments";

    /// Makes the deployments of a repository, `OWNER/NAME`.
    pub fn new(remote: Remote, environment: &str) -> Result<Self, ForgeError> {
        Ok(Self {
            api: api_of(remote)?.0,
            environment: environment.to_owned(),
        })
    }

    async fn find(&self, commit: &CommitId) -> Result<Option<Deployment>, ForgeError> {
        let query = [
            ("sha", commit.as_str()),
            ("environment", &self.environment),
            ("task", TASK),
        ];
        let found: Vec<Deployment> = self
            .api
            .list_of(commit, &["deployments"], &query, pages(None))
            .await?;
        Ok(found.into_iter().max_by_key(|deployment| deployment.id))
    }

    async fn make(&self, commit: &CommitId, status: &CommitStatus) -> Result<Deployment, ForgeError> {
        let body = json!({
            "ref": commit.as_str(), "task": TASK, "environment": self.environment,
            // The context, so that it can be read back.
            "description": status.context,
            // The commit is deployed already: nothing is to be merged or waited for.
            "auto_merge": false, "required_contexts": [],
        });
        let response = self.api.post(&["deployments"], &body).await?;
        if response.is_success() {
            return self.api.parse(&response, "deployment");
        }
        Err(self.api.refusal_of(commit, &response).await)
    }

    async fn post_one(&self, commit: &CommitId, status: &CommitStatus) -> Result<(), ForgeError> {
        if !is_aggregate(&status.context) {
            return Ok(());
        }
        let deployment = match self.find(commit).await? {
            Some(deployment) => deployment,
            None => self.make(commit, status).await?,
        };
        let id = deployment.id.to_string();
        let body = json!({
            "state": match status.state {
                CommitState::Pending => "in_progress",
                ended => ended.name(),
            },
            "description": status.description,
            "log_url": status.target_url.as_deref().unwrap_or_default(),
        });
        let response = self.api.post(&["deployments", &id, "statuses"], &body).await?;
        if response.is_success() {
            return Ok(());
        }
        Err(self.api.refusal_of(commit, &response).await)
    }

    async fn read_all(&self, commit: &CommitId) -> Result<Vec<CommitStatus>, ForgeError> {
        let Some(deployment) = self.find(commit).await? else {
            return Ok(Vec::new());
        };
        let id = deployment.id.to_string();
        let response = self
            .api
            .get(&["deployments", &id, "statuses"], &[("per_page", "1")])
            .await?;
        let rows: Vec<Row> = self.api.parse(&response, "list")?;
        let context = deployment.description.unwrap_or_default();
        let newest = rows.into_iter().next().map(|row| {
            let state = row.state.parse().unwrap_or(CommitState::Pending);
            let url = row.log_url.filter(|url| !url.is_empty());
            CommitStatus::new(&context, state, &row.description.unwrap_or_default()).with_url(url)
        });
        Ok(newest.into_iter().collect())
    }
}

/// Whether a context is that of a whole commit: `serin` or `serin/<cluster>`.
fn is_aggregate(context: &str) -> bool {
    context.matches('/').count() < 2
}

impl Forge for Deployments {
    fn name(&self) -> &str {
        Self::NAME
    }

    post_and_read!();

    fn progress_interval(&self) -> Duration {
        super::STATUS_PROGRESS
    }
    fn rate(&self) -> Option<Rate> {
        Some(super::RATE)
    }
}

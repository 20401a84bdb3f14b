//! Commit statuses of Gitea and Forgejo, by their API.

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

/// Gitea gives no more than 50 rows at once.
const PAGES: Pages = Pages {
    name: "limit",
    size: 50,
    by: By::Number,
    field: None,
};

/// One repository on a Gitea or Forgejo.
#[derive(Clone, Debug)]
pub struct Gitea {
    api: Api,
}

impl Gitea {
    /// The name of this forge in `--status`.
    pub const NAME: &'static str = "gitea";

    /// Makes the forge of one repository, `OWNER/NAME`.
    pub fn new(remote: Remote) -> Result<Self, ForgeError> {
        let (owner, name) = api::owner_and_name(Self::NAME, &remote.repository)?;
        let remote = Remote {
            repository: format!("{owner}/{name}"),
            ..remote
        };
        let root = ["api", "v1", "repos", &owner, &name];
        Ok(Self {
            api: Api {
                commits: &["git", "commits"],
                // Versions differ in how they tell an unknown commit; where there is a text, it names the object.
                about_commit: |status, text| {
                    matches!(status, 400 | 404 | 422 | 500)
                        && (text.contains("object does not exist") || text.contains("sha"))
                },
                ..Api::new(Self::NAME, Scheme::Word("token"), &root, remote)?
            },
        })
    }

    async fn post_one(&self, commit: &CommitId, status: &CommitStatus) -> Result<(), ForgeError> {
        let body = json!({
            "state": status.state.name(),
            "context": status.context,
            "description": status.description,
            "target_url": status.target_url.as_deref().unwrap_or_default(),
        });
        let response = self.api.post(&["statuses", commit.as_str()], &body).await?;
        if response.is_success() {
            return Ok(());
        }
        // Gitea 1.26 answers an unknown commit as it answers a fault of its own: 500, without a text.
        if response.status == 500 && self.api.lacks(&["git", "commits", commit.as_str()]).await {
            return Err(self.api.unknown(commit));
        }
        Err(self.api.refusal_of(commit, &response).await)
    }

    async fn read_all(&self, commit: &CommitId) -> Result<Vec<CommitStatus>, ForgeError> {
        let mut newest: BTreeMap<String, Row> = BTreeMap::new();
        for row in self
            .api
            .list_of::<Row>(commit, &["statuses", commit.as_str()], &[], PAGES)
            .await?
        {
            match newest.get(&row.context) {
                Some(known) if known.id > row.id => {}
                _ => drop(newest.insert(row.context.clone(), row)),
            }
        }
        Ok(newest.into_values().filter_map(Row::status).collect())
    }
}

impl Forge for Gitea {
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

/// A status as the forge lists it. It knows states that we never post (`warning`, `skipped`).
#[derive(Deserialize)]
struct Row {
    id: i64,
    context: String,
    status: String,
    #[serde(default)]
    description: String,
    #[serde(default)]
    target_url: String,
}

impl Row {
    fn status(self) -> Option<CommitStatus> {
        let state: CommitState = match self.status.as_str() {
            "warning" => CommitState::Failure,
            "skipped" => CommitState::Success,
            other => other.parse().ok()?,
        };
        let url = Some(self.target_url).filter(|url| !url.is_empty());
        Some(CommitStatus::new(&self.context, state, &self.description).with_url(url))
    }
}

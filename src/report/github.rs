//! Commit statuses of GitHub and GitHub Enterprise: by a token, or as a GitHub App, which shows check runs.

mod app;
mod checks;
mod deployments;
mod pulls;

use std::{
    collections::BTreeMap,
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    time::Duration,
};

use serde::Deserialize;
use serde_json::json;

pub use self::deployments::Deployments;
use self::{app::Tokens, checks::Checks};
use super::{
    CommitStatus, Credential, Forge, ForgeError, PullRequests, Rate, Remote,
    api::{self, Api, By, Pages, Scheme},
    forge::post_and_read,
};
use crate::{http::Request, repo::CommitId};

/// Least time between two texts that only tell progress: each is a row for ever, of which a commit and context
/// may have 1000, and GitHub wants no more than 500 in an hour.
const STATUS_PROGRESS: Duration = Duration::from_secs(60);
/// A check run is changed in place.
const CHECK_PROGRESS: Duration = Duration::from_secs(10);

/// GitHub takes no more than 80 new things in a minute, and 500 in an hour.
const RATE: Rate = Rate {
    burst: 40,
    every: Duration::from_secs(8),
};

/// GitHub gives 100 rows at once.
const fn pages(field: Option<&'static str>) -> Pages {
    Pages {
        name: "per_page",
        size: 100,
        by: By::Number,
        field,
    }
}

/// One repository on GitHub.
#[derive(Debug)]
pub struct GitHub {
    api: Api,
    owner: String,
    /// Only a GitHub App may make check runs.
    checks: Option<Checks>,
    /// The App may not; then statuses are posted.
    checks_refused: AtomicBool,
}

impl GitHub {
    /// The name of this forge in `--status`.
    pub const NAME: &'static str = "github";
    /// The address if none is given.
    pub const URL: &'static str = "https://github.com";

    /// Makes the forge of one repository, `OWNER/NAME`.
    pub fn new(remote: Remote) -> Result<Self, ForgeError> {
        let (api, owner) = api_of(remote)?;
        let is_app = matches!(api.remote.credential, Credential::App(_));
        Ok(Self {
            checks: is_app.then(|| Checks::new(api.clone())),
            checks_refused: AtomicBool::new(false),
            api,
            owner,
        })
    }

    /// The check runs, if they may be made.
    fn checks(&self) -> Option<&Checks> {
        let allowed = !self.checks_refused.load(Ordering::Relaxed);
        self.checks.as_ref().filter(|_| allowed)
    }

    /// Whether an error says that the App may not make check runs; from now on there are statuses instead.
    fn falls_back(&self, error: &ForgeError) -> bool {
        let refused = matches!(error, ForgeError::Forbidden { .. });
        if refused && !self.checks_refused.swap(true, Ordering::Relaxed) {
            tracing::warn!(%error, "The GitHub App may not write checks; commit statuses are posted instead.");
        }
        refused
    }

    async fn post_one(&self, commit: &CommitId, status: &CommitStatus) -> Result<(), ForgeError> {
        if let Some(checks) = self.checks() {
            match checks.post(commit, status).await {
                Err(error) if self.falls_back(&error) => {}
                ended => return ended,
            }
        }
        let mut body = json!({
            "state": status.state.name(), "context": status.context, "description": status.description,
        });
        if let (Some(url), Some(body)) = (&status.target_url, body.as_object_mut()) {
            body.insert("target_url".to_owned(), url.as_str().into());
        }
        let response = self.api.post(&["statuses", commit.as_str()], &body).await?;
        if response.is_success() {
            return Ok(());
        }
        Err(self.api.refusal_of(commit, &response).await)
    }

    async fn read_all(&self, commit: &CommitId) -> Result<Vec<CommitStatus>, ForgeError> {
        if let Some(checks) = self.checks() {
            match checks.read(commit).await {
                Err(error) if self.falls_back(&error) => {}
                ended => return ended,
            }
        }
        // The combined status holds the newest of each context.
        let path = ["commits", commit.as_str(), "status"];
        let rows: Vec<Row> = self
            .api
            .list_of(commit, &path, &[], pages(Some("statuses")))
            .await?;
        let by_context: BTreeMap<String, CommitStatus> = rows
            .into_iter()
            .filter_map(Row::status)
            .map(|status| (status.context.clone(), status))
            .collect();
        Ok(by_context.into_values().collect())
    }
}

/// Makes the API of a repository, and says who owns it.
fn api_of(remote: Remote) -> Result<(Api, String), ForgeError> {
    let (owner, name) = api::owner_and_name(GitHub::NAME, &remote.repository)?;
    let remote = Remote {
        url: api_url(&remote.url),
        repository: format!("{owner}/{name}"),
        ..remote
    };
    let scheme = match &remote.credential {
        Credential::App(key) => Scheme::Issued(Arc::new(Tokens::new(key.clone(), &owner, &name, &remote)?)),
        Credential::Token(_) | Credential::Basic { .. } => Scheme::Word("Bearer"),
    };
    let api = Api {
        headers: HEADERS,
        about_commit: |status, text| matches!(status, 404 | 422) && text.contains("no commit found"),
        ..Api::new(GitHub::NAME, scheme, &["repos", &owner, &name], remote)?
    };
    Ok((api, owner))
}

const HEADERS: &[(&str, &str)] = &[
    ("accept", "application/vnd.github+json"),
    ("x-github-api-version", "2022-11-28"),
];

/// Returns the address of the API: people give that of the site.
fn api_url(url: &str) -> String {
    let Ok(request) = Request::get(url) else {
        return url.to_owned();
    };
    let host = request.url.host_str().unwrap_or_default();
    let site = url.trim_end_matches('/');
    match host {
        "github.com" | "www.github.com" | "api.github.com" => "https://api.github.com".to_owned(),
        // GitHub Enterprise Cloud with data residency.
        host if host.ends_with(".ghe.com") => match host.strip_prefix("api.") {
            Some(_) => site.to_owned(),
            None => format!("https://api.{host}"),
        },
        _ if site.ends_with("/api/v3") => site.to_owned(),
        _ => format!("{site}/api/v3"),
    }
}

impl Forge for GitHub {
    fn name(&self) -> &str {
        Self::NAME
    }

    post_and_read!();

    fn progress_interval(&self) -> Duration {
        match self.checks() {
            Some(_) => CHECK_PROGRESS,
            None => STATUS_PROGRESS,
        }
    }

    fn rate(&self) -> Option<Rate> {
        Some(RATE)
    }

    fn pull_requests(&self) -> Option<&dyn PullRequests> {
        Some(self)
    }
}

#[derive(Deserialize)]
struct Row {
    context: String,
    state: String,
    #[serde(default)]
    description: Option<String>,
    #[serde(default)]
    target_url: Option<String>,
}

impl Row {
    fn status(self) -> Option<CommitStatus> {
        let state = self.state.parse().ok()?;
        let description = self.description.unwrap_or_default();
        let url = self.target_url.filter(|url| !url.is_empty());
        Some(CommitStatus::new(&self.context, state, &description).with_url(url))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_api_is_found_from_the_address_of_the_site() {
        for (url, api) in [
            ("https://github.com/", "https://api.github.com"),
            ("https://api.github.com", "https://api.github.com"),
            ("https://octo.ghe.com", "https://api.octo.ghe.com"),
            ("https://api.octo.ghe.com", "https://api.octo.ghe.com"),
            ("https://git.example.org", "https://git.example.org/api/v3"),
            (
                "https://git.example.org/api/v3/",
                "https://git.example.org/api/v3",
            ),
            (
                "https://git.example.org:8443/x",
                "https://git.example.org:8443/x/api/v3",
            ),
        ] {
            assert_eq!(api_url(url), api);
        }
    }
}

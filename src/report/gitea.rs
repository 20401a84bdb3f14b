//! Commit statuses of Gitea and Forgejo, by their API.

use std::{collections::BTreeMap, time::Duration};

use futures::{FutureExt, future::BoxFuture};
use serde::{Deserialize, Serialize};

use super::{CommitState, CommitStatus, Forge, ForgeError};
use crate::{
    http::{Client, Request, Response, SecretFile},
    repo::CommitId,
};

/// Statuses per page; Gitea gives no more.
const PAGE: usize = 50;
/// Pages read at most.
const PAGES: usize = 20;

/// One repository on a Gitea or Forgejo.
#[derive(Clone, Debug)]
pub struct Gitea {
    url: String,
    owner: String,
    name: String,
    token: SecretFile,
    client: Client,
}

impl Gitea {
    /// The name of this forge in `--status`.
    pub const NAME: &'static str = "gitea";

    /// Makes the forge of one repository, `OWNER/NAME`. The address is the operator's own: the client may be
    /// one with open egress.
    pub fn new(url: &str, repository: &str, token: SecretFile, client: Client) -> Result<Self, ForgeError> {
        let config = |text: String, hint: &str| ForgeError::Config {
            forge: Self::NAME.to_owned(),
            text,
            hint: hint.to_owned(),
        };
        Request::get(url).map_err(|error| {
            config(
                error.to_string(),
                "give the address of the forge as --status-url https://HOST",
            )
        })?;
        let name = repository.trim_matches('/');
        let name = name.strip_suffix(".git").unwrap_or(name);
        match name.split_once('/') {
            Some((owner, name)) if is_segment(owner) && is_segment(name) => Ok(Self {
                url: url.to_owned(),
                owner: owner.to_owned(),
                name: name.to_owned(),
                token,
                client,
            }),
            _ => Err(config(
                format!("`{}` is not a repository", crate::http::excerpt(repository, 100)),
                "give the repository as --status-repo OWNER/NAME",
            )),
        }
    }

    fn repository(&self) -> String {
        format!("{}/{}", self.owner, self.name)
    }

    /// Makes a request to the statuses of a commit, with the token as it is in its file now.
    fn request(&self, commit: &CommitId, body: Option<&Body<'_>>) -> Result<Request, crate::http::Error> {
        let mut request = match body {
            Some(body) => Request::post_json(&self.url, body)?,
            None => Request::get(&self.url)?,
        };
        self.lead(&mut request, &["statuses", commit.as_str()]);
        self.sign(request)
    }

    /// Leads a request to a part of the repository; the path of the address stays in front.
    fn lead(&self, request: &mut Request, part: &[&str]) {
        if let Ok(mut path) = request.url.path_segments_mut() {
            path.pop_if_empty()
                .extend(["api", "v1", "repos", &self.owner, &self.name])
                .extend(part);
        }
    }

    fn sign(&self, request: Request) -> Result<Request, crate::http::Error> {
        request
            .header("accept", "application/json")?
            .authorization("token", &self.token.read()?)
    }

    /// Whether the forge answers, and says that it does not have a commit.
    async fn lacks(&self, commit: &CommitId) -> bool {
        let request = Request::get(&self.url).and_then(|mut request| {
            self.lead(&mut request, &["git", "commits", commit.as_str()]);
            self.sign(request)
        });
        let response = self.send(request).await;
        response.is_ok_and(|response| response.status == 404)
    }

    async fn send(&self, request: Result<Request, crate::http::Error>) -> Result<Response, ForgeError> {
        let of_http = |error: crate::http::Error| ForgeError::of_http(Self::NAME, &error);
        self.client.send(request.map_err(of_http)?).await.map_err(of_http)
    }

    /// Says what a response without success means.
    fn refusal(&self, commit: &CommitId, response: &Response) -> ForgeError {
        let forge = Self::NAME.to_owned();
        let text = message(response);
        // Versions differ in how they tell an unknown commit; where there is a text, it names the object.
        let lower = text.to_lowercase();
        let about_commit = lower.contains("object does not exist")
            || lower.contains("sha")
            || lower.contains(commit.as_str());
        match response.status {
            401 => ForgeError::Unauthorized { forge },
            403 => ForgeError::Forbidden {
                forge,
                repository: self.repository(),
                text,
            },
            400 | 404 | 422 | 500 if about_commit => ForgeError::UnknownCommit {
                forge,
                commit: commit.to_string(),
            },
            404 => ForgeError::NoRepository {
                forge,
                repository: self.repository(),
            },
            status @ (408 | 409 | 423 | 425 | 429 | 500..) => ForgeError::Unavailable {
                forge,
                text: format!("it answered {status}: {text}"),
                retry_after: response.retry_after(),
            },
            status => ForgeError::Invalid {
                forge,
                text: format!("it answered {status}: {text}"),
            },
        }
    }

    async fn read_all(&self, commit: &CommitId) -> Result<Vec<CommitStatus>, ForgeError> {
        let mut newest: BTreeMap<String, Row> = BTreeMap::new();
        for page in 1..=PAGES {
            let request = self.request(commit, None).map(|mut request| {
                request
                    .url
                    .query_pairs_mut()
                    .append_pair("page", &page.to_string())
                    .append_pair("limit", &PAGE.to_string());
                request
            });
            let response = self.send(request).await?;
            if !response.is_success() {
                return match self.refusal(commit, &response) {
                    ForgeError::UnknownCommit { .. } => Ok(Vec::new()),
                    error => Err(error),
                };
            }
            let rows: Vec<Row> = response.json().map_err(|_| ForgeError::Unavailable {
                forge: Self::NAME.to_owned(),
                text: "what it answered is no list of statuses".to_owned(),
                retry_after: None,
            })?;
            let count = rows.len();
            for row in rows {
                match newest.get(&row.context) {
                    Some(known) if known.id > row.id => {}
                    _ => drop(newest.insert(row.context.clone(), row)),
                }
            }
            if count < PAGE {
                break;
            }
        }
        Ok(newest.into_values().filter_map(Row::status).collect())
    }
}

impl Forge for Gitea {
    fn name(&self) -> &str {
        Self::NAME
    }

    fn post<'a>(
        &'a self,
        commit: &'a CommitId,
        status: &'a CommitStatus,
    ) -> BoxFuture<'a, Result<(), ForgeError>> {
        async move {
            let body = Body {
                state: status.state.name(),
                context: &status.context,
                description: &status.description,
                target_url: status.target_url.as_deref().unwrap_or_default(),
            };
            let response = self.send(self.request(commit, Some(&body))).await?;
            if response.is_success() {
                return Ok(());
            }
            // Gitea 1.26 answers an unknown commit as it answers a fault of its own: 500, without a text.
            if response.status == 500 && self.lacks(commit).await {
                return Err(ForgeError::UnknownCommit {
                    forge: Self::NAME.to_owned(),
                    commit: commit.to_string(),
                });
            }
            Err(self.refusal(commit, &response))
        }
        .boxed()
    }

    fn read<'a>(&'a self, commit: &'a CommitId) -> BoxFuture<'a, Result<Vec<CommitStatus>, ForgeError>> {
        self.read_all(commit).boxed()
    }

    fn progress_interval(&self) -> Duration {
        Duration::from_secs(5)
    }
}

#[derive(Serialize)]
struct Body<'a> {
    state: &'static str,
    context: &'a str,
    description: &'a str,
    target_url: &'a str,
}

/// A status as the forge lists it. It knows states that we never post (`warning`, `skipped`).
#[derive(Deserialize)]
struct Row {
    id: i64,
    #[serde(alias = "state")]
    status: String,
    #[serde(default)]
    context: String,
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

/// Returns the message of an error, or what there is instead of one.
fn message(response: &Response) -> String {
    #[derive(Deserialize)]
    struct Fault {
        message: String,
    }
    match response.json::<Fault>() {
        Ok(fault) => crate::http::excerpt(&fault.message, 200),
        Err(_) => response.text(),
    }
}

fn is_segment(text: &str) -> bool {
    !text.is_empty()
        && !matches!(text, "." | "..")
        && text
            .chars()
            .all(|c| c.is_ascii_alphanumeric() || matches!(c, '-' | '_' | '.'))
}

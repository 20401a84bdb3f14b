//! Pull requests on Gitea and Forgejo.

use ::http::Method;
use serde::Deserialize;
use serde_json::json;

use super::{
    super::{
        ForgeError, NewPullRequest, PullRequest,
        pull_request::{Comment, cut, marked, ours, pull_requests},
    },
    Gitea, PAGES,
};
use crate::repo::CommitId;

#[derive(Deserialize)]
struct Pull {
    number: u64,
    html_url: String,
    head: Head,
}

#[derive(Deserialize)]
struct Head {
    #[serde(rename = "ref")]
    branch: String,
}

impl Gitea {
    async fn open_one(&self, request: &NewPullRequest) -> Result<PullRequest, ForgeError> {
        if let Some(open) = self.find_open(&request.head).await? {
            return Ok(open);
        }
        let body = json!({
            "head": request.head, "base": request.base, "title": request.short_title(),
            "body": cut(&request.body, NewPullRequest::BODY),
        });
        let response = self.api.post(&["pulls"], &body).await?;
        // Somebody else was faster.
        if response.status == 409
            && let Some(open) = self.find_open(&request.head).await?
        {
            return Ok(open);
        }
        self.api.parse::<Pull>(&response, "pull request").map(Pull::into)
    }

    async fn find_open(&self, head: &str) -> Result<Option<PullRequest>, ForgeError> {
        let open: Vec<Pull> = self.api.list(&["pulls"], &[("state", "open")], PAGES).await?;
        Ok(open
            .into_iter()
            .find(|pull| pull.head.branch == head)
            .map(Pull::into))
    }

    async fn numbers(&self, commit: &CommitId) -> Result<Vec<u64>, ForgeError> {
        // Gives the one that was merged by this commit.
        let response = self.api.get(&["commits", commit.as_str(), "pull"], &[]).await?;
        if response.status == 404 && self.api.lacks(&[]).await {
            return Err(self.api.refusal(&response));
        }
        match response.status {
            404 => Ok(Vec::new()),
            _ => Ok(vec![self.api.parse::<Pull>(&response, "pull request")?.number]),
        }
    }

    async fn comment(&self, number: u64, marker: &str, body: &str) -> Result<(), ForgeError> {
        let number = number.to_string();
        let path = ["issues", number.as_str(), "comments"];
        // This list has no pages; it is bounded by what the client reads.
        let comments: Vec<Comment> = self.api.parse(&self.api.get(&path, &[]).await?, "list")?;
        let text = marked(marker, body);
        let body = json!({ "body": text });
        let response = match ours(comments, marker) {
            Some(comment) if comment.says(&text) => return Ok(()),
            Some(comment) => {
                let id = comment.id.to_string();
                let path = ["issues", "comments", id.as_str()];
                self.api.send(Method::PATCH, &path, &[], Some(&body)).await?
            }
            None => self.api.post(&path, &body).await?,
        };
        self.api.done(&response)
    }
}

pull_requests!(Gitea);

impl From<Pull> for PullRequest {
    fn from(pull: Pull) -> Self {
        Self {
            number: pull.number,
            url: pull.html_url,
        }
    }
}

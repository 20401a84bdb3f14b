//! Pull requests on GitHub.

use ::http::Method;
use serde::Deserialize;
use serde_json::json;

use super::{GitHub, pages};
use crate::{
    repo::CommitId,
    report::{
        ForgeError, NewPullRequest, PullRequest,
        pull_request::{Comment, cut, marked, ours, pull_requests},
    },
};

#[derive(Deserialize)]
struct Pull {
    number: u64,
    html_url: String,
}

impl GitHub {
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
        if response.status == 422
            && let Some(open) = self.find_open(&request.head).await?
        {
            return Ok(open);
        }
        self.api.parse::<Pull>(&response, "pull request").map(Pull::into)
    }

    async fn find_open(&self, head: &str) -> Result<Option<PullRequest>, ForgeError> {
        let head = format!("{}:{head}", self.owner);
        let query = [("state", "open"), ("head", head.as_str())];
        let open: Vec<Pull> = self.api.list(&["pulls"], &query, pages(None)).await?;
        Ok(open.into_iter().next().map(Pull::into))
    }

    async fn numbers(&self, commit: &CommitId) -> Result<Vec<u64>, ForgeError> {
        let path = ["commits", commit.as_str(), "pulls"];
        let pulls: Vec<Pull> = self.api.list_of(commit, &path, &[], pages(None)).await?;
        let mut numbers: Vec<u64> = pulls.into_iter().map(|pull| pull.number).collect();
        numbers.sort_unstable();
        Ok(numbers)
    }

    async fn comment(&self, number: u64, marker: &str, body: &str) -> Result<(), ForgeError> {
        let number = number.to_string();
        let path = ["issues", number.as_str(), "comments"];
        let comments: Vec<Comment> = self.api.list(&path, &[], pages(None)).await?;
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

pull_requests!(GitHub);

impl From<Pull> for PullRequest {
    fn from(pull: Pull) -> Self {
        Self {
            number: pull.number,
            url: pull.html_url,
        }
    }
}

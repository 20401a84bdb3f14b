//! Merge requests on GitLab.

use ::http::Method;
use serde::Deserialize;
use serde_json::json;

use super::{GitLab, PAGES};
use crate::{
    repo::CommitId,
    report::{
        ForgeError, NewPullRequest, PullRequest,
        pull_request::{Comment, Draft, cut, ours, pull_requests, redraft},
    },
};

const MERGE_REQUESTS: &str = "merge_requests";

#[derive(Deserialize)]
struct Merge {
    /// Its number in the project; `id` counts all of the server.
    iid: u64,
    web_url: String,
}

impl GitLab {
    async fn open_one(&self, request: &NewPullRequest) -> Result<PullRequest, ForgeError> {
        if let Some(open) = self.find_open(&request.head).await? {
            return Ok(open);
        }
        let body = json!({
            "source_branch": request.head, "target_branch": request.base, "title": request.short_title(),
            "description": cut(&request.body, NewPullRequest::BODY),
        });
        let response = self.api.post(&[MERGE_REQUESTS], &body).await?;
        // Somebody else was faster.
        if response.status == 409
            && let Some(open) = self.find_open(&request.head).await?
        {
            return Ok(open);
        }
        self.api
            .parse::<Merge>(&response, "merge request")
            .map(Merge::into)
    }

    async fn find_open(&self, head: &str) -> Result<Option<PullRequest>, ForgeError> {
        let query = [("state", "opened"), ("source_branch", head)];
        let open: Vec<Merge> = self.api.list(&[MERGE_REQUESTS], &query, PAGES).await?;
        Ok(open.into_iter().next().map(Merge::into))
    }

    async fn numbers(&self, commit: &CommitId) -> Result<Vec<u64>, ForgeError> {
        let path = ["repository", "commits", commit.as_str(), MERGE_REQUESTS];
        let merges: Vec<Merge> = self.api.list_of(commit, &path, &[], PAGES).await?;
        let mut numbers: Vec<u64> = merges.into_iter().map(|merge| merge.iid).collect();
        numbers.sort_unstable();
        Ok(numbers)
    }

    async fn comment(&self, number: u64, marker: &str, draft: &Draft<'_>) -> Result<(), ForgeError> {
        let number = number.to_string();
        let path = [MERGE_REQUESTS, number.as_str(), "notes"];
        let comments: Vec<Comment> = self.api.list(&path, &[], PAGES).await?;
        let ours = ours(comments, marker);
        let text = redraft(marker, draft, ours.as_ref().map(|comment| comment.body.as_str()));
        let body = json!({ "body": text });
        let response = match ours {
            Some(comment) if comment.says(&text) => return Ok(()),
            Some(comment) => {
                let id = comment.id.to_string();
                let path = [path.as_slice(), &[id.as_str()]].concat();
                self.api.send(Method::PUT, &path, &[], Some(&body)).await?
            }
            None => self.api.post(&path, &body).await?,
        };
        self.api.done(&response)
    }
}

pull_requests!(GitLab);

impl From<Merge> for PullRequest {
    fn from(merge: Merge) -> Self {
        Self {
            number: merge.iid,
            url: merge.web_url,
        }
    }
}

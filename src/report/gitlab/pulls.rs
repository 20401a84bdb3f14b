//! Merge requests on GitLab.

use ::http::Method;
use serde::Deserialize;
use serde_json::json;

use super::{GitLab, PAGES};
use crate::{
    repo::CommitId,
    report::{
        ForgeError, NewPullRequest, PullRequest,
        api::CommentsAt,
        pull_request::{Comment, Draft, cut, pull_requests},
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
        let body = json!({
            "source_branch": request.head, "target_branch": request.base, "title": request.short_title(),
            "description": cut(&request.body, NewPullRequest::BODY),
        });
        let find = || self.find_open(&request.head);
        self.api
            .open_once(MERGE_REQUESTS, &body, 409, find, Merge::into)
            .await
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
        let at = CommentsAt {
            new: &path,
            change: &path,
            method: Method::PUT,
            body: |text| json!({ "body": text }),
        };
        self.api.keep_comment(at, comments, marker, draft).await
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

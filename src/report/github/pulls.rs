//! Pull requests on GitHub.

use super::{GitHub, pages};
use crate::{
    repo::CommitId,
    report::{
        ForgeError, NewPullRequest, PullRequest,
        api::{CommentsAt, Pull},
        pull_request::{Comment, Draft, pull_requests},
    },
};

impl GitHub {
    async fn open_one(&self, request: &NewPullRequest) -> Result<PullRequest, ForgeError> {
        let find = || self.find_open(&request.head);
        self.api.open_pull(request, 422, find).await
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

    async fn comment(&self, number: u64, marker: &str, draft: &Draft<'_>) -> Result<(), ForgeError> {
        let number = number.to_string();
        let path = ["issues", number.as_str(), "comments"];
        let comments: Vec<Comment> = self.api.list(&path, &[], pages(None)).await?;
        let at = CommentsAt::issue(&path);
        self.api.keep_comment(at, comments, marker, draft).await
    }
}

pull_requests!(GitHub);

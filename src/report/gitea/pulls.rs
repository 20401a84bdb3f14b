//! Pull requests on Gitea and Forgejo.

use super::{
    super::{
        ForgeError, NewPullRequest, PullRequest,
        api::{CommentsAt, Pull},
        pull_request::{Comment, Draft, pull_requests},
    },
    Gitea, PAGES,
};
use crate::repo::CommitId;

impl Gitea {
    async fn open_one(&self, request: &NewPullRequest) -> Result<PullRequest, ForgeError> {
        let find = || self.find_open(&request.head);
        self.api.open_pull(request, 409, find).await
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

    async fn comment(&self, number: u64, marker: &str, draft: &Draft<'_>) -> Result<(), ForgeError> {
        let number = number.to_string();
        let path = ["issues", number.as_str(), "comments"];
        // This list has no pages; it is bounded by what the client reads.
        let comments: Vec<Comment> = self.api.parse(&self.api.get(&path, &[]).await?, "list")?;
        let at = CommentsAt::issue(&path);
        self.api.keep_comment(at, comments, marker, draft).await
    }
}

pull_requests!(Gitea);

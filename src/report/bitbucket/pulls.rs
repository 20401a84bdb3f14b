//! Pull requests on Bitbucket Cloud.

use ::http::Method;
use serde::Deserialize;
use serde_json::json;

use super::{Bitbucket, PAGES};
use crate::{
    repo::CommitId,
    report::{
        ForgeError, NewPullRequest, PullRequest,
        api::{CommentsAt, page},
        pull_request::{Comment, Draft, cut, pull_requests},
    },
};

const PULL_REQUESTS: &str = "pullrequests";

#[derive(Deserialize)]
struct Pull {
    id: u64,
}

#[derive(Deserialize)]
struct Remark {
    id: u64,
    #[serde(default)]
    deleted: bool,
    #[serde(default)]
    content: Content,
}

#[derive(Default, Deserialize)]
struct Content {
    #[serde(default)]
    raw: String,
}

impl Bitbucket {
    fn pull(&self, pull: &Pull) -> PullRequest {
        PullRequest {
            number: pull.id,
            url: page(&self.site, &["pull-requests", &pull.id.to_string()]),
        }
    }

    /// A second one for the same branches would overwrite the first: it is looked first.
    async fn open_one(&self, request: &NewPullRequest) -> Result<PullRequest, ForgeError> {
        if let Some(open) = self.find_open(&request.head).await? {
            return Ok(open);
        }
        let body = json!({
            "title": request.short_title(), "description": cut(&request.body, NewPullRequest::BODY),
            "source": { "branch": { "name": request.head } },
            "destination": { "branch": { "name": request.base } },
        });
        let response = self.api.post(&[PULL_REQUESTS], &body).await?;
        let opened: Pull = self.api.parse(&response, "pull request")?;
        Ok(self.pull(&opened))
    }

    async fn find_open(&self, head: &str) -> Result<Option<PullRequest>, ForgeError> {
        let head = head.replace('\\', "\\\\").replace('"', "\\\"");
        let wanted = format!("source.branch.name=\"{head}\" AND state=\"OPEN\"");
        let open: Vec<Pull> = self.api.list(&[PULL_REQUESTS], &[("q", &wanted)], PAGES).await?;
        Ok(open.first().map(|open| self.pull(open)))
    }

    async fn numbers(&self, commit: &CommitId) -> Result<Vec<u64>, ForgeError> {
        let path = ["commit", commit.as_str(), PULL_REQUESTS];
        let first = self.api.get(&path, &[]).await?;
        // They are being counted for the first time; the answer has no list yet.
        if first.status == 202 {
            return Err(ForgeError::Unavailable {
                forge: self.api.forge(),
                text: "it is still finding out which pull requests there are".to_owned(),
                retry_after: None,
            });
        }
        let pulls: Vec<Pull> = self.api.list_of(commit, &path, &[], PAGES).await?;
        let mut numbers: Vec<u64> = pulls.into_iter().map(|pull| pull.id).collect();
        numbers.sort_unstable();
        Ok(numbers)
    }

    async fn comment(&self, number: u64, marker: &str, draft: &Draft<'_>) -> Result<(), ForgeError> {
        let number = number.to_string();
        let path = [PULL_REQUESTS, number.as_str(), "comments"];
        let remarks: Vec<Remark> = self.api.list(&path, &[], PAGES).await?;
        let standing = remarks.into_iter().filter(|remark| !remark.deleted);
        let comments = standing.map(|remark| Comment {
            id: remark.id,
            body: remark.content.raw,
        });
        let at = CommentsAt {
            new: &path,
            change: &path,
            method: Method::PUT,
            body: |text| json!({ "content": { "raw": text } }),
        };
        self.api.keep_comment(at, comments.collect(), marker, draft).await
    }
}

pull_requests!(Bitbucket);

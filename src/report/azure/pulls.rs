//! Pull requests on Azure DevOps.

use std::collections::BTreeMap;

use ::http::Method;
use serde::Deserialize;
use serde_json::json;

use super::{AzureDevOps, PAGES};
use crate::{
    repo::CommitId,
    report::{
        ForgeError, NewPullRequest, PullRequest,
        api::{Pages, page},
        pull_request::{Draft, cut, is_marked, pull_requests, redraft},
    },
};

const PULL_REQUESTS: &str = "pullRequests";
/// Greatest length of the text of a pull request, in characters.
const BODY: usize = 4000;

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Pull {
    pull_request_id: u64,
}

/// What is found for each query: pull requests by commit.
#[derive(Deserialize)]
struct Found {
    results: Vec<BTreeMap<String, Vec<Pull>>>,
}

#[derive(Deserialize)]
struct Thread {
    id: u64,
    #[serde(default)]
    comments: Vec<Comment>,
}

#[derive(Deserialize)]
struct Comment {
    id: u64,
    #[serde(default)]
    content: String,
}

impl AzureDevOps {
    fn pull(&self, pull: &Pull) -> PullRequest {
        PullRequest {
            number: pull.pull_request_id,
            url: page(&self.site, &["pullrequest", &pull.pull_request_id.to_string()]),
        }
    }

    async fn open_one(&self, request: &NewPullRequest) -> Result<PullRequest, ForgeError> {
        let body = json!({
            "sourceRefName": format!("refs/heads/{}", request.head),
            "targetRefName": format!("refs/heads/{}", request.base),
            "title": request.short_title(), "description": cut(&request.body, BODY),
        });
        let find = || self.find_open(&request.head);
        self.api
            .open_once(PULL_REQUESTS, &body, 409, find, |opened| self.pull(&opened))
            .await
    }

    async fn find_open(&self, head: &str) -> Result<Option<PullRequest>, ForgeError> {
        let head = format!("refs/heads/{head}");
        let query = [
            ("searchCriteria.status", "active"),
            ("searchCriteria.sourceRefName", head.as_str()),
        ];
        // Here the parameters of a page begin with a dollar sign.
        let pages = Pages {
            name: "$top",
            by: super::By::Skip("$skip"),
            ..PAGES
        };
        let open: Vec<Pull> = self.api.list(&[PULL_REQUESTS], &query, pages).await?;
        Ok(open.first().map(|open| self.pull(open)))
    }

    /// Those that the commit merged, and those that it is part of.
    async fn numbers(&self, commit: &CommitId) -> Result<Vec<u64>, ForgeError> {
        let items = [commit.as_str()];
        let query = |kind: &str| json!({ "type": kind, "items": items });
        let body = json!({ "queries": [query("lastMergeCommit"), query("commit")] });
        let response = self.api.post(&["pullRequestQuery"], &body).await?;
        let found: Found = self.api.parse(&response, "list of pull requests")?;
        let pulls = found.results.into_iter().flatten().flat_map(|(_, pulls)| pulls);
        let mut numbers: Vec<u64> = pulls.map(|pull| pull.pull_request_id).collect();
        numbers.sort_unstable();
        numbers.dedup();
        Ok(numbers)
    }

    async fn comment(&self, number: u64, marker: &str, draft: &Draft<'_>) -> Result<(), ForgeError> {
        let number = number.to_string();
        let path = [PULL_REQUESTS, number.as_str(), "threads"];
        // This list has no pages; it is bounded by what the client reads.
        let response = self.api.get(&path, &[]).await?;
        let threads: Threads = self.api.parse(&response, "list")?;
        let mut comments = threads.value.into_iter().flat_map(|thread| {
            let id = thread.id;
            thread.comments.into_iter().map(move |comment| (id, comment))
        });
        let ours = comments.find(|(_, comment)| is_marked(marker, &comment.content));
        let text = redraft(
            marker,
            draft,
            ours.as_ref().map(|(_, comment)| comment.content.as_str()),
        );
        let response = match ours {
            Some((_, comment)) if comment.content.trim_end() == text => return Ok(()),
            Some((thread, comment)) => {
                let (thread, id) = (thread.to_string(), comment.id.to_string());
                let path = [path.as_slice(), &[thread.as_str(), "comments", id.as_str()]].concat();
                let body = json!({ "content": text });
                self.api.send(Method::PATCH, &path, &[], Some(&body)).await?
            }
            None => {
                // Closed, so that it does not wait for an answer: some branches take no open threads.
                let comment = json!({ "parentCommentId": 0, "commentType": "text", "content": text });
                self.api
                    .post(&path, &json!({ "comments": [comment], "status": "closed" }))
                    .await?
            }
        };
        self.api.done(&response)
    }
}

#[derive(Deserialize)]
struct Threads {
    value: Vec<Thread>,
}

pull_requests!(AzureDevOps);

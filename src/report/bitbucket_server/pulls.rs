//! Pull requests on Bitbucket Data Center.

use ::http::Method;
use serde::Deserialize;
use serde_json::json;

use super::{BitbucketServer, PAGES};
use crate::{
    repo::CommitId,
    report::{
        ForgeError, NewPullRequest, PullRequest,
        api::page,
        pull_request::{Draft, cut, is_marked, pull_requests, redraft},
    },
};

const PULL_REQUESTS: &str = "pull-requests";

#[derive(Deserialize)]
struct Pull {
    id: u64,
}

/// What happened on a pull request; a comment may be part of it.
#[derive(Deserialize)]
struct Activity {
    #[serde(default)]
    comment: Option<Comment>,
}

#[derive(Deserialize)]
struct Comment {
    id: u64,
    /// A change names the version that it is of.
    version: u64,
    #[serde(default)]
    text: String,
}

impl BitbucketServer {
    fn pull(&self, pull: &Pull) -> PullRequest {
        PullRequest {
            number: pull.id,
            url: page(&self.site, &[PULL_REQUESTS, &pull.id.to_string()]),
        }
    }

    async fn open_one(&self, request: &NewPullRequest) -> Result<PullRequest, ForgeError> {
        let body = json!({
            "title": request.short_title(), "description": cut(&request.body, NewPullRequest::BODY),
            "fromRef": { "id": format!("refs/heads/{}", request.head) },
            "toRef": { "id": format!("refs/heads/{}", request.base) },
        });
        let find = || self.find_open(&request.head);
        self.api
            .open_once(PULL_REQUESTS, &body, 409, find, |opened| self.pull(&opened))
            .await
    }

    async fn find_open(&self, head: &str) -> Result<Option<PullRequest>, ForgeError> {
        let head = format!("refs/heads/{head}");
        let query = [
            ("state", "OPEN"),
            ("direction", "OUTGOING"),
            ("at", head.as_str()),
        ];
        let open: Vec<Pull> = self.api.list(&[PULL_REQUESTS], &query, PAGES).await?;
        Ok(open.first().map(|open| self.pull(open)))
    }

    async fn numbers(&self, commit: &CommitId) -> Result<Vec<u64>, ForgeError> {
        let path = ["commits", commit.as_str(), PULL_REQUESTS];
        let pulls: Vec<Pull> = self.api.list_of(commit, &path, &[], PAGES).await?;
        let mut numbers: Vec<u64> = pulls.into_iter().map(|pull| pull.id).collect();
        numbers.sort_unstable();
        Ok(numbers)
    }

    async fn comment(&self, number: u64, marker: &str, draft: &Draft<'_>) -> Result<(), ForgeError> {
        let number = number.to_string();
        // Comments as such are listed by file alone.
        let path = [PULL_REQUESTS, number.as_str(), "activities"];
        let activities: Vec<Activity> = self.api.list(&path, &[], PAGES).await?;
        let mut comments = activities.into_iter().filter_map(|activity| activity.comment);
        let ours = comments.find(|comment| is_marked(marker, &comment.text));
        let text = redraft(marker, draft, ours.as_ref().map(|comment| comment.text.as_str()));
        let path = [PULL_REQUESTS, number.as_str(), "comments"];
        let response = match ours {
            Some(comment) if comment.text.trim_end() == text => return Ok(()),
            Some(comment) => {
                let id = comment.id.to_string();
                let path = [path.as_slice(), &[id.as_str()]].concat();
                let body = json!({ "text": text, "version": comment.version });
                self.api.send(Method::PUT, &path, &[], Some(&body)).await?
            }
            None => self.api.post(&path, &json!({ "text": text })).await?,
        };
        self.api.done(&response)
    }
}

pull_requests!(BitbucketServer);

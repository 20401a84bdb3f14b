//! Pull requests as GitHub has them, and Gitea after it.

use ::http::Method;
use serde::Deserialize;
use serde_json::json;

use super::{
    super::{
        ForgeError, NewPullRequest, PullRequest,
        pull_request::{Comment, Draft, cut, ours, redraft},
    },
    Api,
};

/// A pull request as it is listed.
#[derive(Deserialize)]
pub(in crate::report) struct Pull {
    pub(in crate::report) number: u64,
    html_url: String,
    #[serde(default)]
    pub(in crate::report) head: Head,
}

#[derive(Default, Deserialize)]
pub(in crate::report) struct Head {
    #[serde(default, rename = "ref")]
    pub(in crate::report) branch: String,
}

impl From<Pull> for PullRequest {
    fn from(pull: Pull) -> Self {
        Self {
            number: pull.number,
            url: pull.html_url,
        }
    }
}

impl Api {
    /// Opens a pull request, unless there is an open one. `taken` is the status of the refusal where somebody else
    /// was faster.
    pub(in crate::report) async fn open_pull<F>(
        &self,
        request: &NewPullRequest,
        taken: u16,
        find_open: impl Fn() -> F,
    ) -> Result<PullRequest, ForgeError>
    where
        F: Future<Output = Result<Option<PullRequest>, ForgeError>>,
    {
        if let Some(open) = find_open().await? {
            return Ok(open);
        }
        let body = json!({
            "head": request.head, "base": request.base, "title": request.short_title(),
            "body": cut(&request.body, NewPullRequest::BODY),
        });
        let response = self.post(&["pulls"], &body).await?;
        if response.status == taken
            && let Some(open) = find_open().await?
        {
            return Ok(open);
        }
        self.parse::<Pull>(&response, "pull request").map(Pull::into)
    }

    /// Keeps our comment among those of a pull request up to date.
    pub(in crate::report) async fn keep_comment(
        &self,
        number: &str,
        comments: Vec<Comment>,
        marker: &str,
        draft: &Draft<'_>,
    ) -> Result<(), ForgeError> {
        let ours = ours(comments, marker);
        let text = redraft(marker, draft, ours.as_ref().map(|comment| comment.body.as_str()));
        let body = json!({ "body": text });
        let response = match ours {
            Some(comment) if comment.says(&text) => return Ok(()),
            Some(comment) => {
                let id = comment.id.to_string();
                let path = ["issues", "comments", id.as_str()];
                self.send(Method::PATCH, &path, &[], Some(&body)).await?
            }
            None => self.post(&["issues", number, "comments"], &body).await?,
        };
        self.done(&response)
    }
}

//! Pull requests and their comments, as most forges have them; GitHub and Gitea in all.

use ::http::Method;
use serde::{Deserialize, de::DeserializeOwned};
use serde_json::{Value, json};

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

/// How a forge takes comments.
pub(in crate::report) struct CommentsAt<'a> {
    /// Where a new one is posted.
    pub(in crate::report) new: &'a [&'a str],
    /// Where one is changed, without its id, and how.
    pub(in crate::report) change: &'a [&'a str],
    pub(in crate::report) method: Method,
    /// Wraps a text.
    pub(in crate::report) body: fn(&str) -> Value,
}

impl<'a> CommentsAt<'a> {
    /// As GitHub takes them.
    pub(in crate::report) fn issue(new: &'a [&'a str]) -> Self {
        Self {
            new,
            change: &["issues", "comments"],
            method: Method::PATCH,
            body: |text| json!({ "body": text }),
        }
    }
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
    /// Opens a pull request as GitHub does. `taken` is the status of the refusal where there is one already.
    pub(in crate::report) async fn open_pull<F>(
        &self,
        request: &NewPullRequest,
        taken: u16,
        find_open: impl Fn() -> F,
    ) -> Result<PullRequest, ForgeError>
    where
        F: Future<Output = Result<Option<PullRequest>, ForgeError>>,
    {
        let body = json!({
            "head": request.head, "base": request.base, "title": request.short_title(),
            "body": cut(&request.body, NewPullRequest::BODY),
        });
        self.open_once("pulls", &body, taken, find_open, Pull::into).await
    }

    /// Opens a pull request, unless there is an open one, also where somebody else was faster.
    pub(in crate::report) async fn open_once<P, F>(
        &self,
        path: &str,
        body: &Value,
        taken: u16,
        find_open: impl Fn() -> F,
        opened: impl FnOnce(P) -> PullRequest,
    ) -> Result<PullRequest, ForgeError>
    where
        P: DeserializeOwned,
        F: Future<Output = Result<Option<PullRequest>, ForgeError>>,
    {
        if let Some(open) = find_open().await? {
            return Ok(open);
        }
        let response = self.post(&[path], body).await?;
        if response.status == taken
            && let Some(open) = find_open().await?
        {
            return Ok(open);
        }
        self.parse(&response, "pull request").map(opened)
    }

    /// Keeps our comment among those of a pull request up to date.
    pub(in crate::report) async fn keep_comment(
        &self,
        at: CommentsAt<'_>,
        comments: Vec<Comment>,
        marker: &str,
        draft: &Draft<'_>,
    ) -> Result<(), ForgeError> {
        let ours = ours(comments, marker);
        let text = redraft(marker, draft, ours.as_ref().map(|comment| comment.body.as_str()));
        let body = (at.body)(&text);
        let response = match ours {
            Some(comment) if comment.says(&text) => return Ok(()),
            Some(comment) => {
                let id = comment.id.to_string();
                let path = [at.change, &[id.as_str()]].concat();
                self.send(at.method, &path, &[], Some(&body)).await?
            }
            None => self.post(at.new, &body).await?,
        };
        self.done(&response)
    }
}

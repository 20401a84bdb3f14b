//! The seam to pull requests: open one for a branch that git has pushed, find those of a commit, keep one
//! comment on each up to date.

use futures::future::BoxFuture;
use serde::Deserialize;

use super::ForgeError;
use crate::{http::excerpt, repo::CommitId};

/// The pull requests (merge requests) of one repository.
pub trait PullRequests: Send + Sync {
    /// Opens one, or returns the open one of the same head branch as it is.
    fn open<'a>(&'a self, request: &'a NewPullRequest) -> BoxFuture<'a, Result<PullRequest, ForgeError>>;

    /// Returns the numbers of the pull requests that a commit came from, ascending; none for a commit that is
    /// not known.
    fn of_commit<'a>(&'a self, commit: &'a CommitId) -> BoxFuture<'a, Result<Vec<u64>, ForgeError>>;

    /// Creates our one comment, or updates it: the one that ends with the marker. The marker is one word; it is
    /// added to the body so that no reader sees it.
    fn upsert_comment<'a>(
        &'a self,
        number: u64,
        marker: &'a str,
        draft: &'a Draft<'a>,
    ) -> BoxFuture<'a, Result<(), ForgeError>>;
}

/// What our comment shall say, given what it says now; nothing where there is none yet.
pub type Draft<'d> = dyn Fn(&str) -> String + Send + Sync + 'd;

/// Makes a forge of what its own three functions do.
macro_rules! pull_requests {
    ($forge:ty) => {
        impl $crate::report::PullRequests for $forge {
            fn open<'a>(
                &'a self,
                request: &'a $crate::report::NewPullRequest,
            ) -> futures::future::BoxFuture<'a, Result<$crate::report::PullRequest, $crate::report::ForgeError>>
            {
                Box::pin(self.open_one(request))
            }

            fn of_commit<'a>(
                &'a self,
                commit: &'a $crate::repo::CommitId,
            ) -> futures::future::BoxFuture<'a, Result<Vec<u64>, $crate::report::ForgeError>> {
                Box::pin(self.numbers(commit))
            }

            fn upsert_comment<'a>(
                &'a self,
                number: u64,
                marker: &'a str,
                draft: &'a $crate::report::Draft<'a>,
            ) -> futures::future::BoxFuture<'a, Result<(), $crate::report::ForgeError>> {
                Box::pin(self.comment(number, marker, draft))
            }
        }
    };
}
pub(super) use pull_requests;

/// A pull request that shall be open.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct NewPullRequest {
    /// The branch with the commits, in the same repository; it was pushed already.
    pub head: String,
    /// The branch that they shall go to.
    pub base: String,
    /// Title, on one line.
    pub title: String,
    /// Text, in markdown.
    pub body: String,
}

impl NewPullRequest {
    /// Greatest length of a title, in characters; the least of all forges.
    pub const TITLE: usize = 200;
    /// Greatest length of a text, in characters; what every forge but Azure DevOps takes.
    pub const BODY: usize = 32_000;

    /// Returns the title, cut to what every forge takes.
    pub(super) fn short_title(&self) -> String {
        excerpt(&self.title, Self::TITLE)
    }
}

/// A pull request that is open.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PullRequest {
    /// Its number in the repository.
    pub number: u64,
    /// Where people see it.
    pub url: String,
}

/// Greatest length of a comment, in characters; Bitbucket allows the least of all forges.
const COMMENT: usize = 32_000;

/// Returns the body of a comment with its marker: a link that nothing refers to, which every dialect of markdown
/// leaves out.
fn marked(marker: &str, body: &str) -> String {
    format!("{}\n\n{}", cut(body.trim(), COMMENT), sign(marker))
}

/// The text of our comment, given the comment as it is.
pub(super) fn redraft(marker: &str, draft: &Draft<'_>, comment: Option<&str>) -> String {
    let known = comment.map(|comment| comment.trim_end().replace('\r', ""));
    let known = known
        .as_deref()
        .and_then(|known| known.strip_suffix(&sign(marker)));
    marked(marker, &draft(known.unwrap_or_default().trim_end()))
}

/// A comment as most forges list it.
#[derive(Deserialize)]
pub(super) struct Comment {
    pub(super) id: u64,
    #[serde(default)]
    pub(super) body: String,
}

impl Comment {
    /// Whether there is nothing to change.
    pub(super) fn says(&self, text: &str) -> bool {
        self.body.trim_end() == text
    }
}

/// Finds our comment.
pub(super) fn ours(comments: Vec<Comment>, marker: &str) -> Option<Comment> {
    comments
        .into_iter()
        .find(|comment| is_marked(marker, &comment.body))
}

/// Whether a comment is the one with this marker.
pub(super) fn is_marked(marker: &str, comment: &str) -> bool {
    comment.trim_end().ends_with(&sign(marker))
}

fn sign(marker: &str) -> String {
    let word: String = marker
        .chars()
        .map(|c| {
            if c.is_ascii_graphic() && !"()\\<>[]".contains(c) {
                c
            } else {
                '_'
            }
        })
        .take(300)
        .collect();
    format!("[//]: # ({word})")
}

/// Cuts a text of many lines.
pub(super) fn cut(text: &str, limit: usize) -> String {
    if text.chars().count() <= limit {
        return text.to_owned();
    }
    text.chars()
        .take(limit.saturating_sub(1))
        .chain(std::iter::once('…'))
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_marker_is_found_again_and_only_at_the_end() {
        let body = marked("serin:test/app", "weights\n\n| a | b |\n");
        assert!(is_marked("serin:test/app", &body) && is_marked("serin:test/app", &format!("{body}\r\n")));
        assert!(!is_marked("serin:test/ap", &body) && !is_marked("test/app", &body));
        assert!(!is_marked(
            "serin:test/app",
            &format!("> {body}\n\nI see this too")
        ));
    }

    #[test]
    fn a_marker_cannot_break_out_and_a_comment_is_bounded() {
        let body = marked("a) <script>\nb", &"é".repeat(100_000));
        assert!(
            body.ends_with("…\n\n[//]: # (a___script__b)"),
            "{}",
            &body[body.len() - 60..]
        );
        assert_eq!(body.lines().next().unwrap().chars().count(), COMMENT);
        assert!(is_marked("a) <script>\nb", &body));
    }
}

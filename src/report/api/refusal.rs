//! What it means when a forge refuses.

use std::time::Duration;

use serde_json::Value;

use super::{super::ForgeError, Api};
use crate::{
    http::{Response, excerpt},
    repo::CommitId,
};

/// How long to leave a forge alone that says there were too many requests, but not until when.
const LIMITED: Duration = Duration::from_secs(60);

impl Api {
    /// Says what a response without success means, by its status alone.
    pub(in crate::report) fn refusal(&self, response: &Response) -> ForgeError {
        let (forge, repository) = (self.forge(), self.remote.repository.clone());
        let text = message(response);
        let unavailable = |retry_after| ForgeError::Unavailable {
            forge: forge.clone(),
            text: format!("it answered {}: {text}", response.status),
            retry_after,
        };
        match response.status {
            300..=399 => ForgeError::Config {
                forge,
                text: format!("it answered {}: {repository} is elsewhere now", response.status),
                hint: "check --status-repo and --status-url".to_owned(),
            },
            401 => ForgeError::Unauthorized { forge },
            403 | 429 if self.is_limited(response, &text) => unavailable(Some(self.pause(response))),
            403 => ForgeError::Forbidden {
                forge,
                repository,
                text,
            },
            404 | 410 => ForgeError::NoRepository { forge, repository },
            408 | 409 | 423 | 425 | 500.. => unavailable(response.retry_after(self.remote.clock.now())),
            status @ (400 | 413 | 414 | 415 | 422) if response.may_be_json() => ForgeError::Invalid {
                forge,
                text: format!("it answered {status}: {text}"),
            },
            // Not about the status: what stands between us and the forge says so.
            status => ForgeError::Config {
                forge,
                text: format!("it answered {status}: {text}"),
                hint: "check --status-url, and what stands in front of the forge".to_owned(),
            },
        }
    }

    /// Says what a response without success to a request about a commit means. Forges answer alike when the
    /// commit is not there (yet), when the repository is not, and when the token may not see either.
    pub(in crate::report) async fn refusal_of(&self, commit: &CommitId, response: &Response) -> ForgeError {
        let text = message(response);
        if (self.about_commit)(response.status, &text.to_lowercase())
            || (matches!(response.status, 400 | 404 | 422) && text.contains(commit.as_str()))
        {
            return self.unknown(commit);
        }
        if response.status != 404 {
            return self.refusal(response);
        }
        let path = [self.commits, &[commit.as_str()]].concat();
        if self.has(&path).await {
            return ForgeError::Forbidden {
                forge: self.forge(),
                repository: self.remote.repository.clone(),
                text,
            };
        }
        if self.has(&[]).await {
            return self.unknown(commit);
        }
        self.refusal(response)
    }

    /// Whether a part of the repository can be seen.
    async fn has(&self, path: &[&str]) -> bool {
        self.get(path, &[])
            .await
            .is_ok_and(|response| response.is_success())
    }

    /// Whether the forge answers, and says that a part of the repository is not there.
    pub(in crate::report) async fn lacks(&self, path: &[&str]) -> bool {
        self.get(path, &[])
            .await
            .is_ok_and(|response| response.status == 404)
    }

    fn pause(&self, response: &Response) -> Duration {
        if let Some(asked) = response.retry_after(self.remote.clock.now()) {
            return asked;
        }
        let remaining = ["x-ratelimit-remaining", "ratelimit-remaining"];
        let reset = ["x-ratelimit-reset", "ratelimit-reset"];
        let first = |names: [&str; 2]| names.into_iter().find_map(|name| number(response, name));
        match (first(remaining), first(reset)) {
            (Some(0), Some(at)) => {
                let now = self.remote.clock.now().as_second();
                let seconds = at.saturating_sub(now).clamp(1, 3600);
                Duration::from_secs(u64::try_from(seconds).unwrap_or(1))
            }
            _ => LIMITED,
        }
    }

    /// A 403 is about the number of requests only if the forge says so.
    fn is_limited(&self, response: &Response, text: &str) -> bool {
        response.status == 429
            || response.retry_after(self.remote.clock.now()).is_some()
            || number(response, "x-ratelimit-remaining") == Some(0)
            || text.to_lowercase().contains("rate limit")
    }
}

fn number(response: &Response, header: &str) -> Option<i64> {
    response.headers.get(header)?.to_str().ok()?.trim().parse().ok()
}

/// Returns the message of an error, or what there is instead of one. Forges differ in where they put it.
pub(in crate::report) fn message(response: &Response) -> String {
    let Ok(body) = response.json::<Value>() else {
        return response.text();
    };
    let mut parts = Vec::new();
    for pointer in ["/message", "/error/message", "/error", "/error_description"] {
        match body.pointer(pointer) {
            Some(Value::String(text)) => parts.push(text.clone()),
            Some(Value::Null) | None => {}
            Some(Value::Array(texts)) if texts.iter().all(Value::is_string) => {
                parts.extend(texts.iter().filter_map(Value::as_str).map(str::to_owned));
            }
            Some(other) if pointer == "/message" => parts.push(other.to_string()),
            Some(_) => {}
        }
    }
    for fault in body.get("errors").and_then(Value::as_array).into_iter().flatten() {
        let text = fault.get("message").unwrap_or(fault);
        parts.push(text.as_str().map_or_else(|| text.to_string(), str::to_owned));
    }
    if parts.is_empty() {
        return response.text();
    }
    excerpt(&parts.join(": "), 200)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn said(body: &str) -> String {
        message(&Response {
            status: 400,
            headers: ::http::HeaderMap::new(),
            body: body.to_owned().into(),
        })
    }

    #[test]
    fn the_message_is_found_where_each_forge_puts_it() {
        for (body, text) in [
            (r#"{"message":"no","url":"x"}"#, "no"),
            (
                r#"{"message":"Validation Failed","errors":[{"resource":"Status","message":"is too long"}]}"#,
                "Validation Failed: is too long",
            ),
            (
                r#"{"message":"Validation Failed","errors":["a","b"]}"#,
                "Validation Failed: a: b",
            ),
            (
                r#"{"message":{"name":["is too long"]}}"#,
                r#"{"name":["is too long"]}"#,
            ),
            (
                r#"{"error":"insufficient_scope","scope":"api"}"#,
                "insufficient_scope",
            ),
            (
                r#"{"type":"error","error":{"message":"Commit not found"}}"#,
                "Commit not found",
            ),
            (
                r#"{"errors":[{"context":null,"message":"Commit 'x' does not exist","exceptionName":"E"}]}"#,
                "Commit 'x' does not exist",
            ),
            (
                r#"{"$id":"1","message":"TF200016: no project","typeKey":"K"}"#,
                "TF200016: no project",
            ),
            ("<html>no</html>", "<html>no</html>"),
            ("[]", "[]"),
        ] {
            assert_eq!(said(body), text);
        }
    }
}

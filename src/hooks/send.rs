//! One call, with its tries.

use std::time::Duration;

use super::payload::Payload;
use crate::{
    canary::Hook,
    http::{Client, Error, Request, Response, Tls},
};

/// Further tries at most, whatever the Canary asks for: a check must come to an end.
const MAX_RETRIES: u32 = 20;
/// Pause before the second try; doubled for each further one.
const FIRST_PAUSE: Duration = Duration::from_secs(1);
/// Longest pause.
const LONGEST_PAUSE: Duration = Duration::from_secs(30);

/// How a call ended.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Outcome {
    /// With a 2xx.
    Agreed,
    /// With another status; what the response said, or the status.
    Refused(String),
    /// Without a response; why.
    Unreachable(String),
}

impl Outcome {
    /// Returns why the hook did not agree.
    pub(super) fn trouble(&self) -> Option<&str> {
        match self {
            Self::Agreed => None,
            Self::Refused(why) | Self::Unreachable(why) => Some(why),
        }
    }
}

/// Calls a hook; tries again, as often as the hook allows, what may pass by itself.
pub(super) async fn send(hook: &Hook, payload: &Payload<'_>, client: &Client) -> Outcome {
    let request = match request(hook, payload) {
        Ok(request) => request,
        Err(error) => return Outcome::Unreachable(error.to_string()),
    };
    let mut left = hook.retries.min(MAX_RETRIES);
    let mut pause = FIRST_PAUSE;
    loop {
        let result = client.send(request.clone()).await;
        if left == 0 || !worth_another_try(&result) {
            return outcome(result);
        }
        tokio::time::sleep(pause).await;
        left -= 1;
        pause = pause.saturating_mul(2).min(LONGEST_PAUSE);
    }
}

fn request(hook: &Hook, payload: &Payload<'_>) -> Result<Request, Error> {
    let tls = Tls {
        skip_verify: hook.disable_tls,
        ..Tls::default()
    };
    Ok(Request::post_json(&hook.url, payload)?
        .timeout(hook.timeout)
        .tls(tls))
}

fn worth_another_try(result: &Result<Response, Error>) -> bool {
    match result {
        Ok(response) => response.status >= 500 || response.status == 429,
        Err(error) => error.is_transient(),
    }
}

fn outcome(result: Result<Response, Error>) -> Outcome {
    match result {
        Ok(response) if response.is_success() => Outcome::Agreed,
        Ok(response) => Outcome::Refused(match (response.text(), response.status) {
            (text, 300..400) if text.is_empty() => {
                format!(
                    "the hook answered {}, redirects are not followed",
                    response.status
                )
            }
            (text, status) if text.is_empty() => format!("the hook answered {status}"),
            (text, _) => text,
        }),
        Err(error) => Outcome::Unreachable(error.to_string()),
    }
}

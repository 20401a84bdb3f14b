//! `POST /notify`: a call that says that something was pushed makes the source look now. Bounded in size, time,
//! number and rate, for anybody may call; what a call may do is decided in `repo::webhook`.

use std::{
    net::SocketAddr,
    sync::{Arc, Mutex},
    time::Duration,
};

use axum::{
    body::to_bytes,
    extract::{ConnectInfo, Request, State},
    http::{HeaderMap, StatusCode},
};
use jiff::Timestamp;
use tokio::sync::Semaphore;

use super::{Shared, lock};
use crate::{
    http::SecretFile,
    repo::{
        Trigger,
        webhook::{self, Call, Following, Verdict},
    },
};

/// Greatest size of a body. Forges cut their own off well below.
const MAX_BODY: usize = 1 << 20;
/// Greatest size of all headers together.
const MAX_HEADERS: usize = 32 << 10;
/// How long a body may take to arrive.
const PATIENCE: Duration = Duration::from_secs(10);
/// How many calls are read at a time.
const AT_A_TIME: usize = 8;
/// So many calls may come at once; after that, one a second.
const BURST: i64 = 30;

/// Who may call, and which pushes count.
#[derive(Clone, Debug, Default)]
pub struct NotifyOptions {
    /// Where the secret is that callers sign with. Without one only this machine may call.
    pub secret: Option<SecretFile>,
    /// What is followed.
    pub following: Following,
}

/// The receiver of calls.
pub(super) struct Notify {
    options: NotifyOptions,
    trigger: Trigger,
    readers: Semaphore,
    rate: Mutex<Rate>,
}

impl Notify {
    pub(super) fn new(options: NotifyOptions, trigger: Trigger) -> Self {
        Self {
            options,
            trigger,
            readers: Semaphore::new(AT_A_TIME),
            rate: Mutex::default(),
        }
    }
}

/// A bucket of calls that fills up by one a second.
#[derive(Default)]
struct Rate {
    /// Calls taken out of it.
    taken: i64,
    since: Option<Timestamp>,
}

impl Rate {
    fn allows(&mut self, now: Timestamp) -> bool {
        let since = *self.since.get_or_insert(now);
        let refilled = now.duration_since(since).as_secs().max(0);
        if refilled > 0 {
            self.taken = self.taken.saturating_sub(refilled).max(0);
            self.since = Some(now);
        }
        let allowed = self.taken < BURST;
        self.taken += i64::from(allowed);
        allowed
    }
}

type Answer = (StatusCode, String);

/// Answers a call.
pub(super) async fn receive(State(shared): State<Arc<Shared>>, request: Request) -> Answer {
    let Some(notify) = &shared.notify else {
        return say(StatusCode::NOT_FOUND, "there is no source to look at");
    };
    if !lock(&notify.rate).allows(shared.now()) {
        return say(
            StatusCode::TOO_MANY_REQUESTS,
            "too many calls; one a second is enough",
        );
    }
    let Ok(_reading) = notify.readers.try_acquire() else {
        return say(StatusCode::TOO_MANY_REQUESTS, "too many calls at a time");
    };
    let (head, body) = request.into_parts();
    if size(&head.headers) > MAX_HEADERS {
        return say(StatusCode::REQUEST_HEADER_FIELDS_TOO_LARGE, "too many headers");
    }
    let body = match tokio::time::timeout(PATIENCE, to_bytes(body, MAX_BODY)).await {
        Ok(Ok(body)) => body,
        Ok(Err(_)) => return say(StatusCode::PAYLOAD_TOO_LARGE, "more than 1 MiB, or broken off"),
        Err(_) => return say(StatusCode::REQUEST_TIMEOUT, "the body takes too long"),
    };
    let peer = head
        .extensions
        .get::<ConnectInfo<SocketAddr>>()
        .map(|info| info.0);
    let secret = match notify.options.secret.as_ref().map(SecretFile::read).transpose() {
        Ok(secret) => secret,
        Err(error) => {
            tracing::warn!(%error, "Cannot read the secret of webhooks; a call is refused.");
            return say(StatusCode::SERVICE_UNAVAILABLE, "the secret cannot be read");
        }
    };
    let header = |name: &str| head.headers.get(name).and_then(|value| value.to_str().ok());
    let call = Call {
        header: &header,
        body: &body,
        is_local: is_local(peer, &head.headers),
    };
    match webhook::judge(&call, secret.as_ref(), &notify.options.following, shared.now()) {
        Verdict::Look => {
            tracing::debug!("A call says that something was pushed.");
            notify.trigger.fire();
            // Not 202: git-sync takes only 200 for success.
            say(StatusCode::OK, "looking")
        }
        Verdict::Ignore(why) => say(StatusCode::OK, &why),
        Verdict::Refuse(why) => {
            let peer = peer.map(|peer| peer.to_string()).unwrap_or_default();
            tracing::warn!(peer, why, "A call is refused.");
            say(StatusCode::FORBIDDEN, why)
        }
        Verdict::Malformed(why) => say(StatusCode::BAD_REQUEST, why),
    }
}

/// Whether a call comes from this machine, and not through a proxy on it.
fn is_local(peer: Option<SocketAddr>, headers: &HeaderMap) -> bool {
    let passed_on = ["forwarded", "x-forwarded-for", "x-real-ip", "via"]
        .into_iter()
        .any(|name| headers.contains_key(name));
    !passed_on && peer.is_some_and(|peer| peer.ip().to_canonical().is_loopback())
}

fn size(headers: &HeaderMap) -> usize {
    headers
        .iter()
        .map(|(name, value)| name.as_str().len() + value.len())
        .sum()
}

fn say(status: StatusCode, text: &str) -> Answer {
    (status, format!("{text}\n"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn calls_are_bounded_in_rate() {
        let start = Timestamp::from_second(1_800_000_000).unwrap();
        let at = |seconds: i64| start + jiff::SignedDuration::from_secs(seconds);
        let mut rate = Rate::default();
        let many = |rate: &mut Rate, now| (0..100).filter(|_| rate.allows(now)).count();
        assert_eq!(many(&mut rate, at(0)), 30);
        assert_eq!(many(&mut rate, at(5)), 5);
        assert_eq!(many(&mut rate, at(500)), 30);
        assert_eq!(many(&mut rate, at(0)), 0, "a clock that goes back gives nothing");
    }

    #[test]
    fn a_call_that_a_proxy_passes_on_is_not_local() {
        let peer = |text: &str| Some(text.parse().unwrap());
        let none = HeaderMap::new();
        assert!(is_local(peer("127.0.0.1:9"), &none));
        assert!(is_local(peer("[::1]:9"), &none));
        assert!(is_local(peer("[::ffff:127.0.0.1]:9"), &none));
        assert!(!is_local(peer("10.0.0.1:9"), &none));
        assert!(!is_local(None, &none));
        let mut passed = HeaderMap::new();
        passed.insert("x-forwarded-for", "10.0.0.1".parse().unwrap());
        assert!(!is_local(peer("127.0.0.1:9"), &passed));
    }
}

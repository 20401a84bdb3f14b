//! Calls that say that something was pushed: our own `POST /notify`, and the push webhooks of GitHub, GitLab, Gitea
//! and Forgejo. They say only *look now*: what is new is read from the source itself, never from a call. Pure.

use jiff::{SignedDuration, Timestamp};
use ring::hmac;
use serde::Deserialize;

use crate::http::Secret;

/// How far the time of a signature may be off.
const WINDOW: SignedDuration = SignedDuration::from_mins(5);
/// The longest header that is looked at.
const MAX_HEADER: usize = 4096;
/// The longest branch or repository that is repeated in an answer.
const MAX_NAME: usize = 100;

/// A call, as it came in.
#[derive(Clone, Copy)]
pub struct Call<'a> {
    /// Looks a header up, by its name in lower case.
    pub header: &'a dyn Fn(&str) -> Option<&'a str>,
    /// The body.
    pub body: &'a [u8],
    /// Whether it comes from this machine.
    pub is_local: bool,
}

/// What is followed: other pushes are none of our business.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Following {
    /// The branch; any when it is not known.
    pub branch: Option<String>,
    /// The path of the repository on its host, such as `team/apps`; any when it is not known.
    pub repository: Option<String>,
}

/// What is to be done about a call.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Verdict {
    /// Look now.
    Look,
    /// Nothing, for this reason.
    Ignore(String),
    /// Refuse it: it does not prove that it may call.
    Refuse(&'static str),
    /// Refuse it: it makes no sense.
    Malformed(&'static str),
}

/// Who calls.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Caller {
    Gitea,
    GitHub,
    GitLab,
    /// Whoever signs the body as Flux's `generic-hmac` does, or calls from this machine.
    Generic,
}

/// Judges a call. Without a secret only this machine may call.
#[must_use]
pub fn judge(call: &Call<'_>, secret: Option<&Secret>, following: &Following, now: Timestamp) -> Verdict {
    let Some((caller, event)) = caller(call) else {
        return Verdict::Malformed("a header is too long");
    };
    match secret {
        Some(secret) => {
            if let Err(why) = check(call, caller, secret, now) {
                return Verdict::Refuse(why);
            }
        }
        None if call.is_local => {}
        None => return Verdict::Refuse("without --notify-secret-file only this machine may call"),
    }
    match event {
        Event::Push => {}
        Event::Ping => return Verdict::Ignore("pong".to_owned()),
        Event::Other(name) => return Verdict::Ignore(format!("event `{}` is not followed", short(name))),
    }
    match push(call, caller) {
        Ok(push) => push.concerns(following),
        Err(why) => Verdict::Malformed(why),
    }
}

enum Event<'a> {
    Push,
    Ping,
    Other(&'a str),
}

/// Who calls, and about what. Gitea and Forgejo send the headers of others, too; theirs are looked for first.
fn caller<'a>(call: &Call<'a>) -> Option<(Caller, Event<'a>)> {
    for (name, caller) in [
        ("x-gitea-event", Caller::Gitea),
        ("x-forgejo-event", Caller::Gitea),
        ("x-gitlab-event", Caller::GitLab),
        ("x-github-event", Caller::GitHub),
    ] {
        let Some(event) = (call.header)(name) else {
            continue;
        };
        if event.len() > MAX_HEADER {
            return None;
        }
        let event = match (caller, event) {
            (Caller::GitLab, "Push Hook" | "System Hook") | (Caller::Gitea | Caller::GitHub, "push") => {
                Event::Push
            }
            (_, "ping") => Event::Ping,
            (_, other) => Event::Other(other),
        };
        return Some((caller, event));
    }
    Some((Caller::Generic, Event::Push))
}

/// Checks that the caller knows the secret.
fn check(call: &Call<'_>, caller: Caller, secret: &Secret, now: Timestamp) -> Result<(), &'static str> {
    let key = hmac::Key::new(hmac::HMAC_SHA256, secret.expose().as_bytes());
    let header = |name: &str| (call.header)(name).filter(|value| value.len() <= MAX_HEADER);
    let signed = |text: Option<&str>, prefix: &str, message: &[u8]| {
        let text = text.ok_or("the call is not signed")?;
        let tag = text
            .strip_prefix(prefix)
            .and_then(from_hex)
            .ok_or("the signature is not of SHA-256")?;
        hmac::verify(&key, message, &tag).map_err(|_| "the signature is wrong")
    };
    match caller {
        Caller::Gitea => {
            let own = header("x-gitea-signature").or_else(|| header("x-forgejo-signature"));
            // Of a form they sign what is in it.
            match is_form(call).then(|| payload(call)).flatten() {
                Some(payload) => signed(own, "", payload.as_bytes()),
                None => signed(own, "", call.body),
            }
        }
        Caller::GitHub => signed(header("x-hub-signature-256"), "sha256=", call.body),
        Caller::GitLab => {
            let token = header("x-gitlab-token").ok_or("the call has no token")?;
            // Compared through their tags, in constant time.
            let tag = hmac::sign(&key, token.as_bytes());
            hmac::verify(&key, secret.expose().as_bytes(), tag.as_ref()).map_err(|_| "the token is wrong")
        }
        Caller::Generic => match header("x-timestamp") {
            None => signed(header("x-signature"), "sha256=", call.body),
            Some(time) => {
                let seconds: i64 = time.parse().map_err(|_| "X-Timestamp is not in seconds")?;
                let at = Timestamp::from_second(seconds).map_err(|_| "X-Timestamp is not in seconds")?;
                if now.duration_since(at).abs() > WINDOW {
                    return Err("X-Timestamp is more than five minutes off");
                }
                let message = [time.as_bytes(), b".", call.body].concat();
                signed(header("x-signature"), "sha256=", &message)
            }
        },
    }
}

fn from_hex(text: &str) -> Option<Vec<u8>> {
    let digit = |byte: &u8| {
        char::from(*byte)
            .to_digit(16)
            .and_then(|digit| u8::try_from(digit).ok())
    };
    let pairs = text.as_bytes().chunks(2).map(|pair| match pair {
        [high, low] => Some(digit(high)? << 4 | digit(low)?),
        _ => None,
    });
    pairs.collect()
}

/// What a body says of a push, as far as it matters.
#[derive(Debug, Default, Deserialize)]
#[serde(default)]
struct Push {
    /// GitLab's kind of event; its system hooks tell of many.
    object_kind: Option<String>,
    /// `refs/heads/main`; our own calls may also name a branch.
    #[serde(rename = "ref")]
    reference: Option<String>,
    branch: Option<String>,
    repository: Option<Named>,
    /// GitLab's repository.
    project: Option<Named>,
}

#[derive(Debug, Deserialize)]
#[serde(untagged)]
enum Named {
    Path(String),
    Repository {
        #[serde(alias = "path_with_namespace")]
        full_name: Option<String>,
    },
}

impl Named {
    fn path(&self) -> Option<&str> {
        match self {
            Self::Path(path) => Some(path),
            Self::Repository { full_name } => full_name.as_deref(),
        }
    }
}

fn is_form(call: &Call<'_>) -> bool {
    (call.header)("content-type").is_some_and(|kind| {
        kind.trim_start()
            .to_ascii_lowercase()
            .starts_with("application/x-www-form-urlencoded")
    })
}

/// The JSON in a form.
fn payload(call: &Call<'_>) -> Option<String> {
    let mut pairs = url::form_urlencoded::parse(call.body);
    let found = pairs.find(|(name, _)| name == "payload");
    found.map(|(_, value)| value.into_owned())
}

/// Reads the body of a push.
fn push(call: &Call<'_>, caller: Caller) -> Result<Push, &'static str> {
    let is_form = is_form(call);
    let body = match caller {
        // A call of our own needs to say nothing.
        Caller::Generic if is_form || call.body.trim_ascii().is_empty() => return Ok(Push::default()),
        Caller::GitHub | Caller::Gitea if is_form => {
            payload(call).ok_or("the form has no payload")?.into_bytes()
        }
        _ => call.body.to_owned(),
    };
    if !body.trim_ascii_start().starts_with(b"{") {
        return Err("the body is not the JSON of a push");
    }
    serde_json::from_slice(&body).map_err(|_| "the body is not the JSON of a push")
}

impl Push {
    fn concerns(&self, following: &Following) -> Verdict {
        if self.object_kind.as_deref().is_some_and(|kind| kind != "push") {
            return Verdict::Ignore("not a push".to_owned());
        }
        let pushed = self
            .project
            .as_ref()
            .or(self.repository.as_ref())
            .and_then(Named::path);
        if let (Some(pushed), Some(followed)) = (pushed, &following.repository)
            && !is_same(pushed, followed)
        {
            return Verdict::Ignore(format!("repository `{}` is not followed", short(pushed)));
        }
        let branch = match (&self.reference, &self.branch) {
            (Some(full), _) => match full.strip_prefix("refs/heads/") {
                Some(branch) => Some(branch),
                None => return Verdict::Ignore(format!("`{}` is not a branch", short(full))),
            },
            (None, branch) => branch.as_deref(),
        };
        match (branch, &following.branch) {
            (Some(pushed), Some(followed)) if pushed != followed => {
                Verdict::Ignore(format!("branch `{}` is not followed", short(pushed)))
            }
            _ => Verdict::Look,
        }
    }
}

/// Whether a forge's name of a repository is the path of an address, or its end: forges may be served below a path.
fn is_same(pushed: &str, followed: &str) -> bool {
    let plain = |path: &str| path.trim_matches('/').trim_end_matches(".git").to_lowercase();
    let (pushed, followed) = (plain(pushed), plain(followed));
    followed == pushed || followed.ends_with(&format!("/{pushed}"))
}

fn short(text: &str) -> String {
    crate::http::excerpt(text, MAX_NAME)
}

#[cfg(test)]
mod tests;

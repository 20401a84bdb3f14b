//! What a remote's refusal means, from what git says of it (always in English: `LC_ALL=C`).

use std::{fmt, time::Duration};

use super::RemoteUrl;
use crate::error::Class;

/// Kinds of faults with a remote.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum RemoteFault {
    /// It wants another credential, or any.
    Authentication,
    /// The credential is known, and may not do this.
    Forbidden,
    /// There is no such repository, or it hides it.
    NotFound,
    /// The host's SSH key is unknown, or another one.
    HostKey,
    /// Its certificate is not trusted.
    Certificate,
    /// It cannot be reached, or broke off.
    Unreachable,
    /// It refused the update of a ref (a push).
    Rejected,
    /// The branch is not there (any more).
    NoBranch,
    /// It has no commit yet.
    Empty,
    /// It speaks a protocol that is not allowed.
    Protocol,
    /// Something else.
    Other,
}

/// What git says, and what it means; the first that fits.
const SIGNS: &[(&str, RemoteFault)] = &[
    ("host key verification failed", RemoteFault::HostKey),
    ("remote host identification has changed", RemoteFault::HostKey),
    ("server certificate verification failed", RemoteFault::Certificate),
    ("ssl certificate problem", RemoteFault::Certificate),
    ("certificate verify", RemoteFault::Certificate),
    ("error setting certificate", RemoteFault::Certificate),
    ("authentication failed", RemoteFault::Authentication),
    ("could not read username", RemoteFault::Authentication),
    ("could not read password", RemoteFault::Authentication),
    ("permission denied (", RemoteFault::Authentication),
    ("returned error: 401", RemoteFault::Authentication),
    ("returned error: 403", RemoteFault::Forbidden),
    ("write access to repository not granted", RemoteFault::Forbidden),
    ("couldn't find remote ref", RemoteFault::NoBranch),
    ("returned error: 404", RemoteFault::NotFound),
    ("repository not found", RemoteFault::NotFound),
    ("does not appear to be a git repository", RemoteFault::NotFound),
    ("does not exist", RemoteFault::NotFound),
    ("not found", RemoteFault::NotFound),
    ("not allowed", RemoteFault::Protocol),
    ("[rejected]", RemoteFault::Rejected),
    ("[remote rejected]", RemoteFault::Rejected),
    ("stale info", RemoteFault::Rejected),
    ("could not resolve", RemoteFault::Unreachable),
    ("failed to connect", RemoteFault::Unreachable),
    ("couldn't connect", RemoteFault::Unreachable),
    ("connection refused", RemoteFault::Unreachable),
    ("connection reset", RemoteFault::Unreachable),
    ("connection timed out", RemoteFault::Unreachable),
    ("network is unreachable", RemoteFault::Unreachable),
    ("no route to host", RemoteFault::Unreachable),
    ("operation too slow", RemoteFault::Unreachable),
    ("timed out", RemoteFault::Unreachable),
    ("returned error: 5", RemoteFault::Unreachable),
    ("returned error: 429", RemoteFault::Unreachable),
    ("early eof", RemoteFault::Unreachable),
    ("hung up unexpectedly", RemoteFault::Unreachable),
    ("rpc failed", RemoteFault::Unreachable),
    ("empty reply from server", RemoteFault::Unreachable),
];

impl RemoteFault {
    /// Reads what git said.
    #[must_use]
    pub fn of(said: &str) -> Self {
        let said = said.to_lowercase();
        SIGNS
            .iter()
            .find(|(sign, _)| said.contains(sign))
            .map_or(Self::Other, |(_, fault)| *fault)
    }

    pub(super) fn class(self) -> Class {
        match self {
            Self::Unreachable | Self::Other => Class::Retry(Duration::from_secs(5)),
            Self::Empty | Self::Rejected | Self::NoBranch => Class::WaitForChange,
            _ => Class::UserMustFix,
        }
    }

    pub(super) fn hint(self, url: &RemoteUrl) -> Option<String> {
        let hint = match self {
            Self::Authentication if url.is_ssh() => {
                "give a key that the forge knows with --repo-ssh-key-file".into()
            }
            Self::Authentication => {
                "give a token that may read the repository with --repo-token-file (and --repo-username where the forge \
                 wants one)"
                    .into()
            }
            Self::Forbidden => "give the credential the right to read (or, for pushes, to write) the repository".into(),
            Self::NotFound => {
                "check --repo: it may have moved, or the credential may not see it".into()
            }
            Self::HostKey => {
                "give the host's keys with --repo-known-hosts-file; `ssh-keyscan` prints them, compare them with what \
                 the forge publishes"
                    .into()
            }
            Self::Certificate => "give the certificate authority of the forge with --repo-ca-file".into(),
            Self::Unreachable => "check the address, the network and proxies; it is tried again".into(),
            Self::NoBranch => {
                "give a branch that exists with --branch; the last revision that was seen stays in force".into()
            }
            Self::Empty => "make a first commit; Serin takes it as the baseline and starts no run".into(),
            Self::Protocol => "give an https, http, ssh or file address".into(),
            Self::Rejected | Self::Other => return None,
        };
        Some(hint)
    }
}

impl fmt::Display for RemoteFault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Authentication => "the credential was refused",
            Self::Forbidden => "the credential does not suffice",
            Self::NotFound => "there is no such repository",
            Self::HostKey => "the host cannot prove who it is",
            Self::Certificate => "the certificate is not trusted",
            Self::Unreachable => "no connection",
            Self::Rejected => "the update was rejected",
            Self::NoBranch => "there is no such branch",
            Self::Empty => "there is no commit yet",
            Self::Protocol => "the protocol is not allowed",
            Self::Other => "git failed",
        })
    }
}

/// The lines of what git said that matter, as one short line.
pub(super) fn message(said: &str) -> String {
    let lines: Vec<&str> = said
        .lines()
        .map(str::trim)
        .filter(|line| !line.is_empty() && !line.starts_with("warning:") && !line.starts_with("hint:"))
        .collect();
    let told: Vec<&str> = lines
        .iter()
        .copied()
        .filter(|line| {
            ["fatal:", "error:", "remote:", "ssh:", "!"]
                .iter()
                .any(|start| line.starts_with(start))
        })
        .collect();
    let chosen = if told.is_empty() { lines } else { told };
    let chosen: Vec<&str> = chosen.iter().rev().take(3).rev().copied().collect();
    crate::http::excerpt(&chosen.join("; "), 300)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_git_says_is_told_apart() {
        for (said, fault) in [
            (
                "fatal: Authentication failed for 'https://git.example.com/a/b/'",
                RemoteFault::Authentication,
            ),
            (
                "fatal: could not read Username for 'https://git.example.com': terminal prompts disabled",
                RemoteFault::Authentication,
            ),
            (
                "git@git.example.com: Permission denied (publickey).\nfatal: Could not read from remote repository.",
                RemoteFault::Authentication,
            ),
            (
                "fatal: unable to access 'https://h/a/': The requested URL returned error: 403",
                RemoteFault::Forbidden,
            ),
            (
                "remote: Not found.\nfatal: repository 'http://h/a/' not found",
                RemoteFault::NotFound,
            ),
            (
                "No ED25519 host key is known for h and you have requested strict checking.\nHost key verification failed.\n\
                 fatal: Could not read from remote repository.",
                RemoteFault::HostKey,
            ),
            (
                "fatal: unable to access 'https://h/a/': server certificate verification failed. CAfile: none CRLfile: none",
                RemoteFault::Certificate,
            ),
            (
                "fatal: unable to access 'https://h/a/': Could not resolve host: h",
                RemoteFault::Unreachable,
            ),
            (
                "fatal: unable to access 'https://h/a/': The requested URL returned error: 503",
                RemoteFault::Unreachable,
            ),
            (
                "fatal: couldn't find remote ref refs/heads/x",
                RemoteFault::NoBranch,
            ),
            (
                " ! [rejected] main -> main (non-fast-forward)",
                RemoteFault::Rejected,
            ),
            ("fatal: transport 'ext' not allowed", RemoteFault::Protocol),
            ("fatal: the sky fell", RemoteFault::Other),
        ] {
            assert_eq!(RemoteFault::of(said), fault, "{said}");
        }
    }

    #[test]
    fn a_message_is_one_short_line() {
        let said = "Cloning…\nremote: no\n\nwarning: w\nfatal: it failed\n";
        assert_eq!(message(said), "remote: no; fatal: it failed");
        assert_eq!(message("just words\n"), "just words");
        assert!(message(&"fatal: x ".repeat(500)).chars().count() <= 301);
    }
}

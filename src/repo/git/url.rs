//! Addresses of remotes: what git understands, less what could run a program or give a secret away.

use std::{fmt, str::FromStr};

/// An address that is not taken.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum ParseUrlError {
    /// It is none.
    #[error("it is not one that git is let to use")]
    Unknown,
    /// It holds a password, which would end up in process lists and logs.
    #[error("it holds a password, which process lists and logs would show")]
    Password,
    /// It holds a query, where tokens are put, too.
    #[error("it holds a query, which process lists and logs would show")]
    Query,
}

impl ParseUrlError {
    /// What to do about it.
    #[must_use]
    pub fn hint(&self) -> &'static str {
        match self {
            Self::Unknown => {
                "give one such as https://git.example.com/team/apps or git@git.example.com:team/apps"
            }
            Self::Password | Self::Query => "take it out, and give it with --repo-token-file FILE",
        }
    }
}

/// The address of a remote. It holds no secret, and can be printed: over HTTP the user, whom some write as the token
/// itself, is kept beside it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RemoteUrl {
    text: String,
    scheme: Scheme,
    user: Option<String>,
    /// Host and port.
    host: String,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Scheme {
    Https,
    Http,
    Ssh,
    File,
}

impl Scheme {
    fn name(self) -> &'static str {
        match self {
            Self::Https => "https",
            Self::Http => "http",
            Self::Ssh => "ssh",
            Self::File => "file",
        }
    }
}

impl RemoteUrl {
    /// Whether it is spoken to through SSH.
    #[must_use]
    pub fn is_ssh(&self) -> bool {
        self.scheme == Scheme::Ssh
    }

    /// The protocol: `https`, `http`, `ssh` or `file`.
    #[must_use]
    pub fn scheme(&self) -> &'static str {
        self.scheme.name()
    }

    /// Scheme, host and port, for which a credential is meant; nothing for SSH and files.
    #[must_use]
    pub fn origin(&self) -> Option<String> {
        matches!(self.scheme, Scheme::Https | Scheme::Http)
            .then(|| format!("{}://{}", self.scheme.name(), self.host))
    }

    /// The user that it names.
    #[must_use]
    pub fn user(&self) -> Option<&str> {
        self.user.as_deref()
    }

    /// The path of the repository on its host: `team/apps`.
    #[must_use]
    pub fn path(&self) -> &str {
        let rest = self
            .text
            .split_once("://")
            .map_or(self.text.as_str(), |(_, rest)| rest);
        let path = match self.scheme {
            Scheme::File => rest,
            _ if self.text.contains("://") => rest.split_once('/').map_or("", |(_, path)| path),
            _ => rest.split_once(':').map_or("", |(_, path)| path),
        };
        let path = path.trim_matches('/');
        path.strip_suffix(".git").unwrap_or(path)
    }

    /// The address itself.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.text
    }

    /// A name for the source: the last part of its path, without `.git`.
    #[must_use]
    pub fn name(&self) -> &str {
        let path = self.text.trim_end_matches('/');
        let last = path.rsplit(['/', ':']).next().unwrap_or(path);
        let name = last.strip_suffix(".git").unwrap_or(last);
        if name.is_empty() { "repository" } else { name }
    }
}

impl AsRef<std::ffi::OsStr> for RemoteUrl {
    fn as_ref(&self) -> &std::ffi::OsStr {
        self.text.as_ref()
    }
}

impl fmt::Display for RemoteUrl {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.text)
    }
}

impl FromStr for RemoteUrl {
    type Err = ParseUrlError;

    fn from_str(text: &str) -> Result<Self, ParseUrlError> {
        let text = text.trim();
        if text.is_empty() || text.starts_with('-') || text.len() > 2048 || text.chars().any(char::is_control)
        {
            return Err(ParseUrlError::Unknown);
        }
        if text.starts_with('/') {
            return Ok(Self::file(text));
        }
        let Some((scheme, rest)) = text.split_once("://") else {
            return Self::short_ssh(text);
        };
        let scheme = match scheme {
            "https" => Scheme::Https,
            "http" => Scheme::Http,
            "ssh" | "git+ssh" => Scheme::Ssh,
            "file" if rest.starts_with('/') => return Ok(Self::file(text)),
            _ => return Err(ParseUrlError::Unknown),
        };
        let (authority, path) = rest.split_once('/').ok_or(ParseUrlError::Unknown)?;
        let (user, host) = match authority.rsplit_once('@') {
            Some((user, host)) => (Some(user), host),
            None => (None, authority),
        };
        if user.is_some_and(|user| user.contains(':')) {
            return Err(ParseUrlError::Password);
        }
        let is_ssh = scheme == Scheme::Ssh;
        if !is_ssh && path.contains(['?', '#']) {
            return Err(ParseUrlError::Query);
        }
        if !is_host(host) || path.is_empty() || user.is_some_and(|user| user.starts_with('-')) {
            return Err(ParseUrlError::Unknown);
        }
        let shown = if is_ssh {
            text.to_owned()
        } else {
            format!("{}://{host}/{path}", scheme.name())
        };
        Ok(Self {
            text: shown,
            scheme,
            user: user.filter(|user| !user.is_empty()).map(str::to_owned),
            host: host.to_owned(),
        })
    }
}

impl RemoteUrl {
    fn file(text: &str) -> Self {
        Self {
            text: text.to_owned(),
            scheme: Scheme::File,
            user: None,
            host: String::new(),
        }
    }

    /// `git@host:path`.
    fn short_ssh(text: &str) -> Result<Self, ParseUrlError> {
        let (authority, path) = text.split_once(':').ok_or(ParseUrlError::Unknown)?;
        let (user, host) = authority.split_once('@').ok_or(ParseUrlError::Unknown)?;
        if user.is_empty() || user.contains('/') || !is_host(host) || path.is_empty() || path.starts_with(':')
        {
            return Err(ParseUrlError::Unknown);
        }
        Ok(Self {
            text: text.to_owned(),
            scheme: Scheme::Ssh,
            user: Some(user.to_owned()),
            host: host.to_owned(),
        })
    }
}

fn is_host(host: &str) -> bool {
    let allowed = |c: char| c.is_ascii_alphanumeric() || matches!(c, '.' | '-' | '_' | ':' | '[' | ']');
    !host.is_empty() && !host.starts_with('-') && host.chars().all(allowed)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn url(text: &str) -> Result<RemoteUrl, ParseUrlError> {
        text.parse()
    }

    #[test]
    fn what_git_understands_is_taken() {
        for (text, scheme, user, origin, name) in [
            (
                "https://git.example.com/team/apps.git",
                "https",
                None,
                Some("https://git.example.com"),
                "apps",
            ),
            (
                "http://bot@127.0.0.1:3000/a/b/",
                "http",
                Some("bot"),
                Some("http://127.0.0.1:3000"),
                "b",
            ),
            ("ssh://git@h:2222/a/b", "ssh", Some("git"), None, "b"),
            (
                "git@git.example.com:team/apps.git",
                "ssh",
                Some("git"),
                None,
                "apps",
            ),
            ("file:///srv/git/apps", "file", None, None, "apps"),
            ("/srv/git/apps.git", "file", None, None, "apps"),
        ] {
            let url = url(text).unwrap();
            assert_eq!(
                (url.scheme(), url.user(), url.origin().as_deref(), url.name()),
                (scheme, user, origin, name)
            );
            assert_eq!(url.to_string(), text.replace("bot@", ""));
        }
        for (text, path) in [
            ("https://git.example.com/git/team/apps.git/", "git/team/apps"),
            ("git@git.example.com:team/apps.git", "team/apps"),
            ("ssh://git@h:2222/a/b", "a/b"),
        ] {
            assert_eq!(url(text).unwrap().path(), path);
        }
    }

    #[test]
    fn what_runs_a_program_or_holds_a_password_is_not() {
        for text in [
            "",
            "apps",
            "ext::sh -c evil",
            "ext::sh://x/y",
            "--upload-pack=evil",
            "ssh://-oProxyCommand=evil/x",
            "git@-oProxyCommand=evil:x",
            "https://h",
            "ftp://h/x",
            "git://h/x",
            "https://h\n/x",
            "fd::17/foo",
            "a@b::evil",
        ] {
            assert_eq!(url(text), Err(ParseUrlError::Unknown), "{text}");
        }
        let refused = url("https://bot:hunter2@h/x").unwrap_err();
        assert_eq!(refused, ParseUrlError::Password);
        assert!(!refused.to_string().contains("hunter2"));
        assert_eq!(
            url("https://h/x?private_token=hunter2"),
            Err(ParseUrlError::Query)
        );
        assert_eq!(url("https://h/x#hunter2"), Err(ParseUrlError::Query));
    }
}

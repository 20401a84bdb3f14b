//! How git proves who it is to a remote, without a secret in arguments, configuration files or logs.

use std::{
    ffi::{OsStr, OsString},
    path::{Path, PathBuf},
};

use super::{GitCommand, GitError, RemoteUrl};
use crate::http::SecretFile;

/// What a token is called by forges that do not look at the name.
const USER: &str = "git";
/// Answers git's question for a credential from the environment; only for this process and its children.
const ANSWER: &str = r#"!f() { test "$1" = get && printf 'username=%s\npassword=%s\n' "$SERIN_GIT_USERNAME" "$SERIN_GIT_PASSWORD"; }; f"#;

/// How to prove who one is.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub enum Credentials {
    /// Not at all.
    #[default]
    None,
    /// By a token or password, over HTTP.
    Token {
        /// The user; that of the address, or `git`, when there is none.
        username: Option<String>,
        /// Where the token is.
        token: SecretFile,
    },
    /// By a key, over SSH.
    Ssh {
        /// The file with the private key.
        key: PathBuf,
        /// The file with the keys of hosts; the user's own when there is none.
        known_hosts: Option<PathBuf>,
    },
    /// By one of the user's credential helpers: `git-credential-NAME`, which may use the whole environment.
    Helper(String),
}

/// A remote, and how to talk to it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Remote {
    url: RemoteUrl,
    credentials: Credentials,
    ca_file: Option<PathBuf>,
}

impl Remote {
    /// A remote that asks for no credential.
    #[must_use]
    pub fn new(url: RemoteUrl) -> Self {
        Self {
            url,
            credentials: Credentials::None,
            ca_file: None,
        }
    }

    /// Sets the credential.
    #[must_use]
    pub fn with_credentials(mut self, credentials: Credentials) -> Self {
        self.credentials = credentials;
        self
    }

    /// Trusts these certificate authorities (PEM), and no others.
    #[must_use]
    pub fn with_ca_file(mut self, file: Option<PathBuf>) -> Self {
        self.ca_file = file;
        self
    }

    /// Its address.
    #[must_use]
    pub fn url(&self) -> &RemoteUrl {
        &self.url
    }
}

/// Lets a command talk to a remote.
pub(super) fn prepare(command: &mut GitCommand, remote: &Remote) -> Result<(), GitError> {
    let url = &remote.url;
    command.remote = Some(url.clone());
    // Redirections may lead from one of these to the other, and nowhere else.
    let protocols = if url.origin().is_some() {
        "https:http"
    } else {
        url.scheme()
    };
    set(command, "GIT_ALLOW_PROTOCOL", protocols);
    for name in [
        "http_proxy",
        "https_proxy",
        "HTTPS_PROXY",
        "all_proxy",
        "ALL_PROXY",
        "no_proxy",
        "NO_PROXY",
        "SSL_CERT_FILE",
        "SSL_CERT_DIR",
        "SSH_AUTH_SOCK",
        "HOME",
    ] {
        keep(command, name);
    }
    if let Some(file) = &remote.ca_file {
        set(command, "GIT_SSL_CAINFO", absolute(file));
    }
    // A connection that stands still is given up before the whole time is.
    add(command, "http.lowSpeedLimit", "100");
    add(command, "http.lowSpeedTime", "30");
    // None of the repository's own.
    add(command, "credential.helper", "");
    if let (Some(origin), Some(user)) = (url.origin(), url.user()) {
        add(command, format!("credential.{origin}.username"), user);
    }
    let mut ssh = vec!["ssh -F /dev/null -o BatchMode=yes -o ConnectTimeout=20".to_owned()];
    match &remote.credentials {
        Credentials::None => {}
        Credentials::Token { username, token } => {
            let secret = token.read().map_err(|error| GitError::NoSecret {
                url: Box::new(url.clone()),
                message: error.to_string(),
            })?;
            if let Some(origin) = url.origin() {
                let user = username.as_deref().or(url.user()).unwrap_or(USER);
                add(command, format!("credential.{origin}.helper"), ANSWER);
                set(command, "SERIN_GIT_USERNAME", user);
                set(command, "SERIN_GIT_PASSWORD", secret.expose());
            }
            command.hidden.push(secret);
        }
        Credentials::Ssh { key, known_hosts } => {
            ssh.push(format!("-o IdentitiesOnly=yes -i {}", quoted(key)));
            if let Some(file) = known_hosts {
                ssh.push("-o StrictHostKeyChecking=yes -o GlobalKnownHostsFile=/dev/null".to_owned());
                ssh.push(format!("-o UserKnownHostsFile={}", quoted(file)));
            }
        }
        Credentials::Helper(name) => {
            let all = std::env::vars_os().filter(|(name, _)| !name.to_string_lossy().starts_with("GIT_"));
            // Behind what is set already, which stays in force.
            let set: Vec<_> = std::mem::take(&mut command.env);
            command.env = all.chain(set).collect();
            match url.origin() {
                Some(origin) => add(command, format!("credential.{origin}.helper"), name),
                None => add(command, "credential.helper", name),
            }
        }
    }
    set(command, "GIT_SSH_COMMAND", ssh.join(" "));
    set(command, "GIT_SSH_VARIANT", "ssh");
    Ok(())
}

fn set(command: &mut GitCommand, name: &str, value: impl AsRef<OsStr>) {
    command.env.push((name.into(), value.as_ref().to_owned()));
}

fn add(command: &mut GitCommand, key: impl AsRef<OsStr>, value: impl AsRef<OsStr>) {
    command
        .config
        .push((key.as_ref().to_owned(), value.as_ref().to_owned()));
}

fn keep(command: &mut GitCommand, name: &str) {
    if let Some(value) = std::env::var_os(name) {
        set(command, name, value);
    }
}

fn absolute(path: &Path) -> OsString {
    std::path::absolute(path).map_or_else(|_| path.into(), PathBuf::into_os_string)
}

/// A path as one word of a shell.
fn quoted(path: &Path) -> String {
    let path = absolute(path);
    format!("'{}'", path.to_string_lossy().replace('\'', r"'\''"))
}

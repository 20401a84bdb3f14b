//! `serin run --repo`: a clone that Serin keeps current itself.

use std::{path::PathBuf, sync::Arc, time::Duration};

use clap::Args;

use super::{Failure, args::GitArgs, run::interrupted};
use crate::{
    error::{Class, Classified as _},
    http::SecretFile,
    repo::{
        CloneOptions, RemoteClone, RepoError, Repository as _, default_dir,
        git::{Credentials, Git, ParseUrlError, Remote, RemoteUrl},
    },
};

/// How long to wait before a first fetch is tried again.
const AGAIN: Duration = Duration::from_secs(10);

/// A clone of our own.
#[derive(Clone, Debug, Args)]
#[command(next_help_heading = "Clone")]
pub(super) struct CloneArgs {
    /// Repository to clone and to keep current with the `git` command, in place of a checkout
    // Not parsed here: clap would repeat a password that does not belong in it.
    #[arg(long, value_name = "URL", conflicts_with = "checkout")]
    repo: Option<String>,

    /// File that holds the token or password for it; read again for each fetch
    #[arg(long, value_name = "FILE", requires = "repo", conflicts_with_all = ["repo_ssh_key_file", "repo_credential_helper"])]
    repo_token_file: Option<PathBuf>,

    /// User of the token [default: that of the URL, or git]
    #[arg(long, value_name = "NAME", requires = "repo_token_file")]
    repo_username: Option<String>,

    /// File with the SSH key for it
    #[arg(
        long,
        value_name = "FILE",
        requires = "repo",
        conflicts_with = "repo_credential_helper"
    )]
    repo_ssh_key_file: Option<PathBuf>,

    /// File with the SSH keys of hosts [default: the user's]
    #[arg(long, value_name = "FILE", requires = "repo_ssh_key_file")]
    repo_known_hosts_file: Option<PathBuf>,

    /// Credential helper of git to ask, such as store or cache
    #[arg(long, value_name = "NAME", requires = "repo")]
    repo_credential_helper: Option<String>,

    /// File with the certificate authorities of its host (PEM)
    #[arg(long, value_name = "FILE", requires = "repo")]
    repo_ca_file: Option<PathBuf>,

    /// Time between two fetches that no webhook asks for
    #[arg(long, default_value = "1m", value_parser = super::args::duration, value_name = "DURATION")]
    pub(super) repo_interval: Duration,

    /// Commits to fetch, counted from the newest; 0 is all
    #[arg(long, default_value_t = 100, value_name = "COUNT")]
    repo_depth: u32,

    /// Longest time for a fetch
    #[arg(long, default_value = "10m", value_parser = super::args::duration, value_name = "DURATION")]
    repo_timeout: Duration,

    /// Largest size of the clone
    #[arg(long, default_value = "2Gi", value_parser = bytes, value_name = "SIZE")]
    repo_max_size: u64,

    /// Folder to keep clones in [default: serin/clones in the user's cache, or one for temporary files]
    #[arg(long, value_name = "DIR", requires = "repo")]
    clone_dir: Option<PathBuf>,
}

impl CloneArgs {
    /// The address that was given.
    pub(super) fn url(&self) -> Result<Option<RemoteUrl>, Failure> {
        let parse = |text: &String| {
            text.parse().map_err(|error: ParseUrlError| {
                Failure::user(format!("cannot use the address of --repo: {error}"), error.hint())
            })
        };
        self.repo.as_ref().map(parse).transpose()
    }

    /// The remote, with its credential.
    pub(super) fn remote(&self, url: &RemoteUrl) -> Remote {
        let credentials = if let Some(file) = &self.repo_token_file {
            Credentials::Token {
                username: self.repo_username.clone(),
                token: SecretFile::Path(file.clone()),
            }
        } else if let Some(key) = &self.repo_ssh_key_file {
            Credentials::Ssh {
                key: key.clone(),
                known_hosts: self.repo_known_hosts_file.clone(),
            }
        } else if let Some(helper) = &self.repo_credential_helper {
            Credentials::Helper(helper.clone())
        } else {
            Credentials::None
        };
        Remote::new(url.clone())
            .with_credentials(credentials)
            .with_ca_file(self.repo_ca_file.clone())
    }

    fn options(&self, url: &RemoteUrl, git: &GitArgs) -> Result<CloneOptions, Failure> {
        Ok(CloneOptions {
            remote: self.remote(url),
            branch: git.branch.clone(),
            path: git.path.clone(),
            dir: self.clone_dir.clone().map_or_else(default_dir, Ok)?,
            depth: self.repo_depth,
            max_bytes: self.repo_max_size,
            timeout: self.repo_timeout,
        })
    }

    /// Opens the clone. Where nothing was fetched before, the first fetch is waited for; what may pass is tried again.
    pub(super) async fn open(&self, url: &RemoteUrl, git: &GitArgs) -> Result<Arc<RemoteClone>, Failure> {
        let options = self.options(url, git)?;
        let clone = loop {
            match RemoteClone::open(options.clone(), Git::find()) {
                Err(error) if matches!(error.class(), Class::Retry(_)) => warn(url, &error),
                opened => break Arc::new(opened?),
            }
            pause().await?;
        };
        while clone.newest().is_err() {
            let fetching = Arc::clone(&clone);
            let fetched = tokio::select! {
                fetched = tokio::task::spawn_blocking(move || fetching.fetch()) => fetched,
                () = interrupted() => {
                    clone.stop().now();
                    return Err(stopped());
                }
            };
            match fetched.map_err(|error| Failure::bug(error.to_string()))? {
                Ok(_) => {}
                Err(error) if matches!(error.class(), Class::Retry(_) | Class::WaitForChange) => {
                    warn(url, &error);
                    pause().await?;
                }
                Err(error) => return Err(error.into()),
            }
        }
        Ok(clone)
    }
}

fn warn(url: &RemoteUrl, error: &RepoError) {
    let hint = error.hint().unwrap_or_default();
    tracing::warn!(repo = %url, %error, hint, "No clone yet; trying again.");
}

async fn pause() -> Result<(), Failure> {
    tokio::select! {
        () = tokio::time::sleep(AGAIN) => Ok(()),
        () = interrupted() => Err(stopped()),
    }
}

fn stopped() -> Failure {
    Failure::user("interrupted before there was a clone", "")
}

/// Parses a size, such as 500Mi, 2Gi, 100M or a number of bytes.
fn bytes(text: &str) -> Result<u64, String> {
    let wrong = || "give a size, such as 500Mi or 2Gi".to_owned();
    let end = text.find(|c: char| !c.is_ascii_digit()).unwrap_or(text.len());
    let (digits, unit) = text.split_at_checked(end).ok_or_else(wrong)?;
    let count: u64 = digits.parse().map_err(|_| wrong())?;
    let factor: u64 = match unit {
        "" => 1,
        "Ki" => 1 << 10,
        "Mi" => 1 << 20,
        "Gi" => 1 << 30,
        "k" => 1_000,
        "M" => 1_000_000,
        "G" => 1_000_000_000,
        _ => return Err(wrong()),
    };
    count
        .checked_mul(factor)
        .filter(|bytes| *bytes > 0)
        .ok_or_else(wrong)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sizes_are_read() {
        assert_eq!(bytes("2Gi"), Ok(2 << 30));
        assert_eq!(bytes("100M"), Ok(100_000_000));
        assert_eq!(bytes("5"), Ok(5));
        for wrong in ["", "0", "Gi", "2GiB", "-1", "1.5Gi", "99999999999Gi", "é"] {
            assert!(bytes(wrong).is_err(), "{wrong}");
        }
    }
}

//! What the user can say about whose rules count.

use std::{path::PathBuf, sync::Arc};

use clap::{Args, ValueEnum};

use super::{Failure, args::StatusTargetArgs, clone::CloneArgs};
use crate::{
    canary::JudgeBy,
    http::SecretFile,
    repo::{
        Repository,
        git::{Credentials, ParseUrlError, Remote, RemoteUrl},
        verify::{AsBrought, Keys, Verifier},
    },
    runtime::RevertOptions,
};

const PLACE: &str = "give the address of the repository by --revert-remote URL";

/// Whose rules count.
#[derive(Clone, Debug, Args)]
#[command(next_help_heading = "Policy")]
pub(super) struct PolicyArgs {
    /// Whose thresholds judge a commit that edits them
    #[arg(long, value_enum, default_value = "commit", value_name = "WHOSE")]
    judge_by: Judge,

    /// What to do with a commit that a canary failed with
    #[arg(long, value_enum, default_value = "nothing", value_name = "WHAT")]
    on_failure: Reaction,

    /// Address to push the branches of reverts to [default: --repo, or that of --status-url and --status-repo]
    // Not parsed here: clap would repeat a password that does not belong in it.
    #[arg(long, value_name = "URL")]
    revert_remote: Option<String>,

    /// File that holds the token to push reverts with [default: that of the default address]
    #[arg(long, value_name = "FILE")]
    revert_token_file: Option<PathBuf>,

    /// File that holds the SSH key to push reverts with
    #[arg(long, value_name = "FILE", conflicts_with = "revert_token_file")]
    revert_ssh_key: Option<PathBuf>,

    /// File that holds the SSH keys of hosts that reverts are pushed to
    #[arg(long, value_name = "FILE", requires = "revert_ssh_key")]
    revert_known_hosts: Option<PathBuf>,

    /// Act only on commits that are signed by one of the keys of --verify-keys; with --flux alone: that Flux verified
    #[arg(long)]
    require_verified: bool,

    /// File or folder with public keys: SSH (.pub, .sshpub, or allowed_signers) or OpenPGP (.asc); may be repeated
    #[arg(long, value_name = "PATH", requires = "require_verified")]
    verify_keys: Vec<PathBuf>,
}

/// What to do with a commit that a canary failed with.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
enum Reaction {
    /// Say so, and no more
    Nothing,
    /// Push its revert to a branch of its own
    RevertBranch,
    /// Push its revert, and open a pull request on the forge of --status
    PullRequest,
}

/// Whose thresholds judge a commit that edits them.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
enum Judge {
    /// Its own, as with Flagger
    Commit,
    /// Those of the promoted revision; its own count from its promotion on
    Promoted,
}

impl PolicyArgs {
    /// What to do with a commit that a canary failed with; `status` is where outcomes are posted, `clone` a
    /// source that has an address.
    pub(super) fn on_failure(
        &self,
        status: &StatusTargetArgs,
        clone: &CloneArgs,
    ) -> Result<Option<RevertOptions>, Failure> {
        if self.on_failure == Reaction::Nothing {
            return Ok(None);
        }
        let parse = |text: &str| -> Result<RemoteUrl, Failure> {
            text.parse().map_err(|error: ParseUrlError| {
                Failure::user(
                    format!("cannot use the address to push reverts to: {error}"),
                    PLACE,
                )
            })
        };
        let own = self.own_credentials();
        let remote = match (&self.revert_remote, clone.url()?, forge_remote(status)) {
            (Some(text), _, _) => Remote::new(parse(text)?).with_credentials(own.unwrap_or_default()),
            (None, Some(url), _) => match own {
                Some(own) => clone.remote(&url).with_credentials(own),
                None => clone.remote(&url),
            },
            (None, None, Some(text)) => {
                let token = status.status_token_file.clone().map(SecretFile::Path);
                let forge = token.map(|token| Credentials::Token {
                    username: None,
                    token,
                });
                let credentials = own.or(forge).unwrap_or_default();
                Remote::new(parse(&text)?).with_credentials(credentials)
            }
            (None, None, None) => {
                return Err(Failure::user("reverts have no place to be pushed to", PLACE));
            }
        };
        Ok(Some(RevertOptions {
            pull_request: self.on_failure == Reaction::PullRequest,
            remote,
        }))
    }

    /// What judges the signatures of a source, if that is asked for. Blocks.
    pub(super) fn verifier(&self, source: &dyn Repository) -> Result<Option<Arc<dyn Verifier>>, Failure> {
        if !self.require_verified {
            return Ok(None);
        }
        let has_commits = source.git_dir().is_some();
        match (has_commits, self.verify_keys.is_empty()) {
            (false, true) => return Ok(Some(Arc::new(AsBrought))),
            (false, false) => {
                return Err(Failure::user(
                    "--verify-keys has nothing to judge: the artifacts of Flux hold no commits, so only Flux's own word \
                     (SourceVerified) counts",
                    "leave --verify-keys out and give the keys to Flux (spec.verify of the source), or add --checkout DIR \
                     or --repo URL",
                ));
            }
            (true, true) => {
                return Err(Failure::user(
                    "--require-verified needs to know which keys count",
                    "add --verify-keys PATH; only with --flux alone, Flux's own word counts",
                ));
            }
            (true, false) => {}
        }
        let keys: Arc<dyn Verifier> = Arc::new(Keys::read(self.verify_keys.clone())?);
        Ok(Some(keys))
    }

    fn own_credentials(&self) -> Option<Credentials> {
        let token = self.revert_token_file.clone().map(|file| Credentials::Token {
            username: None,
            token: SecretFile::Path(file),
        });
        let key = self.revert_ssh_key.clone().map(|key| Credentials::Ssh {
            key,
            known_hosts: self.revert_known_hosts.clone(),
        });
        token.or(key)
    }

    /// Whose thresholds judge.
    pub(super) fn judge_by(&self) -> JudgeBy {
        match self.judge_by {
            Judge::Commit => JudgeBy::Commit,
            Judge::Promoted => JudgeBy::Promoted,
        }
    }
}

/// The address of the repository on the forge.
fn forge_remote(status: &StatusTargetArgs) -> Option<String> {
    let (url, repository) = (status.status_url.as_ref()?, status.status_repo.as_ref()?);
    Some(format!("{}/{repository}.git", url.trim_end_matches('/')))
}

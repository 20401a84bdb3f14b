//! Which forges are used: from the flags of the command line to forges.

use std::{
    path::{Path, PathBuf},
    str::FromStr,
    sync::Arc,
};

use super::{
    AzureDevOps, Bitbucket, BitbucketServer, CommitStatus, Credential, Dialect, Forge, ForgeError, GitHub,
    GitLab, Gitea, Notes, Origin, Remote,
    guard::{Guarded, Place},
};
use crate::{
    clock::Clock,
    http::{Client, RouteFiles, SecretFile, excerpt},
    repo::CommitId,
};

/// What `--status` may name.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum ForgeKind {
    /// Git notes on this machine.
    Notes,
    /// GitHub and GitHub Enterprise.
    GitHub,
    /// GitLab.
    GitLab,
    /// Gitea or Forgejo.
    Gitea,
    /// Bitbucket Cloud.
    Bitbucket,
    /// Bitbucket Data Center.
    BitbucketServer,
    /// Azure DevOps.
    AzureDevOps,
    /// Nothing.
    None,
}

impl FromStr for ForgeKind {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let same = |kind: &Self| kind.name() == text || (text == "forgejo" && *kind == Self::Gitea);
        let found = Self::ALL.into_iter().find(same);
        found.ok_or_else(|| {
            let names = Self::ALL.map(Self::name).join(", ");
            format!("`{}` is none of {names}", excerpt(text, 40))
        })
    }
}

impl ForgeKind {
    /// Every kind.
    pub const ALL: [Self; 8] = [
        Self::Notes,
        Self::GitHub,
        Self::GitLab,
        Self::Gitea,
        Self::Bitbucket,
        Self::BitbucketServer,
        Self::AzureDevOps,
        Self::None,
    ];

    /// Returns the name, as in `--status`.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::Notes => Notes::NAME,
            Self::GitHub => GitHub::NAME,
            Self::GitLab => GitLab::NAME,
            Self::Gitea => Gitea::NAME,
            Self::Bitbucket => Bitbucket::NAME,
            Self::BitbucketServer => BitbucketServer::NAME,
            Self::AzureDevOps => AzureDevOps::NAME,
            Self::None => "none",
        }
    }

    /// The address of the forge if none is given.
    fn url(self) -> Option<&'static str> {
        match self {
            Self::GitHub => Some(GitHub::URL),
            Self::GitLab => Some(GitLab::URL),
            Self::Bitbucket => Some(Bitbucket::URL),
            Self::AzureDevOps => Some(AzureDevOps::URL),
            Self::Notes | Self::Gitea | Self::BitbucketServer | Self::None => None,
        }
    }

    /// How addresses of its repositories are read.
    pub(super) fn dialect(self) -> Dialect {
        match self {
            Self::BitbucketServer => Dialect::DataCenter,
            Self::AzureDevOps => Dialect::Azure,
            _ => Dialect::Plain,
        }
    }

    /// Makes the forge of one repository, which is told only of commits that come from there. Blocks.
    pub fn make(self, remote: Remote, origin: Option<&Origin>) -> Result<Option<Arc<dyn Forge>>, ForgeError> {
        let place = Place {
            url: remote.url.clone(),
            repository: remote.repository.clone(),
            dialect: self.dialect(),
        };
        let forge: Arc<dyn Forge> = match self {
            Self::Notes | Self::None => return Ok(None),
            Self::GitHub => Arc::new(GitHub::new(remote)?),
            Self::GitLab => Arc::new(GitLab::new(remote)?),
            Self::Gitea => Arc::new(Gitea::new(remote)?),
            Self::Bitbucket => Arc::new(Bitbucket::new(remote)?),
            Self::BitbucketServer => Arc::new(BitbucketServer::new(remote)?),
            Self::AzureDevOps => Arc::new(AzureDevOps::new(remote)?),
        };
        Ok(Some(match origin {
            Some(origin) => Arc::new(Guarded::new(forge, origin.clone(), place)?),
            None => forge,
        }))
    }
}

/// Where commit statuses go.
#[derive(Clone, Debug, Default)]
pub struct Settings {
    /// `--status`, in the order given; empty means notes.
    pub kinds: Vec<ForgeKind>,
    /// `--status-url`.
    pub url: Option<String>,
    /// `--status-repo`, `OWNER/NAME`.
    pub repository: Option<String>,
    /// `--status-token-file`.
    pub token_file: Option<PathBuf>,
    /// `--status-token-env`.
    pub token_variable: Option<String>,
    /// How the forge is reached.
    pub route: RouteFiles,
    /// The branch that is watched, where it was named.
    pub branch: Option<String>,
    /// Where commits come from: the forge must be there too.
    pub origin: Option<Origin>,
    /// The checkout, for notes.
    pub checkout: Option<PathBuf>,
    /// `--notes-repo`.
    pub notes_repo: Option<PathBuf>,
}

/// The forges to use, and what is said about those that cannot be used but need not be.
#[derive(Debug, Default)]
pub struct Forges {
    /// The forges.
    pub forges: Vec<Arc<dyn Forge>>,
    /// Why notes, which nobody asked for by name, are not written.
    pub warnings: Vec<ForgeError>,
}

impl Settings {
    /// Makes the forges. Notes are a default: where they cannot be written, and were not asked for by name,
    /// that is a warning. Anything else that cannot work is an error. Blocks.
    pub fn forges(&self, client: &Client, clock: Clock) -> Result<Forges, ForgeError> {
        self.make(client, clock, || self.notes(clock))
    }

    /// Makes the forges for reading alone: notes need not be writable. Blocks.
    pub fn readers(&self, client: &Client, clock: Clock) -> Result<Vec<Arc<dyn Forge>>, ForgeError> {
        let none = Path::new("");
        let checkout = self.checkout.as_deref().unwrap_or(none);
        let notes = || Ok(Notes::to_read(checkout, self.notes_repo.as_deref(), clock));
        self.make(client, clock, notes).map(|made| made.forges)
    }

    fn make(
        &self,
        client: &Client,
        clock: Clock,
        notes: impl Fn() -> Result<Notes, ForgeError>,
    ) -> Result<Forges, ForgeError> {
        let mut made = Forges::default();
        let implied = self.kinds.is_empty();
        let mut kinds = if implied {
            vec![ForgeKind::Notes]
        } else {
            self.kinds.clone()
        };
        kinds.sort_unstable();
        kinds.dedup();
        for kind in kinds {
            match kind {
                ForgeKind::None => {}
                ForgeKind::Notes => match notes() {
                    Ok(notes) => made.forges.push(Arc::new(notes)),
                    Err(error) if implied => made.warnings.push(error),
                    Err(error) => return Err(error),
                },
                forge => {
                    let remote = self.remote(forge, client, clock)?;
                    made.forges.extend(forge.make(remote, self.origin.as_ref())?);
                }
            }
        }
        Ok(made)
    }

    fn notes(&self, clock: Clock) -> Result<Notes, ForgeError> {
        match (&self.checkout, &self.notes_repo) {
            (Some(checkout), notes_repo) => Notes::choose(checkout, notes_repo.as_deref(), clock),
            (None, Some(dir)) => Notes::in_bare(dir, clock),
            (None, None) => Err(ForgeError::Config {
                forge: Notes::NAME.to_owned(),
                text: "there is no checkout to keep notes in".to_owned(),
                hint: "give a directory with --notes-repo DIR".to_owned(),
            }),
        }
    }

    fn remote(&self, kind: ForgeKind, client: &Client, clock: Clock) -> Result<Remote, ForgeError> {
        let forge = kind.name();
        let missing = |flag: &str| ForgeError::Config {
            forge: forge.to_owned(),
            text: format!("{flag} is missing"),
            hint: String::from(
                "give --status-url URL --status-repo OWNER/NAME and a token: --status-token-file FILE, \
                 --status-token-env NAME or --status-secret NAMESPACE/NAME",
            ),
        };
        let given = |value: &Option<String>, flag| value.clone().ok_or_else(|| missing(flag));
        let (url, repository) = (
            given(
                &self.url.clone().or_else(|| kind.url().map(str::to_owned)),
                "--status-url",
            )?,
            given(&self.repository, "--status-repo")?,
        );
        let token = match (&self.token_file, &self.token_variable) {
            (Some(path), _) => SecretFile::Path(path.clone()),
            (None, Some(name)) => SecretFile::Variable(name.clone()),
            (None, None) => return Err(missing("--status-token-file")),
        };
        let credential = Credential::Token(token);
        credential
            .check()
            .and_then(|()| self.route.read().map(drop))
            .map_err(|error| ForgeError::of_http(forge, &error))?;
        let route = self.route.clone();
        Ok(Remote {
            url,
            repository,
            branch: self.branch.clone(),
            credential,
            client: client.with_route(move || route.read()),
            clock,
        })
    }
}

/// What one forge shows of a commit.
#[derive(Debug)]
pub struct Shown {
    /// Name of the forge.
    pub forge: String,
    /// The newest status of each context, by context.
    pub statuses: Result<Vec<CommitStatus>, ForgeError>,
}

/// Reads what all forges show of a commit.
pub async fn read(forges: &[Arc<dyn Forge>], commit: &CommitId) -> Vec<Shown> {
    let reads = forges.iter().map(async |forge| Shown {
        forge: forge.name().to_owned(),
        statuses: forge.read(commit).await,
    });
    futures::future::join_all(reads).await
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use super::*;
    use crate::{error::Classified, repo::testing::Repo, report::CommitState};

    fn made(settings: &Settings) -> Result<Forges, ForgeError> {
        let clock = Clock::starting_at("2026-11-22T03:00:00Z".parse().unwrap());
        settings.forges(&Client::in_process(BTreeMap::new()), clock)
    }

    fn names(settings: &Settings) -> Vec<String> {
        let made = made(settings).unwrap();
        made.forges.iter().map(|forge| forge.name().to_owned()).collect()
    }

    #[test]
    fn kinds_are_parsed_and_others_named() {
        assert_eq!("forgejo".parse(), Ok(ForgeKind::Gitea));
        for kind in ForgeKind::ALL {
            assert_eq!(kind.name().parse(), Ok(kind));
        }
        assert!("hub".parse::<ForgeKind>().is_err());
    }

    #[tokio::test(start_paused = true)]
    async fn notes_are_the_default_and_a_warning_where_they_cannot_be_written() {
        let repo = Repo::new();
        let commit = repo.commit(&[("a", "1")]);
        let mut settings = Settings {
            checkout: Some(repo.dir().to_owned()),
            ..Settings::default()
        };
        let forges = made(&settings).unwrap().forges;
        let said = CommitStatus::new("serin", CommitState::Success, "initialized");
        forges[0].post(&commit, &said).await.unwrap();
        let shown = read(&forges, &commit).await;
        assert_eq!(shown[0].forge, "notes");
        assert_eq!(*shown[0].statuses.as_ref().unwrap(), [said]);
        settings.checkout = Some("/nonexistent".into());
        let implied = made(&settings).unwrap();
        assert!(implied.forges.is_empty());
        assert!(implied.warnings[0].hint().unwrap().contains("--notes-repo"));
        settings.kinds = vec![ForgeKind::Notes];
        assert!(made(&settings).is_err());
        settings.kinds = vec![ForgeKind::None];
        assert_eq!(names(&settings), Vec::<String>::new());
    }

    #[tokio::test(start_paused = true)]
    async fn gitea_needs_its_three_flags_and_a_token_that_can_be_read() {
        let keep = tempfile::tempdir().unwrap();
        let token = keep.path().join("token");
        let mut settings = Settings {
            kinds: vec![ForgeKind::Gitea, ForgeKind::Gitea],
            ..Settings::default()
        };
        for flag in ["--status-url", "--status-repo", "--status-token-file"] {
            assert!(made(&settings).unwrap_err().to_string().contains(flag), "{flag}");
            match flag {
                "--status-url" => settings.url = Some("http://forge".to_owned()),
                "--status-repo" => settings.repository = Some("team/app".to_owned()),
                _ => settings.token_file = Some(token.clone()),
            }
        }
        assert!(made(&settings).unwrap_err().to_string().contains("token"));
        std::fs::write(&token, "x").unwrap();
        assert_eq!(names(&settings), ["gitea"]);
    }
}

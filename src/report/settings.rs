//! Which forges are used: from the flags of the command line to forges.

use std::{
    path::{Path, PathBuf},
    str::FromStr,
    sync::Arc,
};

use super::{
    AppKey, AzureDevOps, Bitbucket, BitbucketServer, CommitStatus, Credential, Deployments, Dialect, Forge,
    ForgeError, GitHub, GitLab, Gitea, Notes, Origin, Remote,
    address::where_is,
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

/// Other names for `--status`: who serves Gitea's API, and as Flux writes it.
const ALIASES: [(&str, ForgeKind); 2] = [
    ("forgejo", ForgeKind::Gitea),
    ("bitbucketserver", ForgeKind::BitbucketServer),
];

impl FromStr for ForgeKind {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let same = |kind: &Self| kind.name() == text || ALIASES.contains(&(text, *kind));
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
        let place = self.place(&remote);
        let forge: Arc<dyn Forge> = match self {
            Self::Notes | Self::None => return Ok(None),
            Self::GitHub => Arc::new(GitHub::new(remote)?),
            Self::GitLab => Arc::new(GitLab::new(remote)?),
            Self::Gitea => Arc::new(Gitea::new(remote)?),
            Self::Bitbucket => Arc::new(Bitbucket::new(remote)?),
            Self::BitbucketServer => Arc::new(BitbucketServer::new(remote)?),
            Self::AzureDevOps => Arc::new(AzureDevOps::new(remote)?),
        };
        guarded(forge, origin, place).map(Some)
    }

    fn place(self, remote: &Remote) -> Place {
        Place {
            url: remote.url.clone(),
            repository: remote.repository.clone(),
            dialect: self.dialect(),
        }
    }
}

/// Keeps a forge to where the commits come from. Blocks.
fn guarded(
    forge: Arc<dyn Forge>,
    origin: Option<&Origin>,
    place: Place,
) -> Result<Arc<dyn Forge>, ForgeError> {
    Ok(match origin {
        Some(origin) => Arc::new(Guarded::new(forge, origin.clone(), place)?),
        None => forge,
    })
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
    /// A GitHub App in place of a token.
    pub app: Option<AppKey>,
    /// `--github-deployments`: the environment.
    pub deployments: Option<String>,
    /// The branch that is watched, where it was named.
    pub branch: Option<String>,
    /// The address that the source is a clone of: where nothing else is said, the forge is there.
    pub clone_url: Option<String>,
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
        self.check(&kinds)?;
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
                    let deployments = self.deployments(&remote)?;
                    made.forges.extend(forge.make(remote, self.origin.as_ref())?);
                    made.forges.extend(deployments);
                }
            }
        }
        Ok(made)
    }

    /// The flags are those of one forge.
    fn check(&self, kinds: &[ForgeKind]) -> Result<(), ForgeError> {
        let mut forges = kinds
            .iter()
            .filter(|kind| !matches!(kind, ForgeKind::Notes | ForgeKind::None));
        let config = |forge: &str, text: String, hint: &str| ForgeError::Config {
            forge: forge.to_owned(),
            text,
            hint: hint.to_owned(),
        };
        let first = forges.next().copied();
        if let (Some(first), Some(second)) = (first, forges.next()) {
            return Err(config(
                second.name(),
                format!(
                    "the flags --status-… are of one forge, and there is {} already",
                    first.name()
                ),
                "name the other one by a Provider of Flux: --status-provider NAMESPACE/NAME",
            ));
        }
        if (self.app.is_some() || self.deployments.is_some()) && first != Some(ForgeKind::GitHub) {
            return Err(config(
                GitHub::NAME,
                "the flags --github-… are for --status github".to_owned(),
                "add --status github, or leave them out",
            ));
        }
        Ok(())
    }

    /// The deployments of a repository on GitHub, where they were asked for.
    fn deployments(&self, remote: &Remote) -> Result<Option<Arc<dyn Forge>>, ForgeError> {
        let Some(environment) = &self.deployments else {
            return Ok(None);
        };
        let place = ForgeKind::GitHub.place(remote);
        let forge = Arc::new(Deployments::new(remote.clone(), environment)?);
        guarded(forge, self.origin.as_ref(), place).map(Some)
    }

    /// Finds out where the forge is: the address of the source says what the flags do not.
    fn place(&self, kind: ForgeKind) -> Result<(String, String), ForgeError> {
        let missing = |flag: &str| ForgeError::Config {
            forge: kind.name().to_owned(),
            text: format!("{flag} is missing, and the source's address does not tell it"),
            hint: "give --status-url URL --status-repo OWNER/NAME".to_owned(),
        };
        let is_mirror = self
            .origin
            .as_ref()
            .is_some_and(|origin| origin.mirror_of.is_some());
        let source = self.clone_url.as_deref().filter(|_| !is_mirror);
        place_of(kind, self.url.as_deref(), self.repository.as_deref(), source).map_err(missing)
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
            hint: "give a token: --status-token-file FILE, --status-token-env NAME or --status-secret \
                   NAMESPACE/NAME"
                .to_owned(),
        };
        let (url, repository) = self.place(kind)?;
        let credential = match (&self.app, &self.token_file, &self.token_variable) {
            (Some(app), _, _) => Credential::App(app.clone()),
            (None, Some(path), _) => Credential::Token(SecretFile::Path(path.clone())),
            (None, None, Some(name)) => Credential::Token(SecretFile::Variable(name.clone())),
            (None, None, None) => return Err(missing("--status-token-file")),
        };
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

/// Finds out where a forge is, and which repository of it is meant: the address that the source is cloned from says what
/// the flags do not. Fails with the flag that is missing.
pub(super) fn place_of(
    kind: ForgeKind,
    url: Option<&str>,
    repository: Option<&str>,
    source: Option<&str>,
) -> Result<(String, String), &'static str> {
    let told = source.and_then(|source| where_is(source, kind.dialect(), url));
    let repository = repository.or(told.as_ref().map(|(_, repository)| repository.as_str()));
    let repository = repository.ok_or("--status-repo")?.to_owned();
    let url = url.map(str::to_owned).or_else(|| {
        // Another repository may be anywhere.
        let same = told.filter(|(_, there)| there.eq_ignore_ascii_case(repository.trim_matches('/')));
        same.and_then(|(url, _)| url)
    });
    let url = url.or_else(|| kind.url().map(str::to_owned));
    Ok((url.ok_or("--status-url")?, repository))
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

    fn of(kind: ForgeKind, clone: &str, keep: &tempfile::TempDir) -> Settings {
        let token = keep.path().join("token");
        std::fs::write(&token, "t0ps3cret").unwrap();
        Settings {
            kinds: vec![kind, kind],
            token_file: Some(token),
            clone_url: (!clone.is_empty()).then(|| clone.to_owned()),
            ..Settings::default()
        }
    }

    #[tokio::test(start_paused = true)]
    async fn a_forge_needs_to_know_where_it_is_and_a_token_that_can_be_read() {
        let keep = tempfile::tempdir().unwrap();
        let mut settings = of(ForgeKind::Gitea, "", &keep);
        let token = settings.token_file.take().unwrap();
        std::fs::remove_file(&token).unwrap();
        for flag in ["--status-repo", "--status-url", "--status-token-file"] {
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

    #[test]
    fn the_address_of_the_source_says_what_the_flags_do_not() {
        let keep = tempfile::tempdir().unwrap();
        for (kind, clone, url, repository, place) in [
            (
                ForgeKind::GitHub,
                "git@github.com:team/app.git",
                "",
                "",
                "https://github.com team/app",
            ),
            (
                ForgeKind::GitHub,
                "https://x:t@ghe.example.com/team/app",
                "",
                "",
                "https://ghe.example.com team/app",
            ),
            (
                ForgeKind::GitHub,
                "",
                "",
                "team/app",
                "https://github.com team/app",
            ),
            (
                ForgeKind::GitHub,
                "git@ghe.example.com:team/app.git",
                "",
                "team/app",
                "https://ghe.example.com team/app",
            ),
            // Another repository than the source's: nothing says that it is there.
            (
                ForgeKind::GitHub,
                "git@ghe.example.com:team/app.git",
                "",
                "team/other",
                "https://github.com team/other",
            ),
            (
                ForgeKind::Gitea,
                "ssh://git@git.example.com:2222/team/app.git",
                "",
                "",
                "https://git.example.com team/app",
            ),
            (
                ForgeKind::Gitea,
                "http://git.example.com:3000/team/app",
                "",
                "",
                "http://git.example.com:3000 team/app",
            ),
            (
                ForgeKind::Gitea,
                "https://example.com/git/team/app.git",
                "https://example.com/git",
                "",
                "https://example.com/git team/app",
            ),
            (
                ForgeKind::GitLab,
                "git@gitlab.com:group/sub/app.git",
                "",
                "",
                "https://gitlab.com group/sub/app",
            ),
            (
                ForgeKind::GitLab,
                "https://example.com/gitlab/group/app",
                "https://example.com/gitlab/",
                "",
                "https://example.com/gitlab/ group/app",
            ),
            (
                ForgeKind::Bitbucket,
                "git@bitbucket.org:team/app.git",
                "",
                "",
                "https://bitbucket.org team/app",
            ),
            (
                ForgeKind::BitbucketServer,
                "https://bb.example.com/git/scm/TEAM/app.git",
                "",
                "",
                "https://bb.example.com/git TEAM/app",
            ),
            (
                ForgeKind::BitbucketServer,
                "ssh://git@bb.example.com:7999/team/app.git",
                "https://bb.example.com/git",
                "",
                "https://bb.example.com/git team/app",
            ),
            (
                ForgeKind::AzureDevOps,
                "git@ssh.dev.azure.com:v3/org/the%20project/app",
                "",
                "",
                "https://dev.azure.com org/the project/app",
            ),
            (
                ForgeKind::AzureDevOps,
                "https://org.visualstudio.com/project/_git/app",
                "",
                "",
                "https://dev.azure.com org/project/app",
            ),
        ] {
            let given = |text: &str| (!text.is_empty()).then(|| text.to_owned());
            let settings = Settings {
                url: given(url),
                repository: given(repository),
                ..of(kind, clone, &keep)
            };
            let (url, repository) = settings.place(kind).unwrap();
            assert_eq!(format!("{url} {repository}"), place, "{kind:?} {clone}");
        }
        for (kind, clone) in [
            (ForgeKind::Gitea, ""),
            (ForgeKind::GitHub, "/srv/git/app.git"),
            (
                ForgeKind::BitbucketServer,
                "ssh://git@bb.example.com:7999/team/app.git",
            ),
        ] {
            let error = of(kind, clone, &keep).place(kind).unwrap_err();
            assert!(error.to_string().contains("is missing"), "{error}");
        }
    }

    #[tokio::test(start_paused = true)]
    async fn the_flags_are_of_one_forge() {
        let keep = tempfile::tempdir().unwrap();
        let mut settings = of(ForgeKind::GitHub, "git@github.com:team/app.git", &keep);
        settings.deployments = Some("production".to_owned());
        assert_eq!(names(&settings), ["github", "github-deployments"]);
        settings.kinds = vec![ForgeKind::Gitea];
        assert!(made(&settings).unwrap_err().to_string().contains("--github-"));
        settings.deployments = None;
        settings.kinds = vec![ForgeKind::GitHub, ForgeKind::Gitea];
        let error = made(&settings).unwrap_err();
        assert!(error.hint().unwrap().contains("--status-provider"), "{error}");
    }
}

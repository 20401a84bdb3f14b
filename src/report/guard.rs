//! Keeps a forge to the repository that the commits come from. Whoever may choose where statuses are posted must
//! not paint the commits of others: ids of commits say nothing of whose they are.

use std::{fmt, sync::Arc, time::Duration};

use futures::{FutureExt, future::BoxFuture};

use super::{
    CommitStatus, Dialect, Draft, Forge, ForgeError, NewPullRequest, PullRequest, PullRequests, Rate,
    RepositoryAddress,
};
use crate::{
    clock,
    http::excerpt,
    repo::{CommitId, Repository},
};

/// What a forge's repository is compared with.
#[derive(Clone, Debug)]
pub struct Origin {
    /// Where commits come from.
    pub source: Arc<dyn Repository>,
    /// The forge's repository mirrors the one at this address (`--status-mirror-of`).
    pub mirror_of: Option<String>,
}

/// Where a forge posts to.
#[derive(Clone, Debug)]
pub(super) struct Place {
    /// Address of the forge.
    pub(super) url: String,
    /// The repository there.
    pub(super) repository: String,
    /// How the forge's addresses are read.
    pub(super) dialect: Dialect,
}

impl Origin {
    /// Checks that a forge posts to where commits come from. A source that says nothing of its origin (a
    /// repository without a remote) cannot be another one. Blocks.
    pub(super) fn check(&self, forge: &str, place: &Place) -> Result<(), ForgeError> {
        let url = self.source.url().map_err(|error| ForgeError::Unavailable {
            forge: forge.to_owned(),
            text: format!("it is not known yet where the commits come from: {error}"),
            retry_after: Some(Duration::from_secs(1)),
        })?;
        let Some(url) = url else { return Ok(()) };
        let config = |text: String, hint: &str| ForgeError::Config {
            forge: forge.to_owned(),
            text,
            hint: hint.to_owned(),
        };
        let source = RepositoryAddress::parse(&url, place.dialect);
        if let Some(original) = &self.mirror_of {
            let same = match (&source, RepositoryAddress::parse(original, place.dialect)) {
                (Ok(source), Ok(original)) => *source == original,
                // Directories, and what else git can clone from.
                _ => url.trim_end_matches('/') == original.trim_end_matches('/'),
            };
            return if same {
                Ok(())
            } else {
                Err(config(
                    format!(
                        "the commits come from {}, not from what --status-mirror-of names",
                        shown(&url, source)
                    ),
                    "give --status-mirror-of the address that the source is cloned from",
                ))
            };
        }
        let there = place.address();
        if let (Ok(source), Ok(there)) = (&source, &there)
            && source == there
        {
            return Ok(());
        }
        let there = there.map_or_else(|_| excerpt(&place.repository, 100), |there| there.to_string());
        Err(config(
            format!(
                "it would post to {there}, but the commits come from {}",
                shown(&url, source)
            ),
            "correct the forge's repository; if it is a mirror, or reached by another name, say so with \
             --status-mirror-of URL, the address that the source is cloned from",
        ))
    }
}

impl Place {
    fn address(&self) -> Result<RepositoryAddress, super::ParseAddressError> {
        let text = format!(
            "{}/{}",
            self.url.trim_end_matches('/').trim_end_matches("/api/v3"),
            self.repository.trim_matches('/')
        );
        match self.dialect {
            // It may be served under a path, which is no part of a repository's name.
            Dialect::DataCenter => {
                let path = format!("{}/scm/{}", self.url.trim_end_matches('/'), self.repository);
                RepositoryAddress::parse(&path, self.dialect)
            }
            Dialect::Plain | Dialect::Azure => RepositoryAddress::parse(&text, self.dialect),
        }
    }
}

/// As much of the source's address as may be told: never its credentials.
fn shown(url: &str, parsed: Result<RepositoryAddress, super::ParseAddressError>) -> String {
    match parsed {
        Ok(address) => address.to_string(),
        Err(_) if url.contains('@') => "an address that no forge has".to_owned(),
        Err(_) => excerpt(url, 100),
    }
}

/// A forge that is told nothing about commits that are not its own.
pub(super) struct Guarded {
    forge: Arc<dyn Forge>,
    origin: Origin,
    place: Place,
}

impl Guarded {
    /// Guards a forge. What is known to be wrong already is an error. Blocks.
    pub(super) fn new(forge: Arc<dyn Forge>, origin: Origin, place: Place) -> Result<Self, ForgeError> {
        match origin.check(forge.name(), &place) {
            Ok(()) | Err(ForgeError::Unavailable { .. }) => {}
            Err(error) => return Err(error),
        }
        Ok(Self { forge, origin, place })
    }

    /// The source may have been led elsewhere since.
    async fn check(&self) -> Result<(), ForgeError> {
        let (origin, place, forge) = (
            self.origin.clone(),
            self.place.clone(),
            self.forge.name().to_owned(),
        );
        let checked = clock::off_thread(clock::Turn::Notes, move || origin.check(&forge, &place));
        checked.await.map_err(|error| ForgeError::Unavailable {
            forge: self.forge.name().to_owned(),
            text: error.to_string(),
            retry_after: Some(Duration::from_secs(1)),
        })?
    }

    fn pulls(&self) -> Result<&dyn PullRequests, ForgeError> {
        self.forge.pull_requests().ok_or_else(|| ForgeError::Config {
            forge: self.forge.name().to_owned(),
            text: "it has no pull requests".to_owned(),
            hint: "leave --pull-request-comment out".to_owned(),
        })
    }
}

impl fmt::Debug for Guarded {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:?}, guarded", self.forge)
    }
}

impl Forge for Guarded {
    fn name(&self) -> &str {
        self.forge.name()
    }

    fn post<'a>(
        &'a self,
        commit: &'a CommitId,
        status: &'a CommitStatus,
    ) -> BoxFuture<'a, Result<(), ForgeError>> {
        async move {
            self.check().await?;
            self.forge.post(commit, status).await
        }
        .boxed()
    }

    fn read<'a>(&'a self, commit: &'a CommitId) -> BoxFuture<'a, Result<Vec<CommitStatus>, ForgeError>> {
        self.forge.read(commit)
    }

    fn progress_interval(&self) -> Duration {
        self.forge.progress_interval()
    }

    fn rate(&self) -> Option<Rate> {
        self.forge.rate()
    }

    fn pull_requests(&self) -> Option<&dyn PullRequests> {
        self.forge.pull_requests().map(|_| self as &dyn PullRequests)
    }
}

impl PullRequests for Guarded {
    fn open<'a>(&'a self, request: &'a NewPullRequest) -> BoxFuture<'a, Result<PullRequest, ForgeError>> {
        async move {
            self.check().await?;
            self.pulls()?.open(request).await
        }
        .boxed()
    }

    fn of_commit<'a>(&'a self, commit: &'a CommitId) -> BoxFuture<'a, Result<Vec<u64>, ForgeError>> {
        async move { self.pulls()?.of_commit(commit).await }.boxed()
    }

    fn upsert_comment<'a>(
        &'a self,
        number: u64,
        marker: &'a str,
        draft: &'a Draft<'a>,
    ) -> BoxFuture<'a, Result<(), ForgeError>> {
        async move {
            self.check().await?;
            self.pulls()?.upsert_comment(number, marker, draft).await
        }
        .boxed()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{
        error::Classified,
        repo::{Checkout, testing::Repo},
        report::{
            CommitState,
            testing::{Diary, commit, said},
        },
    };

    fn origin(url: &str, mirror_of: Option<&str>) -> (Repo, Origin) {
        let repo = Repo::new();
        repo.commit(&[("a", "1")]);
        repo.git(&["remote", "add", "origin", url]);
        let checkout = Checkout::open(repo.dir(), crate::repo::Options::default()).unwrap();
        let origin = Origin {
            source: Arc::new(checkout),
            mirror_of: mirror_of.map(str::to_owned),
        };
        (repo, origin)
    }

    fn place(url: &str, repository: &str, dialect: Dialect) -> Place {
        Place {
            url: url.to_owned(),
            repository: repository.to_owned(),
            dialect,
        }
    }

    #[test]
    fn a_forge_must_be_where_the_commits_come_from() {
        for (source, url, repository, dialect) in [
            (
                "git@git.example.com:team/apps.git",
                "https://git.example.com:3000",
                "Team/apps",
                Dialect::Plain,
            ),
            (
                "https://ghe.example.com/team/apps",
                "https://ghe.example.com/api/v3",
                "team/apps.git",
                Dialect::Plain,
            ),
            (
                "ssh://git@github.com/team/apps",
                "https://api.github.com",
                "team/apps",
                Dialect::Plain,
            ),
            (
                "https://bb.example.com/context/scm/prj/apps.git",
                "https://bb.example.com/context",
                "PRJ/apps",
                Dialect::DataCenter,
            ),
            (
                "git@ssh.dev.azure.com:v3/org/proj/apps",
                "https://dev.azure.com",
                "org/proj/apps",
                Dialect::Azure,
            ),
        ] {
            let (_repo, origin) = origin(source, None);
            let place = place(url, repository, dialect);
            assert_eq!(origin.check("forge", &place), Ok(()), "{source}");
            for other in [
                Place {
                    url: "https://other.example.com".to_owned(),
                    ..place.clone()
                },
                Place {
                    repository: "others/apps".to_owned(),
                    ..place.clone()
                },
            ] {
                let error = origin.check("forge", &other).unwrap_err();
                assert!(error.hint().unwrap().contains("--status-mirror-of"), "{error}");
            }
        }
    }

    #[test]
    fn a_mirror_must_be_one_of_the_source() {
        let there = place("https://forge.example.com", "mirrors/apps", Dialect::Plain);
        let source = "https://ada:hidden@git.example.com/team/apps.git";
        let (_repo, wrong) = origin(source, Some("https://git.example.com/other/apps"));
        let text = wrong.check("gitea", &there).unwrap_err().to_string();
        assert_eq!(
            text,
            "gitea: the commits come from git.example.com/team/apps, not from what --status-mirror-of names"
        );
        let (_repo, right) = origin(source, Some("ssh://git@git.example.com/team/apps"));
        assert_eq!(right.check("gitea", &there), Ok(()));
        let (_repo, local) = origin("/srv/git/apps", Some("/srv/git/apps/"));
        assert_eq!(local.check("gitea", &there), Ok(()));
        let (_repo, odd) = origin("foo::ada:hidden@x", None);
        let text = odd.check("gitea", &there).unwrap_err().to_string();
        assert!(!text.contains("hidden"), "{text}");
    }

    #[tokio::test(start_paused = true)]
    async fn a_source_that_is_led_elsewhere_is_noticed_before_anything_is_painted() {
        let (repo, origin) = origin("https://git.example.com/team/apps", None);
        let diary = Diary::new("a", 0);
        let there = place("https://git.example.com", "team/apps", Dialect::Plain);
        let forge = Guarded::new(diary.clone(), origin, there).unwrap();
        let status = said("serin", CommitState::Success, "promoted");
        forge.post(&commit('1'), &status).await.unwrap();
        repo.git(&[
            "remote",
            "set-url",
            "origin",
            "https://git.example.com/mallory/apps",
        ]);
        let error = forge.post(&commit('2'), &status).await.unwrap_err();
        assert_eq!(
            error.to_string(),
            "a: it would post to git.example.com/team/apps, but the commits come from git.example.com/mallory/apps"
        );
        assert_eq!(diary.taken().len(), 1);
    }

    #[test]
    fn a_repository_without_a_remote_is_nobody_elses() {
        let repo = Repo::new();
        repo.commit(&[("a", "1")]);
        let source = Arc::new(Checkout::open(repo.dir(), crate::repo::Options::default()).unwrap());
        let origin = Origin {
            source,
            mirror_of: None,
        };
        let there = place("https://git.example.com", "team/apps", Dialect::Plain);
        assert_eq!(origin.check("gitea", &there), Ok(()));
    }
}

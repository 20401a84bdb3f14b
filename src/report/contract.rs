//! What every forge must do: the same cases run on all of them. The servers here enforce what the forges
//! document (and what a real Gitea was seen to do); the end-to-end tier holds Gitea's against a real one.

mod azure;
mod bitbucket;
mod bitbucket_server;
mod desk;
mod gitea;
mod github;
mod gitlab;
mod notes;
mod pulls;
mod refused;
mod server;

use self::{
    desk::Desk,
    pulls::{
        an_open_pull_request_is_found_among_many, long_texts_are_cut_to_what_the_forge_takes,
        one_comment_is_kept_up_to_date, one_pull_request_is_opened_per_branch,
        the_pull_request_of_a_commit_is_found,
    },
    server::TOKEN,
};
use super::{
    AppKey, AzureDevOps, Bitbucket, BitbucketServer, CommitState, CommitStatus, Credential, Forge,
    ForgeError, GitHub, GitLab, Gitea, Installation, Notes, Remote,
};
use crate::{
    clock::Clock,
    error::{Class, Classified},
    http::{Client, Secret, SecretFile},
    repo::{CommitId, testing::Repo},
};

/// A forge and what is in it.
struct Place {
    forge: Box<dyn Forge>,
    known: CommitId,
    other: CommitId,
    /// What the server keeps of pull requests.
    desk: Desk,
    /// How many texts of what is pending are shown, one after the other.
    texts: usize,
    _keep: Option<Repo>,
}

fn hex(digit: char) -> CommitId {
    digit.to_string().repeat(40).parse().unwrap()
}

fn clock() -> Clock {
    Clock::starting_at("2026-11-22T03:00:00Z".parse().unwrap())
}

fn remote(url: &str, repository: &str, token: &str, client: Client) -> Remote {
    Remote {
        url: url.to_owned(),
        repository: repository.to_owned(),
        branch: None,
        credential: Credential::Token(SecretFile::Fixed(Secret::new(token))),
        client,
        clock: clock(),
    }
}

fn on_gitea() -> Place {
    let rules = gitea::Rules::with(&[&hex('a'), &hex('b')]);
    let desk = rules.desk.clone();
    let client = gitea::start(rules);
    let remote = remote(
        "http://forge/sub/",
        &format!("{}/app.git", gitea::OWNER),
        TOKEN,
        client,
    );
    Place::new(Gitea::new(remote).unwrap(), desk)
}

fn on_github() -> Place {
    let server = github::start(&[&hex('a'), &hex('b')], clock());
    let remote = remote("http://forge/sub/", "team/app.git", TOKEN, server.client);
    Place::new(GitHub::new(remote).unwrap(), server.desk)
}

fn on_github_as_an_app() -> Place {
    let server = github::start(&[&hex('a'), &hex('b')], clock());
    let remote = as_app(
        remote("http://forge/sub", "team/app", "", server.client),
        github::APP_KEY,
    );
    Place::new(GitHub::new(remote).unwrap(), server.desk)
}

fn on_gitlab() -> Place {
    let server = gitlab::start(&[&hex('a'), &hex('b')]);
    let remote = remote("http://forge/sub/", gitlab::PROJECT, TOKEN, server.client);
    Place {
        texts: 2,
        ..Place::new(GitLab::new(remote).unwrap(), server.desk)
    }
}

fn on_bitbucket() -> Place {
    let server = bitbucket::start(&[&hex('a'), &hex('b')]);
    let remote = remote("http://forge/sub/", "team/app.git", TOKEN, server.client);
    Place::new(Bitbucket::new(remote).unwrap(), server.desk)
}

fn on_bitbucket_server() -> Place {
    let server = bitbucket_server::start(&[&hex('a'), &hex('b')]);
    let remote = remote("http://forge/git/", "scm/TEAM/app.git", TOKEN, server.client);
    Place::new(BitbucketServer::new(remote).unwrap(), server.desk)
}

fn on_azure() -> Place {
    let server = azure::start(&[&hex('a'), &hex('b')]);
    let remote = remote(
        "http://forge/sub/",
        "org/the project/_git/app",
        TOKEN,
        server.client,
    );
    Place::new(AzureDevOps::new(remote).unwrap(), server.desk)
}

/// Makes a remote that is asked as a GitHub App.
fn as_app(remote: Remote, key: &str) -> Remote {
    Remote {
        credential: Credential::App(AppKey {
            id: github::APP_ID.to_owned(),
            installation: Installation::OfRepository,
            private_key: SecretFile::Fixed(Secret::new(key)),
        }),
        ..remote
    }
}

impl Place {
    fn new(forge: impl Forge + 'static, desk: Desk) -> Self {
        Self {
            forge: Box::new(forge),
            known: hex('a'),
            other: hex('b'),
            desk,
            texts: usize::MAX,
            _keep: None,
        }
    }
}

fn in_notes() -> Place {
    let repo = Repo::new();
    let other = repo.commit(&[("a", "1")]);
    let known = repo.commit(&[("a", "2")]);
    let forge = Notes::in_checkout(repo.dir(), clock()).unwrap();
    Place {
        forge: Box::new(forge),
        known,
        other,
        desk: Desk::default(),
        texts: usize::MAX,
        _keep: Some(repo),
    }
}

fn status(context: &str, state: CommitState, text: &str) -> CommitStatus {
    CommitStatus::new(context, state, text)
}

macro_rules! cases {
    ($module:ident, $place:ident: $($case:ident)*) => {
        mod $module {
            $(#[tokio::test(start_paused = true)]
            async fn $case() {
                super::$case(super::$place()).await;
            })*
        }
    };
}

/// What every place for statuses must do.
macro_rules! statuses {
    ($module:ident, $place:ident) => {
        cases! { $module, $place:
            the_newest_status_of_each_context_is_read_back
            posting_the_same_again_changes_nothing_for_a_reader
            an_unknown_commit_is_named_and_has_no_statuses
            many_updates_and_many_contexts_are_all_counted
            hostile_texts_come_back_as_they_were_posted
        }
    };
}

/// What every forge with pull requests must do.
macro_rules! pull_requests {
    ($module:ident, $place:ident) => {
        cases! { $module, $place:
            one_pull_request_is_opened_per_branch
            an_open_pull_request_is_found_among_many
            long_texts_are_cut_to_what_the_forge_takes
            the_pull_request_of_a_commit_is_found
            one_comment_is_kept_up_to_date
        }
    };
}

statuses! { notes_statuses, in_notes }
statuses! { gitea_statuses, on_gitea }
pull_requests! { gitea_pulls, on_gitea }
statuses! { github_statuses, on_github }
pull_requests! { github_pulls, on_github }
statuses! { github_checks, on_github_as_an_app }
pull_requests! { github_app_pulls, on_github_as_an_app }
statuses! { gitlab_statuses, on_gitlab }
pull_requests! { gitlab_pulls, on_gitlab }
statuses! { bitbucket_statuses, on_bitbucket }
pull_requests! { bitbucket_pulls, on_bitbucket }
statuses! { bitbucket_server_statuses, on_bitbucket_server }
pull_requests! { bitbucket_server_pulls, on_bitbucket_server }
statuses! { azure_statuses, on_azure }
pull_requests! { azure_pulls, on_azure }

async fn the_newest_status_of_each_context_is_read_back(place: Place) {
    let forge = &place.forge;
    assert_eq!(forge.read(&place.known).await.unwrap(), []);
    let pending = status("serin/test/a", CommitState::Pending, "podinfo.test 10 %");
    let failed = status("serin/test/a", CommitState::Failure, "rolled back")
        .with_url(Some("https://serin.example/r?x=1".to_owned()));
    let aggregate = status("serin", CommitState::Error, "a: rolled back");
    for status in [&pending, &aggregate, &failed] {
        forge.post(&place.known, status).await.unwrap();
    }
    assert_eq!(forge.read(&place.known).await.unwrap(), [aggregate, failed]);
    assert_eq!(forge.read(&place.other).await.unwrap(), []);
    let success = status("serin/test/a", CommitState::Success, "promoted");
    forge.post(&place.other, &success).await.unwrap();
    assert_eq!(forge.read(&place.other).await.unwrap(), [success]);
    assert_eq!(forge.read(&place.known).await.unwrap().len(), 2);
}

async fn posting_the_same_again_changes_nothing_for_a_reader(place: Place) {
    let said = status("serin/test/a", CommitState::Success, "promoted, 3 checks passed");
    for _ in 0..2 {
        place.forge.post(&place.known, &said).await.unwrap();
        assert_eq!(
            place.forge.read(&place.known).await.unwrap(),
            std::slice::from_ref(&said)
        );
    }
}

async fn an_unknown_commit_is_named_and_has_no_statuses(place: Place) {
    let unknown = hex('f');
    let said = status("serin", CommitState::Pending, "detected");
    let error = place.forge.post(&unknown, &said).await.unwrap_err();
    assert!(matches!(error, ForgeError::UnknownCommit { .. }), "{error}");
    assert!(error.to_string().contains(unknown.as_str()));
    assert!(matches!(error.class(), Class::Retry(_)) && error.is_local());
    assert_eq!(place.forge.read(&unknown).await.unwrap(), []);
}

async fn many_updates_and_many_contexts_are_all_counted(place: Place) {
    // More rows than a page of the forge holds, the newest not on one page.
    for round in 0..3 {
        for n in 0..40 {
            let said = status(
                &format!("serin/test/c{n:02}"),
                CommitState::Pending,
                &format!("{round}"),
            );
            place.forge.post(&place.known, &said).await.unwrap();
        }
    }
    let read = place.forge.read(&place.known).await.unwrap();
    assert_eq!(read.len(), 40);
    let last = place.texts.min(3) - 1;
    assert!(
        read.iter().all(|status| status.description == last.to_string()),
        "{read:?}"
    );
    assert!(read.is_sorted_by(|a, b| a.context < b.context));
}

async fn hostile_texts_come_back_as_they_were_posted(place: Place) {
    let nasty = "a\tb\nsuccess\tserin\tall good\u{0}\u{202e}<script>&amp; ∑ \\";
    let said = status("serin/test/a", CommitState::Failure, nasty);
    place.forge.post(&place.known, &said).await.unwrap();
    assert_eq!(
        place.forge.read(&place.known).await.unwrap(),
        std::slice::from_ref(&said)
    );
    let long = status("serin/test/a", CommitState::Failure, &"é".repeat(500));
    place.forge.post(&place.known, &long).await.unwrap();
    assert_eq!(place.forge.read(&place.known).await.unwrap(), [long]);
}

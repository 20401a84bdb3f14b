//! The rules of Gitea's API, each with a test that fails where it is not respected.

use std::time::Duration;

use super::{OWNER, READER, Rules, TOKEN, start};
use crate::{
    error::{Class, Classified},
    http::{Secret, SecretFile},
    report::{
        CommitState, Credential, Forge, ForgeError, Gitea, Remote,
        contract::{hex, remote, status},
    },
};

async fn refused_by(rules: Rules, token: &str, repository: &str) -> ForgeError {
    let remote = remote("http://forge/sub", repository, token, start(rules));
    let forge = Gitea::new(remote).unwrap();
    let said = status("serin", CommitState::Pending, "detected");
    let error = forge.post(&hex('a'), &said).await.unwrap_err();
    assert!(!error.to_string().contains(TOKEN), "{error}");
    error
}

#[tokio::test(start_paused = true)]
async fn what_gitea_refuses_is_told_apart() {
    let rules = || Rules::with(&[&hex('a')]);
    let repository = format!("{OWNER}/app");
    let error = refused_by(rules(), "wrong", &repository).await;
    assert!(matches!(error, ForgeError::Unauthorized { .. }), "{error}");
    assert_eq!(error.class(), Class::UserMustFix);
    let error = refused_by(rules(), READER, &repository).await;
    assert!(matches!(error, ForgeError::Forbidden { .. }), "{error}");
    assert!(error.hint().unwrap().contains("write:repository"));
    let error = refused_by(rules(), TOKEN, "nobody/app").await;
    assert!(matches!(error, ForgeError::NoRepository { .. }), "{error}");
    for status in [400, 404, 422, 500] {
        let error = refused_by(
            Rules {
                unknown_is: status,
                ..Rules::with(&[])
            },
            TOKEN,
            &repository,
        )
        .await;
        assert!(
            matches!(error, ForgeError::UnknownCommit { .. }),
            "{status}: {error}"
        );
    }
    for status in [429, 500, 502, 503] {
        let error = refused_by(
            Rules {
                always: Some(status),
                ..rules()
            },
            TOKEN,
            &repository,
        )
        .await;
        assert!(
            matches!(error, ForgeError::Unavailable { .. }),
            "{status}: {error}"
        );
        assert_eq!(
            error.class(),
            Class::Retry(Duration::from_secs(7)),
            "Retry-After counts"
        );
    }
    let error = refused_by(
        Rules {
            always: Some(422),
            ..rules()
        },
        TOKEN,
        &repository,
    )
    .await;
    assert!(error.is_final(), "{error}");
}

#[tokio::test(start_paused = true)]
async fn a_forge_that_is_late_or_gone_is_unavailable_and_a_missing_token_is_for_the_user() {
    let forge = |url: &str, token: SecretFile| {
        let client = start(Rules {
            delay: Duration::from_secs(60),
            ..Rules::with(&[&hex('a')])
        });
        let remote = Remote {
            credential: Credential::Token(token),
            ..remote(url, "team/app", "", client)
        };
        Gitea::new(remote).unwrap()
    };
    let token = SecretFile::Fixed(Secret::new(TOKEN));
    for url in ["http://forge/sub", "http://gone"] {
        let error = forge(url, token.clone()).read(&hex('a')).await.unwrap_err();
        assert!(matches!(error, ForgeError::Unavailable { .. }), "{url}: {error}");
    }
    let missing = SecretFile::Path("/nonexistent/token".into());
    let error = forge("http://forge/sub", missing)
        .read(&hex('a'))
        .await
        .unwrap_err();
    assert_eq!(error.class(), Class::UserMustFix);
    assert!(error.to_string().contains("/nonexistent/token"), "{error}");
}

#[tokio::test(start_paused = true)]
async fn settings_that_cannot_work_are_refused_with_a_hint() {
    let make =
        |url: &str, repository: &str| Gitea::new(remote(url, repository, TOKEN, start(Rules::with(&[]))));
    assert!(make("http://forge", "/team/app.git").is_ok());
    for (url, repository) in [
        ("forge", "team/app"),
        ("http://forge", "app"),
        ("http://forge", "team/sub/app"),
        ("http://forge", "team/.."),
        ("http://forge", "team/a?b"),
        ("http://forge", ""),
    ] {
        let error = make(url, repository).unwrap_err();
        assert!(
            error.hint().is_some_and(|hint| hint.contains("--status-")),
            "{error}"
        );
    }
}

#[tokio::test(start_paused = true)]
async fn a_repository_that_has_moved_is_followed_at_the_same_forge_and_nowhere_else() {
    let said = status("serin", CommitState::Success, "promoted");
    let client = start(Rules::with(&[&hex('a')]));
    let repository = format!("{OWNER}/renamed");
    let forge = Gitea::new(remote("http://forge/sub", &repository, TOKEN, client)).unwrap();
    forge.post(&hex('a'), &said).await.unwrap();
    assert_eq!(forge.read(&hex('a')).await.unwrap(), [said]);
    for elsewhere in ["abroad", "outside"] {
        let rules = Rules::with(&[&hex('a')]);
        let error = refused_by(rules, TOKEN, &format!("{OWNER}/{elsewhere}")).await;
        assert!(matches!(error, ForgeError::Config { .. }), "{elsewhere}: {error}");
        assert!(error.to_string().contains("is elsewhere now"), "{error}");
    }
}

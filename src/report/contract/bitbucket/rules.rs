//! The rules of Bitbucket Cloud's API, each with a test that fails where it is not respected.

use std::time::Duration;

use super::{BitbucketServer, TOKEN, fault, start};
use crate::{
    error::{Class, Classified},
    http::{Secret, SecretFile},
    report::{
        Bitbucket, CommitState, Credential, Forge, ForgeError, Remote,
        contract::{
            hex,
            refused::{refusal, refusals_are_told_apart},
            remote, status,
        },
    },
};

fn server() -> BitbucketServer {
    start(&[&hex('a')])
}

fn on(server: &BitbucketServer, token: &str, repository: &str) -> Bitbucket {
    Bitbucket::new(remote(
        "http://forge/sub",
        repository,
        token,
        server.client.clone(),
    ))
    .unwrap()
}

#[tokio::test(start_paused = true)]
async fn a_long_context_has_a_short_key_of_its_own_and_its_full_name() {
    let server = server();
    let forge = on(&server, TOKEN, "team/app");
    let (long, other) = (
        format!("serin/eu/{}", "x".repeat(60)),
        format!("serin/eu/{}", "x".repeat(61)),
    );
    for context in [&long, &other] {
        for (state, text) in [(CommitState::Pending, "10 %"), (CommitState::Success, "promoted")] {
            forge
                .post(&hex('a'), &status(context, state, text))
                .await
                .unwrap();
        }
    }
    let shown = forge.read(&hex('a')).await.unwrap();
    assert_eq!(
        shown,
        [&long, &other].map(|context| status(context, CommitState::Success, "promoted"))
    );
    assert_eq!(
        server.world.lock().unwrap().rows.len(),
        2,
        "the key does not change with the state"
    );
}

#[tokio::test(start_paused = true)]
async fn there_is_always_an_address_and_nothing_in_it_is_filled_in() {
    let server = server();
    let forge = on(&server, TOKEN, "team/app");
    let plain = status("serin", CommitState::Success, "promoted");
    forge.post(&hex('a'), &plain).await.unwrap();
    let row = server.world.lock().unwrap().rows[0].1.clone();
    assert_eq!(
        row["url"],
        format!("http://forge/sub/team/app/commits/{}", hex('a'))
    );
    assert_eq!(
        forge.read(&hex('a')).await.unwrap(),
        [plain],
        "it is not taken for ours"
    );
    let braces = status("serin", CommitState::Failure, "x")
        .with_url(Some("https://s.example/{commit.hash}".to_owned()));
    forge.post(&hex('a'), &braces).await.unwrap();
    let row = server.world.lock().unwrap().rows[0].1.clone();
    assert_eq!(row["url"], "https://s.example/%7Bcommit.hash%7D");
}

#[tokio::test(start_paused = true)]
async fn the_branch_is_told_where_it_is_known() {
    let server = server();
    let remote = Remote {
        branch: Some("main".to_owned()),
        ..remote("http://forge/sub", "team/app", TOKEN, server.client.clone())
    };
    let said = status("serin", CommitState::Success, "promoted");
    Bitbucket::new(remote)
        .unwrap()
        .post(&hex('a'), &said)
        .await
        .unwrap();
    assert_eq!(server.world.lock().unwrap().rows[0].1["refname"], "main");
}

#[tokio::test(start_paused = true)]
async fn tokens_are_bearers_and_pairs_are_basic() {
    let server = server();
    let said = status("serin", CommitState::Success, "promoted");
    let basic = Credential::Basic {
        username: "user@example.org".to_owned(),
        password: SecretFile::Fixed(Secret::new(TOKEN)),
    };
    let pair = Credential::Token(SecretFile::Fixed(Secret::new(&format!("bot:{TOKEN}"))));
    for credential in [basic, pair] {
        let remote = Remote {
            credential,
            ..remote("http://forge/sub", "team/app", "", server.client.clone())
        };
        Bitbucket::new(remote)
            .unwrap()
            .post(&hex('a'), &said)
            .await
            .unwrap();
    }
}

#[tokio::test(start_paused = true)]
async fn what_bitbucket_refuses_is_told_apart() {
    let server = server();
    let asked =
        |token: &str, repository: &str| -> Box<dyn Forge> { Box::new(on(&server, token, repository)) };
    refusals_are_told_apart(&asked, "team/app", "team/other").await;
    let refused_with = async |status, text: &str| {
        server.world.lock().unwrap().refusals.push(fault(status, text));
        refusal(&*asked(TOKEN, "team/app"), 'a').await
    };
    let error = refused_with(
        403,
        "Your credentials lack one or more required privilege scopes.",
    )
    .await;
    assert!(matches!(error, ForgeError::Forbidden { .. }), "{error}");
    let error = refused_with(429, "Rate limit for this resource has been exceeded").await;
    assert_eq!(error.class(), Class::Retry(Duration::from_secs(60)));
}

#[tokio::test(start_paused = true)]
async fn pull_requests_that_are_still_counted_are_asked_for_later() {
    let server = server();
    server.world.lock().unwrap().counting = true;
    let forge = on(&server, TOKEN, "team/app");
    let error = forge
        .pull_requests()
        .unwrap()
        .of_commit(&hex('a'))
        .await
        .unwrap_err();
    assert!(matches!(error.class(), Class::Retry(_)), "{error}");
}

//! The rules of Bitbucket Data Center's API, each with a test that fails where it is not respected.

use super::{DataCenter, READER, TOKEN, fault, start};
use crate::{
    error::{Class, Classified},
    report::{
        BitbucketServer, CommitState, Forge, ForgeError, Remote,
        contract::{
            hex,
            refused::{refusal, refusals_are_told_apart},
            remote, status,
        },
    },
};

fn server() -> DataCenter {
    start(&[&hex('a')])
}

fn on(server: &DataCenter, token: &str, repository: &str) -> BitbucketServer {
    BitbucketServer::new(remote(
        "http://forge/git/",
        repository,
        token,
        server.client.clone(),
    ))
    .unwrap()
}

#[tokio::test(start_paused = true)]
async fn posting_again_overwrites_and_the_branch_is_told_in_full() {
    let server = server();
    let remote = Remote {
        branch: Some("main".to_owned()),
        ..remote("http://forge/git", "TEAM/app", TOKEN, server.client.clone())
    };
    let forge = BitbucketServer::new(remote).unwrap();
    for state in [CommitState::Pending, CommitState::Error] {
        forge.post(&hex('a'), &status("serin", state, "x")).await.unwrap();
    }
    let world = server.world.lock().unwrap();
    assert_eq!(world.rows.len(), 1);
    let row = &world.rows[0].1;
    assert_eq!(
        (&row["ref"], &row["state"]),
        (&"refs/heads/main".into(), &"FAILED".into())
    );
    assert_eq!(row["description"], "error: x");
}

#[tokio::test(start_paused = true)]
async fn an_address_that_is_too_long_or_missing_is_that_of_the_commit() {
    let server = server();
    let forge = on(&server, TOKEN, "TEAM/app");
    let page = format!("http://forge/git/projects/TEAM/repos/app/commits/{}", hex('a'));
    let long = format!("https://serin.example/{}", "x".repeat(500));
    for url in [None, Some(long)] {
        let said = status("serin", CommitState::Success, "promoted").with_url(url);
        forge.post(&hex('a'), &said).await.unwrap();
        assert_eq!(server.world.lock().unwrap().rows[0].1["url"], page.as_str());
        assert_eq!(forge.read(&hex('a')).await.unwrap()[0].target_url, None);
    }
}

#[tokio::test(start_paused = true)]
async fn repositories_are_named_as_in_the_address_to_clone_from() {
    let server = server();
    for repository in ["TEAM/app", "/scm/TEAM/app.git", "~user/app"] {
        let said = status("serin", CommitState::Success, "promoted");
        on(&server, TOKEN, repository)
            .post(&hex('a'), &said)
            .await
            .unwrap();
    }
}

#[tokio::test(start_paused = true)]
async fn what_the_data_center_refuses_is_told_apart() {
    let server = server();
    let asked =
        |token: &str, repository: &str| -> Box<dyn Forge> { Box::new(on(&server, token, repository)) };
    refusals_are_told_apart(&asked, "TEAM/app", "TEAM/other").await;
    let error = refusal(&*asked(READER, "TEAM/app"), 'a').await;
    assert!(matches!(error, ForgeError::Forbidden { .. }), "{error}");
    let refused_with = async |status, text: &str| {
        server.world.lock().unwrap().refusals.push(fault(status, text));
        refusal(&*asked(TOKEN, "TEAM/app"), 'a').await
    };
    let error = refused_with(503, "Bitbucket is starting").await;
    assert!(matches!(error.class(), Class::Retry(_)), "{error}");
    assert!(refused_with(400, "no").await.is_final());
}

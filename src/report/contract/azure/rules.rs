//! The rules of Azure DevOps' API, each with a test that fails where it is not respected.

use std::time::Duration;

use serde_json::json;

use super::{AzureServer, Reply, Value, said, start};
use crate::{
    error::{Class, Classified},
    report::{
        AzureDevOps, CommitState, Forge, ForgeError,
        contract::{TOKEN, hex, remote, status},
    },
};

fn server() -> AzureServer {
    start(&[&hex('a')])
}

fn on(server: &AzureServer, token: &str, repository: &str) -> AzureDevOps {
    AzureDevOps::new(remote(
        "http://forge/sub",
        repository,
        token,
        server.client.clone(),
    ))
    .unwrap()
}

const REPOSITORY: &str = "org/the project/_git/app";

#[tokio::test(start_paused = true)]
async fn a_context_is_a_genre_and_a_name() {
    let server = server();
    let forge = on(&server, TOKEN, REPOSITORY);
    for context in ["serin", "serin/test/a"] {
        forge
            .post(&hex('a'), &status(context, CommitState::Error, "x"))
            .await
            .unwrap();
    }
    let contexts: Vec<Value> = server
        .world
        .lock()
        .unwrap()
        .rows
        .iter()
        .map(|(_, row)| row["context"].clone())
        .collect();
    assert_eq!(
        contexts,
        [
            json!({ "genre": null, "name": "serin" }),
            json!({ "genre": "serin", "name": "test/a" })
        ]
    );
    let shown = forge.read(&hex('a')).await.unwrap();
    assert_eq!(
        shown,
        ["serin", "serin/test/a"].map(|context| status(context, CommitState::Error, "x"))
    );
}

#[tokio::test(start_paused = true)]
async fn who_is_led_to_sign_in_has_a_wrong_token() {
    let server = server();
    let said = status("serin", CommitState::Pending, "detected");
    let error = on(&server, "wrong", REPOSITORY)
        .post(&hex('a'), &said)
        .await
        .unwrap_err();
    assert!(matches!(error, ForgeError::Unauthorized { .. }), "{error}");
    // Some are shown the page to sign in as if it were what was asked for.
    server
        .world
        .lock()
        .unwrap()
        .refusals
        .push(Reply::new(203, json!("<html>")));
    let error = on(&server, TOKEN, REPOSITORY)
        .post(&hex('a'), &said)
        .await
        .unwrap_err();
    assert!(matches!(error, ForgeError::Unauthorized { .. }), "{error}");
}

#[tokio::test(start_paused = true)]
async fn what_azure_refuses_is_told_apart() {
    let server = server();
    let post = async |repository: &str, digit| {
        let said = status("serin", CommitState::Pending, "detected");
        on(&server, TOKEN, repository)
            .post(&hex(digit), &said)
            .await
            .unwrap_err()
    };
    let error = post("org/the project/other", 'a').await;
    assert!(matches!(error, ForgeError::NoRepository { .. }), "{error}");
    let error = post(REPOSITORY, 'c').await;
    assert!(matches!(error, ForgeError::UnknownCommit { .. }), "{error}");
    server
        .world
        .lock()
        .unwrap()
        .refusals
        .push(said(403, "TF401027: You need the Git 'CommitStatus' permission."));
    let error = post(REPOSITORY, 'a').await;
    assert!(matches!(error, ForgeError::Forbidden { .. }), "{error}");
    let limited = said(429, "TF400733: The request has been canceled").header("retry-after", 20);
    server.world.lock().unwrap().refusals.push(limited);
    assert_eq!(
        post(REPOSITORY, 'a').await.class(),
        Class::Retry(Duration::from_secs(20))
    );
}

#[tokio::test(start_paused = true)]
async fn repositories_without_a_project_are_refused() {
    let server = server();
    for repository in ["", "app", "_git/app", "org/../app", "org/a?b/app"] {
        let remote = remote("http://forge/sub", repository, TOKEN, server.client.clone());
        let error = AzureDevOps::new(remote).unwrap_err();
        assert!(error.hint().unwrap().contains("--status-repo"), "{repository}");
    }
}

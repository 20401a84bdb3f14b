//! The rules of GitHub's API, each with a test that fails where it is not respected.

use std::time::Duration;

use serde_json::json;

use super::{APP_KEY, GitHubServer, READER, Reply, TOKEN, said, start};
use crate::{
    clock::Clock,
    error::{Class, Classified},
    report::{
        CommitState, CommitStatus, Deployments, Forge, ForgeError, GitHub,
        contract::{as_app, clock, hex, remote, status},
    },
};

fn server() -> GitHubServer {
    start(&[&hex('a')], clock())
}

fn by_token(server: &GitHubServer, token: &str, repository: &str) -> GitHub {
    GitHub::new(remote(
        "http://forge/sub",
        repository,
        token,
        server.client.clone(),
    ))
    .unwrap()
}

/// An App, and the clock that it shares with the server.
fn by_app() -> (GitHubServer, GitHub, Clock) {
    let clock = clock();
    let server = start(&[&hex('a')], clock);
    let mut remote = as_app(
        remote("http://forge/sub", "team/app", "", server.client.clone()),
        APP_KEY,
    );
    remote.clock = clock;
    let forge = GitHub::new(remote).unwrap();
    (server, forge, clock)
}

fn detected() -> CommitStatus {
    status("serin", CommitState::Pending, "detected")
}

async fn refused_with(reply: Reply) -> ForgeError {
    let server = server();
    server.world.lock().unwrap().refusals.push(reply);
    let forge = by_token(&server, TOKEN, "team/app");
    forge.post(&hex('a'), &detected()).await.unwrap_err()
}

#[tokio::test(start_paused = true)]
async fn a_403_is_tried_again_only_with_evidence_that_it_is_about_the_number_of_requests() {
    let now = clock().now().as_second();
    for (reply, pause) in [
        (said(403, "slow down").header("retry-after", 90), 90),
        (said(429, "slow down").header("retry-after", 7), 7),
        (
            said(429, "slow down")
                .header("retry-after", "Wed, 21 Oct 2015 07:28:45 GMT")
                .header("date", "Wed, 21 Oct 2015 07:28:00 GMT"),
            45,
        ),
        (
            said(403, "Forbidden")
                .header("x-ratelimit-remaining", 0)
                .header("x-ratelimit-reset", now + 1200),
            1200,
        ),
        (said(403, "You have exceeded a secondary rate limit."), 60),
        (said(429, "too many"), 60),
    ] {
        let error = refused_with(reply).await;
        assert_eq!(error.class(), Class::Retry(Duration::from_secs(pause)), "{error}");
    }
    let left = said(403, "Resource not accessible by integration").header("x-ratelimit-remaining", 4999);
    let error = refused_with(left).await;
    assert!(matches!(error, ForgeError::Forbidden { .. }), "{error}");
    assert_eq!(error.class(), Class::UserMustFix);
    for code in [408, 425, 500, 502, 503, 504, 521] {
        let error = refused_with(said(code, "no")).await;
        assert!(matches!(error, ForgeError::Unavailable { .. }), "{code}: {error}");
    }
    for code in [413, 415, 422] {
        assert!(refused_with(said(code, "no")).await.is_final(), "{code}");
    }
}

/// What stands in front of a forge (a proxy, a page where people sign in, a server that wants a certificate) is not
/// the forge: a status that it has answered is owed still.
#[tokio::test(start_paused = true)]
async fn what_is_not_the_forges_own_answer_gives_no_status_up() {
    let page = |status| Reply::new(status, json!("<html>Please sign in</html>"));
    let huge = Reply::new(201, json!({ "description": "x".repeat(2 << 20) }));
    for reply in [page(200), huge] {
        let error = refused_with(reply).await;
        assert!(error.is_doubtful() && !error.is_final(), "{error}");
    }
    for code in [400, 402, 405, 407, 418, 422, 451] {
        let error = refused_with(page(code)).await;
        assert!(matches!(error, ForgeError::Config { .. }), "{code}: {error}");
        assert!(error.to_string().contains("Please sign in"), "{error}");
    }
}

#[tokio::test(start_paused = true)]
async fn what_github_hides_is_told_apart() {
    let server = server();
    let post = async |token: &str, repository: &str, commit| {
        let forge = by_token(&server, token, repository);
        forge.post(&commit, &detected()).await.unwrap_err()
    };
    let error = post("wrong", "team/app", hex('a')).await;
    assert!(matches!(error, ForgeError::Unauthorized { .. }), "{error}");
    let error = post(READER, "team/app", hex('a')).await;
    assert!(matches!(error, ForgeError::Forbidden { .. }), "{error}");
    assert!(error.hint().unwrap().contains("statuses"), "{error}");
    let error = post(TOKEN, "team/other", hex('a')).await;
    assert!(matches!(error, ForgeError::NoRepository { .. }), "{error}");
    // The commit is not there yet: said by a text, or by a 404 for a commit that cannot be read either.
    let error = post(TOKEN, "team/app", hex('c')).await;
    assert!(matches!(error, ForgeError::UnknownCommit { .. }), "{error}");
    // A token that may read a public repository and nothing else gets a 404.
    server.world.lock().unwrap().refusals.push(said(404, "Not Found"));
    let error = post(TOKEN, "team/app", hex('a')).await;
    assert!(matches!(error, ForgeError::Forbidden { .. }), "{error}");
}

#[tokio::test(start_paused = true)]
async fn what_has_its_greatest_number_of_statuses_is_given_up() {
    let server = server();
    server.world.lock().unwrap().most = 2;
    let forge = by_token(&server, TOKEN, "team/app");
    for text in ["1", "2"] {
        forge
            .post(&hex('a'), &status("serin", CommitState::Pending, text))
            .await
            .unwrap();
    }
    let error = forge
        .post(&hex('a'), &status("Serin", CommitState::Success, "3"))
        .await
        .unwrap_err();
    assert!(error.is_final() && error.is_local(), "{error}");
    assert!(
        error.to_string().contains("maximum number of statuses"),
        "{error}"
    );
    forge
        .post(&hex('a'), &status("serin/a", CommitState::Success, "1"))
        .await
        .unwrap();
}

#[tokio::test(start_paused = true)]
async fn progress_is_told_rarely_where_each_text_is_a_row_for_ever() {
    let server = server();
    assert!(by_token(&server, TOKEN, "team/app").progress_interval() >= Duration::from_secs(60));
    let (_, app, _) = by_app();
    assert!(app.progress_interval() <= Duration::from_secs(10));
}

fn issued(server: &GitHubServer) -> usize {
    server.world.lock().unwrap().issued.len()
}

#[tokio::test(start_paused = true)]
async fn a_token_of_an_app_is_kept_and_renewed_before_it_ends() {
    let (server, forge, _) = by_app();
    for minute in 0..180 {
        forge
            .post(
                &hex('a'),
                &status("serin", CommitState::Pending, &minute.to_string()),
            )
            .await
            .unwrap();
        tokio::time::advance(Duration::from_secs(60)).await;
    }
    assert_eq!(issued(&server), 4, "55 minutes each");
}

#[tokio::test(start_paused = true)]
async fn a_token_that_is_taken_back_is_replaced_at_once() {
    let (server, forge, _) = by_app();
    forge.post(&hex('a'), &detected()).await.unwrap();
    server.world.lock().unwrap().issued[0].1 = 0;
    forge
        .post(&hex('a'), &status("serin", CommitState::Success, "promoted"))
        .await
        .unwrap();
    assert_eq!(issued(&server), 2);
}

#[tokio::test(start_paused = true)]
async fn the_key_of_an_app_is_read_in_both_forms_and_never_quoted() {
    let server = server();
    let make = |key: &str| {
        GitHub::new(as_app(
            remote("http://forge/sub", "team/app", "", server.client.clone()),
            key,
        ))
    };
    let pkcs8 = {
        use base64::{Engine, prelude::BASE64_STANDARD};
        let pkcs1: String = APP_KEY.lines().filter(|line| !line.starts_with("---")).collect();
        let pkcs1 = BASE64_STANDARD.decode(pkcs1).unwrap();
        // PKCS #8 is a head of 26 octets (version, algorithm) before the same key.
        let mut der = vec![0x30, 0x82, 0, 0, 2, 1, 0, 0x30, 0x0d, 6, 9];
        der.extend([0x2a, 0x86, 0x48, 0x86, 0xf7, 0x0d, 1, 1, 1, 5, 0, 4, 0x82]);
        der.extend(u16::try_from(pkcs1.len()).unwrap().to_be_bytes());
        der.extend(pkcs1);
        let length = u16::try_from(der.len() - 4).unwrap().to_be_bytes();
        der[2..4].copy_from_slice(&length);
        format!(
            "-----BEGIN PRIVATE KEY-----\n{}\n-----END PRIVATE KEY-----\n",
            BASE64_STANDARD.encode(der)
        )
    };
    for key in [APP_KEY, &pkcs8] {
        make(key).unwrap().post(&hex('a'), &detected()).await.unwrap();
    }
    for key in [
        "MIIEowIBAAKCAQEA",
        "-----BEGIN PRIVATE KEY-----\nMIIEowIBAAKCAQEA\n-----END PRIVATE KEY-----\n",
    ] {
        let error = make(key).unwrap_err();
        assert_eq!(error.class(), Class::UserMustFix);
        assert!(!format!("{error:?} {error}").contains("MIIE"), "{error}");
        assert!(error.hint().unwrap().contains("--github-app-private-key-file"));
    }
}

#[tokio::test(start_paused = true)]
async fn an_app_that_is_not_installed_is_for_the_user() {
    let server = server();
    let remote = as_app(
        remote("http://forge/sub", "elsewhere/app", "", server.client.clone()),
        APP_KEY,
    );
    let error = GitHub::new(remote)
        .unwrap()
        .post(&hex('a'), &detected())
        .await
        .unwrap_err();
    assert_eq!(error.class(), Class::UserMustFix, "{error}");
    assert!(error.to_string().contains("not installed"), "{error}");
}

#[tokio::test(start_paused = true)]
async fn a_check_run_is_made_once_per_context_and_then_changed() {
    let (server, forge, _) = by_app();
    let table = "| weight | check |\n| --- | --- |\n| 10 % | passed |\n".to_owned();
    for (state, text) in [
        (CommitState::Pending, "podinfo.test 10 %"),
        (CommitState::Pending, "podinfo.test 20 %"),
        (CommitState::Error, "could not be evaluated"),
    ] {
        let said = status("serin/test/a", state, text).with_detail(Some(table.clone()));
        forge.post(&hex('a'), &said).await.unwrap();
    }
    {
        let world = server.world.lock().unwrap();
        assert_eq!((world.checks.len(), world.rows.len()), (1, 0));
        let run = &world.checks[0];
        assert_eq!(
            (&run["changes"], &run["conclusion"]),
            (&json!(2), &json!("failure"))
        );
        assert_eq!(run["output"]["title"], "error: could not be evaluated");
        assert_eq!(run["output"]["summary"], table);
    }
    // Another process finds it again; what begins anew after the end is a run of its own.
    let other = as_app(
        remote("http://forge/sub", "team/app", "", server.client.clone()),
        APP_KEY,
    );
    let other = GitHub::new(other).unwrap();
    let ended = status("serin/test/a", CommitState::Success, "promoted");
    other.post(&hex('a'), &ended).await.unwrap();
    assert_eq!(server.world.lock().unwrap().checks.len(), 1);
    other
        .post(&hex('a'), &status("serin/test/a", CommitState::Pending, "again"))
        .await
        .unwrap();
    assert_eq!(server.world.lock().unwrap().checks.len(), 2);
    assert_eq!(other.read(&hex('a')).await.unwrap()[0].description, "again");
}

#[tokio::test(start_paused = true)]
async fn check_runs_of_other_apps_are_left_alone() {
    let (server, forge, _) = by_app();
    let foreign = json!({ "id": 1, "name": "serin", "head_sha": hex('a').as_str(), "status": "completed",
        "conclusion": "success", "external_id": "", "output": { "title": "t", "summary": "s" } });
    server.world.lock().unwrap().checks.push(foreign.clone());
    assert_eq!(forge.read(&hex('a')).await.unwrap(), []);
    forge.post(&hex('a'), &detected()).await.unwrap();
    let world = server.world.lock().unwrap();
    assert_eq!((world.checks.len(), &world.checks[0]), (2, &foreign));
}

#[tokio::test(start_paused = true)]
async fn an_app_without_the_right_to_checks_posts_statuses() {
    let (server, forge, _) = by_app();
    server.world.lock().unwrap().app_has_checks = false;
    forge.post(&hex('a'), &detected()).await.unwrap();
    forge
        .post(&hex('a'), &status("serin", CommitState::Success, "promoted"))
        .await
        .unwrap();
    let refused = server
        .diary
        .lock()
        .unwrap()
        .iter()
        .filter(|line| line.contains("check-runs"))
        .count();
    assert_eq!(refused, 1, "it is not asked again and again");
    assert_eq!(
        forge.read(&hex('a')).await.unwrap(),
        [status("serin", CommitState::Success, "promoted")]
    );
}

#[tokio::test(start_paused = true)]
async fn a_deployment_is_made_once_per_commit_and_follows_the_aggregate() {
    let server = server();
    let remote = remote("http://forge/sub", "team/app", TOKEN, server.client.clone());
    let forge = Deployments::new(remote, "production").unwrap();
    assert_eq!(forge.read(&hex('a')).await.unwrap(), []);
    forge
        .post(&hex('a'), &status("serin/test/a", CommitState::Pending, "10 %"))
        .await
        .unwrap();
    assert!(
        server.world.lock().unwrap().deployments.is_empty(),
        "one canary is not the environment"
    );
    for (state, text) in [
        (CommitState::Pending, "0 of 1 done"),
        (CommitState::Error, "a: could not be evaluated"),
    ] {
        let said = status("serin/eu", state, text).with_url(Some("https://serin.example/x".to_owned()));
        forge.post(&hex('a'), &said).await.unwrap();
        assert_eq!(forge.read(&hex('a')).await.unwrap(), [said]);
    }
    {
        let world = server.world.lock().unwrap();
        let states: Vec<_> = world
            .deployment_statuses
            .iter()
            .map(|(_, row)| row["state"].clone())
            .collect();
        assert_eq!(
            (world.deployments.len(), states),
            (1, vec![json!("in_progress"), json!("error")])
        );
    }
    let error = forge.post(&hex('c'), &detected()).await.unwrap_err();
    assert!(matches!(error, ForgeError::UnknownCommit { .. }), "{error}");
}

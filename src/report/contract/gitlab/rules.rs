//! The rules of GitLab's API, each with a test that fails where it is not respected.

use std::time::Duration;

use proptest::prelude::*;
use serde_json::json;

use super::{GitLabServer, MOVED, PROJECT, READER, Reply, TOKEN, said, start};
use crate::{
    error::{Class, Classified},
    report::{
        CommitState, Forge, ForgeError, GitLab, Remote,
        contract::{
            hex,
            refused::{refusal, refusals_are_told_apart},
            remote, status,
        },
    },
};

fn server() -> GitLabServer {
    start(&[&hex('a')])
}

fn on(server: &GitLabServer) -> GitLab {
    GitLab::new(remote("http://forge/sub", PROJECT, TOKEN, server.client.clone())).unwrap()
}

fn on_branch(server: &GitLabServer, branch: &str) -> GitLab {
    let remote = remote("http://forge/sub", PROJECT, TOKEN, server.client.clone());
    GitLab::new(Remote {
        branch: Some(branch.to_owned()),
        ..remote
    })
    .unwrap()
}

async fn say(forge: &GitLab, state: CommitState, text: &str) -> Result<(), ForgeError> {
    forge.post(&hex('a'), &status("serin/test/a", state, text)).await
}

/// The states of all jobs.
fn jobs(server: &GitLabServer) -> Vec<String> {
    server
        .world
        .lock()
        .unwrap()
        .jobs
        .iter()
        .map(|job| job.status.clone())
        .collect()
}

#[tokio::test(start_paused = true)]
async fn a_whole_life_is_one_job_and_never_a_400() {
    let server = server();
    let forge = on(&server);
    for (text, state) in [
        ("detected", "pending"),
        ("10 %", "running"),
        ("20 %", "running"),
        ("30 %", "running"),
    ] {
        say(&forge, CommitState::Pending, text).await.unwrap();
        assert_eq!(jobs(&server), [state]);
    }
    say(&forge, CommitState::Failure, "rolled back: latency 0.9 > 0.5")
        .await
        .unwrap();
    assert_eq!(jobs(&server), ["failed"]);
    let kept = server.world.lock().unwrap().jobs[0].description.clone();
    assert_eq!(kept, "rolled back: latency 0.9 > 0.5");
    // Again, by a process that knows nothing: nothing is posted.
    say(
        &on(&server),
        CommitState::Failure,
        "rolled back: latency 0.9 > 0.5",
    )
    .await
    .unwrap();
    assert_eq!(jobs(&server), ["failed"]);
    assert_eq!(server.world.lock().unwrap().faults, Vec::<String>::new());
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 64, ..ProptestConfig::default() })]
    #[test]
    fn whatever_is_said_there_is_never_a_400(said in proptest::collection::vec((0..4_usize, 0..3_usize), 1..12)) {
        let runtime = tokio::runtime::Builder::new_current_thread()
            .enable_time()
            .start_paused(true)
            .build()
            .unwrap();
        runtime.block_on(async {
            let server = server();
            let states = [CommitState::Pending, CommitState::Success, CommitState::Failure, CommitState::Error];
            for (state, text) in said {
                let forge = on(&server);
                say(&forge, states[state], &text.to_string()).await.unwrap();
                let shown = forge.read(&hex('a')).await.unwrap();
                assert_eq!(shown[0].state, states[state]);
            }
            assert_eq!(server.world.lock().unwrap().faults, Vec::<String>::new());
        });
    }
}

#[tokio::test(start_paused = true)]
async fn a_job_stays_in_the_pipeline_that_it_began_in() {
    let server = server();
    let forge = on_branch(&server, "main");
    say(&forge, CommitState::Pending, "detected").await.unwrap();
    // The forge's own pipeline for the same commit begins later.
    server
        .world
        .lock()
        .unwrap()
        .pipelines
        .push((800, hex('a').to_string(), "main".to_owned()));
    say(&forge, CommitState::Success, "promoted").await.unwrap();
    assert_eq!(jobs(&server), ["success"]);
    assert_eq!(server.world.lock().unwrap().jobs[0].branch, "main");
    // What began anew after that pipeline was deleted has another one.
    server
        .world
        .lock()
        .unwrap()
        .pipelines
        .retain(|(id, ..)| *id == 800);
    say(&forge, CommitState::Pending, "again").await.unwrap();
    assert_eq!(server.world.lock().unwrap().jobs[1].pipeline, 800);
}

#[tokio::test(start_paused = true)]
async fn a_status_is_for_the_branch_that_is_watched() {
    let server = server();
    say(
        &on_branch(&server, "production"),
        CommitState::Pending,
        "detected",
    )
    .await
    .unwrap();
    assert_eq!(server.world.lock().unwrap().pipelines[0].2, "production");
}

#[tokio::test(start_paused = true)]
async fn a_job_that_somebody_else_moves_is_looked_at_again() {
    let server = server();
    let forge = on(&server);
    say(&forge, CommitState::Pending, "detected").await.unwrap();
    server.world.lock().unwrap().rival = Some("serin/test/a".to_owned());
    say(&forge, CommitState::Pending, "10 %").await.unwrap();
    assert_eq!(jobs(&server), ["running"]);
    assert_eq!(server.world.lock().unwrap().faults.len(), 1);
}

#[tokio::test(start_paused = true)]
async fn the_list_is_asked_for_one_name_and_an_address_that_is_too_long_is_left_out() {
    let server = server();
    let url = format!("https://serin.example/{}", "x".repeat(300));
    let long = status("serin/test/a", CommitState::Success, "promoted").with_url(Some(url));
    on(&server).post(&hex('a'), &long).await.unwrap();
    assert_eq!(server.world.lock().unwrap().jobs[0].target_url, json!(null));
    let diary = server.diary.lock().unwrap();
    assert!(diary[0].contains("name=serin%2Ftest%2Fa"), "{diary:?}");
    assert!(diary[0].contains("/projects/group%2Fsub%2Fapp/"), "{diary:?}");
}

async fn refused_with(reply: Reply) -> ForgeError {
    let server = server();
    server.world.lock().unwrap().refusals.push(reply);
    say(&on(&server), CommitState::Pending, "detected")
        .await
        .unwrap_err()
}

#[tokio::test(start_paused = true)]
async fn what_gitlab_refuses_is_told_apart() {
    let server = server();
    let asked = |token: &str, project: &str| -> Box<dyn Forge> {
        Box::new(GitLab::new(remote("http://forge/sub", project, token, server.client.clone())).unwrap())
    };
    refusals_are_told_apart(&asked, PROJECT, "group/other").await;
    let error = refusal(&*asked(READER, PROJECT), 'a').await;
    assert!(matches!(error, ForgeError::Forbidden { .. }), "{error}");
    assert!(error.hint().unwrap().contains("`api`"));
    // No branch has the commit yet.
    let error = refused_with(said(404, "404 References for commit Not Found")).await;
    assert!(matches!(error, ForgeError::UnknownCommit { .. }), "{error}");
    let error = refused_with(said(409, "Another update to this commit status is in progress")).await;
    assert!(matches!(error.class(), Class::Retry(_)), "{error}");
    let error = refused_with(said(429, "Retry later").header("retry-after", 30)).await;
    assert_eq!(error.class(), Class::Retry(Duration::from_secs(30)));
    let error = refused_with(said(422, "The number of jobs has exceeded the limit")).await;
    assert!(error.is_final(), "{error}");
}

#[tokio::test(start_paused = true)]
async fn projects_are_given_by_path_or_number() {
    let server = server();
    let make = |project: &str| GitLab::new(remote("http://forge/sub", project, TOKEN, server.client.clone()));
    for project in ["/group/sub/app.git", "42"] {
        let said = status("serin", CommitState::Pending, "detected");
        make(project).unwrap().post(&hex('a'), &said).await.unwrap();
    }
    for project in ["", "app", "group/../app", "group//app", "group/a b"] {
        assert!(
            make(project)
                .unwrap_err()
                .hint()
                .unwrap()
                .contains("--status-repo"),
            "{project}"
        );
    }
}

#[tokio::test(start_paused = true)]
async fn a_project_that_has_moved_is_read_and_told_under_its_number() {
    let server = server();
    let forge = GitLab::new(remote("http://forge/sub", MOVED, TOKEN, server.client.clone())).unwrap();
    for (state, text) in [(CommitState::Pending, "10 %"), (CommitState::Success, "promoted")] {
        let said = status("serin", state, text);
        forge.post(&hex('a'), &said).await.unwrap();
        assert_eq!(forge.read(&hex('a')).await.unwrap(), [said]);
    }
    let pulls = forge.pull_requests().unwrap();
    assert_eq!(pulls.of_commit(&hex('a')).await.unwrap(), Vec::<u64>::new());
}

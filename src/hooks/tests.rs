//! Hooks from end to end: a Canary, a server in this process, an answer.

use std::{
    collections::BTreeMap,
    sync::{Arc, Mutex},
    time::Duration,
};

use axum::{Json, Router, extract::State, http::StatusCode, response::IntoResponse, routing::post};
use serde_json::{Value, json};
use tokio::time::Instant;

use super::*;
use crate::{
    canary::{Defaults, Phase},
    manifest::Object,
};

fn canary(hook: &Value) -> Canary {
    let object = Object::from(json!({
        "apiVersion": "flagger.app/v1beta1", "kind": "Canary",
        "metadata": { "namespace": "test", "name": "podinfo" },
        "spec": {
            "provider": "skipper",
            "targetRef": { "apiVersion": "apps/v1", "kind": "Deployment", "name": "podinfo" },
            "ingressRef": { "apiVersion": "networking.k8s.io/v1", "kind": "Ingress", "name": "podinfo" },
            "service": { "port": 9898 },
            "analysis": { "stepWeight": 10, "webhooks": [hook] }
        }
    }));
    Canary::parse(&object, &Defaults::default()).unwrap()
}

fn hook(kind: &str, retries: u32) -> Value {
    json!({
        "name": "load", "type": kind, "url": "http://tester/run?key=hidden", "retries": retries,
        "timeout": "5s", "metadata": { "cmd": "hey" }
    })
}

type Bodies = Arc<Mutex<Vec<Value>>>;

/// A server that answers with these, one after the other, then with the last again.
fn server(answers: &[(u16, &str)]) -> (Client, Bodies) {
    let bodies = Bodies::default();
    let answers: Vec<_> = answers.iter().map(|(s, b)| (*s, (*b).to_owned())).collect();
    let handler = move |State(bodies): State<Bodies>, Json(body): Json<Value>| {
        let mut bodies = bodies.lock().unwrap();
        bodies.push(body);
        let (status, text) = answers[(bodies.len() - 1).min(answers.len() - 1)].clone();
        std::future::ready((StatusCode::from_u16(status).unwrap(), text).into_response())
    };
    let router = Router::new()
        .route("/run", post(handler))
        .with_state(bodies.clone());
    (client(router), bodies)
}

fn client(router: Router) -> Client {
    Client::in_process(BTreeMap::from([("tester".to_owned(), router)]))
}

fn facts() -> Facts {
    Facts {
        phase: Phase::Progressing,
        checksum: "00112233aabbccdd".to_owned(),
    }
}

async fn called(kind: &str, retries: u32, client: &Client) -> Answer {
    call("hook/load", &canary(&hook(kind, retries)), &facts(), client).await
}

#[tokio::test(start_paused = true)]
async fn the_payload_is_flaggers() {
    let (client, bodies) = server(&[(200, "")]);
    let answer = called("rollout", 0, &client).await;
    assert_eq!((answer.verdict, answer.text.as_str()), (Verdict::Passed, ""));
    let expected = json!({
        "name": "podinfo", "namespace": "test", "phase": "Progressing", "checksum": "00112233aabbccdd",
        "metadata": { "cmd": "hey" }
    });
    assert_eq!(*bodies.lock().unwrap(), [expected]);
}

#[tokio::test(start_paused = true)]
async fn any_2xx_agrees_and_nothing_else_does() {
    for (status, verdict) in [
        (200, Verdict::Passed),
        (202, Verdict::Passed),
        (204, Verdict::Passed),
        (302, Verdict::Failed),
        (403, Verdict::Failed),
        (500, Verdict::Failed),
    ] {
        for kind in ["rollout", "confirm-promotion"] {
            let answer = called(kind, 0, &server(&[(status, "")]).0).await;
            assert_eq!(answer.verdict, verdict, "{kind} {status}");
        }
    }
}

#[tokio::test(start_paused = true)]
async fn a_failure_carries_what_the_hook_said_bounded_and_on_one_line() {
    let halt = "Halt podinfo.test advancement external check load failed";
    let long = "x".repeat(500);
    for (status, body, text) in [
        (400, "no\tsuch test\n", format!("{halt} no\\tsuch test")),
        (500, "3 of 10 failed", format!("{halt} 3 of 10 failed")),
        (500, "", format!("{halt} the hook answered 500")),
        (
            302,
            "",
            format!("{halt} the hook answered 302, redirects are not followed"),
        ),
        (400, long.as_str(), format!("{halt} {}…", "x".repeat(199))),
    ] {
        assert_eq!(called("", 0, &server(&[(status, body)]).0).await.text, text);
    }
}

#[tokio::test(start_paused = true)]
async fn a_gate_that_refuses_waits_and_one_that_is_gone_says_so() {
    let waiting = "Halt podinfo.test advancement waiting for promotion approval load";
    let shut = called("confirm-promotion", 0, &server(&[(403, "Forbidden")]).0).await;
    assert_eq!((shut.verdict, shut.text.as_str()), (Verdict::Failed, waiting));
    let gone = called("confirm-promotion", 0, &Client::in_process(BTreeMap::new())).await;
    assert_eq!(gone.verdict, Verdict::Failed);
    assert_eq!(
        gone.text,
        format!("{waiting}: cannot reach http://tester: no such host")
    );
}

#[tokio::test(start_paused = true)]
async fn what_may_pass_is_tried_again_with_growing_pauses() {
    let began = Instant::now();
    let (client, bodies) = server(&[(500, "a"), (429, "b"), (503, "c"), (200, "")]);
    assert_eq!(called("rollout", 3, &client).await.verdict, Verdict::Passed);
    assert_eq!(bodies.lock().unwrap().len(), 4);
    assert_eq!(began.elapsed(), Duration::from_secs(1 + 2 + 4));
    let (client, bodies) = server(&[(500, "a"), (500, "b"), (200, "")]);
    let answer = called("rollout", 1, &client).await;
    assert!(answer.text.ends_with("failed b"), "{}", answer.text);
    assert_eq!(bodies.lock().unwrap().len(), 2);
    let (client, bodies) = server(&[(403, "no"), (200, "")]);
    assert_eq!(called("rollout", 3, &client).await.verdict, Verdict::Failed);
    assert_eq!(bodies.lock().unwrap().len(), 1);
}

#[tokio::test(start_paused = true)]
async fn each_try_has_its_time_and_tries_are_bounded() {
    let began = Instant::now();
    let slow = client(Router::new().fallback(|| async { tokio::time::sleep(Duration::from_secs(60)).await }));
    let late = called("rollout", 1, &slow).await;
    assert_eq!(began.elapsed(), Duration::from_secs(5 + 1 + 5));
    assert_eq!(
        late.text,
        "Halt podinfo.test advancement external check load failed no answer from http://tester within 5s"
    );
    let (client, bodies) = server(&[(500, "")]);
    called("rollout", 1_000_000, &client).await;
    assert_eq!(bodies.lock().unwrap().len(), 21);
}

#[tokio::test(start_paused = true)]
async fn a_hook_that_does_not_exist_passes_nothing() {
    let (client, bodies) = server(&[(200, "")]);
    let answer = call("other", &canary(&hook("rollout", 0)), &facts(), &client).await;
    assert_eq!(answer.verdict, Verdict::Unavailable);
    assert!(bodies.lock().unwrap().is_empty());
}

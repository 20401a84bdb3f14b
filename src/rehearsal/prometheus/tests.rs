//! The API as clients of Prometheus see it.

use std::time::Duration;

use serde_json::{Value, json};
use tower::ServiceExt as _;

use super::*;
use crate::{
    clock::Clock,
    rehearsal::{
        Cluster, Span, WorldSpec,
        promql::{Labels, SeriesStore},
    },
};

fn world(script: &str) -> World {
    let clock = Clock::starting_at("2026-01-01T00:00:00Z".parse().unwrap());
    World::start(&Cluster::new(clock), WorldSpec::parse(script).unwrap())
}

async fn ask(world: &World, request: Request<Body>) -> (u16, Value) {
    let response = world.prometheus().oneshot(request).await.unwrap();
    let status = response.status().as_u16();
    let body = axum::body::to_bytes(response.into_body(), usize::MAX)
        .await
        .unwrap();
    (
        status,
        serde_json::from_slice(&body).unwrap_or_else(|_| json!(String::from_utf8_lossy(&body))),
    )
}

async fn get_path(world: &World, path: &str) -> (u16, Value) {
    ask(world, Request::get(path).body(Body::empty()).unwrap()).await
}

#[tokio::test(start_paused = true)]
async fn a_vector_is_answered_as_prometheus_does() {
    let world = world("{}");
    let (status, body) = get_path(&world, "/api/v1/query?query=vector(1.5)&time=1435781451.781").await;
    assert_eq!(status, 200);
    assert_eq!(
        body,
        json!({"status": "success", "data": {"resultType": "vector", "result": [
            {"metric": {}, "value": [1_435_781_451.781, "1.5"]},
        ]}})
    );
}

#[tokio::test(start_paused = true)]
async fn posted_forms_scalars_and_special_numbers() {
    let world = world("{}");
    let post = |form: &'static str| Request::post("/api/v1/query").body(Body::from(form)).unwrap();
    for (form, wanted) in [
        ("query=1%2B1&time=10", "2"),
        ("query=1%2F0&time=10", "+Inf"),
        ("query=-1%2F0&time=10", "-Inf"),
        ("query=0%2F0&time=10", "NaN"),
        ("query=1e20&time=1970-01-01T00:00:10Z", "100000000000000000000"),
    ] {
        let (_, body) = ask(&world, post(form)).await;
        assert_eq!(
            body["data"],
            json!({"resultType": "scalar", "result": [10, wanted]}),
            "{form}"
        );
    }
    let (_, body) = get_path(&world, "/api/v1/query?query=nothing").await;
    assert_eq!(body["data"], json!({"resultType": "vector", "result": []}));
    let (_, body) = get_path(&world, "/api/v1/query?query=time()").await;
    assert_eq!(body["data"]["result"][1], "1767225600", "the present by default");
}

#[tokio::test(start_paused = true)]
async fn a_range_is_answered_as_a_matrix() {
    let world = world("{}");
    let path = "/api/v1/query_range?query=time()&start=10&end=20&step=5s";
    let (_, body) = get_path(&world, path).await;
    assert_eq!(
        body["data"],
        json!({"resultType": "matrix", "result": [
            {"metric": {}, "values": [[10, "10"], [15, "15"], [20, "20"]]},
        ]})
    );
}

#[tokio::test(start_paused = true)]
async fn errors_have_prometheus_types_texts_and_codes() {
    let world = world("{}");
    for (path, status, kind, text) in [
        (
            "query?query=sum(",
            400,
            "bad_data",
            "invalid parameter \"query\": 1:5: parse error: unexpected end of input",
        ),
        (
            "query?query=foo(x)",
            400,
            "bad_data",
            "1:1: parse error: unknown function with name \"foo\"",
        ),
        (
            "query",
            400,
            "bad_data",
            "1:1: parse error: no expression found in input",
        ),
        (
            "query?query=1&time=noon",
            400,
            "bad_data",
            "cannot parse \"noon\" to a valid timestamp",
        ),
        (
            "query_range?query=1&start=1&end=0&step=1",
            400,
            "bad_data",
            "must not be before start time",
        ),
        (
            "query_range?query=1&start=0&end=9&step=0",
            400,
            "bad_data",
            "zero or negative query resolution",
        ),
        (
            "query_range?query=1&start=0&end=99999&step=1",
            400,
            "bad_data",
            "maximum resolution of 11,000 points",
        ),
    ] {
        let (code, body) = get_path(&world, &format!("/api/v1/{path}")).await;
        assert_eq!(
            (code, &body["status"], &body["errorType"]),
            (status, &json!("error"), &json!(kind)),
            "{path}"
        );
        assert!(body["error"].as_str().unwrap().contains(text), "{path}: {body}");
    }
}

#[test]
fn an_execution_error_is_422() {
    let mut store = SeriesStore::new(1000);
    for pod in ["a", "b"] {
        let labels = [("__name__", "x"), ("pod", pod)].map(|(n, v)| (n.to_owned(), v.to_owned()));
        store.push(&Labels::from(labels), 0, 1.0);
    }
    let error = Query::parse("x + on() x").unwrap().at(&store, 0).unwrap_err();
    assert_eq!(failure(&ApiError::from(error)).status().as_u16(), 422);
}

#[tokio::test(start_paused = true)]
async fn prometheus_can_be_ill() {
    let world = world("prometheus: [{health: down, until: 10s}]");
    assert_eq!(get_path(&world, "/-/ready").await.0, 503);
    assert_eq!(get_path(&world, "/api/v1/query?query=1").await.0, 503);
    tokio::time::sleep(Duration::from_secs(10)).await;
    assert_eq!(
        get_path(&world, "/-/healthy").await,
        (200, json!("Prometheus Server is Healthy.\n"))
    );
    world.set_prometheus(Some(Health::Hangs));
    let hanging = get_path(&world, "/api/v1/query?query=1");
    assert!(
        tokio::time::timeout(Duration::from_secs(3600), hanging)
            .await
            .is_err()
    );
    world.set_prometheus(Some(Health::Slow(Span::from_secs(3))));
    let slow = tokio::time::Instant::now();
    assert_eq!(get_path(&world, "/api/v1/query?query=1").await.0, 200);
    assert_eq!(slow.elapsed(), Duration::from_secs(3));
    world.set_prometheus(None);
    assert_eq!(get_path(&world, "/api/v1/query?query=1").await.0, 200);
}

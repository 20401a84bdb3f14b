use futures::{StreamExt as _, TryStreamExt as _};
use k8s_openapi::api::core::v1::ConfigMap;
use kube::{
    Api,
    api::{ListParams, PostParams, WatchEvent, WatchParams},
    runtime::{WatchStreamExt as _, watcher},
};
use serde_json::json;

use crate::{clock::Clock, rehearsal::Cluster};

fn cluster() -> Cluster {
    Cluster::with_history(Clock::starting_at("2026-01-01T00:00:00Z".parse().unwrap()), 16)
}

fn map(name: &str) -> ConfigMap {
    serde_json::from_value(json!({"metadata": {"name": name}, "data": {"a": "1"}})).unwrap()
}

#[tokio::test(start_paused = true)]
async fn every_request_is_recorded() {
    let cluster = cluster();
    let api: Api<ConfigMap> = Api::namespaced(cluster.client("tester/1"), "default");
    api.create(&PostParams::default(), &map("a")).await.unwrap();
    api.list(&ListParams::default().fields("metadata.name=a"))
        .await
        .unwrap();
    assert!(api.get_opt("b").await.unwrap().is_none());
    let entries = cluster.ledger().of("tester");
    let seen: Vec<_> = entries
        .iter()
        .map(|e| (e.verb, e.name.as_str(), e.code))
        .collect();
    assert_eq!(seen, [("create", "", 201), ("list", "a", 200), ("get", "b", 404)]);
    assert_eq!(cluster.ledger().summary("tester")["create configmaps"], 1);
}

#[tokio::test(start_paused = true)]
async fn a_watcher_follows_changes_through_virtual_hours() {
    let cluster = cluster();
    let client = cluster.client("tester");
    let api: Api<ConfigMap> = Api::namespaced(client.clone(), "default");
    api.create(&PostParams::default(), &map("a")).await.unwrap();
    for streaming in [false, true] {
        let config = watcher::Config::default();
        let config = if streaming {
            config.streaming_lists()
        } else {
            config
        };
        let mut stream = watcher(api.clone(), config).applied_objects().boxed();
        assert_eq!(
            stream.try_next().await.unwrap().unwrap().metadata.name.unwrap(),
            "a"
        );
        let name = format!("late-{streaming}");
        let (store, late) = (cluster.store().clone(), name.clone());
        tokio::spawn(async move {
            tokio::time::sleep(std::time::Duration::from_secs(7200)).await;
            let map = json!({"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": late, "namespace": "default"}});
            store.create("me", map).unwrap();
        });
        loop {
            let found = stream.try_next().await.unwrap().unwrap().metadata.name.unwrap();
            if found == name {
                break;
            }
        }
    }
}

#[tokio::test(start_paused = true)]
async fn a_watch_from_before_the_history_is_told_so() {
    let cluster = cluster();
    let api: Api<ConfigMap> = Api::namespaced(cluster.client("tester"), "default");
    for n in 0..20 {
        api.create(&PostParams::default(), &map(&format!("m{n}")))
            .await
            .unwrap();
    }
    let mut stream = api.watch(&WatchParams::default(), "1").await.unwrap().boxed();
    match stream.try_next().await.unwrap().unwrap() {
        WatchEvent::Error(status) => assert_eq!((status.code, status.reason.as_str()), (410, "Expired")),
        other => panic!("{other:?}"),
    }
    assert!(stream.try_next().await.unwrap().is_none());
}

#[tokio::test(start_paused = true)]
async fn a_body_that_is_too_large_is_refused() {
    let cluster = cluster();
    let api: Api<ConfigMap> = Api::namespaced(cluster.client("tester"), "default");
    let mut big = map("big");
    big.data = Some([("a".to_owned(), "x".repeat(4 << 20))].into());
    match api.create(&PostParams::default(), &big).await.unwrap_err() {
        kube::Error::Api(status) => assert_eq!(status.code, 413),
        other => panic!("{other}"),
    }
}

#[path = "../../../tests/conformance/cases.rs"]
mod cases;

/// The cases that also run against a real kube-apiserver, in virtual time.
#[tokio::test(start_paused = true)]
async fn the_conformance_cases_hold() {
    let clock = Clock::starting_at("2026-01-01T00:00:00Z".parse().unwrap());
    cases::run_all(Cluster::new(clock).client("conformance")).await;
}

#[path = "../../../tests/conformance/transcript.rs"]
mod transcript;

/// What a real kube-apiserver answered to the same requests.
#[tokio::test(start_paused = true)]
async fn the_recorded_answers_are_given() {
    let clock = Clock::starting_at("2026-01-01T00:00:00Z".parse().unwrap());
    let differences = transcript::play(&Cluster::new(clock).client("transcript"), true, false).await;
    assert!(differences.is_empty(), "{}", differences.join("\n"));
}

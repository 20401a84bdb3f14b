//! The scenarios of `fixtures/scenarios`: the real sidecar on the embedded cluster, in virtual time. What
//! happened is a transcript, `expected.txt`, that a person can read. `SERIN_UPDATE=1` writes it anew.

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    clippy::format_push_string,
    reason = "tests"
)]

#[path = "scenarios/diff.rs"]
mod diff;
#[path = "scenarios/ending.rs"]
mod ending;
#[path = "scenarios/flux.rs"]
mod flux;
#[path = "scenarios/forge.rs"]
mod forge;
#[path = "scenarios/play.rs"]
mod play;
#[path = "scenarios/script.rs"]
mod script;
#[path = "scenarios/show.rs"]
mod show;
#[path = "scenarios/transcript.rs"]
mod transcript;

use std::{
    collections::BTreeSet,
    path::{Path, PathBuf},
    time::Duration,
};

use play::Accident;
use script::Scenario;

/// One test per folder.
macro_rules! scenarios {
    ($($test:ident = $folder:literal;)*) => {
        const LISTED: &[&str] = &[$($folder),*];

        $(
            #[tokio::test(start_paused = true, flavor = "current_thread")]
            async fn $test() {
                hold($folder).await;
            }
        )*
    };
}

scenarios! {
    adopt_flagger = "adopt-flagger";
    applied_late = "applied-late";
    apply_refused = "apply-refused";
    beside_flux = "beside-flux";
    blue_green_kubernetes = "blue-green-kubernetes";
    broken_manifest = "broken-manifest";
    comments_only = "comments-only";
    config_only_change = "config-only-change";
    confirm_promotion = "confirm-promotion";
    drift_at_rest = "drift-at-rest";
    drift_in_a_run = "drift-in-a-run";
    drift_without_end = "drift-without-end";
    failed_then_new_revision = "failed-then-new-revision";
    flux_layout = "flux-layout";
    force_push = "force-push";
    force_push_pruned = "force-push-pruned";
    forge_down_for_an_hour = "forge-down-for-an-hour";
    helm_release = "helm-release";
    judge_by_commit = "judge-by-commit";
    judge_by_promoted = "judge-by-promoted";
    kill_mid_run = "kill-mid-run";
    kubectl_set_image = "kubectl-set-image";
    kustomize_overlay = "kustomize-overlay";
    merge_commit = "merge-commit";
    never_ready = "never-ready";
    no_data = "no-data";
    no_workload_change = "no-workload-change";
    not_applied = "not-applied";
    prometheus_down = "prometheus-down";
    prometheus_down_for_a_while = "prometheus-down-for-a-while";
    require_verified = "require-verified";
    restart_on_new_revision = "restart-on-new-revision";
    revert_mid_run = "revert-mid-run";
    revert_proposed = "revert-proposed";
    reverted_in_one_pull = "reverted-in-one-pull";
    rollback_on_metric = "rollback-on-metric";
    service_target = "service-target";
    service_target_external = "service-target-external";
    success = "success";
    superseded_in_one_pull = "superseded-in-one-pull";
    takeover = "takeover";
    unrelated_commit = "unrelated-commit";
    unrelated_success = "unrelated-success";
    verified_late = "verified-late";
}

fn folder(name: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR"))
        .join("fixtures/scenarios")
        .join(name)
}

/// Plays a scenario and holds what happened against what is expected.
async fn hold(name: &str) {
    let folder = folder(name);
    let scenario = Scenario::read(&folder);
    let played = play::play(&scenario, None).await;
    let file = folder.join("expected.txt");
    if std::env::var_os("SERIN_UPDATE").is_some_and(|value| value == "1") {
        std::fs::write(&file, &played.transcript).unwrap();
    }
    let expected = std::fs::read_to_string(&file).unwrap_or_default();
    assert!(
        expected == played.transcript,
        "fixtures/scenarios/{name} went otherwise than expected.txt says (- expected, + happened); if it is \
         right so: SERIN_UPDATE=1 cargo test --test scenarios\n{}",
        diff::lines(&expected, &played.transcript)
    );
    scenario.check(&played);
}

#[test]
fn every_folder_is_played() {
    let listed: BTreeSet<String> = LISTED.iter().map(|name| (*name).to_owned()).collect();
    let entries = std::fs::read_dir(folder("")).unwrap();
    let there: BTreeSet<String> = entries
        .map(|entry| entry.unwrap().file_name().into_string().unwrap())
        .collect();
    assert_eq!(listed, there, "list each folder in tests/scenarios.rs");
}

/// The same script gives the same transcript: no chance, no real time, no order that threads decide.
#[tokio::test(start_paused = true, flavor = "current_thread")]
async fn a_scenario_goes_the_same_way_twice() {
    let scenario = Scenario::read(&folder("success"));
    let first = play::play(&scenario, None).await;
    tokio::time::sleep(std::time::Duration::from_millis(1234)).await;
    let second = play::play(&scenario, None).await;
    assert!(
        first.transcript == second.transcript,
        "{}",
        diff::lines(&first.transcript, &second.transcript)
    );
}

/// A sidecar that is killed goes on.
macro_rules! killed {
    ($($test:ident: $name:literal, $every:literal;)*) => {$(
        #[tokio::test(start_paused = true, flavor = "current_thread")]
        async fn $test() {
            killed_all_over($name, scaled($every), Duration::from_millis(700)).await;
        }
    )*};
}

killed! {
    killed_in_a_success: "success", 23_300;
    killed_in_a_rollback: "rollback-on-metric", 25_700;
    killed_with_a_new_revision: "restart-on-new-revision", 21_300;
    killed_with_a_revert: "revert-mid-run", 32_700;
    killed_beside_flux: "beside-flux", 29_900;
}

/// `SERIN_KILLS=10` kills ten times as often.
fn scaled(millis: u64) -> Duration {
    let times = std::env::var("SERIN_KILLS").ok();
    let times = times.and_then(|text| text.parse().ok()).unwrap_or(1);
    Duration::from_millis(millis / times)
}

/// Wherever the sidecar is killed during a run, the end is the same, and everything was said once.
async fn killed_all_over(name: &str, every: Duration, down: Duration) {
    let scenario = Scenario::read(&folder(name));
    let calm = play::play(&scenario, None).await;
    let said = |events: &[String]| events.iter().cloned().collect::<BTreeSet<_>>();
    let mut at = Duration::from_millis(8_050);
    while at < calm.took {
        let played = play::play(&scenario, Some(Accident { at, down })).await;
        assert_eq!(
            calm.ending, played.ending,
            "killed at {at:?}\n{}",
            played.transcript
        );
        assert_eq!(
            said(&calm.events),
            said(&played.events),
            "{name} killed at {at:?}\n{}",
            played.transcript
        );
        at += every;
    }
}

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
#[path = "scenarios/forge.rs"]
mod forge;
#[path = "scenarios/play.rs"]
#[expect(dead_code, reason = "accidents come next")]
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
};

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
    success = "success";
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
    assert_eq!(first.transcript, second.transcript);
}

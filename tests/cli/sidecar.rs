//! What the README tells a newcomer to try: `serin cluster` and `serin run --apply` as two processes.

use std::{
    io::{Read as _, Write as _},
    net::TcpStream,
    time::{Duration, Instant},
};

use insta::assert_snapshot;

use super::{
    cluster::{RUN, TestCluster},
    environment::{Running, TestEnvironment},
    web::WEB,
};

/// Waits until `serin status` says that a commit is decided.
pub(crate) fn decided(env: &TestEnvironment, commit: &str) -> String {
    let began = Instant::now();
    loop {
        let ended = env.finish(env.serin(&["status", commit]));
        if matches!(ended.code, Some(0 | 1)) {
            return env.shown(&ended);
        }
        assert!(
            began.elapsed() < Duration::from_secs(60),
            "not decided: {ended:?}"
        );
        std::thread::sleep(Duration::from_millis(100));
    }
}

fn get(address: &str, path: &str) -> String {
    let mut stream = TcpStream::connect(address).unwrap();
    write!(
        stream,
        "GET {path} HTTP/1.1\r\nHost: serin\r\nConnection: close\r\n\r\n"
    )
    .unwrap();
    let mut answer = String::new();
    stream.read_to_string(&mut answer).unwrap();
    answer
}

/// The address in the log line that says that the sidecar starts.
pub(crate) fn address(line: &str) -> String {
    let line: serde_json::Value = serde_json::from_str(line).unwrap();
    line["listen"].as_str().unwrap().to_owned()
}

#[test]
fn a_push_goes_green_and_a_crash_in_the_middle_changes_nothing() {
    let env = TestEnvironment::new();
    let first = env.commit("Add web", &[("web.yaml", WEB)]);
    let _cluster = TestCluster::start(&env);
    let mut sidecar = Running::start(env.serin(&RUN));
    sidecar.wait_for("Initialization done! web.default");
    assert_snapshot!(decided(&env, &first), @r#"
    exit 0
    --- stdout
    main@sha1:<1>
      success  serin              default/web: initialized
      success  serin/default/web  initialized
    "#);

    let second = env.edit("Update web", "web.yaml", "web:1", "web:2");
    sidecar.wait_for("canary iteration 1/3");
    sidecar.kill();
    let mut sidecar = Running::start(env.serin(&RUN));
    let address = address(&sidecar.wait_for("Serin starts."));
    sidecar.wait_for("Promotion completed!");
    assert_snapshot!(decided(&env, &second), @r#"
    exit 0
    --- stdout
    main@sha1:<2>
      success  serin              default/web: promoted, 3 checks passed
      success  serin/default/web  promoted, 3 checks passed
    "#);

    assert!(get(&address, "/healthz").starts_with("HTTP/1.1 200"));
    assert!(get(&address, "/readyz").starts_with("HTTP/1.1 200"));
    let metrics = get(&address, "/metrics");
    let status = metrics
        .lines()
        .find(|line| line.starts_with("flagger_canary_status{"));
    assert_snapshot!(status.unwrap_or(&metrics), @r#"flagger_canary_status{name="web",namespace="default"} 1"#);
    assert_eq!(sidecar.end(), Some(0));
}

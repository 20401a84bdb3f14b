//! `serin crd`, and what printing has to do with readers that go away.

use std::process::Command;

use super::environment::TestEnvironment;

#[test]
fn what_is_deployed_is_what_is_printed() {
    let env = TestEnvironment::new();
    let ended = env.finish(env.serin(&["crd"]));
    assert_eq!((ended.code, ended.stderr.as_str()), (Some(0), ""));
    assert!(
        ended.stdout == include_str!("../../deploy/crd/crds.yaml"),
        "deploy/crd/crds.yaml is out of date: cargo run -- crd > deploy/crd/crds.yaml"
    );
}

fn shell(env: &TestEnvironment, script: &str) -> String {
    let mut command = env.program("/bin/sh".as_ref(), &["-c", script]);
    command.env("SERIN", env!("CARGO_BIN_EXE_serin"));
    let command: Command = command;
    env.shown(&env.finish(command))
}

#[test]
fn a_reader_that_goes_away_is_no_error() {
    let env = TestEnvironment::new();
    let script = r#"{ "$SERIN" crd; echo "code $?" >&2; } | head -n 1"#;
    insta::assert_snapshot!(shell(&env, script), @r#"
    exit 0
    --- stdout
    # Made by `serin crd > deploy/crd/crds.yaml`; do not edit.
    --- stderr
    code 0
    "#);
}

#[test]
#[cfg(target_os = "linux")]
fn data_that_cannot_be_written_is_an_error() {
    let env = TestEnvironment::new();
    insta::assert_snapshot!(shell(&env, r#""$SERIN" crd > /dev/full"#), @r#"
    exit 1
    --- stderr
    error: cannot write to standard output: No space left on device (os error 28)
    hint: make room, or send the output elsewhere
    "#);
}

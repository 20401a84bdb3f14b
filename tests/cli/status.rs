//! `serin status`: what was said of a commit, and exit codes for scripts.

use std::{
    io::{BufRead as _, BufReader, Write as _},
    net::TcpListener,
    process::Command,
};

use insta::assert_snapshot;
use serde_json::json;

use super::{cluster::TestCluster, environment::TestEnvironment};

fn say(env: &TestEnvironment, commit: &str, lines: &[&str]) {
    let text = lines.join("\n");
    env.git(&["notes", "--ref=serin", "add", "-f", "-m", &text, commit]);
}

#[test]
fn nothing_was_said() {
    let env = TestEnvironment::with_app();
    assert_snapshot!(env.show(&["status"]), @r#"
    exit 5
    --- stderr
    nothing was said of main@sha1:<1>
    "#);
    assert_snapshot!(env.show(&["status", "--output", "json"]), @r#"
    exit 5
    --- stdout
    {
      "commit": "<1>",
      "statuses": []
    }
    "#);
}

#[test]
fn exit_codes_tell_scripts() {
    let env = TestEnvironment::with_app();
    let first = env.commit("Update podinfo to 6.0.1", &[]);
    let second = env.commit("Update podinfo to 6.0.2", &[]);
    let third = env.commit("Update podinfo to 6.0.3", &[]);
    say(
        &env,
        &first,
        &[
            "success\tserin\ttest/podinfo: promoted, 3 checks passed",
            "success\tserin/test/podinfo\tpromoted, 3 checks passed",
        ],
    );
    let why = "rolled back: request-success-rate 78.12% < 99%";
    say(
        &env,
        &second,
        &[
            &format!("failure\tserin\ttest/podinfo: {why}"),
            &format!("failure\tserin/test/podinfo\t{why}\thttps://serin.example.com/test/podinfo"),
        ],
    );
    say(
        &env,
        &third,
        &[
            "pending\tserin\t1 of 2 done; test/podinfo: podinfo.test 20 %",
            "pending\tserin/test/podinfo\tpodinfo.test 20 %",
            "success\tserin/test/web\tno workload change",
            "success\tci/build\tnot ours",
            "a line that somebody else wrote",
        ],
    );
    assert_snapshot!(env.show(&["status", &first]), @r#"
    exit 0
    --- stdout
    main@sha1:<2>
      success  serin               test/podinfo: promoted, 3 checks passed
      success  serin/test/podinfo  promoted, 3 checks passed
    "#);
    assert_snapshot!(env.show(&["status", "HEAD~1"]), @r#"
    exit 1
    --- stdout
    main@sha1:<3>
      failure  serin               test/podinfo: rolled back: request-success-rate 78.12% < 99%
      failure  serin/test/podinfo  rolled back: request-success-rate 78.12% < 99%
                                   https://serin.example.com/test/podinfo
    "#);
    assert_snapshot!(env.show(&["status"]), @r#"
    exit 4
    --- stdout
    main@sha1:<4>
      pending  serin               1 of 2 done; test/podinfo: podinfo.test 20 %
      pending  serin/test/podinfo  podinfo.test 20 %
      success  serin/test/web      no workload change
    "#);
    assert_snapshot!(env.show(&["status", "HEAD~1", "--output", "json"]), @r#"
    exit 1
    --- stdout
    {
      "commit": "<3>",
      "statuses": [
        {
          "context": "serin",
          "description": "test/podinfo: rolled back: request-success-rate 78.12% < 99%",
          "forge": "notes",
          "state": "failure",
          "targetUrl": null
        },
        {
          "context": "serin/test/podinfo",
          "description": "rolled back: request-success-rate 78.12% < 99%",
          "forge": "notes",
          "state": "failure",
          "targetUrl": "https://serin.example.com/test/podinfo"
        }
      ]
    }
    "#);
}

#[test]
fn notes_in_a_repository_of_their_own_are_read() {
    let env = TestEnvironment::with_app();
    say(&env, "HEAD", &["success\tserin\tinitialized"]);
    env.git(&["init", "-q", "--bare", "../notes.git"]);
    env.git(&["push", "-q", "../notes.git", "refs/notes/serin"]);
    env.git(&["update-ref", "-d", "refs/notes/serin"]);
    assert_snapshot!(env.show(&["status"]), @r#"
    exit 5
    --- stderr
    nothing was said of main@sha1:<1>
    "#);
    assert_snapshot!(env.show(&["status", "--notes-repo", "../notes.git"]), @r#"
    exit 0
    --- stdout
    main@sha1:<1>
      success  serin  initialized
    "#);
}

/// Makes a folder that whoever runs the command may not write to. Gives what to put before the command.
fn forbid(folder: &std::path::Path) -> Option<Vec<String>> {
    use std::os::unix::fs::{MetadataExt as _, PermissionsExt};
    let chmod = |mode: &str| {
        let done = Command::new("chmod").args(["-R", mode]).arg(folder).status();
        assert!(done.unwrap().success());
    };
    chmod("a+rX,a-w");
    let mine = std::fs::metadata(folder).unwrap().uid();
    if mine != 0 {
        return Some(Vec::new());
    }
    // Root may write all the same: somebody else has to try, and to reach the folder.
    std::fs::set_permissions(folder.parent().unwrap(), PermissionsExt::from_mode(0o755)).unwrap();
    let other = ["setpriv", "--reuid", "65534", "--clear-groups"].map(str::to_owned);
    let can = Command::new(&other[0]).args(&other[1..]).arg("true").status();
    can.is_ok_and(|status| status.success()).then(|| other.into())
}

#[test]
fn notes_that_cannot_be_written_can_be_read() {
    let env = TestEnvironment::with_app();
    say(&env, "HEAD", &["success\tserin\tinitialized"]);
    std::fs::copy(env!("CARGO_BIN_EXE_serin"), env.path("serin")).unwrap();
    let Some(mut words) = forbid(&env.path("repo")) else {
        return; // root, on a machine where it cannot be anybody else
    };
    words.push(env.path("serin").display().to_string());
    let run = |args: &[&str]| {
        let mut line: Vec<&str> = words.iter().map(String::as_str).collect();
        line.extend(args);
        let command = env.program(line[0].as_ref(), &line[1..]);
        env.shown(&env.finish(command))
    };
    assert_snapshot!(run(&["status"]), @r#"
    exit 0
    --- stdout
    main@sha1:<1>
      success  serin  initialized
    "#);
    env.write("kubeconfig", super::run::KUBECONFIG);
    let start = ["run", "--status", "notes", "--kubeconfig", "../kubeconfig"];
    assert_snapshot!(run(&start), @r#"
    exit 1
    --- stderr
    error: notes: cannot write to the repository of .: Permission denied (os error 13)
    hint: give a directory of its own with --notes-repo DIR, or choose another forge with --status
    "#);
    env.write("full/file", "x");
    let there: Vec<&str> = start.into_iter().chain(["--notes-repo", "../full"]).collect();
    assert_snapshot!(run(&there), @r#"
    exit 1
    --- stderr
    error: notes: cannot use ../full for notes: `../full` is not a git repository
    hint: give --notes-repo a writable directory that is empty or a bare repository
    "#);
}

/// A Gitea of one answer, for who knows the token. Returns its port.
fn forge() -> u16 {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let port = listener.local_addr().unwrap().port();
    std::thread::spawn(move || {
        for stream in listener.incoming().flatten() {
            let mut lines = BufReader::new(&stream).lines();
            let head: Vec<String> = lines
                .by_ref()
                .map_while(Result::ok)
                .take_while(|line| !line.is_empty())
                .collect();
            let asks = head[0].starts_with("GET /api/v1/repos/team/apps/statuses/");
            let (status, body) = if asks && head.contains(&"authorization: token s3cret".to_owned()) {
                let said =
                    r#"{"id": 1, "context": "serin", "status": "failure", "description": "rolled back"}"#;
                ("200 OK", format!("[{said}]"))
            } else {
                ("401 Unauthorized", "{}".to_owned())
            };
            let length = body.len();
            write!(
                &stream,
                "HTTP/1.1 {status}\r\ncontent-length: {length}\r\nconnection: close\r\n\r\n{body}"
            )
            .ok();
        }
    });
    port
}

#[test]
fn a_forge_whose_credentials_the_cluster_keeps_is_read() {
    let env = TestEnvironment::with_app();
    let port = forge();
    let address = format!("http://127.0.0.1:{port}/team/apps");
    env.git(&["remote", "add", "origin", &format!("{address}.git")]);
    let cluster = TestCluster::start(&env);
    cluster.secret("forge", &json!({"token": "s3cret"}));
    cluster.provider(&json!({"type": "gitea", "address": address, "secretRef": {"name": "forge"}}));
    let show = |flags: &[&str]| {
        let all = [&["status", "--kubeconfig", "../kubeconfig"], flags].concat();
        env.show(&all)
    };
    // Where the forge is, the address tells that the checkout is a clone of.
    assert_snapshot!(show(&["--status", "gitea", "--status-secret", "default/forge"]), @r#"
    exit 1
    --- stdout
    main@sha1:<1>
      failure  serin  rolled back
    "#);
    assert_snapshot!(show(&["--status-provider", "default/status"]), @r#"
    exit 1
    --- stdout
    main@sha1:<1>
      failure  serin  rolled back
    "#);
    assert_snapshot!(show(&["--status", "gitea", "--status-secret", "default/other"]), @r#"
    exit 1
    --- stderr
    error: Secret default/other: it does not exist
    hint: make it, or name another
    "#);
    assert_snapshot!(show(&["--status-secret", "default/forge"]), @r#"
    exit 1
    --- stderr
    error: --status-secret needs one forge that it is for
    hint: name it with --status
    "#);
}

//! `serin run --repo`: a clone of its own, and the calls that make it look.

use std::{
    fs,
    io::{BufRead as _, BufReader, Read as _, Write as _},
    net::{TcpListener, TcpStream},
    os::unix::fs::PermissionsExt as _,
    process::Command,
    time::{Duration, Instant},
};

use base64::Engine as _;
use insta::assert_snapshot;
use ring::hmac;

use super::{
    environment::{Running, TestEnvironment},
    run::KUBECONFIG,
    sidecar::address,
    web::WEB,
};

const TOKEN: &str = "hunter2-very-secret";

fn environment() -> TestEnvironment {
    let env = TestEnvironment::with_app();
    env.write("kubeconfig", KUBECONFIG);
    env.write("token", TOKEN);
    env
}

fn run(env: &TestEnvironment, args: &[&str]) -> Command {
    let mut all = vec!["run", "--kubeconfig", "../kubeconfig", "--listen", "127.0.0.1:0"];
    all.extend(args);
    env.serin(&all)
}

/// Waits until the clone says that a commit is decided.
fn decided(env: &TestEnvironment, commit: &str) -> String {
    let clones = env.path("clones");
    let began = Instant::now();
    loop {
        let clone = fs::read_dir(&clones)
            .into_iter()
            .flatten()
            .flatten()
            .map(|entry| entry.path());
        let clone = clone
            .filter(|path| path.extension().is_some_and(|end| end == "git"))
            .last();
        let dir = clone.map(|path| path.display().to_string()).unwrap_or_default();
        let ended = env.finish(env.serin(&["status", "--checkout", &dir, commit]));
        if matches!(ended.code, Some(0 | 1)) && ended.stdout.contains("success") {
            return env.shown(&ended);
        }
        assert!(
            began.elapsed() < Duration::from_secs(60),
            "not decided: {ended:?}"
        );
        std::thread::sleep(Duration::from_millis(100));
    }
}

fn post(address: &str, headers: &[(&str, &str)], body: &str) -> String {
    let mut stream = TcpStream::connect(address).unwrap();
    let mut head = format!(
        "POST /notify HTTP/1.1\r\nHost: serin\r\nConnection: close\r\nContent-Length: {}\r\n",
        body.len()
    );
    for (name, value) in headers {
        head += &format!("{name}: {value}\r\n");
    }
    write!(stream, "{head}\r\n{body}").unwrap();
    let mut answer = String::new();
    stream.read_to_string(&mut answer).unwrap();
    let status = answer.split(' ').nth(1).unwrap_or_default().to_owned();
    let said = answer.split_once("\r\n\r\n").map_or("", |(_, said)| said.trim());
    format!("{status} {said}")
}

fn signature(secret: &str, body: &str) -> String {
    let key = hmac::Key::new(hmac::HMAC_SHA256, secret.as_bytes());
    let tag = hmac::sign(&key, body.as_bytes());
    tag.as_ref()
        .iter()
        .fold("sha256=".to_owned(), |text, byte| format!("{text}{byte:02x}"))
}

#[test]
fn a_clone_is_followed_and_a_webhook_makes_it_look() {
    let env = TestEnvironment::new();
    env.write("secret", "shared\n");
    let first = env.commit("Add web", &[("web.yaml", WEB)]);
    let cluster = [
        "cluster",
        "--listen",
        "127.0.0.1:0",
        "--write-kubeconfig",
        "../kubeconfig",
    ];
    let cluster = Running::start(env.serin(&cluster));
    cluster.wait_for("Kubernetes API on");
    let url = format!("file://{}", env.path("repo").display());
    let args = [
        "--apply",
        "--repo",
        &url,
        "--branch",
        "main",
        "--clone-dir",
        "../clones",
        "--repo-interval",
        "1h",
        "--notify-secret-file",
        "../secret",
        "--touch-file",
        "../touched",
    ];
    let mut sidecar = Running::start(run(&env, &args));
    let address = address(&sidecar.wait_for("Serin starts."));
    sidecar.wait_for("Initialization done! web.default");
    assert_snapshot!(decided(&env, &first), @r#"
    exit 0
    --- stdout
    main@sha1:<1>
      success  serin              default/web: initialized
      success  serin/default/web  initialized
    "#);

    let second = env.edit("Update web", "web.yaml", "web:1", "web:2");
    let push = r#"{"ref": "refs/heads/main", "repository": {"full_name": "repo"}}"#;
    let other = r#"{"ref": "refs/heads/other", "repository": {"full_name": "repo"}}"#;
    let call = |body: &str, secret: &str| {
        let signature = signature(secret, body);
        post(
            &address,
            &[("X-GitHub-Event", "push"), ("X-Hub-Signature-256", &signature)],
            body,
        )
    };
    assert_snapshot!(call(push, "wrong"), @"403 the signature is wrong");
    assert_snapshot!(post(&address, &[], ""), @"403 the call is not signed");
    assert_snapshot!(call(other, "shared"), @"200 branch `other` is not followed");
    assert_snapshot!(call(push, "shared"), @"200 looking");
    assert_snapshot!(decided(&env, &second), @r#"
    exit 0
    --- stdout
    main@sha1:<2>
      success  serin              default/web: promoted, 3 checks passed
      success  serin/default/web  promoted, 3 checks passed
    "#);
    assert_snapshot!(call(&" ".repeat((1 << 20) + 1), "shared"), @"413 more than 1 MiB, or broken off");

    let third = env.edit("Update web again", "web.yaml", "web:2", "web:3");
    env.write("touched", "");
    let said = decided(&env, &third);
    assert!(said.contains("promoted, 3 checks passed"), "{said}");
    assert_eq!(sidecar.end(), Some(0));
}

/// A server of git over HTTP that asks for a credential, and shows it to the test before it answers.
fn guarded(listener: TcpListener, look: impl Fn(&str) + Send + 'static) {
    std::thread::spawn(move || {
        for stream in listener.incoming() {
            let mut stream = stream.unwrap();
            let mut head = String::new();
            let mut lines = BufReader::new(stream.try_clone().unwrap());
            while lines.read_line(&mut head).unwrap() > 2 {}
            let authorized = head
                .lines()
                .find_map(|line| line.strip_prefix("Authorization: Basic "));
            let answer = if let Some(credential) = authorized {
                look(credential);
                "403 Forbidden\r\n"
            } else {
                "401 Unauthorized\r\nWWW-Authenticate: Basic realm=\"git\"\r\n"
            };
            write!(
                stream,
                "HTTP/1.1 {answer}Content-Length: 0\r\nConnection: close\r\n\r\n"
            )
            .unwrap();
        }
    });
}

#[test]
fn a_token_reaches_the_remote_and_no_argument_and_no_log() {
    let env = environment();
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let url = format!("http://{}/team/apps.git", listener.local_addr().unwrap());
    let (seen, looked) = std::sync::mpsc::channel();
    let basic = base64::engine::general_purpose::STANDARD.encode(format!("bot:{TOKEN}"));
    let (wanted, hidden) = (basic.clone(), [TOKEN.to_owned(), basic]);
    guarded(listener, move |credential| {
        // git waits for the answer: all processes are there.
        let mut arguments = String::new();
        for process in fs::read_dir("/proc").unwrap().flatten() {
            let line = fs::read(process.path().join("cmdline")).unwrap_or_default();
            arguments += &String::from_utf8_lossy(&line).replace('\0', " ");
            arguments.push('\n');
        }
        seen.send((credential.trim() == wanted, arguments)).ok();
    });
    let args = [
        "--repo",
        &url,
        "--repo-token-file",
        "../token",
        "--repo-username",
        "bot",
        "--clone-dir",
        "../clones",
        "--log-level",
        "trace",
    ];
    let ended = env.finish(run(&env, &args));
    let (is_ours, arguments) = looked.recv_timeout(Duration::from_secs(20)).unwrap();
    assert!(is_ours, "the remote got the credential");
    assert!(arguments.contains("git"), "the processes were listed");
    for secret in hidden {
        assert!(!arguments.contains(&secret), "{arguments}");
        assert!(!ended.stderr.contains(&secret), "{}", ended.stderr);
        let grep = Command::new("grep")
            .args(["-r", &secret])
            .arg(env.path("clones"))
            .output()
            .unwrap();
        assert_eq!(String::from_utf8_lossy(&grep.stdout), "");
    }
    assert_eq!(ended.code, Some(1));
    let said = ended.stderr.replace(&url, "URL");
    let tail: Vec<_> = said
        .lines()
        .filter(|line| line.starts_with("error") || line.starts_with("hint"))
        .collect();
    assert_snapshot!(tail.join("\n"), @r#"
    error: the credential does not suffice at URL: fatal: unable to access 'URL/': The requested URL returned error: 403
    hint: give the credential the right to read (or, for pushes, to write) the repository
    "#);
}

#[test]
fn a_crash_in_a_fetch_keeps_the_next_process_out_until_git_has_ended() {
    let env = environment();
    // Stands in for git: its fetch hangs once the test says so.
    let script = "#!/bin/sh\ncase \"$*\" in *\" fetch \"*) [ -e ../hang ] && { echo $$ > ../hung; exec sleep 600; };; esac\n\
                  PATH=${PATH#*:} exec git \"$@\"\n";
    env.write("bin/git", script);
    fs::set_permissions(env.path("bin/git"), fs::Permissions::from_mode(0o755)).unwrap();
    let url = format!("file://{}", env.path("repo").display());
    let start = || {
        let mut command = run(&env, &["--repo", &url, "--clone-dir", "../clones"]);
        let path = std::env::var("PATH").unwrap();
        command.env("PATH", format!("{}:{path}", env.path("bin").display()));
        Running::start(command)
    };
    env.write("hang", "");
    let mut first = start();
    let began = Instant::now();
    let hung = loop {
        match fs::read_to_string(env.path("hung")) {
            Ok(hung) if hung.ends_with('\n') => break hung.trim().to_owned(),
            _ => assert!(began.elapsed() < Duration::from_secs(60), "no fetch began"),
        }
        std::thread::sleep(Duration::from_millis(20));
    };
    first.kill();
    fs::remove_file(env.path("hang")).unwrap();
    let second = start();
    second.wait_for("another process keeps the clone");
    assert!(
        Command::new("kill")
            .args(["-9", &hung])
            .status()
            .unwrap()
            .success()
    );
    second.wait_for("Serin starts.");
}

#[test]
fn what_cannot_be_cloned_is_said() {
    let env = environment();
    let show = |args: &[&str]| env.shown(&env.finish(run(&env, args)));
    let refused = show(&["--repo", "https://bot:hunter2@git.example.com/a/b"]);
    assert!(!refused.contains("hunter2"), "{refused}");
    assert_snapshot!(refused, @r#"
    exit 1
    --- stderr
    error: cannot use the address of --repo: it holds a password, which process lists and logs would show
    hint: take it out, and give it with --repo-token-file FILE
    "#);
    assert_snapshot!(show(&["--repo", "ext::sh -c evil"]), @r#"
    exit 1
    --- stderr
    error: cannot use the address of --repo: it is not one that git is let to use
    hint: give one such as https://git.example.com/team/apps or git@git.example.com:team/apps
    "#);
    assert_snapshot!(show(&["--repo", "file:///nowhere", "--clone-dir", "../clones"]), @r#"
    exit 1
    --- stderr
    error: there is no such repository at file:///nowhere: fatal: '/nowhere' does not appear to be a git repository; fatal: Could not read from remote repository.
    hint: check --repo: it may have moved, or the credential may not see it
    "#);
    assert_snapshot!(show(&["--repo", "file:///nowhere", "--checkout", "."]), @r#"
    exit 2
    --- stderr
    error: the argument '--repo <URL>' cannot be used with '--checkout <DIR>'

    Usage: serin run --kubeconfig <FILE> --listen <ADDR> --repo <URL>

    For more information, try '--help'.
    "#);
    assert_snapshot!(show(&["--repo-token-file", "../token"]), @r#"
    exit 2
    --- stderr
    error: the following required arguments were not provided:
      --repo <URL>

    Usage: serin run --repo <URL> --kubeconfig <FILE> --listen <ADDR> --repo-token-file <FILE>

    For more information, try '--help'.
    "#);
    let mut command = run(&env, &["--repo", "file:///nowhere", "--clone-dir", "../clones"]);
    command.env("PATH", "/nowhere");
    assert_snapshot!(env.shown(&env.finish(command)), @r#"
    exit 1
    --- stderr
    error: the command `git` cannot be started: No such file or directory (os error 2)
    hint: install git where Serin runs (its image has none), or use a checkout that git-sync keeps
    "#);
}

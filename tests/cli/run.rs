//! `serin run`: what ends its start, and what only delays it.

use std::net::TcpListener;

use insta::assert_snapshot;

use super::environment::{Running, TestEnvironment};

/// A cluster that nobody serves: port 1 answers to nobody.
pub(crate) const KUBECONFIG: &str = "\
apiVersion: v1
kind: Config
current-context: test
contexts: [{name: test, context: {cluster: test, user: test}}]
clusters: [{name: test, cluster: {server: 'http://127.0.0.1:1'}}]
users: [{name: test, user: {}}]
";

fn environment() -> TestEnvironment {
    let env = TestEnvironment::with_app();
    env.write("kubeconfig", KUBECONFIG);
    env
}

fn run(env: &TestEnvironment, args: &[&str]) -> String {
    let mut all = vec!["run", "--kubeconfig", "../kubeconfig"];
    all.extend(args);
    env.show(&all)
}

#[test]
fn without_a_cluster_it_does_not_start() {
    let env = environment();
    assert_snapshot!(env.show(&["run"]), @r#"
    exit 1
    --- stderr
    error: no cluster: no kubeconfig was given or found, and this is not a pod with a service account
    hint: give one by --kubeconfig FILE or KUBECONFIG; to try Serin without a cluster: serin demo
    "#);
    assert_snapshot!(env.show(&["run", "--context", "prod"]), @r#"
    exit 1
    --- stderr
    error: no cluster: no kubeconfig was given or found, and this is not a pod with a service account
    hint: give one by --kubeconfig FILE or KUBECONFIG; to try Serin without a cluster: serin demo
    "#);
    assert_snapshot!(env.show(&["run", "--kubeconfig", "../nowhere"]), @r#"
    exit 1
    --- stderr
    error: cannot use kubeconfig `../nowhere`: failed to read kubeconfig from '"../nowhere"': No such file or directory (os error 2)
    hint: give another by --kubeconfig FILE, or try it with `kubectl cluster-info`
    "#);
    assert_snapshot!(run(&env, &["--context", "prod"]), @r#"
    exit 1
    --- stderr
    error: cannot use kubeconfig `../kubeconfig`: failed to load current context: prod
    hint: `kubectl config get-contexts` lists the contexts; choose one by --context NAME
    "#);
    env.write("kubeconfig", "kind: [");
    assert_snapshot!(run(&env, &[]), @r#"
    exit 1
    --- stderr
    error: cannot use kubeconfig `../kubeconfig`: failed to parse kubeconfig YAML: error: line 1 column 7: expected string scalar
     --> <input>:1:7
      |
    1 | kind: [
      |       ^ expected string scalar
    hint: give another by --kubeconfig FILE, or try it with `kubectl cluster-info`
    "#);
    let mut command = env.serin(&["run"]);
    command.env("KUBECONFIG", env.path("kubeconfig"));
    assert_snapshot!(env.shown(&env.finish(command)), @r#"
    exit 1
    --- stderr
    error: cannot use kubeconfig `$DIR/kubeconfig`: failed to parse kubeconfig YAML: error: line 1 column 7: expected string scalar
     --> <input>:1:7
      |
    1 | kind: [
      |       ^ expected string scalar
    hint: give another by --kubeconfig FILE, or try it with `kubectl cluster-info`
    "#);
    env.write(
        "kubeconfig",
        &KUBECONFIG.replace("user: {}", "user: {client-certificate: /nonexistent}"),
    );
    assert_snapshot!(run(&env, &[]), @r#"
    exit 1
    --- stderr
    error: cannot make a client for the cluster: Failed to infer provided configuration: failed to load client certificate: failed to read file '"/nonexistent"': No such file or directory (os error 2)
    hint: check the files that the kubeconfig names, with `kubectl cluster-info`
    "#);
}

#[test]
fn without_a_repository_it_does_not_start() {
    let env = environment();
    std::fs::create_dir(env.path("folder")).unwrap();
    assert_snapshot!(run(&env, &["--checkout", "../folder"]), @r#"
    exit 1
    --- stderr
    error: `../folder` is not a git repository
    hint: give the top directory of a clone with --checkout, or make one with `git init`
    "#);
    assert_snapshot!(run(&env, &["--path", "../other"]), @r#"
    exit 1
    --- stderr
    error: `../other` is not a path inside the repository
    hint: give a path relative to the top of the repository, without `..`, such as `deploy/test`
    "#);
}

#[test]
fn a_forge_needs_its_flags() {
    let env = environment();
    assert_snapshot!(run(&env, &["--status", "gitea"]), @r"
    exit 1
    --- stderr
    error: gitea: --status-repo is missing, and the source's address does not tell it
    hint: give --status-url URL --status-repo OWNER/NAME
    ");
    assert_snapshot!(run(&env, &["--status", "github"]), @r"
    exit 1
    --- stderr
    error: github: --status-repo is missing, and the source's address does not tell it
    hint: give --status-url URL --status-repo OWNER/NAME
    ");
    let gitea = [
        "--status",
        "gitea",
        "--status-url",
        "http://git.example.com",
        "--status-repo",
    ];
    let with = |rest: &[&str]| {
        let all: Vec<&str> = gitea.iter().chain(rest).copied().collect();
        run(&env, &all)
    };
    assert_snapshot!(with(&["team/apps", "--status-token-file", "../token"]), @r#"
    exit 1
    --- stderr
    error: gitea: secret file ../token: No such file or directory (os error 2)
    hint: write the token, and nothing else, into a file that this process can read
    "#);
    env.write("token", "");
    assert_snapshot!(with(&["team/apps", "--status-token-file", "../token"]), @r#"
    exit 1
    --- stderr
    error: gitea: secret file ../token: empty
    hint: write the token, and nothing else, into a file that this process can read
    "#);
    env.write("token", "hunter2\nhunter3\n");
    let shown = with(&["team/apps", "--status-token-file", "../token"]);
    assert!(!shown.contains("hunter"), "{shown}");
    assert_snapshot!(shown, @r#"
    exit 1
    --- stderr
    error: gitea: secret file ../token: more than one line
    hint: write the token, and nothing else, into a file that this process can read
    "#);
    env.write("token", "hunter2\n");
    assert_snapshot!(with(&["apps", "--status-token-file", "../token"]), @r#"
    exit 1
    --- stderr
    error: gitea: `apps` is not a repository
    hint: give the repository as --status-repo OWNER/NAME
    "#);
    let url = [
        "--status",
        "gitea",
        "--status-url",
        "git.example.com",
        "--status-repo",
        "team/apps",
    ];
    let url: Vec<&str> = url
        .into_iter()
        .chain(["--status-token-file", "../token"])
        .collect();
    assert_snapshot!(run(&env, &url), @r#"
    exit 1
    --- stderr
    error: gitea: bad address: relative URL without a base
    hint: give the address of the forge as --status-url https://HOST
    "#);
}

#[test]
fn a_forge_is_where_the_commits_come_from() {
    let env = environment();
    env.git(&[
        "remote",
        "add",
        "origin",
        "https://ada:hidden@git.example.com/team/apps.git",
    ]);
    env.write("token", "hunter2");
    let with = |repository: &str, more: &[&str]| {
        let gitea = ["--status", "gitea", "--status-url", "https://git.example.com"];
        let rest = ["--status-token-file", "../token", "--status-repo", repository];
        let all: Vec<&str> = [&gitea[..], &rest[..], more].concat();
        run(&env, &all)
    };
    assert_snapshot!(with("mallory/apps", &[]), @r#"
    exit 1
    --- stderr
    error: gitea: it would post to git.example.com/mallory/apps, but the commits come from git.example.com/team/apps
    hint: correct the forge's repository; if it is a mirror, or reached by another name, say so with --status-mirror-of URL, the address that the source is cloned from
    "#);
    let other = ["--status-mirror-of", "https://git.example.com/mallory/apps"];
    assert_snapshot!(with("mallory/apps", &other), @r#"
    exit 1
    --- stderr
    error: gitea: the commits come from git.example.com/team/apps, not from what --status-mirror-of names
    hint: give --status-mirror-of the address that the source is cloned from
    "#);
}

#[test]
fn the_way_to_a_forge_is_checked_at_the_start() {
    let env = environment();
    env.write("token", "hunter2");
    let gitea = ["--status", "gitea", "--status-url", "https://git.example.com"];
    let rest = ["--status-repo", "team/apps", "--status-token-file", "../token"];
    let with = |more: &[&str]| {
        let all: Vec<&str> = [&gitea[..], &rest[..], more].concat();
        run(&env, &all)
    };
    assert_snapshot!(with(&["--status-proxy", "http://ada:hidden@proxy:3128"]), @r#"
    exit 1
    --- stderr
    error: the address in --status-proxy holds credentials, which others can read there
    hint: write it into a file and give that by --status-proxy-file
    "#);
    assert_snapshot!(with(&["--status-cert-file", "../tls.crt"]), @r#"
    exit 2
    --- stderr
    error: the following required arguments were not provided:
      --status-key-file <FILE>

    Usage: serin run --status-cert-file <FILE> --status-key-file <FILE> --kubeconfig <FILE> --status <WHERE> --status-url <URL> --status-repo <OWNER/NAME> --status-token-file <FILE>

    For more information, try '--help'.
    "#);
    assert_snapshot!(with(&["--status-ca-file", "../ca.crt"]), @r#"
    exit 1
    --- stderr
    error: gitea: the CA bundle: file ../ca.crt: No such file or directory (os error 2)
    hint: give it as PEM: -----BEGIN …
    "#);
    env.write("ca.crt", "hidden");
    assert_snapshot!(with(&["--status-ca-file", "../ca.crt"]), @r#"
    exit 1
    --- stderr
    error: gitea: the CA bundle: it holds no certificate
    hint: give it as PEM: -----BEGIN …
    "#);
    env.write("proxy", "socks5://ada:hidden@proxy");
    assert_snapshot!(with(&["--status-proxy-file", "../proxy"]), @r#"
    exit 1
    --- stderr
    error: gitea: the proxy's address: only proxies that speak http or https can be used
    hint: give http://HOST:PORT or https://HOST:PORT
    "#);
    assert_snapshot!(run(&env, &["--status", "gitea", "--status-url", "https://git.example.com", "--status-repo", "team/apps",
        "--status-token-env", "SERIN_TEST_TOKEN"]), @r#"
    exit 1
    --- stderr
    error: gitea: secret environment variable SERIN_TEST_TOKEN: environment variable not found
    hint: set the variable for this process to the token, and nothing else
    "#);
    assert_snapshot!(run(&env, &["--status-secret", "flux-system/forge"]), @r#"
    exit 1
    --- stderr
    error: --status-secret needs one forge that it is for
    hint: name it with --status
    "#);
    assert_snapshot!(run(&env, &["--status-provider", "forge"]), @r#"
    exit 2
    --- stderr
    error: invalid value 'forge' for '--status-provider <NAMESPACE/NAME>': give NAMESPACE/NAME

    For more information, try '--help'.
    "#);
}

#[test]
fn wrong_flags_are_wrong_usage() {
    let env = environment();
    assert_snapshot!(run(&env, &["--drain", "5"]), @r#"
    exit 2
    --- stderr
    error: invalid value '5' for '--drain <DURATION>': has no unit such as `s` or `m` at `5`

    For more information, try '--help'.
    "#);
    assert_snapshot!(run(&env, &["--allow-egress", "10.0.0.0/33"]), @r#"
    exit 2
    --- stderr
    error: invalid value '10.0.0.0/33' for '--allow-egress <CIDR>': give a network, such as 10.0.0.0/8 or fd00::/8

    For more information, try '--help'.
    "#);
    assert_snapshot!(run(&env, &["--listen", "8080"]), @r#"
    exit 2
    --- stderr
    error: invalid value '8080' for '--listen <ADDR>': give ADDRESS:PORT, such as 127.0.0.1:8080 or :8080

    For more information, try '--help'.
    "#);
    assert_snapshot!(run(&env, &["--log-level", "verbose"]), @r#"
    exit 2
    --- stderr
    error: invalid value 'verbose' for '--log-level <LEVEL>': it is none of error, warn, info, debug, trace, and no filter such as serin=debug

    For more information, try '--help'.
    "#);
    assert_snapshot!(run(&env, &["--mesh-provider", "skiper"]), @r#"
    exit 2
    --- stderr
    error: invalid value 'skiper' for '--mesh-provider <NAME>': no such router; use one of apisix, appmesh, appmesh:v1beta2, contour, gatewayapi:v1, gatewayapi:v1beta1, gloo, istio, knative, kubernetes, kuma, linkerd, nginx, osm, skipper, smi:v1alpha1, smi:v1alpha2, smi:v1alpha3, traefik

    For more information, try '--help'.
    "#);
    assert_snapshot!(run(&env, &["--lease=maybe"]), @r#"
    exit 2
    --- stderr
    error: invalid value 'maybe' for '--lease[=<BOOL>]'
      [possible values: true, false]

    For more information, try '--help'.
    "#);
    assert_snapshot!(run(&env, &["-A", "-n", "test"]), @r#"
    exit 2
    --- stderr
    error: the argument '--all-namespaces' cannot be used with '--namespace <NAME>'

    Usage: serin run --kubeconfig <FILE> --all-namespaces

    For more information, try '--help'.
    "#);
}

#[test]
fn reverts_need_a_place() {
    let env = environment();
    assert_snapshot!(run(&env, &["--on-failure", "pull-request"]), @r#"
    exit 1
    --- stderr
    error: reverts have no place to be pushed to
    hint: give the address of the repository by --revert-remote URL
    "#);
    let secret = [
        "--on-failure",
        "revert-branch",
        "--revert-remote",
        "https://me:hunter2@git.example.com/a",
    ];
    let shown = run(&env, &secret);
    assert!(
        shown.contains("it holds a password") && !shown.contains("hunter2"),
        "{shown}"
    );
    assert_snapshot!(run(&env, &["--revert-known-hosts", "hosts"]), @r#"
    exit 2
    --- stderr
    error: the following required arguments were not provided:
      --revert-ssh-key <FILE>

    Usage: serin run --revert-ssh-key <FILE> --kubeconfig <FILE> --revert-known-hosts <FILE>

    For more information, try '--help'.
    "#);
}

#[test]
fn a_port_in_use_is_told() {
    let env = environment();
    let taken = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = taken.local_addr().unwrap().to_string();
    let shown = |args: &[&str]| env.show(args).replace(&address, "<address>");
    assert_snapshot!(shown(&["run", "--kubeconfig", "../kubeconfig", "--listen", &address]), @r#"
    exit 1
    --- stderr
    error: cannot listen on <address>: Address already in use (os error 98)
    hint: choose another address by --listen
    "#);
    assert_snapshot!(shown(&["cluster", "--listen", &address]), @r#"
    exit 1
    --- stderr
    error: cannot listen on <address>: Address already in use (os error 98)
    hint: choose another address; port 0 takes a free one
    "#);
}

#[test]
fn a_checkout_that_is_not_there_yet_is_waited_for() {
    let env = environment();
    let mut running =
        Running::start(env.serin(&["run", "--checkout", "../later", "--kubeconfig", "../kubeconfig"]));
    let line = env.normal(&running.wait_for("No checkout yet"));
    assert_snapshot!(line, @r#"{"timestamp":"<time>","level":"WARN","message":"No checkout yet; waiting for it.","error":"`../later` does not exist","hint":"give the directory of a clone with --checkout; a git-sync link appears after its first sync","target":"serin::cli::origin"}"#);
    assert_eq!(running.end(), Some(1));
}

#[test]
fn a_cluster_that_does_not_answer_is_waited_for() {
    let env = environment();
    let args = ["run", "--kubeconfig", "../kubeconfig", "--listen", "127.0.0.1:0"];
    let mut running = Running::start(env.serin(&args));
    running.wait_for("Serin starts.");
    let line = running.wait_for("WARN");
    assert!(line.contains("Connection refused"), "{line}");
    assert_eq!(running.end(), Some(0));
}

//! Bad input: each kind ends in a message that says what, where and what to do.

use std::os::unix::fs::PermissionsExt as _;

use insta::assert_snapshot;

use super::environment::TestEnvironment;

#[test]
fn not_a_repository() {
    let env = TestEnvironment::with_app();
    std::fs::create_dir(env.path("folder")).unwrap();
    assert_snapshot!(env.show(&["plan", "--checkout", "../folder"]), @r#"
    exit 1
    --- stderr
    error: `../folder` is not a git repository
    hint: give the top directory of a clone with --checkout, or make one with `git init`
    "#);
    assert_snapshot!(env.show(&["plan", "--checkout", "../nowhere"]), @r#"
    exit 3
    --- stderr
    error: `../nowhere` does not exist
    hint: give the directory of a clone with --checkout; a git-sync link appears after its first sync
    "#);
    assert_snapshot!(env.show(&["plan", "--checkout", "apps"]), @r#"
    exit 1
    --- stderr
    error: `apps` is not a git repository
    hint: `$DIR/repo` is one: give it as --checkout, and the part below it with --path
    "#);
    assert_snapshot!(env.show(&["plan", "--checkout", "apps/canary.yaml"]), @r#"
    exit 1
    --- stderr
    error: `apps/canary.yaml` is not a git repository
    hint: `$DIR/repo` is one: give it as --checkout, and the part below it with --path
    "#);
}

#[test]
fn no_commit_yet() {
    let env = TestEnvironment::new();
    assert_snapshot!(env.show(&["plan"]), @r#"
    exit 1
    --- stderr
    error: the repository `.` has no commit yet on branch `main`
    hint: make a first commit; Serin takes it as the baseline and starts no run
    "#);
    assert_snapshot!(env.show(&["status"]), @r#"
    exit 1
    --- stderr
    error: the repository `.` has no commit yet on branch `main`
    hint: make a first commit; Serin takes it as the baseline and starts no run
    "#);
}

#[test]
fn unsupported_formats() {
    let env = TestEnvironment::with_app();
    env.git(&["init", "-q", "-b", "main", "--object-format=sha256", "../sha256"]);
    assert_snapshot!(env.show(&["plan", "--checkout", "../sha256"]), @r#"
    exit 1
    --- stderr
    error: the repository `../sha256` has no commit yet on branch `main`
    hint: make a first commit; Serin takes it as the baseline and starts no run
    "#);
    // By hand, and with a stand-in for git: before 2.45 it does not know reftable.
    env.write("bin/git", "#!/bin/sh\necho git version 2.39.5\n");
    std::fs::set_permissions(env.path("bin/git"), std::fs::Permissions::from_mode(0o755)).unwrap();
    let config = std::fs::read_to_string(env.path("repo/.git/config")).unwrap();
    let with = |version: u32, extension: &str| {
        let version = format!("repositoryformatversion = {version}");
        let config = config.replace("repositoryformatversion = 0", &version);
        env.write(
            "repo/.git/config",
            &format!("{config}[extensions]\n\t{extension}\n"),
        );
        let mut command = env.serin(&["plan"]);
        command.env("PATH", env.path("bin"));
        env.shown(&env.finish(command))
    };
    assert_snapshot!(with(1, "refStorage = reftable"), @r#"
    exit 1
    --- stderr
    error: the repository `.` uses extensions.refstorage = reftable, which takes git 2.45 or newer to read: it is version 2.39
    hint: install git 2.45 or newer where Serin runs; or make the clone with `git clone --ref-format=files`, or run `git refs migrate --ref-format=files`
    "#);
    assert_snapshot!(with(1, "partialClone = origin"), @r#"
    exit 1
    --- stderr
    error: the repository `.` uses extensions.partialclone = origin, which cannot be read
    hint: make the clone without `--filter`
    "#);
    assert_snapshot!(with(7, "noop"), @r#"
    exit 1
    --- stderr
    error: the repository `.` uses unsupported repository version 7; only versions up to 1 are supported, which cannot be read
    hint: make a plain clone with `git clone`
    "#);
}

#[test]
fn unknown_names() {
    let env = TestEnvironment::with_app();
    assert_snapshot!(env.show(&["plan", "v1..HEAD"]), @r#"
    exit 1
    --- stderr
    error: `v1` names no commit in `.`
    hint: give a branch, a tag or the id of a commit; `git log --oneline` lists them
    "#);
    assert_snapshot!(env.show(&["status", "0123456"]), @r#"
    exit 1
    --- stderr
    error: `0123456` names no commit in `.`
    hint: give a branch, a tag or the id of a commit; `git log --oneline` lists them
    "#);
    assert_snapshot!(env.show(&["plan", "HEAD~5"]), @r#"
    exit 1
    --- stderr
    error: `HEAD~5` names no commit in `.`
    hint: give a branch, a tag or the id of a commit; `git log --oneline` lists them
    "#);
    assert_snapshot!(env.show(&["plan", "--branch", "release"]), @r#"
    exit 1
    --- stderr
    error: the repository `.` has no branch `release`
    hint: give one of its branches with --branch: main
    "#);
    assert_snapshot!(env.show(&["plan", "--path", "app"]), @r#"
    exit 1
    --- stderr
    error: commit <1> has no directory `app`
    hint: check --path; it is relative to the top of the repository
    "#);
    assert_snapshot!(env.show(&["plan", "--path", "/apps"]), @r#"
    exit 1
    --- stderr
    error: `/apps` is not a path inside the repository
    hint: give a path relative to the top of the repository, without `..`, such as `deploy/test`
    "#);
    assert_snapshot!(env.show(&["plan", "--mesh-provider", "nginx-plus"]), @r#"
    exit 2
    --- stderr
    error: invalid value 'nginx-plus' for '--mesh-provider <NAME>': no such router; use one of apisix, appmesh, appmesh:v1beta2, contour, gatewayapi:v1, gatewayapi:v1beta1, gloo, istio, knative, kubernetes, kuma, linkerd, nginx, osm, skipper, smi:v1alpha1, smi:v1alpha2, smi:v1alpha3, traefik

    For more information, try '--help'.
    "#);
}

#[test]
fn a_shallow_clone() {
    let env = TestEnvironment::with_app();
    env.commit("Write a page", &[("README.md", "# Apps\n")]);
    let from = format!("file://{}", env.path("repo").display());
    env.git(&["clone", "-q", "--depth", "1", &from, "../shallow"]);
    assert_snapshot!(env.show(&["plan", "--checkout", "../shallow"]), @r#"
    exit 1
    --- stderr
    error: `<2>^` names no commit in `../shallow`
    hint: the clone is shallow; fetch more history with `git fetch --deepen 50`
    "#);
}

/// Shows the plan of a commit that adds this file.
fn planned(file: &str, text: &str) -> String {
    let env = TestEnvironment::with_app();
    env.commit("Break it", &[(file, text)]);
    env.show(&["plan"])
}

const CONFIG: &str = "apiVersion: v1\nkind: ConfigMap\nmetadata:\n  name: bad\ndata:\n";

#[test]
fn a_yaml_bomb() {
    let mut bomb = format!("{CONFIG}  a0: &a0 [x, x, x, x, x, x, x, x, x]\n");
    for n in 1..30 {
        let before = format!("*a{}", n - 1);
        bomb += &format!("  a{n}: &a{n} [{}]\n", [before.as_str(); 9].join(", "));
    }
    assert_snapshot!(planned("apps/bomb.yaml", &bomb), @r#"
    exit 1
    --- stdout
    main <1> → <2>, 1 commit
      <2> Break it

    no canary is touched

    error: apps/bomb.yaml:10:12: the document expands to more than the limits allow
         |
      10 |   a4: &a4 [*a3, *a3, *a3, *a3, *a3, *a3, *a3, *a3, *a3]
         |            ^
      hint: write out what the aliases stand for, or split the document
    "#);
}

#[test]
fn broken_yaml() {
    assert_snapshot!(planned("apps/bad.yaml", &format!("{CONFIG}  key: [1, 2\n")), @r#"
    exit 1
    --- stdout
    main <1> → <2>, 1 commit
      <2> Break it

    no canary is touched

    error: apps/bad.yaml:6:8: unclosed bracket '['
        |
      6 |   key: [1, 2
        |        ^
      hint: close it
    "#);
    assert_snapshot!(planned("apps/bad.yaml", &format!("{CONFIG}  key: 1\n  key: 2\n")), @r#"
    exit 1
    --- stdout
    main <1> → <2>, 1 commit
      <2> Break it

    no canary is touched

    error: apps/bad.yaml:7:3: the key `key` occurs twice
        |
      7 |   key: 2
        |   ^
      hint: remove one of the two
    "#);
    assert_snapshot!(planned("apps/bad.yaml", &format!("{CONFIG}  key: *nowhere\n")), @r#"
    exit 1
    --- stdout
    main <1> → <2>, 1 commit
      <2> Break it

    no canary is touched

    error: apps/bad.yaml:6:8: alias references unknown anchor
        |
      6 |   key: *nowhere
        |        ^
      hint: define the anchor with `&` above the alias, or quote a value that begins with `*`
    "#);
    assert_snapshot!(planned("apps/bad.yaml", &format!("{CONFIG}\tkey: 1\n")), @r#"
    exit 1
    --- stdout
    main <1> → <2>, 1 commit
      <2> Break it

    no canary is touched

    error: apps/bad.yaml:6:2: tabs disallowed within this context (block indentation)
        |
      6 |  key: 1
        |  ^
      hint: indent with spaces
    "#);
    assert_snapshot!(planned("apps/bad.json", "{\"apiVersion\": \"v1\", \"kind\": \"ConfigMap\""), @r#"
    exit 1
    --- stdout
    main <1> → <2>, 1 commit
      <2> Break it

    no canary is touched

    error: apps/bad.json:1:1: unclosed bracket '{'
        |
      1 | {"apiVersion": "v1", "kind": "ConfigMap"
        | ^
      hint: close it
    "#);
}

#[test]
fn too_large_and_too_deep() {
    let large = format!("{CONFIG}  key: {}\n", "x".repeat(1 << 20));
    assert_snapshot!(planned("apps/large.yaml", &large), @r#"
    exit 0
    --- stdout
    main <1> → <2>, 1 commit
      <2> Break it

    no canary is touched

    not rendered: apps/large.yaml (it has 1048643 bytes, more than the limit of 1048576)
    "#);
    let deep = format!("{CONFIG}  key: {}{}\n", "[".repeat(100), "]".repeat(100));
    assert_snapshot!(planned("apps/deep.yaml", &deep), @r#"
    exit 1
    --- stdout
    main <1> → <2>, 1 commit
      <2> Break it

    no canary is touched

    error: apps/deep.yaml:6:70: the document is nested deeper than 64 levels
        |
      6 | [[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[]]]]]]]]]]]]
        |                                                   ^
      hint: flatten it
    "#);
    let deeper = format!("{CONFIG}  key: {}{}\n", "[".repeat(100_000), "]".repeat(100_000));
    let shown = planned("apps/deep.yaml", &deeper);
    assert!(shown.starts_with("exit 1") && shown.len() < 2000, "{shown}");
    let many = format!("{CONFIG}---\n").repeat(1001);
    assert_snapshot!(planned("apps/many.yaml", &many), @r#"
    exit 1
    --- stdout
    main <1> → <2>, 1 commit
      <2> Break it

    no canary is touched

    error: apps/many.yaml:1:1: the file has 1001 documents, more than the limit of 1000
      hint: split the file
    "#);
}

#[test]
fn the_same_object_twice() {
    assert_snapshot!(
        planned("apps/twice.yaml", include_str!("../../fixtures/podinfo/config.yaml")),
        @r#"
        exit 1
        --- stdout
        main <1> → <2>, 1 commit
          <2> Break it

        no canary is touched

        error: apps/twice.yaml:1:1: ConfigMap/test/podinfo is declared a second time; the first is at apps/config.yaml:1
          hint: remove one of the two
        "#
    );
}

#[test]
fn two_canaries_on_one_target() {
    let canary = include_str!("../../fixtures/podinfo/canary.yaml");
    let second = canary.replacen("name: podinfo", "name: second", 1);
    assert_snapshot!(planned("apps/second.yaml", &second), @r#"
    exit 1
    --- stdout
    main <1> → <2>, 1 commit
      <2> Break it

    initialize Canary/test/second for Deployment/test/podinfo, by <2>
      + Canary/test/second  apps/second.yaml:1

    nothing starts a run

    error: apps/second.yaml:1:1: Canary/test/second has the same target as Canary/test/podinfo at apps/canary.yaml:1 (Deployment/test/podinfo)
      hint: remove one of the two canaries
    "#);
}

#[test]
fn wrong_fields_of_a_canary() {
    let canary = include_str!("../../fixtures/podinfo/canary.yaml");
    let wrong = canary
        .replace("provider: skipper", "provider: skiper")
        .replace("stepWeight: 20", "stepWeight: 120")
        .replace("interval: 10s\n    threshold", "interval: fast\n    threshold")
        .replace("port: 80\n", "port: eighty\n")
        .replace("kind: Deployment", "kind: StatefulSet");
    let env = TestEnvironment::with_app();
    env.commit("Break it", &[("apps/canary.yaml", &wrong)]);
    assert_snapshot!(env.show(&["plan"]), @r#"
    exit 1
    --- stdout
    main <1> → <2>, 1 commit
      <2> Break it

    no canary is touched

    error: apps/canary.yaml:7:13: Canary/test/podinfo: spec.provider: `skiper` is no provider
      hint: use one of apisix, appmesh, appmesh:v1beta2, contour, gatewayapi:v1, gatewayapi:v1beta1, gloo, istio, knative, kubernetes, kuma, linkerd, nginx, osm, skipper, smi:v1alpha1, smi:v1alpha2, smi:v1alpha3, traefik

    error: apps/canary.yaml:10:11: Canary/test/podinfo: spec.targetRef.kind: `StatefulSet` is no kind of target
      hint: use Deployment, DaemonSet or Service

    error: apps/canary.yaml:19:11: Canary/test/podinfo: spec.service.port: "eighty" is not a whole number
      hint: give a whole number

    error: apps/canary.yaml:22:15: Canary/test/podinfo: spec.analysis.interval: `fast` has no number before `fast`
      hint: write a duration such as `30s` or `1m30s`
    "#);
}

#[test]
fn what_is_not_implemented_is_named() {
    let canary = include_str!("../../fixtures/podinfo/canary.yaml");
    let more = canary
        .replace("    stepWeight: 20\n", "    stepWeight: 20\n    mirror: true\n    alerts: [{name: x, severity: info, providerRef: {name: x}}]\n");
    let env = TestEnvironment::with_app();
    env.edit(
        "Update podinfo to 6.0.1",
        "apps/deployment.yaml",
        "podinfo:6.0.0",
        "podinfo:6.0.1",
    );
    env.commit("Ask for more", &[("apps/canary.yaml", &more)]);
    assert_snapshot!(env.show(&["plan", "HEAD~2..HEAD"]), @r#"
    exit 0
    --- stdout
    main <1> → <3>, 2 commits
      <3> Ask for more
      <2> Update podinfo to 6.0.1

    start Canary/test/podinfo for Deployment/test/podinfo, by <2>
      ~ Deployment/test/podinfo  apps/deployment.yaml:1
          image podinfo 6.0.0 → 6.0.1
      ~ Canary/test/podinfo  apps/canary.yaml:1
          spec.analysis.alerts[x] added: {"name":"x","providerRef":{"name":"x"},"severity":"info"}
          spec.analysis.mirror added: true
      note: stalled: spec.analysis.mirror is not implemented yet
    "#);
}

#[test]
fn not_utf8_and_pointers() {
    let env = TestEnvironment::with_app();
    let mut bytes = CONFIG.as_bytes().to_vec();
    bytes.extend(b"  key: \xff\n");
    std::fs::write(env.path("repo/apps/latin.yaml"), bytes).unwrap();
    let lfs = "version https://git-lfs.github.com/spec/v1\noid sha256:00\nsize 1\n";
    env.commit("Break it", &[("apps/lfs.yaml", lfs)]);
    assert_snapshot!(env.show(&["plan"]), @r#"
    exit 1
    --- stdout
    main <1> → <2>, 1 commit
      <2> Break it

    no canary is touched

    error: apps/latin.yaml:1:1: the file is not UTF-8
      hint: save it as UTF-8

    error: apps/lfs.yaml:1:1: the file is a pointer to Git LFS, not a manifest
      hint: commit manifests as plain files
    "#);
}

#[test]
fn a_good_object_beside_a_broken_file_is_planned_all_the_same() {
    let env = TestEnvironment::with_app();
    env.edit(
        "Update podinfo to 6.0.1",
        "apps/deployment.yaml",
        "podinfo:6.0.0",
        "podinfo:6.0.1",
    );
    env.commit(
        "Break it",
        &[("apps/bad.yaml", &format!("{CONFIG}  key: [1, 2\n"))],
    );
    assert_snapshot!(env.show(&["plan", "HEAD~2..HEAD"]), @r#"
    exit 1
    --- stdout
    main <1> → <3>, 2 commits
      <3> Break it
      <2> Update podinfo to 6.0.1

    start Canary/test/podinfo for Deployment/test/podinfo, by <2>
      ~ Deployment/test/podinfo  apps/deployment.yaml:1
          image podinfo 6.0.0 → 6.0.1

    error: apps/bad.yaml:6:8: unclosed bracket '['
        |
      6 |   key: [1, 2
        |        ^
      hint: close it
    "#);
}

#[test]
fn a_demo_does_not_write_into_a_folder_that_is_used() {
    let env = TestEnvironment::with_app();
    assert_snapshot!(env.show(&["demo", "--keep", "apps"]), @r#"
    exit 1
    --- stderr
    error: cannot use apps for the repository: it is not empty
    hint: give a new or empty folder to --keep
    "#);
    assert_snapshot!(env.show(&["demo", "--keep", "apps/canary.yaml"]), @r#"
    exit 1
    --- stderr
    error: cannot use apps/canary.yaml for the repository: File exists (os error 17)
    hint: give a new or empty folder to --keep
    "#);
}

#[test]
fn a_world_that_cannot_be_read() {
    let env = TestEnvironment::with_app();
    let listen = ["cluster", "--listen", "127.0.0.1:0"];
    let with = |rest: &[&str]| {
        let all: Vec<&str> = listen.iter().chain(rest).copied().collect();
        env.show(&all)
    };
    assert_snapshot!(with(&["--world", "../world.yaml"]), @r#"
    exit 1
    --- stderr
    error: cannot use world ../world.yaml: No such file or directory (os error 2)
    hint: fixtures/scenarios/*/scenario.yaml have examples under `world`
    "#);
    env.write("world.yaml", "clients: 3\n");
    assert_snapshot!(with(&["--world", "../world.yaml"]), @r#"
    exit 1
    --- stderr
    error: cannot use world ../world.yaml: the world's script cannot be read: error: line 1 column 10: expected sequence start
     --> <input>:1:10
      |
    1 | clients: 3
      |          ^ expected sequence start
    hint: fixtures/scenarios/*/scenario.yaml have examples under `world`
    "#);
    assert_snapshot!(with(&["--write-kubeconfig", "../no/such/folder"]), @r#"
    exit 1
    --- stderr
    error: cannot write ../no/such/folder: No such file or directory (os error 2)
    hint: give a path in a folder that exists
    "#);
    assert_snapshot!(with(&["--prometheus", "127.0.0.1:0"]), @r#"
    exit 2
    --- stderr
    error: the following required arguments were not provided:
      --world <FILE>

    Usage: serin cluster --world <FILE> --listen <ADDR> --prometheus <ADDR>

    For more information, try '--help'.
    "#);
}

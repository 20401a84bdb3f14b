//! `serin plan` on real repositories.

use insta::assert_snapshot;

use super::environment::{APP, TestEnvironment};

const DEPLOYMENT: &str = "apps/deployment.yaml";

#[test]
fn a_first_commit_initializes() {
    let env = TestEnvironment::with_app();
    assert_snapshot!(env.show(&["plan"]), @r#"
    exit 0
    --- stdout
    main nothing → <1>, 1 commit
      <1> Add podinfo 6.0.0

    initialize Canary/test/podinfo for Deployment/test/podinfo, by <1>
      + Canary/test/podinfo  apps/canary.yaml:1

    nothing starts a run
    "#);
}

#[test]
fn a_new_image_starts_a_run() {
    let env = TestEnvironment::with_app();
    env.edit(
        "Update podinfo to 6.0.1",
        DEPLOYMENT,
        "podinfo:6.0.0",
        "podinfo:6.0.1",
    );
    assert_snapshot!(env.show(&["plan"]), @r#"
    exit 0
    --- stdout
    main <1> → <2>, 1 commit
      <2> Update podinfo to 6.0.1

    start Canary/test/podinfo for Deployment/test/podinfo, by <2>
      ~ Deployment/test/podinfo  apps/deployment.yaml:1
          image podinfo 6.0.0 → 6.0.1
    "#);
    assert_snapshot!(env.show(&["plan", "--output", "json"]), @r#"
    exit 0
    --- stdout
    {
      "from": "main@sha1:<1>",
      "to": "main@sha1:<2>",
      "since": "linear",
      "commits": [
        {
          "id": "<2>",
          "subject": "Update podinfo to 6.0.1"
        }
      ],
      "cut": false,
      "touched": [
        {
          "canary": "Canary/test/podinfo",
          "target": "Deployment/test/podinfo",
          "effect": "run",
          "commit": "<2>",
          "reasons": [
            {
              "object": "Deployment/test/podinfo",
              "file": "apps/deployment.yaml",
              "line": 1,
              "change": "changed",
              "fields": [
                {
                  "path": "spec.template.spec.containers[podinfo].image",
                  "before": "ghcr.io/stefanprodan/podinfo:6.0.0",
                  "after": "ghcr.io/stefanprodan/podinfo:6.0.1",
                  "text": "image podinfo 6.0.0 → 6.0.1"
                }
              ]
            }
          ]
        }
      ],
      "unrelated": [],
      "not_rendered": [],
      "skipped": [],
      "errors": []
    }
    "#);
}

#[test]
fn a_new_config_starts_a_run() {
    let env = TestEnvironment::with_app();
    env.edit("Paint it green", "apps/config.yaml", "#34577c", "#00ff00");
    assert_snapshot!(env.show(&["plan"]), @r#"
    exit 0
    --- stdout
    main <1> → <2>, 1 commit
      <2> Paint it green

    start Canary/test/podinfo for Deployment/test/podinfo, by <2>
      ~ ConfigMap/test/podinfo  apps/config.yaml:1
          data.color #34577c → #00ff00
    "#);
}

#[test]
fn a_new_analysis_starts_none() {
    let env = TestEnvironment::with_app();
    env.edit("Be strict", "apps/canary.yaml", "threshold: 2", "threshold: 1");
    assert_snapshot!(env.show(&["plan"]), @r#"
    exit 0
    --- stdout
    main <1> → <2>, 1 commit
      <2> Be strict

    no run for Canary/test/podinfo: only the analysis changes, by <2>
      ~ Canary/test/podinfo  apps/canary.yaml:1
          spec.analysis.threshold 2 → 1

    nothing starts a run
    "#);
}

#[test]
fn labels_start_none() {
    let env = TestEnvironment::with_app();
    env.edit(
        "Label it",
        DEPLOYMENT,
        "revisionHistoryLimit: 5",
        "revisionHistoryLimit: 6",
    );
    assert_snapshot!(env.show(&["plan"]), @r#"
    exit 0
    --- stdout
    main <1> → <2>, 1 commit
      <2> Label it

    no run for Canary/test/podinfo: no workload change in Deployment/test/podinfo, by <2>
      ~ Deployment/test/podinfo  apps/deployment.yaml:1
          spec.revisionHistoryLimit 5 → 6

    nothing starts a run
    "#);
}

#[test]
fn other_files_touch_nothing() {
    let env = TestEnvironment::with_app();
    env.commit("Write a page", &[("README.md", "# Apps\n")]);
    assert_snapshot!(env.show(&["plan"]), @r#"
    exit 0
    --- stdout
    main <1> → <2>, 1 commit
      <2> Write a page

    no canary is touched
    "#);
}

#[test]
fn of_several_commits_the_last_that_matters_counts() {
    let env = TestEnvironment::with_app();
    env.edit(
        "Update podinfo to 6.0.1",
        DEPLOYMENT,
        "podinfo:6.0.0",
        "podinfo:6.0.1",
    );
    env.edit(
        "Update podinfo to 6.0.2",
        DEPLOYMENT,
        "podinfo:6.0.1",
        "podinfo:6.0.2",
    );
    env.commit("Write a page", &[("README.md", "# Apps\n")]);
    assert_snapshot!(env.show(&["plan", "HEAD~3..HEAD"]), @r#"
    exit 0
    --- stdout
    main <1> → <4>, 3 commits
      <4> Write a page
      <3> Update podinfo to 6.0.2
      <2> Update podinfo to 6.0.1

    start Canary/test/podinfo for Deployment/test/podinfo, by <3>
      ~ Deployment/test/podinfo  apps/deployment.yaml:1
          image podinfo 6.0.0 → 6.0.2
      supersedes <2>
    "#);
    assert_snapshot!(env.show(&["plan", "HEAD~3..HEAD~2"]), @r#"
    exit 0
    --- stdout
    main <1> → <2>, 1 commit
      <2> Update podinfo to 6.0.1

    start Canary/test/podinfo for Deployment/test/podinfo, by <2>
      ~ Deployment/test/podinfo  apps/deployment.yaml:1
          image podinfo 6.0.0 → 6.0.1
    "#);
}

#[test]
fn a_change_that_is_reverted_in_the_range_starts_none() {
    let env = TestEnvironment::with_app();
    env.edit(
        "Update podinfo to 6.0.1",
        DEPLOYMENT,
        "podinfo:6.0.0",
        "podinfo:6.0.1",
    );
    env.git(&["revert", "--no-edit", "HEAD"]);
    env.remember();
    assert_snapshot!(env.show(&["plan", "HEAD~2..HEAD"]), @r#"
    exit 0
    --- stdout
    main <1> → <3>, 2 commits
      <3> Revert "Update podinfo to 6.0.1"
      <2> Update podinfo to 6.0.1

    no run for Canary/test/podinfo: no workload change in Deployment/test/podinfo, by <3>
      supersedes <2>

    nothing starts a run
    "#);
    assert_snapshot!(env.show(&["plan"]), @r#"
    exit 0
    --- stdout
    main <2> → <3>, 1 commit
      <3> Revert "Update podinfo to 6.0.1"

    start Canary/test/podinfo for Deployment/test/podinfo, by <3>
      ~ Deployment/test/podinfo  apps/deployment.yaml:1
          image podinfo 6.0.1 → 6.0.0
    "#);
}

#[test]
fn a_merge_counts_as_one_commit_along_its_first_parent() {
    let env = TestEnvironment::with_app();
    env.git(&["checkout", "-q", "-b", "update"]);
    env.edit(
        "Update podinfo to 6.0.1",
        DEPLOYMENT,
        "podinfo:6.0.0",
        "podinfo:6.0.1",
    );
    env.git(&["checkout", "-q", "main"]);
    env.commit("Write a page", &[("README.md", "# Apps\n")]);
    env.git(&["merge", "-q", "--no-ff", "-m", "Merge update", "update"]);
    env.remember();
    assert_snapshot!(env.show(&["plan", "HEAD~2..HEAD"]), @r#"
    exit 0
    --- stdout
    main <1> → <4>, 2 commits
      <4> Merge update
      <3> Write a page

    start Canary/test/podinfo for Deployment/test/podinfo, by <4>
      ~ Deployment/test/podinfo  apps/deployment.yaml:1
          image podinfo 6.0.0 → 6.0.1
    "#);
}

#[test]
fn several_canaries_are_told_apart() {
    let env = TestEnvironment::with_app();
    let second: Vec<(String, String)> = APP
        .iter()
        .map(|(path, text)| {
            let text = text.replace("namespace: test", "namespace: stage");
            (path.replace("apps/", "stage/"), text)
        })
        .collect();
    let second: Vec<(&str, &str)> = second.iter().map(|(a, b)| (a.as_str(), b.as_str())).collect();
    env.commit("Add a stage", &second);
    env.edit(
        "Update the stage",
        "stage/deployment.yaml",
        "podinfo:6.0.0",
        "podinfo:6.0.1",
    );
    env.edit("Paint both", "apps/config.yaml", "#34577c", "#00ff00");
    assert_snapshot!(env.show(&["plan", "HEAD~2..HEAD"]), @r#"
    exit 0
    --- stdout
    main <2> → <4>, 2 commits
      <4> Paint both
      <3> Update the stage

    start Canary/stage/podinfo for Deployment/stage/podinfo, by <3>
      ~ Deployment/stage/podinfo  stage/deployment.yaml:1
          image podinfo 6.0.0 → 6.0.1

    start Canary/test/podinfo for Deployment/test/podinfo, by <4>
      ~ ConfigMap/test/podinfo  apps/config.yaml:1
          data.color #34577c → #00ff00
    "#);
    assert_snapshot!(env.show(&["plan", "--path", "stage", "HEAD~2..HEAD"]), @r#"
    exit 0
    --- stdout
    main <2> → <4>, 2 commits
      <4> Paint both
      <3> Update the stage

    start Canary/stage/podinfo for Deployment/stage/podinfo, by <3>
      ~ Deployment/stage/podinfo  stage/deployment.yaml:1
          image podinfo 6.0.0 → 6.0.1
    "#);
}

#[test]
fn a_canary_or_target_that_goes_is_told() {
    let env = TestEnvironment::with_app();
    env.git(&["rm", "-q", DEPLOYMENT]);
    env.commit("Remove the deployment", &[]);
    env.git(&["rm", "-q", "apps/canary.yaml"]);
    env.commit("Remove the canary", &[]);
    assert_snapshot!(env.show(&["plan", "HEAD~1"]), @r#"
    exit 0
    --- stdout
    main <1> → <2>, 1 commit
      <2> Remove the deployment

    no run for Canary/test/podinfo: Deployment/test/podinfo is removed, by <2>
      - Deployment/test/podinfo  apps/deployment.yaml:1

    nothing starts a run
    "#);
    assert_snapshot!(env.show(&["plan", "HEAD"]), @r#"
    exit 0
    --- stdout
    main <2> → <3>, 1 commit
      <3> Remove the canary

    remove Canary/test/podinfo of Deployment/test/podinfo, by <3>
      - Canary/test/podinfo  apps/canary.yaml:1

    nothing starts a run
    "#);
}

#[test]
fn what_others_render_is_named() {
    let env = TestEnvironment::with_app();
    let chart = "apiVersion: apps/v1\nkind: Deployment\nmetadata:\n  name: {{ .Release.Name }}\n";
    env.commit(
        "Add a base and a chart",
        &[
            (
                "base/kustomization.yaml",
                "resources: [deployment.yaml]\nhelmCharts:\n- name: redis\n",
            ),
            ("base/deployment.yaml", APP[2].1),
            ("loose/template.yaml", chart),
            ("chart/Chart.yaml", "name: chart\nversion: 1.0.0\n"),
            ("chart/templates/deployment.yaml", chart),
        ],
    );
    assert_snapshot!(env.show(&["plan"]), @r#"
    exit 0
    --- stdout
    main <1> → <2>, 1 commit
      <2> Add a base and a chart

    no canary is touched

    not rendered: base/deployment.yaml (base/kustomization.yaml:3: Helm charts are not rendered)
    not rendered: base/kustomization.yaml (base/kustomization.yaml:3: Helm charts are not rendered)
    "#);
    assert_snapshot!(env.show(&["plan", "--log-level", "debug"]), @r#"
    exit 0
    --- stdout
    main <1> → <2>, 1 commit
      <2> Add a base and a chart

    no canary is touched

    not rendered: base/deployment.yaml (base/kustomization.yaml:3: Helm charts are not rendered)
    not rendered: base/kustomization.yaml (base/kustomization.yaml:3: Helm charts are not rendered)
    --- stderr
    {"timestamp":"<time>","level":"DEBUG","message":"Skipped a document.","file":"chart/Chart.yaml","line":1,"why":"part of the Helm chart chart","target":"serin::plan::read"}
    {"timestamp":"<time>","level":"DEBUG","message":"Skipped a document.","file":"chart/templates/deployment.yaml","line":1,"why":"part of the Helm chart chart","target":"serin::plan::read"}
    {"timestamp":"<time>","level":"DEBUG","message":"Skipped a document.","file":"loose/template.yaml","line":1,"why":"a template, not plain YAML","target":"serin::plan::read"}
    "#);
}

#[test]
fn an_overlay_is_rendered_and_the_file_of_the_change_is_named() {
    let env = TestEnvironment::with_app();
    env.commit(
        "Move it into an overlay",
        &[
            (
                "apps/kustomization.yaml",
                "resources: [canary.yaml, config.yaml, deployment.yaml]\n",
            ),
            (
                "production/kustomization.yaml",
                "namespace: prod\nresources: [../apps]\n",
            ),
        ],
    );
    env.commit(
        "Update podinfo in production",
        &[(
            "production/kustomization.yaml",
            "namespace: prod\nresources: [../apps]\nimages:\n- name: ghcr.io/stefanprodan/podinfo\n  newTag: 6.0.1\n",
        )],
    );
    assert_snapshot!(env.show(&["plan"]), @r#"
    exit 0
    --- stdout
    main <2> → <3>, 1 commit
      <3> Update podinfo in production

    start Canary/prod/podinfo for Deployment/prod/podinfo, by <3>
      ~ Deployment/prod/podinfo  production/kustomization.yaml:1
          image podinfo 6.0.0 → 6.0.1
    "#);
    env.commit(
        "Add another environment",
        &[(
            "staging/kustomization.yaml",
            "namespace: prod\nresources: [../apps]\n",
        )],
    );
    assert_snapshot!(env.show(&["plan"]), @r#"
    exit 0
    --- stdout
    main <3> → <4>, 1 commit
      <4> Add another environment

    no canary is touched

    clash: production and staging both declare ConfigMap/prod/podinfo and 2 more; production is taken here, choose one by --path
    "#);
    assert_snapshot!(env.show(&["plan", "--path", "staging"]), @r#"
    exit 0
    --- stdout
    main <3> → <4>, 1 commit
      <4> Add another environment

    initialize Canary/prod/podinfo for Deployment/prod/podinfo, by <4>
      + Canary/prod/podinfo  staging/kustomization.yaml:1

    nothing starts a run
    "#);
}

#[test]
fn a_release_may_start_a_run() {
    let env = TestEnvironment::with_app();
    let release = |version: &str| {
        format!(
            "apiVersion: helm.toolkit.fluxcd.io/v2\nkind: HelmRelease\nmetadata:\n  name: podinfo\n  namespace: test\n\
             spec:\n  chart:\n    spec:\n      chart: podinfo\n      version: {version}\n      \
             sourceRef: {{kind: HelmRepository, name: podinfo}}\n"
        )
    };
    env.git(&["rm", "-q", DEPLOYMENT]);
    env.commit("Run it by Helm", &[("apps/release.yaml", &release("6.0.0"))]);
    env.commit("Update the chart", &[("apps/release.yaml", &release("6.0.1"))]);
    assert_snapshot!(env.show(&["plan"]), @r#"
    exit 0
    --- stdout
    main <2> → <3>, 1 commit
      <3> Update the chart

    may start Canary/test/podinfo: Deployment/test/podinfo comes from files that are not rendered, by <3>
      ~ HelmRelease/test/podinfo  apps/release.yaml:1
          spec.chart.spec.version 6.0.0 → 6.0.1
    "#);
}

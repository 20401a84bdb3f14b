//! `serin render` on real repositories.

use insta::assert_snapshot;
use serin::manifest::documents;

use super::environment::TestEnvironment;

const MAP: &str =
    "apiVersion: v1\nkind: ConfigMap\nmetadata:\n  name: settings\ndata:\n  level: info\n  on: \"yes\"\n";

fn with_overlay() -> TestEnvironment {
    let env = TestEnvironment::new();
    env.commit(
        "Add settings",
        &[
            ("base/settings.yaml", MAP),
            ("base/kustomization.yaml", "resources: [settings.yaml]\n"),
            ("overlay/kustomization.yaml", "resources: [../base]\nnamespace: shop\nconfigMapGenerator:\n- {name: new, literals: [a=b]}\n"),
        ],
    );
    env
}

#[test]
fn objects_are_printed_as_kustomize_builds_them() {
    let env = with_overlay();
    assert_snapshot!(env.show(&["render", "overlay"]), @r#"
    exit 0
    --- stdout
    apiVersion: v1
    data:
      a: b
    kind: ConfigMap
    metadata:
      name: new-4h2mbtbbt6
      namespace: shop
    ---
    apiVersion: v1
    data:
      level: info
      "on": "yes"
    kind: ConfigMap
    metadata:
      name: settings
      namespace: shop
    "#);
}

#[test]
fn the_commit_is_read_and_not_the_work_tree() {
    let env = with_overlay();
    env.write("repo/base/settings.yaml", "half-written");
    let first = env.show(&["render", "overlay"]);
    assert!(first.contains("level: info"), "{first}");
    env.commit(
        "Say more",
        &[("base/settings.yaml", &MAP.replace("info", "debug"))],
    );
    assert!(env.show(&["render", "overlay"]).contains("level: debug"));
    assert!(
        env.show(&["render", "overlay", "--revision", "HEAD~1"])
            .contains("level: info")
    );
}

#[test]
fn what_cannot_be_rendered_is_said_with_its_place() {
    let env = with_overlay();
    env.commit(
        "Use a chart",
        &[(
            "overlay/kustomization.yaml",
            "resources: [../base]\nhelmCharts:\n- {name: web}\n",
        )],
    );
    assert_snapshot!(env.show(&["render", "overlay"]), @"
    exit 1
    --- stderr
    error: overlay/kustomization.yaml:3:3: Helm charts are not rendered
    hint: Serin does not render this path: what it depends on is told by its files
    ");
    assert_snapshot!(env.show(&["render", "nowhere"]), @"
    exit 1
    --- stderr
    error: nowhere:1:1: there is no such directory
    hint: add a kustomization.yaml, or name a directory that has one
    ");
}

#[test]
fn json_tells_places_and_inputs() {
    let env = with_overlay();
    assert_snapshot!(env.show(&["render", "base", "--output", "json"]), @r#"
    exit 0
    --- stdout
    {
      "inputs": [
        "base/Kustomization",
        "base/kustomization.yaml",
        "base/kustomization.yml",
        "base/settings.yaml"
      ],
      "objects": [
        {
          "file": "base/settings.yaml",
          "line": 1,
          "object": {
            "apiVersion": "v1",
            "data": {
              "level": "info",
              "on": "yes"
            },
            "kind": "ConfigMap",
            "metadata": {
              "name": "settings"
            }
          }
        }
      ]
    }
    "#);
}

#[test]
fn a_directory_without_a_kustomization_is_rendered_as_flux_does() {
    let env = with_overlay();
    let shown = env.show(&["render"]);
    let yaml = shown.split("--- stdout\n").nth(1).unwrap();
    let names: Vec<String> = documents(yaml.as_bytes(), "f")
        .objects
        .iter()
        .map(|document| document.object.key().to_string())
        .collect();
    assert_eq!(
        names,
        [
            "ConfigMap/settings",
            "ConfigMap/shop/new-4h2mbtbbt6",
            "ConfigMap/shop/settings"
        ]
    );
}

//! `serin doctor`, on the embedded cluster.

use insta::assert_snapshot;

use super::{
    cluster::{RUN, TestCluster},
    environment::{Running, TestEnvironment},
    web::WEB,
};

#[test]
fn a_cluster_is_examined_and_the_checkout_beside_it() {
    let env = TestEnvironment::new();
    env.commit("Add web", &[("web.yaml", WEB)]);
    let _cluster = TestCluster::start(&env);
    let sidecar = Running::start(env.serin(&RUN));
    sidecar.wait_for("Initialization done! web.default");

    let doctor = ["doctor", "--kubeconfig", "../kubeconfig"];
    assert_snapshot!(env.show(&doctor), @"
    exit 0
    --- stdout
    Nothing here will fight with a rollout.
    ");
    env.edit(
        "Scale web",
        "web.yaml",
        "  selector:\n",
        "  replicas: 2\n  selector:\n",
    );
    let with_checkout = [doctor.as_slice(), &["--checkout", "."]].concat();
    assert_snapshot!(env.show(&with_checkout), @"
    exit 1
    --- stdout
    fight: Deployment/default/web: web.yaml:1 declares spec.replicas, which the rollout scales
        take `replicas` out of web.yaml

    1 thing here will fight with a rollout.
    ");
    let as_json = [doctor.as_slice(), &["--checkout", ".", "--output", "json"]].concat();
    assert_snapshot!(env.show(&as_json), @r#"
    exit 1
    --- stdout
    {
      "findings": [
        {
          "code": "replicas-in-git",
          "fix": "take `replicas` out of web.yaml",
          "object": "Deployment/default/web",
          "problem": "web.yaml:1 declares spec.replicas, which the rollout scales",
          "severity": "fight"
        }
      ]
    }
    "#);
}

#[test]
fn what_an_overlay_adds_is_found_where_it_is_written_and_gone_with_the_fix() {
    let env = TestEnvironment::new();
    let overlay = "resources: [../base]\nreplicas:\n- {name: web, count: 3}\n";
    let route = "apiVersion: networking.k8s.io/v1\nkind: Ingress\nmetadata:\n  name: web\n  annotations:\n    \
                 zalando.org/backend-weights: '{\"web-canary\": 50, \"web-primary\": 50}'\nspec:\n  \
                 defaultBackend: {service: {name: web, port: {number: 80}}}\n";
    env.commit(
        "Add web",
        &[
            ("base/web.yaml", WEB),
            ("base/route.yaml", route),
            ("base/kustomization.yaml", "resources: [web.yaml, route.yaml]\n"),
            ("live/kustomization.yaml", overlay),
        ],
    );
    let _cluster = TestCluster::start(&env);
    let run = [
        "run",
        "--apply",
        "--path",
        "live",
        "--kubeconfig",
        "../kubeconfig",
        "--listen",
        "127.0.0.1:0",
    ];
    let sidecar = Running::start(env.serin(&run));
    sidecar.wait_for("Initialization done! web.default");
    let doctor = [
        "doctor",
        "--kubeconfig",
        "../kubeconfig",
        "--checkout",
        ".",
        "--path",
        "live",
    ];
    assert_snapshot!(env.show(&doctor), @"
    exit 1
    --- stdout
    fight: Deployment/default/web: base/web.yaml:1 declares spec.replicas, which the rollout scales
        take `web` of `replicas` out of live/kustomization.yaml

    fight: Ingress/default/web: base/route.yaml:1 splits traffic by zalando.org/backend-weights, which the rollout does
        in base/route.yaml: take the annotation zalando.org/backend-weights out; the rollout splits traffic by the Ingress that it makes

    2 things here will fight with a rollout.
    ");
    env.edit(
        "Let the rollout scale",
        "live/kustomization.yaml",
        "replicas:\n- {name: web, count: 3}\n",
        "",
    );
    let annotation =
        "  annotations:\n    zalando.org/backend-weights: '{\"web-canary\": 50, \"web-primary\": 50}'\n";
    env.edit("Let the rollout split", "base/route.yaml", annotation, "");
    assert_snapshot!(env.show(&doctor), @"
    exit 0
    --- stdout
    Nothing here will fight with a rollout.
    ");
}

#[test]
fn a_cluster_that_is_not_there_is_an_error() {
    let env = TestEnvironment::new();
    assert_snapshot!(env.show(&["doctor", "--kubeconfig", "../none"]), @r#"
    exit 1
    --- stderr
    error: cannot use kubeconfig `../none`: failed to read kubeconfig from '"../none"': No such file or directory (os error 2)
    hint: give another by --kubeconfig FILE, or try it with `kubectl cluster-info`
    "#);
    assert_snapshot!(env.show(&["doctor", "--service-account", "serin"]), @"
    exit 2
    --- stderr
    error: invalid value 'serin' for '--service-account <NAMESPACE/NAME>': give NAMESPACE/NAME, such as flux-system/serin

    For more information, try '--help'.
    ");
}

//! What the repository of a test holds: `fixtures/podinfo`, with short times and metrics from the test.

use anyhow::{Context as _, ensure};

/// How traffic is split.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Router {
    Kubernetes,
    Skipper,
}

/// What differs between tests.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Plan {
    pub(crate) router: Router,
    /// `analysis.interval`.
    pub(crate) interval: &'static str,
}

const FOLDER: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/fixtures/podinfo");
const INGRESS_REF: &str = "  ingressRef:
    apiVersion: networking.k8s.io/v1
    kind: Ingress
    name: podinfo
";

/// Returns the files of a revision, path and content. `tag` is the image's, `metrics` the address of the
/// Prometheus that the metric template names.
pub(crate) fn files(plan: Plan, tag: &str, metrics: &str) -> anyhow::Result<Vec<(String, String)>> {
    let mut files = Vec::new();
    for name in [
        "config.yaml",
        "deployment.yaml",
        "canary.yaml",
        "metric-template.yaml",
        "ingress.yaml",
    ] {
        let path = format!("{FOLDER}/{name}");
        let mut text = std::fs::read_to_string(&path).with_context(|| format!("{path} cannot be read"))?;
        for (from, to) in changes(name, plan, tag, metrics) {
            ensure!(text.contains(&from), "{path} holds no `{from}`");
            text = text.replacen(&from, &to, 1);
        }
        files.push((format!("apps/podinfo/{name}"), text));
    }
    Ok(files)
}

fn changes(file: &str, plan: Plan, tag: &str, metrics: &str) -> Vec<(String, String)> {
    let mut changes = match file {
        "deployment.yaml" => vec![
            (":6.0.0\n", format!(":{tag}\n")),
            // Not applied: what a rollout scales is not the manifest's.
            ("  minReadySeconds: 1\n", "  replicas: 2\n".to_owned()),
            (
                "      containers:\n",
                "      terminationGracePeriodSeconds: 0\n      containers:\n".to_owned(),
            ),
        ],
        "canary.yaml" => vec![(
            "    interval: 10s\n    threshold: 2\n",
            format!("    interval: {}\n    threshold: 3\n", plan.interval),
        )],
        "metric-template.yaml" => vec![("http://prometheus:9090", metrics.to_owned())],
        _ => Vec::new(),
    };
    if file == "canary.yaml" && plan.router == Router::Kubernetes {
        changes.push(("provider: skipper", "provider: kubernetes".to_owned()));
        changes.push((INGRESS_REF, String::new()));
        changes.push((
            "    maxWeight: 60\n    stepWeight: 20\n",
            "    iterations: 3\n".to_owned(),
        ));
    }
    changes
        .into_iter()
        .map(|(from, to)| (from.to_owned(), to))
        .collect()
}

//! kwok: it plays the node and the kubelet. Pods become ready at once, unless they say they never do.

use anyhow::Context as _;
use k8s_openapi::api::core::v1::Node;
use serde_json::{Value, json};

use super::assets::Assets;
use super::process::{Sandbox, hermetic};

/// A pod with this annotation (any value) stays Pending.
pub(crate) const NEVER_READY: &str = "lab.serin/never-ready";

pub(super) fn spawn(sandbox: &mut Sandbox, assets: &Assets) -> anyhow::Result<()> {
    let stages = sandbox.write("stages.yaml", &stages(assets)?)?;
    let mut command = hermetic(&assets.binary("kwok")?, &sandbox.path(""));
    command
        .arg(format!(
            "--kubeconfig={}",
            sandbox.path("kwok.kubeconfig").display()
        ))
        .arg(format!("--config={}", stages.display()))
        .args([
            "--manage-all-nodes=true",
            "--cidr=10.128.0.0/14",
            "--node-ip=10.127.0.1",
        ]);
    sandbox.spawn("kwok", &mut command)
}

/// Joins kwok's own stages to one file, and makes the one for ready pods heed [`NEVER_READY`].
fn stages(assets: &Assets) -> anyhow::Result<String> {
    let mut paths: Vec<_> = std::fs::read_dir(assets.share("kwok")?)?
        .map(|entry| entry.map(|entry| entry.path()))
        .collect::<Result<_, _>>()?;
    paths.sort();
    let mut documents = Vec::new();
    for path in paths {
        let text = std::fs::read_to_string(&path)?;
        let mut stage: Value =
            serde_saphyr::from_str(&text).with_context(|| format!("{} is not YAML", path.display()))?;
        if stage.pointer("/metadata/name") == Some(&json!("pod-ready")) {
            let rules = stage.pointer_mut("/spec/selector/matchExpressions");
            let rules = rules
                .and_then(Value::as_array_mut)
                .context("pod-ready has no rules")?;
            rules.push(json!({
                "key": format!(".metadata.annotations[\"{NEVER_READY}\"]"),
                "operator": "DoesNotExist",
            }));
        }
        documents.push(stage.to_string());
    }
    Ok(documents.join("\n---\n"))
}

/// Makes the one node.
pub(super) fn node() -> Node {
    let mut node = Node::default();
    node.metadata.name = Some("node-0".to_owned());
    node.metadata.annotations = Some(
        [("kwok.x-k8s.io/node".to_owned(), "fake".to_owned())]
            .into_iter()
            .collect(),
    );
    node
}

pub(super) fn is_ready(node: &Node) -> bool {
    let conditions = node
        .status
        .iter()
        .flat_map(|status| status.conditions.iter().flatten());
    conditions
        .into_iter()
        .any(|one| one.type_ == "Ready" && one.status == "True")
}

//! A stock kubectl against the embedded cluster, served over HTTP: the same commands print the same as they do
//! against a real kube-apiserver.

use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use anyhow::{Context as _, ensure};
use serin::{
    clock::Clock,
    rehearsal::{Cluster, kubeconfig, serve},
};

use crate::common::lab::{ADMIN, Lab, assets::Assets, process::hermetic};

const MANIFEST: &str = "\
apiVersion: apps/v1
kind: Deployment
metadata: {name: web, labels: {app: web}}
spec:
  replicas: 2
  selector: {matchLabels: {app: web}}
  template:
    metadata: {labels: {app: web}}
    spec:
      containers:
      - {name: web, image: 'web:1', ports: [{containerPort: 80, name: http}]}
---
apiVersion: v1
kind: Service
metadata: {name: web}
spec: {selector: {app: web}, ports: [{port: 80, targetPort: http}]}
---
apiVersion: networking.k8s.io/v1
kind: Ingress
metadata: {name: web}
spec:
  rules:
  - host: a.example.com
    http: {paths: [{path: /, pathType: Prefix, backend: {service: {name: web, port: {number: 80}}}}]}
---
apiVersion: apiextensions.k8s.io/v1
kind: CustomResourceDefinition
metadata: {name: things.kubectl.serin.dev}
spec:
  group: kubectl.serin.dev
  scope: Namespaced
  names: {plural: things, kind: Thing, shortNames: [th]}
  versions:
  - name: v1
    served: true
    storage: true
    schema: {openAPIV3Schema: {type: object, properties: {spec: {type: object, properties: {size: {type: integer}}}}}}
    additionalPrinterColumns: [{name: Size, type: integer, jsonPath: .spec.size}]
";

const THING: &str = "\
apiVersion: kubectl.serin.dev/v1
kind: Thing
metadata: {name: one}
spec: {size: 3}
";

/// What is run, in order. Events are left out once there is a Service: the real server may tell that it
/// repaired the address of one, when its own cache lagged behind.
const COMMANDS: &[&str] = &[
    "create ns shop",
    "config set-context --current --namespace=shop",
    "get events",
    "apply -f manifest.yaml",
    "wait crd/things.kubectl.serin.dev --for=condition=Established --timeout=20s",
    "apply -f thing.yaml",
    "apply -f manifest.yaml",
    "get deployments,services,ingresses,things",
    "get deployments -o wide",
    "get deploy web -o jsonpath={.spec.template.spec.containers[0].image}",
    "get deploy web -o name",
    "get th one -o custom-columns=A:.spec.size",
    "set image deploy/web web=web:2",
    "scale deploy web --replicas=3",
    "annotate deploy web a=b",
    "label deploy web tier=front",
    "label deploy web tier=back",
    "label deploy web tier-",
    "patch deploy web -p {\"spec\":{\"minReadySeconds\":1}}",
    "patch thing one --type=merge -p {\"spec\":{\"size\":4}}",
    "patch thing one --type=json -p [{\"op\":\"test\",\"path\":\"/spec/size\",\"value\":5}]",
    "patch deploy web -p {\"spec\":{\"selector\":{\"matchLabels\":{\"app\":\"x\"}}}}",
    "apply --server-side -f manifest.yaml",
    "apply --server-side --force-conflicts -f manifest.yaml",
    "apply --server-side -f thing.yaml",
    "get deploy web -o jsonpath={.spec.replicas}{.metadata.generation}",
    "get deploy web --show-managed-fields -o jsonpath={.metadata.managedFields[*].manager}",
    "rollout pause deploy web",
    "rollout resume deploy web",
    "rollout restart deploy nothing",
    "create configmap settings --from-literal=a=b",
    "create configmap settings --from-literal=a=b",
    "create secret generic token --from-literal=t=x",
    "get cm settings -o jsonpath={.data}",
    "get secrets",
    "get cm nothing",
    "get nothings",
    "create deployment other --image=i:1",
    "expose deploy other --port=80",
    "describe service other --show-events=false",
    "delete deploy other --wait=false",
    "get deploy -l app=web -o name",
    "get deploy --field-selector=metadata.name=web -o name",
    "replace -f thing.yaml",
    "delete -f thing.yaml",
    "delete -f thing.yaml",
    "delete svc,ing,cm,secret web settings token --ignore-not-found",
    "delete -f manifest.yaml --ignore-not-found",
    "get all",
];

/// Prints what every command answers.
fn transcript(kubectl: &Path, kubeconfig: &Path, folder: &Path) -> anyhow::Result<Vec<String>> {
    std::fs::write(folder.join("manifest.yaml"), MANIFEST)?;
    std::fs::write(folder.join("thing.yaml"), THING)?;
    let own: PathBuf = folder.join("kubeconfig");
    std::fs::copy(kubeconfig, &own)?;
    let mut answers = Vec::new();
    for line in COMMANDS {
        let context = line.starts_with("config ");
        let output = command(kubectl, &own, folder)
            .args(line.split(' '))
            .output()
            .with_context(|| format!("{} cannot be run", kubectl.display()))?;
        let text = [output.stdout, output.stderr].concat();
        let text = normal(&String::from_utf8_lossy(&text));
        if context {
            // It names the kubeconfig's context.
            continue;
        }
        answers.push(format!(
            "$ kubectl {line}\n{text}-> {}",
            output.status.code().unwrap_or(-1)
        ));
    }
    Ok(answers)
}

fn command(kubectl: &Path, kubeconfig: &Path, folder: &Path) -> Command {
    let mut command = hermetic(kubectl, folder);
    command
        .env("KUBECONFIG", kubeconfig)
        .current_dir(folder)
        .stdin(Stdio::null());
    command
}

/// Hides ages and addresses, and names of the cluster.
fn normal(text: &str) -> String {
    let mut lines = String::new();
    for line in text.lines() {
        let words = line.split_whitespace().map(|word| {
            let age = word.strip_suffix('s').is_some_and(|n| n.parse::<u32>().is_ok());
            if age || word.starts_with("10.96.") {
                "*"
            } else {
                word
            }
        });
        lines.push_str(&words.collect::<Vec<_>>().join(" "));
        lines.push('\n');
    }
    lines
}

#[tokio::test(flavor = "multi_thread")]
async fn kubectl_prints_the_same_for_the_embedded_cluster_and_a_real_one() -> anyhow::Result<()> {
    let kubectl = Assets::locate()?.binary("kubectl")?;
    let lab = Lab::start_api_only().await?;
    let folders = (tempfile::tempdir()?, tempfile::tempdir()?);
    let cluster = Cluster::new(Clock::system());
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await?;
    let config = folders.1.path().join("embedded.kubeconfig");
    std::fs::write(&config, kubeconfig(listener.local_addr()?))?;
    tokio::spawn(async move { serve(&cluster, listener).await });
    let (program, real_config) = (kubectl.clone(), lab.kubeconfig_for(ADMIN));
    let (real, embedded) = tokio::task::spawn_blocking(move || {
        let real = transcript(&program, &real_config, folders.0.path());
        (real, transcript(&kubectl, &config, folders.1.path()))
    })
    .await?;
    let (real, embedded) = (real?, embedded?);
    let differing = real
        .iter()
        .zip(&embedded)
        .filter(|(real, embedded)| real != embedded);
    let differing: Vec<String> = differing
        .map(|(real, embedded)| format!("real:\n{real}\nembedded:\n{embedded}\n"))
        .collect();
    ensure!(differing.is_empty(), "{}", differing.join("\n"));
    Ok(())
}

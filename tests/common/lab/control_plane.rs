//! How etcd and the Kubernetes processes are started.

use std::fmt::Write as _;
use std::path::Path;
use std::process::Command;

use anyhow::ensure;
use serde_json::json;

use super::assets::Assets;
use super::pki::Pki;
use super::process::{Sandbox, free_ports, hermetic};

pub(super) const AUDIT_LOG: &str = "audit.log";

const AUDIT_POLICY: &str = "apiVersion: audit.k8s.io/v1
kind: Policy
omitStages: [RequestReceived]
rules:
- level: Metadata
";

/// One user per component, so that the audit log can count requests by user; and the groups of each.
const USERS: [(&str, &str); 8] = [
    (super::ADMIN, "system:masters"),
    (super::SERIN, ""),
    ("tester", "system:masters"),
    ("kube-controller-manager", "system:masters"),
    ("kube-scheduler", "system:masters"),
    ("kwok", "system:masters"),
    (super::flux::SOURCE_CONTROLLER, "system:masters"),
    (super::flux::KUSTOMIZE_CONTROLLER, "system:masters"),
];

/// The controllers that a rollout can notice. The others would only cost.
const CONTROLLERS: &str = "deployment-controller,replicaset-controller,daemonset-controller,\
    endpointslice-controller,endpoints-controller,garbage-collector-controller,namespace-controller,\
    serviceaccount-controller,horizontal-pod-autoscaler-controller,root-ca-certificate-publisher-controller";

/// Starts etcd and the API server, and writes a kubeconfig per user. Returns the server's address.
pub(super) async fn spawn_api_server(sandbox: &mut Sandbox, assets: &Assets) -> anyhow::Result<String> {
    let [client_port, peer_port, secure_port] = free_ports()?;
    let (etcd, api_server) = (assets.binary("etcd")?, assets.binary("kube-apiserver")?);
    let store = format!("http://127.0.0.1:{client_port}");
    spawn_etcd(sandbox, &etcd, &store, peer_port)?;
    let probe = async || {
        let answer = reqwest::get(format!("{store}/health")).await?;
        ensure!(
            answer.status().is_success(),
            "/health answers {}",
            answer.status()
        );
        Ok(())
    };
    sandbox.ready("etcd", probe).await?;

    let server = format!("https://127.0.0.1:{secure_port}");
    let pki = Pki::generate()?;
    let ca = sandbox.write("ca.crt", &pki.ca)?;
    let account_key = sandbox.write("service-account.key", &pki.account_key)?;
    let account_public_key = sandbox.write("service-account.pub", &pki.account_public_key)?;
    let mut command = hermetic(&api_server, &sandbox.path(""));
    command
        .arg(format!("--etcd-servers={store}"))
        .args(["--bind-address=127.0.0.1", "--endpoint-reconciler-type=none"])
        .arg(format!("--secure-port={secure_port}"))
        .arg(file_flag("tls-cert-file", &sandbox.write("server.crt", &pki.server_certificate)?))
        .arg(file_flag("tls-private-key-file", &sandbox.write("server.key", &pki.server_key)?))
        .arg(file_flag("client-ca-file", &ca))
        .args(["--service-cluster-ip-range=10.96.0.0/16", "--allow-privileged=true"])
        .arg("--service-account-issuer=https://kubernetes.default.svc")
        .arg(file_flag("service-account-key-file", &account_public_key))
        .arg(file_flag("service-account-signing-key-file", &account_key))
        .arg("--authorization-mode=RBAC")
        .arg(file_flag("token-auth-file", &write_users(sandbox, &server, &pki.ca)?))
        // Else new nodes keep the not-ready taint, and nothing is scheduled.
        .arg("--disable-admission-plugins=TaintNodesByCondition")
        .arg(file_flag("audit-policy-file", &sandbox.write("audit-policy.yaml", AUDIT_POLICY)?))
        .arg(file_flag("audit-log-path", &sandbox.path(AUDIT_LOG)));
    sandbox.spawn("kube-apiserver", &mut command)?;
    Ok(server)
}

/// Starts the controllers and the scheduler. Their default limit of 20 requests a second would dominate every
/// figure, so it is raised.
pub(super) fn spawn_controllers(sandbox: &mut Sandbox, assets: &Assets) -> anyhow::Result<()> {
    let mut controllers = component(sandbox, assets, "kube-controller-manager")?;
    controllers
        .arg(format!("--controllers={CONTROLLERS}"))
        .arg(file_flag(
            "service-account-private-key-file",
            &sandbox.path("service-account.key"),
        ))
        .arg(file_flag("root-ca-file", &sandbox.path("ca.crt")));
    sandbox.spawn("kube-controller-manager", &mut controllers)?;
    let mut scheduler = component(sandbox, assets, "kube-scheduler")?;
    sandbox.spawn("kube-scheduler", &mut scheduler)
}

fn component(sandbox: &Sandbox, assets: &Assets, name: &str) -> anyhow::Result<Command> {
    let mut command = hermetic(&assets.binary(name)?, &sandbox.path(""));
    command
        .arg(file_flag(
            "kubeconfig",
            &sandbox.path(&format!("{name}.kubeconfig")),
        ))
        .args(["--leader-elect=false", "--secure-port=0"])
        .args(["--kube-api-qps=500", "--kube-api-burst=1000"]);
    Ok(command)
}

fn spawn_etcd(sandbox: &mut Sandbox, binary: &Path, store: &str, peer_port: u16) -> anyhow::Result<()> {
    let peer = format!("http://127.0.0.1:{peer_port}");
    let mut command = hermetic(binary, &sandbox.path(""));
    command
        .arg(file_flag("data-dir", &sandbox.path("etcd")))
        .arg(format!("--listen-client-urls={store}"))
        .arg(format!("--advertise-client-urls={store}"))
        .arg(format!("--listen-peer-urls={peer}"))
        .arg(format!("--initial-advertise-peer-urls={peer}"))
        .arg(format!("--initial-cluster=default={peer}"))
        .args(["--unsafe-no-fsync", "--log-level=warn"]);
    sandbox.spawn("etcd", &mut command)
}

fn write_users(sandbox: &Sandbox, server: &str, ca: &str) -> anyhow::Result<std::path::PathBuf> {
    let mut lines = String::new();
    for (user, groups) in USERS {
        let token = format!("token-of-{user}");
        writeln!(lines, "{token},{user},{user},\"{groups}\"")?;
        let kubeconfig = kubeconfig(server, ca, user, &token);
        sandbox.write(&format!("{user}.kubeconfig"), &kubeconfig)?;
    }
    sandbox.write("tokens.csv", &lines)
}

fn kubeconfig(server: &str, ca: &str, user: &str, token: &str) -> String {
    use base64::Engine as _;
    let authority = base64::engine::general_purpose::STANDARD.encode(ca);
    json!({
        "apiVersion": "v1",
        "kind": "Config",
        "clusters": [{"name": "lab", "cluster": {"server": server, "certificate-authority-data": authority}}],
        "users": [{"name": user, "user": {"token": token}}],
        "contexts": [{"name": "lab", "context": {"cluster": "lab", "user": user}}],
        "current-context": "lab",
    })
    .to_string()
}

fn file_flag(name: &str, path: &Path) -> String {
    format!("--{name}={}", path.display())
}

//! Real components on loopback: a Kubernetes control plane whose nodes and pods are played by kwok, and a Gitea.
//!
//! `scripts/cluster-up` builds them; nothing here does. Everything lives in a temporary folder and ends with
//! the value that owns it, also when a test panics or is killed.

pub(crate) mod assets;
pub(crate) mod audit;
mod control_plane;
pub(crate) mod flux;
pub(crate) mod gitea;
pub(crate) mod kwok;
mod pki;
pub(crate) mod process;
pub(crate) mod registry;

use std::collections::BTreeMap;
use std::path::PathBuf;

use anyhow::Context as _;
use k8s_openapi::api::core::v1::{Namespace, Node, ServiceAccount};
use k8s_openapi::api::rbac::v1::{ClusterRoleBinding, RoleRef, Subject};
use kube::api::{Api, ObjectMeta, PostParams};
use kube::config::{KubeConfigOptions, Kubeconfig};
use kube::{Client, Config};

use assets::Assets;
use audit::AuditEvent;
use process::Sandbox;

/// The user that may do everything.
pub(crate) const ADMIN: &str = "admin";
/// The user that the sidecar under test is; it may do nothing until [`Lab::grant`].
pub(crate) const SERIN: &str = "serin";

/// A running control plane.
#[derive(Debug)]
pub(crate) struct Lab {
    sandbox: Sandbox,
    server: String,
}

impl Lab {
    /// Starts etcd, API server, controllers, scheduler and kwok with one node, and waits until that is ready.
    pub(crate) async fn start() -> anyhow::Result<Self> {
        let assets = Assets::locate()?;
        let mut lab = Self::start_api(&assets).await?;
        control_plane::spawn_controllers(&mut lab.sandbox, &assets)?;
        kwok::spawn(&mut lab.sandbox, &assets)?;
        let client = lab.client(ADMIN).await?;
        let nodes: Api<Node> = Api::all(client.clone());
        nodes.create(&PostParams::default(), &kwok::node()).await?;
        let probe = async || {
            let ready = kwok::is_ready(&nodes.get("node-0").await?);
            ready.then_some(()).context("the node is not ready")
        };
        lab.sandbox.ready("kwok", probe).await?;
        lab.await_service_account("default").await?;
        Ok(lab)
    }

    /// Starts etcd and the API server alone: objects are kept and checked, but nothing acts on them.
    pub(crate) async fn start_api_only() -> anyhow::Result<Self> {
        Self::start_api(&Assets::locate()?).await
    }

    async fn start_api(assets: &Assets) -> anyhow::Result<Self> {
        serin::http::install_crypto();
        let mut sandbox = Sandbox::new("lab")?;
        let server = control_plane::spawn_api_server(&mut sandbox, assets).await?;
        let mut lab = Self { sandbox, server };
        let client = lab.client(ADMIN).await?;
        let probe = async || {
            let request = http::Request::get("/readyz").body(Vec::new())?;
            Ok(client.request_text(request).await?)
        };
        lab.sandbox.ready("kube-apiserver", probe).await?;
        Ok(lab)
    }

    /// Returns the address of the API server.
    pub(crate) fn server(&self) -> &str {
        &self.server
    }

    /// Returns the kubeconfig of a user: [`ADMIN`], [`SERIN`] or a component.
    pub(crate) fn kubeconfig_for(&self, user: &str) -> PathBuf {
        self.sandbox.path(&format!("{user}.kubeconfig"))
    }

    /// Makes a client that is this user to the API server.
    pub(crate) async fn client(&self, user: &str) -> anyhow::Result<Client> {
        let kubeconfig = Kubeconfig::read_from(self.kubeconfig_for(user))
            .with_context(|| format!("no kubeconfig for user `{user}`"))?;
        let config = Config::from_custom_kubeconfig(kubeconfig, &KubeConfigOptions::default()).await?;
        Ok(Client::try_from(config)?)
    }

    /// Binds a user to a `ClusterRole`.
    pub(crate) async fn grant(&self, user: &str, cluster_role: &str) -> anyhow::Result<()> {
        let binding = ClusterRoleBinding {
            metadata: ObjectMeta {
                name: Some(format!("{user}-{cluster_role}")),
                ..ObjectMeta::default()
            },
            role_ref: RoleRef {
                api_group: "rbac.authorization.k8s.io".to_owned(),
                kind: "ClusterRole".to_owned(),
                name: cluster_role.to_owned(),
            },
            subjects: Some(vec![Subject {
                api_group: Some("rbac.authorization.k8s.io".to_owned()),
                kind: "User".to_owned(),
                name: user.to_owned(),
                namespace: None,
            }]),
        };
        let bindings: Api<ClusterRoleBinding> = Api::all(self.client(ADMIN).await?);
        bindings.create(&PostParams::default(), &binding).await?;
        Ok(())
    }

    /// Creates a namespace and waits until pods can be created in it.
    pub(crate) async fn create_namespace(&mut self, name: &str) -> anyhow::Result<()> {
        let namespaces: Api<Namespace> = Api::all(self.client(ADMIN).await?);
        let metadata = ObjectMeta {
            name: Some(name.to_owned()),
            ..ObjectMeta::default()
        };
        let namespace = Namespace {
            metadata,
            ..Namespace::default()
        };
        namespaces.create(&PostParams::default(), &namespace).await?;
        self.await_service_account(name).await
    }

    async fn await_service_account(&mut self, namespace: &str) -> anyhow::Result<()> {
        let accounts: Api<ServiceAccount> = Api::namespaced(self.client(ADMIN).await?, namespace);
        let probe = async || {
            accounts.get("default").await?;
            Ok(())
        };
        self.sandbox.ready("kube-controller-manager", probe).await
    }

    /// Reads the audit log: every request since the start. The last ones may be a moment late.
    pub(crate) fn audit(&self) -> anyhow::Result<Vec<AuditEvent>> {
        audit::read(&self.sandbox.path(control_plane::AUDIT_LOG))
    }

    /// Counts a user's requests by verb and resource.
    pub(crate) fn ledger(&self, user: &str) -> anyhow::Result<BTreeMap<(String, String), usize>> {
        Ok(audit::ledger(&self.audit()?, user))
    }

    /// Returns what a process has written so far.
    pub(crate) fn log(&self, name: &str) -> String {
        self.sandbox.log(name)
    }

    /// Returns the id of a running process.
    pub(crate) fn id(&self, name: &str) -> Option<u32> {
        self.sandbox.id(name)
    }

    /// Gives access to the folder and the processes, to add one (the sidecar) or to kill one.
    pub(crate) fn sandbox(&mut self) -> &mut Sandbox {
        &mut self.sandbox
    }
}
